//! Goodput over a path that loses: each congestion control of ours beside smoltcp, which has none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ustack::buf::frame::Medium;
use ustack::rng::Rng;
use ustack::time::Duration;

use super::duet::{Duet, Kind};

/// Bytes of data in a full segment of ours: an MTU of 1500 less headers and timestamps.
const SMSS: f64 = 1448.0;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Random losses in both directions, in percent.
    pub losses: Vec<f64>,
    /// How many runs make a mean: the seeds are 1, 2, 3...
    pub seeds: u64,
    /// Round-trip time in milliseconds; the links have no rate, so that nothing else delays.
    pub rtt_ms: u64,
    /// Bytes of each buffer.
    pub buffer: usize,
    /// Seconds of virtual time in each run.
    pub seconds: u64,
}

impl Default for Experiment {
    /// The setting of the table that smoltcp publishes.
    fn default() -> Self {
        Self {
            losses: vec![0.0, 1.0, 5.0, 10.0, 20.0, 30.0],
            seeds: 30,
            rtt_ms: 100,
            buffer: 32 * 1024,
            seconds: 60,
        }
    }
}

/// Who sends and receives: one of our congestion controls, or smoltcp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// ustack with BBR.
    Bbr,
    /// ustack with CUBIC.
    Cubic,
    /// ustack with NewReno.
    Reno,
    /// smoltcp, without a congestion control.
    Smoltcp,
}

impl Stack {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bbr, Self::Cubic, Self::Reno, Self::Smoltcp];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bbr => "bbr",
            Self::Cubic => "cubic",
            Self::Reno => "reno",
            Self::Smoltcp => "smoltcp",
        }
    }
}

/// What one stack reached at one loss.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Goodput {
    /// Who.
    pub stack: Stack,
    /// Bytes per second that arrived in order, the mean of all seeds.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Bytes per second that left, repeats included; always 0 for smoltcp, which does not tell.
    pub sent: f64,
    /// How often the retransmission timer fired, in all runs; always 0 for smoltcp, which does not tell.
    pub timeouts: u64,
}

/// One line of the table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// The loss in percent.
    pub loss: f64,
    /// In the order of [`Stack::ALL`].
    pub goodput: [Goodput; 4],
    /// BBR against smoltcp.
    pub ratio: f64,
    /// What [`response`] gives, in bytes per second.
    pub response: Option<f64>,
    /// What [`bound`] gives, in bytes per second.
    pub bound: f64,
}

impl Row {
    /// What that stack reached.
    pub fn of(&self, stack: Stack) -> &Goodput {
        &self.goodput[stack as usize]
    }
}

/// What is to be expected of NewReno and, as long as its window is small, of CUBIC, in bytes sent per second, repeats
/// included. None without losses, and where the buffers limit rather than the window.
///
/// The response function that they have in common, SMSS / RTT * sqrt(3/2) / sqrt(p) (RFC 9438 section 5.1, equation 5
/// of section 4.3), thinks of the round trips between two losses alone. The one that a recovery takes, in which no
/// window grows, is not in it, nor are timeouts; so with less than ten segments the throughput equation of RFC 5348
/// section 3.1 takes its place. Delayed acknowledgments change nothing (b = 1), because the windows count bytes (RFC
/// 3465).
pub fn response(loss: f64, experiment: &Experiment) -> Option<f64> {
    let rtt = experiment.rtt_ms as f64 / 1000.0;
    let p = loss / 100.0;
    let segments = (1.5 / p).sqrt();
    // The window swings between two thirds of its mean and four thirds.
    let fits = segments * 4.0 / 3.0 <= experiment.buffer as f64 / SMSS;
    let timeouts = if segments < 10.0 {
        let rto = 4.0 * rtt;
        rto * 3.0 * (3.0 * p / 8.0).sqrt() * p * (1.0 + 32.0 * p * p)
    } else {
        0.0
    };
    (loss > 0.0 && fits).then_some(SMSS / (rtt / segments + timeouts))
}

/// The most that any sender gets through buffers of that size without sending things twice in advance, in bytes per
/// second: it has no congestion control, fills each byte of the window, and repairs each loss as soon as anybody can
/// know of it, one round trip after the segment left. A segment that is missing stops the window meanwhile.
pub fn bound(loss: f64, experiment: &Experiment) -> f64 {
    let runs = experiment.seeds.max(1);
    (1..=runs).map(|seed| ideal(loss, experiment, seed)).sum::<f64>() / runs as f64
}

/// One run of the sender of [`bound`], a round trip at a time.
fn ideal(loss: f64, experiment: &Experiment, seed: u64) -> f64 {
    let mut rng = Rng::new(seed, 0);
    let odds = (loss / 100.0 * 1e9) as u64;
    let (window, smss) = (experiment.buffer as u64, SMSS as u64);
    let (mut una, mut nxt, mut missing) = (0, 0, Vec::new());
    for _ in 0..experiment.seconds * 1000 / experiment.rtt_ms.max(1) {
        while nxt < una + window {
            missing.push(nxt);
            nxt += smss.min(una + window - nxt);
        }
        // What was missing left again, and so did what is new.
        missing.retain(|_| rng.below(1_000_000_000) < odds);
        una = missing.first().copied().unwrap_or(nxt);
    }
    una as f64 / experiment.seconds as f64
}

