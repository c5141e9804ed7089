//! BBR version 3: a model of the path, its bandwidth and its round-trip time, instead of a window that grows until
//! something is lost (draft-ietf-ccwg-bbr-06, whose sections are cited).
//!
//! - `model`: what is measured: rounds, bandwidth, aggregation, a full pipe.
//! - `startup`: the first search, and the drain of the queue that it leaves.
//! - `probe_bw`: the cycle of DOWN, CRUISE, REFILL and UP.
//! - `probe_rtt`: the least round-trip time, and the pauses in which it shows.
//! - `loss`: what losses mean for the model, and how that is taken back.
//!
//! # Where it departs from the draft
//!
//! Each departure has its `Note` where it is decided:
//!
//! | what the draft says | what is done here | why |
//! | --- | --- | --- |
//! | losses above 2 % are excess (5.5.10) | without a queue, above 15 % | no queue has overflowed: sending less would spare none |
//! | the same | with a queue, above 2 % and twice what the path loses without one | else random losses would end each probe |
//! | any loss in a round lowers the short-term bounds (5.5.10.3) | excess loss alone does | random losses would take as much of the rate in each round |
//! | excess loss outside of a probe says nothing of the long-term bound | it lowers it, once between two probes | else only who probes would learn that others have come |
//! | the bound is the level that caused excess loss | that beyond a full path times 0.7 | shares only meet if they shrink in proportion |
//! | a round trip ends with what was sent at its beginning (5.5.1) | not before 3/4 SRTT have passed | where segments overtake, a round would last next to nothing |
//! | DOWN lasts until the queue has gone (5.3.3.1) | 8 round trips at most | what has not left by then is others' |
//! | after ProbeRTT the next probe comes as always (5.3.4.4) | up to 3 s later, by chance | flows leave their pauses together, and would probe together |
//! | ProbeRTT comes for all (5.3.4) | not for who never filled the pipe and finds no queue | a pause would show nothing new |
//! | each sample may be the least round-trip time | not those of what SACK alone reports | it may have overtaken the rest |
//! | ECN is left open | a mark that RFC 3168 wants answered counts as a round with excess loss | |

mod loss;
mod model;
mod probe_bw;
mod probe_rtt;
mod startup;

use super::super::pacing::send_quantum;
use super::{AckSample, Congestion, EcnSignal, Gains, Loss, LossKind, LostSegment, Sent, Start, Timeout};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use loss::{Latest, Undo};
use model::{AckAggregation, FullPipe, MaxBandwidth, RandomLoss, RecentRtt, Rounds, bdp, share};
use probe_bw::Cycle;
use probe_rtt::MinRtt;

