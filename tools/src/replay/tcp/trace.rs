//! Segments of one side, counted from the beginning of both streams.

use core::fmt;

use ustack::time::Instant;
use ustack::why::Why;
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};

/// Sequence numbers as distances from the SYN: 0 is the SYN itself, 1 the first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    first: SeqNum,
    /// The highest distance so far: numbers are taken to lie near it.
    edge: i64,
}

impl Numbering {
    pub(super) const fn new(first: SeqNum) -> Self {
        Self { first, edge: 0 }
    }

    /// The distance of a number, on the turn around 2^32 that is nearest to what was seen.
    pub(super) fn distance(&mut self, number: SeqNum) -> i64 {
        let distance = self.edge + i64::from(number.distance(self.number(self.edge)));
        self.edge = self.edge.max(distance);
        distance
    }

    /// The number at a distance.
    pub(super) fn number(&self, distance: i64) -> SeqNum {
        self.first + distance as u32
    }
}

/// A segment that the recorded side or our stack sent.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its number in the capture; none if our stack sent it.
    pub(crate) number: Option<u64>,
    /// Since the first packet.
    pub(crate) time: Instant,
    pub(crate) flags: Flags,
    /// Distance from the sender's SYN.
    pub(crate) seq: i64,
    /// Distance from the receiver's SYN.
    pub(crate) ack: Option<i64>,
    pub(crate) len: u32,
    pub(crate) header: Header,
    pub(crate) sack: Vec<(i64, i64)>,
    /// Why our stack sent it.
    pub(crate) why: Option<Why>,
}

impl Segment {
    pub(super) fn new(
        time: Instant,
        header: &Header,
        len: usize,
        own: &mut Numbering,
        other: &mut Option<Numbering>,
    ) -> Self {
        let seq = own.distance(header.seq);
        let mut far = |number: SeqNum| other.as_mut().map_or(i64::from(number.get()), |o| o.distance(number));
        let ack = header.flags.contains(Flags::ACK).then(|| far(header.ack));
        let sack = header.options.sack.as_slice().iter().map(|b| (far(b.start), far(b.end))).collect();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Self { number: None, time, flags: header.flags, seq, ack, len, header: *header, sack, why: None }
    }

    /// One beyond the last number that it occupies.
    pub(crate) fn end(&self) -> i64 {
        let phantom = self.flags.contains(Flags::SYN) as i64 + self.flags.contains(Flags::FIN) as i64;
        self.seq + i64::from(self.len) + phantom
    }

    /// Whether it occupies sequence numbers.
    pub(crate) fn occupies(&self) -> bool {
        self.end() > self.seq
    }

    /// Whether it says nothing but what was received.
    pub(crate) fn is_pure_ack(&self) -> bool {
        !self.occupies() && !self.flags.contains(Flags::RST)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (Flags::SYN, 'S'),
            (Flags::FIN, 'F'),
            (Flags::RST, 'R'),
            (Flags::PSH, 'P'),
            (Flags::URG, 'U'),
            (Flags::ECE, 'E'),
            (Flags::CWR, 'W'),
            (Flags::ACK, '.'),
        ];
        let flags: String = letters
            .iter()
            .filter(|(flag, _)| self.flags.contains(*flag))
            .map(|&(_, letter)| letter)
            .collect();
        write!(f, "{flags:<3} {}", self.seq)?;
        if self.occupies() {
            write!(f, "..{}", self.end())?;
        }
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        write!(f, " win {}", self.header.window)?;
        for (start, end) in &self.sack {
            write!(f, " sack {start}..{end}")?;
        }
        if self.flags.contains(Flags::SYN) {
            let options = &self.header.options;
            if let Some(mss) = options.mss {
                write!(f, " mss {mss}")?;
            }
            if let Some(shift) = options.window_scale {
                write!(f, " ws {shift}")?;
            }
            f.write_str(if options.sack_permitted { " sackOK" } else { "" })?;
            f.write_str(if options.timestamps.is_some() { " ts" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_go_around_the_wrap() {
        let mut numbering = Numbering::new(SeqNum::new(u32::MAX - 1));
        assert_eq!(numbering.distance(SeqNum::new(u32::MAX)), 1);
        assert_eq!(numbering.distance(SeqNum::new(1_000_000_000)), 1_000_000_002);
        assert_eq!(numbering.distance(SeqNum::new(3_000_000_000)), 3_000_000_002);
        assert_eq!(numbering.distance(SeqNum::new(10)), (1 << 32) + 12);
        assert_eq!(numbering.distance(SeqNum::new(u32::MAX - 1)), 1 << 32);
        assert_eq!(numbering.number((1 << 32) + 12).get(), 10);
    }
}
