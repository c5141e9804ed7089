//! A driver that is a simulator: async hosts on simulated links, in virtual time.

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use super::Net;
use super::clock::Clock;
use crate::buf::frame::{Capabilities, InterfaceId, Medium, RxFrame, TxFrame};
use crate::config::Config;
use crate::link::InterfaceConfig;
use crate::sim::{self, LinkConfig, LinkId, Node, NodeId, SwitchKind};
use crate::time::{Duration, Instant};
use crate::why::Why;

/// Largest IP packet of a simulated interface, unless its configuration says less.
const MTU: usize = 1500;

/// Times that tasks may wake each other without the clock moving, before that counts as an endless loop.
const MAX_WAKES_AT_ONCE: usize = 1_000_000;

/// Hosts whose sockets are those of [`crate::net`], joined by links as bad as one likes. The same application that
/// runs on a TAP runs here; ten minutes of its life take milliseconds, and a seed repeats them to the bit.
pub struct Simulation {
    network: sim::Network<Host>,
    nets: Vec<Net>,
    clock: Clock,
    tasks: Tasks,
}

/// A host of a [`Simulation`], as its network sees it.
#[derive(Debug)]
pub struct Host {
    net: Net,
    frame: Vec<u8>,
    /// Why it is sent.
    why: Why,
    /// By which queue the next frame comes.
    queue: usize,
}

/// Starts tasks in a [`Simulation`] from within its tasks.
#[derive(Clone)]
pub struct Spawner {
    spawned: Rc<RefCell<Vec<LocalFuture>>>,
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Tasks {
    futures: Vec<Option<(LocalFuture, Waker)>>,
    woken: Arc<Woken>,
    spawned: Rc<RefCell<Vec<LocalFuture>>>,
}

/// Tasks that are to be polled, in the order in which they were woken.
#[derive(Default)]
struct Woken(Mutex<VecDeque<usize>>);

struct TaskWaker {
    woken: Arc<Woken>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !woken.contains(&self.task) {
            woken.push_back(self.task);
        }
    }
}

impl Simulation {
    /// An empty network at time zero. All luck on its links comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            network: sim::Network::new(seed),
            nets: Vec::new(),
            clock: Clock::manual(),
            tasks: Tasks::default(),
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The links with their fates, traces and captures.
    pub fn network(&self) -> &sim::Network<Host> {
        &self.network
    }

    /// The same, to record fates and traces, to capture, to play fates back.
    pub fn network_mut(&mut self) -> &mut sim::Network<Host> {
        &mut self.network
    }

    /// Adds a host with one Ethernet interface.
    ///
    /// # Errors
    /// An address that cannot be.
    pub fn add_host(
        &mut self,
        name: &str,
        config: Config,
        interface: InterfaceConfig,
    ) -> io::Result<(NodeId, Net)> {
        self.add_sharded_host(name, config, interface, 1)
    }

    /// As `add_host`, a host of several shards ([`Net::sharded`]). Its interface has a queue for each and no memory:
    /// frames come by one queue after the other, whose ever they are.
    ///
    /// # Errors
    /// As `add_host`.
    pub fn add_sharded_host(
        &mut self,
        name: &str,
        config: Config,
        interface: InterfaceConfig,
        shards: usize,
    ) -> io::Result<(NodeId, Net)> {
        let capabilities = Capabilities::plain(Medium::Ethernet, interface.mtu.unwrap_or(MTU));
        self.add_host_on(name, config, interface, (shards, capabilities))
    }

    /// As `add_sharded_host`, a host whose interface takes merged frames and completes checksums. The link gets single
    /// segments all the same; what arrives is merged if [`sim::Network::merge_received`] says so.
    ///
    /// # Errors
    /// As `add_host`.
    pub fn add_merging_host(
        &mut self,
        name: &str,
        config: Config,
        interface: InterfaceConfig,
        shards: usize,
    ) -> io::Result<(NodeId, Net)> {
        let capabilities = Capabilities::plain(Medium::Ethernet, interface.mtu.unwrap_or(MTU)).merging();
        self.add_host_on(name, config, interface, (shards, capabilities))
    }

