use std::collections::VecDeque;

use super::*;
use crate::buf::frame::Offload;
use crate::capture::{End, Reader};
use crate::sim::Impairment;
use crate::time::{Duration, Units as _, at};
use crate::why::{Reason, Why};

/// A node that sends what it is told to, answers each frame that begins with its question mark, and remembers.
#[derive(Default)]
struct Talker {
    outbox: VecDeque<(usize, Vec<u8>)>,
    current: Vec<u8>,
    heard: Vec<(u64, usize, String)>,
    wakes: Vec<Instant>,
    woken: Vec<u64>,
}

impl Talker {
    fn say(&mut self, port: usize, words: &str) {
        self.outbox.push_back((port, words.into()));
    }
}

impl Node for Talker {
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>) {
        let words = String::from_utf8_lossy(frame.bytes).into_owned();
        if let Some(question) = words.strip_suffix('?') {
            self.say(port, &format!("{question}!"));
        }
        self.heard.push((now.as_millis(), port, words));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.woken.push(now.as_millis());
        self.wakes.retain(|wake| *wake > now);
        self.say(0, "tick");
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.wakes.iter().min().copied()
    }

    fn poll_transmit(&mut self, _now: Instant, port: usize) -> Option<TxFrame<'_>> {
        let index = self.outbox.iter().position(|(out, _)| *out == port)?;
        self.current = self.outbox.remove(index)?.1;
        let (offload, why) = (Offload::NONE, &const { Why::new(Reason::Datagram) });
        Some(TxFrame { head: &self.current, body: [&[], &[]], offload, why })
    }
}

fn wire(text: &str) -> LinkConfig {
    LinkConfig::both(text.parse().unwrap())
}

/// Two talkers and the link between them.
fn pair(text: &str, seed: u64) -> (Network<Talker>, NodeId, NodeId, LinkId) {
    let mut net = Network::new(seed);
    let a = net.add_node("a", Talker::default());
    let b = net.add_node("b", Talker::default());
    let link = net.connect(a, b, wire(text));
    (net, a, b, link)
}

fn heard(net: &Network<Talker>, id: NodeId) -> Vec<(u64, usize, &str)> {
    net.node(id).heard.iter().map(|(time, port, words)| (*time, *port, words.as_str())).collect()
}

#[test]
fn a_question_takes_a_round_trip() {
    let (mut net, a, b, _) = pair("delay 10ms", 1);
    net.node_mut(a).say(0, "are you there?");
    assert_eq!(net.run_until_idle(at(1.secs())), Stop::Idle);
    assert_eq!(heard(&net, b), [(10, 0, "are you there?")]);
    assert_eq!(heard(&net, a), [(20, 0, "are you there!")]);
    assert_eq!(net.now(), at(20.ms()));
    assert_eq!(net.run_until(at(1.secs())), Stop::Idle);
    assert_eq!(net.now(), at(1.secs()));
}

#[test]
fn deadlines_come_at_their_time_and_frames_before_them() {
    let (mut net, a, b, _) = pair("delay 10ms", 1);
    net.node_mut(a).wakes = vec![at(5.ms()), at(10.ms())];
    net.node_mut(b).say(0, "hello");
    assert_eq!(net.next_event(), Some(at(5.ms())));
    assert!(net.step());
    assert_eq!((net.node(a).woken.as_slice(), net.now()), (&[5][..], at(5.ms())));
    assert!(net.step());
    assert_eq!((heard(&net, a), net.node(a).woken.len()), (vec![(10, 0, "hello")], 1));
    assert_eq!(net.run_until(at(12.ms())), Stop::Time);
    assert_eq!((net.node(a).woken.as_slice(), net.now()), (&[5, 10][..], at(12.ms())));
}

#[test]
fn a_run_ends_when_it_is_done() {
    let (mut net, a, b, _) = pair("delay 10ms", 1);
    net.node_mut(a).wakes = (1..100).map(|s| at(s.secs())).collect();
    let stop = net.run_until_done(at(50.secs()), |net| net.node(b).heard.len() == 3);
    assert_eq!((stop, net.now()), (Stop::Done, at(3010.ms())));
}

