//! The virtual machine: one lock, the clock, and calls that wait.
//!
//! Two threads come in: the first runs the script and moves the clock, the second makes the calls that block. A step of
//! the clock begins only when each call that waits has looked at what the step before has changed, and when a call that
//! has returned has asked what time it is: so it ends at the moment at which it was woken.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration as RealDuration;

use ustack::time::{Duration, Instant};

use crate::host::{Host, Sent};
use crate::process::Process;

/// What each look at the clock costs: who spins on it must see it move.
const LOOK: Duration = Duration::from_micros(1);
/// How long a step waits for a call that was woken to have looked, and for one that has returned to ask for the time.
/// Neither is ever reached but by a thread that was ended from outside, or that does not want to know.
const LOOK_GRACE: RealDuration = RealDuration::from_secs(1);
const RETURN_GRACE: RealDuration = RealDuration::from_millis(20);
/// Deadlines of the stack in one step of the clock: more are a loop.
const MAX_DEADLINES: usize = 1_000_000;

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It fails with that `errno`.
    Fails(i32),
    /// It is to be tried again when something has changed, and at that time at the latest.
    Waits(Option<Instant>),
}

impl From<i32> for Stop {
    fn from(errno: i32) -> Self {
        Self::Fails(errno)
    }
}

/// All of one script.
#[derive(Debug)]
pub(crate) struct Machine {
    state: Mutex<State>,
    /// Something has changed: calls that wait look again.
    news: Condvar,
    /// A call has looked, or has returned and asked for the time.
    calm: Condvar,
    /// Who moves the clock.
    first: ThreadId,
}

#[derive(Debug)]
struct State {
    process: Process,
    /// Counts what has changed.
    generation: u64,
    next_ticket: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Threads whose call has waited and returned, and that have not asked for the time yet.
    returned: Vec<ThreadId>,
    /// The `errno` of every call from now on.
    over: Option<i32>,
}

/// A call that waits.
#[derive(Debug)]
struct Waiting {
    /// What it has looked at.
    seen: u64,
    deadline: Option<Instant>,
}

type Guard<'a> = MutexGuard<'a, State>;

impl Machine {
    /// The thread that asks for it is the one that moves the clock.
    pub(crate) fn new(host: Host) -> Self {
        let state = State {
            process: Process::new(host),
            generation: 0,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            returned: Vec::new(),
            over: None,
        };
        let (news, calm) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), news, calm, first: thread::current().id() }
    }

    /// A packet arrives.
    pub(crate) fn handle_packet(&self, bytes: &[u8]) {
        let mut state = self.settled(self.lock());
        state.process.host.handle_packet(bytes);
        self.tell(&mut state);
    }

    /// Makes a call, and waits for what it waits for.
    pub(crate) fn call<T>(&self, mut attempt: impl FnMut(&mut Process) -> Result<T, Stop>) -> Result<T, i32> {
        let me = thread::current().id();
        let mut state = self.lock();
        let mut has_waited = false;
        loop {
            if let Some(errno) = state.over {
                return Err(errno);
            }
            let result = attempt(&mut state.process);
            state.process.settle();
            let result = match result {
                Err(Stop::Waits(deadline)) if me == self.first => {
                    state = self.pass(state, deadline)?;
                    continue;
                }
                Err(Stop::Waits(deadline)) => {
                    state = self.wait(state, deadline);
                    has_waited = true;
                    continue;
                }
                Err(Stop::Fails(errno)) => Err(errno),
                Ok(value) => Ok(value),
            };
            if has_waited {
                state.returned.push(me);
            }
            self.tell(&mut state);
            return result;
        }
    }

    /// What time it is, and by that a little later.
    pub(crate) fn look_at_clock(&self) -> Instant {
        let mut state = self.lock();
        let me = thread::current().id();
        if let Some(index) = state.returned.iter().position(|thread| *thread == me) {
            state.returned.swap_remove(index);
            self.calm.notify_all();
            return state.process.host.now;
        }
        let to = state.process.host.now + LOOK;
        self.advance(state, to).process.host.now
    }

    /// Lets time pass.
    pub(crate) fn sleep(&self, span: Duration) {
        let state = self.lock();
        let to = state.process.host.now + span;
        drop(self.advance(state, to));
    }

    /// Everything is over: what still waits, and all that comes, fails with `errno`.
    pub(crate) fn end(&self, errno: i32) {
        let mut state = self.lock();
        state.over = Some(errno);
        state.process.end();
        self.tell(&mut state);
    }

    /// The next packet that the stack sends, whenever that is; `None` if nothing is due that could send one.
    pub(crate) fn poll_sent(&self) -> Option<Sent> {
        let mut state = self.settled(self.lock());
        for _ in 0..MAX_DEADLINES {
            if let Some(sent) = state.process.host.poll_sent() {
                return Some(sent);
            }
            let due = state.poll_timeout()?;
            self.fire(&mut state, due);
            state = self.settled(state);
        }
        None
    }

    fn lock(&self) -> Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock, and does what is due on the way, in order.
    fn advance<'a>(&'a self, state: Guard<'a>, to: Instant) -> Guard<'a> {
        let mut state = self.settled(state);
        for _ in 0..MAX_DEADLINES {
            match state.poll_timeout() {
                Some(due) if due <= to => self.fire(&mut state, due),
                _ => break,
            }
            state = self.settled(state);
        }
        let host = &mut state.process.host;
        host.now = host.now.max(to);
        state
    }

    /// The first thread waits: time passes until something is due.
    fn pass<'a>(&'a self, state: Guard<'a>, deadline: Option<Instant>) -> Result<Guard<'a>, i32> {
        let mut state = self.settled(state);
        let due = [state.poll_timeout(), deadline].into_iter().flatten().min().ok_or(libc::EDEADLK)?;
        self.fire(&mut state, due);
        Ok(state)
    }

    /// Another thread waits until something has changed.
    fn wait<'a>(&'a self, mut state: Guard<'a>, deadline: Option<Instant>) -> Guard<'a> {
        let (seen, ticket) = (state.generation, state.next_ticket);
        state.next_ticket += 1;
        state.waiting.insert(ticket, Waiting { seen, deadline });
        self.calm.notify_all();
        while state.generation == seen && state.over.is_none() {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.remove(&ticket);
        state
    }

    fn fire(&self, state: &mut State, due: Instant) {
        state.process.host.handle_timeout(due);
        self.tell(state);
    }

    /// Something has changed.
    fn tell(&self, state: &mut State) {
        state.process.settle();
        state.generation += 1;
        self.news.notify_all();
        self.calm.notify_all();
    }

    /// Waits until the other calls have taken notice.
    fn settled<'a>(&'a self, state: Guard<'a>) -> Guard<'a> {
        let me = thread::current().id();
        let must_look =
            |state: &mut State| state.waiting.values().any(|waiting| waiting.seen < state.generation);
        let looked = self.calm.wait_timeout_while(state, LOOK_GRACE, must_look);
        let (state, _) = looked.unwrap_or_else(PoisonError::into_inner);
        let must_ask = |state: &mut State| state.returned.iter().any(|thread| *thread != me);
        let asked = self.calm.wait_timeout_while(state, RETURN_GRACE, must_ask);
        let (mut state, late) = asked.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            state.returned.retain(|thread| *thread == me);
        }
        state
    }
}

impl State {
    /// When something is due: of the stack, or of a call that waits.
    fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.waiting.values().filter_map(|waiting| waiting.deadline);
        calls.chain(self.process.host.poll_timeout()).min()
    }
}
