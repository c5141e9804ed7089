//! The short way out of a datagram: one that goes where the last ones went leaves with their headers.
//!
//! Of datagrams to one destination the headers differ in lengths, identification and checksums alone. They are kept of
//! the flow that sent last; whatever is not as before goes the long way, as if this one did not exist.

use super::Stack;
use super::output::{Body, Picked};
use super::udp::Routed;
use crate::buf::frame::{InterfaceId, Offload};
use crate::ip::output::{Ids, Meta, Template};
use crate::link::Resolution;
use crate::socket::table::{Kind, Path, Socket, SocketId};
use crate::time::Instant;
use crate::udp::Departure;
use crate::wire::ethernet::{self, MacAddr};
use crate::wire::{ipv6, udp};

/// The most bytes of link, IP and UDP headers.
const MOST: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;

/// Headers in which only lengths, identification and checksums differ from datagram to datagram. They hold while the
/// path does, and as long as the socket's options stay as they are.
#[derive(Debug)]
pub(super) struct Stencil {
    socket: SocketId,
    departure: Departure,
    path: Path,
    /// The next hop's link address.
    mac: MacAddr,
    /// The interface's own hop limit.
    hop_limit: u8,
    headers: [u8; MOST],
    /// Where the IP header begins, where the UDP header does, and where it ends.
    places: [usize; 3],
    ip: Template,
    udp: udp::Template,
}

impl Stencil {
    /// Cuts one from the headers that `meta` has led to; `None` if they are of an unusual kind.
    fn new(
        (socket, departure, path): (SocketId, Departure, Path),
        (mac, hop_limit): (MacAddr, u8),
        written: &[u8],
        meta: &Meta,
        ids: &Ids,
    ) -> Option<Self> {
        let mut headers = [0; MOST];
        headers.get_mut(..written.len())?.copy_from_slice(written);
        let (before, udp) = headers[..written.len()].split_last_chunk_mut()?;
        let udp_at = before.len();
        let ip_at = udp_at.checked_sub(meta.header_len())?;
        let ip = Template::new(meta, ids, &mut before[ip_at..])?;
        let udp = udp::Template::new(udp, meta.source, meta.destination);
        Some(Self {
            socket,
            departure,
            path,
            mac,
            hop_limit,
            headers,
            places: [ip_at, udp_at, written.len()],
            ip,
            udp,
        })
    }

    /// Whether a datagram with so many bytes of payload passes in one piece.
    #[inline]
    fn fits(&self, payload_len: usize) -> bool {
        self.places[2] - self.places[0] + payload_len <= self.path.mtu
    }

    /// Makes the headers those of the next datagram.
    #[inline]
    fn complete(&mut self, ids: &mut Ids, payload: [&[u8]; 2]) {
        let [ip_at, udp_at, end] = self.places;
        let Some((before, udp)) = self.headers[..end].split_last_chunk_mut() else { return };
        let len = udp::HEADER_LEN + payload[0].len() + payload[1].len();
        self.ip.complete(ids, &mut before[ip_at..udp_at], len);
        self.udp.complete(udp, payload);
    }

    /// All headers.
    pub(super) fn headers(&self) -> &[u8] {
        &self.headers[..self.places[2]]
    }
}

impl Stack {
    /// The next datagram of a socket, if the headers of those before serve it too.
    #[inline]
    pub(super) fn pick_alike(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        id: SocketId,
    ) -> Option<Picked> {
        let generation = self.path_generation();
        let stencil = self.stencil.as_mut().filter(|stencil| stencil.socket == id)?;
        let Some(Socket { kind: Kind::Udp(entry), .. }) = self.sockets.get(id) else { return None };
        let (departure, payload) = entry.socket.next_departure()?;
        let len = payload[0].len() + payload[1].len();
        let path = &stencil.path;
        if (path.generation, path.interface) != (generation, interface)
            || *departure != stencil.departure
            || !stencil.fits(len)
        {
            return None;
        }
        let port = &mut self.ports[interface.0 as usize];
        if port.hop_limit(path.next_hop) != stencil.hop_limit
            || port.resolve(now, path.next_hop) != Resolution::Known(stencil.mac)
        {
            return None;
        }
        stencil.complete(&mut self.ids, payload);
        let bytes = stencil.headers().len() + len;
        self.lent = Some((id, 1));
        self.stats.ip.out_requests += 1;
        self.stats.udp.out_datagrams += 1;
        self.spend(interface, bytes);
        Some(Picked { body: Body::Alike(id, len), offload: Offload::NONE })
    }

    /// After a datagram that went the long way, whose headers are in `Stack::head`: the second one in a row to the same
    /// destination leaves them to those that follow.
    pub(super) fn keep_headers(&mut self, id: SocketId, departure: Departure, routed: &Routed, mac: MacAddr) {
        let Routed { path, meta, .. } = routed;
        if self.departed.replace((id, departure)) != Some((id, departure)) {
            return;
        }
        let Some(port) = self.ports.get(path.interface.0 as usize) else { return };
        let hop_limit = port.hop_limit(path.next_hop);
        let headers = self.head.as_slice();
        self.stencil = Stencil::new((id, departure, *path), (mac, hop_limit), headers, meta, &self.ids);
    }

    /// After a change of a socket's options or of its peer.
    pub(super) fn forget_headers(&mut self) {
        (self.departed, self.stencil) = (None, None);
    }
}
