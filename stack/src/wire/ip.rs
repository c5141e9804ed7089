//! What IPv4 and IPv6 have in common: protocols, a received packet, a header to send.

use core::fmt;
use core::net::IpAddr;

use super::error::{Error, Layer, Reason};
use super::{ext, ipv4, ipv6};

/// What an IP payload is (the IANA registry of protocol numbers).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// Group management for IPv4.
    pub const IGMP: Self = Self(2);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// Encrypted payload.
    pub const ESP: Self = Self(50);
    /// Authentication header.
    pub const AUTHENTICATION: Self = Self(51);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Nothing follows (IPv6).
    pub const NONE: Self = Self(59);
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: Self = Self(60);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::HOP_BY_HOP => "hop-by-hop",
            Self::ICMP => "ICMP",
            Self::IGMP => "IGMP",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::ROUTING => "routing",
            Self::FRAGMENT => "fragment",
            Self::ESP => "ESP",
            Self::AUTHENTICATION => "AH",
            Self::ICMPV6 => "ICMPv6",
            Self::NONE => "none",
            Self::DESTINATION_OPTIONS => "destination-options",
            Self(number) => return write!(f, "{number}"),
        })
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A received packet of either version, looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// What the payload is, behind all extension headers.
    pub protocol: Protocol,
    /// Hops that are left (TTL).
    pub hop_limit: u8,
    /// Differentiated services code point, 0..=63.
    pub dscp: u8,
    /// Explicit congestion notification, 0..=3.
    pub ecn: u8,
    /// Set if this is a piece of a larger datagram; the payload then is that piece.
    pub fragment: Option<Fragment>,
    /// Routers must not fragment it; always true for IPv6.
    pub dont_fragment: bool,
    /// It asks each router to look at it (RFC 2113, RFC 2711).
    pub router_alert: bool,
    /// It carries an IPv4 source route.
    pub source_route: bool,
    /// Where the field lies that names `protocol`: the pointer of an ICMPv6 "unrecognized next header".
    pub protocol_offset: usize,
    /// The whole packet without the link's padding.
    pub bytes: &'a [u8],
    /// What follows IP header, options and extension headers.
    pub payload: &'a [u8],
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Which datagram (16 bits in IPv4).
    pub id: u32,
    /// Its first byte's place in the datagram, a multiple of 8.
    pub offset: u16,
    /// It is not the last.
    pub more: bool,
}

impl<'a> Packet<'a> {
    /// Bytes before the payload: IP header with options, or with extension headers.
    pub fn header_len(&self) -> usize {
        self.bytes.len() - self.payload.len()
    }

    /// Whether source and destination are of IPv6.
    pub const fn is_v6(&self) -> bool {
        self.dst.is_ipv6()
    }

    /// Reads a packet of either version, its header checksum and its extension headers included.
    ///
    /// # Errors
    /// What [`ipv4::Header::parse`], [`ipv6::Header::parse`] and [`ext::walk`] say, or a version that is
    /// neither.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            Some(_) => Err(Error::malformed(Layer::Ip, 0, Reason::Version)),
            None => Err(Error::length(Layer::Ip, ipv4::MIN_HEADER_LEN, 0)),
        }
    }

    /// Reads an IPv4 packet.
    ///
    /// # Errors
    /// What [`ipv4::Header::parse`] says.
    #[inline(always)]
    pub fn parse_v4(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, payload) = ipv4::verify(bytes)?;
        let options = header.options();
        Ok(Self {
            src: header.source_addr().into(),
            dst: header.destination_addr().into(),
            protocol: Protocol(header.protocol().0),
            hop_limit: header.ttl(),
            dscp: header.dcp().value(),
            ecn: header.ecn().value(),
            fragment: header.is_fragmenting_payload().then(|| Fragment {
                id: u32::from(header.identification()),
                offset: header.fragments_offset().value() << 3,
                more: header.more_fragments(),
            }),
            dont_fragment: header.dont_fragment(),
            router_alert: ipv4::has_router_alert(options),
            source_route: ipv4::has_source_route(options),
            protocol_offset: 9,
            bytes: &bytes[..header.slice().len() + payload.len()],
            payload,
        })
    }

    /// Reads an IPv6 packet.
    ///
    /// # Errors
    /// What [`ipv6::Header::parse`] and [`ext::walk`] say.
    pub fn parse_v6(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, rest) = ipv6::Header::parse(bytes)?;
        let walk = ext::walk(header.next_header, rest).map_err(|e| e.at(ipv6::HEADER_LEN))?;
        Ok(Self {
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: walk.protocol,
            hop_limit: header.hop_limit,
            dscp: header.dscp,
            ecn: header.ecn,
            fragment: walk.fragment,
            dont_fragment: true,
            router_alert: walk.router_alert.is_some(),
            source_route: false,
            protocol_offset: walk.protocol_offset.map_or(6, |at| ipv6::HEADER_LEN + at),
            bytes: &bytes[..ipv6::HEADER_LEN + rest.len()],
            payload: walk.payload,
        })
    }
}

/// A header of either version, for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// IPv4.
    V4(ipv4::Header),
    /// IPv6.
    V6(ipv6::Header),
}

/// Bytes of the longest header that [`Header::write`] writes.
pub const MAX_HEADER_LEN: usize = ipv4::MAX_HEADER_LEN;

impl Header {
    /// A header with the usual values for a payload of `payload_len` bytes; `None` if the addresses are not
    /// of one family.
    pub fn new(
        src: IpAddr,
        dst: IpAddr,
        protocol: Protocol,
        hop_limit: u8,
        payload_len: u16,
    ) -> Option<Self> {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                Some(Self::V4(ipv4::Header::new(src, dst, protocol, hop_limit, payload_len)))
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Some(Self::V6(ipv6::Header::new(src, dst, protocol, hop_limit, payload_len)))
            }
            _ => None,
        }
    }

    /// Source address.
    pub fn src(&self) -> IpAddr {
        match self {
            Self::V4(header) => header.src.into(),
            Self::V6(header) => header.src.into(),
        }
    }

    /// Destination address.
    pub fn dst(&self) -> IpAddr {
        match self {
            Self::V4(header) => header.dst.into(),
            Self::V6(header) => header.dst.into(),
        }
    }

    /// Its length when written.
    pub fn header_len(&self) -> usize {
        match self {
            Self::V4(header) => header.header_len(),
            Self::V6(_) => ipv6::HEADER_LEN,
        }
    }

    /// Sets the traffic class: code point (0..=63) and ECN (0..=3).
    #[must_use]
    pub const fn with_traffic_class(mut self, dscp: u8, ecn: u8) -> Self {
        match &mut self {
            Self::V4(header) => {
                header.dscp = dscp;
                header.ecn = ecn;
            }
            Self::V6(header) => {
                header.dscp = dscp;
                header.ecn = ecn;
            }
        }
        self
    }

    /// Writes the header at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short, or the lengths are too large for the header.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::V4(header) => header.write(out),
            Self::V6(header) => header.write(out),
        }
    }
}
