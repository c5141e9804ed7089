//! Ladder diagrams: who sent what to whom, when, and what became of it.

use core::fmt;

use crate::time::{Duration, Instant};

/// A message from one side to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// When it was sent.
    pub time: Instant,
    /// Who sent it: an index into the ladder's names.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// What it is; stands on the arrow, or beside it if there is no room.
    pub text: String,
    /// How it ends.
    pub end: End,
    /// What became of it; stands beside the arrow.
    pub note: String,
}

/// How an arrow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum End {
    /// It arrives.
    #[default]
    Arrives,
    /// It arrives twice.
    Twice,
    /// It arrives damaged.
    Damaged,
    /// It does not arrive.
    Lost,
}

/// A ladder diagram, one row for each message, in the order in which they are given:
///
/// ```text
///       time  client                        server
///   0.000 ms    |--- SYN --------------------->|
///  20.000 ms    |<---------------- SYN-ACK ----|
///  40.000 ms    |--- data 1 -----------x       |  lost
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ladder<'a> {
    /// Who takes part, from left to right.
    pub names: &'a [&'a str],
    /// What was sent.
    pub arrows: &'a [Arrow],
    /// Columns between two sides, at least 8.
    pub gap: usize,
    /// Draws with lines instead of ASCII.
    pub lines: bool,
}

impl<'a> Ladder<'a> {
    /// A ladder that fits a line of about 110 columns, in ASCII.
    pub fn new(names: &'a [&'a str], arrows: &'a [Arrow]) -> Self {
        let gap = 64 / names.len().saturating_sub(1).max(1);
        Self { names, arrows, gap: gap.max(MIN_GAP), lines: false }
    }
}

const MIN_GAP: usize = 8;
const TIME_WIDTH: usize = 13;
/// Columns between the time and the first side.
const MARGIN: usize = 3;

/// What is drawn with what.
struct Pen {
    side: char,
    line: char,
    right: char,
    left: char,
    lost: char,
}

const ASCII: Pen = Pen { side: '|', line: '-', right: '>', left: '<', lost: 'x' };
const LINES: Pen = Pen { side: '│', line: '─', right: '▶', left: '◀', lost: '✗' };

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pen = if self.lines { &LINES } else { &ASCII };
        let mut head = vec![' '; self.width()];
        for (index, name) in self.names.iter().enumerate() {
            // The last name may run on; the others end before the next begins.
            let room = if index + 1 == self.names.len() { name.len() } else { self.gap() - 1 };
            put(&mut head, self.column(index).saturating_sub(name.chars().count() / 2), name, room);
        }
        writeln!(f, "{:>TIME_WIDTH$}{}", "time", text_of(&head))?;
        for arrow in self.arrows {
            self.row(f, arrow, pen)?;
        }
        Ok(())
    }
}

impl Ladder<'_> {
    fn gap(&self) -> usize {
        self.gap.max(MIN_GAP)
    }

    fn column(&self, side: usize) -> usize {
        MARGIN + side.min(self.names.len().saturating_sub(1)) * self.gap()
    }

    fn width(&self) -> usize {
        self.column(self.names.len()) + 1
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, arrow: &Arrow, pen: &Pen) -> fmt::Result {
        let mut row = vec![' '; self.width()];
        (0..self.names.len()).for_each(|side| row[self.column(side)] = pen.side);
        let (from, to) = (self.column(arrow.from), self.column(arrow.to));
        let (low, high) = (from.min(to), from.max(to));
        let to_the_right = to > from;
        let span = high - low;
        let mut beside = String::new();
        if span == 0 {
            beside.clone_from(&arrow.text);
        } else {
            // A lost one comes two thirds of the way.
            let reach = if arrow.end == End::Lost { (span * 2 / 3).max(2) } else { span - 1 };
            let (first, last) = if to_the_right { (low + 1, low + reach) } else { (high - reach, high - 1) };
            row[first..=last].fill(pen.line);
            let (tip, inner) = if to_the_right { (last, last - 1) } else { (first, first + 1) };
            let head = if to_the_right { pen.right } else { pen.left };
            row[tip] = if arrow.end == End::Lost { pen.lost } else { head };
            match arrow.end {
                End::Twice => row[inner] = head,
                End::Damaged => row[inner] = '!',
                End::Arrives | End::Lost => {}
            }
            let words = format!(" {} ", arrow.text);
            let room = last + 1 - first;
            if words.chars().count() + 6 > room {
                beside.clone_from(&arrow.text);
            } else if to_the_right {
                put(&mut row, first + 3, &words, room);
            } else {
                put(&mut row, last - 2 - words.chars().count(), &words, room);
            }
        }
        let notes = [beside.as_str(), arrow.note.as_str()];
        let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        let line =
            format!("{:>TIME_WIDTH$}{}  {}", Millis(arrow.time).to_string(), text_of(&row), notes.join("; "));
        writeln!(f, "{}", line.trim_end())
    }
}

