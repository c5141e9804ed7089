//! When a run is measured, and what was moved meanwhile: shared by whoever moves bytes and who reads the clock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::measure::CpuTime;

/// Nothing happens for so long: the run has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the clock is looked at until something happens.
const GLANCE: Duration = Duration::from_millis(2);
/// What a run does before it is measured, as a part of its span: windows and buffers grow meanwhile.
const WARM_UP: f64 = 0.25;

const WARMING: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// One run.
#[derive(Debug, Default)]
pub struct Run {
    phase: AtomicU8,
    count: AtomicU64,
    failed: AtomicBool,
}

/// What was moved while the run was measured.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Bytes, or whatever was counted.
    pub count: u64,
    /// In so many seconds.
    pub seconds: f64,
    /// What the whole process used meanwhile.
    pub cpu: CpuTime,
}

impl Moved {
    /// Per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

impl Run {
    /// A run that has not begun.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Counts what was moved.
    pub fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// Ends the run: there is nothing to measure.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.phase.store(OVER, Ordering::Relaxed);
    }

    /// Waits until something moves, lets it warm up, and measures for `span`; then the run is over.
    ///
    /// # Errors
    /// Nothing moves, or whoever was to move it has failed.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub fn measure(&self, span: Duration) -> io::Result<Moved> {
        let begin = Instant::now();
        while self.count.load(Ordering::Relaxed) == 0 {
            if self.failed.load(Ordering::Relaxed) || begin.elapsed() > PATIENCE {
                self.fail();
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was carried"));
            }
            std::thread::sleep(GLANCE);
        }
        std::thread::sleep(span.mul_f64(WARM_UP));
        self.phase.store(MEASURED, Ordering::Relaxed);
        let (from, start, used) = (self.count.load(Ordering::Relaxed), Instant::now(), CpuTime::of_process());
        std::thread::sleep(span);
        let (to, seconds) = (self.count.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
        let cpu = CpuTime::of_process() - used;
        self.phase.store(OVER, Ordering::Relaxed);
        if self.failed.load(Ordering::Relaxed) || to == from {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "it ended early"));
        }
        Ok(Moved { count: to - from, seconds, cpu })
    }
}

/// A thread's own view of a run: how much processor time it used while the run was measured.
#[derive(Debug)]
pub struct Gauge {
    run: Arc<Run>,
    phase: u8,
    from: CpuTime,
    used: CpuTime,
}

impl Gauge {
    /// For the calling thread.
    pub fn new(run: &Arc<Run>) -> Self {
        let (from, used) = (CpuTime::default(), CpuTime::default());
        Self { run: run.clone(), phase: WARMING, from, used }
    }

    /// Whether the run was being measured when it was last asked whether it goes on.
    pub fn is_measuring(&self) -> bool {
        self.phase == MEASURED
    }

    /// What the thread used.
    pub fn used(&self) -> CpuTime {
        self.used
    }

    /// Counts what was moved.
    pub fn add(&self, count: usize) {
        self.run.add(count as u64);
    }

    /// Whether to go on; to be asked often.
    pub fn running(&mut self) -> bool {
        let phase = self.run.phase.load(Ordering::Relaxed);
        if phase != self.phase {
            match phase {
                MEASURED => self.from = CpuTime::of_thread(),
                _ if self.phase == MEASURED => self.used = CpuTime::of_thread() - self.from,
                _ => {}
            }
            self.phase = phase;
        }
        phase != OVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_failed_is_not_waited_for() {
        let run = Run::new();
        run.fail();
        assert_eq!(run.measure(Duration::from_secs(3600)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!Gauge::new(&run).running());
    }

    #[test]
    fn only_what_is_moved_while_it_is_measured_counts() {
        let run = Run::new();
        run.add(1000);
        let mover = {
            let mut gauge = Gauge::new(&run);
            std::thread::spawn(move || {
                while gauge.running() {
                    gauge.add(1);
                    std::thread::yield_now();
                }
                gauge.used()
            })
        };
        let moved = run.measure(Duration::from_millis(5)).unwrap();
        assert!(moved.seconds > 0.0 && moved.rate() > 0.0);
        assert!(moved.count < run.count.load(Ordering::Relaxed), "the warm-up does not count");
        mover.join().unwrap();
    }
}
