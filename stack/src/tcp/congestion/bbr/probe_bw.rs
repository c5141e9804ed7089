//! ProbeBW: sends a little slower, as fast, and a little faster than the path delivers, in turn (section 5.3.3).

use super::{AckSample, BETA, Bbr, HEADROOM, INFINITY, State, share};
use crate::time::{Duration, Instant};

/// The cycle of DOWN, CRUISE, REFILL and UP.
///
/// ```text
///   rate ^        ___
///   1.25 |       |UP |                      bandwidth is found by exceeding it,
///   1.00 |_ _ _ _|   |    ________ _ _ _ _  a round of REFILL before
///   0.90 |           |DOWN|  CRUISE  REFILL
///        +---------------------------------> time
/// ```
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    ack_phase: AckPhase,
    /// When DOWN began.
    stamp: Instant,
    /// How long after that to probe again (BBR.bw_probe_wait).
    wait: Duration,
    /// The round in which DOWN began.
    down_round: u64,
    rounds_since_probe_up: u64,
    /// What is acknowledged now was sent by a probe that nobody has answered yet (BBR.is_bw_probe_sample).
    pub(super) is_probe_sample: bool,
    /// The last probe caused excess loss.
    pub(super) prev_probe_too_high: bool,
    /// The last probe was cut short for fear of that.
    prev_probe_precautionary: bool,
    /// Excess loss outside of a probe still lowers `inflight_longterm`: nothing has since it was probed last.
    may_yield: bool,
    /// Growth of `inflight_longterm`: rounds of UP, bytes acknowledged, and bytes for each segment more.
    up_rounds: u32,
    up_acked: u64,
    up_acked_per_inc: u64,
}

/// What the acknowledgments of these moments tell about the last probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// A loss-based flow on this path would have filled it by now (section 5.3.3.8.2).
const RENO_ROUNDS: u64 = 63;
/// Rounds of DOWN that drain whatever queue is our own.
const DOWN_ROUNDS: u64 = 8;

impl Cycle {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ack_phase: AckPhase::Init,
            stamp: now,
            wait: Duration::ZERO,
            down_round: 0,
            rounds_since_probe_up: 0,
            is_probe_sample: false,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            may_yield: true,
            up_rounds: 0,
            up_acked: 0,
            up_acked_per_inc: INFINITY,
        }
    }

    /// All that the last probe sent is accounted for.
    pub(super) fn is_accounted(&self) -> bool {
        self.ack_phase == AckPhase::Init
    }

    /// A round trip is over.
    pub(super) fn handle_round(&mut self) {
        self.rounds_since_probe_up += 1;
    }

    /// ProbeRTT begins: the probe, if one was under way, is over.
    pub(super) fn stop_probe(&mut self) {
        self.ack_phase = AckPhase::ProbeStopping;
    }
}

impl Bbr {
    /// UpdateProbeBWCyclePhase.
    pub(super) fn update_probe_bw_cycle(&mut self, ack: &AckSample) {
        if !self.full_pipe.reached || self.adapt_long_term_model(ack) {
            return;
        }
        let over = self.state == State::Up && self.is_time_to_go_down(ack);
        match self.state {
            State::Down if self.is_time_to_probe(ack.now) => self.start_refill(ack.delivered),
            State::Down if self.is_time_to_cruise(ack) => self.state = State::Cruise,
            State::Cruise if self.is_time_to_probe(ack.now) => self.start_refill(ack.delivered),
            // The pipe is full: after a round of it a probe finds what lies beyond.
            State::Refill if self.rounds.start => {
                self.cycle.is_probe_sample = true;
                self.start_up(ack);
            }
            State::Up if over => {
                self.cycle.prev_probe_too_high = false;
                self.start_down(ack.now, ack.delivered);
            }
            _ => {}
        }
    }

    /// AdaptLongTermModel: true if it has chosen the next state.
    fn adapt_long_term_model(&mut self, ack: &AckSample) -> bool {
        if self.rounds.start {
            let phase = self.cycle.ack_phase;
            if phase == AckPhase::ProbeStarting {
                self.cycle.ack_phase = AckPhase::ProbeFeedback;
            }
            if phase == AckPhase::ProbeStopping && self.end_of_probe(ack) {
                return true;
            }
        }
        let safe = !self.is_inflight_too_high(ack.rate.lost, ack.rate.tx_in_flight);
        if safe && self.inflight_longterm != INFINITY {
            self.inflight_longterm = self.inflight_longterm.max(ack.rate.tx_in_flight);
            if self.state == State::Up {
                self.probe_inflight_upward(ack);
            }
        }
        false
    }

    /// All that a probe sent is accounted for; true if the next one begins at once.
    fn end_of_probe(&mut self, ack: &AckSample) -> bool {
        self.cycle.is_probe_sample = false;
        self.cycle.ack_phase = AckPhase::Init;
        if !self.state.probes_bandwidth_in_cycle() {
            return false;
        }
        if !ack.rate.is_app_limited {
            self.max_bw.advance();
        }
        // Section 5.3.3.6, acceleration: the cautious probe found no excess loss.
        let again = self.cycle.prev_probe_precautionary && !self.cycle.prev_probe_too_high;
        if again {
            self.start_refill(ack.delivered);
        }
        again
    }

    pub(super) fn start_down(&mut self, now: Instant, delivered: u64) {
        self.latest.reset();
        self.random_loss.advance();
        self.cycle.up_acked_per_inc = INFINITY;
        self.pick_probe_wait();
        self.cycle.stamp = now;
        self.cycle.ack_phase = AckPhase::ProbeStopping;
        self.cycle.down_round = self.rounds.count;
        self.rounds.begin(delivered);
        self.state = State::Down;
    }

