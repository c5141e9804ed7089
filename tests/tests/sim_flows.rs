//! A thousand connections at once on a network that loses frames: every byte of each is checked, in both directions.

use std::net::{Shutdown, SocketAddr};

use ustack::net::{Net, Simulation, TcpListener, TcpStream};
use ustack::sim::LinkConfig;
use ustack::time::Units as _;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig};
use ustack_tests::pattern::{Received, fill};

const FLOWS: u64 = 1000;
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7);

/// What a flow sends: each has a length of its own, one of forty is a long one.
fn len(flow: u64) -> u64 {
    let long = if flow % 40 == 7 { 120_000 } else { 0 };
    flow * 17 % 4_000 + 8 + long
}

/// The patterns of a flow, there and back.
fn seeds(flow: u64) -> (u64, u64) {
    (flow, flow + FLOWS)
}

/// Sends `len` bytes of a pattern; the first 8 say which flow this is.
async fn send(stream: &TcpStream, (flow, seed): (u64, u64)) {
    let mut bytes = vec![0; len(flow) as usize];
    fill(seed, 0, &mut bytes);
    stream.write_all(&flow.to_be_bytes()).await.expect("it is taken");
    stream.write_all(&bytes).await.expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("it is connected");
}

/// Receives what `send` sends, to its end; answers which flow it was.
async fn receive(stream: &TcpStream, seed: impl Fn(u64) -> u64) -> u64 {
    let mut flow = [0; 8];
    stream.read_exact(&mut flow).await.expect("it says which");
    let flow = u64::from_be_bytes(flow);
    let mut received = Received::new(seed(flow));
    let mut buffer = [0; 2048];
    while let n @ 1.. = stream.read(&mut buffer).await.expect("it ends in order") {
        received.push(&buffer[..n]);
    }
    assert_eq!((received.bytes(), received.wrong()), (len(flow), None), "of flow {flow}");
    flow
}

/// Whether the interfaces of both hosts work with merged frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frames {
    Single,
    Merged,
}

/// Runs all flows; the client has so many shards, and the server.
fn drive(link: &str, shards: [usize; 2], frames: Frames) -> [Net; 2] {
    let mut simulation = Simulation::new(11);
    let mut host = |name, last: u8, shards| {
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        let config = config.address([10, 0, 0, last].into(), 24);
        let seed = Config::seeded(last.into());
        let host = match frames {
            Frames::Single => simulation.add_sharded_host(name, seed, config, shards),
            Frames::Merged => simulation.add_merging_host(name, seed, config, shards),
        };
        host.expect("it fits")
    };
    let ((a, client), (b, server)) = (host("client", 1, shards[0]), host("server", 2, shards[1]));
    simulation.connect(a.port(0), b.port(0), LinkConfig::both(link.parse().expect("netem's words")));
    if frames == Frames::Merged {
        [a, b].into_iter().for_each(|host| simulation.network_mut().merge_received(host));
    }

    let listener =
        TcpListener::bind_with(&server, SERVER.into(), FLOWS as usize, |_| ()).expect("it is free");
    let spawner = simulation.spawner();
    simulation.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawner.spawn(async move {
                let flow = receive(&stream, |flow| seeds(flow).0).await;
                send(&stream, (flow, seeds(flow).1)).await;
            });
        }
    });
    let (spawner, net) = (simulation.spawner(), client.clone());
    let (done, finished) = std::sync::mpsc::channel();
    let flows = async move {
        for flow in 0..FLOWS {
            let (net, done) = (net.clone(), done.clone());
            spawner.spawn(async move {
                let stream = TcpStream::connect(&net, SocketAddr::from(SERVER)).await.expect("it connects");
                send(&stream, (flow, seeds(flow).0)).await;
                assert_eq!(receive(&stream, |flow| seeds(flow).1).await, flow);
                done.send(()).expect("the test waits");
            });
        }
        net.sleep(600.secs()).await;
    };
    simulation.block_on(601.secs(), flows).expect("it sleeps for so long");
    assert_eq!(finished.try_iter().count() as u64, FLOWS);
    [client, server]
}

const LOSSY: &str = "delay 10ms loss 3% reorder 2% duplicate 1%";

fn on_one_stack(frames: Frames) {
    for net in drive(LOSSY, [1, 1], frames) {
        let stats = net.with_stack(|stack, _| stack.stats());
        assert!(stats.tcp.retrans_segs > 100, "something was lost: {:?}", stats.tcp);
    }
}

fn on_several_shards(frames: Frames) {
    for net in drive(LOSSY, [2, 3], frames) {
        for (shard, hand_overs) in net.shards().zip(net.hand_overs()) {
            let tcp = shard.with_stack(|stack, _| stack.stats().tcp);
            let opens = tcp.active_opens + tcp.passive_opens;
            assert!(opens > FLOWS / 5 && tcp.retrans_segs > 20, "each has its share: {tcp:?}");
            // Where frames are merged there are fewer of them.
            let least = if frames == Frames::Merged { 300 } else { 1000 };
            assert!(hand_overs.given > least, "nothing came where it belonged: {hand_overs:?}");
        }
    }
}

#[test]
fn a_thousand_flows_with_loss_bring_every_byte() {
    on_one_stack(Frames::Single);
}

#[test]
fn so_they_do_where_frames_are_merged_and_segments_are_lost() {
    on_one_stack(Frames::Merged);
}

#[test]
fn and_so_they_do_between_hosts_of_several_shards() {
    on_several_shards(Frames::Single);
}

#[test]
fn and_between_such_hosts_with_merged_frames() {
    on_several_shards(Frames::Merged);
}
