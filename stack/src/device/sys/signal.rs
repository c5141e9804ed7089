//! Signals passed on to a child.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use super::{check, owned};

/// The process that gets our signals; [`NOBODY`], or [`NOT_YET`].
static TARGET: AtomicI32 = AtomicI32::new(NOBODY);
/// What came while it was not known: a bit for each place in [`PASSED_ON`].
static KEPT: AtomicU8 = AtomicU8::new(0);

const NOBODY: i32 = 0;
const NOT_YET: i32 = -1;

/// What ends a process, when somebody asks nicely.
const PASSED_ON: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// What a signal does, for each of [`PASSED_ON`].
type Actions = [libc::sigaction; PASSED_ON.len()];

/// While it lives, signals that ask this process to end go to a child instead: from before there is one.
///
/// What the terminal sends (Ctrl-C) reaches the child by itself, and is not passed on twice.
#[derive(Debug)]
#[must_use]
pub(crate) struct SignalForwarding {
    before: Actions,
}

impl SignalForwarding {
    /// Begins to keep signals for a child. One child at a time.
    pub(crate) fn begin() -> io::Result<Self> {
        if TARGET.compare_exchange(NOBODY, NOT_YET, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "signals go to another child already"));
        }
        KEPT.store(0, Ordering::Release);
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

    /// Has the calling thread take none of the signals until the answer is dropped: a child that is made meanwhile is
    /// to undo our handlers before it takes any.
    pub(crate) fn hold(&self) -> HeldSignals {
        // SAFETY: `sigset_t` is plain data, which `sigemptyset` and `pthread_sigmask` fill; all pointers are to values.
        unsafe {
            let mut held: libc::sigset_t = MaybeUninit::zeroed().assume_init();
            let mut mask = held;
            libc::sigemptyset(&raw mut held);
            for signal in PASSED_ON {
                libc::sigaddset(&raw mut held, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const held, &raw mut mask);
            HeldSignals { mask, before: self.before }
        }
    }

    /// Says who the child is: it gets what was kept, and what comes.
    pub(crate) fn to(&self, process: u32) {
        let process = process.cast_signed();
        TARGET.store(process, Ordering::SeqCst);
        for (signal, bit) in PASSED_ON.into_iter().zip(bits()) {
            if KEPT.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
                // SAFETY: takes numbers only.
                unsafe { libc::kill(process, signal) };
            }
        }
    }
}

impl Drop for SignalForwarding {
    fn drop(&mut self) {
        restore(&self.before);
        TARGET.store(NOBODY, Ordering::SeqCst);
        for (signal, bit) in PASSED_ON.into_iter().zip(bits()) {
            // For want of a child it was for us.
            if KEPT.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
                // SAFETY: takes a number only.
                unsafe { libc::raise(signal) };
            }
        }
    }
}

/// The place of each of [`PASSED_ON`] in [`KEPT`].
fn bits() -> impl Iterator<Item = u8> {
    (0..PASSED_ON.len()).map(|place| 1 << place)
}

fn restore(before: &Actions) {
    for (signal, before) in PASSED_ON.into_iter().zip(before) {
        // SAFETY: `before` is what `sigaction` answered for this signal.
        unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
    }
}

extern "C" fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    let mut target = TARGET.load(Ordering::SeqCst);
    if target == NOT_YET {
        let place = PASSED_ON.iter().zip(bits()).find(|(passed_on, _)| **passed_on == signal);
        let bit = place.map_or(0, |(_, bit)| bit);
        KEPT.fetch_or(bit, Ordering::SeqCst);
        // Whoever named the child meanwhile may have looked too early.
        target = TARGET.load(Ordering::SeqCst);
        if target == NOT_YET || KEPT.fetch_and(!bit, Ordering::SeqCst) & bit == 0 {
            return;
        }
    } else if from_terminal {
        return;
    }
    if target > 0 {
        // SAFETY: `kill` is async-signal-safe, and `errno` is restored for the code that was interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            libc::kill(target, signal);
            *libc::__errno_location() = errno;
        }
    }
}

/// The thread that made it takes none of the signals that are passed on.
#[derive(Debug)]
pub(crate) struct HeldSignals {
    mask: libc::sigset_t,
    before: Actions,
}

impl HeldSignals {
    /// What a child does between `fork` and `exec`, so that signals do to it what they did to us before.
    pub(crate) fn undo_in_child(&self) -> impl Fn() + Send + Sync + 'static {
        let (mask, before) = (self.mask, self.before);
        move || {
            restore(&before);
            set_mask(&mask);
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        set_mask(&self.mask);
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` is what `pthread_sigmask` answered.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
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
