//! The earliest deadline of each socket, in one ordered structure.
//!
//! A socket that moves its deadline later (the usual case: every ACK re-arms the RTO) is left where it stands.
//! It then wakes early once, finds nothing due, and is entered anew; so a packet costs no reordering here.

use std::collections::BTreeSet;

use super::table::SocketId;
use crate::time::Instant;

/// Deadlines of sockets, earliest first.
#[derive(Debug, Default)]
pub struct Timers {
    deadlines: BTreeSet<(Instant, SocketId)>,
}

impl Timers {
    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Enters a socket's new deadline. `entered` is where it stands now, and is kept up to date.
    pub fn set(&mut self, id: SocketId, entered: &mut Option<Instant>, deadline: Option<Instant>) {
        match (*entered, deadline) {
            // It is asked again at `old`, early but never late.
            (Some(old), Some(new)) if old <= new => {}
            (None, None) => {}
            (old, new) => {
                if let Some(old) = old {
                    self.deadlines.remove(&(old, id));
                }
                if let Some(new) = new {
                    self.deadlines.insert((new, id));
                }
                *entered = new;
            }
        }
    }

    /// Takes the next socket whose deadline has come. Its `entered` is to be cleared.
    pub fn poll_due(&mut self, now: Instant) -> Option<SocketId> {
        let &(at, id) = self.deadlines.first()?;
        (at <= now).then(|| {
            self.deadlines.pop_first();
            id
        })
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::time::{Units, at};

    #[test]
    fn a_later_deadline_costs_nothing_and_an_earlier_one_counts_at_once() {
        let mut keys: SlotMap<SocketId, ()> = SlotMap::with_key();
        let (a, b) = (keys.insert(()), keys.insert(()));
        let mut timers = Timers::default();
        let (mut at_a, mut at_b) = (None, None);
        timers.set(a, &mut at_a, Some(at(10.ms())));
        timers.set(b, &mut at_b, Some(at(20.ms())));
        timers.set(a, &mut at_a, Some(at(30.ms())));
        assert_eq!(timers.poll_timeout(), Some(at(10.ms())));
        timers.set(b, &mut at_b, Some(at(5.ms())));
        assert_eq!(timers.poll_due(at(4.ms())), None);
        assert_eq!(timers.poll_due(at(5.ms())), Some(b));
        timers.set(a, &mut at_a, None);
        assert_eq!(timers.poll_timeout(), None);
    }
}
