//! What a segment does to a connection: RFC 9293 section 3.10.7 in the RFC's order, a function a step.

use core::ops::ControlFlow::{self, Break, Continue};

use super::common::Common;
use super::connection::Connection;
use super::ecn::Agreed;
use super::error::Error;
use super::event::Event;
use super::handshake::{Course, Opening, Peer, establish};
use super::receiver::Taken;
use super::sack::{Acked, duplicate_report};
use super::segment::{Segment, reset_for};
use super::state::{self, Block, Open, Synchronised};
use super::time_wait::TimeWaitVerdict;
use super::timer::Timer;
use crate::time::{Duration, Instant};
use crate::why::Reason;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

mod feedback;
mod marks;
mod next;

use feedback::Feedback;
pub(crate) use next::Next;

/// How a segment left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As it was: the rest of the segment does not count.
    Dropped,
    /// In TIME-WAIT.
    TimeWait,
    /// Over.
    Closed(Option<Error>),
    /// Over, and the peer is to hear it.
    Reset(Error),
}

/// Challenge ACKs and answers to segments that carry nothing are at least this far apart (RFC 5961 section 7): two
/// hosts that disagree must not answer each other for ever.
pub(super) const CHALLENGE_SPACING: Duration = Duration::from_millis(100);

impl Connection {
    /// A segment arrived.
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment<'_>) {
        let segments = u64::from(segment.segments.max(1));
        self.common.counters.segs_in += segments;
        self.common.counters.data_segs_in += segments * u64::from(!segment.payload.is_empty());
        match &mut self.block {
            Block::Opening(opening) => {
                self.common.dirty = true;
                if opening.peer.is_none() {
                    self.handle_in_syn_sent(now, segment);
                } else {
                    self.handle_in_syn_received(now, segment);
                }
            }
            Block::Open(_) => self.handle_in_open(now, segment),
            Block::TimeWait(time_wait) => {
                if let TimeWaitVerdict::Acknowledge(answer) = time_wait.handle_segment(now, segment) {
                    self.common.parting = Some(Box::new(answer));
                    self.common.timers.set(Timer::TimeWait, time_wait.expires());
                }
            }
            Block::Closed => {}
        }
    }

    /// RFC 9293 section 3.10.7.3.
    fn handle_in_syn_sent(&mut self, now: Instant, segment: &Segment<'_>) {
        let Block::Opening(opening) = &mut self.block else { return };
        let acked = segment.has(Flags::ACK);
        // First: the ACK must be for our SYN.
        if acked && (opening.acknowledged(segment).is_none() || !opening.sent) {
            self.common.parting = reset_for(segment).map(Box::new);
            return;
        }
        // Second: a RST is believed if it acknowledges our SYN.
        if segment.has(Flags::RST) {
            match acked {
                true => self.finish(Some(Error::ConnectionRefused)),
                false => self.common.counters.out_of_place += 1,
            }
            return;
        }
        // Fourth: the SYN.
        if !segment.has(Flags::SYN) {
            self.common.counters.out_of_place += 1;
            return;
        }
        let policy = opening.ecn;
        if acked {
            let ecn = Agreed::confirm(policy.ask, opening.retries, segment);
            let peer = Peer::of(segment, &opening.offer, &opening.start, ecn);
            return self.complete(now, &peer, segment);
        }
        // Both sides opened at once: SYN-RECEIVED. RFC 9768 section 3.1.2: ECN as if only the peer had.
        let ecn = Agreed::answer(policy.ask.max(policy.answer), segment);
        opening.peer = Some(Peer::of(segment, &opening.offer, &opening.start, ecn));
        opening.due = Some(Reason::SynAck);
    }

    /// SYN-RECEIVED after a simultaneous open: RFC 9293 section 3.10.7.4.
    fn handle_in_syn_received(&mut self, now: Instant, segment: &Segment<'_>) {
        let Block::Opening(opening) = &mut self.block else { return };
        let Some(peer) = opening.peer else { return };
        let header = &segment.header;
        let rcv_nxt = peer.irs + 1;
        let repeated_syn = segment.has(Flags::SYN) && header.seq == peer.irs;
        let in_window = header.seq.at_or_after(rcv_nxt)
            && header.seq.before(rcv_nxt + u32::from(opening.offer.window).max(1));
        // First: the sequence number. The peer's SYN-ACK repeats the number of its SYN.
        if !repeated_syn && !in_window {
            self.common.counters.out_of_window += 1;
            if !segment.has(Flags::RST) {
                opening.due = Some(Reason::SynAckRetransmit);
            }
            return;
        }
        // Second: RST. Third is no concern of ours. Fourth: another SYN is repeated, or challenged with our SYN-ACK.
        if segment.has(Flags::RST) {
            match header.seq == rcv_nxt {
                true => self.finish(Some(Error::ConnectionRefused)),
                false => self.common.counters.out_of_place += 1,
            }
            return;
        }
        if segment.has(Flags::SYN) && (!repeated_syn || !segment.has(Flags::ACK)) {
            opening.due = Some(Reason::SynAckRetransmit);
            return;
        }
        // Fifth: the ACK.
        if !segment.has(Flags::ACK) {
            self.common.counters.out_of_place += 1;
            return;
        }
        if opening.acknowledged(segment).is_none() {
            self.common.parting = reset_for(segment).map(Box::new);
            return;
        }
        self.complete(now, &peer, segment);
    }

    /// The handshake is complete; the rest of the segment follows.
    fn complete(&mut self, now: Instant, peer: &Peer, segment: &Segment<'_>) {
        let Block::Opening(opening) = &self.block else { return };
        let Opening { mut start, offer, sent_at, retries, .. } = **opening;
        let acked = opening.acknowledged(segment).unwrap_or(0);
        self.common.fast_open = opening.report(&segment.header, acked);
        self.common.fast_open_fail = opening.fast_open.map_or(0, |attempt| attempt.failure(acked));
        let course = Course { sample: (retries == 0).then(|| now - sent_at), repeated: retries > 0 };
        let common = &mut self.common;
        if acked > 0 {
            // RFC 7413 section 4.2.2: data of the SYN is acknowledged, so that it begins that much later.
            start.iss += acked;
            common.tx.consume(acked as usize);
            common.counters.bytes_acked += u64::from(acked);
            common.syn_data = true;
        }
        let mut open = establish(now, &start, &offer, peer, course, common);
        common.handle_established(now);
        (common.soft_error, common.news) = (None, None);
        // RFC 7323 section 2.2: the window of a segment with SYN is not scaled.
        let syn = segment.has(Flags::SYN);
        let shift = if syn { 0 } else { open.terms.snd_wscale };
        open.sender.snd_wnd = u32::from(segment.header.window) << shift;
        open.sender.max_snd_wnd = open.sender.snd_wnd;
        if syn {
            open.receiver.owe(Reason::Ack);
        }
        if common.write_shut {
            open.sender.fin = true;
            open.state = open.state.on_close();
        }
        self.block = Block::Open(Box::new(open));
        let mut rest = *segment;
        if syn {
            rest.header.flags.remove(Flags::SYN);
            rest.header.seq += 1;
        }
        if rest.seq_len() > 0 {
            // The ECN flags of a segment with SYN are those of the handshake, not of what follows.
            let ecn = if syn { self.take_ecn() } else { None };
            // Its window is already taken; what it says about it would be scaled.
            rest.header.window = (u32::from(rest.header.window) << shift >> peer.terms.snd_wscale) as u16;
            self.handle_in_open(now, &rest);
            if let (Some(ecn), Block::Open(open)) = (ecn, &mut self.block) {
                open.ecn = Some(ecn);
            }
        }
    }

    /// A segment in a synchronised state.
    pub(crate) fn handle_in_open(&mut self, now: Instant, segment: &Segment<'_>) {
        let Block::Open(open) = &self.block else { return };
        if open.unconfirmed.is_some() && !self.check_unconfirmed(now, segment) {
            return;
        }
        let Block::Open(open) = &mut self.block else { return };
        let common = &mut self.common;
        common.dirty = true;
        common.handle_activity(now);
        let mut input =
            Input { open, common, now, segment, start: segment.header.seq, data: segment.payload };
        let outcome = input.run();
        input.open.arm_delayed_ack(input.common, now);
        match outcome {
            Continue(()) | Break(Outcome::Dropped) => self.guard_fin_wait_2(now),
            Break(Outcome::TimeWait) => self.enter_time_wait(now),
            Break(Outcome::Closed(error)) => self.finish(error),
            Break(Outcome::Reset(error)) => self.reset(now, error, Reason::Refused),
        }
    }
}

