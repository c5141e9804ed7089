//! Frames that wait in a ring which the kernel and we share: read where they lie, given back in order.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use super::super::sys::PacketRing;
use super::super::{ETHERNET_HEADER, Medium, vnet};
use crate::buf::frame::RxFrame;

/// Bytes of a ring.
const RING: u32 = 4 << 20;
/// What a slot holds at least: a packet of 1500 bytes, and what the kernel says about it.
const MIN_SLOT: u32 = 2048;
/// Slots for larger packets; what is larger still comes by the socket's queue.
const MAX_SLOT: u32 = 16 << 10;
const MAX_SLOTS: u32 = 1024;
/// Bytes of a block: a merged frame fits, and some more.
const BLOCK: u32 = 256 << 10;

/// What the kernel writes before a frame in a slot, at most.
const PREFIX: u32 = 96;

/// A ring for receiving.
#[derive(Debug)]
pub(super) enum Ring {
    /// A slot for each frame, at hand as soon as it is there.
    Slots(Slots),
    /// Blocks of many frames, at hand when they are full or some time has passed.
    Blocks(Blocks),
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing has come.
    Nothing,
    /// A frame, to be had by [`Ring::frame`].
    Frame(Place),
    /// A frame that was too long for a slot: it waits in the socket's queue.
    Queued,
    /// A frame that was too long, and for which the queue had no room either.
    Cut,
}

/// Where a frame lies in the unit at the front, its offload header before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    start: usize,
    end: usize,
}

impl Ring {
    /// Slots for an interface's packets.
    pub(super) fn slots(socket: BorrowedFd<'_>, mtu: usize) -> io::Result<Self> {
        let longest = mtu.saturating_add(ETHERNET_HEADER).saturating_add(PREFIX as usize);
        let size = u32::try_from(longest).unwrap_or(u32::MAX).clamp(MIN_SLOT, MAX_SLOT).next_power_of_two();
        let ring = PacketRing::slots(socket, size, (RING / size).min(MAX_SLOTS))?;
        Ok(Self::Slots(Slots { ring, lent: false }))
    }

    /// Blocks that are handed over after so many milliseconds at the latest.
    pub(super) fn blocks(socket: BorrowedFd<'_>, retire_ms: u32) -> io::Result<Self> {
        let ring = PacketRing::blocks(socket, BLOCK, RING / BLOCK, retire_ms)?;
        Ok(Self::Blocks(Blocks { ring, left: 0, at: 0, lent: false }))
    }

    /// Gives back what was lent, and looks what comes next.
    pub(super) fn next(&mut self) -> Next {
        match self {
            Self::Slots(slots) => slots.next(),
            Self::Blocks(blocks) => blocks.next(),
        }
    }

    /// The frame that `next` has found; None if what the kernel wrote makes no sense.
    pub(super) fn frame(&self, place: Place) -> Option<RxFrame<'_>> {
        let unit = match self {
            Self::Slots(slots) => slots.ring.front(),
            Self::Blocks(blocks) => blocks.ring.front(),
        }?;
        place.frame(unit)
    }
}

/// A ring with a slot for each frame (TPACKET_V2).
#[derive(Debug)]
pub(super) struct Slots {
    ring: PacketRing,
    /// The frame in the slot at the front was lent.
    lent: bool,
}

impl Slots {
    fn next(&mut self) -> Next {
        if std::mem::take(&mut self.lent) {
            self.ring.pop();
        }
        let Some(slot) = self.ring.front() else { return Next::Nothing };
        let next = slot_content(slot);
        match next {
            Next::Frame(_) => self.lent = true,
            _ => self.ring.pop(),
        }
        next
    }
}

/// A ring of blocks with many frames each (TPACKET_V3).
#[derive(Debug)]
pub(super) struct Blocks {
    ring: PacketRing,
    /// Frames of the block at the front that are yet to come.
    left: u32,
    /// Where the next of them is described.
    at: usize,
    /// The block at the front is being read.
    lent: bool,
}

impl Blocks {
    fn next(&mut self) -> Next {
        if self.lent && self.left == 0 {
            self.lent = false;
            self.ring.pop();
        }
        let Some(block) = self.ring.front() else { return Next::Nothing };
        if !self.lent {
            (self.left, self.at) = block_content(block);
            self.lent = true;
        }
        if self.left == 0 {
            return Next::Nothing;
        }
        let (next, step) = packet_at(block, self.at);
        self.left = if step == 0 { 0 } else { self.left - 1 };
        self.at += step;
        next
    }
}

impl Place {
    fn new(unit: &[u8], start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        (start >= vnet::LEN && end <= unit.len()).then_some(Self { start, end })
    }

    fn frame(self, unit: &[u8]) -> Option<RxFrame<'_>> {
        let bytes = unit.get(self.start..self.end)?;
        let header = unit.get(..self.start)?.last_chunk::<{ vnet::LEN }>()?;
        Some(RxFrame { bytes, offload: vnet::Header::parse(header).offload(bytes, Medium::Ethernet) })
    }
}

/// What `struct tpacket2_hdr` at the beginning of a slot says of it.
fn slot_content(slot: &[u8]) -> Next {
    const STATUS: usize = 0;
    const LEN: usize = 4;
    const CAPTURED: usize = 8;
    const MAC: usize = 12;
    let found = || {
        let (len, captured) = (word(slot, LEN)?, word(slot, CAPTURED)?);
        if word(slot, STATUS)? & libc::TP_STATUS_COPY != 0 {
            return Some(Next::Queued);
        }
        let place = Place::new(slot, half(slot, MAC)?.into(), captured as usize)?;
        (captured == len).then_some(Next::Frame(place))
    };
    found().unwrap_or(Next::Cut)
}

/// What `struct tpacket_block_desc` at the beginning of a block says: how many frames there are, and where the first is
/// described.
fn block_content(block: &[u8]) -> (u32, usize) {
    const COUNT: usize = 12;
    const FIRST: usize = 16;
    let found = || Some((word(block, COUNT)?, word(block, FIRST)? as usize));
    found().unwrap_or_default()
}

/// What `struct tpacket3_hdr` at that place of a block says, and how far the next one is from it; 0 if there is none.
fn packet_at(block: &[u8], at: usize) -> (Next, usize) {
    const NEXT: usize = 0;
    const CAPTURED: usize = 12;
    const LEN: usize = 16;
    const MAC: usize = 24;
    const HEADER: usize = 48;
    let Some(header) = slice(block, at, HEADER) else { return (Next::Cut, 0) };
    let found = || {
        let (len, captured) = (word(header, LEN)?, word(header, CAPTURED)?);
        let start = at.checked_add(half(header, MAC)?.into())?;
        let place = Place::new(block, start, captured as usize)?;
        (captured == len).then_some(Next::Frame(place))
    };
    let step = word(header, NEXT).unwrap_or(0) as usize;
    // It leads on, or nowhere.
    let step = if step < HEADER || at + step > block.len() { 0 } else { step };
    (found().unwrap_or(Next::Cut), step)
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(Range { start: at, end: at.checked_add(len)? })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(slice(bytes, at, 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(slice(bytes, at, 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
