//! The system calls of a script's one process, over the sockets of the stack.

mod args;
mod constant;
mod data;
mod fd;
mod open;
mod poll;
mod socket;
mod sockopt;

use ustack::time::{Duration, Instant};

use super::scope::Scope;
use super::script::{CallResult, CallSpec};
use super::world::World;
pub(super) use args::Args;
pub(super) use constant::constant;
pub use constant::{errno, errno_of};
pub(super) use fd::Fds;
pub use fd::{Fd, Kind};
pub use socket::{Errno, Taken};
pub use sockopt::OptionValue;

/// The calls that there are.
pub(super) const NAMES: &[&str] = &[
    "socket",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "read",
    "recv",
    "recvfrom",
    "readv",
    "recvmsg",
    "write",
    "send",
    "sendto",
    "writev",
    "sendmsg",
    "shutdown",
    "close",
    "setsockopt",
    "getsockopt",
    "poll",
    "fcntl",
    "ioctl",
];

/// The process that a script's calls belong to.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) fds: Fds,
    /// The call that has not returned yet.
    pub(super) blocked: Option<Blocked>,
}

/// A call that has not returned yet.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) call: CallSpec,
    /// When it began, and when it is to return.
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// Which statement it is.
    pub(super) statement: super::report::Line,
    progress: Progress,
}

/// How far a call has come before it blocked.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// It has been tried before.
    begun: bool,
    /// Bytes written.
    bytes: usize,
    /// When `poll` gives up.
    deadline: Option<Instant>,
}

/// What a call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) value: i64,
    pub(super) errno: Option<&'static str>,
}

/// How far a call came.
enum Outcome {
    Returns(Answer),
    Blocks,
}

impl Answer {
    const fn value(value: i64) -> Self {
        Self { value, errno: None }
    }

    const fn error(errno: &'static str) -> Self {
        Self { value: -1, errno: Some(errno) }
    }

    /// As a script writes it.
    pub(super) fn show(&self) -> String {
        match self.errno {
            Some(errno) => format!("-1 {errno}"),
            None => self.value.to_string(),
        }
    }

    /// Whether it is what the script expects; shown as it would be written.
    pub(super) fn expected(&self, result: &CallResult, scope: &Scope) -> Result<Option<String>, String> {
        let CallResult::Is(value, errno) = result else { return Ok(None) };
        let wanted = scope.int(value)?;
        let error_fits = match (errno, self.errno) {
            (Some(wanted), Some(actual)) => constant::errno(wanted) == constant::errno(actual),
            (None, None) => true,
            _ => false,
        };
        if wanted == self.value && error_fits {
            return Ok(None);
        }
        Ok(Some(errno.as_ref().map_or_else(|| wanted.to_string(), |errno| format!("{wanted} {errno}"))))
    }
}

impl Process {
    /// Begins a call; `None` if it blocks. `may_block` says until when it may.
    pub(super) fn call(
        &mut self,
        world: &mut World,
        scope: &Scope,
        call: &CallSpec,
        until: Option<Instant>,
        statement: &super::report::Line,
    ) -> Result<Option<Answer>, String> {
        if self.blocked.is_some() {
            return Err("another call still blocks: one process makes one call at a time".into());
        }
        let mut progress = Progress::default();
        match (self.attempt(world, scope, call, &mut progress)?, until) {
            (Outcome::Returns(answer), _) => Ok(Some(answer)),
            (Outcome::Blocks, Some(until)) => {
                let call = call.clone();
                let statement = statement.clone();
                self.blocked = Some(Blocked { call, since: world.now, until, statement, progress });
                Ok(None)
            }
            (Outcome::Blocks, None) => {
                Err("the call blocks: say until when, as in `0.1...0.3 read(...)`, or make the socket non-blocking"
                    .into())
            }
        }
    }

    /// Goes on with the call that blocks; answers it once it returns.
    pub(super) fn resume(
        &mut self,
        world: &mut World,
        scope: &Scope,
    ) -> Result<Option<(Blocked, Answer)>, String> {
        let Some(mut blocked) = self.blocked.take() else { return Ok(None) };
        match self.attempt(world, scope, &blocked.call, &mut blocked.progress)? {
            Outcome::Returns(answer) => Ok(Some((blocked, answer))),
            Outcome::Blocks => {
                self.blocked = Some(blocked);
                Ok(None)
            }
        }
    }

    /// When a call that blocks gives up by itself.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.blocked.as_ref().and_then(|blocked| blocked.progress.deadline)
    }

    fn attempt(
        &mut self,
        world: &mut World,
        scope: &Scope,
        call: &CallSpec,
        progress: &mut Progress,
    ) -> Result<Outcome, String> {
        let args = Args { call, scope };
        let outcome = match call.name.as_str() {
            "socket" => open::socket(self, world, &args),
            "bind" => open::bind(self, world, &args),
            "listen" => open::listen(self, world, &args),
            "accept" | "accept4" => open::accept(self, world, &args),
            "connect" => open::connect(self, world, &args, progress),
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => data::receive(self, world, &args),
            "write" | "send" | "sendto" | "writev" | "sendmsg" => data::send(self, world, &args, progress),
            "shutdown" => open::shutdown(self, world, &args),
            "close" => open::close(self, world, &args),
            "setsockopt" => sockopt::set(self, world, &args),
            "getsockopt" => sockopt::get(self, world, &args),
            "poll" => poll::poll(self, world, &args, progress),
            "fcntl" => poll::fcntl(self, &args),
            "ioctl" => poll::ioctl(self, world, &args),
            other => Err(format!("there is no call {other}")),
        };
        progress.begun = true;
        outcome
    }
}

/// What a call answers at once, or that it must wait, where the socket allows that.
fn or_blocks(fd: &Fd, flags: i64) -> Outcome {
    if fd.nonblocking || flags & constant::MSG_DONTWAIT != 0 {
        Outcome::Returns(Answer::error("EAGAIN"))
    } else {
        Outcome::Blocks
    }
}

fn returns(value: usize) -> Result<Outcome, String> {
    Ok(Outcome::Returns(Answer::value(value as i64)))
}

fn fails(errno: &'static str) -> Result<Outcome, String> {
    Ok(Outcome::Returns(Answer::error(errno)))
}

/// Milliseconds that a call may wait.
fn after_ms(now: Instant, ms: i64) -> Option<Instant> {
    u64::try_from(ms).ok().map(|ms| now + Duration::from_millis(ms))
}
