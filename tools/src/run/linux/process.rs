//! The script's process on the kernel's sockets: each call is made by the thread inside the namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg};
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use ustack::device::EventFd;
use ustack::time::Instant;
use ustack::wire::ip;

use super::clock::Clock;
use super::{info, keys, options};
use crate::namespace::Inside;
use crate::run::calls::{
    Args, FIONREAD, KeyCall, MSG_PEEK, MSG_TRUNC, O_NONBLOCK, OptionValue, SIOCOUTQ, SIOCOUTQNSD,
    WantedAddress, errno_name, expect, given, words,
};
use crate::run::flow::{first_wrong, pattern_bytes};
use crate::run::host::{Answer, Blocked};
use crate::run::report::Line;
use crate::run::scope::Scope;
use crate::run::script::{Argument, CallResult, CallSpec};
use crate::run::settings::IpVersion;
use crate::run::wire::Wire;

/// How long a call may take that is not to block: the machine may be busy.
const AT_ONCE: Duration = Duration::from_millis(1500);
const SOCK_NONBLOCK: i64 = 0x800;
const SOCK_CLOEXEC: i64 = 0x80000;

/// The process.
#[derive(Debug)]
pub(super) struct Process {
    fds: BTreeMap<i64, Fd>,
    blocked: Option<(Blocked, After)>,
    done: Receiver<Done>,
    tell: Sender<Done>,
    /// Raised when a call has returned.
    event: Arc<EventFd>,
    clock: Clock,
}

/// A descriptor.
#[derive(Debug)]
struct Fd {
    socket: Arc<Socket>,
    datagram: bool,
    v6: bool,
    /// Bytes written and read: where in each stream it stands.
    written: u32,
    read: u32,
}

/// What is to be done when a call has returned.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    Insert { number: i64, datagram: bool, v6: bool },
    Read { number: i64, peeks: bool, discards: bool },
    Wrote { number: i64 },
}

/// What a call has brought.
#[derive(Debug, Default)]
struct Outcome {
    value: i64,
    errno: Option<&'static str>,
    socket: Option<Socket>,
    bytes: Vec<u8>,
    /// It is not what the script expects.
    complaint: Option<String>,
}

/// A call that has returned, and when.
#[derive(Debug)]
struct Done {
    outcome: Outcome,
    at: Instant,
}

/// The work of a call inside.
type Work = Box<dyn FnOnce() -> io::Result<Outcome> + Send>;

impl Process {
    pub(super) fn new(event: EventFd, clock: Clock) -> Self {
        let (tell, done) = mpsc::channel();
        Self { fds: BTreeMap::new(), blocked: None, done, tell, event: Arc::new(event), clock }
    }

    pub(super) fn blocked(&self) -> Option<&Blocked> {
        self.blocked.as_ref().map(|(blocked, _)| blocked)
    }

    pub(super) fn event(&self) -> &EventFd {
        &self.event
    }

    /// The socket of the conversation that went on last, or the newest.
    pub(super) fn current(&self, wire: &Wire) -> Option<&Socket> {
        let flow = wire.current.map(|index| &wire.flows[index]);
        let streams = || self.fds.values().filter(|fd| !fd.datagram);
        let canonical = |address: io::Result<SockAddr>| {
            let address = address.ok()?.as_socket()?;
            Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
        };
        let is_current = |fd: &&Fd| {
            flow.is_some_and(|flow| {
                flow.protocol == ip::Protocol::TCP
                    && canonical(fd.socket.local_addr()) == Some(flow.local)
                    && canonical(fd.socket.peer_addr()) == Some(flow.remote)
            })
        };
        let newest = || {
            let is_listener = |fd: &&Fd| fd.socket.is_listener().unwrap_or(false);
            streams().rfind(|fd| !is_listener(fd))
        };
        streams().find(is_current).or_else(newest).map(|fd| &*fd.socket)
    }

