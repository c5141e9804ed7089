//! What is lost, how it is noticed, and when it is sent again.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;

fn without_sack() -> Settings {
    Settings { sack: false, ..bare() }
}

#[test]
fn the_third_duplicate_means_a_loss() {
    // RFC 5681 section 3.2, with limited transmit (RFC 3042) for the first two.
    let mut one = One::with_ten_in_flight(40_000, without_sack());
    one.play(
        "< A seq=1 ack=1
         > A seq=10001 len=1000 why=new-data
         < A seq=1 ack=1
         > A seq=11001 len=1000 why=new-data
         < A seq=1 ack=1
         > A seq=1 len=1000 why=fast-retransmit",
    );
    let info = one.c.info();
    assert_eq!((info.recovery, info.ssthresh, info.cwnd), ("recovery", Some(5000), 5000));
    // Each duplicate takes a segment out of the pipe: of 12 there are 4 left after the eighth.
    one.play("< A seq=1 ack=1 \n < A seq=1 ack=1 \n < A seq=1 ack=1 \n < A seq=1 ack=1");
    one.play("< A seq=1 ack=1 \n > A seq=12001 len=1000 why=new-data");
    // RFC 6582: a partial acknowledgment shows the next hole.
    one.hear("< A seq=1 ack=5001 \n > A seq=5001 len=1000 why=recovery-retransmit");
    one.burst();
    one.hear("< A seq=1 ack=12001");
    assert_eq!(one.c.info().recovery, "open");
    assert!(one.c.info().cwnd <= 6000);
}

#[test]
fn what_follows_a_timeout_starts_no_fast_recovery() {
    // RFC 6582 section 4.
    let mut one = One::with_ten_in_flight(40_000, without_sack());
    one.play("+200ms \n > A seq=1 len=1000 why=rto");
    one.play("< A seq=1 ack=1 \n < A seq=1 ack=1 \n < A seq=1 ack=1 \n < A seq=1 ack=1");
    assert_eq!(one.c.info().recovery, "loss");
}

#[test]
fn the_timer_sends_everything_again_in_slow_start() {
    let mut one = One::with_ten_in_flight(40_000, without_sack());
    one.play("+199ms \n +1ms \n > A seq=1 len=1000 why=rto");
    assert_eq!(one.c.info().cwnd, 1000);
    assert_eq!(one.c.info().ssthresh, Some(5000));
    one.play("+600ms \n > A seq=1 len=1000 why=rto \n +1200ms \n > A seq=1 len=1000 why=rto");
    assert_eq!(one.c.info().ssthresh, Some(5000), "held while the same segment is lost again");
    one.play(
        "< A seq=1 ack=1001
         > A seq=1001 len=1000 why=rto-recovery
         > A seq=2001 len=1000 why=rto-recovery
         < A seq=1 ack=10001
         > A seq=10001 len=1000 why=new-data
         > A seq=11001 len=1000
         > A seq=12001 len=1000",
    );
    assert_eq!(one.c.info().recovery, "open");
}

#[test]
fn sack_says_what_is_lost() {
    // RFC 6675: segments 1 and 3 are lost.
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.play(
        "< A seq=1 ack=1 sack=1001-2001
         > A seq=10001 len=1000 why=new-data
         < A seq=1 ack=1 sack=1001-2001;3001-4001
         > A seq=11001 len=1000
         < A seq=1 ack=1 sack=1001-2001;3001-5001
         > A seq=1 len=1000 why=fast-retransmit",
    );
    let info = one.c.info();
    assert_eq!((info.recovery, info.sacked, info.cwnd), ("recovery", 3000, 5000));
    one.play("< A seq=1 ack=1 sack=1001-2001;3001-6001");
    assert_eq!(one.c.info().lost, 1000, "the second hole has three segments above it now");
    one.play("< A seq=1 ack=1 sack=1001-2001;3001-8001");
    one.play("< A seq=1 ack=1 sack=1001-2001;3001-9001 \n > A seq=2001 len=1000 why=recovery-retransmit");
    one.hear("< A seq=1 ack=12001");
    assert_eq!(one.c.info().recovery, "open");
}

#[test]
fn one_block_of_three_segments_is_enough() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.play("< A seq=1 ack=1 sack=1001-4001 \n > A seq=1 len=1000 why=fast-retransmit");
}

