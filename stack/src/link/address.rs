//! Our addresses on one interface: what state each is in, how it gets there, and which one speaks.
//!
//! ```text
//!   add --> Tentative --probes unanswered--> Preferred --preferred time over--> Deprecated --valid over--> gone
//!              |                                ^ (at once, if addresses are not probed)
//!              '--somebody has it--> Duplicated: never used, until it is removed
//! ```
//!
//! IPv6 is probed once, after a random delay (RFC 4862 section 5.4); IPv4 three times (RFC 5227 section
//! 2.1), then announced twice (section 2.3) and defended (section 2.4).

use core::net::IpAddr;

use super::event::{Event, Events};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::ethernet::MacAddr;

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix on the link.
    pub prefix_len: u8,
    /// Where it comes from.
    pub origin: Origin,
    /// What may be done with it.
    pub state: AddressState,
    /// When it becomes deprecated; `None`: never.
    pub preferred_until: Option<Instant>,
    /// When it is removed; `None`: never.
    pub valid_until: Option<Instant>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration, or whoever called `add_address`.
    Static,
    /// Made from the Ethernet address.
    LinkLocal,
    /// Made from a prefix that a router advertised.
    Autoconf,
}

/// What may be done with an address (RFC 4862 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// Nothing yet: it is being probed.
    Tentative,
    /// Everything.
    Preferred,
    /// Old connections go on, new ones should use another.
    Deprecated,
    /// Nothing: somebody else has it.
    Duplicated,
}

/// Why an address was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is there already.
    #[error("the interface has the address {0} already")]
    Exists(IpAddr),
    /// An interface has at most [`MAX_ADDRESSES`].
    #[error("the interface has {MAX_ADDRESSES} addresses, and that is the limit")]
    Full,
    /// It does not name one host.
    #[error("{0} does not name one host")]
    NotUnicast(IpAddr),
    /// It is an IPv6 address, and the link carries less than 1,280 bytes (RFC 8200 section 5).
    #[error("IPv6 needs links of 1,280 bytes, and this one carries {0}")]
    Mtu(usize),
    /// The prefix is longer than the address.
    #[error("an address of this family has no prefix of {0} bits")]
    PrefixLength(u8),
}

/// Most addresses of one interface.
pub const MAX_ADDRESSES: usize = 32;

/// RFC 5227 section 1.1 and RFC 4862 section 5.1.
mod times {
    use crate::time::Duration;

    pub(super) const PROBE_WAIT: Duration = Duration::from_secs(1);
    pub(super) const PROBE_NUM: u8 = 3;
    pub(super) const PROBE_MIN: Duration = Duration::from_secs(1);
    pub(super) const PROBE_MAX: Duration = Duration::from_secs(2);
    pub(super) const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
    pub(super) const ANNOUNCE_NUM: u8 = 2;
    pub(super) const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
    pub(super) const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
    pub(super) const DUP_ADDR_DETECT_TRANSMITS: u8 = 1;
    pub(super) const RETRANS_TIMER: Duration = Duration::from_secs(1);
    pub(super) const MAX_RTR_SOLICITATION_DELAY: Duration = Duration::from_secs(1);
}

/// What is to be said about one of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// Is it free?
    Probe,
    /// It is ours.
    Announce,
    /// It is ours, and somebody else claims it.
    Defend,
}

/// The addresses of one interface.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    list: Vec<Address>,
    /// What is going on with each of `list`, at the same index.
    work: Vec<Work>,
}

#[derive(Clone, Copy, Debug)]
struct Work {
    step: Step,
    /// When `step` goes on.
    due: Option<Instant>,
    /// What has to be said at the next opportunity.
    say: Option<Saying>,
    /// When a conflict was last reported (and the address defended).
    conflict: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    /// So many probes are still to be sent.
    Probing(u8),
    /// So many announcements are still to be sent.
    Announcing(u8),
}

impl Addresses {
    pub(crate) fn list(&self) -> &[Address] {
        &self.list
    }

    pub(crate) fn get(&self, ip: IpAddr) -> Option<&Address> {
        self.list.iter().find(|address| address.ip == ip)
    }

