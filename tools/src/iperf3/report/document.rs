//! The report as one JSON document, with the names that iperf3 uses.

use serde_json::{Value, json};

use super::text::total;
use super::units::{per_cent, per_second};
use super::{Beginning, Counts, End, EndStream, Interval, Params, Part, Side};

pub(super) fn empty() -> Value {
    json!({ "start": { "connected": [] }, "intervals": [], "end": {} })
}

pub(super) fn begin(document: &mut Value, beginning: &Beginning) {
    let Beginning { server, cookie, params, connected } = beginning;
    let connected = connected.iter().map(|one| {
        json!({
            "socket": one.id,
            "local_host": one.local.ip(),
            "local_port": one.local.port(),
            "remote_host": one.remote.ip(),
            "remote_port": one.remote.port(),
        })
    });
    document["start"] = json!({
        "connected": connected.collect::<Vec<_>>(),
        "version": concat!("ustack ", env!("CARGO_PKG_VERSION")),
        "connecting_to": { "host": server.ip(), "port": server.port() },
        "cookie": cookie,
        "target_bitrate": params.bandwidth,
        "sock_bufsize": params.window,
        "test_start": {
            "protocol": if params.udp { "UDP" } else { "TCP" },
            "num_streams": params.parallel,
            "blksize": params.len,
            "omit": params.omit,
            "duration": params.time,
            "bytes": params.bytes,
            "blocks": params.blocks,
            "reverse": u8::from(params.reverse),
            "bidir": u8::from(params.bidirectional),
            "tos": 0,
            "target_bitrate": params.bandwidth,
        },
    });
}

pub(super) fn interval(document: &mut Value, interval: &Interval, params: &Params) {
    let streams: Vec<Value> = interval.parts.iter().map(|part| one(interval, part, params)).collect();
    let mut entry = json!({ "streams": streams });
    let main = params.bidirectional || !params.reverse;
    for (sender, name) in [(main, "sum"), (!main, "sum_bidir_reverse")] {
        if name == "sum" || params.bidirectional {
            let counts = interval.parts.iter().filter(|part| part.sender == sender);
            let counts = Counts::sum(counts.map(|part| &part.counts));
            entry[name] = one(interval, &Part { id: 0, sender, counts, tcp: None }, params);
            forget_socket(&mut entry[name]);
        }
    }
    if let Some(intervals) = document["intervals"].as_array_mut() {
        intervals.push(entry);
    }
}

pub(super) fn end(document: &mut Value, end: &End, params: &Params) {
    let streams: Vec<Value> = end.streams.iter().map(|stream| both(stream, params)).collect();
    let mut entry = json!({ "streams": streams });
    let main = params.bidirectional || !params.reverse;
    for (client_sends, suffix) in [(main, ""), (!main, "_bidir_reverse")] {
        if !suffix.is_empty() && !params.bidirectional {
            continue;
        }
        let streams: Vec<_> =
            end.streams.iter().filter(|stream| stream.client_sends == client_sends).copied().collect();
        let EndStream { sent, received, .. } = total(&streams);
        if params.udp {
            entry[format!("sum{suffix}")] = udp(&merged(&sent, &received), client_sends);
            entry[format!("sum_sent{suffix}")] = udp(&sent, true);
            entry[format!("sum_received{suffix}")] = udp(&received, false);
        } else {
            entry[format!("sum_sent{suffix}")] = tcp(&sent, client_sends);
            entry[format!("sum_received{suffix}")] = tcp(&received, client_sends);
        }
    }
    let [host, remote] = end.cpu;
    entry["cpu_utilization_percent"] = json!({
        "host_total": host.total,
        "host_user": host.user,
        "host_system": host.system,
        "remote_total": remote.total,
        "remote_user": remote.user,
        "remote_system": remote.system,
    });
    let [ours, theirs] = &end.congestion;
    let (sender, receiver) = if main { (ours, theirs) } else { (theirs, ours) };
    for (name, congestion) in [("sender_tcp_congestion", sender), ("receiver_tcp_congestion", receiver)] {
        if let Some(congestion) = congestion.as_ref().filter(|_| !params.udp) {
            entry[name] = json!(congestion);
        }
    }
    document["end"] = entry;
}

