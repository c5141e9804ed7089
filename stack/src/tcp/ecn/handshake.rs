//! What a handshake agrees on (RFC 3168 section 6.1.1, RFC 9768 section 3.1).

use super::codepoint::{CE, ECT_0, ECT_1, NOT_ECT};
use super::{EcnMode, bits_of, flags_of};
use crate::tcp::segment::Segment;
use crate::why::Reason;
use crate::wire::acc_ecn::{AccEcn, AccEcnOrder};
use crate::wire::tcp::Flags;

/// AE, CWR and ECE of a SYN or SYN-ACK, as bits.
const NO_ECN: u8 = 0b000;
const CLASSIC_SYN: u8 = 0b011;
const CLASSIC_SYN_ACK: u8 = 0b001;
const ACCURATE_SYN: u8 = 0b111;

/// A SYN with accurate ECN is repeated once as it is; RFC 9768 section 3.1.4.1.
const ACCURATE_RETRIES: u8 = 1;

/// What a handshake has led to, as one side knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Agreed {
    mode: EcnMode,
    /// Nothing that we send may be ECN-capable.
    plain: bool,
    /// The ECN field of the peer's latest SYN or SYN-ACK.
    heard: u8,
    /// The peer says that our SYN was marked.
    marked: bool,
    /// We asked: it was a SYN-ACK that led to this.
    pub(super) asked: bool,
    /// The SYN-ACK's accurate option.
    pub(super) option: Option<AccEcn>,
    /// What we sent with the accurate option may have been dropped for it.
    pub(super) option_lost: bool,
}

/// What a SYN that comes again leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The SYN-ACK again.
    Answer,
    /// It asks for the other kind: nobody could know which one holds.
    Reset,
}

/// The ECN flags of the SYN after `retries` timeouts.
pub(crate) fn syn_flags(ask: EcnMode, retries: u8) -> Flags {
    flags_of(match ask {
        // RFC 3168 section 6.1.1.1: something on the way may drop what asks for ECN.
        EcnMode::Classic if retries == 0 => CLASSIC_SYN,
        EcnMode::Accurate if retries <= ACCURATE_RETRIES => ACCURATE_SYN,
        EcnMode::Off | EcnMode::Classic | EcnMode::Accurate => NO_ECN,
    })
}

impl Agreed {
    /// What we agree to when a SYN asks, `most` at most.
    pub(crate) fn answer(most: EcnMode, syn: &Segment<'_>) -> Self {
        let (bits, heard) = (bits_of(syn.header.flags), syn.ecn);
        let classic = bits & CLASSIC_SYN == CLASSIC_SYN;
        let mode = match most {
            EcnMode::Off => EcnMode::Off,
            // RFC 3168 section 6.1.1: a SYN is never ECN-capable. Who marked this one marks everything.
            EcnMode::Classic if classic && heard == NOT_ECT => EcnMode::Classic,
            EcnMode::Classic => EcnMode::Off,
            EcnMode::Accurate => match bits {
                NO_ECN => EcnMode::Off,
                CLASSIC_SYN if heard == NOT_ECT => EcnMode::Classic,
                CLASSIC_SYN => EcnMode::Off,
                // RFC 9768 section 3.1.3: whatever else is asked for in the future.
                _ => EcnMode::Accurate,
            },
        };
        Self { mode, heard, ..Self::default() }
    }

    /// What a SYN-ACK agrees to when our SYN asked for `ask`; `retries` SYNs were repeated.
    pub(crate) fn confirm(ask: EcnMode, retries: u8, syn_ack: &Segment<'_>) -> Self {
        let bits = bits_of(syn_ack.header.flags);
        let none = Self { heard: syn_ack.ecn, asked: true, ..Self::default() };
        // A SYN without ECN was sent too: of classic ECN there is nothing left (RFC 3168 section 6.1.1).
        let withdrawn = syn_flags(ask, retries).is_empty();
        let classic = Self { mode: if withdrawn { EcnMode::Off } else { EcnMode::Classic }, ..none };
        match ask {
            EcnMode::Off => none,
            // RFC 3168 section 6.1.1: ECE alone. With CWR it is our own flags that come back.
            EcnMode::Classic if bits & CLASSIC_SYN == CLASSIC_SYN_ACK => classic,
            EcnMode::Classic => none,
            EcnMode::Accurate => match bits {
                CLASSIC_SYN_ACK => classic,
                NO_ECN | ACCURATE_SYN => none,
                // RFC 9768 section 3.1.1, table 2: the SYN's ECN field comes back. Section 3.1.3: what is reserved
                // counts as if it had come unchanged.
                _ => {
                    let echoed = reflected(bits).unwrap_or(NOT_ECT);
                    let option = syn_ack.header.options.acc_ecn;
                    // RFC 9768 section 3.2.2.3: it was empty when it left.
                    let (plain, marked) = (echoed != NOT_ECT, echoed == CE);
                    Self { mode: EcnMode::Accurate, plain, marked, option, ..none }
                }
            },
        }
    }

