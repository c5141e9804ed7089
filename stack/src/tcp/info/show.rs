//! A connection in one line, as `ss -ti` writes it.

use core::fmt;

use super::TcpInfo;
use crate::tcp::congestion::Gains;
use crate::tcp::ecn::EcnMode;
use crate::tcp::plpmtud::MtuSearch;
use crate::time::Duration;

/// The line of `ss -ti`: what is zero or unknown is left out, times are in milliseconds.
impl fmt::Display for TcpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line { f, result: Ok(()), began: false };
        self.show_terms(&mut line);
        self.show_windows(&mut line);
        self.show_counters(&mut line);
        self.show_rates(&mut line);
        self.show_losses(&mut line);
        self.show_receiver(&mut line);
        line.result
    }
}

impl TcpInfo {
    fn show_terms(&self, line: &mut Line<'_, '_>) {
        line.word("ts", self.timestamps);
        line.word("sack", self.sack);
        line.word("ecn", self.ecn.mode != EcnMode::Off);
        line.word("ecnseen", self.ecn.seen);
        line.word("fastopen", self.syn_data);
        line.word(self.congestion, !self.congestion.is_empty());
        if self.window_scaling {
            line.put(format_args!("wscale:{},{}", self.snd_wscale, self.rcv_wscale));
        }
        line.time("rto", self.rto);
        line.number("backoff", self.backoff);
        if let Some(srtt) = self.srtt {
            line.put(format_args!("rtt:{}/{}", ms(srtt), ms(self.rttvar)));
        }
        line.time("ato", self.ato);
    }

    fn show_windows(&self, line: &mut Line<'_, '_>) {
        line.number("mss", self.snd_mss);
        line.number("pmtu", self.pmtu);
        if let Some(MtuSearch { low, high, .. }) = self.mtu_search {
            line.put(format_args!("mtu_search:{low},{high}"));
        }
        line.number("rcvmss", self.rcv_mss);
        line.number("advmss", self.linux_advmss());
        line.number("cwnd", self.cwnd / u64::from(self.snd_mss).max(1));
        line.number("ssthresh", self.ssthresh.map_or(0, |bytes| bytes / u64::from(self.snd_mss).max(1)));
    }

    fn show_counters(&self, line: &mut Line<'_, '_>) {
        let counters = &self.counters;
        line.number("bytes_sent", counters.bytes_sent);
        line.number("bytes_retrans", counters.bytes_retrans);
        line.number("bytes_acked", counters.bytes_acked);
        line.number("bytes_received", counters.bytes_received);
        line.number("segs_out", counters.segs_out);
        line.number("segs_in", counters.segs_in);
        line.number("data_segs_out", counters.data_segs_out);
        line.number("data_segs_in", counters.data_segs_in);
    }

    fn show_rates(&self, line: &mut Line<'_, '_>) {
        if let Some(bandwidth) = self.bandwidth {
            let name = self.congestion;
            let mrtt = ms(self.min_rtt.unwrap_or_default());
            let bw = bandwidth.saturating_mul(8);
            match self.gains {
                None => line.put(format_args!("{name}:(bw:{bw}bps,mrtt:{mrtt})")),
                Some(Gains { pacing, cwnd }) => {
                    let (pacing, cwnd) = (f64::from(pacing) / 100.0, f64::from(cwnd) / 100.0);
                    line.put(format_args!(
                        "{name}:(bw:{bw}bps,mrtt:{mrtt},pacing_gain:{pacing},cwnd_gain:{cwnd})"
                    ));
                }
            }
        }
        if let Some(srtt) = self.srtt.filter(|srtt| !srtt.is_zero()) {
            let per_second = u128::from(self.cwnd) * 8_000_000_000 / u128::from(srtt.as_nanos());
            line.put(format_args!("send {per_second}bps"));
        }
        line.number("lastsnd", self.ago(self.last_data_sent).as_millis());
        line.number("lastrcv", self.ago(self.last_data_recv).as_millis());
        line.number("lastack", self.ago(self.last_ack_recv).as_millis());
        let bits = |rate: u64| rate.saturating_mul(8);
        match (self.pacing_rate, self.max_pacing_rate) {
            (Some(rate), Some(most)) => {
                line.put(format_args!("pacing_rate {}bps/{}bps", bits(rate), bits(most)));
            }
            (Some(rate), None) => line.put(format_args!("pacing_rate {}bps", bits(rate))),
            (None, _) => {}
        }
        if let Some(rate) = self.delivery_rate {
            line.put(format_args!("delivery_rate {}bps", bits(rate)));
        }
        line.number("delivered", self.delivered_segments());
        line.number("delivered_ce", self.ecn.delivered_ce);
        line.word("app_limited", self.app_limited);
        if self.busy_time.is_zero() {
            return;
        }
        line.put(format_args!("busy:{}ms", self.busy_time.as_millis()));
        for (name, span) in [("rwnd_limited", self.rwnd_limited), ("sndbuf_limited", self.sndbuf_limited)] {
            if !span.is_zero() {
                let share = 100.0 * span.as_secs_f64() / self.busy_time.as_secs_f64();
                line.put(format_args!("{name}:{}ms({share:.1}%)", span.as_millis()));
            }
        }
    }

    fn show_losses(&self, line: &mut Line<'_, '_>) {
        line.number("unacked", self.segments(self.unacked));
        if self.retrans > 0 || self.counters.segs_retrans > 0 {
            let (now, ever) = (self.segments(self.retrans), self.counters.segs_retrans);
            line.put(format_args!("retrans:{now}/{ever}"));
        }
        line.number("lost", self.lost_segments());
        line.number("sacked", self.segments(self.sacked));
        line.number("dsack_dups", self.counters.dsacks_in);
        if self.reordering_degree != super::USUAL_REORDERING {
            line.number("reordering", self.reordering_degree);
        }
        line.number("reord_seen", self.reord_seen);
    }

    fn show_receiver(&self, line: &mut Line<'_, '_>) {
        line.time("rcv_rtt", self.rcv_rtt.unwrap_or_default());
        line.number("rcv_space", self.rcv_space);
        line.number("rcv_ssthresh", self.rcv_ssthresh);
        line.number("notsent", self.unsent);
        line.time("minrtt", self.min_rtt.unwrap_or_default());
        line.number("rcv_ooopack", self.counters.out_of_order);
        line.number("snd_wnd", self.snd_wnd);
        line.number("rcv_wnd", self.rcv_wnd);
    }
}

/// Words with a space between them; the first error is kept.
struct Line<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    result: fmt::Result,
    began: bool,
}

impl Line<'_, '_> {
    fn put(&mut self, text: fmt::Arguments<'_>) {
        let space = if self.began { " " } else { "" };
        self.began = true;
        self.result = self.result.and_then(|()| write!(self.f, "{space}{text}"));
    }

    fn word(&mut self, word: &str, shown: bool) {
        if shown {
            self.put(format_args!("{word}"));
        }
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) {
        match value.into() {
            0 => {}
            value => self.put(format_args!("{name}:{value}")),
        }
    }

    fn time(&mut self, name: &str, span: Duration) {
        if !span.is_zero() {
            self.put(format_args!("{name}:{}", ms(span)));
        }
    }
}

/// Milliseconds with as many digits as microseconds need.
fn ms(span: Duration) -> f64 {
    span.as_micros() as f64 / 1e3
}
