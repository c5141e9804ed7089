//! Where the time comes from: the one place above the core that reads a clock.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::time::Instant;

/// The clock of a driver.
#[derive(Clone)]
pub(crate) enum Clock {
    /// The system's monotonic clock, counted from the driver's start.
    System(std::time::Instant),
    /// A simulation's: it moves when the simulation moves it.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "a driver gives the core its time")]
    pub(crate) fn system() -> Self {
        Self::System(std::time::Instant::now())
    }

    /// A clock that stands at zero until it is set.
    pub(crate) fn manual() -> Self {
        Self::Virtual(Arc::default())
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System(start) => Instant::ZERO + start.elapsed().into(),
            Self::Virtual(ns) => Instant::from_nanos(ns.load(Ordering::Acquire)),
        }
    }

    /// Moves a virtual clock; the system's cannot be moved.
    pub(crate) fn set(&self, now: Instant) {
        if let Self::Virtual(ns) = self {
            ns.store(now.as_nanos(), Ordering::Release);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.now())
    }
}
