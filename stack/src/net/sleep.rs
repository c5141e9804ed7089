//! Waiting for a time on the stack's clock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
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
}

impl Sleep {
    pub(super) fn new(shared: Arc<Shared>, until: Instant) -> Self {
        Self { shared, until, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.with_times(|times, now| {
            if now >= this.until {
                return Poll::Ready(());
            }
            times.register(this.until, &mut this.key, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.with_times(|times, _| times.remove(self.until, key));
        }
    }
}
