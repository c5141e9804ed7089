//! What is measured about the path: rounds, bandwidth, aggregation of acknowledgments, and whether the pipe is full.

use super::{AckSample, INFINITY};
use crate::tcp::rate::RateSample;
use crate::time::{Duration, Instant};

/// Deviations that a mean round-trip time may lie above the least by accident.
const ACCIDENT: u64 = 3;

/// `percent` hundredths of `value`; without a bound if `value` has none.
pub(super) fn share(value: u64, percent: u64) -> u64 {
    if value == INFINITY {
        return INFINITY;
    }
    u64::try_from(u128::from(value) * u128::from(percent) / 100).unwrap_or(INFINITY)
}

/// The bytes that `rate` bytes per second carry in `time`.
pub(super) fn bdp(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * u128::from(time.as_nanos()) / 1_000_000_000).unwrap_or(INFINITY)
}

/// Round trips counted by packets (section 5.5.1): one is over when something is acknowledged that left after it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    pub(super) count: u64,
    /// The acknowledgment at hand began a round.
    pub(super) start: bool,
    next_delivered: u64,
    /// When the last was counted.
    counted: Instant,
}

impl Rounds {
    /// Note: what overtook all that left before it would end a round while most of it is still on its way, so a round
    /// takes most of a smoothed round-trip time at least.
    pub(super) fn handle_ack(&mut self, ack: &AckSample) {
        let early = ack.srtt.is_some_and(|srtt| ack.now < self.counted + srtt * 3 / 4);
        self.start = !early && ack.rate.has_newest() && ack.rate.prior_delivered >= self.next_delivered;
        if self.start {
            self.begin(ack.delivered);
            self.count += 1;
            self.counted = ack.now;
        }
    }

    /// A round begins now, with `delivered` bytes delivered.
    pub(super) fn begin(&mut self, delivered: u64) {
        self.next_delivered = delivered;
    }
}

/// What a round trip took lately: a mean of about eight samples, and how far they lie from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecentRtt {
    mean: Option<Duration>,
    deviation: Duration,
}

impl RecentRtt {
    /// What of the mean is no accident: where samples differ by much, as where hosts are busy or a radio is shared, the
    /// mean lies above the least without any queue.
    pub(super) fn settled(self) -> Option<Duration> {
        Some(self.mean? - self.deviation * ACCIDENT)
    }

    pub(super) fn handle_sample(&mut self, rtt: Duration) {
        let mean = self.mean.unwrap_or(rtt);
        let off = (rtt - mean).max(mean - rtt);
        self.deviation = (self.deviation * 7 + off) / 8;
        self.mean = Some((mean * 7 + rtt) / 8);
    }
}

/// The greatest bandwidth of this cycle of ProbeBW and of the one before (section 5.5.3).
#[derive(Clone, Debug, Default)]
pub(super) struct MaxBandwidth {
    current: u64,
    previous: u64,
}

impl MaxBandwidth {
    pub(super) fn get(&self) -> u64 {
        self.current.max(self.previous)
    }

    pub(super) fn handle_sample(&mut self, rate: &RateSample) {
        let Some(bw) = rate.delivery_rate() else { return };
        // Section 5.5.4: what the application held back says nothing, unless it is more than was known.
        if bw >= self.get() || !rate.is_app_limited {
            self.current = self.current.max(bw);
        }
    }

    /// A cycle is over (AdvanceMaxBwFilter).
    pub(super) fn advance(&mut self) {
        if self.current > 0 {
            (self.previous, self.current) = (self.current, 0);
        }
    }
}

/// What the path loses while no queue grows and no probe exceeds its bandwidth, in this cycle of ProbeBW and the one
/// before. What is older is forgotten, so that nobody relies on it who meets a queue ever since.
#[derive(Clone, Debug, Default)]
pub(super) struct RandomLoss {
    current: Tally,
    previous: Tally,
}

/// So many bytes lost of so many sent.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    lost: u64,
    sent: u64,
}

