//! `ustack bench`: speed side by side with peers.

mod all;
mod iperf3;
mod lossy;
mod output;
mod queues;
mod rr;
mod segments;
mod svg;
mod table;
mod tap;
mod udp;

use ustack_tools::bench::rr::Task;

use crate::common::failure::{Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  ustack bench                        a little of everything, in a minute
  ustack bench tap                    bulk transfer, at length
  ustack bench rr --cpus 1 --json
  ustack bench --svg speed.svg

Contenders take turns in one run, each against the same peer over the kernel's TCP with CUBIC, pinned to one processor \
or to two. Rates are medians; ratios are medians of the ratios of neighbouring runs. `by CPU time` is the rate that the \
busiest processor would have reached had it done nothing else: on a busy machine, compare that. Network namespaces are \
made for each run: as root, or as an ordinary user where that is permitted.";

/// Measure the stack beside others
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    output: output::OutputArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Tap(tap::Args),
    /// Requests of one byte: how many a second, and how long they take
    Rr(rr::Args),
    /// Connections with one request each: how many a second
    Connect(rr::Args),
    /// Datagrams sent and received a second, against a bare loop of writes or reads
    Udp(udp::Args),
    /// Many flows by two queues on two processors, against one queue on one
    Queues(queues::Args),
    /// Bulk transfer to and from a real iperf3, by our client and by its own
    Iperf3(iperf3::Args),
    /// What idle connections take of memory, and of the time of one that is not idle
    Idle(segments::Args),
    /// Segments a second of the core alone, in memory, beside smoltcp's
    Core(output::OutputArgs),
    Lossy(lossy::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.what {
        None => all::run(&args.output),
        Some(What::Tap(args)) => tap::run(args),
        Some(What::Rr(args)) => rr::run(args, Task::Requests),
        Some(What::Connect(args)) => rr::run(args, Task::Connections),
        Some(What::Udp(args)) => udp::run(args),
        Some(What::Queues(args)) => queues::run(args),
        Some(What::Iperf3(args)) => iperf3::run(args),
        Some(What::Idle(args)) => segments::run_idle(args),
        Some(What::Core(output)) => segments::run_core(output),
        Some(What::Lossy(args)) => lossy::run(args),
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
