//! What was recorded, as a script: what the peer plays and what each of its segments waits for, what our application
//! does and when, and what is expected.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ustack::tcp::Settings;
use ustack::time::{Duration, Instant};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};

use super::super::Role;
use super::super::conversation::{self, Conversation, Data};
use super::super::error::Error;
use super::super::stream::Stream;
use super::app::{Act, Action};
use super::trace::{Numbering, Segment};

/// A pause this long, with nothing under way, is the application's: the recorded side had nothing to send.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection, seen from the side that the stack takes.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) opening: Opening,
    pub(super) settings: Settings,
    pub(super) mtu: usize,
    /// The addresses are not the recorded ones.
    pub(super) is_moved: bool,
    /// What the peer plays.
    pub(super) cues: Vec<Cue>,
    /// ICMP errors about our segments, in order.
    pub(super) errors: Vec<ErrorCue>,
    /// What our application does.
    pub(super) actions: Vec<Action>,
    /// What our side sent.
    pub(super) segments: Vec<Segment>,
    pub(super) ours: Stream,
    pub(super) theirs: Stream,
    pub(super) their_numbering: Option<Numbering>,
    /// How the peer scales its windows, if it offered that.
    pub(super) their_shift: Option<u8>,
    acked_by_us: i64,
    acked_by_them: i64,
}

/// How our side begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Connect,
    Listen,
    /// Nobody is there.
    Nothing,
}

/// A segment of the peer and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Cue {
    pub(super) segment: conversation::Segment,
    /// As it was recorded.
    pub(super) trace: Segment,
    /// Since the peer's previous segment.
    pub(super) after_previous: Duration,
    /// It acknowledges more than those before it: how long after our side sent what it acknowledges.
    pub(super) after_answered: Option<Duration>,
    /// Places in our stream that our side had sent again before it, and how often each.
    pub(super) repeats: Vec<(i64, usize)>,
    /// Bytes of the peer that were under way when it was sent, itself included.
    pub(super) flight: i64,
    /// Our own FIN crosses it on the way: it comes after our application has ended the stream.
    pub(super) after_our_fin: bool,
    /// The segment of our side whose timestamp it echoes.
    pub(super) echoed: Option<(i64, i64)>,
}

/// An ICMP error about a segment of ours.
#[derive(Clone, Debug)]
pub(super) struct ErrorCue {
    /// Its number in the capture.
    pub(super) number: u64,
    /// As it was recorded.
    pub(super) packet: Vec<u8>,
    /// The first byte of the segment that it is about.
    pub(super) seq: i64,
    /// How long after the segment it came.
    pub(super) after: Duration,
    /// How many segments of the peer came before it.
    pub(super) before: usize,
}

impl Script {
    pub(super) fn new(conversation: &Conversation, role: Role) -> Result<Self, Error> {
        Builder::new(conversation, role)?.build()
    }

    /// Bytes of the peer's stream that the recorded side acknowledged.
    pub(super) fn acked_by_us(&self) -> usize {
        clamp(self.acked_by_us, &self.theirs)
    }

    /// Bytes of our stream that the peer acknowledged.
    pub(super) fn acked_by_them(&self) -> usize {
        clamp(self.acked_by_them, &self.ours)
    }
}

/// An acknowledgment number as bytes of a stream: without SYN and FIN.
fn clamp(ack: i64, stream: &Stream) -> usize {
    usize::try_from(ack - 1).unwrap_or(0).min(stream.bytes().len())
}

struct Builder<'a> {
    conversation: &'a Conversation,
    role: Role,
    begin: Instant,
    our_numbering: Numbering,
    their_numbering: Option<Numbering>,
    /// The first segment of the peer is theirs by which numbers are counted, even if it is a RST.
    cues: Vec<Cue>,
    segments: Vec<Segment>,
    actions: Vec<Action>,
    ours: Stream,
    theirs: Stream,
    our_sent: i64,
    their_sent: i64,
    acked_by_us: i64,
    acked_by_them: i64,
    their_fin: Option<i64>,
    our_fin: Option<i64>,
    /// When each part of the peer's stream was first there: end and time.
    arrivals: Vec<(i64, Instant)>,
    last_from_them: Option<Instant>,
    /// Before this one, all our segments are acknowledged.
    open: usize,
    /// The first segment of ours with each timestamp: its numbers.
    stamped: BTreeMap<u32, (i64, i64)>,
    errors: Vec<ErrorCue>,
}

