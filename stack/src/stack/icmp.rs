//! ICMP on the stack: answers to echo requests, errors about our packets, and our errors about those of others.

use std::net::IpAddr;

use super::Stack;
use crate::buf::frame::InterfaceId;
use crate::ip::icmp::{self, Echo, ErrorKind, IcmpError, Incoming};
use crate::ip::icmp_error::Problem;
use crate::ip::input::{Arrival, To};
use crate::ip::output::Meta;
use crate::ip::rate_limit::Rate;
use crate::link::DropReason;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::socket::table::{Kind, Socket};
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::ip::Packet;
use crate::wire::quote::QuotedTransport;
use crate::wire::seq::SeqNum;
use crate::wire::{icmpv6, mld};
use crate::{raw, tcp, udp};

/// Answers to echo requests that many were asked.
const GROUP_ECHOES: Rate = Rate { per_second: 10, burst: 10 };

impl Stack {
    /// An ICMP or ICMPv6 message arrived.
    pub(super) fn handle_icmp(&mut self, now: Instant, arrival: &Arrival, packet: &Packet<'_>, to: To) {
        let interface = arrival.iface;
        let message = icmp::read(packet);
        let stats = if packet.is_v6() { &mut self.stats.icmp_v6 } else { &mut self.stats.icmp_v4 };
        stats.record(&message);
        match message {
            Ok(Incoming::EchoRequest(echo)) => self.answer_echo(now, interface, packet, to, &echo),
            Ok(Incoming::Error(error)) => self.handle_icmp_error(now, interface, &error),
            Ok(Incoming::Ndp(ndp)) => {
                self.handle_on_link(now, interface, packet, &icmpv6::Message::Ndp(ndp));
            }
            // RFC 3810 section 6.2: a query that does not ask routers to look at it is dropped.
            Ok(Incoming::Mld(mld::Message::Query(_))) if !packet.router_alert => {
                if let Some(port) = self.ports.get_mut(interface.0 as usize) {
                    port.interface.count_drop(DropReason::BadGroup);
                }
            }
            Ok(Incoming::Mld(mld)) => {
                self.handle_on_link(now, interface, packet, &icmpv6::Message::Mld(mld));
            }
            Ok(Incoming::EchoReply(_) | Incoming::Other) | Err(_) => {}
        }
    }

    /// Tells the source of a packet what is wrong, if that may be told.
    pub(super) fn answer_error(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        problem: Problem,
        packet: &[u8],
        for_many: bool,
    ) {
        let Some((src, dst)) = addresses(packet) else { return };
        let own = self.port(interface).and_then(|port| port.interface.source_for(src));
        let Some(source) = (if self.is_local(dst) { Some(dst) } else { own }) else { return };
        let mut message = self.pool.take();
        match self.icmp_errors.answer(now, problem, packet, for_many, source, &mut message) {
            Ok(answer) => {
                let meta = Meta::new(answer.source, answer.destination, answer.protocol);
                let meta = Meta { dont_fragment: false, ..meta };
                self.reply(meta, None, &Endpoint::on(answer.destination, 0, interface), message, answer.why);
            }
            Err(_) => self.pool.give(message),
        }
    }

    fn answer_echo(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet<'_>,
        to: To,
        echo: &Echo<'_>,
    ) {
        if !self.config.answer_echo || !icmp::answers_echo(packet, to != To::Us) {
            return;
        }
        if to != To::Us && !self.group_echoes.take(now, GROUP_ECHOES) {
            // What asks many, in the name of one, is how a flood is made.
            self.stats.icmp_v6.echo_limited += 1;
            return;
        }
        let own = || self.port(interface).and_then(|port| port.interface.source_for(packet.src));
        let Some(source) = (if to == To::Us { Some(packet.dst) } else { own() }) else { return };
        let mut bytes = self.pool.take();
        let protocol = icmp::echo_reply(echo, source, packet.src, &mut bytes);
        let stats = if packet.is_v6() { &mut self.stats.icmp_v6 } else { &mut self.stats.icmp_v4 };
        stats.out_echo_reps += 1;
        let meta = Meta { dont_fragment: false, ..Meta::new(source, packet.src, protocol) };
        self.reply(meta, None, &Endpoint::on(packet.src, 0, interface), bytes, Why::new(Reason::EchoReply));
    }

    /// Neighbour discovery and group management are the interface's.
    fn handle_on_link(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet<'_>,
        message: &icmpv6::Message<'_>,
    ) {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else { return };
        if let Some(port) = self.ports.get_mut(interface.0 as usize) {
            // What it refuses, it counts.
            let _ = port.interface.handle_icmpv6(now, src, dst, packet.hop_limit, message);
        }
        self.handle_interface_events(now, interface);
    }

