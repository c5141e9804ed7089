//! Connections that are over but must be remembered for a while: small entries by their pair of endpoints.

use std::collections::BTreeSet;

use super::endpoint::Tuple;
use crate::rng::{KeyedHash, KeyedMap};
use crate::tcp::{Authenticator, Segment, TimeWait, TimeWaitVerdict};
use crate::time::Instant;

/// All connections in TIME-WAIT, up to a limit: beyond it the one that would leave first leaves now.
#[derive(Debug)]
pub(crate) struct TimeWaits {
    entries: KeyedMap<Tuple, TimeWait>,
    /// What signs the answers of those that were signed.
    authenticators: KeyedMap<Tuple, Box<Authenticator>>,
    order: BTreeSet<(Instant, Tuple)>,
    limit: usize,
    overflows: u64,
    ended: u64,
}

impl TimeWaits {
    pub(crate) fn new(limit: usize, hash: &KeyedHash) -> Self {
        Self {
            entries: KeyedMap::with_hasher(hash.clone()),
            authenticators: KeyedMap::with_hasher(hash.clone()),
            order: BTreeSet::new(),
            limit,
            overflows: 0,
            ended: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many left early for want of room.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// How many left when their time was over.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.entries.contains_key(tuple)
    }

    /// What signs the segments of a pair, if they are signed.
    pub(crate) fn authenticator(&mut self, tuple: &Tuple) -> Option<&mut Authenticator> {
        self.authenticators.get_mut(tuple).map(|known| &mut **known)
    }

    /// When the next one expires.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// A segment for a pair that may be in TIME-WAIT; `None` if it is not.
    pub(crate) fn handle_segment(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        segment: &Segment<'_>,
    ) -> Option<TimeWaitVerdict> {
        let entry = self.entries.get_mut(tuple)?;
        let before = entry.expires();
        let verdict = entry.handle_segment(now, segment);
        let after = entry.expires();
        if matches!(verdict, TimeWaitVerdict::Reuse { .. }) {
            self.order.remove(&(before, *tuple));
            self.forget(tuple);
        } else if after != before {
            self.order.remove(&(before, *tuple));
            self.order.insert((after, *tuple));
        }
        Some(verdict)
    }

    /// Forgets those whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.order.first().is_some_and(|&(at, _)| at <= now) {
            self.ended += 1;
            self.forget_first();
        }
    }

    pub(crate) fn insert(&mut self, tuple: Tuple, time_wait: TimeWait) {
        if self.limit == 0 {
            self.overflows += 1;
            return;
        }
        if self.entries.len() >= self.limit {
            self.overflows += 1;
            self.forget_first();
        }
        self.authenticators.remove(&tuple);
        if let Some(old) = self.entries.insert(tuple, time_wait) {
            self.order.remove(&(old.expires(), tuple));
        }
        self.order.insert((time_wait.expires(), tuple));
    }

    /// Keeps what signs the answers to a pair, which is there.
    pub(crate) fn insert_authenticator(&mut self, tuple: Tuple, known: Box<Authenticator>) {
        if self.entries.contains_key(&tuple) {
            self.authenticators.insert(tuple, known);
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, tuple)) = self.order.pop_first() {
            self.forget(&tuple);
        }
    }

    fn forget(&mut self, tuple: &Tuple) {
        self.entries.remove(tuple);
        self.authenticators.remove(tuple);
    }
}
