//! Captures: what passed, when, and why.
//!
//! [`Writer`] writes pcapng with nanosecond times, [`Reader`] reads pcap and pcapng, [`Tee`] is a device that
//! writes whatever passes through it, and [`Capture`] is one file that several of them share. [`Text`] shows a frame as
//! a line, [`Ladder`] a conversation as a diagram.

mod error;
mod format;
pub mod ladder;
pub mod reader;
mod shared;
mod tee;
mod text;
mod writer;

pub use error::{Error, ErrorKind, Place};
pub use ladder::{Arrow, End, Ladder};
pub use reader::{Interface, Packet, Reader};
pub use shared::{Buffer, Capture};
pub use tee::Tee;
pub use text::Text;
pub use writer::{InterfaceId, Record, Writer};

use crate::buf::frame::Medium;

/// What the bytes of a captured packet begin with. Others than these cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkType {
    /// BSD loopback: four bytes of address family, then the IP packet.
    Null,
    /// Ethernet II.
    Ethernet,
    /// The IP packet itself, either family.
    Raw,
    /// Linux "cooked" capture: 16 bytes, then the IP packet.
    LinuxSll,
    /// Linux "cooked" capture, second version: 20 bytes, then the IP packet.
    LinuxSll2,
}

impl LinkType {
    /// The number that stands for it in a capture that we write.
    pub const fn code(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Raw => 101,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
        }
    }

    /// The link type of a number; several numbers stand for raw IP.
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            // OpenBSD's has the family in network byte order; the IP header tells it anyway.
            0 | 108 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }

    /// The IP packet within `bytes`; None if they hold something else (ARP) or are too short to tell.
    /// Padding behind the packet is still there. VLAN tags are skipped.
    pub fn ip_packet(self, bytes: &[u8]) -> Option<&[u8]> {
        let start = match self {
            Self::Raw => 0,
            Self::Null => 4,
            Self::LinuxSll => 16,
            Self::LinuxSll2 => 20,
            Self::Ethernet => ethernet_payload(bytes)?,
        };
        let packet = bytes.get(start..)?;
        matches!(packet.first()? >> 4, 4 | 6).then_some(packet)
    }
}

impl From<Medium> for LinkType {
    fn from(medium: Medium) -> Self {
        match medium {
            Medium::Ethernet => Self::Ethernet,
            Medium::Ip => Self::Raw,
        }
    }
}

/// Where the IP packet of an Ethernet frame begins, behind at most two VLAN tags.
fn ethernet_payload(bytes: &[u8]) -> Option<usize> {
    const TYPE_OFFSET: usize = 12;
    const TAG_LEN: usize = 4;
    (0..=2).map(|tags| TYPE_OFFSET + tags * TAG_LEN).find_map(|at| {
        match bytes.get(at..at + 2).and_then(|word| word.try_into().ok()).map(u16::from_be_bytes)? {
            0x8100 | 0x88a8 => None,
            0x0800 | 0x86dd => Some(Some(at + 2)),
            _ => Some(None),
        }
    })?
}

/// Which way a packet went, seen from the interface that it is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

#[cfg(test)]
mod tests;
