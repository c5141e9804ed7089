//! Delivery-rate samples: how fast the path delivered what one acknowledgment reports (draft-ietf-ccwg-bbr section
//! 4.1).

use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

/// What the connection has delivered and lost so far, and the sample that the current acknowledgment gives.
///
/// ```text
///   first_sent_time       sent_at                      delivered_time          now
///        |<- send_elapsed ->|                                |<- ack_elapsed ->|
///   -----+------------------+---------- flight --------------+-----------------+----> time
///                            the longer of the two is the interval of the sample
/// ```
///
/// Each segment carries a [`Stamp`] of what was known when it left; the newest segment that an acknowledgment reports
/// makes the sample. The scoreboard does the calling, so all that it knows to be sent, arrived or lost is counted.
#[derive(Clone, Debug)]
pub(crate) struct RateSampler {
    /// C.delivered: bytes acknowledged or sacked.
    delivered: u64,
    /// C.delivered_time: when the last of them was.
    delivered_time: Instant,
    /// C.first_send_time: when the newest segment that was delivered had been sent.
    first_sent_time: Instant,
    /// C.app_limited: up to this much delivered, the application was the limit; 0 if it is not.
    app_limited: u64,
    /// C.lost: bytes that were marked lost, again those that were lost again.
    lost: u64,
    /// The newest segment that the current acknowledgment reports.
    newest: Option<Newest>,
    /// Bytes delivered and lost since the last sample.
    newly_delivered: u64,
    newly_lost: u64,
    losses: Losses,
}

packed!(RateSampler {
    delivered,
    delivered_time,
    first_sent_time,
    app_limited,
    lost,
    newest,
    newly_delivered,
    newly_lost,
    losses
});

/// What was known when a segment left (P.delivered and so on). Counters are kept modulo 2^32: no flight is longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    delivered_time: Instant,
    first_sent_time: Instant,
    delivered: u32,
    lost: u32,
    /// Bytes in flight, this segment included; the uppermost bit says whether the application was the limit.
    tx_in_flight: u32,
}

packed!(Stamp { delivered_time, first_sent_time, delivered, lost, tx_in_flight });

#[derive(Clone, Copy, Debug)]
struct Newest {
    sent_at: Instant,
    end: SeqNum,
    stamp: Stamp,
}

packed!(Newest { sent_at, end, stamp });

/// What one acknowledgment says about the rate at which the path delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSample {
    /// Bytes delivered over `interval`.
    pub delivered: u64,
    /// The time over which they were; `None` if the sample says nothing about a rate: nothing new was delivered, or it
    /// took less than the least round-trip time.
    pub interval: Option<Duration>,
    /// All bytes that had been delivered when the newest delivered segment left: tells round trips apart.
    pub prior_delivered: u64,
    /// Bytes lost since that segment left.
    pub lost: u64,
    /// Bytes in flight when that segment left, itself included.
    pub tx_in_flight: u64,
    /// The application was what limited the sending when that segment left.
    pub is_app_limited: bool,
    /// Bytes that this acknowledgment reports for the first time, cumulatively or by SACK.
    pub newly_delivered: u64,
    /// Bytes marked lost since the acknowledgment before.
    pub newly_lost: u64,
}

impl RateSample {
    /// Whether the acknowledgment reports something newer than all before it: only then `prior_delivered` and what
    /// follows it mean something.
    pub fn has_newest(&self) -> bool {
        self.tx_in_flight > 0
    }

    /// Bytes per second, if the sample gives a rate.
    pub fn delivery_rate(&self) -> Option<u64> {
        let ns = u128::from(self.interval?.as_nanos());
        let rate = (u128::from(self.delivered) * 1_000_000_000).checked_div(ns)?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Bytes that were marked lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostSegment {
    /// How many.
    pub bytes: u64,
    /// Bytes in flight when they left, themselves included.
    pub tx_in_flight: u64,
    /// Bytes lost since they left, themselves included.
    pub lost: u64,
    /// All bytes delivered when they were marked.
    pub delivered: u64,
    /// The application was what limited the sending when they left.
    pub is_app_limited: bool,
}

packed!(LostSegment { bytes, tx_in_flight, lost, delivered, is_app_limited });

/// Losses that nobody has heard of yet: the first apart, the rest as one.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    kept: [LostSegment; 2],
    len: usize,
}

packed!(Losses { kept, len });

const APP_LIMITED: u32 = 1 << 31;

impl RateSampler {
    /// Nothing was delivered yet.
    pub(crate) fn new() -> Self {
        Self {
            delivered: 0,
            delivered_time: Instant::ZERO,
            first_sent_time: Instant::ZERO,
            app_limited: 0,
            lost: 0,
            newest: None,
            newly_delivered: 0,
            newly_lost: 0,
            losses: Losses::default(),
        }
    }

    /// All bytes delivered so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether what is sent now is limited by the application.
    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited > 0
    }

