//! To which shard of a host a frame goes, whichever queue it came by.
//!
//! | what came | to whom |
//! | --- | --- |
//! | TCP, UDP | the shard that owns the flow |
//! | an ICMP error | the shard that owns the flow of the quoted packet |
//! | ARP, neighbour discovery, group management | each: all have neighbours and groups |
//! | fragments | the first, which puts them together; the stack hands the whole on |
//! | echo, other protocols, what cannot be read | the first |

use core::net::IpAddr;

use super::icmp::{self, Incoming};
use crate::buf::frame::Medium;
use crate::buf::shard::Shard;
use crate::wire::ethernet::{EtherType, Header};
use crate::wire::ip::{Packet, Protocol};
use crate::wire::quote::{Quote, QuotedTransport};

/// Who is to have a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The shard with that index.
    One(usize),
    /// Every shard has to know it.
    Each,
}

/// The shard that speaks for the host.
const FIRST: Target = Target::One(0);

/// Who of the shards, of which `shard` is one, is to have `frame`.
pub fn target(shard: Shard, medium: Medium, frame: &[u8]) -> Target {
    match medium {
        Medium::Ip => packet_target(shard, frame),
        Medium::Ethernet => match Header::parse(frame) {
            Ok((header, packet)) => match header.ether_type {
                EtherType::IPV4 | EtherType::IPV6 => packet_target(shard, packet),
                EtherType::ARP => Target::Each,
                _ => FIRST,
            },
            Err(_) => FIRST,
        },
    }
}

/// The shard that owns the flow of a whole packet; `None` if it has no ports.
pub fn owner(shard: Shard, packet: &Packet<'_>) -> Option<usize> {
    let has_ports = matches!(packet.protocol, Protocol::TCP | Protocol::UDP) && packet.fragment.is_none();
    let (src, dst) = ports(packet.payload).filter(|_| has_ports)?;
    Some(shard.owner((packet.src, src), (packet.dst, dst)))
}

fn packet_target(shard: Shard, bytes: &[u8]) -> Target {
    // Nearly all that comes has no options, and the stack will look closely.
    if let Some(owner) = plain_v4(shard, bytes).or_else(|| plain_v6(shard, bytes)) {
        return Target::One(owner);
    }
    let Ok(packet) = Packet::parse(bytes) else { return FIRST };
    if packet.fragment.is_some() {
        return FIRST;
    }
    match packet.protocol {
        Protocol::TCP | Protocol::UDP => owner(shard, &packet).map_or(FIRST, Target::One),
        Protocol::IGMP if !packet.is_v6() => Target::Each,
        Protocol::ICMP | Protocol::ICMPV6 => match icmp::read(&packet) {
            Ok(Incoming::Error(error)) => quote_target(shard, &error.quote),
            Ok(Incoming::Ndp(_) | Incoming::Mld(_)) => Target::Each,
            _ => FIRST,
        },
        _ => FIRST,
    }
}

/// The owner of a TCP segment or datagram in an IPv4 packet that is whole and has no options.
fn plain_v4(shard: Shard, bytes: &[u8]) -> Option<usize> {
    const PLAIN: u8 = 0x45;
    const FRAGMENT: u16 = 0x3fff;
    let (header, payload) = bytes.split_first_chunk::<20>()?;
    let [first, _, _, _, _, _, f0, f1, _, protocol, _, _, src @ .., _, _, _, _] = *header;
    let [.., d0, d1, d2, d3] = *header;
    let whole = u16::from_be_bytes([f0, f1]) & FRAGMENT == 0;
    let plain = first == PLAIN && whole && has_ports(protocol);
    let (from, to) = ports(payload).filter(|_| plain)?;
    Some(shard.owner((IpAddr::from(src), from), (IpAddr::from([d0, d1, d2, d3]), to)))
}

/// The same in an IPv6 packet without extension headers.
fn plain_v6(shard: Shard, bytes: &[u8]) -> Option<usize> {
    let (header, payload) = bytes.split_first_chunk::<8>()?;
    let [first, _, _, _, _, _, protocol, _] = *header;
    let plain = first >> 4 == 6 && has_ports(protocol);
    let (src, payload) = payload.split_first_chunk::<16>()?;
    let (dst, payload) = payload.split_first_chunk::<16>()?;
    let (from, to) = ports(payload).filter(|_| plain)?;
    Some(shard.owner((IpAddr::from(*src), from), (IpAddr::from(*dst), to)))
}

fn has_ports(protocol: u8) -> bool {
    matches!(Protocol(protocol), Protocol::TCP | Protocol::UDP)
}

/// The first four bytes of TCP and UDP.
fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    let &[s0, s1, d0, d1] = payload.first_chunk()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

fn quote_target(shard: Shard, quote: &Quote) -> Target {
    match quote.transport {
        QuotedTransport::Tcp { src_port, dst_port, .. } | QuotedTransport::Udp { src_port, dst_port } => {
            Target::One(shard.owner((quote.src, src_port), (quote.dst, dst_port)))
        }
        QuotedTransport::Echo { .. } | QuotedTransport::Unknown => FIRST,
    }
}

#[cfg(test)]
mod tests;
