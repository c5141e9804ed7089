use super::*;
use crate::ip::icmp_error::{IcmpErrors, Problem};
use crate::ip::rate_limit::RateLimits;
use crate::rng::Rng;
use crate::time::{Units, at};
use crate::wire::quote::QuotedTransport;
use crate::wire::seq::SeqNum;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// A segment from port 1024 to port 80, number 7.
const SEGMENT: [u8; 20] = [4, 0, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0];

fn packet(src: IpAddr, dst: IpAddr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let header = crate::wire::ip::Header::new(src, dst, protocol, 64, payload.len() as u16).unwrap();
    let mut packet = vec![0; header.header_len()];
    header.write(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    packet
}

/// The same packet in both families, from here to there.
fn ours(protocol: Protocol, payload: &[u8]) -> [Vec<u8>; 2] {
    let v4 = packet(HERE.into(), THERE.into(), protocol, payload);
    [v4, packet(HERE6.into(), THERE6.into(), protocol, payload)]
}

/// What the other side says about `about`, as it comes in here.
fn told(problem: Problem, about: &[u8]) -> IcmpError {
    let (here, there): (IpAddr, IpAddr) =
        if about[0] >> 4 == 4 { (HERE.into(), THERE.into()) } else { (HERE6.into(), THERE6.into()) };
    let mut errors = IcmpErrors::new(RateLimits::default(), &mut Rng::new(1, 1));
    let mut message = Vec::new();
    let answer = errors.answer(at(0.ms()), problem, about, false, there, &mut message).unwrap();
    let bytes = packet(there, here, answer.protocol, &message);
    match read(&Packet::parse(&bytes).unwrap()) {
        Ok(Incoming::Error(error)) => error,
        other => panic!("{problem:?} was read as {other:?}"),
    }
}

#[test]
fn what_one_side_tells_the_other_understands() {
    for about in ours(Protocol::TCP, &SEGMENT) {
        let kind = |problem| told(problem, &about).kind;
        assert_eq!(kind(Problem::NetworkUnreachable), ErrorKind::NetworkUnreachable);
        assert_eq!(kind(Problem::HostUnreachable), ErrorKind::HostUnreachable);
        assert_eq!(kind(Problem::ProtocolUnreachable), ErrorKind::ProtocolUnreachable);
        assert_eq!(kind(Problem::PortUnreachable), ErrorKind::PortUnreachable);
        assert_eq!(kind(Problem::Prohibited), ErrorKind::Prohibited);
        assert_eq!(kind(Problem::HopLimit), ErrorKind::HopLimitExceeded);
        assert_eq!(kind(Problem::ReassemblyTime), ErrorKind::ReassemblyTimeExceeded);
        assert_eq!(kind(Problem::PacketTooBig { mtu: 1400 }), ErrorKind::PacketTooBig { mtu: 1400 });
        let pointer = Problem::ParameterProblem { code: 0, pointer: 9 };
        assert_eq!(kind(pointer), ErrorKind::ParameterProblem { pointer: 9 });
    }
}

#[test]
fn the_quote_names_the_connection() {
    for about in ours(Protocol::TCP, &SEGMENT) {
        let error = told(Problem::HostUnreachable, &about);
        let seq = SeqNum::new(7);
        assert_eq!(error.quote.transport, QuotedTransport::Tcp { src_port: 1024, dst_port: 80, seq });
        assert_eq!(error.packet_len as usize, about.len());
        assert_eq!(error.quote.dst, error.from);
    }
}

#[test]
fn a_long_packet_keeps_its_length_in_the_quote() {
    // RFC 1191 section 5 needs it when the router does not name an MTU.
    for about in ours(Protocol::UDP, &[0; 1460]) {
        assert_eq!(told(Problem::PacketTooBig { mtu: 1280 }, &about).packet_len as usize, about.len());
    }
}

#[test]
fn codes_fall_into_kinds() {
    let v4 = |code| ErrorKind::from_unreachable_v4(code, 0);
    assert_eq!([6, 11].map(v4), [Some(ErrorKind::NetworkUnreachable); 2]);
    assert_eq!([7, 8, 12].map(v4), [Some(ErrorKind::HostUnreachable); 3]);
    assert_eq!([9, 10, 13, 14, 15].map(v4), [Some(ErrorKind::Prohibited); 5]);
    assert_eq!(v4(16), None);
    let v6 = ErrorKind::from_unreachable_v6;
    assert_eq!([2, 3].map(v6), [Some(ErrorKind::HostUnreachable); 2]);
    assert_eq!([1, 5, 6].map(v6), [Some(ErrorKind::Prohibited); 3]);
    assert_eq!(v6(7), None);
    // RFC 1122 section 3.2.2.1 and 4.2.3.9.
    assert!(ErrorKind::PortUnreachable.is_hard() && ErrorKind::ProtocolUnreachable.is_hard());
    assert!(!ErrorKind::HostUnreachable.is_hard() && !ErrorKind::HopLimitExceeded.is_hard());
}

#[test]
fn an_echo_comes_back_as_it_went() {
    for (here, there) in [(IpAddr::V4(HERE), IpAddr::V4(THERE)), (HERE6.into(), THERE6.into())] {
        let data: Vec<u8> = (0..56).collect();
        let echo = Echo { id: 0x1234, seq: 5, data: &data };
        let mut message = Vec::new();
        let protocol = echo_reply(&echo, here, there, &mut message);
        let bytes = packet(here, there, protocol, &message);
        assert_eq!(read(&Packet::parse(&bytes).unwrap()), Ok(Incoming::EchoReply(echo)));
    }
}

#[test]
fn an_echo_for_many_is_answered_over_v6_only() {
    let request = |src, dst, protocol| packet(src, dst, protocol, &[0; 8]);
    let many = request(THERE.into(), Ipv4Addr::BROADCAST.into(), Protocol::ICMP);
    assert!(!answers_echo(&Packet::parse(&many).unwrap(), true)); // RFC 1122 section 3.2.2.6
    assert!(answers_echo(
        &Packet::parse(&request(THERE.into(), HERE.into(), Protocol::ICMP)).unwrap(),
        false
    ));
    let group = request(THERE6.into(), ipv6::ALL_NODES.into(), Protocol::ICMPV6);
    assert!(answers_echo(&Packet::parse(&group).unwrap(), true)); // RFC 4443 section 4.2
    let nobody = request(Ipv6Addr::UNSPECIFIED.into(), ipv6::ALL_NODES.into(), Protocol::ICMPV6);
    assert!(!answers_echo(&Packet::parse(&nobody).unwrap(), true));
}

#[test]
fn messages_are_counted() {
    let mut stats = IcmpStats::default();
    let [about, about6] = ours(Protocol::TCP, &SEGMENT);
    stats.record(&Ok(Incoming::Error(told(Problem::HopLimit, &about))));
    stats.record(&Ok(Incoming::Error(told(Problem::PacketTooBig { mtu: 1400 }, &about))));
    stats.record(&Ok(Incoming::Error(told(Problem::ProtocolUnreachable, &about6))));
    let broken = packet(THERE.into(), HERE.into(), Protocol::ICMP, &[8, 0, 1, 1, 0, 0, 0, 0]);
    stats.record(&read(&Packet::parse(&broken).unwrap()));
    let expected = IcmpStats {
        in_msgs: 4,
        in_errors: 1,
        in_csum_errors: 1,
        in_time_excds: 1,
        in_dest_unreachs: 1,
        in_pkt_too_bigs: 1,
        in_parm_probs: 1,
        ..Default::default()
    };
    assert_eq!(stats, expected);
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    let mut quench = [4, 0, 0, 0, 0, 0, 0, 0];
    let sum = crate::wire::checksum::checksum(&quench);
    quench[2..4].copy_from_slice(&sum.to_be_bytes());
    let bytes = packet(THERE.into(), HERE.into(), Protocol::ICMP, &quench);
    assert_eq!(read(&Packet::parse(&bytes).unwrap()), Ok(Incoming::Other)); // RFC 6633 section 3
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        kind in prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129, 130, 135, 143, 200]),
        mut bytes in proptest::collection::vec(any::<u8>(), 4..120),
        version in 0u8..3,
        v6 in any::<bool>(),
    ) {
        bytes[0] = kind;
        if let Some(first) = bytes.get_mut(8) {
            *first = [0x45, 0x60, *first][usize::from(version)];
        }
        let (src, dst): (IpAddr, IpAddr) =
            if v6 { (THERE6.into(), HERE6.into()) } else { (THERE.into(), HERE.into()) };
        let protocol = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
        bytes[2..4].fill(0);
        let start = if v6 { Sum::pseudo(src, dst, protocol, bytes.len()) } else { Sum::ZERO };
        let sum = start.with(&bytes).checksum();
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        let packet = packet(src, dst, protocol, &bytes);
        IcmpStats::default().record(&read(&Packet::parse(&packet).unwrap()));
    }
}
