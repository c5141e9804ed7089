//! What the stack tells its user through `poll_event`.

use std::net::{IpAddr, SocketAddr};

use crate::buf::frame::InterfaceId;
use crate::socket::table::SocketId;
use crate::tcp::Decision;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// Something that a user may want to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A socket changed: ask [`crate::Stack::readiness`] what it can do now. One event stands for all changes since it
    /// was last polled.
    Socket(SocketId),
    /// An address passed duplicate address detection and can be used.
    AddressReady {
        /// Where.
        interface: InterfaceId,
        /// Which.
        address: IpAddr,
    },
    /// Another host uses our address.
    AddressConflict {
        /// Where.
        interface: InterfaceId,
        /// Which.
        address: IpAddr,
        /// The other host's link address, where it said so.
        by: Option<MacAddr>,
        /// It was not ours yet, and we do not use it. Otherwise we defend it.
        lost: bool,
    },
    /// A neighbour does not answer.
    NeighborFailed {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: IpAddr,
    },
}

impl Event {
    /// How many events may wait for this one to be queued too, where `limit` may. What one scan makes hundreds of
    /// leaves room for what matters.
    pub(crate) const fn share_of(&self, limit: usize) -> usize {
        match self {
            Self::NeighborFailed { .. } => limit / 2,
            _ => limit,
        }
    }
}

/// A decision of a connection that is observed, as [`Stack::poll_decision`](crate::Stack::poll_decision) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it was decided.
    pub at: Instant,
    /// By which socket.
    pub socket: SocketId,
    /// Where the connection is bound.
    pub local: SocketAddr,
    /// Who is at the other end.
    pub remote: SocketAddr,
    /// What.
    pub decision: Decision,
}

/// What a socket can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness {
    /// `recv` or `accept` gives something: data, the end of the stream, a connection, or an error.
    pub readable: bool,
    /// `send` takes something, or fails at once.
    pub writable: bool,
    /// The connection is established (or was, and has ended in order).
    pub connected: bool,
    /// Nothing more will arrive.
    pub read_closed: bool,
    /// Nothing more can be sent.
    pub write_closed: bool,
    /// All is over: the error that ended it, if any, is the next call's.
    pub closed: bool,
}
