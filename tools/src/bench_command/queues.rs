//! `ustack bench queues`: two queues on two processors against one.

use ustack_tools::bench::queues::Queues;

use super::enter;
use super::output::{OutputArgs, Style};
use crate::common::failure::Outcome;

/// Queues, as they are typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bytes of each datagram
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64,1400")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1472))]
    size: Vec<u16>,
    /// Sockets that send
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=4096))]
    flows: u16,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Outcome {
    enter()?;
    let (span, rounds) = (args.output.span(Style::Each), args.output.rounds(Style::Each));
    let tests = args
        .size
        .iter()
        .map(|&size| Queues { size: size.into(), flows: args.flows.into(), span, rounds }.measure());
    args.output.show(Style::Each, tests)
}
