//! The Internet checksum (RFC 1071): a one's-complement sum over 16-bit words.
//!
//! The sum does not care about the order of bytes within the machine (RFC 1071 section 2(B)), so it is taken
//! over wide words as they lie in memory and swapped once at the end.

use core::net::IpAddr;

use super::ip::Protocol;

/// A sum that grows slice by slice. Lines of odd length may stand anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sum {
    /// Sum of big-endian words so far. Each addition adds less than 2^17, so it never overflows.
    sum: u64,
    /// Whether an odd number of bytes was added: the next byte is the low half of a word.
    odd: bool,
}

impl Sum {
    /// The sum over nothing.
    pub const ZERO: Self = Self { sum: 0, odd: false };

    /// The sum over a pseudo header (RFC 9293 section 3.1, RFC 768; RFC 8200 section 8.1).
    ///
    /// `len` is the length of transport header and payload. The addresses should be of one family; an IPv4
    /// pseudo header and an IPv6 one then differ in the addresses alone, as all other bytes are zero or count
    /// at equal weight.
    #[inline]
    pub fn pseudo(src: IpAddr, dst: IpAddr, protocol: Protocol, len: usize) -> Self {
        let mut sum = Self::ZERO;
        for address in [src, dst] {
            match address {
                IpAddr::V4(v4) => sum.sum += halves(v4.to_bits()),
                IpAddr::V6(v6) => {
                    for word in v6.octets().as_chunks().0 {
                        sum.sum += halves(u32::from_be_bytes(*word));
                    }
                }
            }
        }
        sum.sum += u64::from(protocol.0) + halves(len as u32);
        sum
    }

    /// The sum without complement: what a device that completes checksums wants to find in the field.
    pub const fn partial(&self) -> u16 {
        fold(self.sum)
    }

    /// The checksum to write: the complement of the sum.
    pub const fn checksum(&self) -> u16 {
        !self.partial()
    }

    /// Whether the bytes, their checksum among them, add up.
    pub const fn is_valid(&self) -> bool {
        self.partial() == 0xffff
    }

    /// Adds the next bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let sum = if bytes.len() < LONG { sum_native(bytes) } else { sum_long(bytes) };
        self.add_native(sum, bytes.len());
    }

    /// Adds the next bytes, and copies them on the way to `to`, which is as long: one pass instead of two.
    ///
    /// # Panics
    /// It is not as long.
    #[inline]
    pub fn add_copied(&mut self, bytes: &[u8], to: &mut [u8]) {
        assert_eq!(bytes.len(), to.len(), "a copy is as long");
        if !bytes.is_empty() {
            self.add_native(copy_and_sum(bytes, to), bytes.len());
        }
    }

    /// Adds a sum over `len` bytes in the machine's own order.
    #[inline]
    const fn add_native(&mut self, sum: u64, len: usize) {
        let word = fold(sum).to_be();
        // RFC 1071 section 2(B): a sum over swapped bytes is the swapped sum.
        self.add_u16_aligned(if self.odd { word.swap_bytes() } else { word });
        self.odd ^= len % 2 == 1;
    }

    /// Adds the next 16 bits.
    pub const fn add_u16(&mut self, word: u16) {
        self.add_u16_aligned(if self.odd { word.swap_bytes() } else { word });
    }

    /// The sum with the next 32 bits.
    #[must_use]
    #[inline]
    pub const fn with_u32(mut self, word: u32) -> Self {
        self.add_u16((word >> 16) as u16);
        self.add_u16(word as u16);
        self
    }

    /// The sum with further bytes.
    #[must_use]
    #[inline]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.add(bytes);
        self
    }

    const fn add_u16_aligned(&mut self, word: u16) {
        self.sum += word as u64;
    }
}

/// The checksum over one run of bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::ZERO.with(bytes).checksum()
}

/// From so many bytes on it pays to ask which vector units there are.
const LONG: usize = 128;

/// As [`sum_native`], on the widest vectors that the processor has.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn sum_long(bytes: &[u8]) -> u64 {
    sum_native(bytes)
}

