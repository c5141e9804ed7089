//! What a host counted, for people, on stderr.

use ustack::net::Net;
use ustack::stats::Stats;

use super::counters::Counters;
use crate::common::console::note;

pub(super) fn print(net: &Net, counters: &Counters) {
    let stats = net.with_stack(|stack, _| stack.stats().clone());
    let get = Counters::get;
    note!(
        "served {} connections ({} ended out of order), {} HTTP requests, {} datagrams",
        get(&counters.connections),
        get(&counters.broken),
        get(&counters.requests),
        get(&counters.datagrams)
    );
    for line in lines(&stats) {
        note!("{line}");
    }
}

/// What happened, a line for each layer; what went wrong only if it did.
fn lines(stats: &Stats) -> Vec<String> {
    let Stats { in_v4, in_v6, ip, icmp_v4, icmp_v6, tcp, udp, .. } = stats;
    let layer = |name: &str, always: &[(u64, &str)], errors: &[(u64, &str)]| {
        let errors = errors.iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> =
            always.iter().chain(errors).map(|(count, what)| format!("{count} {what}")).collect();
        format!("{name:<5} {}", words.join(", "))
    };
    let mut lines = vec![
        layer(
            "IP",
            &[(in_v4.in_receives + in_v6.in_receives, "packets in"), (stats.sent.total(), "frames out")],
            &[
                (ip.in_link_drops, "dropped by the link layer"),
                (in_v4.in_hdr_errors + in_v6.in_hdr_errors, "broken headers"),
                (in_v4.in_addr_errors + in_v6.in_addr_errors, "wrong addresses"),
                (in_v4.in_unknown_protos + in_v6.in_unknown_protos, "unknown protocols"),
                (ip.out_discards, "discarded"),
                (ip.out_no_routes, "without a route"),
                (ip.out_neighbor_failures, "without an answer from the neighbour"),
            ],
        ),
        layer(
            "ICMP",
            &[(icmp_v4.in_msgs + icmp_v6.in_msgs, "in"), (icmp_v4.in_echos + icmp_v6.in_echos, "pings")],
            &[
                (icmp_v4.in_errors + icmp_v6.in_errors, "broken"),
                (icmp_v4.in_dest_unreachs + icmp_v6.in_dest_unreachs, "destinations unreachable"),
            ],
        ),
        layer(
            "TCP",
            &[
                (tcp.in_segs, "segments in"),
                (tcp.out_segs, "out"),
                (tcp.retrans_segs, "sent again"),
                (tcp.active_opens, "connections opened"),
                (tcp.passive_opens, "accepted"),
            ],
            &[(tcp.in_errs, "broken"), (tcp.out_rsts, "RSTs sent"), (tcp.listen_drops, "handshakes dropped")],
        ),
        layer(
            "UDP",
            &[(udp.in_datagrams, "datagrams in"), (udp.out_datagrams, "out")],
            &[
                (udp.no_ports, "to closed ports"),
                (udp.in_errors, "broken"),
                (udp.rcvbuf_errors, "dropped by full queues"),
            ],
        ),
    ];
    let sent: Vec<_> =
        stats.sent.iter().map(|(reason, count)| format!("{} {count}", reason.word())).collect();
    lines.push(format!("sent  {}", sent.join(", ")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_only_if_there_are_some() {
        let mut stats = Stats::default();
        assert_eq!(lines(&stats)[3], "UDP   0 datagrams in, 0 out");
        stats.udp.no_ports = 2;
        assert_eq!(lines(&stats)[3], "UDP   0 datagrams in, 0 out, 2 to closed ports");
    }
}
