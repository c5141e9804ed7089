//! The table of sockets: who they are, where their packets go, and in which queues they stand.

use std::net::{IpAddr, SocketAddr};

use slotmap::SlotMap;

use super::endpoint::{Endpoint, Tuple};
use super::ready::ReadyQueues;
use crate::buf::frame::InterfaceId;
use crate::buf::packed::packed;
use crate::raw::RawSocket;
use crate::tcp::{Asleep, Authenticator, Connection, Counters, Listener, SharedSettings, State};
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
    /// A TCP connection that has been at rest for a while. It wakes when anything is to be done with it.
    Asleep(Box<Asleep>),
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
    /// Whether it neither stands in a ready queue nor is parked.
    pub(crate) fn may_queue(&self) -> bool {
        self.queued.is_none() && !self.parked
    }

    /// Puts the socket `id`, whose places these are, into a ready queue, unless it stands in one or is parked.
    pub(crate) fn enqueue(&mut self, ready: &mut ReadyQueues, interface: InterfaceId, id: SocketId) {
        if self.may_queue() {
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
    /// Where the last datagram went, and by which way.
    pub(crate) way: Option<Way>,
}

/// The way to one destination. Valid while the path is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) to: SocketAddr,
    pub(crate) path: Path,
    /// The destination is all hosts of the link or of a subnet.
    pub(crate) broadcast: bool,
}

impl UdpEntry {
    pub(crate) const fn new(socket: UdpSocket) -> Self {
        Self { socket, connected: None, way: None }
    }

    /// The way to `to` that was found last, if it still holds.
    pub(crate) fn known_way(&self, to: SocketAddr, generation: u64) -> Option<Way> {
        self.way.filter(|way| way.to == to && way.path.generation == generation)
    }
}

/// What an application may set about the IP header of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IpOptions {
    /// Hop limit (TTL); `None` for the interface's.
    pub hop_limit: Option<u8>,
    /// DSCP and ECN as one byte (`IP_TOS`, `IPV6_TCLASS`).
    pub traffic_class: u8,
}

packed!(IpOptions { hop_limit, traffic_class });

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

packed!(Path { interface, next_hop, source, mtu, may_fragment, generation });

impl Socket {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, places: Places::default(), charged: 0 }
    }

    /// The stream, if it is one, as it is or would be if it were awake.
    pub(crate) fn look(&self) -> Option<Look<'_>> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(Look::Awake(tcp)),
            Kind::Asleep(asleep) => Some(Look::Asleep(Box::new(TcpSocket::awake(asleep.peek())))),
            _ => None,
        }
    }

    /// What the stream has counted, and its state, if it is one.
    pub(crate) fn counted(&self) -> Option<(Counters, State)> {
        match &self.kind {
            Kind::Tcp(tcp) => Some((*tcp.connection.counters(), tcp.connection.state())),
            Kind::Asleep(asleep) => Some((asleep.counters::<Address>(), State::Established)),
            _ => None,
        }
    }

    /// The stream, to change it, if it is one; it wakes up for that.
    #[inline]
    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpSocket> {
        if matches!(self.kind, Kind::Asleep(_)) {
            self.wake();
        }
        match &mut self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    #[cold]
    fn wake(&mut self) {
        if let Kind::Asleep(asleep) = &mut self.kind {
            self.kind = Kind::Tcp(Box::new(TcpSocket::awake(asleep.wake())));
        }
    }

    /// A stream at rest falls asleep, unless somebody waits for it. `settings` are those of many.
    pub(crate) fn rest(&mut self, settings: &mut SharedSettings) {
        if self.places.queued.is_some() || self.places.parked {
            return;
        }
        if let Kind::Tcp(tcp) = &mut self.kind
            && let Some(asleep) = tcp.fall_asleep(settings)
        {
            self.kind = Kind::Asleep(Box::new(asleep));
        }
    }
}

/// A stream, to look at.
#[derive(Debug)]
pub(crate) enum Look<'a> {
    Awake(&'a TcpSocket),
    Asleep(Box<TcpSocket>),
}

impl core::ops::Deref for Look<'_> {
    type Target = TcpSocket;

    fn deref(&self) -> &TcpSocket {
        match self {
            Self::Awake(tcp) => tcp,
            Self::Asleep(tcp) => tcp,
        }
    }
}

/// What of a stream is written before its connection when it sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    tuple: Tuple,
    path: Path,
    ip: IpOptions,
}

packed!(Address { tuple, path, ip });

impl TcpSocket {
    fn fall_asleep(&mut self, settings: &mut SharedSettings) -> Option<Asleep> {
        let Self { connection, tuple, path, ip, authenticator: None, orphan: false, listener: None } = self
        else {
            return None;
        };
        connection.fall_asleep(settings, &Address { tuple: *tuple, path: *path, ip: *ip })
    }

    fn awake((Address { tuple, path, ip }, connection): (Address, Connection)) -> Self {
        Self { connection, tuple, path, ip, authenticator: None, orphan: false, listener: None }
    }
}
