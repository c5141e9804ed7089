//! The handshake: what we offer, what both sides agree on, and the states before ESTABLISHED.

use super::common::Common;
use super::congestion::{self, Loss, LossKind};
use super::connection::Start;
use super::ecn::{Agreed, Ecn, EcnPolicy, syn_flags};
use super::fast_open::Attempt;
use super::options::Settings;
use super::pacing::Pacer;
use super::plpmtud::Plpmtud;
use super::receiver::Receiver;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::segment::{BASE_HEADER, Ports, Segment};
use super::sender::Sender;
use super::sizing::Sizing;
use super::state::{Open, Synchronised};
use super::user_timeout;
use super::watch::Watch;
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::acc_ecn::AccEcn;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, Signature, Timestamps, UserTimeout};

/// The largest window scale (RFC 7323 section 2.3).
const MAX_WINDOW_SCALE: u8 = 14;
/// Less is not believed: a peer that says so would have us send headers only.
const MIN_MSS: u16 = 48;
/// TS.Recent is no longer compared when it is older than this (RFC 7323 section 5.5).
const TS_RECENT_LIFE: Duration = Duration::from_secs(24 * 86_400);

/// What our SYN or SYN-ACK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) mss: u16,
    /// The MSS that the application wants to be the largest in use.
    max_mss: u16,
    window_scale: Option<u8>,
    sack: bool,
    timestamps: bool,
    user_timeout: Option<UserTimeout>,
    signature: Option<Signature>,
    /// The window field, never scaled on a SYN.
    pub(crate) window: u16,
}

impl Offer {
    pub(crate) fn new(settings: &Settings, start: &Start) -> Self {
        let max_segment = start.max_segment;
        // RFC 9293 section 3.7.1: the MSS leaves out the fixed header alone.
        let mss = u16::try_from(max_segment.saturating_sub(BASE_HEADER)).unwrap_or(u16::MAX);
        let max_mss = settings.max_mss.unwrap_or(u16::MAX);
        let shift = (0..MAX_WINDOW_SCALE).find(|&shift| settings.recv_buffer >> shift <= 0xffff);
        Self {
            mss: mss.min(max_mss).max(1),
            max_mss,
            window_scale: settings.window_scaling.then_some(shift.unwrap_or(MAX_WINDOW_SCALE)),
            sack: settings.sack,
            timestamps: settings.timestamps,
            user_timeout: settings.advertised_user_timeout.and_then(user_timeout::on_wire),
            signature: start.signature,
            window: u16::try_from(Sizing::first_window(settings)).unwrap_or(u16::MAX),
        }
    }

    /// What is left of it when the peer's SYN is known: an answer offers nothing that was not asked for.
    pub(crate) fn answer(self, terms: &Terms) -> Self {
        Self {
            window_scale: self.window_scale.filter(|_| terms.scaled),
            sack: terms.sack,
            timestamps: terms.timestamps,
            ..self
        }
    }

    /// What holds when the peer's SYN says `peer`.
    pub(crate) fn meet(&self, peer: &Options, default_mss: u16) -> Terms {
        let scale = self.window_scale.zip(peer.window_scale);
        let sack = self.sack && peer.sack_permitted;
        Terms {
            // RFC 9293 section 3.7.1: without the option, the default.
            peer_mss: peer.mss.unwrap_or(default_mss).min(self.max_mss).max(MIN_MSS),
            mss: self.mss,
            scaled: scale.is_some(),
            // RFC 7323 section 2.3: a larger shift counts as 14.
            snd_wscale: scale.map_or(0, |(_, theirs)| theirs.min(MAX_WINDOW_SCALE)),
            rcv_wscale: scale.map_or(0, |(ours, _)| ours),
            sack,
            // Note: beside an MD5 signature and timestamps there is no room for a single SACK block. As on Linux, SACK
            // wins.
            timestamps: self.timestamps && peer.timestamps.is_some() && !(self.is_md5() && sack),
            signature: self.signature,
        }
    }

    /// The same for a SYN of ours, which has to fit into the 40 bytes before anything is agreed on.
    fn active(self) -> Self {
        Self { timestamps: self.timestamps && !self.is_md5(), ..self }
    }

    fn is_md5(&self) -> bool {
        self.signature == Some(Signature::Md5)
    }

    pub(crate) fn options(&self, timestamps: Timestamps) -> Options {
        let mut options = Options {
            mss: Some(self.mss),
            window_scale: self.window_scale,
            sack_permitted: self.sack,
            timestamps: self.timestamps.then_some(timestamps),
            user_timeout: self.user_timeout,
            ..Options::default()
        };
        options.set_signature(self.signature);
        options
    }
}

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The largest segment that the peer takes, less the fixed header.
    pub(crate) peer_mss: u16,
    /// What we announced.
    pub(crate) mss: u16,
    /// Windows are scaled.
    pub(crate) scaled: bool,
    /// Shift of the peer's windows.
    pub(crate) snd_wscale: u8,
    /// Shift of our windows.
    pub(crate) rcv_wscale: u8,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    /// What each segment carries.
    pub(crate) signature: Option<Signature>,
}

