//! Window validation: how much of the window was used lately, and what an unused one is worth (RFC 7661).

use super::AckSample;
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// Measures pipeACK, what was acknowledged in a round trip, and keeps count of the non-validated phase.
#[derive(Clone, Debug)]
pub(super) struct Validation {
    /// Greatest samples of this half of the sampling period and of the one before; none yet: everything is validated.
    pipe_ack: [Option<u64>; 2],
    period_began: Instant,
    /// When the window was last validated.
    validated_at: Instant,
}

packed!(Validation { pipe_ack, period_began, validated_at });

/// The non-validated period: a window is believed for so long (section 4.1).
const NVP: Duration = Duration::from_secs(5 * 60);
/// The shortest sampling period (section 4.1: max(3*RTT, 1 second)).
const LEAST_PERIOD: Duration = Duration::from_secs(1);

impl Validation {
    pub(super) fn new(now: Instant) -> Self {
        Self { pipe_ack: [None; 2], period_began: now, validated_at: now }
    }

    /// pipeACK in bytes; None before the first sample.
    pub(super) fn pipe_ack(&self) -> Option<u64> {
        self.pipe_ack[0].max(self.pipe_ack[1])
    }

    /// Section 4.3: less than half of the window was used lately.
    pub(super) fn is_nonvalidated(&self, cwnd: u64) -> bool {
        self.pipe_ack().is_some_and(|pipe| pipe < cwnd / 2)
    }

    /// An acknowledgment came while the window was `cwnd`.
    pub(super) fn handle_ack(&mut self, ack: &AckSample, cwnd: u64) {
        let period = ack.srtt.map_or(LEAST_PERIOD, |rtt| (rtt * 3).max(LEAST_PERIOD));
        let half = period / 2;
        let age = ack.now - self.period_began;
        if age >= half {
            let previous = if age >= period { None } else { self.pipe_ack[0] };
            self.pipe_ack = [None, previous];
            self.period_began = ack.now;
        }
        // Section 4.4.1: a recovery is no measure.
        if ack.rate.delivered > 0 && !ack.in_recovery {
            self.pipe_ack[0] = self.pipe_ack[0].max(Some(ack.rate.delivered));
        }
        if !self.is_nonvalidated(cwnd) {
            self.validated_at = ack.now;
        }
    }

    /// Section 4.4.1: after a recovery or a timeout nothing is known, and the window is validated until there is.
    pub(super) fn handle_recovery_exit(&mut self) {
        self.pipe_ack = [None; 2];
    }

    /// Section 4.4.3: whether the window was not validated for so long that half of it has to go. Once each period.
    pub(super) fn has_expired(&mut self, now: Instant) -> bool {
        let expired = now - self.validated_at > NVP;
        if expired {
            self.validated_at = now;
        }
        expired
    }

    /// Section 4.4.1: the flight that a loss is measured by: what was acknowledged lately counts, if it is more.
    ///
    /// Note: what the recovery sends again is not taken off at its end.
    pub(super) fn loss_flight(&self, flight: u64, cwnd: u64) -> u64 {
        match self.pipe_ack() {
            Some(pipe) if self.is_nonvalidated(cwnd) => flight.max(pipe),
            _ => flight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RateSample;
    use super::super::testing::ack;
    use super::*;
    use crate::time::{Units, at};

    fn used(now: Instant, bytes: u64) -> AckSample {
        AckSample { rate: RateSample { delivered: bytes, ..RateSample::default() }, ..ack(now, 1000) }
    }

    /// RFC 7661 section 4.3 (MUST-1, SHLD-2).
    #[test]
    fn a_window_half_used_is_validated() {
        let mut validation = Validation::new(at(0.ms()));
        assert!(!validation.is_nonvalidated(10_000), "nothing is known yet");
        validation.handle_ack(&used(at(100.ms()), 5000), 10_000);
        assert!(!validation.is_nonvalidated(10_000) && validation.is_nonvalidated(10_002));
        // Less later: the greatest of the period counts, and then is forgotten.
        validation.handle_ack(&used(at(700.ms()), 1000), 10_000);
        assert_eq!(validation.pipe_ack(), Some(5000));
        validation.handle_ack(&used(at(1300.ms()), 1000), 10_000);
        assert_eq!(validation.pipe_ack(), Some(1000));
        assert!(validation.is_nonvalidated(10_000));
    }

    /// RFC 7661 section 4.4 (SHLD-1).
    #[test]
    fn an_unused_window_is_believed_for_five_minutes() {
        let mut validation = Validation::new(at(0.ms()));
        validation.handle_ack(&used(at(1.secs()), 10_000), 10_000);
        for second in 3..301 {
            validation.handle_ack(&used(at(second.secs()), 1000), 10_000);
            assert!(!validation.has_expired(at(second.secs())), "at {second}");
        }
        assert!(validation.has_expired(at(310.secs())));
        assert!(!validation.has_expired(at(311.secs())), "once each period");
    }

    /// RFC 7661 section 4.4.1 (MUST-5, MUST-8, MUST-3).
    #[test]
    fn a_loss_is_measured_by_what_was_used() {
        let mut validation = Validation::new(at(0.ms()));
        assert_eq!(validation.loss_flight(3000, 10_000), 3000);
        validation.handle_ack(&used(at(1.secs()), 4000), 10_000);
        assert_eq!(validation.loss_flight(3000, 10_000), 4000);
        assert_eq!(validation.loss_flight(3000, 8000), 3000, "validated: the flight alone");
        validation.handle_ack(&AckSample { in_recovery: true, ..used(at(1100.ms()), 9000) }, 10_000);
        assert_eq!(validation.pipe_ack(), Some(4000), "a recovery is no measure");
        validation.handle_recovery_exit();
        assert!(!validation.is_nonvalidated(10_000));
        assert_eq!(validation.loss_flight(3000, 10_000), 3000, "forgotten");
    }
}
