//! What the rows of a ladder say.

use std::fmt::Write as _;
use std::ops::Range;

use ustack::sim::{Corruption, Drop};
use ustack::time::{Duration, Instant};
use ustack::why::{Reason, Why};

use super::super::frame::{Arrival, Content, Frame, Side};
use super::super::peer::CLOSED_PORT;
use super::super::stream::{Effect, Stream, number_of, span};
use super::super::style::Paint;

/// A row of a ladder.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) time: Duration,
    pub(super) from: Side,
    pub(super) kind: Kind,
    label: String,
    /// The whole messages that it carries, if it says nothing else.
    numbers: Option<Range<usize>>,
    /// How many frames it stands for.
    count: usize,
    fate: Vec<String>,
    pub(super) end: End,
    pub(super) paint: Paint,
    why: String,
    effect: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From one side to the other.
    Whole,
    Departure,
    Arrival,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Arrives,
    Lost,
    Damaged,
}

/// What an arrival leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    Stream(Effect),
    Says(String),
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Departure(usize),
    Arrival(usize, Arrival),
}

/// The rows of a conversation's ladder; times count from the first.
pub(crate) fn rows(frames: &[Frame], stream: &Stream) -> Vec<Row> {
    let events = in_order(frames);
    let start = start(frames);
    let mut stream = stream.clone();
    let mut read = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut departed = None;
    for event in events {
        match event {
            Event::Departure(index) => {
                departed = Some(index);
                let row = Row::departure(&frames[index], &stream, start);
                push(&mut rows, row);
            }
            Event::Arrival(index, arrival) => {
                let frame = &frames[index];
                let effect = effect(frame, arrival, &mut stream, &mut read);
                let is_next = departed.take() == Some(index);
                match rows.last_mut() {
                    Some(row) if is_next && row.count == 1 => row.arrives(frame, effect),
                    _ => push(&mut rows, Row::arrival(frame, arrival, effect, &stream, start)),
                }
            }
        }
    }
    rows
}

/// When a ladder begins.
pub(crate) fn start(frames: &[Frame]) -> Instant {
    frames.iter().find(|frame| frame.is_shown()).map_or(Instant::ZERO, |frame| frame.time)
}

/// Adds a row, or lets the last one stand for it too.
fn push(rows: &mut Vec<Row>, row: Row) {
    match rows.last_mut() {
        Some(last) if last.joins(&row) => last.join(&row),
        _ => rows.push(row),
    }
}

/// Departures and arrivals, in the order of time; what arrives at the time of a departure may be its cause.
fn in_order(frames: &[Frame]) -> Vec<Event> {
    let mut waiting: Vec<(Instant, usize, Arrival)> = Vec::new();
    let mut events = Vec::new();
    for (index, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.is_shown()) {
        // Stable: what was sent first arrives first, if both arrive at one time.
        waiting.sort_by_key(|(time, ..)| *time);
        let due = waiting.partition_point(|(time, ..)| *time <= frame.time);
        events.extend(waiting.drain(..due).map(|(_, index, arrival)| Event::Arrival(index, arrival)));
        events.push(Event::Departure(index));
        waiting.extend(frame.arrivals().map(|arrival| (arrival.time, index, arrival)));
    }
    waiting.sort_by_key(|(time, ..)| *time);
    events.extend(waiting.drain(..).map(|(_, index, arrival)| Event::Arrival(index, arrival)));
    events
}

impl Row {
    fn departure(frame: &Frame, stream: &Stream, start: Instant) -> Self {
        let fate = frame.passage.fate;
        let end = match fate {
            _ if fate.drop.is_some() => End::Lost,
            _ if fate.corrupt.is_some() => End::Damaged,
            _ => End::Arrives,
        };
        let paint = match end {
            End::Lost | End::Damaged => Paint::Bad,
            End::Arrives if fate.reorder || fate.duplicate.is_some() => Paint::Odd,
            End::Arrives if is_repeat(frame) => Paint::Strong,
            End::Arrives => Paint::Plain,
        };
        let row = Self::of(frame, stream, frame.time - start);
        let why = frame.why.as_ref().map(why).unwrap_or_default();
        Self { kind: Kind::Departure, fate: fate_words(frame), end, paint, why, ..row }
    }

