//! Several shards as one host: a stack for each queue of a device, behind a lock of its own and driven by a thread of
//! its own. What a queue brings for another shard is handed over through a bounded queue without a lock.
//!
//! ```text
//!   queue 0 --> shard 0 --\    sockets: a listener, or a datagram socket, has a part in each shard;
//!                mailboxes  >-- a stream lives in the shard that owns its flow
//!   queue 1 --> shard 1 --/
//! ```

pub(super) mod group;
pub(super) mod post;

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use self::post::PostOffice;
use super::clock::Clock;
use super::shared::Shared;
use super::{DeviceErrors, Net};
use crate::Stack;
use crate::buf::frame::InterfaceId;
use crate::buf::shard::Shard;
use crate::config::Config;
use crate::device::Device;
use crate::link::InterfaceConfig;

/// The shards of one host.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) all: Box<[Arc<Shared>]>,
    /// Whose turn it is to get the next connection that may live anywhere.
    turn: AtomicUsize,
}

/// What one shard handed to others, and what it got from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HandOvers {
    /// Frames that came by this shard's queue and were another's.
    pub given: u64,
    /// Frames that came by this shard's queue and were for all: each of the others got a copy.
    pub spread: u64,
    /// Path MTUs and packets put together from fragments that this shard passed on.
    pub news: u64,
    /// Copies and news that found a mailbox full, and were lost.
    pub refused: u64,
    /// What this shard took out of its own mailbox.
    pub taken: u64,
    /// Frames that this shard did not send because the first speaks for the host.
    pub muted: u64,
}

impl Net {
    /// Shares a host of `count` stacks, at least one and at most [`Shard::MOST`], each for one queue of its devices
    /// ([`Net::attach_queues`]) and for one thread, which [`Driver`](super::Driver) starts: no shard waits for another.
    ///
    /// Sockets are opened as ever. A [`TcpListener`](super::TcpListener) accepts from all shards, and a
    /// [`UdpSocket`](super::UdpSocket) hears all. A [`TcpStream`](super::TcpStream) lives in the shard that owns the
    /// flow between its endpoints ([`Shard::owner`]); new ones are opened in the shards by turns. A raw socket lives in
    /// the first shard, and hears of TCP and UDP only the flows of that.
    ///
    /// The stacks have the secrets of one host, by one seed; the limits of `config` are those of each. The first
    /// answers ARP, neighbour discovery and echo requests, and reports groups. Whatever queue a frame comes by, the
    /// shard gets it whose it is: [`steering`](crate::ip::steering) says which. To send a datagram from a socket that
    /// is bound to no address asks the first shard for the address that it leaves with; to bind to one spares that.
    ///
    /// An application that is cut in the same way as the host opens its sockets in the single [`shards`](Net::shards),
    /// and runs each part on the thread that drives it.
    pub fn sharded(config: Config, count: usize) -> Self {
        Self::with_shards(&config, count, &Clock::system())
    }

    pub(super) fn with_shards(config: &Config, count: usize, clock: &Clock) -> Self {
        let shards: Vec<Shard> = Shard::all(count).collect();
        let offices = PostOffice::for_all(&shards);
        let stack = |shard| Stack::new(Config { shard, ..config.clone() });
        let made = shards.iter().zip(offices).map(|(&shard, office)| {
            let office = (!shard.is_alone()).then(|| Box::new(office));
            Shared::new(stack(shard), clock.clone(), office)
        });
        let all: Box<[_]> = made.collect();
        let shared = all[0].clone();
        let shards = (all.len() > 1).then(|| Arc::new(Shards { all, turn: AtomicUsize::new(0) }));
        Self { shared, shards }
    }

    /// The shards of the host, each as a net of its own; only this one if it has no others.
    ///
    /// A socket that is opened in one of them is known to that one alone. A stream gets a port by which the flow is
    /// that shard's; a listener accepts only the flows that are.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = Self> {
        self.all_shared().iter().map(|shared| Self::from_shared(shared.clone()))
    }

    /// What the shards handed to each other, in their order.
    pub fn hand_overs(&self) -> Vec<HandOvers> {
        self.all_shared().iter().map(|shared| shared.with(|inner, _| inner.hand_overs())).collect()
    }

    /// Adds an interface that a device of several queues carries, one for each shard, in their order.
    ///
    /// ```no_run
    /// # use ustack::{Config, InterfaceConfig, device::TapBuilder, net::{Driver, Net}, wire::ethernet::MacAddr};
    /// let taps = TapBuilder::new("tap0").address("10.9.0.1/24").up().build_queues(2)?;
    /// let net = Net::sharded(Config::seeded(1), taps.len());
    /// let interface = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 2])).address([10, 9, 0, 2].into(), 24);
    /// net.attach_queues(interface, taps)?;
    /// let driver = Driver::spawn(&net)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not as many queues as shards; the configuration does not fit the device.
    pub fn attach_queues<D: Device + 'static>(
        &self,
        config: InterfaceConfig,
        queues: Vec<D>,
    ) -> io::Result<InterfaceId> {
        let shards = self.all_shared();
        if queues.len() != shards.len() {
            let text = format!("{} queues for {} shards", queues.len(), shards.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut interface = None;
        for (shared, device) in shards.iter().zip(queues) {
            let capabilities = device.capabilities();
            let id =
                shared.with(|inner, now| inner.stack.add_interface(now, config.clone(), capabilities))?;
            shared.attach(id, Box::new(device));
            interface = interface.or(Some(id));
        }
        Ok(interface.expect("a host has at least one shard"))
    }

    pub(super) fn all_shared(&self) -> &[Arc<Shared>] {
        match &self.shards {
            None => std::slice::from_ref(&self.shared),
            Some(shards) => &shards.all,
        }
    }

    /// Where a connection is to be opened: where its flow belongs if its port is chosen already, or in the next in
    /// turn, which chooses a port to suit.
    pub(super) fn home_of_stream(&self, remote: SocketAddr, local: Option<SocketAddr>) -> Self {
        let Some(shards) = &self.shards else { return self.clone() };
        let index = match local.filter(|local| local.port() != 0) {
            Some(local) => self.home_of_flow(remote, local),
            None => shards.turn.fetch_add(1, Relaxed) % shards.all.len(),
        };
        Self::from_shared(shards.all[index].clone())
    }

    /// The shard that owns the flow between `local`, whose address may be left open, and `remote`.
    pub(super) fn home_of_flow(&self, remote: SocketAddr, local: SocketAddr) -> usize {
        let Some(shards) = &self.shards else { return 0 };
        let remote_ip = remote.ip().to_canonical();
        let open = local.ip().is_unspecified();
        let source = if open { self.with_stack(|stack, _| stack.source_for(remote)) } else { Ok(local.ip()) };
        // Where there is no way, whoever is asked to send will say so.
        let Ok(source) = source.map(|ip: IpAddr| ip.to_canonical()) else { return 0 };
        let shard = Shard::all(shards.all.len()).next().unwrap_or_default();
        shard.owner((source, local.port()), (remote_ip, remote.port()))
    }
}

impl DeviceErrors {
    /// Counts another queue's with them.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            full: self.full + other.full,
            missed: self.missed + other.missed,
            failed_reads: self.failed_reads + other.failed_reads,
            last: other.last.or(self.last),
        }
    }
}

#[cfg(test)]
mod tests;
