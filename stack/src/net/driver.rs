//! The driver of a [`Net`]: a loop that takes what the devices have, fires what is due, and sleeps on both; on a thread of
//! its own, or on that of the application.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use arrayvec::ArrayVec;

use super::Net;
use super::bell::Bell;
use super::shared::Shared;
use crate::device::{MAX_WAIT, wait};
use crate::time::Duration;

/// How a [`Net`] is to be moved.
#[derive(Clone, Debug)]
#[must_use = "it does nothing before `spawn` or `block_on`"]
pub struct DriverBuilder {
    net: Net,
    busy_poll: Duration,
}

/// A thread that moves a [`Net`], or one for each of its shards. Dropping it stops the thread; the sockets then stand still.
#[derive(Debug)]
pub struct Driver {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Those of the other shards.
    others: Vec<Driver>,
}

impl DriverBuilder {
    /// Goes on asking the devices for so long after the last frame before it sleeps. A request that comes within this span
    /// is answered without a wake-up, which is most of its time; the price is a processor that is never idle meanwhile.
    pub fn busy_poll(self, span: Duration) -> Self {
        Self { busy_poll: span, ..self }
    }

    /// Starts a thread that drives. The devices are attached before or after.
    ///
    /// # Errors
    /// No thread or no descriptor is left.
    pub fn spawn(self) -> io::Result<Driver> {
        let others = self.spawn_others()?;
        let bell = Arc::new(Bell::new()?);
        let thread = {
            let bell = bell.clone();
            self.listen_to(&bell);
            let thread = std::thread::Builder::new().name("ustack".into());
            thread.spawn(move || self.run(&bell, core::future::poll_fn(|_| bell.poll_stopped())))?
        };
        Ok(Driver { bell, thread: Some(thread), others })
    }

    /// Drives on this very thread until `future` is ready: what it waits for wakes it without a hop to another thread. An
    /// executor of one thread, or a join of several futures, may be the future.
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
        self.listen_to(&bell);
        self.run(&bell, future)
    }

    /// Starts the drivers of all shards but the first.
    fn spawn_others(&self) -> io::Result<Vec<Driver>> {
        self.net.shards().skip(1).map(|net| Self { net, busy_poll: self.busy_poll }.spawn()).collect()
    }

    /// Whoever needs the driver earlier than it thinks rings.
    fn listen_to(&self, bell: &Arc<Bell>) {
        let bell = bell.clone();
        self.net.shared().set_kick(move || bell.kick());
    }

    fn run<F: Future>(&self, bell: &Arc<Bell>, future: F) -> io::Result<F::Output> {
        let (shared, waker) = (self.net.shared(), Waker::from(bell.clone()));
        let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
        let mut descriptors = Descriptors::default();
        bell.wake_task();
        let mut turn = shared.drive()?;
        let mut last_frame = turn.now;
        loop {
            if bell.take_task()
                && let Poll::Ready(output) = Pin::as_mut(&mut future).poll(&mut cx)
            {
                return Ok(output);
            }
            if turn.now.since(last_frame) < self.busy_poll {
                core::hint::spin_loop();
            } else if !turn.more {
                descriptors.refresh(shared)?;
                bell.sleep(|event| {
                    let span = shared.fall_asleep();
                    let mut waited: ArrayVec<BorrowedFd<'_>, MAX_WAIT> = ArrayVec::new();
                    waited.push(event);
                    waited.extend(descriptors.iter().take(MAX_WAIT - 1));
                    wait(&waited, span.map(Into::into))
                })?;
            }
            turn = shared.drive()?;
            if turn.frames {
                last_frame = turn.now;
            }
        }
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

/// Duplicates of the devices' descriptors: the devices themselves are behind the lock while the driver sleeps.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    devices: usize,
    owned: Vec<OwnedFd>,
}

impl Descriptors {
    /// Follows the devices that were attached since.
    pub(super) fn refresh(&mut self, shared: &Shared) -> io::Result<()> {
        shared.devices(|devices| {
            for device in devices.skip(self.devices) {
                self.devices += 1;
                if let Some(fd) = device.as_fd() {
                    self.owned.push(fd.try_clone_to_owned()?);
                }
            }
            Ok(())
        })
    }

    /// Hands over those that were found since the last call.
    #[cfg(feature = "tokio")]
    pub(super) fn take(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.owned)
    }

    fn iter(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.owned.iter().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests;
