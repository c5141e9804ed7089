//! A bounded set of ranges: what has arrived out of order, what was acknowledged selectively, what of a packet is
//! there.

use super::packed::packed;
use arrayvec::ArrayVec;
use core::ops::Range;

/// Half-open ranges over `u64`, sorted, disjoint and not touching, at most `limit` of them.
///
/// ```text
///   0     10        30    40         70 75        positions
///   ......[##########)....[###########).[##)....
///             #2              #3          #1      order of the latest insertion: 3 is the most recent
/// ```
///
/// Ranges that touch or overlap become one, and that one counts as inserted last: in this order RFC 2018 section 4
/// wants SACK blocks reported, see [`Ranges::recent`]. Memory comes with the first range.
#[derive(Clone, Debug)]
pub struct Ranges {
    entries: Vec<Entry>,
    limit: usize,
    clock: u64,
    covered: u64,
}

packed!(Ranges { entries, limit, clock, covered });

#[derive(Clone, Debug)]
struct Entry {
    start: u64,
    end: u64,
    inserted: u64,
}

/// The set holds its limit of ranges already, and the new one touches none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the set of ranges is full")]
pub struct Full;

impl Ranges {
    /// An empty set that will hold up to `limit` separate ranges; allocates nothing yet.
    pub const fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit, clock: 0, covered: 0 }
    }

    /// The number of separate ranges.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most ranges it will hold.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The sum of all ranges' lengths.
    pub const fn covered(&self) -> u64 {
        self.covered
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.entries.first().map(Entry::range)
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.entries.last().map(Entry::range)
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + '_ {
        self.entries.iter().map(Entry::range)
    }

    /// The ranges of which some part lies at or above `position`, in ascending order, whole.
    pub fn iter_from(&self, position: u64) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.entries[self.first_ending_after(position)..].iter().map(Entry::range)
    }

    /// The parts of `within` that the set does not hold, in ascending order.
    pub fn gaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut next = within.start;
        let mut entries = self.entries[self.first_ending_after(within.start)..].iter();
        core::iter::from_fn(move || {
            while next < within.end {
                let (gap_end, after) = match entries.next() {
                    Some(entry) => (entry.start.min(within.end), entry.end),
                    None => (within.end, within.end),
                };
                let gap = next..gap_end;
                next = after;
                if gap.start < gap.end {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Whether `position` lies in a range.
    pub fn contains(&self, position: u64) -> bool {
        self.containing(position).is_some()
    }

    /// The range in which `position` lies.
    pub fn containing(&self, position: u64) -> Option<Range<u64>> {
        let entry = self.entries.get(self.first_ending_after(position))?;
        (entry.start <= position).then(|| entry.range())
    }

    /// Whether all of `range` is held. The empty range always is.
    pub fn contains_range(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.containing(range.start).is_some_and(|held| range.end <= held.end)
    }

    /// Whether any part of `range` is held.
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        self.overlap(range).is_some()
    }

    /// The lowest part of `range` that is held: for DSACK (RFC 2883), the first duplicate bytes of a segment.
    pub fn overlap(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let entry = self.entries.get(self.first_ending_after(range.start))?;
        let overlap = entry.start.max(range.start)..entry.end.min(range.end);
        (overlap.start < overlap.end).then_some(overlap)
    }

    /// The held part of everything at or above `position`, in bytes.
    pub fn covered_from(&self, position: u64) -> u64 {
        self.iter_from(position).map(|range| range.end - range.start.max(position)).sum()
    }

    /// Up to `N` ranges, the one inserted (or extended) last first.
    pub fn recent<const N: usize>(&self) -> ArrayVec<Range<u64>, N> {
        let mut top: ArrayVec<&Entry, N> = ArrayVec::new();
        for entry in &self.entries {
            let place = top.iter().position(|held| held.inserted < entry.inserted).unwrap_or(top.len());
            if place == N {
                continue;
            }
            if top.is_full() {
                top.pop();
            }
            top.insert(place, entry);
        }
        top.into_iter().map(Entry::range).collect()
    }

    /// Adds `range`, merged with what it touches; answers how much of it is new.
    ///
    /// # Errors
    /// [`Full`] if it touches nothing and the set holds its limit; the set is unchanged.
    pub fn insert(&mut self, range: Range<u64>) -> Result<u64, Full> {
        if range.start >= range.end {
            return Ok(0);
        }
        // The entries that touch it: from the first that ends at or after its start to the last that starts at or
        // before its end.
        let from = self.entries.partition_point(|entry| entry.end < range.start);
        let to = from + self.entries[from..].partition_point(|entry| entry.start <= range.end);
        if from == to && self.entries.len() >= self.limit {
            return Err(Full);
        }
        self.clock += 1;
        let inserted = self.clock;
        if from == to {
            self.covered += range.end - range.start;
            self.entries.insert(from, Entry { start: range.start, end: range.end, inserted });
            return Ok(range.end - range.start);
        }
        let before: u64 = self.entries[from..to].iter().map(Entry::len).sum();
        let start = self.entries[from].start.min(range.start);
        let end = self.entries[to - 1].end.max(range.end);
        self.entries[from] = Entry { start, end, inserted };
        self.entries.drain(from + 1..to);
        let added = end - start - before;
        self.covered += added;
        Ok(added)
    }

    /// Forgets everything below `position`; a range around it keeps its upper part.
    pub fn remove_below(&mut self, position: u64) {
        let gone = self.first_ending_after(position);
        self.covered -= self.entries.drain(..gone).map(|entry| entry.len()).sum::<u64>();
        if let Some(entry) = self.entries.first_mut().filter(|entry| entry.start < position) {
            self.covered -= position - entry.start;
            entry.start = position;
        }
    }

    /// Takes the lowest range out if it begins at or below `position`: what an arrival at `position` makes contiguous.
    pub fn take_first_at(&mut self, position: u64) -> Option<Range<u64>> {
        let first = self.first().filter(|first| first.start <= position)?;
        self.remove_below(first.end);
        Some(first)
    }

    /// Forgets all ranges and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Index of the first entry that has a part above or at `position`.
    fn first_ending_after(&self, position: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= position)
    }
}

impl Entry {
    fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    fn len(&self) -> u64 {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn held(set: &Ranges) -> Vec<Range<u64>> {
        set.iter().collect()
    }

    fn set(ranges: &[Range<u64>]) -> Ranges {
        let mut set = Ranges::new(16);
        ranges.iter().for_each(|range| {
            set.insert(range.clone()).unwrap();
        });
        set
    }

    #[test]
    fn merges_what_touches_and_counts_what_is_new() {
        let mut set = set(&[10..20, 30..40, 50..60]);
        assert_eq!(set.insert(20..25), Ok(5));
        assert_eq!(held(&set), [10..25, 30..40, 50..60]);
        assert_eq!(set.insert(12..35), Ok(5));
        assert_eq!(held(&set), [10..40, 50..60]);
        assert_eq!(set.insert(15..18), Ok(0));
        assert_eq!(set.insert(0..100), Ok(60));
        assert_eq!((set.len(), set.first(), set.covered()), (1, Some(0..100), 100));
        assert_eq!(set.insert(7..7), Ok(0));
    }

    #[test]
    fn says_when_it_is_full() {
        let mut set = Ranges::new(2);
        set.insert(0..1).unwrap();
        set.insert(10..11).unwrap();
        assert_eq!(set.insert(5..6), Err(Full));
        assert_eq!(set.insert(1..3), Ok(2), "what touches a held range needs no room");
        assert_eq!(held(&set), [0..3, 10..11]);
    }

    #[test]
    fn knows_the_order_of_insertion() {
        // RFC 2018 section 4: the first block holds the segment that triggered the ACK, then the most recent ones.
        let mut set = set(&[10..20, 50..60, 30..40]);
        assert_eq!(set.recent::<4>()[..], [30..40, 50..60, 10..20]);
        set.insert(12..13).unwrap();
        assert_eq!(set.recent::<2>()[..], [10..20, 30..40]);
        set.insert(20..30).unwrap();
        assert_eq!(set.recent::<3>()[..], [10..40, 50..60]);
        assert!(set.recent::<0>().is_empty());
    }

    #[test]
    fn finds_gaps_and_overlaps() {
        let set = set(&[10..20, 30..40]);
        assert_eq!(set.gaps(0..50).collect::<Vec<_>>(), [0..10, 20..30, 40..50]);
        assert_eq!(set.gaps(15..45).collect::<Vec<_>>(), [20..30, 40..45]);
        assert_eq!(set.gaps(12..18).count(), 0);
        assert_eq!(set.overlap(&(15..35)), Some(15..20));
        assert_eq!(set.overlap(&(20..30)), None);
        assert_eq!(set.covered_from(15), 15);
        assert!(set.contains_range(&(10..20)) && !set.contains_range(&(10..21)));
    }

    #[test]
    fn hands_out_what_became_contiguous() {
        let mut set = set(&[10..20, 30..40]);
        assert_eq!(set.take_first_at(9), None);
        assert_eq!(set.take_first_at(12), Some(10..20));
        assert_eq!((set.len(), set.first(), set.covered()), (1, Some(30..40), 10));
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_positions(
            steps in prop::collection::vec((0..200u64, 0..40u64, 0..5u8), 1..80),
            limit in 1..12usize,
        ) {
            let mut set = Ranges::new(limit);
            let mut model: BTreeSet<u64> = BTreeSet::new();
            for (start, len, kind) in steps {
                let range = start..start + len;
                if kind == 0 {
                    set.remove_below(start);
                    model = model.split_off(&start);
                } else {
                    prop_assert_eq!(set.overlaps(&range), range.clone().any(|p| model.contains(&p)));
                    prop_assert_eq!(set.contains_range(&range), range.clone().all(|p| model.contains(&p)));
                    let new = range.clone().filter(|p| !model.contains(p)).count() as u64;
                    match set.insert(range.clone()) {
                        Ok(added) => {
                            prop_assert_eq!(added, new);
                            model.extend(range.clone());
                            if !range.is_empty() {
                                let newest = set.recent::<1>();
                                prop_assert!(newest[0].start <= range.start && range.end <= newest[0].end);
                            }
                        }
                        Err(Full) => {
                            prop_assert_eq!(set.len(), limit);
                            prop_assert!((start.saturating_sub(1)..=range.end).all(|p| !model.contains(&p)));
                        }
                    }
                }
                let all: Vec<Range<u64>> = set.iter().collect();
                prop_assert!(all.len() <= limit);
                prop_assert!(all.iter().all(|r| r.start < r.end));
                prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(set.covered(), model.len() as u64);
                let positions: Vec<u64> = all.into_iter().flatten().collect();
                prop_assert_eq!(positions, model.iter().copied().collect::<Vec<_>>());
                let missing: Vec<u64> = set.gaps(20..180).flatten().collect();
                prop_assert_eq!(missing, (20..180).filter(|p| !model.contains(p)).collect::<Vec<_>>());
                prop_assert_eq!(set.covered_from(100), model.range(100..).count() as u64);
                let mut order = set.recent::<12>().to_vec();
                prop_assert_eq!(order.len(), set.len());
                order.sort_by_key(|r| r.start);
                prop_assert_eq!(order, set.iter().collect::<Vec<_>>());
            }
        }
    }
}