/// Where the search for the path's bandwidth stands (section 5.1).
///
/// ```text
///   Startup -> Drain -> Down -> Cruise -> Refill -> Up
///                        ^                           |
///                        +---------------------------+      and ProbeRtt from anywhere, now and then
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Drain => "drain",
            Self::Down => "probe_bw_down",
            Self::Cruise => "probe_bw_cruise",
            Self::Refill => "probe_bw_refill",
            Self::Up => "probe_bw_up",
            Self::ProbeRtt => "probe_rtt",
        }
    }

    /// The rate to send at, in percent of the bandwidth (section 5.6.1).
    const fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => 277,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }

    /// The window, in percent of the bandwidth-delay product (section 5.6.1).
    const fn cwnd_gain(self) -> u64 {
        match self {
            Self::Up => 225,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            _ => 200,
        }
    }

    /// ProbeBW, whichever part.
    const fn probes_bandwidth_in_cycle(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// What is lost now is lost to acceleration (IsProbingBW).
    const fn accelerates(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// The congestion control of draft-ietf-ccwg-bbr, version 3.
///
/// All rates are bytes per second, all volumes bytes; [`u64::MAX`] stands for a bound that is not known.
#[derive(Clone, Debug)]
pub struct Bbr {
    smss: u64,
    state: State,
    rng: Rng,

    cwnd: u64,
    initial_cwnd: u64,
    pacing_rate: u64,
    send_quantum: u64,
    /// The last window that neither a recovery nor ProbeRTT had made smaller.
    prior_cwnd: u64,

    rounds: Rounds,
    max_bw: MaxBandwidth,
    /// The least of `max_bw` and `bw_shortterm`.
    bw: u64,
    min_rtt: MinRtt,
    recent_rtt: RecentRtt,
    random_loss: RandomLoss,
    full_pipe: FullPipe,
    aggregation: AckAggregation,
    /// Round in which Drain began.
    drain_start_round: u64,

    cycle: Cycle,
    latest: Latest,
    /// The volume in flight that caused no excess loss, by the last probe that did (BBR.inflight_longterm).
    inflight_longterm: u64,
    /// Bounds from losses outside of probes (BBR.bw_shortterm, BBR.inflight_shortterm).
    bw_shortterm: u64,
    inflight_shortterm: u64,

    undo: Undo,
    in_recovery: bool,
    after_timeout: bool,
    /// Sending begins again after a pause of the application.
    idle_restart: bool,
}

/// No bound.
const INFINITY: u64 = u64::MAX;
/// Segments that keep the path busy however small its bandwidth-delay product (section 5.6.4.3).
const MIN_PIPE_CWND: u64 = 4;
/// BBR.LossThresh in percent: more than this per round trip is too much.
const LOSS_THRESH: u64 = 2;
/// What a path may lose without a queue, in percent per round trip, before that counts as congestion.
const RANDOM_LOSS_THRESH: u64 = 15;
/// BBR.Beta in percent: the most that one round of losses takes.
const BETA: u64 = 70;
/// BBR.Headroom in percent: left free for others.
const HEADROOM: u64 = 15;
/// BBR.ProbeRTTCwndGain in percent.
const PROBE_RTT_CWND_GAIN: u64 = 50;
/// What pacing stays under the bandwidth, in percent (BBR.PacingMarginPercent).
const PACING_MARGIN: u64 = 1;

impl Bbr {
    /// At the start of a connection, or in the place of another congestion control.
    pub fn new(start: &Start) -> Self {
        let smss = u64::from(start.smss);
        let mut bbr = Self {
            smss,
            state: State::Startup,
            rng: Rng::new(start.seed, 0xbb3),
            cwnd: start.cwnd,
            initial_cwnd: start.cwnd,
            pacing_rate: 0,
            send_quantum: 0,
            prior_cwnd: 0,
            rounds: Rounds::default(),
            max_bw: MaxBandwidth::default(),
            bw: 0,
            min_rtt: MinRtt::new(start.now, start.srtt),
            recent_rtt: RecentRtt::default(),
            random_loss: RandomLoss::default(),
            full_pipe: FullPipe::default(),
            aggregation: AckAggregation::new(start.now),
            drain_start_round: 0,
            cycle: Cycle::new(start.now),
            latest: Latest::default(),
            inflight_longterm: INFINITY,
            bw_shortterm: INFINITY,
            inflight_shortterm: INFINITY,
            undo: Undo::default(),
            in_recovery: false,
            after_timeout: false,
            idle_restart: false,
        };
        bbr.init_pacing_rate(start.srtt);
        bbr
    }

    /// Section 5.6.2: without a measurement, what the first window gives.
    fn init_pacing_rate(&mut self, srtt: Option<Duration>) {
        let rtt = srtt.filter(|rtt| !rtt.is_zero()).unwrap_or(Duration::from_millis(1));
        let nominal = u128::from(self.initial_cwnd) * 1_000_000_000 / u128::from(rtt.as_nanos());
        self.pacing_rate = share(u64::try_from(nominal).unwrap_or(INFINITY), State::Startup.pacing_gain());
        self.send_quantum = send_quantum(self.pacing_rate, self.smss);
    }

    /// Section 5.2.3, UpdateModelAndState.
    fn update_model_and_state(&mut self, ack: &AckSample) {
        self.update_latest_delivery_signals(ack);
        self.update_congestion_signals(ack);
        let window = if self.full_pipe.reached { AckAggregation::LONG } else { AckAggregation::SHORT };
        self.aggregation.handle_ack(ack, self.bw, self.cwnd, self.rounds.start, window);
        if self.rounds.start {
            self.full_pipe.handle_round(&ack.rate);
        }
        self.check_startup_done(ack);
        self.check_drain_done(ack);
        self.update_probe_bw_cycle(ack);
        self.min_rtt.handle_ack(ack, self.full_pipe.reached);
        self.check_probe_rtt(ack);
        self.advance_latest_delivery_signals(ack);
        self.bw = self.max_bw.get().min(self.bw_shortterm);
    }

    /// Section 5.6.2: paces at the gain's part of the bandwidth; faster only until the pipe was full once.
    fn set_pacing_rate(&mut self, gain: u64) {
        let rate = share(share(self.bw, gain), 100 - PACING_MARGIN);
        if self.full_pipe.reached || rate > self.pacing_rate {
            // Without any sample yet there is no rate to pace at.
            self.pacing_rate = rate.max(1);
        }
        self.send_quantum = send_quantum(self.pacing_rate, self.smss);
    }

    /// Section 5.6.4.6.
    fn set_cwnd(&mut self, ack: &AckSample) {
        let newly = ack.rate.newly_delivered;
        let max_inflight = self.quantized(
            self.bdp_multiple(self.bw, self.state.cwnd_gain()).saturating_add(self.aggregation.extra()),
        );
        if self.full_pipe.reached {
            self.cwnd = (self.cwnd + newly).min(max_inflight);
        } else if self.cwnd < max_inflight || ack.delivered < self.initial_cwnd {
            self.cwnd += newly;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// Section 5.6.4.7.
    fn bound_cwnd_for_model(&mut self) {
        let cap = match self.state {
            State::Down | State::Refill | State::Up => self.inflight_longterm,
            State::ProbeRtt | State::Cruise => self.inflight_with_headroom(),
            State::Startup | State::Drain => INFINITY,
        };
        let cap = cap.min(self.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.min(cap);
    }

    /// Section 5.6.4.2: the gain's part of what the path holds without a queue.
    fn bdp_multiple(&self, bw: u64, gain: u64) -> u64 {
        match self.min_rtt.get() {
            Some(min_rtt) => share(bdp(bw, min_rtt), gain),
            None => self.initial_cwnd,
        }
    }

    /// As much as the bursts of sender and receiver need, whatever the path holds.
    fn quantized(&self, inflight: u64) -> u64 {
        let probe = if self.state == State::Up { 2 * self.smss } else { 0 };
        inflight.max(3 * self.send_quantum).max(self.min_pipe_cwnd()).saturating_add(probe)
    }

    /// The bandwidth-delay product, but no more than congestion has left (TargetInflight).
    fn target_inflight(&self) -> u64 {
        // Note: what a timeout leaves of the window for a moment is no reason to probe at once.
        let cwnd = if self.in_recovery { self.prior_cwnd } else { self.cwnd };
        self.bdp_multiple(self.bw, 100).min(cwnd)
    }

    /// What leaves room for others below the level that caused loss.
    fn inflight_with_headroom(&self) -> u64 {
        if self.inflight_longterm == INFINITY {
            return INFINITY;
        }
        let headroom = share(self.inflight_longterm, HEADROOM).max(self.smss);
        self.inflight_longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    fn min_pipe_cwnd(&self) -> u64 {
        MIN_PIPE_CWND * self.smss
    }

    /// Section 5.6.4.4: remembers the window that recovery or ProbeRTT is about to make smaller.
    fn save_cwnd(&mut self) {
        let modulated = self.in_recovery || self.state == State::ProbeRtt;
        self.prior_cwnd = if modulated { self.prior_cwnd.max(self.cwnd) } else { self.cwnd };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}

impl Congestion for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn cwnd(&self) -> u64 {
        self.cwnd
    }

    fn ssthresh(&self) -> u64 {
        INFINITY
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn phase(&self) -> &'static str {
        self.state.name()
    }

    fn bandwidth(&self) -> Option<u64> {
        Some(self.bw).filter(|&bw| bw > 0)
    }

    fn gains(&self) -> Option<Gains> {
        Some(Gains { pacing: self.state.pacing_gain() as u16, cwnd: self.state.cwnd_gain() as u16 })
    }

    fn paces_recovery(&self) -> bool {
        true
    }

    fn holds_back(&self) -> bool {
        // Section 5.3.4.3: low rates in ProbeRTT say nothing about the path.
        self.state == State::ProbeRtt
    }

    fn on_sent(&mut self, sent: &Sent) {
        // Section 5.4.1: after a pause the pipe is empty, and so is the queue: exactly the bandwidth fills it.
        if sent.in_flight == 0 && sent.app_limited {
            self.idle_restart = true;
            self.aggregation.restart(sent.now);
            if self.state.probes_bandwidth_in_cycle() {
                self.set_pacing_rate(100);
            } else if self.state == State::ProbeRtt {
                self.check_probe_rtt_done(sent.now);
            }
        }
    }

    fn on_lost(&mut self, now: Instant, lost: &LostSegment) {
        self.handle_lost(now, lost);
    }

    fn on_ack(&mut self, ack: &AckSample) {
        if self.after_timeout && !ack.after_timeout {
            self.on_recovery_exit(ack.now, ack.flight);
        }
        self.update_model_and_state(ack);
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(ack);
    }

    fn on_congestion_event(&mut self, loss: &Loss) {
        match loss.kind {
            // What was lost is known from `on_lost` already.
            LossKind::Fast => {
                self.save_cwnd();
                self.in_recovery = true;
            }
            LossKind::Ecn => self.handle_ecn(loss),
        }
    }

    fn on_ecn(&mut self, signal: &EcnSignal) -> bool {
        // Note: the draft leaves ECN open. A mark that RFC 3168 wants answered counts like losses above the threshold
        // in one round trip, and says nothing about losses.
        if signal.first_in_window {
            let &EcnSignal { now, flight, .. } = signal;
            self.handle_ecn(&Loss { now, flight, kind: LossKind::Ecn });
        }
        false
    }

    fn on_recovery_exit(&mut self, _now: Instant, _flight: u64) {
        (self.in_recovery, self.after_timeout) = (false, false);
        self.restore_cwnd();
        self.bound_cwnd_for_model();
    }

    fn on_rto(&mut self, _timeout: &Timeout) {
        // Section 5.6.4.4: nothing is in flight any more; one segment goes out.
        self.save_cwnd();
        (self.in_recovery, self.after_timeout) = (true, true);
        self.cwnd = self.smss;
    }

    fn on_idle_restart(&mut self, _now: Instant, _idle: Duration) {
        // Section 5.4.2: pacing at the bandwidth needs no slow start; see `on_sent`.
    }

    fn undo(&mut self, now: Instant) {
        self.handle_spurious_loss(now);
    }

    fn set_smss(&mut self, smss: u32) {
        self.smss = u64::from(smss);
        self.cwnd = self.cwnd.max(self.smss);
    }
}

#[cfg(test)]
mod tests;
