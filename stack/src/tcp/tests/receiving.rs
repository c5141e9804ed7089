//! What arrives: reassembly, acknowledgments, our window, and what is refused.

use super::super::testing::*;
use super::super::*;

#[test]
fn one_segment_waits_for_another_or_for_the_timer() {
    let mut one = One::established(bare());
    one.play(
        "< A seq=1 ack=1 len=1000
         +40ms
         > A seq=1 ack=1001 win=9000 why=delayed-ack
         < A seq=1001 ack=1 len=1000
         < A seq=2001 ack=1 len=1000
         > A seq=1 ack=3001 why=ack",
    );
    assert_eq!(one.events(), [Event::Readable]);
}

/// RFC 9293 section 3.10.7.4 (MUST-58, MUST-59).
#[test]
fn all_that_waits_is_processed_before_one_acknowledgment_leaves() {
    let mut one = One::established(bare());
    one.arrive("A seq=1 ack=1 len=1000 \n A seq=2001 ack=1 len=1000 \n A seq=1001 ack=1 len=1000 \n A seq=3001 ack=1 len=1000");
    one.play("> A ack=4001");
}

#[test]
fn data_carries_the_acknowledgment() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 len=1000");
    one.send(10);
    one.play("> PA seq=1 ack=1001 len=10 \n +50ms");
}

#[test]
fn a_hole_is_reported_at_once_and_filled() {
    let mut one = One::established(bare());
    one.play(
        "< A seq=1001 ack=1 len=1000
         > A ack=1 sack=1001-2001 why=dup-ack
         < A seq=3001 ack=1 len=1000
         > A ack=1 sack=3001-4001;1001-2001
         < A seq=1501 ack=1 len=1000
         > A ack=1 sack=1501-2001;1001-2501;3001-4001
         < A seq=1 ack=1 len=1000
         > A ack=2501 sack=3001-4001 why=ack
         < A seq=2501 ack=1 len=500
         > A ack=4001 sack=none",
    );
    one.recv(4000);
    assert_eq!(one.c.info().counters.out_of_order, 3);
}

#[test]
fn what_came_twice_is_reported() {
    // RFC 2883 section 4.
    let mut one = One::established(bare());
    one.play(
        "< A seq=1 ack=1 len=1000
         +40ms
         > A ack=1001
         < A seq=1 ack=1 len=1000
         > A ack=1001 sack=1-1001 why=dup-ack
         < A seq=501 ack=1 len=1000
         +40ms
         > A ack=1501 sack=501-1001
         < A seq=2001 ack=1 len=500
         > A ack=1501 sack=2001-2501
         < A seq=2001 ack=1 len=500
         > A ack=1501 sack=2001-2501;2001-2501",
    );
}

#[test]
fn without_sack_none_is_reported() {
    let mut one = One::established(Settings { sack: false, ..bare() });
    one.play("< A seq=1001 ack=1 len=1000 \n > A ack=1 sack=none");
}

#[test]
fn the_window_closes_and_opens_by_useful_amounts() {
    let mut one = One::established(bare());
    for i in 0..5 {
        let (first, second, win) = (1 + 2000 * i, 1001 + 2000 * i, 8000 - 2000 * i);
        one.play(&format!(
            "< A seq={first} ack=1 len=1000 \n < A seq={second} ack=1 len=1000 \n > A ack={} win={win}",
            second + 1000
        ));
    }
    // Closed. A probe is refused and answered.
    one.play("< A seq=10001 ack=1 len=1 \n > A ack=10001 win=0 why=ack");
    // Half a segment of room is not worth a word, a whole one is.
    one.recv(500);
    one.play("");
    one.recv(500);
    one.play("> A seq=1 ack=10001 win=1000 why=window-update");
    // So it is with the next, for a segment is a good part of so small a buffer.
    one.recv(500);
    one.play("");
    one.recv(1500);
    one.play("> A ack=10001 win=3000 why=window-update");
}

