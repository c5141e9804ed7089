use super::*;
use crate::time::{Units, at};

struct Trace {
    groups: Groups,
    rng: Rng,
}

type Said = (u64, Saying, Vec<(RecordKind, IpAddr)>);

impl Trace {
    fn new() -> Self {
        Self { groups: Groups::new(true, 8), rng: Rng::new(1, 0) }
    }

    fn join(&mut self, now: Instant, group: IpAddr) {
        self.groups.join(now, group, false, &mut self.rng).unwrap();
    }

    fn leave(&mut self, now: Instant, group: IpAddr) {
        self.groups.leave(now, group, &mut self.rng).unwrap();
    }

    fn query(&mut self, now: Instant, dialect: Dialect, group: Option<IpAddr>) {
        self.groups.handle_query(now, Query { dialect, group, max_response: 10.secs() }, &mut self.rng);
    }

    fn run(&mut self, from: Instant, until: Instant) -> Vec<Said> {
        let (mut said, mut now, mut records) = (Vec::new(), from, Records::new());
        loop {
            while let Some(saying) = self.groups.poll_saying(&mut records) {
                said.push((now.as_millis(), saying, records.to_vec()));
            }
            match self.groups.poll_timeout() {
                Some(due) if due <= until => now = due,
                _ => return said,
            }
            self.groups.handle_timeout(now, &mut self.rng);
            assert!(
                self.groups.poll_timeout().is_none_or(|next| next > now),
                "a deadline must not stay behind"
            );
        }
    }
}

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 4));
const SOLICITED_NODE: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2));

#[test]
fn joining_and_leaving_are_reported_twice_each() {
    let mut trace = Trace::new();
    trace.join(at(0.ms()), A);
    assert!(trace.groups.contains(A) && !trace.groups.contains(B));
    let said = trace.run(at(0.ms()), at(60.secs()));
    let records = vec![(RecordKind::ChangeToExclude, A)];
    assert!(
        matches!(&said[..], [(0, Saying::Report, first), (again, Saying::Report, second)]
        if *again <= 1000 && *first == records && *second == records),
        "{said:?}"
    );
    trace.leave(at(60.secs()), A);
    assert!(!trace.groups.contains(A));
    let said = trace.run(at(60.secs()), at(120.secs()));
    assert!(
        said.len() == 2 && said.iter().all(|said| said.2 == [(RecordKind::ChangeToInclude, A)]),
        "{said:?}"
    );
    assert!(trace.groups.members.is_empty() && trace.groups.poll_timeout().is_none());
}

#[test]
fn a_group_is_left_as_often_as_joined() {
    let mut trace = Trace::new();
    trace.join(at(0.ms()), A);
    trace.join(at(0.ms()), A);
    trace.run(at(0.ms()), at(2.secs()));
    trace.leave(at(2.secs()), A);
    assert!(trace.groups.contains(A) && trace.run(at(2.secs()), at(9.secs())).is_empty());
    trace.leave(at(9.secs()), A);
    assert_eq!(trace.groups.leave(at(9.secs()), A, &mut trace.rng), Err(GroupError::NotJoined(A)));
}

#[test]
fn who_comes_back_at_once_only_says_so() {
    let mut trace = Trace::new();
    trace.join(at(0.ms()), A);
    trace.run(at(0.ms()), at(2.secs()));
    trace.leave(at(2.secs()), A);
    trace.join(at(2.secs()), A);
    let said = trace.run(at(2.secs()), at(9.secs()));
    assert!(
        said.len() == 2 && said.iter().all(|said| said.2 == [(RecordKind::ChangeToExclude, A)]),
        "{said:?}"
    );
}

#[test]
fn a_general_query_gets_one_report_of_all_groups() {
    let mut trace = Trace::new();
    [A, B].into_iter().for_each(|group| trace.join(at(0.ms()), group));
    trace.run(at(0.ms()), at(2.secs()));
    trace.query(at(2.secs()), Dialect::Third, None);
    trace.query(at(2.secs()), Dialect::Third, None);
    let said = trace.run(at(2.secs()), at(60.secs()));
    assert!(
        matches!(&said[..], [(2000..=12_000, Saying::Report, records)]
        if *records == [(RecordKind::ModeIsExclude, A), (RecordKind::ModeIsExclude, B)]),
        "{said:?}"
    );
}

#[test]
fn a_group_query_gets_a_report_of_that_group() {
    let mut trace = Trace::new();
    [A, B].into_iter().for_each(|group| trace.join(at(0.ms()), group));
    trace.run(at(0.ms()), at(2.secs()));
    trace.query(at(2.secs()), Dialect::Third, Some(B));
    trace.query(at(2.secs()), Dialect::Third, Some(SOLICITED_NODE));
    let said = trace.run(at(2.secs()), at(60.secs()));
    assert!(
        matches!(&said[..], [(_, Saying::Report, records)] if *records == [(RecordKind::ModeIsExclude, B)])
    );
}

