//! The raw socket: IP datagrams of one protocol, with the IP header or without.

mod error;
mod filter;

pub use error::Error;
pub use filter::IcmpFilter;

use crate::buf::frame::InterfaceId;
use crate::buf::packets::PacketQueue;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address family of a raw socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The address that means "any".
    pub const fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// Bytes of the smallest header.
    const fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// Bytes of the longest packet, header included.
    const fn longest_packet(self) -> usize {
        match self {
            // RFC 791 section 3.1: the header is part of the total length.
            Self::V4 => 65_535,
            // RFC 8200 section 3: it is not part of the payload length.
            Self::V6 => 40 + 65_535,
        }
    }
}

/// ICMP for IPv4, as a protocol number.
const ICMP: u8 = 1;
/// ICMP for IPv6, as a protocol number.
const ICMPV6: u8 = 58;
/// "Raw": any protocol, sending only, always with the header.
const RAW: u8 = 255;

/// One raw socket.
///
/// Without `header_included` an application reads and writes what follows the IP header; with it, whole IP packets.
/// Both are the same for IPv4 and IPv6. (Note: Linux puts the header before what an IPv4 socket reads, always, and
/// before what an IPv6 socket reads, never.)
///
/// Getters, then `handle_*` (what the network brings), commands (what the application wants), `poll_*`.
#[derive(Debug)]
pub struct RawSocket {
    family: Family,
    protocol: u8,
    options: Options,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    filter: IcmpFilter,
    receive: PacketQueue<Arrival>,
    send: PacketQueue<Departure>,
    /// What ICMP said, for the next call.
    error: Option<Error>,
    counters: Counters,
}

/// The options of a raw socket, under their usual names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Packets are read and written with their IP header (`IP_HDRINCL`).
    pub header_included: bool,
    /// May send to broadcast addresses (`SO_BROADCAST`).
    pub broadcast: bool,
    /// TTL or hop limit; None is the stack's default.
    pub ttl: Option<u8>,
    /// DSCP and ECN.
    pub tos: u8,
    /// What is longer than the path takes is refused and not fragmented.
    pub dont_fragment: bool,
    /// Receives from and sends by this interface alone (`SO_BINDTODEVICE`).
    pub interface: Option<InterfaceId>,
}

/// How much a socket's queues hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Packets in each queue.
    pub packets: usize,
    /// Bytes received and not read yet.
    pub receive: usize,
    /// Bytes written and not sent yet.
    pub send: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { packets: 1024, receive: 256 * 1024, send: 256 * 1024 }
    }
}

/// What a socket counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets queued for the application.
    pub received: u64,
    /// Packets that the ICMP filter kept away.
    pub filtered: u64,
    /// Packets that found the receive queue full.
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Packets handed to the network.
    pub sent: u64,
    /// Errors that ICMP brought.
    pub errors: u64,
}

/// What is known about a received packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub from: IpAddr,
    /// To which address: one of ours, a broadcast or a multicast one.
    pub to: IpAddr,
    /// Where it came in.
    pub interface: InterfaceId,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
}

/// What [`RawSocket::recv_from`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the packet that are in the caller's buffer now.
    pub copied: usize,
    /// Bytes that the packet had.
    pub length: usize,
    /// Whence it came.
    pub arrival: Arrival,
}

impl Received {
    /// Whether the buffer was too small: the rest is gone.
    pub const fn truncated(&self) -> bool {
        self.copied < self.length
    }
}

/// Where a packet is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// To whom.
    pub to: IpAddr,
    /// From which address; None lets the route decide.
    pub source: Option<IpAddr>,
    /// By which interface; None lets the route decide.
    pub interface: Option<InterfaceId>,
    /// `bytes` begins with the IP header.
    pub header_included: bool,
}

