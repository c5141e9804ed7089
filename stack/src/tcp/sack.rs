//! The scoreboard: what was sent, when, and what became of it (RFC 2018, RFC 6675, RFC 8985 section 5).

use std::collections::VecDeque;

use super::rate::{RateSampler, Stamp};
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{SackBlock, SackBlocks};

mod losses;
mod repeats;

use repeats::{Repeat, Repeats};

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
    /// Of those that fly, the ones that were sent more than once.
    repeats: u32,
    /// No run below this is lost: where the search for the next begins.
    lost_from: SeqNum,
    /// No run below this is an original on its way: where the search for losses begins.
    original_from: SeqNum,
    /// What was sent again, in the order of time.
    resent: Repeats,
    /// What was sent last.
    last_sent: Sent,
    /// How fast what was sent arrives.
    pub(crate) rate: RateSampler,
}

packed!(Scoreboard {
    runs,
    una,
    nxt,
    flying,
    sacked,
    lost,
    repeats,
    lost_from,
    original_from,
    resent,
    last_sent,
    rate
});

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
    /// The latest sent of those that were sent only once, and of the others.
    pub(crate) latest: Option<Sent>,
    pub(crate) latest_resent: Option<Sent>,
    /// The end of the highest of them.
    pub(crate) highest: Option<SeqNum>,
    /// The start of the lowest that was sent only once.
    pub(crate) lowest_original: Option<SeqNum>,
    /// Some of it had been sent more than once.
    pub(crate) resent: bool,
}

/// When something was sent, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) end: SeqNum,
}

packed!(Sent { at, end });

/// What was marked lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Lost {
    /// Sequence numbers.
    pub(crate) newly: u32,
    /// Of these, those that had been sent again: they were lost again.
    pub(crate) again: u32,
    /// When to look again: what was left alone may be lost then.
    pub(crate) retry: Option<Instant>,
}

/// More runs than this are not kept for what the peer reports and what is new.
const MAX_RUNS: usize = 16_384;
/// Runs that there may be beyond that for what is sent again.
const SPARE_RUNS: usize = 16_384;
/// Runs for which an idle scoreboard keeps memory.
const IDLE_RUNS: usize = 8;

impl Sent {
    /// RACK_sent_after (RFC 8985 section 6.2 step 2): at one time the higher number counts as sent later.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.at > other.at || (self.at == other.at && self.end.after(other.end))
    }
}

impl Lost {
    /// What is left alone may be lost at `deadline`.
    fn look_again(&mut self, deadline: Instant) {
        self.retry = Some(self.retry.map_or(deadline, |at| at.min(deadline)));
    }

    /// `run` of `len` sequence numbers is lost, if it was on its way.
    fn mark(&mut self, run: &mut Run, len: u32) {
        if run.fate == Fate::Flying {
            run.fate = Fate::Lost;
            self.newly += len;
            self.again += if run.resent { len } else { 0 };
        }
    }
}

impl Acked {
    /// `run`, which begins at `start`, is newly acknowledged up to `end`.
    fn add(&mut self, run: &Run, start: SeqNum, end: SeqNum) {
        self.newly += end - start;
        self.resent |= run.resent;
        let sent = Sent { at: run.sent_at, end };
        let latest = if run.resent { &mut self.latest_resent } else { &mut self.latest };
        if latest.is_none_or(|latest| sent.is_after(latest)) {
            *latest = Some(sent);
        }
        self.highest = Some(self.highest.map_or(end, |highest| highest.max(end)));
        if !run.resent {
            self.lowest_original = Some(self.lowest_original.map_or(start, |lowest| lowest.min(start)));
        }
    }
}

