//! Words in either byte order.

/// A byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Big,
    Little,
}

impl Endian {
    /// The 16-bit word at `at`; 0 if the bytes end before.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let word = array(bytes, at);
        match self {
            Self::Big => u16::from_be_bytes(word),
            Self::Little => u16::from_le_bytes(word),
        }
    }

    /// The 32-bit word at `at`; 0 if the bytes end before.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let word = array(bytes, at);
        match self {
            Self::Big => u32::from_be_bytes(word),
            Self::Little => u32::from_le_bytes(word),
        }
    }

    /// The 64-bit word at `at`; 0 if the bytes end before.
    pub(super) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let word = array(bytes, at);
        match self {
            Self::Big => u64::from_be_bytes(word),
            Self::Little => u64::from_le_bytes(word),
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
