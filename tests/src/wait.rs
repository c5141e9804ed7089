//! Waiting for a condition, with a deadline and without fixed delays.

use std::time::{Duration, Instant};

/// How long a test waits for what should happen at once, on a slow and busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// The time of the machine, for deadlines of tests that meet the kernel.
#[allow(clippy::disallowed_methods, reason = "the kernel's side lives in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until the condition holds.
///
/// # Panics
/// It does not hold within `limit`; the message says `what` was awaited.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until_some(what, limit, || condition().then_some(()));
}

/// Waits until `probe` answers something, and returns it.
///
/// # Panics
/// It answers nothing within `limit`; the message says `what` was awaited.
#[track_caller]
pub fn until_some<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_true_is_noticed() {
        let mut left = 5;
        until("zero", SOON, || {
            left -= 1;
            left == 0
        });
        assert_eq!(left, 0);
    }

    #[test]
    #[should_panic(expected = "in vain for the moon")]
    fn what_stays_false_fails_by_name() {
        until("the moon", Duration::from_millis(5), || false);
    }
}
