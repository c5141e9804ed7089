//! A process that tidies up after this one, should that be killed.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::check;

/// A process that does something about a number as soon as this one has ended without dropping it.
#[derive(Debug)]
pub(crate) struct Watcher {
    process: libc::pid_t,
    lifeline: OwnedFd,
}

impl Watcher {
    /// Starts a copy of this process that reads a number from the lifeline, waits until nobody has that any more, and
    /// then does `last` with the number. Without a number it does nothing.
    ///
    /// `last` must hold up in a copy without the other threads: it takes no lock of the program's. Allocating is fine,
    /// since the C library has its allocator survive a fork.
    ///
    /// # Errors
    /// The kernel makes no process.
    pub(crate) fn start(last: impl FnOnce(u64)) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: a set of signals is plain data, which `sigfillset` and `pthread_sigmask` fill; all pointers are to
        // values. The copy takes no signal; it goes no further than `watch`, which ends it.
        let process = unsafe {
            let mut all = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
            let mut before = all;
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let process = check(libc::fork());
            if matches!(process, Ok(0)) {
                watch(theirs, last);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            process?
        };
        Ok(Self { process, lifeline: ours.into() })
    }

    /// Where the number is written; what keeps the watcher waiting as long as somebody has it open.
    pub(crate) fn lifeline(&self) -> BorrowedFd<'_> {
        self.lifeline.as_fd()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // SAFETY: these take numbers only. It is a child of ours that nobody else waits for, so that the number is its.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            libc::waitpid(self.process, std::ptr::null_mut(), 0);
        }
    }
}

/// In the copy.
///
/// A kernel before 5.9 cannot close all descriptors at once; since one that stays open would be missed by somebody, the
/// copy ends there without having done anything.
fn watch(lifeline: UnixStream, last: impl FnOnce(u64)) -> ! {
    const LIFELINE: libc::c_int = 0;
    // SAFETY: these take numbers, but for a name that lives for ever. That descriptors are closed harms nobody: what owns
    // them does not run here; `lifeline` goes on by another number, which is open and nobody else's.
    let mut lifeline = unsafe {
        libc::prctl(libc::PR_SET_NAME, c"ustack-watch".as_ptr());
        // Away from our terminal and our group: what kills those is what it is there for.
        libc::setsid();
        let moved = libc::dup2(lifeline.into_raw_fd(), LIFELINE);
        let others = libc::syscall(libc::SYS_close_range, LIFELINE + 1, libc::c_uint::MAX, 0);
        if moved != LIFELINE || others != 0 {
            libc::_exit(1);
        }
        UnixStream::from_raw_fd(LIFELINE)
    };
    let mut number = [0; 8];
    if lifeline.read_exact(&mut number).is_ok() {
        // Nothing else comes.
        let _ = lifeline.read(&mut [0]);
        last(u64::from_ne_bytes(number));
    }
    // SAFETY: ends the copy; nothing of the program's runs on the way.
    unsafe { libc::_exit(0) }
}