/// One segment on its way through the steps.
struct Input<'a> {
    open: &'a mut Open,
    common: &'a mut Common,
    now: Instant,
    segment: &'a Segment<'a>,
    /// The data that is within the window, and where it begins.
    start: SeqNum,
    data: &'a [u8],
}

type Step = ControlFlow<Outcome>;

impl Input<'_> {
    fn run(&mut self) -> Step {
        self.check_timestamps()?;
        self.check_sequence()?;
        self.check_reset()?;
        self.check_syn()?;
        self.check_ack()?;
        self.take_marks();
        self.take_timestamp();
        self.take_user_timeout();
        self.take_ack()?;
        // Sixth: the urgent pointer is read by the wire format and left alone; urgent data stays in the stream (RFC
        // 6093).
        self.take_data()?;
        self.take_fin()
    }

    /// RFC 7323 section 5.3 R1: PAWS, before anything else.
    fn check_timestamps(&mut self) -> Step {
        if !self.open.terms.timestamps || self.segment.has(Flags::RST) {
            return Continue(());
        }
        // RFC 7323 section 3.2: once agreed, a segment without them is dropped in silence.
        let Some(stamp) = self.segment.header.options.timestamps else { return self.paws_reject() };
        if self.open.clock.is_old(self.now, stamp.value) {
            self.challenge(Reason::DupAck);
            return self.paws_reject();
        }
        Continue(())
    }

    /// First: the sequence number (RFC 9293 section 3.10.7.4), and what of the data lies in the window.
    fn check_sequence(&mut self) -> Step {
        let (nxt, window) = (self.open.receiver.rcv_nxt, self.open.receiver.window());
        let edge = nxt + window;
        let end = self.start + self.data.len() as u32;
        let acceptable = if self.data.is_empty() {
            // Note: a bare ACK or FIN at the right edge is welcome: its sender has filled the window. A RST there is
            // outside (RFC 5961 section 3.2, MUST-9).
            let edge = if self.segment.has(Flags::RST) { nxt + window.saturating_sub(1) } else { edge };
            self.start.at_or_after(nxt) && self.start.at_or_before(edge)
        } else {
            // RFC 9293 section 3.10.7.4: with a window of zero the ACK, URG and RST of the next segment still count.
            (self.start.before(edge) && end.after(nxt)) || self.start == nxt
        };
        if !acceptable {
            return self.refuse();
        }
        if end.after(edge) {
            let fits = edge.distance(self.start).max(0) as usize;
            self.data = &self.data[..fits.min(self.data.len())];
            self.open.receiver.owe(Reason::Ack);
        }
        self.open.last_heard = self.now;
        self.open.keepalive_probes = 0;
        Continue(())
    }

    /// Second: RST. RFC 5961 section 3.2: only the exact number is believed, others in the window are challenged.
    fn check_reset(&mut self) -> Step {
        if !self.segment.has(Flags::RST) {
            return Continue(());
        }
        if self.start != self.open.receiver.rcv_nxt {
            self.challenge(Reason::ChallengeAck);
            return Break(Outcome::Dropped);
        }
        Break(Outcome::Closed(match self.open.state {
            Synchronised::Closing | Synchronised::LastAck => None,
            // The peer had ended its stream, so that nothing of it is missing: as on Linux, only writing fails.
            Synchronised::CloseWait => Some(Error::BrokenPipe),
            _ => Some(Error::ConnectionReset),
        }))
    }

    /// Fourth: SYN. RFC 5961 section 4.2: challenged whatever its number.
    fn check_syn(&mut self) -> Step {
        if self.segment.has(Flags::SYN) {
            self.challenge_syn();
            return Break(Outcome::Dropped);
        }
        Continue(())
    }

    /// Fifth: ACK. RFC 5961 section 5.2: it must lie near what is in flight.
    fn check_ack(&mut self) -> Step {
        if !self.segment.has(Flags::ACK) {
            self.common.counters.out_of_place += 1;
            return Break(Outcome::Dropped);
        }
        let (sender, ack) = (&self.open.sender, self.segment.header.ack);
        let oldest = sender.snd_una - sender.max_snd_wnd;
        if ack.before(oldest) || ack.after(sender.snd_max) {
            self.challenge(Reason::ChallengeAck);
            return Break(Outcome::Dropped);
        }
        Continue(())
    }

    /// RFC 7323 section 4.3: the timestamp to echo.
    fn take_timestamp(&mut self) {
        if let Some(stamp) = self.segment.header.options.timestamps.filter(|_| self.open.terms.timestamps) {
            self.open.clock.update(self.now, stamp.value, self.segment.header.seq);
        }
    }

    /// RFC 5482 section 3.1: the peer says how long it keeps what is not acknowledged.
    fn take_user_timeout(&mut self) {
        let Some(option) = self.segment.header.options.user_timeout else { return };
        if self.common.handle_user_timeout_option(option) {
            self.common.timers.stop(Timer::UserTimeout);
            if self.open.sender.has_unacked(self.common.tx.len()) {
                self.common.arm_user_timeout(self.now);
            }
        }
    }

    /// Fifth, continued: what is acknowledged, and the peer's window.
    fn take_ack(&mut self) -> Step {
        let header = &self.segment.header;
        let window = u32::from(header.window) << self.open.terms.snd_wscale;
        let sender = &mut self.open.sender;
        let (una_before, flight) = (sender.snd_una, sender.board.outstanding());
        // Most segments of a stream that comes in: nothing of ours is under way, and the peer's window stays as it is.
        let news = flight > 0 || header.ack != una_before || window != sender.snd_wnd || window == 0;
        if !news && header.options.sack.is_empty() {
            sender.handle_window(header.seq, header.ack, window);
            if self.open.ecn.is_some() {
                self.hear_marks(&Acked::default(), false, flight);
            }
            return Continue(());
        }
        let old = header.ack.before(una_before);
        if old && !self.open.terms.sack {
            return Continue(());
        }
        let mut acked = Acked::default();
        if !old {
            sender.board.handle_ack(header.ack, &mut acked);
            sender.snd_nxt = sender.snd_nxt.max(header.ack);
        }
        let sack = header.options.sack;
        let mut dsack = None;
        if self.open.terms.sack {
            // Note: what an ACK reports that was overtaken by another is as true as before.
            for &block in sack.as_slice() {
                sender.board.handle_sack(block, &mut acked);
            }
            dsack = duplicate_report(header.ack, &sack);
            self.common.counters.dsacks_in += u32::from(dsack.is_some());
        }
        let window_changed = !old && sender.handle_window(header.seq, header.ack, window);
        let progress = header.ack.after(una_before);
        let plain = self.segment.payload.is_empty() && !self.segment.has(Flags::FIN);
        // RFC 9293 section 3.8.6.1: the answers to window probes repeat themselves, and say nothing about losses.
        let bare = flight > 0 && !sender.probing && !old && !progress && plain && !window_changed;
        let duplicate = if self.open.terms.sack { !progress && acked.newly > 0 } else { bare };
        self.common.counters.dup_acks_in += u32::from(duplicate);
        if progress {
            self.advance(una_before);
            self.open.take_mtu_answer(self.now, self.common);
        }
        self.feed_back(&Feedback {
            acked,
            dsack,
            una_before,
            flight,
            progress,
            old,
            duplicate,
            bare_duplicate: bare && sack.as_slice().is_empty(),
        });
        if old {
            return Continue(());
        }
        self.update_persist(progress);
        self.rearm(progress, acked.newly > 0);
        self.check_fin_acked()
    }

    /// SND.UNA moves: room in the send buffer.
    fn advance(&mut self, una_before: SeqNum) {
        let (sender, common) = (&mut self.open.sender, &mut *self.common);
        if sender.proven != sender.smss {
            sender.note_proven(self.segment.header.ack);
        }
        if let Some(claim) = &common.too_big
            && self.segment.header.ack.after(claim.seq)
        {
            // RFC 5927 section 7.2: what was said to be too big has arrived.
            common.too_big = None;
        }
        sender.snd_una = self.segment.header.ack;
        let numbers = sender.snd_una - una_before;
        let bytes = common.tx.consume(numbers as usize) as u32;
        sender.fin_acked |= sender.fin && numbers > bytes;
        sender.retries = 0;
        common.soft_error = None;
        common.counters.bytes_acked += u64::from(bytes);
        match common.settings.notsent_lowat {
            None => common.tell_room(),
            Some(_) => common.tell_unsent(sender.unsent(common.tx.len())),
        }
        common.timers.stop(Timer::UserTimeout);
        if sender.has_unacked(common.tx.len()) {
            common.arm_user_timeout(self.now);
        }
    }

    /// What the peer's window means for probes (RFC 9293 section 3.8.6.1).
    fn update_persist(&mut self, progress: bool) {
        let (open, common) = (&mut *self.open, &mut *self.common);
        let sender = &mut open.sender;
        if progress {
            sender.probing = false;
        }
        if sender.snd_wnd == 0 {
            // RFC 9293 section 3.8.6.1: while the peer answers, its window may stay closed for ever.
            sender.retries = 0;
            return;
        }
        if sender.probing {
            sender.unsend_probe();
        }
        sender.probe_due = false;
        open.persist_backoff = 0;
        common.timers.stop(Timer::Persist);
    }

    /// Fifth, the end: our FIN is acknowledged.
    fn check_fin_acked(&mut self) -> Step {
        if !self.open.sender.fin_acked {
            return Continue(());
        }
        let before = self.open.state;
        match before.on_fin_acked() {
            state::Next::Stay(state) => {
                self.open.state = state;
                if state != before {
                    self.common.timers.stop(Timer::Linger);
                    self.common.events.push(Event::WriteClosed);
                }
                Continue(())
            }
            state::Next::TimeWait => Break(Outcome::TimeWait),
            state::Next::Closed => Break(Outcome::Closed(None)),
        }
    }

    /// Seventh: the data.
    #[inline]
    fn take_data(&mut self) -> Step {
        if self.data.is_empty() {
            if !self.segment.payload.is_empty() {
                // A probe of our closed window.
                self.open.receiver.owe(Reason::Ack);
            }
            return Continue(());
        }
        if !self.open.state.receives() {
            return Continue(());
        }
        let (open, common) = (&mut *self.open, &mut *self.common);
        let echo = self.segment.header.options.timestamps.map(|stamp| stamp.echo);
        open.note_data(common, self.now, self.segment.payload.len(), self.segment.segments, echo);
        let end = self.start + self.data.len() as u32;
        // RFC 9293 section 3.6.1, RFC 1122 section 4.2.2.13: nobody is left to read it.
        if common.orphaned && end.after(open.receiver.rcv_nxt) {
            common.counters.aborts_on_data += 1;
            return Break(Outcome::Reset(Error::ConnectionAborted));
        }
        let taken = open.receiver.handle_data(self.start, self.data, self.segment.segments, &mut common.rx);
        let counters = &mut common.counters;
        match taken {
            Taken::InOrder(bytes) => open.tell_data(common, self.now, bytes, echo),
            Taken::Early => counters.out_of_order += 1,
            Taken::EarlyDuplicate => {
                counters.out_of_order += 1;
                counters.duplicates += 1;
            }
            Taken::Duplicate => counters.duplicates += 1,
            Taken::Refused => {
                counters.out_of_order += 1;
                counters.holes_refused += 1;
            }
        }
        Continue(())
    }

    /// Eighth: the FIN, this segment's or one that came too early.
    #[inline]
    fn take_fin(&mut self) -> Step {
        if !self.open.state.receives() {
            // RFC 9293 section 3.10.7.4, eighth: the FIN again; the states stay.
            if self.segment.has(Flags::FIN) {
                self.open.receiver.owe(Reason::Ack);
            }
            return Continue(());
        }
        let whole = self.data.len() == self.segment.payload.len();
        let at = self.start + self.data.len() as u32;
        let now_ended = self.segment.has(Flags::FIN) && whole && self.open.receiver.handle_fin(at);
        if !now_ended && !self.open.receiver.take_early_fin() {
            return Continue(());
        }
        self.common.end_of_stream = true;
        self.common.events.push(Event::ReadClosed);
        match self.open.state.on_fin() {
            state::Next::Stay(state) => {
                self.open.state = state;
                Continue(())
            }
            state::Next::TimeWait => Break(Outcome::TimeWait),
            state::Next::Closed => Break(Outcome::Closed(None)),
        }
    }

    fn paws_reject(&mut self) -> Step {
        self.common.counters.paws_rejected += 1;
        Break(Outcome::Dropped)
    }

    /// An unacceptable segment: answered with an ACK unless it is a RST.
    fn refuse(&mut self) -> Step {
        if self.segment.has(Flags::RST) {
            self.common.counters.out_of_window += 1;
            return Break(Outcome::Dropped);
        }
        // RFC 5961 section 4.2: a SYN is challenged outside the window too.
        if self.segment.has(Flags::SYN) {
            self.common.counters.out_of_window += 1;
            self.challenge_syn();
            return Break(Outcome::Dropped);
        }
        let end = self.start + self.data.len() as u32;
        if !self.data.is_empty() && end.at_or_before(self.open.receiver.rcv_nxt) {
            // All of it is here already: its ACK was lost. The answer says so at once (RFC 2883).
            self.common.counters.duplicates += 1;
            self.open.receiver.handle_data(self.start, self.data, self.segment.segments, &mut self.common.rx);
        } else {
            self.common.counters.out_of_window += 1;
            if self.segment.seq_len() > 0 {
                self.open.receiver.owe(Reason::DupAck);
            } else {
                self.challenge(Reason::DupAck);
            }
        }
        Break(Outcome::Dropped)
    }

    /// An ACK in answer to something that an attacker could have sent, or that an ACK could answer: not too many.
    fn challenge(&mut self, reason: Reason) {
        if self.now < self.open.next_challenge {
            self.common.counters.challenges_skipped += 1;
            return;
        }
        self.open.next_challenge = self.now + CHALLENGE_SPACING;
        self.common.counters.challenge_acks += u32::from(reason == Reason::ChallengeAck);
        self.open.receiver.owe(reason);
    }
}
