//! What a script may know about a connection: Linux's `tcpi_...` in its units, and our own names in ours.

use ustack::stats::Stats;
use ustack::tcp::TcpInfo;

use super::expr::Value;

/// The number of that name.
pub(super) fn lookup(info: &TcpInfo, name: &str) -> Option<Value> {
    let number = match name.strip_prefix("tcpi_") {
        Some(name) => info.linux_field(name)?,
        None => return ours(info, name),
    };
    Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// What the whole stack counted, under the names of its statistics.
pub(super) fn counted(stats: &Stats, name: &str) -> Option<Value> {
    let (tcp, udp) = (&stats.tcp, &stats.udp);
    let number = match name {
        "tcp_active_opens" => tcp.active_opens,
        "tcp_passive_opens" => tcp.passive_opens,
        "tcp_in_segs" => tcp.in_segs,
        "tcp_out_segs" => tcp.out_segs,
        "tcp_retrans_segs" => tcp.retrans_segs,
        "tcp_in_errs" => tcp.in_errs,
        "tcp_in_csum_errors" => tcp.in_csum_errors,
        "tcp_out_rsts" => tcp.out_rsts,
        "tcp_listen_drops" => tcp.listen_drops,
        "tcp_syncookies_sent" => tcp.syncookies_sent,
        "tcp_syncookies_recv" => tcp.syncookies_recv,
        "tcp_syncookies_failed" => tcp.syncookies_failed,
        "md5_not_found" => tcp.md5_not_found,
        "md5_unexpected" => tcp.md5_unexpected,
        "md5_failure" => tcp.md5_failure,
        "ao_good" => tcp.ao_good,
        "ao_bad" => tcp.ao_bad,
        "ao_key_not_found" => tcp.ao_key_not_found,
        "ao_required" => tcp.ao_required,
        "fast_open_active" => tcp.fast_open_active,
        "fast_open_active_fail" => tcp.fast_open_active_fail,
        "fast_open_passive" => tcp.fast_open_passive,
        "fast_open_passive_fail" => tcp.fast_open_passive_fail,
        "fast_open_listen_overflow" => tcp.fast_open_listen_overflow,
        "fast_open_cookie_reqd" => tcp.fast_open_cookie_reqd,
        "udp_in_datagrams" => udp.in_datagrams,
        "udp_no_ports" => udp.no_ports,
        "udp_in_errors" => udp.in_errors,
        "udp_in_csum_errors" => udp.in_csum_errors,
        "udp_rcvbuf_errors" => udp.rcvbuf_errors,
        "udp_out_datagrams" => udp.out_datagrams,
        "udp_out_errors" => udp.out_errors,
        "ip_in_no_ect_pkts" => stats.in_v4.in_no_ect_pkts + stats.in_v6.in_no_ect_pkts,
        "ip_in_ect1_pkts" => stats.in_v4.in_ect1_pkts + stats.in_v6.in_ect1_pkts,
        "ip_in_ect0_pkts" => stats.in_v4.in_ect0_pkts + stats.in_v6.in_ect0_pkts,
        "ip_in_ce_pkts" => stats.in_v4.in_ce_pkts + stats.in_v6.in_ce_pkts,
        "icmp_unmatched" => stats.icmp_unmatched,
        // As `nstat` writes them: TcpExtTCPTimeouts.
        _ => stats.named().find(|counter| name.strip_prefix(counter.group) == Some(counter.name))?.value,
    };
    Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// Bytes and microseconds.
fn ours(info: &TcpInfo, name: &str) -> Option<Value> {
    let counters = &info.counters;
    let number = match name {
        "congestion" => return Some(Value::Text(info.congestion.to_owned())),
        "recovery" => return Some(Value::Text(info.recovery.to_owned())),
        "state" => return Some(Value::Text(format!("{:?}", info.state))),
        "ecn" => return Some(Value::Text(format!("{:?}", info.ecn.mode).to_lowercase())),
        "cwnd" => info.cwnd,
        "ssthresh" => info.ssthresh.unwrap_or(u64::MAX),
        "in_flight" => info.in_flight,
        "unacked" => info.unacked,
        "unsent" => info.unsent,
        "sacked" => info.sacked,
        "lost" => info.lost,
        "snd_wnd" => info.snd_wnd,
        "rcv_wnd" => info.rcv_wnd,
        "snd_mss" => u64::from(info.snd_mss),
        "unread" => info.unread,
        "rto_us" => info.rto.as_micros(),
        "srtt_us" => info.srtt.unwrap_or_default().as_micros(),
        "rttvar_us" => info.rttvar.as_micros(),
        "min_rtt_us" => info.min_rtt.unwrap_or_default().as_micros(),
        "backoff" => u64::from(info.backoff),
        "user_timeout_us" => info.user_timeout.unwrap_or_default().as_micros(),
        "timeouts" => u64::from(counters.timeouts),
        "recoveries" => u64::from(counters.recoveries),
        "segs_retrans" => u64::from(counters.segs_retrans),
        "ecn_reductions" => u64::from(info.ecn.reductions),
        "sends_ect" => u64::from(info.ecn.sends_ect),
        "dup_acks_in" => u64::from(counters.dup_acks_in),
        "out_of_order" => u64::from(counters.out_of_order),
        "duplicates" => u64::from(counters.duplicates),
        "dsacks_in" => u64::from(counters.dsacks_in),
        "paws_rejected" => u64::from(counters.paws_rejected),
        "out_of_window" => u64::from(counters.out_of_window),
        "challenge_acks" => u64::from(counters.challenge_acks),
        "probes" => u64::from(counters.probes),
        _ => return None,
    };
    Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}
