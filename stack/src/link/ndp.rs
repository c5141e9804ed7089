//! Neighbour discovery (RFC 4861) and the addresses that routers give us (RFC 4862 section 5.5).

use core::net::{IpAddr, Ipv6Addr};

use super::address::{Address, AddressState, Origin};
use super::emit::Reply;
use super::ethernet::DropReason;
use super::event::Event;
use super::neighbor::{Claim, Resolution};
use super::tables::Tables;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::ethernet::MacAddr;
use crate::wire::ipv6::{ALL_NODES, MIN_MTU, solicited_node};
use crate::wire::ndp::{HOP_LIMIT, Message, PrefixInfo, RouterAdvertisement};

/// Most default routers that are kept.
const MAX_ROUTERS: usize = 8;
/// Most prefixes that are kept as being on the link.
const MAX_PREFIXES: usize = 16;
/// Most addresses that are made from routers' prefixes.
const MAX_AUTOCONF: usize = 8;

/// RFC 4861 section 10.
mod times {
    use crate::time::Duration;

    pub(super) const MAX_RTR_SOLICITATION_DELAY: Duration = Duration::from_secs(1);
    pub(super) const RTR_SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
    pub(super) const MAX_RTR_SOLICITATIONS: u8 = 3;
}

/// RFC 4862 section 5.5.3 (e): a router that cannot prove itself shortens no lifetime below this.
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

/// What routers told us.
#[derive(Debug)]
pub(crate) struct Discovery {
    accept: bool,
    /// Largest packet that the device takes.
    link_mtu: usize,
    mtu: Option<usize>,
    hop_limit: Option<u8>,
    routers: Vec<Router>,
    prefixes: Vec<OnLink>,
    solicitations_left: u8,
    solicit_due: Option<Instant>,
    say_solicit: bool,
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Router {
    ip: Ipv6Addr,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct OnLink {
    prefix: Ipv6Addr,
    len: u8,
    /// `None`: for ever.
    until: Option<Instant>,
}

/// How a received message came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) src: Ipv6Addr,
    pub(crate) dst: Ipv6Addr,
    pub(crate) hop_limit: u8,
}

impl Discovery {
    /// With `accept`, routers are asked for and believed.
    pub(crate) fn new(now: Instant, accept: bool, link_mtu: usize, rng: &mut Rng) -> Self {
        // RFC 4861 6.3.7: not all hosts at once.
        let delay = Duration::from_nanos(rng.below(times::MAX_RTR_SOLICITATION_DELAY.as_nanos()));
        Self {
            accept,
            link_mtu,
            mtu: None,
            hop_limit: None,
            routers: Vec::new(),
            prefixes: Vec::new(),
            solicitations_left: times::MAX_RTR_SOLICITATIONS,
            solicit_due: accept.then(|| now + delay),
            say_solicit: false,
            refused: 0,
        }
    }

    /// The link's MTU for IPv6, if a router named one.
    pub(crate) fn mtu(&self) -> Option<usize> {
        self.mtu
    }

    pub(crate) fn hop_limit(&self) -> Option<u8> {
        self.hop_limit
    }

    /// Routers, prefixes and addresses that were not taken because there are too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn routers(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.routers.iter().map(|router| router.ip)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let routers = self.routers.iter().map(|router| router.until);
        let prefixes = self.prefixes.iter().filter_map(|prefix| prefix.until);
        routers.chain(prefixes).chain(self.solicit_due).min()
    }

