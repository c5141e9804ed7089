use super::*;
use crate::time::{Units, at};

struct Trace {
    addresses: Addresses,
    events: Events,
    rng: Rng,
}

impl Trace {
    fn new() -> Self {
        Self { addresses: Addresses::default(), events: Events::default(), rng: Rng::new(1, 0) }
    }

    fn with(list: &[(&str, u8)]) -> Self {
        let mut trace = Self::new();
        list.iter().for_each(|&(address, len)| trace.add(Instant::ZERO, address, len, false).unwrap());
        trace
    }

    fn add(&mut self, now: Instant, address: &str, len: u8, probe: bool) -> Result<(), AddressError> {
        let address = Address::new(ip(address), len, Origin::Static);
        self.addresses.add(now, address, probe, &mut self.rng, &mut self.events)
    }

    /// Runs all deadlines up to `until`; answers what was said and when, in milliseconds.
    fn run(&mut self, until: Instant) -> Vec<(u64, Saying)> {
        let (mut said, mut now) = (Vec::new(), Instant::ZERO);
        loop {
            said.extend(
                core::iter::from_fn(|| self.addresses.poll_saying()).map(|(_, s)| (now.as_millis(), s)),
            );
            match self.addresses.poll_timeout() {
                Some(due) if due <= until => now = due,
                _ => return said,
            }
            self.addresses.handle_timeout(now, &mut self.rng, &mut self.events);
            while self.addresses.take_expired(now).is_some() {}
            assert!(
                self.addresses.poll_timeout().is_none_or(|next| next > now),
                "a deadline must not stay behind"
            );
        }
    }

    fn state(&self, address: &str) -> Option<AddressState> {
        self.addresses.get(ip(address)).map(|address| address.state)
    }

