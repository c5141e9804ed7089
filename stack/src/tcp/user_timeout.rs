//! The user timeout option (RFC 5482): each side says how long it keeps data that is not acknowledged, and the more
//! patient one counts for both.

use crate::time::Duration;
use crate::wire::tcp::UserTimeout;

/// A peer cannot make us give up earlier: R2 of RFC 9293 section 3.8.3 is at least that.
const LOWER_LIMIT: Duration = Duration::from_secs(100);
/// Nor can it make us keep a dead connection for days.
const UPPER_LIMIT: Duration = Duration::from_secs(3600);
const MOST: u64 = 0x7fff;

/// What says `timeout` on the wire: seconds as far as they reach, then minutes, both rounded up. Nothing says zero.
pub(crate) fn on_wire(timeout: Duration) -> Option<UserTimeout> {
    let seconds = timeout.as_millis().div_ceil(1000);
    let minutes = seconds > MOST;
    let value = if minutes { seconds.div_ceil(60).min(MOST) } else { seconds };
    (value > 0).then_some(UserTimeout { minutes, value: value as u16 })
}

/// The timeout that holds when we advertised `ours` and the peer `theirs`; `None` if that says nothing.
pub(crate) fn agreed(ours: Duration, theirs: UserTimeout) -> Option<Duration> {
    // RFC 5482 section 3: 0 is reserved, and ignored.
    let value = Some(u64::from(theirs.value)).filter(|&value| value > 0)?;
    let theirs = Duration::from_secs(if theirs.minutes { 60 * value } else { value });
    // RFC 5482 section 3.1: the larger of both, between limits. Note: the upper one binds the peer, not ourselves.
    Some(theirs.min(UPPER_LIMIT).max(ours).max(LOWER_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Units;

    const fn option(minutes: bool, value: u16) -> UserTimeout {
        UserTimeout { minutes, value }
    }

    #[test]
    fn seconds_give_way_to_minutes() {
        assert_eq!(on_wire(0.secs()), None);
        assert_eq!(on_wire(1.ms()), Some(option(false, 1)));
        assert_eq!(on_wire(300.secs()), Some(option(false, 300)));
        assert_eq!(on_wire(32_767.secs()), Some(option(false, 32_767)));
        assert_eq!(on_wire(32_768.secs()), Some(option(true, 547)));
        assert_eq!(on_wire(10_000_000.secs()), Some(option(true, 0x7fff)));
    }

    #[test]
    fn the_more_patient_side_counts_between_limits() {
        assert_eq!(agreed(300.secs(), option(false, 200)), Some(300.secs()));
        assert_eq!(agreed(300.secs(), option(true, 7)), Some(420.secs()));
        assert_eq!(agreed(3.secs(), option(false, 2)), Some(100.secs()));
        assert_eq!(agreed(3.secs(), option(true, 0x7fff)), Some(3600.secs()));
        assert_eq!(agreed(7200.secs(), option(true, 0x7fff)), Some(7200.secs()));
        assert_eq!(agreed(300.secs(), option(true, 0)), None);
    }
}
