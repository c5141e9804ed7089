//! NewReno: slow start and additive increase, multiplicative decrease (RFC 5681, RFC 6582), counted in bytes (RFC
//! 3465).

use super::hystart::{Growth, HyStart};
use super::validation::Validation;
use super::{AckSample, Congestion, Loss, LossKind, Start, Timeout, initial_window, slow_start_increase};
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// The congestion control of RFC 5681 with the recovery exit of RFC 6582.
#[derive(Clone, Debug)]
pub struct NewReno {
    smss: u32,
    cwnd: u64,
    ssthresh: u64,
    /// In congestion avoidance the window with which this round trip began, and the bytes acknowledged in it;
    /// 0 before the first.
    round: u64,
    bytes_acked: u64,
    /// In the slow start after a timeout.
    after_rto: bool,
    /// See [`Start::paced`].
    paced: bool,
    hystart: HyStart,
    validation: Validation,
    before: Option<Before>,
}

packed!(NewReno { smss, cwnd, ssthresh, round, bytes_acked, after_rto, paced, hystart, validation, before });

/// What the last reduction took.
#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: u64,
    ssthresh: u64,
}

packed!(Before { cwnd, ssthresh });

/// L of RFC 3465: segments by which one acknowledgment may open the window in slow start.
const ABC_LIMIT: u64 = 2;

impl NewReno {
    /// At the start of a connection.
    pub fn new(start: &Start) -> Self {
        let Start { now, smss, cwnd, ssthresh, paced, .. } = *start;
        Self {
            smss,
            cwnd,
            ssthresh,
            round: 0,
            bytes_acked: 0,
            after_rto: false,
            paced,
            hystart: HyStart::new(ssthresh),
            validation: Validation::new(now),
            before: None,
        }
    }

    /// Slow start; false when it is over.
    fn slow_start(&mut self, ack: &AckSample) -> bool {
        // RFC 3465 section 2.3: L is 1 in the slow start that follows a timeout.
        let limit = if self.after_rto { 1 } else { ABC_LIMIT };
        let increase = slow_start_increase(ack.newly_acked, limit, self.smss);
        match self.hystart.handle_ack(ack) {
            Growth::Full => self.cwnd = (self.cwnd + increase).min(self.ssthresh),
            Growth::Quarter => self.cwnd = (self.cwnd + increase / 4).min(self.ssthresh),
            Growth::Stop => {
                self.ssthresh = self.cwnd;
                self.begin_round();
                return false;
            }
        }
        true
    }

    /// RFC 7661 section 4.4.3: half of a window that was not used for minutes goes.
    fn forget_unused(&mut self, now: Instant) {
        if self.validation.has_expired(now) {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = (self.cwnd / 2).max(initial_window(self.smss)).min(self.cwnd);
            self.begin_round();
        }
    }

    /// Congestion avoidance. RFC 3465 section 2.1: one segment for each window of bytes acknowledged, here little by
    /// little as they come (RFC 5681 section 3.1, equation 3).
    ///
    /// Note: only whole segments of the window are sent, so that these make a round trip. The rest that a halving
    /// leaves would slow a small window down.
    fn avoid(&mut self, newly_acked: u64) {
        let smss = u64::from(self.smss);
        if self.round < smss {
            self.round = self.cwnd;
        }
        let window = self.round - self.round % smss;
        self.bytes_acked += newly_acked;
        if self.bytes_acked < window {
            self.cwnd = self.round + smss * self.bytes_acked / window;
        } else {
            self.bytes_acked = (self.bytes_acked - window).min(window);
            self.round += smss;
            self.cwnd = self.round;
        }
    }

    /// The window is another: what was acknowledged in the old one does not count.
    fn begin_round(&mut self) {
        (self.round, self.bytes_acked) = (0, 0);
    }

    /// RFC 5681 equation 4.
    fn halved(&self, flight: u64) -> u64 {
        (flight / 2).max(2 * u64::from(self.smss))
    }

    fn remember(&mut self) {
        self.before = Some(Before { cwnd: self.cwnd, ssthresh: self.ssthresh });
    }
}

