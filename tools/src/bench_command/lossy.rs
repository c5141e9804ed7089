//! `ustack bench lossy`: goodput side by side with a peer, in virtual time.

use std::io::{self, Write};
use std::process::ExitCode;

use ustack_tools::bench::lossy::{Experiment, Row, Stack, measure};

use crate::common::console;
use crate::common::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  ustack bench lossy                     the table of the README; a minute or two
  ustack bench lossy --seeds 4           nearly the same in a few seconds
  ustack bench lossy --loss 0.1,2 --rtt 30 --buffer 262144
  ustack bench lossy --json | jq '.rows[] | {loss, ratio}'

All is simulated, so that the same seeds give the same numbers on every machine. `bound` is the most that buffers of \
that size leave to anybody who does not send things twice in advance. `response` is what the response function of RFC \
9438 gives, or where it thinks of less than ten segments the throughput equation of RFC 5348, if the buffers leave the \
window room: cubic and reno, which take each loss for congestion, are to send no less (`cubic sent`, `reno sent`, what \
was lost included). BBR does not, and smoltcp has no congestion control at all.";

/// Goodput over a path that loses packets at random: bbr, cubic and reno, and smoltcp in the same simulator
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many runs make a mean
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Losses in percent, in both directions
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_value = "0,1,5,10,20,30", value_parser = percent)]
    loss: Vec<f64>,
    /// Round-trip time in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rtt: u64,
    /// Bytes of each socket's buffers
    #[arg(long, value_name = "BYTES", default_value_t = 32 * 1024, value_parser = clap::value_parser!(u32).range(2048..=1 << 24))]
    buffer: u32,
    /// Virtual seconds of each run
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// The one document of `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    rtt_ms: u64,
    buffer: usize,
    seeds: u64,
    seconds: u64,
    rows: &'a [Row],
}

pub(super) fn run(args: &Args) -> Outcome {
    let experiment = Experiment {
        losses: args.loss.clone(),
        seeds: args.seeds,
        rtt_ms: args.rtt,
        buffer: args.buffer as usize,
        seconds: args.seconds,
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = measure(&experiment, workers);
    let mut out = console::stdout();
    if args.json {
        let Experiment { rtt_ms, buffer, seeds, seconds, .. } = experiment;
        let document = Document { rtt_ms, buffer, seeds, seconds, rows: &rows };
        serde_json::to_writer_pretty(&mut out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write_table(&mut out, &experiment, &rows)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_table(out: &mut impl Write, experiment: &Experiment, rows: &[Row]) -> io::Result<()> {
    let Experiment { rtt_ms, buffer, seeds, seconds, .. } = experiment;
    writeln!(
        out,
        "bytes/s, mean of {seeds} seeds: {rtt_ms} ms round trip, {buffer} byte buffers, {seconds} s of virtual time\n"
    )?;
    write!(out, "{:>6}", "loss")?;
    Stack::ALL.iter().try_for_each(|stack| write!(out, "{:>10}", stack.name()))?;
    write!(out, "{:>13}{:>10}", "bbr/smoltcp", "bound")?;
    writeln!(out, "{:>12}{:>11}{:>10}", "cubic sent", "reno sent", "response")?;
    for row in rows {
        write!(out, "{:>4} %", row.loss)?;
        row.goodput.iter().try_for_each(|goodput| write!(out, "{:>10.0}", goodput.mean))?;
        let response = row.response.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        let [cubic, reno] = [Stack::Cubic, Stack::Reno].map(|stack| row.of(stack).sent);
        writeln!(out, "{:>13.2}{:>10.0}{cubic:>12.0}{reno:>11.0}{response:>10}", row.ratio, row.bound)?;
    }
    Ok(())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}
