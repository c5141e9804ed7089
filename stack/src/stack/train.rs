//! A long segment on its way through a device that takes none: it leaves as a train of segments of the usual size.
//!
//! The connection chooses once for all of them, as it does for a device that cuts by itself; the headers differ only in
//! sequence number, length and the flags that belong to the last byte.

use super::Stack;
use super::output::{Body, Picked, push_link, push_tcp};
use crate::buf::frame::InterfaceId;
use crate::ip::output::Meta;
use crate::socket::table::{Socket, SocketId};
use crate::tcp::Outgoing;
use crate::wire::ethernet::MacAddr;
use crate::wire::tcp::Flags;

/// What is left of a long segment.
#[derive(Debug)]
pub(super) struct Train {
    pub(super) socket: SocketId,
    pub(super) mac: MacAddr,
    pub(super) meta: Meta,
    /// The rest of it, with its place in the sequence space; its `offset` is not kept up to date.
    pub(super) rest: Outgoing,
}

impl Train {
    /// Takes the next segment off; the flags that belong to the last byte stay with the rest.
    fn cut(&mut self) -> Outgoing {
        let mut next = self.rest;
        let size = u32::from(self.rest.segment_size);
        if next.len > size {
            next.len = size;
            next.header.flags.remove(Flags::FIN | Flags::PSH);
        }
        self.rest.header.seq += next.len;
        self.rest.len -= next.len;
        next
    }
}

impl Stack {
    /// The next segment of the train that is under way at `interface`.
    pub(super) fn pick_train(&mut self, interface: InterfaceId) -> Option<Picked> {
        let port = self.ports.get_mut(interface.0 as usize)?;
        let train = port.train.as_mut()?;
        let next = train.cut();
        let (id, mac, meta) = (train.socket, train.mac, train.meta);
        if train.rest.len == 0 {
            port.train = None;
        }
        // Between two of its segments the connection may have ended, or heard that the peer has these bytes.
        let tcp = self.sockets.get(id).and_then(Socket::tcp);
        let Some((tcp, range)) =
            tcp.and_then(|tcp| Some((tcp, tcp.connection.place_of(next.header.seq, next.len)?)))
        else {
            port.train = None;
            return None;
        };
        let payload = tcp.connection.unacknowledged_bytes(range.clone());
        push_link(&mut self.head, port, mac, meta.source.is_ipv4());
        let offload = push_tcp(&mut self.head, &mut self.ids, &meta, &next, payload, port.limits())?;
        self.stats.ip.out_requests += 1;
        Some(Picked { body: Body::Tcp(id, range), offload, why: next.why })
    }
}
