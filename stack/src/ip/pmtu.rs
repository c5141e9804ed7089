//! How large a packet may be on its way: path MTU discovery (RFC 1191, RFC 8201).
//!
//! The cache keeps what ICMP said, by destination. Whether an ICMP message is to be believed is decided before it
//! gets here: the transport compares the quoted packet with what it has in flight (RFC 5927 section 7), then calls
//! [`Cache::handle_too_big`]. Values only ever fall; they are forgotten after a while so that a better path is found.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use crate::time::{Duration, Instant};

/// The least MTU that an IPv4 router must carry (RFC 791 section 3.2). Nothing may claim less.
pub const MIN_MTU_V4: u32 = 68;
/// The least path MTU we segment for: 512 bytes of TCP payload with both headers. On a worse path packets are sent
/// without DF and the network fragments them.
pub const MIN_PATH_MTU_V4: u32 = 552;
/// The least MTU of an IPv6 link (RFC 8200 section 5).
pub const MIN_MTU_V6: u32 = 1280;

/// How long a lowered value is kept (RFC 1191 section 6.3, RFC 8201 section 4: ten minutes).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// Common MTUs in falling order (RFC 1191 section 7.1), for routers that do not name theirs.
const PLATEAUS: [u32; 11] = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

/// What the cache knows of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// Largest packet in bytes, IP header included.
    pub mtu: u32,
    /// The path is narrower than [`MIN_PATH_MTU_V4`]: packets go without DF.
    pub may_fragment: bool,
}

/// What became of a "packet too big".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The path MTU fell to this.
    Lowered(PathMtu),
    /// No smaller than what is known (RFC 1191 section 6.3: an increase is never learned from ICMP).
    NotLower,
    /// Below the family's minimum (RFC 8201 section 4: discarded).
    BelowMinimum,
}

/// What the cache counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PmtuStats {
    /// Messages that lowered a path's MTU.
    pub lowered: u64,
    /// Messages that named no smaller value than the known one.
    pub ignored_increase: u64,
    /// Messages that named a value below the minimum of the family.
    pub ignored_minimum: u64,
    /// Messages whose claim waits, or waited, for the retransmission timer, since larger segments had arrived (RFC 5927
    /// section 7.2).
    pub doubted: u64,
    /// Messages about datagrams to where none was sent lately.
    pub ignored_unsent: u64,
    /// Entries forgotten because they were old.
    pub aged: u64,
    /// Entries forgotten because the cache was full.
    pub evicted: u64,
}

/// The path MTUs of all destinations that differ from their link's MTU.
#[derive(Clone, Debug)]
pub struct Cache {
    entries: BTreeMap<IpAddr, Entry>,
    /// The same entries, the oldest first.
    expiry: BTreeSet<(Instant, IpAddr)>,
    limit: usize,
    lifetime: Duration,
    generation: u64,
    stats: PmtuStats,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: PathMtu,
    expires: Instant,
}

impl Cache {
    /// An empty cache for at most `limit` destinations, which forgets each after `lifetime`.
    pub fn new(limit: usize, lifetime: Duration) -> Self {
        let (entries, expiry) = (BTreeMap::new(), BTreeSet::new());
        Self { entries, expiry, limit, lifetime, generation: 0, stats: PmtuStats::default() }
    }

    /// Changes whenever a look-up may have another answer than before.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What was counted.
    pub const fn stats(&self) -> &PmtuStats {
        &self.stats
    }

    /// What is known of the path to `destination`; `None`: the link's MTU holds.
    pub fn get(&self, destination: IpAddr) -> Option<PathMtu> {
        self.entries.get(&destination).map(|entry| entry.path)
    }

