//! Two stacks, each with a driver of its own, on a wire in memory.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use super::*;
use crate::device::{Capabilities, Medium, Memory};
use crate::net::{Driver, Net};
use crate::raw::Family;
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig, Stack};

const SERVER: &str = "10.0.0.2:7";

fn hosts() -> [(Net, Driver); 2] {
    let wire = Memory::builder(Capabilities::plain(Medium::Ethernet, 1500)).pollable();
    let (a, b) = wire.pair().expect("descriptors are left");
    [(a, 1), (b, 2)].map(|(device, last)| {
        let net = Net::new(Stack::new(Config::seeded(u64::from(last))));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        let config = config.address([10, 0, 0, last].into(), 24);
        net.attach(config, device).expect("the configuration fits");
        let driver = Driver::spawn(&net).expect("a thread is left");
        (net, driver)
    })
}

fn server() -> SocketAddr {
    SERVER.parse().expect("an address")
}

#[test]
fn a_server_thread_echoes_to_many_clients() {
    let [(client, _driver), (net, _other)] = hosts();
    let listener = TcpListener::bind(&net, server()).unwrap();
    let serving = thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut stream = stream.unwrap();
            let mut writer = stream.try_clone().unwrap();
            io::copy(&mut stream, &mut writer).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        }
    });
    for round in 0..3u8 {
        let mut stream = TcpStream::connect(&client, server()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), server());
        let mut reader = stream.try_clone().unwrap();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let text = vec![round; 300_000];
        stream.write_all(&text).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(reading.join().unwrap().unwrap() == text);
    }
    serving.join().unwrap();
}

