//! What a process does with one socket, whoever has read the arguments of the call.
//!
//! Nothing waits here: what would block answers `EAGAIN`, and the caller knows whether it may be tried again.

use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use ustack::socket::table::IpOptions;
use ustack::tcp::{State, TcpInfo};
use ustack::time::Instant;
use ustack::{Error, SocketId, Stack};

use super::constant::{FIONREAD, SIOCOUTQ, SIOCOUTQNSD, errno_of};
use super::fd::{Fd, Kind};
use super::transfer::Taken;

/// An error by its name: `"EAGAIN"`. [`super::errno`] has its number.
pub type Errno = &'static str;

/// What there is to be read at `poll`.
const IN: i64 = 0x1;
const OUT: i64 = 0x4;
const ERR: i64 = 0x8;
const HUP: i64 = 0x10;
const RDHUP: i64 = 0x2000;

impl Fd {
    /// What the socket is ready for, in the bits of `poll`.
    pub fn events(&self, stack: &Stack) -> i64 {
        let Some(id) = self.id else {
            // As Linux answers for a stream that was never connected.
            return if self.kind == Kind::Datagram { OUT } else { OUT | HUP };
        };
        let readiness = stack.readiness(id);
        let bit = |yes: bool, bit: i64| if yes { bit } else { 0 };
        if self.kind == Kind::Listener || self.kind == Kind::Datagram {
            return bit(readiness.readable, IN) | bit(self.kind == Kind::Datagram && readiness.writable, OUT);
        }
        let failed = !self.told && stack.tcp_failure(id).is_some();
        bit(readiness.readable, IN)
            | bit(readiness.writable, OUT)
            | bit(readiness.read_closed, RDHUP)
            | bit(readiness.closed || readiness.read_closed && readiness.write_closed, HUP)
            | bit(failed, ERR)
    }

    /// The bytes that `ioctl` is asked for: `FIONREAD`, `SIOCOUTQ`, `SIOCOUTQNSD`.
    ///
    /// # Errors
    /// `EINVAL` for another request, or a socket that is no stream.
    pub fn queued(&self, stack: &Stack, request: i64) -> Result<u64, Errno> {
        let info = match (self.kind, self.id) {
            (Kind::Stream, Some(id)) => stack.tcp_info(id).map_err(|error| errno_of(&error))?,
            (Kind::Stream, None) => TcpInfo::default(),
            _ => return Err("EINVAL"),
        };
        match request {
            FIONREAD => Ok(info.unread),
            SIOCOUTQ => Ok(info.unacked + info.unsent),
            SIOCOUTQNSD => Ok(info.unsent),
            _ => Err("EINVAL"),
        }
    }

    /// Names our end.
    ///
    /// # Errors
    /// It has one, or the address cannot be bound.
    pub fn bind(&mut self, stack: &mut Stack, address: SocketAddr) -> Result<(), Errno> {
        if self.bound.is_some() || self.id.is_some() {
            return Err("EINVAL");
        }
        self.bound = Some(address);
        if self.kind == Kind::Datagram {
            self.open_datagram(stack)?;
        }
        Ok(())
    }

    /// Makes a stream a listener.
    ///
    /// # Errors
    /// It is connected, or no stream, or the address is taken.
    pub fn listen(&mut self, stack: &mut Stack, backlog: usize) -> Result<(), Errno> {
        match (self.kind, self.id) {
            (Kind::Datagram, _) => return Err("EOPNOTSUPP"),
            (Kind::Stream, Some(_)) => return Err("EINVAL"),
            (Kind::Listener, _) => return Ok(()),
            (Kind::Stream, None) => {}
        }
        let local = self.bound.unwrap_or_else(|| any(self.v6));
        let id = stack.tcp_listen(local, backlog, self.tcp.clone()).map_err(|error| errno_of(&error))?;
        self.kind = Kind::Listener;
        self.id = Some(id);
        apply_ip(stack, id, self.ip);
        Ok(())
    }

    /// The next connection of a listener.
    ///
    /// # Errors
    /// `EAGAIN` if none waits; `EINVAL` if this is no listener.
    pub fn accept(&self, stack: &mut Stack, now: Instant) -> Result<Self, Errno> {
        let (Kind::Listener, Some(id)) = (self.kind, self.id) else { return Err("EINVAL") };
        let (accepted, _) = stack.tcp_accept(now, id).map_err(|error| errno_of(&error))?;
        let tcp = stack.tcp_settings(accepted).map_err(|error| errno_of(&error))?;
        let (kind, id) = (Kind::Stream, Some(accepted));
        Ok(Self { kind, id, nonblocking: false, tcp, bound: None, ..self.clone() })
    }