    /// Begins a call; `None` if it may block.
    pub(super) fn call(
        &mut self,
        inside: &Inside,
        wire: &mut Wire,
        scope: &Scope,
        call: &CallSpec,
        until: Option<Instant>,
        line: &Line,
    ) -> Result<Option<Answer>, String> {
        if self.blocked.is_some() {
            return Err("another call still blocks: one process makes one call at a time".into());
        }
        let args = Args { call, scope };
        let (work, after) = match self.prepare(wire, &args)? {
            Ok(prepared) => prepared,
            Err(errno) => return Ok(Some(Answer::error(errno))),
        };
        let (tell, event, clock) = (self.tell.clone(), self.event.clone(), self.clock);
        inside.begin(move || {
            let outcome = work().unwrap_or_else(|error| {
                let errno = error.raw_os_error().map_or("an error of ours", errno_name);
                Outcome { value: -1, errno: Some(errno), ..Outcome::default() }
            });
            // First the event, so that whoever takes the answer can lower it. Nobody listens if the run is over.
            let at = clock.now();
            event.raise();
            let _ = tell.send(Done { outcome, at });
        })?;
        if let Some(until) = until {
            let blocked = Blocked { call: call.clone(), since: wire.now, until, statement: line.clone() };
            self.blocked = Some((blocked, after));
            return Ok(None);
        }
        match self.done.recv_timeout(AT_ONCE) {
            Ok(done) => {
                self.event.lower();
                self.finish(done.outcome, after).map(Some)
            }
            Err(RecvTimeoutError::Timeout) => {
                Err("the call blocks: say until when, as in `0.1...0.3 read(...)`, or make the socket non-blocking"
                    .into())
            }
            Err(RecvTimeoutError::Disconnected) => Err("the thread inside has ended".into()),
        }
    }

    /// The call that had blocked, if it has returned.
    pub(super) fn resume(&mut self) -> Result<Option<(Blocked, Answer, Instant)>, String> {
        let Ok(Done { outcome, at }) = self.done.try_recv() else { return Ok(None) };
        self.event.lower();
        let Some((blocked, after)) = self.blocked.take() else { return Ok(None) };
        let answer = self.finish(outcome, after)?;
        Ok(Some((blocked, answer, at)))
    }

    /// Makes every call return: nobody waits for it any more.
    pub(super) fn abandon(&mut self) {
        for fd in self.fds.values() {
            // A stream that waits for its peer in `close` would keep us.
            let _ = fd.socket.set_linger(Some(Duration::ZERO));
            let _ = fd.socket.shutdown(Shutdown::Both);
        }
    }

    fn finish(&mut self, outcome: Outcome, after: After) -> Result<Answer, String> {
        let Outcome { value, errno, socket, bytes, complaint } = outcome;
        if let Some(complaint) = complaint {
            return Err(complaint);
        }
        let failed = errno.is_some();
        match after {
            After::Insert { number, datagram, v6 } if !failed => {
                let socket = Arc::new(socket.ok_or("a call that answers a socket has none")?);
                if self.fds.contains_key(&number) {
                    return Err(format!(
                        "descriptor {number} is open already: the call would answer another one"
                    ));
                }
                self.fds.insert(number, Fd { socket, datagram, v6, written: 0, read: 0 });
                return Ok(Answer::value(number));
            }
            After::Read { number, peeks, discards } if !failed => {
                let Some(fd) = self.fds.get_mut(&number) else { return Ok(Answer::value(value)) };
                if discards && !fd.datagram {
                    fd.read = fd.read.wrapping_add(if peeks { 0 } else { value as u32 });
                    return Ok(Answer::value(value));
                }
                let (begin, what) = if fd.datagram { (0, "datagram") } else { (fd.read, "stream") };
                if let Some(at) = first_wrong(begin, &bytes) {
                    return Err(format!("byte {at} of the {what} is not the one that arrived there"));
                }
                if !peeks {
                    fd.read = fd.read.wrapping_add(bytes.len() as u32);
                }
            }
            After::Wrote { number } if !failed => {
                if let Some(fd) = self.fds.get_mut(&number) {
                    fd.written = fd.written.wrapping_add(value as u32);
                }
            }
            _ => {}
        }
        Ok(Answer { value, errno })
    }

