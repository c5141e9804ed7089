//! What happened in a run, as lines: the end of it is shown when a script fails.

use std::collections::VecDeque;

use ustack::Observation;
use ustack::capture::Direction;
use ustack::tcp::Decision;
use ustack::time::Instant;
use ustack::why::Why;

/// Lines that are kept.
const KEPT: usize = 12;
/// Decisions that are kept, of all connections, and those of one that are shown.
const DECISIONS: usize = 256;
const SHOWN: usize = 8;

/// The last things that happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    lines: VecDeque<String>,
    decisions: VecDeque<Observation>,
    /// Packets that passed, in both directions.
    packets: u64,
}

impl Trace {
    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    /// What the connection between two ports decided last, oldest first; without them any connection.
    ///
    /// Samples of the round-trip time come with each acknowledgment and would hide the rest.
    pub(super) fn decisions(&self, ports: Option<(u16, u16)>) -> Vec<String> {
        let is_shown = |told: &&Observation| {
            let of_it = ports.is_none_or(|ports| ports == (told.local.port(), told.remote.port()));
            of_it && !matches!(told.decision, Decision::Rtt { .. })
        };
        let shown: Vec<_> = self.decisions.iter().filter(is_shown).collect();
        let last = &shown[shown.len().saturating_sub(SHOWN)..];
        last.iter().map(|told| format!("{} {}", told.at, told.decision)).collect()
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

    /// A connection decided something.
    pub(super) fn decision(&mut self, told: Observation) {
        if self.decisions.len() == DECISIONS {
            self.decisions.pop_front();
        }
        self.decisions.push_back(told);
    }

    /// Anything else.
    pub(super) fn note(&mut self, now: Instant, text: &str) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{now} {text}"));
    }
}
