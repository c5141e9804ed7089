//! Fast Open cookies (RFC 7413): those that we give to clients, and those that servers gave to us.

use core::hash::Hasher;
use std::collections::VecDeque;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::rng::{KeyedHash, KeyedMap, Rng};
use crate::tcp::{FastOpenClient, FastOpenOutcome, FastOpenReport, Shown, Ticket};
use crate::time::{Duration, Instant};
use crate::wire::tcp::{FastOpenCookie, FastOpenForm};

/// Makes and checks cookies under a key, and checks those of the key before.
#[derive(Clone, Debug)]
pub(crate) struct Cookies {
    key: [u8; 16],
    old: Option<[u8; 16]>,
}

impl Cookies {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
        key[8..].copy_from_slice(&rng.next_u64().to_le_bytes());
        Self { key, old: None }
    }

    /// From now on `key` counts. What was made under the one before is good until the next change (RFC 7413 section
    /// 5.1).
    pub(crate) fn set_key(&mut self, key: [u8; 16]) {
        self.old = Some(core::mem::replace(&mut self.key, key));
    }

    /// What a client's cookie is worth, in whichever form it is shown. Ours has the same form.
    pub(crate) fn judge(&self, local: IpAddr, client: IpAddr, shown: FastOpenCookie) -> Ticket {
        let make = |key: &[u8; 16]| make(key, local, client).in_form(shown.form());
        let ours = make(&self.key);
        let is_old = || self.old.is_some_and(|key| make(&key) == shown);
        let shown = match shown {
            shown if shown.is_request() => Shown::Nothing,
            shown if shown == ours => Shown::Current,
            _ if is_old() => Shown::Old,
            _ => Shown::Wrong,
        };
        Ticket { ours, shown }
    }
}

/// RFC 7413 section 4.1.2: a keyed hash of both addresses. SipHash-2-4 of the client's and ours, as Linux has it:
/// servers of both kinds can share a key behind one address.
fn make(key: &[u8; 16], local: IpAddr, client: IpAddr) -> FastOpenCookie {
    let mut hasher = SipHasher24::new_with_key(key);
    for address in [client, local] {
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
    }
    FastOpenCookie::new(&hasher.finish().to_le_bytes()).unwrap_or(FastOpenCookie::REQUEST)
}

/// Our address and the server's.
type Pair = (IpAddr, IpAddr);

/// What we know of servers (RFC 7413 section 4.1.3): up to a limit, beyond which the pair that was learned first is
/// forgotten.
#[derive(Debug)]
pub(crate) struct ServerCache {
    entries: KeyedMap<Pair, Server>,
    order: VecDeque<Pair>,
    limit: usize,
    overflows: u64,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    cookie: FastOpenCookie,
    mss: u16,
    /// The last form in which it was asked in vain, as long as it has given no cookie.
    unanswered: Option<FastOpenForm>,
    /// Until then, plain SYNs (RFC 7413 section 4.1.3.1).
    plain_until: Instant,
    /// Attempts in a row that failed.
    failures: u8,
}

impl Server {
    /// The cookie that a SYN shows, or the question for one. Who does not answer that in the standard form is asked once
    /// in the experimental one, as Linux does: there were servers before the option had a number.
    fn shown(&self) -> FastOpenCookie {
        match self.unanswered {
            Some(FastOpenForm::Standard) if self.cookie.is_request() => {
                FastOpenCookie::REQUEST.in_form(FastOpenForm::Experimental)
            }
            _ => self.cookie,
        }
    }
}

/// How long plain SYNs follow the first attempt that failed; each further one doubles it.
const PLAIN_TIME: Duration = Duration::from_secs(60);
/// A day and a half at most.
const MAX_DOUBLINGS: u8 = 11;
/// What a server takes that did not say more (RFC 9293 section 3.7.1).
const DEFAULT_MSS_V4: u16 = 536;
const DEFAULT_MSS_V6: u16 = 1220;

impl ServerCache {
    pub(crate) fn new(limit: usize, hash: &KeyedHash) -> Self {
        Self { entries: KeyedMap::with_hasher(hash.clone()), order: VecDeque::new(), limit, overflows: 0 }
    }

    /// How many were forgotten for want of room.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// The cookie of a server, if it is good now.
    pub(crate) fn cookie(&self, now: Instant, local: IpAddr, server: IpAddr) -> Option<FastOpenCookie> {
        let entry = self.entries.get(&(local, server))?;
        (now >= entry.plain_until && !entry.cookie.is_request()).then_some(entry.cookie)
    }

