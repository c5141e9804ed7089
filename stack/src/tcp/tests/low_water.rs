//! Low-water marks: when it is worth reading, and when there is room to write.

use super::super::testing::*;
use super::super::*;

#[test]
fn less_than_the_mark_is_not_worth_reading() {
    let mut one = One::established(Settings { recv_lowat: 1500, ..bare() });
    one.arrive("PA seq=1 ack=1 len=1000");
    assert!(!one.c.readiness().readable);
    assert_eq!(one.events(), []);
    one.arrive("PA seq=1001 ack=1 len=500");
    assert!(one.c.readiness().readable);
    assert_eq!(one.events(), [Event::Readable]);
    one.recv(1500);
    // Who asks anyway gets what is there; the end of the stream is always worth it.
    one.arrive("PA seq=1501 ack=1 len=10");
    one.recv(10);
    one.arrive("FA seq=1511 ack=1");
    assert!(one.c.readiness().readable);
}

#[test]
fn a_mark_beyond_half_of_the_buffer_is_that_half() {
    let mut one = One::established(Settings { recv_lowat: 1 << 30, ..bare() });
    (0..4).for_each(|n| one.arrive(&format!("PA seq={} ack=1 len=1000", 1 + n * 1000)));
    assert!(!one.c.readiness().readable);
    one.arrive("PA seq=4001 ack=1 len=1000");
    assert!(one.c.readiness().readable);
}

#[test]
fn a_lower_mark_counts_at_once() {
    let mut one = One::established(Settings { recv_lowat: 1500, ..bare() });
    one.arrive("PA seq=1 ack=1 len=1000");
    one.c.set_recv_lowat(1000);
    assert!(one.c.readiness().readable);
    assert_eq!(one.events(), [Event::Readable]);
}

#[test]
fn nothing_is_taken_while_enough_is_unsent() {
    let mut one = One::with_ten_in_flight(10_000, bare());
    one.c.set_notsent_lowat(Some(3500));
    assert!(one.c.readiness().writable);
    // Whole segments, so that none is cut.
    assert_eq!(one.c.send(one.now, &[0; 20_000]), Ok(4000));
    assert!(!one.c.readiness().writable);
    assert_eq!(one.c.send(one.now, &[0; 1000]), Err(Error::WouldBlock));
    one.events();
    // As it leaves, less is unsent: below half of the mark there is room again.
    one.hear("< A seq=1 ack=1001 win=20000");
    assert_eq!((one.burst().len(), one.events().len()), (2, 0));
    one.hear("< A seq=1 ack=2001 win=20000");
    assert_eq!(one.burst().len(), 2);
    assert_eq!(one.events(), [Event::Writable]);
    assert!(one.c.readiness().writable);
}