impl<'a> Builder<'a> {
    fn new(conversation: &'a Conversation, role: Role) -> Result<Self, Error> {
        let headers = |from: Role| {
            conversation.frames.iter().filter(move |frame| frame.from == from).filter_map(|f| match &f.data {
                Data::Tcp(segment) => Some(&segment.header),
                _ => None,
            })
        };
        let syn = |from: Role| headers(from).find(|h| h.flags.contains(Flags::SYN)).map(|h| h.seq);
        let other = role.other();
        let missing = |side: Role| Error::Midstream { side: side.name() };
        // Who was refused before saying anything has no SYN: its RST counts from what it acknowledges.
        let theirs = syn(other)
            .or_else(|| headers(other).next().filter(|h| h.flags.contains(Flags::RST)).map(|h| h.seq));
        let theirs = match theirs {
            Some(first) => Some(first),
            None if headers(other).next().is_none() => None,
            None => return Err(missing(other)),
        };
        // Our own SYN may be lost on the way to where the capture was made.
        let acknowledged = || headers(other).find(|h| h.flags.contains(Flags::ACK)).map(|h| h.ack - 1);
        let rst = || headers(role).next().filter(|h| h.flags.contains(Flags::RST)).map(|h| h.seq);
        let ours = syn(role).or_else(rst).or_else(acknowledged);
        let Some(ours) = ours.or((theirs.is_some()).then(Default::default)) else {
            return Err(missing(role));
        };
        Ok(Self {
            conversation,
            role,
            begin: conversation.frames.first().map_or(Instant::ZERO, |frame| frame.time),
            our_numbering: Numbering::new(ours),
            their_numbering: theirs.map(Numbering::new),
            cues: Vec::new(),
            segments: Vec::new(),
            actions: Vec::new(),
            ours: Stream::default(),
            theirs: Stream::default(),
            our_sent: 0,
            their_sent: 0,
            acked_by_us: 0,
            acked_by_them: 0,
            their_fin: None,
            our_fin: None,
            arrivals: Vec::new(),
            last_from_them: None,
            open: 0,
            stamped: BTreeMap::new(),
            errors: Vec::new(),
        })
    }

    fn build(mut self) -> Result<Script, Error> {
        for frame in &self.conversation.frames {
            let time = Instant::ZERO + (frame.time - self.begin);
            match &frame.data {
                Data::Tcp(segment) if frame.from == self.role => self.add_ours(frame.number, time, segment),
                Data::Tcp(segment) => self.add_theirs(frame.number, time, segment),
                Data::Icmp { packet, seq: Some(seq) } if frame.from != self.role => {
                    self.add_error(frame.number, time, packet, *seq);
                }
                _ => {}
            }
        }
        self.mark_crossing_fins();
        self.check_complete()?;
        let syn = self.segments.iter().find(|s| s.flags.contains(Flags::SYN)).map(|s| s.header);
        let opening = match syn {
            Some(_) if self.segments.iter().any(|s| s.flags & (Flags::SYN | Flags::ACK) == Flags::SYN) => {
                Opening::Connect
            }
            Some(_) => Opening::Listen,
            None => Opening::Nothing,
        };
        let local = self.conversation.stand_in(self.role);
        Ok(Script {
            local,
            remote: self.conversation.stand_in(self.role.other()),
            opening,
            settings: settings(syn.as_ref(), &self.theirs, &self.ours),
            mtu: mtu(local, syn.as_ref()),
            their_shift: self.cues.iter().find_map(|c| c.trace.header.options.window_scale),
            is_moved: self.conversation.needs_stand_ins(),
            errors: self.errors,
            cues: self.cues,
            actions: self.actions,
            segments: self.segments,
            ours: self.ours,
            theirs: self.theirs,
            their_numbering: self.their_numbering,
            acked_by_us: self.acked_by_us,
            acked_by_them: self.acked_by_them,
        })
    }

    fn add_ours(&mut self, number: u64, time: Instant, segment: &conversation::Segment) {
        let payload = segment.payload();
        let (own, other) = (&mut self.our_numbering, &mut self.their_numbering);
        let mut trace = Segment::new(time, &segment.header, payload.len(), own, other);
        trace.number = Some(number);
        if !trace.flags.contains(Flags::RST) {
            self.acked_by_us = self.acked_by_us.max(trace.ack.unwrap_or(0));
        }
        self.ours.put(trace.seq - 1 + i64::from(trace.flags.contains(Flags::SYN)), payload);
        self.add_action(&trace);
        if trace.occupies() {
            self.our_sent = self.our_sent.max(trace.end());
        }
        if let Some(stamps) = trace.header.options.timestamps {
            self.stamped.entry(stamps.value).or_insert((trace.seq, trace.end()));
        }
        self.segments.push(trace);
    }

