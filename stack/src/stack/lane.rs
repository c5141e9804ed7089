//! The short way in: a segment that follows another of the same stream, and differs from it in what follows from its
//! place alone.
//!
//! Of a stream that comes in, one segment is as the other but for sequence number, timestamps, push flag,
//! identification and checksums. What reading the first headers has led to (whom the frame is for, that its headers are
//! sound, which connection it belongs to) is true for all that are alike, so that a comparison takes the place of
//! reading them. Whatever is not as expected goes the long way, as if this one did not exist.

use super::Stack;
use crate::buf::frame::{Checksum, InterfaceId, RxFrame};
use crate::socket::table::{Kind, Socket, SocketId};
use crate::tcp::Next;
use crate::time::Instant;
use crate::wire::checksum::Sum;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::ipv4;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{self, Flags, Timestamps};

/// Bytes at the front of a frame that are compared: all headers that a segment of a stream has.
const FRONT: usize = 96;
/// The option of a segment that carries timestamps alone: two bytes of padding, kind and length (RFC 7323 appendix A).
const STAMPED: [u8; 4] = [1, 1, 8, 10];

/// The last segment of a stream that came in, as a pattern for those that follow.
#[derive(Debug)]
pub(super) struct Lane {
    interface: InterfaceId,
    /// The generation of our addresses for which the destination is ours.
    generation: u64,
    socket: SocketId,
    /// Bytes of the whole frame.
    len: usize,
    front: [u8; FRONT],
    /// One bit for each that has to be the same.
    fixed: [u8; FRONT],
    at: Places,
    /// IPv4: the sum of identification and header checksum. If it is the same, so is the sum over the header.
    identified: u16,
    /// Over the pseudo header.
    pseudo: Sum,
}

/// Where things lie in the frame.
#[derive(Clone, Copy, Debug)]
struct Places {
    packet: usize,
    tcp: usize,
    payload: usize,
}

/// Bytes of a TCP header with timestamps alone, and where they lie.
const STAMPED_LEN: usize = 32;
const STAMPS: usize = 24;
/// The acknowledgment number counts, and nothing is special; PSH says nothing to a receiver.
const PLAIN: u8 = Flags::ACK.bits() as u8;
const PSH: u8 = Flags::PSH.bits() as u8;

impl Lane {
    /// The lane that begins with `frame`, which brought `packet` to `socket`; `None` unless it is a plain segment with
    /// data.
    fn new(
        interface: InterfaceId,
        generation: u64,
        socket: SocketId,
        frame: &RxFrame<'_>,
        packet: &[u8],
    ) -> Option<Self> {
        let front: [u8; FRONT] = *frame.bytes.first_chunk()?;
        let packet_at = frame.bytes.len() - packet.len();
        let read = Packet::parse(packet).ok()?;
        let tcp_at = packet_at + read.header_len();
        let simple =
            read.protocol == Protocol::TCP && read.fragment.is_none() && read.bytes.len() == packet.len();
        // Options of IPv4 and extension headers say things of their own.
        if !simple || read.header_len() != super::ip_header_len(read.dst) || frame.offload.gso.is_some() {
            return None;
        }
        let header = frame.bytes.get(tcp_at..)?;
        let stamped = header.get(tcp::MIN_HEADER_LEN..STAMPS) == Some(&STAMPED);
        let len = if stamped { STAMPED_LEN } else { tcp::MIN_HEADER_LEN };
        let plain = header[tcp::field::DATA_OFFSET] == (len as u8 / 4) << 4
            && header[tcp::field::FLAGS] & !PSH == PLAIN;
        let at = Places { packet: packet_at, tcp: tcp_at, payload: tcp_at + len };
        if !plain || at.payload > FRONT || at.payload >= frame.bytes.len() {
            return None;
        }
        let mut fixed = [0; FRONT];
        fixed[..at.payload].fill(0xff);
        fixed[tcp_at + tcp::field::FLAGS] = !PSH;
        fixed[tcp_at + tcp::field::SEQ..tcp_at + tcp::field::ACK].fill(0);
        fixed[tcp_at + tcp::CHECKSUM_OFFSET..][..2].fill(0);
        if stamped {
            fixed[tcp_at + STAMPS..at.payload].fill(0);
        }
        if !read.is_v6() {
            fixed[packet_at + ipv4::field::ID..][..2].fill(0);
            fixed[packet_at + ipv4::field::CHECKSUM..][..2].fill(0);
        }
        let pseudo = Sum::pseudo(read.src, read.dst, Protocol::TCP, packet.len() - read.header_len());
        let identified = identified(&front, &at);
        let len = frame.bytes.len();
        Some(Self { interface, generation, socket, len, front, fixed, at, identified, pseudo })
    }

