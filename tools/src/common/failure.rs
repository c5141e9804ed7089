//! How a subcommand ends when it does not end well.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::console;

/// How a subcommand ends.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Why a subcommand ended early. Each kind has its exit status.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for did not work out: 1.
    Unmet(String),
    /// The command line makes no sense: 2.
    Usage(String),
    /// A privilege or a device is missing: 3.
    Device(String),
    /// Nobody reads our output any more: that is no failure.
    Unread,
}

impl Failure {
    /// Something that is asked for on the command line cannot be opened.
    pub(crate) fn cannot_open(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::Usage(format!("cannot open {what}: {error}"))
    }

    /// The status that the process ends with.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::Unread => 0,
            Self::Unmet(_) => 1,
            Self::Usage(_) => 2,
            Self::Device(_) => 3,
        }
    }

    /// Says what went wrong, and gives the status to end with.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Unread => {}
            Self::Unmet(text) | Self::Device(text) => console::error(text),
            Self::Usage(text) => console::error(&format!("{text}\n\nFor more information, try '--help'.")),
        }
        ExitCode::from(self.status())
    }
}

impl From<ustack::device::Error> for Failure {
    fn from(error: ustack::device::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidInput => Self::Usage(error.to_string()),
            _ => Self::Device(error.to_string()),
        }
    }
}

/// What writing to stdout failed with.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Unmet(error.to_string()),
        }
    }
}
