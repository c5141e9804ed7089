//! A server that never waits for a driver's thread: clients of all kinds, over a wire in memory.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::blocking::{TcpListener, TcpStream, UdpSocket};
use crate::device::{Capabilities, Medium, Memory};
use crate::net::{Driver, Net};
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig, Stack};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7);
/// More requests than it takes until a driver has stood back, however busy the machine is.
const MANY: usize = 200_000;
/// Requests in a row without the driver.
const ROW: u64 = 50;

/// A net with its driver, the client's and the server's.
fn hosts() -> [(Net, Driver, Arc<Seat>); 2] {
    let wire = Memory::builder(Capabilities::plain(Medium::Ethernet, 1500)).pollable();
    let (a, b) = wire.pair().expect("descriptors are left");
    [(a, 1), (b, 2)].map(|(device, last)| {
        let net = Net::new(Stack::new(Config::seeded(u64::from(last))));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        net.attach(config.address([10, 0, 0, last].into(), 24), device).expect("it fits");
        let driver = Driver::spawn(&net).expect("a thread is left");
        let seat = net.shared().seat().expect("the driver is a thread");
        (net, driver, seat)
    })
}

/// Sends back what comes, on so many connections one after the other.
fn serve(listener: &TcpListener, connections: usize) {
    for stream in listener.incoming().take(connections) {
        let mut stream = stream.unwrap();
        let mut writer = stream.try_clone().unwrap();
        io::copy(&mut stream, &mut writer).unwrap();
    }
}

fn ask(stream: &mut TcpStream, question: u8) {
    stream.write_all(&[question]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [question]);
}

/// Asks until both ends have driven themselves for a row of requests; false if that never happens.
fn both_sit(stream: &mut TcpStream, seats: [&Arc<Seat>; 2]) -> bool {
    (0..MANY).any(|n| {
        ask(stream, n as u8);
        seats.iter().all(|seat| seat.sittings() >= ROW)
    })
}

#[test]
fn a_lone_caller_drives_in_the_drivers_place() {
    let [(client, driver, asking), (net, other, answering)] = hosts();
    let listener = TcpListener::bind(&net, SERVER.into()).unwrap();
    let serving = thread::spawn(move || serve(&listener, 1));
    let mut stream = TcpStream::connect(&client, SERVER.into()).unwrap();
    assert!(both_sit(&mut stream, [&asking, &answering]), "{asking:?} {answering:?}");
    drop(stream);
    serving.join().unwrap();
    driver.stop().unwrap();
    other.stop().unwrap();
}

#[test]
fn a_caller_that_is_parked_is_not_left_alone() {
    let seat = Seat::new(Wheel::new(crate::time::Duration::ZERO), Arc::new(Bell::new().unwrap()));
    let is_wanted = |waiting| seat.is_wanted(Turn { waiting, ..Turn::default() });
    assert!((0..HOPS).all(|_| !is_wanted(0) && !seat.ask()));
    assert!(!is_wanted(1), "it would not see that the wheel is lent");
    assert!(is_wanted(0));
    assert!(!is_wanted(2) && !is_wanted(0), "two have to meet often enough anew");
}

#[test]
fn the_driver_comes_back_when_nobody_waits_and_when_others_do() {
    let [(client, _driver, asking), (net, _other, answering)] = hosts();
    let listener = TcpListener::bind(&net, SERVER.into()).unwrap();
    let serving = thread::spawn(move || {
        thread::scope(|scope| {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                scope.spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    io::copy(&mut stream, &mut writer).unwrap();
                });
            }
        })
    });
    let mut first = TcpStream::connect(&client, SERVER.into()).unwrap();
    let alone = |asking: &Arc<Seat>, stream: &mut TcpStream| {
        let before = asking.sittings();
        (0..MANY).any(|n| {
            ask(stream, n as u8);
            asking.sittings() >= before + ROW
        })
    };
    // The server has two that wait, so its driver drives; the client is alone.
    assert!(alone(&asking, &mut first), "{asking:?}");
    // Nobody waits on the client's side: only its driver answers what comes now.
    let pinged = UdpSocket::bind(&net, ([10, 0, 0, 2], 9).into()).unwrap();
    pinged.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    pinged.send_to(&[1], ([10, 0, 0, 1], 9).into()).unwrap();
    // It is refused by the client's stack, which an error at the next call says.
    pinged.connect(([10, 0, 0, 1], 9).into()).unwrap();
    pinged.send(&[1]).unwrap();
    assert_eq!(pinged.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    // Two that wait on the client's side are both served.
    let mut second = TcpStream::connect(&client, SERVER.into()).unwrap();
    thread::scope(|scope| {
        for stream in [&mut first, &mut second] {
            scope.spawn(move || (0..2_000).for_each(|n| ask(stream, n as u8)));
        }
    });
    drop((first, second));
    serving.join().unwrap();
    drop(answering);
}

#[test]
fn a_driver_that_ends_ends_who_drives_for_it() {
    let [(client, driver, asking), (net, _other, answering)] = hosts();
    let listener = TcpListener::bind(&net, SERVER.into()).unwrap();
    let serving = thread::spawn(move || serve(&listener, 1));
    let mut stream = TcpStream::connect(&client, SERVER.into()).unwrap();
    assert!(both_sit(&mut stream, [&asking, &answering]), "{asking:?} {answering:?}");
    // A caller whose time is over lets go of the wheel, too.
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    let mut reader = stream.try_clone().unwrap();
    reader.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let reading = thread::spawn(move || reader.read(&mut [0]).unwrap_err().kind());
    driver.stop().unwrap();
    // Nobody drives any more, so what was asked for does not come.
    assert_eq!(reading.join().unwrap(), io::ErrorKind::TimedOut);
    let driver = Driver::spawn(&client).unwrap();
    drop(stream);
    serving.join().unwrap();
    driver.stop().unwrap();
}
