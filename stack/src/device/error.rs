//! What went wrong with a device: what failed, why, and what mends it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::{error, fmt, io};

/// A device could not be made or configured.
///
/// Reads as one line: what failed, why, and what to type. It becomes an [`io::Error`] of the same kind.
#[derive(Debug)]
pub struct Error {
    what: Cow<'static, str>,
    cause: io::Error,
    remedy: Option<Cow<'static, str>>,
}

impl Error {
    /// `what` failed because of `cause`.
    pub(super) fn new(what: impl Into<Cow<'static, str>>, cause: io::Error) -> Self {
        Self { what: what.into(), cause, remedy: None }
    }

    /// `what` was asked for and makes no sense.
    pub(super) fn invalid(what: impl Into<Cow<'static, str>>, why: &'static str) -> Self {
        Self::new(what, io::Error::new(io::ErrorKind::InvalidInput, why))
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub(super) fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The kind of the cause: `PermissionDenied` if only privileges are missing.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// The cause as the system named it.
    pub const fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// What mends it, for people; None if we know nothing.
    pub fn how_to_mend(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

/// The display names the cause already, so there is no further source.
impl error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_what_to_type() {
        let error = Error::new("cannot open /dev/net/tun", io::Error::from_raw_os_error(libc::EACCES))
            .remedy("run as root");
        assert_eq!(
            error.to_string(),
            "cannot open /dev/net/tun: Permission denied (os error 13); run as root"
        );
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().ends_with("run as root"));
    }
}
