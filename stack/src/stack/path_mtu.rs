//! What ICMP says about path MTUs: whom it concerns, and what is believed (RFC 5927 section 7).

use std::net::IpAddr;

use super::path::LOOPBACK;
use super::{Stack, ip_header_len};
use crate::ip::icmp::{ErrorKind, IcmpError};
use crate::ip::pmtu::{self, Update};
use crate::socket::endpoint::Endpoint;
use crate::socket::table::{Kind, Socket, SocketId};
use crate::tcp::TooBig;
use crate::time::Instant;

/// Destinations that datagrams were sent to lately, without a connection that would know: each in the place that its
/// bits choose, from where another may displace it.
#[derive(Debug)]
pub(super) struct Recent(Box<[Option<IpAddr>; Self::PLACES]>);

impl Default for Recent {
    fn default() -> Self {
        Self(Box::new([None; Self::PLACES]))
    }
}

impl Recent {
    const PLACES: usize = 256;

    pub(super) fn note(&mut self, destination: IpAddr) {
        self.0[place(destination)] = Some(destination);
    }

    fn contains(&self, destination: IpAddr) -> bool {
        self.0[place(destination)] == Some(destination)
    }
}

/// The multiplier is the golden ratio's: neighbouring addresses lie far apart.
fn place(ip: IpAddr) -> usize {
    let bits = match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

impl Stack {
    /// A segment of a connection was too large, somebody says.
    pub(super) fn hear_too_big(&mut self, now: Instant, id: SocketId, claim: TooBig) {
        let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) else { return };
        let remote = tcp.tuple.remote.ip;
        let named = pmtu::claimed(remote.is_ipv4(), claim.mtu, claim.packet_len) as usize;
        if tcp.connection.doubts_too_big(claim, named.saturating_sub(ip_header_len(remote))) {
            self.pmtu.handle_doubted();
            return;
        }
        self.believe_too_big(now, id, claim);
    }

    /// A claim that was doubted is believed when nothing arrives any more.
    pub(super) fn believe_too_big(&mut self, now: Instant, id: SocketId, claim: TooBig) {
        let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut) else { return };
        let remote = tcp.tuple.remote.ip;
        // It may be known already, by another connection: what this one sent before is too large all the same.
        let Some(mtu) = self.learn_mtu(now, remote, claim.mtu, claim.packet_len) else { return };
        if let Some(tcp) = self.sockets.get_mut(id).and_then(Socket::tcp_mut)
            && mtu < claim.packet_len as usize
        {
            tcp.connection.handle_path_mtu(now, mtu - ip_header_len(remote));
        }
    }

    /// A datagram was too large, somebody says. Nothing in it proves that, so it has to be about somebody with whom a
    /// socket is connected, or to whom datagrams were sent lately.
    pub(super) fn hear_datagram_too_big(&mut self, now: Instant, id: SocketId, error: &IcmpError) {
        let ErrorKind::PacketTooBig { mtu } = error.kind else { return };
        let destination = error.quote.dst;
        let sent = match self.sockets.get(id).map(|socket| &socket.kind) {
            Some(Kind::Udp(udp)) => {
                let is_it = |ip: IpAddr| ip.to_canonical() == destination;
                udp.socket.remote().is_some_and(|remote| is_it(remote.ip()))
                    || udp.way.is_some_and(|way| is_it(way.to.ip()))
            }
            Some(Kind::Raw(raw)) => raw.remote() == Some(destination),
            _ => false,
        };
        if sent || self.recent.contains(destination) {
            self.learn_mtu(now, destination, mtu, error.packet_len);
        } else {
            self.pmtu.handle_unsent();
        }
    }

    /// Remembers a path MTU, if it is news; answers what is known then, if it can be believed.
    fn learn_mtu(&mut self, now: Instant, destination: IpAddr, mtu: u32, packet_len: u32) -> Option<usize> {
        let path = self.path_to(None, &Endpoint::on(destination, 0, LOOPBACK)).ok()?;
        let link = self.port(path.interface)?.mtu(destination) as u32;
        match self.pmtu.handle_too_big(now, destination, mtu, packet_len, link) {
            Update::Lowered(path) => {
                self.tell_path_mtu(destination, path);
                Some(path.mtu as usize)
            }
            Update::NotLower => self.pmtu.get(destination).map(|known| known.mtu as usize),
            Update::BelowMinimum => None,
        }
    }
}
