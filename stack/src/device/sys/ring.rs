//! Memory that a packet socket and we share: a ring of equal units, which the kernel fills and we give back, in order.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::Mapping;
use super::packet::set_option;

/// A ring for receiving, of slots with one frame each or of blocks with many (`PACKET_RX_RING`).
///
/// ```text
///        front
///          v
///   | - | ours | ours | ours | the kernel's | ... |     a unit's status word says whose it is
/// ```
#[derive(Debug)]
pub(crate) struct PacketRing {
    memory: Mapping,
    /// Bytes of each unit.
    unit: usize,
    /// Where its status lies in a unit.
    status: usize,
    /// The unit that comes next.
    front: usize,
}

/// The kernel owns the unit.
const KERNELS: u32 = libc::TP_STATUS_KERNEL;
/// Where a block's status lies: behind its version and the offset of its private part.
const BLOCK_STATUS: usize = 8;

impl PacketRing {
    /// `count` slots of `size` bytes, a power of two; slots lie together in blocks of at least a page. What is longer
    /// than a slot waits in the socket's queue meanwhile, if it has room.
    pub(crate) fn slots(fd: BorrowedFd<'_>, size: u32, count: u32) -> io::Result<Self> {
        const BLOCK: u32 = 64 << 10;
        let block = BLOCK.max(size);
        let blocks = (count * size).div_ceil(block);
        set_option(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V2)?;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_COPY_THRESH, &1)?;
        let request = libc::tpacket_req {
            tp_block_size: block,
            tp_block_nr: blocks,
            tp_frame_size: size,
            tp_frame_nr: block / size * blocks,
        };
        set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let memory = Mapping::shared(fd, block as usize * blocks as usize, 0)?;
        Ok(Self { memory, unit: size as usize, status: 0, front: 0 })
    }

    /// `count` blocks of `size` bytes, each handed over when it is full or so many milliseconds after its first frame.
    pub(crate) fn blocks(fd: BorrowedFd<'_>, size: u32, count: u32, retire_ms: u32) -> io::Result<Self> {
        /// The kernel wants to know, and does not use it.
        const FRAME: u32 = 2048;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V3)?;
        let request = libc::tpacket_req3 {
            tp_block_size: size,
            tp_block_nr: count,
            tp_frame_size: FRAME,
            tp_frame_nr: size / FRAME * count,
            tp_retire_blk_tov: retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let memory = Mapping::shared(fd, size as usize * count as usize, 0)?;
        Ok(Self { memory, unit: size as usize, status: BLOCK_STATUS, front: 0 })
    }

    /// The next unit, if the kernel has handed it over.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        let start = self.front * self.unit;
        (self.front_status().load(Ordering::Acquire) != KERNELS).then(|| {
            // SAFETY: the unit lies within the mapping, which lives as long as `self`; its status says that it is ours,
            // so the kernel writes nothing into it until `pop` gives it back, for which nobody may hold this slice.
            unsafe { std::slice::from_raw_parts(self.memory.start().add(start), self.unit) }
        })
    }

    /// Gives the next unit back to the kernel; nothing happens if it is the kernel's already.
    pub(crate) fn pop(&mut self) {
        if self.front_status().load(Ordering::Relaxed) != KERNELS {
            self.front_status().store(KERNELS, Ordering::Release);
            self.front += 1;
            if (self.front + 1) * self.unit > self.memory.len() {
                self.front = 0;
            }
        }
    }

    fn front_status(&self) -> &AtomicU32 {
        // SAFETY: the front unit and its status word lie within the mapping, which lives as long as `self`; units are
        // aligned to 16 bytes at least; the word is only written atomically, by the kernel or by `pop`.
        unsafe {
            let word = self.memory.start().add(self.front * self.unit + self.status);
            AtomicU32::from_ptr(word.cast())
        }
    }
}
