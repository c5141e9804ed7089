//! What is lost, and what follows from that. Each rule has its file: `rack` (RFC 8985 section 6), `tlp` (RFC 8985
//! section 7), `prr` (RFC 9937), `frto` (RFC 5682), `undo` (RFC 3522, RFC 3708); here is what binds them, and what
//! remains without SACK (RFC 5681 section 3.2, RFC 6582).
//!
//! Losses are marked on the [`Scoreboard`]; the output sends what is marked, as far as the window allows. How large the
//! window is, is the congestion control's business, and in a fast recovery that of the rate reduction.

mod exchange;
mod frto;
mod prr;
mod rack;
mod tlp;
mod undo;

pub(crate) use self::exchange::{Ack, Change, Path, Phase, ProbeTimer, Signal, Undone};
use self::frto::{Frto, Reply, Verdict};
use self::prr::{Prr, Step};
use self::rack::{Rack, View};
use self::tlp::{Answer, Tlp};
use self::undo::{Proof, Undo};
use super::decision::{Evidence, LostBy, Reduction};
use super::plpmtud::Probe;
use super::sack::{Lost, Scoreboard};
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::why::Reason;
use crate::wire::seq::SeqNum;

/// The loss recovery of one connection.
///
/// ```text
///            RACK says so, or a third duplicate ACK        timer
///     Open ----------------------------------> Fast ----------------> Timeout
///      ^  \--------------- timer ----------------------------------->  |  ^
///      |                                        |                      |  | timer
///      +-------- `recover` is acknowledged -----+----------------------+--+
///      +-------- it was not needed -------------+----------------------+
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    /// Ends the recovery when acknowledged: SND.NXT when it began.
    recover: SeqNum,
    /// A recovery began at some time, so `recover` means something (RFC 6582 section 3.2 step 1).
    began: bool,
    /// Duplicate ACKs since the last progress. Without SACK each stands for a segment that has left the network.
    dup_acks: u32,
    /// RecoverFS of RFC 9937: what was in flight before the last fast recovery, and not reported.
    recover_fs: u32,
    /// Sequence numbers that the last ACK with progress acknowledged.
    last_advance: u32,
    /// The peer sends SACK.
    sack: bool,
    /// The segment that began the recovery goes out whatever the window says (RFC 6675 section 5 step 4.3).
    first_due: Option<Reason>,
    /// A probe goes out whatever the window says.
    probe_due: bool,
    /// RescueRxt of RFC 6675: SND.UNA when a recovery last sent its highest segment again.
    rescued: Option<SeqNum>,
    /// When RACK wants to look again.
    look_again: Option<Instant>,
    /// When the retransmission timer fired last.
    timed_out: Instant,
    rack: Rack,
    tlp: Tlp,
    /// In a fast recovery, unless the congestion control wants to spread the reduction itself.
    /// Boxed, as long as that lasts: most connections are in none.
    prr: Option<Box<Prr>>,
    frto: Frto,
    undo: Undo,
}

packed!(Recovery {
    recover, began, dup_acks, recover_fs, last_advance, sack, probe_due, rescued, look_again, timed_out, rack, tlp, undo;
    phase: Phase::Open, first_due: None, prr: None, frto: Frto::Off
});

/// Duplicate ACKs that mean a loss.
const DUP_THRESH: u32 = 3;
/// Segments that limited transmit may add to the window (RFC 3042 section 2).
const LIMITED_TRANSMIT: u32 = 2;

