use super::*;
use crate::time::{Units, at};
use core::net::Ipv4Addr;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
const SOLICITED: Claim = Claim { solicited: true, overrides: true };
const UNSOLICITED: Claim = Claim { solicited: false, overrides: true };

/// A cache, and what it told.
struct Trace {
    cache: Cache,
    events: Events,
}

impl Trace {
    fn new(config: NeighborConfig) -> Self {
        Self { cache: Cache::new(config, &mut Rng::new(1, 0)), events: Events::default() }
    }

    fn reply(&mut self, now: Instant, ip: IpAddr, mac: MacAddr, claim: Claim) {
        self.cache.handle_advert(now, ip, Some(mac), claim, &mut self.events);
    }

    /// Runs all deadlines up to `until`; answers when each question left, and to whom.
    fn run(&mut self, until: Instant) -> Vec<(u64, Ask)> {
        let mut asked = Vec::new();
        let mut now = Instant::ZERO;
        loop {
            asked.extend(core::iter::from_fn(|| self.cache.poll_ask()).map(|ask| (now.as_millis(), ask)));
            match self.cache.poll_timeout() {
                Some(due) if due <= until => now = due,
                _ => return asked,
            }
            self.cache.handle_timeout(now, &mut self.events);
            assert!(
                self.cache.poll_timeout().is_none_or(|next| next > now),
                "a deadline must not stay behind"
            );
        }
    }

    fn state(&self, now: Instant, ip: IpAddr) -> Option<NeighborState> {
        self.cache.get(now, ip).map(|neighbor| neighbor.state)
    }

    fn event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Known and reachable at `now`.
    fn resolved(&mut self, now: Instant, ip: IpAddr) {
        assert_eq!(self.cache.resolve(now, ip), Resolution::Pending);
        self.reply(now, ip, mac(1), SOLICITED);
        assert_eq!(self.event(), Some(Event::NeighborResolved { ip, mac: mac(1) }));
        assert_eq!(self.cache.resolve(now, ip), Resolution::Known(mac(1)));
    }
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn host(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([10, 10, high, low])
}

#[test]
fn asks_three_times_and_gives_up_for_a_while() {
    let mut trace = Trace::new(NeighborConfig::default());
    assert_eq!(trace.cache.resolve(at(0.ms()), GATEWAY), Resolution::Pending);
    assert_eq!(trace.cache.resolve(at(0.ms()), GATEWAY), Resolution::Pending);
    let ask = |attempt| Ask { ip: GATEWAY, mac: None, attempt };
    assert_eq!(trace.run(at(10.secs())), [(0, ask(1)), (1000, ask(2)), (2000, ask(3))]);
    assert_eq!(trace.event(), Some(Event::NeighborFailed { ip: GATEWAY }));
    assert_eq!(trace.cache.resolve(at(5999.ms()), GATEWAY), Resolution::Failed);
    assert_eq!(trace.cache.resolve(at(6.secs()), GATEWAY), Resolution::Pending);
    assert_eq!(trace.cache.poll_ask(), Some(ask(1)));
}

#[test]
fn an_answer_ends_the_asking() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.resolved(at(0.ms()), GATEWAY);
    assert_eq!(trace.run(at(60.secs())), []);
    assert_eq!(trace.cache.poll_timeout(), None, "an idle neighbour has no timer");
}

#[test]
fn a_used_stale_neighbour_is_probed_after_the_delay() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.resolved(at(0.ms()), GATEWAY);
    let now = at(50.secs());
    assert_eq!(trace.state(now, GATEWAY), Some(NeighborState::Stale));
    assert_eq!(trace.cache.resolve(now, GATEWAY), Resolution::Known(mac(1)));
    assert_eq!(trace.state(now, GATEWAY), Some(NeighborState::Delay));
    let asked = trace.run(at(55.secs()));
    assert_eq!(asked, [(55_000, Ask { ip: GATEWAY, mac: Some(mac(1)), attempt: 1 })]);
    trace.reply(at(55.secs()), GATEWAY, mac(1), SOLICITED);
    assert_eq!(trace.state(at(55.secs()), GATEWAY), Some(NeighborState::Reachable));
    assert_eq!(trace.event(), None, "nobody waited for it");
}

#[test]
fn a_confirmation_from_above_spares_the_probe() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.resolved(at(0.ms()), GATEWAY);
    trace.cache.resolve(at(50.secs()), GATEWAY);
    trace.cache.confirm(at(52.secs()), GATEWAY);
    assert_eq!(trace.run(at(200.secs())), []);
    assert_eq!(trace.state(at(60.secs()), GATEWAY), Some(NeighborState::Reachable));
}

