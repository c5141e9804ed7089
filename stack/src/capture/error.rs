//! What can be wrong with a capture, and where.

use core::fmt;
use std::io;

/// A capture could not be read: what is wrong, and where in the file.
#[derive(Debug, thiserror::Error)]
#[error("{place}, at byte {offset}: {kind}")]
pub struct Error {
    /// Offset in the file of the block or record that is wrong.
    pub offset: u64,
    /// Which part of the file it is.
    pub place: Place,
    /// What is wrong.
    #[source]
    pub kind: ErrorKind,
}

/// A part of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file's header.
    Header,
    /// A block of a pcapng file, the first being 1.
    Block(u64),
    /// A packet of a pcap file, the first being 1.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("file header"),
            Self::Block(n) => write!(f, "block {n}"),
            Self::Record(n) => write!(f, "packet {n}"),
        }
    }
}

/// What can be wrong with a capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not begin as a capture does.
    #[error("not a pcap or pcapng capture (it begins with {0:#010x})")]
    NotACapture(u32),
    /// The file is empty.
    #[error("not a capture: the file is empty")]
    Empty,
    /// The file is compressed.
    #[error("the capture is compressed with {0}: decompress it first")]
    Compressed(&'static str),
    /// A version that nobody has defined yet.
    #[error("unknown version {major}.{minor}")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file ends within a block or record.
    #[error("the capture ends in the middle: {needed} bytes needed, {had} left")]
    Truncated {
        /// Bytes that the block or record needs.
        needed: u64,
        /// Bytes that were left.
        had: u64,
    },
    /// A length that cannot be: too small for its contents, too large, or not a multiple of four.
    #[error("impossible length {0}")]
    Length(u64),
    /// The length after a block differs from that before it.
    #[error("length {first} before the block, {last} after it")]
    LengthMismatch {
        /// Length before the block.
        first: u32,
        /// Length after it.
        last: u32,
    },
    /// The byte order mark of a section is neither.
    #[error("unknown byte order mark {0:#010x}")]
    ByteOrder(u32),
    /// A packet claims more bytes than its block holds.
    #[error("packet of {claimed} bytes in a block with room for {room}")]
    PacketLength {
        /// Bytes claimed.
        claimed: u64,
        /// Bytes there are.
        room: u64,
    },
    /// A packet of an interface that the section has not described.
    #[error("packet of interface {id}, but {count} are described")]
    UnknownInterface {
        /// Number of the interface within its section.
        id: u32,
        /// How many the section describes.
        count: u32,
    },
    /// Nothing here reads that link type. In a pcapng file the next packets can still be read.
    #[error(
        "unknown link type {0}: Ethernet (1), raw IP (101), loopback (0), Linux cooked (113, 276) are known"
    )]
    LinkType(u16),
    /// More interfaces than anybody needs.
    #[error("more than {} interfaces", super::format::MAX_INTERFACES)]
    TooManyInterfaces,
    /// The file cannot be read.
    #[error(transparent)]
    Io(io::Error),
}
