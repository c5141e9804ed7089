//! Cutting a packet that is too large into fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Only headers are written; of the payload each fragment names a range, which [`lend`] turns into slices of the
//! payload where it lies.

use core::ops::Range;

use arrayvec::ArrayVec;

use crate::wire::checksum::checksum;
use crate::wire::ipv4::field as v4;
use crate::wire::ipv6::field as v6;
use crate::wire::{ipv4, ipv6, put_u16};

/// The most bytes of headers that a fragment has: an IPv4 header with all options, or an IPv6 header with some
/// hop-by-hop or routing options and the fragment header.
pub const MAX_HEAD: usize = 128;

/// Where offset and more-bit lie within the fragment header of IPv6.
const OFFSET_AND_MORE: usize = 2;
const V4_MAX_PACKET: usize = 65_535;
const V6_FRAGMENT_HEADER: usize = 8;
/// Next header value of the fragment header (RFC 8200 section 4.5).
const V6_FRAGMENT: u8 = 44;

/// Offsets count units of eight bytes.
const UNIT: usize = 8;

/// The flags of an IPv4 header, in the first byte of the field they share with the offset.
const V4_DONT_FRAGMENT: u8 = 0x40;
const V4_MORE: u16 = 0x2000;
/// An option that goes into every fragment (RFC 791 section 3.1, "copied flag").
const V4_COPIED: u8 = 0x80;

/// The headers of one fragment.
pub type Head = ArrayVec<u8, MAX_HEAD>;

/// Why a packet cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The header says "don't fragment" (RFC 791 section 2.3).
    #[error("{len} bytes are more than the path's {mtu}, and the packet must not be fragmented")]
    DontFragment {
        /// Length of the whole packet.
        len: usize,
        /// The path's MTU.
        mtu: usize,
    },
    /// The MTU leaves no room for headers and eight bytes.
    #[error("an MTU of {mtu} bytes leaves no room for data behind {header} bytes of headers")]
    Mtu {
        /// The path's MTU.
        mtu: usize,
        /// Bytes of headers in each fragment.
        header: usize,
    },
    /// A datagram of that size has no fragments: offsets end at 65,535.
    #[error("a packet of {len} bytes is longer than IP can say")]
    TooLong {
        /// Length of the whole packet.
        len: usize,
    },
    /// The bytes are no IP header, or longer than we cut.
    #[error("not a header that can be fragmented")]
    Header,
}

/// What was counted, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FragmentStats {
    /// FragOKs: packets cut.
    pub frag_oks: u64,
    /// FragFails: packets that had to be cut and could not.
    pub frag_fails: u64,
    /// FragCreates: fragments made.
    pub frag_creates: u64,
}

impl FragmentStats {
    /// Counts one attempt.
    pub const fn record(&mut self, attempt: &Result<Fragmenter, FragmentError>) {
        match attempt {
            Ok(fragmenter) => {
                self.frag_oks += 1;
                self.frag_creates += fragmenter.count() as u64;
            }
            Err(_) => self.frag_fails += 1,
        }
    }
}

/// A packet in the course of being cut. It holds its headers and the place reached, not the payload.
#[derive(Clone, Debug)]
pub struct Fragmenter {
    /// IPv4: the header of the first fragment. IPv6: the unfragmentable part, and behind it the fragment header.
    first: Head,
    /// IPv4: the header of the others, with the copied options only. IPv6: empty, `first` is for all.
    rest: Head,
    mtu: usize,
    payload_len: usize,
    /// Payload bytes that are in fragments already.
    done: usize,
}

impl Fragmenter {
    /// Cuts a packet of `header` and `payload_len` bytes into fragments of at most `mtu` bytes.
    ///
    /// `header` is the IPv4 header with its options, or the IPv6 header with the extension headers that each
    /// fragment has to carry. `id` tells the packet's fragments from others (16 bits of it for IPv4).
    pub fn new(header: &[u8], payload_len: usize, mtu: usize, id: u32) -> Result<Self, FragmentError> {
        let (first, rest) = match header.first().map(|byte| byte >> 4) {
            Some(4) => Self::heads_v4(header, payload_len, mtu, id)?,
            Some(6) => (Self::head_v6(header, payload_len, id)?, Head::new()),
            _ => return Err(FragmentError::Header),
        };
        if first.len() + UNIT > mtu {
            return Err(FragmentError::Mtu { mtu, header: first.len() });
        }
        Ok(Self { first, rest, mtu, payload_len, done: 0 })
    }

    /// How many fragments the whole packet makes.
    pub const fn count(&self) -> usize {
        let first = room(self.mtu, self.first.len());
        let other = room(self.mtu, if self.rest.is_empty() { self.first.len() } else { self.rest.len() });
        match self.payload_len.checked_sub(first) {
            Some(more) => 1 + more.div_ceil(other),
            None => 1,
        }
    }

