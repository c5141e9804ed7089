//! A bounded queue of packets: what datagram and raw sockets have received, or have to send.

use super::ring::Ring;
use std::collections::VecDeque;

/// Packets in order, each with what is known about it; their bytes lie one after the other in one ring.
///
/// ```text
///   entries  [ M, 5 ][ M, 0 ][ M, 3 ]      at most `packets`
///   bytes    [A A A A A][C C C]            at most `bytes`
/// ```
///
/// Both kinds of memory come with the first packet and are used again, so that nothing is allocated per packet.
#[derive(Debug)]
pub struct PacketQueue<M> {
    entries: VecDeque<Entry<M>>,
    bytes: Ring,
    limit: usize,
    refused: Refused,
}

#[derive(Debug)]
struct Entry<M> {
    meta: M,
    len: usize,
}

/// Packets that found no room, since the queue was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Refused {
    /// How many.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Packets that can leave as one: see [`PacketQueue::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a, M> {
    /// What is known about the first.
    pub meta: &'a M,
    /// How many.
    pub packets: usize,
    /// Bytes of each but the last.
    pub size: usize,
    /// The bytes of all.
    pub bytes: [&'a [u8]; 2],
}

/// There is no room for the packet; it was counted as [`Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of packets is full")]
pub struct Full;

impl<M> PacketQueue<M> {
    /// An empty queue for up to `packets` packets with `bytes` bytes in all; allocates nothing yet.
    pub const fn new(packets: usize, bytes: usize) -> Self {
        let refused = Refused { packets: 0, bytes: 0 };
        Self { entries: VecDeque::new(), bytes: Ring::new(bytes), limit: packets, refused }
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no packet is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all packets in it.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The most bytes it will hold.
    pub const fn byte_limit(&self) -> usize {
        self.bytes.limit()
    }

    /// The most packets it will hold.
    pub const fn packet_limit(&self) -> usize {
        self.limit
    }

    /// Whether a packet of `len` bytes finds room.
    pub fn has_room(&self, len: usize) -> bool {
        self.entries.len() < self.limit && len <= self.bytes.free()
    }

    /// What found no room so far.
    pub const fn refused(&self) -> Refused {
        self.refused
    }

    /// Bytes of memory that it occupies now.
    pub fn memory(&self) -> usize {
        self.bytes.memory() + self.entries.capacity() * size_of::<Entry<M>>()
    }

    /// The first packet, where its bytes lie.
    pub fn front(&self) -> Option<(&M, [&[u8]; 2])> {
        let entry = self.entries.front()?;
        Some((&entry.meta, self.bytes.peek(0, entry.len)))
    }

    /// The first packet and those behind it that can leave as one: `alike`, and of one length, but that the last may be
    /// shorter; `most` of them at most, with `bytes` bytes in all. Their bytes lie one after the other.
    pub fn run(&self, most: usize, bytes: usize, alike: impl Fn(&M, &M) -> bool) -> Option<Run<'_, M>> {
        let first = self.entries.front()?;
        let (mut packets, mut len) = (1, first.len);
        for entry in self.entries.iter().take(most).skip(1) {
            if first.len == 0
                || entry.len == 0
                || entry.len > first.len
                || len + entry.len > bytes
                || !alike(&first.meta, &entry.meta)
            {
                break;
            }
            packets += 1;
            len += entry.len;
            if entry.len < first.len {
                break;
            }
        }
        Some(Run { meta: &first.meta, packets, size: first.len, bytes: self.bytes.peek(0, len) })
    }

    /// The first `len` bytes of all packets, where they lie.
    pub fn front_bytes(&self, len: usize) -> [&[u8]; 2] {
        self.bytes.peek(0, len)
    }

    /// The length of the first packet.
    pub fn front_len(&self) -> Option<usize> {
        self.entries.front().map(|entry| entry.len)
    }

    /// Appends a packet, whose bytes are `parts` one after the other.
    ///
    /// # Errors
    /// [`Full`] if it finds no room; the queue is unchanged but for the counter.
    pub fn push(&mut self, meta: M, parts: &[&[u8]]) -> Result<(), Full> {
        let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if !self.has_room(len) {
            self.refused.packets += 1;
            self.refused.bytes += len as u64;
            return Err(Full);
        }
        self.bytes.write_slices(parts);
        self.entries.push_back(Entry { meta, len });
        Ok(())
    }

    /// Appends `bytes` as packets of `size` bytes, of which the last may be shorter; an empty one if there are none.
    /// All or nothing; nothing is counted as refused, for whoever asks can try again.
    ///
    /// # Errors
    /// [`Full`] if they do not all find room.
    pub fn push_pieces(&mut self, meta: M, bytes: &[u8], size: usize) -> Result<(), Full>
    where
        M: Clone,
    {
        let size = size.max(1);
        let packets = bytes.len().div_ceil(size).max(1);
        if self.entries.len() + packets > self.limit || bytes.len() > self.bytes.free() {
            return Err(Full);
        }
        self.bytes.write_slices(&[bytes]);
        let lens = (0..packets).map(|packet| size.min(bytes.len() - packet * size));
        self.entries.extend(lens.map(|len| Entry { meta: meta.clone(), len }));
        Ok(())
    }

    /// Takes the first packet out; lends its bytes until the next call.
    pub fn pop(&mut self) -> Option<(M, [&[u8]; 2])> {
        let entry = self.entries.pop_front()?;
        Some((entry.meta, self.bytes.take(entry.len)))
    }

