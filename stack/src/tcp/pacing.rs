//! Pacing: when the next segment may leave, so that a window leaves evenly instead of at once.

use crate::time::{Duration, Instant};

/// Spaces what one connection sends at a rate in bytes per second; without a rate everything may leave at once.
///
/// ```text
///   allowed ^      burst   ________
///           |_____________/   rate, in bytes a second; what is saved up while nothing is sent
///           |            /    is never more than `burst` bytes
///           +-----------+---------------> time
/// ```
#[derive(Clone, Debug)]
pub struct Pacer {
    rate: Option<u64>,
    burst: u64,
    /// When all that was sent would have left at the rate; the past counts as credit.
    due: Instant,
}

impl Pacer {
    /// A pacer that lets everything pass until a rate is set, and `burst` bytes after a pause.
    pub const fn new(burst: u64) -> Self {
        Self { rate: None, burst, due: Instant::ZERO }
    }

    /// The rate in bytes per second.
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// When the next segment may leave, if that is later than `now`: the deadline for the timer.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        (!self.ready(now)).then_some(self.due)
    }

    /// Whether a segment may leave now.
    pub fn ready(&self, now: Instant) -> bool {
        self.rate.is_none() || self.due <= now
    }

    /// The bytes that may leave now at once: no bound without a rate, 0 if it is not [`Pacer::ready`], `burst` at most.
    pub fn allowance(&self, now: Instant) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        if self.due > now {
            return 0;
        }
        let saved = u128::from((now - self.due).as_nanos()) * u128::from(rate) / 1_000_000_000;
        u64::try_from(saved).unwrap_or(u64::MAX).clamp(1, self.burst.max(1))
    }

    /// `bytes` leave now.
    pub fn handle_sent(&mut self, now: Instant, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let earliest = now - time_for(self.burst, rate);
        self.due = self.due.max(earliest) + time_for(bytes, rate);
    }

    /// Changes the rate in bytes per second. What was sent keeps the spacing that it has; a rate of 0 counts as 1.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.rate = rate.map(|rate| rate.max(1));
    }

    /// Changes the burst in bytes.
    pub fn set_burst(&mut self, burst: u64) {
        self.burst = burst;
    }
}

/// How long `bytes` take at `rate` bytes per second.
fn time_for(bytes: u64, rate: u64) -> Duration {
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    #[test]
    fn without_a_rate_everything_passes() {
        let mut pacer = Pacer::new(10_000);
        pacer.handle_sent(at(0.ms()), 1 << 40);
        assert!(pacer.ready(at(0.ms())) && pacer.poll_timeout(at(0.ms())).is_none());
        assert_eq!(pacer.allowance(at(0.ms())), u64::MAX);
    }

    #[test]
    fn spaces_segments_at_the_rate() {
        let mut pacer = Pacer::new(0);
        pacer.set_rate(Some(1_000_000));
        let mut now = at(1.secs());
        for _ in 0..5 {
            assert!(pacer.ready(now));
            pacer.handle_sent(now, 1000);
            assert_eq!(pacer.poll_timeout(now), Some(now + 1.ms()));
            now += 1.ms();
        }
    }

    #[test]
    fn a_pause_saves_up_one_burst() {
        let mut pacer = Pacer::new(3000);
        pacer.set_rate(Some(1_000_000));
        let now = at(10.secs());
        assert_eq!(pacer.allowance(now), 3000);
        let mut sent = 0;
        while pacer.ready(now) {
            pacer.handle_sent(now, 1000);
            sent += 1;
        }
        assert_eq!(sent, 4, "three saved, and the one that is due now");
        assert_eq!(pacer.poll_timeout(now), Some(now + 1.ms()));
        assert_eq!(pacer.allowance(now), 0);
    }

    #[test]
    fn holds_the_rate_over_time() {
        let mut pacer = Pacer::new(14_600);
        pacer.set_rate(Some(125_000_000));
        let (mut now, mut sent) = (at(5.secs()), 0u64);
        let end = now + 1.secs();
        while now < end {
            pacer.handle_sent(now, 1460);
            sent += 1460;
            now = pacer.poll_timeout(now).unwrap_or(now);
        }
        assert!((125_000_000..125_020_000).contains(&sent), "{sent}");
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut pacer = Pacer::new(u64::MAX);
        pacer.set_rate(Some(0));
        assert_eq!(pacer.rate(), Some(1));
        pacer.handle_sent(at(1.secs()), u64::MAX);
        assert!(pacer.allowance(Instant::MAX) >= 1);
    }
}
