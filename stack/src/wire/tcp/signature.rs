//! The options that say who sent a segment: MD5 signatures (RFC 2385, kind 19) and the authentication option (RFC 5925,
//! kind 29). As a value an option is known without its digest, which is made of the bytes on the wire.

use core::ops::Range;

use super::{MIN_HEADER_LEN, kind};

/// What of such an option is known before its digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// An MD5 signature.
    Md5,
    /// The authentication option.
    Ao {
        /// The key that it is made with, by the sender's number (KeyID).
        key_id: u8,
        /// The key that the other side may use from now on, by the number in what the sender receives (RNextKeyID).
        next_key_id: u8,
        /// Bytes of its MAC.
        mac_len: u8,
    },
    /// Several of them, or one of a length that there is not: nobody honest sends that (RFC 5925 section 2.2). Never
    /// written.
    Conflict,
}

impl Signature {
    /// Bytes of the option, padded.
    pub(crate) const fn padded_len(self) -> usize {
        match self {
            Self::Md5 => 20,
            Self::Ao { mac_len, .. } => (4 + mac_len as usize).next_multiple_of(4),
            Self::Conflict => 0,
        }
    }

    /// Writes the option with a digest of zeros at the start of `out`, which has room for it.
    pub(super) fn write(self, out: &mut [u8]) {
        match self {
            Self::Md5 => {
                out[..4].copy_from_slice(&[kind::NOP, kind::NOP, kind::MD5, 18]);
                out[4..20].fill(0);
            }
            Self::Ao { key_id, next_key_id, mac_len } => {
                let len = 4 + usize::from(mac_len);
                out[..4].copy_from_slice(&[kind::AO, len as u8, key_id, next_key_id]);
                out[4..len].fill(0);
                out[len..self.padded_len()].fill(kind::NOP);
            }
            Self::Conflict => {}
        }
    }

    /// Reads the option of this kind beside what was read before.
    pub(super) fn read(before: Option<Self>, kind: u8, value: &[u8]) -> Self {
        match (before, kind, value) {
            (Some(_), ..) => Self::Conflict,
            (None, kind::MD5, digest) if digest.len() == 16 => Self::Md5,
            (None, kind::AO, &[key_id, next_key_id, ref mac @ ..]) => {
                Self::Ao { key_id, next_key_id, mac_len: mac.len() as u8 }
            }
            _ => Self::Conflict,
        }
    }
}

/// Where the digest of a written header's signature lies, if it has one.
pub fn digest_range(header: &[u8]) -> Option<Range<usize>> {
    let mut at = MIN_HEADER_LEN;
    loop {
        match *header.get(at)? {
            kind::END => return None,
            kind::NOP => at += 1,
            found => {
                let end = at + usize::from(*header.get(at + 1)?).max(2);
                let digest = match found {
                    kind::MD5 => at + 2,
                    kind::AO => at + 4,
                    _ => {
                        at = end;
                        continue;
                    }
                };
                return (digest <= end && end <= header.len()).then_some(digest..end);
            }
        }
    }
}
