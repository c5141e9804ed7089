//! BBR on a path of 10 MB/s and 40 ms: the states that it goes through, and what losses and pauses do.

use std::collections::VecDeque;

use super::*;
use crate::tcp::rate::{RateSampler, Stamp};
use crate::time::{Units, at};
use crate::wire::seq::SeqNum;

const SMSS: u64 = 1000;
const RATE: u64 = 10_000_000;
const RTT: Duration = Duration::from_millis(40);
const BDP: u64 = 400_000;

/// A bottleneck with a queue, and the sender before it.
#[derive(Clone)]
struct Path {
    bbr: Bbr,
    now: Instant,
    rate: RateSampler,
    /// When its acknowledgment comes, when it left, what it keeps, and whether it is lost.
    wire: VecDeque<(Instant, Instant, Stamp, bool)>,
    line_free: Instant,
    /// Segments that find more than this before them are lost.
    queue: u64,
    in_flight: u64,
    sent: u32,
    credit: u64,
    /// Every how manieth segment is lost; 0: none.
    lose: u32,
    /// How many were.
    lost: u64,
    /// What would wait for the line passes at once: a policer, with the queue for its bucket.
    polices: bool,
    /// What the path loses by chance is never known, as in the draft.
    forgets: bool,
    idle: bool,
    states: Vec<State>,
}

impl Path {
    fn new(seed: u64, queue: u64) -> Self {
        let begin = Start::new(at(0.ms()), SMSS as u32, false);
        Self {
            bbr: Bbr::new(&Start { srtt: Some(RTT), seed, ..begin }),
            now: at(0.ms()),
            rate: RateSampler::new(),
            wire: VecDeque::new(),
            line_free: at(0.ms()),
            queue,
            in_flight: 0,
            sent: 0,
            credit: 0,
            lose: 0,
            lost: 0,
            polices: false,
            forgets: false,
            idle: false,
            states: Vec::new(),
        }
    }

    /// A tenth of a millisecond.
    fn step(&mut self) {
        self.step_until(|_| false);
    }

    /// The same, but no acknowledgment is taken any more once `enough`.
    fn step_until(&mut self, enough: impl Fn(&Bbr) -> bool) {
        self.now += 100.us();
        self.credit = (self.credit + self.bbr.pacing_rate / 10_000).min(self.bbr.send_quantum);
        while !self.idle && self.credit >= SMSS && self.in_flight + SMSS <= self.bbr.cwnd() {
            self.send();
        }
        if self.idle {
            self.rate.handle_app_limited(self.in_flight as u32);
        }
        while self.wire.front().is_some_and(|&(at, ..)| at <= self.now) && !enough(&self.bbr) {
            self.acknowledge();
        }
        if self.states.last() != Some(&self.bbr.state) {
            self.states.push(self.bbr.state);
        }
    }

    fn send(&mut self) {
        self.credit -= SMSS;
        let app_limited = self.rate.is_app_limited();
        self.bbr.on_sent(&Sent { now: self.now, bytes: SMSS, in_flight: self.in_flight, app_limited });
        let stamp = self.rate.handle_sent(self.now, self.in_flight as u32, SMSS as u32);
        self.sent += 1;
        let waiting = bdp(RATE, self.line_free - self.now);
        let lost = waiting > self.queue || (self.lose > 0 && self.sent.is_multiple_of(self.lose));
        self.in_flight += SMSS;
        self.line_free = self.line_free.max(self.now);
        if !lost {
            self.line_free += 100.us();
        }
        self.lost += u64::from(lost);
        let left = if self.polices { self.now } else { self.line_free };
        self.wire.push_back((left + RTT, self.now, stamp, lost));
    }