    /// Connects, or asks how far that is; `begun` says that this call has been tried before.
    ///
    /// # Errors
    /// `EAGAIN` while it is under way, for a non-blocking socket `EINPROGRESS` and then `EALREADY`; what ended it.
    pub fn connect(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        remote: SocketAddr,
        begun: bool,
    ) -> Result<(), Errno> {
        match (self.kind, self.id) {
            (Kind::Listener, _) => Err("EISCONN"),
            (Kind::Datagram, _) => {
                let id = self.open_datagram(stack)?;
                stack.udp_connect(id, Some(remote)).map_err(|error| errno_of(&error))
            }
            (Kind::Stream, Some(id)) => self.connected(stack, id, begun),
            (Kind::Stream, None) => {
                self.begin_connect(stack, now, remote)?;
                if self.tcp.fast_open_connect && self.id.is_some_and(|id| stack.tcp_established(id).is_ok()) {
                    // The SYN waits for the first bytes that are written.
                    return Ok(());
                }
                Err(if self.nonblocking { "EINPROGRESS" } else { "EAGAIN" })
            }
        }
    }

    /// Ends our stream, stops reading, or both.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&self, stack: &mut Stack, now: Instant, how: Shutdown) -> Result<(), Errno> {
        match (self.kind, self.id) {
            (Kind::Stream, Some(id)) => stack.tcp_shutdown(now, id, how).map_err(|error| errno_of(&error)),
            _ => Err("ENOTCONN"),
        }
    }

    /// Takes the next bytes of a stream, or looks at them.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing; what ended the connection, once.
    pub(super) fn receive(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        buffer: &mut [u8],
        peeks: bool,
    ) -> Result<usize, Errno> {
        let (Kind::Stream, Some(id)) = (self.kind, self.id) else { return Err("ENOTCONN") };
        let result = if peeks { stack.tcp_peek(id, buffer) } else { stack.tcp_recv(now, id, buffer) };
        self.tell_of(result)
    }

    /// Takes the next datagram, or looks at it; the answer is how long it was.
    ///
    /// # Errors
    /// `EAGAIN` if there is none; what ICMP said about an earlier one.
    pub(super) fn receive_datagram(
        &mut self,
        stack: &mut Stack,
        buffer: &mut [u8],
        peeks: bool,
    ) -> Result<Taken, Errno> {
        let id = self.id.ok_or("EAGAIN")?;
        let result = if peeks { stack.udp_peek_from(id, buffer) } else { stack.udp_recv_from(id, buffer) };
        let received = result.map_err(|error| errno_of(&error))?;
        Ok(Taken {
            answer: received.length,
            bytes: received.copied,
            from: Some(received.arrival.from),
            is_cut: received.truncated(),
        })
    }

    /// Hands over bytes to send: of a stream as many as there is room for, of a datagram all. `more` says that what
    /// does not fill a segment of a stream waits for what follows.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room; what ended the connection, once, and then `EPIPE`.
    pub fn send(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        bytes: &[u8],
        to: Option<SocketAddr>,
        more: bool,
    ) -> Result<usize, Errno> {
        match (self.kind, self.id) {
            (Kind::Listener, _) => Err("ENOTCONN"),
            (Kind::Stream, None) => Err("EPIPE"),
            (Kind::Datagram, _) => {
                let id = self.open_datagram(stack)?;
                stack.udp_send_to(now, id, bytes, to).map_err(|error| errno_of(&error))
            }
            (Kind::Stream, Some(id)) => {
                let state = stack.tcp_info(id).map_err(|error| errno_of(&error))?.state;
                let opening = matches!(state, State::SynSent | State::SynReceived);
                if opening && !stack.readiness(id).writable {
                    return Err("EAGAIN");
                }
                let result =
                    if more { stack.tcp_send_more(now, id, bytes) } else { stack.tcp_send(now, id, bytes) };
                match result {
                    // An error is told once; then nobody is there to write to.
                    Err(error) if error != Error::WouldBlock && self.told => Err("EPIPE"),
                    Err(error) => {
                        self.told |= !matches!(error, Error::WouldBlock | Error::BrokenPipe);
                        Err(errno_of(&error))
                    }
                    Ok(taken) => Ok(taken),
                }
            }
        }
    }

    /// The stack's socket of a datagram descriptor, which is bound now if it was not.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn open_datagram(&mut self, stack: &mut Stack) -> Result<SocketId, Errno> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let local = self.bound.unwrap_or_else(|| any(self.v6));
        let id = stack.udp_bind_with(local, self.udp).map_err(|error| errno_of(&error))?;
        self.id = Some(id);
        self.size_datagram_buffers(stack)?;
        Ok(id)
    }

    /// `SO_RCVBUF` and `SO_SNDBUF` of a datagram socket that is open.
    pub(super) fn size_datagram_buffers(&self, stack: &mut Stack) -> Result<(), Errno> {
        let (Some(id), (receive, send)) = (self.id, self.udp_buffers) else { return Ok(()) };
        stack.udp_set_buffers(id, receive, send).map_err(|error| errno_of(&error))
    }

    /// Connects with as much of `bytes` in the SYN as may be (`MSG_FASTOPEN`, RFC 7413); answers how many were taken.
    ///
    /// # Errors
    /// As `connect`. `EINPROGRESS` for a non-blocking socket if the SYN had to ask for a cookie: nothing was taken.
    pub fn connect_with_data(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        remote: SocketAddr,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        if self.kind != Kind::Stream {
            return Err("EOPNOTSUPP");
        }
        if self.id.is_some() {
            return Err("EISCONN");
        }
        let local = self.bound_for(remote);
        let known = stack.tcp_fast_open_cookie(now, remote).is_some();
        let bytes = if known || !self.nonblocking { bytes } else { &[] };
        let begun = stack.tcp_connect_with_data(now, remote, local, self.tcp.clone(), bytes);
        let (id, taken) = begun.map_err(|error| errno_of(&error))?;
        self.take_stream(stack, id);
        if known || !self.nonblocking { Ok(taken) } else { Err("EINPROGRESS") }
    }

    /// The end of a stream to `remote` that `bind` has named.
    fn bound_for(&self, remote: SocketAddr) -> Option<SocketAddr> {
        // A wildcard address is of the family of what it connects to.
        self.bound.map(|bound| match bound.ip().to_canonical() {
            ip if ip.is_unspecified() => {
                SocketAddr::new(any(remote.ip().to_canonical().is_ipv6()).ip(), bound.port())
            }
            ip => SocketAddr::new(ip, bound.port()),
        })
    }

    fn begin_connect(&mut self, stack: &mut Stack, now: Instant, remote: SocketAddr) -> Result<(), Errno> {
        let id = stack.tcp_connect(now, remote, self.bound_for(remote), self.tcp.clone());
        self.take_stream(stack, id.map_err(|error| errno_of(&error))?);
        Ok(())
    }

    fn take_stream(&mut self, stack: &mut Stack, id: SocketId) {
        apply_ip(stack, id, self.ip);
        self.id = Some(id);
        self.connecting = true;
    }

    fn connected(&mut self, stack: &mut Stack, id: SocketId, begun: bool) -> Result<(), Errno> {
        match stack.tcp_established(id) {
            Err(Error::WouldBlock) if self.nonblocking => Err("EALREADY"),
            Err(Error::WouldBlock) => Err("EAGAIN"),
            Err(error) => {
                self.connecting = false;
                self.told = true;
                Err(errno_of(&error))
            }
            // The call that began it, or the first one after it was done.
            Ok(()) if begun || self.connecting => {
                self.connecting = false;
                Ok(())
            }
            Ok(()) => Err("EISCONN"),
        }
    }

    /// What reading a stream answers: an error is told once; then the stream is at its end.
    fn tell_of(&mut self, result: Result<usize, Error>) -> Result<usize, Errno> {
        match result {
            Ok(taken) => Ok(taken),
            Err(Error::WouldBlock) => Err("EAGAIN"),
            Err(_) if self.told => Ok(0),
            Err(error) => {
                self.told = true;
                Err(errno_of(&error))
            }
        }
    }
}

/// Hop limit and traffic class of a stream.
pub(super) fn apply_ip(stack: &mut Stack, id: SocketId, ip: IpOptions) {
    if ip != IpOptions::default() {
        // The socket is a stream that exists: there is nothing that could fail.
        let _ = stack.tcp_set_ip_options(id, ip);
    }
}

/// Any address of the family, an ephemeral port.
fn any(v6: bool) -> SocketAddr {
    if v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}
