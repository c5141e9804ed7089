//! `ustack bench udp`: datagrams a second.

use ustack_tools::bench::peer::Way;
use ustack_tools::bench::udp::Datagrams;

use super::output::{OutputArgs, Style};
use super::{cpus, enter};
use crate::common::failure::Outcome;

/// Datagrams, as they are typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bytes of each datagram
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64,1400,1472", value_parser = size())]
    size: Vec<u16>,
    /// Processors: one for both ends, or one for each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2", value_parser = cpus())]
    cpus: Vec<u8>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Outcome {
    enter()?;
    let (span, rounds) = (args.output.span(Style::Each), args.output.rounds(Style::Each));
    let sizes = args.cpus.iter().flat_map(|&cpus| args.size.iter().map(move |&size| (cpus, size.into())));
    let tests =
        sizes.flat_map(|(cpus, size)| Way::ALL.map(|way| (Datagrams { size, span, rounds, cpus }, way)));
    args.output.show(Style::Each, tests.map(|(datagrams, way)| datagrams.measure(way)))
}

fn size() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1472)
}
