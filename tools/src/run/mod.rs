//! Packet scripts: the packetdrill language, run against the stack in virtual time.
//!
//! ```text
//! text ──▶ parse ──▶ Script ──▶ runner ──▶ world: one stack, one interface ──▶ Report
//!          values with    a statement      bytes in (build), bytes out        what differed, field
//!          their lines    after another    (seen, compare), calls             by field, and why
//! ```
//!
//! No clock is asked: a script that waits for minutes runs in microseconds, and twice the same. What the language has
//! is told in `tests/scripts/README.md`.

mod build;
mod calls;
mod compare;
mod cursor;
mod error;
mod expr;
mod flow;
mod host;
mod icmp;
mod info;
mod junit;
mod keys;
pub mod linux;
mod parse;
mod report;
mod runner;
mod scope;
mod script;
mod seen;
mod settings;
mod shell;
mod suite;
mod tcp;
mod tcp_info;
mod trace;
mod wire;
mod world;

/// The sockets of a process as its system calls see them, for programs whose calls do not come from a script.
pub mod process {
    pub use super::calls::{Errno, Fd, Halt, Kind, OptionValue, Pending, Taken, errno, errno_of};
    pub use super::settings::Settings;
}

pub use error::{Error, ParseError};
pub use junit::Junit;
pub use report::{Failure, Field, Line, Report};
pub use script::{Mark, Script};
pub use suite::{Suite, find, run_files, run_files_on_linux};

use ustack::capture::Capture;

use crate::events::EventLog;

/// What of a run is written down.
#[derive(Clone, Debug, Default)]
pub struct Sinks {
    /// Every packet with its reason.
    pub capture: Option<Capture>,
    /// Every decision of a connection.
    pub events: Option<EventLog>,
}

impl Script {
    /// Reads a script; `file` is its name in what is told about it.
    ///
    /// # Errors
    /// Where it is not understood, and what could have stood there.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        parse::script(file, text)
    }

    /// Sets what `--key=value` at its top would set.
    ///
    /// # Errors
    /// What is wrong with key or value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.settings.set(key, value)
    }

    /// What it says about Linux.
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Runs it, and writes down what is asked for.
    pub fn run(&self, sinks: &Sinks) -> Report {
        runner::run(self, sinks)
    }

    /// Runs it against the kernel of this machine, in a network namespace and in real time.
    pub fn run_on_linux(&self, settings: &linux::Settings) -> Report {
        linux::run(self, settings)
    }
}

#[cfg(test)]
mod tests;
