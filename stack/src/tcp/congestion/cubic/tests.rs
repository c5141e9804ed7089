use super::super::testing::ack;
use super::*;
use crate::time::{Units, at};
use proptest::prelude::*;

const SMSS: u64 = 1000;

fn cubic() -> Cubic {
    Cubic::new(&Start::new(at(0.ms()), SMSS as u32, false))
}

/// A flow that has just left a recovery with `segments` in flight before its loss.
fn after_loss(segments: u64) -> Cubic {
    let mut cubic = cubic();
    cubic.cwnd = (segments * SMSS) as f64;
    cubic.on_congestion_event(&fast(segments * SMSS));
    cubic
}

fn fast(flight: u64) -> Loss {
    Loss { now: at(0.ms()), flight, kind: LossKind::Fast }
}

/// Acknowledges one full window each round trip, a segment at a time, for `time`; answers the windows after each.
fn run(cubic: &mut Cubic, from: Instant, time: Duration, rtt: Duration) -> Vec<f64> {
    let mut windows = Vec::new();
    let mut now = from;
    while now < from + time {
        let acks = cubic.cwnd() / SMSS;
        for i in 0..acks {
            let now = now + rtt * i / acks;
            cubic.on_ack(&AckSample { srtt: Some(rtt), rtt: Some(rtt), ..ack(now, SMSS) });
        }
        now += rtt;
        windows.push(cubic.cwnd / SMSS as f64);
    }
    windows
}

#[test]
fn slow_start_doubles_and_bounds_bursts() {
    let mut cubic = cubic();
    (0..10).for_each(|_| cubic.on_ack(&ack(at(1.ms()), SMSS)));
    assert_eq!(cubic.cwnd(), 20 * SMSS);
    cubic.on_ack(&ack(at(2.ms()), 20 * SMSS));
    assert_eq!(cubic.cwnd(), 28 * SMSS);
}

#[test]
fn a_loss_takes_three_tenths() {
    let cubic = after_loss(100);
    assert_eq!((cubic.cwnd(), cubic.ssthresh()), (70 * SMSS, 70 * SMSS));
    let least = after_loss(1);
    assert_eq!(least.ssthresh(), 2 * SMSS);
    let mut ecn = self::cubic();
    ecn.on_congestion_event(&Loss { now: at(0.ms()), flight: SMSS, kind: LossKind::Ecn });
    assert_eq!((ecn.cwnd(), ecn.ssthresh()), (SMSS, 2 * SMSS));
}

/// RFC 9438 section 4.4 (MUST-4), section 4.5 (MUST-5).
#[test]
fn returns_to_the_plateau_after_k_and_grows_beyond() {
    // K = cbrt((1000 - 700) / 0.4) = 9.086 s.
    let mut cubic = after_loss(1000);
    let windows = run(&mut cubic, at(0.ms()), 20.secs(), 100.ms());
    let at_k = windows[90];
    assert!((990.0..1000.5).contains(&at_k), "{at_k}");
    // Concave before, convex after.
    let growth = |i: usize| windows[i + 5] - windows[i];
    assert!(growth(5) > growth(40) && growth(40) > growth(80), "concave");
    assert!(growth(110) < growth(150) && growth(150) < growth(190), "convex");
}

/// RFC 9438 section 4.2 (MUST-1), section 4.4 (MUST-4), section 5.1 (SHLD-10).
#[test]
fn follows_equation_one() {
    let mut cubic = after_loss(2000);
    let windows = run(&mut cubic, at(0.ms()), 16.secs(), 50.ms());
    let k = (600.0f64 / 0.4).cbrt();
    for (i, window) in windows.iter().enumerate() {
        let t = (i + 1) as f64 * 0.05;
        let want = 0.4 * (t - k).powi(3) + 2000.0;
        assert!((window - want).abs() < 0.02 * want, "t={t} {window} {want}");
    }
}

