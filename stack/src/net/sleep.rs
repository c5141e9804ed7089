//! Waiting for a time on the stack's clock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use super::shared::Shared;
use crate::time::Instant;

/// A future that is ready when its time has come: see [`super::Net::sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    shared: Arc<Shared>,
    until: Instant,
    key: Option<u64>,
    /// Who is to be woken, once it is known.
    waker: Option<Waker>,
}

impl Sleep {
    pub(super) fn new(shared: Arc<Shared>, until: Instant) -> Self {
        Self { shared, until, key: None, waker: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.shared.clock().now() >= this.until {
            return Poll::Ready(());
        }
        // Asked before its time, as a branch of a select is again and again, it need not say the same twice.
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.shared.with_times(|times| times.register(this.until, &mut this.key, cx));
            this.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.with_times(|times| times.remove(self.until, key));
        }
    }
}
