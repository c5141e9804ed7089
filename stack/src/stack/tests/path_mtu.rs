//! What is believed of messages about path MTUs (RFC 5927 section 7).

use super::*;
use crate::ip::icmp_error::Problem;
use crate::ip::pmtu::PmtuStats;
use crate::ip::route::{Prefix, Route};

const ETHERNET: usize = 14;
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

impl Wire {
    /// What host 0 says now is lost; answers the IP packets.
    fn lose_now(&mut self) -> Vec<Vec<u8>> {
        self.transmit();
        let (lost, kept) = self.flight.drain(..).partition(|&(_, to, _)| to == 1);
        self.flight = kept;
        Vec::from_iter::<Vec<(Instant, usize, Vec<u8>)>>(lost)
            .into_iter()
            .map(|(_, _, frame)| frame[ETHERNET..].to_vec())
            .collect()
    }

    /// Host 1 tells host 0 that a packet was too big.
    fn complain(&mut self, packet: &[u8], mtu: u32) {
        self.hosts[1].answer_error(self.now, ETH, Problem::PacketTooBig { mtu }, packet, false);
        self.run(2.ms());
    }

    fn learned(&self) -> PmtuStats {
        self.hosts[0].stats().path_mtu
    }

    fn send_large(&mut self, client: SocketId) -> Vec<u8> {
        self.hosts[0].tcp_send(self.now, client, &[7; 5000]).unwrap();
        let lost = self.lose_now();
        lost.into_iter().find(|packet| packet.len() == 1500).expect("a full segment")
    }
}

#[test]
fn the_first_segments_may_be_too_large_at_once() {
    let mut wire = Wire::new();
    let (_, client, server) = wire.connect("10.0.0.2:7");
    let packet = wire.send_large(client);
    wire.complain(&packet, 1000);
    assert_eq!((wire.learned().lowered, wire.learned().doubted), (1, 0));
    wire.run(100.ms());
    assert_eq!(read_all(&mut wire.hosts[1], wire.now, server).0.len(), 5000);
    assert_eq!(wire.count(0, Reason::Rto), 0);
}

/// RFC 5927 section 7.2.
#[test]
fn less_than_what_has_arrived_is_believed_only_when_nothing_arrives_any_more() {
    let mut wire = Wire::new();
    let (_, client, server) = wire.connect("10.0.0.2:7");
    wire.hosts[0].tcp_send(wire.now, client, &[7; 20_000]).unwrap();
    wire.run(100.ms());

    // Somebody guesses: what it was about arrives.
    wire.hosts[0].tcp_send(wire.now, client, &[7; 5000]).unwrap();
    wire.transmit();
    let frame = wire.flight.iter().find(|(_, to, frame)| *to == 1 && frame.len() == 1514).unwrap().2.clone();
    wire.complain(&frame[ETHERNET..], 600);
    assert_eq!((wire.learned().doubted, wire.learned().lowered), (1, 0));
    wire.run(1.secs());
    assert_eq!(wire.hosts[0].pmtu.get(SERVER), None);

    // The same when the path is another: nothing arrives until it is believed.
    let packet = wire.send_large(client);
    wire.complain(&packet, 600);
    assert_eq!((wire.learned().doubted, wire.learned().lowered), (2, 0));
    wire.lose = |from, _| from == 0;
    wire.run(500.ms());
    wire.lose = |_, _| false;
    wire.run(2.secs());
    assert_eq!(wire.learned().lowered, 1);
    assert_eq!(wire.hosts[0].tcp_info(client).unwrap().pmtu, 600);
    assert!(wire.count(0, Reason::Rto) > 0);
    assert_eq!(read_all(&mut wire.hosts[1], wire.now, server).0.len(), 30_000);
}

