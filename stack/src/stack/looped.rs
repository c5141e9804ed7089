//! What we send to many, and listen to ourselves: a copy comes back in as if it had arrived at the interface that it
//! leaves by (RFC 1112 section 6.1, `IP_MULTICAST_LOOP`).

use std::collections::VecDeque;
use std::net::IpAddr;

use super::Stack;
use super::path::LOOPBACK;
use crate::buf::frame::{Checksum, InterfaceId, Offload};
use crate::ip::input::Arrival;
use crate::ip::output::{MAX_HEADER, Meta};
use crate::link::Cast;
use crate::time::Instant;

/// The most copies that wait: until the next frame is asked for.
const MAX_WAITING: usize = 64;

/// Copies that wait, each a whole IP packet.
#[derive(Debug, Default)]
pub(super) struct Looped(VecDeque<(InterfaceId, Vec<u8>)>);

impl Looped {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Stack {
    /// Whether a packet to `destination` is for many, and for ourselves too: we are one of those who listen at
    /// `interface`.
    pub(super) fn hears_itself(&self, interface: InterfaceId, destination: IpAddr) -> bool {
        let cast = self.port(interface).and_then(|port| port.interface.accepts(destination));
        interface != LOOPBACK && matches!(cast, Some(Cast::Multicast | Cast::Broadcast))
    }

    /// Keeps a copy of what leaves by `interface`: the IP header's payload, or all of the packet if it has a header.
    pub(super) fn loop_back(&mut self, interface: InterfaceId, meta: &Meta, bytes: &[u8], has_header: bool) {
        if self.looped.0.len() >= MAX_WAITING {
            self.stats.ip.out_discards += 1;
            return;
        }
        let mut copy = self.pool.take();
        copy.clear();
        if !has_header {
            copy.resize(MAX_HEADER, 0);
            let Ok(len) = meta.write(&mut self.ids, bytes.len(), &mut copy) else {
                return self.pool.give(copy);
            };
            copy.truncate(len);
        }
        copy.extend_from_slice(bytes);
        self.looped.0.push_back((interface, copy));
    }

    /// Brings the copies in.
    pub(super) fn take_looped(&mut self, now: Instant) {
        while let Some((interface, bytes)) = self.looped.0.pop_front() {
            let arrival = Arrival { loopback: true, link_broadcast: true, ..Arrival::unicast(interface) };
            self.receive_ip(now, &arrival, &bytes, Offload { checksum: Checksum::Verified, gso: None });
            self.pool.give(bytes);
        }
    }
}
