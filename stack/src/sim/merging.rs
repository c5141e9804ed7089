//! What network interfaces do for a host that works with merged frames: one is cut into the segments that it stands for
//! before it meets the link, so that each has a fate of its own; segments that arrive together are merged again.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use crate::buf::frame::{Checksum, Gso, GsoKind, MAX_MERGED, Medium, Offload, TxFrame};
use crate::wire::checksum::{self, Sum};
use crate::wire::ip::Protocol;
use crate::wire::ipv4::field as v4;
use crate::wire::ipv6::field as v6;
use crate::wire::tcp::field::{DATA_OFFSET, FLAGS, SEQ};
use crate::wire::tcp::{self, Flags};
use crate::wire::{ethernet, ipv4, ipv6, put_u16, udp};

const V4_ADDRESSES: Range<usize> = v4::ADDRESSES..ipv4::MIN_HEADER_LEN;
const V6_ADDRESSES: Range<usize> = v6::ADDRESSES..ipv6::HEADER_LEN;
const UDP_LEN: usize = 4;

const FIN: u8 = Flags::FIN.bits() as u8;
const PSH: u8 = Flags::PSH.bits() as u8;
const ACK: u8 = Flags::ACK.bits() as u8;
const CWR: u8 = Flags::CWR.bits() as u8;

/// Where the headers of a frame lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    ip: usize,
    transport: usize,
    payload: usize,
    is_v6: bool,
    is_udp: bool,
}

impl Layout {
    /// Reads it from a frame with TCP or UDP directly behind the IP header; None for others.
    fn of(frame: &[u8], medium: Medium) -> Option<Self> {
        let ip = match medium {
            Medium::Ethernet => ethernet::HEADER_LEN,
            Medium::Ip => 0,
        };
        let first = *frame.get(ip)?;
        let (len, protocol) = match first >> 4 {
            4 => (usize::from(first & 0xf) * 4, *frame.get(ip + v4::PROTOCOL)?),
            6 => (ipv6::HEADER_LEN, *frame.get(ip + v6::NEXT_HEADER)?),
            _ => return None,
        };
        let transport = ip + len;
        let payload = transport
            + match Protocol(protocol) {
                Protocol::TCP => usize::from(frame.get(transport + DATA_OFFSET)? >> 4) * 4,
                Protocol::UDP => udp::HEADER_LEN,
                _ => return None,
            };
        let is_udp = Protocol(protocol) == Protocol::UDP;
        (payload <= frame.len()).then_some(Self { ip, transport, payload, is_v6: first >> 4 == 6, is_udp })
    }

    /// The sum over the pseudo header of a frame.
    fn pseudo(&self, frame: &[u8]) -> Sum {
        let (src, dst): (IpAddr, IpAddr) = if self.is_v6 {
            let both: [u8; 32] = range(frame, self.ip, V6_ADDRESSES);
            let (src, dst) = both.split_at(16);
            (v6_address(src).into(), v6_address(dst).into())
        } else {
            let [a, b, c, d, e, f, g, h] = range(frame, self.ip, V4_ADDRESSES);
            (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into())
        };
        let protocol = if self.is_udp { Protocol::UDP } else { Protocol::TCP };
        Sum::pseudo(src, dst, protocol, frame.len() - self.transport)
    }

    /// Makes the IP header's lengths and its checksum those of a frame of this length.
    fn finish_ip(&self, frame: &mut [u8]) {
        let len = (frame.len() - self.ip) as u16;
        if self.is_v6 {
            put_u16(frame, self.ip + v6::PAYLOAD_LEN, len - ipv6::HEADER_LEN as u16);
            return;
        }
        put_u16(frame, self.ip + v4::TOTAL_LEN, len);
        put_u16(frame, self.ip + v4::CHECKSUM, 0);
        let sum = checksum::checksum(&frame[self.ip..self.transport]);
        put_u16(frame, self.ip + v4::CHECKSUM, sum);
    }

    fn has_right_checksums(&self, frame: &[u8]) -> bool {
        let header = self.is_v6 || Sum::ZERO.with(&frame[self.ip..self.transport]).is_valid();
        header && self.pseudo(frame).with(&frame[self.transport..]).is_valid()
    }

