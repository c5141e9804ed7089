//! Round-trip time and the retransmission timeout (RFC 6298).

use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// The estimator of one connection.
///
/// Karn's algorithm (RFC 6298 section 3) is the caller's to keep: a segment that was sent twice gives a sample only if
/// a timestamp tells which of the two was acknowledged.
#[derive(Clone, Debug)]
pub struct Rtt {
    smoothed: Option<Smoothed>,
    latest: Duration,
    /// The timeout without backoff.
    base: Duration,
    backoffs: u32,
    /// When a timeout turned out to be spurious, until something sent since gives a sample.
    spurious: Option<Instant>,
    min: WindowedMin,
}

packed!(Rtt { smoothed, latest, base, backoffs, spurious, min });

#[derive(Clone, Copy, Debug)]
struct Smoothed {
    srtt: Duration,
    rttvar: Duration,
}

packed!(Smoothed { srtt, rttvar });

/// The timeout before the first sample (RFC 6298 section 2.1).
pub const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The variance's part of the timeout is never less.
///
/// Note: RFC 6298 section 2.4 would have the timeout be at least a second. Linux takes 200 ms for K*RTTVAR instead, and
/// so do we: above any delayed ACK, and five times quicker to notice a lost tail.
pub const MIN_RTO: Duration = Duration::from_millis(200);
/// The longest timeout, however often it backs off (RFC 6298 section 2.5 allows any bound of 60 s or more).
pub const MAX_RTO: Duration = Duration::from_secs(120);
/// The timeout for data after the SYN's timer had fired (RFC 6298 section 5.7).
pub const RTO_AFTER_SYN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a minimum counts: a path may have changed since.
pub const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

impl Default for Rtt {
    fn default() -> Self {
        Self::new()
    }
}

impl Rtt {
    /// Without samples: the timeout is [`INITIAL_RTO`].
    pub const fn new() -> Self {
        Self {
            smoothed: None,
            latest: Duration::ZERO,
            base: INITIAL_RTO,
            backoffs: 0,
            spurious: None,
            min: WindowedMin::new(MIN_RTT_WINDOW),
        }
    }

    /// Smoothed round-trip time (RFC 6298 section 2); None before the first sample.
    pub fn srtt(&self) -> Option<Duration> {
        self.smoothed.map(|s| s.srtt)
    }

    /// Round-trip time variation (RFC 6298 section 2); None before the first sample.
    pub fn rttvar(&self) -> Option<Duration> {
        self.smoothed.map(|s| s.rttvar)
    }

    /// The latest sample; None before the first.
    pub fn latest(&self) -> Option<Duration> {
        self.smoothed.map(|_| self.latest)
    }

    /// The least sample of the last [`MIN_RTT_WINDOW`] (at least half of it); None before the first sample.
    pub fn min_rtt(&self) -> Option<Duration> {
        self.min.get()
    }

    /// The timeout to arm the timer with, backed off.
    pub fn rto(&self) -> Duration {
        // RFC 6298 section 5.5: double for each expiry.
        let factor = 1u64.checked_shl(self.backoffs).unwrap_or(u64::MAX);
        (self.base * factor).clamp(MIN_RTO, MAX_RTO)
    }

    /// The timeout as it was before it backed off: how long one loss takes to notice.
    pub fn base_rto(&self) -> Duration {
        self.base
    }

    /// How often the timer fired since the last sample.
    pub fn backoffs(&self) -> u32 {
        self.backoffs
    }

    /// Takes a sample, of which `per_round_trip` are expected for each round trip (0 counts as 1).
    ///
    /// A timestamp gives a sample with every ACK; RFC 7323 appendix G then asks to weigh each less: expected are
    /// `flight size / (2 * SMSS)`, rounded up.
    pub fn handle_sample(&mut self, now: Instant, sample: Duration, per_round_trip: u32) {
        let samples = u64::from(per_round_trip.max(1));
        let smoothed = match self.smoothed {
            // RFC 6298 section 2.2.
            None => Smoothed { srtt: sample, rttvar: sample / 2 },
            // RFC 4015 section 3.6: the path is slower than was thought, if what was sent since says so too.
            Some(old) if self.spurious.take_if(|since| now - sample >= *since).is_some() => {
                Smoothed { srtt: old.srtt.max(sample), rttvar: old.rttvar.max(sample / 2) }
            }
            // RFC 6298 section 2.3, the variation first, with the old SRTT: alpha = 1/8, beta = 1/4.
            Some(old) => Smoothed {
                rttvar: blend(old.rttvar, old.srtt.abs_diff(sample), 4 * samples),
                srtt: blend(old.srtt, sample, 8 * samples),
            },
        };
        // RFC 6298 section 2.3: RTO = SRTT + max(G, K*RTTVAR); our clock's G is a nanosecond.
        self.base = (smoothed.srtt + (smoothed.rttvar * 4).max(MIN_RTO)).clamp(MIN_RTO, MAX_RTO);
        self.smoothed = Some(smoothed);
        self.latest = sample;
        self.backoffs = 0;
        self.min.handle_sample(now, sample);
    }

