//! Where a packet goes: interface, next hop, source address, and how large it may be.

use std::net::{IpAddr, Ipv4Addr};

use super::Stack;
use super::interfaces::Port;
use crate::buf::frame::InterfaceId;
use crate::error::Error;
use crate::ip::output::Meta;
use crate::ip::route::{Prefix, Route};
use crate::link::{Address, AddressState};
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
        // A socket may outlive its address, which may be another host's by now.
        source.map_or(Ok(()), |source| self.check_owned(source))?;
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
        let route = self.route_for(asked, destination);
        let (interface, next_hop, preferred) = match route {
            Some(route) => {
                let redirected = self.redirects.get(route.iface, destination);
                let next_hop = redirected.unwrap_or(route.next_hop(destination));
                (route.iface, next_hop, route.source)
            }
            // Link-local and multicast destinations need an interface rather than a route.
            None if destination.is_multicast() || is_link_local(destination) || is_broadcast(destination) => {
                (asked.or_else(|| self.first_interface()).ok_or(unreachable(destination))?, destination, None)
            }
            None => return Err(self.why_unreachable(destination)),
        };
        let port = self.port(interface).ok_or(unreachable(destination))?;
        // RFC 4862 section 5.4: an address that is being probed, or was lost, is nobody's source.
        let preferred = preferred.filter(|&ip| port.interface.owns(ip));
        let source = source.or(preferred).map_or_else(|| own_source(port, destination), Ok)?;
        let known = port.mtu_for(destination, route, &self.pmtu);
        let (mtu, may_fragment) = (known.mtu as usize, known.may_fragment);
        Ok(Path { interface, next_hop, source, mtu, may_fragment, generation })
    }

    /// Whether packets to `ip` come back to us.
    pub(super) fn is_local(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.ports.iter().any(|port| port.interface.owns(ip))
    }

    /// Changes whenever a path may have changed.
    pub(super) fn path_generation(&self) -> u64 {
        self.routes.generation()
            + self.pmtu.generation()
            + self.redirects.generation()
            + self.addresses_generation
    }

    pub(super) fn check_owned(&self, ip: IpAddr) -> Result<(), Error> {
        if self.is_local(ip) {
            return Ok(());
        }
        let addresses = self.ports.iter().flat_map(|port| port.interface.addresses());
        Err(unusable(addresses.filter(|ours| ours.ip == ip)).unwrap_or(Error::AddressNotAvailable(ip)))
    }

    /// Why no route leads to `destination`: the route of an address that we do not have goes with it.
    fn why_unreachable(&self, destination: IpAddr) -> Error {
        let addresses = self.ports.iter().flat_map(|port| port.interface.addresses());
        let near = |ours: &&Address| {
            Prefix::new(ours.ip, ours.prefix_len).is_some_and(|prefix| prefix.contains(destination))
        };
        unusable(addresses.filter(near)).unwrap_or(unreachable(destination))
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

/// The address of ours that speaks to `destination`. A link-local one does not stand in for one that is being probed,
/// or was lost: nobody beyond the link could answer.
fn own_source(port: &Port, destination: IpAddr) -> Result<IpAddr, Error> {
    let near = is_link_local(destination);
    let own = port.interface.source_for(destination);
    if let Some(own) = own.filter(|&ip| near || !is_link_local(ip)) {
        return Ok(own);
    }
    let family =
        |ours: &&Address| ours.ip.is_ipv4() == destination.is_ipv4() && is_link_local(ours.ip) == near;
    let addresses = port.interface.addresses().iter().filter(family);
    unusable(addresses).map_or(own.ok_or(unreachable(destination)), Err)
}

/// What is wrong with the first of these addresses that may become ours, or with the first that will not.
fn unusable<'a>(addresses: impl Iterator<Item = &'a Address> + Clone) -> Option<Error> {
    let in_state = |state| addresses.clone().find(|ours| ours.state == state).map(|ours| ours.ip);
    let tentative = in_state(AddressState::Tentative).map(Error::AddressTentative);
    tentative.or_else(|| in_state(AddressState::Duplicated).map(Error::AddressDuplicate))
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