/// RFC 9438 section 4.3 (SHLD-1, SHLD-2).
#[test]
fn is_no_slower_than_reno_on_a_short_path() {
    // On a path of 1 ms the curve is flat for seconds: the Reno-friendly region decides.
    let mut cubic = after_loss(20);
    let windows = run(&mut cubic, at(0.ms()), 200.ms(), 1.ms());
    // alpha = 0.529 segments each round trip until the old window, one segment after.
    let to_prior = (6.0 / ALPHA).ceil();
    let want = 20.0 + (200.0 - to_prior);
    let last = *windows.last().unwrap();
    assert!((last - want).abs() < 0.05 * want, "{last} {want}");
    assert!((windows[4] - (14.0 + 5.0 * ALPHA)).abs() < 0.2, "{}", windows[4]);
}

/// RFC 9438 section 4.3 (SHLD-11).
#[test]
fn half_a_segment_counts_for_half() {
    let (mut whole, mut halves) = (after_loss(20), after_loss(20));
    (0..14).for_each(|_| whole.on_ack(&ack(at(1.ms()), SMSS)));
    (0..28).for_each(|_| halves.on_ack(&ack(at(1.ms()), SMSS / 2)));
    let (whole, halves) = (whole.epoch.unwrap().w_est, halves.epoch.unwrap().w_est);
    assert!(whole > 14_400.0 && (whole - halves).abs() < 20.0, "{whole} {halves}");
}

/// RFC 9438 section 4.7 (SHLD-4).
#[test]
fn fast_convergence_lowers_the_plateau_of_a_losing_flow() {
    let mut cubic = after_loss(100);
    assert_eq!(cubic.w_max, Some(100_000.0));
    cubic.on_congestion_event(&fast(70 * SMSS));
    assert_eq!(cubic.w_max, Some(70_000.0 * 0.85));
    cubic.cwnd = 90_000.0;
    cubic.on_congestion_event(&fast(90 * SMSS));
    assert_eq!(cubic.w_max, Some(90_000.0), "above the last plateau");
}

/// RFC 9438 section 4.8 (MUST-8, SHLD-5, SHLD-12).
#[test]
fn a_timeout_begins_with_one_segment_and_its_own_plateau() {
    let mut cubic = after_loss(100);
    cubic.on_rto(&Timeout { now: at(1.secs()), flight: 70 * SMSS, repeated: false, again: false });
    assert_eq!((cubic.cwnd(), cubic.ssthresh()), (SMSS, 49 * SMSS));
    cubic.on_rto(&Timeout { now: at(3.secs()), flight: SMSS, repeated: true, again: true });
    assert_eq!(cubic.ssthresh(), 49 * SMSS);
    let mut now = at(4.secs());
    while cubic.cwnd() < cubic.ssthresh() {
        cubic.on_ack(&ack(now, SMSS));
        now += 1.ms();
    }
    cubic.on_ack(&ack(now, SMSS));
    let epoch = cubic.epoch.unwrap();
    assert_eq!((epoch.k, epoch.w_max), (0.0, 49_000.0));
    // One acknowledgment of Reno's growth is in it already.
    assert!((49_000.0..50_000.0).contains(&epoch.w_est), "{}", epoch.w_est);
}

/// RFC 9438 section 4.2 (MUST-3).
#[test]
fn time_without_data_is_no_time() {
    let (mut busy, mut pausing) = (after_loss(500), after_loss(500));
    run(&mut busy, at(0.ms()), 2.secs(), 100.ms());
    run(&mut pausing, at(0.ms()), 2.secs(), 100.ms());
    // A minute in which the application sends a little.
    for i in 0..600u64 {
        pausing.on_ack(&AckSample { app_limited: true, ..ack(at(2.secs() + (i * 100).ms()), SMSS) });
    }
    assert_eq!(busy.cwnd(), pausing.cwnd());
    let busy = run(&mut busy, at(2.secs()), 3.secs(), 100.ms());
    let pausing = run(&mut pausing, at(62.secs()), 3.secs(), 100.ms());
    let (busy, pausing) = (busy.last().unwrap(), pausing.last().unwrap());
    assert!((busy - pausing).abs() < 0.03 * busy, "{busy} {pausing}");
}

