//! `ustack run`: packet scripts against the stack, in virtual time, or against Linux, in real time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ustack::capture::Capture;
use ustack_tools::namespace;
use ustack_tools::run::{Error, Junit, Report, Sinks, Suite, find, linux, run_files, run_files_on_linux};

use crate::common::console;
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  ustack run tests/scripts                    all scripts below a folder, several at a time
  ustack run close.pkt --capture run.pcapng   what passed, with the reason of each packet
  ustack run close.pkt --set ip_version=ipv6 --set mtu=1280
  ustack run --linux tests/scripts            the same against this machine's kernel, in real time
  ustack run tests/scripts --json | jq '.scripts[] | select(.failure)'

A script is written in the packetdrill language:
  0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0   bind(3, ..., ...) = 0
  +0   listen(3, 1) = 0
  +0   < S 0:0(0) win 32792 <mss 1000>          a packet arrives
  +0   > S. 0:0(0) ack 1 <mss 1460>             the stack sends a packet
  +.1  < . 1:1(0) ack 1 win 257
  +0   accept(3, ..., ...) = 4
  +0   %{ assert tcpi_snd_mss == 1000 }%
Of our own: `let x = 10`, `repeat 5 as i { ... }`, and `expect why == rto` about the packet before. No time really \
passes: a script that waits for minutes is done at once.

With --linux each script runs against the kernel in a network namespace of its own (as an ordinary user within a user \
namespace). A script says at its head whether that does the same: `// Linux: same`, or `// Linux: differs, why`.

Exit status: 0 all passed; 1 a script failed; 2 a script is not understood, or there is none; 3 no namespace \
can be made.";

/// Run packet scripts: what arrives, what applications do, and what the stack must send, and when
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Scripts (*.pkt), and folders of them
    #[arg(required = true, value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,
    /// What `--KEY=VALUE` at the top of each script would set; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Name the scripts that passed, too
    #[arg(long, short)]
    all: bool,
    /// Run them against this machine's kernel, in real time
    #[arg(long, conflicts_with = "capture")]
    linux: bool,
    /// With --linux: do not believe what scripts say about Linux, show what differs
    #[arg(long, requires = "linux")]
    no_marks: bool,
    /// With --linux: by how many milliseconds a packet may be early or late
    #[arg(long, requires = "linux", value_name = "MS", default_value_t = 4)]
    tolerance: u64,
    /// With --linux: how many scripts run at the same time; they mostly sleep
    #[arg(long, requires = "linux", value_name = "N", default_value_t = 16)]
    jobs: usize,
    /// Write all packets to this file (pcapng), with the reason of each as its comment
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    #[command(flatten)]
    events: EventsArgs,
    /// Write what build servers read (JUnit's XML) to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// The one document of `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    passed: usize,
    failed: usize,
    /// Only a kernel may not be able to run one.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<usize>,
    scripts: &'a [Report],
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut files = Vec::new();
    for path in &args.scripts {
        files.extend(find(path).map_err(|error| failure(&error))?);
    }
    let capture = match &args.capture {
        Some(path) => {
            let made = Capture::create(path, 0);
            Some(made.map_err(|error| Failure::cannot_open(path.display(), &error))?)
        }
        None => None,
    };
    let sinks = Sinks { capture, events: args.events.log()? };
    let suite = if args.linux {
        // Before anything has started a thread: only a process with one may enter a user namespace.
        namespace::become_root_inside().map_err(|error| Failure::Device(error.to_string()))?;
        let settings = linux::Settings {
            tolerance: Duration::from_millis(args.tolerance),
            workers: args.jobs.max(1),
            marks: !args.no_marks,
            ..linux::Settings::default()
        };
        run_files_on_linux(&files, &args.set, &settings, |_| true)
    } else {
        run_files(&files, &args.set, &sinks)
    };
    let suite = suite.map_err(|error| failure(&error))?;
    if let Some(capture) = &sinks.capture {
        capture.finish()?;
    }
    args.events.finish(sinks.events.as_ref())?;
    if let Some(path) = &args.junit {
        write_junit(path, &suite)?;
    }
    let mut out = console::stdout();
    let failed = suite.failures().count();
    if args.json {
        let skipped = suite.skipped().count();
        let passed = suite.reports.len() - failed - skipped;
        let skipped = args.linux.then_some(skipped);
        let document = Document { passed, failed, skipped, scripts: &suite.reports };
        serde_json::to_writer_pretty(&mut out, &document).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write_reports(&mut out, &suite, args.all || suite.reports.len() == 1, args.linux)?;
    }
    out.flush()?;
    Ok(if suite.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What failed, and how many did not.
fn write_reports(out: &mut impl Write, suite: &Suite, all: bool, linux: bool) -> std::io::Result<()> {
    for report in &suite.reports {
        report.printed.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        match (&report.failure, &report.skipped) {
            (Some(failure), _) => writeln!(out, "FAILED {}\n{failure}", report.file)?,
            (None, Some(why)) if all => writeln!(out, "skipped {}: {why}", report.file)?,
            (None, None) if all => writeln!(out, "passed {}", report.file)?,
            _ => {}
        }
    }
    let failed = suite.failures().count();
    let skipped = suite.skipped().count();
    let passed = suite.reports.len() - failed - skipped;
    let packets: u64 = suite.reports.iter().map(|report| report.packets).sum();
    let micros: u64 = suite.reports.iter().map(|report| report.virtual_us).sum();
    let seconds = micros as f64 / 1e6;
    if linux {
        return writeln!(
            out,
            "{passed} passed, {failed} failed, {skipped} skipped; {packets} packets, {seconds:.3} s of Linux's time"
        );
    }
    writeln!(out, "{passed} passed, {failed} failed; {packets} packets, {seconds:.3} s of virtual time")
}

fn write_junit(path: &Path, suite: &Suite) -> Result<(), Failure> {
    let written = std::fs::write(path, Junit(suite).to_string());
    written.map_err(|error| Failure::cannot_open(path.display(), &error))
}

fn failure(error: &Error) -> Failure {
    Failure::Usage(error.to_string())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
