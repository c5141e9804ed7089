//! Statistics have the names that Linux has for them.

use std::collections::BTreeSet;

use ustack::stats::Stats;

/// The names that the kernel knows: `TcpExt TCPTimeouts`.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for file in ["/proc/net/snmp", "/proc/net/netstat"] {
        let text = std::fs::read_to_string(file).expect("Linux has it");
        // A line of names, and a line of numbers.
        for line in text.lines().step_by(2) {
            let (group, names) = line.split_once(": ").expect("a group");
            known.extend(names.split_whitespace().map(|name| format!("{group} {name}")));
        }
    }
    // Without IPv6 in the kernel there is no such file.
    for line in std::fs::read_to_string("/proc/net/snmp6").unwrap_or_default().lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        for group in ["Ip6", "Icmp6"] {
            known.extend(name.strip_prefix(group).map(|name| format!("{group} {name}")));
        }
    }
    known
}

#[test]
fn each_name_is_one_of_linux_or_stands_in_our_own_group() {
    let known = known();
    let has_ipv6 = known.iter().any(|name| name.starts_with("Ip6 "));
    let mut told = BTreeSet::new();
    for counter in Stats::default().named() {
        let name = format!("{} {}", counter.group, counter.name);
        let elsewhere = counter.group == "Ustack" || (counter.group.ends_with('6') && !has_ipv6);
        assert!(elsewhere || known.contains(&name), "Linux has no {name}");
        assert!(told.insert(name.clone()), "{name} is told twice");
    }
    assert!(told.len() > 100, "{}", told.len());
}
