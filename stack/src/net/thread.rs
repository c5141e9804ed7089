//! A driver that is a thread: it sleeps on the devices and the next deadline.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::Net;
use super::shared::{Shared, Turn};
use crate::device::{EventFd, wait};

/// A thread that moves a [`Net`]. Dropping it stops the thread; the sockets then stand still.
#[derive(Debug)]
pub struct Driver {
    stop: Arc<AtomicBool>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Driver {
    /// Starts the thread. The devices are attached before or after.
    ///
    /// # Errors
    /// No thread or no descriptor is left.
    pub fn spawn(net: &Net) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let wake = Arc::new(EventFd::new()?);
        let shared = net.shared().clone();
        let kick = wake.clone();
        shared.set_kick(move || kick.raise());
        let thread = {
            let (stop, wake) = (stop.clone(), wake.clone());
            std::thread::Builder::new().name("ustack".into()).spawn(move || run(&shared, &stop, &wake))?
        };
        Ok(Self { stop, wake, thread: Some(thread) })
    }

    /// Whether the thread has ended because a device failed.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops the thread.
    ///
    /// # Errors
    /// What the driver ended with, if a device was gone before.
    pub fn stop(mut self) -> io::Result<()> {
        self.halt()
    }

    fn halt(&mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.wake.raise();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the driver's thread panicked")),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.halt();
    }
}

fn run(shared: &Shared, stop: &AtomicBool, wake: &EventFd) -> io::Result<()> {
    let mut descriptors = Descriptors::default();
    while !stop.load(Ordering::Acquire) {
        match shared.drive()? {
            Turn::Again => {}
            Turn::Sleep(span) => {
                descriptors.refresh(shared)?;
                let mut waited = vec![wake.as_fd()];
                waited.extend(descriptors.iter());
                wait(&waited, span.map(Into::into))?;
                wake.lower();
            }
        }
    }
    Ok(())
}

/// Duplicates of the devices' descriptors: the devices themselves are behind the lock while the thread sleeps.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    devices: usize,
    owned: Vec<OwnedFd>,
}

impl Descriptors {
    /// Follows the devices that were attached since.
    pub(super) fn refresh(&mut self, shared: &Shared) -> io::Result<()> {
        shared.devices(|devices| {
            let new: Vec<_> = devices.skip(self.devices).collect();
            self.devices += new.len();
            for device in new {
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