    /// What the ACK says that brings a cookie back: `classic` is what the cookie remembers.
    pub(crate) fn remember(most: EcnMode, classic: bool, ack: &Segment<'_>) -> Self {
        let mode = match (most, classic) {
            (EcnMode::Off, _) => EcnMode::Off,
            (_, true) => EcnMode::Classic,
            // RFC 9768 section 5.1: what accurate ECN says first is neither 0 nor 1.
            (EcnMode::Accurate, false) if bits_of(ack.header.flags) > 1 => EcnMode::Accurate,
            (EcnMode::Classic | EcnMode::Accurate, false) => EcnMode::Off,
        };
        Self { mode, ..Self::default() }
    }

    /// There is no room to remember classic ECN in a cookie.
    pub(crate) fn forget_classic(&mut self) {
        if self.mode == EcnMode::Classic {
            self.mode = EcnMode::Off;
        }
    }

    pub(crate) fn mode(&self) -> EcnMode {
        self.mode
    }

    /// Whether nothing that we send may be ECN-capable.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether the peer says that our SYN was marked.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// The ECN field of the peer's latest SYN or SYN-ACK.
    pub(super) fn heard(&self) -> u8 {
        self.heard
    }

    /// The peer's SYN came again; `most` is what we answer with at most.
    pub(crate) fn handle_syn_again(&mut self, most: EcnMode, syn: &Segment<'_>) -> Again {
        // RFC 9768 section 3.1.5: the latest SYN's field is fed back.
        self.heard = syn.ecn;
        let asked = match bits_of(syn.header.flags) {
            NO_ECN => {
                // RFC 3168 section 6.1.1, RFC 9768 section 3.1.5: the peer may not be using it.
                self.plain = true;
                return Again::Answer;
            }
            CLASSIC_SYN => EcnMode::Classic,
            _ => EcnMode::Accurate,
        };
        let clash = most == EcnMode::Accurate && self.mode != EcnMode::Off && self.mode != asked;
        if clash { Again::Reset } else { Again::Answer }
    }

    /// A SYN-ACK leaves for `reason`, after `retries` timeouts: its ECN flags, and its accurate option.
    pub(crate) fn take_syn_ack(&mut self, reason: Reason, retries: u8) -> (Flags, Option<AccEcn>) {
        match self.mode {
            EcnMode::Off => (Flags::empty(), None),
            EcnMode::Classic => (flags_of(CLASSIC_SYN_ACK), None),
            // RFC 9768 section 3.2.3.2.2: first without the option, then without ECN; the mode stays.
            EcnMode::Accurate if retries > ACCURATE_RETRIES => {
                self.plain = true;
                (Flags::empty(), None)
            }
            EcnMode::Accurate => {
                let first = reason == Reason::SynAck;
                self.option_lost |= !first;
                (flags_of(reflect(self.heard)), first.then(initial_option))
            }
        }
    }
}

/// What stands for the ECN field of a SYN or SYN-ACK (RFC 9768 section 3.2.2.1, tables 2 and 3).
pub(super) const fn reflect(ecn: u8) -> u8 {
    match ecn {
        ECT_1 => 0b011,
        ECT_0 => 0b100,
        CE => 0b110,
        _ => 0b010,
    }
}

/// The ECN field that the bits stand for, if they stand for one.
pub(super) const fn reflected(bits: u8) -> Option<u8> {
    match bits {
        0b010 => Some(NOT_ECT),
        0b011 => Some(ECT_1),
        0b100 => Some(ECT_0),
        0b110 => Some(CE),
        _ => None,
    }
}

/// The option before anything was received (RFC 9768 section 3.2.1).
pub(super) fn initial_option() -> AccEcn {
    AccEcn::new(AccEcnOrder::Ect1First, 3, 1, 0, 1)
}

/// Whether the counters that come first were zeroed on the way (RFC 9768 section 3.2.3.2.4).
pub(super) fn is_zeroed(option: &AccEcn) -> bool {
    option.e0b() == Some(0) || option.e1b() == Some(0)
}
