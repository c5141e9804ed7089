//! The system calls of a script's one process, over the sockets of the stack.

mod args;
mod constant;
mod data;
mod fd;
mod keys;
mod open;
mod poll;
mod socket;
mod sockopt;
mod transfer;

use ustack::time::{Duration, Instant};

use super::host::{Answer, Blocked};
use super::scope::Scope;
use super::script::CallSpec;
use super::world::World;
pub(super) use args::{Args, WantedAddress};
pub(super) use constant::{
    FIONREAD, MSG_PEEK, MSG_TRUNC, O_NONBLOCK, SIOCOUTQ, SIOCOUTQNSD, constant, errno_name,
};
pub use constant::{errno, errno_of};
pub(super) use fd::Fds;
pub use fd::{Fd, Kind};
pub(super) use keys::KeyCall;
pub(super) use poll::words;
pub use socket::Errno;
pub use sockopt::OptionValue;
pub(super) use sockopt::{expect, given};
pub use transfer::{Halt, Pending, Taken};

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
    pub(super) blocked: Option<(Blocked, Progress)>,
}

/// How far a call has come before it blocked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// It has been tried before.
    begun: bool,
    /// What it has done, and when it gives up.
    pending: Pending,
}

/// How far a call came.
enum Outcome {
    Returns(Answer),
    Blocks,
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
                let blocked = Blocked { call, since: world.wire.now, until, statement };
                self.blocked = Some((blocked, progress));
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
        let Some((blocked, mut progress)) = self.blocked.take() else { return Ok(None) };
        match self.attempt(world, scope, &blocked.call, &mut progress)? {
            Outcome::Returns(answer) => Ok(Some((blocked, answer))),
            Outcome::Blocks => {
                self.blocked = Some((blocked, progress));
                Ok(None)
            }
        }
    }

    /// When a call that blocks gives up by itself.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.blocked.as_ref().and_then(|(_, progress)| progress.pending.deadline)
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
            "accept" | "accept4" => open::accept(self, world, &args, progress),
            "connect" => open::connect(self, world, &args, progress),
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => data::receive(self, world, &args, progress),
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

/// A call that could not do its work fails, or waits.
fn halted(halt: Halt) -> Result<Outcome, String> {
    match halt {
        Halt::Fails(errno) => fails(errno),
        Halt::Waits(_) => Ok(Outcome::Blocks),
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
