use super::*;
use proptest::prelude::*;

const IFACE: InterfaceId = InterfaceId(3);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const HERE6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const THERE6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);

/// A host with one address of each family, which listens to all hosts and all nodes.
struct Host;

impl Local for Host {
    fn is_ours(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(HERE) || address == IpAddr::V6(HERE6)
    }
    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address == Ipv4Addr::new(10, 9, 0, 255)
    }
    fn is_member(&self, group: IpAddr) -> bool {
        group == IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)) || group == IpAddr::V6(ipv6::ALL_NODES)
    }
}

/// What is compared of a verdict.
#[derive(Debug, PartialEq)]
enum Seen {
    Deliver(Protocol, To, usize),
    Fragment { offset: usize, more: bool, data_at: usize, next_header_at: usize },
    Drop(DropReason),
    Error(Problem),
}
use Seen::{Deliver, Drop};

fn seen(bytes: &[u8], arrival: &Arrival) -> Seen {
    let read = Packet::parse(bytes);
    match check(bytes, &read, arrival, &Host) {
        Verdict::Deliver(to) => {
            let packet = read.expect("what is delivered could be read");
            Deliver(packet.protocol, to, packet.payload.len())
        }
        Verdict::Drop(reason) => Drop(reason),
        Verdict::Error(problem, packet) => {
            assert_eq!(packet, &bytes[..packet.len()]);
            Seen::Error(problem)
        }
        Verdict::Fragment(Fragment { offset, more, data_at, next_header_at, .. }) => {
            Seen::Fragment { offset, more, data_at, next_header_at }
        }
    }
}

fn arrives(bytes: &[u8]) -> Seen {
    seen(bytes, &Arrival::unicast(IFACE))
}

fn v4(src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
    packet_v4(ipv4::Header::new(src.into(), dst.into(), Protocol::UDP, 64, 8))
}

fn packet_v4(header: ipv4::Header) -> Vec<u8> {
    let mut packet = vec![0; header.header_len() + usize::from(header.payload_len)];
    header.write(&mut packet).unwrap();
    packet
}

fn v6(src: Ipv6Addr, dst: Ipv6Addr, next_header: Protocol, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; ipv6::HEADER_LEN];
    ipv6::Header::new(src, dst, next_header, 64, payload.len() as u16).write(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    packet
}

fn to_us6(next_header: Protocol, payload: &[u8]) -> Seen {
    arrives(&v6(THERE6, HERE6, next_header, payload))
}

fn parameter_problem(code: u8, pointer: u32) -> Seen {
    Seen::Error(Problem::ParameterProblem { code, pointer })
}

#[test]
fn a_good_packet_is_delivered_without_the_links_padding() {
    let mut packet = v4([10, 9, 0, 1], [10, 9, 0, 2]);
    packet.extend([0xee; 18]);
    assert_eq!(arrives(&packet), Deliver(Protocol::UDP, To::Us, 8));
    let mut packet = v6(THERE6, HERE6, Protocol::UDP, &[0; 8]);
    packet.extend([0xee; 6]);
    assert_eq!(arrives(&packet), Deliver(Protocol::UDP, To::Us, 8));
}

#[test]
fn broken_headers_are_dropped() {
    let good = v4([10, 9, 0, 1], [10, 9, 0, 2]);
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        arrives(&packet)
    };
    assert_eq!(with(10, 0), Drop(DropReason::Checksum)); // RFC 1122 section 3.2.1.2
    assert_eq!(with(0, 0x55), Drop(DropReason::Header)); // section 3.2.1.1
    assert_eq!(with(0, 0x44), Drop(DropReason::Header));
    assert_eq!(arrives(&good[..27]), Drop(DropReason::Truncated));
    assert_eq!(arrives(&good[..19]), Drop(DropReason::Truncated));
    assert_eq!(arrives(&[]), Drop(DropReason::Truncated));
    assert_eq!(arrives(&v6(THERE6, HERE6, Protocol::UDP, &[0; 8])[..47]), Drop(DropReason::Truncated));
    let short = ipv4::Header::new(THERE, HERE, Protocol::UDP, 0, 8);
    assert_eq!(arrives(&packet_v4(short)), Deliver(Protocol::UDP, To::Us, 8)); // section 3.2.1.7: a TTL of 0 is fine
}