/// As [`sum_native`], and copies the bytes.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn copy_and_sum(bytes: &[u8], to: &mut [u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (places, end) = to.as_chunks_mut::<8>();
    let (mut whole, mut high) = (0u64, 0u64);
    for (word, place) in words.iter().zip(places) {
        *place = *word;
        let word = u64::from_ne_bytes(*word);
        whole = whole.wrapping_add(word);
        high += word >> 32;
    }
    end.copy_from_slice(rest);
    whole.wrapping_sub(high << 32) + high + sum_native(rest)
}

/// The sum over words in the machine's own order, an odd last byte padded with zero; far below overflow for
/// any slice.
#[inline(always)]
fn sum_native(bytes: &[u8]) -> u64 {
    // The wide words, whose carries are lost, and their high halves, which have room for theirs: together they tell
    // what the low halves sum to. A plain vector unit takes several at once, and has less to do than for two halves.
    let (words, rest) = bytes.as_chunks::<8>();
    let (mut whole, mut high) = (0u64, 0u64);
    for word in words {
        let word = u64::from_ne_bytes(*word);
        whole = whole.wrapping_add(word);
        high += word >> 32;
    }
    let low = whole.wrapping_sub(high << 32);
    // What is left goes by its bits of length: a copy of a few bytes would cost more than a whole header.
    let (fours, rest) = rest.as_chunks::<4>();
    let (twos, last) = rest.as_chunks::<2>();
    let four = fours.first().map_or(0, |&four| u64::from(u32::from_ne_bytes(four)));
    let two = twos.first().map_or(0, |&two| u64::from(u16::from_ne_bytes(two)));
    let one = last.first().map_or(0, |&one| u64::from(u16::from_ne_bytes([one, 0])));
    low + high + four + two + one
}

/// The sum of the two halves.
const fn halves(word: u32) -> u64 {
    (word >> 16) as u64 + (word & 0xffff) as u64
}

/// Adds the high bits to the low ones until 16 are left.
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let sum = Sum::ZERO.with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.partial(), 0xddf2);
        assert_eq!(sum.checksum(), !0xddf2);
    }

    #[test]
    fn all_ones_fold() {
        assert_eq!(checksum(&[0xff; 65_535]), naive(&[0xff; 65_535]));
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0), 0);
    }

    #[test]
    fn a_pseudo_header_by_hand() {
        let (src, dst) = ([10, 9, 0, 1], [10, 9, 0, 2]);
        let sum = Sum::pseudo(IpAddr::from(src), IpAddr::from(dst), Protocol::UDP, 0x1234);
        assert_eq!(sum.checksum(), naive(&[10, 9, 0, 1, 10, 9, 0, 2, 0, 17, 0x12, 0x34]));
    }

    proptest! {
        #[test]
        fn equals_the_naive_sum(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(checksum(&bytes), naive(&bytes));
        }

        #[test]
        fn a_copy_is_summed(bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut in 0..3000usize) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let (mut copy, mut sum) = (vec![0; bytes.len()], Sum::ZERO);
            let (first, second) = copy.split_at_mut(one.len());
            sum.add_copied(one, first);
            sum.add_copied(two, second);
            prop_assert_eq!(sum.checksum(), naive(&bytes));
            prop_assert_eq!(copy, bytes);
        }

        #[test]
        fn slices_of_any_length_add_up(
            slices in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..6),
        ) {
            let mut sum = Sum::ZERO;
            slices.iter().for_each(|slice| sum.add(slice));
            prop_assert_eq!(sum.checksum(), naive(&slices.concat()));
        }

        #[test]
        fn a_written_checksum_is_valid(mut bytes in proptest::collection::vec(any::<u8>(), 2..200)) {
            bytes[..2].fill(0);
            let sum = checksum(&bytes);
            bytes[..2].copy_from_slice(&sum.to_be_bytes());
            prop_assert!(Sum::ZERO.with(&bytes).is_valid());
        }
    }
}