    /// `len` bytes leave at `now`, with `in_flight` bytes before them: what each of them keeps.
    pub(crate) fn handle_sent(&mut self, now: Instant, in_flight: u32, len: u32) -> Stamp {
        if in_flight == 0 {
            (self.first_sent_time, self.delivered_time) = (now, now);
        }
        let limited = if self.is_app_limited() { APP_LIMITED } else { 0 };
        Stamp {
            delivered_time: self.delivered_time,
            first_sent_time: self.first_sent_time,
            delivered: self.delivered as u32,
            lost: self.lost as u32,
            tx_in_flight: (in_flight + len).min(!APP_LIMITED) | limited,
        }
    }

    /// `len` bytes up to `end`, sent at `sent_at` with `stamp`, were acknowledged or sacked.
    pub(crate) fn handle_delivered(&mut self, len: u32, sent_at: Instant, end: SeqNum, stamp: Stamp) {
        self.delivered += u64::from(len);
        self.newly_delivered += u64::from(len);
        let newer = self.newest.is_none_or(|newest| {
            newest.sent_at < sent_at || (newest.sent_at == sent_at && newest.end.before(end))
        });
        // IsNewestPacket: what was sent before the newest that was ever delivered says nothing new.
        if newer && sent_at >= self.first_sent_time {
            self.newest = Some(Newest { sent_at, end, stamp });
        }
    }

    /// `len` bytes sent with `stamp` were marked lost.
    pub(crate) fn handle_lost(&mut self, len: u32, stamp: Stamp) {
        self.lost += u64::from(len);
        self.newly_lost += u64::from(len);
        self.losses.push(LostSegment {
            bytes: u64::from(len),
            tx_in_flight: stamp.in_flight(),
            lost: u64::from((self.lost as u32).wrapping_sub(stamp.lost)),
            delivered: self.delivered,
            is_app_limited: stamp.is_app_limited(),
        });
    }

    /// Nothing is left to send although the window has room: until `in_flight` more bytes are delivered, samples tell
    /// how fast the application was.
    pub(crate) fn handle_app_limited(&mut self, in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// The sample of the acknowledgment that came at `now`, after all that it reports was counted.
    pub(crate) fn take_sample(&mut self, now: Instant, min_rtt: Option<Duration>) -> RateSample {
        if self.app_limited > 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let mut sample = RateSample {
            newly_delivered: core::mem::take(&mut self.newly_delivered),
            newly_lost: core::mem::take(&mut self.newly_lost),
            ..RateSample::default()
        };
        if sample.newly_delivered > 0 {
            self.delivered_time = now;
        }
        let Some(Newest { sent_at, stamp, .. }) = self.newest.take() else { return sample };
        sample.delivered = u64::from((self.delivered as u32).wrapping_sub(stamp.delivered));
        sample.prior_delivered = self.delivered - sample.delivered;
        sample.lost = u64::from((self.lost as u32).wrapping_sub(stamp.lost));
        sample.tx_in_flight = stamp.in_flight();
        sample.is_app_limited = stamp.is_app_limited();
        let interval = (sent_at - stamp.first_sent_time).max(now - stamp.delivered_time);
        self.first_sent_time = sent_at;
        // What came faster than a round trip was compressed, or acknowledged for an earlier transmission.
        if !interval.is_zero() && min_rtt.is_none_or(|least| interval >= least) {
            sample.interval = Some(interval);
        }
        sample
    }

    /// The next loss that was not yet told.
    pub(crate) fn poll_lost(&mut self) -> Option<LostSegment> {
        self.losses.pop()
    }
}

impl Stamp {
    /// The stamp of what left just before the last `len` bytes that carry this one.
    pub(crate) fn before(self, len: u32) -> Self {
        let flight = (self.tx_in_flight & !APP_LIMITED).saturating_sub(len);
        Self { tx_in_flight: flight | (self.tx_in_flight & APP_LIMITED), ..self }
    }

    fn in_flight(self) -> u64 {
        u64::from(self.tx_in_flight & !APP_LIMITED)
    }

    fn is_app_limited(self) -> bool {
        self.tx_in_flight & APP_LIMITED != 0
    }
}

impl Losses {
    fn push(&mut self, lost: LostSegment) {
        if self.len < self.kept.len() {
            self.kept[self.len] = lost;
            self.len += 1;
        } else if let Some(last) = self.kept.last_mut() {
            *last = LostSegment { bytes: last.bytes + lost.bytes, ..lost };
        }
    }

