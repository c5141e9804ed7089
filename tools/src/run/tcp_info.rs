//! `struct tcp_info` as Linux 6.18 lays it out: where each number stands.

use ustack::tcp::TcpInfo;

/// Bytes of the struct.
pub(super) const LEN: usize = 280;

/// Names after `tcpi_`, with offset and bytes of each.
const FIELDS: &[(&str, usize, usize)] = &[
    ("state", 0, 1),
    ("ca_state", 1, 1),
    ("retransmits", 2, 1),
    ("probes", 3, 1),
    ("backoff", 4, 1),
    ("options", 5, 1),
    ("rto", 8, 4),
    ("ato", 12, 4),
    ("snd_mss", 16, 4),
    ("rcv_mss", 20, 4),
    ("unacked", 24, 4),
    ("sacked", 28, 4),
    ("lost", 32, 4),
    ("retrans", 36, 4),
    ("fackets", 40, 4),
    ("last_data_sent", 44, 4),
    ("last_ack_sent", 48, 4),
    ("last_data_recv", 52, 4),
    ("last_ack_recv", 56, 4),
    ("pmtu", 60, 4),
    ("rcv_ssthresh", 64, 4),
    ("rtt", 68, 4),
    ("rttvar", 72, 4),
    ("snd_ssthresh", 76, 4),
    ("snd_cwnd", 80, 4),
    ("advmss", 84, 4),
    ("reordering", 88, 4),
    ("rcv_rtt", 92, 4),
    ("rcv_space", 96, 4),
    ("total_retrans", 100, 4),
    ("pacing_rate", 104, 8),
    ("max_pacing_rate", 112, 8),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("segs_out", 136, 4),
    ("segs_in", 140, 4),
    ("notsent_bytes", 144, 4),
    ("min_rtt", 148, 4),
    ("data_segs_in", 152, 4),
    ("data_segs_out", 156, 4),
    ("delivery_rate", 160, 8),
    ("busy_time", 168, 8),
    ("rwnd_limited", 176, 8),
    ("sndbuf_limited", 184, 8),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("bytes_sent", 200, 8),
    ("bytes_retrans", 208, 8),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("rcv_ooopack", 224, 4),
    ("snd_wnd", 228, 4),
    ("rcv_wnd", 232, 4),
    ("rehash", 236, 4),
    ("total_rto", 240, 2),
    ("total_rto_recoveries", 242, 2),
    ("total_rto_time", 244, 4),
    ("received_ce", 248, 4),
    ("delivered_e1_bytes", 252, 4),
    ("delivered_e0_bytes", 256, 4),
    ("delivered_ce_bytes", 260, 4),
    ("received_e1_bytes", 264, 4),
    ("received_e0_bytes", 268, 4),
    ("received_ce_bytes", 272, 4),
    ("accecn_fail_mode", 276, 2),
    ("accecn_opt_seen", 278, 2),
];

/// Bits that share a byte: its offset, by how much they are shifted, and how many they are.
const BITS: &[(&str, usize, u8, u8)] = &[
    ("snd_wscale", 6, 0, 4),
    ("rcv_wscale", 6, 4, 4),
    ("delivery_rate_app_limited", 7, 0, 1),
    ("fastopen_client_fail", 7, 1, 2),
];

/// The number of that name, as far as the struct reaches.
pub(super) fn field(bytes: &[u8], name: &str) -> Option<i64> {
    if let Some(&(_, at, shift, bits)) = BITS.iter().find(|(known, ..)| *known == name) {
        return bytes.get(at).map(|byte| i64::from(byte >> shift & ((1 << bits) - 1)));
    }
    let &(_, at, len) = FIELDS.iter().find(|(known, ..)| *known == name)?;
    let mut whole = [0; 8];
    whole[..len].copy_from_slice(bytes.get(at..at + len)?);
    // No limit is the largest number.
    Some(i64::try_from(u64::from_le_bytes(whole)).unwrap_or(i64::MAX))
}

/// What is known about a connection, as the kernel would write it.
pub(super) fn write(info: &TcpInfo) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    for (name, number) in info.linux() {
        if let Some(&(_, at, shift, bits)) = BITS.iter().find(|(known, ..)| *known == name) {
            bytes[at] |= (number.min((1 << bits) - 1) as u8) << shift;
        } else if let Some(&(_, at, len)) = FIELDS.iter().find(|(known, ..)| *known == name) {
            let most = if len == 8 { u64::MAX } else { (1 << (8 * len)) - 1 };
            bytes[at..at + len].copy_from_slice(&number.min(most).to_le_bytes()[..len]);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_places() {
        let mut info = vec![0; LEN];
        info[0] = 1;
        info[6] = 0x57;
        info[16..20].copy_from_slice(&1000u32.to_le_bytes());
        assert_eq!((field(&info, "state"), field(&info, "snd_mss")), (Some(1), Some(1000)));
        assert_eq!((field(&info, "snd_wscale"), field(&info, "rcv_wscale")), (Some(7), Some(5)));
        assert_eq!((field(&info, "no_such_thing"), field(&info[..100], "bytes_acked")), (None, None));
    }

    #[test]
    fn each_number_that_the_stack_has_is_read_again() {
        let info =
            TcpInfo { snd_mss: 1448, cwnd: 14_480, unsent: 77, fast_open_fail: 2, ..TcpInfo::default() };
        let bytes = write(&info);
        for (name, number) in info.linux() {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            assert_eq!(field(&bytes, name), Some(number), "{name}");
        }
    }
}