/// Writes at most `room` characters of `text` into the row.
fn put(row: &mut Vec<char>, at: usize, text: &str, room: usize) {
    for (column, letter) in text.chars().take(room).enumerate() {
        if row.len() <= at + column {
            row.resize(at + column + 1, ' ');
        }
        row[at + column] = letter;
    }
}

fn text_of(row: &[char]) -> String {
    row.iter().collect()
}

/// A time or span in milliseconds with three decimals.
struct Millis(Instant);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03} ms", micros / 1000, micros % 1000)
    }
}

/// A span as a note tells it: `+20.5 ms`.
pub fn after(span: Duration) -> String {
    let micros = span.as_micros();
    let fraction = format!("{:03}", micros % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("+{} ms", micros / 1000),
        fraction => format!("+{}.{fraction} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units as _, at};

    fn arrow(time: Instant, from: usize, to: usize, text: &str, end: End, note: &str) -> Arrow {
        Arrow { time, from, to, text: text.into(), end, note: note.into() }
    }

    #[test]
    fn a_ladder_reads_at_a_glance() {
        let arrows = [
            arrow(at(0.ms()), 0, 1, "SYN", End::Arrives, ""),
            arrow(at(20.ms()), 1, 0, "SYN-ACK", End::Arrives, after(10.ms()).as_str()),
            arrow(at(40_500.us()), 0, 1, "data 1", End::Lost, "lost"),
            arrow(at(41.ms()), 0, 1, "data 2", End::Twice, "arrives twice"),
            arrow(at(61.ms()), 1, 0, "ack 1", End::Lost, "lost"),
            arrow(
                at(99.ms()),
                1,
                0,
                "something much longer than the gap between the two",
                End::Damaged,
                "bit 3",
            ),
        ];
        let ladder = Ladder { gap: 30, ..Ladder::new(&["client", "server"], &arrows) };
        let expected = [
            "         timeclient                        server",
            "     0.000 ms   |--- SYN -------------------->|",
            "    20.000 ms   |<---------------- SYN-ACK ---|  +10 ms",
            "    40.500 ms   |--- data 1 --------x         |  lost",
            "    41.000 ms   |--- data 2 ---------------->>|  arrives twice",
            "    61.000 ms   |         x--------- ack 1 ---|  lost",
            "    99.000 ms   |<!---------------------------|  something much longer than the gap between the two; bit 3",
        ];
        let text = ladder.to_string();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "\n{text}");
        assert!(Ladder { lines: true, ..ladder }.to_string().contains("│─── SYN ────────────────────▶│"));
    }

    #[test]
    fn several_sides_have_their_columns() {
        let arrows = [
            arrow(at(0.ms()), 0, 2, "over", End::Arrives, ""),
            arrow(at(1.ms()), 2, 1, "back", End::Arrives, ""),
            arrow(at(2.ms()), 1, 1, "to itself", End::Arrives, ""),
        ];
        let ladder = Ladder { gap: 16, ..Ladder::new(&["a", "b", "c"], &arrows) };
        let expected = [
            "         time   a               b               c",
            "     0.000 ms   |--- over --------------------->|",
            "     1.000 ms   |               |<----- back ---|",
            "     2.000 ms   |               |               |  to itself",
        ];
        let text = ladder.to_string();
        assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), expected, "\n{text}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(Ladder::new(&[], &[]).to_string().trim(), "time");
        let lonely = [arrow(at(0.ms()), 3, 9, "who", End::Lost, "")];
        assert!(Ladder::new(&["a"], &lonely).to_string().contains("who"));
        assert!(Ladder { gap: 0, ..Ladder::new(&["a", "b"], &lonely) }.to_string().contains("who"));
    }
}
