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
    assert_eq!(acked, Acked { newly: 2500, cumulative: 2500, sample: Some(at(2.ms())), resent: false });
    assert_eq!(sums(&board), (7500, 0, 0));
    assert_eq!(board.head_sent_at(), Some(at(2.ms())));
}

#[test]
fn sacked_bytes_count_once() {
    let mut board = ten();
    let mut acked = Acked::default();
    board.handle_sack(block(2000, 4000), &mut acked);
    board.handle_sack(block(3000, 4500), &mut acked);
    assert_eq!((acked.newly, acked.sample), (2500, Some(at(4.ms()))));
    let mut more = Acked::default();
    board.handle_ack(UNA + 4000, &mut more);
    assert_eq!((more.newly, more.sample), (2000, Some(at(1.ms()))), "what was sacked is old news");
    assert_eq!(sums(&board), (5500, 500, 0));
}

#[test]
fn a_hole_with_three_segments_above_it_is_lost() {
    let mut board = ten();
    let mut acked = Acked::default();
    board.handle_sack(block(1000, 3000), &mut acked);
    assert!(!board.mark_lost_by_sack(1000, 3), "two segments are not enough");
    board.handle_sack(block(4000, 4001), &mut acked);
    assert!(board.mark_lost_by_sack(1000, 3), "more than two are");
    assert_eq!(board.next_lost(), Some((UNA, 1000)));
    assert_eq!(sums(&board), (10_000 - 1000 - 2001, 2001, 1000));
    // Three separate pieces are enough, however small.
    let mut board = ten();
    for piece in [block(1000, 1001), block(3000, 3001), block(5000, 5001)] {
        board.handle_sack(piece, &mut acked);
    }
    assert!(board.mark_lost_by_sack(1000, 3));
    assert_eq!(board.lost(), 1000);
}

#[test]
fn what_was_sent_again_flies_again_and_gives_no_sample() {
    let mut board = ten();
    board.mark_all_lost();
    assert_eq!((sums(&board), board.next_lost()), ((0, 0, 10_000), Some((UNA, 10_000))));
    board.handle_resent(at(1.secs()), UNA, 1000);
    assert_eq!((sums(&board), board.next_lost()), ((1000, 0, 9000), Some((UNA + 1000, 9000))));
    let mut acked = Acked::default();
    board.handle_ack(UNA + 1000, &mut acked);
    assert_eq!(acked, Acked { newly: 1000, cumulative: 1000, sample: None, resent: true });
    // SACK does not call it lost a second time; another timeout does.
    board.handle_resent(at(1.secs()), UNA + 1000, 1000);
    board.handle_sack(block(5000, 9000), &mut acked);
    board.mark_lost_by_sack(1000, 3);
    assert_eq!(board.next_lost(), Some((UNA + 2000, 3000)));
    board.mark_all_lost();
    assert_eq!(board.next_lost(), Some((UNA + 1000, 4000)));
}

