//! What of a captured packet concerns conversations: who, to whom, and the part of TCP that tells what happened.

use std::net::{IpAddr, SocketAddr};

use ustack::buf::frame::Checksum;
use ustack::capture::Packet;
use ustack::wire::ip::{self, Protocol};
use ustack::wire::{ipv4, ipv6, tcp, udp};

/// A TCP segment or UDP datagram, without its payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    /// Bytes of payload on the wire, even if the capture kept fewer.
    pub(super) len: u32,
    pub(super) tcp: Option<tcp::Header>,
}

impl Seen {
    /// None if it is neither TCP nor UDP, or not readable as such.
    pub(super) fn of(packet: &Packet<'_>) -> Option<Self> {
        let bytes = packet.ip_packet()?;
        let ip = Ip::parse(bytes)?;
        match ip.protocol {
            Protocol::TCP => {
                // The checksum may be one that a device was still to complete.
                let (header, rest) =
                    tcp::Header::parse(ip.payload, ip.src, ip.dst, Checksum::Verified).ok()?;
                let header_len = ip.payload.len() - rest.len();
                Some(Self {
                    src: SocketAddr::new(ip.src, header.src_port),
                    dst: SocketAddr::new(ip.dst, header.dst_port),
                    len: ip.payload_len.saturating_sub(header_len) as u32,
                    tcp: Some(header),
                })
            }
            Protocol::UDP => {
                // Its length is the whole datagram's, of which this may be the first fragment.
                let header = ip.payload.first_chunk::<{ udp::Header::LEN }>()?;
                let [src, dst, len] = [0, 2, 4].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
                Some(Self {
                    src: SocketAddr::new(ip.src, src),
                    dst: SocketAddr::new(ip.dst, dst),
                    len: u32::from(len).saturating_sub(udp::Header::LEN as u32),
                    tcp: None,
                })
            }
            _ => None,
        }
    }
}

/// An IP packet that may have been cut by the capture.
struct Ip<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: Protocol,
    payload: &'a [u8],
    payload_len: usize,
}

impl<'a> Ip<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        if let Ok(packet) = ip::Packet::parse(bytes) {
            // The ports are in the first fragment.
            let first = packet.fragment.is_none_or(|fragment| fragment.offset == 0);
            let ip::Packet { src, dst, protocol, payload, .. } = packet;
            return first.then_some(Self { src, dst, protocol, payload, payload_len: payload.len() });
        }
        if bytes.first()? >> 4 == 4 {
            let (header, payload) = ipv4::Header::parse_quoted(bytes).ok()?;
            let payload_len = usize::from(header.payload_len);
            let (src, dst, protocol) = (header.src.into(), header.dst.into(), header.protocol);
            (header.fragment_offset == 0).then_some(Self { src, dst, protocol, payload, payload_len })
        } else {
            let (header, payload) = ipv6::Header::parse_quoted(bytes).ok()?;
            let payload_len = usize::from(header.payload_len);
            let (src, dst) = (header.src.into(), header.dst.into());
            Some(Self { src, dst, protocol: header.next_header, payload, payload_len })
        }
    }
}
