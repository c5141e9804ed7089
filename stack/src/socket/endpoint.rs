//! An address with a port, and the pair of them that names a connection.

use core::fmt;
use core::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::buf::frame::InterfaceId;
use crate::buf::packed::packed;

/// An address and a port. A link-local address carries the interface that it is meaningful on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address; never an IPv4-mapped IPv6 one.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The interface of a link-local address (`scope_id` of a socket address); 0 for any other.
    pub scope: u32,
}

packed!(Endpoint { ip, port, scope });

impl Endpoint {
    /// An endpoint seen on `interface`.
    pub fn on(ip: IpAddr, port: u16, interface: InterfaceId) -> Self {
        Self { ip, port, scope: if is_link_local(ip) { interface.0 } else { 0 } }
    }

    /// The interface that a link-local address asks for.
    pub fn interface(&self) -> Option<InterfaceId> {
        (self.scope != 0).then_some(InterfaceId(self.scope))
    }

    /// The address to bind to: `None` for "any address of the family".
    pub fn specified(&self) -> Option<IpAddr> {
        (!self.ip.is_unspecified()).then_some(self.ip)
    }
}

impl Hash for Endpoint {
    /// Whole words, as few as can be: each packet is looked up by it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let port = u64::from(self.port);
        match self.ip {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 16 | port),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                state.write_u64((bits >> 64) as u64);
                state.write_u64(bits as u64);
                state.write_u64(u64::from(self.scope) << 16 | port);
            }
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V6(v6) if is_link_local(address.ip()) => v6.scope_id(),
            _ => 0,
        };
        Self { ip: address.ip().to_canonical(), port: address.port(), scope }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint.ip {
            IpAddr::V4(_) => Self::new(endpoint.ip, endpoint.port),
            IpAddr::V6(ip) => Self::V6(SocketAddrV6::new(ip, endpoint.port, 0, endpoint.scope)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

/// Both ends of a connection: what names it (RFC 9293 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Our end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

packed!(Tuple { local, remote });

/// The address that means "any" in the family of `ip`.
pub fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether `ip` is an IPv6 link-local unicast or link-local multicast address.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || (ip.is_multicast() && ip.octets()[1] & 0x0f == 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_link_local_addresses_carry_an_interface() {
        let global = Endpoint::on("2001:db8::1".parse().unwrap(), 80, InterfaceId(3));
        let local = Endpoint::on("fe80::1".parse().unwrap(), 80, InterfaceId(3));
        assert_eq!((global.interface(), local.interface()), (None, Some(InterfaceId(3))));
        assert_eq!(Endpoint::from(SocketAddr::from(local)), local);
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_address() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:7".parse().unwrap();
        assert_eq!(Endpoint::from(mapped).to_string(), "10.0.0.1:7");
    }
}
