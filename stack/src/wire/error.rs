//! What is wrong with a piece of bytes, and where.

use core::fmt;

use super::ext::OptionAction;

/// Why bytes could not be read as (or a value not be written into) what was asked for.
///
/// `offset` counts from the first byte that the reader was given: for [`super::ip::Packet::parse`] that is
/// the packet's first byte, so it is the pointer of an ICMP parameter problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// There are fewer bytes than the layer needs.
    #[error("{layer} at byte {offset} needs {needed} bytes and has {had}")]
    Length {
        /// What was being read or written.
        layer: Layer,
        /// Where it begins.
        offset: usize,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there are.
        had: usize,
    },
    /// The bytes are there, but not as the protocol wants them.
    #[error("{layer}: {reason} at byte {offset}")]
    Malformed {
        /// What was being read.
        layer: Layer,
        /// The field that is wrong.
        offset: usize,
        /// What is wrong with it.
        reason: Reason,
    },
}

impl Error {
    pub(crate) const fn length(layer: Layer, needed: usize, had: usize) -> Self {
        Self::Length { layer, offset: 0, needed, had }
    }

    pub(crate) const fn malformed(layer: Layer, offset: usize, reason: Reason) -> Self {
        Self::Malformed { layer, offset, reason }
    }

    /// The length error of the slice reader, in our words.
    pub(crate) fn from_len(layer: Layer, error: &etherparse::err::LenError) -> Self {
        Self::Length { layer, offset: error.layer_start_offset, needed: error.required_len, had: error.len }
    }

    /// The layer that failed.
    pub const fn layer(&self) -> Layer {
        match *self {
            Self::Length { layer, .. } | Self::Malformed { layer, .. } => layer,
        }
    }

    /// Where it failed: the layer's first byte for a length, the field's for a malformed one.
    pub const fn offset(&self) -> usize {
        match *self {
            Self::Length { offset, .. } | Self::Malformed { offset, .. } => offset,
        }
    }

    /// What is wrong, if it is not a length.
    pub const fn reason(&self) -> Option<Reason> {
        match *self {
            Self::Length { .. } => None,
            Self::Malformed { reason, .. } => Some(reason),
        }
    }

    /// Whether a checksum was wrong.
    pub const fn is_checksum(&self) -> bool {
        matches!(self.reason(), Some(Reason::Checksum | Reason::ZeroChecksum))
    }

    /// The same error seen from `base` bytes further out.
    #[must_use]
    pub const fn at(self, base: usize) -> Self {
        match self {
            Self::Length { layer, offset, needed, had } => {
                Self::Length { layer, offset: offset + base, needed, had }
            }
            Self::Malformed { layer, offset, reason } => {
                Self::Malformed { layer, offset: offset + base, reason }
            }
        }
    }
}

/// The layers that an [`Error`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Ethernet II header.
    Ethernet,
    /// ARP packet.
    Arp,
    /// An IP header of neither version.
    Ip,
    /// IPv4 header.
    Ipv4,
    /// IPv6 header.
    Ipv6,
    /// IPv6 extension header.
    Extension,
    /// ICMP for IPv4.
    Icmpv4,
    /// ICMP for IPv6.
    Icmpv6,
    /// Neighbor discovery.
    Ndp,
    /// Group management for IPv4.
    Igmp,
    /// Group management for IPv6.
    Mld,
    /// UDP header.
    Udp,
    /// TCP header.
    Tcp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::Arp => "ARP",
            Self::Ip => "IP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Extension => "IPv6 extension header",
            Self::Icmpv4 => "ICMPv4",
            Self::Icmpv6 => "ICMPv6",
            Self::Ndp => "NDP",
            Self::Igmp => "IGMP",
            Self::Mld => "MLD",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// What is wrong with bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The checksum does not fit the bytes.
    Checksum,
    /// The checksum is zero where it must not be (UDP over IPv6, RFC 8200 section 8.1).
    ZeroChecksum,
    /// The version field is not the protocol's.
    Version,
    /// The header's own length is below its minimum.
    HeaderLength,
    /// The length of header and payload is below the header's.
    TotalLength,
    /// The value of a field is not one that the protocol allows.
    Value,
    /// An option's length does not fit the option or the room.
    Option,
    /// An IPv6 option that we do not know and that asks not to be skipped.
    UnknownOption(OptionAction),
    /// A routing header that still names stops (RFC 8200 section 4.4, RFC 5095).
    RoutingHeader,
    /// A hop-by-hop header that is not the first (RFC 8200 section 4.1).
    MisplacedHopByHop,
    /// More extension headers than we are willing to walk.
    TooManyHeaders,
    /// Addresses or sizes of another kind (an ARP packet that is not Ethernet and IPv4).
    Unsupported,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "wrong checksum",
            Self::ZeroChecksum => "checksum is zero",
            Self::Version => "wrong version",
            Self::HeaderLength => "header length too small",
            Self::TotalLength => "total length too small",
            Self::Value => "value not allowed",
            Self::Option => "broken option",
            Self::UnknownOption(_) => "unknown option that must not be skipped",
            Self::RoutingHeader => "routing header with stops left",
            Self::MisplacedHopByHop => "hop-by-hop header is not the first",
            Self::TooManyHeaders => "too many extension headers",
            Self::Unsupported => "unsupported kind",
        })
    }
}

/// The room for `len` bytes at the start of `out`.
pub(crate) fn room(out: &mut [u8], len: usize, layer: Layer) -> Result<&mut [u8], Error> {
    let had = out.len();
    out.get_mut(..len).ok_or(Error::length(layer, len, had))
}
