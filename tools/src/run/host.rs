//! What a script drives: something that sends packets, has a process that calls, and knows what time it is.

use ustack::time::{Duration, Instant};

use super::calls::errno;
use super::expr::Value;
use super::report::Line;
use super::scope::Scope;
use super::script::{CallResult, CallSpec};
use super::wire::Wire;

/// One side of a script's wire: our stack in virtual time, or a kernel in real time.
pub(super) trait Host {
    /// As messages call it.
    const NAME: &'static str;
    /// Time passes by itself, and nothing happens exactly when it should.
    const REAL_TIME: bool;
    /// How long is waited for a packet that is late, to tell how late it is.
    const PATIENCE: Duration;
    /// How long is waited for a packet that may come whenever it likes.
    const ETERNITY: Duration;

    fn wire(&self) -> &Wire;

    fn wire_mut(&mut self) -> &mut Wire;

    /// The call that has not returned yet.
    fn blocked(&self) -> Option<&Blocked>;

    /// By how much something may miss its time that is to happen `after` the statement before.
    fn slack(&self, after: Duration) -> Slack;

    /// The number of that name, of the connection that went on last or of all.
    fn lookup(&self, name: &str) -> Option<Value>;

    /// Whether there is a connection whose numbers could be asked for.
    fn has_connection(&self) -> bool;

    /// A packet arrives.
    fn handle_packet(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// Begins a call; `None` if it blocks. `until` says until when it may.
    fn call(
        &mut self,
        scope: &Scope,
        call: &CallSpec,
        until: Option<Instant>,
        line: &Line,
    ) -> Result<Option<Answer>, String>;

    /// Goes on with the call that blocks; answers it once it has returned, and when that was.
    fn resume(&mut self, scope: &Scope) -> Result<Option<(Blocked, Answer, Instant)>, String>;

    /// Moves what was sent to the wire.
    fn poll_sent(&mut self) -> Result<(), String>;

    /// Lets time pass until something may have happened, which answers `true`, or until `to`.
    fn poll_time(&mut self, to: Instant) -> Result<bool, String>;
}

/// How early and how late something may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slack {
    pub(super) early: Duration,
    pub(super) late: Duration,
}

/// A call that has not returned yet.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) call: CallSpec,
    /// When it began, and when it is to return.
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// Which statement it is.
    pub(super) statement: Line,
}

/// What a call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) value: i64,
    pub(super) errno: Option<&'static str>,
}

impl Answer {
    pub(super) const fn value(value: i64) -> Self {
        Self { value, errno: None }
    }

    pub(super) const fn error(errno: &'static str) -> Self {
        Self { value: -1, errno: Some(errno) }
    }

    /// As a script writes it.
    pub(super) fn show(&self) -> String {
        match self.errno {
            Some(errno) => format!("-1 {errno}"),
            None => self.value.to_string(),
        }
    }

    /// What the script expects, as it would be written; `None` if it is this.
    pub(super) fn expected(&self, result: &CallResult, scope: &Scope) -> Result<Option<String>, String> {
        let CallResult::Is(value, wanted_errno) = result else { return Ok(None) };
        let wanted = scope.int(value)?;
        let error_fits = match (wanted_errno, self.errno) {
            (Some(wanted), Some(actual)) => errno(wanted) == errno(actual),
            (None, None) => true,
            _ => false,
        };
        if wanted == self.value && error_fits {
            return Ok(None);
        }
        Ok(Some(
            wanted_errno.as_ref().map_or_else(|| wanted.to_string(), |errno| format!("{wanted} {errno}")),
        ))
    }
}
