//! Compares what the recorded side sent with what our stack sent, side by side.
//!
//! No two stacks send the same segments: when to acknowledge, how to cut a stream and when to send again is their own
//! decision. Such differences are named and tolerated; others are not.

use serde::Serialize;
use ustack::wire::tcp::Flags;

use super::tcp::Segment;

/// How far ahead a partner is looked for.
const LOOK_AHEAD: usize = 24;

/// One segment of each side, or a segment of one side that the other has no partner for.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The packet's number in the capture.
    pub packet: Option<u64>,
    /// What was recorded.
    pub recorded: Option<String>,
    /// What our stack sent.
    pub ours: Option<String>,
    /// Why our stack sent it.
    pub why: Option<String>,
    /// How they differ; empty if they are alike.
    pub differences: Vec<Difference>,
}

/// A kind of difference between what was recorded and what our stack sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// An acknowledgment that only one side sent.
    AckTiming,
    /// The same bytes, cut differently.
    Segmentation,
    /// Sent again by one side only.
    Retransmission,
    /// A window that is closed on one side only.
    Window,
    /// Other SACK blocks.
    Sack,
    /// A probe of an idle or closed peer that only one side sent.
    Probe,
    /// Another offer in the handshake.
    Handshake,
    /// A RST that only one side sent, or at another place.
    Reset,
    /// Only one side ended its stream.
    Fin,
    /// A datagram that only one side sent, or that differs.
    Datagram,
    /// An ICMP error that only one side sent.
    Error,
}

impl Difference {
    /// All kinds, in order.
    pub const ALL: &'static [Self] = &[
        Self::AckTiming,
        Self::Segmentation,
        Self::Retransmission,
        Self::Window,
        Self::Sack,
        Self::Probe,
        Self::Handshake,
        Self::Reset,
        Self::Fin,
        Self::Datagram,
        Self::Error,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckTiming => "ack-timing",
            Self::Segmentation => "segmentation",
            Self::Retransmission => "retransmission",
            Self::Window => "window",
            Self::Sack => "sack",
            Self::Probe => "probe",
            Self::Handshake => "handshake",
            Self::Reset => "reset",
            Self::Fin => "fin",
            Self::Datagram => "datagram",
            Self::Error => "error",
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AckTiming => "acknowledged earlier, later, or together with others",
            Self::Segmentation => "the same bytes in other segments",
            Self::Retransmission => "sent again by one side only",
            Self::Window => "a receive window closed on one side only",
            Self::Sack => "other SACK blocks",
            Self::Probe => "a probe by one side only",
            Self::Handshake => "another offer in the handshake",
            Self::Reset => "a RST by one side only",
            Self::Fin => "the end of the stream by one side only",
            Self::Datagram => "a datagram by one side only, or another",
            Self::Error => "an ICMP error by one side only",
        }
    }

    /// Whether two stacks may differ so and both be right.
    pub const fn is_tolerated(self) -> bool {
        !matches!(self, Self::Handshake | Self::Reset | Self::Fin | Self::Datagram | Self::Error)
    }
}

/// Puts the segments of both sides next to each other.
pub(super) fn align(recorded: &[Segment], ours: &[Segment]) -> Vec<Row> {
    let context = Context::new(recorded, ours);
    let mut rows = Vec::new();
    let (mut r, mut o) = (0, 0);
    let mut ends = [0, 0];
    while r < recorded.len() || o < ours.len() {
        let (skip_r, skip_o) = partner(&recorded[r..], &ours[o..]);
        for segment in &recorded[r..r + skip_r] {
            rows.push(context.alone(segment, &mut ends[0]));
        }
        for segment in &ours[o..o + skip_o] {
            rows.push(context.alone(segment, &mut ends[1]));
        }
        r += skip_r;
        o += skip_o;
        if let (Some(a), Some(b)) = (recorded.get(r), ours.get(o)) {
            rows.push(pair(a, b));
            ends = [ends[0].max(a.end()), ends[1].max(b.end())];
            r += 1;
            o += 1;
        }
    }
    rows
}

