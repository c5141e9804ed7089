//! Better first hops that routers told us of (RFC 4861 section 8.3): the part of a destination cache that is not a
//! route.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use crate::buf::frame::InterfaceId;
use crate::time::{Duration, Instant};

/// Most destinations that are redirected at a time.
pub const MAX_REDIRECTS: usize = 256;

/// How long a redirect holds: a router that still means it says it again.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// What the cache counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RedirectStats {
    /// Redirects that were believed.
    pub taken: u64,
    /// Redirects that did not come from the first hop in use (RFC 4861 section 8.1).
    pub ignored: u64,
    /// Entries forgotten because they were old.
    pub aged: u64,
    /// Entries forgotten because the cache was full.
    pub evicted: u64,
    /// Entries forgotten because the better hop does not answer.
    pub failed: u64,
}

/// Destinations whose first hop is not the one that the routes name.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: BTreeMap<(InterfaceId, IpAddr), Entry>,
    /// The same entries, the oldest first.
    expiry: BTreeSet<(Instant, InterfaceId, IpAddr)>,
    generation: u64,
    stats: RedirectStats,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    via: IpAddr,
    expires: Instant,
}

impl Cache {
    /// Changes whenever a look-up may have another answer than before.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What was counted.
    pub const fn stats(&self) -> &RedirectStats {
        &self.stats
    }

    /// The first hop to `destination` on `iface`; `None`: the route's. It is `destination` itself if that is on the
    /// link.
    pub fn get(&self, iface: InterfaceId, destination: IpAddr) -> Option<IpAddr> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&(iface, destination)).map(|entry| entry.via)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to forget.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|&(expires, ..)| expires)
    }

    /// The first hop in use says that `via` is a better one.
    pub fn handle_redirect(&mut self, now: Instant, iface: InterfaceId, destination: IpAddr, via: IpAddr) {
        self.remove(iface, destination);
        if self.entries.len() >= MAX_REDIRECTS
            && let Some(&(_, iface, oldest)) = self.expiry.first()
        {
            self.remove(iface, oldest);
            self.stats.evicted += 1;
        }
        let expires = now + LIFETIME;
        self.entries.insert((iface, destination), Entry { via, expires });
        self.expiry.insert((expires, iface, destination));
        self.generation += 1;
        self.stats.taken += 1;
    }

    /// A redirect came from somebody who is not the first hop in use.
    pub fn handle_ignored(&mut self) {
        self.stats.ignored += 1;
    }

    /// The neighbour `via` does not answer: the routes decide again (RFC 4861 section 7.3.3).
    pub fn handle_failed(&mut self, iface: InterfaceId, via: IpAddr) {
        if self.entries.is_empty() {
            return;
        }
        let through = |(key, entry): (&(InterfaceId, IpAddr), &Entry)| {
            (key.0 == iface && entry.via == via).then_some(key.1)
        };
        let failed: Vec<IpAddr> = self.entries.iter().filter_map(through).collect();
        self.stats.failed += failed.len() as u64;
        for destination in failed {
            self.remove(iface, destination);
        }
    }

    /// Forgets what is older than the lifetime.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(expires, iface, destination)) = self.expiry.first()
            && expires <= now
        {
            self.remove(iface, destination);
            self.stats.aged += 1;
        }
    }

    fn remove(&mut self, iface: InterfaceId, destination: IpAddr) {
        if let Some(entry) = self.entries.remove(&(iface, destination)) {
            self.expiry.remove(&(entry.expires, iface, destination));
            self.generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const ETH: InterfaceId = InterfaceId(1);

    fn host(n: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n])
    }

    #[test]
    fn a_redirect_holds_for_its_lifetime_on_its_interface() {
        let mut cache = Cache::default();
        cache.handle_redirect(at(0.ms()), ETH, host(1), host(9));
        let before = cache.generation();
        assert_eq!(cache.get(ETH, host(1)), Some(host(9)));
        assert_eq!((cache.get(InterfaceId(2), host(1)), cache.get(ETH, host(2))), (None, None));
        assert_eq!(cache.poll_timeout(), Some(at(600.secs())));
        cache.handle_timeout(at(599.secs()));
        assert_eq!(cache.generation(), before);
        cache.handle_timeout(at(600.secs()));
        assert_eq!((cache.get(ETH, host(1)), cache.poll_timeout(), cache.stats().aged), (None, None, 1));
        assert!(cache.generation() > before);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = Cache::default();
        for n in 0..MAX_REDIRECTS as u16 + 1 {
            cache.handle_redirect(at(u64::from(n).ms()), ETH, host(n), host(999));
        }
        assert_eq!((cache.get(ETH, host(0)), cache.get(ETH, host(1))), (None, Some(host(999))));
        assert_eq!((cache.stats().evicted, cache.entries.len()), (1, MAX_REDIRECTS));
    }

    #[test]
    fn a_hop_that_does_not_answer_is_forgotten() {
        let mut cache = Cache::default();
        cache.handle_redirect(at(0.ms()), ETH, host(1), host(9));
        cache.handle_redirect(at(0.ms()), ETH, host(2), host(8));
        cache.handle_failed(ETH, host(9));
        assert_eq!((cache.get(ETH, host(1)), cache.get(ETH, host(2))), (None, Some(host(8))));
        assert_eq!(cache.stats().failed, 1);
    }
}
