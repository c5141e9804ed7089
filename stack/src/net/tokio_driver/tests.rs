//! Two stacks that one tokio runtime of a single thread moves.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::device::{Capabilities, Medium, Memory};
use crate::net::{Driver, Net, TcpListener, TcpStream, drive};
use crate::time::Duration;
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig, Stack};

fn host(last: u8, device: Memory) -> Net {
    let net = Net::new(Stack::new(Config::seeded(u64::from(last))));
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
    net.attach(config.address([10, 0, 0, last].into(), 24), device).unwrap();
    net
}

#[tokio::test]
async fn one_thread_serves_stack_server_and_client() {
    stream_both_ways(Duration::ZERO).await;
}

#[tokio::test]
async fn drivers_that_are_busy_let_tasks_have_their_turn() {
    stream_both_ways(Duration::MAX).await;
}

async fn stream_both_ways(busy_poll: Duration) {
    let capabilities = Capabilities::plain(Medium::Ethernet, 1500);
    let (a, b) = Memory::builder(capabilities).pollable().pair().unwrap();
    let (client, server) = (host(1, a), host(2, b));
    let drivers =
        [&client, &server].map(|net| tokio::spawn(Driver::builder(net).busy_poll(busy_poll).drive()));
    let address = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, address).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = (stream.clone(), stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        AsyncWriteExt::shutdown(&mut writer).await.unwrap();
    });
    let mut stream = TcpStream::connect(&client, address).await.unwrap();
    AsyncWriteExt::write_all(&mut stream, &[9; 200_000]).await.unwrap();
    AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    let mut all = Vec::new();
    AsyncReadExt::read_to_end(&mut stream, &mut all).await.unwrap();
    assert!(all == [9; 200_000]);
    serving.await.unwrap();
    drivers.iter().for_each(|driver| driver.abort());
}

/// The first driver of a stack may be dropped, as by a `select!` that is over, and another take its place.
#[tokio::test]
async fn the_newest_driver_is_woken() {
    let capabilities = Capabilities::plain(Medium::Ethernet, 1500);
    let (a, b) = Memory::builder(capabilities).pollable().pair().unwrap();
    let (client, server) = (host(1, a), host(2, b));
    for net in [&client, &server] {
        let mut first = core::pin::pin!(drive(net.clone()));
        core::future::poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending(), "a driver goes on for ever");
            core::task::Poll::Ready(())
        })
        .await;
    }
    let drivers = [client.clone(), server.clone()].map(|net| tokio::spawn(drive(net)));
    // Both drivers sleep now, and nothing comes from a device: only the sleeper's own deadline wakes it.
    tokio::task::yield_now().await;
    client.sleep(crate::time::Duration::from_millis(1)).await;
    drivers.iter().for_each(|driver| driver.abort());
}
