//! ARP (RFC 826) and the detection of address conflicts in what it says (RFC 5227).

use core::net::{IpAddr, Ipv4Addr};

use super::address::AddressState;
use super::emit::Reply;
use super::ethernet::{Cast, DropReason};
use super::neighbor::Claim;
use super::tables::Tables;
use crate::time::Instant;
use crate::wire::arp::{Operation, Packet};

/// Learns from a received packet; answers what has to be replied.
pub(crate) fn handle(
    now: Instant,
    packet: &Packet,
    cast: Cast,
    tables: &mut Tables,
) -> Result<Option<Reply>, DropReason> {
    let Tables { addresses, neighbors, events, .. } = tables;
    let (sender, mac) = (IpAddr::V4(packet.sender_ip), packet.sender_mac);
    let target = IpAddr::V4(packet.target_ip);
    if !mac.is_unicast() || !is_possible_sender(packet.sender_ip) {
        return Err(DropReason::BadArp);
    }
    let asks = packet.operation == Operation::Request;
    let reply = (asks && addresses.owns(target)).then_some(Reply::Arp { packet: *packet });
    if packet.is_probe() {
        // RFC 5227 2.1.1: another host probes what we are probing.
        if addresses.get(target).is_some_and(|address| address.state == AddressState::Tentative) {
            addresses.handle_conflict(now, target, Some(mac), events);
        }
        return Ok(reply);
    }
    if packet.sender_ip.is_unspecified() {
        return Err(DropReason::BadArp);
    }
    if addresses.claims(sender) {
        // RFC 5227 2.1.1 and 2.4: whatever it says, its sender uses an address of ours.
        addresses.handle_conflict(now, sender, Some(mac), events);
        return Ok(None);
    }
    if reply.is_some() && addresses.on_link(sender) {
        // RFC 826: who asks for us will soon be talked to.
        neighbors.handle_sender(now, sender, mac, events);
    } else {
        let solicited = !asks && cast == Cast::Unicast && addresses.owns(target);
        neighbors.handle_advert(now, sender, Some(mac), Claim { solicited, overrides: true }, events);
    }
    Ok(reply)
}

fn is_possible_sender(ip: Ipv4Addr) -> bool {
    !(ip.is_multicast() || ip.is_broadcast() || ip.is_loopback())
}