impl Recovery {
    /// At the start of a connection.
    pub(crate) fn new(iss: SeqNum, sack: bool) -> Self {
        Self {
            phase: Phase::Open,
            recover: iss,
            began: false,
            dup_acks: 0,
            recover_fs: 0,
            last_advance: 0,
            sack,
            first_due: None,
            probe_due: false,
            rescued: None,
            look_again: None,
            timed_out: Instant::ZERO,
            rack: Rack::new(iss + 1),
            tlp: Tlp::default(),
            prr: None,
            frto: Frto::Off,
            undo: Undo::default(),
        }
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When the retransmission timer fired last; the beginning of time if it never did.
    pub(crate) fn timed_out(&self) -> Instant {
        self.timed_out
    }

    /// The phase in the words of `ss`.
    pub(crate) fn name(&self, board: &Scoreboard) -> &'static str {
        match self.phase {
            Phase::Open if self.dup_acks > 0 || board.sacked() > 0 => "disorder",
            Phase::Open => "open",
            Phase::Fast => "recovery",
            Phase::Timeout => "loss",
        }
    }

    /// Whether the path was seen to reorder, and how long it may delay a segment before that counts as lost.
    pub(crate) fn reordering(&self) -> (bool, Duration) {
        (self.rack.reordering_seen(), self.rack.reo_wnd())
    }

    /// How often something was overtaken, and by how many bytes at most.
    pub(crate) fn reorderings(&self) -> (u32, u32) {
        self.rack.reorderings()
    }

    /// Bytes that are believed to be in the network: the pipe of RFC 6675. Without SACK each duplicate ACK takes one
    /// segment out, which is what the inflated window of RFC 5681 amounts to, limited transmit (RFC 3042) included.
    pub(crate) fn pipe(&self, board: &Scoreboard, smss: u32) -> u32 {
        board.flying().saturating_sub(if self.sack { 0 } else { self.departed(smss) })
    }

    /// Bytes that may be sent now, if the congestion control allows `cwnd` in flight.
    pub(crate) fn room(&self, board: &Scoreboard, smss: u32, cwnd: u64) -> u64 {
        match &self.prr {
            Some(prr) => prr.sndcnt(),
            None => cwnd.saturating_sub(u64::from(self.pipe(board, smss))),
        }
    }

    /// Why the next retransmission may ignore the congestion window, if it may.
    pub(crate) fn first_due(&self) -> Option<Reason> {
        self.first_due
    }

    /// Whether a probe goes out now, whatever the congestion window says.
    pub(crate) fn probe_due(&self) -> bool {
        self.probe_due
    }

    /// Whether new data goes before what is lost.
    pub(crate) fn prefers_new(&self) -> bool {
        self.frto.prefers_new()
    }

    /// Whether nothing is sent again for now.
    pub(crate) fn waits(&self) -> bool {
        self.frto.waits() && self.first_due.is_none()
    }

    /// Whether nothing is amiss: all that is in flight may well have arrived.
    pub(crate) fn is_calm(&self, board: &Scoreboard) -> bool {
        self.phase == Phase::Open && self.dup_acks == 0 && board.sacked() == 0 && board.lost() == 0
    }

    /// Why a retransmission goes out now.
    pub(crate) fn reason(&self) -> Reason {
        self.first_due.unwrap_or(match self.phase {
            Phase::Timeout => Reason::RtoRecovery,
            Phase::Open | Phase::Fast => Reason::RecoveryRetransmit,
        })
    }

    /// When RACK looks again for what is lost.
    pub(crate) fn reordering_timeout(&self) -> Option<Instant> {
        self.look_again
    }

    /// When a probe is due.
    pub(crate) fn probe_timeout(&self) -> Option<Instant> {
        self.tlp.due()
    }

