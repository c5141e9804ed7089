//! The application on our side: it writes what the recorded one wrote, when it has read what that one had read.

use std::net::Shutdown;

use ustack::time::{Duration, Instant};
use ustack::{Error, SocketId, Stack};

/// Something that the application does once.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) act: Act,
    /// It has read so many bytes.
    pub(super) after_read: u64,
    /// It has read the end of the stream.
    pub(super) after_end: bool,
    /// The peer has acknowledged everything before this number.
    pub(super) after_acked: Option<i64>,
    /// Then so much time has passed.
    pub(super) think: Duration,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Writes its stream up to that byte.
    Write {
        until: u64,
    },
    ShutDown,
    Abort,
}

/// The application and its socket.
#[derive(Debug)]
pub(super) struct App<'a> {
    actions: &'a [Action],
    stream: &'a [u8],
    listener: Option<SocketId>,
    socket: Option<SocketId>,
    pub(super) read: Vec<u8>,
    pub(super) at_end: bool,
    pub(super) error: Option<Error>,
    written: u64,
    next: usize,
    /// When what the next action waits for was there.
    ready: Option<Instant>,
}

impl<'a> App<'a> {
    pub(super) fn new(
        actions: &'a [Action],
        stream: &'a [u8],
        listener: Option<SocketId>,
        socket: Option<SocketId>,
    ) -> Self {
        Self {
            actions,
            stream,
            listener,
            socket,
            read: Vec::new(),
            at_end: false,
            error: None,
            written: 0,
            next: 0,
            ready: None,
        }
    }

    /// Whether it has nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.actions.len()
    }

    /// Whether it has ended its stream.
    pub(super) fn has_shut_down(&self) -> bool {
        self.actions[..self.next].iter().any(|action| !matches!(action.act, Act::Write { .. }))
    }

    /// When it wants to act although nothing arrives.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let action = self.actions.get(self.next)?;
        self.ready.map(|ready| ready + action.think)
    }

    /// Reads what is there and does what is due. `acked` is what the peer has acknowledged of our numbers.
    pub(super) fn run(&mut self, now: Instant, stack: &mut Stack, acked: i64) {
        if self.socket.is_none()
            && let Some(listener) = self.listener
            && let Ok((socket, _)) = stack.tcp_accept(now, listener)
        {
            self.socket = Some(socket);
        }
        let Some(socket) = self.socket else { return };
        loop {
            self.receive(now, stack, socket);
            if !self.act(now, stack, socket, acked) {
                return;
            }
        }
    }

    fn receive(&mut self, now: Instant, stack: &mut Stack, socket: SocketId) {
        let mut buf = [0; 16 << 10];
        while !self.at_end && self.error.is_none() {
            match stack.tcp_recv(now, socket, &mut buf) {
                Ok(0) => self.at_end = true,
                Ok(len) => self.read.extend_from_slice(&buf[..len]),
                Err(Error::WouldBlock) => return,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Does the next action if it is due; false if there is nothing more to do now.
    fn act(&mut self, now: Instant, stack: &mut Stack, socket: SocketId, acked: i64) -> bool {
        let Some(action) = self.actions.get(self.next) else { return false };
        if stack.readiness(socket).closed {
            // Nothing can be done any more.
            self.next = self.actions.len();
            return false;
        }
        let is_ready = stack.readiness(socket).connected
            && self.read.len() as u64 >= action.after_read
            && (self.at_end || !action.after_end)
            && action.after_acked.is_none_or(|number| acked >= number);
        if !is_ready {
            return false;
        }
        let ready = *self.ready.get_or_insert(now);
        if now < ready + action.think {
            return false;
        }
        match action.act {
            Act::Write { until } => {
                let rest = &self.stream[self.written as usize..(until as usize).min(self.stream.len())];
                match stack.tcp_send(now, socket, rest) {
                    Ok(len) => self.written += len as u64,
                    Err(Error::WouldBlock) => return false,
                    Err(error) => self.error = Some(error),
                }
                if self.written < until && self.error.is_none() {
                    return false;
                }
            }
            Act::ShutDown => {
                if let Err(error) = stack.tcp_shutdown(now, socket, Shutdown::Write) {
                    self.error = Some(error);
                }
            }
            Act::Abort => {
                if let Err(error) = stack.tcp_abort(now, socket) {
                    self.error = Some(error);
                }
            }
        }
        self.next += 1;
        self.ready = None;
        true
    }
}