#[test]
fn a_large_window_opens_by_a_quarter() {
    let mut one = One::established(Settings { recv_buffer: 40_000, ..bare() });
    for i in 0..6 {
        let (first, second) = (1 + 2000 * i, 1001 + 2000 * i);
        one.play(&format!(
            "< A seq={first} ack=1 len=1000 \n < A seq={second} ack=1 len=1000 \n > A ack={}",
            second + 1000
        ));
    }
    one.recv(9000);
    one.play("");
    one.recv(1000);
    one.play("> A ack=12001 win=38000 why=window-update");
}

#[test]
fn segments_after_a_disorder_are_acknowledged_at_once() {
    // As Linux does: after a loss little is in flight, and a delayed acknowledgment would stop the sender.
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 len=100 \n +40ms \n > A ack=101 why=delayed-ack");
    one.play("< A seq=201 ack=1 len=100 \n > A ack=101 sack=201-301 why=dup-ack");
    one.play("< A seq=101 ack=1 len=100 \n > A ack=301 why=ack");
    for i in 0..15 {
        one.play(&format!("< A seq={} ack=1 len=100 \n > A ack={} why=ack", 301 + 100 * i, 401 + 100 * i));
    }
    one.play("< A seq=1801 ack=1 len=100 \n +40ms \n > A ack=1901 why=delayed-ack");
}

#[test]
fn the_right_edge_never_moves_back() {
    let mut one = One::established(bare());
    one.c.set_recv_buffer(4000, false);
    one.play("< A seq=1 ack=1 len=1000 \n < A seq=1001 ack=1 len=1000 \n > A ack=2001 win=8000");
    // The promise outlives the smaller buffer, and is kept; what follows is promised by the new one.
    one.play("< A seq=2001 ack=1 len=4000 \n < A seq=6001 ack=1 len=4000 \n > A ack=10001 win=0");
    one.recv(10_000);
    one.play("> A ack=10001 win=4000");
}

#[test]
fn data_beyond_the_window_is_cut_off() {
    let mut one = One::established(Settings { recv_buffer: 1500, ..bare() });
    one.play("< A seq=1 ack=1 len=1000 \n < A seq=1001 ack=1 len=1000 \n > A ack=1501 win=0");
    one.play("< A seq=3001 ack=1 len=100 \n > A ack=1501 win=0");
    assert_eq!(one.c.info().counters.out_of_window, 1);
}

#[test]
fn a_closed_window_still_hears_acks_and_resets() {
    let mut one = One::established(Settings { recv_buffer: 1000, ..bare() });
    one.play("< A seq=1 ack=1 len=1000 \n +40ms \n > A ack=1001 win=0");
    one.send(100);
    one.play("> PA seq=1 len=100 \n < A seq=1001 ack=101 len=500 \n > A ack=1001 win=0");
    assert_eq!(one.c.unacknowledged(), 0);
    one.play("< R seq=1001 \n = CLOSED");
}

#[test]
fn scaled_windows_round_without_taking_back() {
    let mut one =
        One::connect(Settings { window_scaling: true, recv_buffer: 1 << 20, recv_tuning: false, ..bare() });
    one.play("> S ws=5 win=65535 \n < SA seq=0 ack=1 mss=1000 ws=0 \n > A win=32768");
    one.play("< A seq=1 ack=1 len=32 \n +40ms \n > A ack=33 win=32767");
    // Less than a unit is read: what was offered stands, rounded up.
    one.recv(20);
    one.play("< A seq=33 ack=1 len=10 \n +40ms \n > A ack=43 win=32767");
    // Rounded up it would be more than there is.
    one.play("< A seq=43 ack=1 len=10 \n +40ms \n > A ack=53 win=32767");
    one.play("< A seq=53 ack=1 len=10 \n +40ms \n > A ack=63 win=32766");
}

#[test]
fn urgent_data_stays_in_the_stream() {
    // RFC 6093.
    let mut one = One::established(bare());
    one.play("< PUA seq=1 ack=1 len=100 urg=50 \n +40ms \n > A ack=101");
    one.recv(100);
}

