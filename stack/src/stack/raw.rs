//! Raw sockets on the stack: packets of one IP protocol.

use core::ops::Range;
use std::net::IpAddr;

use super::Stack;
use super::packets::Packet as Outgoing;
use super::path::LOOPBACK;
use crate::buf::frame::InterfaceId;
use crate::error::Error;
use crate::ip::output::Meta;
use crate::raw::{Arrival, Buffers, Counters, Family, IcmpFilter, Options, RawSocket, Received};
use crate::socket::endpoint::Endpoint;
use crate::socket::table::{Kind, Path, Socket, SocketId};
use crate::tcp::Pressure;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::checksum::Sum;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::{ipv4, ipv6, put_u16};

/// Raw sockets of one stack: each received packet is shown to all of them.
const MAX_RAW_SOCKETS: usize = 64;

impl Stack {
    /// Opens a raw socket for one protocol of one family.
    ///
    /// # Errors
    /// Too many sockets.
    pub fn raw_open(&mut self, family: Family, protocol: u8) -> Result<SocketId, Error> {
        self.check_socket_limit()?;
        if self.raw_sockets.len() >= MAX_RAW_SOCKETS {
            return Err(Error::LimitReached { what: "raw sockets", limit: MAX_RAW_SOCKETS });
        }
        let raw = RawSocket::new(family, protocol, &Buffers::default());
        let id = self.sockets.insert(Socket::new(Kind::Raw(Box::new(raw))));
        self.raw_sockets.push(id);
        Ok(id)
    }

    /// Receives and sends with this address of ours alone; `None` for any.
    ///
    /// # Errors
    /// Not ours; of another family.
    pub fn raw_bind(&mut self, id: SocketId, local: Option<IpAddr>) -> Result<(), Error> {
        if let Some(ip) = local {
            self.check_owned(ip)?;
        }
        Ok(self.raw_mut(id)?.bind(local)?)
    }

    /// Speaks with `remote` alone; `None` for all.
    ///
    /// # Errors
    /// Of another family.
    pub fn raw_connect(&mut self, id: SocketId, remote: Option<IpAddr>) -> Result<(), Error> {
        Ok(self.raw_mut(id)?.connect(remote)?)
    }

    /// Sends a packet to `remote`, or to whom the socket is connected; `interface` for link-local addresses.
    ///
    /// # Errors
    /// `WouldBlock` if the send queue is full; too long; no route; not a header where one must be.
    pub fn raw_send_to(
        &mut self,
        now: Instant,
        id: SocketId,
        bytes: &[u8],
        remote: Option<IpAddr>,
        interface: Option<InterfaceId>,
    ) -> Result<usize, Error> {
        let raw = self.raw(id)?;
        let asked = interface.or(raw.options().interface);
        if let Some(to) = remote.or(raw.remote()) {
            self.path_on(asked, raw.local(), &Endpoint::on(to, 0, asked.unwrap_or(LOOPBACK)))?;
        }
        self.raw_mut(id)?.send_to(remote, interface, bytes)?;
        self.settle(now, id);
        Ok(bytes.len())
    }

    /// Takes the next packet; what does not fit into `buf` is lost, as the answer tells.
    ///
    /// # Errors
    /// `WouldBlock` if none waits; what ICMP said about an earlier packet.
    pub fn raw_recv_from(&mut self, id: SocketId, buf: &mut [u8]) -> Result<Received, Error> {
        let result = self.raw_mut(id)?.recv_from(buf);
        if self.memory.pressure() > Pressure::Low {
            self.raw_mut(id)?.shrink();
        }
        self.charge(id);
        Ok(result?)
    }

