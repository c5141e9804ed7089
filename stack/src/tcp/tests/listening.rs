//! Listeners: half-open entries, the accept queue, cookies.

use super::super::testing::*;
use super::super::*;
use crate::rng::Rng;
use crate::time::{Instant, Units, at};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, Timestamps};

const PORTS: (u16, u16) = (5000, 80);

fn listener(backlog: usize) -> Listener<u8, u32> {
    Listener::new(80, backlog, Settings::default(), &mut Rng::new(7, 7))
}

fn segment(flags: Flags, seq: u32, ack: SeqNum, options: Options) -> Header {
    Header {
        src_port: PORTS.0,
        dst_port: PORTS.1,
        seq: SeqNum::new(seq),
        ack,
        flags,
        window: 1000,
        options,
        ..Header::default()
    }
}

fn syn_options() -> Options {
    Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 55, echo: 0 }),
        ..Options::default()
    }
}

fn syn(listener: &mut Listener<u8, u32>, now: Instant, peer: u8) -> Option<SynAck<u8>> {
    let header = segment(Flags::SYN, 100, SeqNum::default(), syn_options());
    let verdict = listener.handle_segment(now, peer, start(9000), None, &Segment::new(header, &[]));
    assert!(matches!(verdict, Verdict::Done));
    listener.poll_transmit(now)
}

/// Completes a handshake with `data` on the last ACK.
fn ack(listener: &mut Listener<u8, u32>, now: Instant, syn_ack: &SynAck<u8>, data: &[u8]) -> Verdict {
    let echo = syn_ack.segment.header.options.timestamps.map_or(0, |ts| ts.value);
    let options = Options { timestamps: Some(Timestamps { value: 56, echo }), ..Options::default() };
    let header = segment(Flags::ACK, 101, syn_ack.segment.header.seq + 1, options);
    listener.handle_segment(now, syn_ack.peer, start(1), None, &Segment::new(header, data))
}

#[test]
fn a_handshake_makes_a_connection_that_has_its_data() {
    let mut listener = listener(4);
    let syn_ack = syn(&mut listener, at(0.ms()), 1).unwrap();
    let header = syn_ack.segment.header;
    assert_eq!(header.flags, Flags::SYN | Flags::ACK);
    assert_eq!((header.seq, header.ack), (SeqNum::new(9000), SeqNum::new(101)));
    assert_eq!((header.options.mss, header.options.window_scale), (Some(1460), Some(7)));
    assert_eq!(header.options.timestamps.map(|ts| ts.echo), Some(55));
    assert_eq!(listener.half_open(), 1);
    let Verdict::Established(mut connection) = ack(&mut listener, at(30.ms()), &syn_ack, b"hello") else {
        panic!("is established")
    };
    assert_eq!((listener.half_open(), listener.poll_timeout()), (0, None));
    assert_eq!(connection.state(), State::Established);
    assert_eq!(connection.recv(at(30.ms()), &mut [0; 10]), Ok(5));
    let info = connection.info();
    assert_eq!((info.snd_wscale, info.sack, info.timestamps, info.srtt), (7, true, true, Some(30.ms())));
    assert_eq!(info.snd_wnd, 1000 << 7);
    assert_eq!(info.opened, at(0.ms()), "the SYN counts, not its ACK");
    listener.push_accepted(42);
    assert_eq!((listener.accept(), listener.accept()), (Some(42), None));
}

#[test]
fn connections_tell_in_which_order_they_were_opened() {
    let mut listener = listener(4);
    let first = syn(&mut listener, at(0.ms()), 1).unwrap();
    let second = syn(&mut listener, at(10.ms()), 2).unwrap();
    // A question that has to be repeated does not make it younger.
    listener.handle_timeout(at(1000.ms()));
    let mut opened = |syn_ack| match ack(&mut listener, at(1000.ms()), syn_ack, b"") {
        Verdict::Established(connection) => connection.info().opened,
        _ => panic!("is established"),
    };
    assert_eq!((opened(&second), opened(&first)), (at(10.ms()), at(0.ms())));
}

#[test]
fn an_answer_offers_nothing_that_was_not_asked_for() {
    let mut listener = listener(4);
    let header = segment(Flags::SYN, 100, SeqNum::default(), Options::default());
    listener.handle_segment(at(0.ms()), 1, start(9000), None, &Segment::new(header, &[]));
    let options = listener.poll_transmit(at(0.ms())).unwrap().segment.header.options;
    assert_eq!(options, Options { mss: Some(1460), ..Options::default() });
}

#[test]
fn a_syn_ack_is_repeated_and_given_up() {
    let mut listener = listener(4);
    syn(&mut listener, at(0.ms()), 1).unwrap();
    let mut times = Vec::new();
    while let Some(at) = listener.poll_timeout() {
        listener.handle_timeout(at);
        if let Some(syn_ack) = listener.poll_transmit(at) {
            assert_eq!(syn_ack.segment.why.reason(), crate::why::Reason::SynAckRetransmit);
            times.push(at.as_millis() / 1000);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31]);
    assert_eq!((listener.half_open(), listener.stats().timed_out), (0, 1));
}

