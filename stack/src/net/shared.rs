//! The stack that sockets, tasks and a driver share.

use core::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::{io, mem};

use super::clock::Clock;
use super::shards::HandOvers;
use super::shards::post::PostOffice;
use super::wakers::{Interest, SocketWakers, TimeWakers};
use crate::Stack;
use crate::buf::frame::{InterfaceId, Medium, Offload, RxFrame, TxFrame};
use crate::device::Device;
use crate::error::Error;
use crate::event::{Event, Observation};
use crate::socket::table::SocketId;
use crate::time::{Duration, Instant};
use crate::why::Why;

/// Frames taken from one device before the others and the applications get their turn.
const BATCH: usize = 64;

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
    observed: Vec<Event>,
    /// Who waits for decisions.
    watchers: Vec<Waker>,
    /// What a device failed with while another thread stood in for the driver, which is to end by it.
    failed: Option<io::Error>,
}

/// A device and the interface that it carries.
struct Port {
    interface: InterfaceId,
    medium: Medium,
    device: Box<dyn Device>,
    errors: DeviceErrors,
}

/// What went wrong at a device while it was driven.
#[derive(Clone, Debug, Default)]
pub struct DeviceErrors {
    /// Frames that the device did not take: full, or too large for it.
    pub refused: u64,
    /// Frames that came and were lost because nobody took them in time, as far as the device knows.
    pub missed: u64,
    /// Failed reads.
    pub failed_reads: u64,
    /// The last error, as text.
    pub last: Option<String>,
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
            observed: Vec::new(),
            watchers: Vec::new(),
            failed: None,
        };
        Arc::new(Self { clock, inner: Mutex::new(inner), waiting: AtomicUsize::new(0), kick })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs `f` on the stack, sends what it led to from this very thread, and wakes whom it concerns.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        let mut wake = Vec::new();
        let mut inner = self.lock();
        let now = self.clock.now();
        let result = f(&mut inner, now);
        inner.settle(now, &mut wake);
        if self.waiting.load(Ordering::Relaxed) >= CROWD {
            // The driver is one of many: whoever has the lock does its work, before a device's queue overflows.
            inner.stand_in(now, &mut wake);
        }
        self.leave(inner, wake);
        result
    }

    /// Runs `f` on the tasks that wait for a time: nothing is to be sent for them.
    pub(crate) fn with_times<R>(&self, f: impl FnOnce(&mut TimeWakers, Instant) -> R) -> R {
        let mut inner = self.lock();
        let result = f(&mut inner.times, self.clock.now());
        self.leave(inner, Vec::new());
        result
    }

    /// Unlocks, then wakes: the driver too, if it is needed earlier than it thinks.
    fn leave(&self, mut inner: MutexGuard<'_, Inner>, wake: Vec<Waker>) {
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
        self.with(|inner, now| match f(&mut inner.stack, now) {
            Err(Error::WouldBlock) => {
                inner.sockets.register(id, interest, cx);
                Poll::Pending
            }
            result => Poll::Ready(result.map_err(Into::into)),
        })
    }

    /// Closes a socket's handle and wakes who still waits for it.
    pub(crate) fn close(&self, id: SocketId) {
        self.with(|inner, now| {
            inner.stack.close(now, id);
            let mut wake = Vec::new();
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

    /// A driver's turn: takes what the devices have and what is due.
    ///
    /// # Errors
    /// A device is gone.
    pub(crate) fn drive(&self) -> io::Result<Turn> {
        let mut wake = Vec::new();
        let mut inner = self.lock();
        inner.asleep_until = None;
        let now = self.clock.now();
        if let Some(error) = inner.failed.take() {
            return Err(error);
        }
        let Received { frames, more } = inner.receive(now)?;
        inner.stack.handle_timeout(now);
        inner.times.take_due(now, &mut wake);
        inner.settle(now, &mut wake);
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        Ok(Turn { now, frames, more })
    }

    /// How long a driver may sleep unless a device has something (`None`: no deadline). Until its next turn, who needs it
    /// earlier kicks it.
    pub(crate) fn fall_asleep(&self) -> Option<Duration> {
        let mut inner = self.lock();
        if inner.failed.is_some() {
            return Some(Duration::ZERO);
        }
        let deadline = inner.poll_timeout();
        inner.asleep_until = Some(deadline.unwrap_or(Instant::MAX));
        deadline.map(|at| at.since(self.clock.now()))
    }

    pub(crate) fn attach(&self, interface: InterfaceId, device: Box<dyn Device>) {
        let medium = device.capabilities().medium;
        self.lock().ports.push(Port { interface, medium, device, errors: DeviceErrors::default() });
        // The driver does not wait on its descriptor yet.
        self.kick.kick();
    }

    /// Looks at the devices: a driver asks them for what to wait on.
    pub(crate) fn devices<R>(&self, f: impl FnOnce(&mut dyn Iterator<Item = &dyn Device>) -> R) -> R {
        let inner = self.lock();
        f(&mut inner.ports.iter().map(|port| &*port.device as &dyn Device))
    }

    pub(crate) fn device_errors(&self, interface: InterfaceId) -> DeviceErrors {
        let mut inner = self.lock();
        let Some(port) = inner.ports.iter_mut().find(|p| p.interface == interface) else {
            return DeviceErrors::default();
        };
        DeviceErrors { missed: port.device.missed(), ..port.errors.clone() }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it was.
    pub(crate) now: Instant,
    /// A device had something.
    pub(crate) frames: bool,
    /// A device may have more: the next turn is due at once.
    pub(crate) more: bool,
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
        let devices = self.ports.iter().filter_map(|p| p.device.poll_timeout());
        devices.chain(self.stack.poll_timeout()).chain(self.times.poll_timeout()).min()
    }

    /// Events of interfaces since the last call; those of sockets have woken their tasks.
    pub(crate) fn take_observed(&mut self) -> Vec<Event> {
        mem::take(&mut self.observed)
    }

    /// The next decision of an observed connection; the task is woken when there is one.
    pub(crate) fn poll_decision(&mut self, cx: &Context<'_>) -> Poll<Observation> {
        if let Some(observation) = self.stack.poll_decision() {
            return Poll::Ready(observation);
        }
        if !self.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the tasks whose time has come; for a driver that moves the clock itself.
    pub(crate) fn take_due(&mut self, now: Instant, wake: &mut Vec<Waker>) {
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
                return Some((frame.offload, frame.why));
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
    fn receive(&mut self, now: Instant) -> io::Result<Received> {
        let handed = self.take_handed(now);
        let mut received = Received { frames: handed > 0, more: handed == BATCH };
        for port in &mut self.ports {
            let mut taken = 0;
            while taken < BATCH {
                match port.device.recv(now) {
                    Ok(Some(frame)) => {
                        let office = self.office.as_deref_mut();
                        feed(&mut self.stack, office, now, (port.interface, port.medium), frame);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        port.errors.failed_reads += 1;
                        port.errors.last = Some(error.to_string());
                        return Err(error);
                    }
                }
                taken += 1;
            }
            received.frames |= taken > 0;
            received.more |= taken == BATCH;
        }
        self.deliver();
        Ok(received)
    }

    /// A driver's turn in another thread's hands. Deadlines are left to the driver: a late timer loses nothing.
    fn stand_in(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.receive(now) {
            self.failed = Some(error);
        }
        self.settle(now, wake);
    }

    /// Sends what is ready and collects whom the events concern.
    pub(crate) fn settle(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        for port in &mut self.ports {
            while let Some(frame) = self.stack.poll_transmit(now, port.interface) {
                if mutes(self.office.as_deref_mut(), &frame) {
                    continue;
                }
                if let Err(error) = port.device.send(now, &frame) {
                    port.errors.refused += 1;
                    port.errors.last = Some(error.to_string());
                }
            }
            match port.device.flush(now) {
                Ok(lost) => port.errors.refused += lost as u64,
                Err(error) => port.errors.last = Some(error.to_string()),
            }
        }
        if self.stack.has_decisions() {
            wake.append(&mut self.watchers);
        }
        while let Some(event) = self.stack.poll_event() {
            match event {
                Event::Socket(id) => self.sockets.take(id, self.stack.readiness(id), wake),
                other if self.observed.len() < MAX_OBSERVED => self.observed.push(other),
                _ => {}
            }
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
