//! The stack that sockets, tasks and a driver share.

use core::fmt;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use super::clock::Clock;
use super::port::{Asking, BATCH, DeviceErrors, Port};
use super::seat::Seat;
use super::shards::HandOvers;
use super::shards::post::PostOffice;
use super::wakers::{Interest, SocketWakers, TimeWakers, Wakers};
use crate::Stack;
use crate::buf::frame::{InterfaceId, Medium, Offload, RxFrame, TxFrame};
use crate::device::Device;
use crate::error::Error;
use crate::event::Event;
use crate::socket::table::SocketId;
use crate::time::{Duration, Instant};
use crate::why::Why;

/// So many threads that wait for the lock are a crowd, in which the driver's turn comes late.
const CROWD: usize = 4;

/// How a driver is woken, once there is one.
#[derive(Default)]
pub(crate) struct Kick(Mutex<Option<Arc<dyn Fn() + Send + Sync>>>);

pub(crate) struct Shared {
    clock: Clock,
    inner: Mutex<Inner>,
    /// Threads that wait for the lock.
    waiting: AtomicUsize,
    kick: Arc<Kick>,
    /// Of the newest driver that is a thread of its own.
    seat: Mutex<Option<Arc<Seat>>>,
}

/// What is behind the lock.
pub(crate) struct Inner {
    pub(crate) stack: Stack,
    ports: Vec<Port>,
    /// Where this is one of several shards: who sorts what comes.
    office: Option<Box<PostOffice>>,
    sockets: SocketWakers,
    times: TimeWakers,
    /// Until when the driver sleeps, if it does: who needs it earlier kicks it.
    asleep_until: Option<Instant>,
    /// What is to leave waits: the driver polls a task first, whose answers take the acknowledgments along.
    held: bool,
    /// Nothing is due before in the stack, nobody's time comes, and nothing is to be sent; unknown after a change.
    quiet_until: Option<Instant>,
    observed: VecDeque<Event>,
    /// Events of interfaces that found no room in `observed`.
    pub(crate) observed_lost: u64,
    /// Who waits for decisions, or for events of interfaces.
    watchers: Vec<Waker>,
    /// What a device failed with while another thread stood in for the driver, which is to end by it.
    failed: Option<io::Error>,
}

impl Shared {
    pub(crate) fn new(stack: Stack, clock: Clock, office: Option<Box<PostOffice>>) -> Arc<Self> {
        let kick = office.as_ref().map(|office| office.own_kick()).unwrap_or_default();
        let inner = Inner {
            stack,
            ports: Vec::new(),
            office,
            sockets: SocketWakers::default(),
            times: TimeWakers::default(),
            asleep_until: None,
            held: false,
            quiet_until: None,
            observed: VecDeque::new(),
            observed_lost: 0,
            watchers: Vec::new(),
            failed: None,
        };
        Arc::new(Self {
            clock,
            inner: Mutex::new(inner),
            waiting: AtomicUsize::new(0),
            kick,
            seat: Mutex::default(),
        })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs `f` on the stack, sends what it led to from this very thread, and wakes whom it concerns.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        self.with_if(f, |_| true, false)
    }

