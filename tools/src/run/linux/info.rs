//! `struct tcp_info` and the counters of a kernel, under the names of scripts.
//!
//! What is measured in time is not there: no two runs agree about it.

use std::fs;
use std::path::Path;

use crate::run::expr::Value;
use crate::run::tcp_info;

/// Names in `struct tcp_info` of what is measured in time, or by it.
const TIMED: &[&str] = &[
    "rto",
    "ato",
    "last_data_sent",
    "last_ack_sent",
    "last_data_recv",
    "last_ack_recv",
    "rtt",
    "rttvar",
    "rcv_rtt",
    "pacing_rate",
    "min_rtt",
    "delivery_rate",
    "busy_time",
    "rwnd_limited",
    "sndbuf_limited",
    "total_rto_time",
];

/// Our names of the states in the order of Linux's numbers, which begin with 1.
const STATES: &[&str] = &[
    "Established",
    "SynSent",
    "SynReceived",
    "FinWait1",
    "FinWait2",
    "TimeWait",
    "Closed",
    "CloseWait",
    "LastAck",
    "Listen",
    "Closing",
];

/// Names of ours that are one of Linux's.
const OURS: &[(&str, &str)] = &[
    ("unsent", "notsent_bytes"),
    ("snd_mss", "snd_mss"),
    ("snd_wnd", "snd_wnd"),
    ("rcv_wnd", "rcv_wnd"),
    ("segs_retrans", "total_retrans"),
    ("timeouts", "total_rto"),
    ("dsacks_in", "dsack_dups"),
    ("out_of_order", "rcv_ooopack"),
    ("backoff", "backoff"),
];

/// Where the kernel counts.
const GROUPS: &[(&str, &str)] = &[
    ("net/netstat", "TcpExt"),
    ("net/netstat", "IpExt"),
    ("net/snmp", "Tcp"),
    ("net/snmp", "Udp"),
    ("net/snmp", "Icmp"),
    ("net/snmp", "Ip"),
];

/// Counters whose names of ours are not those of Linux in small letters.
const SIGNATURES: &[(&str, &str)] = &[
    ("md5_not_found", "TCPMD5NotFound"),
    ("md5_unexpected", "TCPMD5Unexpected"),
    ("md5_failure", "TCPMD5Failure"),
    ("ao_good", "TCPAOGood"),
    ("ao_bad", "TCPAOBad"),
    ("ao_key_not_found", "TCPAOKeyNotFound"),
    ("ao_required", "TCPAORequired"),
    ("fast_open_active", "TCPFastOpenActive"),
    ("fast_open_active_fail", "TCPFastOpenActiveFail"),
    ("fast_open_passive", "TCPFastOpenPassive"),
    ("fast_open_passive_fail", "TCPFastOpenPassiveFail"),
    ("fast_open_listen_overflow", "TCPFastOpenListenOverflow"),
    ("fast_open_cookie_reqd", "TCPFastOpenCookieReqd"),
];

/// The number of that name; `info` is what the kernel wrote.
pub(super) fn lookup(info: &[u8], name: &str) -> Option<Value> {
    if let Some(name) = name.strip_prefix("tcpi_") {
        return field(info, name).map(Value::Int);
    }
    let mss = || field(info, "snd_mss");
    let number = match name {
        "cwnd" => field(info, "snd_cwnd")? * mss()?,
        "ssthresh" => field(info, "snd_ssthresh")? * mss()?,
        "recovery" => {
            let words = ["open", "disorder", "cwr", "recovery", "loss"];
            let word = words.get(usize::try_from(field(info, "ca_state")?).ok()?)?;
            return Some(Value::Text((*word).to_owned()));
        }
        "state" => {
            let word = STATES.get(usize::try_from(field(info, "state")?).ok()?.checked_sub(1)?)?;
            return Some(Value::Text((*word).to_owned()));
        }
        // Which ECN was agreed on is not told.
        "ecn" if field(info, "options")? & 8 == 0 => return Some(Value::Text("off".into())),
        _ => field(info, OURS.iter().find(|(ours, _)| *ours == name)?.1)?,
    };
    Some(Value::Int(number))
}

/// The counter of that name, of all that happened in the namespace: `tcp_retrans_segs`. `proc` is a thread inside.
pub(super) fn counted(proc: &Path, name: &str) -> Option<Value> {
    if let Some(number) = as_nstat(proc, name) {
        return Some(Value::Int(number));
    }
    if let Some((_, theirs)) = SIGNATURES.iter().find(|(ours, _)| *ours == name) {
        return number(proc, "net/netstat", "TcpExt", theirs).map(Value::Int);
    }
    let (protocol, counter) = name.split_once('_')?;
    let counter = camel(counter);
    let groups: &[(&str, &str)] = match protocol {
        "tcp" => &[("net/snmp", "Tcp"), ("net/netstat", "TcpExt")],
        "udp" => &[("net/snmp", "Udp")],
        _ => return None,
    };
    groups.iter().find_map(|(file, group)| number(proc, file, group, &counter)).map(Value::Int)
}

/// A counter under the name that `nstat` gives it: `TcpExtTCPTimeouts`.
fn as_nstat(proc: &Path, name: &str) -> Option<i64> {
    GROUPS.iter().find_map(|(file, group)| number(proc, file, group, name.strip_prefix(group)?))
}

/// One number of a file with a line of names and a line of numbers for each group.
fn number(proc: &Path, file: &str, group: &str, counter: &str) -> Option<i64> {
    let text = fs::read_to_string(proc.join(file)).ok()?;
    let mut lines =
        text.lines().filter_map(|line| line.split_once(": ")).filter(|(begin, _)| *begin == group);
    let ((_, names), (_, numbers)) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|name| name == counter)?;
    numbers.split(' ').nth(place)?.parse().ok()
}

/// `retrans_segs` as the kernel writes it: `RetransSegs`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + chars.as_str())
    };
    name.split('_').map(word).collect()
}

fn field(info: &[u8], name: &str) -> Option<i64> {
    tcp_info::field(info, name).filter(|_| !TIMED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_told_in_bytes_and_times_not_at_all() {
        let mut info = vec![0; 248];
        info[16..20].copy_from_slice(&1000u32.to_le_bytes());
        info[80..84].copy_from_slice(&10u32.to_le_bytes());
        let int = |name: &str| lookup(&info, name).and_then(|value| value.int().ok());
        assert_eq!((int("cwnd"), int("tcpi_snd_mss")), (Some(10_000), Some(1000)));
        assert_eq!((int("tcpi_rtt"), int("paws_rejected")), (None, None));
    }

    #[test]
    fn counters_have_the_kernels_names() {
        assert_eq!(camel("retrans_segs"), "RetransSegs");
        let here = Path::new("/proc/self");
        assert!(counted(here, "tcp_out_segs").is_some());
        assert!(counted(here, "tcp_syncookies_sent").is_some());
        assert!(counted(here, "tcp_no_such_thing").is_none());
        assert!(counted(here, "TcpExtTCPTimeouts").is_some());
        assert!(counted(here, "IpExtInOctets").is_some());
        assert!(counted(here, "TcpExtNoSuchThing").is_none());
    }
}