    /// What the thread inside is to do for a call.
    fn prepare(
        &mut self,
        wire: &mut Wire,
        args: &Args<'_>,
    ) -> Result<Result<(Work, After), &'static str>, String> {
        let name = args.call.name.as_str();
        if name == "socket" {
            return self.socket(wire, args).map(Ok);
        }
        if name == "poll" {
            return Ok(self.poll(args)?.map(|work| (work, After::Nothing)));
        }
        let number = args.int(0)?;
        let Some(fd) = self.fds.get(&number) else { return Ok(Err("EBADF")) };
        let (socket, nothing) = (fd.socket.clone(), After::Nothing);
        Ok(Ok(match name {
            "bind" => {
                let default = wire.socket_address(wire.settings.local(), wire.settings.bind_port);
                let address = args.address(1)?.unwrap_or(default);
                (plain(move || socket.bind(&address.into())), nothing)
            }
            "listen" => {
                let backlog = i32::try_from(args.int(1)?).unwrap_or(i32::MAX);
                if !socket.is_listener().unwrap_or(false) {
                    wire.forget_current();
                }
                (plain(move || socket.listen(backlog)), nothing)
            }
            "accept" | "accept4" => {
                let flags = if name == "accept4" { args.int_or(3, 0)? } else { 0 };
                let nonblocking = flags & SOCK_NONBLOCK != 0;
                let after = After::Insert { number: self.new_number(args)?, datagram: false, v6: fd.v6 };
                let wanted = args.wanted_address(1)?;
                (Box::new(move || accept(&socket, nonblocking, wanted)), after)
            }
            "connect" => {
                let default = wire.socket_address(wire.settings.remote(), wire.settings.connect_port);
                let address = args.address(1)?.unwrap_or(default);
                if !fd.datagram {
                    renew_flow(wire, &socket, address);
                }
                (plain(move || socket.connect(&address.into())), nothing)
            }
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => {
                let (room, flags) = (args.bytes()?, args.flags()?);
                let (peeks, discards) = (flags & MSG_PEEK != 0, flags & MSG_TRUNC != 0);
                let wanted = args.wanted_sender()?;
                let name = name.to_owned();
                let work = move || {
                    let (outcome, from) = receive(&socket, room, flags)?;
                    let complaint = wanted.and_then(|wanted| wanted.check(&name, from).err());
                    Ok(Outcome { complaint, ..outcome })
                };
                (Box::new(work), After::Read { number, peeks, discards })
            }
            "write" | "send" | "sendto" | "writev" | "sendmsg" => {
                (send_work(fd, wire, args)?, After::Wrote { number })
            }
            "shutdown" => {
                let how = match args.int(1)? {
                    0 => Shutdown::Read,
                    1 => Shutdown::Write,
                    2 => Shutdown::Both,
                    _ => return Ok(Err("EINVAL")),
                };
                (plain(move || socket.shutdown(how)), nothing)
            }
            "close" => {
                let fd = self.fds.remove(&number);
                // Ours is the last: it is closed inside.
                drop(socket);
                (
                    plain(move || {
                        drop(fd);
                        Ok(())
                    }),
                    nothing,
                )
            }
            "setsockopt" => {
                if let Some(call) = KeyCall::read(args)? {
                    call.tell_them(wire)?;
                    let peer = wire.settings.remote();
                    let peer = if fd.v6 { wire.socket_address(peer, 0) } else { SocketAddr::new(peer, 0) };
                    return Ok(Ok((plain(move || keys::set(&socket, &call, peer)), nothing)));
                }
                let name = args.name(2)?.to_owned();
                let value = given(args, &name)?;
                (plain(move || options::set(&socket, &name, value)), nothing)
            }
            "getsockopt" => return self.get_option(number, args).map(|work| Ok((work, nothing))),
            "fcntl" => (fcntl(socket, args)?, nothing),
            "ioctl" => (ioctl(socket, args)?, nothing),
            other => return Err(format!("there is no call {other}")),
        }))
    }

    fn socket(&self, wire: &mut Wire, args: &Args<'_>) -> Result<(Work, After), String> {
        let v6 = match args.int_or(0, -1)? {
            -1 => wire.settings.version != IpVersion::V4,
            family => family == i64::from(libc::AF_INET6),
        };
        let kind = args.int(1)?;
        let datagram = kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) == i64::from(libc::SOCK_DGRAM);
        let tcp = &wire.settings.tcp;
        let (nodelay, max_mss) = (tcp.nodelay, tcp.max_mss);
        let clamp = OptionValue::Int(tcp.recv_buffer as i64);
        let congestion =
            OptionValue::Text(format!("{:?}", tcp.congestion).to_lowercase().replace("newreno", "reno"));
        wire.forget_current();
        let work = move || {
            let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
            let (kind_of, protocol) =
                if datagram { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
            let socket = Socket::new(domain, kind_of, Some(protocol))?;
            socket.set_nonblocking(kind & SOCK_NONBLOCK != 0)?;
            if !datagram {
                options::set(&socket, "TCP_CONGESTION", congestion)?;
                // The limit of the window, and with it its shift: else it is that of the whole machine.
                options::set(&socket, "TCP_WINDOW_CLAMP", clamp)?;
            }
            if !datagram && nodelay {
                socket.set_tcp_nodelay(true)?;
            }
            if let (false, Some(mss)) = (datagram, max_mss) {
                options::set(&socket, "TCP_MAXSEG", OptionValue::Int(mss.into()))?;
            }
            Ok(Outcome { socket: Some(socket), ..Outcome::default() })
        };
        Ok((Box::new(work), After::Insert { number: self.new_number(args)?, datagram, v6 }))
    }

    fn get_option(&self, number: i64, args: &Args<'_>) -> Result<Work, String> {
        // The answer is compared here, where the script is: asking does not block.
        let name = args.name(2)?;
        let Some(fd) = self.fds.get(&number) else { return Err(format!("there is no descriptor {number}")) };
        let result = options::get(&fd.socket, name);
        if let Ok(value) = &result {
            expect(args, name, value)?;
        }
        Ok(plain(move || result.map(drop)))
    }

    /// `poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 1000) = 1`
    fn poll(&self, args: &Args<'_>) -> Result<Result<Work, &'static str>, String> {
        let Argument::List(list) = args.get(0)? else {
            return Err("poll asks about a list: [{fd=4, events=POLLIN}]".into());
        };
        let timeout = args.int(2)?;
        let mut asked = Vec::new();
        for entry in list {
            let field = |name| args.part(entry, name);
            let number = args.value(field("fd").ok_or("poll wants the fd of each entry")?)?;
            let events = args.value(field("events").ok_or("poll wants the events of each entry")?)?;
            let wanted = field("revents").map(|wanted| args.value(wanted)).transpose()?;
            let Some(fd) = self.fds.get(&number) else { return Ok(Err("EBADF")) };
            asked.push((number, fd.socket.clone(), PollFlags::from_bits_retain(events as u16), wanted));
        }
        let work = move || {
            let mut polled: Vec<PollFd<'_>> =
                asked.iter().map(|(_, socket, events, _)| PollFd::new(&**socket, *events)).collect();
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
            let value = rustix::event::poll(&mut polled, timeout.as_ref())? as i64;
            let differing = asked.iter().zip(&polled).find_map(|((number, _, _, wanted), polled)| {
                let revents = i64::from(polled.revents().bits());
                let differs = wanted.is_some_and(|wanted| wanted != revents);
                differs.then(|| format!("poll answers revents={} for fd {number}", words(revents)))
            });
            Ok(Outcome { value, complaint: differing, ..Outcome::default() })
        };
        Ok(Ok(Box::new(work)))
    }

    /// The number of the descriptor that the script expects to be answered.
    fn new_number(&self, args: &Args<'_>) -> Result<i64, String> {
        let free = || (3..).find(|number| !self.fds.contains_key(number)).unwrap_or(i64::MAX);
        match &args.call.result {
            CallResult::Is(value, None) => {
                Ok(Some(args.scope.int(value)?).filter(|&n| n >= 0).unwrap_or_else(free))
            }
            _ => Ok(free()),
        }
    }
}

