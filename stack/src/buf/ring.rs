//! A byte ring: what an application wrote and the network has not taken yet, or the other way round.

use super::packed::packed;
use core::fmt;

/// Bytes in order, with memory that comes when it is needed.
///
/// ```text
///   offset 0           len               reach                limit
///     |  readable       |  out of order    |   nothing yet      |
///     v                 v                  v                    v
///     [HHHHHHHHHHHHHHHHH][....XXXX....XXXXX][                    ]
///     read, peek,        write_at puts      free() counts from
///     consume take here  bytes here,        len to limit
///                        extend makes
///                        them readable
///
///   in memory, `size` bytes, the same bytes lie around the end:
///
///     0        tail           head                   size
///     [HHHHHHHH][             ][HHHHHHHHHHHHHHHHHHHHH]
///       second part              first part of peek
/// ```
///
/// All offsets are relative to the read position. The ring holds no memory before the first write, doubles it when
/// more is needed up to the limit, and gives it back in [`Ring::shrink`]. Which of the bytes between `len` and
/// `reach` are there is not its business: [`Ranges`](super::ranges::Ranges) knows.
pub struct Ring {
    memory: Vec<u8>,
    head: usize,
    len: usize,
    reach: usize,
    limit: usize,
    /// Nothing is put beyond this, whatever was promised.
    ceiling: usize,
}

packed!(Ring { memory, head, len, reach, limit, ceiling });

/// The first allocation, unless the limit is lower: a small request or answer fits.
pub(crate) const FIRST_ALLOCATION: usize = 2048;

impl Ring {
    /// An empty ring that will hold up to `limit` bytes; allocates nothing yet.
    pub const fn new(limit: usize) -> Self {
        Self { memory: Vec::new(), head: 0, len: 0, reach: 0, limit, ceiling: usize::MAX }
    }

    /// Readable bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is readable.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes after the readable end that may still be written: `limit - len`, 0 if the limit was lowered below.
    pub const fn free(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// The most bytes it will hold.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of memory that it occupies now.
    pub const fn memory(&self) -> usize {
        self.memory.capacity()
    }

    /// Up to `len` readable bytes from `offset`, where they lie. Either part may be empty; what is not readable is left
    /// out.
    pub fn peek(&self, offset: usize, len: usize) -> [&[u8]; 2] {
        let offset = offset.min(self.len);
        let len = len.min(self.len - offset);
        if len == 0 {
            return [&[], &[]];
        }
        let start = self.position(offset);
        let first = len.min(self.memory.len() - start);
        [&self.memory[start..start + first], &self.memory[..len - first]]
    }

    /// Changes the limit. Bytes that are already there stay, even above it.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes nothing beyond `ceiling` any more, whatever was promised.
    pub fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = ceiling;
    }

