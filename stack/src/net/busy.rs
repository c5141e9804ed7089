//! How long a driver goes on asking the devices before it sleeps: as long as that pays.

use crate::time::{Duration, Instant};

/// A window after the last frame, in which the next one is asked for again and again. It follows the gaps between
/// frames: it grows while they come so soon that a longer window would have met them, and shrinks while they do not.
#[derive(Clone, Debug)]
pub(super) struct BusyPoll {
    most: Duration,
    window: Duration,
    last_frame: Instant,
    /// Whether the driver has slept since.
    slept: bool,
}

/// The smallest window but none: below it, falling asleep costs as much.
const LEAST: Duration = Duration::from_micros(5);

impl BusyPoll {
    /// A window of `most`, which it never exceeds; zero is never to ask.
    pub(super) fn new(most: Duration) -> Self {
        Self { most, window: most, last_frame: Instant::ZERO, slept: false }
    }

    /// Whether to ask again at `now` rather than to sleep.
    pub(super) fn asks(&self, now: Instant) -> bool {
        now.since(self.last_frame) < self.window
    }

    /// The driver sleeps.
    pub(super) fn sleep(&mut self) {
        self.slept = true;
    }

    /// There was a frame.
    pub(super) fn handle_frame(&mut self, now: Instant) {
        let gap = now.since(self.last_frame);
        if self.slept && gap <= self.most {
            self.window = (self.window * 2).max(LEAST).min(self.most);
        } else if self.slept {
            let half = self.window / 2;
            self.window = if half < LEAST { Duration::ZERO } else { half };
        }
        (self.last_frame, self.slept) = (now, false);
    }
}

/// Whether a driver looks once more before it falls asleep: where its peer shares its processor, the answer is there by
/// then, and falling asleep costs more than looking.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLook {
    /// The last look found something.
    pays: bool,
    /// It has looked, and found nothing yet.
    looking: bool,
    sleeps: u32,
}

/// How often it is tried where it did not pay.
const DOUBT: u32 = 16;

impl LastLook {
    /// The driver would sleep now: whether it looks first.
    pub(super) fn is_due(&mut self) -> bool {
        if core::mem::take(&mut self.looking) {
            self.pays = false;
            return false;
        }
        self.sleeps = self.sleeps.wrapping_add(1);
        self.looking = self.pays || self.sleeps.is_multiple_of(DOUBT);
        self.looking
    }

    /// There was a frame.
    pub(super) fn handle_frame(&mut self) {
        if core::mem::take(&mut self.looking) {
            self.pays = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(100);

    /// Frames that come with such gaps, to a driver that asks or sleeps as it is told; how often it slept.
    fn sleeps(busy: &mut BusyPoll, now: &mut Instant, gap: Duration, frames: usize) -> usize {
        let mut sleeps = 0;
        for _ in 0..frames {
            *now += gap;
            if !busy.asks(*now) {
                busy.sleep();
                sleeps += 1;
            }
            busy.handle_frame(*now);
        }
        sleeps
    }

    #[test]
    fn frames_that_come_soon_are_met_awake() {
        let (mut busy, mut now) = (BusyPoll::new(MOST), Instant::ZERO);
        assert_eq!(sleeps(&mut busy, &mut now, MOST / 2, 100), 0);
    }

    #[test]
    fn frames_that_come_late_are_not_waited_for() {
        let (mut busy, mut now) = (BusyPoll::new(MOST), Instant::ZERO);
        assert_eq!(sleeps(&mut busy, &mut now, MOST * 2, 100), 100);
        // 100, 50, 25, 12, 6 and then none: not a moment is spent on asking.
        assert!(!busy.asks(now));
    }

    #[test]
    fn the_window_comes_back_with_the_frames() {
        let (mut busy, mut now) = (BusyPoll::new(MOST), Instant::ZERO);
        sleeps(&mut busy, &mut now, MOST * 2, 100);
        // 5, 10, 20, 40, and then it is long enough.
        assert_eq!(sleeps(&mut busy, &mut now, Duration::from_micros(30), 100), 4);
    }

    #[test]
    fn no_window_is_no_window() {
        let (mut busy, mut now) = (BusyPoll::new(Duration::ZERO), Instant::ZERO);
        assert_eq!(sleeps(&mut busy, &mut now, Duration::from_nanos(1), 10), 10);
    }

    #[test]
    fn an_endless_window_never_sleeps() {
        let (mut busy, mut now) = (BusyPoll::new(Duration::MAX), Instant::ZERO);
        assert_eq!(sleeps(&mut busy, &mut now, Duration::from_secs(1), 10), 0);
    }

    /// So many times a driver has nothing to do; how often it looked again before it slept.
    fn looks(look: &mut LastLook, times: usize, finds: bool) -> usize {
        let mut looks = 0;
        for _ in 0..times {
            if look.is_due() {
                looks += 1;
                if finds {
                    look.handle_frame();
                    continue;
                }
                assert!(!look.is_due(), "it sleeps after one look");
            }
            look.handle_frame();
        }
        looks
    }

    #[test]
    fn a_driver_looks_once_more_where_that_pays() {
        let mut look = LastLook::default();
        assert_eq!(looks(&mut look, 16 * 10, false), 10, "a try now and then");
        assert_eq!(looks(&mut look, 16 + 100, true), 101, "from the first find on each time");
        assert_eq!(looks(&mut look, 1 + 16, false), 2, "and no more after the first in vain");
    }
}
