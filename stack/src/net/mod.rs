//! Async sockets over a shared stack. They know no runtime: any executor may poll them.
//!
//! A [`Net`] is a stack with its devices behind one lock. Something has to move it: [`Driver`] (a thread, or the one
//! that waits for a future), `drive` of the `tokio` feature, or the simulator. An operation sends what it leads to from
//! the thread that calls it, so a request costs no hop to the driver.

pub(crate) mod bell;
mod busy;
mod clock;
mod driver;
mod port;
mod raw;
mod seat;
mod shards;
pub(crate) mod shared;
mod simulation;
mod sleep;
mod socket;
mod std_like;
mod tcp;
#[cfg(feature = "tokio")]
mod tokio_driver;
mod udp;
mod wakers;
mod wheel;

use std::io;
use std::sync::Arc;
use std::task::Poll;

use self::clock::Clock;
pub use self::driver::{Driver, DriverBuilder};
pub use self::port::DeviceErrors;
pub use self::raw::RawSocket;
pub use self::shards::HandOvers;
use self::shards::Shards;
use self::shared::{Inner, Shared};
pub use self::simulation::{Host, Simulation, Spawner};
pub use self::sleep::Sleep;
use self::socket::Socket;
pub use self::tcp::{TcpListener, TcpStream};
#[cfg(feature = "tokio")]
pub use self::tokio_driver::drive;
pub use self::udp::UdpSocket;
use self::wakers::Wakers;
use crate::Stack;
use crate::buf::frame::InterfaceId;
use crate::device::Device;
use crate::error::Error;
use crate::event::{Event, Observation};
use crate::link::InterfaceConfig;
use crate::socket::table::SocketId;
use crate::time::{Duration, Instant};

/// A stack that sockets, tasks and a driver share. Clones are handles of the same stack.
///
/// A host may have several, for as many processors ([`Net::sharded`]); what asks for "the" stack then means the first.
#[derive(Clone, Debug)]
pub struct Net {
    /// The first, if there are several.
    shared: Arc<Shared>,
    shards: Option<Arc<Shards>>,
}

impl Net {
    /// Shares a stack whose time is the system's monotonic clock, from now on.
    pub fn new(stack: Stack) -> Self {
        Self::from_shared(Shared::new(stack, Clock::system(), None))
    }

    /// Shares a stack whose time stands still until [`Net::advance`] moves it: for simulations.
    pub fn in_virtual_time(stack: Stack) -> Self {
        Self::from_shared(Shared::new(stack, Clock::manual(), None))
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared, shards: None }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The stack, if there is but one.
    pub(crate) fn only_shared(&self) -> Option<&Arc<Shared>> {
        self.shards.is_none().then_some(&self.shared)
    }

    /// The time on the stack's clock.
    pub fn now(&self) -> Instant {
        self.shared.clock().now()
    }

    /// Adds an interface that a device carries.
    ///
    /// # Errors
    /// The configuration does not fit the device; the host has several shards, see [`Net::attach_queues`].
    pub fn attach(&self, config: InterfaceConfig, device: impl Device + 'static) -> io::Result<InterfaceId> {
        self.attach_queues(config, vec![device])
    }

    /// Runs something on the stack itself; what it leads to is sent before this returns. What concerns a whole host of
    /// several shards, as a route does, is to be done to [each](Net::shards).
    pub fn with_stack<R>(&self, f: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        self.shared.with(|inner, now| f(&mut inner.stack, now))
    }

    /// What went wrong at the device of an interface.
    pub fn device_errors(&self, interface: InterfaceId) -> DeviceErrors {
        let errors = self.all_shared().iter().map(|shared| shared.device_errors(interface));
        errors.reduce(DeviceErrors::and).unwrap_or_default()
    }

    /// The next event of an interface. Of a host of several shards each one tells: the same may come from all.
    pub async fn next_event(&self) -> Event {
        self.watch(Inner::take_observed).await
    }

    /// The next event of an interface, if there is one already.
    pub fn take_event(&self) -> Option<Event> {
        self.take(Inner::take_observed)
    }

    /// How many of those were lost because nobody asked for the ones before.
    pub fn lost_events(&self) -> u64 {
        self.all_shared().iter().map(|shared| shared.with(|inner, _| inner.observed_lost)).sum()
    }

    /// The next decision of a connection that is observed (see [`Stack::poll_decision`]): a task that writes them down
    /// loops over it.
    pub async fn next_decision(&self) -> Observation {
        self.watch(|inner| inner.stack.poll_decision()).await
    }

    /// The next decision of a connection that is observed, if there is one already.
    pub fn take_decision(&self) -> Option<Observation> {
        self.take(|inner| inner.stack.poll_decision())
    }

    /// What `take` finds in the first shard that has something; waits until one has.
    async fn watch<T>(&self, take: impl Fn(&mut Inner) -> Option<T>) -> T {
        core::future::poll_fn(|cx| {
            let polled = |shared: &Arc<Shared>| shared.with(|inner, _| inner.poll_watched(cx, &take));
            let found = self.all_shared().iter().map(polled).find(Poll::is_ready);
            found.unwrap_or(Poll::Pending)
        })
        .await
    }

    fn take<T>(&self, take: impl Fn(&mut Inner) -> Option<T>) -> Option<T> {
        self.all_shared().iter().find_map(|shared| shared.with(|inner, _| take(inner)))
    }

    /// A future that is ready after `span` on the stack's clock.
    pub fn sleep(&self, span: Duration) -> Sleep {
        Sleep::new(self.shared.clone(), self.now() + span)
    }

    /// Moves a virtual clock to `now` and wakes the tasks whose time has come. What is due in the stack is due then.
    pub fn advance(&self, now: Instant) {
        self.shared.clock().set(now);
        let mut wake = Wakers::new();
        for shared in self.all_shared() {
            shared.with(|inner, now| {
                inner.stack.handle_timeout(now);
                inner.take_due(now, &mut wake);
            });
        }
        wake.into_iter().for_each(std::task::Waker::wake);
    }

    /// When the stack, or a task that sleeps, is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.all_shared().iter().filter_map(|shared| shared.with(|inner, _| inner.poll_timeout())).min()
    }

    /// Opens a socket by `open`.
    fn open(&self, open: impl FnOnce(&mut Stack, Instant) -> Result<SocketId, Error>) -> io::Result<Socket> {
        let id = self.with_stack(open)?;
        Ok(Socket::new(self.shared.clone(), id))
    }
}
