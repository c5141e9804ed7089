//! Explicit congestion notification of one connection: what the network marks instead of dropping it, how the receiver
//! says so, and that the sender answers once for each window of data.
//!
//! The two ways to say so have a file each: `classic` (RFC 3168), a flag that is repeated until it is confirmed, and
//! `accurate` (RFC 9768), counters; here is what they share. `handshake` agrees on one of them, `policy` is what an
//! application chooses.

mod accurate;
mod classic;
mod handshake;
mod info;
mod policy;

use self::accurate::Accurate;
use self::classic::Classic;
pub(crate) use self::handshake::{Again, Agreed, syn_flags};
pub use self::info::{EcnBytes, EcnFailures, EcnInfo};
pub use self::policy::{EcnMode, EcnPolicy};
use crate::wire::acc_ecn::AccEcn;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

/// The code points of the ECN field (RFC 3168 section 5).
pub(crate) mod codepoint {
    pub(crate) const NOT_ECT: u8 = 0;
    pub(crate) const ECT_1: u8 = 1;
    pub(crate) const ECT_0: u8 = 2;
    pub(crate) const CE: u8 = 3;
}

/// The ECN of a connection that has agreed on it.
#[derive(Clone, Debug)]
pub(crate) struct Ecn {
    feedback: Feedback,
    /// New data may be sent as ECN-capable.
    ect: bool,
    /// Something came that was marked, or could have been.
    seen: bool,
    /// SND.NXT at the last reduction: it stands for all marks up to there.
    reduced_to: Option<SeqNum>,
    /// That reduction was one for a mark, and as deep as one for a loss: it stands for losses up to there too.
    covers_losses: bool,
    /// See [`EcnInfo`].
    reductions: u32,
    delivered_ce: u32,
}

/// How marks are told.
#[derive(Clone, Debug)]
enum Feedback {
    Classic(Classic),
    Accurate(Accurate),
}

/// An acceptable segment, as the network has marked it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The ECN field of its IP header.
    pub(crate) ecn: u8,
    pub(crate) flags: Flags,
    /// Bytes of payload.
    pub(crate) bytes: u32,
    /// How many segments it was on the wire.
    pub(crate) segments: u32,
    /// An acknowledgment was owed before it.
    pub(crate) owed: bool,
}

/// What an acknowledgment says, with what it acknowledges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) flags: Flags,
    pub(crate) option: Option<AccEcn>,
    /// It has neither data nor SACK blocks.
    pub(crate) pure: bool,
    /// Something is acknowledged that was not before, cumulatively or selectively.
    pub(crate) progress: bool,
    /// SEG.SEQ, and TSval if timestamps are agreed on: what else shows that it is newer than the ones before.
    pub(crate) seq: SeqNum,
    pub(crate) stamp: Option<u32>,
    /// Bytes newly acknowledged.
    pub(crate) newly: u32,
    pub(crate) smss: u32,
}

impl Report {
    /// Packets newly acknowledged, if they were full.
    fn packets(&self) -> u32 {
        self.newly.div_ceil(self.smss.max(1))
    }
}

/// Marks that were met by what we sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// There are some, even if they are on nothing that is newly acknowledged.
    pub(crate) any: bool,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

impl Ecn {
    /// What follows from a handshake; `None` without ECN. `irs` is the peer's first number.
    pub(crate) fn new(agreed: &Agreed, irs: SeqNum) -> Option<Box<Self>> {
        let feedback = match agreed.mode() {
            EcnMode::Off => return None,
            EcnMode::Classic => Feedback::Classic(Classic::default()),
            EcnMode::Accurate => Feedback::Accurate(Accurate::new(agreed, irs)),
        };
        let ect = !agreed.is_plain();
        Some(Box::new(Self {
            feedback,
            ect,
            seen: false,
            reduced_to: None,
            covers_losses: false,
            reductions: 0,
            delivered_ce: 0,
        }))
    }

    /// Whether marks on data before `una` are answered already (RFC 3168 section 6.1.2: once for each window of data).
    pub(crate) fn is_answered(&self, una: SeqNum) -> bool {
        let unconfirmed = matches!(&self.feedback, Feedback::Classic(classic) if classic.owes_cwr());
        unconfirmed || self.reduced_to.is_some_and(|to| una.at_or_before(to))
    }

    /// Whether a loss of data before SND.NXT, SND.UNA being `una`, falls into a window that a mark has reduced already.
    pub(crate) fn covers_losses(&self, una: SeqNum) -> bool {
        self.covers_losses && self.reduced_to.is_some_and(|to| una.before(to))
    }

    /// The ECN field of new data.
    pub(crate) fn field_of_data(&self) -> u8 {
        if self.ect { codepoint::ECT_0 } else { codepoint::NOT_ECT }
    }

