//! `struct tcp_info` and the counters of a kernel, under the names of scripts.
//!
//! What is measured in time is not there: no two runs agree about it.

use std::fs;
use std::path::Path;

use crate::run::expr::Value;

/// Names in `struct tcp_info` after `tcpi_`, with offset and bytes of each.
const FIELDS: &[(&str, usize, usize)] = &[
    ("state", 0, 1),
    ("ca_state", 1, 1),
    ("retransmits", 2, 1),
    ("probes", 3, 1),
    ("backoff", 4, 1),
    ("options", 5, 1),
    ("snd_mss", 16, 4),
    ("rcv_mss", 20, 4),
    ("unacked", 24, 4),
    ("sacked", 28, 4),
    ("lost", 32, 4),
    ("retrans", 36, 4),
    ("fackets", 40, 4),
    ("pmtu", 60, 4),
    ("rcv_ssthresh", 64, 4),
    ("snd_ssthresh", 76, 4),
    ("snd_cwnd", 80, 4),
    ("advmss", 84, 4),
    ("reordering", 88, 4),
    ("rcv_space", 96, 4),
    ("total_retrans", 100, 4),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("segs_out", 136, 4),
    ("segs_in", 140, 4),
    ("notsent_bytes", 144, 4),
    ("data_segs_in", 152, 4),
    ("data_segs_out", 156, 4),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("bytes_sent", 200, 8),
    ("bytes_retrans", 208, 8),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("rcv_ooopack", 224, 4),
    ("snd_wnd", 228, 4),
    ("rcv_wnd", 232, 4),
    ("total_rto", 240, 2),
    ("total_rto_recoveries", 242, 2),
];

/// Both shifts share one byte.
const SHIFTS: usize = 6;

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
        _ => field(info, OURS.iter().find(|(ours, _)| *ours == name)?.1)?,
    };
    Some(Value::Int(number))
}

/// The counter of that name, of all that happened in the namespace: `tcp_retrans_segs`. `proc` is a thread inside.
pub(super) fn counted(proc: &Path, name: &str) -> Option<Value> {
    let (protocol, counter) = name.split_once('_')?;
    let counter = camel(counter);
    let groups: &[(&str, &str)] = match protocol {
        "tcp" => &[("net/snmp", "Tcp:"), ("net/netstat", "TcpExt:")],
        "udp" => &[("net/snmp", "Udp:")],
        _ => return None,
    };
    groups.iter().find_map(|(file, group)| {
        let text = fs::read_to_string(proc.join(file)).ok()?;
        let mut lines = text.lines().filter(|line| line.split(' ').next() == Some(*group));
        let (names, numbers) = (lines.next()?, lines.next()?);
        let place = names.split(' ').position(|name| name == counter)?;
        numbers.split(' ').nth(place)?.parse().ok().map(Value::Int)
    })
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
    match name {
        "snd_wscale" => return info.get(SHIFTS).map(|byte| i64::from(byte & 15)),
        "rcv_wscale" => return info.get(SHIFTS).map(|byte| i64::from(byte >> 4)),
        _ => {}
    }
    let &(_, at, len) = FIELDS.iter().find(|(known, ..)| *known == name)?;
    let bytes = info.get(at..at + len)?;
    let mut whole = [0; 8];
    whole[..len].copy_from_slice(bytes);
    i64::try_from(u64::from_le_bytes(whole)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_places() {
        let mut info = vec![0; 248];
        info[0] = 1;
        info[SHIFTS] = 0x57;
        info[16..20].copy_from_slice(&1000u32.to_le_bytes());
        info[80..84].copy_from_slice(&10u32.to_le_bytes());
        let int = |name: &str| lookup(&info, name).and_then(|value| value.int().ok());
        assert_eq!(int("tcpi_state"), Some(1));
        assert_eq!((int("tcpi_snd_wscale"), int("tcpi_rcv_wscale")), (Some(7), Some(5)));
        assert_eq!((int("cwnd"), int("snd_mss")), (Some(10_000), Some(1000)));
        assert_eq!((int("tcpi_rtt"), int("paws_rejected")), (None, None));
        assert_eq!(lookup(&info[..100], "tcpi_bytes_acked").map(|_| ()), None);
    }

    #[test]
    fn counters_have_the_kernels_names() {
        assert_eq!(camel("retrans_segs"), "RetransSegs");
        let here = Path::new("/proc/self");
        assert!(counted(here, "tcp_out_segs").is_some());
        assert!(counted(here, "tcp_syncookies_sent").is_some());
        assert!(counted(here, "tcp_no_such_thing").is_none());
    }
}
