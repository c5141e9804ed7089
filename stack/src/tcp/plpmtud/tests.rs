use super::*;
use crate::time::{Units, at};

/// A path of 1,500 bytes under IPv4, without options.
fn search(limit: u32) -> Plpmtud {
    Plpmtud::new(at(0.ms()), 20, limit)
}

fn probe(size: u32) -> Probe {
    Probe { start: SeqNum::new(1000), len: size - 20, size }
}

/// Searches a path that takes `mtu`; answers the sizes that it tried.
fn find(search: &mut Plpmtud, now: Instant, mtu: u32) -> Vec<u32> {
    let mut tried = Vec::new();
    while let Some(size) = search.poll_size(now) {
        tried.push(size);
        search.handle_sent(probe(size));
        let answer = if size <= mtu { search.handle_ack(probe(size).end()) } else { search.handle_lost() };
        assert_eq!(answer, Some(probe(size)));
    }
    tried
}

#[test]
fn halves_the_range_until_it_is_narrow() {
    let mut search = search(1480);
    assert_eq!(find(&mut search, at(1.secs()), 1260), [1262, 1152, 1206, 1233, 1247, 1254]);
    assert_eq!(search.search(), MtuSearch { low: 1254, high: 1261, probe: None });
}

#[test]
fn ends_with_the_largest_size_if_nothing_fails() {
    let mut search = search(1480);
    assert_eq!(find(&mut search, at(1.secs()), 1480), [1262, 1371, 1425, 1452, 1466, 1473, 1480]);
    assert_eq!(search.size(), 1480);
    assert_eq!(search.poll_size(at(700.secs())), None, "there is nothing larger");
}

#[test]
fn tries_again_when_the_path_may_have_changed() {
    let mut search = search(1480);
    find(&mut search, at(1.secs()), 1260);
    assert_eq!(search.poll_size(at(599.secs())), None);
    find(&mut search, at(600.secs()), 1480);
    find(&mut search, at(600.secs()), 1480);
    assert_eq!(search.size(), 1480);
}

#[test]
fn a_black_hole_halves_down_to_the_floor() {
    let mut search = Plpmtud { low: 1480, ..search(1480) };
    let mut sizes = Vec::new();
    for _ in 0..7 {
        search.handle_black_hole();
        sizes.push(search.size() - 20);
    }
    assert_eq!(sizes, [1024, 512, 256, 128, 64, 48, 48]);
    assert_eq!(search.search().high, 1480);
}

#[test]
fn a_limit_bounds_the_search_and_another_path_is_searched_anew() {
    let mut search = search(1480);
    search.handle_limit(1260);
    assert_eq!(find(&mut search, at(1.secs()), 1260).last(), Some(&1260));
    search.handle_limit(556);
    assert_eq!(search.search(), MtuSearch { low: 556, high: 556, probe: None });
    search.handle_limit(1480);
    assert_eq!(find(&mut search, at(1.secs()), 1480).last(), Some(&1480));
    // A peer that takes less than the base size is not asked for more.
    assert_eq!(super::Plpmtud::new(at(0.ms()), 20, 556).size(), 556);
}

#[test]
fn what_is_sent_again_tells_nothing() {
    let mut search = search(1480);
    search.handle_sent(probe(1262));
    assert_eq!(search.poll_size(at(1.secs())), None, "one is on its way");
    search.handle_resent(SeqNum::new(0), 1000);
    search.handle_resent(probe(1262).end(), 1000);
    assert_eq!(search.handle_ack(probe(1262).end() - 1), None);
    assert!(search.probe().is_some());
    search.handle_resent(SeqNum::new(1500), 10);
    assert_eq!(search.handle_ack(probe(1262).end()), None);
    assert_eq!((search.size(), search.poll_size(at(1.secs()))), (1044, Some(1262)));
}

#[test]
fn names_and_numbers_are_those_of_linux() {
    for (number, name) in MtuProbing::NAMES.into_iter().enumerate() {
        let probing = MtuProbing::named(name).unwrap();
        assert_eq!(usize::from(probing.sysctl()), number);
        assert_eq!(MtuProbing::named(&number.to_string()), Some(probing));
    }
    assert_eq!(MtuProbing::named("3"), None);
}
