//! One interface: neighbours, addresses, routers and groups of one link, composed.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;

use super::address::{Address, AddressError, Addresses, Origin, Saying};
use super::arp;
use super::config::InterfaceConfig;
use super::emit::{self, Reply};
use super::ethernet;
pub use super::ethernet::{Cast, DropReason};
use super::event::{Event, Events};
use super::group::{GroupError, Groups};
use super::neighbor::{Ask, Cache, Neighbor, NeighborStats, Resolution};
use crate::buf::frame::{Capabilities, Medium, RxFrame};
use crate::rng::Rng;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire;
use crate::wire::ethernet::{EtherType, MacAddr};
use crate::wire::ipv6::solicited_node;

/// What became of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// An IP packet of either version, for the stack; padding of the link may follow it.
    Ip {
        /// From the first byte of the IP header.
        packet: &'a [u8],
        /// Bytes of the link header before it.
        header: usize,
        /// To whom the link delivered it.
        cast: Cast,
    },
    /// The interface has dealt with it.
    Consumed,
    /// It was dropped, and counted.
    Dropped(DropReason),
}

/// What an interface counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InterfaceStats {
    /// Dropped frames and messages, by [`DropReason`] as index.
    pub dropped: [u64; DropReason::COUNT],
    /// Events lost because nobody fetched them.
    pub events_lost: u64,
    /// Groups not joined because there are too many.
    pub groups_refused: u64,
    /// The neighbour cache.
    pub neighbors: NeighborStats,
}

impl InterfaceStats {
    /// How many were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// Most answers that wait for the link at a time.
const MAX_REPLIES: usize = 64;

/// The link side of one device: who is where, what is ours, and what has to be said about it.
///
/// Methods are sorted as getters, `handle_*`, commands, `poll_*`. After each input or command, drain
/// [`poll_control`](Self::poll_control) and [`poll_event`](Self::poll_event); call
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Interface {
    mac: MacAddr,
    medium: Medium,
    mtu: usize,
    probe: bool,
    rng: Rng,
    addresses: Addresses,
    neighbors: Cache,
    groups_v4: Groups,
    groups_v6: Groups,
    replies: VecDeque<Reply>,
    events: Events,
    dropped: [u64; DropReason::COUNT],
}

impl Interface {
    /// An interface over a device that can do `device`. `rng` is a stream of its own.
    ///
    /// # Errors
    /// An address of the configuration cannot be ours.
    pub fn new(
        now: Instant,
        config: &InterfaceConfig,
        device: &Capabilities,
        mut rng: Rng,
    ) -> Result<Self, AddressError> {
        let ethernet = device.medium == Medium::Ethernet;
        let report = config.report_groups && ethernet;
        let mut interface = Self {
            mac: config.mac,
            medium: device.medium,
            mtu: config.mtu.map_or(device.mtu, |mtu| mtu.min(device.mtu)),
            probe: config.dad && ethernet,
            addresses: Addresses::default(),
            neighbors: Cache::new(config.neighbors, &mut rng),
            groups_v4: Groups::new(report, config.max_groups),
            groups_v6: Groups::new(report, config.max_groups),
            replies: VecDeque::new(),
            events: Events::default(),
            dropped: [0; DropReason::COUNT],
            rng,
        };
        if config.link_local && ethernet {
            interface.add(now, IpAddr::V6(config.mac.link_local()), 64, Origin::LinkLocal)?;
        }
        for &(ip, prefix_len) in &config.addresses {
            interface.add(now, ip, prefix_len, Origin::Static)?;
        }
        Ok(interface)
    }

    /// Our Ethernet address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// What a frame begins with.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// Largest IP packet in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Bytes of the link header.
    pub fn link_header_len(&self) -> usize {
        match self.medium {
            Medium::Ethernet => wire::ethernet::HEADER_LEN,
            Medium::Ip => 0,
        }
    }

    /// Our addresses, whatever their state.
    pub fn addresses(&self) -> &[Address] {
        self.addresses.list()
    }

    /// Whether `ip` is an address of ours that is in use.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.addresses.owns(ip)
    }

    /// Whether packets to `dst` are for us: to an address of ours, to everyone on the link, or to a group of ours.
    pub fn accepts(&self, dst: IpAddr) -> Option<Cast> {
        if dst.is_multicast() {
            return self.groups(dst).contains(dst).then_some(Cast::Multicast);
        }
        if self.addresses.owns(dst) {
            return Some(Cast::Unicast);
        }
        self.is_broadcast(dst).then_some(Cast::Broadcast)
    }