    fn arrival(frame: &Frame, arrival: Arrival, effect: Outcome, stream: &Stream, start: Instant) -> Self {
        let (end, paint) = match arrival {
            Arrival { is_taken: false, .. } => (End::Damaged, Paint::Bad),
            Arrival { is_copy: true, .. } => (End::Arrives, Paint::Odd),
            _ if is_repeat(frame) => (End::Arrives, Paint::Strong),
            _ => (End::Arrives, Paint::Plain),
        };
        let row = Self::of(frame, stream, arrival.time - start);
        let why = if arrival.is_copy { "the copy".to_owned() } else { String::new() };
        Self { kind: Kind::Arrival, end, paint, effect, why, ..row }
    }

    fn of(frame: &Frame, stream: &Stream, time: Duration) -> Self {
        let label = label(frame, stream);
        let bytes = stream.bytes_of(frame);
        let numbers = stream.messages_of(&bytes);
        let says_no_more = !bytes.is_empty() && !stream.is_cut(&bytes) && label == span(&numbers);
        Self {
            time,
            from: frame.from,
            kind: Kind::Whole,
            label,
            numbers: says_no_more.then_some(numbers),
            count: 1,
            fate: Vec::new(),
            end: End::Arrives,
            paint: Paint::Plain,
            why: String::new(),
            effect: Outcome::Nothing,
        }
    }

    /// Whether it shows a message, rather than what manages the connection.
    pub(crate) fn is_message(&self) -> bool {
        self.from == Side::Near && self.label.contains('#')
    }

    /// Whether it shows what the far end tells about gaps, as it reaches us.
    pub(crate) fn is_report(&self) -> bool {
        self.from == Side::Far && self.label.contains("sack") && self.kind != Kind::Departure
    }

    /// What stands on the arrow.
    pub(super) fn label(&self) -> String {
        self.numbers.as_ref().map_or_else(|| self.label.clone(), span)
    }

    /// What happens to it on the way.
    pub(super) fn fate(&self) -> String {
        self.fate.join(", ")
    }

    /// What stands beside the arrow.
    pub(super) fn notes(&self) -> Vec<String> {
        let times =
            if self.count > 1 && !self.why.is_empty() { format!(" x{}", self.count) } else { String::new() };
        let why = format!("{}{times}", self.why);
        let fate = if self.has_room_for_fate() { Vec::new() } else { self.fate.clone() };
        let effect = match &self.effect {
            Outcome::Nothing => String::new(),
            Outcome::Says(words) => words.clone(),
            Outcome::Stream(Effect::Reads(numbers)) => format!("reads {}", span(numbers)),
            Outcome::Stream(Effect::Waits(missing)) => format!("waits for #{missing}"),
            Outcome::Stream(Effect::Known) => "has it already".into(),
            Outcome::Stream(Effect::Part) => "waits for the rest".into(),
        };
        let notes = [why].into_iter().chain(fate).chain([effect]);
        notes.filter(|note| !note.is_empty()).collect()
    }

    /// The frame arrives before anything else happens.
    fn arrives(&mut self, frame: &Frame, effect: Outcome) {
        self.kind = Kind::Whole;
        self.effect = effect;
        if !(frame.is_whole && frame.is_addressed) {
            self.end = End::Damaged;
        }
    }

    /// Whether this row can stand for the next one too: messages in a row, to which nothing happens.
    fn joins(&self, next: &Self) -> bool {
        let follows = |a: &Range<usize>, b: &Range<usize>| a.end == b.start;
        let numbers = self.numbers.as_ref().zip(next.numbers.as_ref()).is_some_and(|(a, b)| follows(a, b));
        let effects = match (&self.effect, &next.effect) {
            (Outcome::Nothing, Outcome::Nothing) => true,
            (Outcome::Stream(Effect::Reads(a)), Outcome::Stream(Effect::Reads(b))) => follows(a, b),
            (Outcome::Stream(Effect::Waits(a)), Outcome::Stream(Effect::Waits(b))) => a == b,
            _ => false,
        };
        let alike =
            (self.time, self.kind, self.from, &self.why) == (next.time, next.kind, next.from, &next.why);
        let plain = |row: &Self| row.paint == Paint::Plain && row.fate.is_empty() && row.kind != Kind::Whole;
        numbers && effects && alike && plain(self) && plain(next)
    }

