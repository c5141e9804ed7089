//! Two stacks on a wire in memory: one driven by a thread, the other by the thread of the test.

use super::*;
use crate::device::{Capabilities, Medium, Memory};
use crate::net::{TcpListener, TcpStream};
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig, Stack};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7);

/// The client's net and the server's.
fn nets() -> [Net; 2] {
    let wire = Memory::builder(Capabilities::plain(Medium::Ethernet, 1500)).pollable();
    let (a, b) = wire.pair().unwrap();
    [(a, 1), (b, 2)].map(|(device, last)| {
        let net = Net::new(Stack::new(Config::seeded(u64::from(last))));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        net.attach(config.address([10, 0, 0, last].into(), 24), device).unwrap();
        net
    })
}

async fn echo(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    while let len @ 1.. = stream.read(&mut buffer).await.unwrap() {
        stream.write_all(&buffer[..len]).await.unwrap();
    }
}

/// Asks again and again, with answers of all sizes.
async fn ask(net: Net) -> usize {
    let stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
    let mut answer = [0; 10_000];
    for len in (1..100).map(|n| n * 100) {
        stream.write_all(&vec![len as u8; len]).await.unwrap();
        stream.read_exact(&mut answer[..len]).await.unwrap();
        assert!(answer[..len].iter().all(|&byte| byte == len as u8));
    }
    99
}

#[test]
fn the_thread_of_the_application_drives() {
    let [client, server] = nets();
    let listener = TcpListener::bind(&server, SERVER.into()).unwrap();
    let serving = std::thread::spawn(move || Driver::builder(&server).block_on(echo(listener)));
    let asked = Driver::builder(&client).block_on(async {
        let asked = ask(client.clone()).await;
        // The server's driver ends with the stream, whose end has to reach it.
        client.sleep(Duration::from_millis(1)).await;
        asked
    });
    assert_eq!(asked.unwrap(), 99);
    serving.join().unwrap().unwrap();
}

#[test]
fn busy_drivers_serve_and_stop() {
    let [client, server] = nets();
    let driver = Driver::builder(&server).busy_poll(Duration::MAX).spawn().unwrap();
    let listener = TcpListener::bind(&server, SERVER.into()).unwrap();
    let serving = std::thread::spawn(move || futures_lite::future::block_on(echo(listener)));
    let asked = Driver::builder(&client).busy_poll(Duration::from_millis(1)).block_on(ask(client.clone()));
    assert_eq!(asked.unwrap(), 99);
    assert!(!driver.is_finished());
    serving.join().unwrap();
    driver.stop().unwrap();
}

#[test]
fn a_deadline_of_another_thread_wakes_a_driver_that_sleeps() {
    let [client, _server] = nets();
    let driver = Driver::spawn(&client).unwrap();
    for _ in 0..50 {
        futures_lite::future::block_on(client.sleep(Duration::from_micros(100)));
    }
    driver.stop().unwrap();
}

#[test]
fn a_waker_of_another_thread_wakes_the_future() {
    let [client, _server] = nets();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let sending = std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
    let sum = Driver::builder(&client).block_on(async {
        let mut sum = 0;
        while let Some(n) = receiver.recv().await {
            sum += n;
        }
        sum
    });
    assert_eq!(sum.unwrap(), 999 * 500);
    sending.join().unwrap();
}
