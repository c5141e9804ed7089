//! What an interface knows, in one value that ARP and neighbour discovery both write to.

use core::net::{IpAddr, Ipv6Addr};

use super::address::{Address, AddressError, Addresses};
use super::event::{Event, Events};
use super::group::Groups;
use super::neighbor::Cache;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;
use crate::wire::ipv6::solicited_node;

/// Addresses, neighbours and groups of one interface.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) mac: MacAddr,
    /// Whether new addresses are probed.
    pub(crate) probe: bool,
    pub(crate) addresses: Addresses,
    pub(crate) neighbors: Cache,
    pub(crate) groups_v4: Groups,
    pub(crate) groups_v6: Groups,
    pub(crate) events: Events,
    pub(crate) rng: Rng,
}

impl Tables {
    /// Our link-local IPv6 address, once it is in use.
    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.list().iter().find_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() && address.is_usable() => Some(ip),
            _ => None,
        })
    }

    pub(crate) fn groups(&self, of: IpAddr) -> &Groups {
        if of.is_ipv4() { &self.groups_v4 } else { &self.groups_v6 }
    }

    pub(crate) fn groups_mut(&mut self, of: IpAddr) -> (&mut Groups, &mut Rng) {
        (if of.is_ipv4() { &mut self.groups_v4 } else { &mut self.groups_v6 }, &mut self.rng)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let had_link_local = self.link_local().is_some();
        self.addresses.handle_timeout(now, &mut self.rng, &mut self.events);
        while let Some(address) = self.addresses.take_expired(now) {
            self.forget(now, &address);
        }
        self.neighbors.handle_timeout(now, &mut self.events);
        self.groups_v4.handle_timeout(now, &mut self.rng);
        self.groups_v6.handle_timeout(now, &mut self.rng);
        if !had_link_local && self.link_local().is_some() {
            // RFC 3810 5.2.13: reports without a source address may have been discarded.
            self.groups_v6.report_again(now, &mut self.rng);
        }
    }

    /// Adds an address and listens to what neighbours use to find it.
    pub(crate) fn add(&mut self, now: Instant, address: Address) -> Result<(), AddressError> {
        self.addresses.add(now, address, self.probe, &mut self.rng, &mut self.events)?;
        if let IpAddr::V6(ip) = address.ip {
            // RFC 4861 7.2.1: without its solicited-node group nobody finds the address. A refusal is
            // counted; the address still works for those who know us.
            let _ = self.groups_v6.join(now, IpAddr::V6(solicited_node(ip)), self.probe, &mut self.rng);
        }
        Ok(())
    }

    /// Removes an address; answers whether it was there.
    pub(crate) fn remove(&mut self, now: Instant, ip: IpAddr) -> bool {
        let removed = self.addresses.remove(ip);
        if let Some(address) = &removed {
            self.forget(now, address);
        }
        removed.is_some()
    }

    /// What follows from the end of an address.
    fn forget(&mut self, now: Instant, address: &Address) {
        if let IpAddr::V6(ip) = address.ip {
            // It fails only if the join was refused.
            let _ = self.groups_v6.leave(now, IpAddr::V6(solicited_node(ip)), &mut self.rng);
        }
        self.events.push(Event::AddressRemoved { ip: address.ip });
    }
}