/// What a segment that acknowledges up to `ack` reports as received twice (RFC 2883 section 4): a first block below the
/// acknowledgment number, or within the second.
pub(crate) fn duplicate_report(ack: SeqNum, blocks: &SackBlocks) -> Option<SackBlock> {
    let blocks = blocks.as_slice();
    let first = *blocks.first()?;
    let within =
        |outer: &SackBlock| outer.start.at_or_before(first.start) && first.end.at_or_before(outer.end);
    let duplicate = first.start.before(ack) || blocks.get(1).is_some_and(within);
    (duplicate && first.start.before(first.end)).then_some(first)
}

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
            repeats: 0,
            lost_from: una,
            original_from: una,
            resent: Repeats::default(),
            last_sent: Sent { at: Instant::ZERO, end: una },
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

    /// Sequence numbers that are on their way for at least the second time.
    pub(crate) fn repeats(&self) -> u32 {
        self.repeats
    }

    /// The last that was sent and is not sacked: where its run begins and ends.
    pub(crate) fn last_flying(&self) -> Option<(SeqNum, SeqNum)> {
        let index = self.runs.iter().rposition(|run| run.fate == Fate::Flying)?;
        Some((self.start_of(index), self.runs[index].end))
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
        let at = self.next_time(now, self.nxt);
        let full = self.runs.len() >= MAX_RUNS;
        if let Some(last) = self.runs.back_mut() {
            // Note: a full board gives the whole run its last time, which errs towards patience.
            if last.fate == Fate::Flying && !last.resent && (last.sent_at == at || full) {
                last.end = self.nxt;
                (last.sent_at, last.stamp) = (at, stamp);
                return;
            }
        }
        self.runs.push_back(Run { end: self.nxt, fate: Fate::Flying, resent: false, sent_at: at, stamp });
    }

    /// `len` sequence numbers from `start` were sent again.
    pub(crate) fn handle_resent(&mut self, now: Instant, start: SeqNum, len: u32) {
        let stamp = self.rate.handle_sent(now, self.flying, len);
        let at = self.next_time(now, start + len);
        self.resent.push(Repeat { at, start, end: start + len });
        let mut resend = |run: &mut Run, _| {
            if run.fate != Fate::Sacked {
                *run = Run { fate: Fate::Flying, resent: true, sent_at: at, stamp, ..*run };
            }
        };
        if !self.change_runs(start, start + len, MAX_RUNS + SPARE_RUNS, &mut resend) {
            // Without room for the cuts all of the run counts as sent again, so that nothing is sent for ever.
            let index = self.index_of(start);
            if let Some(mut run) = self.runs.get(index).copied() {
                let run_start = self.start_of(index);
                resend(&mut run, run_start);
                self.resent.push(Repeat { at, start: run_start, end: run.end });
                self.replace(index, run_start, run);
            }
        }
    }

    /// Everything before `ack`, which lies between SND.UNA and SND.NXT, has arrived.
    pub(crate) fn handle_ack(&mut self, ack: SeqNum, acked: &mut Acked) {
        while let Some(run) = self.runs.front().copied() {
            if !self.una.before(ack) {
                break;
            }
            let end = run.end.min(ack);
            let len = end - self.una;
            self.account(&run, len, false);
            acked.resent |= run.resent;
            if run.fate != Fate::Sacked {
                acked.cumulative += len;
                acked.add(&run, self.una, end);
                self.rate.handle_delivered(len, run.sent_at, end, run.stamp);
            }
            self.una = end;
            if end == run.end {
                self.runs.pop_front();
            }
        }
        self.una = self.una.max(ack);
        self.nxt = self.nxt.max(ack);
        self.lost_from = self.lost_from.max(self.una);
        self.original_from = self.original_from.max(self.una);
        if self.repeats == 0 {
            self.resent.clear();
        }
    }

    /// The peer holds `block`. What lies outside of what was sent is ignored.
    pub(crate) fn handle_sack(&mut self, block: SackBlock, acked: &mut Acked) {
        let (start, end) = (block.start.max(self.una), block.end);
        // RFC 2018 section 3: blocks lie above the acknowledgment number; what was never sent cannot have arrived.
        if !start.before(end) || end.after(self.nxt) || block.start.before(self.una) {
            return;
        }
        self.change_runs(start, end, MAX_RUNS, |run, run_start| {
            if run.fate != Fate::Sacked {
                acked.add(run, run_start, run.end);
                run.fate = Fate::Sacked;
            }
        });
    }

    /// Marks as lost the first run, and what was sent at least `patience` ago (RFC 8985 section 6.3).
    pub(crate) fn mark_lost_since(&mut self, now: Instant, patience: Duration) -> Lost {
        let (mut lost, mut first) = (Lost::default(), true);
        self.change_all(|run, len| {
            if core::mem::take(&mut first) || run.sent_at + patience <= now {
                lost.mark(run, len);
            }
        });
        lost
    }

    /// Marks the first `len` sequence numbers as lost, unless they were sent again already or have arrived.
    pub(crate) fn mark_head_lost(&mut self, len: u32) {
        self.mark_lost(self.una, self.una + len);
    }

    /// The same for what lies between `start` and `end`.
    pub(crate) fn mark_lost(&mut self, start: SeqNum, end: SeqNum) {
        let (start, end) = (start.max(self.una), end.min(self.nxt));
        self.change_runs(start, end, MAX_RUNS + SPARE_RUNS, |run, _| {
            if run.fate == Fate::Flying && !run.resent {
                run.fate = Fate::Lost;
            }
        });
    }

    /// Everything that is not sacked is lost.
    pub(crate) fn mark_all_lost(&mut self) {
        self.change_all(|run, len| {
            Lost::default().mark(run, len);
        });
    }

    /// Nothing is lost after all: it is on its way.
    pub(crate) fn unmark_lost(&mut self) {
        self.change_all(|run, _| {
            if run.fate == Fate::Lost {
                run.fate = Fate::Flying;
            }
        });
        self.search_anew();
    }

    /// Forgets all selective acknowledgments.
    pub(crate) fn forget_sacked(&mut self) {
        self.change_all(|run, _| {
            if run.fate == Fate::Sacked {
                run.fate = Fate::Flying;
            }
        });
        self.search_anew();
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
        self.resent.shrink();
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

    /// The time of what is sent now, and ends at `end`. RFC 8985 section 6.2 step 2 takes the higher number for the
    /// later of two that were sent at one time: what is sent again after something new is given the next nanosecond.
    fn next_time(&mut self, now: Instant, end: SeqNum) -> Instant {
        let last = self.last_sent;
        let at = match now > last.at {
            true => now,
            false if end.after(last.end) => last.at,
            false => last.at + Duration::from_nanos(1),
        };
        self.last_sent = Sent { at, end };
        at
    }

    /// Applies `f` to all of `[start, end)`, cut out exactly; false if that would make more than `most` runs.
    /// `f` is also told where the run begins.
    fn change_runs(
        &mut self,
        start: SeqNum,
        end: SeqNum,
        most: usize,
        mut f: impl FnMut(&mut Run, SeqNum),
    ) -> bool {
        if !start.before(end) {
            return true;
        }
        if self.runs.len() + 2 > most {
            return false;
        }
        self.cut(start);
        self.cut(end);
        let first = self.index_of(start);
        let mut index = first;
        let mut run_start = start;
        while let Some(run) = self.runs.get(index).copied().filter(|_| run_start.before(end)) {
            let mut changed = run;
            f(&mut changed, run_start);
            self.replace(index, run_start, changed);
            run_start = run.end;
            index += 1;
        }
        self.merge(first.saturating_sub(1), index);
        true
    }

    /// Applies `f` to all runs as they are, with their lengths.
    fn change_all(&mut self, mut f: impl FnMut(&mut Run, u32)) {
        let mut start = self.una;
        for index in 0..self.runs.len() {
            let run = self.runs[index];
            let mut changed = run;
            f(&mut changed, run.end - start);
            self.replace(index, start, changed);
            start = run.end;
        }
    }

    /// Puts `changed` in the place of a run that begins at `start`.
    fn replace(&mut self, index: usize, start: SeqNum, changed: Run) {
        let run = self.runs[index];
        if run == changed {
            return;
        }
        let len = run.end - start;
        self.runs[index] = changed;
        self.account(&run, len, false);
        self.account(&changed, len, true);
        self.count(&run, changed.fate, len);
        if changed.fate == Fate::Lost {
            self.lost_from = self.lost_from.min(start);
        }
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

    fn account(&mut self, run: &Run, len: u32, add: bool) {
        let add_to = |sum: &mut u32| *sum = if add { *sum + len } else { *sum - len };
        match run.fate {
            Fate::Flying => {
                add_to(&mut self.flying);
                if run.resent {
                    add_to(&mut self.repeats);
                }
            }
            Fate::Sacked => add_to(&mut self.sacked),
            Fate::Lost => add_to(&mut self.lost),
        }
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
