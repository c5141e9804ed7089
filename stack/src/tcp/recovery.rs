//! What is lost, and what follows from that (RFC 5681 section 3.2, RFC 6582, RFC 6675, RFC 6298 section 5).
//!
//! Losses are marked on the [`Scoreboard`]; the output sends what is marked, as far as the window allows. How large the
//! window is, is the congestion control's business.

use super::sack::{Acked, Scoreboard};
use crate::why::Reason;
use crate::wire::seq::SeqNum;

/// The loss recovery of one connection.
///
/// ```text
///            third duplicate ACK, or SACK says so          timer
///     Open ----------------------------------> Fast ----------------> Timeout
///      ^  \--------------- timer ----------------------------------->  |  ^
///      |                                        |                      |  | timer
///      +-------- `recover` is acknowledged -----+----------------------+--+
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
    /// The peer sends SACK.
    sack: bool,
    /// The segment that began the recovery goes out whatever the window says (RFC 6675 section 5 step 4.3).
    first_due: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery.
    Fast,
    /// The timer fired; everything unsacked is sent again in slow start.
    Timeout,
}

/// What an acknowledgment changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Nothing.
    None,
    /// A fast recovery begins: tell the congestion control.
    Begins,
    /// The fast recovery is over.
    Ends,
}

/// An acknowledgment as the recovery sees it; the scoreboard has already taken it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// SND.UNA after it.
    pub(crate) una: SeqNum,
    /// SND.NXT.
    pub(crate) nxt: SeqNum,
    /// What it acknowledged.
    pub(crate) acked: Acked,
    /// SND.UNA moved.
    pub(crate) progress: bool,
    /// It is a duplicate in the sense of RFC 5681 section 2.
    pub(crate) duplicate: bool,
    /// Bytes of a full segment.
    pub(crate) smss: u32,
}

/// Duplicate ACKs that mean a loss.
const DUP_THRESH: u32 = 3;

impl Recovery {
    /// At the start of a connection.
    pub(crate) fn new(iss: SeqNum, sack: bool) -> Self {
        Self { phase: Phase::Open, recover: iss, began: false, dup_acks: 0, sack, first_due: None }
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
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

    /// Bytes that are believed to be in the network: the pipe of RFC 6675. Without SACK each duplicate ACK takes one
    /// segment out, which is what the inflated window of RFC 5681 amounts to, limited transmit (RFC 3042) included.
    pub(crate) fn pipe(&self, board: &Scoreboard, smss: u32) -> u32 {
        let left = if self.sack { 0 } else { self.dup_acks.saturating_mul(smss) };
        board.flying().saturating_sub(left)
    }

    /// Why the next retransmission may ignore the congestion window, if it may.
    pub(crate) fn first_due(&self) -> Option<Reason> {
        self.first_due
    }

    /// An acknowledgment has been taken by the scoreboard.
    pub(crate) fn handle_ack(&mut self, ack: &Ack, board: &mut Scoreboard) -> Signal {
        match self.phase {
            Phase::Open => self.ack_in_order(ack, board),
            Phase::Fast => self.ack_in_recovery(ack, board),
            Phase::Timeout => {
                if ack.una.at_or_after(self.recover) {
                    self.phase = Phase::Open;
                    self.dup_acks = 0;
                } else if self.sack {
                    board.mark_lost_by_sack(ack.smss, DUP_THRESH);
                }
                Signal::None
            }
        }
    }

    /// The retransmission timer fired. Everything that is not sacked counts as lost: without SACK this goes back to SND.UNA.
    pub(crate) fn handle_timeout(&mut self, nxt: SeqNum, board: &mut Scoreboard) {
        // RFC 2018 section 8: a peer may forget what it reported. Linux's rule: if it forgot the first byte, it forgot all.
        if board.has_reneged() {
            board.forget_sacked();
        }
        board.mark_all_lost();
        // RFC 6582 section 3.2 step 4: no fast recovery for what was sent before the timeout.
        (self.recover, self.began) = (nxt, true);
        self.phase = Phase::Timeout;
        self.dup_acks = 0;
        self.first_due = Some(Reason::Rto);
    }

    /// Segments became too large for the path: what was in flight is sent again, without blaming congestion.
    pub(crate) fn handle_too_large(&mut self, board: &mut Scoreboard) {
        board.mark_all_lost();
        self.dup_acks = 0;
        self.first_due = Some(Reason::RecoveryRetransmit);
    }

    /// Why a retransmission goes out now.
    pub(crate) fn reason(&self) -> Reason {
        self.first_due.unwrap_or(match self.phase {
            Phase::Timeout => Reason::RtoRecovery,
            Phase::Open | Phase::Fast => Reason::RecoveryRetransmit,
        })
    }

    /// Something that was lost is sent again.
    pub(crate) fn handle_resent(&mut self) {
        self.first_due = None;
    }

    fn ack_in_order(&mut self, ack: &Ack, board: &mut Scoreboard) -> Signal {
        if ack.progress {
            self.dup_acks = 0;
        }
        if ack.duplicate {
            self.dup_acks = self.dup_acks.saturating_add(1);
        }
        if !ack.duplicate && board.sacked() == 0 {
            return Signal::None;
        }
        // RFC 6582 section 3.2 step 1, RFC 6675 section 5 step 1: one reduction for one window of data.
        if self.began && ack.una.before(self.recover) {
            return Signal::None;
        }
        let lost = if self.sack {
            // RFC 6675 section 5: the third duplicate ACK, or enough sacked above the first byte.
            let by_sack = board.mark_lost_by_sack(ack.smss, DUP_THRESH);
            if !by_sack && self.dup_acks >= DUP_THRESH && board.sacked() > 0 {
                board.mark_head_lost(ack.smss);
            }
            board.lost() > 0
        } else if self.dup_acks >= DUP_THRESH {
            board.mark_head_lost(ack.smss);
            true
        } else {
            false
        };
        if !lost {
            return Signal::None;
        }
        (self.recover, self.began) = (ack.nxt, true);
        self.phase = Phase::Fast;
        self.first_due = Some(Reason::FastRetransmit);
        Signal::Begins
    }

    fn ack_in_recovery(&mut self, ack: &Ack, board: &mut Scoreboard) -> Signal {
        // RFC 6582 section 3.2 step 3, RFC 6675 section 5 step A: a full acknowledgment.
        if ack.una.at_or_after(self.recover) {
            self.phase = Phase::Open;
            self.dup_acks = 0;
            self.first_due = None;
            return Signal::Ends;
        }
        if self.sack {
            board.mark_lost_by_sack(ack.smss, DUP_THRESH);
            if ack.progress {
                // Partial: what is first now was sent before what the peer has since reported.
                if board.lost() == 0 && board.sacked() == 0 {
                    board.mark_head_lost(ack.smss);
                }
            }
        } else if ack.progress {
            // RFC 6582 section 3.2 step 3, partial: the next hole is lost too; deflate by what was acknowledged less one.
            let segments = ack.acked.cumulative.div_ceil(ack.smss.max(1));
            self.dup_acks = self.dup_acks.saturating_sub(segments.saturating_sub(1));
            board.mark_head_lost(ack.smss);
            self.first_due = Some(Reason::RecoveryRetransmit);
        } else if ack.duplicate {
            self.dup_acks = self.dup_acks.saturating_add(1);
        }
        Signal::None
    }
}