#[test]
fn a_silent_neighbour_in_use_is_asked_for_anew_and_an_unused_one_forgotten() {
    for in_use in [true, false] {
        let mut trace = Trace::new(NeighborConfig::default());
        trace.resolved(at(0.ms()), GATEWAY);
        trace.cache.resolve(at(50.secs()), GATEWAY);
        trace.run(at(57.secs()));
        if in_use {
            assert_eq!(trace.cache.resolve(at(57.secs()), GATEWAY), Resolution::Known(mac(1)));
        } else {
            // As if it had been used for the last time long before the delay began.
            trace.cache.entries.get_mut(&GATEWAY).unwrap().used = Some(at(1.secs()));
        }
        let asked = trace.run(at(70.secs()));
        let state = trace.state(at(70.secs()), GATEWAY);
        if in_use {
            assert_eq!(asked.iter().filter(|(_, ask)| ask.mac.is_none()).count(), 3, "{asked:?}");
            assert_eq!(state, Some(NeighborState::Failed));
            assert_eq!(trace.event(), Some(Event::NeighborFailed { ip: GATEWAY }));
        } else {
            assert_eq!((asked, state), (vec![], None));
        }
    }
}

/// RFC 4861 section 7.2.5 and appendix C, the rows for advertisements.
#[test]
fn an_advertisement_with_another_address() {
    use NeighborState::{Reachable, Stale};
    let claim = |solicited, overrides| Claim { solicited, overrides };
    for (claim, state, known) in [
        (claim(false, false), Stale, mac(1)),
        (claim(true, false), Stale, mac(1)),
        (claim(false, true), Stale, mac(2)),
        (claim(true, true), Reachable, mac(2)),
    ] {
        let mut trace = Trace::new(NeighborConfig::default());
        trace.resolved(at(0.ms()), GATEWAY);
        trace.reply(at(1.secs()), GATEWAY, mac(2), claim);
        let neighbor = trace.cache.get(at(1.secs()), GATEWAY).unwrap();
        assert_eq!((neighbor.state, neighbor.mac), (state, Some(known)), "{claim:?}");
    }
}

#[test]
fn an_advertisement_makes_no_entry_and_a_question_does() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.reply(at(0.ms()), GATEWAY, mac(1), SOLICITED);
    assert_eq!(trace.state(at(0.ms()), GATEWAY), None);
    trace.cache.handle_sender(at(0.ms()), GATEWAY, mac(1), &mut trace.events);
    assert_eq!(trace.state(at(0.ms()), GATEWAY), Some(NeighborState::Stale));
}

#[test]
fn who_asks_us_while_we_ask_for_it_is_found() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.cache.resolve(at(0.ms()), GATEWAY);
    trace.cache.handle_sender(at(1.ms()), GATEWAY, mac(1), &mut trace.events);
    assert_eq!(trace.event(), Some(Event::NeighborResolved { ip: GATEWAY, mac: mac(1) }));
    assert_eq!(trace.run(at(2.ms())), [], "the question that did not leave yet is not asked");
}

#[test]
fn an_announcement_revives_a_failed_neighbour() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.cache.resolve(at(0.ms()), GATEWAY);
    trace.run(at(4.secs()));
    assert_eq!(trace.event(), Some(Event::NeighborFailed { ip: GATEWAY }));
    trace.reply(at(5.secs()), GATEWAY, mac(1), UNSOLICITED);
    assert_eq!(trace.cache.resolve(at(5.secs()), GATEWAY), Resolution::Known(mac(1)));
}

#[test]
fn a_scan_from_inside_is_refused_and_evicts_nobody() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.cache.pin(GATEWAY);
    trace.resolved(at(0.ms()), GATEWAY);
    trace.resolved(at(0.ms()), host(0));
    let answers: Vec<_> = (1..=5000).map(|n| trace.cache.resolve(at(1.ms()), host(n))).collect();
    assert_eq!(answers.iter().filter(|&&answer| answer == Resolution::Pending).count(), 256);
    assert_eq!(trace.cache.stats().refused_unresolved, 5000 - 256);
    assert_eq!(trace.cache.resolve(at(1.ms()), GATEWAY), Resolution::Known(mac(1)));
    assert_eq!(trace.cache.resolve(at(1.ms()), host(0)), Resolution::Known(mac(1)));
    // A gateway is asked for even now.
    let second = IpAddr::from([10, 9, 0, 254]);
    trace.cache.pin(second);
    assert_eq!(trace.cache.resolve(at(1.ms()), second), Resolution::Pending);
    // Those that failed make room for others, the oldest first.
    trace.run(at(10.secs()));
    assert_eq!(trace.cache.resolve(at(10.secs()), host(6000)), Resolution::Pending);
}

