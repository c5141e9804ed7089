//! What `ss -ti` would say of a connection.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;

#[test]
fn a_connection_is_shown_as_ss_does() {
    let mut one = One::established(bare());
    one.send(4000);
    one.burst();
    one.hear("+50ms \n < A seq=1 ack=1001 \n +20ms");
    let info = one.c.info_at(one.now);
    assert_eq!(
        info.to_string(),
        "sack reno rto:296.875 rtt:96.875/50 ato:40 mss:1000 rcvmss:536 advmss:1000 cwnd:10 bytes_sent:4000 bytes_acked:1000 \
         segs_out:6 segs_in:2 data_segs_out:4 send 825806bps lastsnd:70 lastrcv:70 lastack:20 delivered:2 app_limited \
         busy:70ms unacked:3 rcv_space:10000 rcv_ssthresh:10000 minrtt:50 snd_wnd:20000 rcv_wnd:10000"
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let one = One::connect(bare());
    assert_eq!(one.c.info().to_string(), "rto:1000 ato:40 advmss:1000 rcv_space:10000 rcv_wnd:10000");
    assert_eq!(TcpInfo::default().to_string(), "");
}

#[test]
fn linux_names_are_told_once_each() {
    let info = One::established(bare()).c.info();
    let mut names: Vec<_> = info.linux().map(|(name, _)| name).collect();
    assert_eq!(info.linux_field("rtt"), Some(100_000));
    assert_eq!(info.linux_field("frobs"), None);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count), (70, 70));
}

#[test]
fn a_timeout_of_a_syn_is_counted_apart() {
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n +1s \n > S seq=0");
    let info = one.c.info_at(one.now);
    assert_eq!((info.retransmits, info.linux_field("total_rto")), (1, Some(1)));
    assert_eq!((info.counters.timeouts, info.rto), (0, 2.secs()));
}

#[test]
fn a_model_of_the_path_is_shown_with_its_gains() {
    let (bandwidth, min_rtt) = (Some(1_000_000), Some(50.ms()));
    let gains = Some(congestion::Gains { pacing: 277, cwnd: 200 });
    let info = TcpInfo { congestion: "bbr", bandwidth, gains, min_rtt, ..TcpInfo::default() };
    let shown = info.to_string();
    assert!(shown.contains("bbr:(bw:8000000bps,mrtt:50,pacing_gain:2.77,cwnd_gain:2)"), "{shown}");
}
