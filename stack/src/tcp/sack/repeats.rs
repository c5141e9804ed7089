//! What was sent again, in the order in which it was: the scoreboard is sorted by sequence number, and a walk over all
//! of it for each acknowledgment would cost a window's worth of holes.

use std::collections::VecDeque;

use crate::buf::packed::{Packed, Packer, Unpacker};
use crate::time::Instant;
use crate::wire::seq::SeqNum;

/// Retransmissions in the order of time, each until it is acknowledged or lost again. They may be stale: what became of
/// them is known by the scoreboard alone.
#[derive(Debug, Default)]
pub(super) struct Repeats(VecDeque<Repeat>);

impl Packed for Repeats {
    fn is_plain(&self) -> bool {
        self.0.is_empty()
    }

    fn pack(&self, _: &mut Packer) {}

    fn unpack(_: &mut Unpacker<'_>) -> Self {
        Self::default()
    }
}

/// Sequence numbers that were sent again at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    pub(super) at: Instant,
    pub(super) start: SeqNum,
    pub(super) end: SeqNum,
}

/// More are not kept: the oldest is forgotten, and left to the retransmission timer.
const MAX_REPEATS: usize = 32_768;

impl Repeats {
    /// The `index`th, the oldest first.
    pub(super) fn get(&self, index: usize) -> Option<Repeat> {
        self.0.get(index).copied()
    }

    /// Something was sent again.
    pub(super) fn push(&mut self, repeat: Repeat) {
        if let Some(last) = self.0.back_mut()
            && (last.at, last.end) == (repeat.at, repeat.start)
        {
            last.end = repeat.end;
            return;
        }
        if self.0.len() >= MAX_REPEATS {
            self.0.pop_front();
        }
        self.0.push_back(repeat);
    }

    /// The `index`th is settled.
    pub(super) fn remove(&mut self, index: usize) {
        self.0.remove(index);
    }

    /// Takes them from a scoreboard anew, in any order.
    pub(super) fn replace(&mut self, repeats: impl Iterator<Item = Repeat>) {
        self.0.clear();
        self.0.extend(repeats);
        self.0.make_contiguous().sort_by_key(|repeat| repeat.at);
        self.0.truncate(MAX_REPEATS);
    }

    /// None is left.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Gives memory back that is not needed.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