#[test]
fn runs_are_bounded() {
    let mut board = Scoreboard::new(UNA);
    board.handle_sent(at(0.ms()), 1 << 20);
    let mut acked = Acked::default();
    for i in 0..100_000 {
        board.handle_sack(block(10 * i + 1, 10 * i + 2), &mut acked);
    }
    assert!(board.runs.len() <= MAX_RUNS);
    board.handle_ack(UNA + (1 << 20), &mut acked);
    assert_eq!((board.runs.len(), sums(&board)), (0, (0, 0, 0)));
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Ack(u32),
    Sack(u32, u32),
    MarkSack,
    MarkHead(u32),
    MarkAll,
    Resend(u32),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..40).prop_map(Step::Send),
        3 => (0u32..30).prop_map(Step::Ack),
        6 => (0u32..200, 1u32..40).prop_map(|(from, len)| Step::Sack(from, len)),
        2 => Just(Step::MarkSack),
        1 => (1u32..20).prop_map(Step::MarkHead),
        1 => Just(Step::MarkAll),
        4 => (1u32..30).prop_map(Step::Resend),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    /// Against a model that keeps the fate of each byte.
    #[test]
    fn keeps_the_fate_of_each_byte(steps in prop::collection::vec(step(), 1..120)) {
        let mut board = Scoreboard::new(UNA);
        let mut una = UNA;
        // Fate and whether sent again, from SND.UNA.
        let mut model: Vec<(Fate, bool)> = Vec::new();
        for (tick, step) in steps.into_iter().enumerate() {
            let now = at((tick as u64 / 2).ms());
            let mut acked = Acked::default();
            match step {
                Step::Send(len) => {
                    board.handle_sent(now, len);
                    model.extend((0..len).map(|_| (Fate::Flying, false)));
                }
                Step::Ack(len) => {
                    let len = len.min(model.len() as u32);
                    board.handle_ack(una + len, &mut acked);
                    let gone: Vec<_> = model.drain(..len as usize).collect();
                    una += len;
                    let newly = gone.iter().filter(|(fate, _)| *fate != Fate::Sacked).count();
                    prop_assert_eq!(acked.newly as usize, newly);
                }
                Step::Sack(from, len) => {
                    board.handle_sack(SackBlock { start: una + from, end: una + from + len }, &mut acked);
                    if (from + len) as usize <= model.len() {
                        for byte in &mut model[from as usize..(from + len) as usize] {
                            byte.0 = Fate::Sacked;
                        }
                    }
                }
                Step::MarkSack => {
                    board.mark_lost_by_sack(10, 3);
                    // Never a byte with too little above it, always one with enough.
                    for i in 0..model.len() {
                        let above = &model[i + 1..];
                        let bytes = above.iter().filter(|(fate, _)| *fate == Fate::Sacked).count();
                        let pieces = above
                            .iter()
                            .scan(false, |was, (fate, _)| {
                                let is = *fate == Fate::Sacked;
                                let begins = is && !*was;
                                *was = is;
                                Some(begins)
                            })
                            .filter(|begins| *begins)
                            .count();
                        if model[i] == (Fate::Flying, false) && (bytes > 20 || pieces >= 3) {
                            model[i].0 = Fate::Lost;
                        }
                    }
                }
                Step::MarkHead(len) => {
                    board.mark_head_lost(len);
                    for byte in model.iter_mut().take(len as usize).filter(|b| **b == (Fate::Flying, false)) {
                        byte.0 = Fate::Lost;
                    }
                }
                Step::MarkAll => {
                    board.mark_all_lost();
                    model.iter_mut().filter(|b| b.0 == Fate::Flying).for_each(|b| b.0 = Fate::Lost);
                }
                Step::Resend(most) => {
                    let first = model.iter().position(|b| b.0 == Fate::Lost);
                    let next = board.next_lost();
                    prop_assert_eq!(next.map(|(start, _)| start), first.map(|at| una + at as u32));
                    if let Some((start, len)) = next {
                        let len = len.min(most);
                        board.handle_resent(now, start, len);
                        let from = (start - una) as usize;
                        model[from..from + len as usize].fill((Fate::Flying, true));
                    }
                }
                Step::Forget => {
                    board.forget_sacked();
                    // What was forgotten counts as sent once or twice, as its run did: only the sums are compared.
                    let runs = board.runs.iter().copied().collect::<Vec<_>>();
                    let mut start = una;
                    for run in runs {
                        for at in (start - una)..(run.end - una) {
                            let byte = &mut model[at as usize];
                            if byte.0 == Fate::Sacked {
                                *byte = (Fate::Flying, run.resent);
                            }
                        }
                        start = run.end;
                    }
                }
            }
            let count = |fate| model.iter().filter(|b| b.0 == fate).count() as u32;
            prop_assert_eq!(sums(&board), (count(Fate::Flying), count(Fate::Sacked), count(Fate::Lost)));
            prop_assert_eq!(board.outstanding() as usize, model.len());
            prop_assert_eq!(board.has_reneged(), model.first().is_some_and(|b| b.0 == Fate::Sacked));
        }
    }
}
