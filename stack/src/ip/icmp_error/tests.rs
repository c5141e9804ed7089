use super::*;
use crate::time::{Units, at};

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    packet_v4(ipv4::Header::new(src, dst, protocol, 64, payload.len() as u16), payload)
}

fn packet_v4(header: ipv4::Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20];
    header.write(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    packet
}

fn v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    ipv6::Header::new(src, dst, protocol, 64, payload.len() as u16).write(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    packet
}

fn port(packet: &[u8]) -> Result<IpAddr, Refusal> {
    may_answer(Problem::PortUnreachable, packet, false)
}

#[test]
fn an_ordinary_packet_is_answered() {
    assert_eq!(port(&v4(THERE, HERE, Protocol::UDP, &[0; 8])), Ok(THERE.into()));
    assert_eq!(port(&v6(THERE6, HERE6, Protocol::UDP, &[0; 8])), Ok(THERE6.into()));
    assert_eq!(port(&v4(THERE, HERE, Protocol::ICMP, &[8, 0])), Ok(THERE.into()));
    assert_eq!(port(&v6(THERE6, HERE6, Protocol::ICMPV6, &[128, 0])), Ok(THERE6.into()));
}

#[test]
fn nothing_for_many_is_answered() {
    // RFC 1122 section 3.2.2: broadcast, multicast, link-layer broadcast.
    let packet = v4(THERE, HERE, Protocol::UDP, &[0; 8]);
    assert_eq!(may_answer(Problem::PortUnreachable, &packet, true), Err(Refusal::Many));
    assert_eq!(port(&v4(THERE, Ipv4Addr::BROADCAST, Protocol::UDP, &[0; 8])), Err(Refusal::Many));
    assert_eq!(port(&v4(THERE, Ipv4Addr::new(224, 0, 0, 1), Protocol::UDP, &[0; 8])), Err(Refusal::Many));
    assert_eq!(port(&v6(THERE6, ipv6::ALL_NODES, Protocol::UDP, &[0; 8])), Err(Refusal::Many));
}

#[test]
fn two_v6_errors_answer_a_group() {
    // RFC 4443 section 2.4 (e.3).
    let packet = v6(THERE6, ipv6::ALL_NODES, Protocol::UDP, &[0; 8]);
    let answer = |problem| may_answer(problem, &packet, true);
    assert_eq!(answer(Problem::PacketTooBig { mtu: 1280 }), Ok(THERE6.into()));
    assert_eq!(answer(Problem::ParameterProblem { code: 2, pointer: 42 }), Ok(THERE6.into()));
    assert_eq!(answer(Problem::ParameterProblem { code: 0, pointer: 42 }), Err(Refusal::Many));
}

#[test]
fn an_error_is_not_answered() {
    for kind in [3, 4, 5, 11, 12, 40, 255] {
        assert_eq!(port(&v4(THERE, HERE, Protocol::ICMP, &[kind, 0])), Err(Refusal::Error), "type {kind}");
    }
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        assert_eq!(
            port(&v6(THERE6, HERE6, Protocol::ICMPV6, &[kind, 0])),
            Err(Refusal::Error),
            "type {kind}"
        );
    }
    assert_eq!(port(&v4(THERE, HERE, Protocol::ICMP, &[])), Err(Refusal::Error));
    let behind_options = [Protocol::ICMPV6.0, 0, 1, 4, 0, 0, 0, 0, 1, 0];
    assert_eq!(port(&v6(THERE6, HERE6, Protocol::DESTINATION_OPTIONS, &behind_options)), Err(Refusal::Error));
}

#[test]
fn only_a_first_fragment_is_answered() {
    let header =
        ipv4::Header { dont_fragment: false, ..ipv4::Header::new(THERE, HERE, Protocol::UDP, 64, 8) };
    let first = ipv4::Header { more_fragments: true, ..header };
    let second = ipv4::Header { fragment_offset: 8, ..header };
    assert_eq!(port(&packet_v4(first, &[0; 8])), Ok(THERE.into()));
    assert_eq!(port(&packet_v4(second, &[0; 8])), Err(Refusal::Fragment));
}

