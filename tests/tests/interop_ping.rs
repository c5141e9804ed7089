//! The kernel pings the stack, and the stack the kernel.

use ustack_tests::host::{Host, STACK, everywhere};
use ustack_tests::process::tool;

/// Pings with a pattern that is compared; how many answers came.
#[track_caller]
fn ping(host: &Host, address: &str, size: &str, count: usize) -> usize {
    let mut ping = tool("ping");
    ping.args(["-c", &count.to_string(), "-i", "0.002", "-W", "2", "-p", "c0ffee", "-s", size, address]);
    let text = host.kernel.run(&mut ping).text();
    assert!(!text.contains("wrong data"), "{text}");
    let received =
        text.lines().find_map(|line| line.split_once(" received")?.0.rsplit(' ').next()?.parse().ok());
    received.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn echoes_of_all_sizes_come_back_whole() {
    everywhere(&["ping"], &["No response seen to ICMP"], |host| {
        for address in STACK {
            for size in ["0", "1", "56", "1472", "1473", "9000", "65507"] {
                let count = if host.is_bad() { 20 } else { 3 };
                let received = ping(host, address, size, count);
                // 2 % of the frames are lost each way, so that of 46 fragments there and back one is missing mostly.
                let least = match (host.is_bad(), size) {
                    (false, _) => count,
                    (true, "65507") => 0,
                    (true, "9000") => 5,
                    (true, _) => 13,
                };
                assert!(received >= least, "{received} of {count} echoes of {size} bytes to {address}");
            }
        }
    });
}