#[test]
fn a_half_open_entry_defends_itself() {
    let mut listener = listener(4);
    let now = at(0.ms());
    syn(&mut listener, now, 1).unwrap();
    let mut hear = |flags, seq, ack: u32| {
        let options = Options { timestamps: Some(Timestamps { value: 56, echo: 0 }), ..Options::default() };
        let header = segment(flags, seq, SeqNum::new(ack), options);
        let verdict = listener.handle_segment(now, 1, start(1), None, &Segment::new(header, &[]));
        let reset = matches!(verdict, Verdict::Reset(_));
        (reset, listener.poll_transmit(now).is_some(), listener.half_open())
    };
    // Reset by us, SYN-ACK again, entries left.
    assert_eq!(hear(Flags::RST, 102, 0), (false, false, 1), "RFC 5961: not the exact number");
    assert_eq!(hear(Flags::SYN, 100, 0), (false, true, 1), "our SYN-ACK was lost");
    assert_eq!(hear(Flags::SYN, 500, 0), (false, true, 1), "challenged");
    assert_eq!(hear(Flags::ACK, 101, 9002), (true, false, 1), "acknowledges what was not sent");
    assert_eq!(hear(Flags::ACK, 99, 9001), (false, true, 1), "out of the window");
    assert_eq!(hear(Flags::RST, 101, 0), (false, false, 0));
}

#[test]
fn what_does_not_belong_to_a_listener() {
    let mut listener = listener(4);
    let mut hear = |flags| {
        let header = segment(flags, 5, SeqNum::new(77), Options::default());
        listener.handle_segment(at(0.ms()), 1, start(1), None, &Segment::new(header, &[]))
    };
    // RFC 9293 section 3.10.7.2.
    assert!(matches!(hear(Flags::RST), Verdict::Done));
    assert!(matches!(hear(Flags::FIN), Verdict::Done));
    let Verdict::Reset(reset) = hear(Flags::ACK) else { panic!("an ACK is reset") };
    assert_eq!((reset.header.flags, reset.header.seq), (Flags::RST, SeqNum::new(77)));
    assert!(matches!(hear(Flags::SYN | Flags::ACK), Verdict::Reset(_)));
    assert!(matches!(hear(Flags::SYN | Flags::FIN), Verdict::Done));
    assert_eq!((listener.half_open(), listener.stats().strays), (0, 3));
}

#[test]
fn a_full_accept_queue_lets_handshakes_wait() {
    let mut listener = listener(1);
    let waiting = syn(&mut listener, at(0.ms()), 1).unwrap();
    listener.push_accepted(1);
    assert!(matches!(ack(&mut listener, at(1.ms()), &waiting, b""), Verdict::Done));
    assert_eq!(syn(&mut listener, at(2.ms()), 2), None);
    assert_eq!((listener.stats().accept_overflows, listener.stats().syns_dropped), (1, 1));
    listener.accept();
    assert!(matches!(ack(&mut listener, at(3.ms()), &waiting, b""), Verdict::Established(_)));
}

#[test]
fn too_many_half_open_connections_get_cookies() {
    let mut listener = listener(2);
    let now = at(100.secs());
    for peer in 1..=2 {
        syn(&mut listener, now, peer).unwrap();
    }
    let cookie = syn(&mut listener, now, 3).unwrap();
    assert_eq!((listener.half_open(), listener.stats().cookies_sent), (2, 1));
    assert_ne!(cookie.segment.header.seq, SeqNum::new(9000));
    let Verdict::Established(connection) = ack(&mut listener, at(101.secs()), &cookie, b"") else {
        panic!("the cookie is good")
    };
    let info = connection.info();
    assert_eq!((info.snd_mss, info.snd_wscale, info.sack, info.timestamps), (1448, 7, true, true));
    assert_eq!(info.opened, at(101.secs()), "of a SYN nothing is kept");
    // The same from somebody else, or later, is refused.
    let other = SynAck { peer: 4, ..cookie };
    assert!(matches!(ack(&mut listener, at(101.secs()), &other, b""), Verdict::Reset(_)));
    assert!(matches!(ack(&mut listener, at(400.secs()), &cookie, b""), Verdict::Reset(_)));
    assert_eq!((listener.stats().cookies_accepted, listener.stats().cookies_refused), (1, 1));
}

/// RFC 6191 section 2: a cookie would not lie after the numbers of the connection before.
#[test]
fn who_comes_back_from_time_wait_gets_no_cookie() {
    let mut listener = listener(2);
    let now = at(100.secs());
    for peer in 1..=2 {
        syn(&mut listener, now, peer).unwrap();
    }
    let mut again = |peer| {
        let header = segment(Flags::SYN, 100, SeqNum::default(), syn_options());
        let start = Start { successor: true, ..start(9000) };
        listener.handle_segment(now, peer, start, None, &Segment::new(header, &[]));
        let syn_ack = listener.poll_transmit(now).unwrap();
        (syn_ack.segment.header.seq == SeqNum::new(9000), listener.half_open())
    };
    assert_eq!(again(3), (true, 3));
    assert_eq!(again(4), (true, 4));
    assert_eq!(again(5), (false, 4), "that has a limit too");
}

#[test]
fn cookies_that_wait_to_be_sent_are_bounded() {
    let mut listener: Listener<u32, u32> = Listener::new(80, 1, Settings::default(), &mut Rng::new(7, 7));
    let header = segment(Flags::SYN, 100, SeqNum::default(), syn_options());
    for peer in 0..1000 {
        listener.handle_segment(at(0.ms()), peer, start(9000), None, &Segment::new(header, &[]));
    }
    assert_eq!(core::iter::from_fn(|| listener.poll_transmit(at(0.ms()))).count(), 65);
    assert_eq!(listener.stats().cookies_dropped, 1000 - 65);
}
