//! Recorded packets with other addresses: those of a loopback, or of a host that talks with itself, name no other host.

use std::net::IpAddr;

use ustack::wire::checksum::{Sum, checksum};
use ustack::wire::ip::{Packet, Protocol};
use ustack::wire::udp;

const V4_CHECKSUM: core::ops::Range<usize> = 10..12;
const ICMP_HEADER: usize = 8;
const ICMP_CHECKSUM: core::ops::Range<usize> = 2..4;
const UDP_CHECKSUM: core::ops::Range<usize> = udp::CHECKSUM_OFFSET..udp::CHECKSUM_OFFSET + 2;

/// Completes the checksum of a datagram that was captured before a device had done it.
pub(super) fn complete_udp(packet: &mut [u8]) {
    let Some((src, dst, start, end)) = transport(packet, Protocol::UDP) else { return };
    let datagram = &mut packet[start..end];
    let Some(field) = datagram.get(UDP_CHECKSUM) else { return };
    let pseudo = Sum::pseudo(src, dst, Protocol::UDP, datagram.len());
    if *field == pseudo.partial().to_be_bytes() {
        write_udp_checksum(datagram, pseudo);
    }
}

/// The packet as `src` would have sent it to `dst`. An ICMP error quotes what `dst` would have sent to `remote`, and of
/// TCP with the sequence number `seq`, if there is one.
pub(super) fn readdress(
    packet: &[u8],
    src: IpAddr,
    dst: IpAddr,
    remote: IpAddr,
    seq: Option<u32>,
) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let Ok(ip) = Packet::parse(&packet) else { return packet };
    let (protocol, is_fragment) = (ip.protocol, ip.fragment.is_some());
    let Some((old_src, old_dst, start, end)) = transport(&packet, protocol) else { return packet };
    write_addresses(&mut packet, src, dst);
    let payload = &mut packet[start..end];
    match protocol {
        Protocol::UDP if !is_fragment => {
            let len = payload.len();
            let is_right = Sum::pseudo(old_src, old_dst, protocol, len).with(payload).is_valid();
            if is_right && payload.get(UDP_CHECKSUM).is_some_and(|field| field != [0, 0]) {
                write_udp_checksum(payload, Sum::pseudo(src, dst, protocol, len));
            }
        }
        Protocol::ICMP | Protocol::ICMPV6 if payload.len() > ICMP_HEADER => {
            let quoted = &mut payload[ICMP_HEADER..];
            write_addresses(quoted, dst, remote);
            if let Some(seq) = seq {
                write_quoted_seq(quoted, seq);
            }
            payload[ICMP_CHECKSUM].fill(0);
            let sum = match protocol {
                Protocol::ICMP => checksum(payload),
                _ => Sum::pseudo(src, dst, protocol, payload.len()).with(payload).checksum(),
            };
            payload[ICMP_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {}
    }
    packet
}

/// Source, destination, and where in the packet the payload begins and ends, if it is of that protocol.
fn transport(packet: &[u8], protocol: Protocol) -> Option<(IpAddr, IpAddr, usize, usize)> {
    let ip = Packet::parse(packet).ok().filter(|ip| ip.protocol == protocol)?;
    let end = ip.bytes.len();
    Some((ip.src, ip.dst, end - ip.payload.len(), end))
}

fn write_udp_checksum(datagram: &mut [u8], pseudo: Sum) {
    datagram[UDP_CHECKSUM].fill(0);
    // RFC 768: a sum of zero is sent as all ones.
    let sum = match pseudo.with(datagram).checksum() {
        0 => u16::MAX,
        sum => sum,
    };
    datagram[UDP_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the addresses into an IP header, as far as it is there.
fn write_addresses(packet: &mut [u8], src: IpAddr, dst: IpAddr) {
    match (packet.first().map(|byte| byte >> 4), src, dst) {
        (Some(4), IpAddr::V4(src), IpAddr::V4(dst)) if packet.len() >= 20 => {
            packet[12..16].copy_from_slice(&src.octets());
            packet[16..20].copy_from_slice(&dst.octets());
            let header_len = (usize::from(packet[0] & 0xf) * 4).min(packet.len());
            packet[V4_CHECKSUM].fill(0);
            let sum = checksum(&packet[..header_len]);
            packet[V4_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        }
        (Some(6), IpAddr::V6(src), IpAddr::V6(dst)) if packet.len() >= 40 => {
            packet[8..24].copy_from_slice(&src.octets());
            packet[24..40].copy_from_slice(&dst.octets());
        }
        _ => {}
    }
}

/// Writes the sequence number of a quoted segment that follows a plain IP header.
fn write_quoted_seq(quoted: &mut [u8], seq: u32) {
    let start = match quoted.first().map(|byte| byte >> 4) {
        Some(4) => usize::from(quoted[0] & 0xf) * 4,
        _ => 40,
    };
    if let Some(field) = quoted.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&seq.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustack::buf::frame::Checksum;

    /// 127.0.0.1:1000 -> 127.0.0.1:2000, "hello", with a checksum that a device was to complete.
    const PARTIAL: &[u8] = &[
        0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0x7c, 0xca, 127, 0, 0, 1, 127, 0, 0, 1, 0x03, 0xe8, 0x07, 0xd0,
        0, 13, 0xfe, 0x20, b'h', b'e', b'l', b'l', b'o',
    ];

    #[test]
    fn what_a_device_was_to_complete_is_completed_and_may_move() {
        let mut packet = PARTIAL.to_vec();
        complete_udp(&mut packet);
        let [src, dst]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        for packet in [packet.clone(), readdress(&packet, src, dst, src, None)] {
            let ip = Packet::parse(&packet).unwrap();
            let (_, payload) = udp::Header::parse(ip.payload, ip.src, ip.dst, Checksum::Full).unwrap();
            assert_eq!(payload, b"hello");
        }
    }

    #[test]
    fn what_was_damaged_stays_so() {
        let mut packet = PARTIAL.to_vec();
        packet[27] ^= 1;
        let damaged = packet.clone();
        complete_udp(&mut packet);
        assert_eq!(packet, damaged);
    }
}
