//! What a stack that is one shard of a host has to do with the others: which flows are its own, and what it learns that
//! concerns them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::Stack;
use crate::buf::frame::Offload;
use crate::error::Error;
use crate::ip::input::Arrival;
use crate::ip::pmtu::PathMtu;
use crate::ip::steering;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::tcp::FastOpenReport;
use crate::time::Instant;
use crate::wire::ip::Packet;

/// News that wait for the driver; more are counted and lost, as on any full queue.
const MOST_NEWS: usize = 64;

/// What one shard has for others.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A packet that came in fragments, whole now, of a flow of the shard `to`.
    Whole { to: usize, arrival: Arrival, bytes: Vec<u8> },
    /// A path's MTU fell.
    PathMtu { destination: IpAddr, path: PathMtu },
    /// What the handshake of a client has shown about a server's Fast Open.
    FastOpen { local: IpAddr, server: IpAddr, report: FastOpenReport },
}

/// The news that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<News>,
    lost: u64,
}

impl Outbox {
    fn push(&mut self, news: News) {
        if self.waiting.len() < MOST_NEWS {
            self.waiting.push_back(news);
        } else {
            self.lost += 1;
        }
    }
}

impl Stack {
    /// The address of ours that a packet to `remote` leaves with.
    ///
    /// # Errors
    /// `NetworkUnreachable`.
    pub fn source_for(&self, remote: SocketAddr) -> Result<IpAddr, Error> {
        self.path_to(None, &Endpoint::from(remote)).map(|path| path.source)
    }

    /// News that were lost because nobody took those before.
    pub(crate) fn lost_news(&self) -> u64 {
        self.outbox.lost
    }

    /// Another shard had something for us.
    pub(crate) fn handle_news(&mut self, now: Instant, news: &News) {
        match news {
            News::Whole { arrival, bytes, .. } => self.receive_ip(now, arrival, bytes, Offload::NONE),
            News::PathMtu { destination, path } => self.pmtu.handle_told(now, *destination, *path),
            News::FastOpen { local, server, report } => {
                self.fast_open_servers.learn(now, *local, *server, report);
            }
        }
    }

    /// What others have to know. Call until `None`.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.outbox.waiting.pop_front()
    }

    /// Whether a connection of these endpoints is ours, and not another shard's.
    pub(super) fn is_own_flow(&self, tuple: &Tuple) -> bool {
        let (local, remote) = (tuple.local, tuple.remote);
        self.config.shard.owns((local.ip, local.port), (remote.ip, remote.port))
    }

    /// Leaves a packet that was put together from fragments to the shard whose flow it is; false if that is ourselves.
    pub(super) fn hand_on(&mut self, arrival: &Arrival, whole: &mut Vec<u8>) -> bool {
        let shard = self.config.shard;
        let owner = || steering::owner(shard, &Packet::parse(whole).ok()?);
        match owner() {
            Some(to) if to != shard.index() => {
                let bytes = core::mem::take(whole);
                self.outbox.push(News::Whole { to, arrival: *arrival, bytes });
                true
            }
            _ => false,
        }
    }

    /// Tells the other shards, if there are any, what a path takes.
    pub(super) fn tell_path_mtu(&mut self, destination: IpAddr, path: PathMtu) {
        self.tell_all(News::PathMtu { destination, path });
    }

    /// Tells them what a client has learned about a server.
    pub(super) fn tell_fast_open(&mut self, tuple: &Tuple, report: FastOpenReport) {
        self.tell_all(News::FastOpen { local: tuple.local.ip, server: tuple.remote.ip, report });
    }

    fn tell_all(&mut self, news: News) {
        if !self.config.shard.is_alone() {
            self.outbox.push(news);
        }
    }
}
