//! Real time, as the time of a script.

use std::time::Instant as Real;

use ustack::time::Instant;

/// Counts from the beginning of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Real);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "a kernel runs in real time")]
    pub(super) fn start() -> Self {
        Self(Real::now())
    }

    pub(super) fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed().into()
    }
}
