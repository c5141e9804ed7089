//! How a connection can fail.

/// Why an operation on a connection could not be done, or why the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to do at the moment: try again after an event.
    #[error("operation would block")]
    WouldBlock,
    /// The connection is not open, or not yet.
    #[error("not connected")]
    NotConnected,
    /// The peer answered the SYN with a RST, or an ICMP error said that nobody listens.
    #[error("connection refused")]
    ConnectionRefused,
    /// The peer reset the connection.
    #[error("connection reset by peer")]
    ConnectionReset,
    /// Our side aborted the connection.
    #[error("connection aborted")]
    ConnectionAborted,
    /// No answer for too long.
    #[error("connection timed out")]
    TimedOut,
    /// The host cannot be reached.
    #[error("host unreachable")]
    HostUnreachable,
    /// There is no way to the network.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// Our direction was shut down before.
    #[error("broken pipe")]
    BrokenPipe,
}

impl Error {
    /// The word for it: `timed_out`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::WouldBlock => "would_block",
            Self::NotConnected => "not_connected",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::ConnectionAborted => "connection_aborted",
            Self::TimedOut => "timed_out",
            Self::HostUnreachable => "host_unreachable",
            Self::NetworkUnreachable => "network_unreachable",
            Self::BrokenPipe => "broken_pipe",
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error {
            Error::WouldBlock => ErrorKind::WouldBlock,
            Error::NotConnected => ErrorKind::NotConnected,
            Error::ConnectionRefused => ErrorKind::ConnectionRefused,
            Error::ConnectionReset => ErrorKind::ConnectionReset,
            Error::ConnectionAborted => ErrorKind::ConnectionAborted,
            Error::TimedOut => ErrorKind::TimedOut,
            Error::HostUnreachable => ErrorKind::HostUnreachable,
            Error::NetworkUnreachable => ErrorKind::NetworkUnreachable,
            Error::BrokenPipe => ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// What an ICMP error said about a segment of a connection (RFC 1122 section 4.2.3.9, RFC 5927).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpError {
    /// Destination network unreachable, or no route.
    NetworkUnreachable,
    /// Destination host unreachable, or address unreachable.
    HostUnreachable,
    /// Nobody speaks TCP there.
    ProtocolUnreachable,
    /// Nobody listens there.
    PortUnreachable,
    /// A filter forbids it.
    Prohibited,
    /// Hop limit or reassembly time exceeded.
    TimeExceeded,
    /// The header was not understood.
    ParameterProblem,
}

impl IcmpError {
    /// The error that an application sees if the connection ends with this as its last news.
    pub const fn error(self) -> Error {
        match self {
            Self::NetworkUnreachable => Error::NetworkUnreachable,
            Self::HostUnreachable | Self::Prohibited | Self::TimeExceeded | Self::ParameterProblem => {
                Error::HostUnreachable
            }
            Self::ProtocolUnreachable | Self::PortUnreachable => Error::ConnectionRefused,
        }
    }

    /// Whether RFC 1122 section 4.2.3.9 calls it a hard error.
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::ProtocolUnreachable | Self::PortUnreachable | Self::Prohibited)
    }
}
