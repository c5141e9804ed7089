//! Who drives where the driver is a thread of its own: that thread, or in its place one that waits in a blocking call.
//! So a request is answered without a hop from the one to the other.
//!
//! ```text
//!   driver:   drives ... wakes the same lone caller again and again: stands back, looks in once a tick
//!   caller:              waits -> drives until it is served -> works -> waits -> drives ...
//!   driver:              nobody has waited for a tick, or somebody else needs it: drives again
//! ```

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::shared::{Shared, Turn};
use super::wheel::Wheel;
use crate::device::wait;

/// The seat of one driver that is a thread.
#[derive(Debug)]
pub(crate) struct Seat {
    wheel: Mutex<Wheel>,
    /// The driver's own.
    bell: Arc<Bell>,
    /// The bell of whoever has the wheel, while somebody has.
    at_wheel: Mutex<Option<Arc<Bell>>>,
    /// The driver stands back: who waits may take the wheel.
    lent: AtomicBool,
    /// Somebody else has the wheel.
    taken: AtomicBool,
    /// How often somebody else has taken it.
    sittings: AtomicU64,
    /// How often somebody had to wait for the driver since it has the wheel.
    hops: AtomicU32,
    /// The driver does not look in until somebody leaves.
    rests: AtomicBool,
}

/// So often the same lone caller is woken before it is left to itself.
const HOPS: u32 = 8;
/// How long frames and deadlines may wait while the driver stands back and nobody waits.
const TICK: Duration = Duration::from_millis(1);

impl Seat {
    pub(super) fn new(wheel: Wheel, bell: Arc<Bell>) -> Self {
        let no = || AtomicBool::new(false);
        Self {
            wheel: Mutex::new(wheel),
            bell,
            at_wheel: Mutex::default(),
            lent: no(),
            taken: no(),
            sittings: AtomicU64::new(0),
            hops: AtomicU32::new(0),
            rests: no(),
        }
    }

    /// How often somebody else has taken the wheel.
    #[cfg(test)]
    pub(crate) fn sittings(&self) -> u64 {
        self.sittings.load(SeqCst)
    }

    /// Asks, for one who is about to wait, whether it may take the wheel. Who is refused is counted: the driver lends
    /// it after some of them.
    pub(crate) fn ask(&self) -> bool {
        let lent = self.lent.load(SeqCst);
        if !lent {
            self.hops.fetch_add(1, SeqCst);
        }
        lent
    }

    /// Wakes whoever has the wheel.
    pub(super) fn kick(&self) {
        let at_wheel = self.at_wheel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match at_wheel {
            Some(bell) => bell.kick(),
            None => self.call_driver(),
        }
    }

    /// The driver's thread: until its bell says stop.
    ///
    /// # Errors
    /// A device is gone.
    pub(super) fn drive(&self, shared: &Shared) -> io::Result<()> {
        loop {
            // A caller that has it lets go of it: it was rung, or is served.
            let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
            self.set_at_wheel(Some(self.bell.clone()));
            self.hops.store(0, SeqCst);
            wheel.drive(shared)?;
            while !self.bell.is_stopped() && !self.is_wanted(wheel.turn()) {
                wheel.wait(shared, &self.bell, None)?;
                wheel.drive(shared)?;
            }
            self.set_at_wheel(None);
            drop(wheel);
            if self.bell.is_stopped() {
                return Ok(());
            }
            self.stand_back(shared)?;
        }
    }

    /// Drives in the driver's place until `bell` is rung for its task, or until the deadline; false if the driver has
    /// the wheel, or somebody else.
    pub(crate) fn sit(&self, shared: &Shared, bell: &Arc<Bell>, until: Option<Instant>) -> bool {
        let Some(mut wheel) = self.try_wheel() else { return false };
        self.set_at_wheel(Some(bell.clone()));
        self.taken.store(true, SeqCst);
        self.sittings.fetch_add(1, SeqCst);
        let driven = self.drive_until(&mut wheel, shared, bell, until);
        self.set_at_wheel(None);
        let others_wait = wheel.turn().waiting > 0;
        drop(wheel);
        self.taken.store(false, SeqCst);
        let failed = driven.map_err(|error| shared.fail(error)).is_err();
        if failed || others_wait {
            self.call_driver();
        } else if self.rests.swap(false, SeqCst) {
            self.bell.kick();
        }
        true
    }

    #[allow(clippy::disallowed_methods, reason = "a blocking call with a timeout measures real time")]
    fn drive_until(
        &self,
        wheel: &mut Wheel,
        shared: &Shared,
        bell: &Bell,
        until: Option<Instant>,
    ) -> io::Result<()> {
        while self.lent.load(SeqCst) && !bell.is_rung_for_task() {
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            wheel.wait(shared, bell, left)?;
            wheel.drive(shared)?;
        }
        Ok(())
    }

    /// Whether all that the driver does is to wake one caller, who is awake now: one that is parked would not see that
    /// the wheel is lent.
    fn is_wanted(&self, turn: Turn) -> bool {
        if self.hops.load(SeqCst) < HOPS {
            return false;
        }
        if turn.waiting > 1 {
            self.hops.store(0, SeqCst);
        }
        turn.waiting == 0
    }

    /// Leaves the wheel to others for as long as they take it.
    fn stand_back(&self, shared: &Shared) -> io::Result<()> {
        self.lent.store(true, SeqCst);
        if shared.waiting_tasks() > 0 {
            // It asked just before that, and parks.
            self.lent.store(false, SeqCst);
        }
        let mut seen = self.sittings.load(SeqCst);
        let (mut was_taken, mut rests) = (false, false);
        while self.lent.load(SeqCst) && !self.bell.is_stopped() {
            self.rests.store(rests, SeqCst);
            // Who leaves looks at `rests` after `taken`; so one of the two sees the other.
            let span = if rests && self.taken.load(SeqCst) { None } else { Some(TICK) };
            self.bell.sleep(|event| wait(&[event], span))?;
            self.rests.store(false, SeqCst);
            let (sittings, taken) = (self.sittings.load(SeqCst), self.taken.load(SeqCst));
            if !rests && sittings == seen && !taken {
                break;
            }
            // One who has had the wheel for a tick may have it for hours. Who left just now has not, whoever it was.
            rests = !rests && sittings == seen && was_taken && taken;
            (seen, was_taken) = (sittings, taken);
        }
        self.lent.store(false, SeqCst);
        self.kick();
        Ok(())
    }

    /// Has the driver take the wheel back.
    fn call_driver(&self) {
        self.lent.store(false, SeqCst);
        self.bell.kick();
    }

    fn set_at_wheel(&self, bell: Option<Arc<Bell>>) {
        *self.at_wheel.lock().unwrap_or_else(PoisonError::into_inner) = bell;
    }

    fn try_wheel(&self) -> Option<MutexGuard<'_, Wheel>> {
        match self.wheel.try_lock() {
            Ok(wheel) => Some(wheel),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests;
