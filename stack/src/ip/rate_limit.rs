//! How often we speak unasked: token buckets for ICMP errors (RFC 1812 4.3.2.8, RFC 4443 2.4(f)).
//!
//! A message needs a token of the bucket of its destination's prefix and then one of the bucket of all. In this
//! order, and with a little chance in the common bucket, so that a host cannot learn from its own share what others
//! were sent: that would tell a scanner which of our ports are open.

use core::net::IpAddr;

use crate::rng::{KeyedHash, Rng};
use crate::time::{Duration, Instant};

/// So many per second, and so many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second; 0: never more than the first burst.
    pub per_second: u32,
    /// The most tokens that gather.
    pub burst: u32,
}

/// A token bucket. Time is exact: what a second does not divide is not lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    tokens: u32,
    /// Up to when tokens were paid in; `None` before the first use, when the bucket is full.
    filled: Option<Instant>,
}

impl Bucket {
    /// Takes one token if there is one.
    pub fn take(&mut self, now: Instant, rate: Rate) -> bool {
        self.fill(now, rate);
        let granted = self.tokens > 0;
        self.tokens -= u32::from(granted);
        granted
    }

    fn fill(&mut self, now: Instant, rate: Rate) {
        let Some(filled) = self.filled else {
            (self.tokens, self.filled) = (rate.burst, Some(now));
            return;
        };
        if rate.per_second == 0 {
            return;
        }
        let span =
            Duration::from_nanos(1_000_000_000 / u64::from(rate.per_second)).max(Duration::from_nanos(1));
        let due = (now - filled).as_nanos() / span.as_nanos();
        if due >= u64::from(rate.burst - self.tokens.min(rate.burst)) {
            (self.tokens, self.filled) = (rate.burst, Some(now));
        } else {
            self.tokens += due as u32;
            self.filled = Some(filled + span * due);
        }
    }
}

/// How many ICMP errors may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// To everybody together.
    pub all: Rate,
    /// To each destination prefix: /24 or /64.
    pub prefix: Rate,
}

impl Default for RateLimits {
    /// 1,000 per second, at most 50 of them at once; 50 per second to one prefix, at most 20 of them at once.
    fn default() -> Self {
        Self { all: Rate { per_second: 1000, burst: 50 }, prefix: Rate { per_second: 50, burst: 20 } }
    }
}

/// What the limiter counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RateStats {
    /// Messages let through.
    pub granted: u64,
    /// Messages held back because of their destination's bucket.
    pub limited_prefix: u64,
    /// Messages held back because of the common bucket.
    pub limited_all: u64,
}

/// How many buckets the prefixes share. Two that meet in one share its tokens.
const BUCKETS: usize = 256;

/// The rate limit of all ICMP errors of a stack. Its size is fixed.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    limits: RateLimits,
    all: Bucket,
    prefixes: Box<[Bucket; BUCKETS]>,
    hash: KeyedHash,
    rng: Rng,
    stats: RateStats,
}

impl RateLimiter {
    /// A limiter whose chance comes from `rng`.
    pub fn new(limits: RateLimits, rng: &mut Rng) -> Self {
        Self {
            limits,
            all: Bucket::default(),
            prefixes: Box::new([Bucket::default(); BUCKETS]),
            hash: KeyedHash::new(rng),
            rng: Rng::new(rng.next_u64(), rng.next_u64()),
            stats: RateStats::default(),
        }
    }

    /// What was counted.
    pub const fn stats(&self) -> &RateStats {
        &self.stats
    }

    /// Whether an error may be sent to `destination` now. If so, it is paid for.
    pub fn take(&mut self, now: Instant, destination: IpAddr) -> bool {
        let prefix: u64 = match destination {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let slot = self.hash.of(&(destination.is_ipv4(), prefix)) as usize % BUCKETS;
        if !self.prefixes[slot].take(now, self.limits.prefix) {
            self.stats.limited_prefix += 1;
            return false;
        }
        if !self.all.take(now, self.limits.all) {
            self.stats.limited_all += 1;
            return false;
        }
        // One message in four costs two: the common bucket cannot be read from outside by counting.
        self.all.tokens = self.all.tokens.saturating_sub(u32::from(self.rng.below(4) == 0));
        self.stats.granted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn grants(bucket: &mut Bucket, now: Instant) -> usize {
        (0..100).take_while(|_| bucket.take(now, RATE)).count()
    }

    #[test]
    fn a_bucket_gives_a_burst_then_its_rate() {
        let mut bucket = Bucket::default();
        assert_eq!(grants(&mut bucket, at(5.secs())), 3);
        assert_eq!(grants(&mut bucket, at(5099.ms())), 0);
        assert_eq!(grants(&mut bucket, at(5100.ms())), 1);
        assert_eq!(grants(&mut bucket, at(5350.ms())), 2); // 50 ms are left over
        assert_eq!(grants(&mut bucket, at(5400.ms())), 1);
        assert_eq!(grants(&mut bucket, at(60.secs())), 3);
    }

    #[test]
    fn asking_often_does_not_lose_time() {
        let mut bucket = Bucket::default();
        let granted = (0..10_000).filter(|&ms: &u64| bucket.take(at(ms.ms()), RATE)).count();
        assert_eq!(granted, 3 + 99);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(grants(&mut bucket, at(5.secs())), 3);
        assert_eq!(grants(&mut bucket, at(1.secs())), 0);
    }

    #[test]
    fn one_prefix_does_not_use_up_what_others_may_have() {
        let mut limiter = RateLimiter::new(RateLimits::default(), &mut Rng::new(1, 1));
        let noisy = |host: u8| IpAddr::from([192, 0, 2, host]);
        let granted = (0..200).filter(|&host| limiter.take(at(0.ms()), noisy(host))).count();
        assert_eq!(granted, 20);
        assert!(limiter.take(at(0.ms()), IpAddr::from([198, 51, 100, 1])));
        assert_eq!(limiter.stats().limited_prefix, 180);
    }

    #[test]
    fn all_together_have_a_limit() {
        let mut limiter = RateLimiter::new(RateLimits::default(), &mut Rng::new(1, 1));
        let asked =
            (0..=255u8).filter(|&net| limiter.take(at(0.ms()), IpAddr::from([10, net, 0, 1]))).count();
        assert!((25..=50).contains(&asked), "{asked} of a burst of 50");
        assert_eq!(limiter.stats().granted, asked as u64);
        assert!(limiter.stats().limited_all > 0);
        let later =
            (0..100).filter(|n| limiter.take(at((1000 + n * 10).ms()), IpAddr::from([10, 1, 0, 1]))).count();
        assert!((45..=75).contains(&later), "{later} in a second");
    }
}