    /// An acknowledgment has been taken by the scoreboard.
    pub(crate) fn handle_ack(&mut self, ack: &Ack, board: &mut Scoreboard) -> Change {
        let (delivered, progress) = (Some(self.delivered_by(ack)), ack.progress);
        let mut change = Change { delivered, progress, ..Change::default() };
        if self.sack {
            self.rack.handle_delivered(ack.now, &ack.acked, ack.echoed, ack.dsack, ack.path.min_rtt);
            // A probe that was sent again without need says nothing about reordering.
            let own = ack.dsack.is_some_and(|block| self.tlp.repeated_to() == Some(block.end));
            self.rack.handle_dsack(ack.una, ack.nxt, ack.dsack.is_some() && !own);
        }
        if ack.sampled {
            self.tlp.handle_sample();
        }
        change.undone = self.find_spurious(ack, board);
        if let Some(undone) = change.undone {
            self.take_back(undone, ack, board);
        }
        let answer = Answer { ack: ack.una, dsack: ack.dsack, bare_duplicate: ack.bare_duplicate };
        let repaired = self.tlp.handle_ack(&answer) && self.phase == Phase::Open;
        self.count_duplicate(ack);
        if self.phase != Phase::Open && ack.una.at_or_after(self.recover) {
            change.ended = self.phase == Phase::Fast;
            self.end();
        }
        let (lost, by) = self.find_lost(ack, board);
        self.take_lost(lost, by, (ack.una, ack.nxt), &ack.path, board, &mut change);
        if repaired && change.signal == Signal::None {
            self.undo.forget();
            change.signal = Signal::Repaired;
        }
        change
    }

    /// The congestion control has heard of the change: what of its reduction to `ssthresh` is due (RFC 9937).
    pub(crate) fn reduce(&mut self, change: &Change, smss: u32, board: &Scoreboard, ssthresh: u64) {
        if self.phase != Phase::Fast {
            return;
        }
        if change.signal == Signal::Begins {
            self.prr = Some(Box::new(Prr::new(u64::from(self.recover_fs))));
        }
        let inflight = u64::from(self.pipe(board, smss));
        if let Some(prr) = &mut self.prr {
            let mut delivered = change.delivered.map(u64::from);
            if !self.sack {
                // RFC 9937 section 6.2: a peer that invents duplicates gains nothing beyond what was in flight.
                delivered = delivered.map(|bytes| bytes.min(prr.undelivered()));
            }
            // RFC 9937 section 6.2: what delivers nothing lets nothing out.
            if delivered == Some(0) && change.signal != Signal::Begins {
                return;
            }
            prr.handle_ack(&Step {
                delivered: delivered.unwrap_or(0),
                inflight,
                safe: change.progress && change.lost == 0,
                ssthresh,
                smss: u64::from(smss),
            });
        }
    }

    /// The window was reduced for another reason: what there was before does not come back.
    pub(crate) fn forget_reduction(&mut self) {
        self.undo.forget();
    }

    /// The congestion control limits this recovery itself.
    pub(crate) fn leave_reduction(&mut self) {
        self.prr = None;
    }

    /// The reordering timer fired: what was not reported in the meantime is lost.
    pub(crate) fn handle_reordering_timeout(
        &mut self,
        now: Instant,
        una: SeqNum,
        nxt: SeqNum,
        path: &Path,
        board: &mut Scoreboard,
    ) -> Change {
        let lost = self.detect(now, path, board);
        let mut change = Change::default();
        self.take_lost(lost, LostBy::ReorderingTimer, (una, nxt), path, board, &mut change);
        change
    }

