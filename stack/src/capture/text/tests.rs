use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::wire::ethernet::{EtherType, MacAddr};
use crate::wire::ip::Header;
use crate::wire::tcp::{SackBlock, Timestamps};
use crate::wire::{icmpv4, icmpv6, ipv4, ndp};

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

fn line(bytes: &[u8]) -> String {
    Text::absolute().line(LinkType::Raw, bytes)
}

fn packet(src: IpAddr, dst: IpAddr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(src, dst, protocol, 64, payload.len() as u16).expect("addresses of one family");
    let mut bytes = vec![0; header.header_len()];
    header.write(&mut bytes).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

fn segment(src: Ipv4Addr, dst: Ipv4Addr, header: &tcp::Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; header.header_len()];
    header.write(&mut bytes, src.into(), dst.into(), [payload, b""]).unwrap();
    bytes.extend_from_slice(payload);
    packet(src.into(), dst.into(), Protocol::TCP, &bytes)
}

fn header(ports: (u16, u16), seq: u32, ack: u32, flags: Flags) -> tcp::Header {
    let (src_port, dst_port) = ports;
    let (seq, ack) = (SeqNum::new(seq), SeqNum::new(ack));
    tcp::Header { src_port, dst_port, seq, ack, flags, window: 502, ..tcp::Header::default() }
}

#[test]
fn a_connection_in_both_ways_of_counting() {
    let syn_options =
        Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..Options::default() };
    let mut late = Options { timestamps: Some(Timestamps { value: 5, echo: 4 }), ..Options::default() };
    late.sack.push(SackBlock { start: SeqNum::new(1013), end: SeqNum::new(1025) });
    let segments = [
        segment(A, B, &tcp::Header { options: syn_options, ..header((40000, 7), 1000, 0, Flags::SYN) }, b""),
        segment(B, A, &header((7, 40000), 5000, 1001, Flags::SYN | Flags::ACK), b""),
        segment(A, B, &header((40000, 7), 1001, 5001, Flags::PSH | Flags::ACK), b"hello, world"),
        segment(B, A, &tcp::Header { options: late, ..header((7, 40000), 5001, 1001, Flags::ACK) }, b""),
        segment(A, B, &header((40000, 7), 1025, 5001, Flags::FIN | Flags::ACK), b""),
    ];
    let mut text = Text::relative();
    let lines: Vec<String> = segments.iter().map(|bytes| text.line(LinkType::Raw, bytes)).collect();
    assert_eq!(
        lines,
        [
            "10.9.0.1:40000 > 10.9.0.2:7 TCP [S] seq 0 win 502 <mss 1460,wscale 7,sackOK> len 0",
            "10.9.0.2:7 > 10.9.0.1:40000 TCP [S.] seq 0 ack 1 win 502 len 0",
            "10.9.0.1:40000 > 10.9.0.2:7 TCP [P.] seq 1:13 ack 1 win 502 len 12",
            "10.9.0.2:7 > 10.9.0.1:40000 TCP [.] ack 1 win 502 <TS 5 ecr 4,sack 13:25> len 0",
            "10.9.0.1:40000 > 10.9.0.2:7 TCP [F.] seq 25 ack 1 win 502 len 0",
        ]
    );
    assert_eq!(
        line(&segments[2]),
        "10.9.0.1:40000 > 10.9.0.2:7 TCP [P.] seq 1001:1013 ack 5001 win 502 len 12"
    );
    let mut damaged = segments[2].clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(line(&damaged).ends_with("len 12 (wrong checksum)"), "{}", line(&damaged));
}