    /// Whether `ip` means everyone on this link: 255.255.255.255, or the last address of a prefix of ours.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        ip == IpAddr::V4(Ipv4Addr::BROADCAST) || self.addresses.is_broadcast(ip)
    }

    /// Whether `ip` lies in the prefix of an address of ours.
    pub fn on_link(&self, ip: IpAddr) -> bool {
        self.addresses.on_link(ip)
    }

    /// The address to speak from to `dst` (RFC 6724 section 5, rules 1, 2, 3 and 8); `None` without one of its family.
    pub fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        self.addresses.source_for(dst)
    }

    /// Our link-local IPv6 address, once it is in use.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.list().iter().find_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() && address.is_usable() => Some(ip),
            _ => None,
        })
    }

    /// What the neighbour cache knows about `ip`.
    pub fn neighbor(&self, now: Instant, ip: IpAddr) -> Option<Neighbor> {
        self.neighbors.get(now, ip)
    }

    /// The neighbour cache, in the order of the addresses.
    pub fn neighbors(&self, now: Instant) -> impl Iterator<Item = Neighbor> + '_ {
        self.neighbors.iter(now)
    }

    /// The groups that are listened to.
    pub fn joined_groups(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.groups_v4.iter().chain(self.groups_v6.iter())
    }

    /// What was counted so far.
    pub fn stats(&self) -> InterfaceStats {
        InterfaceStats {
            dropped: self.dropped,
            events_lost: self.events.lost(),
            groups_refused: self.groups_v4.refused() + self.groups_v6.refused(),
            neighbors: *self.neighbors.stats(),
        }
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.addresses.poll_timeout(),
            self.neighbors.poll_timeout(),
            self.groups_v4.poll_timeout(),
            self.groups_v6.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Takes a frame in: drops it, deals with it, or lends the IP packet in it.
    pub fn handle_frame<'a>(&mut self, now: Instant, frame: &RxFrame<'a>) -> Received<'a> {
        match self.receive(now, frame.bytes) {
            Ok(received) => received,
            Err(reason) => {
                self.dropped[reason as usize] += 1;
                Received::Dropped(reason)
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
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

    /// The link address to which a packet for `next_hop` goes. Groups and broadcasts are never asked for.
    pub fn resolve(&mut self, now: Instant, next_hop: IpAddr) -> Resolution {
        if self.medium == Medium::Ip {
            return Resolution::Known(MacAddr::UNSPECIFIED);
        }
        if let Some(group) = MacAddr::for_multicast(next_hop) {
            return Resolution::Known(group);
        }
        if self.addresses.is_broadcast(next_hop) {
            return Resolution::Known(MacAddr::BROADCAST);
        }
        self.neighbors.resolve(now, next_hop)
    }

    /// Upper layers saw that what is sent to `next_hop` arrives.
    pub fn confirm(&mut self, now: Instant, next_hop: IpAddr) {
        self.neighbors.confirm(now, next_hop);
    }

    /// Protects the entry of a gateway from eviction, now and when it is made.
    pub fn pin_neighbor(&mut self, ip: IpAddr) {
        self.neighbors.pin(ip);
    }

    /// Ends the protection of [`pin_neighbor`](Self::pin_neighbor).
    pub fn unpin_neighbor(&mut self, ip: IpAddr) {
        self.neighbors.unpin(ip);
    }

    /// Adds an address; it is probed first if the configuration says so.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn add_address(&mut self, now: Instant, ip: IpAddr, prefix_len: u8) -> Result<(), AddressError> {
        self.add(now, ip, prefix_len, Origin::Static)
    }

    /// Removes an address; answers whether it was there.
    pub fn remove_address(&mut self, now: Instant, ip: IpAddr) -> bool {
        let removed = self.addresses.remove(ip);
        if let Some(address) = &removed {
            self.forget(now, address);
        }
        removed.is_some()
    }

    /// Listens to `group`, once more if it does already.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn join_group(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        let groups = if group.is_ipv4() { &mut self.groups_v4 } else { &mut self.groups_v6 };
        groups.join(now, group, false, &mut self.rng)
    }

    /// Listens to `group` once less.
    ///
    /// # Errors
    /// It is not listened to.
    pub fn leave_group(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        let groups = if group.is_ipv4() { &mut self.groups_v4 } else { &mut self.groups_v6 };
        groups.leave(now, group, &mut self.rng)
    }

    /// Appends the link header of a frame to `dst`; nothing on a medium without one.
    pub fn write_link_header(&self, dst: MacAddr, ether_type: EtherType, out: &mut impl Extend<u8>) {
        if self.medium == Medium::Ethernet {
            out.extend(wire::ethernet::Header { dst, src: self.mac, ether_type }.to_bytes());
        }
    }

    /// The next frame that the interface itself has to send, put into `out` from its start.
    pub fn poll_control(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Why> {
        out.clear();
        if self.medium == Medium::Ip {
            return None;
        }
        if let Some(reply) = self.replies.pop_front() {
            return Some(self.write_reply(&reply, out));
        }
        while let Some((ip, saying)) = self.addresses.poll_saying() {
            if let Some(why) = self.write_saying(ip, saying, out) {
                return Some(why);
            }
        }
        while let Some(ask) = self.neighbors.poll_ask() {
            if let Some(why) = self.write_ask(&ask, out) {
                return Some(why);
            }
        }
        None
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    fn receive<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Result<Received<'a>, DropReason> {
        if self.medium == Medium::Ip {
            return match bytes {
                [] => Err(DropReason::TooShort),
                _ => Ok(Received::Ip { packet: bytes, header: 0, cast: Cast::Unicast }),
            };
        }
        let (header, packet) = wire::ethernet::Header::parse(bytes).map_err(|_| DropReason::TooShort)?;
        let cast = ethernet::classify(&header, self.mac, &self.groups_v4, &self.groups_v6)?;
        match header.ether_type {
            EtherType::IPV4 | EtherType::IPV6 => {
                Ok(Received::Ip { packet, header: wire::ethernet::HEADER_LEN, cast })
            }
            EtherType::ARP => {
                let arp = wire::arp::Packet::parse(packet).map_err(|_| DropReason::BadArp)?;
                let reply =
                    arp::handle(now, &arp, cast, &mut self.addresses, &mut self.neighbors, &mut self.events)?;
                self.reply(reply)?;
                Ok(Received::Consumed)
            }
            _ => Err(DropReason::UnknownType),
        }
    }

    fn reply(&mut self, reply: Option<Reply>) -> Result<(), DropReason> {
        let Some(reply) = reply else { return Ok(()) };
        if self.replies.len() >= MAX_REPLIES {
            return Err(DropReason::Busy);
        }
        self.replies.push_back(reply);
        Ok(())
    }

    fn write_reply(&self, reply: &Reply, out: &mut Vec<u8>) -> Why {
        match reply {
            Reply::Arp { packet } => emit::arp_reply(self.mac, packet, out),
        }
        Why::new(Reason::NeighborAdvert)
    }

    fn write_saying(&self, ip: IpAddr, saying: Saying, out: &mut Vec<u8>) -> Option<Why> {
        let IpAddr::V4(ip) = ip else { return None };
        let (reason, sender) = match saying {
            Saying::Probe => (Reason::AddressProbe, Ipv4Addr::UNSPECIFIED),
            Saying::Announce => (Reason::Announce, ip),
            Saying::Defend => (Reason::AddressDefence, ip),
        };
        emit::arp_request(self.mac, MacAddr::BROADCAST, sender, ip, out);
        Some(Why::new(reason))
    }

    /// `None` if there is no address to ask from: the question counts as unanswered.
    fn write_ask(&self, ask: &Ask, out: &mut Vec<u8>) -> Option<Why> {
        match (ask.ip, self.addresses.source_for(ask.ip)?) {
            (IpAddr::V4(target), IpAddr::V4(source)) => {
                emit::arp_request(self.mac, ask.mac.unwrap_or(MacAddr::BROADCAST), source, target, out);
            }
            _ => return None,
        }
        let reason = if ask.mac.is_some() { Reason::NeighborProbe } else { Reason::NeighborSolicit };
        Some(Why::new(reason).with("attempt", u64::from(ask.attempt)))
    }

    fn add(&mut self, now: Instant, ip: IpAddr, prefix_len: u8, origin: Origin) -> Result<(), AddressError> {
        let address = Address::new(ip, prefix_len, origin);
        self.addresses.add(now, address, self.probe, &mut self.rng, &mut self.events)?;
        if let IpAddr::V6(ip) = ip {
            // RFC 4861 7.2.1: without its solicited-node group nobody finds the address. The limit of groups counts a
            // refusal; the address still works for those who know us.
            let _ = self.groups_v6.join(now, IpAddr::V6(solicited_node(ip)), self.probe, &mut self.rng);
        }
        Ok(())
    }

    /// What follows from the end of an address.
    fn forget(&mut self, now: Instant, address: &Address) {
        if let IpAddr::V6(ip) = address.ip {
            let _ = self.groups_v6.leave(now, IpAddr::V6(solicited_node(ip)), &mut self.rng);
        }
        self.events.push(Event::AddressRemoved { ip: address.ip });
    }

    fn groups(&self, of: IpAddr) -> &Groups {
        if of.is_ipv4() { &self.groups_v4 } else { &self.groups_v6 }
    }
}
