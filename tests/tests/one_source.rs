//! One application, the same source, on a TAP against the kernel and in the simulator in virtual time.

use std::io;
use std::net::Shutdown;

use ustack::net::{Net, Simulation, TcpStream};
use ustack::sim::LinkConfig;
use ustack::time::Units as _;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig};
use ustack_tests::app::Task;
use ustack_tests::echo;
use ustack_tests::host::{STACK, at};
use ustack_tests::matrix::everywhere;
use ustack_tests::pattern::pattern;
use ustack_tests::peer::Peer;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
const BYTES: usize = 200_000;

#[test]
fn the_echo_server_runs_on_a_tap() {
    everywhere(&[], FLOW_CONTROL, |host| {
        let net = host.net.clone();
        let server = Task::start("the echo server", move || {
            futures_lite::future::block_on(echo::serve(net, at(STACK[0], 7), 1))
        });
        let listens = |shard: Net| shard.with_stack(|stack, _| stack.socket_count() > 0);
        until("the server to listen", SOON, || host.net.shards().all(listens));
        let words = format!("tcp-connect {} --do source --bytes {BYTES}", at(STACK[0], 7));
        let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
        assert_eq!(server.finish(SOON).expect("it went well"), BYTES as u64);
        host.wait_closed();
    });
}

#[test]
fn the_echo_server_runs_in_the_simulator() {
    let mut simulation = Simulation::new(11);
    let mut host = |name, last: u8| {
        let interface =
            InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])).address([10, 9, 0, last].into(), 24);
        let interface = InterfaceConfig { dad: false, ..interface };
        simulation.add_host(name, Config::seeded(last.into()), interface).expect("the configuration fits")
    };
    let ((a, client), (b, server)) = (host("client", 1), host("server", 2));
    let link = "delay 20ms loss 3% reorder 5% duplicate 2%".parse().expect("netem's words");
    simulation.connect(a.port(0), b.port(0), LinkConfig::both(link));
    simulation.spawn(async move {
        let bytes = echo::serve(server, at("10.9.0.2", 7), 1).await.expect("it went well");
        assert_eq!(bytes, BYTES as u64);
    });
    let echoed = simulation.block_on(600.secs(), ask(client)).expect("it comes to an end");
    assert!(echoed.expect("it went well") == pattern(1, BYTES));
}

/// Sends the pattern, and reads what comes back.
async fn ask(net: Net) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(&net, at("10.9.0.2", 7)).await?;
    let send = async {
        stream.write_all(&pattern(1, BYTES)).await?;
        stream.shutdown(Shutdown::Write)
    };
    let receive = async {
        let (mut echoed, mut buffer) = (Vec::new(), [0; 8192]);
        while let len @ 1.. = stream.read(&mut buffer).await? {
            echoed.extend_from_slice(&buffer[..len]);
        }
        io::Result::Ok(echoed)
    };
    let (sent, echoed) = futures_lite::future::zip(send, receive).await;
    sent.and(echoed)
}
