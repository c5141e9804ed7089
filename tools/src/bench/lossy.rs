//! Goodput over a path that loses: each congestion control of ours beside smoltcp, which has none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ustack::buf::frame::Medium;
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
}

impl Row {
    /// What that stack reached.
    pub fn of(&self, stack: Stack) -> &Goodput {
        &self.goodput[stack as usize]
    }
}

/// The response function of RFC 5681's window for receivers that acknowledge each second segment, in bytes per second:
/// SMSS / RTT * sqrt(3/4) / sqrt(p) (Mathis et al., 1997; RFC 9438 section 5.1 has the same without the delay), as far
/// as the buffers allow. None where it does not hold: without losses, and with less than four segments in flight, where
/// three cannot tell that the first is lost.
pub fn response(loss: f64, experiment: &Experiment) -> Option<f64> {
    let rtt = experiment.rtt_ms as f64 / 1000.0;
    let window = experiment.buffer as f64 / SMSS;
    let segments = (0.75 / (loss / 100.0)).sqrt().min(window);
    (loss > 0.0 && segments >= 3.8).then_some(segments * SMSS / rtt)
}

/// Runs the experiment, `workers` runs at a time. The same numbers each time, however many they are.
///
/// # Panics
/// A stack delivers what was not sent: see [`Duet::received_in`].
pub fn measure(experiment: &Experiment, workers: usize) -> Vec<Row> {
    let cases: Vec<(f64, Stack)> =
        experiment.losses.iter().flat_map(|&loss| Stack::ALL.map(|stack| (loss, stack))).collect();
    let seeds = experiment.seeds.max(1) as usize;
    let results: Vec<Mutex<(f64, u64)>> = (0..cases.len() * seeds).map(|_| Mutex::default()).collect();
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
    let results: Vec<(f64, u64)> =
        results.into_iter().map(|slot| slot.into_inner().expect("no run has panicked")).collect();
    let means: Vec<Goodput> =
        cases.iter().zip(results.chunks(seeds)).map(|(&(_, stack), runs)| summary(stack, runs)).collect();
    let rows = means.chunks(Stack::ALL.len()).zip(&experiment.losses);
    rows.map(|(goodput, &loss)| {
        let goodput: [Goodput; 4] = goodput.try_into().expect("one for each stack");
        let ratio = goodput[0].mean / goodput[3].mean;
        Row { loss, goodput, ratio, response: response(loss, experiment) }
    })
    .collect()
}

/// Bytes per second, and timeouts, of one run.
fn run(experiment: &Experiment, loss: f64, stack: Stack, seed: u64) -> (f64, u64) {
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
    let sent = duet.received_in(Duration::from_secs(experiment.seconds));
    (sent.bytes as f64 / experiment.seconds as f64, sent.info.map_or(0, |info| info.counters.timeouts.into()))
}

fn summary(stack: Stack, runs: &[(f64, u64)]) -> Goodput {
    let count = runs.len() as f64;
    let mean = runs.iter().map(|run| run.0).sum::<f64>() / count;
    let variance = runs.iter().map(|run| (run.0 - mean).powi(2)).sum::<f64>() / count;
    let timeouts = runs.iter().map(|run| run.1).sum();
    Goodput { stack, mean, deviation: variance.sqrt(), timeouts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_function_has_bounds() {
        let experiment = Experiment::default();
        let of = |loss| response(loss, &experiment).map(|rate| rate.round());
        assert_eq!((of(0.0), of(0.01)), (None, Some(327_680.0)), "the buffer");
        assert_eq!(of(1.0), Some(125_400.0));
        assert_eq!(of(10.0), None, "2.7 segments");
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
