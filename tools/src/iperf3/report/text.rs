//! The report in lines.

use std::fmt::Write as _;

use super::units::{bytes, per_cent, rate, two_digits};
use super::{Beginning, Counts, End, EndStream, Interval, Params, Part, Side};

const RULE: &str = "- - - - - - - - - - - - - - - - - - - - - - - - -\n";

pub(super) fn beginning(beginning: &Beginning) -> String {
    let Beginning { server, params, connected, .. } = beginning;
    let mut out = format!("Connecting to host {}, port {}\n", server.ip(), server.port());
    if params.reverse {
        let _ = writeln!(out, "Reverse mode, remote host {} is sending", server.ip());
    }
    for one in connected {
        let (local, remote) = (one.local, one.remote);
        let _ = writeln!(
            out,
            "[{:3}] local {} port {} connected to {} port {}",
            one.id,
            local.ip(),
            local.port(),
            remote.ip(),
            remote.port()
        );
    }
    let columns = match (params.udp, sends(params)) {
        (true, true) => "         Total Datagrams",
        (true, false) => "         Jitter    Lost/Total Datagrams",
        (false, true) => "         Retr  Cwnd",
        (false, false) => "",
    };
    header(&mut out, params, columns);
    out
}

pub(super) fn interval(interval: &Interval, params: &Params) -> String {
    let mut out = String::new();
    let flag = if interval.omitted { "  (omitted)" } else { "" };
    for part in &interval.parts {
        let role = role(params, part.sender);
        line(
            &mut out,
            &format!("{:3}", part.id),
            role,
            interval,
            part.counts.bytes,
            &columns(part, params),
            flag,
        );
    }
    for sender in [true, false] {
        let parts = || interval.parts.iter().filter(|part| part.sender == sender);
        if parts().count() > 1 {
            let sum = Counts::sum(parts().map(|part| &part.counts));
            let part = Part { id: 0, sender, counts: sum, tcp: None };
            let role = role(params, sender);
            line(&mut out, "SUM", role, interval, sum.bytes, &columns(&part, params), flag);
        }
    }
    if interval.parts.len() > 1 {
        out.push_str(RULE);
    }
    out
}

pub(super) fn end(end: &End, params: &Params) -> String {
    let mut out = if params.streams() > 1 { String::new() } else { RULE.to_owned() };
    header(
        &mut out,
        params,
        if params.udp { "         Jitter    Lost/Total Datagrams" } else { "         Retr" },
    );
    for stream in &end.streams {
        both(&mut out, &format!("{:3}", stream.id), stream, params);
    }
    for client_sends in [true, false] {
        let streams: Vec<_> =
            end.streams.iter().filter(|stream| stream.client_sends == client_sends).copied().collect();
        if streams.len() > 1 {
            both(&mut out, "SUM", &total(&streams), params);
        }
    }
    out
}

/// Many streams of one direction as one.
pub(super) fn total(streams: &[EndStream]) -> EndStream {
    let add = |a: Side, b: &Side| Side {
        bytes: a.bytes.saturating_add(b.bytes),
        seconds: a.seconds.max(b.seconds),
        packets: a.packets.saturating_add(b.packets),
        lost: a.lost.saturating_add(b.lost),
        out_of_order: a.out_of_order.saturating_add(b.out_of_order),
        // The mean, as iperf3 has it.
        jitter: a.jitter + b.jitter / streams.len() as f64,
        retransmits: a.retransmits.into_iter().chain(b.retransmits).reduce(u64::saturating_add),
    };
    EndStream {
        id: 0,
        client_sends: streams.first().is_some_and(|stream| stream.client_sends),
        sent: streams.iter().fold(Side::default(), |sum, stream| add(sum, &stream.sent)),
        received: streams.iter().fold(Side::default(), |sum, stream| add(sum, &stream.received)),
        tcp: None,
    }
}

fn sends(params: &Params) -> bool {
    params.bidirectional || !params.reverse
}

fn header(out: &mut String, params: &Params, columns: &str) {
    let role = if params.bidirectional { "[Role]" } else { "" };
    let _ = writeln!(out, "[ ID]{role} Interval           Transfer     Bitrate{columns}");
}

fn role(params: &Params, client_sends: bool) -> &'static str {
    match (params.bidirectional, client_sends) {
        (false, _) => "",
        (true, true) => "[TX-C]",
        (true, false) => "[RX-C]",
    }
}

/// What stands behind the rate.
fn columns(part: &Part, params: &Params) -> String {
    let Counts { packets, lost, jitter, retransmits, .. } = part.counts;
    match (params.udp, part.sender) {
        (true, true) => format!("  {packets}  "),
        (true, false) => losses(jitter, lost, packets),
        (false, true) => {
            let cwnd = part.tcp.map_or_else(|| " ".repeat(11), |tcp| bytes(tcp.cwnd as f64));
            format!("  {:3}   {cwnd}       ", retransmits.unwrap_or_default())
        }
        (false, false) => " ".repeat(18),
    }
}

fn losses(jitter: f64, lost: u64, packets: u64) -> String {
    let per_cent = two_digits(per_cent(lost, packets));
    format!("  {:5.3} ms  {lost}/{packets} ({per_cent}%)", jitter * 1e3)
}

fn line(out: &mut String, id: &str, role: &str, span: &Interval, moved: u64, columns: &str, flag: &str) {
    let Interval { start, end, .. } = *span;
    let (bytes, rate) = (bytes(moved as f64), rate(moved, end - start));
    let _ = writeln!(out, "[{id}]{role} {start:6.2}-{end:<6.2} sec  {bytes}  {rate}{columns}{flag}");
}

/// What the sender and the receiver of a stream counted.
fn both(out: &mut String, id: &str, stream: &EndStream, params: &Params) {
    let role = role(params, stream.client_sends);
    for (side, who) in [(&stream.sent, "sender"), (&stream.received, "receiver")] {
        let columns = match (params.udp, who) {
            (true, "sender") => losses(0.0, 0, side.packets),
            (true, _) => losses(side.jitter, side.lost, side.packets),
            (false, "sender") => match side.retransmits {
                Some(n) => format!("  {n:3}           "),
                None => " ".repeat(16),
            },
            (false, _) => " ".repeat(16),
        };
        let span = Interval { start: 0.0, end: side.seconds, omitted: false, parts: Vec::new() };
        line(out, id, role, &span, side.bytes, &columns, &format!("  {who}"));
    }
}
