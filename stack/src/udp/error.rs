//! How an operation on a UDP socket can fail.

use std::io::ErrorKind;
use std::net::IpAddr;

/// Why an operation on a UDP socket could not be done, or what ICMP said about an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to read, or no room to write: try again after an event.
    #[error("the operation would block")]
    WouldBlock,
    /// The datagram is longer than the protocol or the send buffer allows.
    #[error("a datagram of {length} bytes is longer than the {limit} that fit")]
    MessageTooLong {
        /// What was to be sent.
        length: usize,
        /// What could be sent.
        limit: usize,
    },
    /// No destination was given, and the socket is not connected.
    #[error("not connected, and no destination was given")]
    DestinationRequired,
    /// A destination was given that is not the one it is connected with.
    #[error("connected with another destination")]
    AlreadyConnected,
    /// Nobody can listen on port 0.
    #[error("port 0 is no destination")]
    PortZero,
    /// IPv6 on an IPv4 socket, or the other way round.
    #[error("{0} is of another address family than the socket")]
    WrongFamily(IpAddr),
    /// A broadcast without the option.
    #[error("broadcast to {0} needs the socket's broadcast option")]
    BroadcastDenied(IpAddr),
    /// Only groups can be joined.
    #[error("{0} is not a multicast address")]
    NotMulticast(IpAddr),
    /// It joined that group there before.
    #[error("already a member of {0}")]
    AlreadyMember(IpAddr),
    /// It never joined that group there.
    #[error("not a member of {0}")]
    NotMember(IpAddr),
    /// No socket joins more than [`MAX_MEMBERSHIPS`](super::MAX_MEMBERSHIPS) groups.
    #[error("a socket joins no more than {} groups", super::MAX_MEMBERSHIPS)]
    TooManyMemberships,
    /// Nobody listens there (port or protocol unreachable).
    #[error("connection refused")]
    ConnectionRefused,
    /// The host does not answer, or a router says so.
    #[error("the host is unreachable")]
    HostUnreachable,
    /// There is no way to the network.
    #[error("the network is unreachable")]
    NetworkUnreachable,
}

impl Error {
    /// The kind by which `std::io` knows it.
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::WouldBlock => ErrorKind::WouldBlock,
            Self::MessageTooLong { .. } | Self::PortZero | Self::WrongFamily(_) | Self::NotMulticast(_) => {
                ErrorKind::InvalidInput
            }
            Self::DestinationRequired => ErrorKind::NotConnected,
            Self::AlreadyConnected => ErrorKind::AlreadyExists,
            Self::BroadcastDenied(_) => ErrorKind::PermissionDenied,
            Self::AlreadyMember(_) => ErrorKind::AddrInUse,
            Self::NotMember(_) => ErrorKind::AddrNotAvailable,
            Self::TooManyMemberships => ErrorKind::OutOfMemory,
            Self::ConnectionRefused => ErrorKind::ConnectionRefused,
            Self::HostUnreachable => ErrorKind::HostUnreachable,
            Self::NetworkUnreachable => ErrorKind::NetworkUnreachable,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