#[test]
fn a_network_that_makes_no_progress_is_stuck() {
    /// Wants to be woken at once, always.
    struct Restless;
    impl Node for Restless {
        fn handle_frame(&mut self, _: Instant, _: usize, _: RxFrame<'_>) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_timeout(&mut self) -> Option<Instant> {
            Some(Instant::ZERO)
        }
        fn poll_transmit(&mut self, _: Instant, _: usize) -> Option<TxFrame<'_>> {
            None
        }
    }
    let mut net = Network::new(1);
    net.add_node("restless", Restless);
    assert_eq!(net.run_until(at(1.ms())), Stop::Stuck);
}

/// An Ethernet frame without a payload type that anybody minds.
fn frame(destination: u8, source: u8) -> String {
    let address = |last: u8| String::from_utf8(vec![0, 0, 0, 0, 0, last]).unwrap();
    let first = if destination == b'*' { "\x01\0\0\0\0*".to_owned() } else { address(destination) };
    format!("{first}{}..", address(source))
}

#[test]
fn a_switch_learns_and_a_hub_does_not() {
    for (kind, at_c) in [(SwitchKind::Switch, 2), (SwitchKind::Hub, 3)] {
        let mut net = Network::new(1);
        let switch = net.add_switch("switch", kind);
        let nodes = ["a", "b", "c"].map(|name| net.add_node(name, Talker::default()));
        for (port, node) in nodes.into_iter().enumerate() {
            net.connect(switch.port(port), node, wire("delay 1ms"));
        }
        let [a, b, c] = nodes;
        net.node_mut(a).say(0, &frame(b'*', b'a'));
        net.run_until_idle(at(1.secs()));
        net.node_mut(a).say(0, &frame(b'b', b'a'));
        net.run_until_idle(at(1.secs()));
        // Now the switch knows a.
        net.node_mut(b).say(0, &frame(b'a', b'b'));
        net.run_until_idle(at(1.secs()));
        assert_eq!(net.node(a).heard.len(), 1);
        assert_eq!(net.node(b).heard.len(), 2);
        assert_eq!(net.node(c).heard.len(), at_c, "{kind:?}");
        assert_eq!(heard(&net, b)[0].0, 2, "two links, a millisecond each");
    }
}

#[test]
fn several_links_between_two_nodes_have_names_of_their_own() {
    let (mut net, a, b, first) = pair("", 1);
    let second = net.connect(a.port(1), b.port(1), wire("delay 5ms"));
    let names = |net: &Network<Talker>, link| {
        [net.link(link).forward(), net.link(link).backward()].map(|c| c.name().to_owned())
    };
    assert_eq!(names(&net, first), ["a->b", "b->a"]);
    assert_eq!(names(&net, second), ["a.1->b.1", "b.1->a.1"]);
    net.node_mut(a).say(1, "slow?");
    net.node_mut(a).say(0, "fast?");
    net.node_mut(a).say(7, "nowhere");
    net.run_until_idle(at(1.secs()));
    assert_eq!(heard(&net, a), [(0, 0, "fast!"), (10, 1, "slow!")]);
}

/// Everything that can be seen of a run: what both heard, the fates, the captures.
fn run(text: &str, seed: u64, play: Option<&FateList>) -> (Vec<(u64, usize, String)>, String, Vec<u8>) {
    let (mut net, a, b, link) = pair(text, seed);
    let (capture, buffer) = Capture::in_memory();
    net.capture_link(link, &capture).unwrap();
    net.capture_node(b, &capture).unwrap();
    net.record_fates(None);
    if let Some(list) = play {
        net.play_back(list);
    }
    for round in 0..200u64 {
        net.run_until(at(round.ms()));
        net.node_mut(a).say(0, &format!("question {round}?"));
    }
    net.run_until_idle(Instant::MAX);
    let mut heard = net.node(a).heard.clone();
    heard.extend(net.node(b).heard.iter().cloned());
    (heard, net.fates().to_string(), buffer.bytes())
}

#[test]
fn one_seed_is_one_run() {
    let text =
        "delay 10ms 5ms distribution normal loss 5% duplicate 5% corrupt 5% reorder 10% rate 1mbit queue 50";
    let (heard, fates, capture) = run(text, 1, None);
    assert!(heard.len() > 300 && fates.contains(": drop") && fates.contains("of b->a"));
    assert_eq!(run(text, 1, None), (heard.clone(), fates.clone(), capture));
    assert_ne!(run(text, 2, None).1, fates);
    // And its fates alone repeat it, whatever the dice would say.
    let list = fates.parse().unwrap();
    let (again, fates_again, _) = run("delay 10ms rate 1mbit queue 50", 2, Some(&list));
    assert_eq!((again, fates_again), (heard, fates));
}

