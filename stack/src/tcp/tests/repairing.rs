//! How losses are repaired without waiting for the timer, and mistakes undone.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;

fn stamped() -> Settings {
    Settings { timestamps: true, ..bare() }
}

/// As `with_ten_in_flight`, with timestamps; what left then has the timestamp 4294967100. Full segments have 988 bytes.
fn ten_stamped() -> One {
    let mut one = One::connect(stamped());
    one.play(
        "> S seq=0 \n +100ms \n < SA seq=0 ack=1 win=20000 mss=1012 ts=1/4294967000 sackok \n > A seq=1",
    );
    one.send(40_000);
    assert_eq!(one.burst().len(), 10);
    one
}

#[test]
fn a_lost_tail_is_repaired_without_a_timeout() {
    // RFC 8985 section 7: segments 9 and 10 are lost. The probe shows it after two round trips.
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.play(
        "< A seq=1 ack=8001
         +199ms
         +1ms
         > PA seq=9001 len=1000 why=tail-loss-probe
         +100ms
         < A seq=1 ack=8001 sack=9001-10001
         > A seq=8001 len=1000 why=fast-retransmit
         +100ms
         < A seq=1 ack=10001",
    );
    let counters = one.c.info().counters;
    assert_eq!((counters.timeouts, counters.loss_probes, counters.recoveries), (0, 1, 1));
}

#[test]
fn a_probe_that_repairs_the_loss_itself_still_counts_as_congestion() {
    // RFC 8985 section 7.4: only the last is lost. What follows acknowledges it and reports no duplicate.
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.play(
        "< A seq=1 ack=9001
         +300ms
         > PA seq=9001 len=1000 why=tail-loss-probe
         +100ms
         < A seq=1 ack=10001",
    );
    assert_eq!(one.c.info().ssthresh, None, "it may have been a delayed ACK");
    one.send(1000);
    one.play("> PA seq=10001 len=1000 why=new-data \n +100ms \n < A seq=1 ack=11001");
    let info = one.c.info();
    assert_eq!((info.counters.loss_probe_recoveries, info.counters.timeouts), (1, 0));
    assert!(info.ssthresh.is_some());
}

#[test]
fn a_probe_that_was_not_needed_costs_nothing() {
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.play(
        "< A seq=1 ack=8001
         +200ms
         > PA seq=9001 len=1000 why=tail-loss-probe
         +10ms
         < A seq=1 ack=10001
         +100ms
         < A seq=1 ack=10001 sack=9001-10001",
    );
    let info = one.c.info();
    assert_eq!((info.ssthresh, info.recovery), (None, "open"));
    one.send(1000);
    one.play("> PA seq=10001 \n +100ms \n < A seq=1 ack=11001");
    assert_eq!(one.c.info().ssthresh, None);
    assert_eq!(one.c.info().counters.undos, 0);
}

#[test]
fn a_probe_is_something_new_if_there_is_any() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.play(
        "+99ms
         +1ms
         > A seq=10001 len=1000 why=new-data-probe
         +300ms
         > A seq=1 len=1000 why=rto",
    );
    let counters = one.c.info().counters;
    assert_eq!((counters.loss_probes, counters.segs_retrans), (1, 1), "a new segment is no retransmission");
}

#[test]
fn a_probe_carries_the_fin() {
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play(
        "> FA seq=10001 len=0
         < A seq=1 ack=9001
         +200ms
         > FA seq=10001 len=0 why=tail-loss-probe
         +100ms
         < A seq=1 ack=9001 sack=10001-10002
         > PA seq=9001 len=1000 why=fast-retransmit
         < A seq=1 ack=10002
         = FIN-WAIT-2",
    );
}

#[test]
fn two_segments_are_enough_to_find_a_loss() {
    // RFC 8985 section 6.2: no three duplicates are needed, but a quarter of a round trip.
    let mut one = One::established(bare());
    one.send(2000);
    one.play(
        "> A seq=1 len=1000 \n > PA seq=1001 len=1000 \n +100ms
         < A seq=1 ack=1 sack=1001-2001
         +24ms
         +1ms
         > A seq=1 len=1000 why=fast-retransmit
         +100ms
         < A seq=1 ack=2001",
    );
    assert_eq!(one.c.info().counters.timeouts, 0);
}

