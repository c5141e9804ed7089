//! Whole frames, built and read by a crate that is not ours.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

/// A datagram in an Ethernet frame, from and to these link addresses.
///
/// # Panics
/// The addresses are of different families.
pub fn udp(macs: ([u8; 6], [u8; 6]), from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.0, macs.1);
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("{from} and {to} are of different families"),
    };
    let mut frame = Vec::new();
    builder.udp(from.port(), to.port()).write(&mut frame, payload).expect("a vector takes all");
    frame
}

/// The payload of a datagram to that port in a frame (or a packet, if `ethernet` is false); None if it is anything
/// else.
pub fn udp_payload(bytes: &[u8], ethernet: bool, port: u16) -> Option<Vec<u8>> {
    let packet = sliced(bytes, ethernet)?;
    match packet.transport? {
        TransportSlice::Udp(udp) if udp.destination_port() == port => Some(udp.payload().to_vec()),
        _ => None,
    }
}

/// The payload of a TCP segment to that port; None if it is anything else.
pub fn tcp_payload(bytes: &[u8], port: u16) -> Option<Vec<u8>> {
    match sliced(bytes, true)?.transport? {
        TransportSlice::Tcp(tcp) if tcp.destination_port() == port => Some(tcp.payload().to_vec()),
        _ => None,
    }
}

/// Whether it is an ARP request or a neighbour solicitation, the first thing that a kernel says to an unknown host.
pub fn asks_for_neighbor(bytes: &[u8]) -> bool {
    const NEIGHBOR_SOLICITATION: u8 = 135;
    let Some(packet) = sliced(bytes, true) else { return false };
    match (packet.net, packet.transport) {
        (Some(NetSlice::Arp(arp)), _) => arp.operation() == etherparse::ArpOperation::REQUEST,
        (_, Some(TransportSlice::Icmpv6(icmp))) => icmp.type_u8() == NEIGHBOR_SOLICITATION,
        _ => false,
    }
}

fn sliced(bytes: &[u8], ethernet: bool) -> Option<SlicedPacket<'_>> {
    if ethernet { SlicedPacket::from_ethernet(bytes).ok() } else { SlicedPacket::from_ip(bytes).ok() }
}
