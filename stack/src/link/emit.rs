//! The frames that an interface itself sends, whole.

use core::net::Ipv4Addr;

use crate::wire::arp::{Operation, Packet};
use crate::wire::ethernet::{EtherType, Header, MacAddr};

/// An answer that waits for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// To this ARP request.
    Arp {
        /// The request.
        packet: Packet,
    },
}

/// Answers `request`, which was for an address of ours.
pub(crate) fn arp_reply(ours: MacAddr, request: &Packet, out: &mut Vec<u8>) {
    let packet = Packet {
        operation: Operation::Reply,
        sender_mac: ours,
        sender_ip: request.target_ip,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    };
    arp(ours, request.sender_mac, &packet, out);
}

/// Asks for `target`: a question, a probe (no sender) or an announcement (of ourselves).
pub(crate) fn arp_request(
    ours: MacAddr,
    dst: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    out: &mut Vec<u8>,
) {
    let packet = Packet {
        operation: Operation::Request,
        sender_mac: ours,
        sender_ip: sender,
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: target,
    };
    arp(ours, dst, &packet, out);
}

fn arp(src: MacAddr, dst: MacAddr, packet: &Packet, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header { dst, src, ether_type: EtherType::ARP }.to_bytes());
    out.extend_from_slice(&packet.to_bytes());
}
