//! Plays the peer, segment by segment, as the state of our stack allows it.

use ustack::buf::frame::Checksum;
use ustack::time::{Duration, Instant};
use ustack::wire::ip::Packet;
use ustack::wire::tcp::{Flags, Header};

use super::super::error::Error;
use super::super::host::{Host, Sent};
use super::super::readdress::readdress;
use super::super::report::Stalled;
use super::super::stream::Stream;
use super::app::App;
use super::history::History;
use super::mapping::{Substitutes, packet};
use super::script::{Cue, ErrorCue, Opening, Script};
use super::trace::{Numbering, Segment};
use crate::events::EventLog;

/// How long a segment waits for what our stack will do of itself sooner or later, such as sending again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the peer waits for more before it acknowledges what our stack has sent so far.
const ACK_PATIENCE: Duration = Duration::from_millis(20);
/// Time for delayed acknowledgments when all is played; less than any retransmission takes.
const SETTLE: Duration = Duration::from_millis(150);
/// Without progress for so long nothing will ever happen.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Bytes of the peer that may be under way beyond what was recorded, because our acknowledgments come later.
const SLACK: i64 = 2 * 1460;
/// Events for each recorded segment; more means that both sides go round in circles.
const EVENTS_PER_SEGMENT: usize = 200;

/// A run: our stack with its application, and the peer's script.
#[derive(Debug)]
pub(super) struct Player<'a> {
    script: &'a Script,
    host: Host,
    app: App<'a>,
    now: Instant,
    next: usize,
    next_error: usize,
    /// When the last segment was played, and when anything last went on.
    played_at: Instant,
    progress_at: Instant,
    /// Everything the stack sent.
    segments: History,
    sent: Stream,
    numbering: Option<Numbering>,
    sent_end: i64,
    /// What the stack has acknowledged, and up to where its window lets the peer send.
    acked: i64,
    right_edge: i64,
    /// What the peer has acknowledged, and sent.
    peer_acked: i64,
    peer_sent: i64,
    peer_right_edge: i64,
    added_acks: usize,
    broken_rules: Vec<String>,
    stalled: Option<Stalled>,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) played: usize,
    pub(super) added_acks: usize,
    pub(super) time: Duration,
    pub(super) read: Vec<u8>,
    pub(super) sent: Stream,
    pub(super) segments: Vec<Segment>,
    pub(super) broken_rules: Vec<String>,
    pub(super) stalled: Option<Stalled>,
}

/// When a segment may be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At that time.
    At(Instant),
    /// When our stack has done something; at the latest then, if there is a time.
    Waits(&'static str, Option<Instant>),
}

impl<'a> Player<'a> {
    pub(super) fn new(script: &'a Script, seed: u64, events: Option<&EventLog>) -> Result<Self, Error> {
        let mut host = Host::new(script.local, script.remote, script.mtu, seed)?;
        host.events = events.cloned();
        let refused = |error| Error::Stack { address: script.local, error };
        let (local, remote) = (host.scoped(script.local), host.scoped(script.remote));
        let settings = script.settings.clone();
        let (listener, socket) = match script.opening {
            Opening::Listen => (Some(host.stack.tcp_listen(local, 16, settings).map_err(refused)?), None),
            Opening::Connect => {
                let connected = host.stack.tcp_connect(Instant::ZERO, remote, Some(local), settings);
                (None, Some(connected.map_err(refused)?))
            }
            Opening::Nothing => (None, None),
        };
        Ok(Self {
            script,
            host,
            app: App::new(&script.actions, script.ours.bytes(), listener, socket),
            now: Instant::ZERO,
            next: 0,
            next_error: 0,
            played_at: Instant::ZERO,
            progress_at: Instant::ZERO,
            segments: History::default(),
            sent: Stream::default(),
            numbering: None,
            sent_end: 0,
            acked: 0,
            right_edge: 0,
            peer_acked: 0,
            peer_sent: 0,
            peer_right_edge: 0,
            added_acks: 0,
            broken_rules: Vec::new(),
            stalled: None,
        })
    }

