//! What a series of echoes adds up to.

use serde::Serialize;
use ustack::time::Duration;

/// The round-trip times of a series.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) errors: u64,
    /// In the order in which they came, in milliseconds.
    times: Vec<f64>,
}

/// Most round-trip times that are kept; of further ones only the number counts.
const MAX_TIMES: usize = 1 << 20;

/// Round-trip times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    pub(super) min: f64,
    pub(super) avg: f64,
    pub(super) max: f64,
    /// Standard deviation.
    pub(super) mdev: f64,
}

impl Summary {
    pub(super) fn add(&mut self, time: Duration) {
        self.received += 1;
        if self.times.len() < MAX_TIMES {
            self.times.push(time.as_nanos() as f64 / 1e6);
        }
    }

    /// None if nothing came back.
    pub(super) fn times(&self) -> Option<Times> {
        let first = *self.times.first()?;
        let count = self.times.len() as f64;
        let avg = self.times.iter().sum::<f64>() / count;
        let variance = self.times.iter().map(|time| (time - avg).powi(2)).sum::<f64>() / count;
        Some(Times {
            min: self.times.iter().copied().fold(first, f64::min),
            avg,
            max: self.times.iter().copied().fold(first, f64::max),
            mdev: variance.sqrt(),
        })
    }

    /// Lost, in percent of what was sent.
    pub(super) fn loss(&self) -> f64 {
        match self.sent {
            0 => 0.0,
            sent => sent.saturating_sub(self.received) as f64 * 100.0 / sent as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_three_echoes() {
        let mut summary = Summary { sent: 4, ..Summary::default() };
        for ms in [1, 2, 3] {
            summary.add(Duration::from_millis(ms));
        }
        let times = summary.times().unwrap();
        assert_eq!((times.min, times.avg, times.max), (1.0, 2.0, 3.0));
        assert!((times.mdev - 0.8165).abs() < 1e-4);
        assert_eq!(summary.loss(), 25.0);
    }

    #[test]
    fn of_none() {
        assert_eq!(Summary::default().times(), None);
        assert_eq!(Summary::default().loss(), 0.0);
    }
}
