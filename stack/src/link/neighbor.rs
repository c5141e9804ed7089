//! Who is where on the link: one machine for ARP and for neighbour discovery (RFC 4861 section 7.3).
//!
//! ```text
//!              asked            answered                 30 s without confirmation
//!   (nothing) -------> Incomplete -------> Reachable ---------------------------------> Stale
//!       ^                  |  ^                ^   ^                                      | used
//!       |        3 asks,   |  |                |   '---- confirmed from above ----.       v
//!       |        no answer |  | 3 probes,      | answered                          '--- Delay
//!       |                  v  | still in use   |                                          | 5 s
//!       '--- hold time -- Failed  '----------- Probe <------------------------------------'
//! ```
//!
//! Reachable and Stale have no timer: that a confirmation is old is seen when the entry is used. An idle
//! neighbour costs no wake-up.
//!
//! What may be evicted: failed entries first, then entries nobody ever used, then those unused for
//! [`NeighborConfig::keep`]. Never a pinned one (a gateway), one in use, or one being asked for. If nothing
//! may go, the new entry is refused. Entries without a link address have a smaller limit of their own, so
//! that neither a scan from inside nor packets from invented senders can fill the cache.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::NeighborConfig;
use super::event::{Event, Events};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::ethernet::MacAddr;

/// What the cache knows about a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Send there.
    Known(MacAddr),
    /// It is being asked for; an event will follow.
    Pending,
    /// It did not answer a short while ago, or there is no room to ask: host unreachable.
    Failed,
}

/// The states of RFC 4861 section 7.3.2, and failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// Asked for, no answer yet.
    Incomplete,
    /// Confirmed within the reachable time.
    Reachable,
    /// The confirmation is old, and nobody used it since.
    Stale,
    /// Used although stale: upper layers may confirm it yet.
    Delay,
    /// Being asked at the address that was right once.
    Probe,
    /// Did not answer.
    Failed,
}

/// One entry, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its address.
    pub ip: IpAddr,
    /// Its link address, while one is known.
    pub mac: Option<MacAddr>,
    /// Where it stands.
    pub state: NeighborState,
    /// A gateway: never evicted.
    pub pinned: bool,
}

/// What the cache counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NeighborStats {
    /// Questions handed out.
    pub asked: u64,
    /// Neighbours that answered when asked for.
    pub resolved: u64,
    /// Neighbours given up.
    pub failed: u64,
    /// Entries that made room for others.
    pub evicted: u64,
    /// Neighbours not asked for because too many are.
    pub refused_unresolved: u64,
    /// Entries not made because the cache is full of entries that must stay.
    pub refused_full: u64,
    /// Gateways not protected because too many are.
    pub refused_pins: u64,
}

/// A question to be put on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) ip: IpAddr,
    /// The address that was right once; `None`: ask everyone.
    pub(crate) mac: Option<MacAddr>,
    /// 1 for the first.
    pub(crate) attempt: u8,
}

/// What an advertisement says about itself (RFC 4861 section 4.4); an ARP reply is one with `override`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) solicited: bool,
    pub(crate) overrides: bool,
}

/// The neighbour cache.
#[derive(Debug)]
pub(crate) struct Cache {
    config: NeighborConfig,
    /// `config.reachable` after randomisation (RFC 4861 section 6.3.2).
    reachable: Duration,
    retransmit: Duration,
    entries: BTreeMap<IpAddr, Entry>,
    /// Deadlines of Incomplete, Delay and Probe.
    due: BTreeSet<(Instant, IpAddr)>,
    /// Entries whose question has not left yet; each at most once.
    asks: VecDeque<IpAddr>,
    /// Who is protected, and by how many.
    pins: BTreeMap<IpAddr, u32>,
    /// How many entries are Incomplete or Failed.
    unresolved: usize,
    stats: NeighborStats,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    /// When it was last asked for by whoever wants to send.
    used: Option<Instant>,
    /// When it was made, or its link address last changed or confirmed.
    touched: Instant,
    /// The deadline that `Cache::due` holds.
    due: Option<Instant>,
    /// Whether it is in `Cache::asks`.
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete { asked: u8 },
    Reachable { mac: MacAddr, confirmed: Instant },
    Stale { mac: MacAddr },
    Delay { mac: MacAddr },
    Probe { mac: MacAddr, asked: u8 },
    Failed { until: Instant },
}