    /// Plays until the script and the application are done, or nothing goes on.
    pub(super) fn run(&mut self) {
        let most = (self.script.cues.len() + self.script.segments.len() + 10) * EVENTS_PER_SEGMENT;
        for _ in 0..most {
            self.settle();
            let Some(at) = self.next_event() else { return };
            self.now = self.now.max(at);
            self.host.handle_timeout(self.now);
            self.settle();
            self.play();
        }
        self.stalled = Some(self.stall("nothing comes to an end"));
    }

    pub(super) fn finish(self) -> Outcome {
        Outcome {
            played: self.next + self.next_error,
            added_acks: self.added_acks,
            time: self.now - Instant::ZERO,
            read: self.app.read,
            sent: self.sent,
            segments: self.segments.into_segments(),
            broken_rules: self.broken_rules,
            stalled: self.stalled,
        }
    }

    /// Lets the application act and takes what the stack sends, until both are quiet.
    fn settle(&mut self) {
        loop {
            self.app.run(self.now, &mut self.host.stack, self.peer_acked);
            let before = self.segments.len();
            while let Some(sent) = self.host.poll_transmit(self.now) {
                self.note(&sent);
            }
            if self.segments.len() == before {
                return;
            }
        }
    }

    /// When something happens next; none at the end.
    fn next_event(&mut self) -> Option<Instant> {
        let error = self.next_error().map(|cue| self.when_error(cue));
        let over = self.next == self.script.cues.len() && self.app.is_done() && error.is_none();
        let app = self.app.poll_timeout();
        let cue = error.or_else(|| self.script.cues.get(self.next).map(|cue| self.when(cue)));
        let cue_at = match cue {
            Some(When::At(at)) | Some(When::Waits(_, Some(at))) => Some(at),
            _ => None,
        };
        let limit = self.progress_at + if over { SETTLE } else { GIVE_UP };
        let next = [app, cue_at, self.host.poll_timeout()].into_iter().flatten().min();
        match next {
            Some(at) if at <= limit => Some(at),
            _ if over => None,
            _ => {
                let what = match cue {
                    Some(When::Waits(what, _)) => what,
                    _ => "our application waits for bytes that never come",
                };
                self.stalled = Some(self.stall(what));
                None
            }
        }
    }

    fn stall(&self, what: &str) -> Stalled {
        let cue = self.script.cues.get(self.next);
        Stalled {
            packet: self.next_error().map(|error| error.number).or(cue.and_then(|cue| cue.trace.number)),
            segment: cue.map(|cue| cue.trace.to_string()),
            reason: what.to_string(),
        }
    }

    /// Plays all segments that may be played now.
    fn play(&mut self) {
        loop {
            while let Some(error) = self.next_error() {
                match self.when_error(error) {
                    When::At(at) | When::Waits(_, Some(at)) if at <= self.now => self.inject_error(error),
                    _ => return,
                }
                self.settle();
            }
            let Some(cue) = self.script.cues.get(self.next) else { return };
            let waited = match self.when(cue) {
                When::At(at) if at <= self.now => false,
                When::Waits(_, Some(at)) if at <= self.now => true,
                _ => return,
            };
            if !waited || !self.is_beyond(cue) {
                self.inject(cue, false);
                self.next += 1;
            } else if cue.trace.is_pure_ack() && cue.trace.ack.is_some_and(|ack| ack <= self.sent_end) {
                // It tells of segments that our stack has not sent: it tells of the others.
                self.inject(cue, false);
                self.next += 1;
            } else {
                self.inject(cue, true);
                self.added_acks += 1;
            }
            self.settle();
        }
    }

    /// Whether it acknowledges what our stack has not sent.
    fn is_beyond(&self, cue: &Cue) -> bool {
        let ack = cue.trace.ack.is_some_and(|ack| ack > self.sent_end);
        ack || cue.trace.sack.iter().any(|&(_, end)| end > self.sent_end)
    }

