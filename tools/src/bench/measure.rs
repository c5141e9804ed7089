//! Processors, processor time and medians.

use std::ops::{Add, Sub};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// On which processors the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// The contender's.
    pub contender: usize,
    /// The peer's.
    pub peer: usize,
}

impl Cpus {
    /// One processor for both, or one for each as far as this process may use two.
    pub fn new(count: u8) -> Self {
        let allowed = allowed();
        let first = allowed.first().copied().unwrap_or(0);
        let second = allowed.get(1).copied().filter(|_| count > 1).unwrap_or(first);
        Self { contender: first, peer: second }
    }
}

/// The processors that this process may use.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

/// Keeps the calling thread on one processor. Where that is forbidden it runs where it may.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// In user space.
    pub user: f64,
    /// In the kernel on our behalf: the copying, and with a TAP or a veth also what the receiving side does inline.
    pub system: f64,
}

impl CpuTime {
    /// What the calling thread has used. The sum is exact, its division sampled at the kernel's ticks.
    pub fn of_thread() -> Self {
        Self::of(UsageWho::RUSAGE_THREAD)
    }

    /// What all threads of this process have used.
    pub fn of_process() -> Self {
        Self::of(UsageWho::RUSAGE_SELF)
    }

    /// In both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    fn of(whom: UsageWho) -> Self {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        getrusage(whom).map_or_else(
            |_| Self::default(),
            |usage| Self { user: seconds(usage.user_time()), system: seconds(usage.system_time()) },
        )
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { user: self.user - other.user, system: self.system - other.system }
    }
}

/// How long the calling thread has worked: on a machine that others use too, this says more than a clock.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}

/// The middle value, of two the upper; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that so large a part of them does not exceed; 0 of none.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_values() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(percentile(&[1.0, 2.0], 1.0), 2.0);
    }

    #[test]
    fn work_takes_processor_time() {
        let (before, from) = (CpuTime::of_thread(), thread_time());
        while thread_time() - from < Duration::from_millis(20) {
            std::hint::black_box((0..1000).sum::<u64>());
        }
        let used = CpuTime::of_thread() - before;
        assert!(used.user + used.system > 0.005, "{used:?}");
    }
}
