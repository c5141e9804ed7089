//! A listening port: small entries for handshakes under way, and a queue of connections that wait to be accepted.

use super::connection::{Connection, Start};
use super::options::Settings;
use super::segment::{Outgoing, Segment};
use crate::rng::Rng;
use crate::time::Instant;

/// A listening port.
///
/// `K` names a peer: its address and port and the local address (copied, ordered, otherwise opaque).
/// `H` is the caller's handle of an established connection that waits for `accept`.
///
/// Getters; `handle_segment`, `handle_timeout`; `push_accepted`, `accept`; `poll_transmit`.
pub struct Listener<K, H> {
    _todo: core::marker::PhantomData<(K, H)>,
}

/// What a segment for a listening port leads to.
#[derive(Debug)]
pub enum Verdict {
    /// It was dealt with, or dropped and counted. `poll_transmit` may have something to say.
    Done,
    /// Answer with this RST.
    Reset(Outgoing),
    /// A handshake is complete. The connection has already taken the segment's data; the caller registers it and
    /// hands its handle to [`Listener::push_accepted`].
    Established(Box<Connection>),
}

/// A SYN-ACK to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAck<K> {
    /// To whom.
    pub peer: K,
    /// What: there is no payload.
    pub segment: Outgoing,
}

/// What a listener counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ListenerStats {
    /// SYNs received.
    pub syns: u64,
    /// SYNs dropped because the accept queue was full.
    pub syns_dropped: u64,
    /// SYNs answered with a cookie because there were too many half-open connections.
    pub cookies_sent: u64,
    /// Connections made from a cookie.
    pub cookies_accepted: u64,
    /// ACKs whose cookie was wrong.
    pub cookies_refused: u64,
    /// Half-open connections given up.
    pub timed_out: u64,
    /// Connections established.
    pub established: u64,
    /// Completed handshakes that had to wait because the accept queue was full.
    pub accept_overflows: u64,
}

impl<K: Copy + Ord + core::hash::Hash, H> Listener<K, H> {
    /// A listener on `port` whose connections get `settings`. `backlog` bounds both the half-open connections
    /// and those that wait to be accepted.
    pub fn new(port: u16, backlog: usize, settings: Settings, rng: &mut Rng) -> Self {
        let _ = (port, backlog, settings, rng);
        todo!()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        todo!()
    }

    /// Half-open connections.
    pub fn half_open(&self) -> usize {
        todo!()
    }

    /// Connections that wait to be accepted.
    pub fn waiting(&self) -> usize {
        todo!()
    }

    /// The counters.
    pub fn stats(&self) -> &ListenerStats {
        todo!()
    }

    /// The settings that new connections get.
    pub fn settings(&self) -> &Settings {
        todo!()
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether `poll_transmit` has something.
    pub fn wants_transmit(&self) -> bool {
        todo!()
    }

    /// A segment from `peer` for the port, for which there is no connection.
    /// `start` is what a connection from there would begin with.
    pub fn handle_segment(&mut self, now: Instant, peer: K, start: Start, segment: &Segment<'_>) -> Verdict {
        let _ = (now, peer, start, segment);
        todo!()
    }

    /// Time has come to `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Changes the settings of connections that come later.
    pub fn settings_mut(&mut self) -> &mut Settings {
        todo!()
    }

    /// Puts the handle of an established connection into the accept queue.
    pub fn push_accepted(&mut self, handle: H) {
        let _ = handle;
        todo!()
    }

    /// The connection that waits longest.
    pub fn accept(&mut self) -> Option<H> {
        todo!()
    }

    /// The next SYN-ACK to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<SynAck<K>> {
        let _ = now;
        todo!()
    }
}
