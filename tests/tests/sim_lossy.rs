//! How good the stack is on a bad network, beside smoltcp in the same simulator: what the README claims, with few
//! seeds.

use std::sync::LazyLock;

use ustack_tools::bench::lossy::{Experiment, Row, Stack, measure, response};

const SEEDS: u64 = 4;

/// The lines of the README's table.
static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| measured(&Experiment::default().losses, 32 * 1024));

fn measured(losses: &[f64], buffer: usize) -> Vec<Row> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    measure(&Experiment { losses: losses.to_vec(), seeds: SEEDS, buffer, ..Experiment::default() }, workers)
}

#[test]
fn bbr_beats_smoltcp_at_each_loss() {
    let least = [(0.0, 1.0), (1.0, 1.15), (5.0, 2.0), (10.0, 2.5), (20.0, 5.0), (30.0, 5.0)];
    for (row, (loss, ratio)) in TABLE.iter().zip(least) {
        assert!(row.loss == loss && row.ratio >= ratio, "at {loss} %: {row:?}");
    }
}

#[test]
fn bbr_is_near_to_what_the_buffers_leave() {
    for (row, share) in TABLE.iter().zip([0.97, 0.92, 0.8, 0.7]) {
        let bbr = row.of(Stack::Bbr).mean;
        assert!(bbr >= share * row.bound && bbr <= row.bound, "{row:?}");
    }
}

/// What is sent reaches the response function of each loss. Of that of RFC 9438, which thinks of the round trips between
/// two losses alone, even what arrives reaches so much: with windows of nine and of five segments the one that a
/// recovery takes, in which no window grows, is one of nine and of six.
#[test]
fn cubic_and_reno_reach_the_response_function() {
    // Buffers that leave the windows room.
    let experiment = Experiment { buffer: 256 * 1024, ..Experiment::default() };
    let at_one = response(1.0, &experiment).expect("it holds there");
    let parts = [(0.5, 1.0), (1.0, 1.0), (2.0, 0.98), (5.0, 0.93), (20.0, 0.0)];
    for (row, (loss, part)) in measured(&parts.map(|(loss, _)| loss), experiment.buffer).iter().zip(parts) {
        for stack in [Stack::Cubic, Stack::Reno] {
            let goodput = row.of(stack);
            let response = row.response.expect("it holds here");
            assert!(goodput.sent >= response, "{goodput:?} at {loss} %, {response}");
            let reached = goodput.mean * loss.sqrt() / at_one;
            println!("{} at {loss} %: {reached:.3}", stack.name());
            assert!(reached >= part, "{} at {loss} %: {reached:.3}", stack.name());
            // Four minutes of virtual time, some hundred recoveries. That no report could prevent them is judged by
            // `sim_timeouts`.
            assert!(loss > 1.0 || goodput.timeouts <= 2, "{goodput:?} at {loss} %");
        }
    }
}

#[test]
fn a_timeout_is_rare_where_few_segments_are_in_flight() {
    for row in measured(&[2.0, 5.0], 32 * 1024) {
        for stack in [Stack::Cubic, Stack::Reno] {
            // Eight minutes of virtual time, some 500 recoveries.
            assert!(row.of(stack).timeouts <= 4, "{:?} at {} %", row.of(stack), row.loss);
        }
    }
}

/// The numbers of a line of the table in the README, `| 1 % | 2 | 3 |`.
fn numbers(line: &str) -> Option<Vec<f64>> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [loss, rest @ ..] = &cells[..] else { return None };
    let loss = loss.strip_suffix('%')?.trim().parse().ok()?;
    let rest = rest.iter().filter_map(|cell| cell.replace(',', "").parse().ok());
    Some(core::iter::once(loss).chain(rest).collect())
}

#[test]
fn the_readme_tells_what_is_measured() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let table: Vec<Vec<f64>> = readme.lines().filter_map(numbers).collect();
    let losses: Vec<f64> = table.iter().map(|line| line[0]).collect();
    assert_eq!(losses, Experiment::default().losses, "the table of the README");
    for (line, row) in table.iter().zip(TABLE.iter()) {
        for (said, goodput) in line[1..].iter().zip(row.goodput) {
            // The README has 30 seeds: these few lie as far from them as from each other.
            let most = 3.0 * goodput.deviation + 0.02 * goodput.mean;
            assert!((said - goodput.mean).abs() <= most, "{said} at {} %, but {goodput:?}", row.loss);
        }
        let &[_, bbr, .., smoltcp, ratio, bound] = &line[..] else { panic!("{line:?}") };
        assert!((bbr / smoltcp - ratio).abs() < 0.011, "{line:?}");
        assert!((bound / row.bound - 1.0).abs() < 0.05, "{line:?}, but {}", row.bound);
    }
}
