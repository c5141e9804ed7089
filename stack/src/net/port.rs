//! A device under a net: what a turn takes from it and hands to it, and what went wrong there.

use std::io;

use crate::buf::frame::{InterfaceId, Medium, RxFrame, TxFrame};
use crate::device::Device;
use crate::time::Instant;

/// Frames taken from one device before the others and the applications get their turn.
pub(super) const BATCH: usize = 64;
/// So many small frames that came alone let expect that the next one does, too.
pub(super) const ALONE: u32 = 8;
/// How often it is made sure that it does.
const DOUBT: u32 = 16;
/// A small frame: a request, an acknowledgment, but not a part of a bulk transfer.
const SMALL: usize = 256;

/// A device and the interface that it carries.
pub(super) struct Port {
    interface: InterfaceId,
    medium: Medium,
    device: Box<dyn Device>,
    errors: DeviceErrors,
    /// Turns one after the other in which a small frame came alone.
    alone: u32,
}

/// How long a turn goes on asking a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Until it has nothing more.
    ToTheEnd,
    /// The driver waits on the devices' descriptors, and goes on if one is still readable.
    Waits,
    /// The driver asks again before long.
    Busy,
}

/// What went wrong at a device while it was driven.
#[derive(Clone, Debug, Default)]
pub struct DeviceErrors {
    /// Frames that the device did not take: full, or too large for it.
    pub refused: u64,
    /// Frames that came and were lost because nobody took them in time, as far as the device knows.
    pub missed: u64,
    /// Failed reads.
    pub failed_reads: u64,
    /// The last error, as text.
    pub last: Option<String>,
}

impl Port {
    pub(super) fn new(interface: InterfaceId, device: Box<dyn Device>) -> Self {
        let medium = device.capabilities().medium;
        Self { interface, medium, device, errors: DeviceErrors::default(), alone: 0 }
    }

    pub(super) fn interface(&self) -> InterfaceId {
        self.interface
    }

    pub(super) fn device(&self) -> &dyn Device {
        &*self.device
    }

    pub(super) fn errors(&mut self) -> DeviceErrors {
        DeviceErrors { missed: self.device.missed(), ..self.errors.clone() }
    }

    /// Feeds at most a batch of frames to `feed`; answers how many there were.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        asking: Asking,
        mut feed: impl FnMut((InterfaceId, Medium), RxFrame<'_>),
    ) -> io::Result<usize> {
        let (mut taken, mut is_small) = (0, false);
        let trusts = self.trusts(asking);
        while taken < BATCH && !(taken == 1 && is_small && trusts) {
            match self.device.recv(now) {
                Ok(Some(frame)) => {
                    is_small = frame.bytes.len() <= SMALL;
                    feed((self.interface, self.medium), frame);
                }
                Ok(None) => break,
                Err(error) => {
                    self.errors.failed_reads += 1;
                    self.errors.last = Some(error.to_string());
                    return Err(error);
                }
            }
            taken += 1;
        }
        match taken {
            0 => {}
            1 if is_small => self.alone = self.alone.wrapping_add(1),
            _ => self.alone = 0,
        }
        Ok(taken)
    }

    /// Sends a frame; one that is not taken is lost, and counted.
    pub(super) fn send(&mut self, now: Instant, frame: &TxFrame<'_>) {
        if let Err(error) = self.device.send(now, frame) {
            self.errors.refused += 1;
            self.errors.last = Some(error.to_string());
        }
    }

    /// Lets go of what the device has put by.
    pub(super) fn flush(&mut self, now: Instant) {
        match self.device.flush(now) {
            Ok(lost) => self.errors.refused += lost as u64,
            Err(error) => self.errors.last = Some(error.to_string()),
        }
    }

    /// Whether to believe that a small frame comes alone, rather than to ask the device once more.
    fn trusts(&self, asking: Asking) -> bool {
        let may = match asking {
            Asking::ToTheEnd => false,
            Asking::Waits => self.device.recv_is_dear(),
            Asking::Busy => true,
        };
        may && self.alone >= ALONE && !self.alone.is_multiple_of(DOUBT)
    }
}
