//! What the network has marked: of what arrives, and of what was sent, as acknowledgments tell.

use super::Input;
use crate::tcp::congestion::{EcnSignal, Loss};
use crate::tcp::connection::Connection;
use crate::tcp::decision::Decision;
use crate::tcp::ecn::{Arrival, Ecn, Marks, Report};
use crate::tcp::receiver::Owed;
use crate::tcp::recovery::Phase;
use crate::tcp::sack::Acked;
use crate::tcp::state::{Block, Open};
use crate::tcp::timer::Timer;
use crate::why::Reason;
use crate::wire::tcp::Flags;

impl Connection {
    /// Leaves the connection without ECN for a moment.
    pub(super) fn take_ecn(&mut self) -> Option<Box<Ecn>> {
        match &mut self.block {
            Block::Open(open) => open.ecn.take(),
            _ => None,
        }
    }
}

impl Input<'_> {
    /// The marks of an acceptable segment (RFC 3168 section 6.1.3, RFC 9768 section 3.2).
    pub(super) fn take_marks(&mut self) {
        let Some(ecn) = &mut self.open.ecn else { return };
        let arrival = Arrival {
            ecn: self.segment.ecn,
            flags: self.segment.header.flags,
            bytes: self.segment.payload.len() as u32,
            segments: self.segment.segments.max(1).into(),
            owed: self.open.receiver.owed != Owed::Nothing,
        };
        if ecn.handle_arrival(&arrival) {
            self.open.receiver.owe(Reason::MarkEcho);
        }
    }

    /// What an acknowledgment that is not old tells of marks; answers whether it tells of any.
    /// `flight` was in flight before it.
    pub(super) fn hear_marks(&mut self, acked: &Acked, progress: bool, flight: u32) -> bool {
        let (open, header) = (&mut *self.open, &self.segment.header);
        if open.ecn.is_none() {
            return false;
        }
        let whole_flight = open.whole_flight(flight.into());
        let Some(ecn) = &mut open.ecn else { return false };
        let smss = open.sender.smss;
        let marks = ecn.handle_report(&Report {
            flags: header.flags,
            option: header.options.acc_ecn,
            pure: self.segment.payload.is_empty() && header.options.sack.is_empty(),
            progress: progress || acked.newly > 0,
            seq: header.seq,
            stamp: header.options.timestamps.filter(|_| open.terms.timestamps).map(|stamp| stamp.value),
            newly: acked.newly,
            smss,
        });
        if !marks.any {
            return false;
        }
        // With nothing in flight there is nothing to be answered: the echo of a mark long ago.
        let (una, nxt) = (open.sender.snd_una, open.sender.snd_nxt);
        let idle = flight == 0 && acked.newly == 0;
        // RFC 3168 section 6.1.2: once for each window of data, a loss included.
        let first = !idle && open.recovery.phase() == Phase::Open && !ecn.is_answered(una);
        let signal = EcnSignal {
            now: self.now,
            flight: whole_flight,
            newly_acked: acked.newly.into(),
            packets: marks.packets.into(),
            bytes: marks.bytes.into(),
            first_in_window: first,
        };
        let Marks { packets, bytes, .. } = marks;
        self.common.counters.delivered_ce += packets;
        self.common.tell(self.now, || Decision::Marked { packets, bytes, first });
        let least = open.congestion.cwnd() <= smss.into();
        let covers_losses = open.congestion.on_ecn(&signal);
        if first && least {
            // RFC 3168 section 6.1.2: a window cannot be less than a segment, but the next can wait for the timer.
            let until = self.now + open.rtt.rto();
            open.pacer.hold(until);
            if open.sender.flight() > 0 {
                self.common.timers.set(Timer::Rto, until);
            }
        }
        if first {
            ecn.handle_answered(nxt, covers_losses);
        }
        // RFC 4015 section 3.1: a reduction for which there was a mark was right, whatever is found out about the loss.
        if !idle {
            open.recovery.forget_reduction();
        }
        true
    }

    /// A SYN for an open connection is challenged; a SYN-ACK that came again is answered as the first one was
    /// (RFC 9768 section 3.2.2.1).
    pub(super) fn challenge_syn(&mut self) {
        let before = self.common.counters.challenge_acks;
        self.challenge(Reason::ChallengeAck);
        self.common.counters.syn_challenges += self.common.counters.challenge_acks - before;
        if self.segment.has(Flags::ACK)
            && matches!(self.open.receiver.owed, Owed::Now(_))
            && let Some(ecn) = &mut self.open.ecn
        {
            ecn.handle_syn_ack_again(self.segment.header.seq, self.segment.ecn);
        }
    }
}

impl Open {
    /// A loss reduces the window, unless a mark has done it for the same data already (RFC 3168 section 6.1.2).
    pub(super) fn reduce_for_loss(&mut self, loss: &Loss) {
        let (una, nxt) = (self.sender.snd_una, self.sender.snd_nxt);
        let Some(ecn) = &mut self.ecn else { return self.congestion.on_congestion_event(loss) };
        if ecn.covers_losses(una) {
            self.recovery.forget_reduction();
            return;
        }
        self.congestion.on_congestion_event(loss);
        ecn.handle_reduction(nxt, false);
    }
}
