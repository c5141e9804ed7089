//! What virtual time promises: quiet costs nothing, and a seed repeats a run to the byte.

use std::net::{IpAddr, SocketAddr};

use ustack::device::{Capabilities, Medium};
use ustack::sim::{LinkConfig, Network, NodeId};
use ustack::tcp::{Keepalive, Settings};
use ustack::time::Units as _;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, Error, InterfaceConfig, SocketId, Stack};
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
        Self::on(net, (alice, bob), b, settings)
    }

    /// The same, but both hosts work with merged frames.
    fn merging(seed: u64, link: &str, settings: &Settings) -> Self {
        let mut net = Network::new(seed);
        let hosts = [1, 2].map(|last: u8| {
            let mut stack = Stack::new(Config::seeded(last.into()));
            let config =
                InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
            let config = config.address([10, 9, 0, last].into(), 24);
            let plain = Capabilities::plain(Medium::Ethernet, 1500);
            let capabilities = plain.merging();
            stack.add_interface(net.now(), config, capabilities).expect("it fits");
            net.add_node(["alice", "bob"][usize::from(last) - 1], stack)
        });
        net.connect(hosts[0], hosts[1], LinkConfig::both(link.parse().expect("netem's words")));
        hosts.into_iter().for_each(|host| net.merge_received(host));
        Self::on(net, (hosts[0], hosts[1]), [10, 9, 0, 2].into(), settings)
    }

    fn on(mut net: Network<Stack>, hosts: (NodeId, NodeId), server: IpAddr, settings: &Settings) -> Self {
        net.record_trace(10_000);
        let (ours, theirs) = connect(&mut net, hosts, SocketAddr::new(server, 7), settings);
        Self { net, client: (hosts.0, ours), server: (hosts.1, theirs) }
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

#[test]
fn of_merged_frames_single_segments_are_lost() {
    const BYTES: usize = 3_000_000;
    let mut pair = Pair::merging(3, "delay 10ms loss 1%", &Settings::default());
    pair.transfer(BYTES);
    let trace = pair.net.trace().expect("it is recorded");
    assert!(trace.frames.iter().all(|frame| frame.bytes.len() <= 1514), "the link gets no merged frames");
    let data = trace.frames.iter().filter(|frame| frame.from == pair.client.0 && frame.bytes.len() > 1000);
    let (sent, lost) = data.fold((0, 0), |(sent, lost), frame| {
        (sent + 1, lost + usize::from(frame.passage.fate.drop.is_some()))
    });
    // A lost segment is repeated, and not the frame of which it was a part.
    let least = BYTES / 1448;
    assert!(lost > 5 && sent >= least + lost && sent <= least + 2 * lost + 5, "{sent} sent, {lost} lost");
    // Who receives merged frames acknowledges them with less than one ACK for two segments.
    let acks = trace.frames.iter().filter(|frame| frame.from == pair.server.0).count();
    assert!(acks < sent / 3, "{acks} ACKs for {sent} segments");
}

#[test]
fn each_family_has_its_own_listener_if_it_is_asked_for() {
    let [any_v4, any_v6]: [SocketAddr; 2] = ["0.0.0.0:7", "[::]:7"].map(|it| it.parse().expect("an address"));
    let [at_v4, at_v6]: [SocketAddr; 2] =
        ["10.9.0.2:7", "[fd09::2]:7"].map(|it| it.parse().expect("an address"));
    let mut net = Network::new(1);
    let addresses = |last: u8| {
        [(IpAddr::from([10, 9, 0, last]), 24), (IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, last.into()]), 64)]
    };
    let alice = net.add_host("alice", &addresses(1)).expect("addresses");
    let bob = net.add_host("bob", &addresses(2)).expect("addresses");
    net.connect(alice, bob, LinkConfig::both("delay 1ms".parse().expect("netem's words")));
    let only_v6 = Settings { only_v6: true, ..Settings::default() };
    let ask = |net: &mut Network<Stack>, to| {
        let now = net.now();
        let socket = net.node_mut(alice).tcp_connect(now, to, None, Settings::default()).expect("a route");
        let limit = now + 1.secs();
        net.run_until(limit);
        net.node(alice).tcp_failure(socket)
    };
    let ours = net.node_mut(bob).tcp_listen(any_v6, 8, only_v6.clone()).expect("it is free");
    assert_eq!(ask(&mut net, at_v6), None);
    assert_eq!(ask(&mut net, at_v4), Some(Error::ConnectionRefused));
    // The port of the other family is free, and of this one it is not.
    let theirs = net.node_mut(bob).tcp_listen(any_v4, 8, Settings::default()).expect("it is free");
    assert_eq!((ask(&mut net, at_v4), ask(&mut net, at_v6)), (None, None));
    let now = net.now();
    let peers =
        [theirs, ours, ours].map(|it| net.node_mut(bob).tcp_accept(now, it).expect("one waits").1.ip());
    assert_eq!(peers.map(|ip| ip.is_ipv4()), [true, false, false]);
    let refused =
        net.node_mut(bob).tcp_listen(any_v6, 8, Settings::default()).expect_err("it would take both");
    assert!(matches!(refused, Error::AddressInUse(_)), "{refused}");
}
