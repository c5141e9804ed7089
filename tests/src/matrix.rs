//! On which setups the tests run: what lies between the stack and the kernel, with offloads on and off, with one queue
//! and two, on good links and bad ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::host::{Host, Link, Setup};
use crate::kernel::{Need, ready};

/// Links that lose nothing: TAPs, TUNs and veths. Single frames and merged ones, by one queue and by two (for two
/// shards): each of these four on two links, and each link with both of either.
pub fn good() -> Vec<Setup> {
    let [tap, tun, veth] = [Link::Tap, Link::Tun, Link::Veth].map(|link| move || Setup::new(link));
    vec![
        tap(),
        veth(),
        tap().merging(),
        tun().merging(),
        tun().queues(2),
        veth().queues(2),
        tap().merging().queues(2),
        veth().merging().queues(2),
    ]
}

/// Links that lose, reorder and double frames: a TAP and a veth with single segments, a veth with merged frames.
///
/// A TUN has the same impairments behind the same reading and writing as a TAP.
pub fn bad() -> Vec<Setup> {
    let links = [Setup::new(Link::Tap), Setup::new(Link::Veth), Setup::new(Link::Veth).merging()];
    links.map(Setup::bad).to_vec()
}

/// Each link, merging and not, one queue and two: each of them once or a few times, for tests that take long.
pub fn few() -> Vec<Setup> {
    vec![
        Setup::new(Link::Tap),
        Setup::new(Link::Veth).merging(),
        Setup::new(Link::Tun).merging().queues(2),
        Setup::new(Link::Tap).merging().queues(2),
        Setup::new(Link::Veth).queues(2),
    ]
}

/// Those of the setups on which the stack has neighbours.
pub fn ethernet(mut setups: Vec<Setup>) -> Vec<Setup> {
    setups.retain(|setup| setup.link != Link::Tun);
    setups
}

/// Runs a test on all good links and all bad ones. Each time the wire must be clean under tshark, but for `allowed`
/// and, on the bad links, what loss, reordering and duplication look like.
///
/// Skipped where the machine lacks something that the host needs, or one of these tools.
///
/// # Panics
/// The test does; or the capture is not clean.
#[track_caller]
pub fn everywhere(tools: &[&'static str], allowed: &[&str], test: impl Fn(&Host) + Sync) {
    on_each(&[good(), bad()].concat(), tools, allowed, test);
}

/// The same on hosts of one's own choice.
///
/// # Panics
/// As [`everywhere`].
#[track_caller]
pub fn on_each(setups: &[Setup], tools: &[&'static str], allowed: &[&str], test: impl Fn(&Host) + Sync) {
    const ALWAYS: [Need; 5] =
        [Need::Namespaces, Need::Tun, Need::Tool("ethtool"), Need::Tool("tcpdump"), Need::Tool("tshark")];
    let needs: Vec<Need> = ALWAYS.into_iter().chain(tools.iter().map(|tool| Need::Tool(tool))).collect();
    if !ready(&needs) {
        return;
    }
    let next = AtomicUsize::new(0);
    let lane = || {
        while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
            if setup.link == Link::Xdp && !ready(&[Need::Xdp]) {
                continue;
            }
            let _told = Told(setup);
            let host = setup.clone().build();
            test(&host);
            host.finish(allowed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES.min(setups.len()) {
            scope.spawn(lane);
        }
    });
}

/// So many setups at once: a test waits more than it works.
const LANES: usize = 2;

/// Tells on which setup a test failed.
struct Told<'a>(&'a Setup);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let Setup { link, queues, mtu, impairment, merging, .. } = self.0;
        let merging = if *merging { "merging " } else { "" };
        let end = if std::thread::panicking() { "failed" } else { "passed" };
        eprintln!("{end} on a {merging}{link:?}, {queues} queues, mtu {mtu} {impairment}");
    }
}
