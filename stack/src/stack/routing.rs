//! The routes of a stack: those of the configuration, those that come with addresses, and those that routers tell of.
//!
//! Each route by way of a gateway protects that gateway's neighbour entry, for as long as the route is there.

use std::net::IpAddr;

use super::Stack;
use crate::buf::frame::InterfaceId;
use crate::error::Error;
use crate::ip::pmtu;
use crate::ip::route::{Prefix, Route, Table};
use crate::time::Instant;

impl Stack {
    /// The routing table.
    pub fn routes(&self) -> &Table {
        &self.routes
    }

    /// Adds a route. One with the same prefix, metric, interface and gateway is replaced.
    ///
    /// # Errors
    /// No such interface, a gateway of the other family, an MTU that cannot be, too many routes.
    pub fn add_route(&mut self, route: Route) -> Result<(), Error> {
        self.port_mut(route.iface)?;
        if let Some(mtu) = route.mtu {
            check_mtu(route.prefix.network().is_ipv4(), mtu as usize)?;
        }
        let replaced = self.routes.add(route)?.is_some();
        if let Some(gateway) = route.gateway
            && !replaced
        {
            self.port_mut(route.iface)?.interface.pin_neighbor(gateway);
        }
        Ok(())
    }

    /// Removes a route; false if there is none.
    pub fn remove_route(&mut self, prefix: Prefix, gateway: Option<IpAddr>, id: InterfaceId) -> bool {
        let is_it = |route: &Route| route.prefix == prefix && route.gateway == gateway && route.iface == id;
        self.remove_routes(is_it) > 0
    }

    /// The route to the prefix of an address of ours.
    pub(super) fn add_connected_route(&mut self, id: InterfaceId, ip: IpAddr, len: u8) -> Result<(), Error> {
        let prefix = Prefix::new(ip, len).ok_or(Error::Invalid("a prefix is longer than its address"))?;
        self.add_route(Route { source: Some(ip), ..Route::on_link(prefix, id) })
    }

    /// An address is not ours (any more): no route names it as source. Where another of our addresses has the same
    /// prefix, its route is there again.
    pub(super) fn remove_routes_of(&mut self, id: InterfaceId, ip: IpAddr) {
        let mut prefixes = Vec::new();
        self.remove_routes(|route| {
            let named = route.iface == id && route.source == Some(ip);
            if named && route.gateway.is_none() {
                prefixes.push(route.prefix);
            }
            named
        });
        let Some(port) = self.port(id).filter(|_| !prefixes.is_empty()) else { return };
        let prefix_of = |ip, len| Prefix::new(ip, len).is_some_and(|prefix| prefixes.contains(&prefix));
        let others = port.interface.addresses().iter().filter(|ours| ours.is_usable() && ours.ip != ip);
        let others: Vec<_> = others
            .filter(|ours| prefix_of(ours.ip, ours.prefix_len))
            .map(|ours| (ours.ip, ours.prefix_len))
            .collect();
        for (ip, len) in others {
            let added = self.add_connected_route(id, ip, len);
            self.count_route(added);
        }
    }

    /// Counts a route that nobody waits for the result of.
    pub(super) fn count_route(&mut self, added: Result<(), Error>) {
        self.stats.ip.routes_refused += u64::from(added.is_err());
    }

    /// RFC 4861 section 8.1: only the first hop in use may redirect.
    pub(super) fn handle_redirect(
        &mut self,
        now: Instant,
        id: InterfaceId,
        from: IpAddr,
        destination: IpAddr,
        via: IpAddr,
    ) {
        let known = self.redirects.get(id, destination);
        let route = || self.routes.lookup_on(destination, id).map(|route| route.next_hop(destination));
        if known.or_else(route) == Some(from) {
            self.redirects.handle_redirect(now, id, destination, via);
        } else {
            self.redirects.handle_ignored();
        }
    }

    fn remove_routes(&mut self, mut unwanted: impl FnMut(&Route) -> bool) -> usize {
        let mut gateways = Vec::new();
        let removed = self.routes.remove_if(|route| {
            let unwanted = unwanted(route);
            if let Some(gateway) = route.gateway.filter(|_| unwanted) {
                gateways.push((route.iface, gateway));
            }
            unwanted
        });
        for (iface, gateway) in gateways {
            if let Ok(port) = self.port_mut(iface) {
                port.interface.unpin_neighbor(gateway);
            }
        }
        removed
    }
}

/// Whether an interface or a route may have this MTU.
pub(super) fn check_mtu(v4: bool, mtu: usize) -> Result<(), Error> {
    let least = if v4 { pmtu::MIN_MTU_V4 } else { pmtu::MIN_MTU_V6 } as usize;
    if mtu < least { Err(Error::MtuTooSmall { mtu, least }) } else { Ok(()) }
}
