//! SYN-SENT and SYN-RECEIVED.

use super::super::testing::*;
use super::super::*;
use crate::time::Units;

#[test]
fn a_syn_says_what_we_can_do() {
    let mut one = One::connect(Settings::default());
    one.play("> S seq=0 mss=1000 ws=7 sackok=true win=65535 why=syn");
    let mut one = One::connect(bare());
    one.play("> S seq=0 mss=1000 ws=none ts=none win=10000");
    let mut one = One::connect(Settings { max_mss: Some(500), sack: false, ..bare() });
    one.play("> S mss=500 sackok=false");
}

#[test]
fn a_syn_ack_completes_the_handshake() {
    let mut one = One::connect(bare());
    one.play(
        "> S seq=0
         = SYN-SENT
         +100ms
         < SA seq=0 ack=1 mss=900
         > A seq=1 ack=1 win=10000
         = ESTABLISHED",
    );
    assert_eq!(one.events(), [Event::Connected, Event::Writable]);
    assert_eq!(one.c.info().snd_mss, 900);
    assert_eq!(one.c.info().srtt, Some(100.ms()));
}

#[test]
fn data_that_waited_goes_with_the_last_ack_of_the_handshake() {
    let mut one = One::connect(bare());
    one.send(300);
    one.play(
        "> S seq=0 len=0
         < SA seq=0 ack=1 mss=1000
         > PA seq=1 ack=1 len=300",
    );
}

#[test]
fn without_an_mss_option_the_default_holds() {
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < SA seq=0 ack=1 \n > A seq=1");
    assert_eq!(one.c.info().snd_mss, 536);
    // And nobody makes us send one byte a segment.
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < SA seq=0 ack=1 mss=1 \n > A seq=1");
    assert_eq!(one.c.info().snd_mss, 48);
}

#[test]
fn no_larger_segment_is_used_than_the_application_wants() {
    let mut one = One::connect(Settings { max_mss: Some(500), ..bare() });
    one.play("> S seq=0 mss=500 \n < SA seq=0 ack=1 mss=1000 \n > A seq=1");
    assert_eq!(one.c.info().snd_mss, 500);
}

#[test]
fn the_window_of_a_syn_ack_is_not_scaled_but_later_ones_are() {
    let mut one = One::connect(Settings { window_scaling: true, ..bare() });
    one.play("> S ws=0 \n < SA seq=0 ack=1 win=500 mss=1000 ws=7 \n > A seq=1");
    assert_eq!(one.c.info().snd_wnd, 500);
    one.play("< A seq=1 ack=1 win=500");
    assert_eq!(one.c.info().snd_wnd, 500 << 7);
    // RFC 7323 section 2.3: a shift above 14 counts as 14.
    let mut one = One::connect(Settings { window_scaling: true, ..bare() });
    one.play("> S ws=0 \n < SA seq=0 ack=1 win=500 mss=1000 ws=200 \n > A seq=1");
    assert_eq!(one.c.info().snd_wscale, 14);
}

#[test]
fn a_syn_is_repeated_with_backoff_and_given_up() {
    let mut one = One::connect(Settings { syn_retries: 3, ..bare() });
    one.play(
        "> S seq=0 why=syn
         +1s
         > S seq=0 why=syn-rto
         +2s
         > S seq=0
         +4s
         > S seq=0
         +8s
         = CLOSED",
    );
    assert_eq!(one.events(), [Event::Closed(Some(Error::TimedOut))]);
    assert_eq!(one.c.send(one.now, b"x"), Err(Error::TimedOut));
    assert_eq!(one.c.recv(one.now, &mut [0]), Ok(0));
    assert!(one.c.is_finished() && one.c.poll_timeout().is_none());
}

#[test]
fn a_repeated_syn_leaves_no_sample_and_a_window_of_one() {
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n +1s \n > S seq=0 \n +100ms \n < SA seq=0 ack=1 mss=1000 \n > A seq=1");
    let info = one.c.info();
    assert_eq!((info.srtt, info.rto, info.cwnd), (None, 3.secs(), 1000));
}

#[test]
fn a_rst_that_acknowledges_the_syn_refuses() {
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < R seq=0 \n = SYN-SENT \n < RA seq=0 ack=2 \n = SYN-SENT \n < RA seq=0 ack=1 \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::ConnectionRefused));
    assert_eq!(one.c.take_error(), Some(Error::ConnectionRefused));
    assert_eq!(one.c.take_error(), None);
}

#[test]
fn an_ack_for_something_else_is_reset() {
    let mut one = One::connect(bare());
    one.play(
        "> S seq=0
         < A seq=77 ack=500
         > R seq=500 why=no-connection
         < SA seq=77 ack=0
         > R seq=0
         < A seq=77 ack=1
         = SYN-SENT",
    );
}