    /// Whether the IP packet ends where the frame does.
    fn is_whole(&self, frame: &[u8]) -> bool {
        let len = frame.len() - self.ip;
        let said = match self.is_v6 {
            true => usize::from(get_u16(frame, self.ip + v6::PAYLOAD_LEN)) + ipv6::HEADER_LEN,
            false => usize::from(get_u16(frame, self.ip + v4::TOTAL_LEN)),
        };
        let is_fragment = !self.is_v6 && get_u16(frame, self.ip + v4::FRAGMENT) & 0x3fff != 0;
        said == len && !is_fragment
    }
}

fn v6_address(octets: &[u8]) -> Ipv6Addr {
    octets.try_into().map_or(Ipv6Addr::UNSPECIFIED, |octets: [u8; 16]| octets.into())
}

/// `frame[at + range]`; zeros where the frame is too short, which no `Layout` allows.
fn range<const N: usize>(frame: &[u8], at: usize, range: Range<usize>) -> [u8; N] {
    frame.get(at + range.start..at + range.end).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(range(bytes, at, 0..2))
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(range(bytes, at, 0..4))
}

/// Cuts merged frames.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    whole: Vec<u8>,
    segment: Vec<u8>,
}

impl Cutter {
    /// Calls `each` with the segments that a frame stands for, each complete with its checksums; with the frame itself
    /// if it is not merged, or if nobody could cut it.
    pub(super) fn cut(&mut self, frame: &TxFrame<'_>, medium: Medium, mut each: impl FnMut(&TxFrame<'_>)) {
        let Some(gso) = frame.offload.gso else { return each(frame) };
        self.whole.clear();
        frame.copy_to(&mut self.whole);
        let layout = Layout::of(&self.whole, medium).filter(|it| it.payload == usize::from(gso.header));
        let Some(layout) = layout.filter(|_| gso.size > 0) else { return each(frame) };
        let (header, payload) = self.whole.split_at(layout.payload);
        let segments = payload.chunks(usize::from(gso.size));
        let last = segments.len().saturating_sub(1);
        for (index, piece) in segments.enumerate() {
            let segment = &mut self.segment;
            segment.clear();
            segment.extend_from_slice(header);
            segment.extend_from_slice(piece);
            if !layout.is_v6 {
                let id = get_u16(header, layout.ip + v4::ID).wrapping_add(index as u16);
                put_u16(segment, layout.ip + v4::ID, id);
            }
            layout.finish_ip(segment);
            match gso.kind {
                GsoKind::Udp => finish_udp(segment, &layout),
                GsoKind::Tcp4 | GsoKind::Tcp6 => {
                    let seq = get_u32(header, layout.transport + SEQ);
                    let seq = seq.wrapping_add(u32::from(gso.size) * index as u32);
                    finish_tcp(segment, &layout, seq, (index == 0, index == last));
                }
            }
            each(&TxFrame { head: segment, body: [&[], &[]], offload: Offload::NONE, why: frame.why });
        }
    }
}

fn finish_udp(segment: &mut [u8], layout: &Layout) {
    let len = (segment.len() - layout.transport) as u16;
    put_u16(segment, layout.transport + UDP_LEN, len);
    put_u16(segment, layout.transport + udp::CHECKSUM_OFFSET, 0);
    let sum = udp::written(layout.pseudo(segment).with(&segment[layout.transport..]));
    put_u16(segment, layout.transport + udp::CHECKSUM_OFFSET, sum);
}

/// The first segment alone has CWR, the last alone FIN and PSH.
fn finish_tcp(segment: &mut [u8], layout: &Layout, seq: u32, (is_first, is_last): (bool, bool)) {
    let at = layout.transport;
    segment[at + SEQ..at + SEQ + 4].copy_from_slice(&seq.to_be_bytes());
    if !is_first {
        segment[at + FLAGS] &= !CWR;
    }
    if !is_last {
        segment[at + FLAGS] &= !(FIN | PSH);
    }
    put_u16(segment, at + tcp::CHECKSUM_OFFSET, 0);
    let sum = layout.pseudo(segment).with(&segment[at..]).checksum();
    put_u16(segment, at + tcp::CHECKSUM_OFFSET, sum);
}

