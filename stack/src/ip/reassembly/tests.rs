use super::*;
use crate::time::{Units, at};
use crate::wire::checksum::checksum;
use proptest::prelude::*;

const IFACE: InterfaceId = InterfaceId(0);

#[test]
fn fragments_in_order_make_the_packet() {
    let mut t = Test::new();
    assert_eq!(t.v4(0, b"aaaaaaaabbbbbbbb", true), Outcome::Waiting);
    assert_eq!(t.v4(16, b"cccccccc", true), Outcome::Waiting);
    assert_eq!(t.v4(24, b"ddd", false), Outcome::Complete);
    assert_eq!(&t.packet[20..], b"aaaaaaaabbbbbbbbccccccccddd");
    assert_eq!(t.packet[2..4], [0, 47]);
    assert_eq!(t.packet[6..8], [0, 0]);
    assert_eq!(checksum(&t.packet[..20]), 0);
    assert!(t.reassembly.is_empty());
    assert_eq!(t.reassembly.bytes(), 0);
    assert_eq!((t.v4_stats().reasm_reqds, t.v4_stats().reasm_oks, t.v4_stats().reasm_fails), (3, 1, 0));
}

#[test]
fn fragments_come_in_any_order() {
    let mut t = Test::new();
    assert_eq!(t.v4(24, b"ddd", false), Outcome::Waiting);
    assert_eq!(t.v4(0, b"aaaaaaaa", true), Outcome::Waiting);
    assert_eq!(t.v4(16, b"cccccccc", true), Outcome::Waiting);
    assert_eq!(t.v4(8, b"bbbbbbbb", true), Outcome::Complete);
    assert_eq!(&t.packet[20..], b"aaaaaaaabbbbbbbbccccccccddd");
}

#[test]
fn a_v6_packet_loses_its_fragment_header() {
    let mut t = Test::new();
    assert_eq!(t.v6(8, b"bbb", false), Outcome::Waiting);
    assert_eq!(t.v6(0, b"aaaaaaaa", true), Outcome::Complete);
    assert_eq!(t.packet.len(), 40 + 11);
    assert_eq!(t.packet[4..6], [0, 11]);
    assert_eq!(t.packet[6], 17); // the header announces UDP, not a fragment
    assert_eq!(&t.packet[40..], b"aaaaaaaabbb");
}

#[test]
fn an_overlap_drops_the_datagram_whole() {
    // RFC 5722 section 4: also what comes later.
    for v6 in [false, true] {
        let mut t = Test::new();
        t.any(v6, 0, b"aaaaaaaabbbbbbbb", true);
        assert_eq!(t.any(v6, 8, b"XXXXXXXXcccccccc", true), Outcome::Dropped(Reason::Overlap));
        assert_eq!(t.any(v6, 16, b"cccccccc", true), Outcome::Dropped(Reason::Late));
        assert_eq!(t.any(v6, 24, b"ddd", false), Outcome::Dropped(Reason::Late));
        assert_eq!(t.any(v6, 0, b"aaaaaaaabbbbbbbb", true), Outcome::Dropped(Reason::Late));
        let stats = if v6 { *t.reassembly.stats_v6() } else { *t.reassembly.stats_v4() };
        assert_eq!((stats.overlaps, stats.reasm_fails, stats.late), (1, 1, 3));
        // Nothing is said when its time is over.
        assert_eq!(t.reassembly.poll_expired(at(90.secs()), &mut t.packet), None);
        assert!(t.reassembly.is_empty());
    }
}

#[test]
fn overlaps_are_seen_from_both_sides_and_around() {
    for (offset, data) in [(8, &[b'x'; 16][..]), (24, &[b'x'; 8]), (16, &[b'x'; 8]), (8, &[b'x'; 40])] {
        let mut t = Test::new();
        t.v4(16, &[b'a'; 16], true);
        assert_eq!(t.v4(offset, data, true), Outcome::Dropped(Reason::Overlap), "{offset}");
    }
}

#[test]
fn an_exact_duplicate_is_tolerated() {
    // RFC 8200 section 4.5, last but one paragraph of the error conditions.
    let mut t = Test::new();
    t.v4(0, b"aaaaaaaa", true);
    assert_eq!(t.v4(0, b"aaaaaaaa", true), Outcome::Dropped(Reason::Duplicate));
    t.v4(16, b"c", false);
    assert_eq!(t.v4(16, b"c", false), Outcome::Dropped(Reason::Duplicate));
    assert_eq!(t.v4(8, b"bbbbbbbb", true), Outcome::Complete);
    assert_eq!(t.v4_stats().duplicates, 2);
}

