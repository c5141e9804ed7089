//! One direction of a TCP connection, as a capture shows it: what was new, what was sent again, and why.

use std::collections::BTreeMap;

use ustack::time::{Duration, Instant};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};

/// Ranges and send times remembered of one direction; what is beyond is judged without them.
const MEMORY: usize = 4096;

/// What a segment brought, judged from the sequence space alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Bytes (or a SYN, or a FIN) beyond all that was seen.
    New,
    /// It occupies no sequence space: an ACK, a RST.
    Empty,
    /// It fills a hole: overtaken by others, or lost before the capture saw it and sent again.
    Late,
    /// Its bytes were seen before.
    Again {
        /// Since they were last seen, if that is remembered.
        after: Option<Duration>,
        /// They had been acknowledged already.
        needless: bool,
    },
    /// One byte before or at the edge, to hear from the peer: keepalive or zero-window probe.
    Probe,
}

/// What one side sent.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The first sequence number, to count from.
    start: Option<SeqNum>,
    /// One beyond the last number sent, counted from `start`.
    end: i64,
    /// Everything before it was acknowledged by the peer.
    acked: i64,
    /// What was seen between `acked` and `end`: start to end, disjoint.
    seen: BTreeMap<i64, i64>,
    /// When each segment was seen last, by its start.
    times: BTreeMap<i64, Instant>,
    /// The SYN that acknowledges the peer's was seen.
    syn_ack: bool,
}

impl Stream {
    /// A segment of this direction with `len` bytes of payload.
    pub(super) fn handle_segment(&mut self, now: Instant, header: &Header, len: u32) -> Verdict {
        let syn = header.flags.contains(Flags::SYN);
        let fin = header.flags.contains(Flags::FIN);
        let space = i64::from(len) + i64::from(syn) + i64::from(fin);
        let from = self.offset(header.seq);
        if space == 0 {
            // A keepalive without a byte: one before the edge.
            let keepalive = from == self.end - 1 && self.end > 1 && !header.flags.contains(Flags::RST);
            return if keepalive { Verdict::Probe } else { Verdict::Empty };
        }
        let to = from + space;
        // A simultaneous open: the SYN comes again with an ACK, and says something new.
        let first_syn_ack = header.flags.contains(Flags::SYN | Flags::ACK) && !self.syn_ack;
        self.syn_ack |= first_syn_ack;
        let verdict = if to > self.end || first_syn_ack {
            Verdict::New
        } else if len == 1 && !fin && to == self.end && from == self.acked - 1 {
            Verdict::Probe
        } else if to <= self.acked || self.covers(from, to) {
            Verdict::Again {
                after: self.times.get(&from).map(|&time| now.since(time)),
                needless: to <= self.acked,
            }
        } else {
            Verdict::Late
        };
        self.end = self.end.max(to);
        self.remember(now, from, to);
        verdict
    }

    /// The peer acknowledged everything before `ack`. True if that says nothing new.
    pub(super) fn handle_ack(&mut self, ack: SeqNum) -> bool {
        if self.start.is_none() {
            // The capture began in the middle: count from here.
            self.start = Some(ack);
        }
        let acked = self.offset(ack);
        if acked <= self.acked {
            return acked == self.acked;
        }
        self.acked = acked;
        // An ACK of what the capture did not see.
        self.end = self.end.max(acked);
        let across = self.seen.range(..acked).next_back().map(|(_, &end)| end);
        self.seen = self.seen.split_off(&acked);
        if let Some(end) = across.filter(|&end| end > acked) {
            self.seen.insert(acked, end);
        }
        self.times = self.times.split_off(&acked);
        false
    }

    /// Whether something beyond the acknowledged is under way.
    pub(super) fn in_flight(&self) -> bool {
        self.end > self.acked
    }

    /// The number as a distance from the first, around the wrap nearest to the end.
    fn offset(&mut self, seq: SeqNum) -> i64 {
        let start = *self.start.get_or_insert(seq);
        let edge = start + self.end as u32;
        self.end + i64::from(seq.distance(edge))
    }