#[test]
fn a_timeout_ends_a_wait() {
    let [(client, _driver), (net, _other)] = hosts();
    let listener = TcpListener::bind(&net, server()).unwrap();
    let mut stream = TcpStream::connect(&client, server()).unwrap();
    let _held = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(
        stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    let nobody = "10.0.0.99:7".parse().unwrap();
    let error = TcpStream::connect_timeout(&client, nobody, Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn errors_are_those_that_std_names() {
    let [(client, _driver), (net, _other)] = hosts();
    let refused = TcpStream::connect(&client, server()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let elsewhere = TcpStream::connect(&client, "192.0.2.1:7".parse().unwrap()).unwrap_err();
    assert_eq!(elsewhere.kind(), io::ErrorKind::NetworkUnreachable);
    let _first = TcpListener::bind(&net, server()).unwrap();
    let taken = TcpListener::bind(&net, server()).unwrap_err();
    assert_eq!(
        (taken.kind(), taken.to_string()),
        (io::ErrorKind::AddrInUse, format!("address {SERVER} is in use"))
    );
    let foreign = UdpSocket::bind(&net, "10.0.0.1:7".parse().unwrap()).unwrap_err();
    assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn decisions_are_told_to_who_observes() {
    let [(client, _driver), (net, _other)] = hosts();
    let _listener = TcpListener::bind(&net, server()).unwrap();
    let stream = TcpStream::connect(&client, server()).unwrap();
    assert!(client.take_decision().is_none());
    stream.configure(|settings| settings.observe = true).unwrap();
    (&stream).write_all(b"hello").unwrap();
    let words: Vec<_> = Decisions::of(&client, Some(Duration::from_secs(10)))
        .map(|told| told.decision.word())
        .take_while(|&word| word != "rtt")
        .collect();
    assert_eq!(words[0], "state", "the values as they are come first: {words:?}");
    assert!(words.contains(&"cwnd") && words.contains(&"rto_armed"), "{words:?}");
}

#[test]
fn the_congestion_control_changes_by_name() {
    let [(client, _driver), (net, _other)] = hosts();
    let _listener = TcpListener::bind(&net, server()).unwrap();
    let stream = TcpStream::connect(&client, server()).unwrap();
    assert_eq!(stream.info().unwrap().congestion, "cubic");
    stream.set_congestion_by_name("bbr").unwrap();
    assert_eq!(stream.info().unwrap().congestion, "bbr");
    let error = stream.set_congestion_by_name("vegas").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(stream.info().unwrap().congestion, "bbr");
}

#[test]
fn datagrams_and_pings_cross() {
    let [(client, _driver), (net, _other)] = hosts();
    let serving = UdpSocket::bind(&net, server()).unwrap();
    let asking = UdpSocket::bind(&client, "0.0.0.0:0".parse().unwrap()).unwrap();
    asking.connect(server()).unwrap();
    asking.send(b"a question").unwrap();
    let mut buf = [0; 64];
    let (n, from) = serving.recv_from(&mut buf).unwrap();
    // RFC 1122 section 4.1.3.5 (SHLD-2): the address that was chosen can be learned.
    assert_eq!(asking.local_addr().unwrap(), from);
    serving.send_to(&buf[..n], from).unwrap();
    assert_eq!(asking.recv(&mut buf).unwrap(), 10);

    let raw = RawSocket::open(&client, Family::V4, 1).unwrap();
    let request = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    raw.send_to(&request, [10, 0, 0, 2].into(), None).unwrap();
    let reply = raw.recv_from(&mut buf).unwrap();
    assert_eq!((reply.copied, buf[0], reply.arrival.from), (8, 0, [10, 0, 0, 2].into()));
}

#[test]
fn a_driver_stops_when_it_is_told() {
    let [(client, driver), _other] = hosts();
    assert!(!driver.is_finished());
    driver.stop().unwrap();
    let error = TcpStream::connect_timeout(&client, server(), Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn nothing_waits_that_is_not_to() {
    let [(client, _driver), (net, _other)] = hosts();
    let listener = TcpListener::bind(&net, server()).unwrap();
    let second = listener.try_clone().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(second.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    second.set_nonblocking(false).unwrap();
    drop(listener);
    let mut stream = TcpStream::connect(&client, server()).unwrap();
    let (mut accepted, _) = second.accept().unwrap();

    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(stream.read_timeout().unwrap(), Some(Duration::from_secs(60)), "what was set stays");
    stream.set_nonblocking(false).unwrap();
    accepted.write_all(b"now").unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 3);
    assert!(stream.take_error().unwrap().is_none());

    let socket = UdpSocket::bind(&client, "10.0.0.1:0".parse().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(socket.peek(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    let raw = RawSocket::open(&client, Family::V4, 253).unwrap();
    raw.set_nonblocking(true).unwrap();
    assert_eq!(raw.recv_from(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn options_are_read_back() {
    let [(client, _driver), (net, _other)] = hosts();
    let listener = TcpListener::bind(&net, server()).unwrap();
    assert_eq!(listener.ttl().unwrap(), 64);
    listener.set_ttl(9).unwrap();
    let stream = TcpStream::connect(&client, server()).unwrap();
    assert_eq!(listener.accept().unwrap().0.ttl().unwrap(), 9);
    assert_eq!((stream.ttl().unwrap(), stream.nodelay().unwrap()), (64, false));
    stream.set_ttl(3).unwrap();
    stream.set_nodelay(true).unwrap();
    assert_eq!((stream.ttl().unwrap(), stream.nodelay().unwrap()), (3, true));
    for wrong in [0, 256] {
        assert_eq!(stream.set_ttl(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    let socket = UdpSocket::bind(&client, "10.0.0.1:0".parse().unwrap()).unwrap();
    socket.set_ttl(7).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!((socket.ttl().unwrap(), socket.broadcast().unwrap()), (7, true));
    let timeouts = (socket.read_timeout().unwrap(), socket.write_timeout().unwrap());
    assert_eq!(timeouts, (None, Some(Duration::from_secs(1))));
}

#[test]
fn an_error_is_taken_once() {
    let [(client, _driver), _server] = hosts();
    let socket = UdpSocket::bind(&client, "10.0.0.1:0".parse().unwrap()).unwrap();
    socket.connect(server()).unwrap();
    socket.send(b"anyone?").unwrap();
    // It is refused a moment after it was sent.
    let refused = loop {
        match socket.take_error().unwrap() {
            Some(error) => break error,
            None => thread::yield_now(),
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(socket.take_error().unwrap().is_none());
}
