//! One socket of each shard, as one.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::Net;
use super::super::shared::Shared;
use super::super::socket::Socket;
use super::super::wakers::Interest;
use crate::Stack;
use crate::error::Error;
use crate::socket::table::SocketId;
use crate::time::Instant;

/// The same socket in every shard; of a host that has no shards, just a socket.
#[derive(Debug)]
pub(in crate::net) struct Group {
    first: Socket,
    others: Box<[Socket]>,
    /// Who is asked first.
    turn: AtomicUsize,
}

/// How often another ephemeral port is tried, if one is free in the first shard alone.
const TRIES: usize = 16;

impl Group {
    /// Opens one in each shard by `open`, on `local`; all on the same port, if that is for the stack to choose.
    pub(in crate::net) fn open(
        net: &Net,
        local: SocketAddr,
        mut open: impl FnMut(&mut Stack, Instant, SocketAddr) -> Result<SocketId, Error>,
    ) -> io::Result<Self> {
        let [first, others @ ..] = net.all_shared() else { return Err(io::ErrorKind::NotFound.into()) };
        let mut tries = 0;
        loop {
            let id = first.with(|inner, now| open(&mut inner.stack, now, local))?;
            let opened = Socket::new(first.clone(), id);
            let chosen = match local.port() {
                0 if !others.is_empty() => SocketAddr::new(local.ip(), opened.local_addr()?.port()),
                _ => local,
            };
            let rest = others.iter().map(|shared| {
                let id = shared.with(|inner, now| open(&mut inner.stack, now, chosen))?;
                Ok(Socket::new(shared.clone(), id))
            });
            match rest.collect::<io::Result<_>>() {
                Ok(others) => return Ok(Self { first: opened, others, turn: AtomicUsize::new(0) }),
                Err(error) if local.port() != 0 || tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    pub(in crate::net) fn first(&self) -> &Socket {
        &self.first
    }

    /// The stack, if there is but one.
    pub(in crate::net) fn only_shared(&self) -> Option<&Arc<Shared>> {
        self.is_single().then(|| self.first.shared())
    }

    /// Those of all shards.
    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = &Socket> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// That of the shard `index`; of the first if there is none.
    pub(in crate::net) fn of(&self, index: usize) -> &Socket {
        index.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    pub(in crate::net) fn is_single(&self) -> bool {
        self.others.is_empty()
    }

    /// Tries an operation with one after the other, and answers whose it was; where each would block, has the task
    /// woken when one may not any more.
    pub(in crate::net) fn poll<R>(
        &self,
        cx: &Context<'_>,
        interest: Interest,
        mut f: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, Error>,
    ) -> Poll<io::Result<(&Socket, R)>> {
        if self.is_single() {
            return self.first.poll(cx, interest, f).map_ok(|result| (&self.first, result));
        }
        let count = self.others.len() + 1;
        let begin = self.turn.load(Relaxed);
        for index in (begin..begin + count).map(|place| place % count) {
            let socket = self.of(index);
            if let Poll::Ready(result) = socket.poll(cx, interest, &mut f) {
                self.turn.store((index + 1) % count, Relaxed);
                return Poll::Ready(result.map(|result| (socket, result)));
            }
        }
        Poll::Pending
    }
}
