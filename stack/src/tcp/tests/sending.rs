//! What is sent, and when: windows, Nagle, silly windows, probes, sizes.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;

#[test]
fn ten_segments_leave_at_first() {
    // RFC 6928.
    let mut one = One::established(bare());
    one.send(15_000);
    let ten: Vec<_> = (0..10).map(|i| (1 + i * 1000, 1000)).collect();
    assert_eq!(one.burst(), ten);
    // Slow start: each acknowledgment of two segments lets four out.
    one.hear("+100ms \n < A seq=1 ack=2001");
    assert_eq!(one.burst(), [(10_001, 1000), (11_001, 1000), (12_001, 1000), (13_001, 1000)]);
    assert_eq!(one.c.info().cwnd, 12_000);
}

#[test]
fn the_last_segment_of_what_was_written_is_pushed() {
    let mut one = One::established(bare());
    one.send(2500);
    one.play("> A seq=1 len=1000 \n > A seq=1001 len=1000 \n > PA seq=2001 len=500 why=new-data");
}

#[test]
fn the_peers_window_is_kept() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=2000");
    one.send(5000);
    one.play(
        "> A seq=1 len=1000
         > A seq=1001 len=1000
         < A seq=1 ack=1001 win=1000
         < A seq=1 ack=2001 win=3000
         > A seq=2001 len=1000
         > A seq=3001 len=1000
         > PA seq=4001 len=1000",
    );
}

#[test]
fn a_window_from_an_old_segment_does_not_count() {
    let mut one = One::established(bare());
    one.play("< PA seq=1 ack=1 len=10 win=5000 \n +40ms \n > A ack=11 \n < A seq=11 ack=1 win=3000");
    one.play("< A seq=1 ack=1 win=9000 \n > A seq=1 ack=11");
    assert_eq!(one.c.info().snd_wnd, 3000);
}

#[test]
fn nagle_keeps_small_segments_together() {
    let mut one = One::established(Settings { nodelay: false, ..bare() });
    one.send(100);
    one.play("> PA seq=1 len=100");
    one.send(100);
    one.send(200);
    one.play("+50ms \n < A seq=1 ack=101 \n > PA seq=101 len=300");
    // A full segment does not wait for a small one, and what follows it goes with the next.
    one.send(1300);
    one.play("> A seq=401 len=1000 \n < A seq=1 ack=401 \n > PA seq=1401 len=300");
    // Switching it off lets out what waits.
    one.send(10);
    one.play("");
    one.c.set_nodelay(true);
    one.play("> PA seq=1701 len=10");
}

#[test]
fn the_end_of_the_stream_does_not_wait_for_nagle() {
    let mut one = One::established(Settings { nodelay: false, ..bare() });
    one.send(100);
    one.play("> PA seq=1 len=100");
    one.send(100);
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FPA seq=101 len=100");
}

#[test]
fn silly_windows_are_not_filled() {
    // RFC 9293 section 3.8.6.2.1: a window below a segment and below half of the largest is left alone until the timer.
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=300");
    one.send(5000);
    one.play("+299ms \n +1ms \n > A seq=1 len=300 why=new-data");
    // Half of the largest window that the peer ever had is worth it.
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < SA seq=0 ack=1 mss=1000 win=600 \n > A seq=1");
    one.send(5000);
    one.play("> A seq=1 len=600 \n < A seq=1 ack=601 win=300 \n > A seq=601 len=300");
}

#[test]
fn a_closed_window_is_probed_with_one_byte_and_backoff() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=0");
    one.send(2500);
    one.play(
        "+300ms
         > A seq=1 len=1 why=zero-window-probe
         < A seq=1 ack=1 win=0
         +600ms
         > A seq=1 len=1 why=zero-window-probe
         < A seq=1 ack=1 win=0
         +1200ms
         > A seq=1 len=1
         < A seq=1 ack=1 win=5000
         > A seq=1 len=1000 why=new-data
         > A seq=1001 len=1000
         > PA seq=2001 len=500
         < A seq=1 ack=2501",
    );
    assert_eq!(one.c.info().counters.probes, 3);
}

