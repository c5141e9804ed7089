//! A listening port: small entries for handshakes under way, and a queue of connections that wait to be accepted.

use core::hash::Hash;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::connection::{Connection, Start};
use super::ecn::{Again, Agreed};
use super::fast_open::{FastOpenQueue, Shown, Ticket, Unconfirmed};
use super::handshake::{Course, Offer, Peer, syn_ack_header};
use super::options::{Settings, SynCookiePolicy};
use super::rtt::{INITIAL_RTO, MAX_RTO};
use super::segment::{Outgoing, Ports, Segment, reset_for};
use super::syncookie::{SynCookies, mark_timestamp, read_timestamp};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{FastOpenCookie, Flags, Header, Options};

/// A listening port.
///
/// `K` names a peer: its address and port and the local address (copied, ordered, hashed, otherwise opaque).
/// `H` is the caller's handle of an established connection that waits for `accept`.
///
/// Getters; `handle_segment`, `handle_timeout`; `push_accepted`, `accept`; `poll_transmit`.
#[derive(Debug)]
pub struct Listener<K, H> {
    port: u16,
    backlog: usize,
    settings: Settings,
    half_open: BTreeMap<K, HalfOpen>,
    /// When each half-open entry's SYN-ACK is repeated.
    deadlines: BTreeSet<(Instant, K)>,
    accept_queue: VecDeque<H>,
    /// Whose SYN-ACK is to be sent.
    due: VecDeque<K>,
    /// SYN-ACKs with a cookie, which nobody remembers.
    stateless: VecDeque<SynAck<K>>,
    cookies: SynCookies,
    /// Cookies count until then: none was sent for long.
    cookies_until: Instant,
    /// Connections that began with their SYN.
    fast_opens: FastOpenQueue<K>,
    stats: ListenerStats,
}

/// A handshake under way: RFC 9293's SYN-RECEIVED, without buffers.
#[derive(Clone, Debug)]
struct HalfOpen {
    ports: Ports,
    start: Start,
    offer: Offer,
    peer: Peer,
    sent_at: Instant,
    deadline: Instant,
    retries: u8,
    due: Option<Reason>,
    /// The Fast Open cookie that goes with the SYN-ACK.
    cookie: Option<FastOpenCookie>,
}

/// What a segment for a listening port leads to.
#[allow(clippy::large_enum_variant, reason = "lives for one call")]
#[derive(Debug)]
pub enum Verdict {
    /// It was dealt with, or dropped and counted. `poll_transmit` may have something to say.
    Done,
    /// Answer with this RST.
    Reset(Outgoing),
    /// A handshake is complete, or a Fast Open cookie stands for its end. The connection has already taken the
    /// segment's data; the caller registers it and hands its handle to [`Listener::push_accepted`].
    Established(Box<Connection>),
}

/// What a SYN with the Fast Open option leads to.
enum Admission {
    /// The usual handshake; the cookie goes with the SYN-ACK.
    Handshake(Option<FastOpenCookie>),
    /// A connection at once; a newer cookie goes with the SYN-ACK.
    Open(Option<FastOpenCookie>),
}

/// A SYN-ACK to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAck<K> {
    /// To whom.
    pub peer: K,
    /// What: there is no payload.
    pub segment: Outgoing,
}

/// What a listener counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ListenerStats {
    /// SYNs received.
    pub syns: u64,
    /// SYNs dropped because the accept queue was full, or too many connections were half open and cookies are off.
    pub syns_dropped: u64,
    /// SYNs answered with a cookie, as [`Settings::syn_cookies`] has it.
    pub cookies_sent: u64,
    /// Connections made from a cookie.
    pub cookies_accepted: u64,
    /// ACKs whose cookie was wrong.
    pub cookies_refused: u64,
    /// Segments that begin no connection and are not answered: RSTs, SYNs with FIN, and those without any of these
    /// flags.
    pub strays: u64,
    /// SYN-ACKs with a cookie that were dropped because too many waited to be sent.
    pub cookies_dropped: u64,
    /// Half-open connections given up.
    pub timed_out: u64,
    /// Half-open connections that the peer reset.
    pub reset: u64,
    /// Connections established.
    pub established: u64,
    /// Completed handshakes that had to wait because the accept queue was full.
    pub accept_overflows: u64,
    /// Connections that began with their SYN.
    pub fast_opens: u64,
    /// SYNs whose Fast Open cookie was wrong.
    pub fast_opens_refused: u64,
    /// SYNs with the Fast Open option for which too many connections were not yet confirmed.
    pub fast_open_overflows: u64,
}