#[test]
fn an_older_querier_is_answered_in_its_own_words_for_a_while() {
    let mut trace = Trace::new();
    [A, B].into_iter().for_each(|group| trace.join(at(0.ms()), group));
    trace.run(at(0.ms()), at(2.secs()));
    trace.query(at(2.secs()), Dialect::Second, None);
    let said = trace.run(at(2.secs()), at(20.secs()));
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|said| matches!(said.1, Saying::OldReport(Dialect::Second, A | B))));
    // Another host's report spares ours.
    trace.query(at(20.secs()), Dialect::Second, None);
    trace.groups.handle_report(A);
    let said = trace.run(at(20.secs()), at(40.secs()));
    assert!(matches!(said[..], [(_, Saying::OldReport(Dialect::Second, B), _)]), "{said:?}");
    trace.leave(at(40.secs()), B);
    assert_eq!(trace.run(at(40.secs()), at(60.secs())), [(40_000, Saying::OldLeave(B), vec![])]);
    // 260 seconds after its last query, it is forgotten.
    trace.run(at(60.secs()), at(281.secs()));
    trace.join(at(281.secs()), B);
    assert!(matches!(trace.run(at(281.secs()), at(281.secs()))[..], [(_, Saying::Report, _)]));
}

#[test]
fn the_first_version_knows_no_leaving() {
    let mut trace = Trace::new();
    trace.query(at(0.ms()), Dialect::First, None);
    trace.join(at(1.secs()), A);
    let said = trace.run(at(1.secs()), at(60.secs()));
    assert!(
        said.len() == 2 && said.iter().all(|said| said.1 == Saying::OldReport(Dialect::First, A)),
        "{said:?}"
    );
    trace.leave(at(60.secs()), A);
    assert_eq!(trace.run(at(60.secs()), at(99.secs())), []);
    assert!(trace.groups.members.is_empty());
}

#[test]
fn nobody_is_told_about_all_hosts_or_ourselves() {
    let mut trace = Trace::new();
    for group in ["224.0.0.1", "ff02::1", "ff01::5"] {
        trace.join(at(0.ms()), group.parse().unwrap());
    }
    trace.query(at(0.ms()), Dialect::Third, None);
    assert_eq!(trace.run(at(0.ms()), at(60.secs())), []);
    let silent = Groups::new(true, 8);
    assert!(silent.contains("224.0.0.1".parse().unwrap()) && silent.contains("ff02::1".parse().unwrap()));
}

#[test]
fn a_solicited_node_group_waits_a_little_and_is_said_again_on_demand() {
    let mut trace = Trace::new();
    trace.groups.join(at(0.ms()), SOLICITED_NODE, true, &mut trace.rng).unwrap();
    let said = trace.run(at(0.ms()), at(9.secs()));
    assert!(said.len() == 2 && (1..=1000).contains(&said[0].0), "{said:?}");
    trace.groups.report_again(at(9.secs()), &mut trace.rng);
    assert_eq!(trace.run(at(9.secs()), at(20.secs())).len(), 2);
}

#[test]
fn too_many_groups_are_refused_and_counted() {
    let mut trace = Trace::new();
    (0..8).for_each(|n| trace.join(at(0.ms()), IpAddr::from([239, 0, 0, n])));
    let refused = trace.groups.join(at(0.ms()), A, false, &mut trace.rng);
    assert_eq!((refused, trace.groups.refused()), (Err(GroupError::Full { limit: 8 }), 1));
    let unicast = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(
        trace.groups.join(at(0.ms()), unicast, false, &mut trace.rng),
        Err(GroupError::NotMulticast(unicast))
    );
}

#[test]
fn many_groups_take_several_reports() {
    let mut trace = Trace { groups: Groups::new(true, 256), rng: Rng::new(1, 0) };
    (0..150).for_each(|n| trace.join(at(0.ms()), IpAddr::from([239, 0, 0, n])));
    let first: Vec<usize> = trace.run(at(0.ms()), at(0.ms())).iter().map(|said| said.2.len()).collect();
    assert_eq!(first, [60, 60, 30]);
}

#[test]
fn the_filter_knows_the_groups_by_their_link_addresses() {
    let mut trace = Trace::new();
    trace.join(at(0.ms()), A);
    assert!(trace.groups.contains_mac(MacAddr([1, 0, 0x5e, 1, 2, 3])));
    assert!(trace.groups.contains_mac(MacAddr([0x33, 0x33, 0, 0, 0, 1])), "all hosts");
    assert!(!trace.groups.contains_mac(MacAddr([1, 0, 0x5e, 1, 2, 4])));
    trace.leave(at(0.ms()), A);
    assert!(!trace.groups.contains_mac(MacAddr([1, 0, 0x5e, 1, 2, 3])));
}
