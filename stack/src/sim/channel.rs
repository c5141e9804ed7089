//! One direction of a link: frames go in, their fates are decided, they come out when it is time.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::dice::Dice;
use super::fate::{Counts, Drop, Fate, FateList, Fated, Playback};
use super::impair::Impairment;
use super::queue::Queue;
use crate::buf::frame::{Checksum, Medium, Offload, RxFrame, TxFrame};
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::ecn;
use crate::wire::ethernet::{self, EtherType};

/// Most fates that a channel writes down, unless told otherwise.
const DEFAULT_LIST_LIMIT: usize = 1 << 20;

/// One direction of a link.
///
/// Getters: `name`, `config`, `counts`, `fates`, `held`. Commands: `push`, `record_fates`, `play_back`. Output:
/// `pop`, `poll_timeout`. It holds at most `Impairment::limit` frames, in buffers that it uses again.
#[derive(Debug)]
pub struct Channel {
    name: Arc<str>,
    config: Impairment,
    source: Source,
    counts: Counts,
    list: Option<FateList>,
    list_limit: usize,
    medium: Medium,
    queue: Queue,
    /// Arrival, order of decision, slot.
    arrivals: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    order: u64,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
enum Source {
    Dice(Box<Dice>),
    Playback(Playback),
}

#[derive(Debug)]
struct Slot {
    frame: u64,
    fate: Fate,
    is_copy: bool,
    is_special: bool,
    bytes: Vec<u8>,
    offload: Offload,
    why: Why,
}

/// What became of a frame that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its number in this direction, the first being 1.
    pub frame: u64,
    /// What was decided about it.
    pub fate: Fate,
    /// When it arrives; None if it does not.
    pub arrival: Option<Instant>,
    /// When its copy arrives, if there is one.
    pub copy_arrival: Option<Instant>,
    /// Whether luck played a part: false if it has just the delay that all frames have.
    pub is_special: bool,
}

/// A frame that has arrived, lent until the next call.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Its number in this direction.
    pub frame: u64,
    /// What was decided about it.
    pub fate: Fate,
    /// Whether it is the copy of a frame that arrives twice.
    pub is_copy: bool,
    /// Whether luck played a part: false if it had just the delay that all frames have.
    pub is_special: bool,
    /// When it was to arrive.
    pub time: Instant,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What is known about its checksum and merging.
    pub offload: Offload,
    /// Why it was sent.
    pub why: Why,
}

impl Channel {
    /// A direction that does `config` to frames. `seed` (unless the configuration has one of its own) and `direction`
    /// decide its luck; its fates go by `name`, such as `a->b`.
    pub fn new(name: &str, config: Impairment, seed: u64, direction: u64) -> Self {
        let dice = Dice::new(config.seed.unwrap_or(seed), direction);
        Self {
            name: name.into(),
            config,
            source: Source::Dice(Box::new(dice)),
            counts: Counts::default(),
            list: None,
            list_limit: DEFAULT_LIST_LIMIT,
            medium: Medium::Ethernet,
            queue: Queue::default(),
            arrivals: BinaryHeap::new(),
            order: 0,
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The same, for frames that begin as `medium` has it; Ethernet unless this is called.
    #[must_use]
    pub fn on(self, medium: Medium) -> Self {
        Self { medium, ..self }
    }

    /// The name that its fates go by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does to frames.
    pub fn config(&self) -> &Impairment {
        &self.config
    }

    /// How many frames had which fate.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The fates written down so far; empty unless `record_fates` was called.
    pub fn fates(&self) -> &[Fated] {
        self.list.as_ref().map_or(&[], |list| &list.entries)
    }

    /// How many fates found no room in the list.
    pub fn fates_omitted(&self) -> u64 {
        self.list.as_ref().map_or(0, |list| list.omitted)
    }

    /// How many frames are on their way.
    pub fn held(&self) -> usize {
        self.arrivals.len()
    }

    /// Sends a frame.
    pub fn push(&mut self, now: Instant, sent: &TxFrame<'_>) -> Passage {
        let frame = self.counts.frames + 1;
        let mut fate = match &mut self.source {
            Source::Dice(dice) => dice.roll(&self.config, sent.len()),
            Source::Playback(playback) => playback.next(frame, &self.config),
        };
        if fate.drop.is_none() && self.is_too_long(sent) {
            fate = Fate { drop: Some(Drop::TooLong), ..Fate::PLAIN };
        }
        if fate.drop.is_none() && !self.has_room(now) {
            fate = Fate { drop: Some(Drop::Overflow), ..Fate::PLAIN };
        } else if fate.drop.is_none() && self.config.is_managed() && matches!(self.source, Source::Dice(_)) {
            // What is played back tells the queue's decisions, too.
            let capable = self.packet_at(sent.head).is_some_and(|at| ecn::field(&sent.head[at..]) != Some(0));
            self.queue.judge(now, &self.config, capable, &mut fate);
        }
        if fate.drop == Some(Drop::Early) {
            self.queue.push_dropped(now, sent.len());
            fate = Fate { drop: fate.drop, ..Fate::PLAIN };
        }
        let is_special = fate != Fate::regular(&self.config);
        let mut passage = Passage { frame, fate, arrival: None, copy_arrival: None, is_special };
        if fate.drop.is_none() {
            passage.arrival = Some(self.launch(now, sent, &passage, None));
            if let Some(delay) = fate.duplicate {
                if self.has_room(now) {
                    passage.copy_arrival = Some(self.launch(now, sent, &passage, Some(delay)));
                } else {
                    passage.fate.duplicate = None;
                }
            }
        }
        passage.is_special = passage.fate != Fate::regular(&self.config);
        self.counts.add(&passage.fate);
        self.note(&passage);
        passage
    }

    /// Writes down the fates from now on, at most `limit` (None: a million).
    pub fn record_fates(&mut self, limit: Option<usize>) {
        self.list_limit = limit.unwrap_or(DEFAULT_LIST_LIMIT);
        self.list = Some(FateList::default());
    }

    /// Takes the fates of the coming frames from `list` instead of the dice: those of this channel's name.
    /// Frames are numbered on; to repeat a run, call it before the first.
    pub fn play_back(&mut self, list: &FateList) {
        self.source = Source::Playback(list.playback(&self.name));
    }

    /// The next frame that has arrived.
    pub fn pop(&mut self, now: Instant) -> Option<Delivery<'_>> {
        let &Reverse((time, _, index)) = self.arrivals.peek()?;
        if time > now {
            return None;
        }
        self.arrivals.pop();
        // The slot is free at once: nothing can be pushed while the frame is lent.
        self.free.push(index);
        self.counts.delivered += 1;
        let &Slot { frame, fate, is_copy, is_special, ref bytes, offload, why } = &self.slots[index];
        Some(Delivery { frame, fate, is_copy, is_special, time, bytes, offload, why })
    }

    /// When the next frame arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.arrivals.peek().map(|Reverse((time, ..))| *time)
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let waiting = self.queue.len(now);
        self.held() < self.config.limit && self.config.queue.is_none_or(|queue| waiting < queue)
    }

