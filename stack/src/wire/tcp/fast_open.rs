//! The Fast Open option (RFC 7413 section 2): kind 34, and a cookie, or none in a request for one. Before it had that
//! number it was an experiment (RFC 6994, RFC 7413 section 9), and some still speak it so.
//!
//! ```text
//!   +----+--------+------------+           +-----+--------+------+------+------------+
//!   | 34 | length | cookie ... |    or     | 254 | length | 0xF9 | 0x89 | cookie ... |
//!   +----+--------+------------+           +-----+--------+------+------+------------+
//! ```

use core::fmt;

use super::kind;

/// A Fast Open cookie as it stands on the wire, in one of the option's two forms; an empty one is a request.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FastOpenCookie {
    bytes: [u8; Self::MAX],
    len: u8,
    form: FastOpenForm,
}

/// In which option a cookie stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FastOpenForm {
    /// Kind 34 (RFC 7413 section 2).
    #[default]
    Standard,
    /// Kind 254, which experiments share, with the number of this one, 0xF989 (RFC 6994 section 3).
    Experimental,
}

impl FastOpenForm {
    /// What follows the length, before the cookie.
    pub(super) const fn experiment(self) -> &'static [u8] {
        match self {
            Self::Standard => &[],
            Self::Experimental => &EXPERIMENT,
        }
    }

    /// The option's kind.
    pub(super) const fn kind(self) -> u8 {
        match self {
            Self::Standard => kind::FAST_OPEN,
            Self::Experimental => kind::EXPERIMENT,
        }
    }
}

/// The number of Fast Open among the experiments.
pub(super) const EXPERIMENT: [u8; 2] = [0xf9, 0x89];

impl FastOpenCookie {
    /// Bytes of the longest cookie (RFC 7413 section 2).
    pub const MAX: usize = 16;
    /// Bytes of the shortest that is no request.
    pub const MIN: usize = 4;
    /// Asks for a cookie.
    pub const REQUEST: Self = Self { bytes: [0; Self::MAX], len: 0, form: FastOpenForm::Standard };

    /// A cookie of these bytes, or a request if there is none, in the standard form; `None` for a length that RFC 7413
    /// section 2 does not know: 4 to 16, and even.
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

    /// The same cookie in this form.
    #[must_use]
    pub const fn in_form(self, form: FastOpenForm) -> Self {
        Self { form, ..self }
    }

    /// Its form.
    pub const fn form(&self) -> FastOpenForm {
        self.form
    }

    /// Bytes of the option, not padded.
    pub(super) const fn option_len(&self) -> usize {
        2 + self.form.experiment().len() + self.len as usize
    }

    /// Bytes of the option, padded.
    pub(super) const fn padded_len(&self) -> usize {
        self.option_len().next_multiple_of(4)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == FastOpenForm::Experimental {
            write!(f, "experimental ")?;
        }
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