#[test]
fn invented_senders_evict_each_other_and_nobody_else() {
    let mut trace = Trace::new(NeighborConfig::default());
    trace.cache.pin(GATEWAY);
    trace.resolved(at(0.ms()), GATEWAY);
    trace.resolved(at(100.secs()), host(0));
    for n in 1..=5000 {
        trace.cache.handle_sender(at(101.secs()), host(n), mac(9), &mut trace.events);
    }
    assert_eq!(trace.cache.entries.len(), 1024);
    assert_eq!(trace.cache.stats().evicted, 5002 - 1024);
    let now = at(101.secs());
    assert!(trace.cache.get(now, GATEWAY).is_some(), "unused for 100 s, but pinned");
    assert!(trace.cache.get(now, host(0)).is_some(), "in use");
}

#[test]
fn a_cache_full_of_entries_in_use_takes_no_more() {
    let config = NeighborConfig { limit: 4, ..NeighborConfig::default() };
    let mut trace = Trace::new(config);
    (0..4).for_each(|n| trace.resolved(at(0.ms()), host(n)));
    assert_eq!(trace.cache.resolve(at(1.ms()), host(9)), Resolution::Failed);
    assert_eq!(trace.cache.stats().refused_full, 1);
    trace.cache.resolve(at(30.secs()), host(3));
    assert_eq!(
        trace.cache.resolve(at(60.secs()), host(9)),
        Resolution::Pending,
        "one was unused for a minute"
    );
    assert_eq!(trace.cache.get(at(60.secs()), host(0)), None);
}

#[test]
fn a_router_changes_the_times_within_reason() {
    let mut rng = Rng::new(3, 0);
    let mut trace = Trace::new(NeighborConfig::default());
    trace.cache.set_times(Some(2.secs()), Some(200.ms()), &mut rng);
    assert!((1.secs()..=3.secs()).contains(&trace.cache.reachable));
    trace.cache.resolve(at(0.ms()), GATEWAY);
    let times: Vec<u64> = trace.run(at(1.secs())).into_iter().map(|(ms, _)| ms).collect();
    assert_eq!(times, [0, 200, 400]);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Resolve(u8),
    Sender(u8, u8),
    Advert(u8, Option<u8>, bool, bool),
    Confirm(u8),
    Pin(u8),
    Unpin(u8),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u16..9000).prop_map(Step::Wait),
        (0u8..24).prop_map(Step::Resolve),
        (0u8..24, 0u8..3).prop_map(|(ip, mac)| Step::Sender(ip, mac)),
        (0u8..24, proptest::option::of(0u8..3), any::<bool>(), any::<bool>())
            .prop_map(|(ip, mac, solicited, overrides)| Step::Advert(ip, mac, solicited, overrides)),
        (0u8..24).prop_map(Step::Confirm),
        (0u8..2).prop_map(Step::Pin),
        (0u8..2).prop_map(Step::Unpin),
        Just(Step::Poll),
    ]
}

proptest! {
    /// Whatever happens, the counts agree with the entries, the limits hold, and no deadline stays behind.
    #[test]
    fn holds_its_limits(steps in proptest::collection::vec(step(), 1..200)) {
        let config = NeighborConfig { limit: 8, unresolved_limit: 4, ..NeighborConfig::default() };
        let mut trace = Trace::new(config);
        let mut now = Instant::ZERO;
        for step in steps {
            let ip = |n: u8| host(u16::from(n));
            match step {
                Step::Wait(ms) => {
                    now += u64::from(ms).ms();
                    trace.cache.handle_timeout(now, &mut trace.events);
                    prop_assert!(trace.cache.poll_timeout().is_none_or(|due| due > now));
                }
                Step::Resolve(n) => { trace.cache.resolve(now, ip(n)); }
                Step::Sender(n, m) => trace.cache.handle_sender(now, ip(n), mac(m), &mut trace.events),
                Step::Advert(n, m, solicited, overrides) => {
                    let claim = Claim { solicited, overrides };
                    trace.cache.handle_advert(now, ip(n), m.map(mac), claim, &mut trace.events);
                }
                Step::Confirm(n) => trace.cache.confirm(now, ip(n)),
                Step::Pin(n) => trace.cache.pin(ip(n)),
                Step::Unpin(n) => trace.cache.unpin(ip(n)),
                Step::Poll => { trace.cache.poll_ask(); }
            }
            let cache = &trace.cache;
            let unresolved = cache.entries.values().filter(|entry| entry.state.mac().is_none()).count();
            let due = cache.entries.values().filter(|entry| entry.due.is_some()).count();
            let queued = cache.entries.values().filter(|entry| entry.queued).count();
            prop_assert_eq!(unresolved, cache.unresolved);
            prop_assert_eq!((due, queued), (cache.due.len(), cache.asks.len()));
            // The two that may be pinned come on top of the limit.
            prop_assert!(cache.entries.len() <= 8 + 2);
        }
    }
}
