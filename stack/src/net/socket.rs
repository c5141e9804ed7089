//! A handle of one socket: it closes the socket when it is dropped.

use core::fmt;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Net;
use super::shared::Shared;
use super::wakers::Interest;
use crate::Stack;
use crate::error::Error;
use crate::socket::table::SocketId;
use crate::time::Instant;

pub(super) struct Socket {
    shared: Arc<Shared>,
    id: SocketId,
}

impl Socket {
    pub(super) fn new(shared: Arc<Shared>, id: SocketId) -> Self {
        Self { shared, id }
    }

    /// Another socket of the same stack.
    pub(super) fn sibling(&self, id: SocketId) -> Self {
        Self { shared: self.shared.clone(), id }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn net(&self) -> Net {
        Net::from_shared(self.shared.clone())
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.command(|stack, _, id| stack.local_addr(id))
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.command(|stack, _, id| stack.peer_addr(id))
    }

    /// Something that never waits.
    pub(super) fn command<R>(
        &self,
        f: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, Error>,
    ) -> io::Result<R> {
        self.shared.with_held(|inner, now| f(&mut inner.stack, now, self.id)).map_err(Into::into)
    }

    /// Something that may have to wait.
    pub(super) fn poll<R>(
        &self,
        cx: &Context<'_>,
        interest: Interest,
        f: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, Error>,
    ) -> Poll<io::Result<R>> {
        self.shared.poll(cx, self.id, interest, |stack, now| f(stack, now, self.id))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shared.close(self.id);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.local_addr(), self.peer_addr()) {
            (Ok(local), Ok(peer)) => write!(f, "{local} <-> {peer}"),
            (Ok(local), Err(_)) => write!(f, "{local}"),
            _ => f.write_str("closed"),
        }
    }
}
