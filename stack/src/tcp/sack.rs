//! The scoreboard: what was sent, when, and what became of it (RFC 2018, RFC 6675).

use std::collections::VecDeque;

use super::rate::{RateSampler, Stamp};
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// What lies between SND.UNA and SND.NXT, in runs that were sent at one time and share one fate.
///
/// ```text
///   SND.UNA                                              SND.NXT
///     |  lost  | sacked | flying, sent again | sacked | flying |
///     +--------+--------+--------------------+--------+--------+
///       run 0    run 1    run 2                run 3    run 4
/// ```
///
/// Runs are adjacent and sorted. The number of runs is bounded: what would split one more is not taken to account.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    runs: VecDeque<Run>,
    una: SeqNum,
    nxt: SeqNum,
    flying: u32,
    sacked: u32,
    lost: u32,
    /// No run below this is lost: where the search for the next begins.
    lost_from: SeqNum,
    /// No run at or above this is sacked.
    sacked_to: SeqNum,
    /// Below this everything that RFC 6675 calls lost is marked.
    marked_to: SeqNum,
    /// How fast what was sent arrives.
    pub(crate) rate: RateSampler,
}

/// Bytes that were sent at one time and share one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    end: SeqNum,
    fate: Fate,
    /// Sent more than once: it gives no sample of the round-trip time (Karn).
    resent: bool,
    sent_at: Instant,
    /// What was known about the rate when the last of them was sent.
    stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Flying,
    Sacked,
    Lost,
}

/// What an acknowledgment took off the scoreboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Acked {
    /// Sequence numbers newly acknowledged, cumulatively or selectively.
    pub(crate) newly: u32,
    /// Of these, those that are acknowledged cumulatively and were not sacked before.
    pub(crate) cumulative: u32,
    /// When the latest of these that was sent only once was sent.
    pub(crate) sample: Option<Instant>,
    /// Some of it had been sent more than once.
    pub(crate) resent: bool,
}

/// More runs than this are never kept.
const MAX_RUNS: usize = 16_384;
/// Runs for which an idle scoreboard keeps memory.
const IDLE_RUNS: usize = 8;

impl Scoreboard {
    /// Nothing was sent; `una` comes next.
    pub(crate) fn new(una: SeqNum) -> Self {
        Self {
            runs: VecDeque::new(),
            una,
            nxt: una,
            flying: 0,
            sacked: 0,
            lost: 0,
            lost_from: una,
            sacked_to: una,
            marked_to: una,
            rate: RateSampler::new(),
        }
    }

    /// Sequence numbers between SND.UNA and SND.NXT: FlightSize of RFC 5681.
    pub(crate) fn outstanding(&self) -> u32 {
        self.nxt - self.una
    }

    /// Sequence numbers that are on their way: sent, not sacked, and not lost (or sent again since).
    pub(crate) fn flying(&self) -> u32 {
        self.flying
    }

    /// Sequence numbers that the peer reported beyond SND.UNA.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Sequence numbers that count as lost and were not sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Whether the first run is sacked: a peer that says so and does not acknowledge it has forgotten what it said.
    pub(crate) fn has_reneged(&self) -> bool {
        self.runs.front().is_some_and(|run| run.fate == Fate::Sacked)
    }

    /// When the first byte was last sent.
    #[cfg(test)]
    pub(crate) fn head_sent_at(&self) -> Option<Instant> {
        self.runs.front().map(|run| run.sent_at)
    }

    /// `len` sequence numbers after the last were sent.
    pub(crate) fn handle_sent(&mut self, now: Instant, len: u32) {
        if len == 0 {
            return;
        }
        let stamp = self.rate.handle_sent(now, self.flying, len);
        self.nxt += len;
        self.flying += len;
        let full = self.runs.len() >= MAX_RUNS;
        if let Some(last) = self.runs.back_mut() {
            // Note: a full board gives the whole run its last time, which errs towards patience.
            if last.fate == Fate::Flying && !last.resent && (last.sent_at == now || full) {
                last.end = self.nxt;
                (last.sent_at, last.stamp) = (now, stamp);
                return;
            }
        }
        self.runs.push_back(Run { end: self.nxt, fate: Fate::Flying, resent: false, sent_at: now, stamp });
    }

    /// `len` sequence numbers from `start`, which were lost, were sent again.
    pub(crate) fn handle_resent(&mut self, now: Instant, start: SeqNum, len: u32) {
        let stamp = self.rate.handle_sent(now, self.flying, len);
        self.change(start, start + len, |run| {
            if run.fate == Fate::Sacked {
                return;
            }
            *run = Run { fate: Fate::Flying, resent: true, sent_at: now, stamp, ..*run };
        });
    }

