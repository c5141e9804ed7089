//! What can go wrong for a user of the stack.

use std::io;
use std::net::IpAddr;

use crate::ip::route::RouteError;
use crate::link::address::AddressError;
use crate::socket::endpoint::Endpoint;
use crate::{raw, tcp, udp};

/// An error of a command or of a connection. Each has the [`io::ErrorKind`] that people know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to read, or no room to write: try again after an event.
    #[error("the operation would block")]
    WouldBlock,
    /// The socket was closed, or is of another kind.
    #[error("no such socket")]
    NoSuchSocket,
    /// Another socket holds the address, or the connection exists already.
    #[error("address {0} is in use")]
    AddressInUse(Endpoint),
    /// No interface has that address.
    #[error("address {0} is not one of ours")]
    AddressNotAvailable(IpAddr),
    /// The address is ours only if nobody answers to it, which is being found out (RFC 4862 section 5.4, RFC 5227
    /// section 2.1): wait for [`Event::AddressReady`](crate::Event::AddressReady), a few seconds at most.
    #[error("address {0} is not ready: whether another host has it is still being asked")]
    AddressTentative(IpAddr),
    /// Another host has the address, so we do not use it (RFC 4862 section 5.4.5).
    #[error("address {0} belongs to another host")]
    AddressDuplicate(IpAddr),
    /// No ephemeral port is free.
    #[error("no free port is left")]
    NoFreePort,
    /// No route leads there.
    #[error("no route to {0}")]
    NetworkUnreachable(IpAddr),
    /// The host, or the router to it, does not answer.
    #[error("the host is unreachable")]
    HostUnreachable,
    /// The peer refused: RST to a SYN, or port unreachable.
    #[error("connection refused")]
    ConnectionRefused,
    /// The peer reset the connection.
    #[error("connection reset by the peer")]
    ConnectionReset,
    /// Our side gave the connection up.
    #[error("connection aborted")]
    ConnectionAborted,
    /// The peer did not answer in time.
    #[error("connection timed out")]
    TimedOut,
    /// The socket is not connected.
    #[error("not connected")]
    NotConnected,
    /// The socket is connected already.
    #[error("already connected")]
    AlreadyConnected,
    /// Written to after the end of the stream was sent.
    #[error("the stream is closed for writing")]
    BrokenPipe,
    /// What a datagram socket refuses.
    #[error(transparent)]
    Udp(udp::Error),
    /// What a raw socket refuses.
    #[error(transparent)]
    Raw(raw::Error),
    /// An address that an interface cannot have.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A route that cannot be.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// An MTU that its IP version does not allow: 68 bytes are the least for IPv4 (RFC 791), 1,280 for IPv6 (RFC 8200
    /// section 5).
    #[error("an MTU of {mtu} bytes is too small: at least {least} are needed")]
    MtuTooSmall {
        /// What was asked for.
        mtu: usize,
        /// What it has to be.
        least: usize,
    },
    /// An argument makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// A limit of the configuration is reached.
    #[error("the limit of {limit} {what} is reached")]
    LimitReached {
        /// Things of which there are too many.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl Error {
    /// The kind by which `std::io` knows it.
    pub const fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind as K;
        match self {
            Self::WouldBlock => K::WouldBlock,
            Self::NoSuchSocket | Self::Invalid(_) | Self::MtuTooSmall { .. } => K::InvalidInput,
            Self::AddressInUse(_) => K::AddrInUse,
            Self::AddressNotAvailable(_)
            | Self::AddressTentative(_)
            | Self::AddressDuplicate(_)
            | Self::NoFreePort => K::AddrNotAvailable,
            Self::NetworkUnreachable(_) => K::NetworkUnreachable,
            Self::HostUnreachable => K::HostUnreachable,
            Self::ConnectionRefused => K::ConnectionRefused,
            Self::ConnectionReset => K::ConnectionReset,
            Self::ConnectionAborted => K::ConnectionAborted,
            Self::TimedOut => K::TimedOut,
            Self::NotConnected => K::NotConnected,
            Self::AlreadyConnected => K::AlreadyExists,
            Self::BrokenPipe => K::BrokenPipe,
            Self::Udp(error) => error.kind(),
            Self::Raw(error) => error.kind(),
            Self::Address(_) | Self::Route(_) => K::InvalidInput,
            Self::LimitReached { .. } => K::OutOfMemory,
        }
    }
}

impl From<tcp::Error> for Error {
    fn from(error: tcp::Error) -> Self {
        match error {
            tcp::Error::WouldBlock => Self::WouldBlock,
            tcp::Error::NotConnected => Self::NotConnected,
            tcp::Error::ConnectionRefused => Self::ConnectionRefused,
            tcp::Error::ConnectionReset => Self::ConnectionReset,
            tcp::Error::ConnectionAborted => Self::ConnectionAborted,
            tcp::Error::TimedOut => Self::TimedOut,
            tcp::Error::HostUnreachable | tcp::Error::NetworkUnreachable => Self::HostUnreachable,
            tcp::Error::BrokenPipe => Self::BrokenPipe,
        }
    }
}

impl From<udp::Error> for Error {
    fn from(error: udp::Error) -> Self {
        match error {
            udp::Error::WouldBlock => Self::WouldBlock,
            udp::Error::ConnectionRefused => Self::ConnectionRefused,
            udp::Error::HostUnreachable | udp::Error::NetworkUnreachable => Self::HostUnreachable,
            other => Self::Udp(other),
        }
    }
}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Self {
        match error {
            raw::Error::WouldBlock => Self::WouldBlock,
            raw::Error::ConnectionRefused => Self::ConnectionRefused,
            raw::Error::HostUnreachable | raw::Error::NetworkUnreachable => Self::HostUnreachable,
            other => Self::Raw(other),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_keeps_its_source() {
        let error = io::Error::from(Error::ConnectionRefused);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "connection refused");
        assert!(error.get_ref().is_some_and(|e| e.is::<Error>()));
    }
}
