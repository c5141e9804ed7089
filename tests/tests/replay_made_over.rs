//! Captures of `pcaps/` made over: as a loopback would have shown them, with checksums that nobody completed, and with
//! ICMP errors about a connection.

use std::net::IpAddr;
use std::path::Path;

use ustack::capture::{LinkType, Reader, Record, Writer};
use ustack::time::Duration;
use ustack::wire::checksum::{Sum, checksum};
use ustack::wire::ip::{Packet, Protocol};
use ustack_tools::replay::{Capture, Difference, Report, Role, replay};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// The IP packets of a capture.
fn packets(name: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(format!("{name}.pcap"));
    let mut reader = Reader::open(file).expect("it is there");
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet().expect("it is whole") {
        packets.extend(packet.ip_packet().map(<[u8]>::to_vec));
    }
    packets
}

/// A capture of these IP packets behind a header of the link, a millisecond apart.
fn capture(link: LinkType, header: &[u8], packets: &[Vec<u8>]) -> Capture {
    let mut writer = Writer::new(Vec::new()).expect("memory is there");
    let interface = writer.add_interface("lo", link).expect("memory is there");
    for (number, packet) in (0..).zip(packets) {
        let time = ustack::time::Instant::ZERO + Duration::from_millis(number);
        let record = Record { interface, time, direction: None, comment: None };
        writer.write(&record, &[header, packet]).expect("memory is there");
    }
    Capture::read(&writer.into_inner().expect("memory is there")[..]).expect("it is a capture")
}

fn play(capture: Capture, role: Role) -> Report {
    let conversation = capture.choose(None).expect("there is one");
    replay(&conversation, role, 7).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn assert_right(report: &Report) {
    assert!(report.bytes_are_equal() && report.played == report.to_play, "{report}");
    assert!(report.broken_rules.is_empty() && report.stalled.is_none(), "{report}");
}

/// The packet from 127.0.0.1 to itself, with the sum over the pseudo header where a device would complete it.
fn on_loopback(mut packet: Vec<u8>) -> Vec<u8> {
    let is_v4 = packet[0] >> 4 == 4;
    if is_v4 {
        packet[12..20].copy_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1]);
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let address = std::net::Ipv6Addr::LOCALHOST.octets();
        packet[8..24].copy_from_slice(&address);
        packet[24..40].copy_from_slice(&address);
    }
    let ip = Packet::parse(&packet).expect("it was one before");
    let (start, protocol) = (ip.bytes.len() - ip.payload.len(), ip.protocol);
    let sum = Sum::pseudo(ip.src, ip.dst, protocol, ip.payload.len()).partial();
    let field = match protocol {
        Protocol::TCP => start + 16,
        _ => start + 6,
    };
    packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn a_loopback_is_played_behind_every_header() {
    let links: [(LinkType, &[u8]); 5] = [
        (LinkType::Ethernet, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        (LinkType::Null, &[2, 0, 0, 0]),
        (LinkType::Raw, &[]),
        (LinkType::LinuxSll, &[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        (LinkType::LinuxSll2, &[8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (link, header) in links {
        for name in ["tcp4-client-closes-first", "udp4-exchange", "tcp4-loss-receiver"] {
            for role in ROLES {
                let packets: Vec<_> = packets(name).into_iter().map(on_loopback).collect();
                let report = play(capture(link, header, &packets), role);
                assert_right(&report);
                assert!(report.client.ip().is_loopback(), "as it was recorded: {}", report.client);
            }
        }
    }
}

#[test]
fn a_loopback_of_ipv6_is_played_too() {
    let is_ours = |packet: &Vec<u8>| matches!(packet[6], 6 | 17);
    for name in ["tcp6-client-closes-first", "udp6-exchange"] {
        for role in ROLES {
            let packets: Vec<_> = packets(name).into_iter().filter(is_ours).map(on_loopback).collect();
            assert_right(&play(capture(LinkType::Raw, &[], &packets), role));
        }
    }
}

/// An ICMP error of a router on the way, about the packet.
fn unreachable(about: &[u8], code: u8) -> Vec<u8> {
    let ip = Packet::parse(about).expect("it is one");
    let IpAddr::V4(back) = ip.src else { panic!("this is for IPv4") };
    let quoted = &about[..28];
    let mut packet = vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 9, 1, 254];
    packet.extend_from_slice(&back.octets());
    packet.extend_from_slice(&[3, code, 0, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(quoted);
    for (field, range) in [(10, 0..20), (22, 20..56)] {
        let sum = checksum(&packet[range]);
        packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

#[test]
fn an_error_that_refuses_a_connection_reaches_it() {
    const PORT_UNREACHABLE: u8 = 3;
    let syn = packets("tcp4-refused").swap_remove(0);
    let error = unreachable(&syn, PORT_UNREACHABLE);
    let report = play(capture(LinkType::Raw, &[], &[syn.clone(), error]), Role::Client);
    assert_right(&report);
    assert_eq!((report.played, report.our_segments), (1, 1), "nothing is sent again: {report}");

    // Nobody answers it: it would be sent again, if the recorded one had not given up.
    let report = play(capture(LinkType::Raw, &[], &[syn]), Role::Client);
    assert_eq!(report.played, 0);
}

#[test]
fn an_error_about_an_open_connection_does_not_end_it() {
    const HOST_UNREACHABLE: u8 = 1;
    let mut packets = packets("tcp4-client-closes-first");
    let is_data = |packet: &&Vec<u8>| packet.len() > 200 && packet[15] == 1;
    let error =
        unreachable(packets.iter().find(is_data).expect("the client says something"), HOST_UNREACHABLE);
    let after = packets.iter().position(|packet| is_data(&packet)).expect("as before") + 1;
    packets.insert(after, error);
    let report = play(capture(LinkType::Raw, &[], &packets), Role::Client);
    assert_right(&report);
    let strange = report.differences().find(|(kind, _)| *kind == Difference::Reset);
    assert!(strange.is_none(), "{report}");
}
