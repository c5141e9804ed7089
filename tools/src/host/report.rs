//! What a host counted, for people, on stderr.

use std::convert::Infallible;
use std::io::{self, Write};

use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use ustack::net::{HandOvers, Net};
use ustack::stats::{Named, Stats};
use ustack_tools::iperf3::Error;
use ustack_tools::iperf3::server::Summary;

use super::counters::Counters;
use crate::common::console::{self, note};

pub(super) fn print(net: &Net, counters: &Counters) {
    let get = Counters::get;
    note!(
        "served {} connections ({} ended out of order), {} HTTP requests, {} datagrams",
        get(&counters.connections),
        get(&counters.broken),
        get(&counters.requests),
        get(&counters.datagrams)
    );
    let several = net.shards().len() > 1;
    for (index, (shard, hand_overs)) in net.shards().zip(net.hand_overs()).enumerate() {
        if several {
            let HandOvers { given, spread, news, refused, taken, .. } = hand_overs;
            note!(
                "shard {index}: handed over {given} frames and {spread} to all, {news} news, took {taken}, lost {refused}"
            );
        }
        for line in lines(&shard.with_stack(|stack, _| stack.stats())) {
            note!("{line}");
        }
    }
}

/// Tells how a test of iperf3 went.
pub(super) fn tell_measured(result: Result<Summary, Error>) {
    match result {
        Ok(summary) => note!("iperf3: {summary}"),
        Err(error) => note!("iperf3: {error}"),
    }
}

/// Writes connections and counters whenever SIGUSR1 asks for them.
pub(super) async fn on_signal(net: &Net, wanted: bool, json: bool) -> Infallible {
    let asked = wanted.then(|| signal(SignalKind::user_defined1()));
    let Some(Ok(mut asked)) = asked else { return std::future::pending().await };
    loop {
        asked.recv().await;
        // Nobody to read it is no reason to stop.
        let _ = write_stats(net, json);
    }
}

/// Writes all connections, and what was counted under the names of Linux, to stdout.
pub(super) fn write_stats(net: &Net, json: bool) -> io::Result<()> {
    let (mut counters, mut connections) = (Vec::new(), Vec::new());
    for shard in net.shards() {
        let stats = shard.with_stack(|stack, now| {
            connections.extend(stack.connections(now));
            stack.stats()
        });
        add(&mut counters, stats.named());
    }
    let mut out = console::stdout();
    if json {
        let connections = connections.iter().map(|(_, local, remote, info)| {
            let numbers: Map<_, _> =
                info.linux().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            json!({
                "local": local.to_string(),
                "remote": remote.to_string(),
                "state": info.state.name(),
                "congestion": info.congestion,
                "tcp_info": numbers,
            })
        });
        let mut groups = Map::new();
        for counter in counters {
            let group = groups.entry(counter.group).or_insert_with(|| json!({}));
            group[counter.name] = counter.value.into();
        }
        let document = json!({ "connections": connections.collect::<Value>(), "stats": groups });
        writeln!(out, "{document:#}")?;
        return out.flush();
    }
    for (_, local, remote, info) in &connections {
        writeln!(out, "{:<12} {local} {remote}\n\t {info}", info.state.name())?;
    }
    for counter in counters.iter().filter(|counter| counter.value > 0) {
        writeln!(out, "{:<32} {}", format!("{}{}", counter.group, counter.name), counter.value)?;
    }
    out.flush()
}

/// Adds what one shard counted to what others did.
fn add(sum: &mut Vec<Named>, counters: impl Iterator<Item = Named>) {
    for (index, counter) in counters.enumerate() {
        match sum.get_mut(index) {
            Some(known) => known.value += counter.value,
            None => sum.push(counter),
        }
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
            &[(in_v4.in_receives + in_v6.in_receives, "packets in"), (stats.sent.total(), "packets out")],
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
