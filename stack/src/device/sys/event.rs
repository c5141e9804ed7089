//! Waiting: an event that a thread can raise, and waiting for several descriptors at once.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{check, check_len, owned};

/// An event that one thread raises and another waits for (Linux `eventfd`).
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new event, not raised.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// Raises the event: the descriptor becomes readable. Raising it twice is raising it once.
    pub fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is 8 readable bytes. The only failure is a full counter, and then the event is raised already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Lowers the event, and tells whether it was raised.
    pub fn lower(&self) -> bool {
        let mut count = [0u8; 8];
        // SAFETY: `count` is 8 writable bytes.
        check_len(unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) }).is_ok()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The largest number of descriptors that [`wait`] takes.
pub const MAX_WAIT: usize = 64;

/// Waits until one of `fds` is readable (or broken), or `timeout` is over; `None` waits for ever.
///
/// Answers a bit for each descriptor that is ready, the first in the lowest bit; 0 after the timeout or a signal.
///
/// # Errors
/// More than 64 descriptors, or the kernel is out of memory.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<u64> {
    let mut polled = [libc::pollfd { fd: -1, events: 0, revents: 0 }; MAX_WAIT];
    let polled = polled.get_mut(..fds.len()).ok_or(io::ErrorKind::InvalidInput)?;
    for (entry, fd) in polled.iter_mut().zip(fds) {
        *entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    }
    let timeout = timeout.map(|span| libc::timespec {
        tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: span.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `polled` holds `fds.len()` entries and `timeout` is null or points to a value; both outlive the call.
    let answer =
        unsafe { libc::ppoll(polled.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, std::ptr::null()) };
    match check(answer) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
        Ok(_) => {
            let ready = polled.iter().enumerate().filter(|(_, entry)| entry.revents != 0);
            Ok(ready.fold(0, |mask, (i, _)| mask | 1 << i))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_raised_until_it_is_lowered() {
        let (a, b) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let fds = [a.as_fd(), b.as_fd()];
        assert_eq!(wait(&fds, Some(Duration::ZERO)).unwrap(), 0);
        b.raise();
        b.raise();
        assert_eq!(wait(&fds, None).unwrap(), 0b10);
        assert!(b.lower());
        assert!(!b.lower());
        assert_eq!(wait(&fds, Some(Duration::from_micros(100))).unwrap(), 0);
    }

    #[test]
    fn another_thread_wakes_us() {
        let event = std::sync::Arc::new(EventFd::new().unwrap());
        let raiser = std::thread::spawn({
            let event = event.clone();
            move || event.raise()
        });
        assert_eq!(wait(&[event.as_fd()], None).unwrap(), 1);
        raiser.join().unwrap();
    }
}
