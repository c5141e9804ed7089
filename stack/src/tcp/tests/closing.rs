//! The ways in which a connection ends.

use super::super::testing::*;
use super::super::*;
use crate::time::{Duration, Units};

#[test]
fn we_close_first() {
    let mut one = One::established(bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play(
        "> FA seq=1 ack=1 why=fin
         = FIN-WAIT-1
         < A seq=1 ack=2
         = FIN-WAIT-2
         < PA seq=1 ack=2 len=10
         +40ms
         > A seq=2 ack=11
         < FA seq=11 ack=2
         = TIME-WAIT
         > A seq=2 ack=12",
    );
    one.recv(10);
    assert_eq!(one.c.recv(one.now, &mut [0]), Ok(0));
    assert_eq!(one.c.send(one.now, &[0]), Err(Error::BrokenPipe));
    assert_eq!(one.events(), [Event::Readable, Event::ReadClosed, Event::WriteClosed, Event::TimeWait]);
    one.play("+60s \n = CLOSED");
    assert_eq!(one.events(), [Event::Closed(None)]);
}

#[test]
fn the_peer_closes_first() {
    let mut one = One::established(bare());
    one.play("< FPA seq=1 ack=1 len=10 \n = CLOSE-WAIT \n > A seq=1 ack=12");
    one.recv(10);
    assert_eq!(one.c.recv(one.now, &mut [0]), Ok(0));
    assert!(one.c.readiness().read_closed && one.c.readiness().readable && one.c.readiness().writable);
    one.send(20);
    one.play("> PA seq=1 ack=12 len=20");
    one.c.close(one.now);
    one.play("> FA seq=21 ack=12 \n = LAST-ACK \n < A seq=12 ack=22 \n = CLOSED");
    assert_eq!(one.c.error(), None);
    assert!(one.c.is_finished());
}

#[test]
fn both_close_at_once() {
    // RFC 9293 section 3.6, figure 13.
    let mut one = One::established(bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play(
        "> FA seq=1 \n < FA seq=1 ack=1 \n = CLOSING \n > A seq=2 ack=2 \n < A seq=2 ack=2 \n = TIME-WAIT",
    );
}

#[test]
fn a_fin_that_acknowledges_ours_goes_straight_to_time_wait() {
    let mut one = One::established(bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FA seq=1 \n < FA seq=1 ack=2 \n = TIME-WAIT \n > A seq=2 ack=2");
}

#[test]
fn a_fin_before_its_data_waits_for_it() {
    let mut one = One::established(bare());
    one.play(
        "< FPA seq=1001 ack=1 len=10
         > A ack=1 sack=1001-1012
         = ESTABLISHED
         < A seq=1 ack=1 len=1000
         = CLOSE-WAIT
         > A ack=1012",
    );
    one.recv(1010);
    assert_eq!(one.c.recv(one.now, &mut [0]), Ok(0));
}

#[test]
fn a_fin_again_is_acknowledged_again() {
    let mut one = One::established(bare());
    one.play("< FA seq=1 ack=1 \n > A ack=2 \n < FA seq=1 ack=1 \n > A ack=2 \n = CLOSE-WAIT");
    // Data after the FIN is nobody's.
    one.play("< PA seq=2 ack=1 len=10");
    assert_eq!(one.c.info().unread, 0);
}

#[test]
fn data_waits_in_the_buffer_and_the_fin_behind_it() {
    let mut one = One::established(bare());
    one.play("< A seq=1 ack=1 win=1000");
    one.send(1500);
    one.c.close(one.now);
    one.play(
        "> A seq=1 len=1000
         = FIN-WAIT-1
         < A seq=1 ack=1001 win=5000
         > FPA seq=1001 len=500
         < A seq=1 ack=1502
         = FIN-WAIT-2",
    );
}

#[test]
fn a_reset_in_each_state() {
    let close = |one: &mut One| one.c.shutdown_write(one.now).unwrap();
    let mut one = One::established(bare());
    close(&mut one);
    one.play("> FA seq=1 \n = FIN-WAIT-1 \n < R seq=1 \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::ConnectionReset));
    let mut one = One::established(bare());
    one.play("< FA seq=1 ack=1 \n > A ack=2 \n < R seq=2 \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::BrokenPipe));
    // RFC 9293 section 3.10.7.4: in CLOSING and LAST-ACK both streams are over anyway.
    let mut one = One::established(bare());
    close(&mut one);
    one.play("> FA seq=1 \n < FA seq=1 ack=1 \n > A ack=2 \n = CLOSING \n < R seq=2 \n = CLOSED");
    assert_eq!(one.c.error(), None);
    let mut one = One::established(bare());
    one.play("< FA seq=1 ack=1 \n > A ack=2");
    close(&mut one);
    one.play("> FA seq=1 \n = LAST-ACK \n < R seq=2 \n = CLOSED");
    assert_eq!(one.c.error(), None);
}

#[test]
fn an_abort_tells_the_peer_where_it_may() {
    let mut one = One::established(bare());
    one.send(100);
    one.play("> PA seq=1");
    one.c.abort(one.now);
    one.play("> RA seq=101 ack=1 why=abort \n = CLOSED");
    assert_eq!(one.events(), [Event::Closed(Some(Error::ConnectionAborted))]);
    // RFC 9293 section 3.10.5: not in LAST-ACK.
    let mut one = One::established(bare());
    one.play("< FA seq=1 ack=1 \n > A ack=2");
    one.c.close(one.now);
    one.play("> FA seq=1");
    one.c.abort(one.now);
    one.play("= CLOSED");
}

#[test]
fn closing_with_unread_data_resets() {
    // RFC 2525 section 2.17.
    let mut one = One::established(bare());
    one.play("< PA seq=1 ack=1 len=10");
    one.c.close(one.now);
    one.play("> RA seq=1 ack=11 why=abort \n = CLOSED");
}

#[test]
fn data_for_a_closed_socket_resets() {
    // RFC 1122 section 4.2.2.13.
    let mut one = One::established(bare());
    one.c.close(one.now);
    one.play(
        "> FA seq=1 \n < A seq=1 ack=2 \n < PA seq=1 ack=2 len=10 \n > RA seq=2 why=refused \n = CLOSED",
    );
}

#[test]
fn linger_zero_resets_and_another_bounds() {
    let mut one = One::established(Settings { linger: Some(Duration::ZERO), ..bare() });
    one.c.close(one.now);
    one.play("> RA seq=1 why=abort \n = CLOSED");
    let mut one = One::established(Settings { linger: Some(500.ms()), ..bare() });
    one.send(10);
    one.c.close(one.now);
    one.play(
        "> FPA seq=1 len=10 \n +300ms \n > FPA seq=1 why=tail-loss-probe \n +200ms \n > RA seq=12 why=abort \n = CLOSED",
    );
    let mut one = One::established(Settings { linger: Some(500.ms()), ..bare() });
    one.c.close(one.now);
    one.play("> FA seq=1 \n < A seq=1 ack=2 \n +2s \n = FIN-WAIT-2");
}

#[test]
fn nobody_waits_in_fin_wait_2_for_ever() {
    let mut one = One::established(Settings { fin_wait_2_timeout: 5.secs(), ..bare() });
    one.c.close(one.now);
    one.play("> FA seq=1 \n < A seq=1 ack=2 \n = FIN-WAIT-2 \n +5s \n = CLOSED");
    // A half-closed socket that is still held does.
    let mut one = One::established(Settings { fin_wait_2_timeout: 5.secs(), ..bare() });
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FA seq=1 \n < A seq=1 ack=2 \n +100s \n = FIN-WAIT-2");
    one.c.close(one.now);
    one.play("+5s \n = CLOSED");
}

#[test]
fn an_orphan_is_given_up_sooner() {
    let mut one = One::established(bare());
    one.c.close(one.now);
    one.hear("> FA seq=1");
    let mut repeats = 0;
    while let Some(at) = one.c.poll_timeout() {
        one.now = at;
        one.c.handle_timeout(at);
        repeats += one.burst().len();
    }
    assert_eq!((repeats, one.c.state()), (9, State::Closed), "a probe, and eight after a timeout");
}

#[test]
fn time_wait_is_handed_out() {
    let mut one = One::established(bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FA seq=1 \n < FPA seq=1 ack=2 len=10 \n = TIME-WAIT \n > A ack=12");
    let time_wait = one.c.take_time_wait().unwrap();
    assert_eq!(time_wait.expires(), one.now + 60.secs());
    assert_eq!(time_wait.ports(), CLIENT);
    one.play("= CLOSED \n +100s");
    assert!(one.c.is_finished() && one.c.take_time_wait().is_none());
    one.recv(10);
}

#[test]
fn a_half_closed_conversation_goes_on() {
    let mut one = One::established(bare());
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FA seq=1 \n < A seq=1 ack=2");
    for i in 0..5 {
        one.play(&format!(
            "< A seq={} ack=2 len=1000 \n < A seq={} ack=2 len=1000 \n > A ack={}",
            1 + 2000 * i,
            1001 + 2000 * i,
            2001 + 2000 * i
        ));
        one.recv(2000);
        one.play("> A why=window-update");
    }
    one.play("< FA seq=10001 ack=2 \n > A ack=10002 \n = TIME-WAIT");
}

#[test]
fn the_last_fin_is_repeated_after_two_round_trips() {
    // The peer has ended its stream and nothing of it is missing: its answer to our FIN cannot be delayed.
    let mut one = One::established(bare());
    one.play("< FA seq=1 ack=1 \n > A ack=2 \n = CLOSE-WAIT");
    one.c.shutdown_write(one.now).unwrap();
    one.play("> FA seq=1 ack=2 \n +200ms \n > FA seq=1 why=tail-loss-probe \n < A seq=2 ack=2 \n = CLOSED");
}
