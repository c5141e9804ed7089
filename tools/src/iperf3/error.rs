//! Why a test ended early.

use std::io;

/// Why a test ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The control connection, or a stream, could not be opened or broke.
    #[error("{0}: {1}")]
    Connection(&'static str, #[source] io::Error),
    /// The other side ended the connection in the middle.
    #[error("the other side closed its connection in the middle of the test")]
    Closed,
    /// The server is busy with somebody else's test.
    #[error("the server is busy running a test: try again later")]
    Busy,
    /// The server gave up; its number for the reason, and the system's.
    #[error("the server reports its error {code} ({cause})")]
    Server {
        /// A number of iperf3's.
        code: i32,
        /// What its system said.
        cause: io::Error,
    },
    /// The other side was told to stop.
    #[error("the other side was stopped")]
    Terminated,
    /// We were told to stop.
    #[error("interrupted")]
    Interrupted,
    /// Something did not come in time.
    #[error("{0}")]
    Silent(String),
    /// The other side does not speak the protocol, or asks for what there is not.
    #[error("{0}")]
    Protocol(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Connection("the control connection broke", error),
        }
    }
}