/// The next packet to send, lent by the socket.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Where it goes.
    pub departure: Departure,
    /// Protocol number for the header that is to be made.
    pub protocol: u8,
    /// TTL or hop limit for it; None is the stack's default.
    pub ttl: Option<u8>,
    /// DSCP and ECN for it.
    pub tos: u8,
    /// It must not be fragmented.
    pub dont_fragment: bool,
    /// Where in the payload the stack has to write a checksum over pseudo header and payload (`IPV6_CHECKSUM`).
    pub checksum_offset: Option<u16>,
    /// Its bytes; either part may be empty.
    pub bytes: [&'a [u8]; 2],
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness {
    /// A packet or an error waits.
    pub readable: bool,
    /// There is room for a packet of 1,500 bytes (or of the send buffer's size, if that is less).
    pub writable: bool,
    /// An error waits for the next call.
    pub error: bool,
}

impl RawSocket {
    /// A socket for one protocol; 255 sends any protocol with the header included, and receives nothing.
    pub fn new(family: Family, protocol: u8, buffers: &Buffers) -> Self {
        Self {
            family,
            protocol,
            options: Options { header_included: protocol == RAW, ..Options::default() },
            local: None,
            remote: None,
            filter: IcmpFilter::default(),
            receive: PacketQueue::new(buffers.packets, buffers.receive),
            send: PacketQueue::new(buffers.packets, buffers.send),
            error: None,
            counters: Counters::default(),
        }
    }

    /// Its address family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its protocol number.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The address that it is bound to.
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// With whom it is connected.
    pub fn remote(&self) -> Option<IpAddr> {
        self.remote
    }

    /// What it lets through of ICMP.
    pub fn filter(&self) -> &IcmpFilter {
        &self.filter
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        let refused = self.receive.refused();
        Counters { dropped: refused.packets, dropped_bytes: refused.bytes, ..self.counters }
    }

    /// Bytes of memory in its queues.
    pub fn memory(&self) -> usize {
        self.receive.memory() + self.send.memory()
    }

    /// What can be done without waiting.
    pub fn readiness(&self) -> Readiness {
        let error = self.error.is_some();
        let usual = self.send.byte_limit().min(1500);
        Readiness {
            readable: error || !self.receive.is_empty(),
            writable: error || self.send.has_room(usual),
            error,
        }
    }

    /// Length of the packet that the next [`RawSocket::recv_from`] answers.
    pub fn next_length(&self) -> Option<usize> {
        self.receive.front_len()
    }

    /// Packets that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.send.len()
    }

    /// Where the next packet to send goes: so that the next hop can be resolved first.
    pub fn next_departure(&self) -> Option<Departure> {
        self.send.front().map(|(departure, _)| *departure)
    }

    /// The next packet to send, which stays in the queue until [`RawSocket::handle_sent`].
    pub fn next_packet(&self) -> Option<Packet<'_>> {
        let (departure, bytes) = self.send.front()?;
        Some(packet(&self.options, self.family, self.protocol, *departure, bytes))
    }

    /// Whether a packet of `protocol` is for this socket.
    pub fn accepts(&self, protocol: u8, arrival: &Arrival) -> bool {
        protocol == self.protocol
            && self.protocol != RAW
            && Family::of(arrival.to) == self.family
            && self.options.interface.is_none_or(|interface| interface == arrival.interface)
            && self.local.is_none_or(|local| local == arrival.to)
            && self.remote.is_none_or(|remote| remote == arrival.from)
    }

    /// A packet for this socket arrived: its IP header (extension headers too) and what follows; false if the filter
    /// or the queue refused it, which is counted.
    pub fn deliver(&mut self, arrival: Arrival, header: &[u8], payload: &[u8]) -> bool {
        let icmp = matches!((self.family, self.protocol), (Family::V4, ICMP) | (Family::V6, ICMPV6));
        if icmp && payload.first().is_some_and(|&kind| !self.filter.passes(kind)) {
            self.counters.filtered += 1;
            return false;
        }
        let header = if self.options.header_included { header } else { &[] };
        let queued = self.receive.push(arrival, &[header, payload]).is_ok();
        self.counters.received += u64::from(queued);
        queued
    }

    /// ICMP, or the lack of a route or neighbour, tells that what was sent to `about` did not arrive; answers whether
    /// the application will hear of it: it does if it is connected with that address.
    pub fn handle_error(&mut self, about: IpAddr, error: Error) -> bool {
        let ours = self.remote == Some(about);
        if ours {
            self.counters.errors += 1;
            self.error = Some(error);
        }
        ours
    }

    /// What [`RawSocket::next_packet`] lent has left, or never will.
    pub fn handle_sent(&mut self) {
        if self.send.pop().is_some() {
            self.counters.sent += 1;
        }
    }

    /// Receives for and sends from `local` alone; None is any address.
    ///
    /// # Errors
    /// [`Error::WrongFamily`].
    pub fn bind(&mut self, local: Option<IpAddr>) -> Result<(), Error> {
        let local = local.filter(|ip| !ip.is_unspecified());
        local.map_or(Ok(()), |ip| self.check_family(ip))?;
        self.local = local;
        Ok(())
    }

    /// Talks with `remote` alone from now on; None talks with everybody again.
    ///
    /// # Errors
    /// [`Error::WrongFamily`].
    pub fn connect(&mut self, remote: Option<IpAddr>) -> Result<(), Error> {
        remote.map_or(Ok(()), |ip| self.check_family(ip))?;
        self.remote = remote;
        self.error = None;
        Ok(())
    }

    /// Queues a packet for `to`, or for the connected peer if None; `interface` is where a link-local address is meant.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if the queue is full, [`Error::MessageTooLong`], [`Error::DestinationRequired`],
    /// [`Error::WrongFamily`], [`Error::BroadcastDenied`], [`Error::BadHeader`] if the header is included and is none,
    /// and what ICMP said about an earlier packet.
    pub fn send_to(
        &mut self,
        to: Option<IpAddr>,
        interface: Option<InterfaceId>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.take_error()?;
        let to = to.or(self.remote).ok_or(Error::DestinationRequired)?;
        self.check_family(to)?;
        if matches!(to, IpAddr::V4(v4) if v4.is_broadcast()) && !self.options.broadcast {
            return Err(Error::BroadcastDenied(to));
        }
        let header_included = self.options.header_included;
        let header = if header_included { 0 } else { self.family.header_len() };
        let limit = (self.family.longest_packet() - header).min(self.send.byte_limit());
        if bytes.len() > limit {
            return Err(Error::MessageTooLong { length: bytes.len(), limit });
        }
        if header_included {
            self.check_header(bytes)?;
        }
        let interface = interface.or(self.options.interface);
        let departure = Departure { to, source: self.local, interface, header_included };
        if !self.send.has_room(bytes.len()) {
            return Err(Error::WouldBlock);
        }
        self.send.push(departure, &[bytes]).map_err(|_| Error::WouldBlock)
    }

    /// Takes the next packet; what does not fit into `out` is lost, which [`Received::truncated`] tells.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if none waits, and what ICMP said about an earlier packet of ours.
    pub fn recv_from(&mut self, out: &mut [u8]) -> Result<Received, Error> {
        self.take_error()?;
        let (arrival, length) = self.receive.pop_into(out).ok_or(Error::WouldBlock)?;
        Ok(Received { copied: length.min(out.len()), length, arrival })
    }

    /// Takes the error that waits (`SO_ERROR`).
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Its options, to change. Those of protocol 255 always include the header.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// What it lets through of ICMP, to change (`ICMP_FILTER`, `ICMP6_FILTER`).
    pub fn filter_mut(&mut self) -> &mut IcmpFilter {
        &mut self.filter
    }

    /// Changes how many bytes it keeps for the application (`SO_RCVBUF`).
    pub fn set_receive_buffer(&mut self, bytes: usize) {
        self.receive.set_byte_limit(bytes);
    }

    /// Changes how many bytes may wait to be sent (`SO_SNDBUF`).
    pub fn set_send_buffer(&mut self, bytes: usize) {
        self.send.set_byte_limit(bytes);
    }

    /// Gives the memory of empty queues back: for when the socket is idle.
    pub fn shrink(&mut self) {
        self.receive.shrink();
        self.send.shrink();
    }

    /// Takes the next packet to send; its bytes are lent until the next call.
    pub fn poll_transmit(&mut self) -> Option<Packet<'_>> {
        let (departure, bytes) = self.send.pop()?;
        self.counters.sent += 1;
        Some(packet(&self.options, self.family, self.protocol, departure, bytes))
    }

    fn check_family(&self, ip: IpAddr) -> Result<(), Error> {
        if Family::of(ip) == self.family { Ok(()) } else { Err(Error::WrongFamily(ip)) }
    }

    /// Only what the stack relies on: lengths and checksum it fills in itself.
    fn check_header(&self, bytes: &[u8]) -> Result<(), Error> {
        let (version, words) = bytes.first().map_or((0, 0), |first| (first >> 4, first & 15));
        let (expected, header) = match self.family {
            Family::V4 => (4, 4 * usize::from(words)),
            Family::V6 => (6, 40),
        };
        let least = self.family.header_len().max(header);
        if version == expected && header >= self.family.header_len() && bytes.len() >= least {
            Ok(())
        } else {
            Err(Error::BadHeader)
        }
    }
}

fn packet<'a>(
    options: &Options,
    family: Family,
    protocol: u8,
    departure: Departure,
    bytes: [&'a [u8]; 2],
) -> Packet<'a> {
    // RFC 3542 section 3.1: the checksum of ICMPv6 is the stack's, for only it knows the source address.
    let checksum = family == Family::V6 && protocol == ICMPV6 && !departure.header_included;
    Packet {
        departure,
        protocol,
        ttl: options.ttl,
        tos: options.tos,
        dont_fragment: options.dont_fragment,
        checksum_offset: checksum.then_some(2),
        bytes,
    }
}

#[cfg(test)]
mod tests;
