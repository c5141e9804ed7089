use super::*;
use crate::sim::impair::Reorder;
use crate::time::Units as _;

const FRAMES: usize = 100_000;

fn fates(text: &str) -> Vec<Fate> {
    let config: Impairment = text.parse().unwrap();
    let mut dice = Dice::new(config.seed.unwrap_or(1), 0);
    (0..FRAMES).map(|_| dice.roll(&config, 1000)).collect()
}

fn losses(text: &str) -> Vec<bool> {
    fates(text).iter().map(Fate::is_drop).collect()
}

fn share(events: &[bool]) -> f64 {
    events.iter().filter(|event| **event).count() as f64 / events.len() as f64
}

/// Mean length of the runs of `true`.
fn mean_run(events: &[bool]) -> f64 {
    let runs: Vec<usize> = events.split(|e| !e).map(<[bool]>::len).filter(|len| *len > 0).collect();
    runs.iter().sum::<usize>() as f64 / runs.len() as f64
}

/// How likely an event follows an event.
fn repeats(events: &[bool]) -> f64 {
    let after: Vec<bool> = events.windows(2).filter(|pair| pair[0]).map(|pair| pair[1]).collect();
    share(&after)
}

#[track_caller]
fn assert_near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value}, expected {expected} +- {tolerance}");
}

#[test]
fn random_loss_is_as_frequent_as_asked_for() {
    assert_near(share(&losses("loss 1%")), 0.01, 0.002);
    assert_near(share(&losses("loss 30%")), 0.3, 0.01);
    assert_eq!(share(&losses("loss 100%")), 1.0);
    assert_eq!(share(&losses("loss 0%")), 0.0);
}

#[test]
fn correlation_makes_runs_and_keeps_the_frequency() {
    let correlated = losses("loss 10% 50%");
    assert_near(share(&correlated), 0.1, 0.01);
    // Half the frames repeat, a tenth of the others is lost by its own luck.
    assert_near(repeats(&correlated), 0.55, 0.03);
    assert_near(repeats(&losses("loss 10%")), 0.1, 0.02);
}

#[test]
fn gilbert_elliott_loses_in_bursts() {
    let losses = losses("loss gemodel 1% 10%");
    // Bad for p / (p + r) of the time, for 1 / r frames at a time.
    assert_near(share(&losses), 1.0 / 11.0, 0.02);
    assert_near(mean_run(&losses), 10.0, 1.5);
    let soft = super::tests::losses("loss gemodel 1% 10% 50% 1%");
    assert_near(share(&soft), 0.5 / 11.0 + 0.01 * 10.0 / 11.0, 0.015);
}

#[test]
fn four_states_lose_alone_and_in_bursts() {
    let alone = losses("loss state 0% 100% 0% 100% 5%");
    assert_near(share(&alone), 0.05 / 1.05, 0.005);
    assert_eq!(mean_run(&alone), 1.0);
    // A burst begins in 2 of 100 frames and ends in 1 of 4.
    let bursts = losses("loss state 2% 25%");
    assert_near(share(&bursts), 0.02 / 0.27, 0.01);
    assert_near(mean_run(&bursts), 4.0, 0.5);
    // Within the burst every second frame passes.
    let mixed = losses("loss state 2% 10% 40% 40%");
    assert_near(mean_run(&mixed), 2.0, 0.2);
}

/// Mean and standard deviation of the delays in milliseconds.
fn delays(text: &str) -> (f64, f64) {
    let delays: Vec<f64> = fates(text).iter().map(|fate| fate.delay.as_secs_f64() * 1e3).collect();
    let mean = delays.iter().sum::<f64>() / FRAMES as f64;
    let variance = delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / FRAMES as f64;
    (mean, variance.sqrt())
}

#[test]
fn jitter_has_its_distribution() {
    let (mean, deviation) = delays("delay 100ms 10ms");
    assert_near(mean, 100.0, 0.3);
    assert_near(deviation, 10.0 / 3f64.sqrt(), 0.2);
    let (mean, deviation) = delays("delay 100ms 10ms distribution normal");
    assert_near(mean, 100.0, 0.3);
    assert_near(deviation, 10.0, 0.3);
    let (mean, deviation) = delays("delay 100ms 10ms distribution pareto");
    assert_near(mean, 100.0, 0.5);
    // The heavy tail is cut: a little less than 10.
    assert_near(deviation, 9.0, 1.5);
    assert_eq!(delays("delay 100ms"), (100.0, 0.0));
}

#[test]
fn correlated_jitter_keeps_its_distribution() {
    let (mean, deviation) = delays("delay 100ms 10ms 75% distribution normal");
    assert_near(mean, 100.0, 0.5);
    assert_near(deviation, 10.0, 0.5);
    let fates = fates("delay 100ms 10ms 75%");
    let same: Vec<bool> = fates.windows(2).map(|pair| pair[0].delay == pair[1].delay).collect();
    assert_near(share(&same), 0.75, 0.01);
}