    /// When a segment may be played.
    fn when(&self, cue: &Cue) -> When {
        let mut due = self.played_at + cue.after_previous;
        if self.is_beyond(cue) {
            // The peer would acknowledge what has arrived, and our stack then sends the rest.
            let can_help =
                cue.trace.ack.is_some_and(|ack| ack > self.peer_acked) && self.sent_end > self.peer_acked;
            let is_sack = cue.trace.ack.is_some_and(|ack| ack <= self.sent_end) && cue.trace.is_pure_ack();
            let last_sent = self.segments.last().map_or(Instant::ZERO, |s| s.time);
            let wait = due.max(last_sent) + ACK_PATIENCE;
            let until = (can_help || is_sack).then_some(wait);
            return When::Waits("it acknowledges what our stack has not sent", until);
        }
        if let (Some(after), Some(ack)) = (cue.after_answered, cue.trace.ack)
            && let Some(at) = self.sent_before(ack)
        {
            due = due.max(at + after);
        }
        let latest = Some(due.max(self.progress_at) + PATIENCE);
        if cue.after_our_fin && !self.app.has_shut_down() {
            return When::Waits("our FIN was to be on its way", latest);
        }
        if cue.repeats.iter().any(|&(seq, times)| self.times_sent(seq) < times.min(2)) {
            return When::Waits("our side had sent something again before it", latest);
        }
        let new = cue.trace.end() > self.peer_sent && cue.trace.len > 0;
        if new && cue.trace.end() - self.acked > cue.flight.max(0) + SLACK {
            return When::Waits("our stack has not acknowledged what came before it", latest);
        }
        if new && cue.trace.end() > self.right_edge {
            return When::Waits("our window has no room for it", latest);
        }
        When::At(due)
    }