    /// The retransmission timer fired. What should have been reported by now counts as lost: without SACK this goes
    /// back to SND.UNA.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        una: SeqNum,
        nxt: SeqNum,
        board: &mut Scoreboard,
    ) -> Lost {
        // RFC 2018 section 8: a peer may forget what it reported. Linux's rule: if it forgot the first byte, it forgot
        // all.
        if board.has_reneged() {
            board.forget_sacked();
        }
        // RFC 5682 section 2.1 step 1: not in a recovery, whose retransmissions would blur the answer.
        if self.phase == Phase::Open {
            self.frto.begin();
        } else {
            self.frto.stop();
        }
        if self.phase != Phase::Timeout {
            self.undo.begin(una, true);
        }
        let lost = if self.sack {
            self.rack.mark_on_timeout(now, board)
        } else {
            board.mark_lost_since(now, Duration::ZERO)
        };
        // RFC 6582 section 3.2 step 4: no fast recovery for what was sent before the timeout.
        (self.recover, self.began) = (nxt, true);
        self.timed_out = now;
        self.phase = Phase::Timeout;
        self.dup_acks = 0;
        self.first_due = Some(Reason::Rto);
        self.prr = None;
        self.probe_due = false;
        self.look_again = None;
        // Nothing but progress allows another probe.
        self.rescued = Some(una);
        self.tlp.handle_timeout();
        lost
    }

    /// The probe timer fired.
    pub(crate) fn handle_probe_timeout(&mut self, now: Instant, una: SeqNum) -> ProbeTimer {
        match self.tlp.due() {
            Some(due) if due > now => ProbeTimer::Later(due),
            Some(_) => {
                self.tlp.cancel();
                self.probe_due = true;
                if self.phase != Phase::Open {
                    self.rescued = Some(una);
                }
                ProbeTimer::Probe
            }
            None => ProbeTimer::Idle,
        }
    }

    /// Segments became too large for the path, or the probe of its MTU was: what was in flight, or that alone, is sent
    /// again, without blaming congestion.
    pub(crate) fn handle_too_large(&mut self, board: &mut Scoreboard, probe: Option<Probe>) {
        match probe {
            Some(probe) => board.mark_lost(probe.start, probe.end()),
            None => board.mark_all_lost(),
        }
        self.dup_acks = 0;
        self.first_due = Some(Reason::RecoveryRetransmit);
    }

    /// `len` sequence numbers from `start` are sent again.
    pub(crate) fn handle_resent(&mut self, now: Instant, start: SeqNum, len: u32) {
        self.first_due = None;
        self.undo.handle_resent(now, start, len);
        self.handle_sent(len);
    }

    /// `len` sequence numbers are sent for the first time.
    pub(crate) fn handle_new(&mut self, len: u32) {
        self.frto.handle_new();
        self.handle_sent(len);
    }

    /// Nothing new can be sent.
    pub(crate) fn handle_no_new(&mut self) {
        self.frto.handle_no_new();
    }

    /// The probe that was due is sent, as something new or again; SND.NXT is `nxt` now.
    pub(crate) fn handle_probe_sent(&mut self, nxt: SeqNum, is_retrans: bool) {
        self.probe_due = false;
        if self.phase == Phase::Open {
            self.tlp.handle_sent(nxt, is_retrans);
        }
    }

    /// There is nothing to probe with.
    pub(crate) fn cancel_probe(&mut self) {
        self.probe_due = false;
        self.tlp.cancel();
    }

    /// Data was sent or acknowledged: when a probe is due if nothing comes back (RFC 8985 section 7.2).
    ///
    /// Note: in a recovery, where the RFC has no probe, it is the rescue retransmission of RFC 6675 section 4 (NextSeg
    /// rule 4): RFC 6675 sends it at once, here it waits until the acknowledgments have ceased, which RACK makes
    /// possible.
    pub(crate) fn schedule_probe(
        &mut self,
        now: Instant,
        board: &Scoreboard,
        una: SeqNum,
        path: &Path,
        rto: Option<Instant>,
    ) {
        let wanted = match self.phase {
            Phase::Open => board.sacked() == 0,
            Phase::Fast | Phase::Timeout => self.first_due.is_none() && self.rescued != Some(una),
        };
        match path.srtt {
            Some(srtt) if self.sack && wanted && board.lost() == 0 && board.flying() > 0 => {
                // RFC 5681 section 4.2: what fills a hole is acknowledged at once, so that nothing waits for that.
                let prompt = path.prompt || self.phase != Phase::Open;
                let may_be_delayed = !prompt && board.flying() <= path.smss;
                self.tlp.schedule(now, srtt, may_be_delayed, rto);
            }
            _ => self.tlp.cancel(),
        }
    }

    fn handle_sent(&mut self, len: u32) {
        if let Some(prr) = &mut self.prr {
            prr.handle_sent(u64::from(len));
        }
    }

    /// Which reduction has turned out to be a mistake.
    fn find_spurious(&mut self, ack: &Ack, board: &Scoreboard) -> Option<Undone> {
        let repeats_in_flight = board.repeats();
        let Ack { progress, echoed, dsack, .. } = *ack;
        let what = if self.undo.is_for_timeout() { Reduction::Timeout } else { Reduction::Recovery };
        let proven = self.undo.handle_ack(&Proof { progress, echoed, dsack, repeats_in_flight });
        if proven {
            // A timestamp proves nothing beside a DSACK (RFC 3522 section 3.2 step 5).
            let by = if dsack.is_some() { Evidence::Dsack } else { Evidence::Timestamp };
            return Some(Undone { what, by });
        }
        if self.phase != Phase::Timeout {
            return None;
        }
        // Without SACK the ACK of a segment that filled a hole covers originals too: only what covers no repeat counts.
        let original = ack.acked.lowest_original.is_some_and(|start| start.before(self.recover))
            && (self.sack || !ack.acked.resent);
        let verdict = self.frto.handle_ack(&Reply {
            progress,
            all: ack.una.at_or_after(self.recover),
            original,
            duplicate: ack.duplicate,
            has_new: ack.has_new,
        });
        (verdict == Verdict::Spurious).then_some(Undone { what: Reduction::Timeout, by: Evidence::Frto })
    }

    /// Nothing was lost: all that was suspected is on its way.
    fn take_back(&mut self, undone: Undone, ack: &Ack, board: &mut Scoreboard) {
        self.undo.forget();
        self.frto.stop();
        match undone.what {
            Reduction::Recovery => self.rack.handle_spurious_loss(ack.una, ack.nxt, ack.acked.latest),
            // Both have arrived, the original and its repeat: what the repeat says about others stands.
            Reduction::Timeout if undone.by == Evidence::Dsack => {}
            Reduction::Timeout => self.rack.handle_spurious_timeout(ack.acked.latest),
        }
        board.unmark_lost();
        self.phase = Phase::Open;
        self.began = false;
        self.dup_acks = 0;
        self.first_due = None;
        self.prr = None;
    }

    /// What was marked lost may begin a recovery.
    fn take_lost(
        &mut self,
        lost: Lost,
        by: LostBy,
        (una, nxt): (SeqNum, SeqNum),
        path: &Path,
        board: &Scoreboard,
        change: &mut Change,
    ) {
        (change.lost, change.lost_again) = (lost.newly, lost.again);
        change.lost_by = Some(by).filter(|_| lost.newly > 0);
        if self.phase != Phase::Open || change.lost == 0 {
            return;
        }
        if path.mtu_probe.is_some_and(|probe| board.lost_lies_within(probe.start, probe.end())) {
            // RFC 4821 section 7.5: the loss of a probe alone is no sign of congestion.
            self.first_due = Some(Reason::RecoveryRetransmit);
            change.signal = Signal::ProbeLost;
        } else {
            // RFC 9937 section 6.2: in flight before this acknowledgment, less what had been sacked.
            let newly = change.delivered.filter(|_| self.sack).unwrap_or(0);
            self.recover_fs = board.outstanding() - board.sacked() + newly;
            self.begin(una, nxt);
            change.signal = Signal::Begins;
        }
    }

    /// Bytes that duplicate ACKs have taken out of the network, as far as they are believed: two segments outside of a
    /// recovery (RFC 3042 section 2), and in it what was in flight before (RFC 9937 section 6.2).
    fn departed(&self, smss: u32) -> u32 {
        let most = if self.phase == Phase::Fast { self.recover_fs } else { LIMITED_TRANSMIT * smss };
        self.dup_acks.saturating_mul(smss).min(most)
    }

    /// DeliveredData of RFC 9937 section 6.2: without SACK a segment for each duplicate, and what an acknowledgment is
    /// for less what duplicates have told before.
    fn delivered_by(&self, ack: &Ack) -> u32 {
        let smss = ack.path.smss;
        match self.sack {
            true => ack.acked.newly,
            false if ack.progress => ack.acked.cumulative.saturating_sub(self.dup_acks.saturating_mul(smss)),
            false => u32::from(ack.duplicate) * smss,
        }
    }

    fn count_duplicate(&mut self, ack: &Ack) {
        if ack.progress {
            self.last_advance = ack.acked.cumulative;
        }
        if ack.progress && (self.sack || self.phase != Phase::Fast) {
            self.dup_acks = 0;
        } else if ack.progress {
            // RFC 6582 section 3.2 step 3, partial: deflate by what was acknowledged less one.
            let segments = ack.acked.cumulative.div_ceil(ack.path.smss.max(1));
            self.dup_acks = self.dup_acks.saturating_sub(segments.saturating_sub(1));
        }
        // After a timeout a duplicate tells only of what is new: of the rest nothing is thought to be on its way.
        if ack.duplicate && (self.phase != Phase::Timeout || ack.nxt.after(self.recover)) {
            self.dup_acks = self.dup_acks.saturating_add(1);
        }
    }

    fn find_lost(&mut self, ack: &Ack, board: &mut Scoreboard) -> (Lost, LostBy) {
        if self.sack {
            // In order and without holes there is nothing to look for.
            let quiet = self.phase == Phase::Open && self.look_again.is_none();
            if quiet && board.sacked() == 0 && !ack.acked.resent {
                return (Lost::default(), LostBy::Rack);
            }
            return (self.detect(ack.now, &ack.path, board), LostBy::Rack);
        }
        let (before, mut by) = (board.lost(), LostBy::DupThresh);
        match self.phase {
            // RFC 6582 section 3.2 steps 1 and 2.
            Phase::Open if self.dup_acks >= DUP_THRESH && self.may_begin(ack) => {
                let probe = ack.path.mtu_probe.filter(|probe| probe.start == ack.una);
                board.mark_head_lost(probe.map_or(ack.path.smss, |probe| probe.len));
            }
            // Step 3, a partial acknowledgment: the next hole is lost too.
            Phase::Fast if ack.progress => {
                board.mark_head_lost(ack.path.smss);
                self.first_due = Some(Reason::RecoveryRetransmit);
                by = LostBy::PartialAck;
            }
            _ => {}
        }
        (Lost { newly: board.lost() - before, ..Lost::default() }, by)
    }

    /// RFC 6582 section 3.2 step 1: more than `recover` is acknowledged, so that duplicates of what a recovery sent
    /// again begin no other. Section 4.1: if the last ACK was for little, little was sent again without need.
    fn may_begin(&self, ack: &Ack) -> bool {
        !self.began
            || ack.una.after(self.recover)
            || (ack.una == self.recover && self.last_advance <= 4 * ack.path.smss)
    }

    fn detect(&mut self, now: Instant, path: &Path, board: &mut Scoreboard) -> Lost {
        let many_sacked = board.sacked() > (DUP_THRESH - 1) * path.smss
            || (self.dup_acks >= DUP_THRESH && board.sacked() > 0);
        let in_recovery = self.phase != Phase::Open;
        let view = View { now, srtt: path.srtt, min_rtt: path.min_rtt, in_recovery, many_sacked };
        let lost = self.rack.detect(&view, board);
        self.look_again = lost.retry;
        lost
    }

    fn begin(&mut self, una: SeqNum, nxt: SeqNum) {
        (self.recover, self.began) = (nxt, true);
        self.phase = Phase::Fast;
        self.first_due = Some(Reason::FastRetransmit);
        self.rescued = None;
        self.tlp.cancel();
        self.undo.begin(una, false);
    }

    /// All is acknowledged that was sent before the recovery (RFC 6582 section 3.2 step 3, RFC 6675 section 5 step A).
    fn end(&mut self) {
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.first_due = None;
        self.prr = None;
        self.rescued = None;
        self.frto.stop();
        self.rack.handle_recovery_end();
    }
}