#[test]
fn delays_are_never_negative() {
    assert!(fates("delay 1ms 50ms distribution normal").iter().any(|fate| fate.delay.is_zero()));
    assert!(fates("delay 1ms 50ms").iter().all(|fate| fate.delay <= 51.ms()));
}

#[test]
fn the_cube_root_is_one() {
    for x in [1.0, 0.9, 0.5, 0.125, 0.001, 1.0 / 4096.0] {
        let y = inverse_cube_root(x);
        assert_near(y * y * y * x, 1.0, 1e-12);
    }
}

#[test]
fn duplicates_corruption_and_reordering_are_as_frequent_as_asked_for() {
    let fates = fates("delay 10ms duplicate 2% corrupt 3% reorder 5%");
    let count = |is: fn(&Fate) -> bool| fates.iter().filter(|f| is(f)).count() as f64 / FRAMES as f64;
    assert_near(count(|f| f.duplicate.is_some()), 0.02, 0.003);
    assert_near(count(|f| f.corrupt.is_some()), 0.03, 0.003);
    assert_near(count(|f| f.reorder), 0.05, 0.004);
    let bytes: Vec<u32> = fates.iter().filter_map(|f| f.corrupt).map(|c| c.byte).collect();
    assert!(bytes.iter().all(|byte| *byte < 1000));
    assert_near(bytes.iter().map(|b| f64::from(*b)).sum::<f64>() / bytes.len() as f64, 500.0, 30.0);
}

#[test]
fn a_gap_leaves_that_many_frames_in_order() {
    let fates = fates("delay 10ms reorder 100% gap 5");
    let reordered: Vec<usize> = (0..20).filter(|i| fates[*i].reorder).collect();
    assert_eq!(reordered, [4, 9, 14, 19]);
    assert_eq!(Reorder::default().gap, 1);
}

#[test]
fn one_seed_has_one_fate() {
    let all = "delay 10ms 3ms loss 2% 10% duplicate 2% corrupt 1% reorder 5% seed 7";
    assert_eq!(fates(all), fates(all));
    assert_ne!(fates(all), fates(&all.replace("seed 7", "seed 8")));
    // A seed keeps its meaning: these were drawn once and for all.
    let first: Vec<String> = fates(all)[..4].iter().map(Fate::to_string).collect();
    assert_eq!(first, FIRST_OF_SEED_7);
}

const FIRST_OF_SEED_7: [&str; 4] =
    ["delay 9.186077ms", "delay 9.448961ms", "delay 11.281811ms", "delay 12.614058ms"];

#[test]
fn switching_one_kind_on_leaves_the_others_as_they_were() {
    let base = fates("delay 10ms 3ms duplicate 2% corrupt 1% reorder 5% gap 3");
    for loss in ["loss 5%", "loss 5% 50%", "loss state 2% 20% 10% 90% 1%", "loss gemodel 2% 20% 90% 1%"] {
        let lossy = fates(&format!("delay 10ms 3ms duplicate 2% corrupt 1% reorder 5% gap 3 {loss}"));
        assert!(lossy.iter().any(Fate::is_drop));
        for (with, without) in lossy.iter().zip(&base).filter(|(with, _)| !with.is_drop()) {
            assert_eq!(with, without);
        }
    }
    // The other way round: what delays or doubles frames loses no others.
    let lost = |text: &str| losses(text);
    assert_eq!(
        lost("loss 5%"),
        lost("loss 5% delay 10ms 3ms 20% distribution pareto duplicate 5% 5% corrupt 9%")
    );
    // And more loss only adds to what was lost.
    let (few, many) = (losses("loss 5%"), losses("loss 6%"));
    assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
}

#[test]
fn streams_and_directions_do_not_resemble_each_other() {
    let config: Impairment = "loss 50% duplicate 50%".parse().unwrap();
    let mut directions = [0, 1, 2].map(|direction| Dice::new(1, direction));
    let mut agree = [0usize; 3];
    for _ in 0..FRAMES {
        let [a, b, c] = directions.each_mut().map(|dice| dice.roll(&config, 100).is_drop());
        for (count, same) in agree.iter_mut().zip([a == b, b == c, a == c]) {
            *count += usize::from(same);
        }
    }
    for count in agree {
        assert_near(count as f64 / FRAMES as f64, 0.5, 0.01);
    }
    let config: Impairment = "delay 10ms duplicate 50% reorder 50%".parse().unwrap();
    let mut dice = Dice::new(1, 0);
    let both: Vec<bool> = (0..FRAMES)
        .map(|_| dice.roll(&config, 100))
        .map(|fate| fate.duplicate.is_some() == fate.reorder)
        .collect();
    assert_near(share(&both), 0.5, 0.01);
}
