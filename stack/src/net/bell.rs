//! What wakes a driver that sleeps: a system call only if it does.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Wake;

use crate::device::EventFd;

/// One driver's bell. A ring while it is awake only leaves a note.
#[derive(Debug)]
pub(crate) struct Bell {
    event: EventFd,
    asleep: AtomicBool,
    /// The driver's own future wants to be polled.
    task: AtomicBool,
    /// Somebody needs the driver earlier than it thinks.
    kicked: AtomicBool,
    stopped: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let no = || AtomicBool::new(false);
        Ok(Self { event: EventFd::new()?, asleep: no(), task: no(), kicked: no(), stopped: no() })
    }

    /// Whether the driver's own future was woken since the last call.
    pub(crate) fn take_task(&self) -> bool {
        self.task.swap(false, SeqCst)
    }

    /// Whether the driver's own future is to be polled.
    pub(super) fn is_rung_for_task(&self) -> bool {
        self.task.load(SeqCst)
    }

    /// Whether a driver that is a thread is to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    /// Ends a driver that is a thread.
    pub(super) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wake_task();
    }

    pub(crate) fn wake_task(&self) {
        self.task.store(true, SeqCst);
        self.ring();
    }

    pub(super) fn kick(&self) {
        self.kicked.store(true, SeqCst);
        self.ring();
    }

    /// Sleeps in `wait`, which is told what to wait for beside its own and answers a bit for each that is ready, ours
    /// the lowest; not at all if somebody rang since the last time.
    pub(super) fn sleep(&self, wait: impl FnOnce(BorrowedFd<'_>) -> io::Result<u64>) -> io::Result<()> {
        // Who rings leaves the note first and looks for a sleeper then; so one of the two sees the other.
        self.asleep.store(true, SeqCst);
        let noted = self.kicked.swap(false, SeqCst) || self.task.load(SeqCst);
        let ready = if noted { Ok(0) } else { wait(self.event.as_fd()) };
        self.asleep.store(false, SeqCst);
        self.kicked.store(false, SeqCst);
        if ready? & 1 != 0 {
            self.event.lower();
        }
        Ok(())
    }

    fn ring(&self) {
        if self.asleep.swap(false, SeqCst) {
            self.event.raise();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_task();
    }
}
