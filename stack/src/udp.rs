//! The UDP socket (RFC 768): datagrams in, datagrams out, without routes, headers or checksums.

mod error;
mod options;

pub use error::Error;
pub use options::{MAX_MEMBERSHIPS, Membership, Options};

use crate::buf::frame::InterfaceId;
use crate::buf::packets::{PacketQueue, Run};
use std::net::{IpAddr, SocketAddr};

/// The longest payload over IPv4: 65,535 less the headers of IPv4 and UDP.
pub const MAX_PAYLOAD_V4: usize = 65_507;
/// The longest payload over IPv6: 65,535 less the header of UDP.
pub const MAX_PAYLOAD_V6: usize = 65_527;

/// The most datagrams of one frame; Linux takes 128 from its own senders.
const MAX_RUN: usize = 128;

/// One UDP socket: where it is bound and connected, what it received, what it has to send.
///
/// Getters, then `handle_*` (what the network brings), commands (what the application wants), `poll_*`.
#[derive(Debug)]
pub struct UdpSocket {
    local: SocketAddr,
    remote: Option<SocketAddr>,
    options: Options,
    memberships: Vec<Membership>,
    receive: PacketQueue<Arrival>,
    send: PacketQueue<Departure>,
    /// The latest send found too little room.
    starved: bool,
    /// What ICMP said, for the next call.
    error: Option<Error>,
    counters: Counters,
}

/// How much a socket's queues hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Datagrams in each queue.
    pub datagrams: usize,
    /// Bytes received and not read yet.
    pub receive: usize,
    /// Bytes written and not sent yet.
    pub send: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { datagrams: 1024, receive: 256 * 1024, send: 256 * 1024 }
    }
}

/// What a socket counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams queued for the application.
    pub received: u64,
    /// Datagrams that found the receive queue full.
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Datagrams handed to the network.
    pub sent: u64,
    /// Errors that ICMP brought.
    pub errors: u64,
}

impl core::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            received: sum.received + one.received,
            dropped: sum.dropped + one.dropped,
            dropped_bytes: sum.dropped_bytes + one.dropped_bytes,
            sent: sum.sent + one.sent,
            errors: sum.errors + one.errors,
        })
    }
}

/// What is known about a received datagram besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it; an IPv6 link-local address carries its scope.
    pub from: SocketAddr,
    /// To which address: one of ours, a broadcast or a multicast one.
    pub to: IpAddr,
    /// That address is a group's or everyone's, be it of a subnet: many hosts may have the datagram, and if each
    /// answers, one question makes a flood.
    pub to_many: bool,
    /// Where it came in.
    pub interface: InterfaceId,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
}

/// What [`UdpSocket::recv_from`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the datagram that are in the caller's buffer now.
    pub copied: usize,
    /// Bytes that the datagram had.
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

/// Where a datagram is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// To whom.
    pub to: SocketAddr,
    /// From which address; None lets the route decide.
    pub source: Option<IpAddr>,
}