    fn join(&mut self, next: &Self) {
        self.count += next.count;
        if let Some((mine, theirs)) = self.numbers.as_mut().zip(next.numbers.as_ref()) {
            mine.end = theirs.end;
        }
        if let (Outcome::Stream(Effect::Reads(mine)), Outcome::Stream(Effect::Reads(theirs))) =
            (&mut self.effect, &next.effect)
        {
            mine.end = theirs.end;
        }
    }
}

/// Whether it was sent before.
pub(crate) fn is_repeat(frame: &Frame) -> bool {
    frame.why.is_some_and(|why| {
        matches!(
            why.reason(),
            Reason::FastRetransmit
                | Reason::RecoveryRetransmit
                | Reason::Rto
                | Reason::RtoRecovery
                | Reason::TailLossProbe
                | Reason::SynRetransmit
                | Reason::SynAckRetransmit
        )
    })
}

/// A frame in a few words.
pub(crate) fn label(frame: &Frame, stream: &Stream) -> String {
    match &frame.content {
        Content::Tcp { .. } => stream.label(frame),
        Content::Udp { payload, .. } => match number_of(payload) {
            Some(number) => span(&(number..number + 1)),
            None => format!("\"{}\"", String::from_utf8_lossy(payload)),
        },
        Content::PortUnreachable => "ICMP: port unreachable".into(),
        Content::Arp(words) => words.clone(),
        Content::Other => String::new(),
    }
}

/// What the wire does to a frame, if anything.
fn fate_words(frame: &Frame) -> Vec<String> {
    let fate = frame.passage.fate;
    match fate.drop {
        Some(Drop::Loss) => return vec!["lost".into()],
        Some(Drop::Overflow) => return vec!["no room: lost".into()],
        Some(Drop::Early) => return vec!["queue too long: lost".into()],
        Some(Drop::TooLong) => return vec!["too long: lost".into()],
        None => {}
    }
    let flip = fate.corrupt.map(|Corruption { byte, bit }| format!("bit {bit} of byte {byte} flips"));
    let marked = fate.mark.then(|| "marked CE".to_owned());
    let overtakes = fate.reorder.then(|| "overtakes".to_owned());
    let twice = fate.duplicate.map(|_| "comes twice".to_owned());
    [flip, marked, overtakes, twice].into_iter().flatten().collect()
}

/// Why a frame was sent, with the numbers that matter to a reader.
fn why(why: &Why) -> String {
    let mut words = why.reason().to_string();
    let numbers: &[&str] = match why.reason() {
        Reason::Rto | Reason::FastRetransmit => &["cwnd"],
        _ => &[],
    };
    for name in numbers {
        if let Some(value) = why.number(name) {
            let _ = write!(words, " {name}={value}");
        }
    }
    words
}

/// What an arrival leads to at the side where it arrives.
fn effect(frame: &Frame, arrival: Arrival, stream: &mut Stream, read: &mut Vec<usize>) -> Outcome {
    if !arrival.is_taken {
        let words = match &frame.content {
            _ if !frame.is_addressed => "wrong link address: ignored",
            Content::Arp(_) => "damaged, but ARP has no checksum",
            _ => "damaged: thrown away",
        };
        return Outcome::Says(words.into());
    }
    match &frame.content {
        Content::Udp { payload, from, to } => match number_of(payload) {
            Some(number) => {
                let word = if read.contains(&number) { " again" } else { "" };
                read.push(number);
                Outcome::Says(format!("reads #{number}{word}"))
            }
            None if to.port() == CLOSED_PORT => Outcome::Says(format!("port {CLOSED_PORT} is closed")),
            None if frame.from == Side::Near => Outcome::Says(format!("from port {}", from.port())),
            None => Outcome::Nothing,
        },
        Content::Tcp { len: 1.., .. } if frame.from == Side::Near => {
            let bytes = stream.bytes_of(frame);
            Outcome::Stream(stream.arrive(bytes))
        }
        Content::PortUnreachable => Outcome::Says("connection refused".into()),
        _ => Outcome::Nothing,
    }
}
