//! The driver of a [`Net`]: a loop that takes what the devices have, fires what is due, and sleeps on both; on a thread
//! of its own, or on that of the application.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Net;
use super::bell::Bell;
use super::seat::Seat;
use super::wheel::Wheel;
use crate::time::Duration;

/// How a [`Net`] is to be moved.
#[derive(Clone, Debug)]
#[must_use = "it does nothing before `spawn` or `block_on`"]
pub struct DriverBuilder {
    pub(super) net: Net,
    pub(super) busy_poll: Duration,
}

/// A thread that moves a [`Net`], or one for each of its shards. Dropping it stops the thread; the sockets then stand
/// still.
#[derive(Debug)]
pub struct Driver {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Those of the other shards.
    others: Vec<Driver>,
}

impl DriverBuilder {
    /// Goes on asking the devices for up to so long after the last frame before it sleeps. A request that comes within
    /// this span is answered without a wake-up, which is most of its time; the price is a processor that is never idle
    /// meanwhile. While frames come more seldom than that, it asks ever shorter, and at last not at all.
    pub fn busy_poll(self, span: Duration) -> Self {
        Self { busy_poll: span, ..self }
    }

    /// Starts a thread that drives. The devices are attached before or after.
    ///
    /// A thread that waits in a call of [`blocking`](crate::blocking), the only one that waits for anything, drives in
    /// its place after a while, which saves the hop between the two.
    ///
    /// # Errors
    /// No thread or no descriptor is left.
    pub fn spawn(self) -> io::Result<Driver> {
        let others = self.spawn_others()?;
        let bell = Arc::new(Bell::new()?);
        let seat = Arc::new(Seat::new(Wheel::new(self.busy_poll), bell.clone()));
        let shared = self.net.shared().clone();
        shared.set_seat(seat.clone());
        shared.set_kick({
            let seat = seat.clone();
            move || seat.kick()
        });
        let thread = std::thread::Builder::new().name("ustack".into());
        let thread = thread.spawn(move || seat.drive(&shared))?;
        Ok(Driver { bell, thread: Some(thread), others })
    }

    /// Drives on this very thread until `future` is ready: what it waits for wakes it without a hop to another thread.
    /// An executor of one thread, or a join of several futures, may be the future. Acknowledgments leave with what it
    /// answers, or when it waits: one that computes for long holds them back as it does all else.
    ///
    /// Of a host of several shards this drives the first; the others get threads of their own.
    ///
    /// ```no_run
    /// # fn serve(net: ustack::net::Net) -> std::io::Result<()> {
    /// use ustack::net::{Driver, TcpListener};
    ///
    /// let listener = TcpListener::bind(&net, ([0, 0, 0, 0], 7).into())?;
    /// let (stream, from) = Driver::builder(&net).block_on(listener.accept())??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A device is gone; no descriptor is left.
    pub fn block_on<F: Future>(self, future: F) -> io::Result<F::Output> {
        let _others = self.spawn_others()?;
        let bell = Arc::new(Bell::new()?);
        let shared = self.net.shared();
        shared.set_kick({
            let bell = bell.clone();
            move || bell.kick()
        });
        let waker = Waker::from(bell.clone());
        let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
        let mut wheel = Wheel::new(self.busy_poll);
        bell.wake_task();
        loop {
            let polled = wheel.drive_before(shared, || match bell.take_task() {
                true => Pin::as_mut(&mut future).poll(&mut cx),
                false => Poll::Pending,
            })?;
            if let Poll::Ready(output) = polled {
                return Ok(output);
            }
            wheel.wait(shared, &bell, None)?;
        }
    }

    /// Starts the drivers of all shards but the first.
    fn spawn_others(&self) -> io::Result<Vec<Driver>> {
        self.net.shards().skip(1).map(|net| Self { net, busy_poll: self.busy_poll }.spawn()).collect()
    }
}

impl Driver {
    /// A driver that takes more telling.
    pub fn builder(net: &Net) -> DriverBuilder {
        DriverBuilder { net: net.clone(), busy_poll: Duration::ZERO }
    }

    /// Starts the thread. The devices are attached before or after.
    ///
    /// # Errors
    /// No thread or no descriptor is left.
    pub fn spawn(net: &Net) -> io::Result<Self> {
        Self::builder(net).spawn()
    }

    /// Whether the thread has ended because a device failed.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished) || self.others.iter().any(Self::is_finished)
    }

    /// Stops the thread.
    ///
    /// # Errors
    /// What the driver ended with, if a device was gone before.
    pub fn stop(mut self) -> io::Result<()> {
        self.halt()
    }

    fn halt(&mut self) -> io::Result<()> {
        self.bell.stop();
        let others = self.others.iter_mut().map(Self::halt);
        let others = others.fold(Ok(()), io::Result::and);
        let own = match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the driver's thread panicked")),
        };
        own.and(others)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.halt();
    }
}

#[cfg(test)]
mod tests;