#[test]
fn a_probe_that_was_taken_is_not_sent_again() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=0");
    one.send(1500);
    one.play(
        "+300ms
         > A seq=1 len=1
         < A seq=1 ack=2 win=0
         +600ms
         > A seq=2 len=1
         < A seq=1 ack=2 win=1400
         > A seq=2 len=1000
         # The answer to the first probe comes late: nothing that was sent is lost by it.
         < A seq=1 ack=3 win=1500
         > PA seq=1002 len=499",
    );
}

#[test]
fn answers_to_probes_are_no_sign_of_loss() {
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n +100ms \n < SA seq=0 ack=1 win=20000 mss=1000 \n > A seq=1 ack=1");
    one.play("< A seq=1 ack=1 win=0");
    one.send(10);
    for wait in [300, 600, 1200, 2400] {
        one.play(&format!("+{wait}ms \n > A seq=1 len=1 why=zero-window-probe \n < A seq=1 ack=1 win=0"));
    }
    assert_eq!(one.c.info().counters.recoveries, 0);
}

#[test]
fn a_peer_that_answers_may_keep_its_window_closed_for_ever() {
    let mut one = One::established(Settings { retries: 3, ..bare() });
    one.play("< A seq=1 ack=1 win=0");
    one.send(10);
    for _ in 0..40 {
        let at = one.c.poll_timeout().unwrap();
        one.now = at;
        one.c.handle_timeout(at);
        if !one.burst().is_empty() {
            one.play("< A seq=1 ack=1 win=0");
        }
    }
    one.play("= ESTABLISHED");
    // One that does not answer may not.
    for _ in 0..5 {
        let Some(at) = one.c.poll_timeout() else { break };
        one.now = at;
        one.c.handle_timeout(at);
        one.burst();
    }
    one.play("= CLOSED");
    assert_eq!(one.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_lone_fin_waits_for_the_window_too() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=0");
    one.c.shutdown_write(one.now).unwrap();
    one.play("+300ms \n > FA seq=1 len=0 why=zero-window-probe \n < A seq=1 ack=2 win=0 \n = FIN-WAIT-2");
}

#[test]
fn merged_frames_are_whole_segments() {
    let mut one = One::established(bare());
    one.limits.max_merged = 4500;
    one.send(9300);
    assert_eq!(one.burst(), [(1, 4000), (4001, 4000), (8001, 1300)]);
    assert_eq!(one.c.info().counters.segs_out, 2 + 4 + 4 + 2);
}

#[test]
fn the_end_of_a_full_buffer_waits_for_what_makes_it_a_large_frame() {
    for merges in [true, false] {
        let mut one = One::established(Settings { send_buffer: 9000, ..bare() });
        (one.limits.max_merged, one.limits.merges) = (2500, merges);
        assert_eq!(one.c.send(one.now, &[0; 10_000]), Ok(9000));
        let whole = [(1, 2000), (2001, 2000), (4001, 2000), (6001, 2000)];
        if !merges {
            assert_eq!(one.burst(), [&whole[..], &[(8001, 1000)]].concat());
            continue;
        }
        assert_eq!(one.burst(), whole);
        // Room is made, and used: the rest is a part of a large frame.
        one.arrive("A seq=1 ack=2001");
        assert_eq!(one.c.send(one.now, &[0; 10_000]), Ok(2000));
        assert_eq!(one.burst(), [(8001, 2000)]);
        // Nobody uses it: what is there leaves while enough is in flight.
        one.arrive("A seq=1 ack=4001");
        assert_eq!(one.burst(), [(10_001, 1000)]);
        // The end of a stream does not wait.
        assert_eq!(one.c.send(one.now, &[0; 10_000]), Ok(2000));
        assert_eq!(one.burst(), [(11_001, 2000)]);
        one.arrive("A seq=1 ack=5001");
        assert_eq!(one.c.send(one.now, &[0; 10_000]), Ok(1000));
        assert_eq!(one.burst(), []);
        one.c.shutdown_write(one.now).unwrap();
        assert_eq!(one.burst(), [(13_001, 1000)]);
    }
}

#[test]
fn a_device_that_divides_nothing_gets_no_merged_frames() {
    // RFC 9293 section 3.7.1 (MUST-16): the peer's MSS holds, however many of its segments the path would take.
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < SA seq=0 ack=1 win=20000 \n > A seq=1 ack=1");
    one.send(1200);
    assert_eq!(one.burst(), [(1, 536), (537, 536), (1073, 128)]);
}

#[test]
fn sack_blocks_take_room_from_data() {
    let mut one = One::established(bare());
    one.play("< PA seq=101 ack=1 len=50 \n > A ack=1 sack=101-151");
    one.send(2000);
    one.play("> A seq=1 len=988 sack=101-151 \n > A seq=989 len=988 \n > PA seq=1977 len=24");
}

#[test]
fn after_a_pause_the_window_begins_anew() {
    // RFC 5681 section 4.1.
    let mut one = One::established(bare());
    one.send(10_000);
    one.burst();
    one.play("+100ms \n < A seq=1 ack=10001");
    let grown = one.c.info().cwnd;
    assert!(grown > 10_000);
    one.play("+2s");
    one.send(20_000);
    assert_eq!(one.burst().len(), 10);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut one = One::established(bare());
    for i in 0..20 {
        one.send(100);
        assert_eq!(one.burst().len(), 1);
        one.play(&format!("+50ms \n < A seq=1 ack={}", 1 + 100 * (i + 1)));
    }
    assert_eq!(one.c.info().cwnd, 10_000);
}

#[test]
fn a_narrower_path_is_learned_without_blaming_congestion() {
    let mut one = One::established(bare());
    one.send(3000);
    assert_eq!(one.burst(), [(1, 1000), (1001, 1000), (2001, 1000)]);
    one.c.handle_path_mtu(one.now, 620);
    one.limits = Limits::plain(620);
    assert_eq!(one.burst(), [(1, 600), (601, 600), (1201, 600), (1801, 600), (2401, 600)]);
    assert_eq!(one.c.info().ssthresh, None);
    one.play("< A seq=1 ack=3001");
    assert_eq!(one.c.unacknowledged(), 0);
}

#[test]
fn paced_data_waits_for_its_time() {
    let mut one = One::established(Settings { pacing: true, ..bare() });
    one.send(1000);
    one.play("> PA seq=1 \n +100ms \n < A seq=1 ack=1001");
    one.send(10_000);
    let at_once = one.burst().len();
    assert!((1..10).contains(&at_once), "{at_once}");
    let mut sent = at_once;
    let begin = one.now;
    while sent < 10 {
        let at = one.c.poll_timeout().unwrap();
        assert!(at > one.now && at < begin + 100.ms());
        one.now = at;
        one.c.handle_timeout(at);
        sent += one.burst().len();
    }
    assert!(one.now > begin + 20.ms());
}

#[test]
fn a_full_buffer_says_so_and_tells_when_there_is_room() {
    let mut one = One::established(Settings { send_buffer: 4000, ..bare() });
    assert_eq!(one.c.send(one.now, &[0; 5000]), Ok(4000));
    assert_eq!(one.c.send(one.now, &[0; 5000]), Err(Error::WouldBlock));
    assert!(!one.c.readiness().writable);
    assert_eq!(one.burst().len(), 4);
    one.play("< A seq=1 ack=501");
    assert_eq!(one.events(), []);
    one.play("< A seq=1 ack=1001");
    assert_eq!(one.events(), [Event::Writable]);
    assert_eq!(one.c.send(one.now, &[0; 5000]), Ok(1000));
}

#[test]
fn timestamps_go_out_and_come_back() {
    let mut one = One::connect(Settings { timestamps: true, ..bare() });
    // Our clock counts milliseconds from a secret start, here our first sequence number.
    one.play(
        "> S ts=4294967000/0
         < SA seq=0 ack=1 mss=1000 ts=700/4294967000
         > A seq=1 ts=4294967000/700
         +100ms
         < PA seq=1 ack=1 len=10 ts=750/4294967000
         +40ms
         > A ack=11 ts=4294967140/750 why=delayed-ack",
    );
    assert_eq!(one.c.info().snd_mss, 988);
}

#[test]
fn another_congestion_control_takes_over_the_window() {
    let mut one = One::established(bare());
    one.send(10_000);
    one.burst();
    one.play("+100ms \n < A seq=1 ack=10001");
    let before = one.c.info();
    one.c.set_congestion(one.now, congestion::Algorithm::Cubic);
    let after = one.c.info();
    assert_eq!((before.congestion, after.congestion), ("reno", "cubic"));
    assert_eq!(before.cwnd, after.cwnd);
}
