//! The process that a script plays: its descriptors, and its calls on them.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr};

use ustack::time::{Duration, Instant};
use ustack_tools::run::process::{Errno, Fd, Halt, Kind, Pending, Taken, errno};

use crate::epoll::Epoll;
use crate::host::Host;
use crate::machine::Stop;
use crate::numbers::Number;

/// One entry of `poll`: what is asked about which descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: i32,
    pub(crate) events: i16,
}

/// What a descriptor stands for.
#[derive(Debug)]
enum Entry {
    Socket(Box<Fd>),
    Epoll(Epoll),
}

/// The process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) host: Host,
    entries: BTreeMap<i32, (Number, Entry)>,
}

impl Process {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, entries: BTreeMap::new() }
    }

    /// Whether addresses of that socket are IPv6 ones.
    pub(crate) fn is_v6(&mut self, number: i32) -> bool {
        self.socket_mut(number).is_ok_and(|fd| fd.v6)
    }

    pub(crate) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Stop> {
        let v6 = match domain {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return Err(libc::EAFNOSUPPORT.into()),
        };
        let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        let kind = match (kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC), protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Stream,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagram,
            _ => return Err(libc::EPROTONOSUPPORT.into()),
        };
        let mut fd = Fd::new(kind, v6, &self.host.settings);
        fd.nonblocking = nonblocking;
        self.insert(Entry::Socket(Box::new(fd)))
    }

    pub(crate) fn bind(&mut self, number: i32, address: SocketAddr) -> Result<(), Stop> {
        self.host.learn(address.ip());
        let (fd, host) = self.parts(number)?;
        fd.bind(&mut host.stack, address).map_err(fails)
    }

    pub(crate) fn listen(&mut self, number: i32, backlog: i32) -> Result<(), Stop> {
        let (fd, host) = self.parts(number)?;
        fd.listen(&mut host.stack, usize::try_from(backlog).unwrap_or(0)).map_err(fails)
    }

    /// The new descriptor, and who is at the other end.
    pub(crate) fn accept(&mut self, number: i32, pending: &mut Pending) -> Result<(i32, SocketAddr), Stop> {
        let (fd, host) = self.parts(number)?;
        let accepted = fd.accept(&mut host.stack, host.now).map_err(|errno| match errno {
            "EAGAIN" => fd.wait(host.now, 0, fd.recv_timeout, pending).into(),
            errno => fails(errno),
        })?;
        let peer = accepted.id.map(|id| host.stack.peer_addr(id));
        let peer = peer.and_then(Result::ok).unwrap_or_else(|| ([0; 4], 0).into());
        Ok((self.insert(Entry::Socket(Box::new(accepted)))?, peer))
    }

    /// `pending` is there if this call has been here before.
    pub(crate) fn connect(
        &mut self,
        number: i32,
        remote: SocketAddr,
        pending: &mut Option<Pending>,
    ) -> Result<(), Stop> {
        let (fd, host) = self.parts(number)?;
        let result = fd.connect(&mut host.stack, host.now, remote, pending.is_some());
        let pending = pending.get_or_insert_default();
        result.map_err(|errno| match errno {
            "EAGAIN" => match fd.wait(host.now, 0, fd.send_timeout, pending) {
                // It goes on behind the call.
                Halt::Fails(_) => fails("EINPROGRESS"),
                waits @ Halt::Waits(_) => waits.into(),
            },
            errno => fails(errno),
        })
    }

    /// `pending` says how far this call came before it had to wait.
    pub(crate) fn receive(
        &mut self,
        number: i32,
        buffer: &mut [u8],
        flags: i32,
        pending: &mut Pending,
    ) -> Result<Taken, Stop> {
        let (fd, host) = self.parts(number)?;
        Ok(fd.receive_waiting(&mut host.stack, host.now, buffer, flags.into(), pending)?)
    }

    /// The same for sending.
    pub(crate) fn send(
        &mut self,
        number: i32,
        bytes: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
        pending: &mut Pending,
    ) -> Result<usize, Stop> {
        let (fd, host) = self.parts(number)?;
        if flags & libc::MSG_FASTOPEN != 0 {
            return send_fast_open(fd, host, bytes, to, &mut pending.bytes);
        }
        Ok(fd.send_waiting(&mut host.stack, host.now, bytes, flags.into(), to, pending)?)
    }

    pub(crate) fn fcntl(&mut self, number: i32, command: i32, argument: i64) -> Result<i32, Stop> {
        if self.entries.get(&number).is_some_and(|(_, entry)| matches!(entry, Entry::Epoll(_))) {
            return Err(libc::EINVAL.into());
        }
        let fd = self.socket_mut(number)?;
        match command {
            libc::F_GETFL => Ok(libc::O_RDWR | if fd.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                fd.nonblocking = argument & i64::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(libc::EINVAL.into()),
        }
    }

    /// Answers the number that the call is to write.
    pub(crate) fn ioctl(&mut self, number: i32, request: u64) -> Result<i32, Stop> {
        let (fd, host) = self.parts(number)?;
        let queued = fd.queued(&host.stack, i64::try_from(request).map_err(|_| libc::EINVAL)?);
        Ok(i32::try_from(queued.map_err(fails)?).unwrap_or(i32::MAX))
    }

    /// `FIONBIO`
    pub(crate) fn set_nonblocking(&mut self, number: i32, on: bool) -> Result<(), Stop> {
        self.socket_mut(number)?.nonblocking = on;
        Ok(())
    }

    pub(crate) fn shutdown(&mut self, number: i32, how: i32) -> Result<(), Stop> {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(libc::EINVAL.into()),
        };
        let (fd, host) = self.parts(number)?;
        fd.shutdown(&mut host.stack, host.now, how).map_err(fails)
    }

    pub(crate) fn close(&mut self, number: i32) -> Result<(), Stop> {
        let (_, entry) = self.entries.remove(&number).ok_or(libc::EBADF)?;
        self.forget(number, entry);
        Ok(())
    }

    /// Counts the entries that are ready and says what for; waits for at most `timeout` milliseconds from the first
    /// try on, which sets `deadline`.
    pub(crate) fn poll(
        &mut self,
        asked: &[Asked],
        timeout: i32,
        deadline: &mut Option<Instant>,
    ) -> Result<Vec<i16>, Stop> {
        let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        let answer = |asked: &Asked| match asked.number {
            ..0 => 0,
            number => self.events(number).unwrap_or(libc::POLLNVAL) & (asked.events | always),
        };
        let answers: Vec<i16> = asked.iter().map(answer).collect();
        if answers.iter().all(|events| *events == 0) {
            self.wait_or_end(timeout, deadline)?;
        }
        Ok(answers)
    }

    pub(crate) fn epoll_create(&mut self) -> Result<i32, Stop> {
        self.insert(Entry::Epoll(Epoll::default()))
    }

    pub(crate) fn epoll_ctl(
        &mut self,
        number: i32,
        operation: i32,
        target: i32,
        (events, data): (u32, u64),
    ) -> Result<(), Stop> {
        if !matches!(self.entries.get(&target).ok_or(libc::EBADF)?.1, Entry::Socket(_)) {
            return Err(libc::EINVAL.into());
        }
        Ok(self.epoll_mut(number)?.control(operation, target, events, data)?)
    }

    /// The events of those that are ready, as `poll` does.
    pub(crate) fn epoll_wait(
        &mut self,
        number: i32,
        room: usize,
        timeout: i32,
        deadline: &mut Option<Instant>,
    ) -> Result<Vec<(u32, u64)>, Stop> {
        if room == 0 {
            return Err(libc::EINVAL.into());
        }
        let watched: Vec<i32> = self.epoll_mut(number)?.watched().collect();
        let ready: Vec<(i32, u32)> = watched
            .into_iter()
            .filter_map(|number| Some((number, u32::from(self.events(number)? as u16))))
            .collect();
        let events = self.epoll_mut(number)?.take(&ready, room);
        if events.is_empty() {
            self.wait_or_end(timeout, deadline)?;
        }
        Ok(events)
    }

    /// The socket of that number, and the stack that it is in.
    pub(crate) fn parts(&mut self, number: i32) -> Result<(&mut Fd, &mut Host), Stop> {
        match self.entries.get_mut(&number) {
            Some((_, Entry::Socket(fd))) => Ok((fd, &mut self.host)),
            Some(_) => Err(libc::ENOTSOCK.into()),
            None => Err(libc::EBADF.into()),
        }
    }

    /// Lets the stack send what it has to send, and those who watch sockets know which have changed.
    pub(crate) fn settle(&mut self) {
        self.host.drain();
        let changed = std::mem::take(&mut self.host.changed);
        if changed.is_empty() {
            return;
        }
        let is_changed = |fd: &Fd| fd.id.is_some_and(|id| changed.contains(&id));
        let numbers: Vec<i32> = self
            .entries
            .iter()
            .filter(|(_, (_, entry))| matches!(entry, Entry::Socket(fd) if is_changed(fd)))
            .map(|(number, _)| *number)
            .collect();
        for (_, entry) in self.entries.values_mut() {
            if let Entry::Epoll(epoll) = entry {
                epoll.handle_change(&numbers);
            }
        }
    }

    /// Lets go of all descriptors.
    pub(crate) fn end(&mut self) {
        self.entries.clear();
    }

    fn socket_mut(&mut self, number: i32) -> Result<&mut Fd, Stop> {
        self.parts(number).map(|(fd, _)| fd)
    }

    fn epoll_mut(&mut self, number: i32) -> Result<&mut Epoll, Stop> {
        match self.entries.get_mut(&number) {
            Some((_, Entry::Epoll(epoll))) => Ok(epoll),
            Some(_) => Err(libc::EINVAL.into()),
            None => Err(libc::EBADF.into()),
        }
    }

    /// What a socket is ready for, with the bits that only mean the same again.
    fn events(&self, number: i32) -> Option<i16> {
        let (_, Entry::Socket(fd)) = self.entries.get(&number)? else { return None };
        let events = fd.events(&self.host.stack) as i16;
        let also = |bit: i16, twin: i16| if events & bit != 0 { twin } else { 0 };
        Some(events | also(libc::POLLIN, libc::POLLRDNORM) | also(libc::POLLOUT, libc::POLLWRNORM))
    }

    fn wait_or_end(&self, timeout: i32, deadline: &mut Option<Instant>) -> Result<(), Stop> {
        let now = self.host.now;
        if deadline.is_none() {
            *deadline = u64::try_from(timeout).ok().map(|ms| now + Duration::from_millis(ms));
        }
        if deadline.is_some_and(|deadline| now >= deadline) { Ok(()) } else { Err(Stop::Waits(*deadline)) }
    }

    fn insert(&mut self, entry: Entry) -> Result<i32, Stop> {
        let number = Number::new()?;
        let key = number.get();
        // A number that packetdrill has closed without telling us comes back.
        if let Some((_, old)) = self.entries.insert(key, (number, entry)) {
            self.forget(key, old);
        }
        Ok(key)
    }

    fn forget(&mut self, number: i32, entry: Entry) {
        if let Entry::Socket(fd) = entry
            && let Some(id) = fd.id
        {
            self.host.stack.close(self.host.now, id);
        }
        for (_, entry) in self.entries.values_mut() {
            if let Entry::Epoll(epoll) = entry {
                epoll.forget(number);
            }
        }
    }
}

/// The number of an error's name.
pub(crate) fn fails(name: Errno) -> Stop {
    Stop::Fails(errno(name).and_then(|number| i32::try_from(number).ok()).unwrap_or(libc::EINVAL))
}

/// `MSG_FASTOPEN`: connects with the first bytes.
fn send_fast_open(
    fd: &mut Fd,
    host: &mut Host,
    bytes: &[u8],
    to: Option<SocketAddr>,
    sent: &mut usize,
) -> Result<usize, Stop> {
    let to = to.ok_or(libc::EDESTADDRREQ)?;
    if fd.id.is_none() {
        *sent = fd.connect_with_data(&mut host.stack, host.now, to, bytes).map_err(fails)?;
    }
    if !fd.nonblocking {
        let result = fd.connect(&mut host.stack, host.now, to, true);
        result.map_err(|errno| if errno == "EAGAIN" { Stop::Waits(None) } else { fails(errno) })?;
    }
    Ok(*sent)
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Fails(name) => fails(name),
            Halt::Waits(deadline) => Self::Waits(deadline),
        }
    }
}