/// How many segments of each side to leave alone before the next two that are alike.
fn partner(recorded: &[Segment], ours: &[Segment]) -> (usize, usize) {
    for distance in 0..2 * LOOK_AHEAD {
        for skip_r in 0..=distance {
            let skip_o = distance - skip_r;
            if let (Some(a), Some(b)) = (recorded.get(skip_r), ours.get(skip_o))
                && are_alike(a, b)
            {
                return (skip_r, skip_o);
            }
        }
    }
    // Nothing alike nearby: go on with whoever has progressed less.
    match (recorded.first(), ours.first()) {
        (Some(a), Some(b)) if progress(a) <= progress(b) => (1, 0),
        (_, Some(_)) => (0, 1),
        _ => (recorded.len().min(1), 0),
    }
}

fn progress(segment: &Segment) -> i64 {
    segment.end() + segment.ack.unwrap_or(0)
}

const CONTROL: Flags = Flags::SYN.union(Flags::FIN).union(Flags::RST).union(Flags::ACK);

fn are_alike(a: &Segment, b: &Segment) -> bool {
    a.flags & CONTROL == b.flags & CONTROL && a.seq == b.seq && a.len == b.len && a.ack == b.ack
}

fn row(recorded: Option<&Segment>, ours: Option<&Segment>, differences: Vec<Difference>) -> Row {
    Row {
        packet: recorded.and_then(|s| s.number),
        recorded: recorded.map(ToString::to_string),
        ours: ours.map(ToString::to_string),
        why: ours.and_then(|s| s.why).map(|why| why.to_string()),
        differences,
    }
}

fn pair(a: &Segment, b: &Segment) -> Row {
    let mut differences = Vec::new();
    let (x, y) = (&a.header.options, &b.header.options);
    // How large a window is depends on buffers; that it is closed, on what was read.
    if (a.header.window == 0) != (b.header.window == 0) && !a.flags.contains(Flags::RST) {
        differences.push(Difference::Window);
    }
    if a.sack != b.sack {
        differences.push(Difference::Sack);
    }
    let offers = x.mss != y.mss
        || x.sack_permitted != y.sack_permitted
        || x.window_scale.is_some() != y.window_scale.is_some();
    if offers || (x.timestamps.is_some() != y.timestamps.is_some() && !a.flags.contains(Flags::RST)) {
        differences.push(Difference::Handshake);
    }
    row(Some(a), Some(b), differences)
}

/// What both sides did in all, by which a segment without a partner is judged.
struct Context {
    both_end: bool,
    reset_at: [Vec<i64>; 2],
}

impl Context {
    fn new(recorded: &[Segment], ours: &[Segment]) -> Self {
        let fin =
            |all: &[Segment]| all.iter().filter(|s| s.flags.contains(Flags::FIN)).map(Segment::end).max();
        let resets = |all: &[Segment]| {
            all.iter().filter(|s| s.flags.contains(Flags::RST)).map(|s| s.seq).collect::<Vec<_>>()
        };
        Self { both_end: fin(recorded) == fin(ours), reset_at: [resets(recorded), resets(ours)] }
    }

    /// A segment that the other side has no partner for. `end` is how far its own side had come.
    fn alone(&self, segment: &Segment, end: &mut i64) -> Row {
        let mut differences = Vec::new();
        let is_new = segment.end() > *end;
        if segment.flags.contains(Flags::RST) {
            let [recorded, ours] = &self.reset_at;
            let known = recorded.contains(&segment.seq) && ours.contains(&segment.seq);
            differences.push(if known { Difference::Retransmission } else { Difference::Reset });
        } else if segment.flags.contains(Flags::SYN) {
            differences.push(if is_new { Difference::Handshake } else { Difference::Retransmission });
        } else if segment.flags.contains(Flags::FIN) && !self.both_end {
            differences.push(Difference::Fin);
        } else if segment.seq == *end - 1 && segment.len <= 1 {
            differences.push(Difference::Probe);
        } else if !segment.occupies() {
            differences.push(Difference::AckTiming);
        } else {
            differences.push(if is_new { Difference::Segmentation } else { Difference::Retransmission });
        }
        *end = (*end).max(segment.end());
        let (recorded, ours) =
            if segment.number.is_some() { (Some(segment), None) } else { (None, Some(segment)) };
        row(recorded, ours, differences)
    }
}
