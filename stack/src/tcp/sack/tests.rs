use proptest::prelude::*;

use super::*;
use crate::time::{Units, at};

const UNA: SeqNum = SeqNum::new(u32::MAX - 3000);

fn block(from: u32, to: u32) -> SackBlock {
    SackBlock { start: UNA + from, end: UNA + to }
}

/// Ten segments of 1000, one a millisecond.
fn ten() -> Scoreboard {
    let mut board = Scoreboard::new(UNA);
    (0..10).for_each(|i| board.handle_sent(at(i.ms()), 1000));
    board
}

fn sums(board: &Scoreboard) -> (u32, u32, u32) {
    (board.flying(), board.sacked(), board.lost())
}

#[test]
fn what_is_sent_flies_until_it_is_acknowledged() {
    let mut board = ten();
    let mut acked = Acked::default();
    board.handle_ack(UNA + 2500, &mut acked);
    assert_eq!((acked.newly, acked.cumulative, acked.resent), (2500, 2500, false));
    assert_eq!(acked.latest, Some(Sent { at: at(2.ms()), end: UNA + 2500 }));
    assert_eq!((acked.lowest_original, acked.highest), (Some(UNA), Some(UNA + 2500)));
    assert_eq!(sums(&board), (7500, 0, 0));
    assert_eq!(board.head_sent_at(), Some(at(2.ms())));
}

#[test]
fn sacked_bytes_count_once() {
    let mut board = ten();
    let mut acked = Acked::default();
    board.handle_sack(block(2000, 4000), &mut acked);
    board.handle_sack(block(3000, 4500), &mut acked);
    assert_eq!((acked.newly, acked.latest.unwrap().at), (2500, at(4.ms())));
    let mut more = Acked::default();
    board.handle_ack(UNA + 4000, &mut more);
    assert_eq!((more.newly, more.latest.unwrap().at), (2000, at(1.ms())), "what was sacked is old news");
    assert_eq!(sums(&board), (5500, 500, 0));
}

/// What a delivery of the `index`th of ten segments tells.
fn newest(index: u32) -> Sent {
    Sent { at: at(u64::from(index).ms()), end: UNA + 1000 * (index + 1) }
}

#[test]
fn what_was_sent_before_the_newest_and_long_ago_is_lost() {
    let mut board = ten();
    board.handle_sack(block(5000, 6000), &mut Acked::default());
    // At 103 ms, with 100 ms of patience: segments 0 to 3 are lost, 4 may be a millisecond later.
    let lost = board.mark_lost_before(newest(5), at(103.ms()), 100.ms());
    assert_eq!(lost, Lost { newly: 4000, again: 0, retry: Some(at(104.ms())) });
    assert_eq!(board.mark_lost_before(newest(5), at(103.ms()), 100.ms()), Lost { newly: 0, ..lost });
    assert_eq!((sums(&board), board.next_lost()), ((5000, 1000, 4000), Some((UNA, 4000))));
    let lost = board.mark_lost_before(newest(5), at(104.ms()), 100.ms());
    assert_eq!(lost, Lost { newly: 1000, again: 0, retry: None });
    assert_eq!(sums(&board), (4000, 1000, 5000));
}

/// RFC 8985 section 6.2 step 2: at one time, too, only what was sent later can have overtaken.
#[test]
fn at_one_time_the_order_of_sending_counts() {
    let repeated_after_new = |new_first: bool| {
        let mut board = ten();
        board.handle_sack(block(5000, 6000), &mut Acked::default());
        board.mark_lost_before(newest(5), at(105.ms()), 100.ms());
        if new_first {
            board.handle_sent(at(110.ms()), 1000);
            board.handle_resent(at(110.ms()), UNA, 5000);
        } else {
            board.handle_resent(at(110.ms()), UNA, 5000);
            board.handle_sent(at(110.ms()), 1000);
        }
        let mut acked = Acked::default();
        board.handle_sack(block(10_000, 11_000), &mut acked);
        board.mark_lost_before(acked.latest.unwrap(), at(210.ms()), 100.ms()).again
    };
    assert_eq!((repeated_after_new(true), repeated_after_new(false)), (0, 5000));
}

#[test]
fn what_was_sent_again_is_lost_again_when_it_is_overtaken() {
    let mut board = ten();
    board.handle_sack(block(5000, 6000), &mut Acked::default());
    board.mark_lost_before(newest(5), at(200.ms()), 100.ms());
    board.handle_resent(at(200.ms()), UNA, 5000);
    assert_eq!(board.repeats(), 5000);
    assert_eq!(board.mark_lost_before(newest(5), at(300.ms()), 100.ms()).newly, 0);
    board.handle_sent(at(201.ms()), 1000);
    let newest = Sent { at: at(201.ms()), end: UNA + 11_000 };
    board.handle_sack(block(10_000, 11_000), &mut Acked::default());
    let lost = board.mark_lost_before(newest, at(301.ms()), 100.ms());
    assert_eq!((lost.newly, lost.again), (9000, 5000), "the repeats, and what was never reported");
    assert_eq!(board.repeats(), 0);
    board.unmark_lost();
    assert_eq!(sums(&board), (9000, 2000, 0));
}

