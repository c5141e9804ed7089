//! Keeping what moves frames on one processor, where order matters.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread, and the threads and processes that it starts meanwhile, run on one processor for as long as this lives.
///
/// A virtual wire queues a frame with the processor of its sender: frames of one flow overtake each other when they
/// leave by different ones.
#[derive(Debug)]
pub struct OneProcessor {
    before: CpuSet,
}

impl OneProcessor {
    /// Takes the processors in turn, of those on which this thread may run.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn take() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).expect("any thread may ask");
        let allowed: Vec<usize> =
            (0..CpuSet::count()).filter(|&cpu| before.is_set(cpu).unwrap_or(false)).collect();
        let mut one = CpuSet::new();
        one.set(allowed[NEXT.fetch_add(1, Ordering::Relaxed) % allowed.len()]).expect("it is in the set");
        sched_setaffinity(this, &one).expect("a thread may restrict itself");
        Self { before }
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_those_it_starts_stay_until_the_end() {
        let count = || {
            let allowed = sched_getaffinity(Pid::from_raw(0)).expect("any thread may ask");
            (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).count()
        };
        let before = count();
        let one = OneProcessor::take();
        assert_eq!((count(), std::thread::spawn(count).join().expect("it does not panic")), (1, 1));
        drop(one);
        assert_eq!(count(), before);
    }
}
