//! What is decided before the first packet.

use crate::buf::shard::Shard;
use crate::tcp;

/// The configuration of a stack. `Config::default()` suits a host; give each run its own `seed`.
#[derive(Clone, Debug)]
pub struct Config {
    /// All that looks random follows from it: sequence numbers, ports, keys, delays of replies.
    pub seed: u64,
    /// What new connections start with.
    pub tcp: tcp::Settings,
    /// Sockets of all kinds, connections behind closed handles included.
    pub max_sockets: usize,
    /// Connections remembered in TIME-WAIT; beyond it the oldest is forgotten (RFC 9293 asks to keep them all).
    pub max_time_wait: usize,
    /// Routes.
    pub max_routes: usize,
    /// Destinations whose path MTU is remembered.
    pub max_path_mtus: usize,
    /// Servers of which is remembered what Fast Open is to them, a cookie or none; beyond it the one that was learned
    /// first is forgotten.
    pub max_fast_open_servers: usize,
    /// Bytes of a datagram socket's receive queue.
    pub udp_receive_buffer: usize,
    /// Bytes of buffers that all sockets have together. Above three quarters of it buffers do not grow by themselves
    /// any more; at all of it a socket keeps to the memory that it has, or its first two kilobytes.
    pub max_buffer_memory: usize,
    /// Whether echo requests are answered.
    pub answer_echo: bool,
    /// Decisions of observed connections that wait for `poll_decision`; what comes on top is counted and lost.
    pub max_decisions: usize,
    /// Which part of the host this stack is, if it has several: see [`crate::net::Net::sharded`]. The limits above are
    /// each part's.
    pub shard: Shard,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            tcp: tcp::Settings::default(),
            max_sockets: 1 << 20,
            max_time_wait: 1 << 16,
            max_routes: 4096,
            max_path_mtus: 4096,
            max_fast_open_servers: 1024,
            udp_receive_buffer: 256 * 1024,
            max_buffer_memory: 512 << 20,
            answer_echo: true,
            max_decisions: 1 << 16,
            shard: Shard::ALONE,
        }
    }
}

impl Config {
    /// The defaults under a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}
