//! `ustack replay`: plays one side of a captured conversation at the stack, and compares its answers.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ustack_tools::replay::{Capture, Error, Report, Role, Row, replay_observed};

use crate::common::console;
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  ustack replay web.pcapng --as server          the stack stands in for the server: would it answer alike?
  ustack replay web.pcapng --as client --all    the same for the client, with the segments that are alike
  ustack replay big.pcap --conversation 3 --as client
  ustack replay web.pcapng --as server --json | jq .received

Segments may differ in what each stack decides for itself (when to acknowledge, how to cut a stream, when to send \
again): `~` marks such differences. `!` marks others. Exit status: 0 if the bytes of both directions are those that \
were recorded; 1 if not, or if the capture cannot be played.";

/// Play a captured conversation at the stack, which stands in for one side, and compare its answers.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The capture (pcap or pcapng, Ethernet or raw IP); `-` is stdin
    capture: PathBuf,
    /// Which side the stack takes
    #[arg(long = "as", value_name = "SIDE")]
    role: Side,
    /// Which conversation, if there are several
    #[arg(long, short, value_name = "N")]
    conversation: Option<usize>,
    /// Show the segments that are alike, too
    #[arg(long, short)]
    all: bool,
    /// Of everything that is random in the stack
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    events: EventsArgs,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Side {
    /// The one that began
    Client,
    /// The other
    Server,
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let name = args.capture.display();
    let failure = |error: Error| match error {
        Error::Open(error) => Failure::cannot_open(&name, &error),
        Error::Several(_) | Error::NoSuch { .. } => Failure::Usage(format!("{name}: {error}")),
        error => Failure::Unmet(format!("{name}: {error}")),
    };
    let capture = if args.capture.as_os_str() == "-" {
        Capture::read(std::io::stdin())
    } else {
        Capture::open(&args.capture)
    };
    let conversation = capture.and_then(|capture| capture.choose(args.conversation)).map_err(failure)?;
    let events = args.events.log()?;
    let report =
        replay_observed(&conversation, args.role.into(), args.seed, events.as_ref()).map_err(failure)?;
    args.events.finish(events.as_ref())?;
    let mut out = console::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
        write_rows(&mut out, &report, args.all)?;
    }
    out.flush()?;
    Ok(if report.bytes_are_equal() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Recorded segments on the left, ours on the right.
fn write_rows(out: &mut impl Write, report: &Report, all: bool) -> std::io::Result<()> {
    let shown: Vec<&Row> = report.rows.iter().filter(|row| all || !row.differences.is_empty()).collect();
    if shown.is_empty() {
        return Ok(());
    }
    let text = |side: &Option<String>| side.clone().unwrap_or_default();
    let width = shown.iter().map(|row| text(&row.recorded).len()).max().unwrap_or(0).max("recorded".len());
    let ours = shown.iter().map(|row| text(&row.ours).len()).max().unwrap_or(0).max("ours".len());
    writeln!(out, "\n  {:>6} {:<width$}    {:<ours$}  differs in", "packet", "recorded", "ours")?;
    for row in shown {
        let packet = row.packet.map(|number| number.to_string()).unwrap_or_default();
        let sign = match () {
            () if row.differences.is_empty() => ' ',
            () if row.differences.iter().all(|kind| kind.is_tolerated()) => '~',
            () => '!',
        };
        let kinds: Vec<&str> = row.differences.iter().map(|kind| kind.name()).collect();
        let line = format!(
            "{sign} {packet:>6} {:<width$}    {:<ours$}  {}",
            text(&row.recorded),
            text(&row.ours),
            kinds.join(" ")
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
