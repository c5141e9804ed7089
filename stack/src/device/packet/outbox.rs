//! Frames that wait to be sent with one system call.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use arrayvec::ArrayVec;

use super::super::frames::is_lost;
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

    /// Sends all that was put by. What the socket refuses is lost, as on any full queue, and the next is tried.
    ///
    /// # Errors
    /// The interface is gone; nothing is left to be sent.
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
                Err(error) if !is_lost(&error) => result = Err(error),
                // The first of them has no room.
                Ok(0) | Err(_) => {
                    self.refused += 1;
                    rest = &rest[1..];
                }
            }
        }
        self.refused += rest.len();
        drop(parts);
        self.ends.clear();
        self.bytes.clear();
        result
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
    fn what_a_full_queue_refuses_is_counted_and_the_rest_arrives_in_order() {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        let mut outbox = Outbox::new();
        let (mut pushed, mut arrived) = (0_u32, Vec::new());
        let mut refused = 0;
        while refused == 0 {
            while outbox.push(&frame(&pushed.to_be_bytes().repeat(25))) {
                pushed += 1;
            }
            outbox.flush(left.as_fd()).unwrap();
            refused = outbox.take_refused();
        }
        let mut buffer = [0; SHORT];
        while let Ok(len) = right.recv(&mut buffer) {
            assert_eq!(len, vnet::LEN + 100);
            let number: [u8; 4] = buffer[vnet::LEN..].first_chunk().copied().unwrap();
            arrived.push(u32::from_be_bytes(number));
        }
        assert_eq!(arrived.len() + refused, pushed as usize);
        assert!(arrived.is_sorted() && arrived.first() == Some(&0), "{arrived:?}");
        assert_eq!(outbox.take_refused(), 0, "it is told once");
        // Nothing is left of those that were refused.
        assert!(outbox.push(&frame(b"again")));
        outbox.flush(left.as_fd()).unwrap();
        assert_eq!(right.recv(&mut buffer).unwrap(), vnet::LEN + 5);
    }

    #[test]
    fn what_waits_for_a_socket_that_is_gone_is_lost() {
        let (left, right) = UnixDatagram::pair().unwrap();
        drop(right);
        let mut outbox = Outbox::new();
        assert!(outbox.push(&frame(b"one")) && outbox.push(&frame(b"two")));
        outbox.flush(left.as_fd()).unwrap_err();
        assert_eq!(outbox.take_refused(), 2);
        outbox.flush(left.as_fd()).unwrap();
    }
}
