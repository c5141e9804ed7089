//! A wire in memory: two devices, each receives what the other sends.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sys::EventFd;
use super::{Capabilities, Device, Medium};
use crate::buf::frame::{Checksum, Offload, RxFrame, TxFrame};
use crate::time::Instant;

/// How many frames wait in one direction before the wire is full, unless told otherwise.
pub const DEFAULT_LIMIT: usize = 1024;

/// One end of a wire in memory; made in pairs.
///
/// Frames arrive at once, whole and in order. A full direction refuses with `WouldBlock`; when one end is dropped,
/// the wire is cut: what the other sends vanishes. The ends may live in different threads, and buffers are used again.
#[derive(Debug)]
pub struct Memory {
    capabilities: Capabilities,
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
    /// The frame that is lent at the moment.
    current: Slot,
}

/// What a wire in memory is to be like.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBuilder {
    capabilities: Capabilities,
    limit: usize,
    pollable: bool,
}

impl Memory {
    /// Two ends of a plain wire for IP packets of up to `mtu` bytes.
    pub fn pair(medium: Medium, mtu: usize) -> (Self, Self) {
        let builder = MemoryBuilder::new(Capabilities::plain(medium, mtu));
        builder.connect(None, None)
    }

    /// A wire that takes more telling.
    pub const fn builder(capabilities: Capabilities) -> MemoryBuilder {
        MemoryBuilder::new(capabilities)
    }

    /// How many frames wait to be received here.
    pub fn waiting(&self) -> usize {
        self.incoming.lock().frames.len()
    }

    /// How many frames this end could not send because the wire was full.
    pub fn refused(&self) -> u64 {
        self.outgoing.refused.load(Ordering::Relaxed)
    }
}

impl MemoryBuilder {
    const fn new(capabilities: Capabilities) -> Self {
        Self { capabilities, limit: DEFAULT_LIMIT, pollable: false }
    }

    /// How many frames may wait in each direction.
    #[must_use]
    pub const fn limit(mut self, frames: usize) -> Self {
        self.limit = frames;
        self
    }

    /// Gives each end a descriptor that is readable while frames wait, for drivers that sleep in the kernel.
    #[must_use]
    pub const fn pollable(mut self) -> Self {
        self.pollable = true;
        self
    }

    /// Makes the two ends.
    ///
    /// # Errors
    /// A pollable wire found no descriptor.
    pub fn pair(self) -> io::Result<(Memory, Memory)> {
        let event = || self.pollable.then(EventFd::new).transpose();
        Ok(self.connect(event()?, event()?))
    }

    fn connect(self, left: Option<EventFd>, right: Option<EventFd>) -> (Memory, Memory) {
        let to_left = Arc::new(Direction::new(self.limit, left));
        let to_right = Arc::new(Direction::new(self.limit, right));
        let end = |incoming: &Arc<Direction>, outgoing: &Arc<Direction>| Memory {
            capabilities: self.capabilities,
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            current: Slot::default(),
        };
        (end(&to_left, &to_right), end(&to_right, &to_left))
    }
}

impl Device for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn recv(&mut self, _now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        if !self.incoming.pop(&mut self.current) {
            return Ok(None);
        }
        Ok(Some(RxFrame { bytes: &self.current.bytes, offload: self.current.offload }))
    }

    fn send(&mut self, _now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        let link = match self.capabilities.medium {
            Medium::Ethernet => super::ETHERNET_HEADER,
            Medium::Ip => 0,
        };
        let merged = frame.offload.gso.is_some();
        let largest = if merged { self.capabilities.max_merged } else { self.capabilities.mtu };
        if frame.len() > largest + link {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a frame of {} bytes on a wire for {} bytes", frame.len(), largest + link),
            ));
        }
        self.outgoing.push(frame)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.incoming.event.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.incoming.lock().cut = true;
    }
}

/// Frames on their way to one end.
#[derive(Debug)]
struct Direction {
    limit: usize,
    queue: Mutex<Queue>,
    refused: AtomicU64,
    /// Raised while frames wait.
    event: Option<EventFd>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Slot>,
    /// Buffers to be used again; never more than `limit` + 1, since all of them were frames once.
    spare: Vec<Vec<u8>>,
    raised: bool,
    cut: bool,
}

#[derive(Debug, Default)]
struct Slot {
    bytes: Vec<u8>,
    offload: Offload,
}

impl Direction {
    fn new(limit: usize, event: Option<EventFd>) -> Self {
        Self { limit, queue: Mutex::default(), refused: AtomicU64::new(0), event }
    }

    /// A thread that panicked between two frames has left the queue whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, frame: &TxFrame<'_>) -> io::Result<()> {
        let mut queue = self.lock();
        if queue.cut {
            return Ok(());
        }
        if queue.frames.len() >= self.limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = queue.spare.pop().unwrap_or_default();
        bytes.clear();
        frame.copy_to(&mut bytes);
        let mut offload = frame.offload;
        if matches!(offload.checksum, Checksum::Partial { .. }) {
            // Memory does not corrupt: the sum was never completed, and need not be.
            offload.checksum = Checksum::Verified;
        }
        queue.frames.push_back(Slot { bytes, offload });
        if let Some(event) = &self.event
            && !queue.raised
        {
            event.raise();
            queue.raised = true;
        }
        Ok(())
    }

    /// Exchanges `current` for the next frame.
    fn pop(&self, current: &mut Slot) -> bool {
        let mut queue = self.lock();
        let Some(slot) = queue.frames.pop_front() else {
            if let Some(event) = &self.event
                && queue.raised
            {
                event.lower();
                queue.raised = false;
            }
            return false;
        };
        let old = std::mem::replace(current, slot);
        if old.bytes.capacity() > 0 {
            queue.spare.push(old.bytes);
        }
        true
    }
}

#[cfg(test)]
mod tests;