#[test]
fn a_segment_that_comes_in_time_is_not_sent_again() {
    let mut one = One::established(bare());
    one.send(2000);
    one.play(
        "> A seq=1 len=1000 \n > PA seq=1001 len=1000 \n +100ms
         < A seq=1 ack=1 sack=1001-2001
         +24ms
         < A seq=1 ack=2001
         +2s",
    );
    let info = one.c.info();
    assert!(info.reordering);
    assert_eq!((info.ssthresh, info.counters.segs_retrans), (None, 0));
}

#[test]
fn where_order_is_not_kept_three_duplicates_mean_nothing() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    // The second comes before the first, which is noticed for what it is.
    one.hear("< A seq=1 ack=1 sack=1001-2001");
    one.burst();
    one.hear("< A seq=1 ack=2001");
    one.burst();
    one.hear("< A seq=1 ack=2001 sack=3001-9001");
    assert_eq!(one.c.info().recovery, "disorder");
    one.burst();
    one.hear("+20ms \n < A seq=1 ack=9001");
    assert_eq!(one.c.info().counters.segs_retrans, 0);
}

#[test]
fn what_is_lost_twice_is_sent_a_third_time_without_a_timeout() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.play(
        "< A seq=1 ack=1 sack=1001-5001
         > A seq=1 len=1000 why=fast-retransmit
         +50ms
         < A seq=1 ack=1 sack=1001-7001
         > A seq=10001 len=1000 why=new-data
         +100ms
         < A seq=1 ack=1 sack=10001-11001;1001-7001
         > A seq=1 len=1000 why=recovery-retransmit
         > A seq=7001 len=1000 why=recovery-retransmit
         > A seq=8001 len=1000 why=recovery-retransmit
         > A seq=9001 len=1000 why=recovery-retransmit
         > A seq=11001 len=1000 why=new-data",
    );
    let counters = one.c.info().counters;
    // Segments 8 to 10 were overtaken by the eleventh too.
    assert_eq!((counters.lost_retransmits, counters.timeouts, counters.recoveries), (1, 0, 1));
}

#[test]
fn a_recovery_sends_in_proportion() {
    // RFC 9937: from ten segments to five; the fast retransmit at once, then fewer than arrive, until five are in
    // flight.
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=1 sack=1001-2001");
    one.burst();
    one.hear("< A seq=1 ack=1 sack=1001-3001");
    one.burst();
    one.hear("< A seq=1 ack=1 sack=1001-4001");
    let mut sent = vec![one.burst().len()];
    for end in 5..11 {
        one.hear(&format!("< A seq=1 ack=1 sack=1001-{end}001"));
        sent.push(one.burst().len());
    }
    let info = one.c.info();
    assert_eq!((sent, info.in_flight, info.ssthresh), (vec![1, 0, 0, 1, 0, 0, 1], 5000, Some(5000)));
    one.hear("+100ms \n < A seq=1 ack=12001");
    assert_eq!(one.c.info().recovery, "open");
}

#[test]
fn a_rescue_finds_the_last_repeat_lost_before_the_timer_does() {
    // RFC 6675 section 4, NextSeg rule 4. All but the first arrive, then its repeat is lost, and nothing is left to
    // send.
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.play(
        "< A seq=1 ack=1 sack=1001-10001
         > A seq=1 len=1000 why=fast-retransmit
         +200ms
         > A seq=1 len=1000 why=tail-loss-probe
         +100ms
         < A seq=1 ack=10001",
    );
    let info = one.c.info();
    assert_eq!((info.counters.timeouts, info.recovery), (0, "open"));
}

#[test]
fn a_duplicate_report_undoes_a_fast_recovery() {
    // RFC 3708: the repeat was not needed, for the first segment was only late.
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=1 sack=1001-4001");
    one.burst();
    assert_eq!(one.c.info().cwnd, 5000);
    one.hear("< A seq=1 ack=4001");
    one.burst();
    one.hear("< A seq=1 ack=5001 sack=1-1001");
    let info = one.c.info();
    assert_eq!((info.recovery, info.cwnd, info.ssthresh), ("open", 10_000, None));
    assert_eq!((info.lost, info.counters.undos, info.counters.spurious_timeouts), (0, 1, 0));
    assert!(info.reordering && info.reo_wnd < 100.ms());
}