#[test]
fn a_reduction_is_made_once_for_a_window() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=1 sack=1001-4001");
    one.burst();
    // The repeated segment arrives, another hole of the same window appears.
    one.hear("< A seq=1 ack=4001 sack=5001-9001");
    assert_eq!(one.c.info().counters.recoveries, 1);
    assert!(one.burst().contains(&(4001, 1000)));
}

#[test]
fn a_peer_that_forgets_is_forgiven() {
    // RFC 2018 section 8.
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=1 sack=1001-10001");
    one.burst();
    // The first arrives, and the peer has thrown the rest away.
    one.hear("< A seq=1 ack=1001");
    one.burst();
    // A probe, and then the timer.
    one.hear("+200ms");
    assert_eq!(one.burst(), [(15001, 1000)]);
    one.hear("+300ms");
    let again = one.burst();
    assert_eq!(again[0], (1001, 1000));
    assert_eq!(one.c.info().sacked, 0);
}

#[test]
fn blocks_from_nowhere_are_ignored() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.play("< A seq=1 ack=1 sack=20001-30001;5001-4001;4294960000-3001;9001-12001");
    assert_eq!(one.c.info().sacked, 0);
}

#[test]
fn a_duplicate_report_is_counted_and_changes_nothing() {
    let mut one = One::with_ten_in_flight(40_000, bare());
    one.hear("< A seq=1 ack=3001 sack=1-1001");
    assert_eq!(one.c.info().counters.dsacks_in, 1);
    assert_eq!(one.c.info().sacked, 0);
}

#[test]
fn a_lost_fin_is_sent_again() {
    let mut one = One::established(without_sack());
    one.send(500);
    one.c.shutdown_write(one.now).unwrap();
    one.play(
        "> FPA seq=1 len=500
         +300ms
         > FPA seq=1 len=500 why=rto
         < A seq=1 ack=501
         +600ms
         > FA seq=501 len=0 why=rto
         < A seq=1 ack=502
         = FIN-WAIT-2",
    );
}

#[test]
fn the_round_trip_is_not_measured_on_what_was_sent_twice() {
    // Karn's algorithm.
    let mut one = One::established(without_sack());
    one.send(500);
    one.play("> PA seq=1 \n +300ms \n > PA seq=1 why=rto \n +10ms \n < A seq=1 ack=501");
    assert_eq!(one.c.info().srtt, Some(100.ms()));
    assert_eq!(one.c.info().rto, 600.ms(), "the backoff stays until there is a sample");
    one.send(500);
    one.play("> PA seq=501 \n +100ms \n < A seq=1 ack=1001");
    assert!(one.c.info().rto < 400.ms());
}

#[test]
fn a_timestamp_tells_the_two_apart() {
    let mut one = One::connect(Settings { timestamps: true, ..bare() });
    one.play("> S seq=0 \n +100ms \n < SA seq=0 ack=1 mss=1000 ts=1/4294967000 \n > A seq=1");
    one.send(500);
    one.play("> PA seq=1 \n +300ms \n > PA seq=1 why=rto \n +20ms \n < A seq=1 ack=501 ts=2/104");
    let info = one.c.info();
    assert!(info.srtt.unwrap() < 100.ms() && info.backoff == 0, "{info:?}");
}

#[test]
fn the_connection_is_given_up_after_enough_repeats() {
    let mut one = One::established(Settings { retries: 3, ..without_sack() });
    one.send(10);
    one.play("> PA seq=1 \n +300ms \n > PA seq=1 \n +600ms \n > PA seq=1 \n +1200ms \n > PA seq=1 \n +2400ms \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_user_timeout_replaces_the_count() {
    // RFC 5482.
    let mut one = One::established(Settings { retries: 1, user_timeout: Some(2.secs()), ..without_sack() });
    one.send(10);
    one.play("> PA seq=1 \n +300ms \n > PA seq=1 \n +600ms \n > PA seq=1 \n +1s \n +100ms \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::TimedOut));
    // Progress begins it anew.
    let mut one = One::established(Settings { user_timeout: Some(400.ms()), ..without_sack() });
    one.send(20);
    one.play("> PA seq=1 \n +250ms \n < A seq=1 ack=11 \n +399ms \n = ESTABLISHED \n +1ms \n = CLOSED");
}