    /// The retransmission timer fired: back off (RFC 6298 section 5.5).
    pub fn handle_timeout(&mut self) {
        self.backoffs = self.backoffs.saturating_add(1);
    }

    /// The last timeout was not needed, as was found out at `now`: the backoff ends without a sample, and the first
    /// sample of what is sent from now on makes the timeout more careful (RFC 4015 section 3.6).
    pub fn handle_spurious_timeout(&mut self, now: Instant) {
        self.backoffs = 0;
        self.spurious = Some(now);
    }

    /// The connection is established, but only after the SYN's timer had fired, and without a sample.
    pub fn handle_established_after_timeout(&mut self) {
        // RFC 6298 section 5.7.
        if self.smoothed.is_none() {
            self.base = self.base.max(RTO_AFTER_SYN_TIMEOUT);
        }
        self.backoffs = 0;
    }
}

/// `old + (new - old) / weight`.
fn blend(old: Duration, new: Duration, weight: u64) -> Duration {
    if new >= old { old + (new - old) / weight } else { old - (old - new) / weight }
}

/// A running minimum over a window of time, in constant space: the least of this half window and of the last.
#[derive(Clone, Debug)]
struct WindowedMin {
    half: Duration,
    began: Instant,
    current: Duration,
    previous: Duration,
}

packed!(WindowedMin { half, began, current, previous });

impl WindowedMin {
    const fn new(window: Duration) -> Self {
        let half = Duration::from_nanos(window.as_nanos() / 2);
        Self { half, began: Instant::ZERO, current: Duration::MAX, previous: Duration::MAX }
    }

    fn get(&self) -> Option<Duration> {
        let least = self.current.min(self.previous);
        (least < Duration::MAX).then_some(least)
    }

