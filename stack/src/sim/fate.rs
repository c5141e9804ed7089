//! Fates: what was decided about a frame, as a value, as text, as a list that can be played back.

use core::fmt;
use core::str::FromStr;
use std::collections::VecDeque;
use std::sync::Arc;

use super::impair::Impairment;
use super::impair::text::{Time, time};
use crate::time::Duration;

/// What is decided about one frame of one direction.
///
/// Written `corrupt byte 37 bit 3; delay 10.2ms; duplicate 11ms`, or `drop`, or `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fate {
    /// It does not arrive; nothing else then matters.
    pub drop: Option<Drop>,
    /// How long it takes, the wait for a rate not counted.
    pub delay: Duration,
    /// It skips the delay and overtakes those before it.
    pub reorder: bool,
    /// It arrives a second time, with this delay.
    pub duplicate: Option<Duration>,
    /// The queue sets congestion experienced in its IP header.
    pub mark: bool,
    /// One bit of it is flipped. The copy of a duplicate stays whole.
    pub corrupt: Option<Corruption>,
}

/// Why a frame does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The dice said so.
    Loss,
    /// There was no room.
    Overflow,
    /// A queue that keeps itself short could not mark it.
    Early,
    /// It was longer than what passes.
    TooLong,
}

/// Which bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The byte, counted from the frame's first; in a shorter frame it wraps.
    pub byte: u32,
    /// The bit, 0 being the lowest.
    pub bit: u8,
}

impl Corruption {
    /// A bit of a frame of `len` bytes, chosen by `bits`; None if there is none.
    pub(super) fn at(bits: u64, len: usize) -> Option<Self> {
        let byte = ((u128::from(bits) * len as u128) >> 64) as u32;
        (len > 0).then_some(Self { byte, bit: (bits & 7) as u8 })
    }

    pub(super) fn apply(self, bytes: &mut [u8]) {
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(self.byte as usize % len) {
            *byte ^= 1 << (self.bit & 7);
        }
    }
}

impl Fate {
    /// The frame passes, at once and unharmed.
    pub const PLAIN: Self = Self {
        drop: None,
        delay: Duration::ZERO,
        reorder: false,
        duplicate: None,
        mark: false,
        corrupt: None,
    };

    /// What happens without luck: only the delay that every frame has.
    pub(super) fn regular(config: &Impairment) -> Self {
        Self { delay: config.delay, ..Self::PLAIN }
    }

    /// Whether the frame does not arrive.
    pub const fn is_drop(&self) -> bool {
        self.drop.is_some()
    }

    /// The fate as words for a capture's comment: `fate=drop`, `fate=corrupt+delay delay_us=10200 corrupt_byte=37`.
    pub fn comment(&self) -> impl fmt::Display + use<> {
        Comment(*self)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.drop {
            Some(Drop::Loss) => return f.write_str("drop"),
            Some(Drop::Overflow) => return f.write_str("overflow"),
            Some(Drop::Early) => return f.write_str("early"),
            Some(Drop::TooLong) => return f.write_str("too-long"),
            None => {}
        }
        let mut separator = "";
        let mut part = |text: fmt::Arguments<'_>| {
            write!(f, "{separator}{text}")?;
            separator = "; ";
            Ok(())
        };
        if let Some(Corruption { byte, bit }) = self.corrupt {
            part(format_args!("corrupt byte {byte} bit {bit}"))?;
        }
        if self.mark {
            part(format_args!("mark"))?;
        }
        if self.reorder {
            part(format_args!("reorder"))?;
        } else if !self.delay.is_zero() {
            part(format_args!("delay {}", Time(self.delay)))?;
        }
        if let Some(delay) = self.duplicate {
            part(format_args!("duplicate {}", Time(delay)))?;
        }
        if separator.is_empty() { f.write_str("pass") } else { Ok(()) }
    }
}

