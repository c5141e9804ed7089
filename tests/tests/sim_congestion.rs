//! Congestion controls on a long path in virtual time: how much of it they use, and how they share it.

use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, LinkId, Network, NodeId};
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{Settings, TcpInfo};
use ustack::time::{Duration, Instant, Units as _, at};
use ustack::{SocketId, Stack};

/// Bytes a second of payload that fill 100 Mbit/s: each frame carries 1448 of 1514.
const FULL: f64 = 12_500_000.0 * 1448.0 / 1514.0;
/// 50 ms of round-trip time, and a queue of one bandwidth-delay product.
const PATH: &str = "delay 25ms rate 100mbit queue 413 limit 100000";
const BACK: &str = "delay 25ms rate 100mbit limit 100000";

/// Flows from one host to another, each as fast as it may.
struct Flows {
    net: Network<Stack>,
    from: NodeId,
    to: NodeId,
    link: LinkId,
    listener: SocketId,
    senders: Vec<SocketId>,
    receivers: Vec<SocketId>,
    received: Vec<u64>,
}

impl Flows {
    fn new(seed: u64, forward: &str) -> Self {
        Self::over(seed, forward, BACK)
    }

    fn over(seed: u64, forward: &str, backward: &str) -> Self {
        let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
        let mut net = Network::new(seed);
        let from = net.add_host("alice", &[(a, 24)]).expect("an address");
        let to = net.add_host("bob", &[(b, 24)]).expect("an address");
        let link = LinkConfig {
            forward: forward.parse().expect("netem's words"),
            backward: backward.parse().expect("netem's words"),
            ..LinkConfig::default()
        };
        let link = net.connect(from, to, link);
        let listener =
            net.node_mut(to).tcp_listen(port(), 8, settings(Algorithm::default())).expect("a free port");
        Self {
            net,
            from,
            to,
            link,
            listener,
            senders: Vec::new(),
            receivers: Vec::new(),
            received: Vec::new(),
        }
    }

    fn start(&mut self, algorithm: &Algorithm) {
        self.open(settings(algorithm.clone()));
    }

    fn open(&mut self, settings: Settings) {
        let now = self.net.now();
        let alice = self.net.node_mut(self.from);
        self.senders.push(alice.tcp_connect(now, port(), None, settings).expect("a route"));
        self.received.push(0);
        // A handshake may be lost a few times.
        let end = now + 10.secs();
        let Self { net, to, listener, receivers, .. } = self;
        net.run_until_done(end, |net| {
            let now = net.now();
            net.node_mut(*to).tcp_accept(now, *listener).map(|(id, _)| receivers.push(id)).is_ok()
        });
    }

    /// Lets all of them send until then.
    fn run(&mut self, end: Instant) {
        let Self { net, from, to, senders, receivers, received, .. } = self;
        let data = vec![7; 256 << 10];
        let mut buffer = vec![0; 256 << 10];
        net.run_until_done(end, |net| {
            let now = net.now();
            for &id in senders.iter() {
                let alice = net.node_mut(*from);
                if alice.tcp_info(id).is_ok_and(|info| info.unsent < 128 << 10) {
                    let _ = alice.tcp_send(now, id, &data);
                }
            }
            for (&id, received) in receivers.iter().zip(&mut *received) {
                while let Ok(len @ 1..) = net.node_mut(*to).tcp_recv(now, id, &mut buffer) {
                    *received += len as u64;
                }
            }
            false
        });
    }

    fn info(&self, flow: usize) -> TcpInfo {
        self.net.node(self.from).tcp_info(self.senders[flow]).expect("it is open")
    }
}

fn port() -> SocketAddr {
    SocketAddr::new([10, 9, 0, 2].into(), 7)
}

fn settings(congestion: Algorithm) -> Settings {
    Settings {
        congestion,
        send_buffer: 8 << 20,
        recv_buffer: 8 << 20,
        recv_tuning: false,
        send_tuning: false,
        ..Settings::default()
    }
}