    /// Whether all fragments have been made.
    pub const fn is_done(&self) -> bool {
        self.done >= self.payload_len
    }

    /// The next fragment: writes its headers into `head` and says which part of the payload belongs behind them.
    pub fn poll_fragment(&mut self, head: &mut Head) -> Option<Range<usize>> {
        if self.is_done() {
            return None;
        }
        let offset = self.done;
        head.clone_from(if offset == 0 || self.rest.is_empty() { &self.first } else { &self.rest });
        let end = self.payload_len.min(offset + room(self.mtu, head.len()));
        let more = end < self.payload_len;
        let (len, head_len) = (end - offset, head.len());
        if head[0] >> 4 == 4 {
            let more_bit = if more { usize::from(V4_MORE) } else { 0 };
            put_u16(head, v4::TOTAL_LEN, (head_len + len) as u16);
            put_u16(head, v4::FRAGMENT, ((offset / UNIT) | more_bit) as u16);
            put_u16(head, v4::CHECKSUM, 0);
            let sum = checksum(head);
            put_u16(head, v4::CHECKSUM, sum);
        } else {
            put_u16(head, v6::PAYLOAD_LEN, (head_len - ipv6::HEADER_LEN + len) as u16);
            let at = head_len - V6_FRAGMENT_HEADER + OFFSET_AND_MORE;
            put_u16(head, at, (offset | usize::from(more)) as u16);
        }
        self.done = end;
        Some(offset..end)
    }

    fn heads_v4(
        header: &[u8],
        payload_len: usize,
        mtu: usize,
        id: u32,
    ) -> Result<(Head, Head), FragmentError> {
        let header_len = usize::from(header[0] & 0xf) * 4;
        if header_len < ipv4::MIN_HEADER_LEN || header.len() != header_len {
            return Err(FragmentError::Header);
        }
        let len = header_len + payload_len;
        if len > V4_MAX_PACKET {
            return Err(FragmentError::TooLong { len });
        }
        if header[v4::FRAGMENT] & V4_DONT_FRAGMENT != 0 {
            return Err(FragmentError::DontFragment { len, mtu });
        }
        let mut first: Head = header.iter().copied().collect();
        put_u16(&mut first, v4::ID, id as u16);
        let mut rest: Head = first[..ipv4::MIN_HEADER_LEN].iter().copied().collect();
        copied_options(&header[ipv4::MIN_HEADER_LEN..], &mut rest);
        while !rest.len().is_multiple_of(4) {
            rest.push(0); // end of option list
        }
        rest[0] = 0x40 | (rest.len() / 4) as u8;
        Ok((first, rest))
    }

    fn head_v6(header: &[u8], payload_len: usize, id: u32) -> Result<Head, FragmentError> {
        if header.len() < ipv6::HEADER_LEN || header.len() + V6_FRAGMENT_HEADER > MAX_HEAD {
            return Err(FragmentError::Header);
        }
        let len = header.len() - ipv6::HEADER_LEN + payload_len;
        if len > V4_MAX_PACKET {
            return Err(FragmentError::TooLong { len });
        }
        let (mut announced_at, mut at) = (v6::NEXT_HEADER, ipv6::HEADER_LEN);
        while let Some(&[_, eighths]) = header.get(at..at + 2) {
            announced_at = at;
            at += (usize::from(eighths) + 1) * 8;
        }
        if at != header.len() {
            return Err(FragmentError::Header);
        }
        let mut head: Head = header.iter().copied().collect();
        let [id0, id1, id2, id3] = id.to_be_bytes();
        head.extend([header[announced_at], 0, 0, 0, id0, id1, id2, id3]);
        head[announced_at] = V6_FRAGMENT;
        Ok(head)
    }
}

/// The part `range` of a payload that lies in two slices.
pub fn lend(body: [&[u8]; 2], range: Range<usize>) -> [&[u8]; 2] {
    let [a, b] = body;
    let in_a = range.start.min(a.len())..range.end.min(a.len());
    let in_b =
        range.start.saturating_sub(a.len()).min(b.len())..range.end.saturating_sub(a.len()).min(b.len());
    [&a[in_a], &b[in_b]]
}

/// Payload bytes that fit behind `head` bytes: a multiple of eight, since more may follow.
const fn room(mtu: usize, head: usize) -> usize {
    (mtu - head) / UNIT * UNIT
}

/// Appends the options that belong into every fragment.
fn copied_options(mut options: &[u8], out: &mut Head) {
    while let Some((&kind, rest)) = options.split_first() {
        let len = match kind {
            0 => return,                                          // end of option list
            1 => 1,                                               // no operation
            _ => usize::from(*rest.first().unwrap_or(&0)).max(2), // type, length, data
        };
        let Some(option) = options.get(..len) else { return };
        if kind & V4_COPIED != 0 {
            out.extend(option.iter().copied());
        }
        options = &options[len..];
    }
}

#[cfg(test)]
mod tests;
