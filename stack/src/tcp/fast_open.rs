//! TCP Fast Open (RFC 7413): data in the SYN, from a peer that has shown by a cookie that its address is its own.
//!
//! ```text
//!   client                                 server
//!   SYN, asks for a cookie       ------->
//!                                <-------  SYN-ACK, cookie
//!        ... any time later, any number of times ...
//!   SYN, cookie, data            ------->  the data can be read; the answer may be sent
//!                                <-------  SYN-ACK of SYN and data; data
//!   ACK                          ------->  confirmed
//! ```
//!
//! The option has two forms: kind 34, and kind 254 from the time when it was an experiment (RFC 6994). A server answers in
//! the form that it is asked in, a client shows a cookie in the form that brought it.
//!
//! What the server has between the SYN and the ACK is an [`Unconfirmed`] beside an open control block. What a client
//! has learned when its handshake ends is a [`FastOpenReport`]. Who makes cookies, and who keeps those of others,
//! stands above: both are about addresses.

use std::collections::{BTreeSet, VecDeque};

use super::common::Common;
use super::connection::{Connection, Start};
use super::event::Event;
use super::handshake::{Course, Offer, Opening, Peer, establish, syn_ack_header};
use super::options::Settings;
use super::rtt::{INITIAL_RTO, MAX_RTO};
use super::segment::{BASE_HEADER, Outgoing, Ports, Segment, reset_for};
use super::state::{Block, Open, Synchronised};
use super::timer::Timer;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::tcp::{FastOpenCookie, FastOpenForm, Flags, Header, MAX_OPTIONS_LEN};

/// What a SYN with the Fast Open option is worth to a listener, as those who make cookies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The cookie that the peer is to show next time.
    pub ours: FastOpenCookie,
    /// What it has shown.
    pub shown: Shown,
}

/// What a SYN has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// No cookie: it asks for one.
    Nothing,
    /// The cookie of the key in force.
    Current,
    /// The cookie of the key before.
    Old,
    /// Something else.
    Wrong,
}

/// What a client knows about its peer before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenClient {
    /// The peer's cookie; an empty one asks for one, in its form.
    pub cookie: FastOpenCookie,
    /// The MSS that the peer announced when it gave it.
    pub mss: u16,
    /// The SYN waits for the first bytes that are written (`TCP_FASTOPEN_CONNECT`); only with a cookie.
    pub defer: bool,
}

/// What a client has learned about its peer when the handshake ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenReport {
    /// The cookie that it gave.
    pub cookie: Option<FastOpenCookie>,
    /// The MSS that it announced.
    pub mss: u16,
    /// How it went.
    pub outcome: FastOpenOutcome,
}

/// How the attempt of a client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastOpenOutcome {
    /// No data was in the SYN.
    NoData,
    /// The SYN asked for a cookie in this form, and its answer had none.
    Unanswered(FastOpenForm),
    /// Data of the SYN was acknowledged.
    Accepted,
    /// The SYN was acknowledged, its data was not.
    Ignored,
    /// Nothing came back before the SYN was sent again, without data.
    Lost,
}

/// A client's attempt while the handshake is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    client: FastOpenClient,
    /// Bytes of data in the SYN.
    pub(crate) sent: u32,
    /// The SYN is plain from now on (RFC 7413 section 4.2.1: the first one may have been dropped for its option).
    plain: bool,
}

impl Attempt {
    /// Nothing came back.
    pub(crate) fn handle_timeout(&mut self) {
        self.plain = true;
    }

    /// Why no data of the SYN was acknowledged, in Linux's numbers: 0 if `acked` bytes were.
    pub(crate) fn failure(&self, acked: u32) -> u8 {
        match () {
            () if acked > 0 => 0,
            () if self.sent == 0 => 1,
            () if !self.plain => 2,
            () => 3,
        }
    }