    /// Takes the first packet out and copies into `out` what fits; answers the packet's whole length.
    pub fn pop_into(&mut self, out: &mut [u8]) -> Option<(M, usize)> {
        let entry = self.entries.pop_front()?;
        let fits = entry.len.min(out.len());
        self.bytes.read(&mut out[..fits]);
        self.bytes.consume(entry.len - fits);
        Some((entry.meta, entry.len))
    }

    /// Changes the limit of bytes. Packets that are in it stay.
    pub fn set_byte_limit(&mut self, bytes: usize) {
        self.bytes.set_limit(bytes);
    }

    /// Forgets all packets; keeps the memory and the counter.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }

    /// Gives the memory back if nothing is in it.
    pub fn shrink(&mut self) {
        self.bytes.shrink();
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_by_count_and_by_bytes() {
        let mut queue = PacketQueue::new(2, 10);
        assert_eq!(queue.memory(), 0);
        assert_eq!(queue.push(1, &[b"abc", b"def"]), Ok(()));
        assert_eq!(queue.push(2, &[b"ghijk"]), Err(Full));
        assert_eq!(queue.push(3, &[]), Ok(()));
        assert_eq!(queue.push(4, &[b"x"]), Err(Full));
        assert_eq!(queue.refused(), Refused { packets: 2, bytes: 6 });
        assert_eq!(queue.pop(), Some((1, [&b"abcdef"[..], &[]])));
        assert_eq!(queue.pop(), Some((3, [&[][..], &[]])));
        assert_eq!(queue.pop(), None);
        queue.shrink();
        assert_eq!(queue.memory(), 0);
    }

    #[test]
    fn pieces_go_in_all_or_none() {
        let mut queue = PacketQueue::new(4, 10);
        assert_eq!(queue.push_pieces(1, b"abcdefg", 3), Ok(()));
        assert_eq!(queue.push_pieces(2, b"hi", 1), Err(Full));
        assert_eq!(queue.push_pieces(2, b"hijk", 4), Err(Full));
        assert_eq!(queue.push_pieces(2, b"", 0), Ok(()));
        let lens: Vec<usize> =
            std::iter::from_fn(|| queue.pop().map(|(_, [a, b])| a.len() + b.len())).collect();
        assert_eq!(lens, [3, 3, 1, 0]);
        assert_eq!(queue.refused(), Refused::default());
    }

    #[test]
    fn a_run_is_of_one_kind_and_size() {
        let mut queue = PacketQueue::new(16, 100);
        let run = |queue: &PacketQueue<u8>, most, bytes| {
            let run = queue.run(most, bytes, PartialEq::eq).unwrap();
            (run.packets, run.size, run.bytes.concat())
        };
        queue.push_pieces(1, b"aabbc", 2).unwrap();
        queue.push(1, &[b"dd"]).unwrap();
        queue.push(2, &[b"ee"]).unwrap();
        queue.push(2, &[b""]).unwrap();
        queue.push(2, &[b""]).unwrap();
        assert_eq!(run(&queue, 16, 100), (3, 2, b"aabbc".to_vec()));
        assert_eq!(run(&queue, 2, 100), (2, 2, b"aabb".to_vec()));
        assert_eq!(run(&queue, 16, 4), (2, 2, b"aabb".to_vec()));
        // The first always goes, however little room there is.
        assert_eq!(run(&queue, 16, 1), (1, 2, b"aa".to_vec()));
        (0..3).for_each(|_| assert!(queue.pop().is_some()));
        assert_eq!(run(&queue, 16, 100), (1, 2, b"dd".to_vec()));
        queue.pop();
        assert_eq!(run(&queue, 16, 100), (1, 2, b"ee".to_vec()));
        queue.pop();
        assert_eq!(run(&queue, 16, 100), (1, 0, Vec::new()));
    }

    #[test]
    fn the_steady_path_allocates_nothing() {
        let mut queue = PacketQueue::new(64, 1 << 20);
        let payload = [7u8; 1472];
        let mut out = [0u8; 1472];
        let mut round = || {
            (0..10).for_each(|i| queue.push(i, &[&payload]).unwrap());
            (0..10).for_each(|_| assert_eq!(queue.pop_into(&mut out).unwrap().1, 1472));
            queue.memory()
        };
        let first = round();
        assert!((0..100).all(|_| round() == first));
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque_of_vectors(steps in prop::collection::vec((0..4u8, 0..3000usize), 1..100)) {
            let mut queue = PacketQueue::new(8, 8000);
            let mut model: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
            for (i, (kind, len)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => {
                        let bytes: Vec<u8> = (0..len).map(|b| (b + i) as u8).collect();
                        let held: usize = model.iter().map(|(_, b)| b.len()).sum();
                        let fits = model.len() < 8 && held + len <= 8000;
                        let (a, b) = bytes.split_at(len / 3);
                        prop_assert_eq!(queue.push(i, &[a, b]).is_ok(), fits);
                        if fits {
                            model.push_back((i, bytes));
                        }
                    }
                    2 => {
                        let mut out = vec![0; len];
                        let got = queue.pop_into(&mut out);
                        let want = model.pop_front();
                        prop_assert_eq!(got, want.as_ref().map(|(meta, bytes)| (*meta, bytes.len())));
                        if let Some((_, bytes)) = want {
                            let n = bytes.len().min(len);
                            prop_assert_eq!(&out[..n], &bytes[..n]);
                        }
                    }
                    _ => {
                        let front = queue.front().map(|(meta, parts)| (*meta, parts.concat()));
                        prop_assert_eq!(&front, &model.front().cloned());
                        let got = queue.pop().map(|(meta, parts)| (meta, parts.concat()));
                        prop_assert_eq!(got, model.pop_front());
                    }
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(queue.bytes(), model.iter().map(|(_, b)| b.len()).sum::<usize>());
            }
        }
    }
}