impl State {
    const fn mac(self) -> Option<MacAddr> {
        match self {
            Self::Reachable { mac, .. }
            | Self::Stale { mac }
            | Self::Delay { mac }
            | Self::Probe { mac, .. } => Some(mac),
            Self::Incomplete { .. } | Self::Failed { .. } => None,
        }
    }
}

impl Cache {
    pub(crate) fn new(config: NeighborConfig, rng: &mut Rng) -> Self {
        Self {
            config,
            reachable: randomised(config.reachable, rng),
            retransmit: config.retransmit,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            asks: VecDeque::new(),
            pins: BTreeMap::new(),
            unresolved: 0,
            stats: NeighborStats::default(),
        }
    }

    pub(crate) fn stats(&self) -> &NeighborStats {
        &self.stats
    }

    pub(crate) fn get(&self, now: Instant, ip: IpAddr) -> Option<Neighbor> {
        self.entries.get(&ip).map(|entry| self.view(now, ip, entry))
    }

    /// All entries, in the order of their addresses.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = Neighbor> + '_ {
        self.entries.iter().map(move |(&ip, entry)| self.view(now, ip, entry))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }

    /// An advertisement or an ARP reply: RFC 4861 section 7.2.5. Never makes an entry. Answers whether it is believed;
    /// what else it says is to be ignored if not.
    pub(crate) fn handle_advert(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: Option<MacAddr>,
        claim: Claim,
        events: &mut Events,
    ) -> bool {
        let Some(entry) = self.entries.get(&ip) else { return false };
        let confirmed = |mac| State::Reachable { mac, confirmed: now };
        let state = match (entry.state, mac) {
            (State::Incomplete { .. }, None) | (State::Failed { .. }, None) => return false,
            (State::Incomplete { .. } | State::Failed { .. }, Some(mac)) if claim.solicited => confirmed(mac),
            (State::Incomplete { .. } | State::Failed { .. }, Some(mac)) => State::Stale { mac },
            (old, new) => {
                let Some(known) = old.mac() else { return false };
                let mac = new.unwrap_or(known);
                if mac != known && !claim.overrides {
                    // RFC 4861 7.2.5: another address without the override flag only shakes our trust.
                    if let State::Reachable { mac, .. } = old {
                        self.learned(now, ip, State::Stale { mac }, events);
                    }
                    return false;
                } else if claim.solicited {
                    confirmed(mac)
                } else if mac != known {
                    State::Stale { mac }
                } else {
                    return true;
                }
            }
        };
        self.learned(now, ip, state, events);
        true
    }

    /// The sender of a question, or of anything else that names its link address: RFC 4861 section 7.2.3,
    /// RFC 826.
    pub(crate) fn handle_sender(&mut self, now: Instant, ip: IpAddr, mac: MacAddr, events: &mut Events) {
        match self.entries.get(&ip) {
            Some(entry) if entry.state.mac() == Some(mac) => {}
            Some(_) => self.learned(now, ip, State::Stale { mac }, events),
            None => {
                if self.make_room(now, ip) {
                    self.insert(now, ip, State::Stale { mac });
                }
            }
        }
    }

    /// What is due: questions again, failures, the end of Delay.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        while let Some(&(due, ip)) = self.due.first() {
            if due > now {
                return;
            }
            self.fire(now, ip, events);
        }
    }

    /// The link address of a neighbour to which something is to be sent now.
    pub(crate) fn resolve(&mut self, now: Instant, ip: IpAddr) -> Resolution {
        let Some(entry) = self.entries.get_mut(&ip) else { return self.ask_new(now, ip) };
        entry.used = Some(now);
        match entry.state {
            State::Reachable { mac, confirmed } if now.since(confirmed) < self.reachable => {
                Resolution::Known(mac)
            }
            // RFC 4861 7.3.3: the first packet to a stale neighbour starts the delay, and goes.
            State::Reachable { mac, .. } | State::Stale { mac } => {
                let due = now + self.config.delay;
                self.set(ip, State::Delay { mac }, Some(due));
                Resolution::Known(mac)
            }
            State::Delay { mac } | State::Probe { mac, .. } => Resolution::Known(mac),
            State::Incomplete { .. } => Resolution::Pending,
            State::Failed { until } if now < until => Resolution::Failed,
            State::Failed { .. } => {
                self.ask(now, ip, State::Incomplete { asked: 1 });
                Resolution::Pending
            }
        }
    }

    /// Upper layers saw that what we send arrives (RFC 4861 section 7.3.1).
    pub(crate) fn confirm(&mut self, now: Instant, ip: IpAddr) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        match &mut entry.state {
            State::Reachable { confirmed, .. } => *confirmed = now,
            State::Stale { mac } | State::Delay { mac } | State::Probe { mac, .. } => {
                let state = State::Reachable { mac: *mac, confirmed: now };
                self.set(ip, state, None);
            }
            State::Incomplete { .. } | State::Failed { .. } => {}
        }
    }

    /// Protects the entry of `ip`, now and when it is made: a gateway.
    pub(crate) fn pin(&mut self, ip: IpAddr) {
        // Those who pin have limits of their own; this one only bounds the map.
        if self.pins.len() < self.config.limit || self.pins.contains_key(&ip) {
            *self.pins.entry(ip).or_default() += 1;
        } else {
            self.stats.refused_pins += 1;
        }
    }

    pub(crate) fn unpin(&mut self, ip: IpAddr) {
        if let Some(by) = self.pins.get_mut(&ip) {
            *by -= 1;
            if *by == 0 {
                self.pins.remove(&ip);
            }
        }
    }

    /// What a router advertised (RFC 4861 section 6.3.4).
    pub(crate) fn set_times(
        &mut self,
        reachable: Option<Duration>,
        retransmit: Option<Duration>,
        rng: &mut Rng,
    ) {
        if let Some(reachable) = reachable
            && reachable != self.config.reachable
        {
            self.config.reachable = reachable;
            self.reachable = randomised(reachable, rng);
        }
        if let Some(retransmit) = retransmit {
            self.retransmit = retransmit;
        }
    }

    /// The next question to put on the link.
    pub(crate) fn poll_ask(&mut self) -> Option<Ask> {
        while let Some(ip) = self.asks.pop_front() {
            let Some(entry) = self.entries.get_mut(&ip) else { continue };
            entry.queued = false;
            let (mac, attempt) = match entry.state {
                State::Incomplete { asked } => (None, asked),
                State::Probe { mac, asked } => (Some(mac), asked),
                // It was answered before it was asked.
                _ => continue,
            };
            self.stats.asked += 1;
            return Some(Ask { ip, mac, attempt });
        }
        None
    }

    fn view(&self, now: Instant, ip: IpAddr, entry: &Entry) -> Neighbor {
        let state = match entry.state {
            State::Incomplete { .. } => NeighborState::Incomplete,
            State::Reachable { confirmed, .. } if now.since(confirmed) < self.reachable => {
                NeighborState::Reachable
            }
            State::Reachable { .. } | State::Stale { .. } => NeighborState::Stale,
            State::Delay { .. } => NeighborState::Delay,
            State::Probe { .. } => NeighborState::Probe,
            State::Failed { .. } => NeighborState::Failed,
        };
        Neighbor { ip, mac: entry.state.mac(), state, pinned: self.pins.contains_key(&ip) }
    }

    fn ask_new(&mut self, now: Instant, ip: IpAddr) -> Resolution {
        if !self.make_room_unresolved(ip) || !self.make_room(now, ip) {
            return Resolution::Failed;
        }
        self.insert(now, ip, State::Incomplete { asked: 1 });
        if let Some(entry) = self.entries.get_mut(&ip) {
            entry.used = Some(now);
        }
        self.ask(now, ip, State::Incomplete { asked: 1 });
        Resolution::Pending
    }

    fn fire(&mut self, now: Instant, ip: IpAddr, events: &mut Events) {
        let Some(entry) = self.entries.get(&ip).copied() else { return };
        let probing = self.config.delay + self.retransmit * u64::from(self.config.unicast_asks);
        match entry.state {
            State::Incomplete { asked } if asked < self.config.multicast_asks => {
                self.ask(now, ip, State::Incomplete { asked: asked + 1 });
            }
            State::Incomplete { .. } => {
                // RFC 4861 7.2.2: no answer to the last question: tell those who wait.
                self.set(ip, State::Failed { until: now + self.config.hold_failed }, None);
                self.stats.failed += 1;
                events.push(Event::NeighborFailed { ip });
            }
            State::Delay { mac } => self.ask(now, ip, State::Probe { mac, asked: 1 }),
            State::Probe { mac, asked } if asked < self.config.unicast_asks => {
                self.ask(now, ip, State::Probe { mac, asked: asked + 1 });
            }
            // RFC 4861 7.3.3: the address is wrong. Who still sends asks anew, for the neighbour may have
            // moved.
            State::Probe { .. } if entry.used.is_some_and(|used| now.since(used) <= probing) => {
                self.ask(now, ip, State::Incomplete { asked: 1 });
            }
            State::Probe { .. } => self.remove(ip),
            State::Reachable { .. } | State::Stale { .. } | State::Failed { .. } => {
                self.set(ip, entry.state, None)
            }
        }
    }

    /// A link address was learned, in `state`.
    fn learned(&mut self, now: Instant, ip: IpAddr, state: State, events: &mut Events) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        entry.touched = now;
        let waited = matches!(entry.state, State::Incomplete { .. });
        self.set(ip, state, None);
        if let (true, Some(mac)) = (waited, state.mac()) {
            self.stats.resolved += 1;
            events.push(Event::NeighborResolved { ip, mac });
        }
    }

    /// Goes to `state`, in which a question is open, and queues it.
    fn ask(&mut self, now: Instant, ip: IpAddr, state: State) {
        self.set(ip, state, Some(now + self.retransmit));
        if let Some(entry) = self.entries.get_mut(&ip)
            && !entry.queued
        {
            entry.queued = true;
            self.asks.push_back(ip);
        }
    }

    /// The one place where an entry's state and deadline change.
    fn set(&mut self, ip: IpAddr, state: State, due: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        self.unresolved -= usize::from(entry.state.mac().is_none());
        self.unresolved += usize::from(state.mac().is_none());
        entry.state = state;
        if let Some(old) = entry.due {
            self.due.remove(&(old, ip));
        }
        entry.due = due;
        if let Some(due) = due {
            self.due.insert((due, ip));
        }
    }

    fn insert(&mut self, now: Instant, ip: IpAddr, state: State) {
        self.entries.insert(ip, Entry { state, used: None, touched: now, due: None, queued: false });
        self.unresolved += usize::from(state.mac().is_none());
    }

    fn remove(&mut self, ip: IpAddr) {
        let Some(entry) = self.entries.remove(&ip) else { return };
        self.unresolved -= usize::from(entry.state.mac().is_none());
        if let Some(due) = entry.due {
            self.due.remove(&(due, ip));
        }
        if entry.queued {
            self.asks.retain(|&queued| queued != ip);
        }
    }

    /// Whether one more may be asked for. A pinned one always may.
    fn make_room_unresolved(&mut self, ip: IpAddr) -> bool {
        if self.unresolved < self.config.unresolved_limit || self.pins.contains_key(&ip) {
            return true;
        }
        let failed = self.victim(|entry| match entry.state {
            State::Failed { until } => Some((0, until)),
            _ => None,
        });
        let Some(failed) = failed else {
            self.stats.refused_unresolved += 1;
            return false;
        };
        self.evict(failed);
        true
    }

    /// Whether the cache has room for one more entry. A pinned one always has: pins are few.
    fn make_room(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.entries.len() < self.config.limit {
            return true;
        }
        let keep = self.config.keep;
        let victim = self.victim(|entry| match (entry.state, entry.used) {
            (State::Failed { until }, _) => Some((0, until)),
            (State::Reachable { .. } | State::Stale { .. }, None) => Some((1, entry.touched)),
            (State::Reachable { .. } | State::Stale { .. }, Some(used)) if now.since(used) >= keep => {
                Some((2, used))
            }
            _ => None,
        });
        if let Some(victim) = victim {
            self.evict(victim);
            return true;
        }
        let pinned = self.pins.contains_key(&ip);
        self.stats.refused_full += u64::from(!pinned);
        pinned
    }

    /// The entry with the least rank among those that have one; never a pinned one.
    fn victim(&self, rank: impl Fn(&Entry) -> Option<(u8, Instant)>) -> Option<IpAddr> {
        let ranked = self.entries.iter().filter(|(ip, _)| !self.pins.contains_key(ip));
        ranked.filter_map(|(&ip, entry)| Some((rank(entry)?, ip))).min().map(|(_, ip)| ip)
    }

    fn evict(&mut self, ip: IpAddr) {
        self.remove(ip);
        self.stats.evicted += 1;
    }
}

/// RFC 4861 section 6.3.2: between half and one and a half times the base.
fn randomised(base: Duration, rng: &mut Rng) -> Duration {
    base / 2 + Duration::from_nanos(rng.below(base.as_nanos().max(1)))
}

#[cfg(test)]
mod tests;
