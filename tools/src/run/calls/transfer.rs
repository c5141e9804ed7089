//! Moving bytes with a call that may wait: what its flags mean, when it has enough, and when it gives up.

use std::net::SocketAddr;

use ustack::Stack;
use ustack::time::{Duration, Instant};

use super::constant::{MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL};
use super::fd::{Fd, Kind};
use super::socket::Errno;

/// How far a call has come that waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    /// Bytes moved.
    pub bytes: usize,
    /// When it gives up.
    pub deadline: Option<Instant>,
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It fails.
    Fails(Errno),
    /// It is to be tried again when something has changed, and at that time at the latest.
    Waits(Option<Instant>),
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the call answers; 0 is the end of a stream.
    pub answer: usize,
    /// Bytes in the buffer.
    pub bytes: usize,
    /// Who sent the datagram.
    pub from: Option<SocketAddr>,
    /// The rest of the datagram is gone (`MSG_TRUNC` of `msg_flags`).
    pub is_cut: bool,
}

impl Fd {
    /// Whether a call waits that could not do its work, for `timeout` at most: answers how, or `EAGAIN`.
    pub fn wait(&self, now: Instant, flags: i64, timeout: Option<Duration>, pending: &mut Pending) -> Halt {
        if self.nonblocking || flags & MSG_DONTWAIT != 0 {
            return Halt::Fails("EAGAIN");
        }
        if pending.deadline.is_none() {
            pending.deadline = timeout.map(|timeout| now + timeout);
        }
        match pending.deadline {
            Some(deadline) if now >= deadline => Halt::Fails("EAGAIN"),
            deadline => Halt::Waits(deadline),
        }
    }

    /// Receives as the flags say: `MSG_PEEK`, `MSG_TRUNC` (a stream throws away what it would give, a datagram says how
    /// long it was), `MSG_WAITALL` and `MSG_DONTWAIT`. A stream waits for the `SO_RCVLOWAT` first bytes. What a call
    /// has received before it waits lies at the beginning of the buffer.
    ///
    /// # Errors
    /// It has to wait, or fails: `EOPNOTSUPP` for urgent data.
    pub fn receive_waiting(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        buffer: &mut [u8],
        flags: i64,
        pending: &mut Pending,
    ) -> Result<Taken, Halt> {
        if flags & MSG_OOB != 0 {
            return Err(Halt::Fails("EOPNOTSUPP"));
        }
        if self.kind == Kind::Datagram {
            let peeks = flags & MSG_PEEK != 0;
            return match self.receive_datagram(stack, buffer, peeks) {
                Ok(taken) if flags & MSG_TRUNC == 0 => Ok(Taken { answer: taken.bytes, ..taken }),
                Ok(taken) => Ok(taken),
                Err("EAGAIN") => Err(self.wait(now, flags, self.recv_timeout, pending)),
                Err(errno) => Err(Halt::Fails(errno)),
            };
        }
        let enough = match flags & MSG_WAITALL {
            0 => self.tcp.recv_lowat.clamp(1, buffer.len().max(1)),
            _ => buffer.len(),
        };
        let discards = flags & MSG_TRUNC != 0;
        let whole =
            |answer| Taken { answer, bytes: if discards { 0 } else { answer }, from: None, is_cut: false };
        loop {
            // What ends the connection is the next call's to tell.
            let is_over = pending.bytes > 0 && !self.can_be_read(stack);
            if is_over {
                return Ok(whole(pending.bytes));
            }
            let room = &mut buffer[pending.bytes..];
            match self.receive_stream(stack, now, room, flags) {
                Ok(taken) if flags & MSG_PEEK != 0 => {
                    let has_ended = self.id.is_some_and(|id| stack.readiness(id).read_closed);
                    if taken >= enough || has_ended {
                        return Ok(whole(taken));
                    }
                    return match self.wait(now, flags, self.recv_timeout, pending) {
                        Halt::Fails(_) => Ok(whole(taken)),
                        waits @ Halt::Waits(_) => Err(waits),
                    };
                }
                Ok(taken) => {
                    pending.bytes += taken;
                    if taken == 0 || pending.bytes >= enough {
                        return Ok(whole(pending.bytes));
                    }
                }
                Err("EAGAIN") => match self.wait(now, flags, self.recv_timeout, pending) {
                    Halt::Fails(_) if pending.bytes > 0 => return Ok(whole(pending.bytes)),
                    halt => return Err(halt),
                },
                Err(errno) => return Err(Halt::Fails(errno)),
            }
        }
    }

    /// Sends as the flags say: `MSG_MORE` and `MSG_DONTWAIT`. A stream waits until it has taken all.
    ///
    /// # Errors
    /// It has to wait, or fails: `EOPNOTSUPP` for urgent data and, on a stream, for the end of a record: it keeps none.
    pub fn send_waiting(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        bytes: &[u8],
        flags: i64,
        to: Option<SocketAddr>,
        pending: &mut Pending,
    ) -> Result<usize, Halt> {
        let records = flags & MSG_EOR != 0 && self.kind != Kind::Datagram;
        if flags & MSG_OOB != 0 || records {
            return Err(Halt::Fails("EOPNOTSUPP"));
        }
        loop {
            match self.send(stack, now, &bytes[pending.bytes..], to, flags & MSG_MORE != 0) {
                Ok(taken) => pending.bytes += taken,
                Err("EAGAIN") => match self.wait(now, flags, self.send_timeout, pending) {
                    Halt::Fails(_) if pending.bytes > 0 => return Ok(pending.bytes),
                    halt => return Err(halt),
                },
                // What was handed over counts; the error is the next call's.
                Err(_) if pending.bytes > 0 => return Ok(pending.bytes),
                Err(errno) => return Err(Halt::Fails(errno)),
            }
            if pending.bytes >= bytes.len() {
                return Ok(pending.bytes);
            }
        }
    }

    /// Whether reading would give bytes, or wait for some.
    fn can_be_read(&self, stack: &Stack) -> bool {
        let Some(id) = self.id else { return false };
        let result = stack.tcp_peek(id, &mut [0]);
        matches!(result, Ok(1) | Err(ustack::Error::WouldBlock))
    }

    /// A stream's next bytes, which `MSG_TRUNC` does not copy.
    fn receive_stream(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        room: &mut [u8],
        flags: i64,
    ) -> Result<usize, Errno> {
        let (peeks, discards) = (flags & MSG_PEEK != 0, flags & MSG_TRUNC != 0);
        let there = || {
            let pieces = stack.tcp_received(self.id?).ok()?;
            Some(pieces.iter().map(|piece| piece.len()).sum::<usize>()).filter(|&bytes| bytes > 0)
        };
        match there().filter(|_| discards) {
            Some(there) => {
                let bytes = there.min(room.len());
                if let (false, Some(id)) = (peeks, self.id) {
                    stack.tcp_consume(now, id, bytes).map_err(|error| super::errno_of(&error))?;
                }
                Ok(bytes)
            }
            None => self.receive(stack, now, room, peeks),
        }
    }
}
