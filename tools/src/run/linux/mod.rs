//! The same scripts against Linux, in real time: the referee.
//!
//! ```text
//!   runner ── packets ──▶ TUN ══ network namespace ══ the kernel's TCP, UDP and ICMP
//!      └───── calls ────▶ a thread inside: the script's process, on the kernel's sockets
//! ```
//!
//! Each script has a namespace of its own, with the settings that it asks for as sysctls. Time is real, so that what
//! the kernel sends may miss its moment by a little ([`Settings::tolerance`]), and a run that the machine was too busy
//! for is repeated, at last alone. What only our stack can tell (`expect why`, its own counters) is not asked.

mod clock;
mod host;
mod info;
mod keys;
mod limits;
mod namespace;
mod options;
mod process;
mod sysctl;

use std::time::Duration;

use super::report::Report;
use super::runner;
use super::script::{Mark, Script};
use host::Linux;

/// How the reason begins for which a script is skipped that another kernel could run.
pub const LACKS: &str = "this kernel has no ";

/// How scripts are run against Linux.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// By how much a packet may be early or late. The kernel's own timers may be late by an eighth of their time more:
    /// so coarse is the wheel that they hang on.
    pub tolerance: Duration,
    /// How often a run is tried that fails because the machine was busy.
    pub attempts: usize,
    /// Runs at the same time. They mostly sleep.
    pub workers: usize,
    /// Scripts say by themselves whether Linux does the same ([`Mark`]): those that say no may fail.
    pub marks: bool,
    /// Scripts that take more time than this are not run.
    pub longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: Duration::from_millis(4),
            attempts: 5,
            workers: 16,
            marks: true,
            longest: Duration::from_secs(35),
        }
    }
}

/// Runs a script against the kernel.
pub(super) fn run(script: &Script, settings: &Settings) -> Report {
    let mark = script.mark().filter(|_| settings.marks);
    if let Some(why) = limits::unfit(script, settings) {
        return Report::skipped(&script.file, why);
    }
    // On a busy machine what sleeps is to wake up in time. An ordinary user may not ask for it, and tries more often.
    let _ = rustix::process::setpriority_process(None, -20);
    let mut report = attempt(script, settings);
    for _ in 1..settings.attempts {
        if matches!(mark, Some(Mark::Differs(_))) || !is_doubtful(&report, settings) {
            break;
        }
        report = attempt(script, settings);
    }
    match mark {
        Some(Mark::Differs(why)) if !report.passed() => {
            Report::skipped(&script.file, format!("Linux differs: {why}"))
        }
        Some(Mark::Differs(_)) => {
            report.printed.push(format!("{}: is said to differ, but Linux does the same", script.file));
            report
        }
        _ => report,
    }
}

fn attempt(script: &Script, settings: &Settings) -> Report {
    match Linux::new(script, settings) {
        Ok(host) => runner::run_on(script, host),
        Err(message) => Report::never_begun(&script.file, &message),
    }
}

/// It failed, and that may be the machine's fault: only a time differs, or the script itself came too late.
pub(super) fn is_doubtful(report: &Report, settings: &Settings) -> bool {
    let late = report.slip > settings.tolerance.into();
    report.failure.as_ref().is_some_and(|failure| failure.about_time || late)
}
