//! Startup and Drain: the bandwidth is searched by doubling, then the queue that this left drains (sections 5.3.1,
//! 5.3.2).

use super::{AckSample, Bbr, State};
use crate::time::Instant;

/// Acknowledgments with losses in one round trip that end Startup (BBRStartupFullLossCnt).
const FULL_LOSS_COUNT: u32 = 6;
/// Rounds after which Drain ends, drained or not.
const DRAIN_ROUNDS: u64 = 3;

impl Bbr {
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// CheckStartupDone.
    pub(super) fn check_startup_done(&mut self, ack: &AckSample) {
        self.check_startup_high_loss(ack);
        if self.state == State::Startup && self.full_pipe.reached {
            self.state = State::Drain;
            self.drain_start_round = self.rounds.count;
        }
    }

    /// Section 5.3.1.3: a round in recovery with many losses: the pipe is more than full.
    fn check_startup_high_loss(&mut self, ack: &AckSample) {
        let many = self.latest.round_start && self.latest.loss_events >= FULL_LOSS_COUNT;
        if self.state != State::Startup || !many || !ack.in_recovery {
            return;
        }
        if self.is_inflight_too_high(ack.rate.lost, ack.rate.tx_in_flight) {
            self.undo.state = Some(State::Startup);
            self.full_pipe.reached = true;
            self.inflight_longterm = self.bdp_multiple(self.max_bw.get(), 100).max(self.latest.inflight);
        }
    }

    /// CheckDrainDone.
    pub(super) fn check_drain_done(&mut self, ack: &AckSample) {
        let drained = ack.in_flight <= self.quantized(self.bdp_multiple(self.bw, 100));
        let late = self.rounds.count > self.drain_start_round + DRAIN_ROUNDS;
        if self.state == State::Drain && (drained || late) {
            self.enter_probe_bw(ack.now, ack.delivered);
        }
    }

    fn enter_probe_bw(&mut self, now: Instant, delivered: u64) {
        self.start_down(now, delivered);
    }
}
