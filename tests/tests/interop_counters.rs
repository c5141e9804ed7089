//! The stack and the kernel count the same of what passed between them.

use std::collections::BTreeMap;

use ustack_tests::app::{connect, echo, exchange, serve};
use ustack_tests::host::{Host, at};
use ustack_tests::kernel::Namespace;
use ustack_tests::matrix::{good, on_each};
use ustack_tests::peer::Peer;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");

/// The group `Tcp` of a namespace.
fn kernel(namespace: &Namespace) -> BTreeMap<String, u64> {
    let text = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
    let text = text.expect("Linux has it");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
}

/// The same of the stack.
fn ours(host: &Host) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for shard in host.net.shards() {
        let stats = shard.with_stack(|stack, _| stack.stats());
        for counter in stats.named().filter(|counter| counter.group == "Tcp") {
            *sums.entry(counter.name.to_owned()).or_default() += counter.value;
        }
    }
    sums
}

/// With those that were sent again: on a busy machine either side may wait in vain for a moment.
fn all_sent(counters: &BTreeMap<String, u64>) -> u64 {
    counters["OutSegs"] + counters["RetransSegs"]
}

#[test]
fn both_sides_count_what_passed_between_them() {
    on_each(&good(), &[], FLOW_CONTROL, |host| {
        for bytes in [1, 1000] {
            let server = serve(&host.net, at("10.9.0.2", 7), 1, |_, stream| echo(stream));
            let words = format!("tcp-connect 10.9.0.2:7 --do source --bytes {bytes}");
            let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
            let _ = server.finish(SOON);
        }
        let server = Peer::listen(&host.kernel, PEER, "tcp-listen 10.9.0.1:8 --do echo");
        let stream = connect(&host.net, at("10.9.0.1", 8));
        let _ = exchange(&stream, 1, 1000, 1).expect("it went well");
        drop(stream);
        let _ = server.finish(SOON).1.success();
        host.wait_closed();
        // The last acknowledgment may still be on its way.
        until("the last segment", SOON, || kernel(&host.kernel)["InSegs"] >= all_sent(&ours(host)));
        let (kernel, ours) = (kernel(&host.kernel), ours(host));
        let told = format!("ours {ours:?}, the kernel's {kernel:?}");
        assert_eq!((all_sent(&ours), ours["InSegs"]), (kernel["InSegs"], all_sent(&kernel)), "{told}");
        for (here, there) in [
            ("ActiveOpens", "PassiveOpens"),
            ("PassiveOpens", "ActiveOpens"),
            ("CurrEstab", "CurrEstab"),
            ("AttemptFails", "AttemptFails"),
            ("EstabResets", "EstabResets"),
            ("InErrs", "InErrs"),
        ] {
            assert_eq!(ours[here], kernel[there], "our {here}, its {there}: {told}");
        }
        assert_eq!((ours["PassiveOpens"], ours["ActiveOpens"]), (2, 1));
    });
}