    fn pop(&mut self) -> Option<LostSegment> {
        if self.len == 0 {
            return None;
        }
        let first = self.kept[0];
        self.kept.rotate_left(1);
        self.len -= 1;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const MIN_RTT: Option<Duration> = Some(Duration::from_millis(100));

    fn seq(n: u32) -> SeqNum {
        SeqNum::new(n)
    }

    #[test]
    fn a_flight_is_measured_from_its_first_segment() {
        let mut rate = RateSampler::new();
        // Ten segments of 1000 bytes, one each 10 ms: 100,000 bytes a second.
        let stamps: Vec<Stamp> =
            (0..10).map(|i| rate.handle_sent(at((10 * i).ms()), 1000 * i as u32, 1000)).collect();
        for (i, &stamp) in (0u64..).zip(&stamps) {
            rate.handle_delivered(1000, at((10 * i).ms()), seq(1000 * (i as u32 + 1)), stamp);
            let sample = rate.take_sample(at((100 + 10 * i).ms()), MIN_RTT);
            // Each segment left before anything was delivered, so each counts from the beginning.
            assert_eq!((sample.delivered, sample.prior_delivered), (1000 * (i + 1), 0));
            assert_eq!(sample.interval, Some((100 + 10 * i).ms()));
            assert_eq!(sample.tx_in_flight, 1000 * (i + 1));
        }
        // One round trip later the rate is the path's.
        let stamp = rate.handle_sent(at(190.ms()), 9000, 1000);
        rate.handle_delivered(1000, at(190.ms()), seq(11_000), stamp);
        let sample = rate.take_sample(at(290.ms()), MIN_RTT);
        assert_eq!((sample.delivered, sample.prior_delivered), (1000, 10_000));
        assert_eq!(sample.delivery_rate(), Some(10_000));
    }

    #[test]
    fn compressed_acknowledgments_do_not_raise_the_rate() {
        let mut rate = RateSampler::new();
        // Sent over 200 ms, acknowledged at once: the time of sending counts.
        let stamps: Vec<Stamp> =
            (0..3).map(|i| rate.handle_sent(at((100 * i).ms()), 1000 * i as u32, 1000)).collect();
        for (i, &stamp) in (0u64..).zip(&stamps) {
            rate.handle_delivered(1000, at((100 * i).ms()), seq(1000 * (i as u32 + 1)), stamp);
        }
        let sample = rate.take_sample(at(150.ms()), MIN_RTT);
        assert_eq!((sample.delivered, sample.interval), (3000, Some(200.ms())));
        assert_eq!(sample.delivery_rate(), Some(15_000));
    }

    #[test]
    fn an_interval_under_the_least_round_trip_gives_no_rate() {
        let mut rate = RateSampler::new();
        let stamp = rate.handle_sent(at(0.ms()), 0, 1000);
        rate.handle_delivered(1000, at(0.ms()), seq(1000), stamp);
        let sample = rate.take_sample(at(50.ms()), MIN_RTT);
        assert_eq!((sample.interval, sample.delivery_rate(), sample.newly_delivered), (None, None, 1000));
    }

    #[test]
    fn the_newest_segment_makes_the_sample() {
        let mut rate = RateSampler::new();
        let old = rate.handle_sent(at(0.ms()), 0, 1000);
        let new = rate.handle_sent(at(10.ms()), 1000, 1000);
        rate.handle_delivered(1000, at(10.ms()), seq(2000), new);
        assert_eq!(rate.take_sample(at(110.ms()), MIN_RTT).tx_in_flight, 2000);
        // The older one arrives late: it was sent before what is already known.
        rate.handle_delivered(1000, at(0.ms()), seq(1000), old);
        let sample = rate.take_sample(at(120.ms()), MIN_RTT);
        assert_eq!((sample.delivered, sample.interval, sample.newly_delivered), (0, None, 1000));
        assert_eq!(rate.delivered(), 2000);
    }

    #[test]
    fn the_applications_pause_marks_what_was_in_flight() {
        let mut rate = RateSampler::new();
        let stamp = rate.handle_sent(at(0.ms()), 0, 1000);
        rate.handle_app_limited(1000);
        let limited = rate.handle_sent(at(10.ms()), 1000, 1000);
        rate.handle_delivered(1000, at(0.ms()), seq(1000), stamp);
        assert!(!rate.take_sample(at(100.ms()), MIN_RTT).is_app_limited, "it left before the pause");
        rate.handle_delivered(1000, at(10.ms()), seq(2000), limited);
        let sample = rate.take_sample(at(110.ms()), MIN_RTT);
        assert!(sample.is_app_limited && !rate.is_app_limited(), "the bubble is delivered");
        assert_eq!(sample.tx_in_flight, 2000);
    }

    #[test]
    fn losses_count_from_when_the_segment_left() {
        let mut rate = RateSampler::new();
        let first = rate.handle_sent(at(0.ms()), 0, 4000);
        rate.handle_lost(1000, first.before(3000));
        let later = rate.handle_sent(at(10.ms()), 3000, 1000);
        rate.handle_lost(1000, first);
        let told: Vec<_> = core::iter::from_fn(|| rate.poll_lost()).collect();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].tx_in_flight, told[0].lost), (1000, 1000));
        assert_eq!((told[1].tx_in_flight, told[1].lost), (4000, 2000));
        rate.handle_delivered(1000, at(10.ms()), seq(5000), later);
        let sample = rate.take_sample(at(110.ms()), MIN_RTT);
        assert_eq!((sample.lost, sample.newly_lost), (1000, 2000));
        // Many losses at once are told as few.
        (0..10).for_each(|_| rate.handle_lost(100, first));
        let told: Vec<_> = core::iter::from_fn(|| rate.poll_lost()).collect();
        assert_eq!((told.len(), told.iter().map(|lost| lost.bytes).sum::<u64>()), (2, 1000));
        assert_eq!(told[1].lost, 3000);
    }
}
