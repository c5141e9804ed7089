//! The numbers of `struct tcp_info` under Linux's names and in its units: segments, microseconds, milliseconds.

use super::TcpInfo;
use crate::tcp::ecn::EcnMode;
use crate::tcp::state::State;
use crate::time::{Duration, Instant};

impl TcpInfo {
    /// The fields of Linux's `struct tcp_info`, without `tcpi_`, in its order and in its units: windows and what is in
    /// flight in (full) segments, most times in microseconds, `ato` `rto` too, those of `last_...` and `total_rto_time`
    /// in milliseconds, rates in bytes per second.
    ///
    /// What ustack has no notion of is what Linux shows where it has none: 0 for `fackets` and `rehash`.
    pub fn linux(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.before_windows().into_iter().chain(self.windows()).chain(self.since_linux_4())
    }

    /// One of these numbers.
    pub fn linux_field(&self, name: &str) -> Option<u64> {
        self.linux().find(|&(known, _)| known == name).map(|(_, value)| value)
    }

    fn before_windows(&self) -> [(&'static str, u64); 15] {
        [
            ("state", self.linux_state()),
            ("ca_state", self.ca_state()),
            ("retransmits", self.retransmits.into()),
            ("probes", self.probes_out.into()),
            ("backoff", self.backoff.into()),
            ("options", self.linux_options()),
            ("snd_wscale", self.snd_wscale.into()),
            ("rcv_wscale", self.rcv_wscale.into()),
            ("delivery_rate_app_limited", self.app_limited.into()),
            ("fastopen_client_fail", self.fast_open_fail.into()),
            ("rto", self.rto.as_micros()),
            ("ato", self.ato.as_micros()),
            ("snd_mss", self.snd_mss.into()),
            ("rcv_mss", self.rcv_mss.into()),
            ("unacked", self.segments(self.unacked)),
        ]
    }

    fn windows(&self) -> [(&'static str, u64); 20] {
        [
            ("sacked", self.segments(self.sacked)),
            ("lost", self.lost_segments()),
            ("retrans", self.segments(self.retrans)),
            ("fackets", 0),
            ("last_data_sent", self.ago(self.last_data_sent).as_millis()),
            ("last_ack_sent", self.ago(self.last_ack_sent).as_millis()),
            ("last_data_recv", self.ago(self.last_data_recv).as_millis()),
            ("last_ack_recv", self.ago(self.last_ack_recv).as_millis()),
            ("pmtu", self.pmtu.into()),
            ("rcv_ssthresh", self.rcv_ssthresh),
            ("rtt", self.srtt.unwrap_or_default().as_micros()),
            ("rttvar", self.rttvar.as_micros()),
            ("snd_ssthresh", self.ssthresh.map_or(0x7fff_ffff, |bytes| bytes / self.full_segment())),
            ("snd_cwnd", self.cwnd / self.full_segment()),
            ("advmss", self.linux_advmss()),
            ("reordering", self.reordering_degree.into()),
            ("rcv_rtt", self.rcv_rtt.unwrap_or_default().as_micros()),
            ("rcv_space", self.rcv_space),
            ("total_retrans", self.counters.segs_retrans.into()),
            ("pacing_rate", self.pacing_rate.unwrap_or(u64::MAX)),
        ]
    }

    fn since_linux_4(&self) -> [(&'static str, u64); 35] {
        let Self { counters, ecn, .. } = self;
        [
            ("max_pacing_rate", self.max_pacing_rate.unwrap_or(u64::MAX)),
            ("bytes_acked", counters.bytes_acked),
            ("bytes_received", counters.bytes_received),
            ("segs_out", counters.segs_out),
            ("segs_in", counters.segs_in),
            ("notsent_bytes", self.unsent),
            ("min_rtt", self.min_rtt.map_or(u32::MAX.into(), Duration::as_micros)),
            ("data_segs_in", counters.data_segs_in),
            ("data_segs_out", counters.data_segs_out),
            ("delivery_rate", self.delivery_rate.unwrap_or(0)),
            ("busy_time", self.busy_time.as_micros()),
            ("rwnd_limited", self.rwnd_limited.as_micros()),
            ("sndbuf_limited", self.sndbuf_limited.as_micros()),
            ("delivered", self.delivered_segments()),
            ("delivered_ce", ecn.delivered_ce.into()),
            ("bytes_sent", counters.bytes_sent),
            ("bytes_retrans", counters.bytes_retrans),
            ("dsack_dups", counters.dsacks_in.into()),
            ("reord_seen", self.reord_seen.into()),
            ("rcv_ooopack", counters.out_of_order.into()),
            ("snd_wnd", self.snd_wnd),
            ("rcv_wnd", self.rcv_wnd),
            ("rehash", 0),
            ("total_rto", self.total_rto()),
            ("total_rto_recoveries", self.total_rto_recoveries()),
            ("total_rto_time", self.total_rto_time.as_millis()),
            ("received_ce", ecn.received_ce.into()),
            ("delivered_e1_bytes", ecn.delivered.ect1),
            ("delivered_e0_bytes", ecn.delivered.ect0),
            ("delivered_ce_bytes", ecn.delivered.ce),
            ("received_e1_bytes", ecn.received.ect1),
            ("received_e0_bytes", ecn.received.ect0),
            ("received_ce_bytes", ecn.received.ce),
            ("accecn_fail_mode", ecn.failures.bits().into()),
            ("accecn_opt_seen", ecn.options_seen.into()),
        ]
    }

    /// How long ago something was when this was taken.
    pub(super) fn ago(&self, at: Instant) -> Duration {
        self.now.since(at)
    }

    /// Segments that hold so many bytes.
    pub(super) fn segments(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.full_segment())
    }

    /// Linux counts the SYN, too.
    pub(super) fn delivered_segments(&self) -> u64 {
        self.segments(self.delivered) + u64::from(self.srtt.is_some() || self.delivered > 0)
    }

    /// Linux counts what was lost until it is acknowledged, sent again or not.
    pub(super) fn lost_segments(&self) -> u64 {
        // A probe is sent again, too, but nothing was lost.
        let repairs = matches!(self.recovery, "recovery" | "loss");
        self.segments(self.lost) + if repairs { self.segments(self.retrans) } else { 0 }
    }

    /// Linux takes off what the timestamps of each segment need.
    pub(super) fn linux_advmss(&self) -> u64 {
        u64::from(self.advmss).saturating_sub(if self.timestamps { 12 } else { 0 })
    }

    fn full_segment(&self) -> u64 {
        u64::from(self.snd_mss).max(1)
    }

    fn total_rto(&self) -> u64 {
        u64::from(self.counters.timeouts) + u64::from(self.counters.syn_timeouts)
    }

    fn total_rto_recoveries(&self) -> u64 {
        u64::from(self.counters.timeout_recoveries) + u64::from(self.counters.syn_timeouts > 0)
    }

    /// Linux's number of the state.
    const fn linux_state(&self) -> u64 {
        match self.state {
            State::Established => 1,
            State::SynSent => 2,
            State::SynReceived => 3,
            State::FinWait1 => 4,
            State::FinWait2 => 5,
            State::TimeWait => 6,
            State::Closed => 7,
            State::CloseWait => 8,
            State::LastAck => 9,
            State::Listen => 10,
            State::Closing => 11,
        }
    }

    /// Linux's number of the recovery's phase.
    fn ca_state(&self) -> u64 {
        match self.recovery {
            "disorder" => 1,
            "cwr" => 2,
            "recovery" => 3,
            "loss" => 4,
            _ => 0,
        }
    }

    /// Linux's bits: 1 timestamps, 2 SACK, 4 window scaling, 8 ECN agreed, 16 ECN seen, 32 data on
    /// the SYN was acknowledged.
    fn linux_options(&self) -> u64 {
        let ecn = u64::from(self.ecn.mode != EcnMode::Off) << 3 | u64::from(self.ecn.seen) << 4;
        u64::from(self.timestamps)
            | u64::from(self.sack) << 1
            | u64::from(self.window_scaling) << 2
            | ecn
            | u64::from(self.syn_data) << 5
    }
}
