//! Conversations of a capture: who talked with whom, how much, and what had to be sent again.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use ustack::time::{Duration, Instant};
use ustack::wire::tcp::{Flags, Header};

use super::segment::Seen;
use super::stream::{Stream, Verdict};

/// Conversations that are told apart; packets of further ones are only listed.
pub(super) const MAX_CONVERSATIONS: usize = 100_000;
/// Retransmissions that are listed of one conversation; further ones are only counted.
const MAX_LISTED: usize = 1000;

/// All conversations, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// Which one is under way between two ends. Two interfaces of one capture see the same packet, each for itself.
    current: BTreeMap<(usize, bool, SocketAddr, SocketAddr), usize>,
    all: Vec<Conversation>,
    /// Packets for which there was no room.
    pub(super) omitted: u64,
}

/// A TCP connection, or the datagrams between two UDP ports.
#[derive(Debug, Serialize)]
pub(super) struct Conversation {
    pub(super) protocol: &'static str,
    #[serde(skip)]
    pub(super) interface: usize,
    /// Who spoke first (for TCP: who sent the SYN).
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// Seconds since the capture's first packet.
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) state: State,
    /// From the SYN to the ACK of the SYN-ACK, in microseconds.
    pub(super) handshake_us: Option<u64>,
    pub(super) from_client: Side,
    pub(super) from_server: Side,
    pub(super) retransmissions: Vec<Retransmission>,
    pub(super) retransmissions_omitted: u64,
    #[serde(skip)]
    syn_time: Option<Instant>,
}

/// How far a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// UDP knows no states.
    Datagrams,
    /// The handshake was not seen: the capture began later.
    Midstream,
    /// A SYN that was not answered.
    Opening,
    Established,
    /// One side has ended its stream.
    HalfClosed,
    /// Both have.
    Closed,
    /// A RST answered the SYN.
    Refused,
    Reset,
}

/// What one side sent.
#[derive(Debug, Default, Serialize)]
pub(super) struct Side {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Segments whose bytes were seen before.
    pub(super) retransmitted: u64,
    /// Segments that filled a hole.
    pub(super) late: u64,
    pub(super) duplicate_acks: u64,
    pub(super) zero_windows: u64,
    pub(super) probes: u64,
    #[serde(skip)]
    stream: Stream,
    #[serde(skip)]
    finished: bool,
    /// Duplicate ACKs in a row: what makes the other side send again.
    #[serde(skip)]
    duplicates_in_a_row: u32,
    /// The last ACK carried SACK blocks.
    #[serde(skip)]
    sacked: bool,
    #[serde(skip)]
    window: Option<u16>,
}

/// A segment that was sent again.
#[derive(Debug, Serialize)]
pub(super) struct Retransmission {
    pub(super) packet: u64,
    /// Seconds since the capture's first packet.
    pub(super) time: f64,
    pub(super) from: SocketAddr,
    pub(super) seq: u32,
    pub(super) len: u32,
    pub(super) why: String,
    /// The reason was written by the sender, not guessed from the packets.
    pub(super) told: bool,
}

/// What is known of a packet beside its headers.
pub(super) struct Context<'a> {
    pub(super) number: u64,
    pub(super) interface: usize,
    pub(super) time: Instant,
    /// Since the first packet.
    pub(super) elapsed: Duration,
    /// The reason that its sender wrote into the comment.
    pub(super) why: Option<&'a str>,
}

impl Conversations {
    pub(super) fn all(&self) -> &[Conversation] {
        &self.all
    }

