//! Low-water marks: from how much on reading is worth a wake-up (`SO_RCVLOWAT`), and how much that is still unsent is
//! enough (`TCP_NOTSENT_LOWAT`).
//!
//! ```text
//!   send buffer   |--- in flight ---|--- unsent ---|      free      |
//!                                   |<- mark ->|   nothing is taken above the mark, and below half of it there is room again
//! ```

use super::common::Common;
use super::connection::Connection;
use super::event::Event;
use super::state::Block;
use crate::buf::ring::Ring;

impl Common {
    /// Whether what lies there is worth reading: at least the mark, as far as the buffer holds that much.
    #[inline]
    pub(crate) fn is_worth_reading(&self) -> bool {
        // What the buffer cannot hold would never be reached.
        self.rx.len() >= self.settings.recv_lowat.min(self.rx.limit() / 2).max(1)
    }

    /// Whether an application that waits for room is told of it, `unsent` bytes being unsent: at half of the mark.
    pub(crate) fn has_unsent_room(&self, unsent: usize) -> bool {
        self.settings.notsent_lowat.is_none_or(|mark| unsent.saturating_mul(2) < mark.max(1))
    }

    /// An application that waits for room hears of it, if less is unsent than before.
    pub(crate) fn tell_unsent(&mut self, unsent: u32) {
        if self.write_blocked && self.tx.free() > 0 && self.has_unsent_room(unsent as usize) {
            self.write_blocked = false;
            self.events.push(Event::Writable);
        }
    }
}

impl Connection {
    /// Reading is worth it from so many bytes on (`SO_RCVLOWAT`).
    pub fn set_recv_lowat(&mut self, bytes: usize) {
        let before = core::mem::replace(&mut self.common.settings.recv_lowat, bytes);
        if bytes < before && self.common.is_worth_reading() {
            self.common.events.push(Event::Readable);
        }
    }

    /// No more is taken while so many bytes are unsent (`TCP_NOTSENT_LOWAT`).
    pub fn set_notsent_lowat(&mut self, mark: Option<usize>) {
        self.common.settings.notsent_lowat = mark;
        let unsent = self.unsent();
        self.common.tell_unsent(unsent as u32);
    }

    /// Bytes that were written and never sent.
    pub(super) fn unsent(&self) -> usize {
        let written = self.common.tx.len();
        match &self.block {
            Block::Open(open) => open.sender.unsent(written) as usize,
            _ => written,
        }
    }

    /// Writes as much as fits, or as the mark leaves room for: full segments, so that none is cut for it. Answers how
    /// much, and whether the mark leaves room for more.
    #[inline]
    pub(super) fn write_below_mark(&mut self, parts: &[&[u8]]) -> (usize, bool) {
        let Some(mark) = self.common.settings.notsent_lowat else {
            return (self.common.tx.write_slices(parts), true);
        };
        let unsent = self.unsent();
        let segment = match &self.block {
            Block::Open(open) => open.sender.smss as usize,
            _ => 1,
        };
        let room = match mark.saturating_sub(unsent) {
            0 => 0,
            room => room.next_multiple_of(segment.max(1)),
        };
        let taken = write_some(&mut self.common.tx, parts, room);
        (taken, self.common.has_unsent_room(unsent + taken))
    }
}

/// Writes `room` bytes of the pieces at most; answers how many were taken.
fn write_some(tx: &mut Ring, parts: &[&[u8]], room: usize) -> usize {
    let mut left = room;
    for part in parts {
        let part = &part[..part.len().min(left)];
        let taken = tx.write_slices(&[part]);
        left -= taken;
        if taken < part.len() {
            break;
        }
    }
    room - left
}
