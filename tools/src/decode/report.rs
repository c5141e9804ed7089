//! What `decode` prints: the packets as they come, then what they add up to.

use std::io::{self, Write};

use serde::Serialize;
use ustack::capture::{Direction, Interface, Packet, Text};
use ustack::time::Duration;

use super::conversation::{Conversation, Side, State};
use super::{Args, Summary};

/// The list of packets being printed.
#[derive(Debug)]
pub(super) struct Packets {
    json: bool,
    listed: bool,
    text: Text,
    /// Nothing was printed yet.
    first: bool,
}

/// A packet in JSON.
#[derive(Serialize)]
struct PacketLine<'a> {
    number: u64,
    time: f64,
    interface: usize,
    direction: Option<&'static str>,
    len: u32,
    text: &'a str,
    comment: Option<&'a str>,
}

impl Packets {
    pub(super) fn begin(args: &Args, out: &mut impl Write) -> io::Result<Self> {
        let Args { json, summary, absolute, .. } = *args;
        if json {
            out.write_all(b"{\"packets\":[")?;
        }
        let text = if absolute { Text::absolute() } else { Text::relative() };
        Ok(Self { json, listed: !summary, text, first: true })
    }

    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        packet: &Packet<'_>,
        elapsed: Duration,
    ) -> io::Result<()> {
        if !self.listed {
            return Ok(());
        }
        let text = self.text.line(packet.link_type, packet.bytes);
        if self.json {
            let line = PacketLine {
                number: packet.number,
                time: elapsed.as_secs_f64(),
                interface: packet.interface,
                direction: packet.direction.map(|d| if d == Direction::In { "in" } else { "out" }),
                len: packet.original_len,
                text: &text,
                comment: packet.comment.as_deref(),
            };
            out.write_all(if self.first { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *out, &line)?;
        } else {
            let direction = match packet.direction {
                Some(Direction::In) => "< ",
                Some(Direction::Out) => "> ",
                None => "",
            };
            write!(out, "{:>6} {:>11.6} {direction}{text}", packet.number, elapsed.as_secs_f64())?;
            if packet.is_cut() {
                write!(out, " [{} of {} bytes kept]", packet.bytes.len(), packet.original_len)?;
            }
            match &packet.comment {
                Some(comment) => writeln!(out, "  # {}", comment.lines().collect::<Vec<_>>().join("; "))?,
                None => writeln!(out)?,
            }
        }
        self.first = false;
        Ok(())
    }

    pub(super) fn end(
        self,
        out: &mut impl Write,
        summary: &Summary,
        interfaces: &[Interface],
    ) -> io::Result<()> {
        if self.json {
            return self.end_json(out, summary, interfaces);
        }
        if !self.first {
            writeln!(out)?;
        }
        let span = summary.begin.map_or(Duration::ZERO, |begin| summary.end.since(begin));
        writeln!(
            out,
            "{}, {} bytes, {:.6} s, {}",
            count(summary.packets, "packet"),
            summary.bytes,
            span.as_secs_f64(),
            count(summary.conversations.all().len() as u64, "conversation"),
        )?;
        for conversation in summary.conversations.all() {
            write_conversation(out, conversation, interfaces)?;
        }
        if summary.conversations.omitted > 0 {
            writeln!(out, "\n{} packets of further conversations", summary.conversations.omitted)?;
        }
        if !summary.reasons.is_empty() {
            writeln!(out, "\nsent, by reason")?;
            for (reason, count) in &summary.reasons {
                writeln!(out, "  {reason:<20} {count:>8}")?;
            }
        }
        Ok(())
    }

    fn end_json(self, out: &mut impl Write, summary: &Summary, interfaces: &[Interface]) -> io::Result<()> {
        #[derive(Serialize)]
        struct InterfaceLine<'a> {
            name: Option<&'a str>,
            link_type: u16,
        }
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|i| InterfaceLine { name: i.name.as_deref(), link_type: i.link_code })
            .collect();
        let span = summary.begin.map_or(Duration::ZERO, |begin| summary.end.since(begin));
        write!(out, "],\n\"interfaces\":{}", serde_json::to_string(&interfaces)?)?;
        write!(
            out,
            ",\n\"totals\":{}",
            serde_json::json!({
                "packets": summary.packets,
                "bytes": summary.bytes,
                "seconds": span.as_secs_f64(),
                "packets_of_further_conversations": summary.conversations.omitted,
            })
        )?;
        write!(out, ",\n\"conversations\":{}", serde_json::to_string(summary.conversations.all())?)?;
        write!(out, ",\n\"reasons\":{}", serde_json::to_string(&summary.reasons)?)?;
        writeln!(out, ",\n\"error\":{}}}", serde_json::to_string(&summary.error)?)
    }
}

fn write_conversation(out: &mut impl Write, c: &Conversation, interfaces: &[Interface]) -> io::Result<()> {
    write!(out, "\n{} {} -> {}", c.protocol, c.client, c.server)?;
    if interfaces.len() > 1
        && let Some(name) = interfaces.get(c.interface).and_then(|interface| interface.name.as_deref())
    {
        write!(out, " at {name}")?;
    }
    write!(out, ", {:.6} s to {:.6} s", c.start, c.end)?;
    if c.state != State::Datagrams {
        write!(out, ", {}", state(c.state))?;
    }
    if let Some(us) = c.handshake_us {
        write!(out, ", handshake {}", Duration::from_micros(us))?;
    }
    writeln!(out)?;
    for (arrow, side) in [("->", &c.from_client), ("<-", &c.from_server)] {
        write_side(out, arrow, side)?;
    }
    for r in &c.retransmissions {
        let arrow = if r.from == c.client { "->" } else { "<-" };
        let guess = if r.told { "" } else { "? " };
        writeln!(
            out,
            "  {arrow} {:.6} again: packet {}, seq {} len {}: {guess}{}",
            r.time, r.packet, r.seq, r.len, r.why
        )?;
    }
    if c.retransmissions_omitted > 0 {
        writeln!(out, "  and {} more", c.retransmissions_omitted)?;
    }
    Ok(())
}

fn write_side(out: &mut impl Write, arrow: &str, side: &Side) -> io::Result<()> {
    write!(out, "  {arrow} {}, {} bytes", count(side.packets, "packet"), side.bytes)?;
    for (number, what) in [(side.retransmitted, "sent again"), (side.late, "out of order")] {
        if number > 0 {
            write!(out, ", {number} {what}")?;
        }
    }
    let counts =
        [(side.duplicate_acks, "duplicate ACK"), (side.zero_windows, "zero window"), (side.probes, "probe")];
    for (number, what) in counts {
        if number > 0 {
            write!(out, ", {}", count(number, what))?;
        }
    }
    writeln!(out)
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

const fn state(state: State) -> &'static str {
    match state {
        State::Datagrams => "datagrams",
        State::Midstream => "seen from the middle",
        State::Opening => "never answered",
        State::Established => "not closed",
        State::HalfClosed => "half closed",
        State::Closed => "closed",
        State::Refused => "refused",
        State::Reset => "reset",
    }
}
