//! A long segment on its way through a device that takes none: it leaves as a train of segments of the usual size.
//!
//! The connection chooses once for all of them, as it does for a device that cuts by itself; the headers differ only in
//! sequence number, length and the flags that belong to the last byte. What is the same is written once.

use super::Stack;
use super::head::{HeadBuffer, push_link, push_tcp};
use super::interfaces::Port;
use super::output::{Body, Picked};
use crate::buf::frame::{InterfaceId, Offload};
use crate::ip::output::{Ids, Meta};
use crate::socket::table::{Socket, SocketId, TcpSocket};
use crate::tcp::Outgoing;
use crate::why::Why;
use crate::wire::ethernet::MacAddr;
use crate::wire::tcp::{Flags, Template};

/// What is left of a long segment.
#[derive(Debug)]
pub(super) struct Train {
    socket: SocketId,
    mac: MacAddr,
    meta: Meta,
    /// The rest of it, with its place in the sequence space; its `offset` is not kept up to date.
    rest: Outgoing,
    /// The headers of all full segments, unless each needs an identification of its own.
    same: Option<Same>,
}

/// What full segments have in common.
#[derive(Debug)]
struct Same {
    /// All headers of the segment that left last.
    head: HeadBuffer,
    /// Where the TCP header begins.
    tcp_at: usize,
    tcp: Template,
}

impl Train {
    /// The train of `long`, which leaves through `port` by way of `mac`.
    pub(super) fn new(
        socket: SocketId,
        port: &Port,
        ids: &mut Ids,
        mac: MacAddr,
        meta: Meta,
        long: Outgoing,
        signed: bool,
    ) -> Self {
        // RFC 6864 section 4.1: what may not be fragmented needs no identification of its own.
        let alike = meta.dont_fragment && !port.limits().checksum && !signed;
        let same = alike.then(|| Same::new(port, ids, mac, &meta, &long)).flatten();
        Self { socket, mac, meta, rest: long, same }
    }
}

/// Flags that belong to the last byte.
const LAST: Flags = Flags::FIN.union(Flags::PSH);

impl Same {
    fn new(port: &Port, ids: &mut Ids, mac: MacAddr, meta: &Meta, long: &Outgoing) -> Option<Self> {
        let size = usize::from(long.segment_size);
        let mut header = long.header;
        header.flags.remove(LAST);
        let mut head = HeadBuffer::new();
        push_link(&mut head, &port.interface, mac, meta.source.is_ipv4());
        head.push(|out| meta.write(ids, header.header_len() + size, out)).ok()?;
        let tcp_at = head.len;
        let (tcp, len) =
            Template::write(head.rest_mut(), &header, meta.source, meta.destination, size).ok()?;
        head.len += len;
        Some(Self { head, tcp_at, tcp })
    }
}

impl Train {
    /// The headers of the full segment that was chosen last, and why it is sent.
    pub(super) fn car(&self) -> (&[u8], &Why) {
        (self.same.as_ref().map_or(&[], |same| same.head.as_slice()), &self.rest.why)
    }
}

impl Stack {
    /// The next segment of the train that is under way at `interface`.
    pub(super) fn pick_train(&mut self, interface: InterfaceId) -> Option<Picked> {
        let port = self.ports.get_mut(interface.0 as usize)?;
        let limits = port.limits();
        let train = port.train.as_mut()?;
        let size = u32::from(train.rest.segment_size);
        let (id, seq, len) = (train.socket, train.rest.header.seq, train.rest.len.min(size));
        let more = train.rest.len > len;
        // Between two of its segments the connection may have ended, or heard that the peer has these bytes.
        let tcp = self.sockets.get_mut(id).and_then(Socket::tcp_mut);
        let found = tcp.and_then(|tcp| Some((tcp.connection.place_of(seq, len)?, tcp)));
        let Some((range, TcpSocket { connection, authenticator, .. })) = found else {
            port.train = None;
            return None;
        };
        let payload = connection.unacknowledged_bytes(range.clone());
        self.stats.ip.out_requests += 1;
        if more {
            train.rest.header.seq += len;
            train.rest.len -= len;
            if let Some(Same { head, tcp_at, tcp }) = &mut train.same {
                tcp.complete(head.written_mut(*tcp_at), seq, payload);
                return Some(Picked { body: Body::Car(id, range), offload: Offload::NONE });
            }
        }
        let mut next = train.rest;
        (next.header.seq, next.len) = (seq, len);
        if more {
            next.header.flags.remove(LAST);
        }
        self.why = next.why;
        push_link(&mut self.head, &port.interface, train.mac, train.meta.source.is_ipv4());
        let known = authenticator.as_deref_mut();
        let offload = push_tcp(&mut self.head, &mut self.ids, &train.meta, &next, payload, limits, known);
        if !more {
            port.train = None;
        }
        Some(Picked { body: Body::Tcp(id, range), offload: offload? })
    }
}