    /// The path MTU to `destination` over a link of `link_mtu` bytes.
    pub fn path_mtu(&self, destination: IpAddr, link_mtu: u32) -> PathMtu {
        let link = PathMtu { mtu: link_mtu, may_fragment: false };
        self.get(destination)
            .filter(|path| path.mtu < link_mtu || path.may_fragment)
            .map_or(link, |path| PathMtu { mtu: path.mtu.min(link_mtu), may_fragment: path.may_fragment })
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to forget.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|&(expires, _)| expires)
    }

    /// A believed ICMP message says that a packet of `packet_len` bytes to `destination` was too large for a link of
    /// `next_hop_mtu` bytes (0: the router did not say). `link_mtu` is what held before we knew anything.
    pub fn handle_too_big(
        &mut self,
        now: Instant,
        destination: IpAddr,
        next_hop_mtu: u32,
        packet_len: u32,
        link_mtu: u32,
    ) -> Update {
        let known = self.path_mtu(destination, link_mtu);
        let v4 = destination.is_ipv4();
        let named = claimed(v4, next_hop_mtu, packet_len);
        if named < if v4 { MIN_MTU_V4 } else { MIN_MTU_V6 } {
            self.stats.ignored_minimum += 1;
            return Update::BelowMinimum;
        }
        let may_fragment = v4 && named < MIN_PATH_MTU_V4;
        let mtu = if v4 { named.max(MIN_PATH_MTU_V4).min(known.mtu) } else { named };
        let path = PathMtu { mtu, may_fragment };
        // RFC 5927 section 7.2: a packet that fits cannot have been too big.
        if named >= packet_len || mtu >= known.mtu && (!may_fragment || known.may_fragment) {
            self.stats.ignored_increase += 1;
            return Update::NotLower;
        }
        self.insert(now, destination, path);
        self.stats.lowered += 1;
        Update::Lowered(path)
    }

    /// A claim that contradicts what arrived waits for the sender's timer.
    pub fn handle_doubted(&mut self) {
        self.stats.doubted += 1;
    }

    /// A claim is about a datagram that we did not send.
    pub fn handle_unsent(&mut self) {
        self.stats.ignored_unsent += 1;
    }

    /// Another shard of the host has learned it.
    pub fn handle_told(&mut self, now: Instant, destination: IpAddr, path: PathMtu) {
        if self.get(destination).is_none_or(|known| path.mtu < known.mtu || path.may_fragment) {
            self.insert(now, destination, path);
        }
    }

    /// Forgets what is older than the lifetime. True if anything was forgotten.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.generation;
        while let Some(&(expires, destination)) = self.expiry.first()
            && expires <= now
        {
            self.remove(destination);
            self.stats.aged += 1;
        }
        self.generation != before
    }

    /// Forgets what is known of the path to `destination`.
    pub fn remove(&mut self, destination: IpAddr) {
        if let Some(entry) = self.entries.remove(&destination) {
            self.expiry.remove(&(entry.expires, destination));
            self.generation += 1;
        }
    }

    fn insert(&mut self, now: Instant, destination: IpAddr, path: PathMtu) {
        self.remove(destination);
        if self.limit == 0 {
            return;
        }
        if self.entries.len() >= self.limit
            && let Some(&(_, oldest)) = self.expiry.first()
        {
            self.remove(oldest);
            self.stats.evicted += 1;
        }
        let expires = now + self.lifetime;
        self.entries.insert(destination, Entry { path, expires });
        self.expiry.insert((expires, destination));
        self.generation += 1;
    }
}

impl Default for Cache {
    /// Room for 4,096 destinations, ten minutes each.
    fn default() -> Self {
        Self::new(4096, DEFAULT_LIFETIME)
    }
}

/// What a "packet too big" about a packet of `packet_len` bytes claims that the path takes.
pub fn claimed(v4: bool, next_hop_mtu: u32, packet_len: u32) -> u32 {
    match next_hop_mtu {
        // RFC 1191 section 5: an old router leaves the field zero. Take the next plateau below the packet.
        0 if v4 => plateau_below(packet_len),
        named => named,
    }
}

fn plateau_below(len: u32) -> u32 {
    PLATEAUS.into_iter().find(|&plateau| plateau < len).unwrap_or(MIN_MTU_V4)
}

#[cfg(test)]
mod tests;
