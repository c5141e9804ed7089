//! One interface: neighbours, addresses, routers and groups of one link, composed.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;

use super::address::{Address, AddressError, Addresses, Origin, Saying};
use super::config::InterfaceConfig;
use super::emit::{self, Reply};
use super::ethernet::{self, Cast, DropReason};
use super::event::{Event, Events};
use super::group::{GroupError, Groups, Records};
use super::ndp::{Discovery, Envelope};
use super::neighbor::{Ask, Cache, Neighbor, NeighborStats, Resolution};
use super::tables::Tables;
use super::{arp, membership};
use crate::buf::frame::{Capabilities, Medium, RxFrame};
use crate::rng::Rng;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::ethernet::{EtherType, MacAddr};
use crate::wire::ipv6::{ALL_NODES, ALL_ROUTERS, solicited_node};
use crate::wire::{self, icmpv6, igmp, ndp};

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
    /// Routers, prefixes and addresses of router advertisements not taken because there are too many.
    pub routers_refused: u64,
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
    medium: Medium,
    mtu: usize,
    hop_limit: u8,
    tables: Tables,
    discovery: Discovery,
    replies: VecDeque<Reply>,
    records: Records,
    dropped: [u64; DropReason::COUNT],
    /// There may be something to say; false is certain. Set by whatever may lead to it.
    talkative: bool,
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
        let mtu = config.mtu.map_or(device.mtu, |mtu| mtu.min(device.mtu));
        let carries_v6 = mtu >= wire::ipv6::MIN_MTU;
        let listens = config.accept_router_advertisements && ethernet && carries_v6;
        let discovery = Discovery::new(now, listens, mtu, &mut rng);
        let tables = Tables {
            mac: config.mac,
            probe: config.dad && ethernet,
            addresses: Addresses::default(),
            neighbors: Cache::new(config.neighbors, &mut rng),
            groups_v4: Groups::new(report, config.max_groups),
            groups_v6: Groups::new(report, config.max_groups),
            events: Events::default(),
            rng,
        };
        let mut interface = Self {
            medium: device.medium,
            mtu,
            hop_limit: config.hop_limit,
            tables,
            discovery,
            replies: VecDeque::new(),
            records: Records::new(),
            dropped: [0; DropReason::COUNT],
            talkative: true,
        };
        if config.link_local && ethernet && carries_v6 {
            let ip = IpAddr::V6(config.mac.link_local());
            interface.tables.add(now, Address::new(ip, 64, Origin::LinkLocal))?;
        }
        for &(ip, prefix_len) in &config.addresses {
            interface.add_address(now, ip, prefix_len)?;
        }
        Ok(interface)
    }

    /// Our Ethernet address.
    pub fn mac(&self) -> MacAddr {
        self.tables.mac
    }

    /// What a frame begins with.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// Largest IPv4 packet in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Largest IPv6 packet in bytes: what a router said, or [`mtu`](Self::mtu).
    pub fn mtu_v6(&self) -> usize {
        self.discovery.mtu().unwrap_or(self.mtu)
    }

    /// Hop limit of IPv6 packets that we send: what a router said, or the configuration's.
    pub fn hop_limit(&self) -> u8 {
        self.discovery.hop_limit().unwrap_or(self.hop_limit)
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
        self.tables.addresses.list()
    }

    /// Whether `ip` is an address of ours that is in use.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.tables.addresses.owns(ip)
    }

    /// Whether packets to `dst` are for us: to an address of ours, to everyone on the link, or to a group
    /// of ours.
    pub fn accepts(&self, dst: IpAddr) -> Option<Cast> {
        if dst.is_multicast() {
            return self.tables.groups(dst).contains(dst).then_some(Cast::Multicast);
        }
        if self.tables.addresses.owns(dst) {
            return Some(Cast::Unicast);
        }
        self.is_broadcast(dst).then_some(Cast::Broadcast)
    }

    /// Whether `ip` means everyone on this link: 255.255.255.255, or the last address of a prefix of ours.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        ip == IpAddr::V4(Ipv4Addr::BROADCAST) || self.tables.addresses.is_broadcast(ip)
    }

    /// Whether `ip` lies in the prefix of an address of ours.
    pub fn on_link(&self, ip: IpAddr) -> bool {
        self.tables.addresses.on_link(ip)
    }

    /// The address to speak from to `dst` (RFC 6724 section 5, rules 1, 2, 3 and 8); `None` without one of
    /// its family.
    pub fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        self.tables.addresses.source_for(dst)
    }

    /// Our link-local IPv6 address, once it is in use.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.tables.link_local()
    }

    /// Default routers that advertised themselves.
    pub fn routers(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.discovery.routers()
    }

    /// What the neighbour cache knows about `ip`.
    pub fn neighbor(&self, now: Instant, ip: IpAddr) -> Option<Neighbor> {
        self.tables.neighbors.get(now, ip)
    }

    /// The neighbour cache, in the order of the addresses.
    pub fn neighbors(&self, now: Instant) -> impl Iterator<Item = Neighbor> + '_ {
        self.tables.neighbors.iter(now)
    }

    /// The groups that are listened to.
    pub fn joined_groups(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.tables.groups_v4.iter().chain(self.tables.groups_v6.iter())
    }

    /// What was counted so far.
    pub fn stats(&self) -> InterfaceStats {
        InterfaceStats {
            dropped: self.dropped,
            events_lost: self.tables.events.lost(),
            groups_refused: self.tables.groups_v4.refused() + self.tables.groups_v6.refused(),
            routers_refused: self.discovery.refused(),
            neighbors: *self.tables.neighbors.stats(),
        }
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.tables.addresses.poll_timeout(),
            self.tables.neighbors.poll_timeout(),
            self.tables.groups_v4.poll_timeout(),
            self.tables.groups_v6.poll_timeout(),
            self.discovery.poll_timeout(),
        ];
        let next = deadlines.map(|due| due.unwrap_or(Instant::MAX)).into_iter().fold(Instant::MAX, Ord::min);
        (next != Instant::MAX).then_some(next)
    }

    /// Takes a frame in: drops it, deals with it, or lends the IP packet in it.
    #[inline]
    pub fn handle_frame<'a>(&mut self, now: Instant, frame: &RxFrame<'a>) -> Received<'a> {
        match self.receive(now, frame.bytes) {
            Ok(received) => received,
            Err(reason) => {
                self.dropped[reason as usize] += 1;
                Received::Dropped(reason)
            }
        }
    }

    /// An NDP or MLD message that the stack has read; other messages are ignored.
    ///
    /// # Errors
    /// It was dropped, and counted.
    pub fn handle_icmpv6(
        &mut self,
        now: Instant,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        hop_limit: u8,
        message: &icmpv6::Message<'_>,
    ) -> Result<(), DropReason> {
        self.talkative = true;
        let from = Envelope { src, dst, hop_limit };
        let result = match message {
            // A medium without link addresses has no neighbours to discover.
            _ if self.medium == Medium::Ip => Ok(()),
            icmpv6::Message::Ndp(message) => {
                let reply = self.discovery.handle(now, from, message, &mut self.tables);
                reply.and_then(|reply| self.reply(reply))
            }
            icmpv6::Message::Mld(message) => membership::handle_mld(now, from, message, &mut self.tables),
            _ => Ok(()),
        };
        result.inspect_err(|&reason| self.dropped[reason as usize] += 1)
    }

    /// An IGMP message that the stack has read.
    ///
    /// # Errors
    /// It was dropped, and counted.
    pub fn handle_igmp(
        &mut self,
        now: Instant,
        ttl: u8,
        message: &igmp::Message<'_>,
    ) -> Result<(), DropReason> {
        self.talkative = true;
        let result = membership::handle_igmp(now, ttl, message, &mut self.tables);
        result.inspect_err(|&reason| self.dropped[reason as usize] += 1)
    }

    /// The stack could not read a message that is for us, or may not believe it.
    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.talkative = true;
        self.discovery.handle_timeout(now, &mut self.tables);
        self.tables.handle_timeout(now);
    }

    /// The link address to which a packet for `next_hop` goes. Groups and broadcasts are never asked for.
    pub fn resolve(&mut self, now: Instant, next_hop: IpAddr) -> Resolution {
        if self.medium == Medium::Ip {
            return Resolution::Known(MacAddr::UNSPECIFIED);
        }
        if let Some(group) = MacAddr::for_multicast(next_hop) {
            return Resolution::Known(group);
        }
        if self.tables.addresses.is_broadcast(next_hop) {
            return Resolution::Known(MacAddr::BROADCAST);
        }
        let resolution = self.tables.neighbors.resolve(now, next_hop);
        self.talkative |= resolution == Resolution::Pending;
        resolution
    }

    /// Upper layers saw that what is sent to `next_hop` arrives.
    pub fn confirm(&mut self, now: Instant, next_hop: IpAddr) {
        self.tables.neighbors.confirm(now, next_hop);
    }

    /// Protects the entry of a gateway from eviction, now and when it is made.
    pub fn pin_neighbor(&mut self, ip: IpAddr) {
        self.tables.neighbors.pin(ip);
    }

    /// Ends the protection of [`pin_neighbor`](Self::pin_neighbor).
    pub fn unpin_neighbor(&mut self, ip: IpAddr) {
        self.tables.neighbors.unpin(ip);
    }

    /// Adds an address; it is probed first if the configuration says so.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn add_address(&mut self, now: Instant, ip: IpAddr, prefix_len: u8) -> Result<(), AddressError> {
        if ip.is_ipv6() && self.mtu < wire::ipv6::MIN_MTU {
            return Err(AddressError::Mtu(self.mtu));
        }
        self.talkative = true;
        self.tables.add(now, Address::new(ip, prefix_len, Origin::Static))
    }

    /// Removes an address; answers whether it was there.
    pub fn remove_address(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.talkative = true;
        self.tables.remove(now, ip)
    }

    /// Listens to `group`, once more if it does already.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn join_group(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        self.talkative = true;
        let (groups, rng) = self.tables.groups_mut(group);
        groups.join(now, group, false, rng)
    }

    /// Listens to `group` once less.
    ///
    /// # Errors
    /// It is not listened to.
    pub fn leave_group(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        self.talkative = true;
        let (groups, rng) = self.tables.groups_mut(group);
        groups.leave(now, group, rng)
    }

    /// Appends the link header of a frame to `dst`; nothing on a medium without one.
    pub fn write_link_header(&self, dst: MacAddr, ether_type: EtherType, out: &mut impl Extend<u8>) {
        if self.medium == Medium::Ethernet {
            out.extend(wire::ethernet::Header { dst, src: self.tables.mac, ether_type }.to_bytes());
        }
    }

    /// The next frame that the interface itself has to send, put into `out` from its start.
    #[inline]
    pub fn poll_control(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Why> {
        if !self.talkative {
            return None;
        }
        out.clear();
        let why = self.say(out);
        self.talkative = why.is_some();
        why
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.tables.events.pop()
    }

    fn say(&mut self, out: &mut Vec<u8>) -> Option<Why> {
        if self.medium == Medium::Ip {
            return None;
        }
        if let Some(reply) = self.replies.pop_front() {
            return Some(self.write_reply(&reply, out));
        }
        if let Some((ip, saying)) = self.tables.addresses.poll_saying() {
            return Some(self.write_saying(ip, saying, out));
        }
        while let Some(ask) = self.tables.neighbors.poll_ask() {
            if let Some(why) = self.write_ask(&ask, out) {
                return Some(why);
            }
        }
        if let Some(attempt) = self.discovery.poll_solicit() {
            return Some(self.write_router_solicitation(attempt, out));
        }
        membership::poll(&mut self.tables, &mut self.records, out)
    }

    fn receive<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Result<Received<'a>, DropReason> {
        if self.medium == Medium::Ip {
            return match bytes {
                [] => Err(DropReason::TooShort),
                _ => Ok(Received::Ip { packet: bytes, header: 0, cast: Cast::Unicast }),
            };
        }
        let (header, packet) = wire::ethernet::Header::parse(bytes).map_err(|_| DropReason::TooShort)?;
        let cast =
            ethernet::classify(&header, self.tables.mac, &self.tables.groups_v4, &self.tables.groups_v6)?;
        match header.ether_type {
            EtherType::IPV4 | EtherType::IPV6 => {
                Ok(Received::Ip { packet, header: wire::ethernet::HEADER_LEN, cast })
            }
            EtherType::ARP => {
                self.talkative = true;
                let arp = wire::arp::Packet::parse(packet).map_err(|_| DropReason::BadArp)?;
                let reply = arp::handle(now, &arp, cast, &mut self.tables)?;
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
        match *reply {
            Reply::Arp { ref packet } => emit::arp_reply(self.tables.mac, packet, out),
            Reply::Advert { mac, dst, target, solicited } => {
                self.write_advert(Some(mac), dst, target, solicited, out);
            }
        }
        Why::new(Reason::NeighborAdvert)
    }

    fn write_saying(&self, ip: IpAddr, saying: Saying, out: &mut Vec<u8>) -> Why {
        let reason = match saying {
            Saying::Probe => Reason::AddressProbe,
            Saying::Announce => Reason::Announce,
            Saying::Defend => Reason::AddressDefence,
        };
        let mac = self.tables.mac;
        match (ip, saying) {
            (IpAddr::V4(ip), Saying::Probe) => {
                emit::arp_request(mac, MacAddr::BROADCAST, Ipv4Addr::UNSPECIFIED, ip, out);
            }
            (IpAddr::V4(ip), _) => emit::arp_request(mac, MacAddr::BROADCAST, ip, ip, out),
            (IpAddr::V6(target), Saying::Probe) => {
                // RFC 4862 5.4.2: from nobody, and so without a link address.
                let message = ndp::Message::NeighborSolicitation { target, source_link: None };
                emit::ndp(mac, None, Ipv6Addr::UNSPECIFIED, solicited_node(target), message, out);
            }
            (IpAddr::V6(target), _) => self.write_advert(None, ALL_NODES, target, false, out),
        }
        Why::new(reason)
    }

    fn write_advert(
        &self,
        mac: Option<MacAddr>,
        dst: Ipv6Addr,
        target: Ipv6Addr,
        solicited: bool,
        out: &mut Vec<u8>,
    ) {
        let message = ndp::Message::NeighborAdvertisement {
            target,
            target_link: Some(self.tables.mac),
            router: false,
            solicited,
            override_cached: true,
        };
        emit::ndp(self.tables.mac, mac, target, dst, message, out);
    }

    /// `None` if there is no address to ask from: the question counts as unanswered.
    fn write_ask(&self, ask: &Ask, out: &mut Vec<u8>) -> Option<Why> {
        let ours = self.tables.mac;
        match (ask.ip, self.tables.addresses.source_for(ask.ip)?) {
            (IpAddr::V4(target), IpAddr::V4(source)) => {
                emit::arp_request(ours, ask.mac.unwrap_or(MacAddr::BROADCAST), source, target, out);
            }
            (IpAddr::V6(target), IpAddr::V6(source)) => {
                let message = ndp::Message::NeighborSolicitation { target, source_link: Some(ours) };
                // RFC 4861 7.2.2 and 7.3.3: to the group of those that may have it, or to the one that had
                // it.
                let dst = if ask.mac.is_some() { target } else { solicited_node(target) };
                emit::ndp(ours, ask.mac, source, dst, message, out);
            }
            _ => return None,
        }
        let reason = if ask.mac.is_some() { Reason::NeighborProbe } else { Reason::NeighborSolicit };
        Some(Why::new(reason).with("attempt", u64::from(ask.attempt)))
    }

    fn write_router_solicitation(&self, attempt: u8, out: &mut Vec<u8>) -> Why {
        // RFC 4861 4.1: from nobody if there is no address yet, and then without a link address.
        let source = self.tables.link_local();
        let message = ndp::Message::RouterSolicitation { source_link: source.map(|_| self.tables.mac) };
        let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
        emit::ndp(self.tables.mac, None, source, ALL_ROUTERS, message, out);
        Why::new(Reason::RouterSolicit).with("attempt", u64::from(attempt))
    }
}

#[cfg(test)]
mod tests;
