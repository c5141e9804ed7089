//! Fast Open as packets: a server's SYN-RECEIVED, and what a client learns.

use super::*;
use crate::rng::Rng;
use crate::tcp::testing::{CLIENT, MAX_SEGMENT, start, transmit};
use crate::tcp::{Error, Limits, Listener, State, Verdict};
use crate::time::{Units, at};
use crate::wire::seq::SeqNum;

const LIMITS: Limits = Limits::plain(MAX_SEGMENT);

fn cookie(bytes: &[u8]) -> FastOpenCookie {
    FastOpenCookie::new(bytes).expect("has a length that there is")
}

fn client(cookie: FastOpenCookie, data: &[u8]) -> Connection {
    let known = FastOpenClient { cookie, mss: 1460, defer: false };
    let mut client =
        Connection::connect_fast_open(at(0.ms()), CLIENT, start(1000), Settings::default(), known);
    if !data.is_empty() {
        assert_eq!(client.send(at(0.ms()), data), Ok(data.len()));
    }
    client
}

fn listener(queue: usize) -> Listener<u8, ()> {
    let settings = Settings { fast_open_queue: queue, ..Settings::default() };
    Listener::new(80, 8, settings, &mut Rng::new(1, 0))
}

/// What the listener makes of the client's SYN, whose cookie is worth `shown`.
fn arrive(listener: &mut Listener<u8, ()>, client: &mut Connection, key: u8, shown: Shown) -> Verdict {
    let syn = transmit(client, at(0.ms()), &LIMITS).expect("a SYN");
    let ticket = Some(Ticket { ours: cookie(&[key; 8]), shown });
    listener.handle_segment(at(0.ms()), key, start(7000), ticket, &syn.segment())
}

fn opened(verdict: Verdict) -> Connection {
    let Verdict::Established(connection) = verdict else { panic!("{verdict:?}") };
    *connection
}

#[test]
fn data_and_answer_take_one_round_trip() {
    let (mut listener, mut client) = (listener(4), client(cookie(&[1; 8]), b"question"));
    let mut server = opened(arrive(&mut listener, &mut client, 1, Shown::Current));
    assert_eq!((server.state(), listener.fast_opens()), (State::SynReceived, 1));
    let mut buffer = [0; 100];
    assert_eq!(server.recv(at(10.ms()), &mut buffer), Ok(8));
    assert_eq!(server.send(at(10.ms()), b"answer"), Ok(6));
    let syn_ack = transmit(&mut server, at(10.ms()), &LIMITS).expect("a SYN-ACK");
    let answer = transmit(&mut server, at(10.ms()), &LIMITS).expect("the answer");
    assert_eq!((syn_ack.header.ack, answer.payload.as_slice()), (SeqNum::new(1009), &b"answer"[..]));
    client.handle_segment(at(20.ms()), &syn_ack.segment());
    client.handle_segment(at(20.ms()), &answer.segment());
    assert_eq!(client.recv(at(20.ms()), &mut buffer), Ok(6));
    assert_eq!((client.state(), client.unacknowledged()), (State::Established, 0));
    assert!(client.info().syn_data && server.info().syn_data);
    let ack = transmit(&mut client, at(20.ms()), &LIMITS).expect("an ACK");
    server.handle_segment(at(30.ms()), &ack.segment());
    assert_eq!((server.state(), server.unacknowledged()), (State::Established, 0));
    let events: Vec<Event> = core::iter::from_fn(|| server.poll_event()).collect();
    assert!(events.contains(&Event::FastOpenDone), "{events:?}");
    let report = client.take_fast_open_report().expect("there was an attempt");
    assert_eq!(report, FastOpenReport { cookie: None, mss: 1460, outcome: FastOpenOutcome::Accepted });
    assert_eq!(client.take_fast_open_report(), None);
}

