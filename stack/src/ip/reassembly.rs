//! Putting fragments together again (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Overlaps are refused in both families (RFC 5722, RFC 8200): the datagram is dropped whole, and what still comes of
//! it is dropped too. A fragment that repeats one byte by byte is tolerated. Everything is bounded: bytes and
//! datagrams of all, bytes and datagrams of one source, fragments of one datagram, and the time. When there is no
//! room, the oldest goes: an honest datagram is complete within milliseconds, so a flood has to be very fast to push
//! it out, and a flood from one source only pushes out its own.

mod datagram;

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use datagram::{DATAGRAM_COST, Datagram, PIECE_COST};

use crate::buf::frame::InterfaceId;
use crate::time::{Duration, Instant};
use crate::wire::ext::FragmentHeader;
use crate::wire::{ipv4, ipv6};

/// The largest IPv4 packet, and the largest payload of an IPv6 one.
const MAX_LEN: usize = 65_535;

/// How much may wait for its other fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Bytes of all datagrams, bookkeeping included.
    pub bytes: usize,
    /// Bytes of the datagrams of one source.
    pub source_bytes: usize,
    /// Datagrams at once.
    pub datagrams: usize,
    /// Datagrams of one source at once.
    pub source_datagrams: usize,
    /// Fragments of one datagram.
    pub fragments: usize,
    /// How long an IPv4 datagram may take.
    pub timeout_v4: Duration,
    /// How long an IPv6 datagram may take (RFC 8200 section 4.5: 60 seconds).
    pub timeout_v6: Duration,
}

impl Default for ReassemblyLimits {
    /// 4 MiB and 1,024 datagrams, a quarter of it for one source, 256 fragments each, 30 s and 60 s.
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            source_bytes: 1 << 20,
            datagrams: 1024,
            source_datagrams: 256,
            fragments: 256,
            timeout_v4: Duration::from_secs(30),
            timeout_v6: Duration::from_secs(60),
        }
    }
}

/// One received fragment: what its headers say, and where in the packet its data lies.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Where it came in. Fragments of different interfaces never meet.
    pub iface: InterfaceId,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification: 16 bits for IPv4, 32 for IPv6.
    pub id: u32,
    /// Protocol (IPv4), or the next header of the fragment header (IPv6).
    pub protocol: u8,
    /// Where its data belongs in the datagram, in bytes.
    pub offset: usize,
    /// Whether more follows behind it.
    pub more: bool,
    /// The ECN field, 0..=3.
    pub ecn: u8,
    /// The packet from the first byte of its IP header to the last of its data.
    pub packet: &'a [u8],
    /// Where in `packet` the data begins: behind the IPv4 header, or behind the fragment header.
    pub data_at: usize,
    /// IPv6: where in `packet` the byte lies that announces the fragment header.
    pub next_header_at: usize,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Kept; more is missing.
    Waiting,
    /// The datagram is complete, and in the caller's buffer as one packet without any trace of fragments.
    Complete,
    /// Not kept.
    Dropped(Reason),
}

/// Why a fragment, or with it the whole datagram, was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was there already, byte by byte.
    Duplicate,
    /// It overlaps another (RFC 5722): the whole datagram is dropped.
    Overlap,
    /// It contradicts what is known of the end: the whole datagram is dropped.
    End,
    /// Its length is not a multiple of eight though more follows, or it is empty, or reaches beyond 65,535 bytes.
    Length,
    /// The datagram consists of too many fragments: it is dropped whole.
    TooMany,
    /// Larger than all that one source may keep.
    TooLarge,
    /// Fragments marked CE and not ECN-capable belong to one datagram (RFC 3168 section 5.3): it is dropped whole.
    Ecn,
    /// The datagram was dropped before; its late fragments follow it.
    Late,
}

/// A datagram whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Where its fragments came in.
    pub iface: InterfaceId,
    /// Where they came from.
    pub source: IpAddr,
    /// Where they were sent to.
    pub destination: IpAddr,
    /// The fragment at offset 0 had come and is in the caller's buffer: "time exceeded", code 1, quotes it. Without
    /// it nothing is sent (RFC 792, RFC 1122 3.3.2, RFC 8200 4.5).
    pub first: bool,
}

/// What was counted for one family, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReassemblyStats {
    /// ReasmReqds: fragments that came.
    pub reasm_reqds: u64,
    /// ReasmOKs: datagrams put together.
    pub reasm_oks: u64,
    /// ReasmFails: datagrams given up, for whatever reason.
    pub reasm_fails: u64,
    /// ReasmTimeout: of these, because of the time.
    pub reasm_timeout: u64,
    /// Of these, because of an overlap.
    pub overlaps: u64,
    /// Of these, pushed out by newer ones.
    pub evicted: u64,
    /// Of these, for want of agreement about length, end, size, number of fragments or ECN.
    pub malformed: u64,
    /// Fragments that came twice.
    pub duplicates: u64,
    /// Fragments that came after their datagram was given up.
    pub late: u64,
}