    /// As `with`; what it leads to need not leave before what a driver holds.
    pub(crate) fn with_held<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        self.with_if(f, |_| true, true)
    }

    /// As `with`; there is something to send, or somebody to wake, only if `changes` says so of the result. If it
    /// `waits`, a driver that holds back goes on doing so.
    fn with_if<R>(
        &self,
        f: impl FnOnce(&mut Inner, Instant) -> R,
        changes: impl FnOnce(&R) -> bool,
        waits: bool,
    ) -> R {
        let mut wake = Wakers::new();
        let mut inner = self.lock();
        let now = self.clock.now();
        let result = f(&mut inner, now);
        if changes(&result) {
            inner.quiet_until = None;
            inner.held &= waits;
            inner.settle(now, &mut wake);
        }
        if self.waiting.load(Ordering::Relaxed) >= CROWD {
            // The driver is one of many: whoever has the lock does its work, before a device's queue overflows.
            inner.stand_in(now, &mut wake);
        }
        self.leave(inner, wake);
        result
    }

    /// Runs `f` on the tasks that wait for a time: nothing is to be sent for them.
    pub(crate) fn with_times<R>(&self, f: impl FnOnce(&mut TimeWakers) -> R) -> R {
        let mut inner = self.lock();
        let result = f(&mut inner.times);
        inner.quiet_until = None;
        self.leave(inner, Wakers::new());
        result
    }

    /// Unlocks, then wakes: the driver too, if it is needed earlier than it thinks.
    fn leave(&self, mut inner: MutexGuard<'_, Inner>, wake: Wakers) {
        let earlier = |until| inner.failed.is_some() || inner.poll_timeout().is_some_and(|at| at < until);
        let kick = inner.asleep_until.is_some_and(earlier);
        if kick {
            inner.asleep_until = None;
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        if kick {
            self.kick.kick();
        }
    }

    /// Tries an operation; where it would block, has the task woken when it may not any more.
    pub(crate) fn poll<R>(
        &self,
        cx: &Context<'_>,
        id: SocketId,
        interest: Interest,
        f: impl FnOnce(&mut Stack, Instant) -> Result<R, Error>,
    ) -> Poll<io::Result<R>> {
        let attempt = |inner: &mut Inner, now| match f(&mut inner.stack, now) {
            Err(Error::WouldBlock) => {
                inner.sockets.register(id, interest, cx);
                Poll::Pending
            }
            result => Poll::Ready(result.map_err(Into::into)),
        };
        // What would block has changed nothing. Who reads may be about to answer.
        self.with_if(attempt, Poll::is_ready, interest == Interest::Read)
    }

    /// Closes a socket's handle and wakes who still waits for it.
    pub(crate) fn close(&self, id: SocketId) {
        self.with(|inner, now| {
            inner.stack.close(now, id);
            let mut wake = Wakers::new();
            inner.sockets.remove(id, &mut wake);
            wake
        })
        .into_iter()
        .for_each(Waker::wake);
    }

    /// How to wake the driver when something is due earlier than it thinks. The newest driver's word counts: those
    /// before it may have ended.
    pub(crate) fn set_kick(&self, kick: impl Fn() + Send + Sync + 'static) {
        *self.kick.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(kick));
    }

    /// Names the seat of the newest driver.
    pub(crate) fn set_seat(&self, seat: Arc<Seat>) {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }

    /// The seat of the newest driver that is a thread of its own.
    pub(crate) fn seat(&self) -> Option<Arc<Seat>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the driver end by what a device failed with in another thread's hands.
    pub(crate) fn fail(&self, error: io::Error) {
        self.lock().failed = Some(error);
    }

    /// How many tasks wait for something.
    pub(crate) fn waiting_tasks(&self) -> usize {
        self.lock().waiting_tasks()
    }

    /// A driver's turn: takes what the devices have and what is due.
    ///
    /// # Errors
    /// A device is gone.
    pub(crate) fn drive(&self, asking: Asking) -> io::Result<Turn> {
        self.turn(asking, false)
    }

    /// The same, but what that leads to leaves with the next that an application sends, or when it is let go.
    ///
    /// # Errors
    /// A device is gone.
    pub(crate) fn drive_and_hold(&self, asking: Asking) -> io::Result<Turn> {
        self.turn(asking, true)
    }

    fn turn(&self, asking: Asking, holds: bool) -> io::Result<Turn> {
        let mut wake = Wakers::new();
        let mut inner = self.lock();
        inner.asleep_until = None;
        let now = self.clock.now();
        if let Some(error) = inner.failed.take() {
            return Err(error);
        }
        let Received { frames, more } = inner.receive(now, asking)?;
        let is_due = inner.quiet() <= now;
        if is_due {
            inner.stack.handle_timeout(now);
            inner.times.take_due(now, &mut wake);
        }
        if is_due || frames || inner.ports.iter().any(|port| port.is_due(now)) {
            inner.quiet_until = None;
            inner.held = holds;
            inner.settle(now, &mut wake);
        }
        if !frames {
            // Whoever asks again and again need not ask for that, too.
            inner.quiet();
        }
        let (waiting, devices, held) = (inner.waiting_tasks(), inner.ports.len(), inner.held);
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        Ok(Turn { now, frames, more, held, waiting, devices })
    }

    /// Lets go of what a driver's turn has held, unless it has left already.
    pub(crate) fn let_go(&self) {
        let mut inner = self.lock();
        if !core::mem::take(&mut inner.held) {
            return;
        }
        let (now, mut wake) = (self.clock.now(), Wakers::new());
        inner.quiet_until = None;
        inner.settle(now, &mut wake);
        self.leave(inner, wake);
    }

    /// How long a driver that knows of `devices` devices may sleep unless one has something (`None`: no deadline); not
    /// at all if there are others. Until its next turn, who needs it earlier kicks it.
    pub(crate) fn fall_asleep(&self, devices: usize) -> Option<Duration> {
        let mut inner = self.lock();
        if inner.failed.is_some() || inner.ports.len() != devices {
            return Some(Duration::ZERO);
        }
        let until = inner.quiet().min(inner.device_timeout().unwrap_or(Instant::MAX));
        inner.asleep_until = Some(until);
        (until != Instant::MAX).then(|| until.since(self.clock.now()))
    }

    pub(crate) fn attach(&self, interface: InterfaceId, device: Box<dyn Device>) {
        {
            let mut inner = self.lock();
            inner.quiet_until = None;
            inner.ports.push(Port::new(interface, device));
        }
        // The driver does not wait on its descriptor yet.
        self.kick.kick();
    }

    /// Looks at the devices: a driver asks them for what to wait on.
    pub(crate) fn devices<R>(&self, f: impl FnOnce(&mut dyn Iterator<Item = &dyn Device>) -> R) -> R {
        let inner = self.lock();
        f(&mut inner.ports.iter().map(Port::device))
    }

    pub(crate) fn device_errors(&self, interface: InterfaceId) -> DeviceErrors {
        let mut inner = self.lock();
        let port = inner.ports.iter_mut().find(|port| port.interface() == interface);
        port.map(Port::errors).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of an application's thread inside the lock is a bug of ours that the others need not die of.
        match self.inner.try_lock() {
            Ok(inner) => return inner,
            Err(TryLockError::Poisoned(error)) => return error.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        inner
    }
}