    /// Somebody says that a packet of ours did not arrive: the socket that sent it is told, if there is one.
    fn handle_icmp_error(&mut self, now: Instant, interface: InterfaceId, error: &IcmpError) {
        let quote = &error.quote;
        let pair = |src_port, dst_port| Tuple {
            local: Endpoint::on(quote.src, src_port, interface),
            remote: Endpoint::on(quote.dst, dst_port, interface),
        };
        let matched = self.is_local(quote.src)
            && match quote.transport {
                QuotedTransport::Tcp { src_port, dst_port, seq } => {
                    self.tell_tcp(now, &pair(src_port, dst_port), seq, error)
                }
                QuotedTransport::Udp { src_port, dst_port } => {
                    self.tell_udp(now, &pair(src_port, dst_port), error)
                }
                QuotedTransport::Echo { .. } | QuotedTransport::Unknown => self.tell_raw(now, error),
            };
        self.stats.icmp_unmatched += u64::from(!matched);
    }

    fn tell_tcp(&mut self, now: Instant, tuple: &Tuple, seq: SeqNum, error: &IcmpError) -> bool {
        let Some(id) = self.tcp_demux.connected(tuple) else { return false };
        let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) else { return false };
        // RFC 5927 section 4.1: what is not about a segment in flight was made up.
        if !tcp.connection.accepts_icmp(seq) {
            return false;
        }
        if let Some(error) = tcp_error(error.kind) {
            tcp.connection.handle_icmp(seq, error);
        } else if let ErrorKind::PacketTooBig { mtu } = error.kind {
            self.hear_too_big(now, id, tcp::TooBig { seq, mtu, packet_len: error.packet_len });
        }
        self.settle_tcp(now, id);
        true
    }

    fn tell_udp(&mut self, now: Instant, tuple: &Tuple, error: &IcmpError) -> bool {
        let connected = self.udp_demux.connected(tuple);
        let Some(id) = connected.or_else(|| self.udp_demux.bound(&tuple.local)) else { return false };
        self.hear_datagram_too_big(now, id, error);
        if let Some(error) = udp_error(error.kind)
            && let Ok(entry) = self.udp_mut(id)
            && entry.socket.handle_error(tuple.remote.into(), error)
        {
            self.announce(id);
        }
        true
    }

    fn tell_raw(&mut self, now: Instant, error: &IcmpError) -> bool {
        let mut matched = None;
        for index in 0..self.raw_sockets.len() {
            let id = self.raw_sockets[index];
            let Some(Kind::Raw(raw)) = self.sockets.get_mut(id).map(|s| &mut s.kind) else { continue };
            if raw.protocol() != error.quote.protocol.0 {
                continue;
            }
            matched = Some(id);
            if let Some(kind) = raw_error(error.kind)
                && raw.handle_error(error.quote.dst, kind)
            {
                self.announce(id);
            }
        }
        if let Some(id) = matched {
            self.hear_datagram_too_big(now, id, error);
        }
        matched.is_some()
    }
}

/// What a connection is told; `None` for what is about the path's MTU.
fn tcp_error(kind: ErrorKind) -> Option<tcp::IcmpError> {
    Some(match kind {
        ErrorKind::NetworkUnreachable => tcp::IcmpError::NetworkUnreachable,
        ErrorKind::HostUnreachable | ErrorKind::SourceRoute => tcp::IcmpError::HostUnreachable,
        ErrorKind::ProtocolUnreachable => tcp::IcmpError::ProtocolUnreachable,
        ErrorKind::PortUnreachable => tcp::IcmpError::PortUnreachable,
        ErrorKind::Prohibited => tcp::IcmpError::Prohibited,
        ErrorKind::HopLimitExceeded | ErrorKind::ReassemblyTimeExceeded => tcp::IcmpError::TimeExceeded,
        ErrorKind::ParameterProblem { .. } => tcp::IcmpError::ParameterProblem,
        ErrorKind::PacketTooBig { .. } => return None,
    })
}

fn udp_error(kind: ErrorKind) -> Option<udp::Error> {
    match kind {
        ErrorKind::PacketTooBig { .. } => None,
        ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Some(udp::Error::ConnectionRefused),
        ErrorKind::NetworkUnreachable => Some(udp::Error::NetworkUnreachable),
        _ => Some(udp::Error::HostUnreachable),
    }
}

fn raw_error(kind: ErrorKind) -> Option<raw::Error> {
    match kind {
        ErrorKind::PacketTooBig { .. } => None,
        ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Some(raw::Error::ConnectionRefused),
        ErrorKind::NetworkUnreachable => Some(raw::Error::NetworkUnreachable),
        _ => Some(raw::Error::HostUnreachable),
    }
}

/// Source and destination of a packet whose further headers may be broken.
fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    if packet.first()? >> 4 == 4 {
        let (header, _) = crate::wire::ipv4::Header::parse_quoted(packet).ok()?;
        return Some((header.src.into(), header.dst.into()));
    }
    let (header, _) = crate::wire::ipv6::Header::parse_quoted(packet).ok()?;
    Some((header.src.into(), header.dst.into()))
}
