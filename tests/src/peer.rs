//! The kernel's side of a conversation, as a process in a namespace: `kernel_peer` and the lines it reports.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use crate::kernel::Namespace;
use crate::process::{Finished, Running};
use crate::wait::SOON;

/// A `kernel_peer` that runs; killed when dropped.
pub struct Peer(Running);

/// One line that it reported: a word and `key=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(String);

impl Peer {
    /// Starts one in a namespace. `program` is `env!("CARGO_BIN_EXE_kernel_peer")`, which only an integration test
    /// knows; `words` are its arguments, split at spaces.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(namespace: &Namespace, program: impl AsRef<Path>, words: &str) -> Self {
        Self(namespace.spawn(Command::new(program.as_ref()).args(words.split_whitespace())))
    }

    /// The same, and waits until it listens.
    ///
    /// # Panics
    /// It cannot be started or does not listen.
    #[track_caller]
    pub fn listen(namespace: &Namespace, program: impl AsRef<Path>, words: &str) -> Self {
        let mut peer = Self::start(namespace, program, words);
        let _ = peer.wait("listening", SOON);
        peer
    }

    /// Waits for the next report that begins with this word.
    ///
    /// # Panics
    /// None comes within `limit`.
    #[track_caller]
    pub fn wait(&mut self, word: &str, limit: Duration) -> Report {
        Report(self.0.wait_line(word, limit))
    }

    /// Gives it an order: `go`, `stop` or `close`.
    ///
    /// # Panics
    /// It has ended.
    #[track_caller]
    pub fn order(&mut self, word: &str) {
        self.0.write(format!("{word}\n").as_bytes());
    }

    /// Waits for its end; all orders that it waits for are given.
    ///
    /// # Panics
    /// It does not end within `limit`.
    #[track_caller]
    pub fn finish(self, limit: Duration) -> (Vec<Report>, Finished) {
        let done = self.0.finish(limit);
        (done.text().lines().map(|line| Report(line.to_owned())).collect(), done)
    }
}

impl Report {
    /// Its first word.
    pub fn word(&self) -> &str {
        self.0.split(' ').next().unwrap_or("")
    }

    /// The text of one value; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .split(' ')
            .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value))
    }

    /// One value.
    ///
    /// # Panics
    /// There is none, or it is not of this type.
    #[track_caller]
    pub fn value<T: FromStr>(&self, key: &str) -> T {
        let parsed = self.get(key).and_then(|value| value.parse().ok());
        parsed.unwrap_or_else(|| panic!("no `{key}` of that type in `{}`", self.0))
    }

    /// True if all received bytes were the pattern's.
    pub fn is_right(&self) -> bool {
        self.get("wrong") == Some("none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_by_its_keys() {
        let report = Report("done index=2 sent=0 received=77 wrong=none".to_owned());
        assert_eq!(report.word(), "done");
        assert_eq!(report.value::<u64>("received"), 77);
        assert_eq!(report.get("kind"), None);
        assert!(report.is_right());
    }
}