/// RFC 8985 section 6.2 (MUST-23).
#[test]
fn at_one_time_the_higher_number_counts_as_later() {
    let mut board = Scoreboard::new(UNA);
    board.handle_sent(at(0.ms()), 3000);
    board.handle_sack(block(1000, 2000), &mut Acked::default());
    let newest = Sent { at: at(0.ms()), end: UNA + 2000 };
    board.mark_lost_before(newest, at(100.ms()), 10.ms());
    assert_eq!(board.next_lost(), Some((UNA, 1000)));
    assert_eq!(board.lost(), 1000);
}

#[test]
fn a_timeout_spares_what_was_sent_lately() {
    let mut board = ten();
    let lost = board.mark_lost_since(at(105.ms()), 100.ms());
    assert_eq!((lost.newly, board.flying()), (6000, 4000));
    // But never the first.
    assert_eq!(ten().mark_lost_since(at(1.ms()), 100.ms()).newly, 1000);
}

#[test]
fn a_first_block_below_the_acknowledgment_or_within_the_second_is_a_duplicate() {
    // RFC 2883 section 4.
    let blocks = |list: &[(u32, u32)]| {
        let mut blocks = SackBlocks::EMPTY;
        for &(from, to) in list {
            blocks.push(block(from, to));
        }
        blocks
    };
    let ack = UNA + 1000;
    assert_eq!(duplicate_report(ack, &blocks(&[(0, 500)])), Some(block(0, 500)));
    assert_eq!(duplicate_report(ack, &blocks(&[(3000, 3500), (2000, 4000)])), Some(block(3000, 3500)));
    assert_eq!(duplicate_report(ack, &blocks(&[(3000, 3500), (4000, 5000)])), None);
    assert_eq!(duplicate_report(ack, &blocks(&[(2000, 3000), (0, 500)])), None, "only the first");
    assert_eq!(duplicate_report(ack, &blocks(&[(500, 500)])), None);
    assert_eq!(duplicate_report(ack, &SackBlocks::EMPTY), None);
}

#[test]
fn the_search_for_losses_does_not_begin_anew() {
    let mut board = Scoreboard::new(UNA);
    (0..1000u32).for_each(|i| board.handle_sent(at(u64::from(i).ms()), 1000));
    // Every second arrives; the last that does tells that the others are lost.
    (0..500).for_each(|i| board.handle_sack(block(2000 * i + 1000, 2000 * i + 2000), &mut Acked::default()));
    let lost = board.mark_lost_before(newest(999), at(2.secs()), 100.ms());
    assert_eq!((lost.newly, board.original_from), (500_000, UNA + 1_000_000));
    // Their repeats are looked at in the order of time, until one is not due.
    (0..500).for_each(|i| board.handle_resent(at((3000 + u64::from(i)).ms()), UNA + 2000 * i, 1000));
    board.handle_sent(at(4.secs()), 1000);
    let newest = Sent { at: at(4.secs()), end: UNA + 1_001_000 };
    let lost = board.mark_lost_before(newest, at(4100.ms()), 1000.ms());
    assert_eq!((lost.newly, lost.again, lost.retry), (101_000, 101_000, Some(at(4101.ms()))));
    assert_eq!(board.resent.get(0).map(|repeat| repeat.at), Some(at(3101.ms())));
}

#[test]
fn a_full_board_does_not_send_for_ever() {
    let mut board = Scoreboard::new(UNA);
    board.handle_sent(at(0.ms()), 1 << 20);
    board.mark_all_lost();
    let mut sent = 0;
    while let Some((start, _)) = board.next_lost() {
        // Every second byte, so that each leaves a run behind.
        board.handle_resent(at(sent.ms()), start + 1, 1);
        board.handle_resent(at(sent.ms()), start, 1);
        sent += 1;
        assert!(sent < 1 << 20);
    }
    assert!(board.runs.len() <= MAX_RUNS + SPARE_RUNS);
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Ack(u32),
    Sack(u32, u32),
    MarkBefore(u64),
    MarkSince(u64),
    MarkHead(u32),
    MarkAll,
    Unmark,
    Resend(u32),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..40).prop_map(Step::Send),
        3 => (0u32..30).prop_map(Step::Ack),
        6 => (0u32..200, 1u32..40).prop_map(|(from, len)| Step::Sack(from, len)),
        4 => (0u64..10).prop_map(Step::MarkBefore),
        1 => (0u64..20).prop_map(Step::MarkSince),
        1 => (1u32..20).prop_map(Step::MarkHead),
        1 => Just(Step::MarkAll),
        1 => Just(Step::Unmark),
        4 => (1u32..30).prop_map(Step::Resend),
        1 => Just(Step::Forget),
    ]
}

/// One byte of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Byte {
    fate: Fate,
    resent: bool,
    sent_at: Instant,
}