#[test]
fn loss_does_not_change_the_delays_of_what_arrives() {
    let (clean, _, _) = run("delay 10ms 5ms", 1, None);
    let (lossy, _, _) = run("delay 10ms 5ms loss 20%", 1, None);
    assert!(lossy.len() < clean.len());
    // Questions are sent at fixed times; answers depend on when their question came and are left out.
    let questions = |heard: &[(u64, usize, String)]| -> Vec<_> {
        heard.iter().filter(|(_, _, words)| words.ends_with('?')).cloned().collect()
    };
    let (clean, lossy) = (questions(&clean), questions(&lossy));
    assert!(lossy.iter().all(|frame| clean.contains(frame)));
}

#[test]
fn a_capture_tells_each_frame_once_with_its_fate() {
    let (mut net, a, b, link) = pair("delay 10ms", 1);
    net.play_back(&"frame 1 of a->b: drop\nframe 2 of a->b: duplicate 20ms; delay 10ms".parse().unwrap());
    let (on_link, link_bytes) = Capture::in_memory();
    let (at_b, b_bytes) = Capture::in_memory();
    net.capture_link(link, &on_link).unwrap();
    net.capture_node(b, &at_b).unwrap();
    net.record_trace(2);
    net.node_mut(a).say(0, "1");
    net.node_mut(a).say(0, "2?");
    net.run_until_idle(at(1.secs()));
    assert_eq!(
        lines(&link_bytes.bytes()),
        [
            "0 a->b 1 why=datagram fate=drop",
            "0 a->b 2? why=datagram fate=delay+duplicate delay_us=10000 copy_delay_us=20000",
            "10 b->a 2! why=datagram",
            "20 b->a 2! why=datagram",
        ]
    );
    let copies = "fate=delay+duplicate delay_us=10000 copy_delay_us=20000";
    assert_eq!(
        lines(&b_bytes.bytes()),
        [
            &format!("10 b 2? {copies}"),
            "10 b 2! why=datagram",
            &format!("20 b 2? {copies}"),
            "20 b 2! why=datagram"
        ]
    );
    let trace = net.trace().unwrap();
    assert_eq!((trace.frames.len(), trace.omitted), (2, 2));
    assert_eq!(trace.frames[1].passage.copy_arrival, Some(at(20.ms())));
    let arrows: Vec<_> = trace.frames.iter().map(|frame| frame.arrow(frame.why.to_string())).collect();
    let notes: Vec<_> = arrows.iter().map(|arrow| (arrow.end, arrow.note.as_str())).collect();
    assert_eq!(notes, [(End::Lost, "lost"), (End::Twice, "+10 ms, again +20 ms")]);
    let counts: Vec<String> = net.counts().map(|(name, counts)| format!("{name}: {counts}")).collect();
    assert_eq!(counts, ["a->b: 2 frames, 1 lost, 1 duplicated, 2 delivered", "b->a: 2 frames, 2 delivered"]);
}

/// Time, interface, bytes and comment of each packet of a capture.
fn lines(capture: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(capture).unwrap();
    let mut lines = Vec::new();
    let mut names = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let bytes = String::from_utf8_lossy(packet.bytes).into_owned();
        let comment = packet.comment.unwrap_or_default().into_owned();
        lines.push((packet.time.as_millis(), packet.interface, bytes, comment));
        names = reader.interfaces().iter().map(|i| i.name.clone().unwrap()).collect();
    }
    lines
        .into_iter()
        .map(|(time, i, bytes, comment)| format!("{time} {} {bytes} {comment}", names[i]))
        .collect()
}

#[test]
fn quiet_time_costs_nothing() {
    let (mut net, a, _, _) = pair("delay 10ms", 1);
    net.node_mut(a).wakes = vec![at(Duration::from_secs(3_600_000))];
    assert_eq!(net.run_until_idle(Instant::MAX), Stop::Idle);
    assert_eq!(net.now(), at(3_600_000.secs()) + 10.ms());
    assert!(net.link(LinkId(0)).forward().config() == &Impairment::delay(10.ms()));
}