/// How a driver's turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Turn {
    /// When it was.
    pub(crate) now: Instant,
    /// A device had something.
    pub(crate) frames: bool,
    /// A device may have more: the next turn is due at once.
    pub(crate) more: bool,
    /// What there is to send waits for [`Shared::let_go`].
    pub(crate) held: bool,
    /// Tasks that wait for something afterwards.
    pub(crate) waiting: usize,
    /// Devices that were asked.
    pub(crate) devices: usize,
}

/// What the devices had.
struct Received {
    frames: bool,
    /// One may have more.
    more: bool,
}

impl Inner {
    /// When the driver is needed even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.device_timeout(), self.stack.poll_timeout(), self.times.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Until when nothing is due in the stack, and nobody's time comes.
    fn quiet(&mut self) -> Instant {
        let due = || self.stack.poll_timeout().into_iter().chain(self.times.poll_timeout()).min();
        let until = self.quiet_until.or_else(due).unwrap_or(Instant::MAX);
        self.quiet_until = Some(until);
        until
    }

    /// When a device wants to be asked: that may be news after any question, though nothing came of it.
    fn device_timeout(&self) -> Option<Instant> {
        self.ports.iter().filter_map(Port::poll_timeout).min()
    }

    fn waiting_tasks(&self) -> usize {
        self.sockets.count() + self.times.count() + self.watchers.len()
    }

    /// The next event of an interface, if there is one already; those of sockets have woken their tasks.
    pub(crate) fn take_observed(&mut self) -> Option<Event> {
        self.observed.pop_front()
    }

