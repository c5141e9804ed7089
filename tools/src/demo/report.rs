//! What a demonstration shows in the end: ladders, tables, the verdict; or all of it as one JSON document.

use std::io::{self, Write};

use serde_json::{Value, json};
use ustack::sim::{Counts, Fate, FateList, Passage};
use ustack::time::Instant;

use super::frame::{Content, Frame, Side};
use super::ladder::{self, Ladder, Row};
use super::place::Place;
use super::stream::Stream;
use super::style::{Paint, Style};

/// A demonstration that has run.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) name: &'static str,
    /// What it is about, in a sentence.
    pub(crate) about: &'static str,
    /// How bad the wire was, in netem's words.
    pub(crate) link: String,
    pub(crate) seed: u64,
    /// What stands at the far end.
    pub(crate) far: &'static str,
    pub(crate) parts: Vec<Part>,
    pub(crate) verdict: Vec<Check>,
    /// What only this demonstration tells, for JSON.
    pub(crate) details: Value,
    pub(crate) wire: Wire,
    /// The command that repeats it.
    pub(crate) repeat: String,
}

/// A conversation of a demonstration.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    /// Tables and the like, below the ladder.
    pub(crate) below: Vec<String>,
    /// The frames, for JSON.
    pub(crate) frames: Value,
}

/// Something that must hold, and whether it does.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) text: String,
    pub(crate) holds: bool,
}

impl Check {
    pub(crate) fn new(holds: bool, text: impl Into<String>) -> Self {
        Self { text: text.into(), holds }
    }
}

impl Part {
    /// A conversation with its ladder.
    pub(crate) fn new(title: impl Into<String>, frames: &[Frame], stream: &Stream) -> Self {
        let rows = ladder::rows(frames, stream);
        let start = frames.first().map_or(Instant::ZERO, |frame| frame.time);
        let frames = frames.iter().filter(|frame| !matches!(frame.content, Content::Other));
        let frames = frames.map(|frame| frame_json(frame, stream, start)).collect();
        Self { title: title.into(), rows, below: Vec::new(), frames }
    }

    /// Shows only some of the rows.
    pub(crate) fn excerpt(&mut self, keep: impl Fn(&Row) -> bool) {
        self.rows.retain(keep);
    }
}

/// What the wire did, by three accounts: the frames as they were shown, its counters, its list of fates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    shown: Tally,
    counted: Tally,
    listed: Tally,
    fates: FateList,
}

/// How many frames had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    pub(crate) overtook: u64,
    pub(crate) twice: u64,
    pub(crate) damaged: u64,
}

impl Tally {
    /// What became of these frames.
    pub(crate) fn of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Self {
        let mut tally = Self::default();
        for frame in frames {
            tally.frames += 1;
            tally.add(&frame.passage.fate);
        }
        tally
    }

    fn add(&mut self, fate: &Fate) {
        if fate.drop.is_some() {
            self.lost += 1;
            return;
        }
        self.overtook += u64::from(fate.reorder);
        self.twice += u64::from(fate.duplicate.is_some());
        self.damaged += u64::from(fate.corrupt.is_some());
    }

    fn counted(counts: &[Counts]) -> Self {
        let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum();
        Self {
            frames: sum(|c| c.frames),
            lost: sum(|c| c.lost + c.overflowed + c.early + c.too_long),
            overtook: sum(|c| c.reordered),
            twice: sum(|c| c.duplicated),
            damaged: sum(|c| c.corrupted),
        }
    }

    fn json(&self) -> Value {
        let Self { frames, lost, overtook, twice, damaged } = self;
        json!({ "frames": frames, "lost": lost, "reordered": overtook, "duplicated": twice, "corrupted": damaged })
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { frames, lost, overtook, twice, damaged } = self;
        let kinds = [(lost, "lost"), (overtook, "overtook"), (twice, "came twice"), (damaged, "damaged")];
        write!(f, "{frames} frames")?;
        if kinds.iter().all(|(n, _)| **n == 0) {
            return f.write_str(", nothing happened to them");
        }
        kinds.iter().filter(|(n, _)| **n > 0).try_for_each(|(n, what)| write!(f, ", {n} {what}"))
    }
}