#[test]
fn the_same_place_with_other_bytes_is_no_duplicate() {
    let mut t = Test::new();
    t.v4(0, b"aaaaaaaa", true);
    assert_eq!(t.v4(0, b"aaaaaaab", true), Outcome::Dropped(Reason::Overlap));
    let mut t = Test::new();
    t.v4(8, b"aaaaaaaa", true);
    assert_eq!(t.v4(8, b"aaaaaaaa", false), Outcome::Dropped(Reason::Overlap));
}

#[test]
fn there_is_one_end() {
    let mut t = Test::new();
    t.v4(16, b"ccc", false);
    assert_eq!(t.v4(24, b"dddddddd", true), Outcome::Dropped(Reason::End));
    let mut t = Test::new();
    t.v4(16, b"cccccccc", true);
    assert_eq!(t.v4(8, b"bbb", false), Outcome::Dropped(Reason::End));
    let mut t = Test::new();
    t.v4(16, b"ccc", false);
    assert_eq!(t.v4(8, b"bbb", false), Outcome::Dropped(Reason::End));
}

#[test]
fn impossible_lengths_are_refused_alone() {
    let mut t = Test::new();
    t.v4(0, b"aaaaaaaa", true);
    assert_eq!(t.v4(8, b"bbbb", true), Outcome::Dropped(Reason::Length));
    assert_eq!(t.v4(8, b"", false), Outcome::Dropped(Reason::Length));
    assert_eq!(t.v4(65_528, b"dddddddd", false), Outcome::Dropped(Reason::Length)); // the "ping of death"
    assert_eq!(t.v4(8, b"bbbb", false), Outcome::Complete);
}

#[test]
fn the_largest_packet_fits_and_no_larger() {
    let mut t = Test::new();
    assert_eq!(t.v4(0, &[b'a'; 65_512], true), Outcome::Waiting);
    assert_eq!(t.v4(65_512, b"ccc", false), Outcome::Complete);
    assert_eq!(t.packet.len(), 65_535);
}

#[test]
fn time_is_over_after_thirty_seconds_and_sixty() {
    let mut t = Test::new();
    t.now = at(1.secs());
    t.v4(0, b"aaaaaaaa", true);
    t.v6(8, b"bbbbbbbb", true);
    t.now = at(20.secs());
    t.v4(8, b"bbbbbbbb", true); // does not prolong it
    assert_eq!(t.reassembly.poll_timeout(), Some(at(31.secs())));
    assert_eq!(t.reassembly.poll_expired(at(30_999.ms()), &mut t.packet), None);
    let expired = t.reassembly.poll_expired(at(31.secs()), &mut t.packet).unwrap();
    assert!(expired.first);
    assert_eq!(t.packet, Test::packet_v4(0, b"aaaaaaaa", true, 0));
    assert_eq!(t.reassembly.poll_timeout(), Some(at(61.secs())));
    let expired = t.reassembly.poll_expired(at(61.secs()), &mut t.packet).unwrap();
    assert!(!expired.first); // without the first fragment nothing is sent
    assert_eq!((t.v4_stats().reasm_timeout, t.reassembly.stats_v6().reasm_timeout), (1, 1));
    assert_eq!(t.reassembly.poll_timeout(), None);
}

#[test]
fn a_fragment_after_its_time_begins_anew() {
    let mut t = Test::new();
    t.v4(0, b"aaaaaaaa", true);
    t.now = at(30.secs());
    assert_eq!(t.v4(8, b"b", false), Outcome::Waiting);
    assert_eq!((t.v4_stats().reasm_timeout, t.reassembly.len()), (1, 1));
}

#[test]
fn other_ids_protocols_and_interfaces_do_not_meet() {
    let mut t = Test::new();
    let packet = Test::packet_v4(0, b"aaaaaaaa", true, 0);
    let first = Test::fragment_v4(&packet, 0, true);
    t.give(&first);
    let packet = Test::packet_v4(8, b"b", false, 0);
    let last = Test::fragment_v4(&packet, 8, false);
    for other in [
        Fragment { id: 8, ..last },
        Fragment { protocol: 6, ..last },
        Fragment { iface: InterfaceId(1), ..last },
        Fragment { source: [192, 0, 2, 9].into(), ..last },
    ] {
        assert_eq!(t.give(&other), Outcome::Waiting);
    }
    assert_eq!(t.give(&last), Outcome::Complete);
}

#[test]
fn congestion_is_passed_on() {
    // RFC 3168 section 5.3 (MUST-13, MUST-16, MUST-17).
    let run = |first: u8, second: u8| {
        let mut t = Test::new();
        let packet = Test::packet_v4(0, b"aaaaaaaa", true, first);
        t.give(&Fragment { ecn: first, ..Test::fragment_v4(&packet, 0, true) });
        let packet = Test::packet_v4(8, b"b", false, second);
        let outcome = t.give(&Fragment { ecn: second, ..Test::fragment_v4(&packet, 8, false) });
        (outcome, t.packet.get(1).map(|byte| byte & 3))
    };
    assert_eq!(run(0b10, 0b11), (Outcome::Complete, Some(0b11)));
    assert_eq!(run(0b11, 0b01), (Outcome::Complete, Some(0b11)));
    assert_eq!(run(0b10, 0b10), (Outcome::Complete, Some(0b10)));
    assert_eq!(run(0b00, 0b11).0, Outcome::Dropped(Reason::Ecn));
}