    fn covers(&self, from: i64, to: i64) -> bool {
        let from = from.max(self.acked);
        self.seen.range(..=from).next_back().is_some_and(|(_, &end)| to <= end)
    }

    fn remember(&mut self, now: Instant, from: i64, to: i64) {
        if self.times.len() < MEMORY {
            self.times.insert(from, now);
        }
        if self.seen.len() >= MEMORY {
            return;
        }
        let (mut start, mut end) = (from, to);
        // Ranges that touch this one become part of it.
        while let Some((&s, &e)) = self.seen.range(..=end).next_back()
            && e >= start
        {
            self.seen.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.seen.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use ustack::time::{Units, at};

    use super::*;

    fn segment(seq: u32, flags: Flags) -> Header {
        Header { seq: SeqNum::new(seq), flags, ..Header::default() }
    }

    fn data(stream: &mut Stream, ms: u64, seq: u32, len: u32) -> Verdict {
        stream.handle_segment(at(ms.ms()), &segment(seq, Flags::ACK), len)
    }

    /// A stream after SYN 999 and the ACK of it.
    fn established() -> Stream {
        let mut stream = Stream::default();
        assert_eq!(stream.handle_segment(at(0.ms()), &segment(999, Flags::SYN), 0), Verdict::New);
        assert!(!stream.handle_ack(SeqNum::new(1000)));
        stream
    }

    #[test]
    fn tells_new_from_again() {
        let mut s = established();
        assert_eq!(data(&mut s, 1, 1000, 100), Verdict::New);
        assert_eq!(data(&mut s, 2, 1100, 100), Verdict::New);
        assert_eq!(data(&mut s, 9, 1000, 100), Verdict::Again { after: Some(8.ms()), needless: false });
        assert!(!s.handle_ack(SeqNum::new(1200)));
        assert!(s.handle_ack(SeqNum::new(1200)));
        assert_eq!(data(&mut s, 20, 1000, 100), Verdict::Again { after: None, needless: true });
    }

    #[test]
    fn what_fills_a_hole_is_late() {
        let mut s = established();
        assert_eq!(data(&mut s, 1, 1100, 100), Verdict::New);
        assert_eq!(data(&mut s, 2, 1000, 100), Verdict::Late);
        assert_eq!(data(&mut s, 3, 1000, 200), Verdict::Again { after: Some(1.ms()), needless: false });
    }

    #[test]
    fn an_ack_within_a_range_leaves_the_rest_of_it() {
        let mut s = established();
        data(&mut s, 1, 1000, 100);
        data(&mut s, 2, 1100, 100);
        s.handle_ack(SeqNum::new(1100));
        assert!(matches!(data(&mut s, 3, 1100, 100), Verdict::Again { needless: false, .. }));
    }

    #[test]
    fn counts_across_the_wrap() {
        let mut s = Stream::default();
        assert_eq!(data(&mut s, 0, u32::MAX - 49, 100), Verdict::New);
        assert!(s.in_flight());
        assert_eq!(data(&mut s, 1, 50, 10), Verdict::New);
        assert!(matches!(data(&mut s, 2, u32::MAX - 49, 100), Verdict::Again { .. }));
    }

    #[test]
    fn a_syn_sent_again_is_seen() {
        let mut s = Stream::default();
        s.handle_segment(at(0.ms()), &segment(999, Flags::SYN), 0);
        let again = s.handle_segment(at(1000.ms()), &segment(999, Flags::SYN), 0);
        assert_eq!(again, Verdict::Again { after: Some(1000.ms()), needless: false });
    }

    #[test]
    fn keepalives_and_probes_are_no_retransmissions() {
        let mut s = established();
        data(&mut s, 1, 1000, 100);
        s.handle_ack(SeqNum::new(1100));
        assert_eq!(data(&mut s, 2, 1099, 0), Verdict::Probe);
        assert_eq!(data(&mut s, 3, 1099, 1), Verdict::Probe);
        assert_eq!(data(&mut s, 4, 1100, 0), Verdict::Empty);
    }
}