proptest! {
    /// Against a model that keeps the fate of each byte.
    #[test]
    fn keeps_the_fate_of_each_byte(steps in prop::collection::vec(step(), 1..120)) {
        let mut board = Scoreboard::new(UNA);
        let mut una = UNA;
        // From SND.UNA.
        let mut model: Vec<Byte> = Vec::new();
        let mut newest: Option<Sent> = None;
        for (tick, step) in steps.into_iter().enumerate() {
            let now = at((tick as u64 / 2).ms());
            let mut acked = Acked::default();
            match step {
                Step::Send(len) => {
                    board.handle_sent(now, len);
                    let sent_at = board.last_sent.at;
                    model.extend((0..len).map(|_| Byte { fate: Fate::Flying, resent: false, sent_at }));
                }
                Step::Ack(len) => {
                    let len = len.min(model.len() as u32);
                    board.handle_ack(una + len, &mut acked);
                    let gone: Vec<_> = model.drain(..len as usize).collect();
                    una += len;
                    let newly = gone.iter().filter(|byte| byte.fate != Fate::Sacked).count();
                    prop_assert_eq!(acked.newly as usize, newly);
                }
                Step::Sack(from, len) => {
                    board.handle_sack(SackBlock { start: una + from, end: una + from + len }, &mut acked);
                    if (from + len) as usize <= model.len() {
                        for byte in &mut model[from as usize..(from + len) as usize] {
                            byte.fate = Fate::Sacked;
                        }
                    }
                }
                Step::MarkBefore(patience) => {
                    let Some(newest) = newest else { continue };
                    let (mut newly, mut again) = (0, 0);
                    let lost = board.mark_lost_before(newest, now, patience.ms());
                    for (index, byte) in model.iter_mut().enumerate() {
                        let sent = Sent { at: byte.sent_at, end: una + index as u32 + 1 };
                        let due = byte.sent_at + patience.ms() <= now;
                        if byte.fate == Fate::Flying && newest.is_after(sent) && due {
                            byte.fate = Fate::Lost;
                            newly += 1;
                            again += u32::from(byte.resent);
                        }
                    }
                    prop_assert_eq!((lost.newly, lost.again), (newly, again));
                }
                Step::MarkSince(patience) => {
                    // The first run is lost whatever its time: only the rest is compared, byte by byte.
                    let first = board.runs.front().map_or(una, |run| run.end);
                    board.mark_lost_since(now, patience.ms());
                    for (index, byte) in model.iter_mut().enumerate() {
                        let due = byte.sent_at + patience.ms() <= now;
                        if byte.fate == Fate::Flying && (due || (una + index as u32).before(first)) {
                            byte.fate = Fate::Lost;
                        }
                    }
                }
                Step::MarkHead(len) => {
                    board.mark_head_lost(len);
                    for byte in model.iter_mut().take(len as usize) {
                        if byte.fate == Fate::Flying && !byte.resent {
                            byte.fate = Fate::Lost;
                        }
                    }
                }
                Step::MarkAll => {
                    board.mark_all_lost();
                    model.iter_mut().filter(|b| b.fate == Fate::Flying).for_each(|b| b.fate = Fate::Lost);
                }
                Step::Unmark => {
                    board.unmark_lost();
                    model.iter_mut().filter(|b| b.fate == Fate::Lost).for_each(|b| b.fate = Fate::Flying);
                }
                Step::Resend(most) => {
                    let first = model.iter().position(|b| b.fate == Fate::Lost);
                    let next = board.next_lost();
                    prop_assert_eq!(next.map(|(start, _)| start), first.map(|at| una + at as u32));
                    if let Some((start, len)) = next {
                        let len = len.min(most);
                        board.handle_resent(now, start, len);
                        let from = (start - una) as usize;
                        let again = Byte { fate: Fate::Flying, resent: true, sent_at: board.last_sent.at };
                        model[from..from + len as usize].fill(again);
                    }
                }
                Step::Forget => {
                    board.forget_sacked();
                    // What was forgotten has the past of the run that it was joined with.
                    newest = None;
                    let runs = board.runs.iter().copied().collect::<Vec<_>>();
                    let mut start = una;
                    for run in runs {
                        for at in (start - una)..(run.end - una) {
                            let byte = &mut model[at as usize];
                            if byte.fate == Fate::Sacked {
                                *byte = Byte { fate: Fate::Flying, resent: run.resent, sent_at: run.sent_at };
                            }
                        }
                        start = run.end;
                    }
                }
            }
            for sent in [acked.latest, acked.latest_resent].into_iter().flatten() {
                if newest.is_none_or(|newest| sent.is_after(newest)) {
                    newest = Some(sent);
                }
            }
            let count = |fate| model.iter().filter(|b| b.fate == fate).count() as u32;
            prop_assert_eq!(sums(&board), (count(Fate::Flying), count(Fate::Sacked), count(Fate::Lost)));
            let repeats = model.iter().filter(|b| b.fate == Fate::Flying && b.resent).count();
            prop_assert_eq!(board.repeats() as usize, repeats);
            prop_assert_eq!(board.outstanding() as usize, model.len());
            prop_assert_eq!(board.has_reneged(), model.first().is_some_and(|b| b.fate == Fate::Sacked));
        }
    }
}
