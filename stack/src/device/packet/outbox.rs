//! Frames that wait to be sent with one system call.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use arrayvec::ArrayVec;

use super::super::frames::may_pass_later;
use super::super::sys::{self, MAX_MESSAGES};
use super::super::vnet;
use crate::buf::frame::TxFrame;

/// Only frames that are not longer are put by: of a longer one, the copy costs more than the call.
const SHORT: usize = 2048;

/// Short frames, each with its offload header, in the order in which they leave.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: ArrayVec<usize, MAX_MESSAGES>,
    /// Frames that were put by and then refused.
    refused: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(MAX_MESSAGES * SHORT), ends: ArrayVec::new(), refused: 0 }
    }

    /// Puts a frame by; false if it is too long, or there is no room.
    pub(super) fn push(&mut self, frame: &TxFrame<'_>) -> bool {
        if self.ends.is_full() || vnet::LEN + frame.len() > SHORT {
            return false;
        }
        self.bytes.extend_from_slice(&vnet::Header::of(&frame.offload).to_bytes());
        frame.copy_to(&mut self.bytes);
        self.ends.push(self.bytes.len());
        true
    }

    /// Sends what was put by.
    ///
    /// # Errors
    /// `WouldBlock` if the socket is full: the rest stays. The interface is gone: nothing is left to be sent.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut parts: ArrayVec<IoSlice<'_>, MAX_MESSAGES> = ArrayVec::new();
        let mut start = 0;
        for &end in &self.ends {
            parts.push(IoSlice::new(&self.bytes[start..end]));
            start = end;
        }
        let mut rest = &parts[..];
        let mut result = Ok(());
        while !rest.is_empty() && result.is_ok() {
            match sys::send_messages(socket, rest) {
                Ok(sent @ 1..) => rest = &rest[sent.min(rest.len())..],
                Err(error) if !may_pass_later(&error) => {
                    self.refused += rest.len();
                    rest = &[];
                    result = Err(error);
                }
                // The first of them has no room.
                Ok(0) | Err(_) => result = Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        let gone = parts.len() - rest.len();
        drop(parts);
        self.forget(gone);
        result
    }

    /// Forgets the first frames.
    fn forget(&mut self, frames: usize) {
        let Some(last) = frames.checked_sub(1) else { return };
        let start = self.ends[last];
        self.ends.drain(..frames);
        self.ends.iter_mut().for_each(|end| *end -= start);
        self.bytes.drain(..start);
    }

    /// How many frames were put by and then refused, since the last call.
    pub(super) fn take_refused(&mut self) -> usize {
        std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::buf::frame::Offload;
    use crate::why::Why;

    fn frame(bytes: &[u8]) -> TxFrame<'_> {
        TxFrame { head: bytes, body: [&[], &[]], offload: Offload::NONE, why: &Why::FOREIGN }
    }

    #[test]
    fn what_finds_the_socket_full_waits_and_arrives_in_order() {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        let mut outbox = Outbox::new();
        let (mut pushed, mut arrived) = (0_u32, Vec::new());
        let full = loop {
            while outbox.push(&frame(&pushed.to_be_bytes().repeat(25))) {
                pushed += 1;
            }
            if let Err(error) = outbox.flush(left.as_fd()) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut take = || {
            let mut buffer = [0; SHORT];
            while let Ok(len) = right.recv(&mut buffer) {
                assert_eq!(len, vnet::LEN + 100);
                let number: [u8; 4] = buffer[vnet::LEN..].first_chunk().copied().unwrap();
                arrived.push(u32::from_be_bytes(number));
            }
        };
        take();
        outbox.flush(left.as_fd()).unwrap();
        take();
        assert!(arrived.into_iter().eq(0..pushed), "each once, and in order");
        assert_eq!(outbox.take_refused(), 0);
    }

    #[test]
    fn what_waits_for_a_socket_that_is_gone_may_pass_later() {
        let (left, right) = UnixDatagram::pair().unwrap();
        drop(right);
        let mut outbox = Outbox::new();
        assert!(outbox.push(&frame(b"one")) && outbox.push(&frame(b"two")));
        outbox.flush(left.as_fd()).unwrap_err();
        assert_eq!(outbox.take_refused(), 2);
        outbox.flush(left.as_fd()).unwrap();
    }
}