#[test]
fn a_datagram_has_a_limit_of_fragments() {
    let mut t = Test::with(ReassemblyLimits { fragments: 3, ..Default::default() });
    (0..3).for_each(|n| assert_eq!(t.v4(n * 8, b"aaaaaaaa", true), Outcome::Waiting));
    assert_eq!(t.v4(24, b"a", false), Outcome::Dropped(Reason::TooMany));
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let mut t = Test::with(ReassemblyLimits { datagrams: 2, ..Default::default() });
    t.from(1, 1, 0, b"aaaaaaaa", true);
    t.from(2, 1, 0, b"aaaaaaaa", true);
    t.from(3, 1, 0, b"aaaaaaaa", true);
    assert_eq!((t.reassembly.len(), t.v4_stats().evicted), (2, 1));
    assert_eq!(t.from(1, 1, 8, b"b", false), Outcome::Waiting); // it was pushed out, and pushes out the next
    assert_eq!(t.from(3, 1, 8, b"b", false), Outcome::Complete);
}

#[test]
fn a_source_only_pushes_out_its_own() {
    let mut t = Test::with(ReassemblyLimits { source_datagrams: 8, datagrams: 16, ..Default::default() });
    t.from(1, 1, 0, b"aaaaaaaa", true);
    (0..1000).for_each(|id| {
        t.from(2, id, 0, b"flood!!!", true);
    });
    assert_eq!(t.reassembly.len(), 9);
    assert_eq!(t.from(1, 1, 8, b"b", false), Outcome::Complete);

    let mut t = Test::with(ReassemblyLimits { source_bytes: 8192, ..Default::default() });
    t.from(1, 1, 0, b"aaaaaaaa", true);
    (0..1000).for_each(|id| {
        t.from(2, id, 0, &[0; 4096], true);
    });
    assert_eq!(t.reassembly.len(), 2);
    assert_eq!(t.from(1, 1, 8, b"b", false), Outcome::Complete);
}

#[test]
fn a_datagram_larger_than_its_share_is_given_up() {
    let mut t = Test::with(ReassemblyLimits { source_bytes: 4096, ..Default::default() });
    assert_eq!(t.v4(0, &[0; 2048], true), Outcome::Waiting);
    assert_eq!(t.v4(2048, &[0; 2048], true), Outcome::Dropped(Reason::TooLarge));
    assert_eq!(t.reassembly.bytes(), DATAGRAM_COST);
}

/// A step of a hostile sender.
#[derive(Clone, Debug)]
struct Step {
    host: u8,
    id: u16,
    slot: usize,
    len: usize,
    more: bool,
    after_ms: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (0u8..4, 0u16..6, 0usize..40, 0usize..80, any::<bool>(), 0u64..3000)
        .prop_map(|(host, id, slot, len, more, after_ms)| Step { host, id, slot, len, more, after_ms })
}

