//! One datagram in the course of being put together.
//!
//! ```text
//!   header  of the fragment at offset 0, as it came
//!   bytes   | c c c | a a a a | b b b |      in the order of arrival, appended
//!   pieces  a: 0..4  b: 4..7  c: 9..12       by offset, never overlapping
//! ```

use super::{Fragment, Reason};
use crate::time::Instant;
use crate::wire::checksum::checksum;
use crate::wire::ext::FragmentHeader;
use crate::wire::ipv4::field as v4;
use crate::wire::ipv6::field as v6;
use crate::wire::{ipv6, put_u16};

/// What a datagram costs beside its bytes: our own bookkeeping, so that tiny fragments are not free.
pub(super) const DATAGRAM_COST: usize = 512;
/// What each of its fragments costs beside its bytes.
pub(super) const PIECE_COST: usize = 32;

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) age: u64,
    pub(super) deadline: Instant,
    /// All headers before the data of the fragment at offset 0, as they came; empty until it comes.
    header: Vec<u8>,
    /// IPv6: where in `header` the fragment header is announced, and what follows it.
    next_header_at: usize,
    protocol: u8,
    pub(super) pieces: Vec<Piece>,
    bytes: Vec<u8>,
    /// Length of all data, once the last fragment has come.
    end: Option<usize>,
    /// A bit for each of the four ECN values that came.
    ecn_seen: u8,
    /// Given up: kept without bytes so that late fragments do not begin anew.
    pub(super) dead: bool,
}

/// Data at `offset..offset + len` of the datagram, which lies at `at` in `Datagram::bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    offset: usize,
    len: usize,
    at: usize,
}

impl Datagram {
    pub(super) const fn new(age: u64, deadline: Instant) -> Self {
        Self {
            age,
            deadline,
            header: Vec::new(),
            next_header_at: 0,
            protocol: 0,
            pieces: Vec::new(),
            bytes: Vec::new(),
            end: None,
            ecn_seen: 0,
            dead: false,
        }
    }

    pub(super) fn cost(&self) -> usize {
        DATAGRAM_COST + self.header.len() + self.bytes.len() + self.pieces.len() * PIECE_COST
    }

    pub(super) fn is_complete(&self) -> bool {
        // Pieces never overlap nor reach beyond the end, so their lengths tell.
        self.end == Some(self.bytes.len())
    }

    /// Keeps a fragment's data. Changes nothing if there is a reason against it.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>, data: &[u8], limit: usize) -> Result<(), Reason> {
        let (start, end) = (fragment.offset, fragment.offset + data.len());
        let at = self.pieces.partition_point(|piece| piece.offset < start);
        let (before, after) = (at.checked_sub(1).and_then(|at| self.pieces.get(at)), self.pieces.get(at));
        if let Some(same) = after.filter(|piece| piece.offset == start && piece.len == data.len()) {
            // RFC 8200 4.5: an exact duplicate may be told from an overlap. Other bytes are not a duplicate.
            let is_last = self.end == Some(end);
            let equal = &self.bytes[same.at..same.at + same.len] == data && is_last != fragment.more;
            return Err(if equal { Reason::Duplicate } else { Reason::Overlap });
        }
        if before.is_some_and(|piece| piece.offset + piece.len > start)
            || after.is_some_and(|piece| piece.offset < end)
        {
            return Err(Reason::Overlap); // RFC 5722 section 4
        }
        let highest = self.pieces.last().map_or(0, |piece| piece.offset + piece.len);
        if self.end.is_some_and(|known| end > known || !fragment.more) || (!fragment.more && highest > end) {
            return Err(Reason::End);
        }
        if self.pieces.len() >= limit {
            return Err(Reason::TooMany);
        }
        let ecn_seen = self.ecn_seen | 1 << (fragment.ecn & 3);
        if ecn_seen & ECN_NOT_ECT != 0 && ecn_seen & ECN_CE != 0 {
            return Err(Reason::Ecn); // RFC 3168 section 5.3
        }
        self.ecn_seen = ecn_seen;
        if start == 0 {
            self.header.extend_from_slice(&fragment.packet[..fragment.data_at]);
            self.next_header_at = fragment.next_header_at;
            self.protocol = fragment.protocol;
        }
        if !fragment.more {
            self.end = Some(end);
        }
        self.pieces.insert(at, Piece { offset: start, len: data.len(), at: self.bytes.len() });
        // Grows by a quarter rather than by doubling: what is not counted stays small.
        if self.bytes.capacity() - self.bytes.len() < data.len() {
            self.bytes.reserve_exact(data.len().max(self.bytes.len() / 4));
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Forgets all but name and deadline; answers how many bytes that freed.
    pub(super) fn give_up(&mut self) -> usize {
        let freed = self.cost() - DATAGRAM_COST;
        *self = Self { dead: true, ..Self::new(self.age, self.deadline) };
        freed
    }

    /// Writes the whole packet: the first fragment's headers without their fragment parts, then all data.
    pub(super) fn assemble(&self, packet: &mut Vec<u8>) -> Result<(), Reason> {
        packet.clear();
        let v4 = self.header.first().is_some_and(|byte| byte >> 4 == 4);
        let kept = if v4 { self.header.len() } else { self.header.len() - FragmentHeader::LEN };
        let counted = if v4 { kept } else { kept - ipv6::HEADER_LEN };
        let len = u16::try_from(counted + self.bytes.len()).map_err(|_| Reason::TooLarge)?;
        packet.reserve(kept + self.bytes.len());
        packet.extend_from_slice(&self.header[..kept]);
        for piece in &self.pieces {
            packet.extend_from_slice(&self.bytes[piece.at..piece.at + piece.len]);
        }
        if v4 {
            put_u16(packet, v4::TOTAL_LEN, len);
            put_u16(packet, v4::FRAGMENT, 0);
            self.mark_ce(&mut packet[1], 0);
            put_u16(packet, v4::CHECKSUM, 0);
            let sum = checksum(&packet[..kept]);
            put_u16(packet, v4::CHECKSUM, sum);
        } else {
            put_u16(packet, v6::PAYLOAD_LEN, len);
            packet[self.next_header_at] = self.protocol;
            self.mark_ce(&mut packet[1], 4);
        }
        Ok(())
    }

    /// Congestion that one fragment met, the datagram met (RFC 3168 section 5.3).
    fn mark_ce(&self, byte: &mut u8, shift: u32) {
        if self.ecn_seen & ECN_CE != 0 {
            *byte |= 0b11 << shift;
        }
    }

    /// Writes the fragment at offset 0 as it came, if it came.
    pub(super) fn first_fragment(&self, packet: &mut Vec<u8>) -> bool {
        packet.clear();
        let Some(piece) = self.pieces.first().filter(|piece| piece.offset == 0) else { return false };
        packet.extend_from_slice(&self.header);
        packet.extend_from_slice(&self.bytes[piece.at..piece.at + piece.len]);
        true
    }
}

/// Bits of `Datagram::ecn_seen`: 1 shifted by the value of the field.
const ECN_NOT_ECT: u8 = 1 << 0b00;
const ECN_CE: u8 = 1 << 0b11;
