//! The numbers of descriptors: real ones of the system, so that nobody else gets them meanwhile.

use std::os::fd::{AsFd, AsRawFd};

use ustack::device::EventFd;

use crate::ffi::close_number;

/// A number that stands for a descriptor of ours. An event that nobody ever raises holds it.
#[derive(Debug)]
pub(crate) struct Number {
    number: i32,
    /// What the system says about it, for as long as it is ours.
    mark: Option<String>,
}

impl Number {
    pub(crate) fn new() -> Result<Self, i32> {
        let event = EventFd::new().map_err(|error| error.raw_os_error().unwrap_or(libc::EMFILE))?;
        let number = event.as_fd().as_raw_fd();
        // The number is closed by us, or by packetdrill, which does not ask.
        std::mem::forget(event);
        Ok(Self { number, mark: mark(number) })
    }

    pub(crate) fn get(&self) -> i32 {
        self.number
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // Whoever closed it behind our back may have been given the number again for something else.
        if self.mark.is_some() && mark(self.number) == self.mark {
            close_number(self.number);
        }
    }
}

/// What tells one event from another.
fn mark(number: i32) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    info.contains("eventfd-count").then_some(info)
}
