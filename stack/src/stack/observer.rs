//! What observed connections decide, from all of them in one queue.

use std::collections::VecDeque;

use super::Stack;
use crate::event::Observation;
use crate::socket::table::{SocketId, TcpSocket};
use crate::time::Instant;

/// Decisions that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Observer {
    queue: VecDeque<Observation>,
    limit: usize,
    refused: u64,
}

impl Observer {
    pub(super) const fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, refused: 0 }
    }

    /// Decisions that were lost.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes what a connection has decided.
    pub(super) fn collect(&mut self, now: Instant, socket: SocketId, tcp: &mut TcpSocket) {
        let (local, remote) = (tcp.tuple.local.into(), tcp.tuple.remote.into());
        self.refused += tcp.connection.take_decisions_refused();
        while let Some(decided) = tcp.connection.poll_decision(now) {
            if self.queue.len() >= self.limit {
                self.refused += 1;
                continue;
            }
            let (at, decision) = (decided.at, decided.decision);
            self.queue.push_back(Observation { at, socket, local, remote, decision });
        }
    }
}

impl Stack {
    /// Whether `poll_decision` has something.
    pub fn has_decisions(&self) -> bool {
        !self.observer.queue.is_empty()
    }

    /// What observed connections decided since the last call, the oldest first. Call until `None`.
    ///
    /// A connection is observed if its [`Settings::observe`](crate::tcp::Settings::observe) says so, and those that a
    /// listener accepts if the listener's does; `Config::tcp` is where the settings of all come from. At most
    /// `Config::max_decisions` wait to be asked for: the newest are lost beyond that, and counted in
    /// [`Stats::decisions_refused`](crate::stats::Stats::decisions_refused).
    pub fn poll_decision(&mut self) -> Option<Observation> {
        self.observer.queue.pop_front()
    }
}