/// Runs the experiment, `workers` runs at a time. The same numbers each time, however many they are.
///
/// # Panics
/// A stack delivers what was not sent: see [`Duet::received_in`].
pub fn measure(experiment: &Experiment, workers: usize) -> Vec<Row> {
    let cases: Vec<(f64, Stack)> =
        experiment.losses.iter().flat_map(|&loss| Stack::ALL.map(|stack| (loss, stack))).collect();
    let seeds = experiment.seeds.max(1) as usize;
    let results: Vec<Mutex<Outcome>> = (0..cases.len() * seeds).map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, results.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(slot) = results.get(index) else { return };
                    let (loss, stack) = cases[index / seeds];
                    let result = run(experiment, loss, stack, (index % seeds) as u64 + 1);
                    *slot.lock().expect("no run panics with it") = result;
                }
            });
        }
    });
    let results: Vec<Outcome> =
        results.into_iter().map(|slot| slot.into_inner().expect("no run has panicked")).collect();
    let means: Vec<Goodput> =
        cases.iter().zip(results.chunks(seeds)).map(|(&(_, stack), runs)| summary(stack, runs)).collect();
    let rows = means.chunks(Stack::ALL.len()).zip(&experiment.losses);
    rows.map(|(goodput, &loss)| {
        let goodput: [Goodput; 4] = goodput.try_into().expect("one for each stack");
        let ratio = goodput[0].mean / goodput[3].mean;
        let (response, bound) = (response(loss, experiment), bound(loss, experiment));
        Row { loss, goodput, ratio, response, bound }
    })
    .collect()
}

/// What one run came to: bytes per second that arrived and that left, and timeouts.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    arrived: f64,
    sent: f64,
    timeouts: u64,
}

fn run(experiment: &Experiment, loss: f64, stack: Stack, seed: u64) -> Outcome {
    let link = format!("delay {}us loss {loss}%", experiment.rtt_ms * 500);
    let (kind, congestion) = match stack {
        Stack::Smoltcp => (Kind::Smol, Duet::default().congestion),
        ours => (Kind::Ours, ours.name()),
    };
    // More than a window each round trip.
    let request = experiment.buffer * (experiment.seconds * 1000 / experiment.rtt_ms.max(1) + 2) as usize;
    let duet = Duet {
        client: kind,
        server: kind,
        medium: Medium::Ip,
        link: &link,
        seed,
        request,
        congestion,
        buffer: Some(experiment.buffer),
        ..Duet::default()
    };
    let progress = duet.received_in(Duration::from_secs(experiment.seconds));
    let rate = |bytes: u64| bytes as f64 / experiment.seconds as f64;
    let counters = progress.info.map(|info| info.counters).unwrap_or_default();
    Outcome {
        arrived: rate(progress.bytes as u64),
        sent: rate(counters.bytes_sent),
        timeouts: counters.timeouts.into(),
    }
}

fn summary(stack: Stack, runs: &[Outcome]) -> Goodput {
    let mean_of = |f: fn(&Outcome) -> f64| runs.iter().map(f).sum::<f64>() / runs.len() as f64;
    let (mean, sent) = (mean_of(|run| run.arrived), mean_of(|run| run.sent));
    let variance = runs.iter().map(|run| (run.arrived - mean).powi(2)).sum::<f64>() / runs.len() as f64;
    let timeouts = runs.iter().map(|run| run.timeouts).sum();
    Goodput { stack, mean, deviation: variance.sqrt(), sent, timeouts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_function_holds_where_the_buffers_leave_room() {
        let experiment = Experiment::default();
        let of = |loss| response(loss, &experiment).map(|rate| rate.round());
        assert_eq!((of(0.0), of(0.1)), (None, None), "the buffer");
        assert_eq!((of(1.0), of(5.0)), (Some(177_343.0), Some(53_372.0)));
    }

    #[test]
    fn nobody_gets_more_than_a_window_less_what_losses_stop() {
        let experiment = Experiment { seconds: 600, ..Experiment::default() };
        let of = |loss| bound(loss, &experiment);
        assert!((of(0.0) - 327_680.0).abs() < 1.0);
        // Each loss costs half a window on average.
        let segments = 32_768.0 / SMSS;
        let rough = 327_680.0 / (1.0 + 0.01 * segments / 2.0);
        assert!((of(1.0) / rough - 1.0).abs() < 0.02, "{} {rough}", of(1.0));
        assert!(of(30.0) < of(20.0) && of(20.0) < of(5.0));
    }

    #[test]
    fn the_threads_change_nothing() {
        let experiment = Experiment { losses: vec![0.0, 2.5], seeds: 3, seconds: 2, ..Experiment::default() };
        let rows = |workers| format!("{:?}", measure(&experiment, workers));
        assert_eq!(rows(1), rows(4));
        let row = &measure(&experiment, 2)[1];
        assert_eq!((row.loss, row.of(Stack::Reno).stack), (2.5, Stack::Reno));
        assert!(row.of(Stack::Bbr).mean > row.of(Stack::Smoltcp).mean && row.of(Stack::Reno).deviation > 0.0);
    }
}
