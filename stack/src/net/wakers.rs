//! Who is to be woken when a socket changes, and when a time has come.

use std::collections::BTreeMap;
use std::task::{Context, Waker};

use slotmap::SecondaryMap;
use smallvec::SmallVec;

use crate::event::Readiness;
use crate::socket::table::SocketId;
use crate::time::Instant;

/// Whom to wake, seldom more than a few.
pub(crate) type Wakers = SmallVec<[Waker; 4]>;

/// Tasks that wait for sockets.
#[derive(Debug, Default)]
pub(crate) struct SocketWakers {
    sockets: SecondaryMap<SocketId, Waiting>,
    /// How many wait, all sockets together.
    count: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    to_read: Wakers,
    to_write: Wakers,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Data, a connection, the end, or an error.
    Read,
    /// Room, the connection's establishment, or an error.
    Write,
}

impl SocketWakers {
    /// How many tasks wait.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Has the task woken at the next change that it is interested in.
    pub(crate) fn register(&mut self, id: SocketId, interest: Interest, cx: &Context<'_>) {
        let Some(entry) = self.sockets.entry(id) else { return };
        let waiting = entry.or_default();
        let wakers = match interest {
            Interest::Read => &mut waiting.to_read,
            Interest::Write => &mut waiting.to_write,
        };
        if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
            self.count += 1;
        }
    }

    /// Moves those whom the new state of a socket concerns to `wake`.
    pub(crate) fn take(&mut self, id: SocketId, readiness: Readiness, wake: &mut Wakers) {
        let Some(waiting) = self.sockets.get_mut(id) else { return };
        let before = wake.len();
        let (reads, writes) = (!waiting.to_read.is_empty(), !waiting.to_write.is_empty());
        if reads && (readiness.readable || readiness.read_closed || readiness.closed) {
            wake.append(&mut waiting.to_read);
        }
        let may_write = readiness.writable || readiness.connected || readiness.write_closed;
        if writes && (may_write || readiness.closed) {
            wake.append(&mut waiting.to_write);
        }
        self.count -= wake.len() - before;
    }

    /// Forgets a closed socket; whoever still waits for it is woken and sees that it is gone.
    pub(crate) fn remove(&mut self, id: SocketId, wake: &mut Wakers) {
        if let Some(mut waiting) = self.sockets.remove(id) {
            self.count -= waiting.to_read.len() + waiting.to_write.len();
            wake.append(&mut waiting.to_read);
            wake.append(&mut waiting.to_write);
        }
    }
}

/// Tasks that wait for a time.
#[derive(Debug, Default)]
pub(crate) struct TimeWakers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl TimeWakers {
    /// The earliest time that somebody waits for.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(&(at, _), _)| at)
    }

    /// How many tasks wait.
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Has the task woken at `at`; the key removes or replaces the entry.
    pub(crate) fn register(&mut self, at: Instant, key: &mut Option<u64>, cx: &Context<'_>) {
        let key = *key.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiting.insert((at, key), cx.waker().clone());
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, at: Instant, key: u64) {
        self.waiting.remove(&(at, key));
    }

    /// Moves those whose time has come to `wake`.
    pub(crate) fn take_due(&mut self, now: Instant, wake: &mut Wakers) {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
        {
            wake.push(entry.remove());
        }
    }
}
