//! Devices: where frames come from and go to.

mod cidr;
mod error;
mod filter;
mod frames;
mod interfaces;
mod link;
pub mod memory;
pub mod namespace;
mod netlink;
mod offloads;
mod packet;
mod pnet;
mod probe;
mod setup;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
mod sys;
mod tap;
mod tun;
mod vnet;
#[cfg(feature = "xdp")]
mod xdp;

pub use cidr::Cidr;
pub use error::Error;
pub use interfaces::{Interface, interfaces};
pub use link::{add_veth, bring_up};
pub use memory::{Memory, MemoryBuilder};
pub use namespace::{Guest, Namespace, Wire};
pub use offloads::{OffloadState, offloads, switch_off_offloads};
pub use packet::{Packet, PacketBuilder};
pub use pnet::{Pnet, PnetBuilder};
pub use probe::{Fact, probe};
pub use sys::{EventFd, MAX_WAIT, wait};
pub use tap::{Tap, TapBuilder};
pub use tun::{Tun, TunBuilder};
#[cfg(feature = "xdp")]
pub use xdp::{Xdp, XdpBuilder};

use std::io;
use std::os::fd::BorrowedFd;

use crate::buf::frame::{RxFrame, TxFrame};
use crate::time::Instant;

/// Something that carries frames: a TAP, a raw socket, a wire in memory.
///
/// No method blocks. The time is an argument, because some devices (impairments, simulated wires) hold frames for
/// later.
pub trait Device: Send {
    /// What the device can do. Constant while it lives.
    fn capabilities(&self) -> Capabilities;

    /// Lends the next received frame; `None` if nothing is waiting.
    ///
    /// # Errors
    /// The device is gone or broken; an interrupted or empty read is no error.
    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>>;

    /// Sends one frame, whole or not at all.
    ///
    /// # Errors
    /// `WouldBlock` if the device is full: the frame may be sent again later. With any other it is lost, and the caller
    /// counts it.
    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()>;

    /// Sends what `send` has put by, where the device was told to send many frames at once; to be called when no more
    /// follow for now. Answers how many frames were lost of those that `send` took since the last call.
    ///
    /// # Errors
    /// `WouldBlock` if the device is full: the rest stays where it is. Otherwise the device is gone or broken, and all
    /// that was put by is lost.
    fn flush(&mut self, _now: Instant) -> io::Result<usize> {
        Ok(0)
    }

    /// How many frames came that `recv` could never lend, because there was no room for them to wait; since the device
    /// was made, and as far as it knows.
    fn missed(&mut self) -> u64 {
        0
    }

    /// What to wait on for frames; `None` for a device without the kernel.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether `recv` costs a system call even if there is nothing, while what `as_fd` gives stays readable for as long
    /// as there is something: a driver then rather waits on that than asks once too often.
    fn recv_is_dear(&self) -> bool {
        false
    }

    /// When the device wants `recv` called although nothing arrived from outside.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        (**self).recv(now)
    }
    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        (**self).send(now, frame)
    }
    fn flush(&mut self, now: Instant) -> io::Result<usize> {
        (**self).flush(now)
    }
    fn missed(&mut self) -> u64 {
        (**self).missed()
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).as_fd()
    }
    fn recv_is_dear(&self) -> bool {
        (**self).recv_is_dear()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
}

pub use crate::buf::frame::{Capabilities, Medium};

/// Bytes of an Ethernet II header.
const ETHERNET_HEADER: usize = 14;