    /// Whether packets to `ip` are ours: neither tentative nor duplicated.
    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        self.get(ip).is_some_and(Address::is_usable)
    }

    /// Whether we use `ip`, or are about to: one that was lost is another host's, a neighbour like any.
    pub(crate) fn claims(&self, ip: IpAddr) -> bool {
        self.get(ip).is_some_and(|address| address.state != AddressState::Duplicated)
    }

    /// Whether `ip` lies in the prefix of an address that we use.
    pub(crate) fn on_link(&self, ip: IpAddr) -> bool {
        let inside = |ours: &Address| common_prefix(ours.ip, ip) >= u32::from(ours.prefix_len);
        self.list.iter().any(|ours| ours.is_usable() && ours.ip.is_ipv4() == ip.is_ipv4() && inside(ours))
    }

    /// Whether `ip` is the broadcast address of one of our prefixes; a /31 and a /32 have none (RFC 3021).
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.list.iter().any(|ours| ours.is_usable() && ours.broadcast() == Some(ip))
    }

    /// The address to speak from to `dst`: RFC 6724 section 5, rules 1, 2, 3 and 8.
    pub(crate) fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        let usable = self.list.iter().filter(|ours| ours.is_usable() && ours.ip.is_ipv4() == dst.is_ipv4());
        let (wanted, best) = (scope(dst), usable.map(|ours| (ours, scope(ours.ip))));
        best.max_by_key(|(ours, own)| {
            // Rule 2: a scope that reaches the destination, and of those the smallest; if none does, the
            // largest.
            let (reaches, nearness) = if *own >= wanted { (true, u8::MAX - own) } else { (false, *own) };
            let preferred = ours.state == AddressState::Preferred;
            let common = common_prefix(ours.ip, dst).min(u32::from(ours.prefix_len));
            // The position makes the order total: of equals the earlier one speaks.
            (ours.ip == dst, reaches, nearness, preferred, common, core::cmp::Reverse(self.position(ours.ip)))
        })
        .map(|(ours, _)| ours.ip)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // Asked for with each turn of a driver: plain comparisons.
        let mut next = Instant::MAX;
        let mut hear = |due: Option<Instant>| next = next.min(due.unwrap_or(Instant::MAX));
        for (address, work) in self.list.iter().zip(&self.work) {
            hear(work.due);
            hear(address.valid_until);
            hear(address.preferred_until.filter(|_| address.state == AddressState::Preferred));
        }
        (next != Instant::MAX).then_some(next)
    }

    /// Probes that are due, the end of probing, announcements, and lifetimes.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut Rng, events: &mut Events) {
        for (address, work) in self.list.iter_mut().zip(&mut self.work) {
            // A step may be over at once, so this ends: each round consumes a deadline or moves it into the
            // future.
            while work.due.is_some_and(|due| due <= now) {
                step(address, work, now, rng, events);
            }
            if address.state == AddressState::Preferred
                && address.preferred_until.is_some_and(|until| until <= now)
            {
                address.state = AddressState::Deprecated;
                events.push(Event::AddressDeprecated { ip: address.ip });
            }
        }
    }

    /// Removes one address whose valid lifetime is over, and answers it.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Address> {
        let ip = self.list.iter().find(|address| address.valid_until.is_some_and(|until| until <= now))?.ip;
        self.remove(ip)
    }

    /// Somebody else claims `ip`, or probes it while we do. Answers whether that is news.
    pub(crate) fn handle_conflict(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: Option<MacAddr>,
        events: &mut Events,
    ) -> bool {
        let Some(index) = self.position(ip) else { return false };
        let (address, work) = (&mut self.list[index], &mut self.work[index]);
        match address.state {
            AddressState::Duplicated => return false,
            // RFC 4862 5.4.5, RFC 5227 2.1.1: it was not ours yet, and never will be.
            AddressState::Tentative => {
                address.state = AddressState::Duplicated;
                *work = Work { step: Step::Idle, due: None, say: None, conflict: Some(now) };
                events.push(Event::AddressConflict { ip, mac, lost: true });
            }
            // RFC 5227 2.4 (c): keep it, and defend it at most once per interval. Note: an address here is
            // configured, so there is nothing better to change to.
            AddressState::Preferred | AddressState::Deprecated => {
                if work.conflict.is_some_and(|last| now.since(last) < times::DEFEND_INTERVAL) {
                    return false;
                }
                work.conflict = Some(now);
                work.say = Some(Saying::Defend);
                events.push(Event::AddressConflict { ip, mac, lost: false });
            }
        }
        true
    }

    /// Adds an address: tentative if `probe`, ready otherwise.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub(crate) fn add(
        &mut self,
        now: Instant,
        address: Address,
        probe: bool,
        rng: &mut Rng,
        events: &mut Events,
    ) -> Result<(), AddressError> {
        let ip = address.ip;
        if !is_host(ip) {
            return Err(AddressError::NotUnicast(ip));
        }
        if address.prefix_len > width(ip) {
            return Err(AddressError::PrefixLength(address.prefix_len));
        }
        if self.get(ip).is_some() {
            return Err(AddressError::Exists(ip));
        }
        if self.list.len() >= MAX_ADDRESSES {
            return Err(AddressError::Full);
        }
        let (step, wait) = match (probe, ip.is_ipv4()) {
            (false, _) => (Step::Probing(0), Duration::ZERO),
            // RFC 5227 2.1.1, RFC 4862 5.4.2: not all hosts at once after a power failure.
            (true, true) => (Step::Probing(times::PROBE_NUM), up_to(times::PROBE_WAIT, rng)),
            (true, false) => (
                Step::Probing(times::DUP_ADDR_DETECT_TRANSMITS),
                up_to(times::MAX_RTR_SOLICITATION_DELAY, rng),
            ),
        };
        self.list.push(Address { state: AddressState::Tentative, ..address });
        self.work.push(Work { step, due: Some(now + wait), say: None, conflict: None });
        self.handle_timeout(now, rng, events);
        Ok(())
    }

    /// Removes an address and answers what it was.
    pub(crate) fn remove(&mut self, ip: IpAddr) -> Option<Address> {
        let index = self.position(ip)?;
        self.work.remove(index);
        Some(self.list.remove(index))
    }

    /// Gives an address of a router's prefix new lifetimes; one that was deprecated may be preferred again.
    pub(crate) fn set_lifetimes(
        &mut self,
        now: Instant,
        ip: IpAddr,
        preferred: Option<Instant>,
        valid: Option<Instant>,
    ) {
        let Some(address) = self.list.iter_mut().find(|address| address.ip == ip) else { return };
        address.preferred_until = preferred;
        address.valid_until = valid;
        if address.state == AddressState::Deprecated && preferred.is_none_or(|until| until > now) {
            address.state = AddressState::Preferred;
        }
    }

    /// The next thing to say, and about which address.
    pub(crate) fn poll_saying(&mut self) -> Option<(IpAddr, Saying)> {
        let mut both = self.list.iter().zip(&mut self.work);
        both.find_map(|(address, work)| Some((address.ip, work.say.take()?)))
    }

    fn position(&self, ip: IpAddr) -> Option<usize> {
        self.list.iter().position(|address| address.ip == ip)
    }
}

