//! File descriptors by the numbers that the script gave them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ustack::SocketId;
use ustack::socket::table::IpOptions;
use ustack::time::Duration;
use ustack::{tcp, udp};

use crate::run::settings::Settings;

/// A file descriptor: a socket with what the process has set before the stack knows it.
#[derive(Clone, Debug)]
pub struct Fd {
    /// What it stands for.
    pub kind: Kind,
    /// The stack's socket, once there is one.
    pub id: Option<SocketId>,
    /// Its family is IPv6.
    pub v6: bool,
    /// Its calls answer `EAGAIN` where others wait.
    pub nonblocking: bool,
    /// Where `bind` has put it.
    pub bound: Option<SocketAddr>,
    pub(super) tcp: tcp::Settings,
    /// What `SO_KEEPALIVE` switches on.
    pub(super) keepalive: tcp::Keepalive,
    pub(super) udp: udp::Options,
    pub(super) ip: IpOptions,
    /// Bytes that a datagram socket keeps, if that was said: received and to be sent.
    pub(super) udp_buffers: (Option<usize>, Option<usize>),
    /// How long a call waits to receive or to accept; `None` for ever.
    pub recv_timeout: Option<Duration>,
    /// The same to send or to connect.
    pub send_timeout: Option<Duration>,
    /// Bytes written and read: where in each stream it stands.
    pub(super) written: u32,
    pub(super) read: u32,
    /// The error that ended the connection was told.
    pub(super) told: bool,
    /// `connect` was called, and has not told how it went.
    pub(super) connecting: bool,
}

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stream, connected or not yet.
    Stream,
    /// A stream that accepts others.
    Listener,
    /// Datagrams.
    Datagram,
}

impl Fd {
    /// A new socket.
    pub fn new(kind: Kind, v6: bool, settings: &Settings) -> Self {
        Self {
            kind,
            id: None,
            v6,
            nonblocking: false,
            bound: None,
            tcp: settings.tcp.clone(),
            keepalive: settings.keepalive,
            udp: udp::Options::default(),
            ip: IpOptions::default(),
            udp_buffers: (None, None),
            recv_timeout: None,
            send_timeout: None,
            written: 0,
            read: 0,
            told: false,
            connecting: false,
        }
    }
}

/// All descriptors.
#[derive(Clone, Debug, Default)]
pub(in crate::run) struct Fds(BTreeMap<i64, Fd>);

impl Fds {
    pub(super) fn get(&self, number: i64) -> Option<&Fd> {
        self.0.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: i64) -> Option<&mut Fd> {
        self.0.get_mut(&number)
    }

    pub(super) fn insert(&mut self, number: i64, fd: Fd) -> Result<(), String> {
        if self.0.contains_key(&number) {
            return Err(format!("descriptor {number} is open already: the call would answer another one"));
        }
        self.0.insert(number, fd);
        Ok(())
    }

    pub(super) fn remove(&mut self, number: i64) -> Option<Fd> {
        self.0.remove(&number)
    }

    /// The least number that is free from 3 on.
    pub(super) fn free(&self) -> i64 {
        (3..).find(|number| !self.0.contains_key(number)).unwrap_or(i64::MAX)
    }

    /// The streams of the stack, newest last.
    pub(in crate::run) fn streams(&self) -> impl DoubleEndedIterator<Item = SocketId> + '_ {
        self.0.values().filter(|fd| fd.kind == Kind::Stream).filter_map(|fd| fd.id)
    }
}
