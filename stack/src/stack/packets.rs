//! Packets that belong to no socket any more: replies, and what waits for a neighbour's address.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::buf::frame::InterfaceId;
use crate::ip::output::Meta;
use crate::socket::table::SocketId;
use crate::why::Why;

/// A whole packet: `bytes` is the payload of the IP header, checksum included.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) meta: Meta,
    pub(crate) next_hop: IpAddr,
    /// With a raw socket's own header, `bytes` begins with the IP header.
    pub(crate) has_header: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) why: Why,
    /// The socket that sent it, to be told if the neighbour does not answer.
    pub(crate) socket: Option<SocketId>,
}

/// Vectors for packets, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    spare: Vec<Vec<u8>>,
}

impl Pool {
    const MOST: usize = 64;
    /// A vector that grew for one large datagram is not kept for ever.
    const LARGEST: usize = 4096;

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < Self::MOST && bytes.capacity() <= Self::LARGEST {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// Replies of one interface that wait for their turn. Bounded: a flood that asks for replies gets no more than these.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    queue: VecDeque<Packet>,
    bytes: usize,
}

impl Replies {
    const MOST: usize = 256;
    const MOST_BYTES: usize = 512 * 1024;

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a packet; hands it back if there is no room.
    #[allow(clippy::result_large_err, reason = "a refused packet gives its buffer back")]
    pub(crate) fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.queue.len() >= Self::MOST || self.bytes + packet.bytes.len() > Self::MOST_BYTES {
            return Err(packet);
        }
        self.bytes += packet.bytes.len();
        self.queue.push_back(packet);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        self.bytes -= packet.bytes.len();
        Some(packet)
    }
}

/// Who waits for the link address of a neighbour.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    neighbors: BTreeMap<(InterfaceId, IpAddr), Waiting>,
    /// Of all packets.
    bytes: usize,
}

/// What waits for one neighbour.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) sockets: Vec<SocketId>,
    pub(crate) packets: VecDeque<Packet>,
}

impl Parked {
    /// Neighbours that packets wait for; sockets are bounded by their own number.
    const NEIGHBORS: usize = 256;
    /// Packets per neighbour: a burst of datagrams to somebody new, or one that is fragmented, has room.
    const PACKETS: usize = 100;
    /// Bytes of all packets.
    const BYTES: usize = 1024 * 1024;

    /// Parks a socket: it is not polled until `take`.
    pub(crate) fn park_socket(&mut self, interface: InterfaceId, next_hop: IpAddr, id: SocketId) {
        self.neighbors.entry((interface, next_hop)).or_default().sockets.push(id);
    }

    /// Parks a packet; hands back the one that is lost for it: the neighbour's oldest, or this one if there is no room.
    pub(crate) fn park_packet(&mut self, interface: InterfaceId, packet: Packet) -> Option<Packet> {
        let key = (interface, packet.next_hop);
        if self.neighbors.len() >= Self::NEIGHBORS && !self.neighbors.contains_key(&key) {
            return Some(packet);
        }
        if self.bytes + packet.bytes.len() > Self::BYTES {
            return Some(packet);
        }
        self.bytes += packet.bytes.len();
        let packets = &mut self.neighbors.entry(key).or_default().packets;
        packets.push_back(packet);
        let lost = if packets.len() > Self::PACKETS { packets.pop_front() } else { None };
        self.bytes -= lost.as_ref().map_or(0, |lost| lost.bytes.len());
        lost
    }

    /// The neighbour is known, or given up: takes all that waits for it.
    pub(crate) fn take(&mut self, interface: InterfaceId, next_hop: IpAddr) -> Waiting {
        let waiting = self.neighbors.remove(&(interface, next_hop)).unwrap_or_default();
        self.bytes -= waiting.packets.iter().map(|packet| packet.bytes.len()).sum::<usize>();
        waiting
    }
}
