//! Two stacks on a wire, in virtual time.

mod addresses;
mod alike;
mod asleep;
mod looped;
mod merged_datagrams;
mod merged_segments;
mod path_mtu;
mod refusals;
mod trains;

use std::net::{IpAddr, Shutdown, SocketAddr};

use super::*;
use crate::buf::frame::{Capabilities, Medium};
use crate::link::InterfaceConfig;
use crate::raw::Family;
use crate::socket::table::SocketId;
use crate::time::{Duration, Units, at};
use crate::why::{Reason, Why};
use crate::wire::ethernet::MacAddr;

const ETH: InterfaceId = InterfaceId(1);
const DELAY_MS: u64 = 1;

/// Two hosts, 10.0.0.1 and 10.0.0.2 (fd00::1 and fd00::2), joined by a wire of one millisecond.
struct Wire {
    now: Instant,
    hosts: [Stack; 2],
    /// Frames under way: when they arrive, at whom.
    flight: Vec<(Instant, usize, Vec<u8>)>,
    sent: Vec<(usize, Why)>,
    lose: fn(usize, &Why) -> bool,
}

fn host(seed: u64, last: u8, mtu: usize) -> Stack {
    let mut stack = Stack::new(Config::seeded(seed));
    let config = InterfaceConfig {
        dad: false,
        ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last]))
            .address(IpAddr::from([10, 0, 0, last]), 24)
            .address(format!("fd00::{last}").parse().unwrap(), 64)
    };
    let id =
        stack.add_interface(at(Duration::ZERO), config, Capabilities::plain(Medium::Ethernet, mtu)).unwrap();
    assert_eq!(id, ETH);
    stack
}

impl Wire {
    fn new() -> Self {
        Self::with_mtu(1500)
    }

    fn with_mtu(mtu: usize) -> Self {
        let hosts = [host(1, 1, mtu), host(2, 2, mtu)];
        Self { now: at(Duration::ZERO), hosts, flight: Vec::new(), sent: Vec::new(), lose: |_, _| false }
    }