#[test]
fn a_reset_needs_the_exact_number() {
    // RFC 5961 section 3.2.
    let mut one = One::established(bare());
    one.play(
        "< R seq=5000
         > A seq=1 ack=1 why=challenge-ack
         < R seq=6000
         +100ms
         < R seq=30000
         < R seq=0
         < R seq=5000
         > A seq=1 ack=1 why=challenge-ack
         = ESTABLISHED
         < R seq=1
         = CLOSED",
    );
    assert_eq!(one.c.error(), Some(Error::ConnectionReset));
    assert_eq!(one.events(), [Event::Closed(Some(Error::ConnectionReset))]);
}

#[test]
fn what_was_received_before_a_reset_can_be_read() {
    let mut one = One::established(bare());
    one.play("< PA seq=1 ack=1 len=100 \n < R seq=101 \n = CLOSED");
    one.recv(100);
    assert_eq!(one.c.recv(one.now, &mut [0]), Err(Error::ConnectionReset));
    assert_eq!(one.c.send(one.now, &[0]), Err(Error::BrokenPipe));
}

/// As Linux answers, call by call: the error is told once, by whichever call comes first.
#[test]
fn a_reset_is_told_once() {
    let reset = |before: &str| {
        let mut one = One::established(bare());
        one.play(before);
        one
    };
    let calls = |one: &mut One, calls: &str| -> Vec<String> {
        let call = |call| match call {
            'r' => format!("{:?}", one.c.recv(one.now, &mut [0; 10])),
            'w' => format!("{:?}", one.c.send(one.now, &[0])),
            'p' => format!("{:?}", one.c.peek(&mut [0; 10])),
            _ => format!("{:?}", one.c.take_error()),
        };
        calls.chars().map(call).collect()
    };
    let plain = "< R seq=1 \n = CLOSED";
    assert_eq!(calls(&mut reset(plain), "rrw"), ["Err(ConnectionReset)", "Ok(0)", "Err(BrokenPipe)"]);
    assert_eq!(calls(&mut reset(plain), "wwr"), ["Err(ConnectionReset)", "Err(BrokenPipe)", "Ok(0)"]);
    assert_eq!(calls(&mut reset(plain), "ewr"), ["Some(ConnectionReset)", "Err(BrokenPipe)", "Ok(0)"]);
    assert_eq!(calls(&mut reset(plain), "ppr"), ["Err(ConnectionReset)"; 3]);
    let data = "< PA seq=1 ack=1 len=4 \n < R seq=5 \n = CLOSED";
    assert_eq!(calls(&mut reset(data), "rwr"), ["Ok(4)", "Err(ConnectionReset)", "Ok(0)"]);
    assert_eq!(calls(&mut reset(data), "wrw"), ["Err(ConnectionReset)", "Ok(4)", "Err(BrokenPipe)"]);
    let ended = "< FA seq=1 ack=1 \n = CLOSE-WAIT \n > A seq=1 ack=2 \n < R seq=2 \n = CLOSED";
    assert_eq!(calls(&mut reset(ended), "rwrw"), ["Ok(0)", "Err(BrokenPipe)", "Ok(0)", "Err(BrokenPipe)"]);
}

#[test]
fn a_syn_is_challenged() {
    // RFC 5961 section 4.2.
    let mut one = One::established(bare());
    one.play("< S seq=500 \n > A seq=1 ack=1 why=challenge-ack \n = ESTABLISHED");
    one.play("+1s \n < SA seq=0 ack=1 \n > A seq=1 ack=1 \n = ESTABLISHED");
}

#[test]
fn an_ack_must_be_near() {
    // RFC 5961 section 5.2: not after what was sent, not a window before what is unacknowledged.
    let mut one = One::established(bare());
    one.play(
        "< PA seq=1 ack=2 len=10
         > A seq=1 ack=1 why=challenge-ack
         +1s
         < PA seq=1 ack=4294940000 len=10
         > A seq=1 ack=1 why=challenge-ack
         # Somewhat old is fine: the data counts.
         < PA seq=1 ack=0 len=10
         +40ms
         > A ack=11",
    );
}

