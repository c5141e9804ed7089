//! What losses mean for the model: bounds in the short term, the level of a probe in the long (section 5.5.10), and how
//! both are taken back when nothing was lost after all (section 5.5.11).

use super::{
    AckSample, BETA, Bbr, INFINITY, LOSS_THRESH, Loss, LostSegment, RANDOM_LOSS_THRESH, State, share,
};
use crate::time::Instant;

/// A mean round-trip time that exceeds the least by less than this part of it tells of no queue.
const NO_QUEUE: u64 = 16;

/// What the path has delivered in the latest round trip.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest {
    /// The greatest rate and volume in it (BBR.bw_latest, BBR.inflight_latest).
    pub(super) bw: u64,
    pub(super) inflight: u64,
    /// The acknowledgment at hand ends a round trip that began with a loss, or with the one before.
    pub(super) round_start: bool,
    round_delivered: u64,
    /// Something was lost in it, or a queue reported.
    is_loss_in_round: bool,
    is_ecn_in_round: bool,
    /// How often something was found to be lost in it, and how often of these there was a queue.
    losses: u32,
    losses_with_queue: u32,
    /// How much was lost in it, and how much had been delivered when it began.
    lost_in_round: u64,
    delivered_before: u64,
    /// It began while nothing of a probe was on its way, and no queue was there.
    began_calm: bool,
    /// Acknowledgments that told of losses in it.
    pub(super) loss_events: u32,
    /// All that was delivered, as of the last acknowledgment.
    pub(super) delivered: u64,
}

impl Latest {
    /// ResetCongestionSignals.
    pub(super) fn reset(&mut self) {
        (self.bw, self.inflight) = (0, 0);
        self.begin_round();
    }

    fn begin_round(&mut self) {
        (self.is_loss_in_round, self.is_ecn_in_round) = (false, false);
        (self.losses, self.losses_with_queue) = (0, 0);
        self.lost_in_round = 0;
    }

    /// At least half of the losses of the round met a queue.
    fn had_queue(&self) -> bool {
        2 * self.losses_with_queue >= self.losses
    }

    /// What was sent of which the round told: what arrived and what did not.
    fn sent_in_round(&self) -> u64 {
        self.delivered - self.delivered_before + self.lost_in_round
    }

    /// Whether the round that ends now asks for lower bounds.
    ///
    /// Note: section 5.5.10.3 has any loss lower them. Random losses below what a probe tolerates would take as much of
    /// the rate in each round, so they do not count here.
    fn is_congested(&self, thresh: u64) -> bool {
        let lossy = is_excess(self.lost_in_round, self.sent_in_round(), thresh);
        self.is_ecn_in_round || (self.is_loss_in_round && lossy)
    }
}

/// What the last losses took.
#[derive(Clone, Debug, Default)]
pub(super) struct Undo {
    /// The probe that they ended.
    pub(super) state: Option<State>,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
}

impl Bbr {
    /// IsInflightTooHigh: more than the threshold was lost of what was in flight.
    pub(super) fn is_inflight_too_high(&self, lost: u64, tx_in_flight: u64) -> bool {
        is_excess(lost, tx_in_flight, self.loss_thresh(self.has_queue()))
    }

    /// Round trips take longer than they need: somewhere there is a queue. Without one nothing can overflow.
    fn has_queue(&self) -> bool {
        match (self.recent_rtt.settled(), self.min_rtt.get()) {
            (Some(recent), Some(least)) => recent > least + least / NO_QUEUE,
            _ => true,
        }
    }

    /// How much is too much to lose, in percent.
    ///
    /// Note: the draft takes all losses above 2 % for a sign of congestion (section 5.5.10). Those that come without a
    /// queue are not: no queue overflowed, so sending less would not spare any. But a queue may be too short to be
    /// noticed, or a policer in its place, so that of these, too, there is a measure.
    ///
    /// Note: each probe makes a queue. Where more than 2 % is lost anyway, that queue would be blamed: the probe would
    /// end before it found anything, and leave a bound that holds less than the path does. What is lost with a queue as
    /// without it is not the queue's. Twice that share, as a round has few segments, and its losses vary by chance.
    fn loss_thresh(&self, has_queue: bool) -> u64 {
        if !has_queue {
            return RANDOM_LOSS_THRESH;
        }
        let by_chance = 2 * self.random_loss.permille(self.smss) / 10;
        (LOSS_THRESH + by_chance).min(RANDOM_LOSS_THRESH)
    }

