//! A device that writes whatever passes through it.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Capture, Direction, InterfaceId, Record};
use crate::buf::frame::{Capabilities, Checksum, RxFrame, TxFrame};
use crate::device::Device;
use crate::time::Instant;
use crate::wire::checksum::Sum;

/// A device around a device that captures both directions, with the `why` of what is sent as its comment.
///
/// Merged frames are written merged. A checksum that the device is yet to complete, or that the sender left open, is
/// complete in the capture, so that whoever reads it takes nothing for damaged that was not.
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
            write(&self.capture, &record, frame.offload.checksum, frame.bytes, [&[], &[]]);
        }
        Ok(frame)
    }

    /// What the device refuses is not written: it did not pass.
    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.inner.send(now, frame)?;
        let direction = Some(Direction::Out);
        let record = Record { interface: self.interface, time: now, direction, comment: Some(frame.why) };
        write(&self.capture, &record, frame.offload.checksum, frame.head, frame.body);
        Ok(())
    }

    fn flush(&mut self, now: Instant) -> io::Result<usize> {
        self.inner.flush(now)
    }

    fn missed(&mut self) -> u64 {
        self.inner.missed()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn recv_is_dear(&self) -> bool {
        self.inner.recv_is_dear()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
}

/// Writes a frame, with its checksum completed where that lies in `head`.
fn write(capture: &Capture, record: &Record<'_>, checksum: Checksum, head: &[u8], body: [&[u8]; 2]) {
    let [first, second] = body;
    let Some((at, sum)) = completed(checksum, head, body) else {
        return capture.write(record, &[head, first, second]);
    };
    capture.write(record, &[&head[..at], &sum, &head[at + sum.len()..], first, second]);
}

/// Where the checksum lies in `head`, and what belongs there; None if it is there already.
fn completed(checksum: Checksum, head: &[u8], body: [&[u8]; 2]) -> Option<(usize, [u8; 2])> {
    let Checksum::Partial { start, offset } = checksum else { return None };
    let (start, at) = (usize::from(start), usize::from(start) + usize::from(offset));
    head.get(at..at + 2)?;
    // The field holds the pseudo header's sum, and so has its part in this one.
    let sum = Sum::ZERO.with(&head[start..]).with(body[0]).with(body[1]).checksum();
    // RFC 768: zero would say that there is none; for TCP, all ones mean the same.
    let sum = if sum == 0 { u16::MAX } else { sum };
    Some((at, sum.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::frame::{Medium, Offload};
    use crate::capture::Reader;
    use crate::device::Memory;
    use crate::why::{Reason, Why};
    use crate::wire::ip::Protocol;
    use crate::wire::udp;

    #[test]
    fn a_checksum_that_the_device_completes_is_complete_in_the_capture() {
        let [src, dst] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let body: [&[u8]; 2] = [b"odd", b"lengths"];
        let len = udp::Header::LEN + body[0].len() + body[1].len();
        let mut head = [0; 28];
        head[20..26].copy_from_slice(&[0, 7, 0, 9, 0, len as u8]);
        let sum = Sum::pseudo(src, dst, Protocol::UDP, len).partial();
        head[26..].copy_from_slice(&sum.to_be_bytes());

        let mut capabilities = Capabilities::plain(Medium::Ip, 1500);
        capabilities.checksum = true;
        let (device, _other) = Memory::builder(capabilities).pair().unwrap();
        let (capture, buffer) = Capture::in_memory();
        let mut tee = Tee::new(device, capture, "tun0").unwrap();
        let checksum = Checksum::Partial { start: 20, offset: 6 };
        let frame = TxFrame {
            head: &head,
            body,
            offload: Offload { checksum, gso: None },
            why: &const { Why::new(Reason::Datagram) },
        };
        tee.send(Instant::ZERO, &frame).unwrap();
        tee.capture().finish().unwrap();

        let bytes = buffer.bytes();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let packet = reader.next_packet().unwrap().unwrap();
        let (_, payload) = udp::Header::parse(&packet.bytes[20..], src, dst, Checksum::Full).unwrap();
        assert_eq!(payload, b"oddlengths");
    }
}