/// A call that answers 0.
fn plain(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Work {
    Box::new(move || work().map(|()| Outcome::default()))
}

/// A connection between ports that had one before begins with new numbers.
fn renew_flow(wire: &mut Wire, socket: &Socket, remote: SocketAddr) {
    let Some(mut local) = socket.local_addr().ok().and_then(|local| local.as_socket()) else { return };
    local.set_ip(wire.settings.local());
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    if let Some(index) = wire.flow_between(ip::Protocol::TCP, local, remote) {
        wire.flows[index].handle_connect();
        wire.current = Some(index);
    }
}

fn accept(socket: &Socket, nonblocking: bool, wanted: Option<WantedAddress>) -> io::Result<Outcome> {
    let (accepted, peer) = socket.accept()?;
    accepted.set_nonblocking(nonblocking)?;
    let complaint = wanted.and_then(|wanted| wanted.check("accept", peer.as_socket()).err());
    Ok(Outcome { socket: Some(accepted), complaint, ..Outcome::default() })
}

/// What a call receives, and from whom.
fn receive(socket: &Socket, room: usize, flags: i64) -> io::Result<(Outcome, Option<SocketAddr>)> {
    let mut bytes = vec![0; room];
    let flags = MsgFlags::from_bits_retain(flags as i32);
    let mut pieces = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, None, flags)?;
    let from = received.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::V4(v4.into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::V6(v6.into())))
    });
    let taken = received.bytes;
    bytes.truncate(taken);
    Ok((Outcome { value: taken as i64, bytes, ..Outcome::default() }, from))
}