#[test]
fn sources_that_cannot_be_are_dropped() {
    // RFC 1122 section 3.2.1.3.
    let sources = [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 9, 0, 255],
        [10, 9, 0, 2],
    ];
    for source in sources {
        assert_eq!(arrives(&v4(source, [10, 9, 0, 2])), Drop(DropReason::MartianSource), "{source:?}");
    }
    let mapped = HERE.to_ipv6_mapped();
    for source in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, ipv6::ALL_NODES, mapped, HERE6] {
        let packet = v6(source, HERE6, Protocol::UDP, &[0; 8]);
        assert_eq!(arrives(&packet), Drop(DropReason::MartianSource), "{source}");
    }
}

#[test]
fn who_has_no_address_may_speak_to_all() {
    // DHCP, IGMP and duplicate address detection begin like this.
    let all = [255, 255, 255, 255];
    assert_eq!(arrives(&v4([0; 4], all)), Deliver(Protocol::UDP, To::Broadcast, 8));
    assert_eq!(arrives(&v4([0; 4], [224, 0, 0, 1])), Deliver(Protocol::UDP, To::Multicast, 8));
    let packet = v6(Ipv6Addr::UNSPECIFIED, ipv6::ALL_NODES, Protocol::ICMPV6, &[135, 0]);
    assert_eq!(arrives(&packet), Deliver(Protocol::ICMPV6, To::Multicast, 2));
}

#[test]
fn destinations_are_ours_or_they_are_dropped() {
    let to = |dst| arrives(&v4([10, 9, 0, 1], dst));
    assert_eq!(to([10, 9, 0, 255]), Deliver(Protocol::UDP, To::Broadcast, 8));
    assert_eq!(to([224, 0, 0, 1]), Deliver(Protocol::UDP, To::Multicast, 8));
    assert_eq!(to([224, 0, 0, 251]), Drop(DropReason::NotMember));
    assert_eq!(to([10, 9, 0, 3]), Drop(DropReason::NotOurs));
    assert_eq!(to([127, 0, 0, 1]), Drop(DropReason::MartianDestination));
    assert_eq!(to([0, 0, 0, 0]), Drop(DropReason::MartianDestination));
    let to6 = |dst: &str| arrives(&v6(THERE6, dst.parse().unwrap(), Protocol::UDP, &[0; 8]));
    assert_eq!(to6("ff02::1"), Deliver(Protocol::UDP, To::Multicast, 8));
    assert_eq!(to6("ff02::2"), Drop(DropReason::NotMember));
    assert_eq!(to6("fd09::3"), Drop(DropReason::NotOurs));
    for dst in ["::1", "::", "::ffff:10.9.0.2", "ff01::1", "ff00::1"] {
        assert_eq!(to6(dst), Drop(DropReason::MartianDestination), "{dst}");
    }
}

#[test]
fn inside_the_host_other_rules_hold() {
    let inside = Arrival { loopback: true, ..Arrival::unicast(IFACE) };
    let packet = v4([127, 0, 0, 1], [127, 0, 0, 1]);
    assert_eq!(seen(&packet, &inside), Deliver(Protocol::UDP, To::Us, 8));
    let packet = v6(HERE6, HERE6, Protocol::UDP, &[0; 8]);
    assert_eq!(seen(&packet, &inside), Deliver(Protocol::UDP, To::Us, 8));
}

#[test]
fn a_link_broadcast_for_one_host_is_dropped() {
    // RFC 1122 section 3.3.6.
    let many = Arrival { link_broadcast: true, ..Arrival::unicast(IFACE) };
    assert_eq!(seen(&v4([10, 9, 0, 1], [10, 9, 0, 2]), &many), Drop(DropReason::LinkBroadcast));
    let packet = v4([10, 9, 0, 1], [255, 255, 255, 255]);
    assert_eq!(seen(&packet, &many), Deliver(Protocol::UDP, To::Broadcast, 8));
}

/// RFC 9293 section 3.9.2 (MUST-50).
#[test]
fn v4_options_are_skipped_but_source_routes_are_not_taken() {
    let with = |options: &[u8]| {
        let options = ipv4::Options::new(options).unwrap();
        arrives(&packet_v4(ipv4::Header { options, ..ipv4::Header::new(THERE, HERE, Protocol::UDP, 64, 8) }))
    };
    assert_eq!(with(&[7, 7, 4, 0, 0, 0, 0, 1]), Deliver(Protocol::UDP, To::Us, 8));
    assert_eq!(with(&[131, 7, 4, 10, 9, 0, 9, 0]), Drop(DropReason::SourceRoute));
    assert_eq!(with(&[1, 7, 40, 0]), parameter_problem(0, 21)); // RFC 1122 section 3.2.2.5
}

