//! `ustack bench`: speed side by side with peers.

mod lossy;
mod output;
mod svg;
mod tap;

use crate::common::failure::{Failure, Outcome};

/// Measure the stack beside others
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Tap(tap::Args),
    Lossy(lossy::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.what {
        What::Tap(args) => tap::run(args),
        What::Lossy(args) => lossy::run(args),
    }
}

/// Network namespaces are needed; to be called before there is another thread.
fn enter() -> Result<(), Failure> {
    ustack_tools::namespace::become_root_inside().map_err(|error| Failure::Device(error.to_string()))
}

/// How many processors a benchmark uses.
fn cpus() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=2)
}
