//! What is dropped, and what is answered sparingly: each time somebody can see it in a counter.

use super::*;
use crate::link::DropReason;
use crate::wire::ip::Protocol;
use crate::wire::tcp::{Flags, Header};

/// A packet of IPv4 from 10.0.0.2 to 10.0.0.1 as a frame.
fn frame(protocol: Protocol, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let meta = crate::ip::output::Meta {
        hop_limit: ttl,
        ..crate::ip::output::Meta::new([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), protocol)
    };
    let mut ids = crate::ip::output::Ids::new(&mut Rng::new(9, 9));
    let mut header = [0; 64];
    let len = meta.write(&mut ids, payload.len(), &mut header).unwrap();
    let link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    [&link[..], &header[..len], payload].concat()
}

fn segment(flags: Flags, src_port: u16, seq: u32, data: &[u8]) -> Vec<u8> {
    let header =
        Header { src_port, dst_port: 7, seq: crate::wire::seq::SeqNum::new(seq), flags, ..Header::default() };
    let mut bytes = vec![0; header.header_len()];
    header.write(&mut bytes, [10, 0, 0, 2].into(), [10, 0, 0, 1].into(), [data, &[]]).unwrap();
    bytes.extend_from_slice(data);
    frame(Protocol::TCP, 64, &bytes)
}

fn receive(stack: &mut Stack, frame: &[u8]) {
    stack.handle_frame(at(1.ms()), ETH, RxFrame::plain(frame));
}

#[test]
fn what_begins_no_connection_is_counted() {
    let mut stack = host(1, 1, 1500);
    let settings = stack.config().tcp.clone();
    stack.tcp_listen("10.0.0.1:7".parse().unwrap(), 4, settings).unwrap();
    for flags in [Flags::RST, Flags::SYN | Flags::FIN, Flags::FIN] {
        receive(&mut stack, &segment(flags, 5000, 1, b""));
    }
    assert_eq!(stack.stats().tcp.listen_strays, 3);
    assert_eq!(stack.stats().tcp.in_errs, 0);
}

#[test]
fn datagrams_to_everyone_that_nobody_asked_for_are_counted() {
    let mut wire = Wire::new();
    let client = wire.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let options = crate::udp::Options { broadcast: true, ..crate::udp::Options::default() };
    wire.hosts[0].udp_set_options(client, options).unwrap();
    let send = |wire: &mut Wire| {
        wire.hosts[0].udp_send_to(wire.now, client, b"?", Some("10.0.0.255:7".parse().unwrap())).unwrap();
        wire.run(10.ms());
        let stats = wire.hosts[1].stats().udp;
        (stats.ignored_multi, stats.copies_refused, stats.no_ports)
    };
    assert_eq!(send(&mut wire), (1, 0, 0));
    let shared = crate::udp::Options { reuse_address: true, ..crate::udp::Options::default() };
    for _ in 0..70 {
        wire.hosts[1].udp_bind_with("0.0.0.0:7".parse().unwrap(), shared).unwrap();
    }
    assert_eq!(send(&mut wire), (1, 6, 0));
}

#[test]
fn broken_group_messages_are_counted_by_their_interface() {
    let mut stack = host(1, 1, 1500);
    receive(&mut stack, &frame(Protocol::IGMP, 1, &[0x11, 0, 0, 0, 0, 0, 0, 0]));
    let dropped = |stack: &Stack| stack.interfaces().nth(1).unwrap().1.stats().dropped(DropReason::BadGroup);
    assert_eq!(dropped(&stack), 1, "its checksum is wrong");
}

/// RFC 3810 section 6.2.
#[test]
fn a_query_of_groups_needs_the_router_alert() {
    let from: std::net::Ipv6Addr = "fe80::9".parse().unwrap();
    let to = crate::wire::ipv6::ALL_NODES;
    for (router_alert, refused) in [(true, 0), (false, 1)] {
        let mut stack = host(1, 1, 1500);
        // A general query of MLDv1 that asks to be answered within a second.
        let mut query = vec![130, 0, 0, 0, 3, 232, 0, 0];
        query.resize(24, 0);
        let sum = crate::wire::checksum::Sum::pseudo(from.into(), to.into(), Protocol::ICMPV6, query.len());
        let sum = sum.with(&query).checksum();
        query[2..4].copy_from_slice(&sum.to_be_bytes());
        let meta = crate::ip::output::Meta {
            hop_limit: 1,
            router_alert,
            ..crate::ip::output::Meta::new(from.into(), to.into(), Protocol::ICMPV6)
        };
        let mut ids = crate::ip::output::Ids::new(&mut Rng::new(9, 9));
        let mut header = [0; 64];
        let len = meta.write(&mut ids, query.len(), &mut header).unwrap();
        let link = [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        receive(&mut stack, &[&link[..], &header[..len], &query].concat());
        let stats = stack.interfaces().nth(1).unwrap().1.stats();
        assert_eq!(stats.dropped(DropReason::BadGroup), refused, "{router_alert}");
        assert_eq!(stack.stats().icmp_v6.in_msgs, 1);
    }
}

#[test]
fn echoes_that_a_group_was_asked_for_are_few() {
    let mut wire = Wire::new();
    let raw = wire.hosts[0].raw_open(Family::V6, 58).unwrap();
    let ask = |wire: &mut Wire, to: &str, times: u32| {
        for _ in 0..times {
            let to: IpAddr = to.parse().unwrap();
            wire.hosts[0]
                .raw_send_to(wire.now, raw, &[128, 0, 0, 0, 0, 1, 0, 1], Some(to), Some(ETH))
                .unwrap();
            wire.run(1.ms());
        }
        let stats = wire.hosts[1].stats().icmp_v6;
        (stats.out_echo_reps, stats.echo_limited)
    };
    assert_eq!(ask(&mut wire, "fd00::2", 100), (100, 0), "who is asked alone answers each time");
    assert_eq!(ask(&mut wire, "ff02::1", 100), (110, 90), "ten at once");
    wire.run(2.secs());
    assert_eq!(ask(&mut wire, "ff02::1", 5), (115, 90));
}
