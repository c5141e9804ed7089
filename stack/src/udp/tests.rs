use super::*;

const PEER: &str = "10.0.0.9:5000";
const ONE: InterfaceId = InterfaceId(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(local: &str) -> UdpSocket {
    UdpSocket::new(address(local), &Buffers { datagrams: 4, receive: 100, send: 100_000 })
}

fn arrival(from: &str, to: &str) -> Arrival {
    Arrival { from: address(from), to: ip(to), to_many: false, interface: ONE, ttl: 64, tos: 0 }
}

/// RFC 1122 section 4.1.3.5 (MUST-7): the arrival tells the address that it was for.
#[test]
fn a_datagram_arrives_whole_or_truncated() {
    let mut udp = socket("0.0.0.0:7");
    assert_eq!(udp.recv_from(&mut [0; 10]), Err(Error::WouldBlock));
    assert!(!udp.readiness().readable);
    let from = arrival(PEER, "10.0.0.1");
    assert!(udp.deliver(from, b"hello") && udp.deliver(from, b"") && udp.deliver(from, b"world"));
    assert!(udp.readiness().readable);

    let mut out = [0; 10];
    assert_eq!(udp.next_length(), Some(5));
    let peeked = udp.peek_from(&mut out[..3]).unwrap();
    assert_eq!((peeked.copied, peeked.length, &out[..3]), (3, 5, &b"hel"[..]));
    let whole = udp.recv_from(&mut out).unwrap();
    assert_eq!(whole, Received { copied: 5, length: 5, arrival: from });
    assert!(!whole.truncated() && &out[..5] == b"hello");
    assert_eq!(udp.recv_from(&mut out).unwrap().length, 0);
    let part = udp.recv_from(&mut out[..2]).unwrap();
    assert!(part.truncated() && part.copied == 2 && &out[..2] == b"wo");
    assert_eq!(udp.recv_from(&mut out), Err(Error::WouldBlock));
}

#[test]
fn the_receive_queue_is_bounded_and_counts() {
    let mut udp = socket("0.0.0.0:7");
    let from = arrival(PEER, "10.0.0.1");
    assert!(udp.deliver(from, &[0; 90]));
    assert!(!udp.deliver(from, &[0; 11]), "bytes");
    (0..3).for_each(|_| assert!(udp.deliver(from, b"x")));
    assert!(!udp.deliver(from, b"x"), "datagrams");
    let counters = udp.counters();
    assert_eq!((counters.received, counters.dropped, counters.dropped_bytes), (4, 2, 12));
}

#[test]
fn sends_in_order_and_lends_the_bytes() {
    let mut udp = socket("10.0.0.1:7");
    udp.options_mut().ttl = Some(3);
    udp.options_mut().tos = 0x10;
    udp.send_to(Some(address(PEER)), b"one").unwrap();
    udp.send_from(Some(ip("10.0.0.2")), Some(address("224.0.0.5:9")), b"two").unwrap();
    assert_eq!(udp.waiting(), 2);
    assert_eq!(udp.next_departure().unwrap().0.to, address(PEER));
    assert_eq!(udp.next_datagram().unwrap().payload.concat(), b"one");

    let one = udp.poll_transmit().unwrap();
    assert_eq!(
        (one.payload.concat(), one.source_port, one.ttl, one.tos),
        (b"one".to_vec(), 7, Some(3), 0x10)
    );
    assert_eq!(one.departure.source, Some(ip("10.0.0.1")));
    let two = udp.next_datagram().unwrap();
    assert_eq!(
        (two.departure.source, two.ttl),
        (Some(ip("10.0.0.2")), Some(1)),
        "multicast stays on the link"
    );
    udp.handle_sent();
    assert!(udp.poll_transmit().is_none());
    assert_eq!(udp.counters().sent, 2);
}

#[test]
fn the_send_queue_is_bounded() {
    let mut udp = socket("0.0.0.0:7");
    let to = Some(address(PEER));
    (0..4).for_each(|_| udp.send_to(to, b"x").unwrap());
    assert_eq!(udp.send_to(to, b"x"), Err(Error::WouldBlock));
    assert!(!udp.readiness().writable);
    udp.poll_transmit();
    assert!(udp.readiness().writable && udp.send_to(to, b"x").is_ok());
}

#[test]
fn the_longest_datagrams_fit_and_no_longer() {
    let long = vec![7; MAX_PAYLOAD_V6 + 1];
    for (local, to, limit) in
        [("0.0.0.0:7", PEER, MAX_PAYLOAD_V4), ("[::]:7", "[2001:db8::9]:5000", MAX_PAYLOAD_V6)]
    {
        let mut udp = socket(local);
        let to = Some(address(to));
        let error = Error::MessageTooLong { length: limit + 1, limit };
        assert_eq!(udp.send_to(to, &long[..limit + 1]), Err(error));
        assert_eq!(udp.send_to(to, &long[..limit]), Ok(()));
        assert_eq!(udp.poll_transmit().unwrap().payload.concat().len(), limit);
        udp.set_send_buffer(100);
        assert_eq!(udp.send_to(to, &long[..101]), Err(Error::MessageTooLong { length: 101, limit: 100 }));
    }
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let mut udp = socket("0.0.0.0:7");
    assert_eq!(udp.send_to(None, b"x"), Err(Error::DestinationRequired));
    udp.connect(Some(address(PEER))).unwrap();
    assert!(udp.accepts(&arrival(PEER, "10.0.0.1")));
    assert!(!udp.accepts(&arrival("10.0.0.9:5001", "10.0.0.1")));
    assert!(!udp.accepts(&arrival("10.0.0.8:5000", "10.0.0.1")));
    assert_eq!(udp.send_to(None, b"x"), Ok(()));
    assert_eq!(udp.send_to(Some(address(PEER)), b"x"), Ok(()));
    assert_eq!(udp.send_to(Some(address("10.0.0.8:1")), b"x"), Err(Error::AlreadyConnected));
    udp.connect(None).unwrap();
    assert!(udp.accepts(&arrival("10.0.0.8:1", "10.0.0.1")));
}

#[test]
fn an_icmp_error_reaches_the_connected_socket_once() {
    let mut udp = socket("0.0.0.0:7");
    assert!(!udp.handle_error(address(PEER), Error::ConnectionRefused), "not connected");
    udp.connect(Some(address(PEER))).unwrap();
    assert!(!udp.handle_error(address("10.0.0.9:1"), Error::ConnectionRefused), "another port");
    assert!(udp.handle_error(address(PEER), Error::ConnectionRefused));
    let ready = udp.readiness();
    assert!(ready.readable && ready.writable && ready.error);
    assert_eq!(udp.recv_from(&mut []), Err(Error::ConnectionRefused));
    assert_eq!(udp.recv_from(&mut []), Err(Error::WouldBlock));
    udp.handle_error(address(PEER), Error::HostUnreachable);
    assert_eq!(udp.send_to(None, b"x"), Err(Error::HostUnreachable));
    assert_eq!((udp.send_to(None, b"x"), udp.counters().errors), (Ok(()), 2));
}

#[test]
fn an_address_takes_its_own_and_families_do_not_mix() {
    let bound = socket("10.0.0.1:7");
    assert!(bound.accepts(&arrival(PEER, "10.0.0.1")) && !bound.accepts(&arrival(PEER, "10.0.0.2")));
    let (v4, mut dual) = (socket("0.0.0.0:7"), socket("[::]:7"));
    let six = arrival("[2001:db8::9]:5000", "2001:db8::1");
    assert!(!v4.accepts(&six) && dual.accepts(&six) && dual.accepts(&arrival(PEER, "10.0.0.1")));
    dual.options_mut().only_v6 = true;
    assert!(!dual.accepts(&arrival(PEER, "10.0.0.1")));
    assert_eq!(dual.send_to(Some(address(PEER)), b"x"), Err(Error::WrongFamily(ip("10.0.0.9"))));
    assert_eq!(dual.connect(Some(address("[::1]:0"))), Err(Error::PortZero));
}

#[test]
fn a_scope_counts_when_both_sides_have_one() {
    let mut udp = socket("[::]:7");
    udp.connect(Some(address("[fe80::1%2]:9"))).unwrap();
    assert!(udp.accepts(&arrival("[fe80::1%2]:9", "fe80::2")));
    assert!(!udp.accepts(&arrival("[fe80::1%3]:9", "fe80::2")));
}

#[test]
fn broadcast_needs_its_option() {
    let mut udp = socket("0.0.0.0:7");
    let all = Some(address("255.255.255.255:9"));
    assert_eq!(udp.send_to(all, b"x"), Err(Error::BroadcastDenied(ip("255.255.255.255"))));
    udp.options_mut().broadcast = true;
    assert_eq!(udp.send_to(all, b"x"), Ok(()));
}

#[test]
fn groups_are_joined_and_left() {
    let mut udp = socket("0.0.0.0:7");
    let group = Membership { group: ip("239.1.2.3"), interface: ONE };
    let to_group = arrival(PEER, "239.1.2.3");
    assert!(!udp.accepts(&to_group));
    udp.join(group).unwrap();
    assert!(udp.accepts(&to_group));
    assert!(!udp.accepts(&Arrival { interface: InterfaceId(2), ..to_group }));
    assert_eq!(udp.join(group), Err(Error::AlreadyMember(group.group)));
    udp.leave(group).unwrap();
    assert_eq!(udp.leave(group), Err(Error::NotMember(group.group)));
    assert!(!udp.accepts(&to_group));

    let wrong = |text: &str| Membership { group: ip(text), interface: ONE };
    assert_eq!(udp.join(wrong("10.0.0.1")), Err(Error::NotMulticast(ip("10.0.0.1"))));
    assert_eq!(udp.join(wrong("ff02::1")), Err(Error::WrongFamily(ip("ff02::1"))));
    for i in 0..MAX_MEMBERSHIPS {
        udp.join(wrong(&format!("239.0.0.{i}"))).unwrap();
    }
    assert_eq!(udp.join(group), Err(Error::TooManyMemberships));
}

#[test]
fn an_idle_socket_holds_no_memory() {
    let mut udp = socket("0.0.0.0:7");
    udp.deliver(arrival(PEER, "10.0.0.1"), b"x");
    udp.send_to(Some(address(PEER)), b"x").unwrap();
    udp.shrink();
    assert!(udp.memory() > 0, "what is in use stays");
    udp.recv_from(&mut [0; 1]).unwrap();
    udp.poll_transmit();
    udp.shrink();
    assert_eq!(udp.memory(), 0);
}

#[test]
fn errors_have_the_kinds_of_std() {
    let error = std::io::Error::from(Error::DestinationRequired);
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    assert_eq!(error.to_string(), "not connected, and no destination was given");
}