#[test]
fn no_ack_no_business() {
    let mut one = One::established(bare());
    one.play("< P seq=1 len=10 \n +1s");
    assert_eq!(one.c.info().unread, 0);
}

#[test]
fn two_confused_peers_do_not_talk_for_ever() {
    let mut one = One::established(bare());
    one.play("< A seq=20000 ack=1 \n > A seq=1 ack=1 why=dup-ack");
    for _ in 0..10 {
        one.play("< A seq=20000 ack=1");
    }
    one.play("+100ms \n < A seq=20000 ack=1 \n > A seq=1 ack=1 why=dup-ack");
}

#[test]
fn old_timestamps_are_refused() {
    // RFC 7323 section 5.3: PAWS.
    let mut one = One::connect(Settings { timestamps: true, ..bare() });
    one.play(
        "> S seq=0
         < SA seq=0 ack=1 mss=1000 ts=700/4294967000
         > A seq=1
         < PA seq=1 ack=1 len=10 ts=699/4294967000
         > A seq=1 ack=1 why=dup-ack
         # Without timestamps: in silence (section 3.2).
         < PA seq=1 ack=1 len=10
         +1s
         # A RST needs none.
         < R seq=1
         = CLOSED",
    );
    assert_eq!(one.c.info().counters.paws_rejected, 2);
}

#[test]
fn the_echoed_timestamp_is_that_of_the_first_unacknowledged_segment() {
    // RFC 7323 section 4.3: so that a delayed ACK counts as part of the round trip.
    let mut one = One::connect(Settings { timestamps: true, ..bare() });
    one.play(
        "> S seq=0
         < SA seq=0 ack=1 mss=1000 ts=700/4294967000
         > A seq=1
         < A seq=1 ack=1 len=10 ts=701/4294967000
         < A seq=11 ack=1 len=10 ts=702/4294967000
         > A ack=21 ts=4294967000/701
         # A hole: the echo stays at the last in-order segment.
         < A seq=31 ack=1 len=10 ts=703/4294967000
         > A ack=21 ts=4294967000/701",
    );
}

#[test]
fn too_many_holes_are_refused() {
    let mut one = One::established(Settings { recv_buffer: 60_000, ..bare() });
    for i in 0..2200 {
        one.play(&format!("< A seq={} ack=1 len=10 \n > A ack=1", 101 + 20 * i));
    }
    assert!(one.c.info().counters.holes_refused > 0);
    one.play("< A seq=1 ack=1 len=100 \n > A ack=111");
}

#[test]
fn what_nobody_reads_is_thrown_away() {
    let mut one = One::established(bare());
    one.c.shutdown_read(one.now);
    one.play("< A seq=1 ack=1 len=1000 \n < A seq=1001 ack=1 len=1000 \n > A ack=2001 win=10000");
    assert_eq!(one.c.recv(one.now, &mut [0]), Ok(0));
    assert!(one.c.readiness().read_closed);
}

#[test]
fn bytes_can_be_seen_before_they_are_taken() {
    let mut one = One::established(bare());
    assert_eq!(one.c.peek(&mut [0; 5]), Err(Error::WouldBlock));
    one.play("< PA seq=1 ack=1 len=100");
    let mut seen = [0; 5];
    assert_eq!(one.c.peek(&mut seen), Ok(5));
    assert_eq!(one.c.received().unwrap().concat().len(), 100);
    let mut taken = [0; 5];
    assert_eq!(one.c.recv(one.now, &mut taken), Ok(5));
    assert_eq!(seen, taken);
    one.c.consume(one.now, 95);
    assert_eq!(one.c.peek(&mut seen), Err(Error::WouldBlock));
    one.play("+40ms \n > A ack=101");
}

#[test]
fn idle_buffers_give_their_memory_back() {
    let mut one = One::established(bare());
    one.send(100);
    one.play("> PA seq=1 \n < PA seq=1 ack=101 len=100 \n +40ms \n > A ack=101");
    one.recv(100);
    assert!(one.c.buffer_memory() > 0);
    one.play("+10s");
    assert_eq!(one.c.buffer_memory(), 0);
    assert_eq!(one.c.poll_timeout(), None);
}
