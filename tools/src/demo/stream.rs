//! Numbered messages, and what becomes of them at a receiver.

use std::ops::Range;

use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, SackBlock};

use super::frame::{Frame, Side};

/// Least bytes of a message: what holds its number.
pub(crate) const MIN_MESSAGE: usize = 16;

/// Message number `number` (from 1), of `len` bytes.
pub(crate) fn message(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("message {number:05}: ").into_bytes();
    let rest = len.max(MIN_MESSAGE) - bytes.len();
    bytes.extend((b'a'..=b'z').cycle().skip(number % 26).take(rest));
    bytes
}

/// The number of a message; None if this is not one, to the byte.
pub(crate) fn number_of(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(8..13)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (message(number, bytes.len()) == bytes).then_some(number)
}

/// Numbers as people write them: `#3`, `#3-5`; nothing for none.
pub(crate) fn span(numbers: &Range<usize>) -> String {
    match numbers.len() {
        0 => String::new(),
        1 => format!("#{}", numbers.start),
        _ => format!("#{}-{}", numbers.start, numbers.end - 1),
    }
}

/// As many numbers are written one by one.
const MAX_LISTED: usize = 30;

/// `1 segment`, `2 segments`.
pub(crate) fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("{n} {what}") } else { format!("{n} {what}s") }
}

/// Numbers in their order; if there are many, runs are drawn together: `1-3 5 4 4 6`.
pub(crate) fn list(numbers: &[usize]) -> String {
    if numbers.len() <= MAX_LISTED {
        return numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    }
    runs(numbers)
}

fn runs(numbers: &[usize]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let Some(&first) = rest.first() {
        let run = rest.windows(2).take_while(|pair| pair[1] == pair[0] + 1).count() + 1;
        let (taken, others) = rest.split_at(if run > 2 { run } else { 1 });
        words.push(if run > 2 { format!("{first}-{}", taken[run - 1]) } else { first.to_string() });
        rest = others;
    }
    words.join(" ")
}

/// A TCP connection that carries messages of one length from the near side to the far one.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Bytes of a message.
    size: usize,
    near_iss: Option<SeqNum>,
    far_iss: Option<SeqNum>,
    /// Which bytes have arrived.
    here: Vec<bool>,
    /// How many of them are in order: what the application can read.
    in_order: usize,
}

/// What an arrival changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// These messages can now be read.
    Reads(Range<usize>),
    /// It is kept: that message is missing before it.
    Waits(usize),
    /// All of it was there already.
    Known,
    /// A part of a message came, and no message is complete by it.
    Part,
}

impl Stream {
    /// The connection whose handshake is among these frames.
    pub(crate) fn of(frames: &[Frame], size: usize, messages: usize) -> Self {
        let syn =
            |frame: &Frame| frame.tcp().map(|(header, _)| *header).filter(|h| h.flags.contains(Flags::SYN));
        let iss =
            |side| frames.iter().filter(|frame| frame.from == side).find_map(syn).map(|header| header.seq);
        let (near_iss, far_iss) = (iss(Side::Near), iss(Side::Far));
        Self { size: size.max(1), near_iss, far_iss, here: vec![false; size * messages], in_order: 0 }
    }

    /// Which bytes of the messages a frame carries.
    pub(crate) fn bytes_of(&self, frame: &Frame) -> Range<usize> {
        let Some((header, len)) = frame.tcp().filter(|_| frame.from == Side::Near) else { return 0..0 };
        let start = self.offset(self.near_iss, header.seq).min(self.here.len());
        start..(start + len).min(self.here.len())
    }

    /// Which messages those bytes belong to, if only in part.
    pub(crate) fn messages_of(&self, bytes: &Range<usize>) -> Range<usize> {
        if bytes.is_empty() { 0..0 } else { bytes.start / self.size + 1..bytes.end.div_ceil(self.size) + 1 }
    }

    /// Whether those bytes begin or end within a message.
    pub(crate) fn is_cut(&self, bytes: &Range<usize>) -> bool {
        !bytes.start.is_multiple_of(self.size) || !bytes.end.is_multiple_of(self.size)
    }

