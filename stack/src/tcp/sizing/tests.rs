use super::*;
use crate::tcp::testing::{Net, One, Pipe, bare, pattern};
use crate::time::{Duration, Units};

/// 100 ms there and back without losses, at a gigabit per second.
fn long_and_fat(settings: Settings) -> Net {
    let pipe = Pipe { delay: 50.ms(), ns_per_byte: 8, ..Pipe::good() };
    Net::established(settings.clone(), settings, pipe)
}

/// Writes whenever there is room, and reads all if `reads`; answers the largest window that was offered.
fn stream(net: &mut Net, reads: bool, span: Duration) -> u64 {
    let (end, mut largest, mut buf) = (net.now + span, 0, vec![0; 1 << 16]);
    loop {
        let now = net.now;
        while net.client.send(now, &[7; 16 << 10]).is_ok() {}
        while reads && net.server().recv(now, &mut buf).is_ok() {}
        largest = largest.max(net.server().info().rcv_wnd);
        if !net.step(end) {
            return largest;
        }
    }
}

#[test]
fn both_buffers_grow_to_what_a_long_fat_path_holds() {
    for timestamps in [true, false] {
        let mut net = long_and_fat(Settings { timestamps, ..Settings::default() });
        assert_eq!((net.client.common.tx.limit(), net.server().common.rx.limit()), (INITIAL, INITIAL));
        let largest = stream(&mut net, true, 3.secs());
        assert!(largest > 5 << 20, "{largest} bytes of window, timestamps {timestamps}");
        assert_eq!(net.client.common.tx.limit(), 4 << 20);
    }
}

#[test]
fn a_reader_that_does_not_read_gets_no_more_room() {
    let mut net = long_and_fat(Settings::default());
    assert!(stream(&mut net, false, 3.secs()) <= INITIAL as u64);
    assert_eq!(net.server().common.rx.limit(), INITIAL);
}

#[test]
fn a_buffer_that_does_not_tune_itself_has_its_size_at_once() {
    let fixed = Settings { send_tuning: false, recv_tuning: false, ..Settings::default() };
    let mut net = long_and_fat(fixed);
    assert_eq!((net.client.common.tx.limit(), net.server().common.rx.limit()), (4 << 20, 6 << 20));
    // What is small stays small.
    let mut net = long_and_fat(Settings { recv_buffer: 40_000, ..Settings::default() });
    assert_eq!(stream(&mut net, true, 2.secs()), 40_000);
}

#[test]
fn a_writer_hears_of_the_room_that_growth_makes() {
    let mut one = One::established(Settings { send_buffer: 1 << 20, ..bare() });
    assert_eq!(one.c.send(one.now, &pattern(1 << 20, 0)), Ok(INITIAL));
    assert_eq!(one.c.send(one.now, b"x"), Err(crate::tcp::Error::WouldBlock));
    one.events();
    one.c.common.size_send_buffer(INITIAL as u64);
    assert_eq!(one.events(), [Event::Writable]);
    assert_eq!(one.c.send(one.now, &pattern(1 << 20, 0)), Ok(INITIAL));
}

#[test]
fn short_memory_stops_growth_and_spent_memory_all_but_the_first_piece() {
    let mut one = One::established(Settings { send_buffer: 1 << 20, ..bare() });
    one.c.set_pressure(Pressure::High);
    one.c.common.size_send_buffer(1 << 19);
    assert_eq!(one.c.common.tx.limit(), INITIAL);
    one.c.set_pressure(Pressure::Full);
    assert_eq!(one.c.send(one.now, &pattern(5000, 0)), Ok(ring::FIRST_ALLOCATION));
    assert_eq!(one.c.send(one.now, b"x"), Err(crate::tcp::Error::WouldBlock));
    // What was offered is offered; what does not fit into the first piece comes again.
    one.play(
        "> A seq=1 len=1000 \n > A seq=1001 len=1000 \n > PA seq=2001 len=48 \n < A seq=1 ack=2049 len=1000",
    );
    one.play("< A seq=1001 ack=2049 len=1000 \n > A ack=2001 win=8000 \n < A seq=2001 ack=2049 len=1000 \n > A ack=2049");
    one.recv(2048);
    one.c.set_pressure(Pressure::Low);
    one.play("> A ack=2049 win=10000 why=window-update \n < A seq=2049 ack=2049 len=952 \n +40ms \n > A ack=3001 win=9048");
    assert_eq!(one.c.send(one.now, &pattern(5000, 0)), Ok(5000));
    one.burst();
}