    /// How to begin a connection; `None` with a plain SYN.
    pub(crate) fn begin(&self, now: Instant, local: IpAddr, server: IpAddr) -> Option<FastOpenClient> {
        let mss = if server.is_ipv4() { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 };
        let stranger = FastOpenClient { cookie: FastOpenCookie::REQUEST, mss, defer: false };
        match self.entries.get(&(local, server)) {
            None => Some(stranger),
            Some(entry) if now < entry.plain_until => None,
            Some(entry) => Some(FastOpenClient { cookie: entry.shown(), mss: entry.mss, defer: false }),
        }
    }

    /// What an attempt has shown.
    pub(crate) fn learn(&mut self, now: Instant, local: IpAddr, server: IpAddr, report: &FastOpenReport) {
        let pair = (local, server);
        let failed = match report.outcome {
            FastOpenOutcome::Lost => true,
            // RFC 7413 section 4.1.3.1. A new cookie instead says that the old one is out of date, not that it is in
            // vain.
            FastOpenOutcome::Ignored => report.cookie.is_none(),
            FastOpenOutcome::NoData | FastOpenOutcome::Unanswered(_) | FastOpenOutcome::Accepted => false,
        };
        let unanswered = match report.outcome {
            FastOpenOutcome::Unanswered(form) => Some(form),
            _ => None,
        };
        let known = self.entries.get(&pair);
        if known.is_none() && report.cookie.is_none() && unanswered.is_none() && !failed {
            return;
        }
        let stranger = Server {
            cookie: FastOpenCookie::REQUEST,
            mss: report.mss,
            unanswered: None,
            plain_until: Instant::ZERO,
            failures: 0,
        };
        let mut entry = *known.unwrap_or(&stranger);
        entry.cookie = report.cookie.unwrap_or(entry.cookie);
        entry.mss = report.mss;
        // Both were tried, whatever is heard of other connections that began before.
        if entry.unanswered != Some(FastOpenForm::Experimental) {
            entry.unanswered = unanswered.or(entry.unanswered);
        }
        if failed {
            entry.plain_until = now + PLAIN_TIME * (1 << entry.failures.min(MAX_DOUBLINGS));
            entry.failures = entry.failures.saturating_add(1);
        } else {
            entry.failures = 0;
        }
        self.insert(pair, entry);
    }

    fn insert(&mut self, pair: Pair, entry: Server) {
        if self.limit == 0 {
            return;
        }
        if self.entries.insert(pair, entry).is_some() {
            return;
        }
        self.order.push_back(pair);
        if self.order.len() > self.limit
            && let Some(first) = self.order.pop_front()
        {
            self.entries.remove(&first);
            self.overflows += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 1));
    const THEM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn cookie(bytes: &[u8]) -> FastOpenCookie {
        FastOpenCookie::new(bytes).expect("has a length that there is")
    }

    #[test]
    fn a_cookie_is_good_until_the_key_has_changed_twice() {
        let mut cookies = Cookies::new(&mut Rng::new(1, 0));
        let judge = |cookies: &Cookies, shown| cookies.judge(US, THEM, shown).shown;
        let given = cookies.judge(US, THEM, FastOpenCookie::REQUEST);
        assert_eq!((given.shown, given.ours.as_bytes().len()), (Shown::Nothing, 8));
        assert_eq!(judge(&cookies, given.ours), Shown::Current);
        assert_eq!(cookies.judge(THEM, US, given.ours).shown, Shown::Wrong, "it is another client's");
        cookies.set_key([1; 16]);
        assert_eq!(judge(&cookies, given.ours), Shown::Old);
        let experimental = given.ours.in_form(FastOpenForm::Experimental);
        let renewed = cookies.judge(US, THEM, experimental);
        assert_eq!((renewed.shown, renewed.ours.form()), (Shown::Old, FastOpenForm::Experimental));
        assert_eq!(judge(&cookies, renewed.ours.in_form(FastOpenForm::Standard)), Shown::Current);
        cookies.set_key([2; 16]);
        assert_eq!(judge(&cookies, given.ours), Shown::Wrong);
        assert_eq!(Cookies::new(&mut Rng::new(1, 0)).key, Cookies::new(&mut Rng::new(1, 0)).key);
    }

    fn cache(limit: usize) -> ServerCache {
        ServerCache::new(limit, &KeyedHash::new(&mut Rng::new(1, 0)))
    }

    fn report(cookie: Option<FastOpenCookie>, outcome: FastOpenOutcome) -> FastOpenReport {
        FastOpenReport { cookie, mss: 1400, outcome }
    }

