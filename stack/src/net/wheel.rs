//! What it takes to drive: what to wait on, and the sense of when to wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration as StdDuration;

use arrayvec::ArrayVec;

use super::bell::Bell;
use super::busy::{BusyPoll, LastLook};
use super::port::Asking;
use super::shared::{Shared, Turn};
use crate::device::{MAX_WAIT, wait};
use crate::time::Duration;

/// In the hands of whoever drives.
#[derive(Debug)]
pub(super) struct Wheel {
    descriptors: Descriptors,
    busy: BusyPoll,
    last_look: LastLook,
    turn: Turn,
}

impl Wheel {
    /// For a driver that goes on asking the devices for `busy_poll` at most.
    pub(super) fn new(busy_poll: Duration) -> Self {
        Self {
            descriptors: Descriptors::default(),
            busy: BusyPoll::new(busy_poll),
            last_look: LastLook::default(),
            turn: Turn::default(),
        }
    }

    /// How the last turn went.
    pub(super) fn turn(&self) -> Turn {
        self.turn
    }

    /// Sleeps until a device has something, something is due, or somebody rings, at most for `limit`; not at all if
    /// there is more to take, or if a frame is expected soon or may be there already.
    pub(super) fn wait(
        &mut self,
        shared: &Shared,
        bell: &Bell,
        limit: Option<StdDuration>,
    ) -> io::Result<()> {
        if self.turn.more {
            return Ok(());
        }
        if self.busy.asks(self.turn.now) {
            core::hint::spin_loop();
            return Ok(());
        }
        if self.last_look.is_due() {
            return Ok(());
        }
        self.busy.sleep();
        bell.sleep(|event| {
            let span = shared.fall_asleep(self.descriptors.devices).map(Into::into);
            let mut waited: ArrayVec<BorrowedFd<'_>, MAX_WAIT> = ArrayVec::new();
            waited.push(event);
            waited.extend(self.descriptors.iter().take(MAX_WAIT - 1));
            wait(&waited, span.into_iter().chain(limit).min())
        })
    }

    /// Takes what the devices have and what is due.
    pub(super) fn drive(&mut self, shared: &Shared) -> io::Result<()> {
        self.turn = shared.drive(self.asking())?;
        self.handle_turn(shared)
    }

    /// The same, for a driver that polls `task` then: its answers take the acknowledgments along.
    pub(super) fn drive_before<R>(&mut self, shared: &Shared, task: impl FnOnce() -> R) -> io::Result<R> {
        self.turn = shared.drive_and_hold(self.asking())?;
        let result = task();
        if self.turn.held {
            shared.let_go();
        }
        self.handle_turn(shared)?;
        Ok(result)
    }

    fn asking(&self) -> Asking {
        if self.busy.asks(self.turn.now) { Asking::Busy } else { Asking::Waits }
    }

    fn handle_turn(&mut self, shared: &Shared) -> io::Result<()> {
        if self.turn.frames {
            self.busy.handle_frame(self.turn.now);
            self.last_look.handle_frame();
        }
        if self.turn.devices != self.descriptors.devices {
            self.descriptors.refresh(shared)?;
        }
        Ok(())
    }
}

/// Duplicates of the devices' descriptors: the devices themselves are behind the lock while the driver sleeps.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    /// So many devices are known.
    pub(super) devices: usize,
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