#[test]
fn a_source_must_be_one_host() {
    let sources =
        [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 255]];
    for source in sources {
        assert_eq!(
            port(&v4(source.into(), HERE, Protocol::UDP, &[0; 8])),
            Err(Refusal::Source),
            "{source:?}"
        );
    }
    for source in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, ipv6::ALL_NODES] {
        assert_eq!(port(&v6(source, HERE6, Protocol::UDP, &[0; 8])), Err(Refusal::Source), "{source:?}");
    }
    let inner = v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, Protocol::UDP, &[0; 8]);
    assert_eq!(port(&inner), Ok(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn what_is_no_packet_is_not_answered() {
    assert_eq!(port(&[]), Err(Refusal::Unreadable));
    assert_eq!(port(&[0x45; 19]), Err(Refusal::Unreadable));
    assert_eq!(port(&[0x60; 39]), Err(Refusal::Unreadable));
    assert_eq!(port(&[0x50; 60]), Err(Refusal::Unreadable));
}

#[test]
fn the_quote_is_bounded() {
    let mut errors = IcmpErrors::new(RateLimits::default(), &mut Rng::new(1, 1));
    let mut message = Vec::new();
    let packet = v4(THERE, HERE, Protocol::UDP, &[7; 1400]);
    let answer =
        errors.answer(at(0.ms()), Problem::PortUnreachable, &packet, false, HERE.into(), &mut message);
    assert_eq!(answer.unwrap().destination, IpAddr::V4(THERE));
    assert_eq!(20 + message.len(), 576); // RFC 1812 section 4.3.2.3
    assert_eq!((&message[..2], &message[8..]), (&[3, 3][..], &packet[..548]));
    assert!(Sum::ZERO.with(&message).is_valid());

    let packet = v6(THERE6, HERE6, Protocol::UDP, &[7; 1400]);
    let answer =
        errors.answer(at(0.ms()), Problem::PortUnreachable, &packet, false, HERE6.into(), &mut message);
    let answer = answer.unwrap();
    assert_eq!(40 + message.len(), 1280); // RFC 4443 section 2.4 (c)
    assert_eq!((&message[..2], &message[8..]), (&[1, 4][..], &packet[..1232]));
    let pseudo = Sum::pseudo(answer.source, answer.destination, answer.protocol, message.len());
    assert!(pseudo.with(&message).is_valid());
    assert_eq!((errors.stats_v4().out_dest_unreachs, errors.stats_v6().out_dest_unreachs), (1, 1));

    let short = v4(THERE, HERE, Protocol::UDP, &[7; 8]);
    errors.answer(at(0.ms()), Problem::PortUnreachable, &short, false, HERE.into(), &mut message).unwrap();
    assert_eq!(message[8..], short);
}

#[test]
fn each_problem_has_its_numbers() {
    let mut errors = IcmpErrors::new(RateLimits::default(), &mut Rng::new(1, 1));
    let mut numbers = |problem| {
        let (mut message, mut heads) = (Vec::new(), Vec::new());
        for (packet, source) in [
            (v4(THERE, HERE, Protocol::UDP, &[0; 8]), IpAddr::V4(HERE)),
            (v6(THERE6, HERE6, Protocol::UDP, &[0; 8]), HERE6.into()),
        ] {
            errors.answer(at(0.ms()), problem, &packet, false, source, &mut message).unwrap();
            heads.push((message[0], message[1], u32::from_be_bytes(message[4..8].try_into().unwrap())));
        }
        (heads[0], heads[1])
    };
    assert_eq!(numbers(Problem::NetworkUnreachable), ((3, 0, 0), (1, 0, 0)));
    assert_eq!(numbers(Problem::HostUnreachable), ((3, 1, 0), (1, 3, 0)));
    assert_eq!(numbers(Problem::ProtocolUnreachable), ((3, 2, 0), (4, 1, 6)));
    assert_eq!(numbers(Problem::Prohibited), ((3, 13, 0), (1, 1, 0)));
    assert_eq!(numbers(Problem::PacketTooBig { mtu: 1400 }), ((3, 4, 1400), (2, 0, 1400)));
    assert_eq!(numbers(Problem::HopLimit), ((11, 0, 0), (3, 0, 0)));
    assert_eq!(numbers(Problem::ReassemblyTime), ((11, 1, 0), (3, 1, 0)));
    let pointer = Problem::ParameterProblem { code: 2, pointer: 42 };
    assert_eq!(numbers(pointer), ((12, 0, 42 << 24), (4, 2, 42)));
}

#[test]
fn a_flood_is_answered_a_few_times() {
    let mut errors = IcmpErrors::new(RateLimits::default(), &mut Rng::new(1, 1));
    let packet = v4(THERE, HERE, Protocol::UDP, &[0; 8]);
    let mut message = Vec::new();
    let mut answer = |packet: &[u8]| {
        errors.answer(at(0.ms()), Problem::PortUnreachable, packet, false, HERE.into(), &mut message)
    };
    assert_eq!((0..1000).filter(|_| answer(&packet).is_ok()).count(), 20);
    assert_eq!(answer(&packet), Err(Refusal::RateLimited));
    assert_eq!(answer(&v4(THERE, HERE, Protocol::ICMP, &[3, 3])), Err(Refusal::Error));
    assert_eq!((errors.stats_v4().rate_limited, errors.stats_v4().refused), (981, 1));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        first in 0usize..4,
    ) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = [0x45, 0x60, 0x4f, *byte][first];
        }
        let _ = port(&bytes);
    }
}
