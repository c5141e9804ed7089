//! Who gets a packet: connections by their pair of endpoints, then bound sockets by their port.

use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::endpoint::{Endpoint, Tuple};
use super::table::SocketId;
use crate::rng::{KeyedHash, KeyedMap};

/// The sockets of one transport protocol by address. Every look-up is O(1) in the number of connections.
#[derive(Debug)]
pub struct Demux {
    connected: KeyedMap<Tuple, SocketId>,
    /// What was found last: segments come in trains, and a comparison is cheaper than a keyed hash.
    last: Option<(Tuple, SocketId)>,
    bound: KeyedMap<u16, Vec<Binding>>,
}

/// A socket that waits on a port for anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who.
    pub id: SocketId,
    /// The address it is bound to, with the interface of a link-local one; unspecified for all of one family.
    pub local: Endpoint,
    /// With an unspecified IPv6 address: takes IPv4 too.
    pub dual: bool,
    /// Whether another socket may bind the same (`SO_REUSEADDR` on datagrams).
    pub shared: bool,
}

impl Binding {
    /// Whether a packet to `local` is for this socket.
    fn takes(&self, local: &Endpoint) -> bool {
        match self.local.specified() {
            Some(ip) => ip == local.ip && (self.local.scope == 0 || self.local.scope == local.scope),
            None => self.takes_family(local.ip),
        }
    }

    fn takes_family(&self, ip: IpAddr) -> bool {
        self.dual || self.local.ip.is_ipv4() == ip.is_ipv4()
    }

    /// Whether the two would get the same packets.
    fn overlaps(&self, other: &Self) -> bool {
        match (self.local.specified(), other.local.specified()) {
            (Some(_), Some(_)) => self.local.ip == other.local.ip && self.local.scope == other.local.scope,
            (Some(ip), None) => other.takes_family(ip),
            (None, Some(ip)) => self.takes_family(ip),
            (None, None) => self.takes_family(other.local.ip) || other.takes_family(self.local.ip),
        }
    }
}

impl Demux {
    /// Empty tables under `hash`.
    pub fn new(hash: &KeyedHash) -> Self {
        let (connected, bound) = (KeyedMap::with_hasher(hash.clone()), KeyedMap::with_hasher(hash.clone()));
        Self { connected, last: None, bound }
    }

    /// The socket that is connected by exactly this pair.
    pub fn connected(&self, tuple: &Tuple) -> Option<SocketId> {
        self.connected.get(tuple).copied()
    }

    /// As `connected`, for a packet that came in: the next is likely to be for the same socket.
    #[inline]
    pub fn find(&mut self, tuple: &Tuple) -> Option<SocketId> {
        if let Some((last, id)) = &self.last
            && last == tuple
        {
            return Some(*id);
        }
        let id = self.connected(tuple)?;
        self.last = Some((*tuple, id));
        Some(id)
    }

    /// The bound socket for packets to `local`: one bound to the address before one bound to any.
    pub fn bound(&self, local: &Endpoint) -> Option<SocketId> {
        let bindings = self.bound.get(&local.port)?;
        let mut taking = bindings.iter().filter(|b| b.takes(local));
        let first = taking.clone().next();
        taking.find(|b| b.local.specified().is_some()).or(first).map(|b| b.id)
    }

    /// All bound sockets for packets to `local` (multicast and broadcast go to each).
    pub fn all_bound(&self, local: &Endpoint) -> impl Iterator<Item = SocketId> {
        let local = *local;
        self.bound.get(&local.port).into_iter().flatten().filter(move |b| b.takes(&local)).map(|b| b.id)
    }

    /// Whether anything is bound to `port`.
    pub fn port_in_use(&self, port: u16) -> bool {
        self.bound.contains_key(&port)
    }