    #[test]
    fn a_stranger_is_asked_and_a_cookie_is_kept() {
        let mut cache = cache(8);
        let begin = |cache: &ServerCache| cache.begin(at(0.ms()), US, THEM).expect("nothing has failed");
        assert!(begin(&cache).cookie.is_request());
        cache.learn(at(0.ms()), US, THEM, &report(None, FastOpenOutcome::NoData));
        assert!(begin(&cache).cookie.is_request(), "nothing was learned");
        let given = cookie(&[1, 2, 3, 4]);
        cache.learn(at(0.ms()), US, THEM, &report(Some(given), FastOpenOutcome::NoData));
        assert_eq!((begin(&cache).cookie, begin(&cache).mss), (given, 1400));
        assert_eq!(cache.cookie(at(0.ms()), US, THEM), Some(given));
        assert_eq!(cache.cookie(at(0.ms()), THEM, US), None);
    }

    #[test]
    fn who_does_not_answer_is_asked_once_in_the_other_form() {
        use FastOpenForm::{Experimental, Standard};
        let mut cache = cache(8);
        let mut hear = |cookie, outcome| {
            cache.learn(at(0.ms()), US, THEM, &report(cookie, outcome));
            let next = cache.begin(at(0.ms()), US, THEM).expect("nothing has failed").cookie;
            (next.is_request(), next.form())
        };
        assert_eq!(hear(None, FastOpenOutcome::Unanswered(Standard)), (true, Experimental));
        assert_eq!(
            hear(None, FastOpenOutcome::Unanswered(Standard)),
            (true, Experimental),
            "asked before that"
        );
        assert_eq!(hear(None, FastOpenOutcome::Unanswered(Experimental)), (true, Standard));
        assert_eq!(hear(None, FastOpenOutcome::Unanswered(Standard)), (true, Standard), "both were tried");
        let given = cookie(&[1, 2, 3, 4]).in_form(Experimental);
        assert_eq!(hear(Some(given), FastOpenOutcome::NoData), (false, Experimental));
        assert_eq!(hear(Some(cookie(&[5; 8])), FastOpenOutcome::Accepted), (false, Standard));
    }

    #[test]
    fn what_failed_is_tried_again_after_a_while_and_then_after_a_longer_one() {
        let mut cache = cache(8);
        let given = cookie(&[1, 2, 3, 4]);
        cache.learn(at(0.ms()), US, THEM, &report(Some(given), FastOpenOutcome::NoData));
        cache.learn(at(1.secs()), US, THEM, &report(None, FastOpenOutcome::Lost));
        assert_eq!(cache.begin(at(60.secs()), US, THEM), None);
        assert_eq!(cache.cookie(at(60.secs()), US, THEM), None);
        assert_eq!(cache.cookie(at(61.secs()), US, THEM), Some(given));
        cache.learn(at(61.secs()), US, THEM, &report(None, FastOpenOutcome::Ignored));
        assert_eq!(cache.cookie(at(180.secs()), US, THEM), None);
        assert_eq!(cache.cookie(at(181.secs()), US, THEM), Some(given));
        cache.learn(at(181.secs()), US, THEM, &report(None, FastOpenOutcome::Accepted));
        cache.learn(at(182.secs()), US, THEM, &report(None, FastOpenOutcome::Lost));
        assert_eq!(cache.cookie(at(242.secs()), US, THEM), Some(given), "success made it a minute again");
        // A new cookie in place of an answer is no failure.
        cache.learn(at(243.secs()), US, THEM, &report(Some(cookie(&[5; 8])), FastOpenOutcome::Ignored));
        assert_eq!(cache.cookie(at(243.secs()), US, THEM), Some(cookie(&[5; 8])));
    }

    #[test]
    fn the_first_is_forgotten_beyond_the_limit() {
        let mut cache = cache(2);
        let server = |n| IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, n));
        for n in 1..=3 {
            cache.learn(at(0.ms()), US, server(n), &report(Some(cookie(&[n; 4])), FastOpenOutcome::NoData));
        }
        let known = [1, 2, 3].map(|n| cache.cookie(at(0.ms()), US, server(n)).is_some());
        assert_eq!((known, cache.overflows(), cache.entries.len()), ([false, true, true], 1, 2));
        let mut none = self::cache(0);
        none.learn(at(0.ms()), US, THEM, &report(Some(cookie(&[1; 4])), FastOpenOutcome::NoData));
        assert_eq!(none.cookie(at(0.ms()), US, THEM), None);
    }
}
