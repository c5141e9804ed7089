//! Waiting for a future on the calling thread.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::net::bell::Bell;
use crate::net::shared::Shared;

/// A thread that waits: parked, or driving in a driver's place.
struct Waiter {
    thread: Thread,
    /// Made when it drives for the first time.
    bell: OnceLock<Arc<Bell>>,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(bell) = self.bell.get() {
            bell.wake_task();
        }
        self.thread.unpark();
    }
}

impl Waiter {
    fn of_this_thread() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), bell: OnceLock::new() })
    }

    /// Forgets that it was woken before.
    fn begin(&self) {
        if let Some(bell) = self.bell.get() {
            bell.take_task();
        }
    }

    /// Drives the stack until it is woken, if the driver has left that to it.
    fn drives(&self, shared: &Shared, until: Option<Instant>) -> bool {
        let Some(seat) = shared.seat().filter(|seat| seat.ask()) else { return false };
        match self.bell.get() {
            Some(bell) => seat.sit(shared, bell, until),
            None => {
                // It may have been woken just now, without a bell to ring: it has to look again, with one.
                let made = Bell::new().map(|bell| self.bell.set(Arc::new(bell)));
                made.is_ok()
            }
        }
    }
}

/// The timeout of a call that does not wait: it answers `WouldBlock` instead.
pub(super) const AT_ONCE: Duration = Duration::ZERO;

/// Waits for `future`, at most `timeout`. `shared` is the stack that it is about, if it is about one alone.
///
/// # Errors
/// `TimedOut`; `WouldBlock` for [`AT_ONCE`]; what the future answers.
#[allow(clippy::disallowed_methods, reason = "a blocking call with a timeout measures real time")]
pub(super) fn block_on<T>(
    shared: Option<&Arc<Shared>>,
    timeout: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    thread_local! {
        static WAITER: (Arc<Waiter>, Waker) = {
            let waiter = Waiter::of_this_thread();
            (waiter.clone(), Waker::from(waiter))
        };
    }
    let mut future = pin!(future);
    let deadline = timeout.and_then(|span| Instant::now().checked_add(span));
    WAITER.with(|(waiter, waker)| {
        let mut cx = Context::from_waker(waker);
        loop {
            waiter.begin();
            if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                return result;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let at_once = timeout == Some(AT_ONCE);
                let kind = if at_once { io::ErrorKind::WouldBlock } else { io::ErrorKind::TimedOut };
                return Err(kind.into());
            }
            if shared.is_some_and(|shared| waiter.drives(shared, deadline)) {
                continue;
            }
            left.map_or_else(thread::park, thread::park_timeout);
        }
    })
}

/// A TTL or hop limit, as `std` takes it.
pub(super) fn hops(ttl: u32) -> io::Result<u8> {
    let hops = u8::try_from(ttl).ok().filter(|&hops| hops > 0);
    hops.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a TTL is 1 to 255"))
}

/// How long reading and writing may take, and whether they wait at all; shared by all clones of a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeouts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    read: Timeout,
    write: Timeout,
    nonblocking: AtomicBool,
}

/// Nanoseconds, 0 for none.
#[derive(Debug, Default)]
struct Timeout(AtomicU64);

impl Timeouts {
    /// How long the next read waits.
    pub(super) fn read(&self) -> Option<Duration> {
        self.limit(self.0.read.get())
    }

    /// How long the next write waits.
    pub(super) fn write(&self) -> Option<Duration> {
        self.limit(self.0.write.get())
    }

    /// What was set, whether calls wait or not.
    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.0.read.get()
    }

    /// What was set, whether calls wait or not.
    pub(super) fn write_timeout(&self) -> Option<Duration> {
        self.0.write.get()
    }

    pub(super) fn set_read(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.read.set(timeout)
    }

    pub(super) fn set_write(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.write.set(timeout)
    }

    /// Whether calls answer `WouldBlock` where they would have to wait.
    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.0.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        if self.0.nonblocking.load(Ordering::Relaxed) { Some(AT_ONCE) } else { timeout }
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