    /// Whether what reading has led to for the first segment is true for this one too.
    #[inline]
    fn leads(&self, interface: InterfaceId, generation: u64, frame: &RxFrame<'_>) -> bool {
        let Some(front) = frame.bytes.first_chunk() else { return false };
        let same = frame.bytes.len() == self.len
            && (self.interface, self.generation) == (interface, generation)
            && frame.offload.gso.is_none();
        same && is_alike(front, &self.front, &self.fixed)
            && (self.is_v6() || identified(front, &self.at) == self.identified)
    }

    fn is_v6(&self) -> bool {
        self.at.tcp - self.at.packet != ipv4::MIN_HEADER_LEN
    }

    /// The ECN field, which is the same in all.
    fn ecn(&self) -> u8 {
        let [first, second] = [self.front[self.at.packet], self.front[self.at.packet + 1]];
        if self.is_v6() { (first << 4 | second >> 4) & 3 } else { second & 3 }
    }

    /// What TCP has to know of the segment in `bytes`, a frame that it leads.
    #[inline]
    fn next<'a>(&self, bytes: &'a [u8]) -> Next<'a> {
        let (header, payload) = bytes[self.at.tcp..].split_at(self.at.payload - self.at.tcp);
        let stamped = header.len() == STAMPED_LEN;
        let timestamps =
            stamped.then(|| Timestamps { value: word(header, STAMPS), echo: word(header, STAMPS + 4) });
        Next {
            seq: SeqNum::new(word(header, tcp::field::SEQ)),
            ack: SeqNum::new(word(header, tcp::field::ACK)),
            window: half(header, tcp::field::WINDOW),
            timestamps,
            payload,
        }
    }
}

/// Whether both are the same where the bits of `fixed` are set.
#[inline]
fn is_alike(front: &[u8; FRONT], other: &[u8; FRONT], fixed: &[u8; FRONT]) -> bool {
    let words = |bytes: &[u8; FRONT]| -> [u64; FRONT / 8] {
        core::array::from_fn(|n| u64::from_ne_bytes(core::array::from_fn(|byte| bytes[8 * n + byte])))
    };
    let (front, other, fixed) = (words(front), words(other), words(fixed));
    (0..FRONT / 8).fold(0, |differs, n| differs | ((front[n] ^ other[n]) & fixed[n])) == 0
}

/// The sum of identification and checksum of the IPv4 header.
fn identified(front: &[u8; FRONT], at: &Places) -> u16 {
    let (id, sum) =
        (half(front, at.packet + ipv4::field::ID), half(front, at.packet + ipv4::field::CHECKSUM));
    let sum = u32::from(id) + u32::from(sum);
    (sum + (sum >> 16)) as u16
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) << 16 | u32::from(half(bytes, at + 2))
}

impl Stack {
    /// Takes a frame if it is the next segment of the stream whose lane is open; false if it has to go the long way.
    #[inline]
    pub(super) fn receive_next(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) -> bool {
        let Some(lane) = &self.lane else { return false };
        if !lane.leads(interface, self.addresses_generation, frame)
            || self.authenticates
            || !self.raw_sockets.is_empty()
        {
            return false;
        }
        let socket = lane.socket;
        let Some(Socket { kind: Kind::Tcp(stream), .. }) = self.sockets.get_mut(socket) else { return false };
        let next = lane.next(frame.bytes);
        let sum = match frame.offload.checksum {
            Checksum::Full => Some(lane.pseudo.with(&frame.bytes[lane.at.tcp..lane.at.payload])),
            _ => None,
        };
        stream.connection.set_pressure(self.memory.pressure());
        if !stream.connection.handle_next(now, &next, sum) {
            return false;
        }
        let counters = if lane.is_v6() { &mut self.stats.in_v6 } else { &mut self.stats.in_v4 };
        counters.record_alike(1, (lane.len - lane.at.packet) as u64, lane.ecn());
        self.stats.tcp.in_segs += 1;
        self.settle_tcp(now, socket);
        true
    }

    /// After a frame that went the long way: the second one in a row for the same stream opens a lane for it.
    pub(super) fn follow(&mut self, interface: InterfaceId, frame: &RxFrame<'_>, packet: &[u8]) {
        let Some(socket) = self.heard.take() else { return };
        if self.followed.replace(socket) == Some(socket) && frame.bytes.len() >= FRONT {
            self.lane = Lane::new(interface, self.addresses_generation, socket, frame, packet);
        }
    }
}

#[cfg(test)]
mod tests;
