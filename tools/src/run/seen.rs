//! A packet that the stack sent, taken apart.

use std::net::{IpAddr, SocketAddr};

use ustack::buf::frame::Checksum;
use ustack::time::Instant;
use ustack::why::Why;
use ustack::wire;
use ustack::wire::ip::{Packet, Protocol};

use super::icmp::Icmp;
use super::tcp::Tcp;

/// A packet with what is known about it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) why: Why,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// Code point and ECN.
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) body: Body,
}

/// What it carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Tcp(Tcp),
    Udp {
        src_port: u16,
        dst_port: u16,
        payload: Vec<u8>,
    },
    Icmp(Icmp),
    /// Something that scripts have no words for, or that is broken.
    Other(String),
}

impl Seen {
    pub(super) fn read(at: Instant, why: Why, bytes: &[u8]) -> Self {
        let unspecified = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        match Packet::parse(bytes) {
            Ok(packet) => Self {
                at,
                why,
                src: packet.src,
                dst: packet.dst,
                tos: packet.dscp << 2 | packet.ecn,
                ttl: packet.hop_limit,
                body: Body::read(&packet).unwrap_or_else(|error| Body::Other(format!("broken: {error}"))),
            },
            Err(error) => {
                let body = Body::Other(format!("broken: {error}"));
                Self { at, why, src: unspecified, dst: unspecified, tos: 0, ttl: 0, body }
            }
        }
    }

    /// Protocol, our end and the other: what names a conversation.
    pub(super) fn ends(&self) -> Option<(Protocol, SocketAddr, SocketAddr)> {
        let (protocol, src_port, dst_port) = match &self.body {
            Body::Tcp(tcp) => (Protocol::TCP, tcp.src_port, tcp.dst_port),
            Body::Udp { src_port, dst_port, .. } => (Protocol::UDP, *src_port, *dst_port),
            Body::Icmp(_) | Body::Other(_) => return None,
        };
        Some((protocol, SocketAddr::new(self.src, src_port), SocketAddr::new(self.dst, dst_port)))
    }

    pub(super) fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }
}

impl Body {
    fn read(packet: &Packet<'_>) -> Result<Self, String> {
        if let Some(fragment) = packet.fragment {
            return Ok(Self::Other(format!("fragment at {} of {}", fragment.offset, packet.payload.len())));
        }
        let (src, dst) = (packet.src, packet.dst);
        Ok(match packet.protocol {
            Protocol::TCP => Self::Tcp(Tcp::read(packet.payload, src, dst)?),
            Protocol::UDP => {
                let read = wire::udp::Header::parse(packet.payload, src, dst, Checksum::Full);
                let (header, payload) = read.map_err(|error| error.to_string())?;
                let wire::udp::Header { src_port, dst_port } = header;
                Self::Udp { src_port, dst_port, payload: payload.to_vec() }
            }
            Protocol::ICMP | Protocol::ICMPV6 => Self::Icmp(Icmp::read(packet.payload, src, dst)?),
            other => Self::Other(format!("protocol {other}")),
        })
    }
}
