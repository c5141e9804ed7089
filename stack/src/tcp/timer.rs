//! The deadlines of one connection: a table indexed by an enum.

use crate::buf::packed::{Packed, Packer, Unpacker};
use crate::time::Instant;

/// What a deadline is for, in the order in which those due at one time are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// What RACK has left alone may be lost now (RFC 8985 section 6.2).
    Reordering,
    /// A tail-loss probe (RFC 8985 section 7); before the retransmission timer, which it puts off.
    Probe,
    /// Retransmission (RFC 6298), of a SYN too.
    Rto,
    /// The peer's window is closed, or too small for what waits.
    Persist,
    /// An ACK waits for company.
    DelayedAck,
    /// Nothing was heard for long.
    Keepalive,
    /// A closed socket waits for the peer's FIN.
    FinWait2,
    /// Sent data remains unacknowledged (RFC 5482).
    UserTimeout,
    /// The next segment may leave.
    Pacing,
    /// What a cork holds back has waited long enough.
    Cork,
    /// A closed socket's data should be acknowledged by now.
    Linger,
    /// TIME-WAIT is over.
    TimeWait,
    /// Buffers that stand empty give their memory back.
    Idle,
}

const COUNT: usize = Timer::Idle as usize + 1;

const ALL: [Timer; COUNT] = [
    Timer::Reordering,
    Timer::Probe,
    Timer::Rto,
    Timer::Persist,
    Timer::DelayedAck,
    Timer::Keepalive,
    Timer::FinWait2,
    Timer::UserTimeout,
    Timer::Pacing,
    Timer::Cork,
    Timer::Linger,
    Timer::TimeWait,
    Timer::Idle,
];

/// The deadlines; [`Instant::MAX`] stands for none.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    at: [Instant; COUNT],
    /// None is earlier, as far as is known without looking at all of them.
    earliest: Instant,
}

impl Timers {
    /// None is set.
    pub(crate) const fn new() -> Self {
        Self { at: [Instant::MAX; COUNT], earliest: Instant::MAX }
    }

    /// Whether one is set.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize] < Instant::MAX
    }

    /// When one is due.
    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        Some(self.at[timer as usize]).filter(|&at| at < Instant::MAX)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.iter().copied().min().filter(|&at| at < Instant::MAX)
    }

    /// Whether one may be earlier than `at`, or none is left.
    pub(crate) fn may_precede(&self, at: Instant) -> bool {
        self.earliest < at || self.earliest == Instant::MAX
    }

    /// The earliest deadline, from which [`Self::may_precede`] counts anew.
    pub(crate) fn take_next(&mut self) -> Option<Instant> {
        let next = self.next();
        self.earliest = next.unwrap_or(Instant::MAX);
        next
    }

    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer as usize] = at;
        self.earliest = self.earliest.min(at);
    }

    /// Sets a deadline unless it is set.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: Instant) {
        if !self.is_set(timer) {
            self.set(timer, at);
        }
    }

    /// Removes a deadline.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = Instant::MAX;
    }

    /// Removes all deadlines.
    pub(crate) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// Takes one that is due, the first in the order of the enum.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let timer = ALL.into_iter().find(|&timer| self.is_set(timer) && self.at[timer as usize] <= now)?;
        self.stop(timer);
        Some(timer)
    }
}

/// Which are set, and when those are due.
impl Packed for Timers {
    fn pack(&self, to: &mut Packer) {
        let set = ALL.into_iter().filter(|&timer| self.is_set(timer));
        set.clone().fold(0_u16, |bits, timer| bits | 1 << timer as u16).pack(to);
        set.for_each(|timer| self.at[timer as usize].pack(to));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let (mut timers, bits) = (Self::new(), u16::unpack(from));
        for timer in ALL.into_iter().filter(|&timer| bits & 1 << timer as u16 != 0) {
            timers.set(timer, Instant::unpack(from));
        }
        timers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    #[test]
    fn the_table_and_the_enum_agree() {
        for (index, timer) in ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }

    #[test]
    fn deadlines_expire_once() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Keepalive, at(2.secs()));
        timers.set(Timer::Rto, at(1.secs()));
        timers.set_if_unset(Timer::Rto, at(5.secs()));
        assert_eq!(timers.next(), Some(at(1.secs())));
        assert_eq!(timers.expire(at(999.ms())), None);
        assert_eq!(timers.expire(at(3.secs())), Some(Timer::Rto));
        assert_eq!(timers.expire(at(3.secs())), Some(Timer::Keepalive));
        assert_eq!(timers.expire(at(3.secs())), None);
        assert_eq!(timers.next(), None);
    }
}
