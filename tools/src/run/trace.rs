//! What happened in a run, as lines: the end of it is shown when a script fails.

use std::collections::VecDeque;

use ustack::capture::Direction;
use ustack::time::Instant;
use ustack::why::Why;

/// Lines that are kept.
const KEPT: usize = 12;

/// The last things that happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    lines: VecDeque<String>,
    /// Packets that passed, in both directions.
    packets: u64,
}

impl Trace {
    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// A packet passed; `flow` is its conversation's number, if there are several.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        direction: Direction,
        flow: Option<usize>,
        shown: &str,
        why: Option<Why>,
    ) {
        self.packets += 1;
        let sign = if direction == Direction::In { '<' } else { '>' };
        let flow = flow.map(|number| format!("[conn {number}] ")).unwrap_or_default();
        let why = why.map(|why| format!("    {why}")).unwrap_or_default();
        self.note(now, &format!("{sign} {flow}{shown}{why}"));
    }

    /// Anything else.
    pub(super) fn note(&mut self, now: Instant, text: &str) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{now} {text}"));
    }
}
