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