/// The datagrams that wait for fragments.
///
/// Getters, then `handle_*`, then `poll_*`.
#[derive(Debug)]
pub struct Reassembly {
    limits: ReassemblyLimits,
    datagrams: BTreeMap<Key, Datagram>,
    /// The same, oldest first: IPv4 and IPv6, each of which is also the order of their deadlines.
    ages: [BTreeMap<u64, Key>; 2],
    sources: BTreeMap<IpAddr, Source>,
    bytes: usize,
    next_age: u64,
    stats: [ReassemblyStats; 2],
}

/// RFC 791 section 3.2 and RFC 8200 section 4.5 say which fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// 0 for IPv6: there it is not part of the key.
    protocol: u8,
    iface: InterfaceId,
}

/// What one source keeps here.
#[derive(Debug, Default)]
struct Source {
    bytes: usize,
    /// Its datagrams, oldest first.
    ages: BTreeSet<u64>,
}

impl Reassembly {
    /// Nothing waits yet.
    pub fn new(limits: ReassemblyLimits) -> Self {
        Self {
            limits,
            datagrams: BTreeMap::new(),
            ages: [BTreeMap::new(), BTreeMap::new()],
            sources: BTreeMap::new(),
            bytes: 0,
            next_age: 0,
            stats: [ReassemblyStats::default(); 2],
        }
    }

    /// What was counted for IPv4.
    pub const fn stats_v4(&self) -> &ReassemblyStats {
        &self.stats[0]
    }

    /// What was counted for IPv6.
    pub const fn stats_v6(&self) -> &ReassemblyStats {
        &self.stats[1]
    }

