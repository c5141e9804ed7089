//! Connections at rest sleep, and nobody notices.

use super::*;
use crate::socket::table::Kind;
use crate::tcp::Settings;
use crate::tcp::congestion::Algorithm;

fn is_asleep(wire: &Wire, host: usize, id: SocketId) -> bool {
    matches!(wire.hosts[host].sockets[id].kind, Kind::Asleep(_))
}

#[test]
fn a_connection_at_rest_sleeps_and_wakes_for_what_comes() {
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr] {
        for to in ["10.0.0.2:7", "[fd00::2]:7"] {
            let mut wire = Wire::new();
            let (_, client, server) = wire.connect(to);
            wire.hosts[0].tcp_set_congestion(wire.now, client, algorithm.clone()).unwrap();
            for round in 1..4 {
                wire.hosts[0].tcp_send(wire.now, client, &[7; 5000]).unwrap();
                wire.run(500.ms());
                assert!(!is_asleep(&wire, 0, client), "not while it is in use");
                assert_eq!(read_all(&mut wire.hosts[1], wire.now, server).0, [7; 5000]);
                let before = wire.hosts[0].tcp_info(client).unwrap();
                wire.run(10.secs());
                assert!(is_asleep(&wire, 0, client) && is_asleep(&wire, 1, server));
                // Who looks does not wake it.
                assert_eq!(wire.hosts[0].tcp_info(client).unwrap(), before);
                assert_eq!(before.counters.bytes_acked, 5000 * round);
                assert_eq!(wire.hosts[0].stats().connections.curr_estab, 1);
                assert_eq!(wire.hosts[0].peer_addr(client).unwrap().to_string(), to);
                let ready = wire.hosts[0].readiness(client);
                assert!(ready.writable && ready.connected && !ready.readable && !ready.closed);
                let mut buf = [0; 10];
                assert_eq!(wire.hosts[1].tcp_recv(wire.now, server, &mut buf), Err(Error::WouldBlock));
                assert_eq!(wire.hosts[1].tcp_peek(server, &mut buf), Err(Error::WouldBlock));
                assert_eq!(wire.hosts[1].tcp_received(server), Err(Error::WouldBlock));
                assert!(is_asleep(&wire, 0, client) && is_asleep(&wire, 1, server));
            }
            for (host, id) in [(0, client), (1, server)] {
                wire.hosts[host].close(wire.now, id);
                wire.run(1.secs());
            }
            assert_eq!(wire.hosts[1].socket_count(), 1, "the listener is left");
        }
    }
}

#[test]
fn a_sleeping_connection_is_kept_alive_and_ends_with_its_peer() {
    let mut wire = Wire::new();
    let (_, client, server) = wire.connect("10.0.0.2:7");
    let keepalive = Some(crate::tcp::Keepalive { time: 10.secs(), interval: 1.secs(), count: 3 });
    let settings = Settings { keepalive, ..wire.hosts[0].tcp_settings(client).unwrap() };
    wire.hosts[0].tcp_configure(wire.now, client, settings).unwrap();
    wire.run(9.secs());
    assert!(is_asleep(&wire, 0, client) && is_asleep(&wire, 1, server));
    assert_eq!(wire.hosts[0].tcp_settings(client).unwrap().keepalive, keepalive);
    wire.run(3.secs());
    assert!(wire.count(0, Reason::Keepalive) > 0, "it was due");
    wire.run(5.secs());
    assert!(is_asleep(&wire, 0, client), "its answer does not keep it awake");
    wire.lose = |_, _| true;
    wire.run(30.secs());
    assert!(wire.hosts[0].readiness(client).closed, "nobody answers");
}

#[test]
fn what_wakes_a_connection_without_using_it_does_not_keep_it_awake() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    for nodelay in [true, false] {
        wire.run(10.secs());
        assert!(is_asleep(&wire, 0, client));
        let settings = Settings { nodelay, ..wire.hosts[0].tcp_settings(client).unwrap() };
        wire.hosts[0].tcp_configure(wire.now, client, settings).unwrap();
        assert!(!is_asleep(&wire, 0, client));
    }
}

#[test]
fn settings_are_shared_where_they_are_the_same() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    let remote = "10.0.0.2:7".parse().unwrap();
    let settings = Settings { nodelay: true, ..wire.hosts[0].config().tcp.clone() };
    let other = wire.hosts[0].tcp_connect(wire.now, remote, None, settings).unwrap();
    wire.run(10.secs());
    assert!(is_asleep(&wire, 0, client) && is_asleep(&wire, 0, other));
    assert!(!wire.hosts[0].tcp_settings(client).unwrap().nodelay);
    assert!(wire.hosts[0].tcp_settings(other).unwrap().nodelay);
}