impl Wire {
    /// What the wire of that place did to all these frames.
    pub(crate) fn of(place: &Place, frames: &[Frame]) -> Self {
        let fates = place.fates();
        let counted = Tally::counted(&place.counts());
        let mut listed = Tally { frames: counted.frames, ..Tally::default() };
        fates.entries.iter().for_each(|entry| listed.add(&entry.fate));
        Self { shown: Tally::of(frames), counted, listed, fates }
    }

    /// The three accounts agree.
    pub(crate) fn check(&self) -> Check {
        let agree = self.shown == self.counted && self.shown == self.listed;
        let also = if agree { "the list of fates says the same" } else { "but the list of fates differs" };
        Check::new(agree, format!("wire:  {}; {also}", self.shown))
    }

    fn json(&self) -> Value {
        let fates: Vec<String> = self.fates.entries.iter().map(ToString::to_string).collect();
        json!({
            "shown": self.shown.json(),
            "counted": self.counted.json(),
            "listed": self.listed.json(),
            "fates": fates,
        })
    }
}

impl Demo {
    /// Whether all that must hold does.
    pub(crate) fn holds(&self) -> bool {
        self.verdict.iter().all(|check| check.holds)
    }

    pub(crate) fn json(&self) -> Value {
        let parts = self.parts.iter().map(|part| json!({ "title": part.title, "frames": part.frames }));
        let verdict = self.verdict.iter().map(|check| json!({ "holds": check.holds, "text": check.text }));
        json!({
            "demo": self.name,
            "link": self.link,
            "seed": self.seed,
            "far_end": self.far,
            "repeat": self.repeat,
            "holds": self.holds(),
            "verdict": verdict.collect::<Value>(),
            "details": self.details,
            "wire": self.wire.json(),
            "parts": parts.collect::<Value>(),
        })
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        let name = self.name.to_uppercase();
        writeln!(out, "{}  {}", style.paint(Paint::Strong, &name), self.about)?;
        let wire = format!("The wire, both ways: {} (seed {})", self.link, self.seed);
        writeln!(out, "{}", style.paint(Paint::Dim, &wire))?;
        for part in &self.parts {
            writeln!(out, "\n{}", style.paint(Paint::Strong, &part.title))?;
            if !part.rows.is_empty() {
                write!(out, "{}", Ladder { rows: &part.rows, far: self.far, style })?;
            }
            if !part.below.is_empty() && !part.rows.is_empty() {
                writeln!(out)?;
            }
            part.below.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        }
        writeln!(out, "\n{}", style.paint(Paint::Strong, "Verdict"))?;
        for check in &self.verdict {
            let (mark, paint) = if check.holds { ("✓", Paint::Good) } else { ("✗", Paint::Bad) };
            writeln!(out, "  {} {}", style.paint(paint, mark), check.text)?;
        }
        writeln!(out, "{}", style.paint(Paint::Dim, &format!("The same again: {}", self.repeat)))
    }
}

fn frame_json(frame: &Frame, stream: &Stream, start: Instant) -> Value {
    let Passage { frame: number, fate, is_special, .. } = frame.passage;
    let micros = |time: Instant| (time - start).as_micros();
    let direction = match frame.from {
        Side::Near => "client->server",
        Side::Far => "server->client",
    };
    json!({
        "number": number,
        "direction": direction,
        "what": ladder::label(frame, stream),
        "bytes": frame.len,
        "sent_us": micros(frame.time),
        "arrived_us": frame.arrivals().map(|arrival| micros(arrival.time)).collect::<Vec<_>>(),
        "fate": if is_special { fate.to_string() } else { "pass".to_owned() },
        "why": frame.why.map(|why| why.to_string()),
    })
}

/// A table with aligned columns; the first row is its head.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| ladder::width(cell)).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