    /// Nothing is sent faster than the path delivers, and nothing waits: what is lost now is lost by chance.
    ///
    /// A policer drops what exceeds its rate, without any queue. That is what probes send, which therefore do not count.
    fn is_calm(&self) -> bool {
        let settled = matches!(self.state, State::Down | State::Cruise) && self.cycle.is_accounted();
        settled && !self.has_queue()
    }

    /// A round is over: if it was calm from beginning to end, so much is lost by chance.
    fn measure_random_loss(&mut self) {
        let latest = &self.latest;
        if latest.began_calm && latest.losses_with_queue == 0 && self.is_calm() {
            self.random_loss.handle_round(latest.lost_in_round, latest.sent_in_round());
        }
    }

    /// UpdateLatestDeliverySignals.
    pub(super) fn update_latest_delivery_signals(&mut self, ack: &AckSample) {
        let latest = &mut self.latest;
        latest.delivered = ack.delivered;
        latest.bw = latest.bw.max(ack.rate.delivery_rate().unwrap_or(0));
        latest.inflight = latest.inflight.max(ack.rate.delivered);
        latest.lost_in_round += ack.rate.newly_lost;
        latest.loss_events += u32::from(ack.rate.newly_lost > 0);
        latest.round_start = ack.rate.has_newest() && ack.rate.prior_delivered >= latest.round_delivered;
        if latest.round_start {
            latest.round_delivered = ack.delivered;
        }
    }

    /// UpdateCongestionSignals, with the round and the bandwidth.
    pub(super) fn update_congestion_signals(&mut self, ack: &AckSample) {
        if let Some(rtt) = ack.rtt {
            self.recent_rtt.handle_sample(rtt);
        }
        self.rounds.handle_ack(ack);
        if self.rounds.start {
            self.cycle.handle_round();
        }
        self.max_bw.handle_sample(&ack.rate);
        if !self.latest.round_start {
            return;
        }
        self.measure_random_loss();
        let thresh = self.loss_thresh(self.latest.had_queue());
        if self.latest.is_congested(thresh) && !self.state.accelerates() {
            self.lower_short_term_bounds();
            self.yield_to_others();
        }
        self.latest.begin_round();
        self.latest.began_calm = self.is_calm();
        self.latest.delivered_before = self.latest.delivered;
    }

    /// AdvanceLatestDeliverySignals.
    pub(super) fn advance_latest_delivery_signals(&mut self, ack: &AckSample) {
        if self.latest.round_start {
            self.latest.bw = ack.rate.delivery_rate().unwrap_or(0);
            self.latest.inflight = ack.rate.delivered;
            self.latest.loss_events = 0;
        }
    }

    /// Section 5.5.10.3: towards what was delivered, but by no more than Beta for each round trip.
    fn lower_short_term_bounds(&mut self) {
        if self.bw_shortterm == INFINITY {
            self.bw_shortterm = self.max_bw.get();
        }
        if self.inflight_shortterm == INFINITY {
            self.inflight_shortterm = self.cwnd;
        }
        self.bw_shortterm = self.latest.bw.max(share(self.bw_shortterm, BETA));
        self.inflight_shortterm = self.latest.inflight.max(share(self.inflight_shortterm, BETA));
    }

    pub(super) fn reset_short_term_model(&mut self) {
        (self.bw_shortterm, self.inflight_shortterm) = (INFINITY, INFINITY);
    }

    /// HandleLostPacket.
    pub(super) fn handle_lost(&mut self, now: Instant, lost: &LostSegment) {
        self.note_loss(lost.delivered);
        let probed = self.cycle.is_probe_sample;
        if probed && self.is_inflight_too_high(lost.lost, lost.tx_in_flight) {
            // As if there were a queue: where none is seen it may be that it is too short, and the level is to spare it.
            let level = inflight_at_loss(lost, self.loss_thresh(true));
            self.handle_inflight_too_high(now, lost.delivered, level, lost.is_app_limited);
        }
    }

