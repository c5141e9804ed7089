//! A conversation of a capture: who talks to whom, and the packets of both.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ustack::time::Instant;
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};

use super::Role;
use super::error::Error;

/// What a conversation is held in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A TCP connection.
    Tcp,
    /// Datagrams between two sockets.
    Udp,
}

/// One conversation of a capture.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What it is held in.
    pub protocol: Protocol,
    /// Who began it.
    pub client: SocketAddr,
    /// The other side.
    pub server: SocketAddr,
    pub(super) frames: Vec<Frame>,
}

/// A packet of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Its number in the capture.
    pub(super) number: u64,
    pub(super) time: Instant,
    pub(super) from: Role,
    /// The capture kept less than there was.
    pub(super) cut: bool,
    pub(super) data: Data,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Tcp(Segment),
    /// A datagram, and the packets (several if it was fragmented) that carried it.
    Udp {
        payload: Vec<u8>,
        packets: Vec<Vec<u8>>,
    },
    /// An ICMP error about a packet of the other side.
    Icmp {
        packet: Vec<u8>,
        /// The sequence number of the segment that it is about.
        seq: Option<SeqNum>,
    },
}

/// A captured TCP segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Header and payload as they were on the wire.
    pub(super) bytes: Vec<u8>,
    pub(super) header_len: usize,
    pub(super) hop_limit: u8,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
}

impl Segment {
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[self.header_len..]
    }
}

impl Conversation {
    /// How many packets it has, of both sides.
    pub fn packets(&self) -> usize {
        self.frames.len()
    }

    /// The address of that side.
    pub const fn address(&self, role: Role) -> SocketAddr {
        match role {
            Role::Client => self.client,
            Role::Server => self.server,
        }
    }

    /// The address that stands for that side in a replay: its own, unless that names no other host. Such are those of a
    /// loopback, and of a host that talks with itself; addresses for documentation take their place.
    pub(super) fn stand_in(&self, role: Role) -> SocketAddr {
        let address = self.address(role);
        if !self.needs_stand_ins() {
            return address;
        }
        let last = match role {
            Role::Client => 1,
            Role::Server => 2,
        };
        let ip = match address.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::new(192, 0, 2, last)),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into())),
        };
        SocketAddr::new(ip, address.port())
    }

    pub(super) fn needs_stand_ins(&self) -> bool {
        let [client, server] = [self.client.ip(), self.server.ip()];
        client == server || client.is_loopback() || server.is_loopback()
    }

    /// The packets that the capture cut cannot be played.
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        match self.frames.iter().find(|frame| frame.cut) {
            Some(frame) => Err(Error::Cut { number: frame.number }),
            None => Ok(()),
        }
    }

    /// Whether `header` begins a new connection between the same sockets: a SYN after the end of the last one.
    pub(super) fn is_over_before(&self, header: &Header) -> bool {
        if header.flags & (Flags::SYN | Flags::ACK) != Flags::SYN {
            return false;
        }
        let segments = || {
            self.frames.iter().filter_map(|frame| match &frame.data {
                Data::Tcp(segment) => Some(segment.header),
                _ => None,
            })
        };
        let repeated = segments().any(|h| h.flags.contains(Flags::SYN) && h.seq == header.seq);
        !repeated && segments().any(|h| h.flags.intersects(Flags::FIN | Flags::RST))
    }
}

impl Role {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        };
        write!(f, "{protocol} {} -> {}, {} packets", self.client, self.server, self.packets())
    }
}