#[test]
fn other_protocols() {
    let mut udp = vec![0; 8];
    let header = udp::Header { src_port: 5353, dst_port: 53 };
    header.write(&mut udp, A6.into(), B6.into(), [b"query", b""]).unwrap();
    udp.extend_from_slice(b"query");
    let datagram = packet(A6.into(), B6.into(), Protocol::UDP, &udp);
    assert_eq!(line(&datagram), "[fd09::1]:5353 > [fd09::2]:53 UDP len 5");

    let mut echo = vec![0; 12];
    icmpv4::Message::EchoRequest { id: 1, seq: 2, data: b"ping" }.write(&mut echo).unwrap();
    let request = packet(A.into(), B.into(), Protocol::ICMP, &echo);
    assert_eq!(line(&request), "10.9.0.1 > 10.9.0.2 ICMP echo request id 1 seq 2 len 4");

    let quoted = &segment(B, A, &tests::header((7, 40000), 9, 0, Flags::SYN), b"")[..28];
    let message = icmpv4::Message::DestinationUnreachable { code: 3, mtu: 0, quoted };
    let mut error = vec![0; message.wire_len()];
    message.write(&mut error).unwrap();
    assert_eq!(
        line(&packet(A.into(), B.into(), Protocol::ICMP, &error)),
        "10.9.0.1 > 10.9.0.2 ICMP port unreachable for 10.9.0.2:7 > 10.9.0.1:40000 TCP"
    );

    let message = icmpv6::Message::Ndp(ndp::Message::NeighborAdvertisement {
        target: B6,
        target_link: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        router: false,
        solicited: true,
        override_cached: true,
    });
    let mut advertisement = vec![0; message.wire_len()];
    message.write(&mut advertisement, B6, A6).unwrap();
    assert_eq!(
        line(&packet(B6.into(), A6.into(), Protocol::ICMPV6, &advertisement)),
        "fd09::2 > fd09::1 ICMPv6 neighbor advertisement fd09::2 is-at 02:00:00:00:00:01 solicited override"
    );
}

#[test]
fn fragments_arp_and_the_rest() {
    let mut header = ipv4::Header::new(A, B, Protocol::UDP, 64, 16);
    (header.id, header.fragment_offset, header.more_fragments) = (0x1234, 1480, true);
    header.dont_fragment = false;
    let mut fragment = vec![0; header.header_len()];
    header.write(&mut fragment).unwrap();
    fragment.extend_from_slice(&[0; 16]);
    assert_eq!(line(&fragment), "10.9.0.1 > 10.9.0.2 UDP fragment id 0x1234 offset 1480 len 16+");
    assert_eq!(line(&[0x45, 0]), "IP broken: IPv4 at byte 0 needs 20 bytes and has 2");
    assert_eq!(line(&[0x95; 30]), "no IP packet, len 30");

    let request = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender_ip: A,
        target_mac: MacAddr([0; 6]),
        target_ip: B,
    };
    let frame = |packet: &arp::Packet, ether_type| {
        let (src, dst) = (packet.sender_mac, MacAddr([0xff; 6]));
        let header = ethernet::Header { dst, src, ether_type };
        [&header.to_bytes()[..], &packet.to_bytes()].concat()
    };
    let mut text = Text::absolute();
    let mut ethernet = |bytes: Vec<u8>| text.line(LinkType::Ethernet, &bytes);
    assert_eq!(ethernet(frame(&request, EtherType::ARP)), "ARP who-has 10.9.0.2 tell 10.9.0.1");
    let announcement = arp::Packet { target_ip: A, ..request };
    assert_eq!(
        ethernet(frame(&announcement, EtherType::ARP)),
        "ARP announce 10.9.0.1 is-at 02:00:00:00:00:01"
    );
    assert_eq!(
        ethernet(frame(&request, EtherType(0x88cc))),
        "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff type 0x88cc len 28"
    );
    assert_eq!(ethernet(vec![0; 3]), "broken: Ethernet at byte 0 needs 14 bytes and has 3");
}

#[test]
fn a_connection_that_was_joined_late_counts_from_one() {
    let mut text = Text::relative();
    let bytes = segment(A, B, &header((1, 2), 777, 888, Flags::ACK), b"abc");
    assert_eq!(
        text.line(LinkType::Raw, &bytes),
        "10.9.0.1:1 > 10.9.0.2:2 TCP [.] seq 1:4 ack 888 win 502 len 3"
    );
}

proptest! {
    #[test]
    fn whatever_the_bytes_there_is_one_line(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), start in 0usize..8, ethernet: bool,
    ) {
        let mut bytes = bytes;
        let starts: [&[u8]; 8] = [b"", &[0x45], &[0x60], &[0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6],
            &[0x60, 0, 0, 0, 0, 40, 58, 255], &[0x60, 0, 0, 0, 0, 40, 6, 255], &[0x60, 0, 0, 0, 0, 40, 0, 255], &[0x45, 0, 0, 60, 0, 0, 0, 0, 64, 2]];
        for (byte, start) in bytes.iter_mut().zip(starts[start]) {
            *byte = *start;
        }
        let link_type = if ethernet { LinkType::Ethernet } else { LinkType::Raw };
        if ethernet {
            bytes.splice(0..0, [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0]);
        }
        let line = Text::relative().line(link_type, &bytes);
        prop_assert!(!line.is_empty() && !line.contains('\n'));
    }
}
