//! The interfaces of a stack: what each needs beside its link layer, and what follows from what it tells.

use std::net::IpAddr;

use super::Stack;
use super::output::Fragmenting;
use super::packets::{Packet, Replies};
use super::path::{LOOPBACK, LOOPBACK_MTU};
use super::routing::check_mtu;
use super::train::Train;
use crate::buf::frame::{Capabilities, InterfaceId, Medium};
use crate::error::Error;
use crate::event::Event;
use crate::ip::pmtu;
use crate::ip::route::{Prefix, Route};
use crate::link::{self, Interface, InterfaceConfig, Resolution};
use crate::rng::Rng;
use crate::socket::table::Kind;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// Interfaces of one stack.
const MAX_INTERFACES: usize = 256;

/// An interface with what leaves through it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) interface: Interface,
    capabilities: Capabilities,
    hop_limit_v4: u8,
    pub(super) replies: Replies,
    pub(super) fragmenting: Option<Fragmenting>,
    pub(super) train: Option<Train>,
    /// Bytes that the socket in front of the queue has sent of its share.
    pub(super) spent: usize,
}

/// What the device takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct TxLimits {
    /// Largest IP packet as a merged frame; `None` if the device takes none.
    pub(super) max_merged: Option<usize>,
    /// The device completes checksums.
    pub(super) checksum: bool,
    /// Largest IP packet as a merged frame of datagrams; `None` if the device takes none.
    pub(super) max_datagrams: Option<usize>,
}

impl Port {
    /// Largest IP packet on the link, in the family of `destination`: routers may say that IPv6 has less.
    pub(super) fn mtu(&self, destination: IpAddr) -> usize {
        if destination.is_ipv6() { self.interface.mtu_v6() } else { self.interface.mtu() }
    }

    /// Hops that a packet to `destination` may take, unless its socket says otherwise.
    pub(super) fn hop_limit(&self, destination: IpAddr) -> u8 {
        if destination.is_ipv6() { self.interface.hop_limit() } else { self.hop_limit_v4 }
    }

    pub(super) fn limits(&self) -> TxLimits {
        let Capabilities { mtu, max_merged, checksum, udp_segments, .. } = self.capabilities;
        let max_merged = (max_merged > mtu).then_some(max_merged);
        // Whoever cuts datagrams writes their checksums.
        let max_datagrams = max_merged.filter(|_| udp_segments && checksum);
        TxLimits { max_merged, checksum, max_datagrams }
    }

    /// Largest IP packet to `destination` by this route.
    pub(super) fn mtu_for(
        &self,
        destination: IpAddr,
        route: Option<&Route>,
        pmtu: &pmtu::Cache,
    ) -> pmtu::PathMtu {
        let link = self.mtu(destination) as u32;
        let link = route.and_then(|route| route.mtu).map_or(link, |mtu| link.min(mtu));
        pmtu.path_mtu(destination, link)
    }

    /// The link address of the next hop; none is needed on a medium without link headers.
    pub(super) fn resolve(&mut self, now: Instant, next_hop: IpAddr) -> Resolution {
        match self.capabilities.medium {
            Medium::Ip => Resolution::Known(MacAddr::UNSPECIFIED),
            Medium::Ethernet => self.interface.resolve(now, next_hop),
        }
    }
}

impl Stack {
    /// The interfaces, the loopback first.
    pub fn interfaces(&self) -> impl Iterator<Item = (InterfaceId, &Interface)> {
        self.ports.iter().enumerate().map(|(index, port)| (InterfaceId(index as u32), &port.interface))
    }

    /// Adds an interface for a device of these capabilities. Its prefixes become routes. With an MTU below 1,280 bytes
    /// it carries IPv4 alone.
    ///
    /// # Errors
    /// An address or an MTU that cannot be; too many interfaces or routes.
    pub fn add_interface(
        &mut self,
        now: Instant,
        config: InterfaceConfig,
        capabilities: Capabilities,
    ) -> Result<InterfaceId, Error> {
        if self.ports.len() >= MAX_INTERFACES {
            return Err(Error::LimitReached { what: "interfaces", limit: MAX_INTERFACES });
        }
        let mtu = config.mtu.map_or(capabilities.mtu, |mtu| mtu.min(capabilities.mtu));
        check_mtu(true, mtu)?;
        let id = InterfaceId(self.ports.len() as u32);
        let addresses = config.addresses.clone();
        let rng = Rng::new(self.rng.next_u64(), u64::from(id.0));
        let interface = Interface::new(now, &config, &capabilities, rng)?;
        self.ports.push(Port {
            interface,
            capabilities,
            hop_limit_v4: config.hop_limit,
            replies: Replies::default(),
            fragmenting: None,
            train: None,
            spent: 0,
        });
        self.addresses_generation += 1;
        for (ip, len) in addresses {
            self.add_connected_route(id, ip, len)?;
        }
        self.handle_interface_events(now, id);
        Ok(id)
    }

    /// Gives an interface one more address, with the route to its prefix.
    ///
    /// # Errors
    /// No such interface; an address that cannot be; too many.
    pub fn add_address(&mut self, now: Instant, id: InterfaceId, ip: IpAddr, len: u8) -> Result<(), Error> {
        let port = self.port_mut(id)?;
        port.interface.add_address(now, ip, len)?;
        self.addresses_generation += 1;
        self.add_connected_route(id, ip, len)?;
        self.handle_interface_events(now, id);
        Ok(())
    }