    /// A frame of the connection in a few words: `SYN`, `#3`, `ack #2, sack #4-6`, `FIN`.
    pub(crate) fn label(&self, frame: &Frame) -> String {
        let Some((header, len)) = frame.tcp() else { return String::new() };
        let has = |flag| header.flags.contains(flag);
        let mut words = Vec::new();
        let bytes = self.bytes_of(frame);
        if !bytes.is_empty() {
            let part = if self.is_cut(&bytes) { "part of " } else { "" };
            words.push(format!("{part}{}", span(&self.messages_of(&bytes))));
        }
        for (flag, word) in [(Flags::SYN, "SYN"), (Flags::FIN, "FIN"), (Flags::RST, "RST")] {
            if has(flag) {
                words.push(word.to_owned());
            }
        }
        if has(Flags::SYN) && has(Flags::ACK) {
            words = vec!["SYN ACK".to_owned()];
        } else if has(Flags::ACK) && len == 0 {
            // A segment that says more names its acknowledgment only if that says something.
            let ack = self.ack_label(frame.from, header.ack);
            words.extend(Some(ack).filter(|ack| words.is_empty() || ack == "ack FIN"));
        }
        let blocks = header.options.sack.as_slice().iter().filter(|_| frame.from == Side::Far);
        let reported: Vec<_> =
            blocks.map(|block| span(&self.numbers(block))).filter(|span| !span.is_empty()).collect();
        if !reported.is_empty() {
            words.push(format!("sack {}", reported.join(" ")));
        }
        words.join(", ")
    }

    /// The messages that a block of a selective acknowledgment reports.
    pub(crate) fn numbers(&self, block: &SackBlock) -> Range<usize> {
        let edge = |number| self.offset(self.near_iss, number).min(self.here.len());
        self.messages_of(&(edge(block.start)..edge(block.end)))
    }

    /// How far an acknowledgment of the far side reaches: the last message that it covers whole.
    pub(crate) fn acked(&self, ack: SeqNum) -> usize {
        self.offset(self.near_iss, ack).min(self.here.len()) / self.size
    }

    /// Takes bytes as they arrive.
    pub(crate) fn arrive(&mut self, bytes: Range<usize>) -> Effect {
        let before = self.in_order;
        let place = &mut self.here[bytes.clone()];
        if place.iter().all(|is_here| *is_here) {
            return Effect::Known;
        }
        place.fill(true);
        self.in_order += self.here[before..].iter().take_while(|is_here| **is_here).count();
        let missing = self.in_order / self.size + 1;
        if bytes.start > self.in_order {
            return Effect::Waits(missing);
        }
        match before / self.size + 1..missing {
            none if none.is_empty() => Effect::Part,
            read => Effect::Reads(read),
        }
    }

    fn ack_label(&self, from: Side, ack: SeqNum) -> String {
        if from == Side::Near {
            // The far side sends no data: its SYN and its FIN are all there is to acknowledge.
            return if self.offset(self.far_iss, ack) > 0 { "ack FIN".into() } else { "ack".into() };
        }
        let reach = self.offset(self.near_iss, ack);
        match self.acked(ack) {
            _ if reach > self.here.len() => "ack FIN".into(),
            0 => "ack".into(),
            last => format!("ack #{last}"),
        }
    }

    /// Bytes of data before that number.
    fn offset(&self, iss: Option<SeqNum>, seq: SeqNum) -> usize {
        iss.map_or(0, |iss| seq.get().wrapping_sub(iss.get()).wrapping_sub(1) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream { size: 10, near_iss: None, far_iss: None, here: vec![false; 50], in_order: 0 }
    }

    #[test]
    fn a_message_knows_its_number() {
        for number in [1, 7, 99_999] {
            assert_eq!(number_of(&message(number, 100)), Some(number));
        }
        let mut broken = message(3, 100);
        broken[50] ^= 1;
        assert_eq!((number_of(&broken), number_of(b"short")), (None, None));
        assert_eq!(message(1, 0).len(), MIN_MESSAGE);
    }

    #[test]
    fn numbers_are_drawn_together() {
        assert_eq!(list(&[1, 2, 3, 5]), "1 2 3 5");
        assert_eq!(runs(&[1, 2, 3, 5, 4, 4, 6, 7]), "1-3 5 4 4 6 7");
        assert_eq!(
            (span(&(3..4)), span(&(3..6)), span(&(3..3))),
            ("#3".into(), "#3-5".into(), String::new())
        );
    }

    #[test]
    fn a_stream_is_read_in_order_only() {
        let mut stream = stream();
        assert_eq!(stream.arrive(0..10), Effect::Reads(1..2));
        assert_eq!(stream.arrive(20..30), Effect::Waits(2));
        assert_eq!(stream.arrive(20..30), Effect::Known);
        assert_eq!(stream.arrive(10..15), Effect::Part);
        assert_eq!(stream.arrive(10..20), Effect::Reads(2..4));
        assert_eq!(stream.messages_of(&(15..31)), 2..5);
    }
}
