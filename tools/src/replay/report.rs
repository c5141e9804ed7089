//! What came of a replay, for people and for programs.

use core::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};
use ustack::time::Duration;

use super::compare::{Difference, Row};
use super::{Protocol, Role};

/// What came of a replay.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the conversation is held in.
    pub protocol: Protocol,
    /// Who began it.
    pub client: SocketAddr,
    /// The other side.
    pub server: SocketAddr,
    /// The side that the stack took.
    pub role: Role,
    /// Packets of the peer that were played.
    pub played: usize,
    /// Packets of the peer in the capture.
    pub to_play: usize,
    /// Acknowledgments that the capture does not have, but our stack needed to go on: it sent less at once.
    pub added_acks: usize,
    /// How long it took on the stack's clock.
    #[serde(serialize_with = "seconds")]
    pub virtual_time: Duration,
    /// What the application received: one stream, or each datagram.
    pub received: Vec<Streams>,
    /// What our stack sent: one stream, or each datagram.
    pub sent: Vec<Streams>,
    /// Packets that the recorded side sent.
    pub recorded_segments: usize,
    /// Packets that our stack sent.
    pub our_segments: usize,
    /// Both, side by side.
    pub rows: Vec<Row>,
    /// Why not all was played.
    pub stalled: Option<Stalled>,
    /// Packets of our stack that no stack may send.
    pub broken_rules: Vec<String>,
}

/// Two byte strings that ought to be equal.
#[derive(Debug, Serialize)]
pub struct Streams {
    /// Bytes that were recorded.
    pub recorded: usize,
    /// Bytes of ours.
    pub ours: usize,
    /// The first byte that differs, or is missing or too much; none if they are equal.
    pub differs_at: Option<usize>,
}

/// Where a replay got stuck.
#[derive(Debug, Serialize)]
pub struct Stalled {
    /// The packet of the capture that was next.
    pub packet: Option<u64>,
    /// What it is.
    pub segment: Option<String>,
    /// What it waited for.
    pub reason: String,
}

impl Streams {
    /// Compares what must be there at least, and may be there at most, with what is there.
    pub(super) fn compare(least: &[u8], most: &[u8], ours: &[u8]) -> Self {
        let differs = ours.iter().zip(most).position(|(a, b)| a != b);
        let length = if ours.len() < least.len() {
            Some(ours.len())
        } else {
            (ours.len() > most.len()).then_some(most.len())
        };
        Self { recorded: most.len(), ours: ours.len(), differs_at: differs.or(length) }
    }

    /// Whether they are equal.
    pub const fn are_equal(&self) -> bool {
        self.differs_at.is_none()
    }
}

impl Report {
    /// Whether the bytes are equal both ways and everything was played.
    pub fn bytes_are_equal(&self) -> bool {
        self.stalled.is_none() && self.received.iter().chain(&self.sent).all(Streams::are_equal)
    }

    /// How often each kind of difference occurs.
    pub fn differences(&self) -> impl Iterator<Item = (Difference, usize)> {
        let count = |kind| self.rows.iter().filter(|row| row.differences.contains(&kind)).count();
        Difference::ALL.iter().map(move |&kind| (kind, count(kind))).filter(|&(_, count)| count > 0)
    }

    /// Whether our segments differ only in what each stack decides for itself, and follow the rules.
    pub fn segments_are_sane(&self) -> bool {
        self.broken_rules.is_empty() && self.differences().all(|(kind, _)| kind.is_tolerated())
    }

    fn write_streams(&self, f: &mut fmt::Formatter<'_>, what: &str, all: &[Streams]) -> fmt::Result {
        let (ours, recorded): (usize, usize) =
            all.iter().fold((0, 0), |(a, b), streams| (a + streams.ours, b + streams.recorded));
        let datagrams = match self.protocol {
            Protocol::Tcp => String::new(),
            Protocol::Udp => format!(" in {} datagrams", all.len()),
        };
        match all.iter().enumerate().find_map(|(i, streams)| streams.differs_at.map(|at| (i, at))) {
            None => writeln!(f, "  {what} {ours} bytes{datagrams}, as recorded"),
            Some((index, at)) if self.protocol == Protocol::Udp => {
                writeln!(f, "  {what} {ours} bytes{datagrams}: datagram {} DIFFERS at byte {at}", index + 1)
            }
            Some((_, at)) => writeln!(f, "  {what} {ours} bytes, recorded {recorded}: DIFFERS at byte {at}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        };
        let peer = self.role.other().name();
        writeln!(f, "{protocol} {} -> {}, the stack as {}", self.client, self.server, self.role.name())?;
        let all =
            if self.played == self.to_play { "all ".to_string() } else { format!("{} of ", self.played) };
        let time = self.virtual_time.as_secs_f64();
        writeln!(f, "  played {all}{} packets of the {peer} in {time:.3} s of virtual time", self.to_play)?;
        if self.added_acks > 0 {
            writeln!(f, "  added {} acknowledgments: our stack sends less at once", self.added_acks)?;
        }
        if let Some(stalled) = &self.stalled {
            write!(f, "  STALLED: {}", stalled.reason)?;
            if let (Some(packet), Some(segment)) = (stalled.packet, &stalled.segment) {
                write!(f, "; next was packet {packet}: {segment}")?;
            }
            writeln!(f)?;
        }
        self.write_streams(f, "received", &self.received)?;
        self.write_streams(f, "sent", &self.sent)?;
        let alike = self.rows.iter().filter(|row| row.differences.is_empty()).count();
        writeln!(
            f,
            "  answered {} packets with {}; {alike} alike",
            self.recorded_segments, self.our_segments
        )?;
        for (kind, count) in self.differences() {
            let sign = if kind.is_tolerated() { '~' } else { '!' };
            writeln!(f, "  {sign} {count} {}: {}", kind.name(), kind.meaning())?;
        }
        for rule in &self.broken_rules {
            writeln!(f, "  ! {rule}")?;
        }
        Ok(())
    }
}

/// A length of time in seconds.
fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
