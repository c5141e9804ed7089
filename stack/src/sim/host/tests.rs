use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::*;
use crate::capture::Capture;
use crate::sim::{LinkConfig, Stop};
use crate::socket::table::SocketId;
use crate::tcp::Settings;
use crate::time::{Units as _, at};

fn v4(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, host).into()
}

fn v6(host: u16) -> IpAddr {
    Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, host).into()
}

/// Two hosts and the link between them.
fn pair(link: &str, seed: u64) -> (Network<Stack>, NodeId, NodeId) {
    let mut net = Network::new(seed);
    let a = net.add_host("a", &[(v4(1), 24), (v6(1), 64)]).unwrap();
    let b = net.add_host("b", &[(v4(2), 24), (v6(2), 64)]).unwrap();
    net.connect(a, b, LinkConfig::both(link.parse().unwrap()));
    (net, a, b)
}

/// Sends `len` bytes from a to b and closes both ends; answers what arrived, and when all was over.
fn transfer(net: &mut Network<Stack>, a: NodeId, b: NodeId, to: IpAddr, len: usize) -> (Vec<u8>, Instant) {
    let bytes: Vec<u8> = (0..len).map(|i| (i * 31 / 7) as u8).collect();
    let now = net.now();
    let listener = net.node_mut(b).tcp_listen(SocketAddr::new(to, 7), 8, Settings::default()).unwrap();
    let client = net.node_mut(a).tcp_connect(now, SocketAddr::new(to, 7), None, Settings::default()).unwrap();
    let mut server: Option<SocketId> = None;
    let (mut sent, mut received, mut is_over) = (0, Vec::new(), false);
    let mut buf = vec![0; 65_536];
    let stop = net.run_until_done(at(3600.secs()), |net| {
        let now = net.now();
        let node = net.node_mut(a);
        // Closed before it is open, a connection is forgotten with all it was to send (RFC 9293 3.10.4).
        while sent < len && node.readiness(client).connected {
            match node.tcp_send(now, client, &bytes[sent..]) {
                Ok(taken) => sent += taken,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
            if sent == len {
                node.close(now, client);
            }
        }
        let node = net.node_mut(b);
        server = server.or_else(|| node.tcp_accept(now, listener).ok().map(|(id, _)| id));
        let Some(server) = server else { return false };
        loop {
            match node.tcp_recv(now, server, &mut buf) {
                Ok(0) => {
                    node.close(now, server);
                    is_over = true;
                    return true;
                }
                Ok(len) => received.extend_from_slice(&buf[..len]),
                Err(Error::WouldBlock) => return false,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(stop, Stop::Done, "at {}, {} bytes arrived", net.now(), received.len());
    assert!(received == bytes, "what arrived is not what was sent");
    (received, net.now())
}

#[test]
fn every_byte_arrives_over_a_bad_link() {
    for to in [v4(2), v6(2)] {
        let (mut net, a, b) = pair("delay 10ms 2ms loss 1% duplicate 1% reorder 2% rate 20mbit queue 100", 1);
        transfer(&mut net, a, b, to, 300_000);
        let (_, counts) = net.counts().next().unwrap();
        assert!(counts.lost > 0 && counts.frames > 200, "{counts}");
    }
}

#[test]
fn a_seed_repeats_a_run_to_the_byte() {
    let run = |seed| {
        let (mut net, a, b) = pair("delay 10ms 2ms loss 2% corrupt 1% rate 20mbit queue 50", seed);
        let (capture, buffer) = Capture::in_memory();
        net.capture_node(b, &capture).unwrap();
        net.record_fates(None);
        let (_, end) = transfer(&mut net, a, b, v4(2), 200_000);
        (end, net.fates(), buffer.bytes())
    };
    let first = run(5);
    assert!(first == run(5), "the same seed, another run");
    assert!(first.2 != run(6).2, "another seed, the same run");
}

#[test]
fn an_idle_connection_costs_next_to_nothing() {
    let (mut net, a, b) = pair("delay 10ms", 1);
    let now = net.now();
    let to = SocketAddr::new(v4(2), 7);
    net.node_mut(b).tcp_listen(to, 8, Settings::default()).unwrap();
    let client = net.node_mut(a).tcp_connect(now, to, None, Settings::default()).unwrap();
    net.run_until(at(1.secs()));
    assert!(net.node(a).readiness(client).connected);
    let mut events = 0;
    while net.next_event().is_some_and(|time| time < at(600.secs())) {
        net.step();
        events += 1;
    }
    assert!(events < 200, "{events} events in ten idle minutes");
}