    pub(super) fn handle(&mut self, seen: &Seen, context: &Context<'_>) {
        let is_tcp = seen.tcp.is_some();
        let (low, high) = if seen.src <= seen.dst { (seen.src, seen.dst) } else { (seen.dst, seen.src) };
        let key = (context.interface, is_tcp, low, high);
        let opens = seen.tcp.is_some_and(|tcp| tcp.flags & (Flags::SYN | Flags::ACK) == Flags::SYN);
        let index = match self.current.get(&key) {
            // A SYN between ports whose connection is over begins another.
            Some(&index) if !(opens && self.all[index].is_over()) => index,
            _ if self.all.len() >= MAX_CONVERSATIONS => {
                self.omitted += 1;
                return;
            }
            _ => {
                self.all.push(Conversation::new(seen, context));
                self.current.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        self.all[index].handle(seen, context);
    }
}

impl Conversation {
    fn new(seen: &Seen, context: &Context<'_>) -> Self {
        let (state, client, server) = match &seen.tcp {
            None => (State::Datagrams, seen.src, seen.dst),
            Some(tcp) if tcp.flags.contains(Flags::SYN | Flags::ACK) => (State::Opening, seen.dst, seen.src),
            Some(tcp) if tcp.flags.contains(Flags::SYN) => (State::Opening, seen.src, seen.dst),
            Some(_) => (State::Midstream, seen.src, seen.dst),
        };
        Self {
            protocol: if seen.tcp.is_some() { "tcp" } else { "udp" },
            interface: context.interface,
            client,
            server,
            start: context.elapsed.as_secs_f64(),
            end: context.elapsed.as_secs_f64(),
            state,
            handshake_us: None,
            from_client: Side::default(),
            from_server: Side::default(),
            retransmissions: Vec::new(),
            retransmissions_omitted: 0,
            syn_time: None,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Refused | State::Reset)
    }

    fn handle(&mut self, seen: &Seen, context: &Context<'_>) {
        self.end = context.elapsed.as_secs_f64();
        let from_client = seen.src == self.client;
        let (sender, peer) = match from_client {
            true => (&mut self.from_client, &mut self.from_server),
            false => (&mut self.from_server, &mut self.from_client),
        };
        sender.packets += 1;
        let Some(tcp) = &seen.tcp else {
            sender.bytes += u64::from(seen.len);
            return;
        };
        let verdict = sender.stream.handle_segment(context.time, tcp, seen.len);
        let cause = peer.cause();
        match verdict {
            Verdict::New | Verdict::Late => sender.bytes += u64::from(seen.len),
            Verdict::Again { .. } => sender.retransmitted += 1,
            Verdict::Probe => sender.probes += 1,
            Verdict::Empty => {}
        }
        sender.late += u64::from(verdict == Verdict::Late);
        if tcp.flags.contains(Flags::ACK) {
            sender.handle_ack(peer, tcp, seen.len, verdict);
        }
        self.follow(tcp, from_client, context);
        self.list(verdict, seen, context, cause);
    }

    /// Follows the states of the connection.
    fn follow(&mut self, tcp: &Header, from_client: bool, context: &Context<'_>) {
        let flags = tcp.flags;
        if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) && from_client {
            self.syn_time = Some(context.time);
        }
        let side = if from_client { &mut self.from_client } else { &mut self.from_server };
        side.finished |= flags.contains(Flags::FIN);
        let finished = [self.from_client.finished, self.from_server.finished];
        self.state = match self.state {
            State::Opening if flags.contains(Flags::RST) => State::Refused,
            State::Closed => State::Closed,
            _ if flags.contains(Flags::RST) => State::Reset,
            State::Opening if from_client && flags & (Flags::ACK | Flags::SYN) == Flags::ACK => {
                self.handshake_us = self.syn_time.map(|time| context.time.since(time).as_micros());
                State::Established
            }
            _ if finished == [true, true] => State::Closed,
            _ if finished != [false, false] => State::HalfClosed,
            state => state,
        };
    }

    /// Lists what was sent again, with the reason that the sender tells, or that the packets suggest.
    fn list(&mut self, verdict: Verdict, seen: &Seen, context: &Context<'_>, cause: Cause) {
        let told = context.why.filter(|why| is_retransmission(why)).map(str::to_string);
        let why = match (verdict, told) {
            (_, Some(told)) => (told, true),
            (Verdict::Again { after, needless }, None) => (suggest(after, needless, cause), false),
            _ => return,
        };
        if self.retransmissions.len() >= MAX_LISTED {
            self.retransmissions_omitted += 1;
            return;
        }
        self.retransmissions.push(Retransmission {
            packet: context.number,
            time: context.elapsed.as_secs_f64(),
            from: seen.src,
            seq: seen.tcp.map_or(0, |tcp| tcp.seq.get()),
            len: seen.len,
            why: why.0,
            told: why.1,
        });
    }
}

/// What the receiver of a stream had said when its sender sent again.
#[derive(Clone, Copy, Debug)]
struct Cause {
    duplicates: u32,
    sacked: bool,
}

impl Side {
    fn cause(&self) -> Cause {
        Cause { duplicates: self.duplicates_in_a_row, sacked: self.sacked }
    }

    /// This side acknowledges what `peer` sent.
    fn handle_ack(&mut self, peer: &mut Self, tcp: &Header, len: u32, verdict: Verdict) {
        if tcp.flags.contains(Flags::RST) {
            return;
        }
        let nothing_new = peer.stream.handle_ack(tcp.ack);
        // RFC 5681 section 2: a duplicate ACK carries no data, and neither SYN nor FIN, and leaves the window alone.
        let duplicate = nothing_new
            && len == 0
            && verdict == Verdict::Empty
            && peer.stream.in_flight()
            && (self.window == Some(tcp.window) || !tcp.options.sack.is_empty());
        if duplicate {
            self.duplicate_acks += 1;
            self.duplicates_in_a_row += 1;
        } else if !nothing_new {
            self.duplicates_in_a_row = 0;
        }
        self.sacked = !tcp.options.sack.is_empty();
        self.zero_windows += u64::from(tcp.window == 0 && self.window != Some(0));
        self.window = Some(tcp.window);
    }
}

/// Whether a `why` tells that bytes are sent again.
fn is_retransmission(why: &str) -> bool {
    let word = why.split_whitespace().next().unwrap_or_default().trim_start_matches("why=");
    [
        "fast-retransmit",
        "recovery-retransmit",
        "rto",
        "rto-recovery",
        "tail-loss-probe",
        "syn-rto",
        "syn-ack-rto",
    ]
    .contains(&word)
}

/// What the packets alone suggest.
fn suggest(after: Option<Duration>, needless: bool, cause: Cause) -> String {
    let after = after.map_or(String::new(), |after| format!(", {after} after the last time"));
    if needless {
        format!("needless: it had been acknowledged{after}")
    } else if cause.sacked {
        format!("SACK showed a hole{after}")
    } else if cause.duplicates >= 3 {
        format!("{} duplicate ACKs{after}", cause.duplicates)
    } else {
        format!("no ACK came: timer or probe{after}")
    }
}