    /// What our application did, judged by what its side sent.
    fn add_action(&mut self, trace: &Segment) {
        let ends = self.our_fin.is_some();
        if trace.flags.contains(Flags::RST) {
            // After both FINs, or against a SYN, it is the stack that says RST.
            let opened = self.segments.iter().any(|s| s.flags.contains(Flags::SYN));
            if opened && !(ends && self.their_fin.is_some()) {
                self.act(trace, Act::Abort, false);
            }
            return;
        }
        let data_end = trace.end() - i64::from(trace.flags.contains(Flags::FIN));
        if trace.len > 0 && data_end > self.our_sent.max(1) && !ends {
            self.act(trace, Act::Write { until: (data_end - 1) as u64 }, true);
        }
        if trace.flags.contains(Flags::FIN) && !ends {
            self.our_fin = Some(data_end);
            self.act(trace, Act::ShutDown, false);
        }
    }

    fn act(&mut self, trace: &Segment, act: Act, joins: bool) {
        let ack = trace.ack.unwrap_or(0);
        let at_end = self.their_fin.is_some_and(|fin| ack > fin);
        let after_read = u64::try_from(ack - 1 - i64::from(at_end)).unwrap_or(0);
        let start = self.our_sent.max(1);
        let is_idle = self.acked_by_them >= start;
        let since = self.last_from_them.map_or(Duration::ZERO, |last| trace.time.since(last));
        let pauses = is_idle && since >= PAUSE;
        if let Some(last) = self.actions.last_mut()
            && joins
            && !pauses
            && last.after_read == after_read
            && let (Act::Write { until }, Act::Write { until: further }) = (&mut last.act, &act)
        {
            *until = *further;
            return;
        }
        // The application thinks from when what it waited for was there.
        let first = self.arrivals.partition_point(|&(end, _)| end < ack);
        let ready = self.arrivals.get(first).map(|&(_, time)| time);
        let last = self.actions.last();
        let news = last.is_none_or(|last| last.after_read < after_read || (at_end && !last.after_end));
        let think = match (news, pauses) {
            (true, _) => ready.map_or(Duration::ZERO, |ready| trace.time.since(ready)),
            (false, true) => since,
            (false, false) => Duration::ZERO,
        };
        let after_acked = pauses.then_some(start).filter(|_| !news || self.acked_by_them > 1);
        self.actions.push(Action { act, after_read, after_end: at_end, after_acked, think });
    }

    fn add_theirs(&mut self, number: u64, time: Instant, segment: &conversation::Segment) {
        let payload = segment.payload();
        let mut far = Some(self.our_numbering);
        let Some(own) = &mut self.their_numbering else { return };
        let mut trace = Segment::new(time, &segment.header, payload.len(), own, &mut far);
        if let Some(far) = far {
            self.our_numbering = far;
        }
        trace.number = Some(number);
        let ack = trace.ack.filter(|_| !trace.flags.contains(Flags::RST) || trace.ack > Some(0));
        let advances = ack.is_some_and(|ack| ack > self.acked_by_them);
        let cue = Cue {
            segment: segment.clone(),
            after_previous: self.last_from_them.map_or(Duration::ZERO, |last| time.since(last)),
            after_answered: ack.filter(|_| advances).and_then(|ack| self.since_sent(time, ack)),
            repeats: ack.filter(|_| advances).map_or(Vec::new(), |ack| self.repeats_before(ack)),
            flight: trace.end() - self.acked_by_us.max(1),
            after_our_fin: false,
            echoed: self.echoed(&segment.header),
            trace,
        };
        let trace = &cue.trace;
        self.theirs.put(trace.seq - 1 + i64::from(trace.flags.contains(Flags::SYN)), payload);
        if trace.flags.contains(Flags::FIN) {
            self.their_fin.get_or_insert(trace.end() - 1);
        }
        if trace.occupies() && trace.end() > self.their_sent {
            self.their_sent = trace.end();
            self.arrivals.push((trace.end(), time));
        }
        self.acked_by_them = self.acked_by_them.max(ack.unwrap_or(0));
        let acked = self.segments[self.open..].iter().take_while(|s| s.end() <= self.acked_by_them).count();
        self.open += acked;
        self.last_from_them = Some(time);
        self.cues.push(cue);
    }

