//! What we receive: the receive sequence space of RFC 9293 section 3.3.1, reassembly, our window, and what we owe the
//! peer.

use core::ops::Range;

use crate::buf::packed::packed;
use crate::buf::ranges::Ranges;
use crate::buf::ring::Ring;
use crate::why::Reason;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{SackBlock, SackBlocks};

/// The receiver of one connection. The bytes lie in a ring: first what can be read, then, at their final places, those
/// that arrived out of order. Positions count bytes since the beginning of the stream and never wrap.
///
/// ```text
///    read   RCV.NXT, `received`                      `rcv_adv`
///      |      |                                         |
///      v      v                                         v
///      [unread]....[ out of order ]....[ out of order ].|
///             |<---------------- RCV.WND -------------->|
/// ```
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) rcv_nxt: SeqNum,
    /// The position of RCV.NXT, the FIN not counted.
    received: u64,
    /// The right edge of the window that was offered last; it never moves back.
    rcv_adv: SeqNum,
    out_of_order: Ranges,
    /// Where the stream ends, if a FIN came before all data did.
    early_fin: Option<SeqNum>,
    /// The FIN has its turn: RCV.NXT is past it.
    pub(crate) fin: bool,
    /// Shift of the windows that we offer.
    wscale: u8,
    /// Bytes of data in the peer's full segments, as far as our MSS and the options agreed on tell.
    mss: u16,
    /// The window that was offered last was zero.
    is_closed: bool,
    /// Received again, not yet reported (RFC 2883).
    dsack: Option<SackBlock>,
    pub(crate) owed: Owed,
    /// Segments with data since the last ACK.
    unacked_segments: u16,
    /// Segments in order that are acknowledged at once: after a loss the sender has little in flight.
    quick: u16,
}

packed!(Receiver {
    rcv_nxt, received, rcv_adv, out_of_order, fin, wscale, mss, is_closed, unacked_segments, quick;
    early_fin: None, dsack: None, owed: Owed::Nothing
});

/// The acknowledgment that we owe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// None.
    Nothing,
    /// One that may wait for company.
    Delayed,
    /// One at once, because.
    Now(Reason),
}

/// What became of a segment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was its turn: so many bytes became readable.
    InOrder(usize),
    /// Kept behind a hole.
    Early,
    /// Behind a hole, and all of it was there already.
    EarlyDuplicate,
    /// Nothing of it was new.
    Duplicate,
    /// Refused: too many holes.
    Refused,
}

/// Separate pieces out of order that are kept for one connection.
const MAX_HOLES: usize = 2048;
/// A buffer of fewer segments than this is a small one.
const SMALL_BUFFER: usize = 32;
/// Segments that are acknowledged at once after one that came out of order.
const QUICK_SEGMENTS: u16 = 16;

impl Receiver {
    /// After the peer's SYN, with the right edge of the window that our SYN offered.
    pub(crate) fn new(rcv_nxt: SeqNum, window: u32, wscale: u8, mss: u16) -> Self {
        Self {
            rcv_nxt,
            received: 0,
            rcv_adv: rcv_nxt + window,
            out_of_order: Ranges::new(MAX_HOLES),
            early_fin: None,
            fin: false,
            wscale,
            mss,
            is_closed: false,
            dsack: None,
            owed: Owed::Nothing,
            unacked_segments: 0,
            quick: 0,
        }
    }

    /// RCV.WND in bytes: what was offered and is not used up.
    pub(crate) fn window(&self) -> u32 {
        u32::try_from(self.rcv_adv.distance(self.rcv_nxt)).unwrap_or(0)
    }

    /// The right edge of the window that was offered last.
    pub(crate) fn edge(&self) -> SeqNum {
        self.rcv_adv
    }

    /// Bytes of the stream that the application has read.
    pub(crate) fn read(&self, rx: &Ring) -> u64 {
        self.received - rx.len() as u64
    }

    /// Whether data was received above a hole.
    pub(crate) fn has_holes(&self) -> bool {
        !self.out_of_order.is_empty()
    }

    /// Whether what was received again and is to be reported lies before RCV.NXT; `None` if there is nothing.
    pub(crate) fn dsack_is_old(&self) -> Option<bool> {
        self.dsack.map(|block| block.start.before(self.rcv_nxt))
    }

