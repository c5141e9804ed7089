use std::net::Shutdown;

use super::*;
use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::sim::Impairment;
use crate::time::Units;
use crate::wire::ethernet::MacAddr;

fn pair(seed: u64, link: &str) -> (Simulation, Net, Net) {
    let mut simulation = Simulation::new(seed);
    let mut host = |name, last: u8| {
        let config =
            InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])).address([10, 0, 0, last].into(), 24);
        simulation
            .add_host(name, Config::seeded(u64::from(last)), InterfaceConfig { dad: false, ..config })
            .unwrap()
    };
    let ((a, client), (b, server)) = (host("a", 1), host("b", 2));
    let impairment: Impairment = link.parse().unwrap();
    simulation.connect(a.port(0), b.port(0), LinkConfig::both(impairment));
    (simulation, client, server)
}

/// Echoes one connection after the other.
async fn echo(net: Net) {
    let listener = TcpListener::bind(&net, "10.0.0.2:7".parse().unwrap()).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut buf = vec![0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buf).await {
            stream.write_all(&buf[..n]).await.unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    }
}

async fn ask(net: Net, bytes: usize) -> Vec<u8> {
    let stream = TcpStream::connect(&net, "10.0.0.2:7".parse().unwrap()).await.unwrap();
    let (writer, text) = (stream.clone(), vec![42; bytes]);
    writer.write_all(&text).await.unwrap();
    writer.shutdown(Shutdown::Write).unwrap();
    let (mut answer, mut buf) = (Vec::new(), vec![0; 4096]);
    while let n @ 1.. = stream.read(&mut buf).await.unwrap() {
        answer.extend_from_slice(&buf[..n]);
    }
    answer
}

#[test]
fn an_async_server_echoes_over_a_bad_link() {
    let (mut simulation, client, server) = pair(7, "delay 10ms loss 5% reorder 10% duplicate 2%");
    simulation.spawn(echo(server));
    let answer = simulation.block_on(600.secs(), ask(client, 200_000)).expect("the echo comes back");
    assert_eq!(answer, vec![42; 200_000]);
}

#[test]
fn sleep_is_virtual() {
    let (mut simulation, client, _) = pair(1, "delay 1ms");
    let net = client.clone();
    let slept = simulation.block_on(7200.secs(), async move {
        let start = net.now();
        net.sleep(3600.secs()).await;
        net.now() - start
    });
    assert_eq!(slept, Some(3600.secs()));
}

#[test]
fn datagrams_arrive_and_a_limit_ends_the_wait() {
    let (mut simulation, client, server) = pair(1, "delay 1ms");
    let got = simulation.block_on(10.secs(), async move {
        let a = UdpSocket::bind(&client, "0.0.0.0:0".parse().unwrap()).unwrap();
        let b = UdpSocket::bind(&server, "10.0.0.2:53".parse().unwrap()).unwrap();
        a.send_to(b"hello", "10.0.0.2:53".parse().unwrap()).await.unwrap();
        let mut buf = [0; 16];
        let (n, from) = b.recv_from(&mut buf).await.unwrap();
        (buf[..n].to_vec(), from.ip())
    });
    assert_eq!(got, Some((b"hello".to_vec(), [10, 0, 0, 1].into())));
    assert_eq!(simulation.block_on(1.secs(), core::future::pending::<()>()), None);
}