packed!(Terms { peer_mss, mss, scaled, snd_wscale, rcv_wscale, sack, timestamps; signature: None });

impl Terms {
    /// Bytes of data in a full segment of `max_segment` bytes that carries timestamps if agreed (RFC 6691).
    pub(crate) fn smss(&self, max_segment: usize) -> u32 {
        let segment = max_segment.min(usize::from(self.peer_mss) + BASE_HEADER);
        segment.saturating_sub(BASE_HEADER + self.options()).max(1) as u32
    }

    /// Bytes of data in the peer's full segments, as far as our MSS tells.
    fn rmss(&self) -> u16 {
        self.mss.saturating_sub(self.options() as u16).max(1)
    }

    /// Bytes of options in each segment.
    fn options(&self) -> usize {
        let timestamps = if self.timestamps { 12 } else { 0 };
        timestamps + self.signature.map_or(0, Signature::padded_len)
    }
}

/// The timestamps of one connection (RFC 7323): our clock, and what the peer's said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    offset: u32,
    /// TS.Recent.
    pub(crate) recent: u32,
    /// When TS.Recent was heard.
    recent_at: Instant,
    /// Last.ACK.sent.
    pub(crate) last_ack_sent: SeqNum,
}

packed!(Clock { offset, recent, recent_at, last_ack_sent });

impl Clock {
    pub(crate) const fn new(offset: u32, recent: u32, now: Instant, last_ack_sent: SeqNum) -> Self {
        Self { offset, recent, recent_at: now, last_ack_sent }
    }

    /// TSval: milliseconds.
    pub(crate) const fn value(&self, now: Instant) -> u32 {
        value_at(now, self.offset)
    }

    pub(crate) const fn stamp(&self, now: Instant) -> Timestamps {
        Timestamps { value: self.value(now), echo: self.recent }
    }

    /// How long ago the segment was sent whose timestamp came back.
    pub(crate) fn since(&self, now: Instant, echo: u32) -> Option<Duration> {
        let ms = self.value(now).wrapping_sub(echo);
        // An echo from the future, or of the last month, is no echo of ours.
        (echo != 0 && ms < 1 << 31).then(|| Duration::from_millis(u64::from(ms)))
    }

    /// Before which time the segment was sent whose timestamp came back: the end of that millisecond.
    pub(crate) fn sent_before(&self, now: Instant, echo: u32) -> Option<Instant> {
        let tick = Instant::from_nanos((now.as_millis() + 1) * 1_000_000);
        Some(tick - self.since(now, echo)?)
    }

    /// Whether `value` is older than TS.Recent, and that still counts (RFC 7323 section 5.3 R1).
    pub(crate) fn is_old(&self, now: Instant, value: u32) -> bool {
        is_before(value, self.recent) && now - self.recent_at <= TS_RECENT_LIFE
    }

    /// Takes TSval of an acceptable segment that begins at `seq` (RFC 7323 section 4.3 (2)).
    pub(crate) fn update(&mut self, now: Instant, value: u32, seq: SeqNum) {
        if !self.is_old(now, value) && seq.at_or_before(self.last_ack_sent) {
            (self.recent, self.recent_at) = (value, now);
        }
    }

    /// What TIME-WAIT keeps.
    pub(crate) const fn recent(&self) -> (u32, Instant, u32) {
        (self.recent, self.recent_at, self.offset)
    }
}

/// TSval at `now`.
pub(crate) const fn value_at(now: Instant, offset: u32) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}

/// Whether timestamp `a` is before `b`, circularly.
pub(crate) const fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// What we know of the peer after its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) irs: SeqNum,
    pub(crate) terms: Terms,
    /// TSval of its SYN.
    pub(crate) ts: u32,
    pub(crate) user_timeout: Option<UserTimeout>,
    pub(crate) ecn: Agreed,
}

impl Peer {
    pub(crate) fn of(segment: &Segment<'_>, offer: &Offer, start: &Start, ecn: Agreed) -> Self {
        let header = &segment.header;
        Self {
            irs: header.seq,
            terms: offer.meet(&header.options, start.default_mss),
            ts: header.options.timestamps.map_or(0, |ts| ts.value),
            user_timeout: header.options.user_timeout,
            ecn,
        }
    }
}

/// A connection before it is established, from our own `connect`.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) start: Start,
    pub(crate) offer: Offer,
    pub(crate) ecn: EcnPolicy,
    /// Known in SYN-RECEIVED: both sides sent a SYN at once (RFC 9293 section 3.5, figure 7).
    pub(crate) peer: Option<Peer>,
    pub(crate) rtt: Rtt,
    /// A SYN (or SYN-ACK) is to be sent.
    pub(crate) due: Option<Reason>,
    /// A SYN left already: the offer stays.
    pub(crate) sent: bool,
    /// When the first SYN left; a sample of the round-trip time unless it was repeated.
    pub(crate) sent_at: Instant,
    pub(crate) retries: u8,
    pub(crate) fast_open: Option<Attempt>,
}