    fn handle_sample(&mut self, now: Instant, sample: Duration) {
        let age = now - self.began;
        if age >= self.half {
            self.previous = if age >= self.half * 2 { Duration::MAX } else { self.current };
            self.current = Duration::MAX;
            self.began = now;
        }
        self.current = self.current.min(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};
    use proptest::prelude::*;

    /// RFC 6298 section 2.2 (MUST-1), section 2.3 (MUST-11).
    #[test]
    fn the_first_sample_sets_everything() {
        let mut rtt = Rtt::new();
        assert_eq!((rtt.srtt(), rtt.rto()), (None, 1.secs()));
        rtt.handle_sample(at(0.ms()), 300.ms(), 1);
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(300.ms()), Some(150.ms())));
        assert_eq!(rtt.rto(), 900.ms());
    }

    /// RFC 6298 section 2.3 (MUST-2, MUST-11, SHLD-2).
    #[test]
    fn further_samples_weigh_an_eighth_and_a_quarter() {
        let mut rtt = Rtt::new();
        rtt.handle_sample(at(0.ms()), 800.ms(), 1);
        rtt.handle_sample(at(1.secs()), 400.ms(), 1);
        assert_eq!(rtt.rttvar(), Some(400.ms())); // 400 + (400 - 400) / 4
        assert_eq!(rtt.srtt(), Some(750.ms())); // 800 - 400 / 8
        assert_eq!(rtt.rto(), 2350.ms());
        assert_eq!(rtt.latest(), Some(400.ms()));
    }

    /// RFC 7323 section 4.2 (SHLD-7).
    #[test]
    fn many_samples_of_one_flight_weigh_as_much_as_one() {
        let (mut one, mut many) = (Rtt::new(), Rtt::new());
        for rtt in [&mut one, &mut many] {
            rtt.handle_sample(at(0.ms()), 100.ms(), 1);
        }
        one.handle_sample(at(1.secs()), 200.ms(), 1);
        (0..10).for_each(|_| many.handle_sample(at(1.secs()), 200.ms(), 10));
        let (one, many) = (one.srtt().unwrap(), many.srtt().unwrap());
        assert!(one.abs_diff(many) < 1.ms(), "{one} {many}");
    }

    #[test]
    fn a_steady_path_keeps_the_floor() {
        let mut rtt = Rtt::new();
        (0..200).for_each(|i| rtt.handle_sample(at(i.ms()), 1.ms(), 1));
        assert_eq!(rtt.rto(), 201.ms());
    }

    /// RFC 6298 section 2.5 (MUST-3), section 5.5 (MUST-8).
    #[test]
    fn backs_off_to_two_minutes_and_recovers() {
        let mut rtt = Rtt::new();
        rtt.handle_sample(at(0.ms()), 10.ms(), 1);
        let rtos: Vec<u64> = (0..12)
            .map(|_| {
                rtt.handle_timeout();
                rtt.rto().as_millis()
            })
            .collect();
        assert_eq!(rtos[..3], [420, 840, 1680]);
        assert_eq!(rtos[11], 120_000);
        (0..100).for_each(|_| rtt.handle_timeout());
        assert_eq!((rtt.rto(), rtt.base_rto()), (MAX_RTO, 210.ms()));
        rtt.handle_sample(at(500.secs()), 10.ms(), 1);
        assert_eq!(rtt.backoffs(), 0);
        assert!(rtt.rto() <= 210.ms());
    }

    /// RFC 4015 section 3.6 (MUST-9).
    #[test]
    fn a_spurious_timeout_makes_it_more_careful() {
        let mut rtt = Rtt::new();
        (0..100).for_each(|i| rtt.handle_sample(at(i.ms()), 100.ms(), 1));
        assert_eq!(rtt.rto(), 300.ms());
        rtt.handle_timeout();
        rtt.handle_spurious_timeout(at(1.secs()));
        assert_eq!((rtt.rto(), rtt.backoffs()), (300.ms(), 0));
        // What was sent before says nothing new.
        rtt.handle_sample(at(1050.ms()), 100.ms(), 1);
        assert_eq!(rtt.rto(), 300.ms());
        rtt.handle_sample(at(1400.ms()), 400.ms(), 1);
        assert_eq!((rtt.srtt(), rtt.rttvar(), rtt.rto()), (Some(400.ms()), Some(200.ms()), 1200.ms()));
        // Once.
        rtt.handle_sample(at(1500.ms()), 400.ms(), 1);
        assert_eq!(rtt.rttvar(), Some(150.ms()));
    }

    /// RFC 6298 section 5.7 (MUST-9).
    #[test]
    fn a_lost_syn_leaves_three_seconds() {
        let mut rtt = Rtt::new();
        rtt.handle_timeout();
        assert_eq!(rtt.rto(), 2.secs());
        rtt.handle_established_after_timeout();
        assert_eq!(rtt.rto(), 3.secs());
        rtt.handle_sample(at(9.secs()), 50.ms(), 1);
        assert_eq!(rtt.rto(), 250.ms());
    }

    /// RFC 8985 section 6.2 (SHLD-12).
    #[test]
    fn the_minimum_is_forgotten_after_its_window() {
        let mut rtt = Rtt::new();
        rtt.handle_sample(at(0.ms()), 10.ms(), 1);
        rtt.handle_sample(at(100.secs()), 30.ms(), 1);
        rtt.handle_sample(at(200.secs()), 40.ms(), 1);
        assert_eq!(rtt.min_rtt(), Some(10.ms()));
        rtt.handle_sample(at(360.secs()), 50.ms(), 1);
        assert_eq!(rtt.min_rtt(), Some(40.ms()));
        rtt.handle_sample(at(5000.secs()), 60.ms(), 1);
        assert_eq!(rtt.min_rtt(), Some(60.ms()));
    }

    proptest! {
        /// The RFC's formulas in floating point against ours in nanoseconds.
        #[test]
        fn follows_the_arithmetic_of_the_rfc(samples in prop::collection::vec(1..3_000_000u64, 1..100)) {
            let mut rtt = Rtt::new();
            let (mut srtt, mut rttvar) = (0.0f64, 0.0f64);
            for (i, &us) in samples.iter().enumerate() {
                rtt.handle_sample(at((i as u64).secs()), us.us(), 1);
                let r = us as f64 * 1e3;
                if i == 0 {
                    (srtt, rttvar) = (r, r / 2.0);
                } else {
                    rttvar = 0.75 * rttvar + 0.25 * (srtt - r).abs();
                    srtt = 0.875 * srtt + 0.125 * r;
                }
                let rto = srtt + (4.0 * rttvar).max(2e8);
                prop_assert!((rtt.srtt().unwrap().as_nanos() as f64 - srtt).abs() < 100.0);
                prop_assert!((rtt.rttvar().unwrap().as_nanos() as f64 - rttvar).abs() < 100.0);
                prop_assert!((rtt.rto().as_nanos() as f64 - rto.min(1.2e11)).abs() < 500.0);
            }
            prop_assert_eq!(rtt.min_rtt().is_some(), true);
        }
    }
}
