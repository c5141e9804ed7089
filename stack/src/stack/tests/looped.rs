//! What a host sends to a group, or to everyone, comes to its own sockets too.

use super::*;
use crate::udp::{Membership, Options};

const GROUPS: [(&str, &str); 2] = [("239.1.2.3", "0.0.0.0"), ("ff15::1", "[::]")];

/// A socket of each host that listens to `group`, and one of the first host's that sends.
fn members(wire: &mut Wire, (group, any): (&str, &str), options: Options) -> ([SocketId; 2], SocketId) {
    let group = group.parse().unwrap();
    let members = [0, 1].map(|host| {
        let socket = wire.hosts[host].udp_bind(format!("{any}:7").parse().unwrap()).unwrap();
        wire.hosts[host].udp_join(wire.now, socket, Membership { group, interface: ETH }).unwrap();
        socket
    });
    let sender = wire.hosts[0].udp_bind(format!("{any}:9").parse().unwrap()).unwrap();
    wire.hosts[0].udp_set_options(sender, options).unwrap();
    (members, sender)
}

/// How many datagrams wait, each `?`, and from our first host.
fn heard(wire: &mut Wire, host: usize, socket: SocketId) -> usize {
    let mut buf = [0; 9];
    let received = core::iter::from_fn(|| wire.hosts[host].udp_recv_from(socket, &mut buf).ok());
    let ours: [IpAddr; 2] = [[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()];
    received
        .inspect(|it| assert!(it.arrival.to_many && ours.contains(&it.arrival.from.ip()), "{it:?}"))
        .count()
}

fn sent_to(group: (&str, &str), options: Options) -> (usize, usize, usize) {
    let mut wire = Wire::new();
    let (members, sender) = members(&mut wire, group, options);
    let to = SocketAddr::new(group.0.parse().unwrap(), 7);
    wire.hosts[0].udp_send_to(wire.now, sender, b"?", Some(to)).unwrap();
    wire.run(10.ms());
    let counts = [0, 1].map(|host| heard(&mut wire, host, members[host]));
    (counts[0], counts[1], wire.count(0, Reason::Datagram))
}

#[test]
fn members_of_ones_own_hear_what_is_sent_to_the_group() {
    for group in GROUPS {
        assert_eq!(sent_to(group, Options::default()), (1, 1, 1));
        assert_eq!(sent_to(group, Options { multicast_loop: false, ..Options::default() }), (0, 1, 1));
        // RFC 1112 section 6.1: with a hop limit of 0 it stays in the host.
        assert_eq!(sent_to(group, Options { multicast_ttl: 0, ..Options::default() }), (1, 0, 0));
    }
}

#[test]
fn who_did_not_join_hears_nothing() {
    for (group, any) in GROUPS {
        let mut wire = Wire::new();
        let socket = wire.hosts[0].udp_bind(format!("{any}:7").parse().unwrap()).unwrap();
        let to = SocketAddr::new(group.parse().unwrap(), 7);
        wire.hosts[0].udp_send_to(wire.now, socket, b"?", Some(to)).unwrap();
        wire.run(10.ms());
        assert_eq!((heard(&mut wire, 0, socket), wire.count(0, Reason::Datagram)), (0, 1));
    }
}

#[test]
fn a_broadcast_is_heard_by_its_own_host() {
    for to in ["10.0.0.255:7", "255.255.255.255:7"] {
        let mut wire = Wire::new();
        let sockets = [0, 1].map(|host| wire.hosts[host].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap());
        wire.hosts[0].udp_set_options(sockets[0], Options { broadcast: true, ..Options::default() }).unwrap();
        wire.hosts[0].udp_send_to(wire.now, sockets[0], b"?", Some(to.parse().unwrap())).unwrap();
        wire.run(10.ms());
        assert_eq!([0, 1].map(|host| heard(&mut wire, host, sockets[host])), [1, 1], "{to}");
    }
}

#[test]
fn raw_sockets_hear_it_as_well() {
    for (group, family) in [(GROUPS[0], Family::V4), (GROUPS[1], Family::V6)] {
        let mut wire = Wire::new();
        let _members = members(&mut wire, group, Options::default());
        let sockets = [0, 0, 1].map(|host| wire.hosts[host].raw_open(family, 200).unwrap());
        let to: IpAddr = group.0.parse().unwrap();
        wire.hosts[0].raw_send_to(wire.now, sockets[0], b"?", Some(to), None).unwrap();
        wire.run(10.ms());
        for (host, socket) in [0, 0, 1].into_iter().zip(sockets) {
            let received = wire.hosts[host].raw_recv_from(socket, &mut [0; 99]);
            assert_eq!(received.map(|it| it.arrival.to), Ok(to), "of host {host}");
        }
    }
}

#[test]
fn what_was_queued_before_the_socket_was_closed_is_heard_too() {
    let mut wire = Wire::new();
    let (members, sender) = members(&mut wire, GROUPS[0], Options::default());
    let to = SocketAddr::new(GROUPS[0].0.parse().unwrap(), 7);
    wire.hosts[0].udp_send_to(wire.now, sender, b"?", Some(to)).unwrap();
    wire.hosts[0].close(wire.now, sender);
    wire.run(10.ms());
    assert_eq!([0, 1].map(|host| heard(&mut wire, host, members[host])), [1, 1]);
}

/// They wait for the next frame only: more than a queue of them is nobody's to keep.
#[test]
fn copies_that_find_no_room_are_counted() {
    let mut wire = Wire::new();
    let (members, _) = members(&mut wire, GROUPS[0], Options::default());
    let to = SocketAddr::new(GROUPS[0].0.parse().unwrap(), 7);
    for _ in 0..70 {
        let sender = wire.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
        wire.hosts[0].udp_send_to(wire.now, sender, b"?", Some(to)).unwrap();
        wire.hosts[0].close(wire.now, sender);
    }
    wire.run(10.ms());
    assert_eq!(heard(&mut wire, 0, members[0]), 64);
    assert!(wire.hosts[0].stats().ip.out_discards >= 6);
}
