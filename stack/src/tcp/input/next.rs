//! The segment that is expected: the next data of a stream that comes in while nothing goes out.
//!
//! Most segments of a bulk transfer pass every check of RFC 9293 section 3.10.7.4, acknowledge nothing new and change
//! nothing but the bytes that can be read. For them the checks are one question, asked before the data is looked at.

use super::Connection;
use crate::tcp::common::Common;
use crate::tcp::event::Event;
use crate::tcp::receiver::Owed;
use crate::tcp::state::{Block, Open, Synchronised};
use crate::tcp::timer::Timer;
use crate::time::Instant;
use crate::why::Reason;
use crate::wire::checksum::Sum;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Timestamps;

/// A segment with data whose flags say nothing special, and which has no options but timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next<'a> {
    pub(crate) seq: SeqNum,
    pub(crate) ack: SeqNum,
    /// As it stands on the wire.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) payload: &'a [u8],
}

impl Connection {
    /// Takes a segment if it is the one that is expected, and sound: `sum` is over what comes before its payload, or
    /// `None` if it needs none. Otherwise it changes nothing, and answers false.
    pub(crate) fn handle_next(&mut self, now: Instant, next: &Next<'_>, sum: Option<Sum>) -> bool {
        let Block::Open(open) = &mut self.block else { return false };
        let common = &mut self.common;
        if !open.expects(now, next, common) || !place(next.payload, sum, common) {
            return false;
        }
        common.counters.segs_in += 1;
        common.counters.data_segs_in += 1;
        common.dirty = true;
        common.handle_activity(now);
        (open.last_heard, open.keepalive_probes) = (now, 0);
        if let Some(stamp) = next.timestamps {
            open.clock.update(now, stamp.value, next.seq);
        }
        open.sender.handle_window(next.seq, next.ack, open.sender.snd_wnd);
        let echo = next.timestamps.map(|stamp| stamp.echo);
        open.note_data(common, now, next.payload.len(), 1, echo);
        let taken = open.receiver.take_placed(next.payload.len(), &mut common.rx);
        open.tell_data(common, now, taken, echo);
        open.arm_delayed_ack(common, now);
        true
    }
}

impl Open {
    /// Whether every step of the long way would let the segment pass, and none would find news in it but its data.
    fn expects(&self, now: Instant, next: &Next<'_>, common: &Common) -> bool {
        let sender = &self.sender;
        let usual = self.state == Synchronised::Established
            && self.unconfirmed.is_none()
            && self.ecn.is_none()
            && !common.orphaned
            && !common.read_shut;
        let stamped = match next.timestamps {
            // RFC 7323 section 5.3 R1.
            Some(stamp) => self.terms.timestamps && !self.clock.is_old(now, stamp.value),
            None => !self.terms.timestamps,
        };
        let window = u32::from(next.window) << self.terms.snd_wscale;
        let no_news = next.ack == sender.snd_una
            && sender.board.outstanding() == 0
            && window == sender.snd_wnd
            && window > 0;
        usual && stamped && no_news && self.receiver.expects(next.seq, next.payload.len() as u32)
    }

    /// A segment with data arrived.
    #[inline]
    pub(super) fn note_data(
        &mut self,
        common: &Common,
        now: Instant,
        len: usize,
        segments: u16,
        echo: Option<u32>,
    ) {
        self.watch.handle_data(now, len, segments);
        if let Some(echo) = echo
            && self.watch.receiver_rtt.is_news(echo)
        {
            self.time_receiver(now, echo, len, common.rx.is_empty());
        }
    }

    /// So many bytes more of the stream can be read.
    #[inline]
    pub(super) fn tell_data(&mut self, common: &mut Common, now: Instant, bytes: usize, echo: Option<u32>) {
        common.counters.bytes_received += bytes as u64;
        let (next, edge) = (self.receiver.rcv_nxt, self.receiver.edge());
        self.watch.receiver_rtt.handle_progress(now, next, edge);
        self.tune_receive_buffer(common, now, echo);
        if common.read_shut {
            common.rx.consume(usize::MAX);
        } else if bytes > 0 && common.is_worth_reading() {
            common.events.push(Event::Readable);
        }
    }

    #[inline]
    pub(super) fn arm_delayed_ack(&mut self, common: &mut Common, now: Instant) {
        if self.receiver.owed == Owed::Delayed && common.settings.quickack {
            self.receiver.owe(Reason::Ack);
        }
        if self.receiver.owed == Owed::Delayed {
            common.timers.set_if_unset(Timer::DelayedAck, now + common.settings.delayed_ack);
        }
    }
}

/// Puts the payload behind what can be read, where nobody sees it yet, unless its checksum turns out to be wrong.
fn place(payload: &[u8], sum: Option<Sum>, common: &mut Common) -> bool {
    let Some([first, second]) = common.rx.vacant(payload.len()) else { return false };
    let (one, two) = payload.split_at(first.len());
    let Some(mut sum) = sum else {
        first.copy_from_slice(one);
        second.copy_from_slice(two);
        return true;
    };
    sum.add_copied(one, first);
    sum.add_copied(two, second);
    sum.is_valid()
}
