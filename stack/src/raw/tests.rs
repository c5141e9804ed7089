use super::*;

const ONE: InterfaceId = InterfaceId(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(family: Family, protocol: u8) -> RawSocket {
    RawSocket::new(family, protocol, &Buffers { packets: 4, receive: 200, send: 100_000 })
}

fn arrival(from: &str, to: &str) -> Arrival {
    Arrival { from: ip(from), to: ip(to), interface: ONE, ttl: 64, tos: 0 }
}

#[test]
fn reads_with_the_header_or_without() {
    let mut raw = socket(Family::V4, ICMP);
    let from = arrival("10.0.0.9", "10.0.0.1");
    assert!(raw.accepts(ICMP, &from) && !raw.accepts(17, &from));
    assert!(raw.deliver(from, b"HEADER", b"payload"));
    raw.options_mut().header_included = true;
    assert!(raw.deliver(from, b"HEADER", b"payload"));
    let mut out = [0; 20];
    assert_eq!(raw.next_length(), Some(7));
    assert_eq!(raw.recv_from(&mut out), Ok(Received { copied: 7, length: 7, arrival: from }));
    assert_eq!(&out[..7], b"payload");
    let cut = raw.recv_from(&mut out[..10]).unwrap();
    assert!(cut.truncated() && cut.length == 13 && &out[..10] == b"HEADERpayl");
    assert_eq!(raw.recv_from(&mut out), Err(Error::WouldBlock));
}

#[test]
fn the_filter_keeps_icmp_types_away() {
    for (family, protocol, reply, request) in [(Family::V4, ICMP, 0, 8), (Family::V6, ICMPV6, 129, 128)] {
        let mut raw = socket(family, protocol);
        let from = if family == Family::V4 { arrival("10.0.0.9", "10.0.0.1") } else { arrival("::9", "::1") };
        *raw.filter_mut() = IcmpFilter::only(&[reply]);
        assert!(raw.deliver(from, &[], &[reply, 0, 1]) && !raw.deliver(from, &[], &[request, 0, 1]));
        assert_eq!((raw.counters().received, raw.counters().filtered), (1, 1));
    }
    let mut other = socket(Family::V4, 89);
    *other.filter_mut() = IcmpFilter::BLOCK_ALL;
    assert!(other.deliver(arrival("10.0.0.9", "10.0.0.1"), &[], &[8]), "only ICMP has types");
}

#[test]
fn the_queues_are_bounded_and_count() {
    let mut raw = socket(Family::V4, 89);
    let from = arrival("10.0.0.9", "10.0.0.1");
    assert!(raw.deliver(from, &[], &[0; 150]) && !raw.deliver(from, &[], &[0; 51]));
    assert_eq!((raw.counters().dropped, raw.counters().dropped_bytes), (1, 51));
    let to = Some(ip("10.0.0.9"));
    (0..4).for_each(|_| raw.send_to(to, None, b"x").unwrap());
    assert_eq!(raw.send_to(to, None, b"x"), Err(Error::WouldBlock));
    assert!(!raw.readiness().writable && raw.readiness().readable);
}

#[test]
fn sends_what_the_options_say() {
    let mut raw = socket(Family::V6, ICMPV6);
    raw.options_mut().ttl = Some(255);
    raw.bind(Some(ip("fe80::1"))).unwrap();
    raw.send_to(Some(ip("fe80::2")), Some(ONE), b"echo").unwrap();
    assert_eq!(raw.next_departure().unwrap().interface, Some(ONE));
    assert_eq!(raw.next_packet().unwrap().bytes.concat(), b"echo");
    let packet = raw.poll_transmit().unwrap();
    assert_eq!((packet.protocol, packet.ttl, packet.checksum_offset), (ICMPV6, Some(255), Some(2)));
    assert_eq!(packet.departure.source, Some(ip("fe80::1")));
    assert!(raw.poll_transmit().is_none());
    assert_eq!(raw.counters().sent, 1);
}

#[test]
fn an_included_header_has_to_be_one() {
    let mut raw = socket(Family::V4, RAW);
    let to = Some(ip("10.0.0.9"));
    let mut packet = [0u8; 24];
    packet[0] = 0x45;
    assert_eq!(raw.send_to(to, None, &packet), Ok(()));
    assert!(raw.poll_transmit().unwrap().departure.header_included);
    packet[0] = 0x46;
    assert_eq!(raw.send_to(to, None, &packet), Ok(()));
    for (first, len) in [(0x47, 24), (0x44, 24), (0x65, 24), (0x45, 19), (0x45, 0)] {
        packet[0] = first;
        assert_eq!(raw.send_to(to, None, &packet[..len]), Err(Error::BadHeader), "{first:#x} {len}");
    }
    assert!(!raw.accepts(RAW, &arrival("10.0.0.9", "10.0.0.1")), "255 receives nothing");
    let mut six = socket(Family::V6, RAW);
    assert_eq!(six.send_to(Some(ip("::9")), None, &[0x60; 40]), Ok(()));
    assert_eq!(six.send_to(Some(ip("::9")), None, &[0x60; 39]), Err(Error::BadHeader));
}

#[test]
fn the_longest_packets_fit_and_no_longer() {
    let long = vec![0; 70_000];
    for (family, to, limit) in [(Family::V4, "10.0.0.9", 65_515), (Family::V6, "::9", 65_535)] {
        let mut raw = socket(family, 89);
        let to = Some(ip(to));
        let error = Error::MessageTooLong { length: limit + 1, limit };
        assert_eq!(raw.send_to(to, None, &long[..limit + 1]), Err(error));
        assert_eq!(raw.send_to(to, None, &long[..limit]), Ok(()));
    }
}

#[test]
fn addresses_and_interfaces_select() {
    let mut raw = socket(Family::V4, 89);
    let from = arrival("10.0.0.9", "10.0.0.1");
    assert!(raw.accepts(89, &from) && !raw.accepts(89, &arrival("::9", "::1")));
    raw.bind(Some(ip("10.0.0.2"))).unwrap();
    assert!(!raw.accepts(89, &from));
    raw.bind(Some(ip("0.0.0.0"))).unwrap();
    raw.connect(Some(ip("10.0.0.8"))).unwrap();
    assert!(!raw.accepts(89, &from));
    raw.connect(Some(ip("10.0.0.9"))).unwrap();
    raw.options_mut().interface = Some(InterfaceId(2));
    assert!(!raw.accepts(89, &from) && raw.accepts(89, &Arrival { interface: InterfaceId(2), ..from }));
    assert_eq!(raw.bind(Some(ip("::1"))), Err(Error::WrongFamily(ip("::1"))));
}

#[test]
fn errors_reach_the_connected_socket_once() {
    let mut raw = socket(Family::V4, 89);
    assert_eq!(raw.send_to(None, None, b"x"), Err(Error::DestinationRequired));
    assert!(!raw.handle_error(ip("10.0.0.9"), Error::HostUnreachable));
    raw.connect(Some(ip("10.0.0.9"))).unwrap();
    assert!(raw.handle_error(ip("10.0.0.9"), Error::HostUnreachable) && raw.readiness().error);
    assert_eq!(raw.send_to(None, None, b"x"), Err(Error::HostUnreachable));
    assert_eq!(raw.send_to(None, None, b"x"), Ok(()));
    let all = Some(ip("255.255.255.255"));
    assert_eq!(raw.send_to(all, None, b"x"), Err(Error::BroadcastDenied(ip("255.255.255.255"))));
}
