//! The stack: bytes and time go in; bytes, deadlines and events come out.

mod alike;
mod authentication;
mod fast_open;
mod head;
mod hops;
mod icmp;
mod input;
mod interfaces;
mod lane;
mod looped;
mod memory;
mod observer;
mod output;
mod packets;
pub mod path;
mod path_mtu;
mod raw;
mod replies;
mod routing;
mod segments;
pub(crate) mod shards;
mod tcp;
mod train;
mod udp;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use self::alike::Stencil;
use self::head::HeadBuffer;
use self::input::KnownPair;
use self::interfaces::Port;
use self::lane::Lane;
use self::looped::Looped;
use self::memory::Memory;
use self::observer::Observer;
use self::packets::{Parked, Pool};
use self::path_mtu::Recent;
use self::shards::Outbox;
use crate::buf::frame::{InterfaceId, RxFrame, TxFrame};
use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, Readiness};
use crate::ip::icmp_error::IcmpErrors;
use crate::ip::output::Ids;
use crate::ip::rate_limit::{Bucket, RateLimits};
use crate::ip::reassembly::{Reassembly, ReassemblyLimits};
use crate::ip::{pmtu, redirect, route};
use crate::rng::{KeyedHash, Rng};
use crate::socket::demux::Demux;
use crate::socket::fast_open::{Cookies, ServerCache};
use crate::socket::ready::ReadyQueues;
use crate::socket::table::{IpOptions, Kind, Places, Socket, SocketId, Sockets};
use crate::socket::time_waits::TimeWaits;
use crate::socket::timers::Timers;
use crate::stats::Stats;
use crate::tcp::isn::IsnGenerator;
use crate::tcp::{Connection, SharedSettings, State, TcpInfo};
use crate::time::Instant;
use crate::udp::Departure;
use crate::why::Why;

/// A host's whole network stack as one value: no clock, no I/O, no threads.
///
/// | kind | methods |
/// | --- | --- |
/// | getters | `config stats readiness local_addr peer_addr interfaces routes poll_timeout tcp_info ...` |
/// | input | `handle_frame handle_timeout` |
/// | commands | `add_interface add_route tcp_* udp_* raw_* close` |
/// | output | `poll_transmit poll_event poll_decision` |
///
/// A driver loops: feed what the devices have, fire what is due, drain `poll_transmit` of each interface into its
/// device, act on `poll_event`, and sleep until a device, an application, or `poll_timeout` wakes it.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    rng: Rng,
    stats: Stats,
    // Interfaces and where packets go.
    ports: Vec<Port>,
    addresses_generation: u64,
    routes: route::Table,
    pmtu: pmtu::Cache,
    redirects: redirect::Cache,
    recent: Recent,
    reassembly: Reassembly,
    known_pair: Option<KnownPair>,
    /// The connection of the last segment, until `follow` takes it, and of the one that it took last.
    heard: Option<SocketId>,
    followed: Option<SocketId>,
    lane: Option<Lane>,
    icmp_errors: IcmpErrors,
    /// For answers to echo requests that were sent to groups.
    group_echoes: Bucket,
    ids: Ids,
    // Sockets and who gets what.
    sockets: Sockets,
    tcp_demux: Demux,
    udp_demux: Demux,
    raw_sockets: Vec<SocketId>,
    time_waits: TimeWaits,
    isn: IsnGenerator,
    fast_open_cookies: Cookies,
    /// Some socket has keys: segments are verified.
    authenticates: bool,
    fast_open_servers: ServerCache,
    timers: Timers,
    ready: ReadyQueues,
    parked: Parked,
    events: VecDeque<Event>,
    observer: Observer,
    /// What other shards have to know.
    outbox: Outbox,
    /// The settings of connections that are asleep.
    settings: SharedSettings,
    /// What the sockets' buffers occupy.
    memory: Memory,
    // Buffers that are used again and again.
    pool: Pool,
    head: HeadBuffer,
    body: Vec<u8>,
    /// Why the frame that was chosen last is sent.
    why: Why,
    /// The datagram socket of whose datagrams so many were lent for the last frame.
    lent: Option<(SocketId, usize)>,
    /// Whose datagram went the long way last, and where; the headers for those that follow.
    departed: Option<(SocketId, Departure)>,
    stencil: Option<Stencil>,
    looped: Looped,
}

