//! What a connection that is observed has decided and nobody has asked for yet.

use std::collections::VecDeque;

use super::common::Common;
use super::connection::Connection;
use super::decision::{Decided, Decision};
use super::state::{Block, Open, State};
use super::timer::Timer;
use crate::time::{Duration, Instant};

/// The decisions of one connection, bounded, and what was told last of the values that are compared.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    queue: VecDeque<Decided>,
    refused: u64,
    seen: Seen,
}

/// Decisions that one connection keeps: whoever observes it asks after each call.
const MOST: usize = 1024;

/// The values that are compared.
#[derive(Debug, Default)]
struct Seen {
    state: State,
    recovery: &'static str,
    recoveries: u32,
    reordering: bool,
    smss: u32,
    cwnd: u64,
    ssthresh: Option<u64>,
    pacing_rate: Option<u64>,
    congestion: &'static str,
    phase: &'static str,
    /// When the retransmission timer fires, and how often it was backed off.
    rto: Option<(Instant, u32)>,
    peer_window: Option<u32>,
    our_window: Option<u32>,
}

impl Journal {
    fn push(&mut self, at: Instant, decision: Decision) {
        if self.queue.len() < MOST {
            self.queue.push_back(Decided { at, decision });
        } else {
            self.refused += 1;
        }
    }

    /// Writes down what is not as it was.
    fn compare(&mut self, now: Instant, connection: &Connection) {
        let state = connection.state();
        if state != self.seen.state {
            let from = core::mem::replace(&mut self.seen.state, state);
            self.push(now, Decision::State { from, to: state });
            if state == State::Closed {
                self.push(now, Decision::Ended { error: connection.common.error });
            }
        }
        if let Block::Open(open) = &connection.block {
            self.compare_recovery(now, open, connection.common.counters.recoveries);
            self.compare_congestion(now, open);
            self.compare_windows(now, open);
        }
        let rto = match &connection.block {
            Block::Opening(opening) => (opening.rtt.rto(), opening.rtt.backoffs()),
            Block::Open(open) => (open.rtt.rto(), open.rtt.backoffs()),
            Block::TimeWait(_) | Block::Closed => (Duration::ZERO, 0),
        };
        self.compare_timer(now, connection.common.timers.at(Timer::Rto), rto);
    }

    fn compare_timer(&mut self, now: Instant, due: Option<Instant>, (rto, backoff): (Duration, u32)) {
        let told = match (self.seen.rto, due) {
            (None, None) => return,
            (Some(_), None) => {
                self.seen.rto = None;
                return self.push(now, Decision::RtoStopped);
            }
            (None, Some(_)) => false,
            (Some((at, before)), Some(due)) => {
                let moved = if due > at { due - at } else { at - due };
                backoff == before && moved < rto / 4
            }
        };
        if let Some(due) = due
            && !told
        {
            self.seen.rto = Some((due, backoff));
            self.push(now, Decision::RtoArmed { due, rto, backoff });
        }
    }

    fn compare_recovery(&mut self, now: Instant, open: &Open, recoveries: u32) {
        let board = &open.sender.board;
        let (reordering, reo_wnd) = open.recovery.reordering();
        if reordering && !self.seen.reordering {
            self.seen.reordering = true;
            self.push(now, Decision::Reordering { reo_wnd });
        }
        let to = open.recovery_name();
        let from = core::mem::replace(&mut self.seen.recovery, to);
        // One may end as the next begins.
        let another = core::mem::replace(&mut self.seen.recoveries, recoveries) != recoveries;
        let turned = from != to || (another && to == "recovery");
        if turned && !(from.is_empty() && to == "open") {
            let in_flight = u64::from(open.recovery.pipe(board, open.sender.smss));
            let (sacked, lost) = (board.sacked(), board.lost());
            self.push(now, Decision::Recovery { from, to, in_flight, sacked, lost });
        }
    }

    fn compare_congestion(&mut self, now: Instant, open: &Open) {
        let to = open.congestion.name();
        let from = core::mem::replace(&mut self.seen.congestion, to);
        if from != to {
            self.push(now, Decision::Congestion { from, to });
        }
        let to = open.congestion.phase();
        let from = core::mem::replace(&mut self.seen.phase, to);
        if from != to {
            self.push(now, Decision::Phase { from, to });
        }
        let to = open.congestion.cwnd();
        let from = core::mem::replace(&mut self.seen.cwnd, to);
        if from != to {
            self.push(now, Decision::Cwnd { from, to });
        }
        let to = Some(open.congestion.ssthresh()).filter(|&bytes| bytes < u64::MAX);
        let from = core::mem::replace(&mut self.seen.ssthresh, to);
        if from != to {
            self.push(now, Decision::Ssthresh { from, to });
        }
        let (from, to) = (self.seen.pacing_rate, open.pacer.rate());
        let near = |(from, to): (u64, u64)| from.abs_diff(to) < from / 16;
        if from != to && !from.zip(to).is_some_and(near) {
            self.seen.pacing_rate = to;
            self.push(now, Decision::PacingRate { from, to });
        }
    }

    fn compare_windows(&mut self, now: Instant, open: &Open) {
        let to = open.sender.smss;
        let from = core::mem::replace(&mut self.seen.smss, to);
        if from != to {
            self.push(now, Decision::Mss { from, to });
        }
        let turned = |from: Option<u32>, to: u32| from.filter(|&from| (from == 0) != (to == 0));
        let to = open.sender.snd_wnd;
        if let Some(from) = turned(self.seen.peer_window.replace(to), to) {
            self.push(now, Decision::PeerWindow { from, to });
        }
        let to = open.receiver.window();
        if let Some(from) = turned(self.seen.our_window.replace(to), to) {
            self.push(now, Decision::OurWindow { from, to });
        }
    }
}

impl Common {
    /// Writes a decision down, if somebody observes.
    pub(crate) fn tell(&mut self, now: Instant, decision: impl FnOnce() -> Decision) {
        if let Some(journal) = &mut self.journal {
            journal.push(now, decision());
        }
    }
}

impl Connection {
    /// Whether decisions are written down.
    pub fn is_observed(&self) -> bool {
        self.common.journal.is_some()
    }

    /// Writes decisions down from now on, or no longer. The first are the values as they are now.
    pub fn set_observed(&mut self, observed: bool) {
        self.common.settings.observe = observed;
        if observed != self.is_observed() {
            self.common.journal = observed.then(Box::default);
        }
    }

    /// Decisions that were not written down because nobody asked for those before, since this was last asked.
    pub fn take_decisions_refused(&mut self) -> u64 {
        self.common.journal.as_mut().map_or(0, |journal| core::mem::take(&mut journal.refused))
    }

    /// The next decision, the oldest first. Call until `None` after anything that may have changed the connection at
    /// `now`: what is told as a change is compared then.
    pub fn poll_decision(&mut self, now: Instant) -> Option<Decided> {
        let mut journal = self.common.journal.take()?;
        if journal.queue.is_empty() {
            journal.compare(now, self);
        }
        let next = journal.queue.pop_front();
        self.common.journal = Some(journal);
        next
    }
}
