//! How benchmarks are run and shown: tables, one JSON document, a chart.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ustack_tools::bench::report::Test;

use super::{svg, table};
use crate::common::console::{self, note};
use crate::common::failure::{Failure, Outcome};

/// What all benchmarks in real time have in common.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Runs")]
pub(super) struct OutputArgs {
    /// How often the contenders take turns, of which medians are shown [default: 5, for all together 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pairs: Option<u16>,
    /// Seconds of each run, after a warm-up of a quarter of it [default: 1, for all together 0.3]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// One JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Also draw the medians as bars
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// How a set of tests is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A table for each test.
    Each,
    /// One table for all, a line for each test and each of ours.
    Together,
}

impl OutputArgs {
    /// How long a run is measured.
    pub(super) fn span(&self, style: Style) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if style == Style::Each { 1.0 } else { 0.3 }))
    }

    /// How often the contenders take turns.
    pub(super) fn rounds(&self, style: Style) -> usize {
        self.pairs.unwrap_or(if style == Style::Each { 5 } else { 3 }).into()
    }

    /// Runs all tests, and shows each as soon as it is known.
    pub(super) fn show(&self, style: Style, tests: impl IntoIterator<Item = Test>) -> Outcome {
        let mut out = console::stdout();
        let mut done = Vec::new();
        if style == Style::Together && !self.json {
            table::write_heading(&mut out)?;
        }
        for test in tests {
            for line in &test.lines {
                if let Some(failure) = &line.failure {
                    note!("{}: {}: {failure}", test.name, line.contender);
                }
            }
            match style {
                _ if self.json => {}
                Style::Each => table::write_test(&mut out, &test)?,
                Style::Together => table::write_line(&mut out, &test)?,
            }
            out.flush()?;
            done.push(test);
        }
        if self.json {
            serde_json::to_writer_pretty(&mut out, &Document { tests: &done }).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        out.flush()?;
        if let Some(file) = &self.svg {
            std::fs::write(file, svg::chart(&done))
                .map_err(|error| Failure::cannot_open(file.display(), &error))?;
        }
        let ran = done.iter().flat_map(|test| &test.lines).any(|line| line.median.is_some());
        if ran { Ok(ExitCode::SUCCESS) } else { Err(Failure::Unmet("no run came to its end".into())) }
    }
}

/// The one document of `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    tests: &'a [Test],
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds from 0.001 to 600 are needed".to_owned()),
    }
}