impl Address {
    /// An address without end.
    pub(crate) const fn new(ip: IpAddr, prefix_len: u8, origin: Origin) -> Self {
        let state = AddressState::Tentative;
        Self { ip, prefix_len, origin, state, preferred_until: None, valid_until: None }
    }

    /// Whether packets may come from and go to it.
    pub fn is_usable(&self) -> bool {
        matches!(self.state, AddressState::Preferred | AddressState::Deprecated)
    }

    /// Everyone in its prefix; `None` for IPv6 and for prefixes of 31 and 32 bits.
    pub fn broadcast(&self) -> Option<IpAddr> {
        match self.ip {
            IpAddr::V4(ip) if self.prefix_len < 31 => {
                Some(IpAddr::from((ip.to_bits() | (u32::MAX >> self.prefix_len)).to_be_bytes()))
            }
            _ => None,
        }
    }
}

/// One step of probing or announcing, whose time has come.
fn step(address: &mut Address, work: &mut Work, now: Instant, rng: &mut Rng, events: &mut Events) {
    let v4 = address.ip.is_ipv4();
    match work.step {
        Step::Idle => work.due = None,
        Step::Probing(0) => {
            address.state = AddressState::Preferred;
            events.push(Event::AddressReady { ip: address.ip, prefix_len: address.prefix_len });
            // RFC 5227 2.3 for IPv4; RFC 4861 7.2.6 lets IPv6 do the same, once.
            work.step = Step::Announcing(if v4 { times::ANNOUNCE_NUM } else { 1 });
            work.due = Some(now);
        }
        Step::Probing(left) => {
            work.say = Some(Saying::Probe);
            work.step = Step::Probing(left - 1);
            let wait = match (v4, left) {
                (true, 1) => times::ANNOUNCE_WAIT,
                (true, _) => times::PROBE_MIN + up_to(times::PROBE_MAX - times::PROBE_MIN, rng),
                (false, _) => times::RETRANS_TIMER,
            };
            work.due = Some(now + wait);
        }
        Step::Announcing(left) => {
            work.say = Some(Saying::Announce);
            (work.step, work.due) = match left {
                0 | 1 => (Step::Idle, None),
                _ => (Step::Announcing(left - 1), Some(now + times::ANNOUNCE_INTERVAL)),
            };
        }
    }
}

fn up_to(most: Duration, rng: &mut Rng) -> Duration {
    Duration::from_nanos(rng.below(most.as_nanos()))
}

/// How many leading bits two addresses share; 0 across families.
pub(crate) fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

const fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Whether `ip` can be the address of one host on a link.
fn is_host(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast)
}

/// The scope of an address in the numbers of RFC 4291 section 2.7: 2 link-local, 5 site-local, 14 global.
///
/// IPv4 as RFC 6724 section 3.2 maps it.
fn scope(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_link_local() || ip.is_loopback() => 2,
        IpAddr::V4(_) => 14,
        IpAddr::V6(ip) if ip.is_multicast() => ip.octets()[1] & 0x0f,
        IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_loopback() => 2,
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfec0 => 5,
        IpAddr::V6(_) => 14,
    }
}

#[cfg(test)]
mod tests;
