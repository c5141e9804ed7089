//! Paths that take less than the interface, and do not say so: a transfer survives it, and finds out what passes (RFC
//! 4821).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ustack::sim::{Impairment, LinkConfig, Network, NodeId};
use ustack::tcp::{MtuProbing, Settings, TcpInfo};
use ustack::time::{Duration, Units as _};
use ustack::why::Reason;
use ustack::{SocketId, Stack};
use ustack_tests::pattern::pattern;
use ustack_tests::sim::connect;

/// What is sent in each run.
const BYTES: usize = 1_000_000;

/// How a transfer went.
struct Run {
    took: Duration,
    info: TcpInfo,
    probes: u64,
    fails: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    fn addresses(self) -> [IpAddr; 2] {
        match self {
            Self::V4 => [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()],
            Self::V6 => [1, 2].map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()),
        }
    }

    /// Bytes of its IP header.
    const fn header(self) -> u32 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// Alice sends to Bob over `link`; both interfaces take 1,500 bytes.
struct Transfer {
    net: Network<Stack>,
    alice: NodeId,
    bob: NodeId,
    client: SocketId,
    server: SocketId,
}

impl Transfer {
    fn begin(family: Family, link: &str, settings: &Settings) -> Self {
        let [a, b] = family.addresses();
        let prefix = if a.is_ipv4() { 24 } else { 64 };
        let mut net = Network::new(3);
        let alice = net.add_host("alice", &[(a, prefix)]).expect("an address");
        let bob = net.add_host("bob", &[(b, prefix)]).expect("an address");
        let link: Impairment = link.parse().expect("netem's words");
        net.connect(alice, bob, LinkConfig::both(link));
        let (client, server) = connect(&mut net, (alice, bob), SocketAddr::new(b, 7), settings);
        Self { net, alice, bob, client, server }
    }

    fn send(&mut self, bytes: usize) -> Run {
        let text = pattern(1, bytes);
        let (mut sent, mut got, mut buffer) = (0, Vec::new(), vec![0; 64 << 10]);
        let began = self.net.now();
        let Self { net, alice, bob, client, server } = self;
        net.run_until_done(began + 600.secs(), |net| {
            let now = net.now();
            if let Ok(len) = net.node_mut(*alice).tcp_send(now, *client, &text[sent..]) {
                sent += len;
            }
            while let Ok(len @ 1..) = net.node_mut(*bob).tcp_recv(now, *server, &mut buffer) {
                got.extend_from_slice(&buffer[..len]);
            }
            got.len() == bytes
        });
        assert!(got == text, "{} of {bytes} bytes arrived", got.len());
        let took = net.now() - began;
        let stack = net.node_mut(*alice);
        let info = stack.tcp_info(*client).expect("it is there");
        let stats = stack.stats();
        let named = |name| stats.named().find(|named| named.name == name).map_or(0, |named| named.value);
        let (probes, fails) = (stats.sent.by(Reason::MtuProbe), named("TCPMTUPFail"));
        assert_eq!(named("TCPMTUPSuccess"), u64::from(info.counters.mtu_probes_answered));
        Run { took, info, probes, fails }
    }
}

fn run(family: Family, link: &str, mtu_probing: MtuProbing) -> Run {
    let settings = Settings { mtu_probing, ..Settings::default() };
    Transfer::begin(family, link, &settings).send(BYTES)
}

#[test]
fn a_transfer_survives_a_black_hole_by_default() {
    for family in FAMILIES {
        let run = run(family, "delay 20ms rate 20mbit mtu 1280", MtuProbing::default());
        assert_eq!(run.info.counters.mtu_black_holes, 1, "{family:?}");
        // A few seconds until the timer says so, and one for the rest.
        assert!(run.took < 9.secs(), "{family:?}: {}", run.took);
        assert!(run.fails > 0, "{family:?}: it tries more than passes");
    }
}

#[test]
fn without_probes_a_black_hole_is_the_end() {
    let settings =
        Settings { mtu_probing: MtuProbing::Off, user_timeout: Some(60.secs()), ..Settings::default() };
    let mut transfer = Transfer::begin(Family::V4, "delay 20ms mtu 1280", &settings);
    let (alice, client) = (transfer.alice, transfer.client);
    let now = transfer.net.now();
    transfer.net.node_mut(alice).tcp_send(now, client, &pattern(1, 10_000)).expect("room");
    transfer.net.run_until(now + 120.secs());
    assert!(transfer.net.node_mut(alice).tcp_failure(client).is_some());
}

#[test]
fn the_search_finds_what_the_path_takes() {
    for family in FAMILIES {
        for mtu in [1280, 1300, 1400, 1492, 1500] {
            let run = run(family, &format!("delay 20ms rate 20mbit mtu {mtu}"), MtuProbing::Always);
            let search = run.info.mtu_search.expect("it goes on for ever");
            let found = search.low + family.header();
            assert!(found <= mtu && mtu - found < 8, "{family:?}: {found} of {mtu}");
            assert_eq!(run.info.counters.mtu_black_holes, 0, "{family:?} {mtu}");
            assert!(run.took < 3.secs(), "{family:?} {mtu}: {}", run.took);
            assert!(run.probes <= 8, "{} probes for a range of a few hundred bytes", run.probes);
        }
    }
}

#[test]
fn a_lost_probe_is_no_congestion() {
    // Nothing else is lost on this path, and nothing is sent again but what the probes held.
    for (name, settings) in [
        ("SACK", Settings::default()),
        ("without SACK", Settings { sack: false, ..Settings::default() }),
        ("without timestamps", Settings { timestamps: false, ..Settings::default() }),
    ] {
        let settings = Settings { mtu_probing: MtuProbing::Always, ..settings };
        let run = Transfer::begin(Family::V4, "delay 20ms rate 50mbit mtu 1300", &settings).send(BYTES);
        let counters = run.info.counters;
        assert!(run.fails > 0, "{name}");
        assert_eq!((counters.recoveries, counters.timeouts), (0, 0), "{name}");
        assert_eq!(run.info.ssthresh, None, "{name}");
        assert!(counters.bytes_retrans <= run.fails * 1460, "{name}: {}", counters.bytes_retrans);
    }
}

#[test]
fn segments_become_smaller_until_they_pass() {
    let run = run(Family::V4, "delay 20ms mtu 300", MtuProbing::default());
    assert_eq!(run.info.counters.mtu_black_holes, 4, "1024, 512, 256 and 128 bytes of data");
    let found = run.info.mtu_search.expect("a search is under way").low + 20;
    assert!((180..=300).contains(&found), "{found}");
}

#[test]
fn luck_and_a_black_hole_together_do_no_harm() {
    for seed in 1..=10 {
        let link = format!("delay 20ms 2ms loss 2% mtu 1280 seed {seed}");
        let run = run(Family::V6, &link, MtuProbing::Always);
        let found = run.info.mtu_search.expect("it goes on for ever").low + 40;
        assert!(found <= 1280, "{found} passes seed {seed}");
        assert!(run.took < 60.secs(), "seed {seed}: {}", run.took);
    }
}