fn algorithm(name: &str) -> Algorithm {
    Algorithm::named(name).expect("it exists")
}

/// The part of the path that a single flow uses in `time`, its beginning included.
fn utilisation(name: &str, forward: &str, time: Duration) -> f64 {
    let mut flows = Flows::new(1, forward);
    flows.start(&algorithm(name));
    flows.run(Instant::ZERO + time);
    let info = flows.info(0);
    let part = flows.received[0] as f64 / time.as_secs_f64() / FULL;
    println!("{name} on {forward}: {part:.3}, {info:?}");
    part
}

/// Jain's index of two flows that began `apart`, of the whole minute and of its second half.
fn fairness(settings: &Settings, apart: Duration) -> [f64; 2] {
    let (half, end) = (at(30.secs()), at(60.secs()));
    let mut flows = Flows::new(2, PATH);
    flows.open(settings.clone());
    flows.run(Instant::ZERO + apart);
    flows.open(settings.clone());
    let began = flows.received.clone();
    flows.run(half);
    let then = flows.received.clone();
    flows.run(end);
    let since = |from: &[u64]| -> Vec<f64> {
        flows.received.iter().zip(from).map(|(now, then)| (now - then) as f64).collect()
    };
    let (whole, late) = (since(&began), since(&then));
    let indices = [jain(&whole), jain(&late)];
    println!("{:?}, {apart} apart: {whole:?}, indices {indices:.3?}", settings.congestion);
    let rate = whole.iter().sum::<f64>() / (end - (Instant::ZERO + apart)).as_secs_f64();
    assert!(rate > 0.9 * FULL, "together: {whole:?}");
    indices
}

fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

#[test]
fn cubic_fills_the_path() {
    assert!(utilisation("cubic", PATH, 20.secs()) >= 0.95);
}

#[test]
fn reno_fills_the_path() {
    assert!(utilisation("reno", PATH, 20.secs()) >= 0.95);
}

#[test]
fn bbr_fills_the_path() {
    assert!(utilisation("bbr", PATH, 20.secs()) >= 0.95);
}

#[test]
fn bbr_does_not_take_random_loss_for_congestion() {
    assert!(utilisation("bbr", &format!("{PATH} loss 1%"), 20.secs()) >= 0.85);
}

/// What a flow of BBR uses of a path of 50 Mbit/s and 20 ms in 20 s, and the share of what it sends that finds the queue
/// full; means of three runs.
fn short_path(rest: &str) -> [f64; 2] {
    let sums = (1..=3).fold([0.0; 2], |[used, full], seed| {
        let forward = format!("delay 10ms rate 50mbit limit 100000 {rest}");
        let mut flows = Flows::over(seed, &forward, "delay 10ms limit 100000");
        flows.start(&algorithm("bbr"));
        let begin = flows.net.now();
        flows.run(begin + 20.secs());
        let counts = flows.net.link(flows.link).forward().counts();
        let overflow = counts.overflowed as f64 / counts.frames as f64;
        [used + flows.received[0] as f64 / 20.0 / (FULL / 2.0), full + overflow]
    });
    let means = sums.map(|sum| sum / 3.0);
    println!("bbr with {rest}: {means:.4?}");
    means
}

#[test]
fn random_loss_takes_no_more_from_bbr_than_what_is_lost() {
    // Without loss it is 0.97: two pauses of ProbeRTT, and the margin that pacing leaves.
    for (loss, share) in [("1%", 0.99 * 0.96), ("5%", 0.95 * 0.965)] {
        let [used, overflow] = short_path(&format!("queue 83 loss {loss}"));
        assert!(used >= share && overflow < 0.005, "{used} at {loss}, {overflow}");
    }
}

#[test]
fn a_queue_of_few_frames_does_not_drive_bbr_to_more_losses() {
    for (queue, most) in [(4, 0.022), (8, 0.005), (16, 0.005)] {
        let [_, overflow] = short_path(&format!("queue {queue}"));
        assert!(overflow < most, "{overflow} with a queue of {queue}");
    }
}

