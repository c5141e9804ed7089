//! What waits for the rate of one direction, and how the queue tells that it is too long (RFC 3168 section 5, RFC
//! 8289).
//!
//! Frames leave in the order in which they come, each at a time that is known when it comes. So what happens to a frame
//! at the head of the queue is decided when it joins its end.

use std::collections::VecDeque;

use super::fate::{Drop, Fate};
use super::impair::{Codel, Impairment, Rate, Threshold};
use crate::time::{Duration, Instant};

/// What waits for the rate.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When the last frame will have been sent.
    line_free: Instant,
    /// When each frame that waits, or is being sent, will have been, and its bytes; in order.
    waiting: VecDeque<(Instant, usize)>,
    bytes: usize,
    codel: Control,
}

/// The longest frame of an Ethernet: a queue that holds one is never too long (RFC 8289 section 4.4).
const LONGEST_FRAME: usize = 1514;

impl Queue {
    /// How many frames wait at `now`, the one that is being sent included.
    pub(super) fn len(&mut self, now: Instant) -> usize {
        while let Some(&(sent, len)) = self.waiting.front()
            && sent <= now
        {
            self.waiting.pop_front();
            self.bytes -= len;
        }
        self.waiting.len()
    }

    /// What the queue does to a frame that joins it: what is ECN-capable is marked, the rest may be dropped.
    pub(super) fn judge(&mut self, now: Instant, config: &Impairment, capable: bool, fate: &mut Fate) {
        let Some(rate) = &config.rate else { return };
        let frames = self.len(now);
        let above = config.mark.is_some_and(|threshold| match threshold {
            Threshold::Frames(most) => frames >= most,
            Threshold::Bytes(most) => self.bytes >= most,
        });
        fate.mark = above && capable;
        if let Some(codel) = &config.codel {
            let head = self.line_free.max(now);
            let target = codel.target.max(rate.time(LONGEST_FRAME));
            if self.codel.handle(&Codel { target, ..*codel }, head, head - now) {
                fate.mark |= capable;
                fate.drop = (!capable).then_some(Drop::Early);
            }
        }
    }

    /// A frame of `len` bytes joins the queue; answers when it will have been sent.
    pub(super) fn push(&mut self, now: Instant, rate: &Rate, len: usize) -> Instant {
        self.line_free = self.line_free.max(now) + rate.time(len);
        self.wait(len);
        self.line_free
    }

    /// A frame joins it and is dropped when its turn comes.
    pub(super) fn push_dropped(&mut self, now: Instant, len: usize) {
        self.line_free = self.line_free.max(now);
        self.wait(len);
    }

    fn wait(&mut self, len: usize) {
        self.waiting.push_back((self.line_free, len));
        self.bytes += len;
    }
}

/// The state of CoDel, with the names of RFC 8289 section 5.
#[derive(Debug, Default)]
struct Control {
    first_above_time: Option<Instant>,
    dropping: bool,
    drop_next: Instant,
    count: u32,
    lastcount: u32,
}

impl Control {
    /// A frame is at the head of the queue after `sojourn` in it; answers whether it is to be marked or dropped.
    fn handle(&mut self, codel: &Codel, now: Instant, sojourn: Duration) -> bool {
        let above = self.is_above(codel, now, sojourn);
        if !above {
            self.dropping = false;
            return false;
        }
        if !self.dropping {
            self.enter(codel, now);
            return true;
        }
        if now < self.drop_next {
            return false;
        }
        self.count += 1;
        self.drop_next = law(self.drop_next, codel.interval, self.count);
        true
    }

    /// Whether frames have waited too long for a whole interval.
    ///
    /// Note: instead of the bytes behind it, which nobody knows yet, the target is at least a frame's time.
    fn is_above(&mut self, codel: &Codel, now: Instant, sojourn: Duration) -> bool {
        if sojourn < codel.target {
            self.first_above_time = None;
            return false;
        }
        let first = *self.first_above_time.get_or_insert(now + codel.interval);
        now >= first
    }

    /// RFC 8289 section 5.5: near the rate of the last time, if that is not long ago.
    fn enter(&mut self, codel: &Codel, now: Instant) {
        let delta = self.count.saturating_sub(self.lastcount);
        let recent = now - self.drop_next < codel.interval * 16;
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.lastcount = self.count;
        self.dropping = true;
        self.drop_next = law(now, codel.interval, self.count);
    }
}

/// RFC 8289 section 5.6: each time a little sooner.
fn law(from: Instant, interval: Duration, count: u32) -> Instant {
    // The root of IEEE 754 has the same bits on every machine.
    from + Duration::from_nanos((interval.as_nanos() as f64 / f64::from(count).sqrt()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units as _, at};

    /// The times in milliseconds at which CoDel speaks up while each frame, one a millisecond, has waited for 20 ms.
    fn spoken(control: &mut Control, from: u64, to: u64) -> Vec<u64> {
        let codel = Codel::default();
        (from..to).filter(|&ms| control.handle(&codel, at(ms.ms()), 20.ms())).collect()
    }

    #[test]
    fn it_waits_for_an_interval_and_speaks_up_ever_sooner() {
        let mut control = Control::default();
        // 100 ms after the first, then after 100, 71, 58, 50 ms...
        assert_eq!(spoken(&mut control, 0, 480), [100, 200, 271, 329, 379, 424, 464]);
        // A short queue makes it silent, and soon after it goes on where it was.
        assert!(!control.handle(&Codel::default(), at(480.ms()), 4.ms()));
        assert_eq!(spoken(&mut control, 481, 700), [581, 622, 660, 695]);
        assert!(!control.handle(&Codel::default(), at(700.ms()), 4.ms()));
        // Long after it begins anew.
        assert_eq!(spoken(&mut control, 9000, 9250), [9100, 9200]);
    }

    #[test]
    fn it_holds_frames_until_they_are_sent() {
        let (mut queue, rate) = (Queue::default(), Rate::bits(8_000));
        assert_eq!(queue.push(at(0.ms()), &rate, 10), at(10.ms()));
        queue.push_dropped(at(1.ms()), 50);
        assert_eq!(queue.push(at(2.ms()), &rate, 10), at(20.ms()));
        assert_eq!((queue.len(at(3.ms())), queue.bytes), (3, 70));
        // The dropped one leaves when its turn comes.
        assert_eq!((queue.len(at(10.ms())), queue.bytes), (1, 10));
        assert_eq!((queue.len(at(20.ms())), queue.bytes), (0, 0));
    }
}
