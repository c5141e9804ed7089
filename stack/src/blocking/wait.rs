//! Waiting for a future on the calling thread.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for `future`, at most `timeout`.
///
/// # Errors
/// `TimedOut`; what the future answers.
#[allow(clippy::disallowed_methods, reason = "a blocking call with a timeout measures real time")]
pub(super) fn block_on<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    thread_local! {
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    let mut future = pin!(future);
    let deadline = timeout.and_then(|span| Instant::now().checked_add(span));
    WAKER.with(|waker| {
        let mut cx = Context::from_waker(waker);
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                return result;
            }
            match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                Some(left) => thread::park_timeout(left),
            }
        }
    })
}

/// How long reading and writing may take; shared by all clones of a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeouts(Arc<[Timeout; 2]>);

/// Nanoseconds, 0 for none.
#[derive(Debug, Default)]
struct Timeout(AtomicU64);

impl Timeouts {
    pub(super) fn read(&self) -> Option<Duration> {
        self.0[0].get()
    }

    pub(super) fn write(&self) -> Option<Duration> {
        self.0[1].get()
    }

    pub(super) fn set_read(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0[0].set(timeout)
    }

    pub(super) fn set_write(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0[1].set(timeout)
    }
}

impl Timeout {
    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// As in `std`: a timeout of zero is an error.
    fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let ns = match timeout {
            None => 0,
            Some(span) if span.is_zero() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero"));
            }
            Some(span) => u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
        };
        self.0.store(ns, Ordering::Relaxed);
        Ok(())
    }
}
