use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpFragOffset, Ipv4Header, PacketBuilder, icmpv6};
use proptest::prelude::*;

use super::*;

const THERE: [u8; 4] = [10, 0, 0, 1];
const HERE: [u8; 4] = [10, 0, 0, 2];

fn shard() -> Shard {
    Shard::all(5).nth(3).unwrap()
}

fn v6(last: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

fn built(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    build(&mut bytes);
    bytes
}

fn segment(port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(THERE, HERE, 64).tcp(port, 80, 1, 1000);
    built(|out| builder.write(out, b"data").unwrap())
}

fn owner_v4(port: u16) -> Target {
    Target::One(shard().owner((THERE.into(), port), (HERE.into(), 80)))
}

#[test]
fn flows_go_to_their_owner_on_either_medium() {
    for port in 1000..1050 {
        let packet = segment(port);
        assert_eq!(target(shard(), Medium::Ip, &packet), owner_v4(port));
        let frame = [&[2; 12][..], &[8, 0], &packet].concat();
        assert_eq!(target(shard(), Medium::Ethernet, &frame), owner_v4(port));
        let datagram =
            built(|out| PacketBuilder::ipv6(v6(1), v6(2), 64).udp(port, 53).write(out, b"ask").unwrap());
        let owner = shard().owner((v6(1).into(), port), (v6(2).into(), 53));
        assert_eq!(target(shard(), Medium::Ip, &datagram), Target::One(owner));
    }
}

/// With options, the slower way leads to the same.
#[test]
fn options_and_extension_headers_change_nothing() {
    for port in 1000..1050 {
        let plain = segment(port);
        let (mut header, rest) = Ipv4Header::from_slice(&plain).map(|(h, rest)| (h, rest.to_vec())).unwrap();
        header.options = [1, 1, 1, 0].into();
        header.total_len += 4;
        header.header_checksum = header.calc_header_checksum();
        let packet = built(|out| {
            header.write(out).unwrap();
            out.extend(rest);
        });
        assert_eq!(target(shard(), Medium::Ip, &packet), owner_v4(port));
        let mut datagram =
            built(|out| PacketBuilder::ipv6(v6(1), v6(2), 64).udp(port, 53).write(out, b"ask").unwrap());
        let plain = target(shard(), Medium::Ip, &datagram);
        // Destination options of 8 bytes, all padding.
        datagram.splice(40..40, [17, 0, 1, 4, 0, 0, 0, 0]);
        (datagram[5], datagram[6]) = (datagram[5] + 8, 60);
        assert_eq!(target(shard(), Medium::Ip, &datagram), plain);
    }
}

#[test]
fn fragments_go_to_the_first() {
    let (header, payload) =
        Ipv4Header::from_slice(&segment(1000)).map(|(h, rest)| (h, rest.to_vec())).unwrap();
    for (more_fragments, offset) in [(true, 0), (true, 8), (false, 8)] {
        let mut header = Ipv4Header {
            dont_fragment: false,
            more_fragments,
            fragment_offset: IpFragOffset::try_new(offset).unwrap(),
            ..header.clone()
        };
        header.header_checksum = header.calc_header_checksum();
        let packet = built(|out| {
            header.write(out).unwrap();
            out.extend(&payload);
        });
        assert_eq!(target(shard(), Medium::Ip, &packet), FIRST);
    }
}

#[test]
fn errors_go_where_the_quoted_packet_came_from() {
    for port in 1000..1020 {
        let ours =
            built(|out| PacketBuilder::ipv4(HERE, THERE, 64).tcp(80, port, 1, 9).write(out, &[]).unwrap());
        let unreachable = etherparse::icmpv4::DestUnreachableHeader::Host;
        let builder = PacketBuilder::ipv4([10, 0, 0, 9], HERE, 64)
            .icmpv4(Icmpv4Type::DestinationUnreachable(unreachable));
        let packet = built(|out| builder.write(out, &ours).unwrap());
        assert_eq!(target(shard(), Medium::Ip, &packet), owner_v4(port));
        let ours = built(|out| PacketBuilder::ipv6(v6(2), v6(1), 64).udp(53, port).write(out, &[]).unwrap());
        let unreachable = icmpv6::DestUnreachableCode::Port;
        let builder =
            PacketBuilder::ipv6(v6(1), v6(2), 64).icmpv6(Icmpv6Type::DestinationUnreachable(unreachable));
        let packet = built(|out| builder.write(out, &ours).unwrap());
        let owner = shard().owner((v6(1).into(), port), (v6(2).into(), 53));
        assert_eq!(target(shard(), Medium::Ip, &packet), Target::One(owner));
    }
}

#[test]
fn what_all_must_know_goes_to_each_and_the_rest_to_the_first() {
    let arp = [&[0xff; 6][..], &[2; 6], &[8, 6], &[0; 28]].concat();
    assert_eq!(target(shard(), Medium::Ethernet, &arp), Target::Each);
    let solicitation = [&[0; 4][..], &v6(2)].concat();
    let builder = PacketBuilder::ipv6(v6(1), v6(2), 255).icmpv6_raw(135, 0, [0; 4]);
    let packet = built(|out| builder.write(out, &solicitation[4..]).unwrap());
    assert_eq!(target(shard(), Medium::Ip, &packet), Target::Each);
    let echo = IcmpEchoHeader { id: 1, seq: 1 };
    let builder = PacketBuilder::ipv4(THERE, HERE, 64).icmpv4(Icmpv4Type::EchoRequest(echo));
    assert_eq!(target(shard(), Medium::Ip, &built(|out| builder.write(out, &[]).unwrap())), FIRST);
    let builder = PacketBuilder::ipv6(v6(1), v6(2), 64).icmpv6(Icmpv6Type::EchoReply(echo));
    assert_eq!(target(shard(), Medium::Ip, &built(|out| builder.write(out, &[]).unwrap())), FIRST);
}

proptest! {
    #[test]
    fn whatever_comes_has_a_target(bytes in proptest::collection::vec(any::<u8>(), 0..100), ethernet: bool) {
        let medium = if ethernet { Medium::Ethernet } else { Medium::Ip };
        match target(shard(), medium, &bytes) {
            Target::One(index) => prop_assert!(index < 5),
            Target::Each => {}
        }
    }
}
