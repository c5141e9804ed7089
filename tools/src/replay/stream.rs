//! A stream put together from segments that come in any order and more than once.

use std::collections::BTreeMap;

/// Bytes beyond the contiguous ones that are kept; what lies further ahead belongs to another stream.
const MOST_AHEAD: u64 = 64 << 20;

/// One direction's bytes, counted from the first after the SYN.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    ahead: BTreeMap<u64, Vec<u8>>,
}

impl Stream {
    /// The bytes up to the first hole.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes there are up to the first hole.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The first byte after the first hole, if there is one.
    pub(super) fn after_hole(&self) -> Option<u64> {
        self.ahead.keys().next().copied()
    }

    /// Takes a segment's payload. Bytes that are there already stay as they are.
    pub(super) fn put(&mut self, offset: i64, payload: &[u8]) {
        let Ok(offset) = u64::try_from(offset) else { return };
        if payload.is_empty() || offset > self.len() + MOST_AHEAD {
            return;
        }
        if offset > self.len() {
            let piece = self.ahead.entry(offset).or_default();
            if piece.len() < payload.len() {
                *piece = payload.to_vec();
            }
            return;
        }
        self.append(offset, payload);
        while let Some(next) = self.ahead.first_entry().filter(|next| *next.key() <= self.bytes.len() as u64)
        {
            let (offset, payload) = next.remove_entry();
            self.append(offset, &payload);
        }
    }

    fn append(&mut self, offset: u64, payload: &[u8]) {
        let known = (self.len() - offset) as usize;
        self.bytes.extend_from_slice(payload.get(known..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_in_any_order_and_more_than_once() {
        let mut stream = Stream::default();
        stream.put(3, b"def");
        stream.put(6, b"gh");
        assert_eq!((stream.bytes(), stream.after_hole()), (&b""[..], Some(3)));
        stream.put(0, b"abcd");
        assert_eq!((stream.bytes(), stream.after_hole()), (&b"abcdefgh"[..], None));
        stream.put(2, b"CDEFGHIJ");
        assert_eq!(stream.bytes(), b"abcdefghIJ");
        stream.put(-1, b"xyz");
        stream.put(i64::MAX, b"xyz");
        assert_eq!((stream.len(), stream.after_hole()), (10, None));
    }
}
