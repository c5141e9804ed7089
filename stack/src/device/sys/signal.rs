//! Signals passed on to a child.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::{check, owned};

/// The process that gets our signals; 0 for none.
static TARGET: AtomicI32 = AtomicI32::new(0);

/// What ends a process, when somebody asks nicely.
const PASSED_ON: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// While it lives, signals that ask this process to end go to a child instead.
///
/// What the terminal sends (Ctrl-C) reaches the child by itself, and is not passed on twice.
#[derive(Debug)]
#[must_use]
pub struct SignalForwarding {
    before: [libc::sigaction; PASSED_ON.len()],
}

impl SignalForwarding {
    /// Begins to pass on. One child at a time.
    pub(crate) fn to(process: u32) -> io::Result<Self> {
        let process = process.cast_signed();
        if TARGET.compare_exchange(0, process, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "signals go to another child already"));
        }
        // SAFETY: `sigaction` is plain data; all-zero is the default action with an empty mask.
        let nothing: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut forwarding = Self { before: [nothing; PASSED_ON.len()] };
        let mut action = nothing;
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = pass_on;
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        for (signal, before) in PASSED_ON.into_iter().zip(&mut forwarding.before) {
            // SAFETY: `action` holds a handler of the kind that SA_SIGINFO announces, and both pointers are to values.
            // Installing it for one of these four signals cannot fail.
            unsafe { libc::sigaction(signal, &raw const action, before) };
        }
        Ok(forwarding)
    }
}

impl Drop for SignalForwarding {
    fn drop(&mut self) {
        for (signal, before) in PASSED_ON.into_iter().zip(&self.before) {
            // SAFETY: `before` is what `sigaction` answered for this signal.
            unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        }
        TARGET.store(0, Ordering::Release);
    }
}

extern "C" fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let target = TARGET.load(Ordering::Acquire);
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    if target > 0 && !from_terminal {
        // SAFETY: `kill` is async-signal-safe, and `errno` is restored for the code that was interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            libc::kill(target, signal);
            *libc::__errno_location() = errno;
        }
    }
}

/// A descriptor that becomes readable when that child ends.
pub(crate) fn pidfd(process: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, process.cast_signed(), 0) };
    owned(check(answer as libc::c_int)?)
}

/// Kills the process behind a descriptor, whatever number it has by now.
pub(crate) fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers, and null for a signal without further information.
    let answer =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0) };
    check(answer as libc::c_int).map(drop)
}
