//! Where a packet goes: interface, next hop, source address, and how large it may be.

use std::net::{IpAddr, Ipv4Addr};

use super::Stack;
use super::interfaces::Port;
use crate::buf::frame::InterfaceId;
use crate::error::Error;
use crate::ip::output::Meta;
use crate::ip::route::Route;
use crate::socket::endpoint::{Endpoint, is_link_local};
use crate::socket::table::{IpOptions, Path};
use crate::wire::ip::Protocol;

/// The interface inside the stack that brings packets to our own addresses back.
pub const LOOPBACK: InterfaceId = InterfaceId(0);

/// Largest packet that the loopback interface carries.
pub(super) const LOOPBACK_MTU: usize = 65_535;

impl Stack {
    /// The path from `source` (or the best of our addresses) to `remote`.
    pub(super) fn path_to(&self, source: Option<IpAddr>, remote: &Endpoint) -> Result<Path, Error> {
        self.path_on(None, source, remote)
    }

    /// As `path_to`, through `interface` if it is named.
    pub(super) fn path_on(
        &self,
        interface: Option<InterfaceId>,
        source: Option<IpAddr>,
        remote: &Endpoint,
    ) -> Result<Path, Error> {
        let destination = remote.ip;
        if source.is_some_and(|ip| ip.is_ipv4() != destination.is_ipv4()) {
            return Err(Error::Invalid("both addresses must be of one family"));
        }
        let generation = self.path_generation();
        if self.is_local(destination) {
            let source = source.unwrap_or(destination);
            return Ok(Path {
                interface: LOOPBACK,
                next_hop: destination,
                source,
                mtu: LOOPBACK_MTU,
                may_fragment: false,
                generation,
            });
        }
        let asked = interface.or(remote.interface());
        let (interface, next_hop, preferred, route_mtu) = match self.route_for(asked, destination) {
            Some(route) => (route.iface, route.next_hop(destination), route.source, route.mtu),
            // Link-local and multicast destinations need an interface rather than a route.
            None if destination.is_multicast() || is_link_local(destination) || is_broadcast(destination) => {
                (
                    asked.or_else(|| self.first_interface()).ok_or(unreachable(destination))?,
                    destination,
                    None,
                    None,
                )
            }
            None => return Err(unreachable(destination)),
        };
        let port = self.port(interface).ok_or(unreachable(destination))?;
        let own = || port.interface.source_for(destination);
        let source = source.or(preferred).or_else(own).ok_or(unreachable(destination))?;
        let link = route_mtu.map_or(port.mtu(destination), |mtu| port.mtu(destination).min(mtu as usize));
        let known = self.pmtu.path_mtu(destination, link as u32);
        let (mtu, may_fragment) = (known.mtu as usize, known.may_fragment);
        Ok(Path { interface, next_hop, source, mtu, may_fragment, generation })
    }

    /// Whether packets to `ip` come back to us.
    pub(super) fn is_local(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.ports.iter().any(|port| port.interface.owns(ip))
    }

    /// Changes whenever a path may have changed.
    pub(super) fn path_generation(&self) -> u64 {
        self.routes.generation() + self.pmtu.generation() + self.addresses_generation
    }

    pub(super) fn check_owned(&self, ip: IpAddr) -> Result<(), Error> {
        if self.is_local(ip) { Ok(()) } else { Err(Error::AddressNotAvailable(ip)) }
    }

    fn route_for(&self, interface: Option<InterfaceId>, destination: IpAddr) -> Option<&Route> {
        match interface {
            Some(interface) => self.routes.lookup_on(destination, interface),
            None if is_link_local(destination) => None,
            None => self.routes.lookup(destination),
        }
    }

    fn first_interface(&self) -> Option<InterfaceId> {
        (self.ports.len() > 1).then_some(InterfaceId(1))
    }
}

fn unreachable(destination: IpAddr) -> Error {
    Error::NetworkUnreachable(destination)
}

fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

impl IpOptions {
    /// The IP header of a packet that these options apply to, when it leaves through `port`.
    pub(super) fn meta(&self, port: &Port, source: IpAddr, destination: IpAddr, protocol: Protocol) -> Meta {
        Meta {
            hop_limit: self.hop_limit.unwrap_or(port.hop_limit(destination)),
            dscp: self.traffic_class >> 2,
            ecn: self.traffic_class & 3,
            ..Meta::new(source, destination, protocol)
        }
    }
}
