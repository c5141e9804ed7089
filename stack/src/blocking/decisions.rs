//! Decisions of observed connections, one after the other.

use std::time::Duration;

use super::wait::block_on;
use crate::event::Observation;
use crate::net::Net;

/// What the connections of a [`Net`] decide that are observed
/// ([`Settings::observe`](crate::tcp::Settings::observe)), as they decide it.
///
/// The iterator waits for the next one, at most for the timeout, after which it ends.
#[derive(Debug)]
pub struct Decisions<'a> {
    net: &'a Net,
    timeout: Option<Duration>,
}

impl<'a> Decisions<'a> {
    /// Those of `net`; without a timeout the iterator never ends.
    pub fn of(net: &'a Net, timeout: Option<Duration>) -> Self {
        Self { net, timeout }
    }
}

impl Iterator for Decisions<'_> {
    type Item = Observation;

    fn next(&mut self) -> Option<Observation> {
        block_on(self.net.only_shared(), self.timeout, async { Ok(self.net.next_decision().await) }).ok()
    }
}
