//! The search for what is lost among what is on its way (RFC 8985 section 6.2 step 5).

use super::repeats::Repeat;
use super::{Fate, Lost, Scoreboard, Sent};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

impl Scoreboard {
    /// Whether all that counts as lost lies between `start` and `end`.
    pub(crate) fn lost_lies_within(&self, start: SeqNum, end: SeqNum) -> bool {
        let (mut index, mut from, mut lost) = (self.index_of(start), start, 0);
        while let Some(run) = self.runs.get(index).filter(|_| from.before(end)) {
            lost += if run.fate == Fate::Lost { run.end.min(end) - from } else { 0 };
            from = run.end;
            index += 1;
        }
        lost == self.lost
    }

    /// Marks as lost what was sent before `newest`, which was delivered, and at least `patience` ago
    /// (RFC 8985 section 6.2 step 5).
    ///
    /// Originals lie in the order in which they were sent, repeats are queued in it: what is looked at is what is lost,
    /// and one more of each.
    pub(crate) fn mark_lost_before(&mut self, newest: Sent, now: Instant, patience: Duration) -> Lost {
        let mut lost = Lost::default();
        self.mark_originals(newest, now, patience, &mut lost);
        self.mark_repeats(newest, now, patience, &mut lost);
        lost
    }

    /// `mark_lost_before` for what was sent once.
    fn mark_originals(&mut self, newest: Sent, now: Instant, patience: Duration, lost: &mut Lost) {
        let mut index = self.index_of(self.original_from);
        let mut start = self.start_of(index);
        while let Some(run) = self.runs.get(index).copied() {
            if run.fate == Fate::Flying && !run.resent {
                if !newest.is_after(Sent { at: run.sent_at, end: run.end }) {
                    break;
                }
                let deadline = run.sent_at + patience;
                if deadline > now {
                    lost.look_again(deadline);
                    break;
                }
                self.mark_run(index, start, lost);
            }
            start = run.end;
            index += 1;
        }
        self.original_from = start;
    }

    /// `mark_lost_before` for what was sent again.
    fn mark_repeats(&mut self, newest: Sent, now: Instant, patience: Duration, lost: &mut Lost) {
        let mut place = 0;
        while let Some(repeat) = self.resent.get(place).filter(|repeat| repeat.at <= newest.at) {
            let overdue = repeat.at + patience <= now;
            // Whether some of it is on its way, and not yet lost.
            let mut waits = false;
            let mut index = self.index_of(repeat.start.max(self.una));
            let mut start = self.start_of(index);
            while let Some(run) = self.runs.get(index).copied().filter(|_| start.before(repeat.end)) {
                if run.fate == Fate::Flying && run.resent && run.sent_at == repeat.at {
                    let overtaken = newest.is_after(Sent { at: run.sent_at, end: run.end });
                    if overtaken && overdue {
                        self.mark_run(index, start, lost);
                    } else {
                        waits = true;
                    }
                }
                start = run.end;
                index += 1;
            }
            match (waits, overdue) {
                (false, _) => self.resent.remove(place),
                (true, true) => place += 1,
                (true, false) => return lost.look_again(repeat.at + patience),
            }
        }
    }

    /// What is on its way again has to be looked at again.
    pub(super) fn search_anew(&mut self) {
        self.original_from = self.una;
        let mut start = self.una;
        let runs = self.runs.iter().map(|run| (core::mem::replace(&mut start, run.end), run));
        let again = runs.filter(|(_, run)| run.fate == Fate::Flying && run.resent);
        self.resent.replace(again.map(|(start, run)| Repeat { at: run.sent_at, start, end: run.end }));
    }

    /// Marks a run that begins at `start` as lost.
    fn mark_run(&mut self, index: usize, start: SeqNum, lost: &mut Lost) {
        let mut run = self.runs[index];
        let len = run.end - start;
        lost.mark(&mut run, len);
        self.replace(index, start, run);
    }
}