/// RFC 9438 section 4.9 (SHLD-6), RFC 4015 section 3.1 (MUST-5).
#[test]
fn a_spurious_loss_gives_everything_back() {
    let mut cubic = after_loss(100);
    run(&mut cubic, at(0.ms()), 1.secs(), 100.ms());
    let was = cubic.clone();
    cubic.on_congestion_event(&fast(70 * SMSS));
    cubic.undo(at(1100.ms()));
    assert_eq!((cubic.cwnd, cubic.ssthresh, cubic.w_max), (was.cwnd, was.ssthresh, was.w_max));
    assert_eq!(cubic.epoch.unwrap().k, was.epoch.unwrap().k);
    let timeout = Timeout { now: at(2.secs()), flight: 70 * SMSS, repeated: false, again: false };
    cubic.on_rto(&timeout);
    cubic.on_rto(&Timeout { repeated: true, again: true, ..timeout });
    cubic.undo(at(3.secs()));
    assert_eq!((cubic.cwnd, cubic.ssthresh, cubic.w_max), (was.cwnd, was.ssthresh, was.w_max));
}

/// RFC 9438 section 4.9.2 (SHLD-9).
#[test]
fn a_window_that_has_outgrown_the_old_one_stays() {
    let mut cubic = after_loss(100);
    cubic.cwnd = 101_000.0;
    let was = cubic.clone();
    cubic.undo(at(9.secs()));
    assert_eq!((cubic.cwnd, cubic.ssthresh, cubic.w_max), (was.cwnd, was.ssthresh, was.w_max));
}

#[test]
fn idleness_returns_to_the_initial_window() {
    let mut cubic = after_loss(100);
    cubic.on_idle_restart(at(9.secs()), 8.secs());
    assert_eq!((cubic.cwnd(), cubic.ssthresh()), (10 * SMSS, 70 * SMSS));
}

#[test]
fn recovery_ends_without_a_burst() {
    let mut cubic = after_loss(100);
    cubic.on_ack(&AckSample { in_recovery: true, ..ack(at(1.secs()), 10 * SMSS) });
    assert_eq!(cubic.cwnd(), 70 * SMSS);
    cubic.on_recovery_exit(at(2.secs()), 0);
    assert_eq!(cubic.cwnd(), 2 * SMSS);
    cubic.on_recovery_exit(at(2.secs()), 90 * SMSS);
    assert_eq!(cubic.cwnd(), 70 * SMSS);
}

proptest! {
    #[test]
    fn the_cube_root_is_one(x in 0.0f64..1e15) {
        let root = cube_root(x);
        prop_assert!((root - x.cbrt()).abs() <= 1e-12 * x.cbrt());
    }

    /// Whatever happens in whatever order, the window stays a sensible number, and grows by half at most (RFC 9438
    /// section 4.2, MUST-2, MUST-13).
    #[test]
    fn the_window_never_leaves_its_bounds(
        steps in prop::collection::vec((0..8u8, 1..200_000u64, 0..2_000_000u64), 1..300),
    ) {
        let mut cubic = cubic();
        let mut now = at(0.ms());
        for (kind, bytes, us) in steps {
            now += us.us();
            let before = cubic.cwnd();
            match kind {
                0 => cubic.on_congestion_event(&Loss { now, flight: bytes, kind: LossKind::Fast }),
                1 => cubic.on_rto(&Timeout { now, flight: bytes, repeated: us % 2 == 0, again: us % 2 == 0 }),
                2 => cubic.undo(now),
                3 => cubic.on_recovery_exit(now, bytes),
                4 => cubic.on_idle_restart(now, us.us()),
                _ => {
                    cubic.on_ack(&AckSample { app_limited: us % 7 == 0, ..ack(now, bytes) });
                    prop_assert!(cubic.cwnd() >= before);
                    prop_assert!(cubic.cwnd() <= before + before / 2 + 8 * SMSS, "{} {}", before, cubic.cwnd());
                }
            }
            prop_assert!(cubic.cwnd.is_finite());
            prop_assert!(cubic.cwnd() >= SMSS && cubic.ssthresh() >= SMSS);
        }
    }
}