    fn acknowledge(&mut self) {
        let Some((_, sent_at, stamp, lost)) = self.wire.pop_front() else { return };
        self.in_flight -= SMSS;
        if self.forgets {
            self.bbr.random_loss = RandomLoss::default();
        }
        if lost {
            self.rate.handle_lost(SMSS as u32, stamp);
            while let Some(lost) = self.rate.poll_lost() {
                self.bbr.on_lost(self.now, &lost);
            }
            return;
        }
        let end = SeqNum::new(self.rate.delivered() as u32);
        self.rate.handle_delivered(SMSS as u32, sent_at, end, stamp);
        let rate = self.rate.take_sample(self.now, Some(RTT));
        let rtt = Some(self.now - sent_at);
        let cwnd_limited = self.in_flight + 2 * SMSS > self.bbr.cwnd();
        self.bbr.on_ack(&AckSample {
            rtt,
            srtt: rtt,
            in_flight: self.in_flight,
            cwnd_limited,
            delivered: self.rate.delivered(),
            rate,
            ..super::super::testing::ack(self.now, SMSS)
        });
        if self.bbr.holds_back() {
            self.rate.handle_app_limited(self.in_flight as u32);
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }
}

#[test]
fn the_path_is_found_and_its_queue_drained() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1900.ms());
    // What Drain leaves is low enough for CRUISE: DOWN is over at once.
    assert_eq!(path.states, [State::Startup, State::Drain, State::Cruise]);
    assert!(path.bbr.bw.abs_diff(RATE) < RATE / 50, "{}", path.bbr.bw);
    assert!((38..=41).contains(&path.bbr.min_rtt.get().unwrap().as_millis()));
    assert!(path.in_flight < BDP * 11 / 10, "no queue: {}", path.in_flight);
}

#[test]
fn bandwidth_is_probed_every_few_seconds_at_a_random_time() {
    let first_probe = |seed| {
        let mut path = Path::new(seed, 10 * BDP);
        while path.bbr.state != State::Refill {
            path.step();
            assert!(path.now < at(4.secs()));
        }
        path.run(1.secs());
        assert_eq!(path.states[3..6], [State::Refill, State::Up, State::Down]);
        path.now
    };
    assert_eq!(first_probe(3), first_probe(3), "a seed repeats it");
    assert_ne!(first_probe(3), first_probe(4));
}

#[test]
fn the_round_trip_time_is_probed_after_five_seconds() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(4.secs());
    // A queue of somebody else's: no sample is as low as before.
    path.line_free = path.now + 20.ms();
    while path.bbr.state != State::ProbeRtt {
        path.step();
        assert!(path.now < at(12.secs()), "{:?}", path.states);
    }
    let began = path.now;
    path.run(100.ms());
    assert!(path.bbr.cwnd() <= BDP * 6 / 10, "{}", path.bbr.cwnd());
    while path.bbr.state == State::ProbeRtt {
        path.step();
    }
    assert_eq!(path.bbr.state, State::Cruise);
    let lasted = path.now - began;
    assert!((200..500).contains(&lasted.as_millis()), "{lasted}");
}

#[test]
fn a_probe_that_loses_too_much_is_remembered() {
    let mut path = Path::new(1, BDP / 5);
    path.run(10.secs());
    let bound = path.bbr.inflight_longterm;
    assert!((BDP / 2..BDP * 3 / 2).contains(&bound), "{bound}");
    assert!(path.bbr.inflight_with_headroom() < bound);
    assert!(path.bbr.bw > RATE * 8 / 10, "{}", path.bbr.bw);
}

#[test]
fn random_loss_costs_nothing_unless_it_is_much_or_there_is_a_queue() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1500.ms());
    // One in a hundred, one in ten: round trips are as short as ever, so no queue has overflowed.
    for lose in [100, 10] {
        path.lose = lose;
        path.run(200.ms());
        assert_eq!((path.bbr.state, path.bbr.bw_shortterm), (State::Cruise, INFINITY));
    }
    let lower = |path: &mut Path| {
        let end = path.now + 200.ms();
        let is_lower = |bbr: &Bbr| bbr.bw_shortterm < INFINITY;
        while !is_lower(&path.bbr) {
            path.step_until(is_lower);
            assert!(path.now < end);
        }
    };
    // As many losses, and a queue.
    let mut crowded = path.clone();
    crowded.line_free = path.now + 20.ms();
    lower(&mut crowded);
    // What was no loss after all is taken back.
    let mut other = crowded.bbr.clone();
    other.undo(crowded.now);
    assert_eq!((other.bw_shortterm, other.inflight_shortterm), (INFINITY, INFINITY));
    // One in four is too much for any path.
    path.lose = 4;
    lower(&mut path);
    path.run(150.ms());
    assert!(path.bbr.bw_shortterm < RATE * 9 / 10, "{}", path.bbr.bw_shortterm);
}

