//! UDP on the stack: commands of applications, who gets a datagram, where one goes.

use std::net::{IpAddr, SocketAddr};

use super::path::LOOPBACK;
use super::{Stack, announce};
use crate::buf::frame::{GsoKind, InterfaceId, Offload};
use crate::error::Error;
use crate::ip::icmp_error::Problem;
use crate::ip::input::To;
use crate::ip::output::Meta;
use crate::socket::demux::Binding;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::socket::ports;
use crate::socket::table::{Kind, Path, Socket, SocketId, UdpEntry, Way};
use crate::tcp::Pressure;
use crate::time::Instant;
use crate::udp::{Arrival, Buffers, Counters, Departure, Membership, Options, Received, UdpSocket};
use crate::wire;
use crate::wire::ip::{Packet, Protocol};

/// Where a datagram goes, and what its headers say.
pub(super) struct Routed {
    pub(super) path: Path,
    pub(super) meta: Meta,
    pub(super) header: wire::udp::Header,
    /// Sockets of our own may be among those that it is for.
    pub(super) loops: bool,
}

impl Stack {
    /// Opens a datagram socket on `local` (an unspecified IPv6 address takes IPv4 too, port 0 an ephemeral one).
    ///
    /// # Errors
    /// The address is not ours, or taken; no port is free.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<SocketId, Error> {
        self.udp_bind_with(local, Options::default())
    }

    /// As `udp_bind`, with options that count from the beginning (`reuse_address`, `only_v6`).
    ///
    /// # Errors
    /// As `udp_bind`.
    pub fn udp_bind_with(&mut self, local: SocketAddr, options: Options) -> Result<SocketId, Error> {
        let mut local = Endpoint::from(local);
        self.check_socket_limit()?;
        if let Some(ip) = local.specified()
            && !ip.is_multicast()
        {
            self.check_owned(ip)?;
        }
        if local.port == 0 {
            let demux = &self.udp_demux;
            let free = |port| !demux.port_in_use(port);
            local.port = ports::ephemeral(&mut self.rng, ports::EPHEMERAL, free).ok_or(Error::NoFreePort)?;
        }
        let buffers = Buffers { receive: self.config.udp_receive_buffer, ..Buffers::default() };
        let mut socket = UdpSocket::new(local.into(), &buffers);
        *socket.options_mut() = options;
        let entry = UdpEntry::new(socket);
        let id = self.sockets.insert(Socket::new(Kind::Udp(Box::new(entry))));
        let dual = local.ip.is_ipv6() && local.ip.is_unspecified() && !options.only_v6;
        if !self.udp_demux.bind(Binding { id, local, dual, shared: options.reuse_address }) {
            self.sockets.remove(id);
            return Err(Error::AddressInUse(local));
        }
        Ok(id)
    }

    /// Connects a datagram socket: it sends to and hears from `remote` alone. `None` undoes it.
    ///
    /// # Errors
    /// No route; an address of another family.
    pub fn udp_connect(&mut self, id: SocketId, remote: Option<SocketAddr>) -> Result<(), Error> {
        let local = Endpoint::from(self.udp(id)?.socket.local());
        let source = local.specified().filter(|ip| !ip.is_multicast());
        let pair = match remote.map(Endpoint::from) {
            None => None,
            Some(remote) => {
                let path = self.path_to(source, &remote)?;
                let local = Endpoint::on(source.unwrap_or(path.source), local.port, path.interface);
                Some(Tuple { local, remote })
            }
        };
        self.forget_headers();
        let entry = self.udp_mut(id)?;
        entry.socket.connect(remote)?;
        entry.way = None;
        if let Some(old) = core::mem::replace(&mut entry.connected, pair) {
            self.udp_demux.disconnect(&old, id);
        }
        if let Some(pair) = pair
            && !self.udp_demux.connect(pair, id)
        {
            let entry = self.udp_mut(id)?;
            entry.connected = None;
            entry.socket.connect(None)?;
            return Err(Error::AddressInUse(pair.local));
        }
        Ok(())
    }

    /// Sends a datagram to `remote`, or to whom the socket is connected.
    ///
    /// # Errors
    /// `WouldBlock` if the send queue is full; too long; no route; what ICMP said about an earlier datagram.
    pub fn udp_send_to(
        &mut self,
        now: Instant,
        id: SocketId,
        bytes: &[u8],
        remote: Option<SocketAddr>,
    ) -> Result<usize, Error> {
        self.check_departure(id, bytes.len(), remote)?;
        self.udp_mut(id)?.socket.send_to(remote, bytes)?;
        self.settle(now, id);
        Ok(bytes.len())
    }

    /// Sends `bytes` as datagrams of `size` bytes, of which the last may be shorter: all or none of them are queued. A
    /// device that merges datagrams (`UDP_SEGMENT` is Linux's name for it) gets up to 64 KiB of them in one call.
    ///
    /// # Errors
    /// As `udp_send_to`; `MessageTooLong` too if the queue never holds so many.
    pub fn udp_send_segments(
        &mut self,
        now: Instant,
        id: SocketId,
        bytes: &[u8],
        size: usize,
        remote: Option<SocketAddr>,
    ) -> Result<usize, Error> {
        self.check_departure(id, size.min(bytes.len()), remote)?;
        self.udp_mut(id)?.socket.send_segments(remote, bytes, size)?;
        self.settle(now, id);
        Ok(bytes.len())
    }

    /// Takes the next datagram; what does not fit into `buf` is lost, as the answer tells.
    ///
    /// # Errors
    /// `WouldBlock` if none waits; what ICMP said about an earlier datagram.
    pub fn udp_recv_from(&mut self, id: SocketId, buf: &mut [u8]) -> Result<Received, Error> {
        let result = self.udp_mut(id)?.socket.recv_from(buf);
        if self.memory.pressure() > Pressure::Low {
            self.udp_mut(id)?.socket.shrink();
        }
        self.charge(id);
        Ok(result?)
    }

    /// As `udp_recv_from`, but the datagram stays.
    ///
    /// # Errors
    /// As `udp_recv_from`.
    pub fn udp_peek_from(&mut self, id: SocketId, buf: &mut [u8]) -> Result<Received, Error> {
        Ok(self.udp_mut(id)?.socket.peek_from(buf)?)
    }

    /// Takes what ICMP said about an earlier datagram, as `SO_ERROR` does.
    ///
    /// # Errors
    /// That error; `NoSuchSocket`.
    pub fn udp_take_error(&mut self, id: SocketId) -> Result<(), Error> {
        Ok(self.udp_mut(id)?.socket.take_error()?)
    }

    /// The options of a datagram socket.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn udp_options(&self, id: SocketId) -> Result<Options, Error> {
        self.udp(id).map(|entry| *entry.socket.options())
    }

    /// Changes the options. `reuse_address` and `only_v6` count only when binding.
    ///
    /// # Errors
    /// `NoSuchSocket`; a `ttl` of 0.
    pub fn udp_set_options(&mut self, id: SocketId, options: Options) -> Result<(), Error> {
        if options.ttl == Some(0) {
            return Err(Error::Invalid("with a hop limit of 0 a datagram reaches nobody"));
        }
        self.forget_headers();
        let entry = self.udp_mut(id)?;
        *entry.socket.options_mut() = options;
        entry.way = None;
        Ok(())
    }

    /// Changes how many bytes a datagram socket keeps for the application (`SO_RCVBUF`), and how many may wait to be
    /// sent (`SO_SNDBUF`); `None` leaves it as it is. What is there stays.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn udp_set_buffers(
        &mut self,
        id: SocketId,
        receive: Option<usize>,
        send: Option<usize>,
    ) -> Result<(), Error> {
        let socket = &mut self.udp_mut(id)?.socket;
        receive.into_iter().for_each(|bytes| socket.set_receive_buffer(bytes));
        send.into_iter().for_each(|bytes| socket.set_send_buffer(bytes));
        Ok(())
    }

    /// What a datagram socket counted.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn udp_counters(&self, id: SocketId) -> Result<Counters, Error> {
        self.udp(id).map(|entry| entry.socket.counters())
    }

    /// Joins a multicast group on an interface.
    ///
    /// # Errors
    /// Not a group, joined already, too many, no such interface.
    pub fn udp_join(&mut self, now: Instant, id: SocketId, group: Membership) -> Result<(), Error> {
        self.port_mut(group.interface)?;
        self.udp_mut(id)?.socket.join(group)?;
        let joined = self.port_mut(group.interface)?.interface.join_group(now, group.group);
        if joined.is_err() {
            self.udp_mut(id)?.socket.leave(group)?;
            return Err(Error::LimitReached { what: "groups of the interface", limit: 0 });
        }
        Ok(())
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// Not a member.
    pub fn udp_leave(&mut self, now: Instant, id: SocketId, group: Membership) -> Result<(), Error> {
        self.udp_mut(id)?.socket.leave(group)?;
        // It is not a member only if it never became one.
        let _ = self.port_mut(group.interface)?.interface.leave_group(now, group.group);
        Ok(())
    }

    /// A datagram arrived.
    pub(super) fn handle_udp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet<'_>,
        to: To,
        offload: Offload,
    ) {
        let parsed = wire::udp::Header::parse(packet.payload, packet.src, packet.dst, offload.checksum);
        let (header, payload) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.stats.udp.in_errors += 1;
                self.stats.udp.in_csum_errors += u64::from(error.is_checksum());
                return;
            }
        };
        let tuple = Tuple {
            local: Endpoint::on(packet.dst, header.dst_port, interface),
            remote: Endpoint::on(packet.src, header.src_port, interface),
        };
        let arrival = Arrival {
            from: tuple.remote.into(),
            to: packet.dst,
            to_many: to != To::Us,
            interface,
            ttl: packet.hop_limit,
            tos: packet.dscp << 2 | packet.ecn,
        };
        // Whoever merged datagrams says of what size they were.
        let merged = offload.gso.filter(|gso| gso.kind == GsoKind::Udp);
        let size = merged.map_or(payload.len(), |gso| usize::from(gso.size));
        if to != To::Us {
            // RFC 1122 section 4.1.3.3: each socket that asked for it gets a copy; nobody is told if there is none.
            let mut asked = self.udp_demux.all_bound(&tuple.local);
            let all: arrayvec::ArrayVec<SocketId, 64> = asked.by_ref().take(64).collect();
            self.stats.udp.copies_refused += asked.count() as u64;
            let mut taken = false;
            for id in all {
                taken |= self.deliver_udp(id, arrival, payload, size);
            }
            self.stats.udp.ignored_multi += u64::from(!taken);
            return;
        }
        match self.udp_demux.find(&tuple).or_else(|| self.udp_demux.bound(&tuple.local)) {
            Some(id) if self.deliver_udp(id, arrival, payload, size) => {}
            _ => {
                self.stats.udp.no_ports += 1;
                self.answer_error(now, interface, Problem::PortUnreachable, packet.bytes, false);
            }
        }
    }

    /// Hands a socket a payload of datagrams of `size` bytes, of which the last may be shorter; false if they are not
    /// for it.
    fn deliver_udp(&mut self, id: SocketId, arrival: Arrival, payload: &[u8], size: usize) -> bool {
        let full = self.memory.pressure() == Pressure::Full;
        let Some(socket) = self.sockets.get_mut(id) else { return false };
        let Kind::Udp(entry) = &mut socket.kind else { return false };
        if !entry.socket.accepts(&arrival) {
            return false;
        }
        let size = size.max(1);
        let datagrams = payload.len().div_ceil(size).max(1);
        let mut taken = 0;
        if full {
            self.stats.udp.mem_errors += datagrams as u64;
        } else {
            let pieces = (0..datagrams).map(|n| &payload[n * size..payload.len().min((n + 1) * size)]);
            taken = pieces.filter(|piece| entry.socket.deliver(arrival, piece)).count();
            self.stats.udp.in_datagrams += taken as u64;
            self.stats.udp.rcvbuf_errors += (datagrams - taken) as u64;
        }
        if taken > 0 {
            self.memory.charge(&mut socket.charged, entry.socket.memory());
            announce(&mut self.events, &mut socket.places, id);
        }
        true
    }

    /// Whether a datagram goes beyond this host, where a copy of it may be wanted too. With a hop limit of 0 it does
    /// not (RFC 1112 section 6.1).
    pub(super) fn leaves(&mut self, routed: &Routed, bytes: &[u8]) -> bool {
        let Routed { path: Path { interface, .. }, meta, .. } = routed;
        if routed.loops && self.hears_itself(*interface, meta.destination) {
            self.loop_back(*interface, meta, bytes, false);
        }
        meta.hop_limit > 0
    }

    /// Where the next datagram of a socket goes; datagrams that cannot go anywhere are dropped and told.
    pub(super) fn route_datagram(&mut self, now: Instant, id: SocketId) -> Option<Routed> {
        loop {
            let entry = self.udp(id).ok()?;
            let datagram = entry.socket.next_datagram()?;
            let departure = datagram.departure;
            if let Some(Way { path, broadcast, .. }) = entry.known_way(departure.to, self.path_generation()) {
                let destination = departure.to.ip().to_canonical();
                let source = departure.source.filter(|ip| ip.is_ipv4() == destination.is_ipv4());
                let mut meta = Meta::new(source.unwrap_or(path.source), destination, Protocol::UDP);
                let usual = || Some(self.port(path.interface)?.hop_limit(departure.to.ip()));
                meta.hop_limit = datagram.ttl.or_else(usual)?;
                (meta.dscp, meta.ecn) = (datagram.tos >> 2, datagram.tos & 3);
                meta.dont_fragment = datagram.dont_fragment;
                let loops = broadcast || destination.is_multicast() && datagram.multicast_loop;
                let header =
                    wire::udp::Header { src_port: datagram.source_port, dst_port: departure.to.port() };
                return Some(Routed { path, meta, header, loops });
            }
            match self.find_way(id, departure.to) {
                Ok(_) => {}
                Err(_) => {
                    self.stats.ip.out_no_routes += 1;
                    self.stats.udp.out_errors += 1;
                    let entry = self.udp_mut(id).ok()?;
                    entry.socket.handle_sent();
                    entry.socket.handle_error(departure.to, crate::udp::Error::NetworkUnreachable);
                    self.announce(id);
                    self.settle(now, id);
                }
            }
        }
    }

    /// Whether a datagram of `len` bytes may go to `remote`, or to whom the socket is connected.
    fn check_departure(&mut self, id: SocketId, len: usize, remote: Option<SocketAddr>) -> Result<(), Error> {
        let entry = self.udp(id)?;
        let to = remote.or(entry.socket.remote());
        if let Some(to) = to {
            let Options { broadcast, dont_fragment, .. } = *entry.socket.options();
            let way = match entry.known_way(to, self.path_generation()) {
                Some(way) => way,
                None => self.find_way(id, to)?,
            };
            let ip = to.ip().to_canonical();
            if !broadcast && way.broadcast {
                return Err(crate::udp::Error::BroadcastDenied(ip).into());
            }
            let limit = way.path.mtu.saturating_sub(super::ip_header_len(ip) + wire::udp::HEADER_LEN);
            if dont_fragment && len > limit {
                return Err(crate::udp::Error::MessageTooLong { length: len, limit }.into());
            }
        }
        Ok(())
    }

    /// Looks for the way of a datagram, and remembers it.
    fn find_way(&mut self, id: SocketId, to: SocketAddr) -> Result<Way, Error> {
        let entry = self.udp(id)?;
        let remote = Endpoint::from(to);
        let local = Endpoint::from(entry.socket.local());
        let source = local.specified().filter(|ip| !ip.is_multicast());
        let asked = entry.socket.options().multicast_interface.filter(|_| remote.ip.is_multicast());
        let path = self.path_on(asked.or(local.interface()), source, &remote)?;
        let way = Way { to, path, broadcast: self.is_broadcast(to.ip().to_canonical()) };
        self.udp_mut(id)?.way = Some(way);
        self.recent.note(to.ip().to_canonical());
        Ok(way)
    }

    /// After anything happened to a datagram socket: memory, and the queue of those who want to send.
    pub(super) fn settle_udp(&mut self, id: SocketId) {
        let generation = self.path_generation();
        let Some(Socket { kind: Kind::Udp(entry), places, charged }) = self.sockets.get_mut(id) else {
            return;
        };
        self.memory.charge(charged, entry.socket.memory());
        if !places.may_queue() {
            return;
        }
        let Some((&Departure { to, .. }, _)) = entry.socket.next_departure() else { return };
        let known = entry.known_way(to, generation);
        // Without a way it is dropped, and told, from any queue.
        let way = known.map_or_else(|| self.find_way(id, to), Ok);
        self.enqueue(id, way.map_or(LOOPBACK, |way| way.path.interface));
    }

    pub(super) fn udp_local(&self, id: SocketId) -> Result<SocketAddr, Error> {
        let entry = self.udp(id)?;
        Ok(entry.connected.map_or(entry.socket.local(), |pair| pair.local.into()))
    }

    pub(super) fn udp_peer(&self, id: SocketId) -> Result<SocketAddr, Error> {
        self.udp(id)?.socket.remote().ok_or(Error::NotConnected)
    }

    pub(super) fn close_udp(&mut self, now: Instant, id: SocketId) {
        let Ok(entry) = self.udp(id) else { return };
        let port = entry.socket.local().port();
        let (pair, groups) = (entry.connected, entry.socket.memberships().to_vec());
        // What is queued is sent first: closing a datagram socket loses nothing that was accepted.
        if entry.socket.waiting() > 0 {
            self.flush_datagrams(now, id);
        }
        for group in groups {
            let _ = self.udp_leave(now, id, group);
        }
        if let Some(pair) = pair {
            self.udp_demux.disconnect(&pair, id);
        }
        self.udp_demux.unbind(port, id);
        self.remove_socket(id);
    }

    /// Moves what a socket has queued to the queues of its interfaces.
    fn flush_datagrams(&mut self, now: Instant, id: SocketId) {
        while let Some(routed) = self.route_datagram(now, id) {
            let mut bytes = self.pool.take();
            let Ok(entry) = self.udp_mut(id) else { return };
            let Some(datagram) = entry.socket.next_datagram() else { return };
            let written = emit_datagram(&routed.header, &routed.meta, datagram.payload, &mut bytes);
            entry.socket.handle_sent();
            if written && self.leaves(&routed, &bytes) {
                self.stats.udp.out_datagrams += 1;
                self.push_datagram(routed.path, routed.meta, bytes, None);
            } else {
                self.pool.give(bytes);
            }
        }
    }

    pub(super) fn is_broadcast(&self, ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
            || self.ports.iter().any(|port| port.interface.is_broadcast(ip))
    }

    pub(super) fn udp(&self, id: SocketId) -> Result<&UdpEntry, Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Udp(udp)) => Ok(udp),
            _ => Err(Error::NoSuchSocket),
        }
    }

    pub(super) fn udp_mut(&mut self, id: SocketId) -> Result<&mut UdpEntry, Error> {
        match self.sockets.get_mut(id).map(|s| &mut s.kind) {
            Some(Kind::Udp(udp)) => Ok(udp),
            _ => Err(Error::NoSuchSocket),
        }
    }
}

/// Appends UDP header and payload to `out`; false if it cannot be a datagram.
pub(super) fn emit_datagram(
    header: &wire::udp::Header,
    meta: &Meta,
    payload: [&[u8]; 2],
    out: &mut Vec<u8>,
) -> bool {
    out.resize(wire::udp::HEADER_LEN, 0);
    let written = header.write(out, meta.source, meta.destination, payload);
    out.extend_from_slice(payload[0]);
    out.extend_from_slice(payload[1]);
    written.is_ok()
}
