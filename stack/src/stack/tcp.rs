//! TCP on the stack: commands of applications, and what follows from whatever happened to a connection.

use std::net::{Shutdown, SocketAddr};

use super::authentication::option_of;
use super::{Stack, announce, ip_header_len};
use crate::error::Error;
use crate::socket::demux::Binding;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::socket::ports;
use crate::socket::table::{IpOptions, Kind, ListenerSocket, Look, Socket, SocketId, TcpSocket};
use crate::tcp::congestion::Algorithm;
use crate::tcp::{Connection, Isns, Listener, Ports, Settings, Start, State, TcpInfo};
use crate::time::Instant;

impl Stack {
    /// Snapshot of a connection, in the words of `ss -ti`.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_info(&self, id: SocketId) -> Result<TcpInfo, Error> {
        self.tcp(id).map(|tcp| TcpInfo { pmtu: tcp.path.mtu as u32, ..tcp.connection.info() })
    }

    /// As `tcp_info`, with what lasts counted until `now`.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_info_at(&self, now: Instant, id: SocketId) -> Result<TcpInfo, Error> {
        self.tcp(id).map(|tcp| TcpInfo { pmtu: tcp.path.mtu as u32, ..tcp.connection.info_at(now) })
    }

    /// The settings in force.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_settings(&self, id: SocketId) -> Result<Settings, Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Listener(listener)) => Ok(listener.listener.settings().clone()),
            _ => Ok(self.tcp(id)?.connection.settings().clone()),
        }
    }

    /// What ended a connection out of order; asking does not take it away.
    pub fn tcp_failure(&self, id: SocketId) -> Option<Error> {
        self.tcp(id).ok().and_then(|tcp| tcp.connection.error()).map(Error::from)
    }

    /// Whether the handshake is complete.
    ///
    /// # Errors
    /// `WouldBlock` while it is under way; what ended it if it failed.
    pub fn tcp_established(&mut self, id: SocketId) -> Result<(), Error> {
        let connection = &mut self.tcp_mut(id)?.connection;
        match connection.state() {
            State::SynSent | State::SynReceived if connection.readiness().writable => Ok(()),
            // RFC 9293 section 3.9.2.2 (MUST-56): what ICMP says meanwhile may pass.
            State::SynSent | State::SynReceived => Err(Error::WouldBlock),
            State::Closed => match connection.take_error() {
                Some(error) => Err(error.into()),
                None if connection.info().counters.segs_in == 0 => Err(Error::NotConnected),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Takes the error that nobody was told of yet, as `SO_ERROR` does: what ended the connection, or what ICMP said
    /// about it and did not end it (RFC 9293 section 3.9.1.8).
    ///
    /// # Errors
    /// That error; `NoSuchSocket`.
    pub fn tcp_take_error(&mut self, id: SocketId) -> Result<(), Error> {
        self.tcp_mut(id)?.connection.take_error().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Begins a connection to `remote`, from `local` if it is named (port 0: an ephemeral one).
    ///
    /// # Errors
    /// No route, no free port, an address that is not ours or taken, or one that nobody can connect to.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        settings: Settings,
    ) -> Result<SocketId, Error> {
        self.connect_tcp(now, remote, local, settings, false)
    }

    /// As `tcp_connect`; `with_data` asks for Fast Open.
    pub(super) fn connect_tcp(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        settings: Settings,
        with_data: bool,
    ) -> Result<SocketId, Error> {
        let remote = Endpoint::from(remote);
        // RFC 9293 section 3.9.1.1 (MUST-46): nobody connects to many.
        let many = remote.ip.is_multicast() || self.is_broadcast(remote.ip);
        if remote.port == 0 || remote.ip.is_unspecified() || many {
            return Err(Error::Invalid("a connection needs a unicast address and a port"));
        }
        self.check_socket_limit()?;
        let bound = local.map(Endpoint::from);
        let source = bound.and_then(|b| b.specified());
        if let Some(ip) = source {
            self.check_owned(ip)?;
        }
        let path = self.path_to(source, &remote)?;
        let ip = source.unwrap_or(path.source);
        let mut tuple = Tuple { local: Endpoint::on(ip, 0, path.interface), remote };
        tuple.local.port = match bound.map_or(0, |b| b.port) {
            0 => self.free_tcp_port(tuple)?,
            port => port,
        };
        if !self.is_own_flow(&tuple) {
            return Err(Error::Invalid("these endpoints belong to another shard"));
        }
        if !self.tcp_pair_is_free(&tuple) {
            return Err(Error::AddressInUse(tuple.local));
        }
        let mut start = self.tcp_start(now, &tuple, path.mtu);
        self.notice_keys(&settings);
        let authenticator = Self::authenticator(&settings, &tuple, Isns::default());
        start.signature = option_of(authenticator.as_deref());
        let ports = Ports { local: tuple.local.port, remote: tuple.remote.port };
        // Note: a signature leaves no room for a cookie beside all that a SYN says.
        let fast_open = self.begin_fast_open(now, &tuple, &settings, with_data);
        let connection = match fast_open.filter(|_| start.signature.is_none()) {
            Some(client) => Connection::connect_fast_open(now, ports, start, settings, client),
            None => Connection::connect(now, ports, start, settings),
        };
        let ip = IpOptions::default();
        let tcp = TcpSocket { connection, tuple, path, ip, authenticator, orphan: false, listener: None };
        let id = self.sockets.insert(Socket::new(Kind::Tcp(Box::new(tcp))));
        self.tcp_demux.connect(tuple, id);
        self.stats.tcp.active_opens += 1;
        self.settle_tcp(now, id);
        Ok(id)
    }

    /// Listens on `local` (an unspecified IPv6 address takes IPv4 too, unless `only_v6` is set; port 0 an ephemeral
    /// one). `backlog` bounds the handshakes under way and the connections that wait for `tcp_accept`.
    ///
    /// # Errors
    /// The address is not ours, or taken; no port is free.
    pub fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        settings: Settings,
    ) -> Result<SocketId, Error> {
        let mut local = Endpoint::from(local);
        self.check_socket_limit()?;
        if let Some(ip) = local.specified() {
            self.check_owned(ip)?;
        }
        if local.port == 0 {
            let demux = &self.tcp_demux;
            let free = |port| !demux.port_in_use(port);
            local.port = ports::ephemeral(&mut self.rng, ports::EPHEMERAL, free).ok_or(Error::NoFreePort)?;
        }
        self.notice_keys(&settings);
        let dual = local.ip.is_ipv6() && local.ip.is_unspecified() && !settings.only_v6;
        let listener = Listener::new(local.port, backlog, settings, &mut self.rng);
        let entry = ListenerSocket { listener, local, ip: IpOptions::default() };
        let id = self.sockets.insert(Socket::new(Kind::Listener(Box::new(entry))));
        if !self.tcp_demux.bind(Binding { id, local, dual, shared: false }) {
            self.sockets.remove(id);
            return Err(Error::AddressInUse(local));
        }
        Ok(id)
    }

    /// The connection that has waited longest to be accepted, and who is at the other end.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn tcp_accept(&mut self, now: Instant, listener: SocketId) -> Result<(SocketId, SocketAddr), Error> {
        let id = loop {
            let id = self.listener_mut(listener)?.listener.accept().ok_or(Error::WouldBlock)?;
            if self.sockets.contains_key(id) {
                break id;
            }
        };
        self.settle_listener(now, listener);
        let tcp = self.tcp_mut(id)?;
        tcp.listener = None;
        let remote = tcp.tuple.remote;
        self.announce(id);
        Ok((id, remote.into()))
    }

    /// Takes bytes to send; answers how many.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full; `BrokenPipe` or what ended the connection.
    pub fn tcp_send(&mut self, now: Instant, id: SocketId, bytes: &[u8]) -> Result<usize, Error> {
        self.on_tcp(now, id, |connection| connection.send(now, bytes))
    }

    /// As `tcp_send`, and says that more will follow soon: what does not fill a segment waits for it, at most for
    /// 200 ms (`MSG_MORE`).
    ///
    /// # Errors
    /// As `tcp_send`.
    pub fn tcp_send_more(&mut self, now: Instant, id: SocketId, bytes: &[u8]) -> Result<usize, Error> {
        self.on_tcp(now, id, |connection| connection.send_more(now, bytes))
    }

    /// Gives received bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; what ended the connection out of order.
    pub fn tcp_recv(&mut self, now: Instant, id: SocketId, buf: &mut [u8]) -> Result<usize, Error> {
        if self.is_asleep(id) {
            return Err(Error::WouldBlock);
        }
        self.on_tcp(now, id, |connection| connection.recv(now, buf))
    }

    /// As `tcp_recv`, but the bytes stay.
    ///
    /// # Errors
    /// As `tcp_recv`.
    pub fn tcp_peek(&self, id: SocketId, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(self.tcp(id)?.connection.peek(buf)?)
    }

    /// The received bytes where they lie, in two parts; `tcp_consume` drops what was read of them.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; what ended the connection out of order.
    pub fn tcp_received(&self, id: SocketId) -> Result<[&[u8]; 2], Error> {
        match self.sockets.get(id).map(|s| &s.kind) {
            Some(Kind::Tcp(tcp)) if !tcp.orphan => Ok(tcp.connection.received()?),
            Some(Kind::Asleep(_)) => Err(Error::WouldBlock),
            _ => Err(Error::NoSuchSocket),
        }
    }

    /// Drops the first `n` received bytes, which `tcp_received` has shown.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_consume(&mut self, now: Instant, id: SocketId, n: usize) -> Result<(), Error> {
        self.on_tcp(now, id, |connection| {
            connection.consume(now, n);
            Ok(())
        })
    }

    /// Ends our stream, stops reading, or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn tcp_shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), Error> {
        self.on_tcp(now, id, |connection| {
            if how != Shutdown::Write {
                connection.shutdown_read(now);
            }
            if how == Shutdown::Read { Ok(()) } else { connection.shutdown_write(now) }
        })
    }

    /// Ends the connection with a RST. The handle stays until `close`.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_abort(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.on_tcp(now, id, |connection| {
            connection.abort(now);
            Ok(())
        })
    }

    /// Changes the settings. What the handshake negotiates counts only for what a listener accepts later, and so does
    /// the congestion control: see [`Self::tcp_set_congestion`].
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_configure(&mut self, now: Instant, id: SocketId, settings: Settings) -> Result<(), Error> {
        self.notice_keys(&settings);
        if let Ok(listener) = self.listener_mut(id) {
            *listener.listener.settings_mut() = settings;
            return Ok(());
        }
        self.on_tcp(now, id, |connection| {
            connection.set_nodelay(settings.nodelay);
            connection.set_cork(settings.cork);
            connection.set_quickack(settings.quickack);
            connection.set_keepalive(now, settings.keepalive);
            connection.set_pacing(settings.pacing);
            connection.set_max_pacing_rate(settings.max_pacing_rate);
            connection.set_notsent_lowat(settings.notsent_lowat);
            connection.set_recv_lowat(settings.recv_lowat);
            connection.set_linger(settings.linger);
            connection.set_mtu_probing(now, settings.mtu_probing);
            connection.set_user_timeout(now, settings.user_timeout);
            connection.set_advertised_user_timeout(settings.advertised_user_timeout);
            connection.set_send_buffer(settings.send_buffer, settings.send_tuning);
            connection.set_recv_buffer(settings.recv_buffer, settings.recv_tuning);
            connection.set_observed(settings.observe);
            Ok(())
        })
    }

    /// Changes the congestion control of a connection, or of those that a listener accepts later. It goes on with
    /// the window and the threshold of the one before.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_set_congestion(
        &mut self,
        now: Instant,
        id: SocketId,
        algorithm: Algorithm,
    ) -> Result<(), Error> {
        if let Ok(listener) = self.listener_mut(id) {
            listener.listener.settings_mut().congestion = algorithm;
            return Ok(());
        }
        self.on_tcp(now, id, |connection| {
            connection.set_congestion(now, algorithm);
            Ok(())
        })
    }

    /// Closes a socket's handle: the connection ends in order behind it.
    pub(super) fn close_tcp(&mut self, now: Instant, id: SocketId) {
        if let Ok(tcp) = self.tcp_mut(id) {
            tcp.orphan = true;
            tcp.connection.close(now);
            self.settle_tcp(now, id);
        }
    }

    /// Closes a listener: who waits in it is reset.
    pub(super) fn close_listener(&mut self, now: Instant, id: SocketId) {
        let Ok(entry) = self.listener_mut(id) else { return };
        let port = entry.local.port;
        let mut waiting = Vec::with_capacity(entry.listener.waiting());
        while let Some(connection) = entry.listener.accept() {
            waiting.push(connection);
        }
        for connection in waiting {
            if let Ok(tcp) = self.tcp_mut(connection) {
                tcp.listener = None;
                tcp.orphan = true;
                tcp.connection.abort(now);
                self.settle_tcp(now, connection);
            }
        }
        self.tcp_demux.unbind(port, id);
        self.remove_socket(id);
    }

    /// After anything happened to a connection: events, timers, its end, and the queue of those who want to send.
    pub(super) fn settle_tcp(&mut self, now: Instant, id: SocketId) {
        self.settle_tcp_state(now, id, true);
    }

    /// As `settle_tcp`; it does not queue a connection that has just said that it has nothing to send.
    pub(super) fn settle_tcp_state(&mut self, now: Instant, id: SocketId, queue: bool) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Kind::Tcp(tcp) = &mut socket.kind else { return };
        if tcp.connection.is_observed() {
            self.observer.collect(now, id, tcp);
        }
        let (mut changed, mut over, mut fast_open) = (false, false, None);
        while let Some(event) = tcp.connection.poll_event() {
            changed = true;
            match event {
                crate::tcp::Event::TimeWait => {
                    if let Some(time_wait) = tcp.connection.take_time_wait() {
                        self.time_waits.insert(tcp.tuple, time_wait);
                        if let Some(known) = &tcp.authenticator {
                            self.time_waits.insert_authenticator(tcp.tuple, known.clone());
                        }
                    }
                    over = true;
                }
                crate::tcp::Event::Closed(_) => over = true,
                crate::tcp::Event::FastOpenDone => fast_open = Some(false),
                crate::tcp::Event::FastOpenReset => fast_open = Some(true),
                _ => {}
            }
        }
        if over {
            self.tcp_demux.disconnect(&tcp.tuple, id);
        }
        let learned = if changed { tcp.connection.take_fast_open_report() } else { None };
        if tcp.orphan && tcp.connection.is_finished() {
            let tuple = tcp.tuple;
            self.handle_fast_open_news(now, &tuple, learned.as_ref(), fast_open);
            self.tcp_demux.disconnect(&tuple, id);
            self.remove_socket(id);
            return;
        }
        self.memory.charge(&mut socket.charged, tcp.connection.buffer_memory());
        if queue && tcp.connection.wants_transmit() {
            socket.places.enqueue(&mut self.ready, tcp.path.interface, id);
        }
        let tell = changed && !tcp.orphan && tcp.listener.is_none();
        let news = if learned.is_some() || fast_open.is_some() { Some(tcp.tuple) } else { None };
        if let Some(deadline) = tcp.connection.timeout_before(socket.places.entered) {
            self.timers.set(id, &mut socket.places.entered, deadline);
        }
        if tell {
            announce(&mut self.events, &mut socket.places, id);
        }
        if let Some(tuple) = news {
            self.handle_fast_open_news(now, &tuple, learned.as_ref(), fast_open);
        }
    }

    fn on_tcp<R>(
        &mut self,
        now: Instant,
        id: SocketId,
        f: impl FnOnce(&mut Connection) -> Result<R, crate::tcp::Error>,
    ) -> Result<R, Error> {
        let pressure = self.memory.pressure();
        let connection = &mut self.tcp_mut(id)?.connection;
        connection.set_pressure(pressure);
        let result = f(connection);
        // What would block has changed nothing, and is asked once too often as a rule.
        if !matches!(result, Err(crate::tcp::Error::WouldBlock)) {
            self.settle_tcp(now, id);
        }
        result.map_err(Into::into)
    }

    pub(super) fn tcp(&self, id: SocketId) -> Result<Look<'_>, Error> {
        let tcp = self.sockets.get(id).and_then(Socket::look);
        tcp.filter(|tcp| !tcp.orphan).ok_or(Error::NoSuchSocket)
    }

    pub(super) fn tcp_mut(&mut self, id: SocketId) -> Result<&mut TcpSocket, Error> {
        let tcp = self.sockets.get_mut(id).and_then(Socket::tcp_mut);
        tcp.filter(|tcp| !tcp.orphan).ok_or(Error::NoSuchSocket)
    }

    /// Whether it is a connection at rest: nothing is there to be read, and nothing went wrong.
    fn is_asleep(&self, id: SocketId) -> bool {
        self.sockets.get(id).is_some_and(|socket| matches!(socket.kind, Kind::Asleep(_)))
    }

    pub(super) fn listener_mut(&mut self, id: SocketId) -> Result<&mut ListenerSocket, Error> {
        match self.sockets.get_mut(id).map(|s| &mut s.kind) {
            Some(Kind::Listener(listener)) => Ok(listener),
            _ => Err(Error::NoSuchSocket),
        }
    }

    /// What a connection of this pair begins with (RFC 6528, RFC 7323 section 5.4).
    pub(super) fn tcp_start(&self, now: Instant, tuple: &Tuple, mtu: usize) -> Start {
        let pair = (tuple.local.ip, tuple.remote.ip);
        Start {
            iss: self.isn.isn(now, tuple),
            ts_offset: self.isn.timestamp_offset(&pair),
            max_segment: mtu - ip_header_len(tuple.remote.ip),
            default_mss: if tuple.remote.ip.is_ipv4() { 536 } else { 1220 },
            signature: None,
            successor: false,
        }
    }

    fn tcp_pair_is_free(&self, tuple: &Tuple) -> bool {
        self.tcp_demux.connected(tuple).is_none() && !self.time_waits.contains(tuple)
    }

    fn free_tcp_port(&mut self, tuple: Tuple) -> Result<u16, Error> {
        let (demux, time_waits, shard) = (&self.tcp_demux, &self.time_waits, self.config.shard);
        let free = |port| {
            let mut tuple = tuple;
            tuple.local.port = port;
            shard.owns((tuple.local.ip, port), (tuple.remote.ip, tuple.remote.port))
                && !demux.port_in_use(port)
                && demux.connected(&tuple).is_none()
                && !time_waits.contains(&tuple)
        };
        ports::ephemeral(&mut self.rng, ports::EPHEMERAL, free).ok_or(Error::NoFreePort)
    }
}
