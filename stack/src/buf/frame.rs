//! Frames as they pass between a device and the stack.

use super::packed::{Packed, Packer, Unpacker};
use crate::why::Why;

/// A received frame, lent by the device until the next call.
///
/// Up to 64 KiB when the other side merged segments: `offload` says so.
#[derive(Clone, Copy, Debug)]
pub struct RxFrame<'a> {
    /// From the first byte of the link header (Ethernet) or of the IP header (TUN).
    pub bytes: &'a [u8],
    /// What the device knows about checksums and merging.
    pub offload: Offload,
}

impl<'a> RxFrame<'a> {
    /// A frame about which the device knows nothing: every checksum is to be verified.
    pub const fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, offload: Offload::NONE }
    }
}

/// A frame to send, lent by the stack until the next call: headers in `head`, payload in up to two slices.
#[derive(Clone, Copy, Debug)]
pub struct TxFrame<'a> {
    /// Link, IP and transport headers.
    pub head: &'a [u8],
    /// The payload, where it lies; either part may be empty.
    pub body: [&'a [u8]; 2],
    /// What the device still has to do.
    pub offload: Offload,
    /// Why it is sent.
    pub why: &'a Why,
}

impl TxFrame<'_> {
    /// The length of the whole frame in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body[0].len() + self.body[1].len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the whole frame to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        for part in [self.head, self.body[0], self.body[1]] {
            // Most have nothing in the last: no copy at all is cheaper than one of nothing.
            if !part.is_empty() {
                out.extend_from_slice(part);
            }
        }
    }

    /// The whole frame in a vector of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.copy_to(&mut out);
        out
    }
}

/// What a device did for a received frame, or has to do for one that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// The frame stands for several segments.
    pub gso: Option<Gso>,
}

impl Offload {
    /// Nothing offloaded.
    pub const NONE: Self = Self { checksum: Checksum::Full, gso: None };
}

/// State of the transport checksum of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// It is in the packet: to be verified on receipt, complete when sent.
    #[default]
    Full,
    /// Received: the device vouches for the data.
    Verified,
    /// Only the pseudo header's sum is in the field: whoever puts it on a wire completes it. Received: it was never on
    /// a wire, so that the data are as good as verified. `start` counts from the frame's first byte, `offset` from
    /// `start`.
    Partial {
        /// Where the sum begins.
        start: u16,
        /// Where the field lies after `start`.
        offset: u16,
    },
}

/// Largest IP packet of a merged frame.
pub(crate) const MAX_MERGED: usize = 65_535;

/// How a merged frame divides into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// What is merged.
    pub kind: GsoKind,
    /// Payload bytes of each segment but the last.
    pub size: u16,
    /// Bytes of headers before the payload, link header included.
    pub header: u16,
}

impl Gso {
    /// How many packets a merged frame with so many bytes of payload stands for.
    pub const fn packets(&self, payload: usize) -> usize {
        match (payload, self.size) {
            (0, _) | (_, 0) => 1,
            (_, size) => payload.div_ceil(size as usize),
        }
    }
}

/// What a merged frame is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP.
    Udp,
}

/// What a device can do. The stack's limits for a frame follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What a frame begins with.
    pub medium: Medium,
    /// Largest IP packet in bytes.
    pub mtu: usize,
    /// Largest IP packet that `send` takes as a merged frame (`Offload::gso`); equal to `mtu` if it takes none.
    pub max_merged: usize,
    /// Whether `send` takes a frame whose transport checksum is `Checksum::Partial`.
    pub checksum: bool,
    /// Whether a merged frame may be UDP datagrams of one size ([`GsoKind::Udp`]).
    pub udp_segments: bool,
}

impl Capabilities {
    /// A plain device: no merging, checksums are the stack's.
    pub const fn plain(medium: Medium, mtu: usize) -> Self {
        Self { medium, mtu, max_merged: mtu, checksum: false, udp_segments: false }
    }

    /// The same device if it takes all there is: merged frames of TCP and UDP, and partial checksums.
    #[must_use]
    pub const fn merging(self) -> Self {
        Self { max_merged: MAX_MERGED, checksum: true, udp_segments: true, ..self }
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Medium {
    /// An Ethernet II header.
    #[default]
    Ethernet,
    /// The IP header itself.
    Ip,
}

/// Which interface of a stack, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u32);

impl Packed for InterfaceId {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self(u32::unpack(from))
    }
}