#[test]
fn both_sides_may_open_at_once() {
    // RFC 9293 section 3.5, figure 7.
    let mut one = One::connect(bare());
    one.play(
        "> S seq=0
         < S seq=0 mss=1000
         = SYN-RECEIVED
         > SA seq=0 ack=1 why=syn-ack
         < SA seq=0 ack=1
         = ESTABLISHED
         > A seq=1 ack=1",
    );
    // The peer's answer is lost, its first data is not.
    let mut one = One::connect(bare());
    one.play(
        "> S seq=0
         < S seq=0 mss=1000
         > SA seq=0 ack=1
         +1s
         > SA seq=0 ack=1 why=syn-ack-rto
         < S seq=0 mss=1000
         > SA seq=0 ack=1 why=syn-ack-rto
         < PA seq=1 ack=1 len=10
         = ESTABLISHED
         +40ms
         > A seq=1 ack=11 why=delayed-ack",
    );
    one.recv(10);
    // An ACK alone needs no answer.
    let mut one = One::connect(bare());
    one.play("> S seq=0 \n < S seq=0 mss=1000 \n > SA seq=0 ack=1 \n < A seq=1 ack=1 \n = ESTABLISHED");
}

#[test]
fn syn_received_defends_itself() {
    let opened = || {
        let mut one = One::connect(bare());
        one.play("> S seq=0 \n < S seq=0 mss=1000 \n > SA seq=0 ack=1");
        one
    };
    opened().play("< A seq=1 ack=2 \n > R seq=2 \n = SYN-RECEIVED");
    opened().play("< R seq=2 \n = SYN-RECEIVED \n < R seq=1 \n = CLOSED");
    opened().play("< A seq=20000 ack=1 \n > SA seq=0 ack=1 \n = SYN-RECEIVED");
    opened().play("< P seq=1 len=1 \n = SYN-RECEIVED");
    let mut one = opened();
    one.c.abort(one.now);
    one.play("> RA seq=1 ack=1 why=abort \n = CLOSED");
}

#[test]
fn icmp_errors_end_an_attempt_only_if_they_are_hard_and_ours() {
    let mut one = One::connect(bare());
    one.play("> S seq=0");
    let iss = crate::wire::seq::SeqNum::new(4_294_966_000);
    one.c.handle_icmp(iss + 1, IcmpError::PortUnreachable);
    one.c.handle_icmp(iss, IcmpError::HostUnreachable);
    one.play("= SYN-SENT");
    assert_eq!(one.c.take_error(), Some(Error::HostUnreachable));
    one.c.handle_icmp(iss, IcmpError::PortUnreachable);
    one.play("= CLOSED");
    assert_eq!(one.c.error(), Some(Error::ConnectionRefused));
}

#[test]
fn the_last_soft_error_explains_a_timeout() {
    let mut one = One::connect(Settings { syn_retries: 0, ..bare() });
    one.play("> S seq=0");
    let iss = crate::wire::seq::SeqNum::new(4_294_966_000);
    one.c.handle_icmp(iss, IcmpError::NetworkUnreachable);
    one.play("+1s \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::NetworkUnreachable));
}

#[test]
fn a_soft_error_is_forgotten_when_the_handshake_is_complete() {
    let mut one = One::connect(bare());
    one.play("> S seq=0");
    one.c.handle_icmp(crate::wire::seq::SeqNum::new(4_294_966_000), IcmpError::NetworkUnreachable);
    one.play("< SA seq=0 ack=1 \n > A seq=1");
    assert_eq!(one.c.take_error(), None);
}

#[test]
fn our_own_host_may_know_better() {
    let mut one = One::connect(bare());
    one.c.handle_unreachable(Error::HostUnreachable);
    one.play("= CLOSED");
    let mut one = One::established(bare());
    one.c.handle_unreachable(Error::HostUnreachable);
    one.play("= ESTABLISHED");
}

#[test]
fn closing_before_the_answer_forgets_the_connection() {
    let mut one = One::connect(bare());
    one.play("> S seq=0");
    one.c.close(one.now);
    one.play("= CLOSED");
    assert_eq!(one.events(), [Event::Closed(None)]);
}

#[test]
fn a_user_timeout_bounds_the_attempt() {
    let mut one = One::connect(Settings { user_timeout: Some(1500.ms()), ..bare() });
    one.play("> S seq=0 \n +1s \n > S seq=0 \n +500ms \n = CLOSED");
    assert_eq!(one.c.error(), Some(Error::TimedOut));
}

#[test]
fn data_waits_for_the_bare_ack_that_tells_how_the_syn_ack_came() {
    // RFC 9768 section 3.2.2.1: ECT(0) on the SYN-ACK is 4, AE alone; the counter after it is 5, AE and ECE.
    let mut one = One::connect(Settings { ecn: EcnPolicy::ACCURATE, ..bare() });
    one.send(100);
    one.play(
        "> SNWE seq=0 ecn=0 \n +100ms \n < SAW seq=0 ack=1 mss=1000 ecn=2 \n \
         > AN seq=1 len=0 ecn=0 \n > APNE seq=1 len=100 ecn=2",
    );
}
