//! What arrives: from the frame to the socket.

use std::net::{IpAddr, Ipv4Addr};

use super::Stack;
use super::interfaces::Port;
use super::path::LOOPBACK;
use crate::buf::frame::{Checksum, Gso, InterfaceId, Offload, RxFrame};
use crate::ip::input::{self, Arrival, Local, To, Verdict};
use crate::ip::reassembly::Outcome;
use crate::link::{Cast, DropReason, Received};
use crate::time::Instant;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::{self, igmp};

/// What the addresses of a packet that came in at one interface are to us (the weak end system model of RFC 1122
/// section 3.3.4.2: an address is ours on every interface).
struct View<'a> {
    ports: &'a [Port],
    interface: InterfaceId,
    known: Option<&'a KnownPair>,
}

/// The addresses of the last packet that came from outside for us alone: so will those after it, and a comparison is
/// cheaper than to look at all addresses of all interfaces.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownPair {
    source: IpAddr,
    destination: IpAddr,
    /// The generation of our addresses for which that is so.
    generation: u64,
}

impl Local for View<'_> {
    fn is_ours(&self, address: IpAddr) -> bool {
        self.ports.iter().any(|port| port.interface.owns(address))
    }

    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.ports.iter().any(|port| port.interface.is_broadcast(address.into()))
    }

    fn is_member(&self, group: IpAddr) -> bool {
        self.ports.get(self.interface.0 as usize).is_some_and(|port| port.interface.accepts(group).is_some())
    }

    fn is_known_pair(&self, src: IpAddr, dst: IpAddr) -> bool {
        self.known.is_some_and(|known| known.source == src && known.destination == dst)
    }
}

/// How many packets were merged into one, and the bytes of headers that each had.
fn merged(packet: &Packet<'_>, gso: &Gso) -> (usize, usize) {
    let transport = match packet.protocol {
        Protocol::TCP => {
            packet.payload.get(wire::tcp::field::DATA_OFFSET).map_or(0, |byte| usize::from(byte >> 4) * 4)
        }
        _ => wire::udp::HEADER_LEN,
    };
    let data = packet.payload.len().saturating_sub(transport);
    (gso.packets(data), packet.header_len() + transport)
}

impl Stack {
    /// A frame from the device of `interface`.
    pub(super) fn receive(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame<'_>) {
        if self.receive_next(now, interface, &frame) {
            return;
        }
        let Some(port) = self.ports.get_mut(interface.0 as usize) else { return };
        match port.interface.handle_frame(now, &frame) {
            Received::Ip { packet, cast, .. } => {
                let arrival =
                    Arrival { link_broadcast: cast != Cast::Unicast, ..Arrival::unicast(interface) };
                self.receive_ip(now, &arrival, packet, frame.offload);
                self.follow(interface, &frame, packet);
            }
            Received::Consumed => self.handle_interface_events(now, interface),
            Received::Dropped(_) => self.stats.ip.in_link_drops += 1,
        }
    }

    /// A packet that we sent to ourselves.
    pub(super) fn receive_from_ourselves(&mut self, now: Instant, bytes: &[u8]) {
        let arrival = Arrival { loopback: true, ..Arrival::unicast(LOOPBACK) };
        let offload = Offload { checksum: Checksum::Verified, gso: None };
        self.receive_ip(now, &arrival, bytes, offload);
    }

    pub(super) fn receive_ip(&mut self, now: Instant, arrival: &Arrival, bytes: &[u8], offload: Offload) {
        let generation = self.addresses_generation;
        let known = self.known_pair.as_ref().filter(|known| known.generation == generation);
        let view = View { ports: &self.ports, interface: arrival.iface, known };
        let read = Packet::parse(bytes);
        let verdict = input::check(bytes, &read, arrival, &view);
        let is_v6 = bytes.first().is_some_and(|byte| byte >> 4 == 6);
        let counters = if is_v6 { &mut self.stats.in_v6 } else { &mut self.stats.in_v4 };
        counters.record(bytes.len(), &read, &verdict, arrival.reassembled);
        if let (Some(gso), Verdict::Deliver(To::Us), Ok(packet)) = (offload.gso, &verdict, &read) {
            let (packets, headers) = merged(packet, &gso);
            let more = packets - 1;
            counters.record_alike(more as u64, (more * headers) as u64, packet.ecn);
        }
        match &verdict {
            Verdict::Deliver(to) => {
                // By reference: a packet's value is long, and a copy of what was just written waits for it.
                let Ok(packet) = &read else { return };
                if *to == To::Us && !arrival.loopback && !view.is_known_pair(packet.src, packet.dst) {
                    let (source, destination) = (packet.src, packet.dst);
                    self.known_pair = Some(KnownPair { source, destination, generation });
                }
                self.deliver(now, arrival, packet, *to, offload);
            }
            Verdict::Fragment(fragment) => {
                let mut whole = self.pool.take();
                if self.reassembly.handle_fragment(now, fragment, &mut whole) == Outcome::Complete {
                    let arrival = Arrival { reassembled: true, ..*arrival };
                    if self.config.shard.is_alone() || !self.hand_on(&arrival, &mut whole) {
                        self.receive_ip(now, &arrival, &whole, Offload::NONE);
                    }
                }
                self.pool.give(whole);
            }
            Verdict::Drop(_) => {}
            Verdict::Error(problem, packet) => {
                self.answer_error(now, arrival.iface, *problem, packet, arrival.link_broadcast);
            }
        }
    }

    fn deliver(&mut self, now: Instant, arrival: &Arrival, packet: &Packet<'_>, to: To, offload: Offload) {
        let interface = arrival.iface;
        let raw = self.deliver_raw(interface, packet);
        match packet.protocol {
            Protocol::TCP => self.handle_tcp(now, interface, packet, to, offload),
            Protocol::UDP => self.handle_udp(now, interface, packet, to, offload),
            Protocol::ICMP if !packet.is_v6() => self.handle_icmp(now, arrival, packet, to),
            Protocol::ICMPV6 if packet.is_v6() => self.handle_icmp(now, arrival, packet, to),
            Protocol::IGMP if !packet.is_v6() => {
                if let Some(port) = self.ports.get_mut(interface.0 as usize) {
                    match igmp::Message::parse(packet.payload) {
                        // What it refuses, it counts.
                        Ok(message) => _ = port.interface.handle_igmp(now, packet.hop_limit, &message),
                        Err(_) => port.interface.count_drop(DropReason::BadGroup),
                    }
                }
                self.handle_interface_events(now, interface);
            }
            _ if raw => {}
            _ => {
                let counters = if packet.is_v6() { &mut self.stats.in_v6 } else { &mut self.stats.in_v4 };
                counters.in_unknown_protos += 1;
                let problem = input::unknown_protocol(packet);
                self.answer_error(now, interface, problem, packet.bytes, to != To::Us);
            }
        }
    }

    /// Datagrams whose fragments did not all come in time.
    pub(super) fn handle_reassembly_timeout(&mut self, now: Instant) {
        let mut first = self.pool.take();
        while let Some(expired) = self.reassembly.poll_expired(now, &mut first) {
            // RFC 1122 section 3.2.1.4, RFC 8200 section 4.5: told only if the first fragment came.
            if expired.first {
                let problem = crate::ip::icmp_error::Problem::ReassemblyTime;
                let for_many = !self.is_local(expired.destination);
                self.answer_error(now, expired.iface, problem, &first, for_many);
            }
        }
        self.pool.give(first);
    }
}
