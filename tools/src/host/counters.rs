//! What a host counts beside the stack's own statistics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that tasks share.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Connections accepted.
    pub(super) connections: AtomicU64,
    /// Of these, those that ended out of order.
    pub(super) broken: AtomicU64,
    /// Datagrams received by services.
    pub(super) datagrams: AtomicU64,
    /// HTTP requests answered.
    pub(super) requests: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
