//! Pacing: when the next segments may leave, so that a window leaves evenly instead of at once.

use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// Spaces what one connection sends at a rate in bytes per second; without a rate everything may leave at once.
///
/// ```text
///   sent ^            ___|   a quantum leaves at once, then the pacer waits until the rate has caught up,
///        |        ___|       so that a timer fires once for each quantum and not for each segment
///        |    ___|      /
///        |___|      rate
///        +-------------------> time
/// ```
#[derive(Clone, Debug)]
pub struct Pacer {
    rate: Option<u64>,
    /// Bytes that may leave at once; as much is saved up in a pause.
    quantum: u64,
    /// When all that was sent would have left at the rate; the past counts as credit.
    due: Instant,
    /// Nothing leaves before this.
    blocked_until: Instant,
}

packed!(Pacer { rate, quantum, due, blocked_until });

/// The largest quantum in bytes.
const MAX_QUANTUM: u64 = 64 << 10;

/// Bytes that leave at once at `rate` bytes per second: what a millisecond carries, two segments of `smss` at least
/// (C.send_quantum of draft-ietf-ccwg-bbr section 5.6.3).
pub fn send_quantum(rate: u64, smss: u64) -> u64 {
    (rate / 1000).min(MAX_QUANTUM).max(2 * smss)
}

impl Pacer {
    /// A pacer that lets everything pass until a rate is set.
    pub const fn new() -> Self {
        Self { rate: None, quantum: 0, due: Instant::ZERO, blocked_until: Instant::ZERO }
    }

    /// The rate in bytes per second.
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// When the next segment may leave, if that is later than `now`: the deadline for the timer.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        (!self.ready(now)).then_some(self.blocked_until)
    }

    /// Whether a segment may leave now.
    pub fn ready(&self, now: Instant) -> bool {
        self.blocked_until <= now
    }

    /// The bytes that may leave now at once: 0 if it is not [`Pacer::ready`], no bound without a rate, else what is
    /// left of a quantum and of what a pause has saved up.
    pub fn allowance(&self, now: Instant) -> u64 {
        if !self.ready(now) {
            return 0;
        }
        let Some(rate) = self.rate else { return u64::MAX };
        let due = self.due.max(now - time_for(self.quantum, rate));
        let until = now + time_for(self.quantum, rate);
        let bytes = u128::from((until - due).as_nanos()) * u128::from(rate) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }

    /// `bytes` leave now.
    pub fn handle_sent(&mut self, now: Instant, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let quantum = time_for(self.quantum, rate);
        self.due = self.due.max(now - quantum) + time_for(bytes, rate);
        if self.due >= now + quantum {
            self.blocked_until = self.due;
        }
    }

    /// Nothing leaves before `until`, with a rate or without.
    pub fn hold(&mut self, until: Instant) {
        self.blocked_until = self.blocked_until.max(until);
    }

    /// Changes the rate in bytes per second, for segments of `smss` bytes. What was sent keeps the spacing that it has;
    /// a rate of 0 counts as 1.
    pub fn set_rate(&mut self, rate: Option<u64>, smss: u64) {
        if self.rate.is_some() && rate.is_none() {
            self.blocked_until = Instant::ZERO;
        }
        self.rate = rate.map(|rate| rate.max(1));
        self.quantum = send_quantum(rate.unwrap_or(0), smss);
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::new()
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

    fn pacer(rate: u64) -> Pacer {
        let mut pacer = Pacer::new();
        pacer.set_rate(Some(rate), 1000);
        pacer
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let mut pacer = Pacer::new();
        pacer.handle_sent(at(0.ms()), 1 << 40);
        assert!(pacer.ready(at(0.ms())) && pacer.poll_timeout(at(0.ms())).is_none());
        assert_eq!(pacer.allowance(at(0.ms())), u64::MAX);
    }

    #[test]
    fn a_hold_stops_everything_with_a_rate_or_without() {
        for mut pacer in [Pacer::new(), pacer(1_000_000)] {
            pacer.hold(at(300.ms()));
            assert_eq!(pacer.poll_timeout(at(100.ms())), Some(at(300.ms())));
            assert_eq!(pacer.allowance(at(100.ms())), 0);
            assert!(pacer.ready(at(300.ms())) && pacer.allowance(at(300.ms())) > 0);
        }
    }

    #[test]
    fn a_quantum_is_a_millisecond_within_bounds() {
        assert_eq!(send_quantum(100_000, 1448), 2896);
        assert_eq!(send_quantum(12_500_000, 1448), 12_500);
        assert_eq!(send_quantum(1 << 40, 1448), 65_536);
    }

    #[test]
    fn sends_two_segments_then_waits_for_both() {
        let mut pacer = pacer(1_000_000);
        // A pause has saved up a quantum.
        pacer.handle_sent(at(1.secs()), 2000);
        let mut now = at(1.secs());
        for _ in 0..5 {
            assert_eq!(pacer.allowance(now), 2000);
            pacer.handle_sent(now, 1000);
            assert_eq!(pacer.allowance(now), 1000);
            pacer.handle_sent(now, 1000);
            assert_eq!((pacer.poll_timeout(now), pacer.allowance(now)), (Some(now + 2.ms()), 0));
            now += 2.ms();
        }
    }

    #[test]
    fn a_pause_saves_up_one_quantum() {
        let mut pacer = pacer(1_000_000);
        let now = at(10.secs());
        assert_eq!(pacer.allowance(now), 4000, "the quantum saved and the one that is due");
        let mut sent = 0;
        while pacer.ready(now) {
            pacer.handle_sent(now, 1000);
            sent += 1;
        }
        assert_eq!(sent, 4);
        assert_eq!(pacer.poll_timeout(now), Some(now + 2.ms()));
    }

    #[test]
    fn holds_the_rate_with_a_wakeup_for_each_quantum() {
        let mut pacer = pacer(125_000_000);
        let (mut now, mut sent, mut wakeups) = (at(5.secs()), 0u64, 0);
        let end = now + 1.secs();
        while now < end {
            pacer.handle_sent(now, 1000);
            sent += 1000;
            if let Some(at) = pacer.poll_timeout(now) {
                now = at;
                wakeups += 1;
            }
        }
        assert!((125_000_000..125_200_000).contains(&sent), "{sent}");
        assert!(wakeups < 2000, "{wakeups} for {} segments", sent / 1000);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut pacer = Pacer::new();
        pacer.set_rate(Some(0), u64::from(u32::MAX));
        assert_eq!(pacer.rate(), Some(1));
        pacer.handle_sent(at(1.secs()), u64::MAX);
        assert!(pacer.allowance(Instant::MAX) >= 1);
    }
}
