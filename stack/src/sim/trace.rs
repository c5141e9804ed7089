//! What was sent in a simulated network, frame by frame.

use core::fmt;

use super::channel::Passage;
use super::fate::{Corruption, Drop, Fate};
use super::network::{LinkId, NodeId};
use crate::buf::frame::Medium;
use crate::capture::ladder::after;
use crate::capture::{Arrow, End, Text};
use crate::time::Instant;
use crate::why::Why;

/// A frame that was sent over a link, with its reason and its fate.
#[derive(Clone, Debug)]
pub struct Traced {
    /// When it was sent.
    pub time: Instant,
    /// Over which link.
    pub link: LinkId,
    /// Who sent it.
    pub from: NodeId,
    /// To whom it goes.
    pub to: NodeId,
    /// Its number, its fate, and when it arrives.
    pub passage: Passage,
    /// Why it was sent.
    pub why: Why,
    /// What its bytes begin with.
    pub medium: Medium,
    /// Its bytes as they were sent.
    pub bytes: Vec<u8>,
}

impl Traced {
    /// The frame as a line, in the manner of `text`.
    pub fn line(&self, text: &mut Text) -> String {
        text.line(self.medium.into(), &self.bytes)
    }

    /// The frame as an arrow of a ladder diagram that has a side for each node and switch, in their order.
    pub fn arrow(&self, text: String) -> Arrow {
        let Passage { fate, arrival, copy_arrival, .. } = self.passage;
        let end = match fate {
            Fate { drop: Some(_), .. } => End::Lost,
            Fate { corrupt: Some(_), .. } => End::Damaged,
            Fate { duplicate: Some(_), .. } => End::Twice,
            _ => End::Arrives,
        };
        let mut notes = Vec::new();
        match fate.drop {
            Some(Drop::Loss) => notes.push("lost".to_owned()),
            Some(Drop::Overflow) => notes.push("no room in the queue".to_owned()),
            Some(Drop::Early) => notes.push("dropped by the queue".to_owned()),
            Some(Drop::TooLong) => notes.push("too long".to_owned()),
            None => notes.extend(arrival.map(|time| after(time - self.time))),
        }
        if fate.mark {
            notes.push("marked CE".to_owned());
        }
        if fate.reorder {
            notes.push("overtakes".to_owned());
        }
        if let Some(Corruption { byte, bit }) = fate.corrupt {
            notes.push(format!("bit {bit} of byte {byte} flipped"));
        }
        notes.extend(copy_arrival.map(|time| format!("again {}", after(time - self.time))));
        let (from, to) = (self.from.index(), self.to.index());
        Arrow { time: self.time, from, to, text, end, note: notes.join(", ") }
    }
}

/// The frames of a run, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The frames.
    pub frames: Vec<Traced>,
    /// How many more there were than the trace was to hold.
    pub omitted: u64,
    pub(super) limit: usize,
}

impl Trace {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn add(&mut self, frame: impl FnOnce() -> Traced) {
        if self.frames.len() < self.limit {
            self.frames.push(frame());
        } else {
            self.omitted += 1;
        }
    }
}

/// The comment of a frame that is sent: why, and its fate unless it is the one that all frames have.
pub(super) struct Comment<'a> {
    pub(super) why: &'a Why,
    pub(super) passage: &'a Passage,
}

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        if self.passage.is_special { write!(f, " {}", self.passage.fate.comment()) } else { Ok(()) }
    }
}