impl Congestion for NewReno {
    fn name(&self) -> &'static str {
        "reno"
    }

    fn cwnd(&self) -> u64 {
        self.cwnd
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }

    fn phase(&self) -> &'static str {
        match self.cwnd < self.ssthresh {
            true if self.hystart.is_conservative() => "css",
            true => "slow_start",
            false => "avoidance",
        }
    }

    fn on_ack(&mut self, ack: &AckSample) {
        self.validation.handle_ack(ack, self.cwnd);
        self.forget_unused(ack.now);
        // RFC 7661 section 4.4: a window that is not used says nothing about the path, so it does not grow.
        if ack.in_recovery || ack.app_limited {
            return;
        }
        if self.cwnd < self.ssthresh && self.slow_start(ack) {
            return;
        }
        self.after_rto = false;
        self.avoid(ack.newly_acked);
    }

    fn on_congestion_event(&mut self, loss: &Loss) {
        self.remember();
        // RFC 5681 section 3.2 step 2; RFC 3168 section 6.1.2 treats an ECN echo alike.
        // The inflation by what has left the network belongs to the recovery, not to the window kept here.
        let flight = self.validation.loss_flight(loss.flight, self.cwnd);
        self.ssthresh = self.halved(flight);
        self.cwnd = match loss.kind {
            LossKind::Fast => self.ssthresh,
            // RFC 3168 section 6.1.2: down to one segment.
            LossKind::Ecn => self.cwnd.min((flight / 2).max(self.smss.into())),
        };
        self.hystart.end();
        self.begin_round();
        self.after_rto = false;
    }

    fn on_recovery_exit(&mut self, _now: Instant, flight: u64) {
        self.validation.handle_recovery_exit();
        // RFC 6582 section 3.2 step 3, full acknowledgment, option 1: no burst if little is in flight.
        let smss = u64::from(self.smss);
        self.cwnd = self.ssthresh.min(flight.max(smss) + smss);
        self.begin_round();
    }

    fn on_rto(&mut self, timeout: &Timeout) {
        self.validation.handle_recovery_exit();
        if !timeout.again {
            self.remember();
        }
        // RFC 5681 section 3.1: the threshold is held when a retransmission is itself lost.
        if !timeout.repeated {
            self.ssthresh = self.halved(timeout.flight);
            self.hystart.end();
        }
        self.cwnd = u64::from(self.smss);
        self.begin_round();
        self.after_rto = true;
    }

    fn on_idle_restart(&mut self, now: Instant, _idle: Duration) {
        self.forget_unused(now);
        // RFC 5681 section 4.1: the restart window. RFC 7661 section 4.4: a window that leaves paced is kept instead.
        if !self.paced {
            self.cwnd = self.cwnd.min(initial_window(self.smss));
            self.begin_round();
        }
    }

    fn undo(&mut self, _now: Instant) {
        if let Some(before) = self.before.take() {
            self.cwnd = self.cwnd.max(before.cwnd);
            self.ssthresh = before.ssthresh;
            self.begin_round();
            self.after_rto = false;
        }
    }

    fn set_smss(&mut self, smss: u32) {
        let (before, after) = (u64::from(self.smss), u64::from(smss));
        if after < before {
            // RFC 5681 section 3.1 (SHLD-10): no burst of many small segments in the place of few large ones.
            self.cwnd = self.cwnd * after / before;
        }
        self.smss = smss;
        self.cwnd = self.cwnd.max(after);
        self.begin_round();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ack;
    use super::*;
    use crate::time::{Units, at};

    const SMSS: u64 = 1000;

    fn reno() -> NewReno {
        NewReno::new(&Start::new(at(0.ms()), SMSS as u32, false))
    }

    fn fast(flight: u64) -> Loss {
        Loss { now: at(1.secs()), flight, kind: LossKind::Fast }
    }

    #[test]
    fn slow_start_doubles_each_round_trip() {
        let mut reno = reno();
        (0..10).for_each(|_| reno.on_ack(&ack(at(100.ms()), SMSS)));
        assert_eq!(reno.cwnd(), 20 * SMSS);
        // Delayed acknowledgments, each for two segments, do not slow it down.
        (0..10).for_each(|_| reno.on_ack(&ack(at(200.ms()), 2 * SMSS)));
        assert_eq!(reno.cwnd(), 40 * SMSS);
        // An acknowledgment for much releases no burst.
        reno.on_ack(&ack(at(300.ms()), 40 * SMSS));
        assert_eq!(reno.cwnd(), 42 * SMSS);
    }

    /// RFC 5681 section 3.1 (MUST-6, SHLD-11).
    #[test]
    fn avoidance_adds_a_segment_each_round_trip() {
        let mut reno = reno();
        reno.on_congestion_event(&fast(20 * SMSS));
        assert_eq!((reno.cwnd(), reno.ssthresh()), (10 * SMSS, 10 * SMSS));
        (0..9).for_each(|_| reno.on_ack(&ack(at(2.secs()), SMSS)));
        assert_eq!(reno.cwnd(), 10 * SMSS + 900);
        reno.on_ack(&ack(at(2.secs()), SMSS));
        assert_eq!(reno.cwnd(), 11 * SMSS);
        (0..11).for_each(|_| reno.on_ack(&ack(at(2.secs()), SMSS)));
        assert_eq!(reno.cwnd(), 12 * SMSS);
    }

    /// RFC 5681 section 3.1 (SHLD-12).
    #[test]
    fn half_a_segment_of_a_halving_does_not_wait_for_a_round_trip() {
        let mut reno = reno();
        reno.on_congestion_event(&fast(5 * SMSS));
        assert_eq!(reno.cwnd(), 2 * SMSS + 500);
        // Two segments are in flight: one acknowledgment lets a third out, both end the round trip.
        reno.on_ack(&ack(at(2.secs()), SMSS));
        assert_eq!(reno.cwnd(), 3 * SMSS);
        reno.on_ack(&ack(at(2.secs()), SMSS));
        assert_eq!(reno.cwnd(), 3 * SMSS + 500);
        // However much one acknowledgment tells of, it opens the window by a segment.
        reno.on_ack(&ack(at(2.secs()), 100 * SMSS));
        assert_eq!(reno.cwnd(), 4 * SMSS + 500);
    }

    #[test]
    fn slow_start_ends_at_the_threshold() {
        let mut reno = reno();
        reno.on_rto(&Timeout { now: at(1.secs()), flight: 10 * SMSS, repeated: false, again: false });
        assert_eq!((reno.cwnd(), reno.ssthresh()), (SMSS, 5 * SMSS));
        // One segment for each acknowledgment after a timeout, whatever it covers.
        (0..4).for_each(|_| reno.on_ack(&ack(at(2.secs()), 2 * SMSS)));
        assert_eq!(reno.cwnd(), 5 * SMSS);
        (0..4).for_each(|_| reno.on_ack(&ack(at(2.secs()), SMSS)));
        assert_eq!(reno.cwnd(), 5 * SMSS + 800);
    }

    /// RFC 5681 section 3.1 (SHLD-3).
    #[test]
    fn a_repeated_timeout_holds_the_threshold() {
        let mut reno = reno();
        reno.on_rto(&Timeout { now: at(1.secs()), flight: 40 * SMSS, repeated: false, again: false });
        reno.on_rto(&Timeout { now: at(3.secs()), flight: SMSS, repeated: true, again: true });
        assert_eq!((reno.cwnd(), reno.ssthresh()), (SMSS, 20 * SMSS));
    }

    #[test]
    fn the_threshold_is_at_least_two_segments() {
        let mut reno = reno();
        reno.on_congestion_event(&fast(SMSS));
        assert_eq!(reno.ssthresh(), 2 * SMSS);
    }

    #[test]
    fn an_echo_leaves_one_segment_at_least() {
        let mut reno = reno();
        for (flight, cwnd) in [(3 * SMSS, 3 * SMSS / 2), (SMSS, SMSS), (SMSS, SMSS)] {
            reno.on_congestion_event(&Loss { kind: LossKind::Ecn, ..fast(flight) });
            assert_eq!((reno.cwnd(), reno.ssthresh()), (cwnd, 2 * SMSS));
        }
    }

    #[test]
    fn recovery_ends_without_a_burst() {
        let mut reno = reno();
        reno.on_congestion_event(&fast(40 * SMSS));
        reno.on_ack(&AckSample { in_recovery: true, ..ack(at(1.secs()), 10 * SMSS) });
        assert_eq!(reno.cwnd(), 20 * SMSS);
        reno.on_recovery_exit(at(2.secs()), 3 * SMSS);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (4 * SMSS, 20 * SMSS));
        reno.on_recovery_exit(at(2.secs()), 100 * SMSS);
        assert_eq!(reno.cwnd(), 20 * SMSS);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut reno = reno();
        (0..100).for_each(|_| reno.on_ack(&AckSample { app_limited: true, ..ack(at(1.secs()), SMSS) }));
        assert_eq!(reno.cwnd(), 10 * SMSS);
    }

    /// RFC 7661 section 4.4 (MUST-2 to MUST-4), section 4.4.1 (MUST-7, MUST-8), section 4.4.3 (SHLD-3).
    #[test]
    fn a_window_that_is_not_used_is_worth_less() {
        let little = |second: u64| AckSample {
            app_limited: true,
            rate: super::super::RateSample { delivered: SMSS, ..Default::default() },
            ..ack(at(second.secs()), SMSS)
        };
        let grown = || {
            let mut reno = reno();
            (0..30).for_each(|_| reno.on_ack(&ack(at(100.ms()), SMSS)));
            (2..5).for_each(|second| reno.on_ack(&little(second)));
            assert_eq!(reno.cwnd(), 40 * SMSS);
            assert!(reno.validation.is_nonvalidated(reno.cwnd()));
            reno
        };
        // A loss is measured by what was used; after that, and after a timeout, it begins anew.
        let mut lossy = grown();
        lossy.on_congestion_event(&fast(6 * SMSS));
        lossy.on_recovery_exit(at(6.secs()), 3 * SMSS);
        assert_eq!((lossy.cwnd(), lossy.ssthresh()), (3 * SMSS, 3 * SMSS));
        assert_eq!(lossy.validation.pipe_ack(), None);
        let mut late = grown();
        late.on_rto(&Timeout { now: at(6.secs()), flight: SMSS, repeated: false, again: false });
        assert_eq!((late.cwnd(), late.validation.pipe_ack()), (SMSS, None));
        // Or five minutes pass.
        let mut idle = grown();
        (5..320).for_each(|second| idle.on_ack(&little(second)));
        assert_eq!(idle.cwnd(), 20 * SMSS);
        assert!(idle.ssthresh() >= 30 * SMSS);
    }

    #[test]
    fn idleness_returns_to_the_initial_window() {
        let mut reno = reno();
        (0..50).for_each(|_| reno.on_ack(&ack(at(1.secs()), SMSS)));
        reno.on_idle_restart(at(9.secs()), 8.secs());
        assert_eq!(reno.cwnd(), 10 * SMSS);
        reno.on_rto(&Timeout { now: at(10.secs()), flight: SMSS, repeated: false, again: false });
        reno.on_idle_restart(at(20.secs()), 8.secs());
        assert_eq!(reno.cwnd(), SMSS, "never raised");
    }

    /// RFC 4015 section 3.1 (MUST-5).
    #[test]
    fn a_spurious_loss_is_undone_once() {
        let mut reno = reno();
        reno.on_congestion_event(&fast(10 * SMSS));
        reno.undo(at(2.secs()));
        assert_eq!((reno.cwnd(), reno.ssthresh()), (10 * SMSS, u64::MAX));
        reno.on_rto(&Timeout { now: at(3.secs()), flight: 10 * SMSS, repeated: false, again: false });
        reno.on_rto(&Timeout { now: at(5.secs()), flight: SMSS, repeated: true, again: true });
        reno.undo(at(6.secs()));
        reno.undo(at(6.secs()));
        assert_eq!((reno.cwnd(), reno.ssthresh()), (10 * SMSS, u64::MAX));
    }
}
