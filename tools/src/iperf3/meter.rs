//! What one stream counts while its data flow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use ustack::time::Instant;

/// What was moved so far, or within a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Bytes of data.
    pub bytes: u64,
    /// Blocks written, or datagrams sent; received, the highest number that one bore.
    pub packets: u64,
    /// Datagrams that are missing.
    pub lost: u64,
    /// Datagrams that came after a later one.
    pub out_of_order: u64,
    /// Smoothed difference of transit times in seconds (RFC 1889 appendix A.8); never a difference of two counts.
    pub jitter: f64,
    /// Segments that TCP sent again, if it says so.
    pub retransmits: Option<u64>,
}

impl Counts {
    /// All of them together; the jitter is the largest.
    #[must_use]
    pub fn sum<'a>(counts: impl IntoIterator<Item = &'a Self>) -> Self {
        counts.into_iter().fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes.saturating_add(one.bytes),
            packets: sum.packets.saturating_add(one.packets),
            lost: sum.lost.saturating_add(one.lost),
            out_of_order: sum.out_of_order.saturating_add(one.out_of_order),
            jitter: sum.jitter.max(one.jitter),
            retransmits: sum.retransmits.into_iter().chain(one.retransmits).reduce(u64::saturating_add),
        })
    }

    /// What was added since.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let retransmits = self.retransmits.zip(earlier.retransmits.or(Some(0)));
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            packets: self.packets.saturating_sub(earlier.packets),
            lost: self.lost.saturating_sub(earlier.lost),
            out_of_order: self.out_of_order.saturating_sub(earlier.out_of_order),
            jitter: self.jitter,
            retransmits: retransmits.map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

/// The counters of one stream, which its task writes.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: AtomicU64,
    packets: AtomicU64,
    arrivals: Mutex<Arrivals>,
}

/// What a receiver of datagrams remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    lost: u64,
    out_of_order: u64,
    jitter: f64,
    transit: Option<f64>,
}

impl Meter {
    pub(super) fn counts(&self) -> Counts {
        let Arrivals { lost, out_of_order, jitter, .. } = *self.arrivals();
        Counts {
            bytes: self.bytes.load(Ordering::Relaxed),
            packets: self.packets.load(Ordering::Relaxed),
            lost,
            out_of_order,
            jitter,
            retransmits: None,
        }
    }

    /// A block was written, or part of one; or bytes were read.
    pub(super) fn moved(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packets.fetch_add(1, Ordering::Relaxed);
    }

    /// A datagram with this number came, which left at that time of the sender's clock, in seconds.
    pub(super) fn arrived(&self, now: Instant, bytes: usize, number: u64, left: f64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut arrivals = self.arrivals();
        let highest = self.packets.load(Ordering::Relaxed);
        if number > highest {
            arrivals.lost = arrivals.lost.saturating_add(number - highest - 1);
            self.packets.store(number, Ordering::Relaxed);
        } else {
            // It counted as lost, unless it is there twice.
            arrivals.out_of_order += 1;
            arrivals.lost = arrivals.lost.saturating_sub(1);
        }
        let transit = now.as_nanos() as f64 / 1e9 - left;
        if let Some(before) = arrivals.transit.replace(transit) {
            let difference = (transit - before).abs();
            arrivals.jitter += (difference - arrivals.jitter) / 16.0;
        }
    }

    fn arrivals(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much there is to move, all streams together.
#[derive(Debug, Default)]
pub(super) struct Goal {
    /// 0: no limit.
    bytes: u64,
    blocks: u64,
    moved: AtomicU64,
    moved_blocks: AtomicU64,
    reached: Notify,
}

impl Goal {
    pub(super) fn new(bytes: u64, blocks: u64) -> Self {
        Self { bytes, blocks, ..Self::default() }
    }

    pub(super) fn is_reached(&self) -> bool {
        let reached = |goal: u64, moved: &AtomicU64| goal > 0 && moved.load(Ordering::Relaxed) >= goal;
        reached(self.bytes, &self.moved) || reached(self.blocks, &self.moved_blocks)
    }

    /// Counts what a stream moved.
    pub(super) fn moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
        self.moved_blocks.fetch_add(1, Ordering::Relaxed);
        if self.is_reached() {
            self.reached.notify_one();
        }
    }

    /// Waits until it is reached.
    pub(super) async fn wait(&self) {
        while !self.is_reached() {
            self.reached.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use ustack::time::{Units as _, at};

    use super::*;

    #[test]
    fn datagrams_are_missed_until_they_come() {
        let meter = Meter::default();
        for number in [1, 2, 5, 4, 6] {
            meter.arrived(at(number.secs()), 100, number, number as f64);
        }
        let counts = meter.counts();
        assert_eq!((counts.bytes, counts.packets), (500, 6));
        assert_eq!((counts.lost, counts.out_of_order), (1, 1));
        assert!(counts.jitter.abs() < 1e-9, "all took the same time");
    }

    #[test]
    fn jitter_follows_the_differences_of_transit_times() {
        let meter = Meter::default();
        meter.arrived(at(1.secs()), 1, 1, 1.0);
        meter.arrived(at(2016.ms()), 1, 2, 2.0);
        assert!((meter.counts().jitter - 0.001).abs() < 1e-9, "a sixteenth of 16 ms");
    }

    #[test]
    fn a_hostile_number_overflows_nothing() {
        let meter = Meter::default();
        meter.arrived(at(1.secs()), 1, u64::MAX, 0.0);
        meter.arrived(at(1.secs()), 1, 0, 0.0);
        assert_eq!(meter.counts().lost, u64::MAX - 2);
    }

    #[test]
    fn a_goal_is_reached_by_bytes_or_blocks() {
        let goal = Goal::new(0, 2);
        goal.moved(1);
        assert!(!goal.is_reached());
        goal.moved(1);
        assert!(goal.is_reached());
        assert!(!Goal::default().is_reached());
    }
}
