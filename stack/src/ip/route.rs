//! Which way a packet goes: routes by longest prefix, for both families.
//!
//! ```text
//!   routes of one family, sorted:        lengths present:
//!   10.9.0.2/32   metric 0    0          32: 0..1
//!   10.9.0.0/24   metric 0    1          24: 1..3
//!   10.9.0.0/24   metric 100  2           0: 3..4
//!   0.0.0.0/0     metric 0    3
//! ```
//!
//! A look-up is one binary search for each prefix length that is present. Whoever keeps an answer keeps
//! [`Table::generation`] with it, and asks again when that has changed.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;
use core::str::FromStr;

use crate::buf::frame::InterfaceId;

/// An address range: all addresses that share their first `len` bits. The bits behind those are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    /// Every IPv4 address: the default route.
    pub const ALL_V4: Self = Self { network: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// Every IPv6 address: the default route.
    pub const ALL_V6: Self = Self { network: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The range of length `len` in which `address` lies; `None` if the family has fewer bits than that.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        (len <= width(address)).then(|| Self { network: mask(address, len), len })
    }

    /// The range that holds this one address.
    pub fn host(address: IpAddr) -> Self {
        Self { network: address, len: width(address) }
    }

    /// Its lowest address.
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many leading bits are fixed.
    pub const fn prefix_len(&self) -> u8 {
        self.len
    }

    /// Whether `address` lies in it. An address of the other family never does.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && mask(address, self.len) == self.network
    }

    /// The directed broadcast address (RFC 1122 3.2.1.3): none for IPv6, nor for /31 and /32 (RFC 3021).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.network {
            IpAddr::V4(network) if self.len <= 30 => {
                let host = u32::MAX.checked_shr(u32::from(self.len)).unwrap_or(0);
                Some(Ipv4Addr::from_bits(network.to_bits() | host))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not `address/length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a prefix: expected an address, a slash and a length that fits, as in 10.9.0.0/24 or fd09::/64")]
pub struct ParsePrefixError;

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, len) = text.split_once('/').ok_or(ParsePrefixError)?;
        let address = address.parse().map_err(|_| ParsePrefixError)?;
        let len = len.parse().map_err(|_| ParsePrefixError)?;
        Self::new(address, len).ok_or(ParsePrefixError)
    }
}

/// One entry of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations that it is for.
    pub prefix: Prefix,
    /// The router to hand packets to; `None`: the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface that they leave by.
    pub iface: InterfaceId,
    /// Among routes of one prefix the least is taken.
    pub metric: u32,
    /// The source address to prefer.
    pub source: Option<IpAddr>,
    /// Largest packet in bytes, where that is less than the interface's MTU.
    pub mtu: Option<u32>,
}

impl Route {
    /// A route to destinations on the link of `iface`.
    pub const fn on_link(prefix: Prefix, iface: InterfaceId) -> Self {
        Self { prefix, gateway: None, iface, metric: 0, source: None, mtu: None }
    }

    /// A route by way of the router `gateway` on the link of `iface`.
    pub const fn via(prefix: Prefix, gateway: IpAddr, iface: InterfaceId) -> Self {
        Self { prefix, gateway: Some(gateway), iface, metric: 0, source: None, mtu: None }
    }

    /// The default route of the gateway's family.
    pub const fn default_via(gateway: IpAddr, iface: InterfaceId) -> Self {
        let all = if gateway.is_ipv4() { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
        Self::via(all, gateway, iface)
    }

    /// The neighbour that a packet to `destination` is handed to.
    pub fn next_hop(&self, destination: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(destination)
    }

    /// Longest prefix first, then by address, then by metric; the rest makes the order total.
    fn order(&self) -> impl Ord + use<> {
        (u8::MAX - self.prefix.len, self.prefix.network, self.metric, self.iface, self.gateway)
    }
}

/// Why a route was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The table has as many routes as it may hold.
    #[error("the routing table is full ({limit} routes)")]
    Full {
        /// How many it may hold.
        limit: usize,
    },
    /// Gateway or source are not of the prefix's family.
    #[error("gateway and source of the route to {prefix} must be of the same family as the prefix")]
    Family {
        /// The prefix of the refused route.
        prefix: Prefix,
    },
    /// The gateway is no host's address.
    #[error("{gateway} cannot be a gateway")]
    Gateway {
        /// The refused gateway.
        gateway: IpAddr,
    },
}

/// What the routing table counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RouteStats {
    /// Look-ups that found no route.
    pub out_no_routes: u64,
}

/// The routing table of a stack.
///
/// Getters, then commands; [`lookup`](Self::lookup) is pure.
#[derive(Clone, Debug)]
pub struct Table {
    v4: Family,
    v6: Family,
    limit: usize,
    generation: u64,
}

impl Table {
    /// An empty table that holds at most `limit` routes of both families together.
    pub fn new(limit: usize) -> Self {
        Self { v4: Family::default(), v6: Family::default(), limit, generation: 0 }
    }

    /// Changes whenever a look-up may have another answer than before.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.v4.routes.len() + self.v6.routes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All routes: IPv4 then IPv6, longest prefix first.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.v4.routes.iter().chain(&self.v6.routes)
    }

    /// The route for `destination`: longest prefix, then least metric (RFC 1122 3.3.1.2, RFC 1812 5.2.4.3).
    pub fn lookup(&self, destination: IpAddr) -> Option<&Route> {
        self.family(destination).candidates(destination).next()
    }

    /// The route for `destination` among those that leave by `iface`.
    pub fn lookup_on(&self, destination: IpAddr, iface: InterfaceId) -> Option<&Route> {
        self.family(destination).candidates(destination).find(|route| route.iface == iface)
    }

    /// Adds a route. One with the same prefix, metric, interface and gateway is replaced, and answered.
    ///
    /// # Errors
    /// The table is full; gateway or source are of another family; the gateway is no host's address.
    pub fn add(&mut self, route: Route) -> Result<Option<Route>, RouteError> {
        let v4 = route.prefix.network.is_ipv4();
        if route.gateway.is_some_and(|g| g.is_ipv4() != v4) || route.source.is_some_and(|s| s.is_ipv4() != v4)
        {
            return Err(RouteError::Family { prefix: route.prefix });
        }
        if let Some(gateway) = route.gateway.filter(|&g| !can_be_gateway(g)) {
            return Err(RouteError::Gateway { gateway });
        }
        let (full, limit) = (self.len() >= self.limit, self.limit);
        let family = self.family_mut(route.prefix.network);
        let replaced = match family.routes.binary_search_by(|other| other.order().cmp(&route.order())) {
            Ok(at) => Some(core::mem::replace(&mut family.routes[at], route)),
            Err(_) if full => return Err(RouteError::Full { limit }),
            Err(at) => {
                family.routes.insert(at, route);
                None
            }
        };
        family.index();
        self.generation += 1;
        Ok(replaced)
    }

    /// Removes the routes of which `unwanted` is true; answers how many there were.
    pub fn remove_if(&mut self, mut unwanted: impl FnMut(&Route) -> bool) -> usize {
        let before = self.len();
        for family in [&mut self.v4, &mut self.v6] {
            family.routes.retain(|route| !unwanted(route));
            family.index();
        }
        let removed = before - self.len();
        self.generation += u64::from(removed > 0);
        removed
    }

    /// Removes the routes to exactly `prefix` by way of `gateway` on `iface`; answers how many there were.
    pub fn remove(&mut self, prefix: Prefix, gateway: Option<IpAddr>, iface: InterfaceId) -> usize {
        self.remove_if(|route| route.prefix == prefix && route.gateway == gateway && route.iface == iface)
    }

    fn family(&self, address: IpAddr) -> &Family {
        if address.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    fn family_mut(&mut self, address: IpAddr) -> &mut Family {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// The routes of one family in [`Route::order`], and where each prefix length lies among them.
#[derive(Clone, Debug, Default)]
struct Family {
    routes: Vec<Route>,
    lengths: Vec<(u8, Range<usize>)>,
}

impl Family {
    /// All routes that lead to `destination`, best first.
    fn candidates(&self, destination: IpAddr) -> impl Iterator<Item = &Route> {
        self.lengths.iter().flat_map(move |(len, range)| {
            let network = mask(destination, *len);
            let routes = &self.routes[range.clone()];
            let first = routes.partition_point(|route| route.prefix.network < network);
            routes[first..].iter().take_while(move |route| route.prefix.network == network)
        })
    }

    fn index(&mut self) {
        self.lengths.clear();
        for (at, route) in self.routes.iter().enumerate() {
            match self.lengths.last_mut() {
                Some((len, range)) if *len == route.prefix.len => range.end = at + 1,
                _ => self.lengths.push((route.prefix.len, at..at + 1)),
            }
        }
    }
}

fn can_be_gateway(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

/// Bits of an address of this family.
const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `address` with all but its first `len` bits cleared.
fn mask(address: IpAddr, len: u8) -> IpAddr {
    let len = u32::from(len);
    match address {
        IpAddr::V4(a) => {
            let host = u32::MAX.checked_shr(len).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & !host))
        }
        IpAddr::V6(a) => {
            let host = u128::MAX.checked_shr(len).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & !host))
        }
    }
}

#[cfg(test)]
mod tests;