struct Comment(Fate);

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = &self.0;
        match fate.drop {
            Some(Drop::Loss) => return f.write_str("fate=drop"),
            Some(Drop::Overflow) => return f.write_str("fate=overflow"),
            Some(Drop::Early) => return f.write_str("fate=early"),
            Some(Drop::TooLong) => return f.write_str("fate=too-long"),
            None => {}
        }
        let delayed = !fate.reorder && !fate.delay.is_zero();
        let words = [
            (fate.corrupt.is_some(), "corrupt"),
            (fate.mark, "mark"),
            (fate.reorder, "reorder"),
            (delayed, "delay"),
            (fate.duplicate.is_some(), "duplicate"),
        ];
        let mut separator = "fate=";
        for (_, word) in words.iter().filter(|(is, _)| *is) {
            write!(f, "{separator}{word}")?;
            separator = "+";
        }
        if separator == "fate=" {
            f.write_str("fate=pass")?;
        }
        if delayed {
            write!(f, " delay_us={}", fate.delay.as_micros())?;
        }
        if let Some(delay) = fate.duplicate {
            write!(f, " copy_delay_us={}", delay.as_micros())?;
        }
        if let Some(Corruption { byte, bit }) = fate.corrupt {
            write!(f, " corrupt_byte={byte} corrupt_bit={bit}")?;
        }
        Ok(())
    }
}

impl FromStr for Fate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const DECISION: &str = "expected drop, overflow, early, too-long, pass, mark, delay TIME, reorder, duplicate TIME or corrupt byte N bit N";
        let mut fate = Self::PLAIN;
        for part in text.split(';') {
            let words: Vec<&str> = part.split_whitespace().collect();
            match words[..] {
                ["drop"] => fate.drop = Some(Drop::Loss),
                ["overflow"] => fate.drop = Some(Drop::Overflow),
                ["early"] => fate.drop = Some(Drop::Early),
                ["too-long"] => fate.drop = Some(Drop::TooLong),
                ["mark"] => fate.mark = true,
                ["pass"] => {}
                ["delay", span] => fate.delay = time(span).ok_or(DECISION)?,
                ["reorder"] => fate.reorder = true,
                ["duplicate", span] => fate.duplicate = Some(time(span).ok_or(DECISION)?),
                ["corrupt", "byte", byte, "bit", bit] => {
                    let (byte, bit) = (byte.parse().ok(), bit.parse().ok().filter(|bit| *bit < 8));
                    let (byte, bit) = byte.zip(bit).ok_or(DECISION)?;
                    fate.corrupt = Some(Corruption { byte, bit });
                }
                _ => return Err(DECISION),
            }
        }
        Ok(fate)
    }
}

/// A fate and whose it is: `frame 17 of a->b: drop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fated {
    /// The direction, as its channel is named.
    pub channel: Arc<str>,
    /// The frame's number in that direction, the first being 1.
    pub frame: u64,
    /// What was decided.
    pub fate: Fate,
}

impl fmt::Display for Fated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {} of {}: {}", self.frame, self.channel, self.fate)
    }
}

/// The fates of a run, in the order in which they were decided. Frames that nothing happened to, but the delay that
/// all have, are not in it.
///
/// As text it has a line for each; empty lines and those that begin with `#` are skipped when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FateList {
    /// The fates.
    pub entries: Vec<Fated>,
    /// How many more there were than the list was to hold.
    pub omitted: u64,
}

impl FateList {
    /// The fates of one direction, to be played back.
    pub(super) fn playback(&self, channel: &str) -> Playback {
        let mut fates: Vec<(u64, Fate)> =
            self.entries.iter().filter(|e| *e.channel == *channel).map(|e| (e.frame, e.fate)).collect();
        fates.sort_by_key(|(frame, _)| *frame);
        Playback { fates: fates.into() }
    }
}

impl fmt::Display for FateList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            writeln!(f, "{entry}")?;
        }
        if self.omitted > 0 {
            writeln!(f, "# {} more are left out", self.omitted)?;
        }
        Ok(())
    }
}

/// A line of a list of fates is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {expected}")]
pub struct FateError {
    /// The line, the first being 1.
    pub line: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl FromStr for FateList {
    type Err = FateError;

    fn from_str(text: &str) -> Result<Self, FateError> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = |expected| FateError { line: index + 1, expected };
            let rest = line.strip_prefix("frame ").and_then(|rest| rest.split_once(" of "));
            let parts = rest.and_then(|(frame, rest)| {
                let (channel, fate) = rest.split_once(": ")?;
                Some((frame.parse().ok()?, channel, fate))
            });
            let (frame, channel, fate) = parts.ok_or_else(|| error("expected `frame N of CHANNEL: FATE`"))?;
            list.entries.push(Fated { channel: channel.into(), frame, fate: fate.parse().map_err(error)? });
        }
        Ok(list)
    }
}