/// SYN-ACKs with a cookie that may wait to be sent.
const MAX_STATELESS: usize = 64;
/// How long after the last cookie was sent its ACK may come.
const COOKIE_LIFE: Duration = Duration::from_secs(128);

impl<K: Copy + Ord + Hash, H> Listener<K, H> {
    /// A listener on `port` whose connections get `settings`. `backlog` (at least 1) bounds both the half-open
    /// connections and those that wait to be accepted.
    pub fn new(port: u16, backlog: usize, settings: Settings, rng: &mut Rng) -> Self {
        Self {
            port,
            backlog: backlog.max(1),
            settings,
            half_open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            accept_queue: VecDeque::new(),
            due: VecDeque::new(),
            stateless: VecDeque::new(),
            cookies: SynCookies::new(rng),
            cookies_until: Instant::ZERO,
            fast_opens: FastOpenQueue::new(),
            stats: ListenerStats::default(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Half-open connections.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Our initial sequence number and the peer's of a half-open connection.
    pub fn initial_numbers(&self, peer: &K) -> Option<(SeqNum, SeqNum)> {
        self.half_open.get(peer).map(|entry| (entry.start.iss, entry.peer.irs))
    }

    /// Connections that wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.accept_queue.len()
    }

    /// The counters.
    pub fn stats(&self) -> &ListenerStats {
        &self.stats
    }

    /// The settings that new connections get.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Whether `poll_transmit` may have something.
    pub fn wants_transmit(&self) -> bool {
        !self.due.is_empty() || !self.stateless.is_empty()
    }

    /// Whether SYNs with the Fast Open option are to come with a [`Ticket`].
    pub fn takes_fast_open(&self) -> bool {
        self.settings.fast_open_queue > 0
    }

    /// Connections that began with their SYN and are not yet confirmed.
    pub fn fast_opens(&self) -> usize {
        self.fast_opens.len()
    }

    /// A segment from `peer` for the port, for which there is no connection.
    /// `start` is what a connection from there would begin with, `ticket` what the Fast Open option of a SYN is worth
    /// (RFC 7413).
    pub fn handle_segment(
        &mut self,
        now: Instant,
        peer: K,
        start: Start,
        ticket: Option<Ticket>,
        segment: &Segment<'_>,
    ) -> Verdict {
        if self.half_open.contains_key(&peer) {
            return self.handle_half_open(now, peer, segment);
        }
        // RFC 9293 section 3.10.7.2. First: RST.
        if segment.has(Flags::RST) {
            self.stats.strays += 1;
            return Verdict::Done;
        }
        // Second: an ACK has no place here, unless it brings a cookie back.
        if segment.has(Flags::ACK) {
            return self.handle_cookie(now, peer, start, segment);
        }
        // Third: SYN. A SYN with FIN is nobody's honest beginning.
        if segment.has(Flags::SYN) && !segment.has(Flags::FIN) {
            return self.handle_syn(now, peer, start, ticket, segment);
        }
        self.stats.strays += 1;
        Verdict::Done
    }

    /// A connection that began with its SYN is confirmed, or over; `reset` by the peer.
    pub fn handle_fast_open_end(&mut self, now: Instant, peer: &K, reset: bool) {
        self.fast_opens.remove(now, peer, reset);
    }

    /// Time has come to `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, peer)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, peer));
            let Some(entry) = self.half_open.get_mut(&peer) else { continue };
            if entry.retries >= self.settings.syn_ack_retries {
                self.forget(peer);
                self.stats.timed_out += 1;
                continue;
            }
            entry.retries += 1;
            entry.deadline = now + (INITIAL_RTO * (1 << entry.retries.min(10))).min(MAX_RTO);
            self.deadlines.insert((entry.deadline, peer));
            self.ask(peer, Reason::SynAckRetransmit);
        }
    }

