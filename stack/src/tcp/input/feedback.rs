//! What an acknowledgment tells of the path: the round-trip time, what is lost, how much may be in flight, and when to
//! look after it again.

use super::Input;
use crate::tcp::common::Common;
use crate::tcp::congestion::{AckSample, Controller, Loss, LossKind};
use crate::tcp::decision::{Decision, Evidence, Reduction};
use crate::tcp::recovery::{Ack, Change, Path, Phase, Signal};
use crate::tcp::sack::Acked;
use crate::tcp::state::Open;
use crate::tcp::timer::Timer;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// An acknowledgment that the scoreboard has taken.
pub(super) struct Feedback {
    pub(super) acked: Acked,
    /// What it reports as received twice.
    pub(super) dsack: Option<SackBlock>,
    /// SND.UNA and what was in flight before it.
    pub(super) una_before: SeqNum,
    pub(super) flight: u32,
    /// SND.UNA moved.
    pub(super) progress: bool,
    /// It acknowledges less than one before it.
    pub(super) old: bool,
    pub(super) duplicate: bool,
    pub(super) bare_duplicate: bool,
}

impl Input<'_> {
    /// Round-trip time, loss recovery and congestion control hear of an acknowledgment.
    pub(super) fn feed_back(&mut self, feedback: &Feedback) {
        let rtt = self.measure(feedback);
        let has_new = self.has_new();
        let open = &mut *self.open;
        let echo = self.segment.header.options.timestamps.filter(|_| open.terms.timestamps);
        let ack = Ack {
            now: self.now,
            una: open.sender.snd_una,
            nxt: open.sender.snd_nxt,
            acked: feedback.acked,
            progress: feedback.progress,
            duplicate: feedback.duplicate,
            bare_duplicate: feedback.bare_duplicate,
            echoed: echo.and_then(|stamp| open.clock.sent_before(self.now, stamp.echo)),
            dsack: feedback.dsack,
            sampled: rtt.is_some(),
            has_new,
            path: open.path(),
        };
        let before = open.recovery.phase();
        let change = open.recovery.handle_ack(&ack, &mut open.sender.board);
        open.take_change(self.common, self.now, &change, u64::from(feedback.flight));
        let marked = !feedback.old && self.hear_marks(&feedback.acked, feedback.progress, feedback.flight);
        let open = &mut *self.open;
        if before == Phase::Timeout && open.recovery.phase() != Phase::Timeout {
            open.watch.handle_loss_end(self.now);
        }
        self.tell_congestion(feedback, change.is_turn() || marked, before, rtt);
        let open = &mut *self.open;
        open.set_pacing_rate(&self.common.settings);
    }

    /// The round-trip time (RFC 6298 section 3, RFC 7323 section 4.1).
    fn measure(&mut self, feedback: &Feedback) -> Option<Duration> {
        let Feedback { acked, dsack, progress, flight, .. } = feedback;
        let open = &mut *self.open;
        // Note: what was sent before a timeout may have arrived long ago, its ACK being lost.
        let timed_out = open.recovery.timed_out();
        let own = acked.latest.filter(|sent| !acked.resent && sent.at >= timed_out);
        let own = own.map(|sent| self.now - sent.at);
        // Karn: what was sent twice is only told apart by a timestamp.
        // But an answer to a duplicate echoes the last that was none, however long ago that was.
        let useful = open.terms.timestamps && *progress && dsack.is_none();
        let stamp = self.segment.header.options.timestamps.filter(|_| useful);
        let sample = own.or_else(|| stamp.and_then(|stamp| open.clock.since(self.now, stamp.echo)));
        if let Some(sample) = sample {
            open.rtt.handle_sample(self.now, sample, flight.div_ceil(2 * open.sender.smss));
            let rtt = &open.rtt;
            self.common.tell(self.now, || Decision::Rtt {
                sample,
                srtt: rtt.srtt().unwrap_or_default(),
                rttvar: rtt.rttvar().unwrap_or_default(),
                rto: rtt.rto(),
            });
        }
        sample
    }

    /// The congestion control hears what was delivered.
    fn tell_congestion(&mut self, feedback: &Feedback, is_turn: bool, before: Phase, rtt: Option<Duration>) {
        let Feedback { acked, una_before, flight, progress, .. } = *feedback;
        let open = &mut *self.open;
        let rate = open.sender.board.rate.take_sample(self.now, open.rtt.min_rtt());
        open.delivery_rate = rate.delivery_rate().filter(|_| !rate.is_app_limited).or(open.delivery_rate);
        // What makes a model of the path has to hear of everything.
        // RFC 3168 section 6.1.2: nothing grows for an acknowledgment that tells of marks.
        let heard = is_turn && !open.congestion.paces_recovery();
        if (acked.newly == 0 && !progress) || heard {
            return;
        }
        let cwnd = open.congestion.cwnd();
        let begins = open.congestion.ssthresh() == u64::MAX;
        let slow_start = cwnd < open.congestion.ssthresh();
        let cwnd_limited = una_before.before(open.sender.cwnd_limited_to);
        let limited = cwnd_limited || (slow_start && 2 * u64::from(flight) > cwnd);
        open.congestion.on_ack(&AckSample {
            now: self.now,
            newly_acked: u64::from(open.sender.snd_una - una_before),
            flight: u64::from(flight),
            in_flight: u64::from(open.recovery.pipe(&open.sender.board, open.sender.smss)),
            rtt,
            srtt: open.rtt.srtt(),
            min_rtt: open.rtt.min_rtt(),
            app_limited: !limited,
            cwnd_limited,
            in_recovery: before == Phase::Fast,
            after_timeout: open.recovery.phase() == Phase::Timeout,
            delivered: open.sender.board.rate.delivered(),
            rate,
        });
        // RFC 9406 section 4.2: no loss has set the first threshold.
        if begins && matches!(open.congestion, Controller::Cubic(_)) && open.congestion.ssthresh() < u64::MAX
        {
            let segments = open.congestion.cwnd() / u64::from(open.sender.smss.max(1));
            self.common.counters.hystart_exits += 1;
            self.common.counters.hystart_cwnd += segments as u32;
        }
        self.common.size_send_buffer(open.congestion.cwnd());
        if open.congestion.holds_back() {
            let pipe = open.recovery.pipe(&open.sender.board, open.sender.smss);
            open.sender.board.rate.handle_app_limited(pipe);
        }
    }

    /// RFC 6298 section 5.2 and 5.3: the timer runs while something is in flight, and anew with each progress.
    /// So does that for a probe, and anew with whatever is delivered.
    pub(super) fn rearm(&mut self, progress: bool, delivered: bool) {
        let (open, common) = (&mut *self.open, &mut *self.common);
        if open.sender.flight() == 0 || open.sender.probing {
            common.timers.stop(Timer::Rto);
            common.timers.stop(Timer::Probe);
        } else if progress {
            common.timers.set(Timer::Rto, self.now + open.rtt.rto());
        }
        if progress || delivered {
            open.arm_probe(common, self.now);
        }
    }

    /// Whether something new could be sent, if the congestion window allowed it.
    fn has_new(&self) -> bool {
        let (sender, written) = (&self.open.sender, self.common.tx.len());
        (sender.unsent(written) > 0 && sender.usable_window() > 0) || sender.fin_unsent(written)
    }
}