    /// Whether the ACK of the handshake is still to be sent alone (RFC 9768 section 3.2.2.1).
    pub(crate) fn wants_pure_ack(&self) -> bool {
        matches!(&self.feedback, Feedback::Accurate(accurate) if accurate.wants_handshake_ack())
    }

    /// Whether a segment that leaves now has the CWR bit, which devices that cut segments give to the first piece
    /// alone.
    pub(crate) fn has_cwr_bit(&self) -> bool {
        match &self.feedback {
            Feedback::Classic(classic) => classic.owes_cwr(),
            Feedback::Accurate(accurate) => accurate.flags().contains(Flags::CWR),
        }
    }

    /// The option of a segment that leaves now, in at most `room` bytes.
    pub(crate) fn option(&self, room: usize) -> Option<AccEcn> {
        match &self.feedback {
            Feedback::Classic(_) => None,
            Feedback::Accurate(accurate) => accurate.option(room),
        }
    }

    /// Takes the marks of an acceptable segment; answers whether it has to be acknowledged at once.
    pub(crate) fn handle_arrival(&mut self, arrival: &Arrival) -> bool {
        self.seen |= arrival.ecn != codepoint::NOT_ECT && arrival.bytes > 0;
        match &mut self.feedback {
            Feedback::Classic(classic) => classic.handle_arrival(arrival),
            Feedback::Accurate(accurate) => accurate.handle_arrival(arrival),
        }
    }

    /// Takes what an acknowledgment says about marks.
    pub(crate) fn handle_report(&mut self, report: &Report) -> Marks {
        let marks = match &mut self.feedback {
            Feedback::Classic(classic) => classic.handle_report(report),
            Feedback::Accurate(accurate) => {
                let marks = accurate.handle_report(report);
                self.ect &= !accurate.is_mangled();
                marks
            }
        };
        self.delivered_ce = self.delivered_ce.wrapping_add(marks.packets);
        marks
    }

    /// The window was reduced for a mark; what is sent from `nxt` on belongs to the next.
    pub(crate) fn handle_answered(&mut self, nxt: SeqNum, covers_losses: bool) {
        self.reductions += 1;
        self.handle_reduction(nxt, covers_losses);
    }

    /// The window was reduced, for a loss or for a mark; what is sent from `nxt` on belongs to the next.
    pub(crate) fn handle_reduction(&mut self, nxt: SeqNum, covers_losses: bool) {
        (self.reduced_to, self.covers_losses) = (Some(nxt), covers_losses);
        if let Feedback::Classic(classic) = &mut self.feedback {
            classic.handle_reduction();
        }
    }

    /// The reduction for a loss is taken back.
    pub(crate) fn handle_undone(&mut self) {
        self.reduced_to = None;
        if let Feedback::Classic(classic) = &mut self.feedback {
            classic.withdraw();
        }
    }

    /// The timer fired before anything was acknowledged: what was sent with the option may have been dropped for it
    /// (RFC 9768 section 3.2.3.2.2).
    pub(crate) fn handle_first_lost(&mut self) {
        if let Feedback::Accurate(accurate) = &mut self.feedback {
            accurate.leave_options();
        }
    }

    /// The SYN-ACK came again; it is acknowledged with how it was marked.
    pub(crate) fn handle_syn_ack_again(&mut self, seq: SeqNum, ecn: u8) {
        if let Feedback::Accurate(accurate) = &mut self.feedback {
            accurate.handle_syn_ack_again(seq, ecn);
        }
    }

    /// The ECN flags of a segment that leaves now. `pure`: it has neither data nor SACK blocks; `new`: its data is new;
    /// `option`: it carries the accurate option.
    pub(crate) fn take_flags(&mut self, pure: bool, new: bool, option: bool) -> Flags {
        match &mut self.feedback {
            Feedback::Classic(classic) => classic.take_flags(new),
            Feedback::Accurate(accurate) => accurate.take_flags(pure, new, option),
        }
    }

    /// What can be known about it.
    pub(crate) fn info(&self) -> EcnInfo {
        let base = EcnInfo {
            sends_ect: self.ect,
            seen: self.seen,
            reductions: self.reductions,
            delivered_ce: self.delivered_ce,
            ..EcnInfo::default()
        };
        match &self.feedback {
            Feedback::Classic(_) => EcnInfo { mode: EcnMode::Classic, ..base },
            Feedback::Accurate(accurate) => accurate.info(base),
        }
    }
}

/// The three flags as a number: AE, CWR and ECE, the last being the least (RFC 9768 section 3.2.2).
const fn bits_of(flags: Flags) -> u8 {
    (flags.bits() >> ACE_SHIFT) as u8 & ACE_MASK
}

/// The flags that stand for a number.
const fn flags_of(bits: u8) -> Flags {
    Flags::from_bits_truncate(((bits & ACE_MASK) as u16) << ACE_SHIFT)
}

const ACE_SHIFT: u32 = 6;
const ACE_MASK: u8 = 7;

#[cfg(test)]
mod tests;
