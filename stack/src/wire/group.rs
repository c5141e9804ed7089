//! What IGMPv3 and MLDv2 have in common: group records and the codes for times (RFC 3376, RFC 3810).

use super::list::{Item, List};

/// What one record of a report says about one group. `A` is `Ipv4Addr` in IGMP and `Ipv6Addr` in MLD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a, A: Item<'a>> {
    /// What is said.
    pub kind: RecordKind,
    /// The group.
    pub group: A,
    /// The sources of which it is said.
    pub sources: List<'a, A>,
}

/// Kinds of group records (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// State: only these sources are wanted.
    ModeIsInclude = 1,
    /// State: all but these sources are wanted.
    ModeIsExclude = 2,
    /// Change: from now on only these sources; without any, the group is left.
    ChangeToInclude = 3,
    /// Change: from now on all but these sources; without any, the group is joined.
    ChangeToExclude = 4,
    /// These sources are wanted too.
    AllowNewSources = 5,
    /// These sources are wanted no more.
    BlockOldSources = 6,
}

impl RecordKind {
    /// From the number on the wire.
    pub const fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::ModeIsInclude,
            2 => Self::ModeIsExclude,
            3 => Self::ChangeToInclude,
            4 => Self::ChangeToExclude,
            5 => Self::AllowNewSources,
            6 => Self::BlockOldSources,
            _ => return None,
        })
    }
}

impl<'a, A: Item<'a>> Record<'a, A> {
    /// A record without sources.
    pub const fn new(kind: RecordKind, group: A) -> Self {
        Self { kind, group, sources: List::EMPTY }
    }
}

/// Bytes of a record before the group's address.
const RECORD_HEAD: usize = 4;

impl<'a, A: Item<'a>> Item<'a> for Record<'a, A> {
    fn take(bytes: &'a [u8]) -> Option<(Option<Self>, &'a [u8])> {
        let ([kind, aux_words, high, low], rest) = bytes.split_first_chunk::<RECORD_HEAD>()?;
        let (group, rest) = A::take(rest)?;
        let group = group?;
        let sources_len = usize::from(u16::from_be_bytes([*high, *low])) * group.wire_len();
        let (sources, rest) = rest.split_at_checked(sources_len)?;
        let (_, rest) = rest.split_at_checked(usize::from(*aux_words) * 4)?;
        // RFC 3376 section 4.2.12: unknown record types are silently ignored.
        let record =
            RecordKind::from_wire(*kind).map(|kind| Self { kind, group, sources: List::wire(sources) });
        Some((record, rest))
    }

    fn wire_len(&self) -> usize {
        RECORD_HEAD + self.group.wire_len() + self.sources.wire_len()
    }

    fn put(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(RECORD_HEAD);
        head[..2].copy_from_slice(&[self.kind as u8, 0]);
        head[2..].copy_from_slice(&(self.sources.count() as u16).to_be_bytes());
        let (group, sources) = rest.split_at_mut(self.group.wire_len());
        self.group.put(group);
        self.sources.put(sources);
    }
}

/// The number that an 8-bit code stands for (RFC 3376 section 4.1.1): itself below 128, else a floating-point
/// number.
pub(crate) const fn decode8(code: u8) -> u32 {
    decode(code as u32, 8)
}

/// The code for the largest number that is not above `value`.
pub(crate) const fn encode8(value: u32) -> u8 {
    encode(value, 8) as u8
}

/// The number that a 16-bit code stands for (RFC 3810 section 5.1.3): itself below 32768, else a
/// floating-point number.
pub(crate) const fn decode16(code: u16) -> u32 {
    decode(code as u32, 16)
}

/// The code for the largest number that is not above `value`.
pub(crate) const fn encode16(value: u32) -> u16 {
    encode(value, 16) as u16
}

/// `1 eee mmmm`: the mantissa with a one before it, shifted left by the exponent and three.
const fn decode(code: u32, bits: u32) -> u32 {
    let mantissa_bits = bits - 4;
    if code >> (bits - 1) == 0 {
        return code;
    }
    let exponent = code >> mantissa_bits & 7;
    let mantissa = code & ((1 << mantissa_bits) - 1);
    (mantissa | 1 << mantissa_bits) << (exponent + 3)
}

const fn encode(value: u32, bits: u32) -> u32 {
    let mantissa_bits = bits - 4;
    if value >> (bits - 1) == 0 {
        return value;
    }
    // The highest bit is the mantissa's hidden one.
    let exponent = value.ilog2() - mantissa_bits - 3;
    if exponent > 7 {
        return (1 << bits) - 1;
    }
    let mantissa = (value >> (exponent + 3)) & ((1 << mantissa_bits) - 1);
    1 << (bits - 1) | exponent << mantissa_bits | mantissa
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        assert!((0..=u8::MAX).all(|code| encode8(decode8(code)) == code));
        assert!((0..=u16::MAX).all(|code| encode16(decode16(code)) == code));
    }

    #[test]
    fn codes_grow_with_their_numbers() {
        assert_eq!((decode8(127), decode8(128), decode8(255)), (127, 128, 31_744));
        assert!((0..u8::MAX).all(|code| decode8(code) < decode8(code + 1)));
        assert!((0..u16::MAX).all(|code| decode16(code) < decode16(code + 1)));
        assert_eq!((encode8(u32::MAX), encode16(u32::MAX)), (u8::MAX, u16::MAX));
        assert_eq!(decode8(encode8(1000)), 992);
    }
}