    /// An ICMP error about a segment of ours.
    fn add_error(&mut self, number: u64, time: Instant, packet: &[u8], seq: SeqNum) {
        let seq = self.our_numbering.distance(seq);
        let covers = |s: &&Segment| s.occupies() && s.seq <= seq && s.end() > seq;
        let after = self.segments.iter().rev().find(covers).map_or(Duration::ZERO, |s| time.since(s.time));
        self.errors.push(ErrorCue { number, packet: packet.to_vec(), seq, after, before: self.cues.len() });
    }

    /// How long ago our side sent, for the last time, what lies before `ack`.
    fn since_sent(&self, time: Instant, ack: i64) -> Option<Duration> {
        let covers = |s: &&Segment| s.occupies() && s.seq < ack && s.end() >= ack;
        self.segments.iter().rev().find(covers).map(|s| time.since(s.time))
    }

    /// Where our side repeated itself before the peer acknowledged up to `ack`.
    fn repeats_before(&self, ack: i64) -> Vec<(i64, usize)> {
        let new = |s: &&Segment| s.occupies() && s.seq >= self.acked_by_them && s.seq < ack;
        let mut counts = BTreeMap::<i64, usize>::new();
        for segment in self.segments[self.open..].iter().filter(new) {
            *counts.entry(segment.seq).or_default() += 1;
        }
        counts.into_iter().filter(|&(_, count)| count > 1).collect()
    }

    /// The numbers of the segment of ours whose timestamp `header` echoes.
    fn echoed(&self, header: &Header) -> Option<(i64, i64)> {
        self.stamped.get(&header.options.timestamps?.echo).copied()
    }

    /// Where both FINs were under way at the same time, ours must be sent before the peer's arrives.
    fn mark_crossing_fins(&mut self) {
        let Some(fin) = self.their_fin else { return };
        let ours = self.segments.iter().find(|s| s.flags.contains(Flags::FIN));
        if ours.is_some_and(|s| s.ack.is_some_and(|ack| ack <= fin)) {
            let carries = |cue: &&mut Cue| cue.trace.flags.contains(Flags::FIN);
            self.cues.iter_mut().filter(carries).for_each(|cue| cue.after_our_fin = true);
        }
    }

    /// What was acknowledged must be in the capture.
    fn check_complete(&self) -> Result<(), Error> {
        let sides = [
            (&self.theirs, self.acked_by_us, self.their_fin, self.role.other()),
            (&self.ours, self.acked_by_them, self.our_fin, self.role),
        ];
        for (stream, acked, fin, side) in sides {
            let acked = u64::try_from(acked.min(fin.unwrap_or(i64::MAX)) - 1).unwrap_or(0);
            if stream.len() < acked {
                let to = stream.after_hole().map_or(acked, |next| next.min(acked));
                return Err(Error::Missing { side: side.name(), from: stream.len(), to });
            }
        }
        Ok(())
    }
}

/// The settings with which the stack offers what the recorded side offered.
fn settings(syn: Option<&Header>, theirs: &Stream, ours: &Stream) -> Settings {
    const LEAST: usize = 1 << 20;
    const MOST: usize = 64 << 20;
    let room = |stream: &Stream| (stream.bytes().len() + (64 << 10)).clamp(LEAST, MOST);
    let mut settings =
        Settings { nodelay: true, recv_buffer: room(theirs), send_buffer: room(ours), ..Settings::default() };
    if let Some(syn) = syn {
        settings.timestamps = syn.options.timestamps.is_some();
        settings.sack = syn.options.sack_permitted;
        settings.window_scaling = syn.options.window_scale.is_some();
        settings.max_mss = syn.options.mss;
    }
    settings
}

/// The MTU behind the MSS that the recorded side offered.
fn mtu(local: SocketAddr, syn: Option<&Header>) -> usize {
    let headers = if local.is_ipv4() { 40 } else { 60 };
    let least = if local.is_ipv4() { 576 } else { 1280 };
    syn.and_then(|syn| syn.options.mss).map_or(1500, |mss| usize::from(mss) + headers).clamp(least, 65_535)
}