    /// What is learned from the end of the handshake; `acked` bytes of the SYN's data were acknowledged.
    fn report(&self, syn_ack: Option<&Header>, acked: u32) -> FastOpenReport {
        // RFC 7413 section 4.1.1: nothing is said but by a SYN. Of two that crossed the end may be a mere ACK.
        let syn_ack = syn_ack.filter(|header| header.flags.contains(Flags::SYN));
        let cookie =
            syn_ack.and_then(|header| header.options.fast_open).filter(|cookie| !cookie.is_request());
        let outcome = match () {
            () if acked > 0 => FastOpenOutcome::Accepted,
            // RFC 7413 section 4.1.3.1. Note: whoever answers with a cookie has seen the option, whatever was lost.
            () if self.plain && cookie.is_none() => FastOpenOutcome::Lost,
            () if syn_ack.is_some() && self.client.cookie.is_request() && cookie.is_none() => {
                FastOpenOutcome::Unanswered(self.client.cookie.form())
            }
            () if self.sent == 0 => FastOpenOutcome::NoData,
            () => FastOpenOutcome::Ignored,
        };
        let mss = syn_ack.and_then(|header| header.options.mss).unwrap_or(self.client.mss);
        FastOpenReport { cookie, mss, outcome }
    }
}

impl Connection {
    /// As [`Connection::connect`], with the Fast Open option and, if there is a cookie, with data in the SYN.
    pub fn connect_fast_open(
        now: Instant,
        ports: Ports,
        start: Start,
        settings: Settings,
        client: FastOpenClient,
    ) -> Self {
        let mut connection = Self::connect(now, ports, start, settings);
        let defer = client.defer && !client.cookie.is_request();
        if let Block::Opening(opening) = &mut connection.block {
            let client = FastOpenClient { defer, ..client };
            opening.fast_open = Some(Attempt { client, sent: 0, plain: false });
            if defer {
                opening.due = None;
            }
        }
        connection
    }

    /// A connection that begins with a SYN with a good cookie (RFC 7413 section 4.2.2).
    pub(crate) fn fast_opened(
        now: Instant,
        ports: Ports,
        settings: Settings,
        half: Unconfirmed,
        segment: &Segment<'_>,
    ) -> Self {
        let mut common = Common::new(now, ports, settings, half.start.max_segment);
        common.counters.segs_in += u64::from(segment.segments.max(1));
        let course = Course { sample: None, repeated: false };
        let mut open = establish(now, &half.start, &half.offer, &half.peer, course, &mut common);
        common.handle_established(now);
        // RFC 7323 section 2.2: the window of a segment with SYN is not scaled.
        open.sender.snd_wnd = u32::from(segment.header.window);
        open.sender.max_snd_wnd = open.sender.snd_wnd;
        let fits = segment.payload.len().min(open.receiver.window() as usize);
        if fits > 0 {
            let data = &segment.payload[..fits];
            open.receiver.handle_data(half.peer.irs + 1, data, segment.segments, &mut common.rx);
            common.counters.bytes_received += fits as u64;
            common.syn_data = true;
            if common.is_worth_reading() {
                common.events.push(Event::Readable);
            }
            common.handle_activity(now);
        }
        // The SYN-ACK acknowledges it.
        open.receiver.handle_ack_sent();
        open.unconfirmed = Some(Box::new(half));
        Self { block: Block::Open(Box::new(open)), common }
    }

    /// What a client has learned about Fast Open at its peer, once, when the handshake has ended.
    pub fn take_fast_open_report(&mut self) -> Option<FastOpenReport> {
        self.common.fast_open.take().map(|report| *report)
    }