impl RandomLoss {
    /// Of fewer segments one more or less that is lost would be too much of the share.
    const LEAST_SEGMENTS: u64 = 100;

    /// In thousandths of what was sent; 0 if that was too little to tell.
    pub(super) fn permille(&self, smss: u64) -> u64 {
        let sent = self.current.sent + self.previous.sent;
        if sent < Self::LEAST_SEGMENTS * smss {
            return 0;
        }
        (self.current.lost + self.previous.lost) * 1000 / sent
    }

    /// A round is over that says something.
    pub(super) fn handle_round(&mut self, lost: u64, sent: u64) {
        self.current.lost += lost;
        self.current.sent += sent;
    }

    /// A cycle is over.
    pub(super) fn advance(&mut self) {
        self.previous = core::mem::take(&mut self.current);
    }
}

/// Whether sending faster delivers faster (section 5.3.1.2).
#[derive(Clone, Debug, Default)]
pub(super) struct FullPipe {
    /// The pipe was full once.
    pub(super) reached: bool,
    /// It is full now.
    pub(super) now: bool,
    baseline: u64,
    rounds: u8,
}

impl FullPipe {
    /// The detection begins anew, from `baseline` bytes per second.
    pub(super) fn reset(&mut self, baseline: u64) {
        *self = Self { reached: self.reached, now: false, baseline, rounds: 0 };
    }

    /// A round is over, with this sample.
    pub(super) fn handle_round(&mut self, rate: &RateSample) {
        if self.now || rate.is_app_limited {
            return;
        }
        let bw = rate.delivery_rate().unwrap_or(0);
        if u128::from(bw) * 4 >= u128::from(self.baseline) * 5 {
            return self.reset(bw);
        }
        self.rounds += 1;
        self.now = self.rounds >= 3;
        self.reached |= self.now;
    }
}

/// How much more than the bandwidth explains is acknowledged at once (section 5.5.9).
#[derive(Clone, Debug)]
pub(super) struct AckAggregation {
    interval_start: Instant,
    delivered: u64,
    /// The greatest surplus of this window of rounds and of the one before.
    extra: [u64; 2],
    rounds: u64,
}

impl AckAggregation {
    /// Rounds of half a window before and after the pipe was full once: one, and ten in all.
    pub(super) const SHORT: u64 = 1;
    pub(super) const LONG: u64 = 5;

    pub(super) fn new(now: Instant) -> Self {
        Self { interval_start: now, delivered: 0, extra: [0; 2], rounds: 0 }
    }

    /// The recent surplus in bytes.
    pub(super) fn extra(&self) -> u64 {
        self.extra[0].max(self.extra[1])
    }

    /// Sending begins again after a pause.
    pub(super) fn restart(&mut self, now: Instant) {
        self.interval_start = now;
    }