    /// Whether a frame, or each that a merged one is made of, is longer than what passes.
    fn is_too_long(&self, frame: &TxFrame<'_>) -> bool {
        let Some(mtu) = self.config.mtu else { return false };
        let len = match frame.offload.gso {
            Some(gso) => frame.len().min(usize::from(gso.header) + usize::from(gso.size)),
            None => frame.len(),
        };
        let link = match self.medium {
            Medium::Ip => 0,
            Medium::Ethernet => ethernet::HEADER_LEN,
        };
        len > link + mtu
    }

    /// Where the IP packet of a frame begins, if it carries one.
    fn packet_at(&self, frame: &[u8]) -> Option<usize> {
        let at = match self.medium {
            Medium::Ip => 0,
            Medium::Ethernet => {
                let (header, _) = ethernet::Header::parse(frame).ok()?;
                let is_ip = matches!(header.ether_type, EtherType::IPV4 | EtherType::IPV6);
                is_ip.then_some(ethernet::HEADER_LEN)?
            }
        };
        (frame.len() > at).then_some(at)
    }

    /// Puts a frame, or its copy, on its way; answers when it arrives.
    fn launch(
        &mut self,
        now: Instant,
        frame: &TxFrame<'_>,
        passage: &Passage,
        copy_delay: Option<Duration>,
    ) -> Instant {
        let Passage { frame: number, fate, .. } = *passage;
        let sent = match self.config.rate {
            Some(rate) => self.queue.push(now, &rate, frame.len()),
            None => now,
        };
        let arrival = sent + copy_delay.unwrap_or(if fate.reorder { Duration::ZERO } else { fate.delay });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::EMPTY);
            self.slots.len() - 1
        });
        let packet_at = self.packet_at(frame.head).filter(|_| fate.mark);
        let slot = &mut self.slots[index];
        slot.bytes.clear();
        frame.copy_to(&mut slot.bytes);
        if let Some(at) = packet_at {
            ecn::mark(&mut slot.bytes[at..]);
        }
        (slot.frame, slot.fate, slot.is_copy) = (number, fate, copy_delay.is_some());
        (slot.is_special, slot.offload, slot.why) = (passage.is_special, frame.offload, *frame.why);
        if let (Some(corruption), false) = (fate.corrupt, slot.is_copy) {
            // What is to be found out by a checksum needs one first, and one that nobody vouches for.
            if let Checksum::Partial { start, offset } = slot.offload.checksum {
                complete_checksum(&mut slot.bytes, usize::from(start), usize::from(offset));
            }
            slot.offload.checksum = Checksum::Full;
            corruption.apply(&mut slot.bytes);
        }
        self.arrivals.push(Reverse((arrival, self.order, index)));
        self.order += 1;
        arrival
    }

    fn note(&mut self, passage: &Passage) {
        let Some(list) = self.list.as_mut().filter(|_| passage.is_special) else { return };
        if list.entries.len() >= self.list_limit {
            list.omitted += 1;
            return;
        }
        let Passage { frame, fate, .. } = *passage;
        list.entries.push(Fated { channel: self.name.clone(), frame, fate });
    }
}

impl Slot {
    const EMPTY: Self = Self {
        frame: 0,
        fate: Fate::PLAIN,
        is_copy: false,
        is_special: false,
        bytes: Vec::new(),
        offload: Offload::NONE,
        why: Why::new(Reason::Foreign),
    };
}

impl Delivery<'_> {
    /// The frame as it is received.
    pub fn as_rx(&self) -> RxFrame<'_> {
        RxFrame { bytes: self.bytes, offload: self.offload }
    }

    /// The frame as it is sent on.
    pub fn as_tx(&self) -> TxFrame<'_> {
        TxFrame { head: self.bytes, body: [&[], &[]], offload: self.offload, why: &self.why }
    }
}

/// Does what the device was to do: the sum over `bytes[start..]`, in which the field holds the pseudo header's.
fn complete_checksum(bytes: &mut [u8], start: usize, offset: usize) {
    let Some(covered) = bytes.get(start..) else { return };
    let words = covered
        .chunks(2)
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // A sum of zero is written as its other form: zero means "none" in UDP.
    let sum = match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    };
    if let Some(field) = bytes.get_mut(start + offset..start + offset + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