    /// From ProbeRTT: what is in flight is low already. The next probe follows within `wait`.
    pub(super) fn start_cruise(&mut self, now: Instant, delivered: u64, wait: Duration) {
        self.start_down(now, delivered);
        self.cycle.wait = Duration::from_nanos(self.rng.below(wait.as_nanos()));
        self.state = State::Cruise;
    }

    pub(super) fn start_refill(&mut self, delivered: u64) {
        self.reset_short_term_model();
        (self.cycle.up_rounds, self.cycle.up_acked) = (0, 0);
        self.cycle.prev_probe_precautionary = false;
        self.cycle.may_yield = true;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.rounds.begin(delivered);
        self.state = State::Refill;
    }

    fn start_up(&mut self, ack: &AckSample) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.rounds.begin(ack.delivered);
        self.full_pipe.reset(ack.rate.delivery_rate().unwrap_or(0));
        self.state = State::Up;
        self.raise_inflight_slope();
    }

    /// Section 5.3.3.8: random, so that flows do not probe together.
    fn pick_probe_wait(&mut self) {
        self.cycle.rounds_since_probe_up = self.rng.below(2);
        self.cycle.wait = Duration::from_millis(2000 + self.rng.below(1000));
    }

    fn is_time_to_probe(&self, now: Instant) -> bool {
        let reno_rounds = (self.target_inflight() / self.smss).min(RENO_ROUNDS);
        now > self.cycle.stamp + self.cycle.wait || self.cycle.rounds_since_probe_up >= reno_rounds
    }

    /// Note: the draft waits for both however long that takes. What does not leave in `DOWN_ROUNDS` is no queue of
    /// ours: it is others', or the path holds more than its shortest round trip says because some segments overtake.
    fn is_time_to_cruise(&self, ack: &AckSample) -> bool {
        if self.rounds.count > self.cycle.down_round + DOWN_ROUNDS {
            return true;
        }
        let bdp = self.quantized(self.bdp_multiple(self.max_bw.get(), 100));
        ack.in_flight <= self.inflight_with_headroom() && ack.in_flight <= bdp
    }

    /// Section 5.3.3.7.
    fn is_time_to_go_down(&mut self, ack: &AckSample) -> bool {
        // Section 5.3.3.6, deceleration: the last probe lost too much at this level.
        if self.cycle.prev_probe_too_high && ack.in_flight >= self.inflight_longterm {
            self.cycle.prev_probe_precautionary = true;
            return true;
        }
        if ack.cwnd_limited && self.cwnd >= self.inflight_longterm {
            // The bound is the limit, not the bandwidth.
            self.full_pipe.reset(ack.rate.delivery_rate().unwrap_or(0));
            return false;
        }
        self.full_pipe.now
    }

    /// The bound grows by 1, 2, 4... segments in each round trip of UP.
    fn raise_inflight_slope(&mut self) {
        let growth = 1 << self.cycle.up_rounds;
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(30);
        self.cycle.up_acked_per_inc = (self.cwnd / growth).max(self.smss);
    }

    /// ProbeInflightLongtermUpward.
    fn probe_inflight_upward(&mut self, ack: &AckSample) {
        if !ack.cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.cycle.up_acked += ack.rate.newly_delivered;
        let delta = self.cycle.up_acked / self.cycle.up_acked_per_inc;
        self.cycle.up_acked -= delta * self.cycle.up_acked_per_inc;
        self.inflight_longterm = self.inflight_longterm.saturating_add(delta * self.smss);
        if self.rounds.start {
            self.raise_inflight_slope();
        }
    }

    /// A probe sent more than the path holds (HandleInflightTooHigh): the level that it held is remembered.
    pub(super) fn handle_inflight_too_high(
        &mut self,
        now: Instant,
        delivered: u64,
        tx_in_flight: u64,
        is_app_limited: bool,
    ) {
        self.cycle.prev_probe_too_high = true;
        self.cycle.is_probe_sample = false;
        self.cycle.may_yield = false;
        if !is_app_limited {
            let level = self.yielded(tx_in_flight);
            self.inflight_longterm = level.max(share(self.target_inflight(), BETA));
        }
        if self.state == State::Up {
            self.undo.state = Some(State::Up);
            self.start_down(now, delivered);
        }
    }

    /// Excess loss outside of a probe: somebody else's probe met the limit, and takes back what it had too much.
    ///
    /// Note: in the draft this is no business of the long-term model. Then only who probes learns that others have
    /// come, and shares of the queue stay as they are for minutes. Once between two probes is what a flow gives that
    /// uses CUBIC.
    pub(super) fn yield_to_others(&mut self) {
        if core::mem::take(&mut self.cycle.may_yield) && self.inflight_longterm != INFINITY {
            self.inflight_longterm = self.yielded(self.inflight_longterm);
        }
    }

    /// What to keep of a level that caused excess loss: all that fills the path, of the rest as much as CUBIC keeps.
    ///
    /// Note: the draft keeps the level itself. But what all of a path's flows add is the same number of segments for
    /// each, so that only what is taken in proportion brings their shares together (as in RFC 5681's, whose proof is
    /// known).
    fn yielded(&self, level: u64) -> u64 {
        let full = self.bdp_multiple(self.max_bw.get(), 100 * 100 / (100 - HEADROOM));
        share(level, BETA).max(full.min(level))
    }
}
