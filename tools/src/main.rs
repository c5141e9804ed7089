//! The command line of ustack: one binary, one file for each subcommand.

mod bench_command;
mod common;
mod completions;
mod connect;
mod decode;
mod demo;
mod doctor;
mod host;
mod iperf3_command;
mod listen;
mod ping;
mod replay_command;
mod run_command;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::common::failure::Outcome;

const ABOUT: &str = "A TCP/UDP/IP stack in user space that explains itself";

const AFTER_HELP: &str = "\
Data goes to stdout, everything else to stderr. Exit status: 0 done; 1 it did not work out (no answer, refused, \
broken input); 2 the command line makes no sense; 3 a privilege or a device is missing: `ustack doctor` tells \
what to type to get it.";

/// Everything that can be typed.
#[derive(Debug, Parser)]
#[command(name = "ustack", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Host(host::Args),
    Connect(connect::Args),
    Listen(listen::Args),
    Ping(ping::Args),
    Decode(decode::Args),
    Replay(replay_command::Args),
    Run(run_command::Args),
    Bench(bench_command::Args),
    Iperf3(iperf3_command::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

impl Command {
    fn run(self) -> Outcome {
        match self {
            Self::Demo(args) => demo::run(&args),
            Self::Host(args) => host::run(&args),
            Self::Connect(args) => connect::run(&args),
            Self::Listen(args) => listen::run(&args),
            Self::Ping(args) => ping::run(&args),
            Self::Decode(args) => decode::run(&args),
            Self::Replay(args) => replay_command::run(&args),
            Self::Run(args) => run_command::run(&args),
            Self::Bench(args) => bench_command::run(&args),
            Self::Iperf3(args) => iperf3_command::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Completions(args) => completions::run(&args, Cli::command()),
        }
    }
}

fn main() -> ExitCode {
    // Clap prints its own errors, and ends with 2.
    let cli = Cli::parse();
    cli.command.run().unwrap_or_else(|failure| failure.report())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