    /// SACK blocks for the next ACK, at most `room`: a duplicate first (RFC 2883), then what arrived last (RFC 2018).
    pub(crate) fn sack_blocks(&self, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::EMPTY;
        if self.dsack.is_none() && !self.has_holes() {
            return blocks;
        }
        let recent = self.out_of_order.recent::<4>();
        let held = recent.iter().map(|range| self.block(range));
        for block in self.dsack.into_iter().chain(held).take(room) {
            blocks.push(block);
        }
        blocks
    }

    /// Takes the data of a segment, which begins at `seq` and lies within the window at its right.
    #[inline]
    pub(crate) fn handle_data(&mut self, seq: SeqNum, data: &[u8], segments: u16, rx: &mut Ring) -> Taken {
        let behind = usize::try_from(self.rcv_nxt.distance(seq)).unwrap_or(0);
        if behind > 0 {
            // RFC 2883 section 4: the first duplicate bytes of the segment.
            self.dsack = Some(SackBlock { start: seq, end: seq + behind.min(data.len()) as u32 });
        }
        if behind >= data.len() {
            self.owe(Reason::DupAck);
            return Taken::Duplicate;
        }
        let data = &data[behind..];
        let ahead = u64::from(seq.max(self.rcv_nxt) - self.rcv_nxt);
        if ahead == 0 { self.take_next(data, segments, rx) } else { self.take_early(ahead, data, rx) }
    }

    /// Whether `len` bytes from `seq` on are the next of the stream, nothing beyond them was kept, and the window has
    /// room.
    #[inline]
    pub(crate) fn expects(&self, seq: SeqNum, len: u32) -> bool {
        let whole = !self.has_holes() && self.early_fin.is_none() && !self.fin;
        seq == self.rcv_nxt && len <= self.window() && whole
    }

    /// Takes the data of one expected segment, which lies behind what can be read already; answers how much it is.
    #[inline]
    pub(crate) fn take_placed(&mut self, len: usize, rx: &mut Ring) -> usize {
        rx.accept(len);
        self.advance(len, 1, false);
        len
    }

    /// A FIN whose number is `at`. Answers whether it is its turn; otherwise it is remembered.
    pub(crate) fn handle_fin(&mut self, at: SeqNum) -> bool {
        if self.fin {
            return false;
        }
        if at != self.rcv_nxt {
            if at.after(self.rcv_nxt) {
                self.early_fin = Some(at);
                // RFC 5681 section 4.2: out of order, as data would be.
                self.owe(Reason::DupAck);
            }
            return false;
        }
        self.take_fin();
        true
    }

    /// Whether a FIN that came early has its turn now.
    #[inline]
    pub(crate) fn take_early_fin(&mut self) -> bool {
        if self.fin || self.early_fin != Some(self.rcv_nxt) {
            return false;
        }
        self.take_fin();
        true
    }

    /// An ACK is due at once. The first reason stays.
    pub(crate) fn owe(&mut self, reason: Reason) {
        if !matches!(self.owed, Owed::Now(_)) {
            self.owed = Owed::Now(reason);
        }
    }

    /// A window of zero leaves, or another; answers whether it was not so before.
    pub(crate) fn handle_offered(&mut self, is_closed: bool) -> bool {
        core::mem::replace(&mut self.is_closed, is_closed) != is_closed
    }

    /// A segment with an ACK leaves.
    pub(crate) fn handle_ack_sent(&mut self) {
        self.owed = Owed::Nothing;
        self.unacked_segments = 0;
        self.dsack = None;
    }

    /// Whether reading has opened the window enough that the peer should hear of it at once: two segments and a quarter
    /// of the buffer, or half of the buffer, or the first room after a closed window; and where a segment is a good
    /// part of the buffer, each. An acknowledgment leaves before the application reads what it is for, so that such a
    /// window is always told too small otherwise.
    pub(crate) fn wants_update(&self, rx: &Ring) -> bool {
        if self.fin {
            return false;
        }
        let (window, free, limit) = (self.window() as usize, self.room(rx), rx.limit());
        let growth = free.saturating_sub(window);
        let segment = usize::from(self.mss);
        growth >= limit / 2
            || (growth >= 2 * segment && (growth >= limit / 4 || window <= limit / 8))
            || (growth >= segment && segment >= limit / SMALL_BUFFER && self.owed == Owed::Nothing)
            || (window < segment && self.may_grow(window, free, limit))
    }

