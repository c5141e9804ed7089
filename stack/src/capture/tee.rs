//! A device that writes whatever passes through it.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Capture, Direction, InterfaceId, Record};
use crate::buf::frame::{Capabilities, RxFrame, TxFrame};
use crate::device::Device;
use crate::time::Instant;

/// A device around a device that captures both directions, with the `why` of what is sent as its comment.
///
/// Frames are written as they pass: merged ones merged, and with the checksum that the device is yet to complete.
#[derive(Debug)]
pub struct Tee<D> {
    inner: D,
    capture: Capture,
    interface: InterfaceId,
}

impl<D: Device> Tee<D> {
    /// Watches `inner`, under `name`.
    ///
    /// # Errors
    /// What the capture's output refuses.
    pub fn new(inner: D, capture: Capture, name: &str) -> io::Result<Self> {
        let interface = capture.add_interface(name, inner.capabilities().medium.into())?;
        Ok(Self { inner, capture, interface })
    }

    /// The device within.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// The device within.
    pub fn into_inner(self) -> D {
        self.inner
    }

    /// The capture, to end it.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }
}

impl<D: Device> Device for Tee<D> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        let frame = self.inner.recv(now)?;
        if let Some(frame) = &frame {
            let direction = Some(Direction::In);
            let record = Record { interface: self.interface, time: now, direction, comment: None };
            self.capture.write(&record, &[frame.bytes]);
        }
        Ok(frame)
    }

    /// What the device refuses is not written: it did not pass.
    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.inner.send(now, frame)?;
        let direction = Some(Direction::Out);
        let record = Record { interface: self.interface, time: now, direction, comment: Some(&frame.why) };
        self.capture.write(&record, &[frame.head, frame.body[0], frame.body[1]]);
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
}
