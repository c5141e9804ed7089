//! Keepalive, and TIME-WAIT on its own.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, Timestamps};

fn keepalive() -> Settings {
    Settings { keepalive: Some(Keepalive { time: 10.secs(), interval: 1.secs(), count: 2 }), ..bare() }
}

#[test]
fn a_silent_peer_is_probed() {
    let mut one = One::established(keepalive());
    one.play(
        "+10s
         > A seq=0 ack=1 len=0 why=keepalive
         < A seq=1 ack=1
         +1s
         +9s
         > A seq=0 ack=1 why=keepalive
         +1s
         > A seq=0 ack=1 why=keepalive
         +1s
         > RA seq=1 why=abort
         = CLOSED",
    );
    assert_eq!(one.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_peer_that_speaks_is_not() {
    let mut one = One::established(keepalive());
    one.play("+9s \n < A seq=1 ack=1 \n +9s \n < A seq=1 ack=1 \n +9s \n +1s \n > A seq=0 why=keepalive");
}

#[test]
fn silence_counts_anew_when_what_was_in_flight_is_acknowledged() {
    let slow = Keepalive { interval: 100.secs(), ..keepalive().keepalive.unwrap() };
    let mut one = One::established(Settings { keepalive: Some(slow), ..bare() });
    one.play("+9900ms");
    one.send(10);
    one.play(
        "> PA seq=1 len=10 \n +200ms \n < A seq=1 ack=11 \n +9900ms \n +100ms \n > A seq=10 why=keepalive",
    );
}

#[test]
fn keepalive_can_be_switched() {
    let mut one = One::established(bare());
    one.play("+100s");
    one.c.set_keepalive(one.now, keepalive().keepalive);
    one.play("+10s \n > A seq=0 why=keepalive");
    one.c.set_keepalive(one.now, None);
    one.play("+100s \n = ESTABLISHED");
    assert_eq!(one.c.poll_timeout(), None);
}

#[test]
fn we_answer_the_peers_keepalive() {
    let mut one = One::established(bare());
    one.play("< A seq=0 ack=1 \n > A seq=1 ack=1 \n +1s \n < A seq=0 ack=1 len=1 \n > A seq=1 ack=1");
    assert_eq!(one.c.info().unread, 0);
}

/// A TIME-WAIT whose streams ended at 2 (ours) and 12 (theirs), with timestamps if asked for.
fn time_wait(timestamps: bool) -> (One, TimeWait) {
    let mut one = One::connect(Settings { timestamps, ..bare() });
    let ts = if timestamps { "ts=700/0" } else { "" };
    one.play(&format!("> S seq=0 \n < SA seq=0 ack=1 mss=1000 {ts} \n > A seq=1"));
    one.c.shutdown_write(one.now).unwrap();
    one.play(&format!("> FA seq=1 \n < FPA seq=1 ack=2 len=10 {ts} \n > A ack=12"));
    let time_wait = one.c.take_time_wait().unwrap();
    (one, time_wait)
}

fn theirs(flags: Flags, seq: u32, ts: Option<u32>) -> Header {
    let timestamps = ts.map(|value| Timestamps { value, echo: 0 });
    Header {
        src_port: CLIENT.remote,
        dst_port: CLIENT.local,
        seq: SeqNum::new(4_294_967_000) + seq,
        ack: SeqNum::new(4_294_966_000) + 2,
        flags,
        options: Options { timestamps, ..Options::default() },
        ..Header::default()
    }
}

fn hear(tw: &mut TimeWait, one: &One, header: Header) -> TimeWaitVerdict {
    tw.handle_segment(one.now, &Segment::new(header, &[]))
}

#[test]
fn time_wait_answers_a_fin_again_and_begins_anew() {
    let (mut one, mut tw) = time_wait(false);
    one.now += 30.secs();
    let verdict = hear(&mut tw, &one, theirs(Flags::FIN | Flags::ACK, 11, None));
    let TimeWaitVerdict::Acknowledge(ack) = verdict else { panic!("{verdict:?}") };
    assert_eq!(ack.header.ack, SeqNum::new(4_294_967_000) + 12);
    assert_eq!(ack.header.flags, Flags::ACK);
    assert_eq!(tw.expires(), one.now + 60.secs());
}

/// RFC 5961 section 7.
#[test]
fn time_wait_answers_what_was_made_up_sparingly() {
    let (mut one, mut tw) = time_wait(false);
    let mut answered = 0;
    for _ in 0..100 {
        match hear(&mut tw, &one, theirs(Flags::SYN, 5, None)) {
            TimeWaitVerdict::Acknowledge(_) => answered += 1,
            verdict => assert_eq!(verdict, TimeWaitVerdict::Skip),
        }
        one.now += 1.ms();
    }
    assert_eq!(answered, 1);
    let verdict = hear(&mut tw, &one, theirs(Flags::FIN | Flags::ACK, 11, None));
    assert!(matches!(verdict, TimeWaitVerdict::Acknowledge(_)), "the peer's FIN is answered all the same");
    one.now += 100.ms();
    assert!(matches!(hear(&mut tw, &one, theirs(Flags::SYN, 5, None)), TimeWaitVerdict::Acknowledge(_)));
}

#[test]
fn time_wait_ignores_resets_and_acks() {
    // RFC 1337.
    let (one, mut tw) = time_wait(false);
    for flags in [Flags::RST, Flags::RST | Flags::ACK, Flags::ACK] {
        assert_eq!(hear(&mut tw, &one, theirs(flags, 12, None)), TimeWaitVerdict::Ignore);
    }
}

#[test]
fn time_wait_gives_way_to_a_newer_syn() {
    // RFC 6191, RFC 1122 section 4.2.2.13.
    let reused = |verdict| match verdict {
        TimeWaitVerdict::Reuse { min_iss } => {
            assert!(min_iss.after(SeqNum::new(4_294_966_000) + 2));
            true
        }
        TimeWaitVerdict::Acknowledge(_) | TimeWaitVerdict::Skip => false,
        TimeWaitVerdict::Ignore => panic!("a SYN is answered"),
    };
    let (one, mut tw) = time_wait(false);
    assert!(reused(hear(&mut tw, &one, theirs(Flags::SYN, 1000, None))));
    assert!(!reused(hear(&mut tw, &one, theirs(Flags::SYN, 5, None))));
    let (one, mut tw) = time_wait(true);
    assert!(reused(hear(&mut tw, &one, theirs(Flags::SYN, 5, Some(701)))), "a newer timestamp is enough");
    assert!(!reused(hear(&mut tw, &one, theirs(Flags::SYN, 1000, Some(699)))));
    assert!(!reused(hear(&mut tw, &one, theirs(Flags::SYN, 5, Some(700)))));
    assert!(reused(hear(&mut tw, &one, theirs(Flags::SYN, 1000, Some(700)))));
}

#[test]
fn time_wait_is_small() {
    assert!(size_of::<TimeWait>() <= 72, "{}", size_of::<TimeWait>());
}

#[test]
fn an_idle_connection_is_small() {
    let connection = size_of::<Connection>() + size_of::<state::Open>();
    assert!(connection <= 2560, "{connection}");
}