impl Open {
    /// What the recovery has to know of the path.
    pub(crate) fn path(&self) -> Path {
        let sender = &self.sender;
        // Both streams are over: the answer to our FIN takes the peer to TIME-WAIT, and nothing is left to wait for.
        let prompt = sender.fin && self.receiver.fin && sender.flight() == 1;
        let (srtt, min_rtt) = (self.rtt.srtt(), self.rtt.min_rtt());
        Path { smss: sender.smss, srtt, min_rtt, prompt, mtu_probe: self.mtu_probe() }
    }

    /// The recovery has changed something: the congestion control hears of it, and the rate reduction begins or goes
    /// on. `flight` was in flight before.
    pub(crate) fn take_change(&mut self, common: &mut Common, now: Instant, change: &Change, flight: u64) {
        if let Some(undone) = change.undone {
            common.tell(now, || Decision::Spurious { what: undone.what, by: undone.by });
        }
        if let Some(by) = change.lost_by {
            let (bytes, again, total) = (change.lost, change.lost_again, self.sender.board.lost());
            common.tell(now, || Decision::Lost { by, bytes, again, total });
        }
        if change.signal == Signal::Repaired {
            common.tell(now, || Decision::LossProbeRepaired);
        }
        let counters = &mut common.counters;
        counters.reorderings = self.recovery.reorderings().0;
        counters.lost_retransmits += change.lost_again.div_ceil(self.sender.smss);
        if change.signal == Signal::ProbeLost {
            self.forget_losses();
            self.take_mtu_loss(now, common);
        } else {
            self.tell_losses(now);
        }
        let counters = &mut common.counters;
        if let Some(undone) = change.undone {
            // Note: the window and the threshold as they were before. RFC 4015 section 3.4 would allow less: what is in
            // flight and an initial window.
            self.congestion.undo(now);
            counters.undos += 1;
            match (undone.what, undone.by) {
                (Reduction::Timeout, _) => counters.loss_undos += 1,
                (_, Evidence::Dsack) => counters.dsack_undos += 1,
                (_, _) if self.sender.flight() == 0 => counters.full_undos += 1,
                _ => {}
            }
            if let Some(ecn) = &mut self.ecn {
                ecn.handle_undone();
            }
            if undone.what == Reduction::Timeout {
                counters.spurious_timeouts += 1;
                self.rtt.handle_spurious_timeout(now);
            }
        }
        if change.ended {
            let flight = self.flight_at_exit();
            self.congestion.on_recovery_exit(now, flight);
        }
        if matches!(change.signal, Signal::Begins | Signal::Repaired) {
            let flight = self.whole_flight(flight);
            self.reduce_for_loss(&Loss { now, flight, kind: LossKind::Fast });
        }
        match change.signal {
            Signal::None | Signal::ProbeLost => {}
            Signal::Begins => {
                counters.recoveries += 1;
                counters.reno_recoveries += u32::from(!self.terms.sack);
            }
            Signal::Repaired => {
                counters.loss_probe_recoveries += 1;
                let flight = self.flight_at_exit();
                self.congestion.on_recovery_exit(now, flight);
            }
        }
        if self.congestion.paces_recovery() {
            self.recovery.leave_reduction();
        } else {
            let smss = self.sender.smss;
            self.recovery.reduce(change, smss, &self.sender.board, self.congestion.ssthresh());
        }
        match self.recovery.reordering_timeout() {
            Some(at) => common.timers.set(Timer::Reordering, at),
            None => common.timers.stop(Timer::Reordering),
        }
    }