    /// The ICMP error that comes before the next segment of the peer.
    fn next_error(&self) -> Option<&'a ErrorCue> {
        self.script.errors.get(self.next_error).filter(|error| error.before <= self.next)
    }

    /// When an ICMP error may be played: some time after our stack has sent what it is about.
    fn when_error(&self, error: &ErrorCue) -> When {
        match self.sent_before(error.seq + 1) {
            Some(at) => When::At(at + error.after),
            None => When::Waits(
                "an ICMP error is about what our stack has not sent",
                Some(self.progress_at + PATIENCE),
            ),
        }
    }

    fn inject_error(&mut self, error: &ErrorCue) {
        let seq = self.numbering.map(|numbering| numbering.number(error.seq).get());
        let recorded = Packet::parse(&error.packet).map(|ip| ip.src);
        let (local, remote) = (self.script.local.ip(), self.script.remote.ip());
        // A router on the way keeps its address.
        let from = recorded.ok().filter(|_| !self.script.is_moved).unwrap_or(remote);
        let packet = readdress(&error.packet, from, local, remote, seq);
        self.next_error += 1;
        self.progress_at = self.now;
        self.host.handle_packet(self.now, &packet);
    }

    /// When the stack last sent what lies before `ack`.
    fn sent_before(&self, ack: i64) -> Option<Instant> {
        let covers = |s: &&Segment| s.occupies() && s.seq < ack && s.end() >= ack;
        self.segments.iter().rev().find(covers).map(|s| s.time)
    }

    fn times_sent(&self, seq: i64) -> usize {
        let reaching = self.segments.reaching(seq + 1).iter();
        reaching.filter(|s| s.occupies() && s.seq <= seq && s.end() > seq).count()
    }

    /// Lets a segment arrive, or only an acknowledgment of what our stack has sent so far.
    fn inject(&mut self, cue: &Cue, only_ack: bool) {
        let number = |distance: i64| self.numbering.map(|numbering| numbering.number(distance));
        let ack = cue.trace.ack.map(|ack| if only_ack { ack.min(self.sent_end) } else { ack });
        let clip = |&(start, end): &(i64, i64)| {
            let end = end.min(self.sent_end);
            let block = (number(start)?, number(end)?);
            (end > start && !only_ack).then_some(block)
        };
        let substitutes = Substitutes {
            ack: ack
                .and_then(number)
                .filter(|_| !cue.trace.flags.contains(Flags::RST) || self.numbering.is_some()),
            sack: cue.trace.sack.iter().filter_map(clip).collect(),
            echo: cue.segment.header.options.timestamps.map(|_| self.echo(cue)),
            only_ack,
        };
        let packet = packet(&cue.segment, self.script.remote, self.script.local, &substitutes);
        self.played_at = self.now;
        self.progress_at = self.now;
        self.note_peer(cue, ack, only_ack);
        self.host.handle_packet(self.now, &packet);
    }

    fn note_peer(&mut self, cue: &Cue, ack: Option<i64>, only_ack: bool) {
        if !only_ack && cue.trace.occupies() {
            self.peer_sent = self.peer_sent.max(cue.trace.end());
        }
        let Some(ack) = ack.filter(|_| !cue.trace.flags.contains(Flags::RST)) else { return };
        self.peer_acked = self.peer_acked.max(ack);
        let window = i64::from(cue.trace.header.window);
        let shift = if cue.trace.flags.contains(Flags::SYN) { 0 } else { self.peer_shift() };
        self.peer_right_edge = self.peer_right_edge.max(ack + (window << shift));
    }

    /// How the windows that the peer announces are scaled.
    fn peer_shift(&self) -> u8 {
        self.segments.offered_shift().and(self.script.their_shift).unwrap_or(0).min(14)
    }

    /// The timestamp that the peer echoes: that of our segment which stands for the recorded one.
    fn echo(&self, cue: &Cue) -> u32 {
        let value = |s: &Segment| s.header.options.timestamps.map(|t| t.value);
        let Some((seq, end)) = cue.echoed else {
            return if cue.segment.header.options.timestamps.is_some_and(|t| t.echo == 0) {
                0
            } else {
                self.segments.iter().rev().find_map(value).unwrap_or(0)
            };
        };
        self.segments.covering(seq, end).or(self.segments.last()).and_then(value).unwrap_or(0)
    }

    /// Takes a packet that the stack sent.
    fn note(&mut self, sent: &Sent) {
        let Ok(ip) = Packet::parse(&sent.bytes) else {
            self.broken_rules.push("our stack sent a packet that cannot be read".to_string());
            return;
        };
        let (header, payload) = match Header::parse(ip.payload, ip.src, ip.dst, Checksum::Full) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.broken_rules.push(format!("our stack sent what is no segment: {error}"));
                return;
            }
        };
        let numbering = self.numbering.get_or_insert(Numbering::new(header.seq));
        let mut theirs = self.script.their_numbering;
        let mut segment = Segment::new(self.now, &header, payload.len(), numbering, &mut theirs);
        segment.why = Some(sent.why);
        self.check(&segment);
        self.sent.put(segment.seq - 1 + i64::from(segment.flags.contains(Flags::SYN)), payload);
        let reset = segment.flags.contains(Flags::RST);
        if segment.occupies() && segment.end() > self.sent_end {
            self.sent_end = segment.end();
            self.progress_at = self.now;
        }
        if let Some(ack) = segment.ack.filter(|_| !reset) {
            if ack > self.acked {
                self.progress_at = self.now;
            }
            self.acked = self.acked.max(ack);
            self.right_edge =
                self.right_edge.max(ack + (i64::from(header.window) << self.our_shift(&header)));
        }
        self.segments.push(segment);
    }

    /// How the windows that our stack announces are scaled.
    fn our_shift(&self, header: &Header) -> u8 {
        if header.flags.contains(Flags::SYN) {
            return 0;
        }
        self.segments.offered_shift().filter(|_| self.script.their_shift.is_some()).unwrap_or(0)
    }

    /// What a segment must be, whatever was recorded.
    fn check(&mut self, segment: &Segment) {
        let reset = segment.flags.contains(Flags::RST);
        let mut broken = |rule: String| self.broken_rules.push(format!("{rule}: {segment}"));
        if let Some(ack) = segment.ack.filter(|_| !reset) {
            if ack > self.peer_sent {
                broken(format!("acknowledges {ack}, but only {} was sent", self.peer_sent));
            }
            if ack < self.acked {
                broken(format!("takes back the acknowledgment of {}", self.acked));
            }
        }
        let handshake = segment.flags.contains(Flags::SYN) || reset || self.peer_right_edge == 0;
        // One byte or FIN beyond the window is a probe.
        if !handshake && segment.occupies() && segment.end() > self.peer_right_edge.max(self.sent_end) + 1 {
            broken(format!("sends beyond the window, which ends at {}", self.peer_right_edge));
        }
        let last = self.script.ours.len() as i64 + 2;
        if segment.end() > last && !reset {
            broken(format!("sends beyond the end of its stream, {last}"));
        }
        for &(start, end) in &segment.sack {
            if start >= end || end > self.peer_sent {
                broken(format!("reports {start}..{end}, but only {} was sent", self.peer_sent));
            }
        }
    }
}