#[test]
fn a_request_is_answered_with_a_cookie() {
    let (mut listener, mut client) = (listener(4), client(FastOpenCookie::REQUEST, b"question"));
    assert!(matches!(arrive(&mut listener, &mut client, 1, Shown::Nothing), Verdict::Done));
    let syn_ack = listener.poll_transmit(at(0.ms())).expect("a SYN-ACK").segment;
    assert_eq!(syn_ack.header.ack, SeqNum::new(1001), "there was no data in the SYN");
    client.handle_segment(at(20.ms()), &Segment::new(syn_ack.header, &[]));
    let report = client.take_fast_open_report().expect("there was an attempt");
    assert_eq!((report.cookie, report.outcome), (Some(cookie(&[1; 8])), FastOpenOutcome::NoData));
    let data = transmit(&mut client, at(20.ms()), &LIMITS).expect("the data");
    assert_eq!(data.payload, b"question");
}

#[test]
fn an_answer_without_a_cookie_says_in_which_form_it_was_asked_for() {
    for form in [FastOpenForm::Standard, FastOpenForm::Experimental] {
        let (mut listener, mut client) = (listener(0), client(FastOpenCookie::REQUEST.in_form(form), b""));
        assert!(matches!(arrive(&mut listener, &mut client, 1, Shown::Nothing), Verdict::Done));
        let syn_ack = listener.poll_transmit(at(0.ms())).expect("a SYN-ACK").segment;
        client.handle_segment(at(20.ms()), &Segment::new(syn_ack.header, &[]));
        let report = client.take_fast_open_report().expect("there was an attempt");
        assert_eq!((report.cookie, report.outcome), (None, FastOpenOutcome::Unanswered(form)));
    }
}

#[test]
fn a_syn_without_an_answer_is_repeated_without_its_data() {
    let mut client = client(cookie(&[1; 8]), b"question");
    let syn = transmit(&mut client, at(0.ms()), &LIMITS).expect("a SYN");
    assert_eq!(
        (syn.payload.as_slice(), syn.header.options.fast_open),
        (&b"question"[..], Some(cookie(&[1; 8])))
    );
    let mut repeats = 0;
    while let Some(due) = client.poll_timeout() {
        client.handle_timeout(due);
        if let Some(syn) = transmit(&mut client, due, &LIMITS) {
            repeats += 1;
            assert_eq!((syn.payload.len(), syn.header.options.fast_open), (0, None));
        }
    }
    assert_eq!(repeats, 7);
    assert_eq!(client.error(), Some(Error::TimedOut));
    assert_eq!(client.take_fast_open_report().map(|report| report.outcome), Some(FastOpenOutcome::Lost));
}

#[test]
fn an_application_that_closes_first_makes_room() {
    let mut listener = listener(1);
    let mut first = client(cookie(&[1; 8]), b"question");
    let mut server = opened(arrive(&mut listener, &mut first, 1, Shown::Current));
    server.abort(at(5.ms()));
    let events: Vec<Event> = core::iter::from_fn(|| server.poll_event()).collect();
    assert!(events.contains(&Event::FastOpenDone), "{events:?}");
    let mut second = client(cookie(&[1; 8]), b"question");
    assert!(
        matches!(arrive(&mut listener, &mut second, 2, Shown::Current), Verdict::Done),
        "there is no room"
    );
    listener.handle_fast_open_end(at(5.ms()), &1, false);
    let mut third = client(cookie(&[1; 8]), b"question");
    let _ = opened(arrive(&mut listener, &mut third, 3, Shown::Old));
    assert_eq!((listener.stats().fast_opens, listener.stats().fast_open_overflows), (2, 1));
}

#[test]
fn a_deferred_syn_waits_for_the_first_bytes() {
    let known = FastOpenClient { cookie: cookie(&[1; 8]), mss: 1460, defer: true };
    let mut client =
        Connection::connect_fast_open(at(0.ms()), CLIENT, start(1000), Settings::default(), known);
    assert!(client.readiness().writable && transmit(&mut client, at(0.ms()), &LIMITS).is_none());
    client.send(at(5.ms()), b"question").expect("there is room");
    assert!(!client.readiness().writable, "the rest waits for the handshake");
    assert_eq!(transmit(&mut client, at(5.ms()), &LIMITS).expect("a SYN").payload, b"question");
}