/// Fates in place of dice.
#[derive(Clone, Debug)]
pub(super) struct Playback {
    fates: VecDeque<(u64, Fate)>,
}

impl Playback {
    /// The fate of that frame; frames are asked for in order.
    pub(super) fn next(&mut self, frame: u64, config: &Impairment) -> Fate {
        while self.fates.front().is_some_and(|(number, _)| *number < frame) {
            self.fates.pop_front();
        }
        match self.fates.front() {
            Some((number, fate)) if *number == frame => *fate,
            _ => Fate::regular(config),
        }
    }
}

/// How many frames had which fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames that were sent.
    pub frames: u64,
    /// Lost by the dice.
    pub lost: u64,
    /// Dropped because there was no room.
    pub overflowed: u64,
    /// Dropped by a queue that keeps itself short.
    pub early: u64,
    /// Dropped because they were longer than what passes.
    pub too_long: u64,
    /// Marked by the queue.
    pub marked: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived with a bit flipped.
    pub corrupted: u64,
    /// Overtook others.
    pub reordered: u64,
    /// Frames that arrived so far, copies included.
    pub delivered: u64,
}

impl Counts {
    pub(super) fn add(&mut self, fate: &Fate) {
        self.frames += 1;
        match fate.drop {
            Some(Drop::Loss) => self.lost += 1,
            Some(Drop::Overflow) => self.overflowed += 1,
            Some(Drop::Early) => self.early += 1,
            Some(Drop::TooLong) => self.too_long += 1,
            None => {
                self.marked += u64::from(fate.mark);
                self.duplicated += u64::from(fate.duplicate.is_some());
                self.corrupted += u64::from(fate.corrupt.is_some());
                self.reordered += u64::from(fate.reorder);
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.frames)?;
        let kinds = [
            (self.lost, "lost"),
            (self.overflowed, "overflowed"),
            (self.early, "dropped early"),
            (self.marked, "marked"),
            (self.duplicated, "duplicated"),
            (self.corrupted, "corrupted"),
            (self.reordered, "reordered"),
        ];
        kinds.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, what)| write!(f, ", {n} {what}"))?;
        write!(f, ", {} delivered", self.delivered)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_text_and_back() {
        let text = "frame 17 of a->b: drop\n\
                    frame 18 of a->b: corrupt byte 37 bit 3; delay 10.2ms; duplicate 11ms\n\
                    frame 2 of b->a: reorder\n\
                    frame 3 of b->a: overflow\n\
                    frame 4 of b->a: pass\n\
                    frame 5 of b->a: mark; delay 10ms\n\
                    frame 6 of b->a: early\n";
        let list: FateList = text.parse().unwrap();
        assert_eq!(list.to_string(), text);
        assert_eq!(list.entries[0].fate.comment().to_string(), "fate=drop");
        assert_eq!(
            list.entries[1].fate.comment().to_string(),
            "fate=corrupt+delay+duplicate delay_us=10200 copy_delay_us=11000 corrupt_byte=37 corrupt_bit=3"
        );
        assert_eq!(format!("# a note\n\n{text}").parse(), Ok(list));
    }

    #[test]
    fn says_which_line_is_wrong() {
        let error = |text: &str| text.parse::<FateList>().unwrap_err().to_string();
        assert_eq!(error("\nframe x of a->b: drop"), "line 2: expected `frame N of CHANNEL: FATE`");
        assert!(
            error("frame 1 of a->b: dropped").starts_with("line 1: expected drop, overflow, early, too-long")
        );
        assert!(error("frame 1 of a->b: corrupt byte 1 bit 8").starts_with("line 1: expected drop"));
    }

    #[test]
    fn corruption_flips_one_bit_within_the_frame() {
        let mut bytes = [0; 5];
        Corruption { byte: 7, bit: 3 }.apply(&mut bytes);
        assert_eq!(bytes, [0, 0, 8, 0, 0]);
        Corruption { byte: 7, bit: 3 }.apply(&mut []);
        assert_eq!(Corruption::at(u64::MAX, 5), Some(Corruption { byte: 4, bit: 7 }));
        assert_eq!(Corruption::at(0, 0), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(frame|of| |a->b|: |; |[0-9]{1,3}|drop|delay|corrupt|byte|bit|\n|.){0,20}") {
            let _ = text.parse::<FateList>();
        }
    }
}