    /// Takes a message in; answers what has to be replied.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        from: Envelope,
        message: &Message<'_>,
        tables: &mut Tables,
    ) -> Result<Option<Reply>, DropReason> {
        // RFC 4861 6.1, 7.1, 8.1: a router between us would have lowered it.
        if from.hop_limit != HOP_LIMIT {
            return Err(DropReason::BadNdp);
        }
        match *message {
            // RFC 4861 6.2.6 is for routers; a host discards it.
            Message::RouterSolicitation { .. } => Ok(None),
            Message::RouterAdvertisement(ref router) => {
                self.handle_router(now, from, router, tables)?;
                Ok(None)
            }
            Message::NeighborSolicitation { target, source_link } => {
                handle_solicitation(now, from, target, source_link, tables)
            }
            Message::NeighborAdvertisement { target, target_link, router, solicited, override_cached } => {
                let claim = Claim { solicited, overrides: override_cached };
                let believed = handle_advertisement(now, from, target, target_link, claim, tables)?;
                if believed && !router {
                    // RFC 4861 7.2.5: a router that stopped being one is no default router. Whoever only claims another
                    // link address, without the override flag, says nothing about that.
                    self.remove_router(target, tables);
                }
                Ok(None)
            }
            Message::Redirect { target, destination, target_link, .. } => {
                // RFC 4861 8.1.
                if !from.src.is_unicast_link_local()
                    || !(target.is_unicast_link_local() || target == destination)
                    || tables.addresses.owns(IpAddr::V6(target))
                {
                    return Err(DropReason::BadNdp);
                }
                if let Some(mac) = usable(target_link)? {
                    tables.neighbors.handle_sender(now, IpAddr::V6(target), mac, &mut tables.events);
                }
                tables.events.push(Event::Redirect { from: from.src, destination, via: target });
                Ok(None)
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, tables: &mut Tables) {
        if self.solicit_due.is_some_and(|due| due <= now) {
            self.say_solicit = true;
            self.solicitations_left -= 1;
            self.solicit_due = (self.solicitations_left > 0).then(|| now + times::RTR_SOLICITATION_INTERVAL);
        }
        while let Some(expired) = self.routers.iter().find(|router| router.until <= now) {
            let ip = expired.ip;
            self.remove_router(ip, tables);
        }
        self.prefixes.retain(|on_link| {
            let over = on_link.until.is_some_and(|until| until <= now);
            if over {
                tables.events.push(Event::PrefixRemoved { prefix: on_link.prefix, len: on_link.len });
            }
            !over
        });
    }

    /// Whether a router solicitation is to be sent now, and which it is; 1 for the first.
    pub(crate) fn poll_solicit(&mut self) -> Option<u8> {
        let attempt = times::MAX_RTR_SOLICITATIONS - self.solicitations_left;
        core::mem::take(&mut self.say_solicit).then_some(attempt)
    }

    /// RFC 4861 section 6.3.4.
    fn handle_router(
        &mut self,
        now: Instant,
        from: Envelope,
        router: &RouterAdvertisement<'_>,
        tables: &mut Tables,
    ) -> Result<(), DropReason> {
        let mac = usable(router.source_link)?;
        if !from.src.is_unicast_link_local() {
            return Err(DropReason::BadNdp);
        }
        if !self.accept {
            return Ok(());
        }
        // RFC 4861 6.3.7: one that is a default router is enough, there is no need to ask again.
        if router.lifetime > 0 {
            (self.solicit_due, self.say_solicit) = (None, false);
        }
        self.set_router(now, from.src, router.lifetime, tables);
        if let Some(mac) = mac {
            tables.neighbors.handle_sender(now, IpAddr::V6(from.src), mac, &mut tables.events);
        }
        self.set_parameters(router, tables);
        for info in &router.prefixes {
            // RFC 4861 6.3.4, RFC 4862 5.5.3 (b): the link-local prefix is nobody's to give.
            if info.prefix.is_unicast_link_local() || info.prefix.is_multicast() {
                continue;
            }
            if info.on_link {
                self.set_prefix(now, &info, tables);
            }
            if info.autonomous {
                self.set_address(now, &info, tables);
            }
        }
        Ok(())
    }

    fn set_router(&mut self, now: Instant, ip: Ipv6Addr, lifetime: u16, tables: &mut Tables) {
        if lifetime == 0 {
            return self.remove_router(ip, tables);
        }
        let until = now + Duration::from_secs(u64::from(lifetime));
        if let Some(known) = self.routers.iter_mut().find(|router| router.ip == ip) {
            known.until = until;
        } else if self.routers.len() < MAX_ROUTERS {
            self.routers.push(Router { ip, until });
            tables.events.push(Event::RouterAdded { router: ip });
        } else {
            self.refused += 1;
        }
    }

    fn remove_router(&mut self, ip: Ipv6Addr, tables: &mut Tables) {
        let Some(index) = self.routers.iter().position(|router| router.ip == ip) else { return };
        self.routers.remove(index);
        tables.events.push(Event::RouterRemoved { router: ip });
    }

    /// Note: times are taken within bounds, so that an advertisement makes us neither ask without pause nor
    /// wait for ever.
    fn set_parameters(&mut self, router: &RouterAdvertisement<'_>, tables: &mut Tables) {
        if router.hop_limit != 0 {
            self.hop_limit = Some(router.hop_limit);
        }
        let ms = |value: u32, least: u64, most: u64| {
            (value != 0).then(|| Duration::from_millis(u64::from(value).clamp(least, most)))
        };
        let reachable = ms(router.reachable_time, 1_000, 3_600_000);
        let retransmit = ms(router.retrans_timer, 100, 60_000);
        tables.neighbors.set_times(reachable, retransmit, &mut tables.rng);
        if let Some(mtu) = router.mtu.and_then(|mtu| usize::try_from(mtu).ok())
            && (MIN_MTU..=self.link_mtu).contains(&mtu)
            && self.mtu != Some(mtu)
        {
            self.mtu = Some(mtu);
            tables.events.push(Event::MtuChanged { mtu });
        }
    }

    /// RFC 4861 section 6.3.4: what is on the link.
    fn set_prefix(&mut self, now: Instant, info: &PrefixInfo, tables: &mut Tables) {
        let (prefix, len) = (masked(info.prefix, info.prefix_len), info.prefix_len);
        let index = self.prefixes.iter().position(|known| known.prefix == prefix && known.len == len);
        let until = deadline(now, info.valid_lifetime);
        match (index, info.valid_lifetime) {
            (Some(index), 0) => {
                self.prefixes.remove(index);
                tables.events.push(Event::PrefixRemoved { prefix, len });
            }
            (Some(index), _) => self.prefixes[index].until = until,
            (None, 0) => {}
            (None, _) if self.prefixes.len() >= MAX_PREFIXES => self.refused += 1,
            (None, _) => {
                self.prefixes.push(OnLink { prefix, len, until });
                tables.events.push(Event::PrefixAdded { prefix, len });
            }
        }
    }

    /// RFC 4862 section 5.5.3: an address of ours in a router's prefix.
    fn set_address(&mut self, now: Instant, info: &PrefixInfo, tables: &mut Tables) {
        // (c), and (d) for our interface identifiers of 64 bits.
        if info.preferred_lifetime > info.valid_lifetime || info.prefix_len != 64 {
            return;
        }
        let mut octets = info.prefix.octets();
        octets[8..].copy_from_slice(&tables.mac.interface_id());
        let ip = IpAddr::from(octets);
        let preferred_until = deadline(now, info.preferred_lifetime);
        let valid_until = deadline(now, info.valid_lifetime);
        if let Some(known) = tables.addresses.get(ip).copied() {
            if known.origin == Origin::Autoconf {
                let valid_until = two_hour_rule(now, known.valid_until, valid_until);
                tables.addresses.set_lifetimes(now, ip, preferred_until, valid_until);
                // A lifetime that is over already takes effect now, not at the next deadline.
                tables.addresses.handle_timeout(now, &mut tables.rng, &mut tables.events);
            }
            return;
        }
        let made =
            tables.addresses.list().iter().filter(|address| address.origin == Origin::Autoconf).count();
        if info.valid_lifetime == 0 {
            return;
        }
        // RFC 5942 section 4: the address says nothing about what is on the link, so its own prefix is a
        // host's.
        let address = Address { preferred_until, valid_until, ..Address::new(ip, 128, Origin::Autoconf) };
        if made >= MAX_AUTOCONF || tables.add(now, address).is_err() {
            self.refused += 1;
        }
    }
}

/// RFC 4861 sections 7.1.1 and 7.2.3.
fn handle_solicitation(
    now: Instant,
    from: Envelope,
    target: Ipv6Addr,
    source_link: Option<MacAddr>,
    tables: &mut Tables,
) -> Result<Option<Reply>, DropReason> {
    let source_link = usable(source_link)?;
    let probes = from.src.is_unspecified();
    if probes && (source_link.is_some() || from.dst != solicited_node(target)) || from.src.is_multicast() {
        return Err(DropReason::BadNdp);
    }
    let ip = IpAddr::V6(target);
    if tables.addresses.get(ip).is_some_and(|address| address.state == AddressState::Tentative) {
        if probes {
            // RFC 4862 5.4.3: another host probes what we are probing.
            tables.addresses.handle_conflict(now, ip, None, &mut tables.events);
        }
        return Ok(None);
    }
    if !tables.addresses.owns(ip) {
        return Ok(None);
    }
    if probes {
        // RFC 4861 7.2.4: who has no address yet is told with everyone else.
        let mac = MacAddr::for_multicast_v6(ALL_NODES).unwrap_or(MacAddr::BROADCAST);
        return Ok(Some(Reply::Advert { mac, dst: ALL_NODES, target, solicited: false }));
    }
    let asker = IpAddr::V6(from.src);
    if let Some(mac) = source_link {
        tables.neighbors.handle_sender(now, asker, mac, &mut tables.events);
    }
    let known = tables.neighbors.get(now, asker).and_then(|neighbor| neighbor.mac);
    let Some(mac) = source_link.or(known) else {
        // RFC 4861 7.2.4: it has to be found first. Note: what it asked is answered when it asks again.
        let _: Resolution = tables.neighbors.resolve(now, asker);
        return Ok(None);
    };
    Ok(Some(Reply::Advert { mac, dst: from.src, target, solicited: true }))
}

/// RFC 4861 sections 7.1.2 and 7.2.5. Answers whether it changed or confirmed what we know of a neighbour.
fn handle_advertisement(
    now: Instant,
    from: Envelope,
    target: Ipv6Addr,
    target_link: Option<MacAddr>,
    claim: Claim,
    tables: &mut Tables,
) -> Result<bool, DropReason> {
    let mac = usable(target_link)?;
    if from.dst.is_multicast() && claim.solicited {
        return Err(DropReason::BadNdp);
    }
    let ip = IpAddr::V6(target);
    if tables.addresses.claims(ip) {
        // RFC 4862 5.4.4.
        tables.addresses.handle_conflict(now, ip, mac, &mut tables.events);
        return Ok(false);
    }
    Ok(tables.neighbors.handle_advert(now, ip, mac, claim, &mut tables.events))
}

/// A link address that names one station, or none; a group's is refused.
fn usable(mac: Option<MacAddr>) -> Result<Option<MacAddr>, DropReason> {
    match mac {
        Some(mac) if !mac.is_unicast() => Err(DropReason::BadNdp),
        mac => Ok(mac),
    }
}

/// RFC 4862 section 5.5.3 (e): `None` is for ever.
fn two_hour_rule(now: Instant, known: Option<Instant>, received: Option<Instant>) -> Option<Instant> {
    let soon = now + TWO_HOURS;
    match (known, received) {
        (_, None) => None,
        (Some(known), Some(received)) if received > soon || received > known => Some(received),
        (Some(known), Some(_)) if known <= soon => Some(known),
        (None, Some(received)) if received > soon => Some(received),
        (_, Some(_)) => Some(soon),
    }
}

/// `u32::MAX` seconds are for ever.
fn deadline(now: Instant, seconds: u32) -> Option<Instant> {
    (seconds != u32::MAX).then(|| now + Duration::from_secs(u64::from(seconds)))
}

fn masked(prefix: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
    Ipv6Addr::from_bits(prefix.to_bits() & mask)
}

#[cfg(test)]
mod tests;
