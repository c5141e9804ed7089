//! `--events`: what connections decide, as lines of JSON.

use std::convert::Infallible;
use std::path::PathBuf;

use ustack::net::Net;
use ustack_tools::events::EventLog;

use super::console::note;
use super::failure::Failure;

/// Whether and where decisions are written down.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct EventsArgs {
    /// Write what connections decide (windows, timers, losses, states) to this file, one JSON object a line; `-` is
    /// stdout
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

impl EventsArgs {
    /// Whether connections are to be observed.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.events.is_some()
    }

    /// Opens the file.
    pub(crate) fn log(&self) -> Result<Option<EventLog>, Failure> {
        let open = |path: &PathBuf| {
            EventLog::create(path).map_err(|error| Failure::cannot_open(path.display(), &error))
        };
        self.events.as_ref().map(open).transpose()
    }

    /// Completes the file, and tells where it is.
    pub(crate) fn finish(&self, log: Option<&EventLog>) -> Result<(), Failure> {
        let (Some(path), Some(log)) = (&self.events, log) else { return Ok(()) };
        let lines = log
            .finish()
            .map_err(|error| Failure::Unmet(format!("cannot write {}: {error}", path.display())))?;
        if path.as_os_str() != "-" {
            note!("{lines} decisions in {}", path.display());
        }
        Ok(())
    }
}

/// Writes down what the connections of `net` have decided.
pub(crate) fn drain(net: &Net, log: &EventLog, of: &[(&str, &str)]) {
    while let Some(told) = net.take_decision() {
        log.write(&told, of);
    }
}

/// Writes down what the connections of `net` decide, as they do, until nobody waits for it any more.
pub(crate) async fn follow(net: &Net, log: &EventLog) -> Infallible {
    loop {
        let told = net.next_decision().await;
        log.write(&told, &[]);
        drain(net, log, &[]);
        log.flush();
    }
}
