//! The kernel resolves and pings the stack.

use ustack_tests::host::{Host, Link, STACK};
use ustack_tests::kernel::{Need, ready};
use ustack_tests::process::tool;
use ustack_tests::tshark::assert_clean_under_tshark;

const NEEDS: [Need; 6] = [
    Need::Namespaces,
    Need::Tun,
    Need::Tool("ping"),
    Need::Tool("ethtool"),
    Need::Tool("tcpdump"),
    Need::Tool("tshark"),
];

#[test]
fn echoes_of_all_sizes_come_back_whole() {
    if !ready(&NEEDS) {
        return;
    }
    for link in Link::ALL {
        let host = Host::on(link);
        let capture = host.capture("");
        for address in STACK {
            for size in ["0", "1", "56", "1472", "1473", "9000", "65507"] {
                // With a pattern that is compared: ping says which byte differs.
                let mut ping = tool("ping");
                ping.args(["-c", "3", "-i", "0.002", "-W", "5", "-p", "c0ffee", "-s", size, address]);
                let done = host.kernel.run(&mut ping).success();
                let text = done.text();
                assert!(text.contains(" 3 received") && !text.contains("wrong data"), "{link:?}: {text}");
            }
        }
        assert_clean_under_tshark(capture.stop().path(), &[]);
        host.finish();
    }
}
