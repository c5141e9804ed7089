//! A device under a net: what a turn takes from it and hands to it, and what went wrong there.

use std::io;

use crate::buf::frame::{InterfaceId, Medium, Offload, RxFrame, TxFrame};
use crate::device::Device;
use crate::time::{Duration, Instant};
use crate::why::Why;

/// Frames taken from one device before the others and the applications get their turn.
pub(super) const BATCH: usize = 64;
/// So many small frames that came alone let expect that the next one does, too.
pub(super) const ALONE: u32 = 8;
/// How often it is made sure that it does.
const DOUBT: u32 = 16;
/// A small frame: a request, an acknowledgment, but not a part of a bulk transfer.
const SMALL: usize = 256;
/// When a device that was full is tried again, at first, and if it is full for long: each time after twice the pause.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// A device and the interface that it carries.
pub(super) struct Port {
    interface: InterfaceId,
    medium: Medium,
    device: Box<dyn Device>,
    errors: DeviceErrors,
    /// Turns one after the other in which a small frame came alone.
    alone: u32,
    /// Since the device was full: the stack is not asked for more meanwhile.
    full: Option<Full>,
    held: Held,
}

/// A device that takes no more for now.
#[derive(Clone, Copy, Debug)]
struct Full {
    /// When it is tried again.
    until: Instant,
    pause: Duration,
}

/// The frame that it did not take.
struct Held {
    bytes: Vec<u8>,
    offload: Offload,
    why: Why,
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
    /// Frames that the device did not take and that were lost: it has no memory, or they are too large for it.
    pub refused: u64,
    /// How often it was full: what was to leave waited.
    pub full: u64,
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
        let held = Held { bytes: Vec::new(), offload: Offload::NONE, why: Why::FOREIGN };
        Self { interface, medium, device, errors: DeviceErrors::default(), alone: 0, full: None, held }
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

    /// When the device is to be asked, or tried, although nothing arrives.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.device.poll_timeout().into_iter().chain(self.full.map(|full| full.until)).min()
    }

    /// Whether a device that was full is to be tried again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.full.is_some_and(|full| full.until <= now)
    }

    /// Whether the device may take frames; what waits for it goes first.
    pub(super) fn opens(&mut self, now: Instant) -> bool {
        if self.full.is_none() {
            return true;
        }
        if !self.is_due(now) {
            return false;
        }
        if !self.held.bytes.is_empty() {
            let Held { bytes, offload, why } = &self.held;
            let frame = TxFrame { head: bytes, body: [&[]; 2], offload: *offload, why };
            let sent = self.device.send(now, &frame);
            if !self.has_taken(now, sent) {
                return false;
            }
            self.held.bytes.clear();
        }
        if self.flush(now) {
            self.full = None;
        }
        self.full.is_none()
    }

    /// Sends a frame; one that finds the device full waits, and false is answered. Another that is not taken is lost,
    /// and counted.
    pub(super) fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> bool {
        let sent = self.device.send(now, frame);
        let taken = self.has_taken(now, sent);
        if !taken {
            frame.copy_to(&mut self.held.bytes);
            (self.held.offload, self.held.why) = (frame.offload, *frame.why);
        }
        taken
    }

    /// Lets go of what the device has put by; false if some of it has to wait.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        match self.device.flush(now) {
            Ok(lost) => self.errors.refused += lost as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(now);
                return false;
            }
            Err(error) => self.errors.last = Some(error.to_string()),
        }
        true
    }

    /// Whether a frame is out of our hands: the device has it, or it is lost.
    fn has_taken(&mut self, now: Instant, sent: io::Result<()>) -> bool {
        match sent {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(now);
                return false;
            }
            Err(error) => {
                self.errors.refused += 1;
                self.errors.last = Some(error.to_string());
            }
        }
        true
    }

    /// The device is full: it is left alone for a while. (Not every one tells when it has room again.)
    fn wait(&mut self, now: Instant) {
        self.errors.full += 1;
        let pause = self.full.map_or(FIRST_PAUSE, |full| (full.pause * 2).min(LONGEST_PAUSE));
        self.full = Some(Full { until: now + pause, pause });
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