#[test]
fn unknown_v6_options_do_as_their_type_says() {
    // RFC 8200 section 4.2. The option stands at byte 42.
    let option = |kind: u8| {
        let header = [17, 0, kind, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        (
            to_us6(Protocol::DESTINATION_OPTIONS, &header),
            v6(THERE6, ipv6::ALL_NODES, Protocol::HOP_BY_HOP, &header),
        )
    };
    let ours = |kind| option(kind).0;
    let many = |kind| arrives(&option(kind).1);
    assert_eq!(ours(0x1e), Deliver(Protocol::UDP, To::Us, 8));
    assert_eq!(ours(0x5e), Drop(DropReason::Option));
    assert_eq!(ours(0x9e), parameter_problem(2, 42));
    assert_eq!(ours(0xde), parameter_problem(2, 42));
    assert_eq!(many(0x9e), parameter_problem(2, 42));
    assert_eq!(many(0xde), Drop(DropReason::Option));
}

#[test]
fn nothing_is_said_to_martians_or_for_others() {
    let header = [17, 0, 0x9e, 4, 0, 0, 0, 0];
    let packet = v6(THERE6, "fd09::3".parse().unwrap(), Protocol::DESTINATION_OPTIONS, &header);
    assert_eq!(arrives(&packet), Drop(DropReason::NotOurs));
    let packet = v6(Ipv6Addr::LOCALHOST, HERE6, Protocol::DESTINATION_OPTIONS, &header);
    assert_eq!(arrives(&packet), Drop(DropReason::MartianSource));
}

#[test]
fn routing_headers_and_misplaced_headers_are_reported() {
    // RFC 8200 section 4.4: points at the type. RFC 5095 leaves no type 0.
    let routed = [17, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(to_us6(Protocol::ROUTING, &routed), parameter_problem(0, 42));
    let arrived = [17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(to_us6(Protocol::ROUTING, &arrived), Deliver(Protocol::UDP, To::Us, 8));
    // RFC 8200 section 4: hop-by-hop options only directly behind the IPv6 header.
    let late = [0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(to_us6(Protocol::DESTINATION_OPTIONS, &late), parameter_problem(1, 40));
    assert_eq!(to_us6(Protocol::NONE, &[]), Drop(DropReason::NoNextHeader));
    assert_eq!(to_us6(Protocol::DESTINATION_OPTIONS, &[17, 3, 0, 0]), Drop(DropReason::Header));
}

#[test]
fn an_unknown_protocol_is_told_of() {
    let packet = v6(THERE6, HERE6, Protocol::DESTINATION_OPTIONS, &[99, 0, 1, 4, 0, 0, 0, 0]);
    let read = Packet::parse(&packet).unwrap();
    assert_eq!(unknown_protocol(&read), Problem::ParameterProblem { code: 1, pointer: 40 });
    let packet = v4([10, 9, 0, 1], [10, 9, 0, 2]);
    assert_eq!(unknown_protocol(&Packet::parse(&packet).unwrap()), Problem::ProtocolUnreachable);
}

/// A fragment header, field by field.
fn piece(next_header: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    [&[next_header, 0, high, low, 0, 0, 0, 7], data].concat()
}

#[test]
fn fragments_are_found() {
    let header =
        ipv4::Header { dont_fragment: false, id: 9, ..ipv4::Header::new(THERE, HERE, Protocol::UDP, 64, 8) };
    let packet = packet_v4(ipv4::Header { more_fragments: true, ..header });
    assert_eq!(arrives(&packet), Seen::Fragment { offset: 0, more: true, data_at: 20, next_header_at: 0 });
    let packet = packet_v4(ipv4::Header { fragment_offset: 1480, ..header });
    assert_eq!(
        arrives(&packet),
        Seen::Fragment { offset: 1480, more: false, data_at: 20, next_header_at: 0 }
    );
    let seen = to_us6(Protocol::FRAGMENT, &piece(17, 16, false, &[0; 5]));
    assert_eq!(seen, Seen::Fragment { offset: 16, more: false, data_at: 48, next_header_at: 6 });
    let behind_options = [&[44, 0, 1, 4, 0, 0, 0, 0], &piece(17, 16, true, &[0; 8])[..]].concat();
    let seen = to_us6(Protocol::HOP_BY_HOP, &behind_options);
    assert_eq!(seen, Seen::Fragment { offset: 16, more: true, data_at: 56, next_header_at: 40 });
}

#[test]
fn v6_fragments_that_cannot_be_are_reported() {
    // RFC 8200 section 4.5.
    assert_eq!(to_us6(Protocol::FRAGMENT, &piece(17, 8, true, &[0; 9])), parameter_problem(0, 4));
    assert_eq!(to_us6(Protocol::FRAGMENT, &piece(17, 65_528, false, &[0; 8])), parameter_problem(0, 42));
    // RFC 7112 section 5: all headers, the transport's among them, are in the first.
    assert_eq!(to_us6(Protocol::FRAGMENT, &piece(6, 0, true, &[0; 16])), parameter_problem(3, 0));
    assert_eq!(
        to_us6(Protocol::FRAGMENT, &piece(60, 0, true, &[17, 9, 0, 0, 0, 0, 0, 0])),
        parameter_problem(3, 0)
    );
    assert!(matches!(to_us6(Protocol::FRAGMENT, &piece(6, 0, true, &[0; 24])), Seen::Fragment { .. }));
}

#[test]
fn an_atomic_fragment_is_whole() {
    // RFC 6946 section 4: not mixed with others of the same identification.
    assert_eq!(to_us6(Protocol::FRAGMENT, &piece(17, 0, false, &[0; 8])), Deliver(Protocol::UDP, To::Us, 8));
}

#[test]
fn neighbour_discovery_does_not_come_in_fragments() {
    // RFC 6980 section 5.
    let solicitation = [135, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(to_us6(Protocol::ICMPV6, &solicitation), Deliver(Protocol::ICMPV6, To::Us, 8));
    let atomic = to_us6(Protocol::FRAGMENT, &piece(58, 0, false, &solicitation));
    assert_eq!(atomic, Drop(DropReason::FragmentedDiscovery));
    let arrival = Arrival { reassembled: true, ..Arrival::unicast(IFACE) };
    let packet = v6(THERE6, HERE6, Protocol::ICMPV6, &solicitation);
    assert_eq!(seen(&packet, &arrival), Drop(DropReason::FragmentedDiscovery));
    let echo = v6(THERE6, HERE6, Protocol::ICMPV6, &[128, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(seen(&echo, &arrival), Deliver(Protocol::ICMPV6, To::Us, 8));
}

#[test]
fn what_came_is_counted() {
    let mut stats = InputStats::default();
    let arrival = Arrival::unicast(IFACE);
    let mut broken = v4([10, 9, 0, 1], [10, 9, 0, 2]);
    broken[10] ^= 1;
    for packet in [v4([10, 9, 0, 1], [10, 9, 0, 2]), v4([10, 9, 0, 1], [10, 9, 0, 3]), broken] {
        let read = Packet::parse(&packet);
        let verdict = check(&packet, &read, &arrival, &Host);
        stats.record(packet.len(), &read, &verdict, arrival.reassembled);
    }
    assert_eq!((stats.in_receives, stats.in_delivers, stats.in_octets), (3, 1, 84));
    assert_eq!((stats.in_addr_errors, stats.in_hdr_errors, stats.in_csum_errors), (1, 1, 1));
    assert_eq!((stats.dropped(DropReason::NotOurs), stats.dropped(DropReason::Checksum)), (1, 1));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        kind in 0u8..4,
        next in prop::sample::select(vec![0u8, 6, 17, 43, 44, 51, 58, 59, 60]),
    ) {
        let bytes = match kind {
            0 => bytes,
            1 => v6(THERE6, HERE6, Protocol(next), &bytes),
            2 => v6(THERE6, HERE6, Protocol::FRAGMENT, &[&[next], &bytes[..]].concat()),
            _ => {
                let header = ipv4::Header::new(THERE, HERE, Protocol(next), 64, bytes.len() as u16);
                let options = ipv4::Options::new(&bytes[..bytes.len().min(40)]).unwrap();
                let mut packet = vec![0; 60];
                let len = ipv4::Header { options, ..header }.write(&mut packet).unwrap();
                packet.truncate(len);
                packet.extend(bytes);
                packet
            }
        };
        let mut stats = InputStats::default();
        let read = Packet::parse(&bytes);
        let verdict = check(&bytes, &read, &Arrival::unicast(IFACE), &Host);
        stats.record(bytes.len(), &read, &verdict, false);
        if let Verdict::Fragment(fragment) = verdict {
            prop_assert!(fragment.next_header_at < fragment.data_at && fragment.data_at <= fragment.packet.len());
        }
        if let Verdict::Error(problem, packet) = verdict {
            let _ = super::super::icmp_error::may_answer(problem, packet, false);
        }
    }
}
