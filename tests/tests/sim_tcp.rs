//! What virtual time promises: quiet costs nothing, and a seed repeats a run to the byte.

use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, Network, NodeId};
use ustack::tcp::{Keepalive, Settings};
use ustack::time::Units as _;
use ustack::{SocketId, Stack};
use ustack_tests::pattern::pattern;
use ustack_tests::sim::connect;

/// Two of our hosts on a link; the client has connected.
struct Pair {
    net: Network<Stack>,
    client: (NodeId, SocketId),
    server: (NodeId, SocketId),
}

impl Pair {
    fn connected(seed: u64, link: &str, settings: &Settings) -> Self {
        let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
        let mut net = Network::new(seed);
        let alice = net.add_host("alice", &[(a, 24)]).expect("an address");
        let bob = net.add_host("bob", &[(b, 24)]).expect("an address");
        net.connect(alice, bob, LinkConfig::both(link.parse().expect("netem's words")));
        net.record_trace(10_000);
        let (client, server) = connect(&mut net, (alice, bob), SocketAddr::new(b, 7), settings);
        Self { net, client: (alice, client), server: (bob, server) }
    }

    /// The client sends that many bytes, and they arrive.
    fn transfer(&mut self, bytes: usize) {
        let text = pattern(1, bytes);
        let (mut sent, mut got, mut buffer) = (0, Vec::new(), vec![0; 64 << 10]);
        let limit = self.net.now() + 600.secs();
        self.net.run_until_done(limit, |net| {
            let now = net.now();
            if let Ok(len) = net.node_mut(self.client.0).tcp_send(now, self.client.1, &text[sent..]) {
                sent += len;
            }
            while let Ok(len @ 1..) = net.node_mut(self.server.0).tcp_recv(now, self.server.1, &mut buffer) {
                got.extend_from_slice(&buffer[..len]);
            }
            got.len() == bytes
        });
        assert!(got == text, "{} of {bytes} bytes", got.len());
    }

    /// Lets so many seconds pass; answers how many events there were.
    fn wait(&mut self, seconds: u64) -> usize {
        let end = self.net.now() + seconds.secs();
        let mut events = 0;
        while self.net.next_event().is_some_and(|at| at <= end) {
            self.net.step();
            events += 1;
        }
        self.net.run_until(end);
        events
    }

    fn frames(&self) -> usize {
        self.net.trace().map_or(0, |trace| trace.frames.len())
    }
}

#[test]
fn ten_quiet_minutes_cost_a_few_events() {
    let mut pair = Pair::connected(1, "delay 10ms", &Settings::default());
    pair.transfer(100_000);
    pair.wait(60);
    let frames = pair.frames();
    let events = pair.wait(600);
    // Neither side says anything, and hardly a timer fires.
    assert_eq!(pair.frames(), frames);
    assert!(events <= 20, "{events} events in ten minutes of silence");
    pair.transfer(1_000);
}

#[test]
fn keepalives_are_all_that_an_idle_connection_says() {
    let keepalive = Keepalive { time: 60.secs(), interval: 10.secs(), count: 3 };
    let settings = Settings { keepalive: Some(keepalive), ..Settings::default() };
    let mut pair = Pair::connected(1, "delay 10ms", &settings);
    pair.transfer(1_000);
    let frames = pair.frames();
    let events = pair.wait(600);
    let said = pair.frames() - frames;
    // At most ten probes of each side, their answers, and the neighbour cache's questions on the way.
    assert!((10..=80).contains(&said), "{said} frames");
    assert!(events <= 4 * said + 20, "{events} events for {said} frames");
    pair.transfer(1_000);
}

#[test]
fn a_seed_repeats_a_run_to_the_byte() {
    let run = |seed| {
        let link = "delay 20ms 5ms loss 3% reorder 5% duplicate 2% corrupt 1%";
        let mut pair = Pair::connected(seed, link, &Settings::default());
        pair.transfer(300_000);
        let trace = pair.net.trace().expect("it is recorded");
        trace.frames.iter().map(|frame| (frame.time, frame.bytes.clone(), frame.why)).collect::<Vec<_>>()
    };
    let (first, again, other) = (run(5), run(5), run(6));
    assert!(first == again, "the same seed, but another run");
    assert!(first != other, "another seed, but the same run");
}