/// One stream, or all, in one interval.
fn one(interval: &Interval, part: &Part, params: &Params) -> Value {
    let &Interval { start, end, omitted, .. } = interval;
    let Counts { bytes, packets, lost, jitter, retransmits, .. } = part.counts;
    let mut json = span(start, end, bytes);
    json["socket"] = json!(part.id);
    if params.udp {
        json["packets"] = json!(packets);
        if !part.sender {
            json["jitter_ms"] = json!(jitter * 1e3);
            json["lost_packets"] = json!(lost);
            json["lost_percent"] = json!(per_cent(lost, packets));
        }
    } else if part.sender {
        json["retransmits"] = json!(retransmits.unwrap_or_default());
        if let Some(tcp) = part.tcp {
            json["snd_cwnd"] = json!(tcp.cwnd);
            json["snd_wnd"] = json!(tcp.snd_wnd);
            json["rtt"] = json!(tcp.rtt.as_micros());
            json["rttvar"] = json!(tcp.rttvar.as_micros());
            json["pmtu"] = json!(tcp.pmtu);
        }
    }
    json["omitted"] = json!(omitted);
    json["sender"] = json!(part.sender);
    json
}

fn span(start: f64, end: f64, bytes: u64) -> Value {
    json!({
        "start": start,
        "end": end,
        "seconds": end - start,
        "bytes": bytes,
        "bits_per_second": per_second(bytes, end - start),
    })
}

fn forget_socket(json: &mut Value) {
    if let Some(fields) = json.as_object_mut() {
        fields.remove("socket");
    }
}

/// Both sides of a stream at the end.
fn both(stream: &EndStream, params: &Params) -> Value {
    let EndStream { id, client_sends, sent, received, .. } = *stream;
    if params.udp {
        let mut json = udp(&merged(&sent, &received), client_sends);
        json["socket"] = json!(id);
        json["out_of_order"] = json!(received.out_of_order);
        return json!({ "udp": json });
    }
    let mut json = json!({ "sender": tcp(&sent, client_sends), "receiver": tcp(&received, client_sends) });
    json["sender"]["socket"] = json!(id);
    json["receiver"]["socket"] = json!(id);
    if let Some(seen) = stream.tcp.filter(|_| client_sends) {
        json["sender"]["max_snd_cwnd"] = json!(seen.max_cwnd);
        json["sender"]["max_snd_wnd"] = json!(seen.max_snd_wnd);
        json["sender"]["max_rtt"] = json!(seen.max_rtt.as_micros());
        json["sender"]["min_rtt"] = json!(seen.min_rtt.as_micros());
        json["sender"]["mean_rtt"] = json!(seen.mean_rtt.as_micros());
    }
    json
}

fn tcp(side: &Side, client_sends: bool) -> Value {
    let mut json = span(0.0, side.seconds, side.bytes);
    if let Some(retransmits) = side.retransmits {
        json["retransmits"] = json!(retransmits);
    }
    json["sender"] = json!(client_sends);
    json
}

/// What was sent, and what became of it.
fn merged(sent: &Side, received: &Side) -> Side {
    Side { jitter: received.jitter, lost: received.lost, ..*sent }
}

fn udp(side: &Side, sender: bool) -> Value {
    let mut json = span(0.0, side.seconds, side.bytes);
    json["jitter_ms"] = json!(side.jitter * 1e3);
    json["lost_packets"] = json!(side.lost);
    json["packets"] = json!(side.packets);
    json["lost_percent"] = json!(per_cent(side.lost, side.packets));
    json["sender"] = json!(sender);
    json
}
