//! Lines for a shell: none is run. Those that set what we can set are understood, the others refused.

use super::cursor::Cursor;
use super::error::ParseError;
use super::settings::Settings;

/// Linux's name below `net.ipv4`, and ours.
pub(super) const SYSCTLS: &[(&str, &str)] = &[
    ("tcp_timestamps", "timestamps"),
    ("tcp_sack", "sack"),
    ("tcp_window_scaling", "window_scaling"),
    ("tcp_syn_retries", "syn_retries"),
    ("tcp_synack_retries", "syn_ack_retries"),
    ("tcp_syncookies", "syn_cookies"),
    ("tcp_retries2", "retries"),
    ("tcp_fin_timeout", "fin_wait_2_secs"),
    ("tcp_keepalive_time", "keepalive_time_secs"),
    ("tcp_keepalive_intvl", "keepalive_interval_secs"),
    ("tcp_keepalive_probes", "keepalive_count"),
    ("tcp_congestion_control", "congestion"),
    ("tcp_ecn", "ecn"),
    ("tcp_mtu_probing", "mtu_probing"),
    ("tcp_fastopen_key", "fastopen_key"),
];

/// Reads `` `sysctl -w net.ipv4.tcp_timestamps=0` `` into the settings.
pub(super) fn parse(cursor: &mut Cursor<'_>, settings: &mut Settings) -> Result<(), ParseError> {
    cursor.expect("`")?;
    let at = cursor.at();
    let text = cursor.until("`")?;
    for line in text.lines().flat_map(|line| line.split(';')).map(str::trim).filter(|line| !line.is_empty()) {
        apply(line, settings).map_err(|why| cursor.error_at(at, why))?;
    }
    Ok(())
}

fn apply(line: &str, settings: &mut Settings) -> Result<(), String> {
    let mut words = line.split_whitespace();
    if words.next() != Some("sysctl") {
        return Err(format!("expected `sysctl -w net.ipv4...`, as no shell is run here; found `{line}`"));
    }
    for assignment in words.filter(|word| !word.starts_with('-')) {
        let (key, value) = assignment.split_once('=').ok_or_else(|| {
            format!("expected `sysctl -w net.ipv4.NAME=VALUE` without space in it, found `{line}`")
        })?;
        let name = key.strip_prefix("net.ipv4.").unwrap_or(key);
        let Some((_, ours)) = SYSCTLS.iter().find(|(theirs, _)| *theirs == name) else {
            let known: Vec<&str> = SYSCTLS.iter().map(|(theirs, _)| *theirs).collect();
            return Err(format!("expected one of net.ipv4.{{{}}}, found `{key}`", known.join(",")));
        };
        settings.set(ours, value.trim_matches('"'))?;
    }
    Ok(())
}