    /// SYN-RECEIVED (RFC 9293 section 3.10.7.4): whether the segment goes on to the usual steps.
    pub(crate) fn check_unconfirmed(&mut self, now: Instant, segment: &Segment<'_>) -> bool {
        let Block::Open(open) = &mut self.block else { return false };
        let Some(half) = &mut open.unconfirmed else { return true };
        let (header, nxt) = (&segment.header, open.receiver.rcv_nxt);
        // Second: RST. RFC 5961 section 3.2: only the exact number is believed.
        if segment.has(Flags::RST) {
            if header.seq == nxt {
                open.unconfirmed = None;
                self.common.events.push(Event::FastOpenReset);
                self.finish(Some(super::Error::ConnectionReset));
            }
            return false;
        }
        // First: the sequence number. A SYN again has a number that is taken, and data that is here already.
        let edge = nxt + open.receiver.window();
        let acceptable = segment.end().at_or_after(nxt) && header.seq.at_or_before(edge);
        let stamp = header.options.timestamps;
        let old = open.terms.timestamps && stamp.is_none_or(|stamp| open.clock.is_old(now, stamp.value));
        if segment.has(Flags::SYN) || !acceptable || old {
            half.due = Some(Reason::SynAckRetransmit);
            self.common.dirty = true;
            return false;
        }
        // Fifth: the ACK.
        if !segment.has(Flags::ACK) {
            return false;
        }
        if header.ack.at_or_before(half.start.iss) || header.ack.after(open.sender.snd_max) {
            self.common.parting = reset_for(segment).map(Box::new);
            return false;
        }
        self.confirm(now);
        true
    }

    /// The peer has acknowledged our SYN.
    fn confirm(&mut self, now: Instant) {
        let Block::Open(open) = &mut self.block else { return };
        let Some(half) = open.unconfirmed.take() else { return };
        if half.retries == 0 {
            open.rtt.handle_sample(now, now - half.sent_at, 1);
        } else {
            open.rtt.handle_established_after_timeout();
        }
        if open.sender.flight() > 0 {
            self.common.timers.set(Timer::Rto, now + open.rtt.rto());
        } else {
            self.common.timers.stop(Timer::Rto);
        }
        self.common.events.push(Event::FastOpenDone);
    }

    /// Nobody has acknowledged our SYN-ACK. What was sent after it waits for that.
    pub(crate) fn handle_unconfirmed_timeout(&mut self, now: Instant) {
        let Block::Open(open) = &mut self.block else { return };
        let Some(half) = &mut open.unconfirmed else { return };
        if half.retries >= self.common.settings.syn_ack_retries {
            return self.finish(Some(super::Error::TimedOut));
        }
        half.retries += 1;
        half.due = Some(Reason::SynAckRetransmit);
        self.common.timers.set(Timer::Rto, now + half.timeout());
        self.common.dirty = true;
    }
}

impl Opening {
    /// The SYN with its option and as much data as it may carry.
    pub(crate) fn add_fast_open(&mut self, outgoing: &mut Outgoing, common: &mut Common) {
        let Some(attempt) = &mut self.fast_open else { return };
        if attempt.plain || self.peer.is_some() {
            return;
        }
        outgoing.header.options.set_fast_open(Some(attempt.client.cookie));
        if attempt.client.cookie.is_request() {
            return;
        }
        // RFC 7413 section 4.2.1: no more than the peer is known to take, on this path. As Linux does, all room for
        // options is left to those who add some on the way.
        let segment = common.max_segment.min(usize::from(attempt.client.mss) + BASE_HEADER);
        let room = segment.saturating_sub(BASE_HEADER + MAX_OPTIONS_LEN);
        let len = common.tx.len().min(room) as u32;
        attempt.sent = len;
        (outgoing.len, outgoing.segment_size) = (len, len as u16);
    }

    /// Bytes of data in the SYN that `segment` acknowledges; `None` unless it acknowledges the SYN.
    pub(crate) fn acknowledged(&self, segment: &Segment<'_>) -> Option<u32> {
        let acked = segment.header.ack - (self.start.iss + 1);
        (acked <= self.fast_open.map_or(0, |attempt| attempt.sent)).then_some(acked)
    }

    /// Whether the SYN waits for the first bytes that are written.
    pub(crate) const fn is_deferred(&self) -> bool {
        matches!(&self.fast_open, Some(attempt) if attempt.client.defer)
    }

    /// The application has written something: a SYN that waited for it is due.
    pub(crate) fn handle_written(&mut self) {
        if let Some(attempt) = &mut self.fast_open
            && core::mem::take(&mut attempt.client.defer)
        {
            self.due = Some(Reason::Syn);
        }
    }