/// Two flows share, whenever the second begins: Jain's index of a minute is so much in the mean, and nowhere less than
/// the other.
fn share(settings: &Settings, [mean, least]: [f64; 2]) {
    let apart = [300, 700, 1500, 3100, 4700, 6100].map(Duration::from_millis);
    let indices: Vec<[f64; 2]> = std::thread::scope(|scope| {
        let runs = apart.map(|apart| scope.spawn(move || fairness(settings, apart)));
        runs.into_iter().map(|run| run.join().expect("it ran well")).collect()
    });
    assert!(indices.iter().map(|index| index[0]).sum::<f64>() / indices.len() as f64 > mean, "{indices:?}");
    assert!(indices.iter().all(|index| index[0] > least), "{indices:?}");
    let late = indices.iter().map(|index| index[1]).sum::<f64>() / indices.len() as f64;
    assert!(late > 0.95, "once they know each other: {late}, {indices:?}");
}

#[test]
fn two_flows_that_begin_together_share() {
    for name in ["cubic", "reno", "bbr"] {
        let [whole, _] = fairness(&settings(algorithm(name)), Duration::ZERO);
        assert!(whole > 0.95, "{name}: {whole}");
    }
}

/// Six losses are all that CUBIC has in a minute to find its share by: what the first flow was ahead is in the mean.
#[test]
fn two_flows_of_cubic_share_whenever_the_second_begins() {
    share(&settings(algorithm("cubic")), [0.92, 0.8]);
}

#[test]
fn two_flows_of_reno_share_whenever_the_second_begins() {
    share(&settings(algorithm("reno")), [0.95, 0.92]);
}

#[test]
fn two_flows_of_bbr_share_whenever_the_second_begins() {
    // As users have them, buffers tune themselves.
    share(&Settings { congestion: algorithm("bbr"), ..Settings::default() }, [0.95, 0.92]);
}

#[test]
fn slow_start_ends_before_a_long_queue_overflows() {
    let mut flows = Flows::new(1, "delay 25ms rate 100mbit queue 4130 limit 100000");
    flows.start(&algorithm("cubic"));
    flows.run(at(4.secs()));
    let info = flows.info(0);
    assert_eq!((info.counters.bytes_retrans, info.congestion_phase), (0, "avoidance"), "{info:?}");
}

#[test]
fn the_congestion_control_can_be_changed_on_the_way() {
    let mut flows = Flows::new(1, PATH);
    flows.start(&algorithm("cubic"));
    for (second, name) in [(2, "bbr"), (4, "reno"), (6, "bbr"), (9, "cubic")] {
        flows.run(at(second.secs()));
        let before = flows.info(0);
        let alice = flows.net.node_mut(flows.from);
        alice.tcp_set_congestion(at(second.secs()), flows.senders[0], algorithm(name)).expect("it is open");
        let after = flows.info(0);
        assert_eq!((after.congestion, after.cwnd), (name, before.cwnd));
        assert_eq!(after.pacing_rate.is_some(), name == "bbr");
    }
    let before = flows.received[0];
    flows.run(at(15.secs()));
    let part = (flows.received[0] - before) as f64 / 6.0 / FULL;
    assert!(part > 0.95, "{part}");
}

#[test]
fn a_paced_window_is_as_fast() {
    let mut flows = Flows::new(1, PATH);
    flows.start(&algorithm("cubic"));
    let paced = Settings { pacing: true, ..settings(algorithm("cubic")) };
    let now = flows.net.now();
    flows.net.node_mut(flows.from).tcp_configure(now, flows.senders[0], paced).expect("it is open");
    flows.run(at(10.secs()));
    assert!(flows.received[0] as f64 / 10.0 / FULL > 0.93, "{}", flows.received[0]);
    let info = flows.info(0);
    assert!(info.pacing_rate.is_some_and(|rate| rate as f64 > FULL), "{info:?}");
}