    /// Changes the settings of connections that come later.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Changes the backlog.
    pub fn set_backlog(&mut self, backlog: usize) {
        self.backlog = backlog.max(1);
    }

    /// Puts the handle of an established connection into the accept queue.
    pub fn push_accepted(&mut self, handle: H) {
        self.accept_queue.push_back(handle);
    }

    /// The connection that waits longest.
    pub fn accept(&mut self) -> Option<H> {
        self.accept_queue.pop_front()
    }

    /// The handles that wait to be accepted, all at once: the listener is being closed.
    pub fn drain(&mut self) -> impl Iterator<Item = H> + '_ {
        self.accept_queue.drain(..)
    }

    /// The next SYN-ACK to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<SynAck<K>> {
        while let Some(peer) = self.due.pop_front() {
            let Some(entry) = self.half_open.get_mut(&peer) else { continue };
            let Some(reason) = entry.due.take() else { continue };
            let ecn = entry.peer.ecn.take_syn_ack(reason, entry.retries);
            let mut header = syn_ack_header(now, entry.ports, &entry.start, &entry.offer, &entry.peer, ecn);
            header.options.set_fast_open(entry.cookie);
            let why = Why::new(reason).with("retries", u64::from(entry.retries));
            return Some(SynAck { peer, segment: Outgoing::bare(header, why) });
        }
        self.stateless.pop_front()
    }

    fn handle_syn(
        &mut self,
        now: Instant,
        peer: K,
        start: Start,
        ticket: Option<Ticket>,
        segment: &Segment<'_>,
    ) -> Verdict {
        self.stats.syns += 1;
        if self.accept_queue.len() >= self.backlog {
            self.stats.syns_dropped += 1;
            return Verdict::Done;
        }
        let ports = Ports::of_received(&segment.header);
        let offer = Offer::new(&self.settings, &start);
        let full = self.half_open.len() >= self.backlog;
        match self.settings.syn_cookies {
            SynCookiePolicy::Off if full => {
                self.stats.syns_dropped += 1;
                return Verdict::Done;
            }
            SynCookiePolicy::Off | SynCookiePolicy::WhenFull if !full => {}
            // RFC 6191 section 2: the new numbers lie after the old ones, which a cookie's need not. Such a SYN is no
            // flood either: it ends an entry in TIME-WAIT.
            _ if start.successor && self.half_open.len() < 2 * self.backlog => {}
            SynCookiePolicy::Off | SynCookiePolicy::WhenFull | SynCookiePolicy::Always => {
                self.answer_with_cookie(now, peer, &start, &offer, segment);
                return Verdict::Done;
            }
        }
        let admission = ticket.map_or(Admission::Handshake(None), |ticket| self.admit(now, ticket));
        let entry = HalfOpen {
            ports,
            start,
            offer,
            peer: Peer::of(segment, &offer, &start, Agreed::answer(self.settings.ecn.answer, segment)),
            sent_at: now,
            deadline: now + INITIAL_RTO,
            retries: 0,
            due: None,
            cookie: None,
        };
        let cookie = match admission {
            Admission::Open(cookie) => return self.open_fast(now, peer, entry, cookie, segment),
            Admission::Handshake(cookie) => cookie,
        };
        self.deadlines.insert((entry.deadline, peer));
        self.half_open.insert(peer, HalfOpen { cookie, ..entry });
        self.ask(peer, Reason::SynAck);
        Verdict::Done
    }

    /// What a SYN with the Fast Open option leads to (RFC 7413 section 4.2.2).
    fn admit(&mut self, now: Instant, ticket: Ticket) -> Admission {
        // RFC 7413 section 5.1: beyond the limit, the usual handshake.
        if !self.fast_opens.has_room(now, self.settings.fast_open_queue) {
            self.stats.fast_open_overflows += 1;
            return Admission::Handshake(None);
        }
        match ticket.shown {
            Shown::Nothing => Admission::Handshake(Some(ticket.ours)),
            Shown::Wrong => {
                self.stats.fast_opens_refused += 1;
                Admission::Handshake(Some(ticket.ours))
            }
            Shown::Current => Admission::Open(None),
            Shown::Old => Admission::Open(Some(ticket.ours)),
        }
    }

    /// The connection begins with its SYN, and with the data of it.
    fn open_fast(
        &mut self,
        now: Instant,
        key: K,
        entry: HalfOpen,
        cookie: Option<FastOpenCookie>,
        segment: &Segment<'_>,
    ) -> Verdict {
        self.stats.fast_opens += 1;
        self.stats.established += 1;
        self.fast_opens.push(key);
        let HalfOpen { ports, start, offer, peer, .. } = entry;
        let due = Some(Reason::SynAck);
        let half = Unconfirmed { start, offer, peer, cookie, due, sent_at: now, retries: 0 };
        let settings = self.settings.clone();
        Verdict::Established(Box::new(Connection::fast_opened(now, ports, settings, half, segment)))
    }

    /// SYN-RECEIVED of a passive open: RFC 9293 section 3.10.7.4.
    fn handle_half_open(&mut self, now: Instant, key: K, segment: &Segment<'_>) -> Verdict {
        let most = self.settings.ecn.answer;
        let Some(entry) = self.half_open.get_mut(&key) else { return Verdict::Done };
        let (header, rcv_nxt) = (&segment.header, entry.peer.irs + 1);
        if segment.has(Flags::RST) {
            // RFC 5961 section 3.2: only the exact number.
            if header.seq == rcv_nxt {
                self.forget(key);
                self.stats.reset += 1;
            }
            return Verdict::Done;
        }
        // A SYN again, or another one: our SYN-ACK tells an honest peer what to do, which is to reset if it knows
        // nothing.
        if segment.has(Flags::SYN) {
            if header.seq == entry.peer.irs && entry.peer.ecn.handle_syn_again(most, segment) == Again::Reset
            {
                // RFC 9768 section 3.1.5: nobody could know which of the two holds.
                let header = Header {
                    src_port: entry.ports.local,
                    dst_port: entry.ports.remote,
                    seq: entry.start.iss + 1,
                    ack: entry.peer.irs + 1,
                    flags: Flags::RST | Flags::ACK,
                    ..Header::default()
                };
                self.forget(key);
                self.stats.reset += 1;
                return Verdict::Reset(Outgoing::bare(header, Reason::Refused));
            }
            self.ask(key, Reason::SynAckRetransmit);
            return Verdict::Done;
        }
        let window = u32::from(entry.offer.window);
        let in_window = header.seq.at_or_after(rcv_nxt) && header.seq.before(rcv_nxt + window.max(1));
        let stamp = header.options.timestamps;
        let old = entry.peer.terms.timestamps
            && stamp.is_none_or(|stamp| super::handshake::is_before(stamp.value, entry.peer.ts));
        if !in_window || old {
            self.ask(key, Reason::SynAckRetransmit);
            return Verdict::Done;
        }
        if !segment.has(Flags::ACK) {
            return Verdict::Done;
        }
        if header.ack != entry.start.iss + 1 {
            return reset_for(segment).map_or(Verdict::Done, Verdict::Reset);
        }
        if self.accept_queue.len() >= self.backlog {
            // It stays half open: the peer repeats its data, or our SYN-ACK its question.
            self.stats.accept_overflows += 1;
            return Verdict::Done;
        }
        let Some(entry) = self.forget(key) else { return Verdict::Done };
        let retries = entry.retries;
        let course = Course { sample: (retries == 0).then(|| now - entry.sent_at), repeated: retries > 0 };
        self.establish(now, &entry, course, segment)
    }

    /// RFC 4987 section 3.6: answers without remembering.
    fn answer_with_cookie(
        &mut self,
        now: Instant,
        key: K,
        start: &Start,
        offer: &Offer,
        segment: &Segment<'_>,
    ) {
        if self.stateless.len() >= MAX_STATELESS {
            self.stats.cookies_dropped += 1;
            return;
        }
        let ports = Ports::of_received(&segment.header);
        let mut peer = Peer::of(segment, offer, start, Agreed::answer(self.settings.ecn.answer, segment));
        if !peer.terms.timestamps {
            // Without timestamps there is no room to remember these.
            (peer.terms.scaled, peer.terms.sack) = (false, false);
            peer.ecn.forget_classic();
        }
        let iss = self.cookies.make(now, &key, ports, peer.irs, peer.terms.peer_mss);
        let ecn = peer.ecn.take_syn_ack(Reason::SynAck, 0);
        let mut header = syn_ack_header(now, ports, &Start { iss, ..*start }, offer, &peer, ecn);
        if let Some(stamp) = &mut header.options.timestamps {
            stamp.value = mark_timestamp(stamp.value, &segment.header.options, peer.ecn.mode());
        }
        let why = Why::new(Reason::SynAck).with("cookie", 1);
        self.stateless.push_back(SynAck { peer: key, segment: Outgoing::bare(header, why) });
        self.cookies_until = now + COOKIE_LIFE;
        self.stats.cookies_sent += 1;
    }

    /// An ACK out of nowhere: a cookie that comes back, or a RST's due.
    fn handle_cookie(&mut self, now: Instant, key: K, start: Start, segment: &Segment<'_>) -> Verdict {
        let header = &segment.header;
        let refused = || reset_for(segment).map_or(Verdict::Done, Verdict::Reset);
        if segment.has(Flags::SYN) || now >= self.cookies_until {
            return refused();
        }
        let (ports, irs, iss) = (Ports::of_received(header), header.seq - 1, header.ack - 1);
        let Some(mss) = self.cookies.check(now, &key, ports, irs, iss) else {
            self.stats.cookies_refused += 1;
            return refused();
        };
        if self.accept_queue.len() >= self.backlog {
            self.stats.accept_overflows += 1;
            return Verdict::Done;
        }
        let stamp = header.options.timestamps.filter(|_| self.settings.timestamps);
        let known = read_timestamp(mss, stamp.map(|stamp| stamp.echo));
        let options = Options {
            mss: Some(known.mss),
            window_scale: known.window_scale,
            sack_permitted: known.sack,
            timestamps: stamp,
            ..Options::default()
        };
        let offer = Offer::new(&self.settings, &start);
        let terms = offer.meet(&options, start.default_mss);
        let entry = HalfOpen {
            ports,
            start: Start { iss, ..start },
            offer,
            peer: Peer {
                irs,
                terms,
                ts: stamp.map_or(0, |stamp| stamp.value),
                user_timeout: None,
                ecn: Agreed::remember(self.settings.ecn.answer, known.ecn, segment),
            },
            sent_at: now,
            deadline: now,
            retries: 0,
            due: None,
            cookie: None,
        };
        self.stats.cookies_accepted += 1;
        self.establish(now, &entry, Course { sample: None, repeated: false }, segment)
    }

    fn establish(
        &mut self,
        now: Instant,
        entry: &HalfOpen,
        course: Course,
        segment: &Segment<'_>,
    ) -> Verdict {
        self.stats.established += 1;
        let settings = self.settings.clone();
        let HalfOpen { ports, start, offer, peer, .. } = entry;
        let mut connection = Connection::accepted(now, *ports, start, settings, offer, peer, course);
        connection.common.opened = entry.sent_at;
        connection.handle_segment(now, segment);
        Verdict::Established(Box::new(connection))
    }

    /// A SYN-ACK is to be sent to a half-open peer.
    fn ask(&mut self, key: K, reason: Reason) {
        if let Some(entry) = self.half_open.get_mut(&key)
            && entry.due.is_none()
        {
            entry.due = Some(reason);
            self.due.push_back(key);
        }
    }

    fn forget(&mut self, key: K) -> Option<HalfOpen> {
        let entry = self.half_open.remove(&key)?;
        self.deadlines.remove(&(entry.deadline, key));
        if entry.due.is_some() {
            self.due.retain(|due| *due != key);
        }
        Some(entry)
    }
}
