//! How an operation on a raw socket can fail.

use std::io::ErrorKind;
use std::net::IpAddr;

/// Why an operation on a raw socket could not be done, or what ICMP said about an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to read, or no room to write: try again after an event.
    #[error("the operation would block")]
    WouldBlock,
    /// The packet is longer than the protocol or the send buffer allows.
    #[error("a packet of {length} bytes is longer than the {limit} that fit")]
    MessageTooLong {
        /// What was to be sent.
        length: usize,
        /// What could be sent.
        limit: usize,
    },
    /// No destination was given, and the socket is not connected.
    #[error("not connected, and no destination was given")]
    DestinationRequired,
    /// IPv6 on an IPv4 socket, or the other way round.
    #[error("{0} is of another address family than the socket")]
    WrongFamily(IpAddr),
    /// A broadcast without the option.
    #[error("broadcast to {0} needs the socket's broadcast option")]
    BroadcastDenied(IpAddr),
    /// The header is to be included, but the bytes do not begin with one of the family.
    #[error("the packet does not begin with an IP header of the socket's family")]
    BadHeader,
    /// Nobody speaks the protocol there.
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
            Self::MessageTooLong { .. } | Self::WrongFamily(_) | Self::BadHeader => ErrorKind::InvalidInput,
            Self::DestinationRequired => ErrorKind::NotConnected,
            Self::BroadcastDenied(_) => ErrorKind::PermissionDenied,
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
