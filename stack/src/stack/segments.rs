//! Which connection or listener a segment is for, and what it leads to.

use super::Stack;
use super::authentication::{isns, option_of};
use crate::buf::frame::{InterfaceId, Offload};
use crate::ip::input::To;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::socket::table::{IpOptions, Kind, Socket, SocketId, TcpSocket};
use crate::tcp::{Segment, TimeWaitVerdict, Verdict, reset_for};
use crate::time::Instant;
use crate::wire;
use crate::wire::ip::Packet;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{FastOpenCookie, Flags};

impl Stack {
    /// A TCP segment arrived.
    pub(super) fn handle_tcp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet<'_>,
        to: To,
        offload: Offload,
    ) {
        let mut segment = Segment::new(wire::tcp::Header::EMPTY, &[]);
        let read = segment.header.read(packet.payload, packet.src, packet.dst, offload.checksum);
        match read {
            Ok(payload) => segment.payload = payload,
            Err(error) => {
                self.stats.tcp.in_errs += 1;
                self.stats.tcp.in_csum_errors += u64::from(error.is_checksum());
                return;
            }
        }
        let header = &segment.header;
        // RFC 9293 3.9.2.3 (MUST-57): a segment to a multicast or broadcast address is ignored.
        if to != To::Us || header.src_port == 0 {
            self.stats.tcp.in_errs += 1;
            return;
        }
        let tuple = Tuple {
            local: Endpoint::on(packet.dst, header.dst_port, interface),
            remote: Endpoint::on(packet.src, header.src_port, interface),
        };
        // Only what the kernel merged is more than one.
        if let Some(gso) = offload.gso {
            segment.segments = gso.packets(segment.payload.len()) as u16;
        }
        segment.ecn = packet.ecn;
        self.stats.tcp.in_segs += u64::from(segment.segments);
        if (self.authenticates || header.options.signature.is_some())
            && !self.is_authentic(&tuple, header, packet.payload)
        {
            return;
        }
        if let Some(id) = self.tcp_demux.find(&tuple) {
            if let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) {
                tcp.connection.set_pressure(self.memory.pressure());
                let waiting = tcp.connection.unacknowledged();
                tcp.connection.handle_segment(now, &segment);
                // RFC 4861 section 7.3.1: new data acknowledged means that the next hop is reachable.
                if tcp.connection.unacknowledged() < waiting {
                    let path = tcp.path;
                    if let Some(port) = self.ports.get_mut(path.interface.0 as usize) {
                        port.interface.confirm(now, path.next_hop);
                    }
                }
            }
            self.settle_tcp(now, id);
            self.heard = Some(id);
            return;
        }
        let Some(min_iss) = self.handle_time_wait(now, &tuple, &segment) else { return };
        if let Some(listener) = self.tcp_demux.bound(&tuple.local) {
            self.handle_listener(now, listener, tuple, min_iss, &segment);
        } else if let Some(reset) = reset_for(&segment) {
            self.reply_tcp(&tuple, IpOptions::default(), None, &reset);
        }
    }

    /// TIME-WAIT has the first word; `None` if it was the last, else the least ISN of a successor, if there must be
    /// one.
    fn handle_time_wait(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        segment: &Segment<'_>,
    ) -> Option<Option<SeqNum>> {
        match self.time_waits.handle_segment(now, tuple, segment) {
            None => Some(None),
            Some(TimeWaitVerdict::Ignore) => None,
            Some(TimeWaitVerdict::Skip) => {
                self.stats.tcp.time_wait_acks_skipped += 1;
                None
            }
            Some(TimeWaitVerdict::Acknowledge(outgoing)) => {
                let known = self.time_waits.authenticator(tuple).map(|known| Box::new(known.clone()));
                self.reply_tcp(tuple, IpOptions::default(), known, &outgoing);
                None
            }
            Some(TimeWaitVerdict::Reuse { min_iss }) => Some(Some(min_iss)),
        }
    }

    fn handle_listener(
        &mut self,
        now: Instant,
        id: SocketId,
        tuple: Tuple,
        min_iss: Option<SeqNum>,
        segment: &Segment<'_>,
    ) {
        let Ok(path) = self.path_to(Some(tuple.local.ip), &tuple.remote) else {
            self.stats.ip.out_no_routes += 1;
            return;
        };
        let mut start = self.tcp_start(now, &tuple, path.mtu);
        start.iss = min_iss.map_or(start.iss, |min| start.iss.max(min));
        start.successor = min_iss.is_some();
        let full = self.sockets.len() >= self.config.max_sockets;
        let takes_fast_open = self.listener_mut(id).is_ok_and(|entry| entry.listener.takes_fast_open());
        let ticket = if takes_fast_open && !full { self.fast_open_ticket(&tuple, segment) } else { None };
        // As Linux counts them: whether the listener answers them or not.
        let requests = |cookie: &FastOpenCookie| segment.has(Flags::SYN) && cookie.is_request();
        let asks = segment.header.options.fast_open.as_ref().is_some_and(requests);
        self.stats.tcp.fast_open_cookie_reqd += u64::from(asks);
        let authenticator = match self.authenticates {
            true => self.listener_authenticator(id, &tuple, &segment.header),
            false => None,
        };
        start.signature = option_of(authenticator.as_deref());
        // Of a cookie or a half-open entry the numbers are known; a SYN begins with ours.
        let numbers = if segment.has(Flags::SYN) { Some(isns(start.iss, segment.header.seq)) } else { None };
        let Ok(entry) = self.listener_mut(id) else { return };
        let ip = entry.ip;
        let before = *entry.listener.stats();
        let verdict = entry.listener.handle_segment(now, tuple, start, ticket, segment);
        let after = *entry.listener.stats();
        self.stats.tcp.count_listener(&before, &after);
        match verdict {
            Verdict::Done => {}
            Verdict::Reset(outgoing) => self.reply_tcp(&tuple, ip, authenticator, &outgoing),
            Verdict::Established(_) if full => self.stats.tcp.socket_limit_drops += 1,
            Verdict::Established(connection) => {
                let authenticator = authenticator.map(|mut known| {
                    if let Some(numbers) = numbers {
                        known.begin(numbers);
                    }
                    known
                });
                let (connection, listener) = (*connection, Some(id));
                let tcp = TcpSocket { connection, tuple, path, ip, authenticator, orphan: false, listener };
                let accepted = self.sockets.insert(Socket::new(Kind::Tcp(Box::new(tcp))));
                self.tcp_demux.connect(tuple, accepted);
                self.stats.tcp.passive_opens += 1;
                if let Ok(entry) = self.listener_mut(id) {
                    entry.listener.push_accepted(accepted);
                }
                self.settle_tcp(now, accepted);
                self.announce(id);
            }
        }
        self.settle_listener(now, id);
    }
}