    /// What is learned at the end of the handshake, `acked` bytes of the SYN's data being acknowledged.
    pub(crate) fn report(&self, syn_ack: &Header, acked: u32) -> Option<Box<FastOpenReport>> {
        self.fast_open.map(|attempt| Box::new(attempt.report(Some(syn_ack), acked)))
    }

    /// What is learned if there was no handshake: something, if nobody answered even a plain SYN. A RST or an
    /// application that has changed its mind says nothing about Fast Open.
    pub(crate) fn report_failure(&self) -> Option<Box<FastOpenReport>> {
        self.fast_open.filter(|attempt| attempt.plain).map(|attempt| Box::new(attempt.report(None, 0)))
    }
}

/// A connection that Fast Open began with its SYN, until the peer has acknowledged our SYN: SYN-RECEIVED.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) start: Start,
    pub(crate) offer: Offer,
    pub(crate) peer: Peer,
    /// The cookie that goes with the SYN-ACK.
    pub(crate) cookie: Option<FastOpenCookie>,
    /// A SYN-ACK is to be sent.
    pub(crate) due: Option<Reason>,
    pub(crate) sent_at: Instant,
    pub(crate) retries: u8,
}

impl Unconfirmed {
    fn timeout(&self) -> Duration {
        (INITIAL_RTO * (1 << self.retries.min(10))).min(MAX_RTO)
    }
}

impl Open {
    /// SYN-RECEIVED. Once our side was closed the states after it count.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed.is_some() && self.state == Synchronised::Established
    }

    /// The SYN-ACK, if it is due. It acknowledges the data of the SYN.
    pub(crate) fn syn_ack(&mut self, now: Instant, common: &mut Common) -> Option<Outgoing> {
        let half = self.unconfirmed.as_mut()?;
        let reason = half.due.take()?;
        common.timers.set(Timer::Rto, now + half.timeout());
        let ecn = half.peer.ecn.take_syn_ack(reason, half.retries);
        let mut header = syn_ack_header(now, common.ports, &half.start, &half.offer, &half.peer, ecn);
        header.ack = self.receiver.rcv_nxt;
        header.options.set_fast_open(half.cookie);
        header.window = self.receiver.offer_unscaled(&common.rx);
        self.receiver.handle_ack_sent();
        self.clock.last_ack_sent = self.receiver.rcv_nxt;
        let why = Why::new(reason).with("retries", u64::from(half.retries)).with("fast_open", 1);
        Some(Outgoing::bare(header, why))
    }
}

/// The connections of a listener that began with their SYN and are not confirmed: a limited number, so that cookies
/// which somebody has collected do not fill the memory (RFC 7413 section 5.1).
#[derive(Debug)]
pub(crate) struct FastOpenQueue<K> {
    pending: BTreeSet<K>,
    /// Until when those count that the peer has reset, in order: an attacker must not make room by resetting.
    reset: VecDeque<Instant>,
}

/// How long a connection counts that was reset before it was confirmed. Linux has the same.
const RESET_COUNTS: Duration = Duration::from_secs(60);

impl<K: Copy + Ord> FastOpenQueue<K> {
    pub(crate) const fn new() -> Self {
        Self { pending: BTreeSet::new(), reset: VecDeque::new() }
    }

    /// How many wait for their ACK.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is room for another below `limit`.
    pub(crate) fn has_room(&mut self, now: Instant, limit: usize) -> bool {
        while self.reset.front().is_some_and(|&until| until <= now) {
            self.reset.pop_front();
        }
        self.pending.len() + self.reset.len() < limit
    }

    pub(crate) fn push(&mut self, key: K) {
        self.pending.insert(key);
    }

    /// One is confirmed, or over.
    pub(crate) fn remove(&mut self, now: Instant, key: &K, reset: bool) {
        if self.pending.remove(key) && reset {
            self.reset.push_back(now + RESET_COUNTS);
        }
    }
}

#[cfg(test)]
mod tests;
