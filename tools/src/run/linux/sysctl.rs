//! A script's settings as those of a kernel.

use std::sync::OnceLock;

use ustack::tcp::MtuProbing;

use crate::namespace::Inside;
use crate::run::settings::Settings;
use crate::run::shell::SYSCTLS;

/// A value below `/proc/sys/net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sysctl {
    pub(super) name: String,
    pub(super) value: String,
    /// Not every kernel has it.
    pub(super) optional: bool,
}

/// What a run is about whatever the kernel is, or what is done for each of its sockets.
const NOT_THE_KERNELS: &[&str] = &[
    "ip_version",
    "local_ip",
    "remote_ip",
    "bind_port",
    "connect_port",
    "mtu",
    "tolerance_usecs",
    "tcp_ts_tick_usecs",
    "seed",
    "remote_isn",
    "define",
    "non_fatal",
    "verbose",
    "dry_run",
    "max_mss",
    "nodelay",
    "send_buffer",
    "recv_buffer",
];

/// A namespace may not choose its congestion control; a socket may.
const OF_A_SOCKET: &str = "congestion";

/// What makes a kernel quiet and predictable, whatever a script is about.
const ALWAYS: &[(&str, &str)] = &[
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/tcp_no_metrics_save", "1"),
    // Client and server, as far as their sockets ask for it.
    ("ipv4/tcp_fastopen", "3"),
    ("ipv4/tcp_invalid_ratelimit", "0"),
];

/// The same, as far as a kernel has it for each namespace.
const IF_THERE: &[(&str, &str)] = &[
    // SYNs are repeated after 1, 2, 4... seconds, as RFC 6298 has it.
    ("ipv4/tcp_syn_linear_timeouts", "0"),
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_msgs_per_sec", "100000"),
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/addr_gen_mode", "1"),
];

/// Why Linux cannot be set as the script asks; `None` if it can.
pub(super) fn refused(settings: &Settings) -> Option<String> {
    let is_known = |key: &str| NOT_THE_KERNELS.contains(&key) || SYSCTLS.iter().any(|(_, ours)| *ours == key);
    settings.said.iter().find_map(|(key, value)| match key.as_str() {
        "pacing" if value == "0" => None,
        "time_wait_secs" => Some("Linux keeps TIME-WAIT for 60 seconds".into()),
        "delayed_ack_usecs" => Some("the delay of Linux's acknowledgments is fixed".into()),
        key if is_known(key) => None,
        key => Some(format!("Linux has no counterpart of --{key}")),
    })
}

/// What of the script's settings this kernel lacks, which a newer one has, or one that is built otherwise.
pub(super) fn missing(settings: &Settings) -> Option<&'static str> {
    let is_accurate = settings.tcp.ecn.sysctl().is_some_and(|number| number > 2);
    (is_accurate && !takes_accurate_ecn()).then_some("accurate ECN: it does not take tcp_ecn=3")
}

/// Linux 6.18 has what accurate ECN needs, and does not let it be switched on yet.
fn takes_accurate_ecn() -> bool {
    static TAKES: OnceLock<bool> = OnceLock::new();
    let try_it = || std::fs::write("/proc/sys/net/ipv4/tcp_ecn", "3").is_ok();
    *TAKES.get_or_init(|| Inside::new().and_then(|inside| inside.run(try_it)).unwrap_or(false))
}

/// What is set below `/proc/sys/net` for a script.
pub(super) fn of(settings: &Settings) -> Vec<Sysctl> {
    let tcp = &settings.tcp;
    let named = |name: &str, value: String| Sysctl { name: name.into(), value, optional: false };
    let truth = |name: &str, on: bool| named(name, u8::from(on).to_string());
    let mut all: Vec<Sysctl> = ALWAYS.iter().map(|&(name, value)| named(name, value.into())).collect();
    all.extend(IF_THERE.iter().map(|&(name, value)| Sysctl { optional: true, ..named(name, value.into()) }));
    // Half of a buffer is for the kernel's own book-keeping; the largest gives the shift of the window.
    let (receive, send) = (tcp.recv_buffer, tcp.send_buffer);
    all.push(named("ipv4/tcp_rmem", format!("4096 {} {receive}", receive * 2)));
    all.push(named("ipv4/tcp_wmem", format!("4096 {0} {0}", send * 2)));
    // As a script begins with ours, which is not the kernel's.
    all.push(named("ipv4/tcp_mtu_probing", MtuProbing::default().sysctl().to_string()));
    all.push(truth("ipv4/tcp_timestamps", tcp.timestamps));
    all.push(truth("ipv4/tcp_sack", tcp.sack));
    all.push(truth("ipv4/tcp_window_scaling", tcp.window_scaling));
    for (key, value) in &settings.said {
        if let Some((theirs, _)) = SYSCTLS.iter().find(|(_, ours)| ours == key && key != OF_A_SOCKET) {
            all.push(named(&format!("ipv4/{theirs}"), as_linux_says(key, value)));
        }
    }
    all
}

/// The value of one of our settings as Linux writes it.
fn as_linux_says(key: &str, value: &str) -> String {
    match (key, value) {
        ("mtu_probing", word) => {
            MtuProbing::named(word).map_or(word.to_owned(), |probing| probing.sysctl().to_string())
        }
        ("ecn", "off") => "0".into(),
        ("ecn", "classic") => "1".into(),
        ("ecn", "answer") => "2".into(),
        ("ecn", "accurate") => "3".into(),
        // Four groups of eight digits.
        ("fastopen_key", digits) if digits.len() == 32 && digits.is_ascii() => {
            [&digits[..8], &digits[8..16], &digits[16..24], &digits[24..]].join("-")
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(said: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        said.iter().for_each(|(key, value)| settings.set(key, value).unwrap());
        settings
    }

    #[test]
    fn what_is_said_last_counts() {
        let all = of(&settings(&[("timestamps", "0"), ("syn_retries", "3")]));
        let value = |name: &str| {
            let is_named = |sysctl: &&Sysctl| sysctl.name == format!("ipv4/{name}");
            all.iter().rev().find(is_named).map(|sysctl| sysctl.value.as_str())
        };
        assert_eq!(value("tcp_timestamps"), Some("0"));
        assert_eq!(value("tcp_syn_retries"), Some("3"));
        assert_eq!(value("tcp_sack"), Some("1"));
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        assert_eq!(refused(&settings(&[("mtu", "1400"), ("sack", "0"), ("pacing", "0")])), None);
        assert!(refused(&settings(&[("time_wait_secs", "1")])).unwrap().contains("60 seconds"));
        assert_eq!(refused(&settings(&[("ecn", "accurate")])), None);
        assert_eq!(missing(&settings(&[("ecn", "classic")])), None);
        assert!(refused(&settings(&[("max_merged", "65535")])).unwrap().contains("--max_merged"));
    }
}