    /// How many datagrams are kept, those given up included.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Bytes kept, bookkeeping included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the next datagram's time is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.oldest_of_each().map(|key| self.datagrams[&key].deadline).min()
    }

    /// Takes a fragment in. On [`Outcome::Complete`] the whole packet replaces what was in `packet`.
    pub fn handle_fragment(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        packet: &mut Vec<u8>,
    ) -> Outcome {
        let family = family(fragment.source);
        self.stats[family].reasm_reqds += 1;
        let key = Key::of(fragment);
        let data = fragment.packet.get(fragment.data_at..).unwrap_or_default();
        if let Err(reason) = check_length(fragment, data) {
            return self.give_up(key, family, reason);
        }
        if self.datagrams.get(&key).is_some_and(|datagram| datagram.deadline <= now) {
            // Its time is over though nobody has asked yet: it must not grow further.
            self.expire(key);
        }
        let header = if fragment.offset == 0 { fragment.data_at } else { 0 };
        let cost = data.len() + PIECE_COST + header;
        let cost = match self.datagrams.get(&key) {
            Some(datagram) if datagram.dead => return self.give_up(key, family, Reason::Late),
            Some(_) => cost,
            None => DATAGRAM_COST + cost,
        };
        if let Err(reason) = self.make_room(key, family, cost) {
            return self.give_up(key, family, reason);
        }
        self.open(now, key, family);
        let limit = self.limits.fragments;
        let Some(datagram) = self.datagrams.get_mut(&key) else { return Outcome::Dropped(Reason::TooLarge) };
        let before = datagram.cost();
        if let Err(reason) = datagram.add(fragment, data, limit) {
            return self.give_up(key, family, reason);
        }
        let grown = datagram.cost() - before;
        let whole = datagram.is_complete().then(|| datagram.assemble(packet));
        self.bytes += grown;
        self.sources.entry(source_group(key.source)).or_default().bytes += grown;
        match whole {
            None => Outcome::Waiting,
            Some(Ok(())) => {
                self.remove(key);
                self.stats[family].reasm_oks += 1;
                Outcome::Complete
            }
            Some(Err(reason)) => self.give_up(key, family, reason),
        }
    }

    /// The next datagram whose time is over at `now`. If its first fragment had come, that replaces what was in
    /// `packet`. Call until `None`.
    pub fn poll_expired(&mut self, now: Instant, packet: &mut Vec<u8>) -> Option<Expired> {
        loop {
            let key = self.oldest_of_each().find(|key| self.datagrams[key].deadline <= now)?;
            let Some(datagram) = self.expire(key) else { continue };
            let first = datagram.first_fragment(packet);
            let Key { iface, source, destination, .. } = key;
            return Some(Expired { iface, source, destination, first });
        }
    }

    /// The oldest IPv4 and the oldest IPv6 datagram.
    fn oldest_of_each(&self) -> impl Iterator<Item = Key> {
        self.ages.iter().filter_map(|ages| ages.first_key_value().map(|(_, &key)| key))
    }

    /// Removes a datagram because of the time; `None` if it had been given up before.
    fn expire(&mut self, key: Key) -> Option<Datagram> {
        let datagram = self.remove(key).filter(|datagram| !datagram.dead)?;
        let stats = &mut self.stats[family(key.source)];
        stats.reasm_fails += 1;
        stats.reasm_timeout += 1;
        Some(datagram)
    }

    /// Counts why a fragment is dropped, and empties its datagram if that cannot become whole any more.
    fn give_up(&mut self, key: Key, family: usize, reason: Reason) -> Outcome {
        let stats = &mut self.stats[family];
        match reason {
            Reason::Duplicate => stats.duplicates += 1,
            Reason::Late => stats.late += 1,
            Reason::Overlap => stats.overlaps += 1,
            _ => stats.malformed += 1,
        }
        // A fragment of impossible length says nothing about the others: RFC 8200 4.5 discards it alone.
        if !matches!(reason, Reason::Duplicate | Reason::Late | Reason::Length) {
            stats.reasm_fails += 1;
            self.empty(key);
        }
        Outcome::Dropped(reason)
    }

    /// Pushes out the oldest until `cost` more bytes for `key` fit.
    fn make_room(&mut self, key: Key, family: usize, cost: usize) -> Result<(), Reason> {
        let known = self.datagrams.get(&key).map(|datagram| datagram.age);
        let of_its_own = known.map_or(0, |_| self.datagrams[&key].cost());
        if of_its_own + cost > self.limits.source_bytes.min(self.limits.bytes) {
            return Err(Reason::TooLarge);
        }
        let new = usize::from(known.is_none());
        let group = source_group(key.source);
        while let Some(source) = self.sources.get(&group) {
            let full = source.bytes + cost > self.limits.source_bytes
                || source.ages.len() + new > self.limits.source_datagrams;
            let Some(&age) = source.ages.iter().find(|&&age| Some(age) != known).filter(|_| full) else {
                break;
            };
            self.evict(age, family);
        }
        while self.bytes + cost > self.limits.bytes || self.datagrams.len() + new > self.limits.datagrams {
            let oldest = self.ages.iter().enumerate().filter_map(|(family, ages)| {
                ages.keys().find(|&&age| Some(age) != known).map(|&age| (age, family))
            });
            let Some((age, family)) = oldest.min() else { return Err(Reason::TooLarge) };
            self.evict(age, family);
        }
        Ok(())
    }

    fn evict(&mut self, age: u64, family: usize) {
        let Some(&key) = self.ages[family].get(&age) else { return };
        if self.remove(key).is_some_and(|datagram| !datagram.dead) {
            self.stats[family].evicted += 1;
            self.stats[family].reasm_fails += 1;
        }
    }

    /// Begins a datagram unless it is there.
    fn open(&mut self, now: Instant, key: Key, family: usize) {
        if self.datagrams.contains_key(&key) {
            return;
        }
        let age = self.next_age;
        self.next_age += 1;
        let timeout = if family == 0 { self.limits.timeout_v4 } else { self.limits.timeout_v6 };
        self.datagrams.insert(key, Datagram::new(age, now + timeout));
        self.ages[family].insert(age, key);
        let source = self.sources.entry(source_group(key.source)).or_default();
        source.ages.insert(age);
        source.bytes += DATAGRAM_COST;
        self.bytes += DATAGRAM_COST;
    }

    /// Frees the bytes of a datagram, and keeps its name until its time is over.
    fn empty(&mut self, key: Key) {
        let Some(datagram) = self.datagrams.get_mut(&key) else { return };
        let freed = datagram.give_up();
        self.bytes -= freed;
        if let Some(source) = self.sources.get_mut(&source_group(key.source)) {
            source.bytes -= freed;
        }
    }

    fn remove(&mut self, key: Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&key)?;
        self.ages[family(key.source)].remove(&datagram.age);
        self.bytes -= datagram.cost();
        let group = source_group(key.source);
        if let Some(source) = self.sources.get_mut(&group) {
            source.bytes -= datagram.cost();
            source.ages.remove(&datagram.age);
            if source.ages.is_empty() {
                self.sources.remove(&group);
            }
        }
        Some(datagram)
    }
}

impl Key {
    const fn of(fragment: &Fragment<'_>) -> Self {
        let Fragment { iface, source, destination, id, .. } = *fragment;
        // RFC 8200 4.5: the next header of the fragment header may differ among fragments; the first one's holds.
        let protocol = if source.is_ipv4() { fragment.protocol } else { 0 };
        Self { source, destination, id, protocol, iface }
    }
}

/// What the fragment alone shows to be impossible.
fn check_length(fragment: &Fragment<'_>, data: &[u8]) -> Result<(), Reason> {
    let (min_header, header_limit) = if fragment.source.is_ipv4() {
        (ipv4::MIN_HEADER_LEN, fragment.data_at)
    } else {
        (ipv6::HEADER_LEN + FragmentHeader::LEN, 0)
    };
    let ragged = fragment.more && !data.len().is_multiple_of(8);
    let beyond = fragment.offset + data.len() + header_limit > MAX_LEN;
    let headless = fragment.data_at < min_header || fragment.next_header_at >= fragment.data_at;
    if data.is_empty() || ragged || beyond || headless || !fragment.offset.is_multiple_of(8) {
        return Err(Reason::Length);
    }
    Ok(())
}

/// Who is charged for a datagram: an IPv4 address, or an IPv6 /64, which is the least that one host has.
fn source_group(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

const fn family(address: IpAddr) -> usize {
    if address.is_ipv4() { 0 } else { 1 }
}

#[cfg(test)]
mod tests;