#[test]
fn a_timestamp_undoes_a_fast_recovery() {
    // RFC 3522: the ACK echoes the original, from before the repeat.
    let mut one = ten_stamped();
    one.play(
        "+100ms \n < A seq=1 ack=1 sack=989-3953 ts=2/4294967100 \n > A seq=1 len=988 why=fast-retransmit",
    );
    one.hear("+5ms \n < A seq=1 ack=3953 ts=3/4294967100");
    let info = one.c.info();
    assert_eq!((info.recovery, info.cwnd, info.ssthresh), ("open", 9880, None));
    // The same, but what is echoed is the repeat.
    let mut one = ten_stamped();
    one.play(
        "+100ms \n < A seq=1 ack=1 sack=989-3953 ts=2/4294967100 \n > A seq=1 len=988 why=fast-retransmit",
    );
    one.hear("+100ms \n < A seq=1 ack=3953 ts=3/4294967200");
    assert_eq!(one.c.info().counters.undos, 0);
}

#[test]
fn a_timestamp_undoes_a_timeout() {
    // RFC 3522 and RFC 4015: the path takes half a second longer for once.
    let mut one = ten_stamped();
    one.play(
        "+200ms
         > A seq=9881 len=988 why=new-data-probe
         +300ms
         > A seq=1 len=988 why=rto",
    );
    assert_eq!(one.c.info().cwnd, 988);
    one.hear("+20ms \n < A seq=1 ack=989 ts=2/4294967100");
    let info = one.c.info();
    assert_eq!((info.recovery, info.cwnd, info.ssthresh, info.lost), ("open", 9880, None, 0));
    assert_eq!((info.counters.spurious_timeouts, info.counters.undos), (1, 1));
    assert!(info.rto > 350.ms() && info.backoff == 0, "the timer has learnt: {}", info.rto);
    assert!(one.burst().iter().all(|&(seq, _)| seq > 10_000), "nothing is sent again");
    one.hear("< A seq=1 ack=10869 ts=3/4294967100");
    assert_eq!(one.c.info().counters.segs_retrans, 1);
}

#[test]
fn what_comes_after_a_timeout_tells_whether_it_was_needed() {
    // F-RTO (RFC 5682 section 2.1), without SACK and timestamps.
    let mut one = One::with_ten_in_flight(40_000, Settings { sack: false, ..bare() });
    one.play(
        "+200ms
         > A seq=1 len=1000 why=rto
         +20ms
         < A seq=1 ack=1001
         > A seq=10001 len=1000 why=new-data
         > A seq=11001 len=1000 why=new-data
         < A seq=1 ack=2001",
    );
    let info = one.c.info();
    assert_eq!((info.recovery, info.counters.spurious_timeouts, info.lost), ("open", 1, 0));
    assert_eq!((info.cwnd, info.ssthresh), (10_000, None));
    assert!(one.burst().is_empty(), "ten are still in flight");
}

#[test]
fn a_real_loss_is_repaired_after_the_question() {
    for sack in [false, true] {
        let mut one = One::with_ten_in_flight(40_000, Settings { sack, ..bare() });
        if sack {
            // One probe, which is lost too.
            one.play("+100ms \n > A seq=10001 len=1000 why=new-data-probe \n +300ms \n > A seq=1 why=rto");
            one.hear("+100ms \n < A seq=1 ack=1001");
            assert_eq!(one.burst(), [(11_001, 1000), (12_001, 1000)]);
            one.hear("+100ms \n < A seq=1 ack=1001 sack=11001-12001");
        } else {
            one.play("+200ms \n > A seq=1 why=rto");
            one.hear("+100ms \n < A seq=1 ack=1001");
            assert_eq!(one.burst(), [(10_001, 1000), (11_001, 1000)]);
            one.hear("+100ms \n < A seq=1 ack=1001");
        }
        assert_eq!(one.burst()[0], (1001, 1000), "with SACK: {sack}");
        let info = one.c.info();
        assert_eq!((info.recovery, info.counters.undos), ("loss", 0));
    }
}

#[test]
fn an_overtaken_ack_is_heard() {
    // What it reports is true, though it acknowledges less than another did.
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=3001");
    one.burst();
    one.hear("< A seq=1 ack=2001 sack=5001-6001");
    assert_eq!((one.c.info().sacked, one.c.info().unacked), (1000, 12_000));
}