    /// The window field of the next segment. The right edge stays where it is until it can move by a useful amount.
    pub(crate) fn offer_window(&mut self, rx: &Ring) -> u16 {
        let (window, free, limit) = (self.window() as usize, self.room(rx), rx.limit());
        let target = if self.may_grow(window, free, limit) { free } else { window };
        // RFC 7323 section 2.4: rounding down must not take back what was offered, if rounding up is not too much.
        let (down, up) = (target >> self.wscale, window.div_ceil(1 << self.wscale));
        let units = if down < up && up << self.wscale <= free { up } else { down };
        let units = u16::try_from(units).unwrap_or(u16::MAX);
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt + (u32::from(units) << self.wscale));
        units
    }

    /// The window field of a SYN-ACK, which is never scaled (RFC 7323 section 2.2).
    pub(crate) fn offer_unscaled(&mut self, rx: &Ring) -> u16 {
        let units = u16::try_from(rx.free()).unwrap_or(u16::MAX);
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt + u32::from(units));
        u16::try_from(self.window()).unwrap_or(u16::MAX)
    }

    /// What could be offered: the free part of the buffer, as far as the window field reaches.
    fn room(&self, rx: &Ring) -> usize {
        rx.free().min(usize::from(u16::MAX) << self.wscale)
    }

    /// Where in the buffer the offered window ends. RFC 7323 section 2.4: what lay in it when it was offered is taken,
    /// even if the buffer was made smaller since.
    fn promised(&self, rx: &Ring) -> usize {
        rx.limit().max(rx.len() + self.window() as usize)
    }

    /// RFC 9293 section 3.8.6.2.2: the edge moves by a segment or half of the buffer, or not at all.
    fn may_grow(&self, window: usize, free: usize, limit: usize) -> bool {
        free >= window + (limit / 2).min(usize::from(self.mss)).max(1)
    }

    /// Data that begins at RCV.NXT.
    #[inline]
    fn take_next(&mut self, data: &[u8], segments: u16, rx: &mut Ring) -> Taken {
        let had_holes = self.has_holes();
        let taken = rx.write_at(rx.len(), data, self.promised(rx));
        let mut end = self.received + taken as u64;
        while let Some(held) = self.out_of_order.take_first_at(end) {
            end = end.max(held.end);
        }
        let in_order = rx.extend((end - self.received) as usize);
        self.advance(in_order, segments.max(1), had_holes || taken < data.len());
        Taken::InOrder(in_order)
    }

    /// RCV.NXT moves by what so many segments brought; their ACK may wait for company unless something was odd.
    #[inline]
    fn advance(&mut self, in_order: usize, segments: u16, odd: bool) {
        self.received += in_order as u64;
        self.rcv_nxt += in_order as u32;
        self.unacked_segments = self.unacked_segments.saturating_add(segments);
        let quick = self.quick > 0;
        self.quick = self.quick.saturating_sub(segments);
        if odd || self.unacked_segments >= 2 || quick {
            // RFC 5681 section 4.2: at once for each second segment, and if it fills a hole.
            self.owe(Reason::Ack);
        } else if self.owed == Owed::Nothing {
            self.owed = Owed::Delayed;
        }
    }

    /// Data that begins `ahead` bytes after RCV.NXT.
    fn take_early(&mut self, ahead: u64, data: &[u8], rx: &mut Ring) -> Taken {
        // RFC 5681 section 4.2: at once, so that the peer notices the hole.
        self.owe(Reason::DupAck);
        self.quick = QUICK_SEGMENTS;
        let start = self.received + ahead;
        let taken = rx.write_at(rx.len().saturating_add(ahead as usize), data, self.promised(rx));
        let range = start..start + taken as u64;
        let overlap = self.out_of_order.overlap(&range);
        match self.out_of_order.insert(range) {
            Ok(added) => {
                if let Some(overlap) = overlap {
                    self.dsack = Some(self.block(&overlap));
                }
                if added == 0 { Taken::EarlyDuplicate } else { Taken::Early }
            }
            Err(_) => Taken::Refused,
        }
    }

    fn take_fin(&mut self) {
        self.rcv_nxt += 1;
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt);
        self.fin = true;
        self.early_fin = None;
        self.out_of_order.clear();
        self.owe(Reason::Ack);
    }

    fn block(&self, range: &Range<u64>) -> SackBlock {
        let seq = |position: u64| self.rcv_nxt + (position.wrapping_sub(self.received)) as u32;
        // The FIN takes a number too: what is not reported would be sent again.
        let end = seq(range.end);
        SackBlock { start: seq(range.start), end: end + u32::from(self.early_fin == Some(end)) }
    }
}
