//! `ustack bench core` and `idle`: the core alone, in memory.

use ustack_tools::bench::segments::{core, idle, memory};

use super::output::{OutputArgs, Style};
use crate::common::failure::Outcome;

/// Idle connections, as they are typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// No more idle connections than this, however much memory there is
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    most: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// A sender and a receiver, ours and smoltcp's.
pub(super) fn run_core(output: &OutputArgs) -> Outcome {
    output.show(Style::Each, [core(output.span(Style::Each), output.rounds(Style::Each))])
}

/// What idle connections take of memory, and of the time of one that is not.
pub(super) fn run_idle(args: &Args) -> Outcome {
    let (span, rounds) = (args.output.span(Style::Each), args.output.rounds(Style::Each));
    let tests: [Box<dyn FnOnce() -> _>; 2] =
        [Box::new(memory), Box::new(|| idle(span, rounds, args.most as usize))];
    args.output.show(Style::Each, tests.into_iter().map(|test| test()))
}