    /// Changes options.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn raw_set_options(&mut self, id: SocketId, options: Options) -> Result<(), Error> {
        *self.raw_mut(id)?.options_mut() = options;
        Ok(())
    }

    /// The options.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn raw_options(&self, id: SocketId) -> Result<Options, Error> {
        self.raw(id).map(|raw| *raw.options())
    }

    /// Chooses which ICMP messages are received.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn raw_set_filter(&mut self, id: SocketId, filter: IcmpFilter) -> Result<(), Error> {
        *self.raw_mut(id)?.filter_mut() = filter;
        Ok(())
    }

    /// What a raw socket counted.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn raw_counters(&self, id: SocketId) -> Result<Counters, Error> {
        self.raw(id).map(RawSocket::counters)
    }

    /// Shows a packet to the raw sockets; true if one took it.
    pub(super) fn deliver_raw(&mut self, interface: InterfaceId, packet: &Packet<'_>) -> bool {
        if self.raw_sockets.is_empty() {
            return false;
        }
        let arrival = Arrival {
            from: packet.src,
            to: packet.dst,
            interface,
            ttl: packet.hop_limit,
            tos: packet.dscp << 2 | packet.ecn,
        };
        let header = &packet.bytes[..packet.header_len()];
        let full = self.memory.pressure() == Pressure::Full;
        let mut taken = false;
        for index in 0..self.raw_sockets.len() {
            let id = self.raw_sockets[index];
            let Ok(raw) = self.raw_mut(id) else { continue };
            if !raw.accepts(packet.protocol.0, &arrival) {
                continue;
            }
            if full {
                self.stats.raw.mem_errors += 1;
                continue;
            }
            taken = true;
            let dropped = raw.counters().dropped;
            if raw.deliver(arrival, header, packet.payload) {
                self.stats.raw.in_packets += 1;
                self.charge(id);
                self.announce(id);
            } else if self.raw(id).is_ok_and(|raw| raw.counters().dropped > dropped) {
                self.stats.raw.rcvbuf_errors += 1;
            }
        }
        taken
    }

    /// The next packet of a raw socket, made whole, and where it goes; those that cannot go anywhere are dropped and
    /// told.
    pub(super) fn next_raw(&mut self, id: SocketId) -> Option<(Path, Outgoing)> {
        loop {
            let departure = self.raw(id).ok()?.next_departure()?;
            let remote = Endpoint::on(departure.to, 0, departure.interface.unwrap_or(LOOPBACK));
            let path = self.path_on(departure.interface, departure.source, &remote);
            let usual = path.as_ref().ok().and_then(|path| self.port(path.interface));
            let usual = usual.map_or(u8::MAX, |port| port.hop_limit(departure.to));
            let mut bytes = self.pool.take();
            let raw = self.raw_mut(id).ok()?;
            let packet = raw.poll_transmit()?;
            let Ok(path) = path else {
                raw.handle_error(departure.to, crate::raw::Error::NetworkUnreachable);
                self.pool.give(bytes);
                self.stats.ip.out_no_routes += 1;
                self.announce(id);
                continue;
            };
            let mut meta = Meta::new(path.source, departure.to, Protocol(packet.protocol));
            meta.hop_limit = packet.ttl.unwrap_or(usual);
            (meta.dscp, meta.ecn) = (packet.tos >> 2, packet.tos & 3);
            meta.dont_fragment = packet.dont_fragment;
            let (offset, has_header) = (packet.checksum_offset, departure.header_included);
            bytes.clear();
            bytes.extend_from_slice(packet.bytes[0]);
            bytes.extend_from_slice(packet.bytes[1]);
            if has_header {
                finish_header(&mut bytes, path.source);
            } else if let Some(offset) = offset {
                fill_checksum(&mut bytes, usize::from(offset), &meta);
            }
            if self.hears_itself(path.interface, departure.to) {
                self.loop_back(path.interface, &meta, &bytes, has_header);
            }
            self.recent.note(departure.to);
            self.stats.raw.out_packets += 1;
            self.stats.ip.out_requests += 1;
            self.announce(id);
            let why = Why::new(Reason::Raw);
            return Some((
                path,
                Outgoing { meta, next_hop: path.next_hop, has_header, bytes, why, socket: Some(id) },
            ));
        }
    }

    /// The interface whose queue a raw socket stands in.
    pub(super) fn raw_interface(&self, id: SocketId) -> Option<InterfaceId> {
        let departure = self.raw(id).ok()?.next_departure()?;
        let remote = Endpoint::on(departure.to, 0, departure.interface.unwrap_or(LOOPBACK));
        let path = self.path_on(departure.interface, departure.source, &remote);
        Some(path.map_or(LOOPBACK, |path| path.interface))
    }

    pub(super) fn close_raw(&mut self, id: SocketId) {
        while let Some((path, packet)) = self.next_raw(id) {
            self.push_reply(path.interface, packet);
        }
        self.raw_sockets.retain(|&other| other != id);
        self.remove_socket(id);
    }

    fn raw(&self, id: SocketId) -> Result<&RawSocket, Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Raw(raw)) => Ok(raw),
            _ => Err(Error::NoSuchSocket),
        }
    }

    fn raw_mut(&mut self, id: SocketId) -> Result<&mut RawSocket, Error> {
        match self.sockets.get_mut(id).map(|s| &mut s.kind) {
            Some(Kind::Raw(raw)) => Ok(raw),
            _ => Err(Error::NoSuchSocket),
        }
    }
}

/// As Linux does for IP_HDRINCL: lengths and the IPv4 header's checksum are ours, a missing source is filled in.
fn finish_header(bytes: &mut [u8], source: IpAddr) {
    const SOURCE: Range<usize> = ipv4::field::ADDRESSES..ipv4::field::ADDRESSES + 4;
    let len = bytes.len();
    match (bytes.first().map(|byte| byte >> 4), source) {
        (Some(4), IpAddr::V4(source)) => {
            let header = usize::from(bytes[0] & 0xf) * 4;
            if header < ipv4::MIN_HEADER_LEN || header > len {
                return;
            }
            put_u16(bytes, ipv4::field::TOTAL_LEN, len as u16);
            if bytes[SOURCE] == [0; 4] {
                bytes[SOURCE].copy_from_slice(&source.octets());
            }
            put_u16(bytes, ipv4::field::CHECKSUM, 0);
            let sum = Sum::ZERO.with(&bytes[..header]).checksum();
            put_u16(bytes, ipv4::field::CHECKSUM, sum);
        }
        (Some(6), _) if len >= ipv6::HEADER_LEN => {
            put_u16(bytes, ipv6::field::PAYLOAD_LEN, (len - ipv6::HEADER_LEN) as u16);
        }
        _ => {}
    }
}

/// Fills the checksum of a payload whose family demands one (ICMPv6: RFC 3542 section 3.1).
fn fill_checksum(bytes: &mut [u8], offset: usize, meta: &Meta) {
    if bytes.len() < offset + 2 {
        return;
    }
    put_u16(bytes, offset, 0);
    let sum = Sum::pseudo(meta.source, meta.destination, meta.protocol, bytes.len()).with(bytes).checksum();
    put_u16(bytes, offset, sum);
}