    /// What `take` finds; the task is woken when there may be something. It takes decisions, or events of interfaces.
    pub(crate) fn poll_watched<T>(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Poll<T> {
        if let Some(found) = take(self) {
            return Poll::Ready(found);
        }
        if !self.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the tasks whose time has come; for a driver that moves the clock itself.
    pub(crate) fn take_due(&mut self, now: Instant, wake: &mut Wakers) {
        self.times.take_due(now, wake);
    }

    /// What this shard handed to others, and got from them.
    pub(crate) fn hand_overs(&self) -> HandOvers {
        let lost = self.stack.lost_news();
        let counters = self.office.as_ref().map(|office| office.counters()).unwrap_or_default();
        HandOvers { refused: counters.refused + lost, ..counters }
    }

    /// Feeds an Ethernet frame that came by the queue of this shard, or hands it to the shard whose it is.
    pub(crate) fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame<'_>) {
        feed(&mut self.stack, self.office.as_deref_mut(), now, (interface, Medium::Ethernet), frame);
    }

    /// Takes what other shards handed over, and passes on what is for them; answers how much was taken.
    pub(crate) fn exchange(&mut self, now: Instant) -> usize {
        let taken = self.take_handed(now);
        self.deliver();
        taken
    }

    /// The next frame for an interface, unless another shard speaks for this one; its bytes are appended to `out`.
    pub(crate) fn copy_transmit(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        out: &mut Vec<u8>,
    ) -> Option<(Offload, Why)> {
        loop {
            let frame = self.stack.poll_transmit(now, interface)?;
            if !mutes(self.office.as_deref_mut(), &frame) {
                frame.copy_to(out);
                return Some((frame.offload, *frame.why));
            }
        }
    }

    fn take_handed(&mut self, now: Instant) -> usize {
        self.office.as_mut().map_or(0, |office| office.take(now, &mut self.stack, BATCH))
    }

    fn deliver(&mut self) {
        if let Some(office) = &mut self.office {
            office.deliver(&mut self.stack);
        }
    }

    /// Feeds a batch from each device.
    fn receive(&mut self, now: Instant, asking: Asking) -> io::Result<Received> {
        let handed = self.take_handed(now);
        let mut received = Received { frames: handed > 0, more: handed == BATCH };
        let Self { ports, stack, office, .. } = self;
        for port in ports {
            let taken = port.receive(now, asking, |from, frame| {
                feed(stack, office.as_deref_mut(), now, from, frame);
            })?;
            received.frames |= taken > 0;
            received.more |= taken == BATCH;
        }
        self.deliver();
        Ok(received)
    }

    /// A driver's turn in another thread's hands. Deadlines are left to the driver: a late timer loses nothing.
    fn stand_in(&mut self, now: Instant, wake: &mut Wakers) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.receive(now, Asking::ToTheEnd) {
            self.failed = Some(error);
        }
        self.settle(now, wake);
    }

    /// Sends what is ready, unless it is held, and collects whom the events concern.
    pub(crate) fn settle(&mut self, now: Instant, wake: &mut Wakers) {
        if !self.held {
            self.transmit(now);
        }
        let mut news = self.stack.has_decisions();
        while let Some(event) = self.stack.poll_event() {
            match event {
                Event::Socket(id) => self.sockets.take(id, self.stack.readiness(id), wake),
                other if self.observed.len() < other.share_of(MAX_OBSERVED) => {
                    self.observed.push_back(other);
                    news = true;
                }
                _ => self.observed_lost += 1,
            }
        }
        if news {
            wake.extend(self.watchers.drain(..));
        }
    }

    fn transmit(&mut self, now: Instant) {
        for port in &mut self.ports {
            if !port.opens(now) {
                continue;
            }
            while let Some(frame) = self.stack.poll_transmit(now, port.interface()) {
                if !mutes(self.office.as_deref_mut(), &frame) && !port.send(now, &frame) {
                    break;
                }
            }
            port.flush(now);
        }
    }
}

/// Feeds a frame that came by the queue of the stack's shard, unless it is another's.
#[inline]
fn feed(
    stack: &mut Stack,
    office: Option<&mut PostOffice>,
    now: Instant,
    (interface, medium): (InterfaceId, Medium),
    frame: RxFrame<'_>,
) {
    if office.is_none_or(|office| office.keeps(medium, interface, &frame)) {
        stack.handle_frame(now, interface, frame);
    }
}

/// Whether another shard sends such frames for the host.
#[inline]
fn mutes(office: Option<&mut PostOffice>, frame: &TxFrame<'_>) -> bool {
    office.is_some_and(|office| office.mutes(frame.why.reason()))
}

/// Interface events that nobody fetched: the newest are dropped beyond this.
const MAX_OBSERVED: usize = 256;

impl Kick {
    /// Wakes the driver, if there is one.
    pub(crate) fn kick(&self) {
        let kick = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kick) = kick {
            kick();
        }
    }
}

impl fmt::Debug for Kick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kick")
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("now", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