fn send_work(fd: &Fd, wire: &Wire, args: &Args<'_>) -> Result<Work, String> {
    let (count, flags) = (args.bytes()?, args.flags()?);
    let to = if args.call.name == "sendto" { args.address(4)? } else { None };
    let socket = fd.socket.clone();
    let default = wire.socket_address(wire.settings.remote(), wire.settings.connect_port);
    let needs_one = fd.datagram || flags & i64::from(libc::MSG_FASTOPEN) != 0;
    let is_lost = needs_one && args.call.name == "sendto" && socket.peer_addr().is_err();
    let to = to.or(is_lost.then_some(default));
    let bytes = pattern_bytes(if fd.datagram { 0 } else { fd.written }, count);
    Ok(Box::new(move || {
        let flags = flags as i32 | libc::MSG_NOSIGNAL;
        let sent = match to {
            Some(to) => socket.send_to_with_flags(&bytes, &to.into(), flags)?,
            None => socket.send_with_flags(&bytes, flags)?,
        };
        Ok(Outcome { value: sent as i64, ..Outcome::default() })
    }))
}

fn fcntl(socket: Arc<Socket>, args: &Args<'_>) -> Result<Work, String> {
    let (command, flags) = (args.name(1)?, args.int_or(2, 0)?);
    match command {
        "F_GETFL" => Ok(Box::new(move || {
            let value = nix::fcntl::fcntl(socket.as_fd(), nix::fcntl::FcntlArg::F_GETFL)?;
            Ok(Outcome { value: value.into(), ..Outcome::default() })
        })),
        "F_SETFL" => Ok(plain(move || socket.set_nonblocking(flags & O_NONBLOCK != 0))),
        other => Err(format!("fcntl knows F_GETFL and F_SETFL, not {other}")),
    }
}

fn ioctl(socket: Arc<Socket>, args: &Args<'_>) -> Result<Work, String> {
    let request = args.int(1)?;
    let wanted = match args.call.arguments.get(2) {
        None | Some(Argument::Any) => None,
        Some(wanted) => Some(args.value(wanted)?),
    };
    Ok(Box::new(move || {
        let value = match request {
            FIONREAD => rustix::io::ioctl_fionread(&*socket)? as i64,
            SIOCOUTQ => unacknowledged(&socket)?,
            SIOCOUTQNSD => options::tcp_info(&socket)
                .and_then(|bytes| info::lookup(&bytes, "unsent")?.int().ok())
                .ok_or(io::ErrorKind::Unsupported)?,
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let complaint = wanted.filter(|&wanted| wanted != value).map(|_| format!("ioctl answers [{value}]"));
        Ok(Outcome { complaint, ..Outcome::default() })
    }))
}

/// What was written and is not acknowledged, as the kernel's table of connections tells.
fn unacknowledged(socket: &Socket) -> io::Result<i64> {
    let inode = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()))?;
    let inode = inode.to_string_lossy().trim_start_matches("socket:[").trim_end_matches(']').to_owned();
    for file in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if let (Some(queues), Some(&found)) = (columns.get(4), columns.get(9))
                && found == inode
                && let Some((sending, _)) = queues.split_once(':')
            {
                return i64::from_str_radix(sending, 16).map_err(io::Error::other);
            }
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
