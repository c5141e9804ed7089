//! What a connection that is observed tells of its decisions.

use super::super::testing::*;
use super::super::*;
use crate::time::{Units, at};

fn observed() -> Settings {
    Settings { observe: true, ..bare() }
}

/// What was decided since the last call, without the samples of each acknowledgment.
fn told(one: &mut One) -> Vec<String> {
    let now = one.now;
    let decided = core::iter::from_fn(|| one.c.poll_decision(now));
    decided.map(|told| told.decision.to_string()).filter(|told| !told.starts_with("rtt ")).collect()
}

#[test]
fn nobody_observes_unless_asked() {
    let mut one = One::established(bare());
    assert!(!one.c.is_observed());
    assert_eq!(one.c.poll_decision(one.now), None);
    one.c.set_observed(true);
    let first = told(&mut one);
    assert_eq!(first[0], "state from=CLOSED to=ESTABLISHED", "the values as they are: {first:?}");
    one.c.set_observed(false);
    one.c.abort(one.now);
    assert_eq!(one.c.poll_decision(one.now), None);
}

#[test]
fn a_timeout_is_told_with_its_numbers() {
    let mut one = One::connect(observed());
    one.play("> S seq=0");
    assert_eq!(
        told(&mut one),
        ["state from=CLOSED to=SYN-SENT", "rto_armed due_us=2000000 rto_us=1000000 backoff=0"]
    );
    one.play("+100ms \n < SA seq=0 ack=1 win=20000 mss=1000 \n > A seq=1 ack=1");
    assert_eq!(
        told(&mut one),
        [
            "state from=SYN-SENT to=ESTABLISHED",
            "congestion from= to=reno",
            "phase from= to=slow_start",
            "cwnd from=0 to=10000",
            "mss from=0 to=1000",
            "rto_stopped",
        ]
    );
    one.send(2000);
    one.play("> A seq=1 len=1000 \n > PA seq=1001 len=1000");
    assert_eq!(told(&mut one), ["rto_armed due_us=1400000 rto_us=300000 backoff=0"]);
    one.play("+300ms \n > A seq=1 len=1000 why=rto");
    assert_eq!(
        told(&mut one),
        [
            "rto_fired in_flight=2000 retries=1 rto_us=600000",
            "lost by=rto bytes=2000 again=0 total=2000",
            "recovery from=open to=loss in_flight=1000 sacked=0 lost=1000",
            "cwnd from=10000 to=1000",
            "ssthresh from=none to=2000",
            "rto_armed due_us=2000000 rto_us=600000 backoff=1",
        ]
    );
}

#[test]
fn what_marks_a_loss_is_told() {
    let mut one = One::established(observed());
    one.send(10_000);
    one.burst();
    told(&mut one);
    one.hear("+100ms \n < A seq=1 ack=1 sack=1001-5001");
    one.burst();
    assert_eq!(
        told(&mut one)[..4],
        [
            "lost by=rack bytes=1000 again=0 total=1000",
            "recovery from=open to=recovery in_flight=6000 sacked=4000 lost=0",
            "phase from=slow_start to=avoidance",
            "cwnd from=10000 to=5000",
        ]
    );
    let mut one = One::established(Settings { sack: false, ..observed() });
    one.send(10_000);
    one.burst();
    told(&mut one);
    one.hear("+100ms \n < A seq=1 ack=1 \n < A seq=1 ack=1 \n < A seq=1 ack=1");
    assert_eq!(told(&mut one)[0], "lost by=dupthresh bytes=1000 again=0 total=1000");
    one.burst();
    one.hear("< A seq=1 ack=2001");
    assert_eq!(told(&mut one)[0], "lost by=partial_ack bytes=1000 again=0 total=1000");
}

#[test]
fn windows_and_silence_are_told() {
    let keepalive = Some(Keepalive { time: 10.secs(), interval: 1.secs(), count: 2 });
    let mut one = One::established(Settings { keepalive, ..observed() });
    told(&mut one);
    one.hear("< A seq=1 ack=1 win=0");
    assert_eq!(told(&mut one), ["peer_window from=20000 to=0"]);
    one.send(100);
    one.play("+300ms \n > A seq=1 len=1 why=zero-window-probe");
    assert_eq!(told(&mut one), ["window_probe backoff=1 next_us=600000"]);
    one.play("< A seq=1 ack=1 win=5000 \n > PA seq=1 len=100 \n < A seq=1 ack=101 win=5000");
    assert_eq!(told(&mut one)[..1], ["peer_window from=0 to=5000"]);
    one.play("+10s \n > A seq=100 why=keepalive \n +1s \n > A seq=100 why=keepalive");
    assert_eq!(told(&mut one), ["keepalive probes=1 of=2", "keepalive probes=2 of=2"]);
    one.hear("+1s");
    assert_eq!(told(&mut one), ["state from=ESTABLISHED to=CLOSED", "ended error=timed_out"]);
}

#[test]
fn samples_come_with_what_follows_from_them() {
    let mut one = One::established(observed());
    told(&mut one);
    one.send(1000);
    one.play("> PA seq=1 len=1000 \n +40ms \n < A seq=1 ack=1001");
    let now = one.now;
    let first = one.c.poll_decision(now).expect("a sample");
    assert_eq!(first.at, now);
    let Decision::Rtt { sample, srtt, .. } = first.decision else { panic!("{first:?}") };
    assert_eq!((sample, srtt), (40.ms(), 92_500.us()));
    assert_ne!(now, at(0.ms()));
}

#[test]
fn what_nobody_asks_for_is_bounded() {
    let mut one = One::established(observed());
    for _ in 0..3000 {
        one.send(1);
        let una = one.c.info().counters.bytes_acked + 2;
        one.hear(&format!("> PA len=1 \n +1ms \n < A seq=1 ack={una}"));
    }
    assert!(one.c.take_decisions_refused() > 1900, "a sample with each acknowledgment");
    assert_eq!(one.c.take_decisions_refused(), 0, "they are counted once");
    assert!(told(&mut one).len() <= 1024);
}