    /// Everything before `ack`, which lies between SND.UNA and SND.NXT, has arrived.
    pub(crate) fn handle_ack(&mut self, ack: SeqNum, acked: &mut Acked) {
        while let Some(run) = self.runs.front().copied() {
            if !self.una.before(ack) {
                break;
            }
            let end = run.end.min(ack);
            let len = end - self.una;
            self.account(run.fate, len, false);
            acked.resent |= run.resent;
            if run.fate != Fate::Sacked {
                acked.newly += len;
                acked.cumulative += len;
                self.rate.handle_delivered(len, run.sent_at, end, run.stamp);
                if !run.resent {
                    acked.sample = acked.sample.max(Some(run.sent_at));
                }
            }
            self.una = end;
            if end == run.end {
                self.runs.pop_front();
            }
        }
        self.una = self.una.max(ack);
        self.nxt = self.nxt.max(ack);
        self.lost_from = self.lost_from.max(self.una);
        self.sacked_to = self.sacked_to.max(self.una);
        self.marked_to = self.marked_to.max(self.una);
    }

    /// The peer holds `block`. What lies outside of what was sent is ignored.
    pub(crate) fn handle_sack(&mut self, block: SackBlock, acked: &mut Acked) {
        let (start, end) = (block.start.max(self.una), block.end);
        // RFC 2018 section 3: blocks lie above the acknowledgment number; what was never sent cannot have arrived.
        if !start.before(end) || end.after(self.nxt) || block.start.before(self.una) {
            return;
        }
        let (mut newly, mut resent, mut sample) = (0, false, None);
        let applied = self.change_runs(start, end, |run, len| {
            if run.fate == Fate::Sacked {
                return;
            }
            newly += len;
            resent |= run.resent;
            if !run.resent {
                sample = sample.max(Some(run.sent_at));
            }
            run.fate = Fate::Sacked;
        });
        if applied {
            self.sacked_to = self.sacked_to.max(end);
        }
        acked.newly += newly;
        acked.resent |= resent;
        acked.sample = acked.sample.max(sample);
    }

    /// Marks as lost what RFC 6675 section 4 (IsLost) calls lost: what has more than two segments, or three separate
    /// runs, sacked above it. What was sent again since is left alone. Answers whether anything is newly lost.
    pub(crate) fn mark_lost_by_sack(&mut self, smss: u32, dup_thresh: u32) -> bool {
        let Some(edge) = self.sack_edge(smss, dup_thresh) else { return false };
        let before = self.lost;
        self.change(self.una.max(self.marked_to), edge, |run| {
            if run.fate == Fate::Flying && !run.resent {
                run.fate = Fate::Lost;
            }
        });
        self.marked_to = self.marked_to.max(edge);
        self.lost > before
    }

    /// Marks the first `len` sequence numbers as lost, unless they were sent again already or have arrived.
    pub(crate) fn mark_head_lost(&mut self, len: u32) {
        let end = (self.una + len).min(self.nxt);
        self.change(self.una, end, |run| {
            if run.fate == Fate::Flying && !run.resent {
                run.fate = Fate::Lost;
            }
        });
    }

    /// Everything that is not sacked is lost: the timer fired.
    pub(crate) fn mark_all_lost(&mut self) {
        self.change(self.una, self.nxt, |run| {
            if run.fate == Fate::Flying {
                run.fate = Fate::Lost;
            }
        });
        self.lost_from = self.una;
    }

    /// Forgets all selective acknowledgments.
    pub(crate) fn forget_sacked(&mut self) {
        self.change(self.una, self.nxt, |run| {
            if run.fate == Fate::Sacked {
                run.fate = Fate::Flying;
            }
        });
        (self.sacked_to, self.marked_to) = (self.una, self.una);
    }

    /// Takes back everything that was sent, as if nothing had been.
    pub(crate) fn unsend(&mut self) {
        let rate = core::mem::replace(&mut self.rate, RateSampler::new());
        *self = Self { runs: core::mem::take(&mut self.runs), rate, ..Self::new(self.una) };
        self.runs.clear();
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.runs.shrink_to(IDLE_RUNS);
    }

    /// The first lost sequence numbers that were not sent again: where, and how many in one piece.
    pub(crate) fn next_lost(&mut self) -> Option<(SeqNum, u32)> {
        if self.lost == 0 {
            return None;
        }
        let mut index = self.index_of(self.lost_from);
        while index < self.runs.len() && self.runs[index].fate != Fate::Lost {
            index += 1;
        }
        let start = self.start_of(index);
        let mut end = self.runs.get(index)?.end;
        self.lost_from = start;
        while let Some(next) = self.runs.get(index + 1).filter(|next| next.fate == Fate::Lost) {
            end = next.end;
            index += 1;
        }
        Some((start, end - start))
    }

