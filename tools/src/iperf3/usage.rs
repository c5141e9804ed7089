//! How much of a processor this process used.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;
use ustack::time::{Duration, Instant};

/// Per cent of one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// All of it.
    pub total: f64,
    /// In the program itself.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

/// The moment from which on it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    at: Instant,
    /// Microseconds of the program and of the kernel so far.
    used: [i64; 2],
}

impl Usage {
    pub(super) fn begin(now: Instant) -> Self {
        Self { at: now, used: used() }
    }

    /// What was used since.
    pub(super) fn until(&self, now: Instant) -> Share {
        let span = now.since(self.at).max(Duration::from_micros(1)).as_secs_f64();
        let [user, system] = used();
        let share = |now: i64, before: i64| (now - before) as f64 / 1e6 / span * 100.0;
        let (user, system) = (share(user, self.used[0]), share(system, self.used[1]));
        Share { total: user + system, user, system }
    }
}

fn used() -> [i64; 2] {
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => [usage.user_time().num_microseconds(), usage.system_time().num_microseconds()],
        Err(_) => [0; 2],
    }
}
