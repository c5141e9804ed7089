//! The Fast Open option (RFC 7413 section 2): kind 34, and a cookie, or none in a request for one.

use core::fmt;

/// A Fast Open cookie as it stands on the wire; an empty one is a request.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FastOpenCookie {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl FastOpenCookie {
    /// Bytes of the longest cookie (RFC 7413 section 2).
    pub const MAX: usize = 16;
    /// Bytes of the shortest that is no request.
    pub const MIN: usize = 4;
    /// Asks for a cookie.
    pub const REQUEST: Self = Self { bytes: [0; Self::MAX], len: 0 };

    /// A cookie of these bytes, or a request if there is none; `None` for a length that RFC 7413 section 2 does not
    /// know: 4 to 16, and even.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = bytes.len();
        if len != 0 && (!(Self::MIN..=Self::MAX).contains(&len) || len % 2 == 1) {
            return None;
        }
        let mut cookie = Self { len: len as u8, ..Self::REQUEST };
        cookie.bytes[..len].copy_from_slice(bytes);
        Some(cookie)
    }

    /// Whether it only asks for one.
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the option, padded.
    pub(super) const fn padded_len(&self) -> usize {
        (2 + self.len as usize).next_multiple_of(4)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_has_an_even_length_from_four_to_sixteen() {
        for len in 0..20 {
            let cookie = FastOpenCookie::new(&[7; 20][..len]);
            assert_eq!(cookie.is_some(), [0, 4, 6, 8, 10, 12, 14, 16].contains(&len), "{len}");
            assert!(cookie.is_none_or(|cookie| cookie.as_bytes().len() == len));
        }
        assert!(FastOpenCookie::new(&[]).unwrap().is_request());
    }
}
