//! What our stack has sent so far, so that it need not be searched from the beginning for each segment of the peer.

use core::ops::Deref;

use super::trace::Segment;

/// Segments that are looked at beyond the first that reaches a number.
const LOOK_AHEAD: usize = 256;

/// Segments in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct History {
    segments: Vec<Segment>,
    /// The segments that reached further than all before them: end, and place.
    records: Vec<(i64, usize)>,
    /// How our stack scales its windows, if it offered that.
    offered_shift: Option<u8>,
}

impl History {
    pub(super) const fn offered_shift(&self) -> Option<u8> {
        self.offered_shift
    }

    pub(super) fn push(&mut self, segment: Segment) {
        if self.records.last().is_none_or(|&(end, _)| end < segment.end()) {
            self.records.push((segment.end(), self.segments.len()));
        }
        self.offered_shift = self.offered_shift.or(segment.header.options.window_scale);
        self.segments.push(segment);
    }

    /// The segments from the first that reaches `end`.
    pub(super) fn reaching(&self, end: i64) -> &[Segment] {
        let record = self.records.partition_point(|&(reached, _)| reached < end);
        let place = self.records.get(record).map_or(self.segments.len(), |&(_, place)| place);
        &self.segments[place..]
    }

    /// The first segment that covers these numbers.
    pub(super) fn covering(&self, seq: i64, end: i64) -> Option<&Segment> {
        self.reaching(end).iter().take(LOOK_AHEAD).find(|s| s.seq <= seq && s.end() >= end)
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

impl Deref for History {
    type Target = [Segment];

    fn deref(&self) -> &[Segment] {
        &self.segments
    }
}
