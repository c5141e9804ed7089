//! The frames that an interface itself sends, whole.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use super::group::{MAX_RECORDS, Records};
use crate::wire::arp::{Operation, Packet};
use crate::wire::ethernet::{EtherType, Header, MacAddr};
use crate::wire::ip::Protocol;
use crate::wire::list::List;
use crate::wire::{ext, icmpv6, igmp, ipv4, ipv6, mld, ndp};

/// An answer that waits for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// To this ARP request.
    Arp {
        /// The request.
        packet: Packet,
    },
    /// A neighbour advertisement.
    Advert {
        /// Link address of whoever asked.
        mac: MacAddr,
        /// Its address, or all nodes.
        dst: Ipv6Addr,
        /// The address of ours that was asked for.
        target: Ipv6Addr,
        /// Whether it goes to who asked.
        solicited: bool,
    },
}

/// RFC 3376 section 4, in the habit of routers: internetwork control.
const GROUP_DSCP: u8 = 48;

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

/// A neighbour discovery message; `mac` is the link address of `dst`, `None` if `dst` is a group.
pub(crate) fn ndp(
    ours: MacAddr,
    mac: Option<MacAddr>,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    message: ndp::Message<'_>,
    out: &mut Vec<u8>,
) {
    let message = icmpv6::Message::Ndp(message);
    let ip = ipv6::Header::new(src, dst, Protocol::ICMPV6, ndp::HOP_LIMIT, message.wire_len() as u16);
    out.extend_from_slice(&link(ours, mac, dst.into(), EtherType::IPV6));
    append(out, ipv6::HEADER_LEN, |out| ip.write(out));
    append(out, message.wire_len(), |out| message.write(out, src, dst));
}

/// A report or a leave message for IPv4.
pub(crate) fn igmp(
    ours: MacAddr,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    message: &igmp::Message<'_>,
    out: &mut Vec<u8>,
) {
    let ip = ipv4::Header {
        dscp: GROUP_DSCP,
        options: ipv4::Options::ROUTER_ALERT,
        ..ipv4::Header::new(src, dst, Protocol::IGMP, 1, message.wire_len() as u16)
    };
    out.extend_from_slice(&link(ours, None, dst.into(), EtherType::IPV4));
    append(out, ip.header_len(), |out| ip.write(out));
    append(out, message.wire_len(), |out| message.write(out));
}

/// A report of several groups for IPv4.
pub(crate) fn igmp_report(ours: MacAddr, src: Ipv4Addr, records: &Records, out: &mut Vec<u8>) {
    let records: ArrayVec<igmp::Record<'_>, MAX_RECORDS> = records
        .iter()
        .filter_map(|&(kind, group)| match group {
            IpAddr::V4(group) => Some(igmp::Record::new(kind, group)),
            IpAddr::V6(_) => None,
        })
        .collect();
    igmp(ours, src, igmp::ALL_V3_ROUTERS, &igmp::Message::ReportV3 { records: List::new(&records) }, out);
}

/// A report or a leave message for IPv6.
pub(crate) fn mld(ours: MacAddr, src: Ipv6Addr, dst: Ipv6Addr, message: mld::Message<'_>, out: &mut Vec<u8>) {
    let message = icmpv6::Message::Mld(message);
    let alert = ext::router_alert(Protocol::ICMPV6);
    let payload_len = (alert.len() + message.wire_len()) as u16;
    let ip = ipv6::Header::new(src, dst, Protocol::HOP_BY_HOP, 1, payload_len);
    out.extend_from_slice(&link(ours, None, dst.into(), EtherType::IPV6));
    append(out, ipv6::HEADER_LEN, |out| ip.write(out));
    out.extend_from_slice(&alert);
    append(out, message.wire_len(), |out| message.write(out, src, dst));
}

/// A report of several groups for IPv6.
pub(crate) fn mld_report(ours: MacAddr, src: Ipv6Addr, records: &Records, out: &mut Vec<u8>) {
    let records: ArrayVec<mld::Record<'_>, MAX_RECORDS> = records
        .iter()
        .filter_map(|&(kind, group)| match group {
            IpAddr::V6(group) => Some(mld::Record::new(kind, group)),
            IpAddr::V4(_) => None,
        })
        .collect();
    mld(ours, src, mld::ALL_V2_ROUTERS, mld::Message::ReportV2 { records: List::new(&records) }, out);
}

fn arp(src: MacAddr, dst: MacAddr, packet: &Packet, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header { dst, src, ether_type: EtherType::ARP }.to_bytes());
    out.extend_from_slice(&packet.to_bytes());
}

fn link(src: MacAddr, mac: Option<MacAddr>, ip: IpAddr, ether_type: EtherType) -> [u8; Header::LEN] {
    let dst = mac.or(MacAddr::for_multicast(ip)).unwrap_or(MacAddr::BROADCAST);
    Header { dst, src, ether_type }.to_bytes()
}

/// Appends what `write` puts into a slice of just the length that it needs.
fn append<E>(out: &mut Vec<u8>, len: usize, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) {
    let at = out.len();
    out.resize(at + len, 0);
    let written = write(&mut out[at..]);
    debug_assert!(written.is_ok_and(|written| written == len), "a header knows its own length");
}
