//! What was sent in a simulated network, frame by frame.

use core::fmt;

use super::channel::Passage;
use super::net::{LinkId, NodeId};
use crate::buf::frame::Medium;
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