    fn add_host_on(
        &mut self,
        name: &str,
        config: Config,
        interface: InterfaceConfig,
        (shards, capabilities): (usize, Capabilities),
    ) -> io::Result<(NodeId, Net)> {
        let net = Net::with_shards(&config, shards, &self.clock);
        for shard in net.shards() {
            shard.with_stack(|stack, now| stack.add_interface(now, interface.clone(), capabilities))?;
        }
        let node = self
            .network
            .add_node(name, Host { net: net.clone(), frame: Vec::new(), why: Why::FOREIGN, queue: 0 });
        self.nets.push(net.clone());
        Ok((node, net))
    }

    /// Adds a switch.
    pub fn add_switch(&mut self, name: &str) -> NodeId {
        self.network.add_switch(name, SwitchKind::Switch)
    }

    /// Joins two hosts, or a host and a switch.
    pub fn connect(&mut self, first: sim::Port, second: sim::Port, config: LinkConfig) -> LinkId {
        self.network.connect(first, second, config)
    }

    /// Starts a task. It is polled first when the simulation runs.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.add(Box::pin(task));
    }

    /// Starts tasks from within tasks.
    pub fn spawner(&self) -> Spawner {
        Spawner { spawned: self.tasks.spawned.clone() }
    }

    /// Runs until `future` is done, at most for `limit` of virtual time; `None` if it is not done then, or if nothing
    /// will ever happen again.
    pub fn block_on<T: 'static>(
        &mut self,
        limit: Duration,
        future: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.spawn(async move {
            let value = future.await;
            *place.borrow_mut() = Some(value);
        });
        let until = self.now() + limit;
        self.run(until, || result.borrow().is_some());
        result.take()
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now() + span;
        self.run(until, || false);
        self.network.run_until(until);
        self.clock.set(until);
    }

    fn run(&mut self, until: Instant, is_done: impl Fn() -> bool) {
        loop {
            self.tasks.run();
            for id in self.network.ids().collect::<Vec<_>>() {
                self.touch(id);
            }
            if is_done() {
                return;
            }
            match self.network.next_event() {
                Some(at) if at <= until => {
                    self.clock.set(at.max(self.network.now()));
                    self.network.step();
                }
                _ => return,
            }
        }
    }

    /// A task may have given a host something to send.
    fn touch(&mut self, id: NodeId) {
        if self.network.is_node(id) {
            self.network.node_mut(id);
        }
    }
}

impl Spawner {
    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(task));
    }
}

impl Tasks {
    fn add(&mut self, future: LocalFuture) {
        let task = self.futures.len();
        let waker = Arc::new(TaskWaker { woken: self.woken.clone(), task });
        waker.clone().wake();
        self.futures.push(Some((future, Waker::from(waker))));
    }

    /// Polls whoever was woken until nobody is.
    fn run(&mut self) {
        for _ in 0..MAX_WAKES_AT_ONCE {
            let spawned = core::mem::take(&mut *self.spawned.borrow_mut());
            spawned.into_iter().for_each(|future| self.add(future));
            let next = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(task) = next else { return };
            let Some(Some((future, waker))) = self.futures.get_mut(task) else { continue };
            let waker = waker.clone();
            if future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
                self.futures[task] = None;
            }
        }
        panic!("tasks wake each other without end");
    }
}

impl Host {
    /// The host's sockets.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Lets the shards hand each other what they have, until nobody has anything.
    fn settle(&self) {
        let shards = self.net.all_shared();
        while shards.len() > 1
            && shards.iter().map(|shared| shared.with(|inner, now| inner.exchange(now))).sum::<usize>() > 0
        {
        }
    }
}

impl Node for Host {
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>) {
        self.net.shared().clock().set(now);
        let shards = self.net.all_shared();
        let queue = self.queue % shards.len();
        self.queue = queue + 1;
        shards[queue].with(|inner, now| inner.handle_frame(now, interface(port), frame));
        self.settle();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.net.advance(now);
        self.settle();
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.net.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Instant, port: usize) -> Option<TxFrame<'_>> {
        let bytes = &mut self.frame;
        bytes.clear();
        let mut shards = self.net.all_shared().iter();
        let (offload, why) = shards
            .find_map(|shared| shared.with(|inner, _| inner.copy_transmit(now, interface(port), bytes)))?;
        self.why = why;
        Some(TxFrame { head: bytes, body: [&[], &[]], offload, why: &self.why })
    }
}

/// Port 0 is the first interface after the loopback.
fn interface(port: usize) -> InterfaceId {
    InterfaceId(port as u32 + 1)
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.now())
            .field("hosts", &self.nets.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

#[cfg(test)]
mod tests;