    /// Enters a connection; false if the pair is taken.
    pub fn connect(&mut self, tuple: Tuple, id: SocketId) -> bool {
        match self.connected.entry(tuple) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(id);
                true
            }
        }
    }

    /// Removes a connection if it is that socket's.
    pub fn disconnect(&mut self, tuple: &Tuple, id: SocketId) {
        if self.connected.get(tuple) == Some(&id) {
            self.connected.remove(tuple);
            self.last = None;
        }
    }

    /// Enters a bound socket; false if the address is taken and not both sides share it.
    pub fn bind(&mut self, binding: Binding) -> bool {
        let bindings = self.bound.entry(binding.local.port).or_default();
        if bindings.iter().any(|b| b.overlaps(&binding) && !(b.shared && binding.shared)) {
            return false;
        }
        bindings.push(binding);
        true
    }

    /// Removes a bound socket.
    pub fn unbind(&mut self, port: u16, id: SocketId) {
        if let Some(bindings) = self.bound.get_mut(&port) {
            bindings.retain(|b| b.id != id);
            if bindings.is_empty() {
                self.bound.remove(&port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::rng::Rng;

    fn ids() -> [SocketId; 3] {
        let mut keys: SlotMap<SocketId, ()> = SlotMap::with_key();
        [keys.insert(()), keys.insert(()), keys.insert(())]
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn binding(id: SocketId, local: &str) -> Binding {
        Binding { id, local: endpoint(local), dual: local.starts_with("[::]"), shared: false }
    }

    fn demux() -> Demux {
        Demux::new(&KeyedHash::new(&mut Rng::new(1, 0)))
    }

    #[test]
    fn the_exact_address_comes_before_any() {
        let [a, b, _] = ids();
        let mut demux = demux();
        assert!(demux.bind(Binding { shared: true, ..binding(a, "0.0.0.0:7") }));
        assert!(demux.bind(Binding { shared: true, ..binding(b, "10.0.0.1:7") }));
        assert_eq!(demux.bound(&endpoint("10.0.0.1:7")), Some(b));
        assert_eq!(demux.bound(&endpoint("10.0.0.2:7")), Some(a));
        assert_eq!(demux.bound(&endpoint("[::1]:7")), None);
        assert_eq!(demux.all_bound(&endpoint("10.0.0.1:7")).count(), 2);
    }

    #[test]
    fn an_address_is_bound_once() {
        let [a, b, c] = ids();
        let mut demux = demux();
        assert!(demux.bind(binding(a, "[::]:80")));
        assert!(!demux.bind(binding(b, "10.0.0.1:80")), "a dual socket takes IPv4 too");
        demux.unbind(80, a);
        assert!(demux.bind(binding(b, "10.0.0.1:80")));
        assert!(demux.bind(binding(c, "10.0.0.2:80")));
        assert!(!demux.bind(binding(a, "0.0.0.0:80")));
        assert!(demux.port_in_use(80) && !demux.port_in_use(81));
    }

    #[test]
    fn a_pair_is_connected_once() {
        let [a, b, _] = ids();
        let tuple = Tuple { local: endpoint("10.0.0.1:7"), remote: endpoint("10.0.0.2:9") };
        let mut demux = demux();
        assert!(demux.connect(tuple, a) && !demux.connect(tuple, b));
        demux.disconnect(&tuple, b);
        assert_eq!(demux.connected(&tuple), Some(a));
        demux.disconnect(&tuple, a);
        assert_eq!(demux.connected(&tuple), None);
    }

    #[test]
    fn what_was_found_last_is_forgotten_when_it_ends() {
        let [a, b, _] = ids();
        let mut demux = demux();
        let tuple = |port: u16| Tuple {
            local: endpoint("10.0.0.1:80"),
            remote: endpoint(&format!("10.0.0.2:{port}")),
        };
        assert!(demux.connect(tuple(1), a));
        assert!(demux.connect(tuple(2), b));
        assert_eq!(
            [demux.find(&tuple(1)), demux.find(&tuple(1)), demux.find(&tuple(2))],
            [Some(a), Some(a), Some(b)]
        );
        demux.disconnect(&tuple(2), b);
        assert_eq!(demux.find(&tuple(2)), None);
        assert_eq!(demux.find(&tuple(1)), Some(a));
    }
}
