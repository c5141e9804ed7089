//! Ethernet II: addresses, types and the header.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use etherparse::Ethernet2HeaderSlice;

use super::error::{Error, Layer, room};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everyone on the wire.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// No address: what ARP writes where it does not know.
    pub const UNSPECIFIED: Self = Self([0; 6]);

    /// The six bytes in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// From six bytes in a slice; `None` if it has another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Where a packet for an IP multicast group (or the IPv4 broadcast) goes; `None` for a unicast address.
    pub fn for_multicast(group: IpAddr) -> Option<Self> {
        match group {
            IpAddr::V4(v4) => Self::for_multicast_v4(v4),
            IpAddr::V6(v6) => Self::for_multicast_v6(v6),
        }
    }

    /// RFC 1112 section 6.4: 01:00:5e and the low 23 bits; the limited broadcast goes to everyone.
    pub const fn for_multicast_v4(group: Ipv4Addr) -> Option<Self> {
        let [_, b, c, d] = group.octets();
        match group {
            Ipv4Addr::BROADCAST => Some(Self::BROADCAST),
            _ if group.is_multicast() => Some(Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])),
            _ => None,
        }
    }

    /// RFC 2464 section 7: 33:33 and the low 32 bits.
    pub const fn for_multicast_v6(group: Ipv6Addr) -> Option<Self> {
        let [.., a, b, c, d] = group.octets();
        if group.is_multicast() { Some(Self([0x33, 0x33, a, b, c, d])) } else { None }
    }

    /// Whether this is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether the group bit is set; true for broadcast too.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether it names one station: neither a group nor all zero.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::UNSPECIFIED
    }

    /// The modified EUI-64 interface identifier (RFC 4291 appendix A).
    pub const fn interface_id(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.0;
        [a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]
    }

    /// The link-local IPv6 address with this station's interface identifier (RFC 4862 section 5.3).
    pub fn link_local(self) -> Ipv6Addr {
        let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets[8..].copy_from_slice(&self.interface_id());
        Ipv6Addr::from(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address: expected six pairs of hexadecimal digits, as in 02:00:00:00:00:01")]
pub struct ParseMacError;

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Reads `02:00:00:00:00:01`; dashes do as well.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(ParseMacError)?;
            if !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(ParseMacError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseMacError)?;
        }
        parts.next().is_none().then_some(Self(octets)).ok_or(ParseMacError)
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// A VLAN tag (802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);

    /// Whether the number is a type. Below 0x0600 it is the length of an 802.3 frame.
    pub const fn is_type(self) -> bool {
        self.0 >= 0x0600
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.write_str("IPv4"),
            Self::ARP => f.write_str("ARP"),
            Self::VLAN => f.write_str("VLAN"),
            Self::IPV6 => f.write_str("IPv6"),
            Self(number) => write!(f, "0x{number:04x}"),
        }
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of an Ethernet II header.
pub const HEADER_LEN: usize = 14;

/// An Ethernet II header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who is to receive it.
    pub dst: MacAddr,
    /// Who sent it.
    pub src: MacAddr,
    /// What it carries.
    pub ether_type: EtherType,
}

impl Header {
    /// Its length when written.
    pub const LEN: usize = HEADER_LEN;

    /// Reads a header; answers it and what follows.
    ///
    /// # Errors
    /// Fewer than 14 bytes.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let slice =
            Ethernet2HeaderSlice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Ethernet, &e))?;
        let header = Self {
            dst: MacAddr(slice.destination()),
            src: MacAddr(slice.source()),
            ether_type: EtherType(slice.ether_type().0),
        };
        Ok((header, &bytes[Self::LEN..]))
    }

    /// The header as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..6].copy_from_slice(&self.dst.0);
        out[6..12].copy_from_slice(&self.src.0);
        out[12..].copy_from_slice(&self.ether_type.0.to_be_bytes());
        out
    }

    /// Writes the header at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        room(out, Self::LEN, Layer::Ethernet)?.copy_from_slice(&self.to_bytes());
        Ok(Self::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_writes() {
        let mac = MacAddr([0x02, 0, 0, 0xab, 0xcd, 0xef]);
        assert_eq!(mac.to_string(), "02:00:00:ab:cd:ef");
        assert_eq!("02-00-00-AB-CD-EF".parse(), Ok(mac));
        for text in ["", "02:00:00:ab:cd", "02:00:00:ab:cd:ef:00", "2:0:0:ab:cd:ef", "02:00:00:ab:cd:+f"] {
            assert_eq!(text.parse::<MacAddr>(), Err(ParseMacError), "{text}");
        }
    }

    #[test]
    fn groups_have_their_addresses() {
        let mac = |ip: &str| MacAddr::for_multicast(ip.parse().unwrap());
        assert_eq!(mac("224.129.2.3"), "01:00:5e:01:02:03".parse().ok());
        assert_eq!(mac("255.255.255.255"), Some(MacAddr::BROADCAST));
        assert_eq!(mac("ff02::1:ff12:3456"), "33:33:ff:12:34:56".parse().ok());
        assert_eq!((mac("10.9.0.1"), mac("fd09::1")), (None, None));
    }

    #[test]
    fn an_address_makes_a_link_local_one() {
        let mac: MacAddr = "02:00:00:00:00:01".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::ff:fe00:1");
        assert!(mac.is_unicast() && !MacAddr::UNSPECIFIED.is_unicast() && !MacAddr::BROADCAST.is_unicast());
    }

    #[test]
    fn thirteen_bytes_are_no_header() {
        let error = Header::parse(&[0; 13]).unwrap_err();
        assert_eq!(error, Error::length(Layer::Ethernet, 14, 13));
        assert_eq!(error.to_string(), "Ethernet at byte 0 needs 14 bytes and has 13");
    }
}