impl Opening {
    pub(crate) fn new(now: Instant, start: Start, settings: &Settings) -> Self {
        Self {
            start,
            offer: Offer::new(settings, &start).active(),
            ecn: settings.ecn,
            peer: None,
            rtt: Rtt::new(),
            due: Some(Reason::Syn),
            sent: false,
            sent_at: now,
            retries: 0,
            fast_open: None,
        }
    }

    /// The SYN, or the SYN-ACK of a simultaneous open, that leaves for `reason`.
    pub(crate) fn header(&mut self, now: Instant, ports: Ports, reason: Reason) -> Header {
        let (start, offer) = (&self.start, &self.offer);
        match &mut self.peer {
            None => syn_header(now, ports, start, offer, syn_flags(self.ecn.ask, self.retries)),
            Some(peer) => {
                let ecn = peer.ecn.take_syn_ack(reason, self.retries);
                syn_ack_header(now, ports, start, offer, peer, ecn)
            }
        }
    }

    /// Why it is sent, with its numbers.
    pub(crate) fn why(&self, reason: Reason) -> Why {
        Why::new(reason).with("retries", u64::from(self.retries)).with("rto_us", self.rtt.rto().as_micros())
    }
}

fn syn_header(now: Instant, ports: Ports, start: &Start, offer: &Offer, ecn: Flags) -> Header {
    Header {
        src_port: ports.local,
        dst_port: ports.remote,
        seq: start.iss,
        flags: Flags::SYN | ecn,
        window: offer.window,
        options: offer.options(Timestamps { value: value_at(now, start.ts_offset), echo: 0 }),
        ..Header::default()
    }
}

/// A SYN-ACK, with its ECN flags and its accurate ECN option.
pub(crate) fn syn_ack_header(
    now: Instant,
    ports: Ports,
    start: &Start,
    offer: &Offer,
    peer: &Peer,
    (ecn, acc_ecn): (Flags, Option<AccEcn>),
) -> Header {
    let stamp = Timestamps { value: value_at(now, start.ts_offset), echo: peer.ts };
    let mut options = offer.answer(&peer.terms).options(stamp);
    options.acc_ecn = acc_ecn;
    options.set_signature(start.signature);
    Header {
        src_port: ports.local,
        dst_port: ports.remote,
        seq: start.iss,
        ack: peer.irs + 1,
        flags: Flags::SYN | Flags::ACK | ecn,
        window: offer.window,
        options,
        ..Header::default()
    }
}

/// How the handshake went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// The round-trip time of an exchange that was not repeated.
    pub(crate) sample: Option<Duration>,
    /// A SYN or SYN-ACK of ours had to be repeated.
    pub(crate) repeated: bool,
}

/// The control block of a connection whose handshake is complete.
pub(crate) fn establish(
    now: Instant,
    start: &Start,
    offer: &Offer,
    peer: &Peer,
    course: Course,
    common: &mut Common,
) -> Open {
    let terms = peer.terms;
    let plpmtud = Plpmtud::begin(now, &terms, common).map(Box::new);
    let smss = terms.smss(common.max_segment);
    let una = start.iss + 1;
    let mut rtt = Rtt::new();
    if let Some(sample) = course.sample {
        rtt.handle_sample(now, sample, 1);
    } else if course.repeated {
        rtt.handle_established_after_timeout();
    }
    let paced = common.settings.pacing;
    let seed = u64::from(start.iss.get()) << 32 | u64::from(start.ts_offset);
    let begin = congestion::Start::new(now, smss, course.repeated);
    let begin = congestion::Start { srtt: rtt.srtt(), paced, seed, ..begin };
    let mut congestion = common.settings.congestion.build(&begin);
    if peer.ecn.is_marked() {
        // RFC 9768 section 3.2.2.2: a mark on the SYN is answered like any other.
        let flight = congestion.cwnd();
        congestion.on_congestion_event(&Loss { now, flight, kind: LossKind::Ecn });
    }
    if let Some(option) = peer.user_timeout {
        common.handle_user_timeout_option(option);
    }
    let mut sender = Sender::new(now, una, smss);
    sender.snd_wl1 = peer.irs;
    let mut open = Open {
        state: Synchronised::Established,
        terms,
        sender,
        receiver: Receiver::new(peer.irs + 1, u32::from(offer.window), terms.rcv_wscale, terms.rmss()),
        recovery: Recovery::new(start.iss, terms.sack),
        congestion,
        ecn: Ecn::new(&peer.ecn, peer.irs),
        plpmtud,
        rtt,
        pacer: Pacer::new(),
        delivery_rate: None,
        seed,
        clock: Clock::new(start.ts_offset, peer.ts, now, peer.irs + 1),
        watch: Watch::new(now),
        last_heard: now,
        keepalive_probes: 0,
        keepalive_due: false,
        // RFC 5482 section 3.1: once more after the SYN, for a peer that keeps no state before.
        advertise: offer.user_timeout,
        persist_backoff: 0,
        unconfirmed: None,
        next_challenge: now,
    };
    open.set_pacing_rate(&common.settings);
    open
}