    /// The lowest sequence number below which everything unsacked is lost by RFC 6675.
    fn sack_edge(&self, smss: u32, dup_thresh: u32) -> Option<SeqNum> {
        if self.sacked == 0 {
            return None;
        }
        let (mut bytes, mut pieces, mut above) = (0, 0, None);
        for index in (0..=self.index_of(self.sacked_to - 1).min(self.runs.len() - 1)).rev() {
            let run = self.runs[index];
            if run.fate == Fate::Sacked {
                bytes += run.end - self.start_of(index);
                pieces += u32::from(above != Some(Fate::Sacked));
                if bytes > (dup_thresh - 1) * smss || pieces >= dup_thresh {
                    return Some(self.start_of(index));
                }
            }
            above = Some(run.fate);
        }
        None
    }

    /// Applies `f` to all of `[start, end)`, cut out exactly.
    fn change(&mut self, start: SeqNum, end: SeqNum, mut f: impl FnMut(&mut Run)) {
        self.change_runs(start, end, |run, _| f(run));
    }

    /// As `change`, with each run's length; false if there is no room for the cuts.
    fn change_runs(&mut self, start: SeqNum, end: SeqNum, mut f: impl FnMut(&mut Run, u32)) -> bool {
        if !start.before(end) {
            return true;
        }
        if self.runs.len() + 2 > MAX_RUNS {
            return false;
        }
        self.cut(start);
        self.cut(end);
        let first = self.index_of(start);
        let mut index = first;
        let mut run_start = start;
        while let Some(run) = self.runs.get(index).copied().filter(|_| run_start.before(end)) {
            let len = run.end - run_start;
            let mut changed = run;
            f(&mut changed, len);
            if changed != run {
                self.runs[index] = changed;
                self.account(run.fate, len, false);
                self.account(changed.fate, len, true);
                self.count(&run, changed.fate, len);
                if changed.fate == Fate::Lost {
                    self.lost_from = self.lost_from.min(run_start);
                }
            }
            run_start = run.end;
            index += 1;
        }
        self.merge(first.saturating_sub(1), index);
        true
    }

    /// Puts a border at `seq`, if it lies inside a run.
    fn cut(&mut self, seq: SeqNum) {
        let index = self.index_of(seq);
        let Some(run) = self.runs.get(index).copied() else { return };
        if self.start_of(index).before(seq) {
            let stamp = run.stamp.before(run.end - seq);
            self.runs.insert(index, Run { end: seq, stamp, ..run });
        }
    }

    /// Joins equal neighbours among the runs `from..=to`.
    fn merge(&mut self, from: usize, to: usize) {
        let mut index = to.min(self.runs.len().saturating_sub(1));
        while index > from {
            let (before, run) = (self.runs[index - 1], self.runs[index]);
            let same_past = (before.resent, before.sent_at) == (run.resent, run.sent_at);
            // What is sacked needs no time any more.
            let alike = before.fate == run.fate && (same_past || run.fate == Fate::Sacked);
            if alike {
                self.runs[index - 1] = Run { end: run.end, stamp: run.stamp, ..before };
                self.runs.remove(index);
            }
            index -= 1;
        }
    }

    /// What the fate of `run` means for the rate.
    fn count(&mut self, run: &Run, fate: Fate, len: u32) {
        match (run.fate, fate) {
            (Fate::Flying | Fate::Lost, Fate::Sacked) => {
                self.rate.handle_delivered(len, run.sent_at, run.end, run.stamp);
            }
            (Fate::Flying, Fate::Lost) => self.rate.handle_lost(len, run.stamp),
            _ => {}
        }
    }

    fn account(&mut self, fate: Fate, len: u32, add: bool) {
        let sum = match fate {
            Fate::Flying => &mut self.flying,
            Fate::Sacked => &mut self.sacked,
            Fate::Lost => &mut self.lost,
        };
        *sum = if add { *sum + len } else { *sum - len };
    }

    /// Index of the run that holds `seq`.
    fn index_of(&self, seq: SeqNum) -> usize {
        self.runs.partition_point(|run| run.end.at_or_before(seq))
    }

    fn start_of(&self, index: usize) -> SeqNum {
        match index.checked_sub(1).and_then(|before| self.runs.get(before)) {
            Some(before) => before.end,
            None => self.una,
        }
    }
}

#[cfg(test)]
mod tests;
