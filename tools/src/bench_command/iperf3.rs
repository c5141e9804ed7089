//! `ustack bench iperf3`: a real iperf3 at the other end.

use ustack_tools::bench::iperf3::{Iperf3, PROGRAM};
use ustack_tools::bench::peer::Way;

use super::output::{OutputArgs, Style};
use super::{cpus, enter};
use crate::common::failure::{Failure, Outcome};

/// What iperf3 measures, as it is typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this way
    #[arg(long, value_name = "WAY")]
    way: Option<Way>,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=128))]
    flows: u8,
    /// Processors: one for both ends, or one for each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2", value_parser = cpus())]
    cpus: Vec<u8>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Outcome {
    if !Iperf3::is_installed() {
        let text = format!("there is no {PROGRAM} here; install it, as by: apt-get install {PROGRAM}");
        return Err(Failure::Device(text));
    }
    enter()?;
    let ways = args.way.map_or_else(|| Way::ALL.to_vec(), |way| vec![way]);
    let tests = args.cpus.iter().flat_map(|&cpus| ways.iter().map(move |&way| (cpus, way)));
    let iperf3 = measured(&args.output, Style::Each)?;
    let with = |cpus| Iperf3 { cpus, flows: args.flows.into(), ..iperf3.clone() };
    args.output.show(Style::Each, tests.map(|(cpus, way)| with(cpus).measure(way)))
}

/// One flow on two processors; iperf3 knows whole seconds alone.
pub(super) fn measured(output: &OutputArgs, style: Style) -> Result<Iperf3, Failure> {
    let ustack = std::env::current_exe();
    let ustack = ustack.map_err(|error| Failure::cannot_open("the program that runs", &error))?;
    let seconds = output.span(style).as_secs_f64().ceil() as u64;
    Ok(Iperf3 { ustack, seconds, rounds: output.rounds(style), cpus: 2, flows: 1 })
}
