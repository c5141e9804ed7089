//! What is observed of a transfer agrees with what was counted, costs nothing when nobody asks, and repeats itself.

use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, Network};
use ustack::stats::Stats;
use ustack::tcp::{Decision, Settings, State, TcpInfo};
use ustack::time::{Instant, Units as _, at};
use ustack::{Config, InterfaceConfig, Observation, Stack};

const LINK: &str = "delay 20ms loss 3% rate 20mbit queue 100";

/// What came of half a megabyte on a bad link.
struct Run {
    seen: Vec<Observation>,
    info: TcpInfo,
    stats: Stats,
}

fn host(seed: u64, address: IpAddr, observe: bool, max_decisions: usize) -> Stack {
    let mut config = Config { max_decisions, ..Config::seeded(seed) };
    config.tcp.observe = observe;
    let mut stack = Stack::new(config);
    let mac = ustack::wire::ethernet::MacAddr([2, 0, 0, 0, 0, seed as u8]);
    let interface = InterfaceConfig { dad: false, ..InterfaceConfig::new(mac) }.address(address, 24);
    let device = ustack::buf::frame::Capabilities::plain(ustack::buf::frame::Medium::Ethernet, 1500);
    stack.add_interface(Instant::ZERO, interface, device).expect("the configuration fits");
    stack
}

fn run(seed: u64, observe: bool, max_decisions: usize, ask: bool) -> Run {
    const BYTES: usize = 500_000;
    let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
    let mut net = Network::new(seed);
    let alice = net.add_node("alice", host(1, a, observe, max_decisions));
    let bob = net.add_node("bob", host(2, b, false, max_decisions));
    net.connect(alice, bob, LinkConfig::both(LINK.parse().expect("netem's words")));
    let port = SocketAddr::new(b, 7);
    let settings = |stack: &Stack| Settings { ..stack.config().tcp.clone() };
    let (ours, theirs) = (settings(net.node(alice)), settings(net.node(bob)));
    let listener = net.node_mut(bob).tcp_listen(port, 1, theirs).expect("a free port");
    let client = net.node_mut(alice).tcp_connect(Instant::ZERO, port, None, ours).expect("a route");
    let (mut server, mut sent, mut got) = (None, 0, 0);
    let (chunk, mut buffer, mut seen) = (vec![7; 64 << 10], vec![0; 64 << 10], Vec::new());
    net.run_until_done(at(1000.secs()), |net| {
        let now = net.now();
        server = server.or_else(|| net.node_mut(bob).tcp_accept(now, listener).ok().map(|(id, _)| id));
        while let Ok(len @ 1..) =
            net.node_mut(alice).tcp_send(now, client, &chunk[..chunk.len().min(BYTES - sent)])
        {
            sent += len;
        }
        while let Some(id) = server
            && let Ok(len @ 1..) = net.node_mut(bob).tcp_recv(now, id, &mut buffer)
        {
            got += len;
        }
        if ask {
            seen.extend(std::iter::from_fn(|| net.node_mut(alice).poll_decision()));
        }
        got == BYTES && net.node(alice).tcp_info(client).is_ok_and(|info| info.unacked == 0)
    });
    assert_eq!(got, BYTES);
    let info = net.node(alice).tcp_info(client).expect("it is there");
    seen.extend(std::iter::from_fn(|| net.node_mut(alice).poll_decision()));
    assert_eq!(net.node_mut(bob).poll_decision(), None, "nobody observes that one");
    Run { seen, info, stats: net.node(alice).stats() }
}

#[test]
fn what_is_told_is_what_was_counted() {
    let Run { seen, info, stats } = run(7, true, 1 << 16, true);
    assert_eq!(stats.decisions_refused, 0);
    let count = |wanted: fn(&Decision) -> bool| seen.iter().filter(|o| wanted(&o.decision)).count() as u32;
    let counters = info.counters;
    assert!(counters.recoveries > 2, "the link is bad enough: {counters:?}");
    assert_eq!(count(|d| matches!(d, Decision::Recovery { to: "recovery", .. })), counters.recoveries);
    assert_eq!(count(|d| matches!(d, Decision::RtoFired { .. })), counters.timeouts);
    assert_eq!(count(|d| matches!(d, Decision::Spurious { .. })), counters.undos);
    let sums = stats.connections;
    assert_eq!(
        (sums.recoveries, sums.segs_retrans, sums.timeouts, sums.curr_estab),
        (counters.recoveries.into(), counters.segs_retrans.into(), counters.timeouts.into(), 1)
    );
    let named = |name| stats.named().find(|counter| counter.name == name).expect("a counter").value;
    assert_eq!(named("RetransSegs"), u64::from(counters.segs_retrans));
    assert_eq!(named("TCPSackRecovery"), u64::from(counters.recoveries));
    assert!(count(|d| matches!(d, Decision::Rtt { .. })) > 100);
    assert!(seen.iter().any(|o| matches!(o.decision, Decision::State { to: State::Established, .. })));
    // Each change goes on where the one before ended, and the last is what is there.
    let mut cwnd = 0;
    for told in &seen {
        if let Decision::Cwnd { from, to } = told.decision {
            assert_eq!(from, cwnd, "at {}", told.at);
            cwnd = to;
        }
    }
    assert_eq!(cwnd, info.cwnd);
    assert!(seen.is_sorted_by_key(|o| o.at), "in the order of time");
}

#[test]
fn observing_changes_nothing_and_repeats_itself() {
    let [first, again] = [(); 2].map(|()| run(3, true, 1 << 16, true));
    assert_eq!(first.seen, again.seen);
    let unobserved = run(3, false, 1 << 16, true);
    assert_eq!(unobserved.seen, []);
    assert_eq!(unobserved.info, first.info);
    assert_eq!(unobserved.stats, first.stats);
}

#[test]
fn what_nobody_asks_for_is_bounded_and_counted() {
    let all = run(3, true, 1 << 16, true).seen.len();
    let Run { seen, stats, .. } = run(3, true, 100, false);
    assert_eq!((seen.len(), stats.decisions_refused), (100, all as u64 - 100));
}