    /// What the congestion control is told to be in flight when the window is to be reduced. RFC 5681 section 3.2 step
    /// 2: what limited transmit has added does not count, and it may be much while the reordering window is waited for.
    /// A window that is full up to the last whole segment counts as full.
    pub(super) fn whole_flight(&self, flight: u64) -> u64 {
        let cwnd = self.congestion.cwnd();
        if flight + u64::from(self.sender.smss) > cwnd { cwnd } else { flight }
    }

    /// What the congestion control is told to be in flight when a recovery is over. RFC 9937 section 6.2: where the
    /// reduction was made in proportion the window is the threshold now, as if all of that were in flight.
    fn flight_at_exit(&self) -> u64 {
        let flight = u64::from(self.sender.flight());
        match self.congestion.ssthresh() {
            u64::MAX => flight,
            _ if self.congestion.paces_recovery() => flight,
            ssthresh => flight.max(ssthresh),
        }
    }

    /// Data was sent or acknowledged: when to probe if nothing comes back.
    pub(crate) fn arm_probe(&mut self, common: &mut Common, now: Instant) {
        if self.sender.flight() == 0 || self.sender.probing {
            return;
        }
        let (rto, path) = (common.timers.at(Timer::Rto), self.path());
        self.recovery.schedule_probe(now, &self.sender.board, self.sender.snd_una, &path, rto);
        // Note: the timer stays where it is as long as that is not too late: it moves with each segment otherwise.
        if let Some(due) = self.recovery.probe_timeout()
            && common.timers.at(Timer::Probe).is_none_or(|at| at > due)
        {
            common.timers.set(Timer::Probe, due);
        }
    }
}