    /// Appends as much of `bytes` as fits; answers how much.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.free());
        self.place(self.len, &bytes[..taken]);
        self.len += taken;
        taken
    }

    /// Appends as much of `parts`, one after the other, as fits; answers how many bytes.
    pub fn write_slices(&mut self, parts: &[&[u8]]) -> usize {
        let wanted = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        self.reserve(self.len + wanted.min(self.free()));
        parts.iter().map(|part| self.write(part)).sum()
    }

    /// Puts `bytes` at `offset` without making them readable; answers how many of them lie before `edge`, which is
    /// above the limit if that was lowered after more had been promised, and below the ceiling.
    ///
    /// Bytes below the readable end count as taken but change nothing: what is readable may have been read already.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8], edge: usize) -> usize {
        let taken = bytes.len().min(edge.min(self.ceiling).saturating_sub(offset));
        let known = self.len.saturating_sub(offset).min(taken);
        self.place(offset + known, &bytes[known..taken]);
        taken
    }

    /// Makes the next `n` bytes readable, which [`Ring::write_at`] has written; never more than it reached. Answers how
    /// many.
    pub fn extend(&mut self, n: usize) -> usize {
        debug_assert!(n <= self.reach - self.len, "extend over bytes that were never written");
        let n = n.min(self.reach - self.len);
        self.len += n;
        n
    }

    /// The place of the next `n` bytes, in two parts, for whoever fills it and then calls [`Ring::accept`]; `None` if
    /// there may not be so many, or if bytes lie ahead that it would overwrite.
    #[inline]
    pub(crate) fn vacant(&mut self, n: usize) -> Option<[&mut [u8]; 2]> {
        let end = self.len + n;
        if self.reach > self.len || end > self.ceiling || n == 0 {
            return None;
        }
        self.reserve(end);
        let start = self.position(self.len);
        let first = n.min(self.memory.len() - start);
        let (front, back) = self.memory.split_at_mut(start);
        // What does not fit behind lies in front, where nothing lies: there is room for all of it.
        Some([&mut back[..first], &mut front[..n - first]])
    }

    /// Makes the next `n` bytes readable, which [`Ring::vacant`] has given.
    #[inline]
    pub(crate) fn accept(&mut self, n: usize) {
        debug_assert!(self.len + n <= self.memory.len(), "more than was given");
        self.len += n;
        self.reach = self.reach.max(self.len);
    }

    /// Moves readable bytes into `out`; answers how many.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let [first, second] = self.peek(0, out.len());
        let n = first.len() + second.len();
        out[..first.len()].copy_from_slice(first);
        if !second.is_empty() {
            out[first.len()..n].copy_from_slice(second);
        }
        self.consume(n);
        n
    }

    /// Drops up to `n` readable bytes from the front; answers how many.
    pub fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.len);
        self.len -= n;
        self.reach -= n;
        // An empty ring starts anew at the front, so that short exchanges stay in one piece and in one cache line.
        self.head = if self.reach == 0 { 0 } else { self.position(n) };
        n
    }

    /// Drops up to `n` readable bytes from the front and lends them once more, until the next call.
    pub fn take(&mut self, n: usize) -> [&[u8]; 2] {
        let start = self.head;
        let n = self.consume(n);
        // The memory is as it was: dropping moves the read position alone.
        let first = n.min(self.memory.len() - start);
        [&self.memory[start..start + first], &self.memory[..n - first]]
    }

    /// Forgets all bytes; keeps the memory.
    pub fn clear(&mut self) {
        (self.head, self.len, self.reach) = (0, 0, 0);
    }

    /// Gives the memory back if nothing is in it: for when a connection is idle.
    pub fn shrink(&mut self) {
        if self.reach == 0 {
            self.memory = Vec::new();
            self.head = 0;
        }
    }

    /// Where the byte at `offset` lies in memory; `offset` is at most the memory's size.
    fn position(&self, offset: usize) -> usize {
        let position = self.head + offset;
        if position >= self.memory.len() { position - self.memory.len() } else { position }
    }

    /// Copies `bytes` to `offset`, which the caller has checked against the limit.
    fn place(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.reserve(end);
        let start = self.position(offset);
        let first = bytes.len().min(self.memory.len() - start);
        self.memory[start..start + first].copy_from_slice(&bytes[..first]);
        if first < bytes.len() {
            self.memory[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        }
        self.reach = self.reach.max(end);
    }

    /// Makes room for offsets below `size`.
    #[inline]
    fn reserve(&mut self, size: usize) {
        if size > self.memory.len() {
            self.grow(size);
        }
    }

    #[cold]
    fn grow(&mut self, size: usize) {
        // Above the limit only if that was lowered since; then the next power of two is what there was.
        let bound = self.limit.max(size);
        let doubled = size.max(FIRST_ALLOCATION).checked_next_power_of_two().unwrap_or(bound);
        let mut memory = vec![0; doubled.min(bound)];
        if self.reach > 0 {
            let first = self.reach.min(self.memory.len() - self.head);
            memory[..first].copy_from_slice(&self.memory[self.head..self.head + first]);
            memory[first..self.reach].copy_from_slice(&self.memory[..self.reach - first]);
        }
        self.memory = memory;
        self.head = 0;
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len)
            .field("reach", &self.reach)
            .field("limit", &self.limit)
            .field("memory", &self.memory())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn joined([first, second]: [&[u8]; 2]) -> Vec<u8> {
        [first, second].concat()
    }

    #[test]
    fn allocates_on_the_first_write_and_doubles_up_to_the_limit() {
        let mut ring = Ring::new(10_000);
        assert_eq!(ring.memory(), 0);
        assert_eq!(ring.write(b"hello"), 5);
        assert_eq!(ring.memory(), FIRST_ALLOCATION);
        assert_eq!(ring.write(&[7; 4000]), 4000);
        assert_eq!(ring.memory(), 4096);
        assert_eq!(ring.write(&[8; 9000]), 10_000 - 4005);
        assert_eq!((ring.memory(), ring.free()), (10_000, 0));
        ring.shrink();
        assert_eq!(ring.memory(), 10_000, "what is in use is kept");
        ring.consume(usize::MAX);
        ring.shrink();
        assert_eq!((ring.memory(), ring.free()), (0, 10_000));
    }

    #[test]
    fn takes_bytes_out_of_order_at_their_final_place() {
        let mut ring = Ring::new(100);
        assert_eq!(ring.write(b"ab"), 2);
        assert_eq!(ring.write_at(4, b"ef", ring.limit()), 2);
        assert_eq!(joined(ring.peek(0, 100)), b"ab");
        assert_eq!(ring.write_at(2, b"cd", ring.limit()), 2);
        assert_eq!(ring.extend(4), 4);
        assert_eq!(joined(ring.peek(1, 4)), b"bcde");
        let mut out = [0; 10];
        assert_eq!(ring.read(&mut out), 6);
        assert_eq!(&out[..6], b"abcdef");
    }

    #[test]
    fn out_of_order_bytes_survive_growth_and_consumption() {
        let mut ring = Ring::new(1 << 16);
        ring.write(b"abcd");
        ring.write_at(2000, b"xyz", ring.limit());
        ring.consume(2);
        ring.write_at(30_000, b"!", ring.limit());
        ring.write_at(2, &[b'.'; 1996], ring.limit());
        assert_eq!(ring.extend(1999), 1999);
        assert_eq!(joined(ring.peek(1996, 10)), b"..xyz");
    }

    #[test]
    fn refuses_what_lies_beyond_the_limit_and_skips_what_is_readable() {
        let mut ring = Ring::new(8);
        ring.write(b"abcd");
        assert_eq!(ring.write_at(6, b"ghij", ring.limit()), 2);
        assert_eq!(ring.write_at(9, b"z", ring.limit()), 0);
        assert_eq!(ring.write_at(usize::MAX, b"z", ring.limit()), 0);
        assert_eq!(ring.write_at(2, b"XXef", ring.limit()), 4);
        ring.extend(4);
        assert_eq!(joined(ring.peek(0, 8)), b"abcdefgh");
    }

    #[test]
    fn a_lowered_limit_keeps_what_is_there() {
        let mut ring = Ring::new(100);
        ring.write(&[1; 50]);
        ring.set_limit(10);
        assert_eq!((ring.len(), ring.free(), ring.write(b"x")), (50, 0, 0));
        ring.consume(45);
        assert_eq!((ring.free(), ring.write(b"123456")), (5, 5));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(Vec<u8>),
        Slices(Vec<Vec<u8>>),
        Ahead(usize, Vec<u8>),
        Read(usize),
        Consume(usize),
        Take(usize),
        Peek(usize, usize),
        Limit(usize),
        Shrink,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..3000);
        prop_oneof![
            4 => bytes().prop_map(Step::Write),
            1 => prop::collection::vec(bytes(), 0..3).prop_map(Step::Slices),
            3 => (0..4000usize, bytes()).prop_map(|(gap, bytes)| Step::Ahead(gap, bytes)),
            4 => (0..4000usize).prop_map(Step::Read),
            2 => (0..4000usize).prop_map(Step::Consume),
            2 => (0..4000usize).prop_map(Step::Take),
            2 => (0..9000usize, 0..9000usize).prop_map(|(at, len)| Step::Peek(at, len)),
            1 => (0..9000usize).prop_map(Step::Limit),
            1 => Just(Step::Shrink),
        ]
    }

    proptest! {
        /// The model: readable bytes in a deque, and what was put ahead of them as optional bytes.
        #[test]
        fn behaves_like_a_deque(steps in prop::collection::vec(step(), 1..60)) {
            let mut ring = Ring::new(8192);
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut ahead: VecDeque<Option<u8>> = VecDeque::new();
            let mut limit = 8192usize;
            for step in steps {
                match step {
                    Step::Write(bytes) => {
                        let n = bytes.len().min(limit.saturating_sub(model.len()));
                        prop_assert_eq!(ring.write(&bytes), n);
                        model.extend(&bytes[..n]);
                        ahead.drain(..n.min(ahead.len()));
                    }
                    Step::Slices(parts) => {
                        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                        let all = parts.concat();
                        let n = all.len().min(limit.saturating_sub(model.len()));
                        prop_assert_eq!(ring.write_slices(&slices), n);
                        model.extend(&all[..n]);
                        ahead.drain(..n.min(ahead.len()));
                    }
                    Step::Ahead(gap, bytes) => {
                        let offset = model.len() + gap;
                        let n = bytes.len().min(limit.saturating_sub(offset));
                        prop_assert_eq!(ring.write_at(offset, &bytes, ring.limit()), n);
                        if n > 0 && ahead.len() < gap + n {
                            ahead.resize(gap + n, None);
                        }
                        for (slot, &byte) in ahead.iter_mut().skip(gap).zip(&bytes[..n]) {
                            *slot = Some(byte);
                        }
                        let ready = ahead.iter().take_while(|b| b.is_some()).count();
                        prop_assert_eq!(ring.extend(ready), ready);
                        model.extend(ahead.drain(..ready).flatten());
                    }
                    Step::Read(n) => {
                        let mut out = vec![0; n];
                        let got = ring.read(&mut out);
                        prop_assert_eq!(got, n.min(model.len()));
                        prop_assert_eq!(&out[..got], &model.drain(..got).collect::<Vec<_>>()[..]);
                    }
                    Step::Take(n) => {
                        let want: Vec<u8> = model.drain(..n.min(model.len())).collect();
                        prop_assert_eq!(joined(ring.take(n)), want);
                    }
                    Step::Consume(n) => {
                        let n = n.min(model.len());
                        prop_assert_eq!(ring.consume(n), n);
                        model.drain(..n);
                    }
                    Step::Peek(at, len) => {
                        let want: Vec<u8> = model.iter().skip(at).take(len).copied().collect();
                        prop_assert_eq!(joined(ring.peek(at, len)), want);
                    }
                    Step::Limit(new) => {
                        limit = new;
                        ring.set_limit(new);
                    }
                    Step::Shrink => ring.shrink(),
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.free(), limit.saturating_sub(model.len()));
                prop_assert!(ring.memory() <= 9000);
            }
            prop_assert_eq!(joined(ring.peek(0, usize::MAX)), model.into_iter().collect::<Vec<_>>());
        }
    }
}