/// The next datagram to send, lent by the socket.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where it goes.
    pub departure: Departure,
    /// Our port.
    pub source_port: u16,
    /// TTL or hop limit; None is the stack's default.
    pub ttl: Option<u8>,
    /// DSCP and ECN.
    pub tos: u8,
    /// It must not be fragmented.
    pub dont_fragment: bool,
    /// For a multicast destination: the interface to leave by, if the application chose one.
    pub multicast_interface: Option<InterfaceId>,
    /// For a multicast destination: our own sockets in the group get it too.
    pub multicast_loop: bool,
    /// Its bytes; either part may be empty.
    pub payload: [&'a [u8]; 2],
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness {
    /// A datagram or an error waits.
    pub readable: bool,
    /// There is room for a datagram of 1,472 bytes (or of the send buffer's size, if that is less).
    pub writable: bool,
    /// An error waits for the next call.
    pub error: bool,
}

impl UdpSocket {
    /// A socket bound to `local`; an unspecified address takes what comes to any of the family.
    ///
    /// The port is the caller's to choose and to keep unique.
    pub fn new(local: SocketAddr, buffers: &Buffers) -> Self {
        Self {
            local,
            remote: None,
            options: Options::default(),
            memberships: Vec::new(),
            receive: PacketQueue::new(buffers.datagrams, buffers.receive),
            send: PacketQueue::new(buffers.datagrams, buffers.send),
            starved: false,
            error: None,
            counters: Counters::default(),
        }
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// With whom it is connected.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The multicast groups that it joined.
    pub fn memberships(&self) -> &[Membership] {
        &self.memberships
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
        let usual = self.send.byte_limit().min(1472);
        Readiness {
            readable: error || !self.receive.is_empty(),
            writable: error || self.send.has_room(usual),
            error,
        }
    }

    /// Length of the datagram that the next [`UdpSocket::recv_from`] answers.
    pub fn next_length(&self) -> Option<usize> {
        self.receive.front_len()
    }

    /// Datagrams that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.send.len()
    }

    /// Where the next datagram to send goes, so that the next hop can be resolved first; and its bytes.
    pub fn next_departure(&self) -> Option<(&Departure, [&[u8]; 2])> {
        self.send.front()
    }

    /// The next datagram to send, which stays in the queue until [`UdpSocket::handle_sent`].
    pub fn next_datagram(&self) -> Option<Datagram<'_>> {
        let (departure, payload) = self.send.front()?;
        Some(datagram(&self.options, self.local.port(), *departure, payload))
    }

    /// The next datagrams that can leave as one frame of `bytes` bytes of payload at most: to one destination, of one
    /// size but for a shorter last.
    pub fn next_run(&self, bytes: usize) -> Option<Run<'_, Departure>> {
        self.send.run(MAX_RUN, bytes, PartialEq::eq)
    }

    /// The first `len` bytes that wait to be sent: those of the datagrams that were chosen.
    pub fn front_bytes(&self, len: usize) -> [&[u8]; 2] {
        self.send.front_bytes(len)
    }

    /// Whether a datagram is for this socket. The ports have been compared already.
    pub fn accepts(&self, arrival: &Arrival) -> bool {
        let Arrival { from, to, interface, .. } = *arrival;
        if !self.speaks(to) || self.remote.is_some_and(|remote| !same_end(remote, from)) {
            return false;
        }
        if to.is_multicast() {
            // Note: Linux delivers what any other socket of the host joined for, unless told not to; we never do.
            let joined = Membership { group: to, interface };
            return self.memberships.contains(&joined) && (self.any_address() || self.local.ip() == to);
        }
        self.any_address() || self.local.ip() == to
    }

    /// A datagram for this socket arrived; false if there was no room, which is counted.
    pub fn deliver(&mut self, arrival: Arrival, payload: &[u8]) -> bool {
        let queued = self.receive.push(arrival, &[payload]).is_ok();
        self.counters.received += u64::from(queued);
        queued
    }

    /// ICMP, or the lack of a route or neighbour, tells that what was sent to `about` did not arrive; answers whether
    /// the application will hear of it.
    ///
    /// RFC 1122 section 4.1.3.3: errors are passed up; like everywhere only to a socket that is connected to the
    /// address in question, for another could not tell which of its datagrams was meant.
    pub fn handle_error(&mut self, about: SocketAddr, error: Error) -> bool {
        let ours = self.remote.is_some_and(|remote| same_end(remote, about));
        if ours {
            self.counters.errors += 1;
            self.error = Some(error);
        }
        ours
    }

    /// What [`UdpSocket::next_datagram`] lent has left, or never will.
    pub fn handle_sent(&mut self) {
        self.handle_run_sent(1);
    }

    /// So many datagrams of what [`UdpSocket::next_run`] lent have left; answers whether a sender waits for their room.
    pub fn handle_run_sent(&mut self, datagrams: usize) -> bool {
        for _ in 0..datagrams {
            self.counters.sent += u64::from(self.send.pop().is_some());
        }
        core::mem::take(&mut self.starved)
    }

    /// Binds it anew: for when a port or a source address has been chosen.
    pub fn bind(&mut self, local: SocketAddr) {
        self.local = local;
    }

    /// Talks with `remote` alone from now on; None talks with everybody again. What was received before stays.
    ///
    /// # Errors
    /// [`Error::PortZero`], [`Error::WrongFamily`].
    pub fn connect(&mut self, remote: Option<SocketAddr>) -> Result<(), Error> {
        if let Some(remote) = remote {
            self.check_destination(remote)?;
        }
        self.remote = remote;
        self.error = None;
        Ok(())
    }

    /// Queues a datagram for `to`, or for the connected peer if None.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if the queue is full, [`Error::MessageTooLong`], [`Error::DestinationRequired`],
    /// [`Error::AlreadyConnected`], [`Error::BroadcastDenied`], [`Error::PortZero`], [`Error::WrongFamily`], and what
    /// ICMP said about an earlier datagram.
    pub fn send_to(&mut self, to: Option<SocketAddr>, payload: &[u8]) -> Result<(), Error> {
        self.send_from(None, to, payload)
    }

    /// Like [`UdpSocket::send_to`], from one of several addresses: an answer leaves from where the question came to.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`].
    pub fn send_from(
        &mut self,
        source: Option<IpAddr>,
        to: Option<SocketAddr>,
        payload: &[u8],
    ) -> Result<(), Error> {
        self.send_pieces(source, to, payload, payload.len())
    }

    /// Queues `payload` as datagrams of `size` bytes, of which the last may be shorter: all of them or none. A device
    /// that merges datagrams gets them as one frame.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`]; [`Error::MessageTooLong`] also if they are more than the queue ever holds.
    pub fn send_segments(
        &mut self,
        to: Option<SocketAddr>,
        payload: &[u8],
        size: usize,
    ) -> Result<(), Error> {
        self.send_pieces(None, to, payload, size)
    }

    fn send_pieces(
        &mut self,
        source: Option<IpAddr>,
        to: Option<SocketAddr>,
        payload: &[u8],
        size: usize,
    ) -> Result<(), Error> {
        self.take_error()?;
        // Note: POSIX lets an address on a connected socket override; std and the BSDs refuse, and so do we.
        let to = match (to, self.remote) {
            (None, None) => return Err(Error::DestinationRequired),
            (None, Some(remote)) => remote,
            (Some(to), Some(remote)) if !same_end(to, remote) => return Err(Error::AlreadyConnected),
            (Some(to), _) => to,
        };
        self.check_destination(to)?;
        let longest = if to.is_ipv4() { MAX_PAYLOAD_V4 } else { MAX_PAYLOAD_V6 };
        let size = size.min(payload.len());
        if size > longest {
            return Err(Error::MessageTooLong { length: size, limit: longest });
        }
        let limit = self.send.byte_limit().min(self.send.packet_limit().saturating_mul(size));
        if payload.len() > limit {
            return Err(Error::MessageTooLong { length: payload.len(), limit });
        }
        let bound = (!self.any_address() && !self.local.ip().is_multicast()).then(|| self.local.ip());
        let departure = Departure { to, source: source.or(bound) };
        let pushed = self.send.push_pieces(departure, payload, size);
        self.starved = pushed.is_err();
        pushed.map_err(|_| Error::WouldBlock)
    }

    /// Takes the next datagram; what does not fit into `out` is lost, which [`Received::truncated`] tells.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if none waits, and what ICMP said about an earlier datagram of ours.
    pub fn recv_from(&mut self, out: &mut [u8]) -> Result<Received, Error> {
        self.take_error()?;
        let (arrival, length) = self.receive.pop_into(out).ok_or(Error::WouldBlock)?;
        Ok(Received { copied: length.min(out.len()), length, arrival })
    }

    /// Copies the next datagram and leaves it in the queue.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn peek_from(&mut self, out: &mut [u8]) -> Result<Received, Error> {
        self.take_error()?;
        let (arrival, [first, second]) = self.receive.front().ok_or(Error::WouldBlock)?;
        let a = first.len().min(out.len());
        let b = second.len().min(out.len() - a);
        out[..a].copy_from_slice(&first[..a]);
        out[a..a + b].copy_from_slice(&second[..b]);
        Ok(Received { copied: a + b, length: first.len() + second.len(), arrival: *arrival })
    }

    /// Takes the error that waits (`SO_ERROR`).
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Its options, to change.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Joins a multicast group on an interface. The interface's own filters are the caller's.
    ///
    /// # Errors
    /// [`Error::NotMulticast`], [`Error::WrongFamily`], [`Error::AlreadyMember`], [`Error::TooManyMemberships`].
    pub fn join(&mut self, membership: Membership) -> Result<(), Error> {
        if !membership.group.is_multicast() {
            return Err(Error::NotMulticast(membership.group));
        }
        if !self.speaks(membership.group) {
            return Err(Error::WrongFamily(membership.group));
        }
        if self.memberships.contains(&membership) {
            return Err(Error::AlreadyMember(membership.group));
        }
        if self.memberships.len() >= MAX_MEMBERSHIPS {
            return Err(Error::TooManyMemberships);
        }
        self.memberships.push(membership);
        Ok(())
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// [`Error::NotMember`].
    pub fn leave(&mut self, membership: Membership) -> Result<(), Error> {
        let place = self.memberships.iter().position(|held| *held == membership);
        self.memberships.remove(place.ok_or(Error::NotMember(membership.group))?);
        Ok(())
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

    /// Takes the next datagram to send; its bytes are lent until the next call.
    pub fn poll_transmit(&mut self) -> Option<Datagram<'_>> {
        let (departure, payload) = self.send.pop()?;
        self.counters.sent += 1;
        Some(datagram(&self.options, self.local.port(), departure, payload))
    }

    fn any_address(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Whether it can talk with an address: of its own family, or IPv4 if it is bound to `::` and not to IPv6 only.
    fn speaks(&self, ip: IpAddr) -> bool {
        match self.local {
            SocketAddr::V4(_) => ip.is_ipv4(),
            SocketAddr::V6(local) => ip.is_ipv6() || (local.ip().is_unspecified() && !self.options.only_v6),
        }
    }

    fn check_destination(&self, to: SocketAddr) -> Result<(), Error> {
        if !self.speaks(to.ip()) {
            return Err(Error::WrongFamily(to.ip()));
        }
        if to.port() == 0 {
            return Err(Error::PortZero);
        }
        // RFC 1122 section 3.2.1.3: the limited broadcast. Those of subnets are known to the caller alone.
        if matches!(to.ip(), IpAddr::V4(v4) if v4.is_broadcast()) && !self.options.broadcast {
            return Err(Error::BroadcastDenied(to.ip()));
        }
        Ok(())
    }
}

fn datagram<'a>(
    options: &Options,
    source_port: u16,
    departure: Departure,
    payload: [&'a [u8]; 2],
) -> Datagram<'a> {
    let ttl = if departure.to.ip().is_multicast() { Some(options.multicast_ttl) } else { options.ttl };
    Datagram {
        departure,
        source_port,
        ttl,
        tos: options.tos,
        dont_fragment: options.dont_fragment,
        multicast_interface: options.multicast_interface,
        multicast_loop: options.multicast_loop,
        payload,
    }
}

/// Whether both name the same end: a scope counts only if both have one, flow labels never do.
fn same_end(a: SocketAddr, b: SocketAddr) -> bool {
    let scope = |address: SocketAddr| match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let scopes_agree = scope(a) == scope(b) || scope(a) == 0 || scope(b) == 0;
    a.ip() == b.ip() && a.port() == b.port() && scopes_agree
}

#[cfg(test)]
mod tests;
