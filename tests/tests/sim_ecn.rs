//! A bulk flow over a queue that marks instead of dropping, in virtual time.

use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, Network, NodeId};
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{EcnMode, EcnPolicy, Settings, TcpInfo};
use ustack::time::{Duration, Units as _};
use ustack::{SocketId, Stack};
use ustack_tests::sim::connect;

/// Bytes a second of payload that fill 20 Mbit/s: each frame carries 1448 of 1514.
const FULL: f64 = 2_500_000.0 * 1448.0 / 1514.0;
/// 40 ms of round-trip time, of which 66 frames are a bandwidth-delay product.
const PATH: &str = "delay 20ms rate 20mbit limit 100000";
const BACK: &str = "delay 20ms limit 100000";

/// What came of a flow.
struct Outcome {
    /// Part of the path that it used, its first second not counted.
    part: f64,
    info: TcpInfo,
    /// Frames that were marked, dropped by CoDel, or for want of room.
    marked: u64,
    early: u64,
    overflowed: u64,
    /// The mean and the longest time that frames waited for the rate after the first second.
    wait: Duration,
    longest: Duration,
}

/// Sends for `seconds` as fast as it may through a queue with these words.
fn flow(policy: EcnPolicy, congestion: &str, queue: &str, seconds: u64) -> Outcome {
    let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
    let mut net = Network::new(7);
    let from = net.add_host("alice", &[(a, 24)]).expect("an address");
    let to = net.add_host("bob", &[(b, 24)]).expect("an address");
    let forward = format!("{PATH} {queue}").parse().expect("netem's words");
    let backward = BACK.parse().expect("netem's words");
    let link = net.connect(from, to, LinkConfig { forward, backward, ..LinkConfig::default() });
    let settings = Settings {
        ecn: policy,
        congestion: Algorithm::named(congestion).expect("it exists"),
        send_buffer: 4 << 20,
        recv_buffer: 4 << 20,
        ..Settings::default()
    };
    let address = SocketAddr::new(b, 7);
    let (sender, receiver) = connect(&mut net, (from, to), address, &settings);
    carry(&mut net, [(from, sender), (to, receiver)], 1.secs());
    net.record_trace(usize::MAX);
    let received = carry(&mut net, [(from, sender), (to, receiver)], seconds.secs());
    let trace = net.trace().expect("it is recorded");
    // From the rate's point of view a frame takes its own time and the delay; the rest it waited.
    let waits: Vec<u64> = trace
        .frames
        .iter()
        .filter(|frame| frame.from == from)
        .filter_map(|frame| Some((frame.passage.arrival? - frame.time).as_micros()))
        .map(|took| took.saturating_sub(20_000))
        .collect();
    let counts = *net.link(link).forward().counts();
    Outcome {
        part: received as f64 / seconds as f64 / FULL,
        info: net.node(from).tcp_info(sender).expect("it is open"),
        marked: counts.marked,
        early: counts.early,
        overflowed: counts.overflowed,
        wait: Duration::from_micros(waits.iter().sum::<u64>() / waits.len() as u64),
        longest: Duration::from_micros(waits.into_iter().max().unwrap_or(0)),
    }
}

/// Lets the first send to the second for `span`; answers how much arrived.
fn carry(
    net: &mut Network<Stack>,
    [(from, sender), (to, receiver)]: [(NodeId, SocketId); 2],
    span: Duration,
) -> u64 {
    let (data, mut buffer, mut received) = (vec![7; 64 << 10], vec![0; 64 << 10], 0);
    let end = net.now() + span;
    net.run_until_done(end, |net| {
        let now = net.now();
        if net.node(from).tcp_info(sender).is_ok_and(|info| info.unsent < 128 << 10) {
            let _ = net.node_mut(from).tcp_send(now, sender, &data);
        }
        while let Ok(len @ 1..) = net.node_mut(to).tcp_recv(now, receiver, &mut buffer) {
            received += len as u64;
        }
        false
    });
    received
}

#[test]
fn over_a_threshold_nothing_is_lost_and_the_path_is_full() {
    for policy in [EcnPolicy::CLASSIC, EcnPolicy::ACCURATE] {
        for congestion in ["cubic", "reno", "bbr"] {
            let it = flow(policy, congestion, "queue 200 mark 66", 20);
            let what = format!("{policy:?} {congestion}: {:.3} {:?} {:?}", it.part, it.wait, it.info);
            println!("{what}");
            assert!(it.part > 0.95, "{what}");
            assert_eq!((it.overflowed, it.info.counters.segs_retrans), (0, 0), "{what}");
            if congestion != "bbr" {
                assert!(it.marked > 0 && it.info.ecn.reductions > 2, "{what}");
            }
        }
    }
}

#[test]
fn codel_keeps_the_queue_short_without_a_loss() {
    for policy in [EcnPolicy::CLASSIC, EcnPolicy::ACCURATE] {
        let it = flow(policy, "cubic", "queue 400 codel", 30);
        let what = format!("{policy:?}: {:.3} {:?} {:?} {:?}", it.part, it.wait, it.longest, it.info);
        println!("{what}");
        assert_eq!((it.early, it.overflowed, it.info.counters.segs_retrans), (0, 0, 0), "{what}");
        assert!(it.marked > 10, "{what}");
        assert!(it.wait < 10.ms() && it.part > 0.9, "{what}");
    }
}

#[test]
fn codel_drops_what_it_cannot_mark() {
    let it = flow(EcnPolicy::OFF, "cubic", "queue 400 codel", 30);
    let what = format!("{:.3} {:?} {:?} {:?}", it.part, it.wait, it.longest, it.info);
    println!("{what}");
    assert_eq!((it.marked, it.info.ecn.mode), (0, EcnMode::Off), "{what}");
    // What was dropped last is not repaired yet.
    assert!(
        it.early > 10 && it.info.counters.segs_retrans + 5 > it.early as u32,
        "{what}: {} dropped",
        it.early
    );
    assert!(it.wait < 10.ms() && it.part > 0.9, "{what}");
}

#[test]
fn accurate_counts_agree_with_the_queue() {
    let it = flow(EcnPolicy::ACCURATE, "cubic", "queue 200 mark 40", 10);
    let counted = u64::from(it.info.ecn.delivered_ce);
    // What was marked last is still on its way.
    assert!(counted <= it.marked && counted + 100 > it.marked, "{counted} of {}: {:?}", it.marked, it.info);
    assert!(it.info.ecn.delivered.ce >= (counted - 20) * 1000, "{:?}", it.info);
}