/// What arrives in twelve seconds and what is lost in them, in thousandths of what the path holds and of what was sent.
fn delivered_and_lost(path: &Path) -> [u64; 2] {
    let mut path = path.clone();
    path.run(12.secs());
    [path.rate.delivered() * 1000 / (12 * RATE), path.lost * 1000 / u64::from(path.sent)]
}

#[test]
fn a_queue_is_not_blamed_for_what_is_lost_anyway() {
    let lossy = Path { lose: 20, ..Path::new(1, BDP) };
    let [delivered, _] = delivered_and_lost(&lossy);
    let [less, _] = delivered_and_lost(&Path { forgets: true, ..lossy });
    assert!(delivered > 900 && less < 880, "{delivered}, {less}");
}

#[test]
fn a_queue_of_few_segments_or_a_policer_loses_no_more_than_without_that() {
    for seed in 1..=4 {
        for (queue, polices) in [(2, false), (4, false), (8, false), (20, true), (100, true), (400, true)] {
            let path = Path { polices, ..Path::new(seed, queue * SMSS) };
            let [_, lost] = delivered_and_lost(&path);
            let [_, before] = delivered_and_lost(&Path { forgets: true, ..path });
            assert!(lost <= before, "{queue} segments, a policer: {polices}: {lost}, not {before}");
        }
    }
}

#[test]
fn what_overtakes_does_not_shorten_the_path() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1500.ms());
    let sample = super::super::testing::ack(path.now, 0);
    path.bbr.min_rtt.handle_ack(&AckSample { rtt: Some(RTT / 2), ..sample }, true);
    assert!(path.bbr.min_rtt.get() >= Some(RTT));
    path.bbr.min_rtt.handle_ack(&AckSample { rtt: Some(RTT / 2), newly_acked: SMSS, ..sample }, true);
    assert_eq!(path.bbr.min_rtt.get(), Some(RTT / 2));
}

#[test]
fn excess_loss_while_cruising_takes_from_the_level_once() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1500.ms());
    path.bbr.inflight_longterm = 3 * BDP;
    path.bbr.yield_to_others();
    let level = path.bbr.inflight_longterm;
    assert_eq!(level, 3 * BDP * 7 / 10);
    path.bbr.yield_to_others();
    assert_eq!(path.bbr.inflight_longterm, level, "once between probes");
    path.bbr.start_refill(path.bbr.latest.delivered);
    path.bbr.inflight_longterm = BDP;
    path.bbr.yield_to_others();
    assert_eq!(path.bbr.inflight_longterm, BDP, "what fills the path is kept");
}

#[test]
fn after_a_pause_the_pipe_is_filled_at_its_bandwidth() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1500.ms());
    path.idle = true;
    path.run(2.secs());
    assert_eq!(path.in_flight, 0);
    let cwnd = path.bbr.cwnd();
    path.bbr.on_idle_restart(path.now, 2.secs());
    path.idle = false;
    path.run(1.ms());
    assert_eq!(path.bbr.cwnd(), cwnd, "no slow start");
    assert!(path.bbr.pacing_rate > RATE * 9 / 10 && path.bbr.pacing_rate <= RATE, "{}", path.bbr.pacing_rate);
    assert!(path.bbr.idle_restart);
}

#[test]
fn a_timeout_leaves_one_segment_until_it_is_repaired() {
    let mut path = Path::new(1, 10 * BDP);
    path.run(1500.ms());
    let cwnd = path.bbr.cwnd();
    path.bbr.on_rto(&Timeout { now: path.now, flight: BDP, repeated: false, again: false });
    assert_eq!(path.bbr.cwnd(), SMSS);
    path.bbr.on_recovery_exit(path.now, 0);
    assert_eq!(path.bbr.cwnd(), cwnd);
}
