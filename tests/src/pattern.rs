//! A payload that every side can compute for itself, at any offset: a byte in the wrong place is found.

/// The byte at `offset` of stream `seed`: the little-endian words of splitmix64.
pub fn byte(seed: u64, offset: u64) -> u8 {
    word(seed, offset / 8)[(offset % 8) as usize]
}

/// The first `len` bytes of stream `seed`.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(seed, 0, &mut bytes);
    bytes
}

/// Writes the bytes of stream `seed` from `offset` on.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = &word(seed, at / 8)[(at % 8) as usize..];
        let len = word.len().min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&word[..len]);
        at += len as u64;
        rest = later;
    }
}

fn word(seed: u64, index: u64) -> [u8; 8] {
    let z = seed.wrapping_add((index.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).to_le_bytes()
}

/// What arrived, piece by piece: its length, its hash, and whether it was the pattern.
#[derive(Clone, Debug)]
pub struct Received {
    seed: u64,
    bytes: u64,
    hash: u64,
    wrong: Option<u64>,
    expected: Vec<u8>,
}

impl Received {
    /// Nothing yet, of a stream that should be `seed`'s.
    pub fn new(seed: u64) -> Self {
        Self { seed, bytes: 0, hash: 0xcbf2_9ce4_8422_2325, wrong: None, expected: Vec::new() }
    }

    /// How many bytes arrived.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their hash (FNV-1a, 64 bits): for comparing with the other side's, not against malice.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The offset of the first byte that is not the pattern's; `None` if all are.
    pub fn wrong(&self) -> Option<u64> {
        self.wrong
    }

    /// Takes the next bytes.
    pub fn push(&mut self, piece: &[u8]) {
        self.expected.resize(piece.len(), 0);
        fill(self.seed, self.bytes, &mut self.expected);
        if self.wrong.is_none() && self.expected != piece {
            let differs = piece.iter().zip(&self.expected).position(|(got, wanted)| got != wanted);
            self.wrong = differs.map(|at| self.bytes + at as u64);
        }
        for byte in piece {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        self.bytes += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_splitmix64() {
        // The published first two outputs for seed 1234567.
        let expected = [6_457_827_717_110_365_317u64, 3_203_168_211_198_807_973];
        let bytes = pattern(1_234_567, 16);
        assert_eq!(bytes[..8], expected[0].to_le_bytes());
        assert_eq!(bytes[8..], expected[1].to_le_bytes());
    }

    #[test]
    fn any_piece_is_a_piece_of_the_whole() {
        let whole = pattern(3, 100);
        for start in 0..40 {
            for len in 0..40 {
                let mut piece = vec![0; len];
                fill(3, start as u64, &mut piece);
                assert_eq!(piece, whole[start..start + len], "at {start}, {len} bytes");
            }
            assert_eq!(byte(3, start as u64), whole[start]);
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let mut bytes = pattern(9, 1_000);
        let mut right = Received::new(9);
        bytes.chunks(77).for_each(|piece| right.push(piece));
        assert_eq!((right.bytes(), right.wrong()), (1_000, None));

        bytes[777] ^= 1;
        let mut wrong = Received::new(9);
        bytes.chunks(77).for_each(|piece| wrong.push(piece));
        assert_eq!(wrong.wrong(), Some(777));
        assert_ne!(wrong.hash(), right.hash());
    }
}