    /// Takes an address from an interface, and its routes. Sockets that are bound to it send no more.
    ///
    /// # Errors
    /// No such interface; it does not have the address.
    pub fn remove_address(&mut self, now: Instant, id: InterfaceId, ip: IpAddr) -> Result<(), Error> {
        if !self.port_mut(id)?.interface.remove_address(now, ip) {
            return Err(Error::AddressNotAvailable(ip));
        }
        self.handle_interface_events(now, id);
        Ok(())
    }

    pub(super) fn port(&self, id: InterfaceId) -> Option<&Port> {
        self.ports.get(id.0 as usize)
    }

    pub(super) fn port_mut(&mut self, id: InterfaceId) -> Result<&mut Port, Error> {
        self.ports.get_mut(id.0 as usize).ok_or(Error::Invalid("no such interface"))
    }

    pub(super) fn add_loopback(&mut self) {
        let config = InterfaceConfig {
            link_local: false,
            dad: false,
            report_groups: false,
            ..InterfaceConfig::new(MacAddr::UNSPECIFIED)
        };
        let added = self.add_interface(Instant::ZERO, config, Capabilities::plain(Medium::Ip, LOOPBACK_MTU));
        debug_assert_eq!(added, Ok(LOOPBACK));
    }

    /// Acts upon what an interface tells.
    pub(super) fn handle_interface_events(&mut self, now: Instant, id: InterfaceId) {
        while let Some(port) = self.ports.get_mut(id.0 as usize)
            && let Some(event) = port.interface.poll_event()
        {
            match event {
                link::Event::NeighborResolved { ip, .. } => self.unpark(now, id, ip),
                link::Event::NeighborFailed { ip } => self.neighbor_failed(now, id, ip),
                link::Event::AddressReady { ip, prefix_len } => {
                    self.addresses_generation += 1;
                    // A link-local prefix is everywhere: it is no route.
                    if !crate::socket::endpoint::is_link_local(ip) {
                        let added = self.add_connected_route(id, ip, prefix_len);
                        self.count_route(added);
                    }
                    self.tell(Event::AddressReady { interface: id, address: ip });
                }
                link::Event::AddressConflict { ip, mac, lost } => {
                    self.addresses_generation += 1;
                    if lost {
                        // RFC 4862 section 5.4.5: nothing is sent from it.
                        self.remove_routes_of(id, ip);
                    }
                    self.tell(Event::AddressConflict { interface: id, address: ip, by: mac, lost });
                }
                link::Event::AddressRemoved { ip } => {
                    self.addresses_generation += 1;
                    self.remove_routes_of(id, ip);
                }
                link::Event::AddressDeprecated { .. } | link::Event::MtuChanged { .. } => {
                    self.addresses_generation += 1;
                }
                link::Event::RouterAdded { router } => {
                    let added = self.add_route(Route::default_via(router.into(), id));
                    self.count_route(added);
                }
                link::Event::RouterRemoved { router } => {
                    self.remove_route(Prefix::ALL_V6, Some(router.into()), id);
                }
                link::Event::PrefixAdded { prefix, len } => {
                    if let Some(prefix) = Prefix::new(prefix.into(), len) {
                        let added = self.add_route(Route::on_link(prefix, id));
                        self.count_route(added);
                    }
                }
                link::Event::PrefixRemoved { prefix, len } => {
                    if let Some(prefix) = Prefix::new(prefix.into(), len) {
                        self.remove_route(prefix, None, id);
                    }
                }
                link::Event::Redirect { from, destination, via } => {
                    self.handle_redirect(now, id, from.into(), destination.into(), via.into());
                }
            }
        }
    }

    fn unpark(&mut self, now: Instant, id: InterfaceId, next_hop: IpAddr) {
        let waiting = self.parked.take(id, next_hop);
        for packet in waiting.packets {
            self.push_reply(id, packet);
        }
        for socket in waiting.sockets {
            self.wake_parked(socket);
            self.settle(now, socket);
        }
    }

    /// A neighbour does not answer: sockets are told, packets are lost.
    fn neighbor_failed(&mut self, now: Instant, id: InterfaceId, next_hop: IpAddr) {
        self.redirects.handle_failed(id, next_hop);
        let waiting = self.parked.take(id, next_hop);
        for packet in waiting.packets {
            self.packet_unreachable(now, packet);
        }
        for socket in waiting.sockets {
            self.wake_parked(socket);
            if let Some(tcp) = self.sockets.get_mut(socket).and_then(|s| s.tcp_mut()) {
                tcp.connection.handle_unreachable(crate::tcp::Error::HostUnreachable);
            }
            self.settle(now, socket);
        }
        self.tell(Event::NeighborFailed { interface: id, address: next_hop });
    }

    fn wake_parked(&mut self, id: crate::socket::table::SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.places.parked = false;
        }
    }

    /// A packet cannot be sent because its neighbour does not answer: the socket that sent it, if any, is told.
    pub(super) fn packet_unreachable(&mut self, now: Instant, packet: Packet) {
        self.stats.ip.out_neighbor_failures += 1;
        if let Some(id) = packet.socket
            && let Some(socket) = self.sockets.get_mut(id)
        {
            match &mut socket.kind {
                Kind::Udp(udp) => {
                    if let Some(remote) = udp.socket.remote() {
                        udp.socket.handle_error(remote, crate::udp::Error::HostUnreachable);
                    }
                }
                Kind::Raw(raw) => {
                    raw.handle_error(packet.meta.destination, crate::raw::Error::HostUnreachable);
                }
                _ => {}
            }
            self.settle(now, id);
            self.announce(id);
        }
        self.pool.give(packet.bytes);
    }
}