proptest! {
    #[test]
    fn any_cut_in_any_order_with_duplicates_makes_the_packet(
        len in 9usize..65_000,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..60),
        order in any::<u64>(),
        v6 in any::<bool>(),
    ) {
        let data: Vec<u8> = (0..len).map(|n| (n * 7 + n / 256) as u8).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(len / 8) * 8).collect();
        ends.extend([0, len]);
        ends.sort_unstable();
        ends.dedup();
        let mut pieces: Vec<(usize, usize)> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut rng = crate::rng::Rng::new(order, 0);
        for n in 0..pieces.len() / 3 {
            pieces.push(pieces[n]);
        }
        for n in (1..pieces.len()).rev() {
            pieces.swap(n, rng.below(n as u64 + 1) as usize);
        }
        let mut t = Test::new();
        let mut missing = ends.len() - 1;
        for (start, end) in pieces {
            match t.any(v6, start, &data[start..end], end < len) {
                Outcome::Waiting => missing -= 1,
                Outcome::Complete => {
                    missing -= 1;
                    break;
                }
                outcome => prop_assert_eq!(outcome, Outcome::Dropped(Reason::Duplicate)),
            }
        }
        prop_assert_eq!(missing, 0);
        prop_assert_eq!(&t.packet[if v6 { 40 } else { 20 }..], &data[..]);
        prop_assert_eq!(t.reassembly.bytes(), 0);
    }

    #[test]
    fn a_hostile_sender_meets_a_model(steps in proptest::collection::vec(step(), 0..300)) {
        let limits = ReassemblyLimits {
            bytes: 12_000, source_bytes: 5000, datagrams: 8, source_datagrams: 4, fragments: 6, ..Default::default()
        };
        let mut t = Test::with(limits);
        for step in steps {
            t.now += step.after_ms.ms();
            let sent = |at: usize| step.host ^ (at / 8) as u8;
            let data: Vec<u8> = (0..step.len).map(|n| sent(step.slot * 8 + n)).collect();
            let outcome = t.from(step.host, step.id, step.slot * 8, &data, step.more);
            if outcome == Outcome::Complete {
                // Each byte of a whole packet is the one that was sent for its place.
                let expected: Vec<u8> = (0..t.packet.len() - 20).map(sent).collect();
                prop_assert_eq!(&t.packet[20..], expected);
            }
            let model: usize = t.reassembly.datagrams.values().map(Datagram::cost).sum();
            prop_assert_eq!(t.reassembly.bytes(), model);
            prop_assert_eq!(t.reassembly.sources.values().map(|source| source.bytes).sum::<usize>(), model);
            prop_assert_eq!(t.reassembly.ages.iter().map(BTreeMap::len).sum::<usize>(), t.reassembly.len());
            prop_assert!(model <= limits.bytes);
            prop_assert!(t.reassembly.len() <= limits.datagrams);
            for source in t.reassembly.sources.values() {
                prop_assert!(source.bytes <= limits.source_bytes && source.ages.len() <= limits.source_datagrams);
            }
            prop_assert!(t.reassembly.datagrams.values().all(|datagram| datagram.pieces.len() <= limits.fragments));
        }
        t.now += 61.secs();
        while t.reassembly.poll_expired(t.now, &mut t.packet).is_some() {}
        prop_assert!(t.reassembly.is_empty() && t.reassembly.bytes() == 0);
        let stats = t.v4_stats();
        let by_reason = stats.overlaps + stats.evicted + stats.malformed + stats.reasm_timeout;
        prop_assert!(stats.reasm_fails <= by_reason && stats.reasm_oks + stats.reasm_fails <= stats.reasm_reqds);
    }
}

struct Test {
    now: Instant,
    reassembly: Reassembly,
    packet: Vec<u8>,
}

impl Test {
    fn new() -> Self {
        Self::with(ReassemblyLimits::default())
    }

    fn with(limits: ReassemblyLimits) -> Self {
        Self { now: at(0.ms()), reassembly: Reassembly::new(limits), packet: Vec::new() }
    }

    fn v4_stats(&self) -> ReassemblyStats {
        *self.reassembly.stats_v4()
    }

    fn give(&mut self, fragment: &Fragment<'_>) -> Outcome {
        self.reassembly.handle_fragment(self.now, fragment, &mut self.packet)
    }

    fn any(&mut self, v6: bool, offset: usize, data: &[u8], more: bool) -> Outcome {
        if v6 { self.v6(offset, data, more) } else { self.v4(offset, data, more) }
    }

    fn v4(&mut self, offset: usize, data: &[u8], more: bool) -> Outcome {
        self.from(1, 7, offset, data, more)
    }

    fn from(&mut self, host: u8, id: u16, offset: usize, data: &[u8], more: bool) -> Outcome {
        let packet = Self::packet_v4(offset, data, more, 0);
        let fragment = Self::fragment_v4(&packet, offset, more);
        self.give(&Fragment { source: [192, 0, 2, host].into(), id: u32::from(id), ..fragment })
    }

    fn v6(&mut self, offset: usize, data: &[u8], more: bool) -> Outcome {
        let mut packet = vec![0; 48];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(8 + data.len() as u16).to_be_bytes());
        packet[6] = 44;
        packet[40] = 17;
        packet[42..44].copy_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
        packet.extend_from_slice(data);
        self.give(&Fragment {
            iface: IFACE,
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            id: 7,
            protocol: 17,
            offset,
            more,
            ecn: 0,
            packet: &packet,
            data_at: 48,
            next_header_at: 6,
        })
    }

    fn packet_v4(offset: usize, data: &[u8], more: bool, ecn: u8) -> Vec<u8> {
        let mut packet = vec![0x45, ecn];
        packet.extend_from_slice(&(20 + data.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[0, 7]);
        packet.extend_from_slice(&((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
        packet.extend_from_slice(&[64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend_from_slice(data);
        packet
    }

    fn fragment_v4(packet: &[u8], offset: usize, more: bool) -> Fragment<'_> {
        Fragment {
            iface: IFACE,
            source: [192, 0, 2, 1].into(),
            destination: [192, 0, 2, 2].into(),
            id: 7,
            protocol: 17,
            offset,
            more,
            ecn: packet[1] & 3,
            packet,
            data_at: 20,
            next_header_at: 0,
        }
    }
}