/// The random stream of Fast Open's key.
const FAST_OPEN_STREAM: u64 = 1;
/// The random streams of the shards' identifications begin here.
const SHARD_STREAMS: u64 = 1 << 8;

impl Stack {
    /// A stack without interfaces but its own loopback.
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed, 0);
        let hash = KeyedHash::new(&mut rng);
        let mut stack = Self {
            stats: Stats::default(),
            ports: Vec::new(),
            addresses_generation: 0,
            routes: route::Table::new(config.max_routes),
            pmtu: pmtu::Cache::new(config.max_path_mtus, pmtu::DEFAULT_LIFETIME),
            redirects: redirect::Cache::default(),
            recent: Recent::default(),
            reassembly: Reassembly::new(ReassemblyLimits::default()),
            known_pair: None,
            heard: None,
            followed: None,
            lane: None,
            icmp_errors: IcmpErrors::new(RateLimits::default(), &mut rng),
            group_echoes: Bucket::default(),
            ids: Ids::new(&mut rng),
            sockets: Sockets::with_key(),
            tcp_demux: Demux::new(&hash),
            udp_demux: Demux::new(&hash),
            raw_sockets: Vec::new(),
            time_waits: TimeWaits::new(config.max_time_wait, &hash),
            isn: IsnGenerator::new(&mut rng),
            authenticates: false,
            // A stream of its own: what is drawn here changes no other choice of a seed.
            fast_open_cookies: Cookies::new(&mut Rng::new(config.seed, FAST_OPEN_STREAM)),
            fast_open_servers: ServerCache::new(config.max_fast_open_servers, &hash),
            timers: Timers::default(),
            ready: ReadyQueues::default(),
            parked: Parked::default(),
            events: VecDeque::new(),
            observer: Observer::new(config.max_decisions),
            outbox: Outbox::default(),
            settings: SharedSettings::default(),
            memory: Memory::new(config.max_buffer_memory),
            pool: Pool::default(),
            head: HeadBuffer::new(),
            body: Vec::new(),
            why: Why::FOREIGN,
            lent: None,
            departed: None,
            stencil: None,
            looped: Looped::default(),
            rng,
            config,
        };
        if !stack.config.shard.is_first() {
            // Shards have the same secrets, for they are one host; but each counts its identifications for itself.
            let stream = SHARD_STREAMS + stack.config.shard.index() as u64;
            stack.ids = Ids::new(&mut Rng::new(stack.config.seed, stream));
        }
        stack.add_loopback();
        stack
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted so far. Looks at every connection, for what each counts is summed up here.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.reassembly_v4 = *self.reassembly.stats_v4();
        stats.reassembly_v6 = *self.reassembly.stats_v6();
        stats.path_mtu = *self.pmtu.stats();
        stats.redirects = *self.redirects.stats();
        stats.icmp_errors_v4 = *self.icmp_errors.stats_v4();
        stats.icmp_errors_v6 = *self.icmp_errors.stats_v6();
        stats.tcp.time_waits = self.time_waits.ended();
        stats.tcp.time_wait_overflows = self.time_waits.overflows();
        stats.memory.used = self.memory.used();
        stats.memory.pressures = self.memory.pressures;
        stats.decisions_refused = self.observer.refused();
        for (counters, state) in self.sockets.values().filter_map(Socket::counted) {
            stats.connections.add(&counters);
            stats.connections.count_state(state);
        }
        stats.tcp.fast_open_cache_overflows = self.fast_open_servers.overflows();
        stats
    }

    /// What a socket can do now; closed if there is none.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        let gone = Readiness { readable: true, writable: true, closed: true, ..Readiness::default() };
        match self.sockets.get(id).map(|s| &s.kind) {
            None => gone,
            Some(Kind::Tcp(tcp)) => tcp_readiness(&tcp.connection),
            // Nothing has come, and there is room.
            Some(Kind::Asleep(_)) => Readiness { writable: true, connected: true, ..Readiness::default() },
            Some(Kind::Listener(l)) => {
                Readiness { readable: l.listener.waiting() > 0, ..Readiness::default() }
            }
            Some(Kind::Udp(udp)) => Readiness {
                readable: udp.socket.readiness().readable,
                writable: udp.socket.readiness().writable,
                ..Readiness::default()
            },
            Some(Kind::Raw(raw)) => Readiness {
                readable: raw.readiness().readable,
                writable: raw.readiness().writable,
                ..Readiness::default()
            },
        }
    }

    /// Where a socket is bound.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn local_addr(&self, id: SocketId) -> Result<SocketAddr, Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(_) | Kind::Asleep(_)) => Ok(self.tcp(id)?.tuple.local.into()),
            Some(Kind::Listener(listener)) => Ok(listener.local.into()),
            Some(Kind::Udp(_)) => self.udp_local(id),
            Some(Kind::Raw(raw)) => Ok(SocketAddr::new(raw.local().unwrap_or_else(|| raw.family().any()), 0)),
            _ => Err(Error::NoSuchSocket),
        }
    }

    /// Whom a socket is connected to.
    ///
    /// # Errors
    /// `NotConnected`, `NoSuchSocket`.
    pub fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(_) | Kind::Asleep(_)) => Ok(self.tcp(id)?.tuple.remote.into()),
            Some(Kind::Udp(_)) => self.udp_peer(id),
            Some(Kind::Listener(_) | Kind::Raw(_)) => Err(Error::NotConnected),
            _ => Err(Error::NoSuchSocket),
        }
    }

    /// The connections of TCP, those that nobody holds any more included: who they are, and what is known about them.
    pub fn connections(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (SocketId, SocketAddr, SocketAddr, TcpInfo)> {
        self.sockets.iter().filter_map(move |(id, socket)| {
            let tcp = socket.look()?;
            let info = TcpInfo { pmtu: tcp.path.mtu as u32, ..tcp.connection.info_at(now) };
            Some((id, tcp.tuple.local.into(), tcp.tuple.remote.into(), info))
        })
    }

    /// Sockets of all kinds, connections behind closed handles included.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// Connections in TIME-WAIT.
    pub fn time_wait_count(&self) -> usize {
        self.time_waits.len()
    }

    /// When `handle_timeout` is due; `None` while nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.loopback_is_ready() {
            return Some(Instant::ZERO);
        }
        let ports = self.ports.iter().filter_map(|port| port.interface.poll_timeout());
        ports
            .chain(self.timers.poll_timeout())
            .chain(self.time_waits.poll_timeout())
            .chain(self.reassembly.poll_timeout())
            .chain(self.pmtu.poll_timeout())
            .chain(self.redirects.poll_timeout())
            .min()
    }

    /// A frame arrived at `interface`. A frame of an interface that does not exist is dropped.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame<'_>) {
        self.receive(now, interface, frame);
    }

    /// Does what is due at `now`. Called early, it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run_loopback(now);
        for index in 0..self.ports.len() {
            self.ports[index].interface.handle_timeout(now);
            self.handle_interface_events(now, InterfaceId(index as u32));
        }
        self.time_waits.handle_timeout(now);
        self.pmtu.handle_timeout(now);
        self.redirects.handle_timeout(now);
        self.handle_reassembly_timeout(now);
        while let Some(id) = self.timers.poll_due(now) {
            self.handle_socket_timeout(now, id);
        }
        self.run_loopback(now);
    }

    /// Closes a socket's handle. What a stream still has to send is sent, and it ends in order behind the scenes.
    pub fn close(&mut self, now: Instant, id: SocketId) {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(_) | Kind::Asleep(_)) => self.close_tcp(now, id),
            Some(Kind::Listener(_)) => self.close_listener(now, id),
            Some(Kind::Udp(_)) => self.close_udp(now, id),
            Some(Kind::Raw(_)) => self.close_raw(id),
            None => {}
        }
    }

    /// Sets hop limit and traffic class of what a stream, or those that a listener accepts, sends.
    ///
    /// # Errors
    /// `NoSuchSocket`; datagram and raw sockets have them among their options.
    pub fn tcp_set_ip_options(&mut self, id: SocketId, options: IpOptions) -> Result<(), Error> {
        let Some(socket) = self.sockets.get_mut(id) else { return Err(Error::NoSuchSocket) };
        if let Kind::Listener(listener) = &mut socket.kind {
            listener.ip = options;
        } else {
            socket.tcp_mut().ok_or(Error::NoSuchSocket)?.ip = options;
        }
        Ok(())
    }

    /// The next frame for the device of `interface`. Each answer counts as sent; call until `None`.
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId) -> Option<TxFrame<'_>> {
        if self.loopback_is_ready() {
            self.run_loopback(now);
        }
        self.transmit(now, interface)
    }

    /// What happened since the last call. Call until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Socket(id) = event
            && let Some(socket) = self.sockets.get_mut(id)
        {
            socket.places.announced = false;
        }
        Some(event)
    }

    /// Tells the user that a socket changed, once until it is polled.
    fn announce(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            announce(&mut self.events, &mut socket.places, id);
        }
    }

    /// Tells the user something about an interface; the newest is lost, and counted, if nobody listens.
    fn tell(&mut self, event: Event) {
        const MOST: usize = 1024;
        if self.events.len() < event.share_of(MOST) + self.sockets.len() {
            self.events.push_back(event);
        } else {
            self.stats.events_lost += 1;
        }
    }

    /// Puts a socket into the queue of those that have something to send.
    fn enqueue(&mut self, id: SocketId, interface: InterfaceId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.places.enqueue(&mut self.ready, interface, id);
        }
    }

    /// After anything happened to a socket: timers, queues, and its end.
    fn settle(&mut self, now: Instant, id: SocketId) {
        let interface = match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(_)) => return self.settle_tcp(now, id),
            Some(Kind::Listener(_)) => return self.settle_listener(now, id),
            Some(Kind::Udp(_)) => return self.settle_udp(id),
            Some(Kind::Raw(_)) => self.raw_interface(id),
            Some(Kind::Asleep(_)) | None => None,
        };
        self.charge(id);
        if let Some(interface) = interface {
            self.enqueue(id, interface);
        }
    }

    fn handle_socket_timeout(&mut self, now: Instant, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.places.entered = None;
        if let Kind::Listener(entry) = &mut socket.kind {
            entry.listener.handle_timeout(now);
        } else if let Some(tcp) = socket.tcp_mut() {
            tcp.connection.handle_timeout(now);
            if let Some(claim) = tcp.connection.take_too_big() {
                self.believe_too_big(now, id, claim);
            }
        }
        self.settle(now, id);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.rest(&mut self.settings);
        }
    }

    /// Takes a socket out of the table and the timers. Queues that still name it skip it.
    fn remove_socket(&mut self, id: SocketId) {
        if let Some(mut socket) = self.sockets.remove(id) {
            self.memory.charge(&mut socket.charged, 0);
            self.timers.set(id, &mut socket.places.entered, None);
            if let Some((counters, _)) = socket.counted() {
                self.stats.connections.add(&counters);
            }
        }
    }

    fn check_socket_limit(&self) -> Result<(), Error> {
        let limit = self.config.max_sockets;
        if self.sockets.len() < limit { Ok(()) } else { Err(Error::LimitReached { what: "sockets", limit }) }
    }
}

/// As [`Stack::announce`], for who has the socket at hand.
fn announce(events: &mut VecDeque<Event>, places: &mut Places, id: SocketId) {
    if !core::mem::replace(&mut places.announced, true) {
        events.push_back(Event::Socket(id));
    }
}

fn tcp_readiness(connection: &Connection) -> Readiness {
    let tcp = connection.readiness();
    let state = connection.state();
    Readiness {
        readable: tcp.readable,
        writable: tcp.writable,
        connected: !matches!(state, State::SynSent | State::SynReceived | State::Closed),
        read_closed: tcp.read_closed,
        write_closed: tcp.write_closed,
        closed: tcp.error || state == State::Closed,
    }
}

/// Bytes of an IP header without options or extension headers.
pub(crate) fn ip_header_len(address: IpAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

#[cfg(test)]
mod tests;
