use super::*;
use crate::time::{Units, at};
use crate::wire::tcp::SackBlock;

const UNA: SeqNum = SeqNum::new(u32::MAX - 3000);

/// Ten segments of 1000, one a millisecond, on a path of 100 ms.
fn ten() -> Scoreboard {
    let mut board = Scoreboard::new(UNA);
    (0..10).for_each(|i| board.handle_sent(at(i.ms()), 1000));
    board
}

fn block(from: u32, to: u32) -> SackBlock {
    SackBlock { start: UNA + from, end: UNA + to }
}

fn view(now: Instant) -> View {
    let rtt = Some(100.ms());
    View { now, srtt: rtt, min_rtt: rtt, in_recovery: false, many_sacked: false }
}

/// The peer reports `blocks` at `now`.
fn report(rack: &mut Rack, board: &mut Scoreboard, now: Instant, blocks: &[(u32, u32)]) -> Lost {
    let mut acked = Acked::default();
    for &(from, to) in blocks {
        board.handle_sack(block(from, to), &mut acked);
    }
    rack.handle_delivered(now, &acked, None, None, Some(100.ms()));
    rack.detect(&view(now), board)
}

/// RFC 8985 section 6.2 (MUST-7, SHLD-3).
#[test]
fn a_quarter_of_the_least_round_trip_is_waited() {
    let (mut rack, mut board) = (Rack::new(UNA), ten());
    // Segment 5, which was sent at 5 ms, arrives; RACK.rtt is 100 ms.
    let lost = report(&mut rack, &mut board, at(105.ms()), &[(5000, 6000)]);
    assert_eq!((lost.newly, lost.retry), (0, Some(at(125.ms()))));
    let lost = rack.detect(&view(at(126.ms())), &mut board);
    assert_eq!((lost.newly, lost.retry), (2000, Some(at(127.ms()))));
    assert_eq!(rack.detect(&view(at(129.ms())), &mut board).newly, 3000);
}

/// RFC 8985 section 6.2 (SHLD-2).
#[test]
fn three_segments_need_no_waiting_on_a_path_that_keeps_order() {
    let (mut rack, mut board) = (Rack::new(UNA), ten());
    report(&mut rack, &mut board, at(105.ms()), &[(5000, 8000)]);
    let many = View { many_sacked: true, ..view(at(107.ms())) };
    assert_eq!(rack.detect(&many, &mut board).newly, 5000);
}

#[test]
fn nor_does_a_recovery_but_both_do_where_order_is_not_kept() {
    let (mut rack, mut board) = (Rack::new(UNA), ten());
    report(&mut rack, &mut board, at(105.ms()), &[(5000, 6000)]);
    // Segment 2 comes late: the path reorders.
    report(&mut rack, &mut board, at(106.ms()), &[(2000, 3000)]);
    assert!(rack.reordering_seen());
    let eager = View { many_sacked: true, in_recovery: true, ..view(at(106.ms())) };
    assert_eq!(rack.detect(&eager, &mut board).newly, 0);
    assert_eq!(rack.reo_wnd(), 25.ms());
}

/// RFC 8985 section 4 (SHLD-1), section 6.2 (MUST-6, SHLD-4, SHLD-5).
#[test]
fn dsacks_widen_the_window_once_a_round_trip_up_to_a_whole_one() {
    let mut rack = Rack::new(UNA);
    rack.reordering_seen = true;
    rack.handle_dsack(UNA, UNA + 5000, true);
    rack.handle_dsack(UNA + 1000, UNA + 6000, true);
    assert_eq!(rack.next_reo_wnd(&view(at(0.ms()))), 50.ms());
    rack.handle_dsack(UNA + 5000, UNA + 9000, true);
    assert_eq!(rack.next_reo_wnd(&view(at(0.ms()))), 75.ms());
    (2..9).for_each(|i| rack.handle_dsack(UNA + 5000 * i, UNA + 5000 * (i + 1), true));
    assert_eq!(rack.next_reo_wnd(&view(at(0.ms()))), 100.ms(), "never more than the round trip");
    // After sixteen recoveries without a DSACK it is narrow again.
    (0..15).for_each(|_| rack.handle_recovery_end());
    assert_eq!(rack.next_reo_wnd(&view(at(0.ms()))), 100.ms());
    rack.handle_recovery_end();
    assert_eq!(rack.next_reo_wnd(&view(at(0.ms()))), 25.ms());
}

#[test]
fn a_least_round_trip_of_nothing_does_not_keep_the_window_shut() {
    let mut rack = Rack::new(UNA);
    rack.reordering_seen = true;
    rack.handle_dsack(UNA, UNA + 5000, true);
    let lucky = View { min_rtt: Some(Duration::ZERO), ..view(at(0.ms())) };
    assert_eq!(rack.next_reo_wnd(&lucky), 50.ms());
    assert_eq!(rack.patience(lucky.srtt), 100.ms(), "counted from the usual round trip");
}

/// RFC 8985 section 6.2 (MUST-4).
#[test]
fn the_ack_of_an_original_is_not_taken_for_that_of_its_repeat() {
    let cases = [
        // (what the timestamp echoes, what was received twice, when the ACK comes, whether the repeat counts)
        (None, None, at(250.ms()), false),
        (None, None, at(300.ms()), true),
        (Some(at(1.ms())), None, at(300.ms()), false),
        (Some(at(201.ms())), None, at(300.ms()), true),
        (Some(at(1.ms())), Some(block(0, 1000)), at(300.ms()), true),
    ];
    for (echoed, dsack, now, counts) in cases {
        let (mut rack, mut board) = (Rack::new(UNA), ten());
        board.mark_head_lost(1000);
        board.handle_resent(at(200.ms()), UNA, 1000);
        let mut acked = Acked::default();
        board.handle_ack(UNA + 1000, &mut acked);
        rack.handle_delivered(now, &acked, echoed, dsack, Some(100.ms()));
        assert_eq!(rack.newest.is_some(), counts, "{echoed:?} {dsack:?} {now}");
    }
}

/// RFC 8985 section 6.3 (MUST-10).
#[test]
fn a_timeout_takes_the_first_and_what_is_overdue() {
    let (mut rack, mut board) = (Rack::new(UNA), ten());
    assert_eq!(rack.mark_on_timeout(at(9.ms()), &mut board).newly, 10_000, "nothing is known of the path");
    let mut board = ten();
    report(&mut rack, &mut board, at(100.ms()), &[(0, 1000)]);
    board.handle_sent(at(300.ms()), 1000);
    assert_eq!(rack.mark_on_timeout(at(310.ms()), &mut board).newly, 9000);
    assert_eq!(board.flying(), 1000, "what left just now is not lost");
}
