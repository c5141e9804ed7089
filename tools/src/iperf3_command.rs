//! `ustack iperf3`: the client of iperf3 over the stack, which a real iperf3 serves.

use std::net::IpAddr;
use std::process::ExitCode;

use ustack::time::Duration;
use ustack_tools::iperf3::client::Client;
use ustack_tools::iperf3::report::{Form, Report};
use ustack_tools::iperf3::{Error, PORT, Params};

use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::ready::ready;
use crate::common::runtime::{block_on, driven, interrupted};
use crate::common::span;
use crate::common::stack::{Running, StackArgs};
use crate::common::target::{FamilyArgs, endpoint};

const EXAMPLES: &str = "\
Examples:
  iperf3 -s                                   on this machine, and beside it:
  ustack iperf3 -c 10.9.0.1                   how fast do we send through tap0?
  ustack iperf3 -c 10.9.0.1 -R -P 4 -J        and receive, on 4 connections? As a document
  ustack iperf3 -c 10.9.0.1 -u -b 100M        datagrams
  ustack iperf3 -c 10.9.0.1 --loss 1% -C bbr --raw eth0 --address 192.168.1.200/24

The server is a real iperf3, or `ustack host --iperf3`.";

/// Measure the stack against a server of iperf3, with iperf3's options and output.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The server: an address, or a name that this machine can look up
    #[arg(long, short, value_name = "HOST")]
    client: String,
    /// The server's port
    #[arg(long, short, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    #[command(flatten)]
    family: FamilyArgs,
    /// Time between reports; 0 for none before the end
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = span::parse)]
    interval: Duration,
    /// One JSON document instead of lines
    #[arg(long, short = 'J')]
    json: bool,
    #[command(flatten)]
    test: TestArgs,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    events: EventsArgs,
}

/// What is measured.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Test")]
struct TestArgs {
    /// Seconds to send [default: 10]
    #[arg(long, short, value_name = "SECONDS", group = "end", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time: Option<u64>,
    /// Bytes to send instead, as 512K, 20M or 1G
    #[arg(long = "bytes", short = 'n', value_name = "BYTES", group = "end", value_parser = binary)]
    bytes: Option<u64>,
    /// Blocks (datagrams) to send instead
    #[arg(long = "blockcount", short = 'k', value_name = "BLOCKS", group = "end", value_parser = binary)]
    blocks: Option<u64>,
    /// Seconds at the beginning that do not count
    #[arg(long, short = 'O', value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60))]
    omit: u64,
    /// Streams at the same time
    #[arg(long, short = 'P', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=128))]
    parallel: u64,
    /// The server sends
    #[arg(long, short = 'R')]
    reverse: bool,
    /// Both send
    #[arg(long, conflicts_with = "reverse")]
    bidir: bool,
    /// Datagrams instead of streams
    #[arg(long, short)]
    udp: bool,
    /// Bits per second of each stream, as 10M or 1G; 0 for no limit [default: 1M with --udp, else none]
    #[arg(long = "bitrate", short = 'b', value_name = "RATE", value_parser = decimal)]
    bitrate: Option<u64>,
    /// Bytes of each block or datagram [default: 128K, with --udp 1448]
    #[arg(long = "length", short = 'l', value_name = "BYTES", value_parser = binary)]
    length: Option<u64>,
    /// Bytes of each socket's buffers [default: they tune themselves]
    #[arg(long, short, value_name = "BYTES", value_parser = binary)]
    window: Option<u64>,
    /// Send small segments at once
    #[arg(long, short = 'N')]
    no_delay: bool,
    /// Congestion control, by name
    #[arg(long, short = 'C', value_name = "NAME")]
    congestion: Option<String>,
    /// Number datagrams with 64 bits
    #[arg(long)]
    udp_counters_64bit: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let params = args.test.params();
    params.check().map_err(Failure::Usage)?;
    let target = args.family.resolve(&args.client)?;
    let running = args.stack.plan()?.observed(&args.events).open()?;
    let result = block_on(driven(&running, args.measure(&running, target, params)));
    running.finish()?;
    result
}

impl Args {
    async fn measure(&self, running: &Running, target: IpAddr, params: Params) -> Outcome {
        let server = endpoint(target, self.port, running.interface);
        ready(running, server).await?;
        let client = Client { server, params, interval: self.interval };
        let mut out = std::io::stdout();
        let mut report = Report::new(&mut out, if self.json { Form::Json } else { Form::Lines });
        let result = tokio::select! {
            result = client.run(&running.net, &mut report) => result,
            () = interrupted() => Err(Error::Interrupted),
        };
        report.finish(&result)?;
        result.map_err(|error| Failure::Unmet(error.to_string()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl TestArgs {
    fn params(&self) -> Params {
        const UDP_RATE: u64 = 1 << 20;
        let default = Params { udp: self.udp, ..Params::default() };
        let limited = self.bytes.is_some() || self.blocks.is_some();
        let len = if self.udp { Params::DATAGRAM } else { Params::BLOCK };
        Params {
            omit: self.omit,
            time: if limited { 0 } else { self.time.unwrap_or(default.time) },
            bytes: self.bytes.unwrap_or_default(),
            blocks: self.blocks.unwrap_or_default(),
            parallel: self.parallel,
            reverse: self.reverse,
            bidirectional: self.bidir,
            len: self.length.unwrap_or(len),
            bandwidth: self.bitrate.unwrap_or(if self.udp { UDP_RATE } else { 0 }),
            window: self.window.unwrap_or_default(),
            nodelay: self.no_delay,
            congestion: self.congestion.clone(),
            counters_64bit: self.udp_counters_64bit,
            ..default
        }
    }
}

fn binary(text: &str) -> Result<u64, String> {
    scaled(text, 1024)
}

fn decimal(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
}

/// A number with a unit of `step`'s powers: K, M, G or T.
fn scaled(text: &str, step: u64) -> Result<u64, String> {
    let expected = || "expected a number such as 1500, 512K, 20M or 1.5G".to_string();
    let (number, power) = match text.char_indices().next_back() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = "KMGT".find(unit.to_ascii_uppercase()).ok_or_else(expected)?;
            (&text[..at], power as u32 + 1)
        }
        _ => (text, 0),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let value = number * step.pow(power) as f64;
    if (0.0..u64::MAX as f64).contains(&value) { Ok(value as u64) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(binary("1500"), Ok(1500));
        assert_eq!(binary("128k"), Ok(128 << 10));
        assert_eq!(decimal("1.5G"), Ok(1_500_000_000));
        assert!(decimal("fast").is_err());
        assert!(decimal("-1").is_err());
        assert!(decimal("").is_err());
        assert!(decimal("1X").is_err());
    }
}
