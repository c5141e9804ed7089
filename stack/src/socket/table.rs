//! The table of sockets: who they are, where their packets go, and in which queues they stand.

use std::net::{IpAddr, SocketAddr};

use slotmap::SlotMap;

use super::endpoint::{Endpoint, Tuple};
use super::ready::ReadyQueues;
use crate::buf::frame::InterfaceId;
use crate::raw::RawSocket;
use crate::tcp::{Authenticator, Connection, Listener};
use crate::time::Instant;
use crate::udp::UdpSocket;

slotmap::new_key_type! {
    /// Names a socket of one stack. Never used again for another.
    pub struct SocketId;
}

/// All sockets of a stack.
pub(crate) type Sockets = SlotMap<SocketId, Socket>;

/// One socket, with what the stack remembers about it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    pub(crate) places: Places,
    /// Bytes of buffers that the stack counts for it.
    pub(crate) charged: usize,
}

/// What kind of socket. Boxed, so that a slot of the table is small.
#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(Box<TcpSocket>),
    Listener(Box<ListenerSocket>),
    Udp(Box<UdpEntry>),
    Raw(Box<RawSocket>),
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    /// In the ready queue of this interface.
    pub(crate) queued: Option<InterfaceId>,
    /// Waits for a neighbour's link address: not polled.
    pub(crate) parked: bool,
    /// In the timers under this deadline.
    pub(crate) entered: Option<Instant>,
    /// In the queue of events.
    pub(crate) announced: bool,
}

impl Places {
    /// Puts the socket `id`, whose places these are, into a ready queue, unless it stands in one or is parked.
    pub(crate) fn enqueue(&mut self, ready: &mut ReadyQueues, interface: InterfaceId, id: SocketId) {
        if self.queued.is_none() && !self.parked {
            self.queued = Some(interface);
            ready.push(interface, id);
        }
    }
}

/// A TCP connection with its addresses.
#[derive(Debug)]
pub(crate) struct TcpSocket {
    pub(crate) connection: Connection,
    pub(crate) tuple: Tuple,
    pub(crate) path: Path,
    pub(crate) ip: IpOptions,
    /// What signs its segments and verifies the peer's.
    pub(crate) authenticator: Option<Box<Authenticator>>,
    /// The application has closed its handle: the entry goes when the connection is finished.
    pub(crate) orphan: bool,
    /// The listener that it waits in to be accepted.
    pub(crate) listener: Option<SocketId>,
}

/// A listening port with its addresses.
#[derive(Debug)]
pub(crate) struct ListenerSocket {
    pub(crate) listener: Listener<Tuple, SocketId>,
    pub(crate) local: Endpoint,
    pub(crate) ip: IpOptions,
}

/// A datagram socket with where its datagrams go.
#[derive(Debug)]
pub(crate) struct UdpEntry {
    pub(crate) socket: UdpSocket,
    /// The pair under which it is connected.
    pub(crate) connected: Option<Tuple>,
    /// Where the last datagram went, and by which path.
    pub(crate) path: Option<(SocketAddr, Path)>,
}

/// What an application may set about the IP header of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IpOptions {
    /// Hop limit (TTL); `None` for the interface's.
    pub hop_limit: Option<u8>,
    /// DSCP and ECN as one byte (`IP_TOS`, `IPV6_TCLASS`).
    pub traffic_class: u8,
}

/// Where packets to one destination go. Valid while `generation` is the routing table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) interface: InterfaceId,
    pub(crate) next_hop: IpAddr,
    pub(crate) source: IpAddr,
    /// Largest IP packet.
    pub(crate) mtu: usize,
    /// Routers must be allowed to fragment: the path is narrower than what we go down to (RFC 1191 section 3).
    pub(crate) may_fragment: bool,
    pub(crate) generation: u64,
}

impl Socket {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, places: Places::default(), charged: 0 }
    }

    /// The stream, if it is one.
    pub(crate) fn tcp(&self) -> Option<&TcpSocket> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// The stream, to change it, if it is one.
    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpSocket> {
        match &mut self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}
