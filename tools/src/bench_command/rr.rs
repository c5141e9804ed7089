//! `ustack bench rr` and `connect`: a client of the kernel's, and each kind of server.

use ustack_tools::bench::rr::{ALL, Requests, Task, Who};

use super::output::{OutputArgs, Style};
use super::{cpus, enter};
use crate::common::failure::Outcome;

/// Requests and connections, as they are typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Processors: one for both ends, or one for each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2,1", value_parser = cpus())]
    cpus: Vec<u8>,
    /// Who serves, if not all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    who: Vec<Who>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args, task: Task) -> Outcome {
    enter()?;
    let requests = |&cpus: &u8| Requests {
        task,
        span: args.output.span(Style::Each),
        rounds: args.output.rounds(Style::Each),
        cpus,
        who: if args.who.is_empty() { ALL.to_vec() } else { args.who.clone() },
    };
    args.output.show(Style::Each, args.cpus.iter().map(|cpus| requests(cpus).measure()))
}