    /// An ECN echo: the queue is too long, as if a little had been lost (RFC 3168 section 6.1.2).
    pub(super) fn handle_ecn(&mut self, loss: &Loss) {
        self.note_loss(self.latest.delivered);
        self.latest.is_ecn_in_round = true;
        if self.cycle.is_probe_sample {
            self.handle_inflight_too_high(loss.now, self.latest.delivered, 0, false);
        }
    }

    fn note_loss(&mut self, delivered: u64) {
        if !self.latest.is_loss_in_round {
            self.latest.round_delivered = delivered;
            self.save_state_upon_loss();
        }
        self.latest.is_loss_in_round = true;
        self.latest.losses += 1;
        self.latest.losses_with_queue += u32::from(self.has_queue());
    }

    /// SaveStateUponLoss.
    pub(super) fn save_state_upon_loss(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            state: None,
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        };
    }

    /// HandleSpuriousLossDetection.
    pub(super) fn handle_spurious_loss(&mut self, _now: Instant) {
        (self.in_recovery, self.after_timeout) = (false, false);
        self.restore_cwnd();
        self.latest.is_loss_in_round = false;
        self.full_pipe.reset(0);
        self.bw_shortterm = self.bw_shortterm.max(self.undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(self.undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(self.undo.inflight_longterm);
        let resumes = self.state != State::ProbeRtt;
        match self.undo.state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_pipe.reached = false;
                if resumes {
                    self.enter_startup();
                }
            }
            Some(State::Up) if self.state != State::Up && resumes => {
                self.start_refill(self.latest.delivered);
            }
            _ => {}
        }
    }
}

/// Whether that much of `sent` is more than `thresh` percent.
fn is_excess(lost: u64, sent: u64, thresh: u64) -> bool {
    u128::from(lost) * 100 > u128::from(sent) * u128::from(thresh)
}

/// At which volume in flight the losses crossed the threshold, which may be in the middle of what was lost now:
/// `lost_prev + x = thresh * (inflight_prev + x)`.
fn inflight_at_loss(lost: &LostSegment, thresh: u64) -> u64 {
    let inflight_prev = lost.tx_in_flight.saturating_sub(lost.bytes);
    let lost_prev = lost.lost.saturating_sub(lost.bytes);
    let missing = share(inflight_prev, thresh).saturating_sub(lost_prev);
    inflight_prev + missing * 100 / (100 - thresh)
}

#[cfg(test)]
mod tests {
    use super::super::{RandomLoss, Start};
    use super::*;

    #[test]
    fn what_is_lost_anyway_is_no_queues_fault() {
        let mut bbr = Bbr::new(&Start::new(Instant::ZERO, 1000, false));
        assert_eq!((bbr.loss_thresh(true), bbr.loss_thresh(false)), (LOSS_THRESH, RANDOM_LOSS_THRESH));
        for (lost, thresh) in [(0, 2), (500, 3), (5000, 12), (100_000, RANDOM_LOSS_THRESH)] {
            bbr.random_loss.handle_round(lost, 100_000);
            assert_eq!((bbr.loss_thresh(true), bbr.loss_thresh(false)), (thresh, RANDOM_LOSS_THRESH));
            bbr.random_loss = RandomLoss::default();
        }
    }

    #[test]
    fn the_level_lies_where_the_losses_cross_the_threshold() {
        let lost =
            |bytes, lost, tx_in_flight| LostSegment { bytes, lost, tx_in_flight, ..LostSegment::default() };
        // 10,000 of 110,000 lost at once, the last ones: 100,000 were safe, and 2,000 / 0.98 more of the burst.
        assert_eq!(inflight_at_loss(&lost(10_000, 10_000, 110_000), 2), 102_040);
        // All of the tolerance was used up before.
        assert_eq!(inflight_at_loss(&lost(1000, 9000, 50_000), 2), 49_000);
        assert_eq!(inflight_at_loss(&lost(9000, 5000, 5000), 2), 0);
        // A path that tolerates more has more of it left.
        assert_eq!(inflight_at_loss(&lost(10_000, 10_000, 110_000), 5), 105_263);
        assert!(is_excess(2001, 100_000, 2) && !is_excess(2000, 100_000, 2));
    }
}
