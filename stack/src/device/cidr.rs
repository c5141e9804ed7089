//! An address of an interface, with the length of the prefix that it shares with its link.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Error;

/// An address and a prefix length: `10.9.0.1/24`, `fd09::1/64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix_len: u8,
}

impl Cidr {
    /// `None` if the family has fewer than `prefix_len` bits.
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        (u32::from(prefix_len) <= bits).then_some(Self { address, prefix_len })
    }

    /// The address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits the neighbours share.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = |why| {
            Error::invalid(format!("`{text}` is no address"), why).remedy("write 10.9.0.1/24 or fd09::1/64")
        };
        let (address, prefix_len) = text.split_once('/').ok_or_else(|| fail("it has no prefix length"))?;
        let address = address.parse().map_err(|_| fail("it is neither IPv4 nor IPv6"))?;
        let prefix_len = prefix_len.parse().map_err(|_| fail("its prefix length is no number"))?;
        Self::new(address, prefix_len).ok_or_else(|| fail("its prefix is longer than the address"))
    }
}

impl TryFrom<&str> for Cidr {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self, Error> {
        text.parse()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for text in ["10.9.0.1/24", "0.0.0.0/0", "fd09::1/64", "::/0", "fe80::1/128"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for (text, why) in [
            ("10.9.0.1", "no prefix length"),
            ("10.9.0/24", "neither"),
            ("10.9.0.1/x", "no number"),
            ("10.9.0.1/33", "longer"),
            ("fd09::1/129", "longer"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}