#[test]
fn each_connection_to_a_host_hears_of_its_own_losses() {
    let mut wire = Wire::new();
    let (listener, first, _) = wire.connect("10.0.0.2:7");
    let settings = wire.hosts[0].config().tcp.clone();
    let second = wire.hosts[0].tcp_connect(wire.now, "10.0.0.2:7".parse().unwrap(), None, settings).unwrap();
    wire.run(10.ms());
    let (server, _) = wire.hosts[1].tcp_accept(wire.now, listener).unwrap();
    let packets = [first, second].map(|client| wire.send_large(client));
    wire.complain(&packets[0], 1000);
    wire.complain(&packets[1], 1000);
    wire.run(50.ms());
    assert_eq!(read_all(&mut wire.hosts[1], wire.now, server).0.len(), 5000, "without its timer");
    assert_eq!((wire.learned().lowered, wire.count(0, Reason::Rto)), (1, 0));
}

#[test]
fn a_datagram_that_was_never_sent_teaches_nothing() {
    let mut wire = Wire::new();
    let socket = wire.hosts[0].udp_bind("0.0.0.0:5000".parse().unwrap()).unwrap();
    wire.hosts[0].udp_send_to(wire.now, socket, &[1; 1400], Some("10.0.0.2:9".parse().unwrap())).unwrap();
    wire.run(10.ms());
    wire.hosts[0].udp_send_to(wire.now, socket, &[1; 1400], Some("10.0.0.2:9".parse().unwrap())).unwrap();
    let sent = wire.lose_now().pop().unwrap();
    for last in 10..20 {
        let mut forged = sent.clone();
        forged[19] = last;
        wire.complain(&forged, 600);
    }
    assert_eq!((wire.learned().lowered, wire.learned().ignored_unsent), (0, 10));
    // Another destination came since; the first is remembered all the same.
    wire.hosts[0].udp_send_to(wire.now, socket, b"?", Some("10.0.0.3:9".parse().unwrap())).unwrap();
    wire.complain(&sent, 600);
    assert_eq!(wire.hosts[0].pmtu.get(SERVER).map(|known| known.mtu), Some(600));
}

#[test]
fn an_mtu_that_cannot_be_is_refused() {
    let mut stack = host(1, 1, 1500);
    let config = || InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 9])) };
    let device = |mtu| Capabilities::plain(Medium::Ethernet, mtu);
    let mut add = |config, mtu| stack.add_interface(at(0.ms()), config, device(mtu));
    assert_eq!(add(config(), 67), Err(Error::MtuTooSmall { mtu: 67, least: 68 }));
    let narrow = InterfaceConfig { mtu: Some(20), ..config() };
    assert_eq!(add(narrow, 1500), Err(Error::MtuTooSmall { mtu: 20, least: 68 }));
    let v6 = config().address("fd01::1".parse().unwrap(), 64);
    assert_eq!(add(v6, 1279), Err(Error::Address(crate::link::AddressError::Mtu(1279))));
    let id = add(config().address([10, 1, 0, 1].into(), 24), 68).unwrap();
    assert!(
        stack.interfaces().all(|(_, interface)| interface.mtu() > 68 || interface.link_local().is_none())
    );
    let all: Prefix = "10.2.0.0/16".parse().unwrap();
    let route = |prefix, mtu| Route { mtu: Some(mtu), ..Route::on_link(prefix, id) };
    assert_eq!(stack.add_route(route(all, 67)), Err(Error::MtuTooSmall { mtu: 67, least: 68 }));
    let far: Prefix = "fd02::/64".parse().unwrap();
    assert_eq!(stack.add_route(route(far, 1000)), Err(Error::MtuTooSmall { mtu: 1000, least: 1280 }));
    stack.add_route(route(all, 68)).unwrap();
    // What has room is sent.
    let settings = stack.config().tcp.clone();
    stack.tcp_connect(at(0.ms()), "10.2.0.1:80".parse().unwrap(), None, settings).unwrap();
    let socket = stack.udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    stack.udp_send_to(at(0.ms()), socket, &[1; 1000], Some("10.2.0.1:9".parse().unwrap())).unwrap();
    while stack.poll_transmit(at(0.ms()), id).is_some() {}
}
