//! The ladder diagram of a conversation: time flows down, and what a bad wire does is seen.
//!
//! ```text
//!     ms    client                              server
//!   0.000  │── SYN ────────────────────────────────▶│  syn
//!  42.000  │── #1 ─────▷ comes twice                │  new-data
//! ```
//!
//! A frame is one row if nothing else happens while it is under way; otherwise its departure and its arrival have one
//! each. What leaves or arrives at once, and is alike, shares a row.

mod rows;

use std::fmt::{self, Write as _};

use ustack::time::Duration;

use self::rows::{End, Kind};
pub(crate) use self::rows::{Row, is_repeat, label, rows, start};
use super::frame::Side;
use super::style::{Paint, Style};

/// Columns of a line.
const WIDTH: usize = 100;
const TIME_WIDTH: usize = 10;
/// Columns between the two sides.
const GAP: usize = 40;
/// Columns that are left for notes.
const NOTES: usize = WIDTH - TIME_WIDTH - 2 - 1 - GAP - 1 - 2;
/// Least columns of an arrow that is cut.
const STUB: usize = 14;
/// Columns of an arrow beside its label: two of line before it, a blank on each side, one of line and the head after
/// it.
const AROUND: usize = 6;

/// A ladder diagram.
#[derive(Debug)]
pub(crate) struct Ladder<'a> {
    pub(crate) rows: &'a [Row],
    /// What stands at the far end.
    pub(crate) far: &'static str,
    pub(crate) style: Style,
}

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{:>TIME_WIDTH$}  {:<width$}{}", "ms", "client", self.far, width = GAP - 4);
        writeln!(f, "{}", self.style.paint(Paint::Dim, &head))?;
        let mut last: Option<&Row> = None;
        for row in self.rows {
            row.write(f, self.style, last.is_some_and(|last| last.time == row.time))?;
            last = Some(row);
        }
        Ok(())
    }
}

impl Row {
    fn write(&self, f: &mut fmt::Formatter<'_>, style: Style, is_same_time: bool) -> fmt::Result {
        let time = if is_same_time { String::new() } else { millis(self.time) };
        write!(f, "{}  │", style.paint(Paint::Dim, &format!("{time:>TIME_WIDTH$}")))?;
        let (arrow, fate) = self.arrow();
        let blank = " ".repeat(GAP.saturating_sub(width(&arrow) + width(&fate)));
        let (arrow, fate) = (style.paint(self.paint, &arrow), style.paint(self.paint, &fate));
        match (self.from, self.kind) {
            (Side::Near, Kind::Arrival) | (Side::Far, Kind::Departure) => write!(f, "{blank}{fate}{arrow}│")?,
            _ => write!(f, "{arrow}{fate}{blank}│")?,
        }
        for (index, line) in wrap(&self.notes()).iter().enumerate() {
            if index > 0 {
                write!(f, "\n{:TIME_WIDTH$}  │{:GAP$}│", "", "")?;
            }
            write!(f, "  {}", style.paint(Paint::Dim, line))?;
        }
        writeln!(f)
    }

    /// Whether what happens to the frame stands at the head of its arrow; otherwise it is a note.
    fn has_room_for_fate(&self) -> bool {
        let fate = self.fate();
        let arrow = (width(&self.label()) + AROUND).max(STUB);
        self.kind == Kind::Departure && !fate.is_empty() && arrow + 1 + width(&fate) <= GAP
    }

    /// The arrow and, at its head, what happens to the frame. An arrow that is cut is as long as it needs to be.
    fn arrow(&self) -> (String, String) {
        let fate = match self.from {
            _ if !self.has_room_for_fate() => String::new(),
            Side::Near => format!(" {}", self.fate()),
            Side::Far => format!("{} ", self.fate()),
        };
        let longest = GAP - width(&fate);
        let label: String = self.label().chars().take(longest - AROUND).collect();
        let length = match self.kind {
            Kind::Whole => GAP,
            Kind::Departure | Kind::Arrival => (width(&label) + AROUND).max(STUB).min(longest),
        };
        let line = "─".repeat(length - width(&label) - AROUND + 1);
        let head = match (self.kind, self.end, self.from) {
            (Kind::Departure, End::Lost, _) | (Kind::Whole | Kind::Arrival, End::Damaged, _) => '✗',
            (Kind::Departure, _, Side::Near) => '▷',
            (Kind::Departure, _, Side::Far) => '◁',
            (Kind::Whole | Kind::Arrival, _, Side::Near) => '▶',
            (Kind::Whole | Kind::Arrival, _, Side::Far) => '◀',
        };
        let arrow = match self.from {
            Side::Near => format!("── {label} {line}{head}"),
            Side::Far => format!("{head}{line} {label} ──"),
        };
        (arrow, fate)
    }
}

/// Columns of a text.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// A span in milliseconds, with three decimals and no unit.
pub(crate) fn millis(span: Duration) -> String {
    format!("{}.{:03}", span.as_micros() / 1000, span.as_micros() % 1000)
}

/// Notes in lines of at most `NOTES` columns, if they can be parted so.
fn wrap(notes: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for note in notes {
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(note) <= NOTES => {
                let _ = write!(line, " · {note}");
            }
            _ => lines.push(note.clone()),
        }
    }
    lines
}
