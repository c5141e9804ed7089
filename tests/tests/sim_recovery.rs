//! How our TCP lives with losses, reordering and delay: what it repairs, it repairs without waiting for the timer.

use ustack::sim::LinkConfig;
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{Settings, TcpInfo};
use ustack::time::{Instant, Units as _};
use ustack_tests::sim::Pair;

/// What came of a transfer.
struct Transfer {
    /// Megabits a second.
    goodput: f64,
    info: TcpInfo,
    end: Instant,
    /// Frames that the sender sent.
    frames: u64,
}

/// Sends that many bytes over a link, which does to data what `forward` says and to ACKs what `backward` says.
fn transfer(bytes: usize, seed: u64, forward: &str, backward: &str, settings: &Settings) -> Transfer {
    transfer_losing(bytes, seed, forward, backward, settings, "")
}

/// The same with these fates instead of the links' own, if there are any.
fn transfer_losing(
    bytes: usize,
    seed: u64,
    forward: &str,
    backward: &str,
    settings: &Settings,
    fates: &str,
) -> Transfer {
    let words = "netem's words";
    let link = LinkConfig {
        backward: backward.parse().expect(words),
        ..LinkConfig::both(forward.parse().expect(words))
    };
    let mut pair = Pair::new(seed, link);
    if !fates.is_empty() {
        pair.net.play_back(&fates.parse().expect("fates"));
    }
    let client = pair.transfer(bytes, settings, 100_000.secs());
    let Pair { net, client: alice, .. } = &pair;
    let info = net.node(*alice).tcp_info(client).expect("it is there");
    let (end, frames) = (net.now(), net.counts().next().expect("a channel").1.frames);
    Transfer { goodput: bytes as f64 * 8.0 / 1e6 / end.since(Instant::ZERO).as_secs_f64(), info, end, frames }
}

fn with(name: &str) -> Settings {
    Settings { congestion: Algorithm::named(name).expect("a name"), ..Settings::default() }
}

#[test]
fn what_the_scoreboard_can_repair_waits_for_no_timer() {
    for name in ["reno", "cubic"] {
        let (mut timeouts, mut again) = (0, 0);
        for seed in 1..=4 {
            let link = "delay 10ms loss 2% rate 100mbit queue 200";
            let counters = transfer(25_000_000, seed, link, link, &with(name)).info.counters;
            timeouts += counters.timeouts;
            again += counters.lost_retransmits;
        }
        assert!(timeouts <= 2, "{name}: {timeouts} timeouts in 100 MB");
        assert!(again > 20, "{name}: {again} repeats were lost again and repaired");
    }
}

#[test]
fn reordering_costs_next_to_nothing() {
    let plain = "delay 25ms rate 50mbit queue 300";
    let reordered = "delay 25ms reorder 10% rate 50mbit queue 300";
    for (name, bytes, seeds) in [("reno", 25_000_000, 4), ("cubic", 25_000_000, 4), ("bbr", 50_000_000, 8)] {
        let best = transfer(bytes, 1, plain, plain, &with(name)).goodput;
        for seed in 1..=seeds {
            let Transfer { goodput, info, .. } = transfer(bytes, seed, reordered, plain, &with(name));
            assert!(goodput >= 0.95 * best, "{name}, seed {seed}: {goodput:.1} of {best:.1} Mbit/s");
            assert!(info.reordering && info.counters.timeouts == 0, "{name}, seed {seed}: {info:?}");
        }
    }
}

#[test]
fn what_was_not_needed_is_undone() {
    let reordered = "delay 25ms reorder 10% rate 10mbit";
    let mut undone = 0;
    for seed in 1..=4 {
        let counters = transfer(2_000_000, seed, reordered, "delay 25ms", &with("reno")).info.counters;
        assert!(counters.undos <= counters.recoveries + counters.timeouts, "seed {seed}: {counters:?}");
        undone += counters.undos;
    }
    assert!(undone > 0);
}

#[test]
fn without_sack_it_is_still_newreno() {
    for seed in 1..=4 {
        let settings = Settings { sack: false, ..with("reno") };
        let link = "delay 10ms loss 1% rate 100mbit queue 200";
        let counters = transfer(2_000_000, seed, link, link, &settings).info.counters;
        assert_eq!((counters.loss_probes, counters.dsacks_in), (0, 0), "seed {seed}");
        assert!(counters.recoveries > counters.timeouts, "seed {seed}: {counters:?}");
    }
}

#[test]
fn the_last_segment_lost_is_repaired_by_a_probe() {
    for (name, segments) in [("reno", 10), ("cubic", 10), ("bbr", 10), ("cubic", 40)] {
        let run =
            |fates: &str| transfer_losing(1448 * segments, 1, "delay 50ms", "delay 50ms", &with(name), fates);
        let whole = run("");
        let lost = run(&format!("frame {} of alice->bob: drop", whole.frames));
        let counters = lost.info.counters;
        assert_eq!((counters.timeouts, counters.loss_probes), (0, 1), "{name}: {counters:?}");
        // Two round trips, and the probe's time: two more and the delay of a single segment's ACK (RFC 8985 section
        // 7.2).
        assert!(lost.end - whole.end <= 200.ms() + 400.ms(), "{name}: {} after {}", lost.end, whole.end);
    }
}