    fn conflict(&mut self, now: Instant, address: &str) -> bool {
        self.addresses.handle_conflict(now, ip(address), None, &mut self.events)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn ipv4_is_probed_three_times_and_announced_twice() {
    let mut trace = Trace::new();
    trace.add(at(0.ms()), "10.9.0.2", 24, true).unwrap();
    assert!(!trace.addresses.owns(ip("10.9.0.2")));
    let said = trace.run(at(60.secs()));
    let words: Vec<_> = said.iter().map(|&(_, saying)| saying).collect();
    assert_eq!(words, [Saying::Probe, Saying::Probe, Saying::Probe, Saying::Announce, Saying::Announce]);
    let gaps: Vec<u64> = said.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(said[0].0 <= 1000);
    assert!(gaps[..2].iter().all(|gap| (1000..=2000).contains(gap)), "{gaps:?}");
    // Whole milliseconds of times that are not.
    assert!(gaps[2].abs_diff(2000) <= 1 && gaps[3].abs_diff(2000) <= 1, "{gaps:?}");
    assert_eq!(trace.events.pop(), Some(Event::AddressReady { ip: ip("10.9.0.2"), prefix_len: 24 }));
    assert_eq!(trace.addresses.poll_timeout(), None);
}

#[test]
fn ipv6_is_probed_once() {
    let mut trace = Trace::new();
    trace.add(at(0.ms()), "fd09::2", 64, true).unwrap();
    let said = trace.run(at(60.secs()));
    assert!(
        matches!(said[..], [(first, Saying::Probe), (second, Saying::Announce)]
        if first <= 1000 && (second - first).abs_diff(1000) <= 1),
        "{said:?}"
    );
    assert_eq!(trace.state("fd09::2"), Some(AddressState::Preferred));
}

#[test]
fn without_probing_an_address_is_ready_at_once() {
    let mut trace = Trace::with(&[("10.9.0.2", 24)]);
    assert!(trace.addresses.owns(ip("10.9.0.2")));
    assert_eq!(trace.run(at(60.secs())), [(0, Saying::Announce), (2000, Saying::Announce)]);
}

#[test]
fn a_conflict_while_probing_takes_the_address_away() {
    for address in ["10.9.0.2", "fd09::2"] {
        let mut trace = Trace::new();
        trace.add(at(0.ms()), address, 24, true).unwrap();
        trace.run(at(500.ms()));
        assert!(trace.conflict(at(500.ms()), address));
        assert_eq!(
            trace.events.pop(),
            Some(Event::AddressConflict { ip: ip(address), mac: None, lost: true })
        );
        assert_eq!(trace.run(at(60.secs())), []);
        assert_eq!(trace.state(address), Some(AddressState::Duplicated));
        assert!(!trace.addresses.owns(ip(address)));
        assert!(!trace.conflict(at(60.secs()), address), "reported once");
    }
}

#[test]
fn an_address_in_use_is_defended_once_in_ten_seconds() {
    let mut trace = Trace::with(&[("10.9.0.2", 24)]);
    trace.run(at(3.secs()));
    let told: Vec<bool> = (3..30).map(|s| trace.conflict(at(Duration::from_secs(s)), "10.9.0.2")).collect();
    assert_eq!(told.iter().filter(|&&told| told).count(), 3);
    assert_eq!(trace.addresses.poll_saying(), Some((ip("10.9.0.2"), Saying::Defend)));
    assert!(trace.addresses.owns(ip("10.9.0.2")));
}

#[test]
fn lifetimes_end() {
    let mut trace = Trace::new();
    let (preferred_until, valid_until) = (Some(at(10.secs())), Some(at(20.secs())));
    let address =
        Address { preferred_until, valid_until, ..Address::new(ip("fd09::2"), 64, Origin::Autoconf) };
    trace.addresses.add(at(0.ms()), address, true, &mut trace.rng, &mut trace.events).unwrap();
    trace.run(at(9.secs()));
    assert_eq!(trace.state("fd09::2"), Some(AddressState::Preferred));
    trace.run(at(10.secs()));
    assert_eq!(trace.state("fd09::2"), Some(AddressState::Deprecated));
    assert!(trace.addresses.owns(ip("fd09::2")), "old connections go on");
    trace.addresses.set_lifetimes(at(11.secs()), ip("fd09::2"), Some(at(15.secs())), valid_until);
    assert_eq!(trace.state("fd09::2"), Some(AddressState::Preferred));
    trace.run(at(20.secs()));
    assert_eq!(trace.state("fd09::2"), None);
}

#[test]
fn refuses_what_cannot_be_an_address() {
    let mut trace = Trace::with(&[("10.9.0.2", 24)]);
    let mut add = |address: &str, len| trace.add(at(0.ms()), address, len, false);
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::", "::1", "ff02::1"] {
        assert_eq!(add(address, 8), Err(AddressError::NotUnicast(ip(address))));
    }
    assert_eq!(add("10.9.0.3", 33), Err(AddressError::PrefixLength(33)));
    assert_eq!(add("10.9.0.2", 24), Err(AddressError::Exists(ip("10.9.0.2"))));
    for n in 1..MAX_ADDRESSES {
        add(&format!("fd09::{n:x}"), 64).unwrap();
    }
    assert_eq!(add("fd09::ffff", 64), Err(AddressError::Full));
}

#[test]
fn knows_the_broadcasts_of_its_prefixes() {
    let trace = Trace::with(&[("10.9.0.2", 24), ("10.8.0.0", 31), ("10.7.0.1", 32), ("fd09::2", 64)]);
    assert!(trace.addresses.is_broadcast(ip("10.9.0.255")));
    for other in ["10.9.1.255", "10.8.0.1", "10.7.0.1", "fd09::ffff"] {
        assert!(!trace.addresses.is_broadcast(ip(other)), "{other}");
    }
    assert!(trace.addresses.on_link(ip("10.9.0.77")) && trace.addresses.on_link(ip("fd09::77")));
    assert!(!trace.addresses.on_link(ip("10.9.1.1")) && !trace.addresses.on_link(ip("fd0a::1")));
}

/// RFC 6724 section 5; the last column says which rule decides.
#[test]
fn chooses_the_source_address() {
    let mut trace = Trace::with(&[
        ("fe80::2", 64),
        ("2001:db8:1::2", 64),
        ("2001:db8:2::2", 64),
        ("10.9.0.2", 24),
        ("192.168.7.2", 24),
    ]);
    let expect =
        |dst: &str, source: &str| assert_eq!(trace.addresses.source_for(ip(dst)), Some(ip(source)), "{dst}");
    expect("2001:db8:1::2", "2001:db8:1::2"); // 1
    expect("fe80::9", "fe80::2"); // 2
    expect("ff02::1", "fe80::2"); // 2
    expect("ff0e::1", "2001:db8:1::2"); // 2, then the first
    expect("2001:db8:2::99", "2001:db8:2::2"); // 8
    expect("192.168.7.99", "192.168.7.2"); // 8
    expect("8.8.8.8", "10.9.0.2"); // the first of equals
    let over = Some(at(0.ms()));
    trace.addresses.set_lifetimes(at(0.ms()), ip("2001:db8:2::2"), over, None);
    trace.run(at(3.secs()));
    let source = trace.addresses.source_for(ip("2001:db8:2::99"));
    assert_eq!(source, Some(ip("2001:db8:1::2")), "rule 3: not a deprecated one");
    assert_eq!(Trace::with(&[("10.9.0.2", 24)]).addresses.source_for(ip("fd09::1")), None);
}
