//! Statistics have the names that Linux has for them.

use std::collections::BTreeSet;

use ustack::stats::Stats;

/// What Linux counts and we do not: why, and the names; `*` stands for any ending.
const NOT_COUNTED: &[(&str, &[&str])] = &[
    ("there is no Multipath TCP", &["MPTcpExt *"]),
    ("there is no UDP-Lite", &["UdpLite *"]),
    ("UDP over both versions of IP is counted together", &["Udp6 *", "UdpLite6 *"]),
    (
        "messages are counted by what they say, not by the number of their type",
        &["IcmpMsg *", "Icmp6 InType*", "Icmp6 OutType*"],
    ),
    (
        "settings, no counters",
        &["Ip Forwarding", "Ip DefaultTTL", "Tcp RtoAlgorithm", "Tcp RtoMin", "Tcp RtoMax", "Tcp MaxConn"],
    ),
    (
        "a host, no router",
        &[
            "Ip ForwDatagrams",
            "Ip6 OutForwDatagrams",
            "Ip6 InTooBigErrors",
            "IpExt InNoRoutes",
            "Ip6 InNoRoutes",
        ],
    ),
    (
        "what is sent over both versions of IP is counted together, under IPv4",
        &["Ip6 OutRequests", "Ip6 OutDiscards", "Ip6 OutNoRoutes", "Ip6 Frag*"],
    ),
    (
        "octets and packets are not told apart by how many they go to, but for those that arrive in IPv4",
        &[
            "IpExt InMcastOctets",
            "IpExt OutMcast*",
            "IpExt InBcastOctets",
            "IpExt OutBcast*",
            "IpExt OutOctets",
            "Ip6 InMcastOctets",
            "Ip6 OutMcast*",
            "Ip6 InBcastOctets",
            "Ip6 OutBcastOctets",
            "Ip6 OutOctets",
        ],
    ),
    ("the link layer counts what it gives to the device", &["Ip OutTransmits", "Ip6 OutTransmits"]),
    (
        "no such message is sent, or nothing is done with it",
        &[
            "Icmp InSrcQuenchs",
            "Icmp InTimestamp*",
            "Icmp InAddrMask*",
            "Icmp OutSrcQuenchs",
            "Icmp OutRedirects",
            "Icmp OutTimestamp*",
            "Icmp OutAddrMask*",
            "Icmp6 OutRedirects",
        ],
    ),
    (
        "redirects count by what became of them, in a group of our own",
        &["Icmp InRedirects", "Icmp6 InRedirects"],
    ),
    ("raw sockets send them, and count as such", &["Icmp OutEchos", "Icmp6 OutEchos"]),
    (
        "an error that cannot be sent counts where it is lost",
        &["Icmp OutErrors", "Icmp6 OutErrors", "Icmp6 OutMsgs"],
    ),
    ("the rate is limited for the whole host", &["Icmp OutRateLimitHost", "Icmp6 OutRateLimitHost"]),
    (
        "neighbour discovery and group membership count at their interface",
        &[
            "Icmp6 InGroup*",
            "Icmp6 OutGroup*",
            "Icmp6 InRouter*",
            "Icmp6 OutRouter*",
            "Icmp6 InNeighbor*",
            "Icmp6 OutNeighbor*",
            "Icmp6 InMLD*",
            "Icmp6 OutMLD*",
        ],
    ),
    ("a full queue is an error of the call", &["Udp SndbufErrors"]),
    (
        "there is no reverse path filter, no busy polling and no ARP filter",
        &["TcpExt IPReversePathFilter", "TcpExt ArpFilter", "TcpExt BusyPollRxPackets"],
    ),
    (
        "there are no locks, no backlog of locked sockets, and no second queue that could be full",
        &[
            "TcpExt DelayedACKLocked",
            "TcpExt LockDroppedIcmps",
            "TcpExt TCPBacklog*",
            "TcpExt PFMemallocDrop",
            "TcpExt TCPRcvQDrop",
            "TcpExt TCPSpuriousRtxHostQueues",
            "TcpExt TCPRetransFail",
            "TcpExt TCPWqueueTooBig",
            "TcpExt TCPZeroWindowDrop",
        ],
    ),
    (
        "received data lies in one ring: nothing is merged, pruned or collapsed",
        &[
            "TcpExt PruneCalled",
            "TcpExt RcvPruned",
            "TcpExt OfoPruned",
            "TcpExt TCPRcvCollapsed",
            "TcpExt TCPRcvCoalesce",
            "TcpExt TCPOFOMerge",
        ],
    ),
    (
        "the scoreboard keeps ranges, which are not shifted or merged",
        &["TcpExt TCPSackShift*", "TcpExt TCPSackMerged", "TcpExt TCPSACKDiscard"],
    ),
    (
        "the short way of a segment is chosen by the one before it, not by what the header predicts",
        &["TcpExt TCPHPHits", "TcpExt TCPHPAcks", "TcpExt TCPPureAcks"],
    ),
    ("a connection counts it in bytes", &["TcpExt TCPDelivered"]),
    (
        "recoveries that a timeout ended count as timeouts",
        &[
            "TcpExt TCPSackFailures",
            "TcpExt TCPRenoFailures",
            "TcpExt TCPLossFailures",
            "TcpExt TCPSackRecoveryFail",
            "TcpExt TCPRenoRecoveryFail",
        ],
    ),
    ("reordering counts once, whatever told of it", &["TcpExt TCPTSReorder", "TcpExt TCPRenoReorder"]),
    (
        "DSACKs count when they come, whatever they are about",
        &["TcpExt TCPDSACKOfoRecv", "TcpExt TCPDSACKRecvSegs", "TcpExt TCPDSACKIgnored*"],
    ),
    (
        "HyStart++ looks at the round-trip time alone (RFC 9406)",
        &["TcpExt TCPHystartTrainDetect", "TcpExt TCPHystartTrainCwnd"],
    ),
    ("an acknowledgment that the delay was for cannot be told from another", &["TcpExt DelayedACKLost"]),
    (
        "acknowledgments are not compressed, segments not corked by themselves",
        &["TcpExt TCPAckCompressed", "TcpExt TCPAutoCorking"],
    ),
    ("a window that was offered is never wanted back", &["TcpExt TCPWantZeroWindowAdv"]),
    ("what lies outside the window counts in a group of our own, OutOfWindow", &["TcpExt BeyondWindow"]),
    (
        "each connection has one limit for ACKs that nobody asked for: they count as challenges",
        &[
            "TcpExt TCPACKSkippedSynRecv",
            "TcpExt TCPACKSkippedPAWS",
            "TcpExt TCPACKSkippedSeq",
            "TcpExt TCPACKSkippedFinWait2",
        ],
    ),
    (
        "PAWS counts in one place; the handshake and TIME-WAIT decide otherwise",
        &["TcpExt PAWSActive", "TcpExt PAWSOldAck", "TcpExt PAWSTimewait", "TcpExt TSEcrRejected"],
    ),
    (
        "ICMP about what no connection has in flight is not matched to it",
        &["TcpExt OutOfWindowIcmps", "TcpExt TCPAODroppedIcmps"],
    ),
    (
        "a handshake that is reset is forgotten",
        &[
            "TcpExt EmbryonicRsts",
            "TcpExt TCPReqQFull*",
            "TcpExt TCPDeferAcceptDrop",
            "TcpExt TCPMigrateReq*",
        ],
    ),
    ("TIME-WAIT ends by its time or by a new connection", &["TcpExt TWRecycled", "TcpExt TWKilled"]),
    (
        "memory is refused where it is asked for, and no connection ends for it",
        &["TcpExt TCPAbortOnMemory", "TcpExt TCPMemoryPressuresChrono"],
    ),
    (
        "no such way to end: LINGER2 below zero, a RST that could not be made",
        &["TcpExt TCPAbortOnLinger", "TcpExt TCPAbortFailed"],
    ),
    ("there is no minimum TTL", &["TcpExt TCPMinTTLDrop"]),
    (
        "Fast Open is never switched off, and the old key's cookies count as cookies",
        &["TcpExt TCPFastOpenBlackhole", "TcpExt TCPFastOpenPassiveAltKey"],
    ),
    (
        "flows keep their label",
        &["TcpExt TCPPLBRehash", "TcpExt TcpTimeoutRehash", "TcpExt TcpDuplicateDataRehash"],
    ),
];

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
        for group in ["Ip6", "Icmp6", "Udp6", "UdpLite6"] {
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

#[test]
fn what_linux_counts_beside_that_is_left_out_for_a_reason() {
    // A newer kernel may count what nobody has thought about yet.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it");
    let numbers: Vec<u32> =
        release.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse).take(2).collect();
    if numbers > vec![6, 18] {
        return;
    }
    let told: BTreeSet<String> =
        Stats::default().named().map(|counter| format!("{} {}", counter.group, counter.name)).collect();
    let fits = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    };
    let patterns = || NOT_COUNTED.iter().flat_map(|(_, patterns)| patterns.iter());
    let unknown: Vec<String> = known()
        .into_iter()
        .filter(|name| !told.contains(name) && !patterns().any(|pattern| fits(pattern, name)))
        .collect();
    assert!(unknown.is_empty(), "neither counted nor left out for a reason: {unknown:?}");
    // What is counted now needs no excuse.
    let both: Vec<&&str> = patterns().filter(|pattern| told.iter().any(|name| fits(pattern, name))).collect();
    assert!(both.is_empty(), "counted, and left out: {both:?}");
}
