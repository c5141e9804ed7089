//! `ustack bench tap`: bulk transfer over TCP.

use ustack_tools::bench::bulk::{ALL, Bulk, Who};
use ustack_tools::bench::peer::Way;

use super::output::{OutputArgs, Style};
use super::{cpus, enter};
use crate::common::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  ustack bench tap                          sending and receiving, beside everybody, on two processors
  ustack bench tap --cpus 1 --way send      both ends on one processor: the steadiest setting
  ustack bench tap --flows 8 --who ustack,kernel
  ustack bench tap --who ustack-raw,kernel  a packet socket on a veth, and the kernel there
  ustack bench tap --no-offload             single segments with their checksums
  ustack bench tap --json --pairs 7 | jq '.tests[].ratios'

ustack runs in a loop of its own over a TAP; the kernel over a veth, in namespaces made for the run. `ceiling` is a bare \
loop that speaks just enough TCP to keep the kernel busy: what the device and the peer allow at all. The peer is always \
the same program over the kernel's TCP with CUBIC. Seconds of processor time a gigabyte are the contender's thread's; \
with a TAP or a veth they have in them what the kernel's other end does inline. `by CPU time` is the rate that the busiest \
processor would have reached had it done nothing else: on a busy machine, compare that.";

/// Bulk transfer over TCP: ustack over a TAP, the kernel over a veth, smoltcp, and the ceiling
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only this way
    #[arg(long, value_name = "WAY")]
    way: Option<Way>,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    flows: u16,
    /// Processors: one for both ends, or one for each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2", value_parser = cpus())]
    cpus: Vec<u8>,
    /// Without merged frames and unfinished checksums
    #[arg(long)]
    no_offload: bool,
    /// Bytes of each socket's buffers
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = buffer())]
    buffer: u32,
    /// Bytes of the buffers of smoltcp on our TAP
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = buffer())]
    smoltcp_buffer: u32,
    /// Bytes of each read and write
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10, value_parser = buffer())]
    chunk: u32,
    /// Who takes part, if not all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    who: Vec<Who>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Outcome {
    enter()?;
    let ways = args.way.map_or_else(|| Way::ALL.to_vec(), |way| vec![way]);
    let tests = args.cpus.iter().flat_map(|&cpus| ways.iter().map(move |&way| (cpus, way)));
    args.output.show(Style::Each, tests.map(|(cpus, way)| args.bulk(cpus).measure(way)))
}

impl Args {
    fn bulk(&self, cpus: u8) -> Bulk {
        Bulk {
            span: self.output.span(Style::Each),
            rounds: self.output.rounds(Style::Each),
            cpus,
            flows: self.flows.into(),
            offload: !self.no_offload,
            buffer: self.buffer as usize,
            smoltcp_buffer: self.smoltcp_buffer as usize,
            chunk: self.chunk as usize,
            who: if self.who.is_empty() { ALL.to_vec() } else { self.who.clone() },
        }
    }
}

fn buffer() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1024..=1 << 28)
}