    pub(super) fn handle_ack(&mut self, ack: &AckSample, bw: u64, cwnd: u64, round_start: bool, window: u64) {
        if round_start {
            self.rounds += 1;
            if self.rounds >= window {
                self.rounds = 0;
                self.extra = [0, self.extra[0]];
            }
        }
        let mut expected = bdp(bw, ack.now - self.interval_start);
        if self.delivered <= expected {
            (self.delivered, self.interval_start, expected) = (0, ack.now, 0);
        }
        self.delivered += ack.rate.newly_delivered;
        let extra = self.delivered.saturating_sub(expected).min(cwnd);
        self.extra[0] = self.extra[0].max(extra);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::ack;
    use super::*;
    use crate::time::{Units, at};

    fn rate(bytes_per_second: u64, is_app_limited: bool) -> RateSample {
        let interval = Some(1.secs());
        RateSample { delivered: bytes_per_second, interval, is_app_limited, ..RateSample::default() }
    }

    #[test]
    fn a_round_ends_with_what_left_after_it_began() {
        let mut rounds = Rounds::default();
        // A round trip takes 100 ms.
        let mut hear = |ms: u64, prior, delivered| {
            let sample = RateSample { prior_delivered: prior, tx_in_flight: 1, ..rate(1, false) };
            rounds.handle_ack(&AckSample { delivered, rate: sample, ..ack(at(ms.ms()), 0) });
            rounds.start
        };
        assert!(hear(100, 0, 1000));
        assert!(!hear(199, 0, 2000) && !hear(200, 999, 3000));
        assert!(hear(200, 1000, 4000));
        assert!(!hear(300, 3000, 5000));
        assert!(!hear(240, 4000, 5000), "it has overtaken what left before it");
        assert!(hear(275, 4000, 5000));
    }

    #[test]
    fn the_bandwidth_is_the_greatest_of_two_cycles() {
        let mut max = MaxBandwidth::default();
        max.handle_sample(&rate(100, false));
        max.handle_sample(&rate(80, false));
        assert_eq!(max.get(), 100);
        max.handle_sample(&rate(90, true));
        assert_eq!(max.get(), 100, "the application was the limit");
        max.handle_sample(&rate(120, true));
        assert_eq!(max.get(), 120, "but the path can do that");
        max.advance();
        max.handle_sample(&rate(50, false));
        assert_eq!(max.get(), 120);
        max.advance();
        assert_eq!(max.get(), 50);
        max.advance();
        assert_eq!(max.get(), 50, "a cycle without samples forgets nothing");
    }

    #[test]
    fn random_losses_of_two_cycles_are_remembered() {
        let mut loss = RandomLoss::default();
        loss.handle_round(5000, 99_000);
        assert_eq!(loss.permille(1000), 0, "99 segments tell nothing");
        loss.handle_round(5000, 101_000);
        assert_eq!(loss.permille(1000), 50);
        loss.advance();
        loss.handle_round(0, 300_000);
        assert_eq!(loss.permille(1000), 20);
        loss.advance();
        assert_eq!(loss.permille(1000), 0);
        loss.handle_round(10_000, 100_000);
        assert_eq!(loss.permille(1000), 25);
        loss.advance();
        loss.advance();
        assert_eq!(loss.permille(1000), 0, "a cycle with a queue, or without rounds, forgets");
    }

    #[test]
    fn three_rounds_without_growth_fill_the_pipe() {
        let mut pipe = FullPipe::default();
        for bw in [100, 125, 200, 249, 240] {
            pipe.handle_round(&rate(bw, false));
        }
        assert!(!pipe.now, "two rounds so far");
        pipe.handle_round(&rate(10, true));
        assert!(!pipe.now, "the application was the limit");
        pipe.handle_round(&rate(210, false));
        assert!(pipe.now && pipe.reached);
        pipe.reset(100);
        assert!(!pipe.now && pipe.reached);
    }

    #[test]
    fn what_comes_at_once_counts_as_surplus() {
        let mut aggregation = AckAggregation::new(at(0.ms()));
        let mut hear = |now: Instant, bytes, round| {
            aggregation.handle_ack(&ack(now, bytes), 1_000_000, 1_000_000, round, 5);
            aggregation.extra()
        };
        assert_eq!(hear(at(10.ms()), 1000, false), 1000);
        // 1000 bytes a millisecond are expected: no surplus grows.
        (11..20).for_each(|ms| assert_eq!(hear(at(ms.ms()), 1000, false), 1000));
        // Silence of ten milliseconds, then all of it at once: nothing more than expected.
        assert_eq!(hear(at(29.ms()), 10_000, false), 10_000);
        assert_eq!(hear(at(29.ms()), 5000, true), 15_000);
        (0..10).for_each(|i| _ = hear(at((100 + 100 * i).ms()), 100, true));
        assert_eq!(hear(at(2.secs()), 100, true), 100, "old surplus is forgotten");
    }

    #[test]
    fn shares_do_not_overflow() {
        assert_eq!(share(1000, 277), 2770);
        assert_eq!(share(INFINITY, 50), INFINITY);
        assert_eq!(share(INFINITY - 1, 200), INFINITY);
        assert_eq!(bdp(12_500_000, 50.ms()), 625_000);
    }
}
