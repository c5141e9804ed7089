//! How benchmarks are shown: a table, one JSON document, a chart.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ustack_tools::bench::report::{Line, Test};

use crate::common::console::{self, note};
use crate::common::failure::{Failure, Outcome};

/// What all benchmarks in real time have in common.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Runs")]
pub(super) struct OutputArgs {
    /// How often the contenders take turns; medians are shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) pairs: u16,
    /// Seconds of each run, after a warm-up of a quarter of it
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    pub(super) seconds: f64,
    /// One JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Also draw the medians as bars
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl OutputArgs {
    pub(super) fn span(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.seconds)
    }

    /// Runs all tests, and shows each as soon as it is known.
    pub(super) fn show(&self, tests: impl IntoIterator<Item = Test>) -> Outcome {
        let mut out = console::stdout();
        let mut done = Vec::new();
        for test in tests {
            for line in &test.lines {
                if let Some(failure) = &line.failure {
                    note!("{}: {}: {failure}", test.name, line.contender);
                }
            }
            if !self.json {
                write_test(&mut out, &test)?;
                out.flush()?;
            }
            done.push(test);
        }
        if self.json {
            serde_json::to_writer_pretty(&mut out, &Document { tests: &done }).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        out.flush()?;
        if let Some(file) = &self.svg {
            std::fs::write(file, super::svg::chart(&done))
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

fn write_test(out: &mut impl Write, test: &Test) -> io::Result<()> {
    const NAME: usize = 20;
    let cpus = match test.cpus {
        Some(1) => ", 1 CPU".to_owned(),
        Some(cpus) => format!(", {cpus} CPUs"),
        None => String::new(),
    };
    writeln!(out, "{}{cpus}", test.name)?;
    let columns: &[_] =
        test.lines.iter().find(|line| !line.columns.is_empty()).map_or(&[], |line| &line.columns);
    write!(out, "  {:NAME$}{:>12}", "", test.unit)?;
    columns.iter().try_for_each(|column| write!(out, "{:>13}", column.name))?;
    let mut ours: Vec<&str> = test.ratios.iter().map(|ratio| ratio.ours).collect();
    ours.dedup();
    ours.iter().try_for_each(|name| write!(out, "{:>1$}", format!("{name} is"), name.len() + 5))?;
    writeln!(out)?;
    for line in &test.lines {
        write!(out, "  {:NAME$}{:>12}", line.contender, number(line.median))?;
        columns.iter().zip(0..).try_for_each(|(_, index)| write!(out, "{:>13}", column(line, index)))?;
        for name in &ours {
            let ratio =
                test.ratio(name, line.contender).map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
            write!(out, "{ratio:>0$}", name.len() + 5)?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn column(line: &Line, index: usize) -> String {
    number(line.columns.get(index).map(|column| column.median))
}

/// Three digits that count.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds from 0.001 to 600 are needed".to_owned()),
    }
}
