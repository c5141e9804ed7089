//! What leaves: the one place that chooses the next frame of an interface.
//!
//! In this order: what the interface itself has to say (ARP, NDP, groups), the fragments of a packet that is under way,
//! replies that have no socket, and the socket whose turn it is. A socket whose next hop has no link address yet is
//! parked: it is not asked before the address is known.

use core::ops::Range;
use std::net::IpAddr;

use super::Stack;
use super::head::{HEAD, push_link, push_tcp, push_udp};
use super::packets::Packet;
use super::path::LOOPBACK;
use super::train::Train;
use super::udp::{Routed, emit_datagram};
use crate::buf::frame::{InterfaceId, Offload, TxFrame};
use crate::ip::fragment::{Fragmenter, Head, lend};
use crate::ip::output::{Ids, Meta};
use crate::link::Resolution;
use crate::socket::endpoint::Endpoint;
use crate::socket::table::{Kind, Path, Socket, SocketId};
use crate::tcp::Limits;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire;
use crate::wire::ethernet::MacAddr;
use crate::wire::ip::Protocol;

/// Bytes that one socket may send before the next one gets its turn.
const QUANTUM: usize = 64 * 1024;

/// Bytes of an IP packet that a device would take if it cut packets into frames.
const LONGEST_TRAIN: usize = 0xffff;

/// Packets to ourselves that are moved in one call: two sockets that answer each other for ever end here.
const LOOPBACK_BURST: usize = 1024;

/// A packet that is being sent in fragments.
#[derive(Debug)]
pub(super) struct Fragmenting {
    fragmenter: Fragmenter,
    payload: Vec<u8>,
    mac: MacAddr,
    why: Why,
}

/// What was chosen. The headers are in `Stack::head` and the reason in `Stack::why`, but for [`Body::Car`] and
/// [`Body::Alike`].
pub(super) struct Picked {
    pub(super) body: Body,
    pub(super) offload: Offload,
}

impl Picked {
    fn plain(body: Body) -> Self {
        Self { body, offload: Offload::NONE }
    }
}

/// Where the bytes after the headers lie.
pub(super) enum Body {
    /// In `Stack::body`.
    Own,
    /// In the send ring of a connection.
    Tcp(SocketId, Range<usize>),
    /// There too; the train that is under way has headers and reason.
    Car(SocketId, Range<usize>),
    /// So many bytes in front of a datagram socket's queue.
    Udp(SocketId, usize),
    /// There too; the stencil has the headers.
    Alike(SocketId, usize),
    /// In the packet that is being fragmented.
    Fragment(Range<usize>),
}

/// How a socket's turn went.
enum Turn {
    Frame(Picked),
    /// It has nothing (more) to say, or has to wait.
    Over,
    /// What it has to say leaves by another interface now.
    Elsewhere,
}