/// Merges TCP segments that arrive one after the other. Their checksums are verified first, since afterwards nobody
/// can.
#[derive(Debug, Default)]
pub(super) struct Merger {
    merged: Vec<u8>,
    /// The layout of the first segment and the payload bytes of each but the last; None if there is none.
    first: Option<(Layout, usize)>,
    segments: usize,
    is_complete: bool,
}

impl Merger {
    /// Begins with this segment; false if nothing can be merged with it.
    pub(super) fn begin(&mut self, frame: &[u8], medium: Medium) -> bool {
        self.first = None;
        let Some(layout) = mergeable(frame, medium) else { return false };
        let size = frame.len() - layout.payload;
        self.merged.clear();
        self.merged.extend_from_slice(frame);
        (self.first, self.segments) = (Some((layout, size)), 1);
        self.is_complete = frame[layout.transport + FLAGS] & (PSH | FIN) != 0;
        true
    }

    /// Adds the next segment; false if it does not belong to those before.
    pub(super) fn add(&mut self, frame: &[u8], medium: Medium) -> bool {
        let Some((layout, size)) = self.first.filter(|_| !self.is_complete) else { return false };
        if mergeable(frame, medium) != Some(layout) || !is_continued(&self.merged, frame, &layout) {
            return false;
        }
        let payload = &frame[layout.payload..];
        if payload.len() > size || self.merged.len() - layout.ip + payload.len() > MAX_MERGED {
            return false;
        }
        self.merged.extend_from_slice(payload);
        let ends = frame[layout.transport + FLAGS] & (PSH | FIN);
        self.merged[layout.transport + FLAGS] |= ends;
        self.segments += 1;
        self.is_complete = ends != 0 || payload.len() < size;
        true
    }

    /// What was merged, and what it stands for.
    pub(super) fn finish(&mut self) -> (&[u8], Offload) {
        let Some((layout, size)) = self.first.take() else { return (&[], Offload::NONE) };
        if self.segments == 1 {
            return (&self.merged, Offload::NONE);
        }
        layout.finish_ip(&mut self.merged);
        let kind = if layout.is_v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
        let gso = Gso { kind, size: size as u16, header: layout.payload as u16 };
        (&self.merged, Offload { checksum: Checksum::Verified, gso: Some(gso) })
    }
}

/// A whole TCP segment with data and right checksums that says nothing but ACK, PSH and FIN.
fn mergeable(frame: &[u8], medium: Medium) -> Option<Layout> {
    let layout = Layout::of(frame, medium).filter(|it| !it.is_udp && it.is_whole(frame))?;
    let flags = frame[layout.transport + FLAGS];
    let is_plain = flags & ACK != 0 && flags & !(ACK | PSH | FIN) == 0 && frame.len() > layout.payload;
    (is_plain && layout.has_right_checksums(frame)).then_some(layout)
}

/// Whether a segment follows on what was merged: all of its headers are the same, but for what differs from segment to
/// segment.
fn is_continued(merged: &[u8], frame: &[u8], layout: &Layout) -> bool {
    let at = layout.transport;
    let same = |range: Range<usize>| merged[range.clone()] == frame[range];
    let ip = match layout.is_v6 {
        true => [0..v6::PAYLOAD_LEN, v6::NEXT_HEADER..ipv6::HEADER_LEN],
        false => [0..v4::TOTAL_LEN, v4::TTL..v4::CHECKSUM],
    };
    let addresses = layout.is_v6 || same(layout.ip + V4_ADDRESSES.start..layout.transport);
    let seq = get_u32(merged, at + SEQ).wrapping_add((merged.len() - layout.payload) as u32);
    same(0..layout.ip)
        && ip.into_iter().all(|range| same(layout.ip + range.start..layout.ip + range.end))
        && addresses
        && same(at..at + SEQ)
        && get_u32(frame, at + SEQ) == seq
        // The acknowledgment, the window, the urgent pointer and the options.
        && same(at + SEQ + 4..at + FLAGS)
        && same(at + FLAGS + 1..at + tcp::CHECKSUM_OFFSET)
        && same(at + tcp::CHECKSUM_OFFSET + 2..layout.payload)
}

#[cfg(test)]
mod tests;
