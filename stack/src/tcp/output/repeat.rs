//! What is sent again: what was lost, and probes for what may be.

use super::{Load, Output, Piece, round_down};
use crate::tcp::segment::Outgoing;
use crate::tcp::timer::Timer;
use crate::why::Reason;
use crate::wire::tcp::Options;

impl Output<'_> {
    /// A probe that is due; then what was lost, unless something new has to tell first whether it was (RFC 5682).
    pub(super) fn repeat(&mut self) -> Option<Outgoing> {
        if self.open.recovery.probe_due()
            && let found @ Some(_) = self.loss_probe()
        {
            return found;
        }
        if self.open.recovery.prefers_new() {
            if let found @ Some(_) = self.new_data() {
                return found;
            }
            self.open.recovery.handle_no_new();
        }
        if self.open.recovery.waits() {
            return None;
        }
        self.retransmission()
    }

    /// What was lost, as far as the congestion window or the recovery allows (RFC 6675 section 5 step C); the first at
    /// once.
    fn retransmission(&mut self) -> Option<Outgoing> {
        let (start, lost) = self.open.sender.board.next_lost()?;
        let options = self.open.options(self.now);
        let size = self.segment_size(&options);
        let (pipe, room) = self.pipe_and_room();
        let sender = &self.open.sender;
        let first = self.open.recovery.first_due().is_some();
        if !first && pipe > 0 && room < u64::from(lost.min(sender.smss)) {
            self.open.sender.cwnd_limited_to = sender.snd_nxt;
            return None;
        }
        let room = if first {
            size
        } else {
            let paced = self.paced()?.max(u64::from(size));
            round_down(room.min(paced).min(u64::from(u32::MAX)) as u32, size)
        };
        let room = room.min(self.largest(&options, size));
        let offset = start - self.open.sender.snd_una;
        let data = (self.common.tx.len() as u32).saturating_sub(offset);
        let len = lost.min(room).min(data);
        // The FIN lies after the last byte: it goes along if it is lost too.
        let fin = lost > data && len == data;
        let reason = self.open.recovery.reason();
        Some(self.emit_again(Piece { start, len, fin }, options, size, reason))
    }

    /// One segment that asks what has arrived, whatever the congestion window says (RFC 8985 section 7.3): something
    /// new if there is any, else the last that is on its way.
    fn loss_probe(&mut self) -> Option<Outgoing> {
        let options = self.open.options(self.now);
        let size = self.segment_size(&options);
        let sender = &self.open.sender;
        let unsent = sender.unsent(self.common.tx.len());
        let usable = sender.usable_window();
        let len = unsent.min(usable).min(size);
        if len > 0 {
            let fin = sender.fin && len == unsent && len < usable;
            let piece = Piece { start: sender.snd_nxt, len, fin };
            let why = self.why(Reason::NewDataProbe);
            self.send_new(len + u32::from(fin));
            if len < size {
                self.open.sender.small_end = self.open.sender.snd_nxt;
            }
            self.handle_probe_sent(false);
            return Some(self.emit_new(piece, options, size, why));
        }
        let Some((from, end)) = sender.board.last_flying() else {
            self.open.recovery.cancel_probe();
            return None;
        };
        // The run may be of several segments, of which all but the last are full.
        let fin = end.after(sender.snd_una + self.common.tx.len() as u32);
        let data = (end - from) - u32::from(fin);
        let len = if data == 0 { 0 } else { (data - 1) % size + 1 };
        let start = from + (data - len);
        self.handle_probe_sent(true);
        Some(self.emit_again(Piece { start, len, fin }, options, size, Reason::TailLossProbe))
    }

    fn handle_probe_sent(&mut self, again: bool) {
        self.common.counters.loss_probes += 1;
        self.open.recovery.handle_probe_sent(self.open.sender.snd_nxt, again);
    }

    /// A segment with what had been sent before.
    fn emit_again(&mut self, piece: Piece, options: Options, size: u32, reason: Reason) -> Outgoing {
        let Piece { start, len, fin } = piece;
        let taken = len + u32::from(fin);
        self.tell_sent(len);
        let why = self.why(reason).with("retries", u64::from(self.open.sender.retries));
        self.open.sender.board.handle_resent(self.now, start, taken);
        self.open.recovery.handle_resent(self.now, start, taken);
        if let Some(plpmtud) = &mut self.open.plpmtud {
            plpmtud.handle_resent(start, taken);
        }
        self.open.pacer.handle_sent(self.now, u64::from(len));
        if start == self.open.sender.snd_una {
            // RFC 6298 section 5: the timer is for the first; what is sent again has its full time.
            self.common.timers.set(Timer::Rto, self.now + self.open.rtt.rto());
        }
        self.open.arm_probe(self.common, self.now);
        self.emit_piece(piece, options, size, why, Load::Again)
    }
}