    /// Moves what is to be moved until `until`, or until nothing is left to do.
    fn run(&mut self, until: Duration) {
        let until = self.now + until;
        for _ in 0..1_000_000 {
            self.transmit();
            let arrival = self.flight.iter().map(|&(at, _, _)| at).min();
            let timeout = self.hosts.iter().filter_map(Stack::poll_timeout).min();
            let Some(next) = arrival.into_iter().chain(timeout).min().filter(|&at| at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            let (due, later) = self.flight.drain(..).partition(|&(at, _, _)| at <= self.now);
            self.flight = later;
            for (_, to, frame) in Vec::from_iter::<Vec<(Instant, usize, Vec<u8>)>>(due) {
                self.hosts[to].handle_frame(self.now, ETH, RxFrame::plain(&frame));
            }
            self.hosts.iter_mut().for_each(|host| host.handle_timeout(self.now));
        }
        panic!("the hosts do not come to rest");
    }

    fn transmit(&mut self) {
        for from in 0..2 {
            while let Some(frame) = self.hosts[from].poll_transmit(self.now, ETH) {
                self.sent.push((from, *frame.why));
                if !(self.lose)(from, frame.why) {
                    self.flight.push((self.now + DELAY_MS.ms(), 1 - from, frame.to_vec()));
                }
            }
        }
    }

    fn count(&self, from: usize, reason: Reason) -> usize {
        self.sent.iter().filter(|(f, why)| *f == from && why.reason() == reason).count()
    }

    fn connect(&mut self, to: &str) -> (SocketId, SocketId, SocketId) {
        let remote: SocketAddr = to.parse().unwrap();
        let settings = self.hosts[1].config().tcp.clone();
        let listener = self.hosts[1].tcp_listen(remote, 16, settings.clone()).unwrap();
        let client = self.hosts[0].tcp_connect(self.now, remote, None, settings).unwrap();
        self.run(10.ms());
        assert_eq!(self.hosts[0].tcp_established(client), Ok(()));
        let (server, peer) = self.hosts[1].tcp_accept(self.now, listener).unwrap();
        assert_eq!(peer, self.hosts[0].local_addr(client).unwrap());
        (listener, client, server)
    }
}

fn read_all(host: &mut Stack, now: Instant, id: SocketId) -> (Vec<u8>, bool) {
    let (mut out, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match host.tcp_recv(now, id, &mut buf) {
            Ok(0) => return (out, true),
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(Error::WouldBlock) => return (out, false),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_in_order() {
    for to in ["10.0.0.2:7", "[fd00::2]:7"] {
        let mut wire = Wire::new();
        let (_, client, server) = wire.connect(to);
        let text: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        assert_eq!(wire.hosts[0].tcp_send(wire.now, client, &text), Ok(text.len()));
        wire.run(1.secs());
        assert_eq!(read_all(&mut wire.hosts[1], wire.now, server), (text, false));
        wire.hosts[1].tcp_send(wire.now, server, b"thanks").unwrap();
        wire.hosts[0].tcp_shutdown(wire.now, client, Shutdown::Write).unwrap();
        wire.run(100.ms());
        assert_eq!(read_all(&mut wire.hosts[0], wire.now, client), (b"thanks".to_vec(), false));
        assert_eq!(read_all(&mut wire.hosts[1], wire.now, server), (vec![], true));
        wire.hosts[1].close(wire.now, server);
        wire.hosts[0].close(wire.now, client);
        wire.run(100.ms());
        assert_eq!((wire.hosts[0].socket_count(), wire.hosts[1].socket_count()), (0, 1));
        assert_eq!((wire.hosts[0].time_wait_count(), wire.hosts[1].time_wait_count()), (1, 0));
        wire.run(61.secs());
        assert_eq!(wire.hosts[0].time_wait_count(), 0);
    }
}

#[test]
fn nobody_listens() {
    let mut wire = Wire::new();
    let settings = wire.hosts[0].config().tcp.clone();
    let client = wire.hosts[0].tcp_connect(wire.now, "10.0.0.2:9".parse().unwrap(), None, settings).unwrap();
    wire.run(10.ms());
    assert_eq!(wire.hosts[0].tcp_established(client), Err(Error::ConnectionRefused));
    assert_eq!(wire.count(1, Reason::NoConnection), 1);
}

#[test]
fn nobody_is_there() {
    let mut wire = Wire::new();
    let settings = wire.hosts[0].config().tcp.clone();
    let client = wire.hosts[0].tcp_connect(wire.now, "10.0.0.77:9".parse().unwrap(), None, settings).unwrap();
    wire.run(5.secs());
    assert_eq!(wire.hosts[0].tcp_established(client), Err(Error::HostUnreachable));
    assert_eq!(wire.count(0, Reason::NeighborSolicit), 3);
    assert_eq!(wire.count(0, Reason::Syn), 0);
}

#[test]
fn there_is_no_way() {
    let mut wire = Wire::new();
    let remote: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let settings = wire.hosts[0].config().tcp.clone();
    let error = wire.hosts[0].tcp_connect(wire.now, remote, None, settings).unwrap_err();
    assert_eq!(error, Error::NetworkUnreachable(remote.ip()));
}

#[test]
fn datagrams_of_any_length_cross_in_fragments() {
    let mut wire = Wire::new();
    for (local, any) in [("10.0.0.2:53", "0.0.0.0:0"), ("[fd00::2]:53", "[::]:0")] {
        let server = wire.hosts[1].udp_bind(local.parse().unwrap()).unwrap();
        let client = wire.hosts[0].udp_bind(any.parse().unwrap()).unwrap();
        for length in [0, 1, 1472, 1473, 9000, 65_507] {
            let text: Vec<u8> = (0..length as u32).map(|i| (i * 7) as u8).collect();
            wire.hosts[0].udp_send_to(wire.now, client, &text, Some(local.parse().unwrap())).unwrap();
            wire.run(100.ms());
            let mut buf = vec![0; 65_536];
            let received = wire.hosts[1].udp_recv_from(server, &mut buf).unwrap();
            assert_eq!((received.copied, received.length), (length, length));
            assert_eq!(buf[..length], text[..]);
        }
    }
}

#[test]
fn a_closed_port_is_told_to_a_connected_socket() {
    for (remote, any) in [("10.0.0.2:99", "0.0.0.0:0"), ("[fd00::2]:99", "[::]:0")] {
        let mut wire = Wire::new();
        let client = wire.hosts[0].udp_bind(any.parse().unwrap()).unwrap();
        wire.hosts[0].udp_connect(client, Some(remote.parse().unwrap())).unwrap();
        wire.hosts[0].udp_send_to(wire.now, client, b"anyone?", None).unwrap();
        wire.run(10.ms());
        assert_eq!(wire.hosts[0].udp_recv_from(client, &mut [0; 9]), Err(Error::ConnectionRefused));
        assert_eq!(wire.count(1, Reason::Unreachable), 1);
    }
}

#[test]
fn echo_requests_are_answered() {
    let mut wire = Wire::new();
    let raw = wire.hosts[0].raw_open(Family::V4, 1).unwrap();
    let mut request = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    request.resize(3000, 0xaa);
    let sum = crate::wire::checksum::checksum(&request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    wire.hosts[0].raw_send_to(wire.now, raw, &request, Some([10, 0, 0, 2].into()), None).unwrap();
    wire.run(10.ms());
    let mut buf = [0; 4000];
    let received = wire.hosts[0].raw_recv_from(raw, &mut buf).unwrap();
    assert_eq!((received.copied, buf[0]), (3000, 0));
    assert_eq!(buf[4..3000], request[4..]);
}

#[test]
fn a_stack_talks_to_itself() {
    let mut stack = host(1, 1, 1500);
    let now = at(1.secs());
    for address in ["127.0.0.1:80", "[::1]:80", "10.0.0.1:80"] {
        let settings = stack.config().tcp.clone();
        let listener = stack.tcp_listen(address.parse().unwrap(), 4, settings.clone()).unwrap();
        let client = stack.tcp_connect(now, address.parse().unwrap(), None, settings).unwrap();
        assert_eq!(stack.poll_timeout(), Some(Instant::ZERO));
        stack.handle_timeout(now);
        let (server, _) = stack.tcp_accept(now, listener).unwrap();
        stack.tcp_send(now, client, b"hello myself").unwrap();
        stack.handle_timeout(now);
        assert_eq!(read_all(&mut stack, now, server).0, b"hello myself");
        stack.close(now, listener);
    }
}

#[test]
fn an_idle_connection_sleeps() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    wire.run(30.secs());
    let before = wire.sent.len();
    wire.run(600.secs());
    assert_eq!(wire.sent.len(), before);
    assert_eq!(wire.hosts[0].tcp_info(client).unwrap().state, State::Established);
}

#[test]
fn a_lost_segment_is_sent_again() {
    let mut wire = Wire::new();
    let (_, client, server) = wire.connect("10.0.0.2:7");
    let text = vec![7; 120_000];
    // The first datagram of each new window is lost once in a while; recovery repairs it.
    wire.lose =
        |from, why| from == 0 && why.reason() == Reason::NewData && why.number("cwnd").unwrap_or(0) % 3 == 1;
    wire.hosts[0].tcp_send(wire.now, client, &text).unwrap();
    wire.run(60.secs());
    assert!(read_all(&mut wire.hosts[1], wire.now, server).0 == text);
}

#[test]
fn two_runs_from_one_seed_send_the_same_bytes() {
    let run = || {
        let mut wire = Wire::new();
        let (_, client, _) = wire.connect("10.0.0.2:7");
        wire.hosts[0].tcp_send(wire.now, client, &[1; 50_000]).unwrap();
        wire.transmit();
        (wire.flight.clone(), wire.sent.len())
    };
    assert_eq!(run(), run());
}

#[test]
fn ports_are_taken_once() {
    let mut stack = host(1, 1, 1500);
    let settings = stack.config().tcp.clone();
    let any: SocketAddr = "[::]:80".parse().unwrap();
    stack.tcp_listen(any, 1, settings.clone()).unwrap();
    let error = stack.tcp_listen("10.0.0.1:80".parse().unwrap(), 1, settings).unwrap_err();
    assert_eq!(error.to_string(), "address 10.0.0.1:80 is in use");
    stack.udp_bind("10.0.0.1:80".parse().unwrap()).unwrap();
    assert!(matches!(stack.udp_bind(any), Err(Error::AddressInUse(_))));
    let elsewhere = stack.udp_bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert_eq!(elsewhere, Error::AddressNotAvailable([192, 0, 2, 1].into()));
}

/// RFC 9293 section 3.9.1.1 (MUST-46).
#[test]
fn nobody_connects_to_many() {
    let mut stack = host(1, 1, 1500);
    let settings = stack.config().tcp.clone();
    for many in ["224.0.0.1:80", "255.255.255.255:80", "10.0.0.255:80", "[ff02::1]:80"] {
        let answer = stack.tcp_connect(at(0.ms()), many.parse().unwrap(), None, settings.clone());
        assert!(matches!(answer, Err(Error::Invalid(_))), "{many}: {answer:?}");
    }
}

#[test]
fn a_burst_to_somebody_new_waits_for_the_link_address_and_what_has_no_room_is_counted() {
    const WAIT: usize = 100;
    let mut wire = Wire::new();
    let send = |wire: &mut Wire, datagrams: usize| {
        let socket = wire.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
        for number in 0..datagrams {
            let to = Some("10.0.0.2:9".parse().unwrap());
            wire.hosts[0].udp_send_to(wire.now, socket, &[number as u8; 10], to).unwrap();
            wire.transmit();
        }
        wire.run(100.ms());
        wire.count(0, Reason::Datagram)
    };
    assert_eq!(send(&mut wire, WAIT), WAIT);
    assert_eq!(wire.hosts[0].stats().ip.out_discards, 0);

    let mut wire = Wire::new();
    let arrived = send(&mut wire, WAIT + 50);
    let refused = wire.hosts[0].stats().ip.out_discards as usize;
    assert_eq!(arrived + refused, WAIT + 50, "each one was sent or counted");
}

#[test]
fn all_buffers_keep_within_the_memory_that_there_is() {
    const CONNECTIONS: usize = 40;
    let mut wire = Wire::new();
    let config = Config { max_buffer_memory: 1 << 20, ..Config::seeded(2) };
    let slack = CONNECTIONS * crate::buf::ring::FIRST_ALLOCATION;
    let limit = config.max_buffer_memory + slack;
    wire.hosts[1].config = config;
    wire.hosts[1].memory = Memory::new(1 << 20);
    let remote: SocketAddr = "10.0.0.2:7".parse().unwrap();
    let settings = wire.hosts[0].config().tcp.clone();
    let listener = wire.hosts[1].tcp_listen(remote, 64, settings.clone()).unwrap();
    let text: Vec<u8> = (0..200_000u32).map(|i| (i * 7) as u8).collect();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| wire.hosts[0].tcp_connect(wire.now, remote, None, settings.clone()).unwrap())
        .collect();
    wire.run(20.ms());
    let mut written = [0; CONNECTIONS];
    let mut got = vec![Vec::new(); CONNECTIONS];
    let servers: Vec<_> =
        (0..CONNECTIONS).map(|_| wire.hosts[1].tcp_accept(wire.now, listener).unwrap().0).collect();
    let datagrams = wire.hosts[1].udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    let asking = wire.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    // Nobody reads for a while; then all do.
    for round in 0..200 {
        for (client, written) in clients.iter().zip(&mut written) {
            *written += wire.hosts[0].tcp_send(wire.now, *client, &text[*written..]).unwrap_or(0);
        }
        wire.hosts[0]
            .udp_send_to(wire.now, asking, &[1; 1000], Some("10.0.0.2:53".parse().unwrap()))
            .unwrap();
        wire.run(if round < 20 { 50.ms() } else { 1.secs() });
        let used = wire.hosts[1].stats().memory.used;
        assert!(used <= limit, "{used} bytes in round {round}");
        if round < 20 {
            continue;
        }
        for (server, got) in servers.iter().zip(&mut got) {
            got.extend(read_all(&mut wire.hosts[1], wire.now, *server).0);
        }
        while wire.hosts[1].udp_recv_from(datagrams, &mut [0; 2000]).is_ok() {}
        if got.iter().all(|got| got.len() == text.len()) {
            break;
        }
    }
    assert!(got.iter().all(|got| *got == text), "{:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
    let stats = wire.hosts[1].stats();
    assert!(stats.memory.pressures > 0 && stats.udp.mem_errors > 0, "{:?}", stats.memory);
    wire.run(10.secs());
    assert!(wire.hosts[1].stats().memory.used < 100_000, "idle connections give their buffers back");
}