impl Stack {
    /// The next frame for the device of `interface`.
    pub(super) fn transmit(&mut self, now: Instant, interface: InterfaceId) -> Option<TxFrame<'_>> {
        self.head.len = 0;
        if self.lent.is_some() {
            self.take_back_loan();
        }
        let picked = self.pick(now, interface)?;
        let (mut head, mut why) = (self.head.as_slice(), &self.why);
        match &picked.body {
            Body::Car(..) => {
                if let Some(train) = &self.ports[interface.0 as usize].train {
                    (head, why) = train.car();
                }
            }
            Body::Udp(..) => why = &Why::DATAGRAM,
            Body::Alike(..) => {
                why = &Why::DATAGRAM;
                if let Some(stencil) = &self.stencil {
                    head = stencil.headers();
                }
            }
            _ => {}
        }
        let body = match &picked.body {
            Body::Own => [&self.body[..], &[]],
            Body::Tcp(id, range) | Body::Car(id, range) => match self.sockets.get(*id).map(|s| &s.kind) {
                Some(Kind::Tcp(tcp)) => tcp.connection.unacknowledged_bytes(range.clone()),
                _ => [&[][..]; 2],
            },
            Body::Udp(id, len) | Body::Alike(id, len) => match self.sockets.get(*id).map(|s| &s.kind) {
                Some(Kind::Udp(udp)) => udp.socket.front_bytes(*len),
                _ => [&[][..]; 2],
            },
            Body::Fragment(range) => match &self.ports[interface.0 as usize].fragmenting {
                Some(fragmenting) => lend([&fragmenting.payload, &[]], range.clone()),
                None => [&[][..]; 2],
            },
        };
        let frame = TxFrame { head, body, offload: picked.offload, why };
        let packets = picked.offload.gso.map_or(1, |gso| gso.packets(body[0].len() + body[1].len()));
        self.stats.sent.count(why.reason(), packets as u64);
        self.stats.ip.out_frames += 1;
        self.stats.ip.out_octets += (frame.len() + (packets - 1) * head.len()) as u64;
        Some(frame)
    }

    fn pick(&mut self, now: Instant, interface: InterfaceId) -> Option<Picked> {
        if let picked @ Some(_) = self.pick_control(now, interface) {
            return picked;
        }
        if self.ports[interface.0 as usize].fragmenting.is_some()
            && let picked @ Some(_) = self.pick_fragment(interface)
        {
            return picked;
        }
        if let picked @ Some(_) = self.pick_train(interface) {
            return picked;
        }
        while let Some(packet) = self.ports[interface.0 as usize].replies.pop() {
            if let Some(picked) = self.pick_packet(now, interface, packet) {
                return Some(picked);
            }
        }
        while let Some(id) = self.ready.front(interface) {
            match self.pick_socket(now, interface, id) {
                Turn::Frame(picked) => return Some(picked),
                Turn::Over => self.end_turn(now, interface, id, false),
                Turn::Elsewhere => self.end_turn(now, interface, id, true),
            }
        }
        // Who was parked on the way here asks for its neighbour at once.
        self.pick_control(now, interface)
    }

    /// What the interface itself has to say: ARP, NDP, group reports.
    #[inline]
    fn pick_control(&mut self, now: Instant, interface: InterfaceId) -> Option<Picked> {
        let port = self.ports.get_mut(interface.0 as usize)?;
        self.why = port.interface.poll_control(now, &mut self.body)?;
        Some(Picked::plain(Body::Own))
    }

    /// The next fragment of the packet under way.
    fn pick_fragment(&mut self, interface: InterfaceId) -> Option<Picked> {
        let port = &mut self.ports[interface.0 as usize];
        let fragmenting = port.fragmenting.as_mut()?;
        let mut head = Head::new();
        let Some(range) = fragmenting.fragmenter.poll_fragment(&mut head) else {
            if let Some(done) = port.fragmenting.take() {
                self.pool.give(done.payload);
            }
            return None;
        };
        self.why = if range.start == 0 { fragmenting.why } else { Why::new(Reason::Fragment) };
        let (mac, v4) = (fragmenting.mac, head.first().is_some_and(|byte| byte >> 4 == 4));
        push_link(&mut self.head, &port.interface, mac, v4);
        self.head.push_bytes(&head)?;
        Some(Picked::plain(Body::Fragment(range)))
    }

    /// A packet without a socket: as a frame, as the first fragment, or to wait for its neighbour.
    fn pick_packet(&mut self, now: Instant, interface: InterfaceId, packet: Packet) -> Option<Picked> {
        let port = self.ports.get_mut(interface.0 as usize)?;
        let mac = match port.resolve(now, packet.next_hop) {
            Resolution::Known(mac) => mac,
            Resolution::Pending => {
                if let Some(lost) = self.parked.park_packet(interface, packet) {
                    self.stats.ip.out_discards += 1;
                    self.pool.give(lost.bytes);
                }
                return None;
            }
            Resolution::Failed => {
                self.packet_unreachable(now, packet);
                return None;
            }
        };
        let v4 = packet.meta.source.is_ipv4();
        let header = if packet.has_header { 0 } else { packet.meta.header_len() };
        let route = self.routes.lookup_on(packet.meta.destination, interface);
        let mtu = port.mtu_for(packet.meta.destination, route, &self.pmtu).mtu as usize;
        if header + packet.bytes.len() <= mtu {
            push_link(&mut self.head, &port.interface, mac, v4);
            if !packet.has_header {
                let len = packet.bytes.len();
                self.head.push(|out| packet.meta.write(&mut self.ids, len, out)).ok()?;
            }
            let spare = core::mem::replace(&mut self.body, packet.bytes);
            self.pool.give(spare);
            self.why = packet.why;
            return Some(Picked::plain(Body::Own));
        }
        self.begin_fragments(interface, packet, mac, mtu)?;
        self.pick_fragment(interface)
    }

    fn begin_fragments(
        &mut self,
        interface: InterfaceId,
        packet: Packet,
        mac: MacAddr,
        mtu: usize,
    ) -> Option<()> {
        let mut header = [0; HEAD];
        let (header_len, payload) = if packet.has_header {
            // A raw socket's own header, which `raw_send_to` has looked at.
            let len = wire::ip::Packet::parse(&packet.bytes).ok()?.header_len();
            header.get_mut(..len)?.copy_from_slice(&packet.bytes[..len]);
            let mut payload = self.pool.take();
            payload.extend_from_slice(&packet.bytes[len..]);
            (len, payload)
        } else {
            (packet.meta.write(&mut self.ids, packet.bytes.len(), &mut header).ok()?, packet.bytes)
        };
        let id = next_id(&mut self.ids, &packet.meta);
        let attempt = Fragmenter::new(&header[..header_len], payload.len(), mtu, id);
        self.stats.fragments.record(&attempt);
        match attempt {
            Ok(fragmenter) => {
                let fragmenting = Fragmenting { fragmenter, payload, mac, why: packet.why };
                self.ports[interface.0 as usize].fragmenting = Some(fragmenting);
                Some(())
            }
            Err(_) => {
                self.pool.give(payload);
                None
            }
        }
    }

    /// What a socket has to say.
    fn pick_socket(&mut self, now: Instant, interface: InterfaceId, id: SocketId) -> Turn {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(_)) => self.pick_tcp(now, interface, id),
            Some(Kind::Udp(_)) => self.pick_udp(now, interface, id),
            Some(Kind::Raw(_)) => self.pick_raw(now, interface, id),
            _ => Turn::Over,
        }
    }

    fn pick_tcp(&mut self, now: Instant, interface: InterfaceId, id: SocketId) -> Turn {
        let generation = self.path_generation();
        let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) else { return Turn::Over };
        if tcp.path.generation != generation {
            let tuple = tcp.tuple;
            match self.path_to(Some(tuple.local.ip), &tuple.remote) {
                Ok(path) => self.move_path(now, id, path),
                Err(_) => return self.no_path(now, id, crate::tcp::Error::NetworkUnreachable),
            }
        }
        let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) else { return Turn::Over };
        let path = tcp.path;
        if path.interface != interface {
            return Turn::Elsewhere;
        }
        let port = &mut self.ports[interface.0 as usize];
        let mac = match port.resolve(now, path.next_hop) {
            Resolution::Known(mac) => mac,
            Resolution::Pending => return self.park(interface, path, id),
            Resolution::Failed => return self.no_path(now, id, crate::tcp::Error::HostUnreachable),
        };
        let limits = port.limits();
        let ip_header = super::ip_header_len(path.next_hop);
        // A device that takes no merged frames gets them as trains: the connection chooses as rarely for either.
        // So do signed segments, each of which has a digest of its own.
        let signed = tcp.authenticator.is_some();
        let max_merged = limits.max_merged.filter(|_| !signed);
        let longest = max_merged.unwrap_or(LONGEST_TRAIN);
        let segment = Limits {
            max_segment: path.mtu - ip_header,
            max_merged: longest.saturating_sub(ip_header),
            merges: max_merged.is_some(),
        };
        let Some(outgoing) = tcp.connection.poll_transmit(now, &segment) else { return Turn::Over };
        let mut meta = tcp.ip.meta(port, tcp.tuple.local.ip, tcp.tuple.remote.ip, Protocol::TCP);
        // The ECN field of a stream is TCP's own, whatever the traffic class says.
        (meta.dont_fragment, meta.ecn) = (!path.may_fragment, outgoing.ecn);
        let segments = outgoing.segments();
        self.stats.tcp.count_out(outgoing.header.flags, outgoing.why.reason(), u64::from(segments));
        let (len, more) = (outgoing.len as usize, tcp.connection.wants_transmit());
        let picked = if segments > 1 && max_merged.is_none() {
            port.train = Some(Train::new(id, port, &mut self.ids, mac, meta, outgoing, signed));
            self.pick_train(interface)
        } else {
            let payload = tcp.connection.unacknowledged_bytes(outgoing.payload_range());
            push_link(&mut self.head, &port.interface, mac, meta.source.is_ipv4());
            let known = tcp.authenticator.as_deref_mut();
            let written = push_tcp(&mut self.head, &mut self.ids, &meta, &outgoing, payload, limits, known);
            self.stats.ip.out_requests += u64::from(segments);
            let body = Body::Tcp(id, outgoing.payload_range());
            self.why = outgoing.why;
            written.map(|offload| Picked { body, offload })
        };
        if more {
            self.spend(interface, len);
        } else {
            self.end_turn(now, interface, id, false);
        }
        picked.map_or(Turn::Over, Turn::Frame)
    }

    /// The next datagram of a socket. One that fits and whose neighbour is known is lent where it lies.
    fn pick_udp(&mut self, now: Instant, interface: InterfaceId, id: SocketId) -> Turn {
        if let Some(picked) = self.pick_alike(now, interface, id) {
            return Turn::Frame(picked);
        }
        while let Some(routed) = self.route_datagram(now, id) {
            let Routed { path, meta, header, loops } = &routed;
            if path.interface != interface {
                return Turn::Elsewhere;
            }
            let port = &mut self.ports[interface.0 as usize];
            let limits = port.limits();
            let Some(Kind::Udp(udp)) = self.sockets.get(id).map(|s| &s.kind) else { return Turn::Over };
            let Some(datagram) = udp.socket.next_datagram() else { return Turn::Over };
            let (departure, payload) = (datagram.departure, datagram.payload);
            let len = wire::udp::HEADER_LEN + payload[0].len() + payload[1].len();
            let is_plain = !loops && meta.hop_limit > 0 && meta.header_len() + len <= path.mtu;
            let known = match port.resolve(now, path.next_hop) {
                Resolution::Known(mac) if is_plain => Some(mac),
                _ => None,
            };
            if let Some(mac) = known {
                let headers = meta.header_len() + wire::udp::HEADER_LEN;
                let most = limits.max_datagrams.map_or(0, |most| most.saturating_sub(headers));
                let Some(run) = udp.socket.next_run(most) else { return Turn::Over };
                push_link(&mut self.head, &port.interface, mac, meta.source.is_ipv4());
                let written = push_udp(&mut self.head, &mut self.ids, meta, header, &run, limits);
                let (datagrams, len) = (run.packets, run.bytes[0].len() + run.bytes[1].len());
                self.lent = Some((id, datagrams));
                self.stats.ip.out_requests += datagrams as u64;
                self.stats.udp.out_datagrams += datagrams as u64;
                let Some(offload) = written else { return Turn::Over };
                self.spend(interface, headers + len);
                if !limits.checksum {
                    self.keep_headers(id, departure, &routed, mac);
                }
                return Turn::Frame(Picked { body: Body::Udp(id, len), offload });
            }
            let mut bytes = self.pool.take();
            emit_datagram(header, meta, payload, &mut bytes);
            self.lent = Some((id, 1));
            self.take_back_loan();
            if !self.leaves(&routed, &bytes) {
                self.pool.give(bytes);
                continue;
            }
            self.stats.ip.out_requests += 1;
            self.stats.udp.out_datagrams += 1;
            let Routed { path, meta, .. } = routed;
            let why = Why::DATAGRAM;
            let packet =
                Packet { meta, next_hop: path.next_hop, has_header: false, bytes, why, socket: Some(id) };
            if let Some(picked) = self.pick_packet(now, interface, packet) {
                return Turn::Frame(picked);
            }
        }
        Turn::Over
    }

    /// The next packet of a raw socket, copied: it may need a checksum, a header, or fragments.
    fn pick_raw(&mut self, now: Instant, interface: InterfaceId, id: SocketId) -> Turn {
        while let Some((path, packet)) = self.next_raw(id) {
            if path.interface != interface {
                // Handed to the interface it belongs to.
                self.push_reply(path.interface, packet);
                continue;
            }
            let len = packet.bytes.len();
            if let Some(picked) = self.pick_packet(now, interface, packet) {
                self.spend(interface, len);
                return Turn::Frame(picked);
            }
        }
        Turn::Over
    }

    /// The datagrams that were lent for the last frame have left: their socket may forget them.
    fn take_back_loan(&mut self) {
        if let Some((id, datagrams)) = self.lent.take()
            && let Some(Socket { kind: Kind::Udp(udp), places, .. }) = self.sockets.get_mut(id)
        {
            let was_writable = udp.socket.readiness().writable;
            let wanted = udp.socket.handle_run_sent(datagrams);
            if wanted || !was_writable && udp.socket.readiness().writable {
                super::announce(&mut self.events, places, id);
            }
            self.settle_udp(id);
        }
    }

    /// Counts what the socket in front has sent; after its share the next one gets its turn.
    pub(super) fn spend(&mut self, interface: InterfaceId, bytes: usize) {
        let port = &mut self.ports[interface.0 as usize];
        port.spent += bytes;
        if port.spent >= QUANTUM {
            port.spent = 0;
            self.ready.rotate(interface);
        }
    }

    /// The turn of the socket in front is over: it leaves the queue, for another one if it has more to say there.
    fn end_turn(&mut self, now: Instant, interface: InterfaceId, id: SocketId, elsewhere: bool) {
        self.ready.pop(interface);
        self.ports[interface.0 as usize].spent = 0;
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.places.queued = None;
        let is_tcp = matches!(socket.kind, Kind::Tcp(_));
        if is_tcp && !elsewhere {
            self.settle_tcp_state(now, id, false);
        } else if elsewhere {
            self.settle(now, id);
        }
    }

    /// The way to a peer has changed.
    fn move_path(&mut self, now: Instant, id: SocketId, path: Path) {
        if let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) {
            let shrunk = path.mtu < tcp.path.mtu;
            tcp.path = path;
            if shrunk {
                tcp.connection.handle_path_mtu(now, path.mtu - super::ip_header_len(path.next_hop));
            }
        }
    }

    /// There is no way to a peer at the moment: an open under way ends, an established connection goes on trying.
    fn no_path(&mut self, now: Instant, id: SocketId, error: crate::tcp::Error) -> Turn {
        if let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) {
            tcp.connection.handle_unreachable(error);
            // What it would send now is lost here rather than on the way: its timer brings it back.
            let limits = Limits::plain(tcp.path.mtu - super::ip_header_len(tcp.path.next_hop));
            while tcp.connection.poll_transmit(now, &limits).is_some() {}
        }
        Turn::Over
    }

    fn park(&mut self, interface: InterfaceId, path: Path, id: SocketId) -> Turn {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.places.parked = true;
        }
        self.parked.park_socket(interface, path.next_hop, id);
        Turn::Over
    }

    /// Queues a packet that has no socket to poll.
    /// Its hop limit is `hop_limit`, or the interface's.
    pub(super) fn reply(
        &mut self,
        meta: Meta,
        hop_limit: Option<u8>,
        remote: &Endpoint,
        bytes: Vec<u8>,
        why: Why,
    ) {
        let Ok(path) = self.path_to(Some(meta.source), remote) else {
            self.stats.ip.out_no_routes += 1;
            self.pool.give(bytes);
            return;
        };
        self.stats.ip.out_requests += 1;
        let usual = self.port(path.interface).map_or(meta.hop_limit, |port| port.hop_limit(meta.destination));
        let meta = Meta { hop_limit: hop_limit.unwrap_or(usual), ..meta };
        let packet = Packet { meta, next_hop: path.next_hop, has_header: false, bytes, why, socket: None };
        self.push_reply(path.interface, packet);
    }

    /// Queues what a socket that is being closed has still to send.
    pub(super) fn push_datagram(&mut self, path: Path, meta: Meta, bytes: Vec<u8>, socket: Option<SocketId>) {
        let why = Why::DATAGRAM;
        self.stats.ip.out_requests += 1;
        let packet = Packet { meta, next_hop: path.next_hop, has_header: false, bytes, why, socket };
        self.push_reply(path.interface, packet);
    }

    pub(super) fn push_reply(&mut self, interface: InterfaceId, packet: Packet) {
        let Some(port) = self.ports.get_mut(interface.0 as usize) else { return };
        if let Err(packet) = port.replies.push(packet) {
            self.stats.ip.out_discards += 1;
            self.pool.give(packet.bytes);
        }
    }

    #[inline]
    pub(super) fn loopback_is_ready(&self) -> bool {
        let port = &self.ports[LOOPBACK.0 as usize];
        !self.ready.is_empty(LOOPBACK)
            || !self.looped.is_empty()
            || !port.replies.is_empty()
            || port.fragmenting.is_some()
            || port.train.is_some()
    }

    /// Brings packets to our own addresses back in.
    pub(super) fn run_loopback(&mut self, now: Instant) {
        for _ in 0..LOOPBACK_BURST {
            if !self.loopback_is_ready() {
                return;
            }
            self.take_looped(now);
            let mut bytes = self.pool.take();
            let Some(frame) = self.transmit(now, LOOPBACK) else {
                self.pool.give(bytes);
                return;
            };
            frame.copy_to(&mut bytes);
            self.receive_from_ourselves(now, &bytes);
            self.pool.give(bytes);
        }
    }
}

/// The identification of a packet that is about to be fragmented.
fn next_id(ids: &mut Ids, meta: &Meta) -> u32 {
    match (meta.source, meta.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ids.next_v4(source, destination, meta.protocol).into()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => ids.next_v6(source, destination),
        _ => 0,
    }
}
