//! What can be known about a connection's ECN.

use super::EcnMode;

/// A connection's ECN, in the words of Linux's `tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EcnInfo {
    /// What both sides have agreed on.
    pub mode: EcnMode,
    /// New data is sent as ECT(0). False if something on the way changes the ECN field, or the handshake forbids it.
    pub sends_ect: bool,
    /// Data came whose ECN field was not empty (`TCPI_OPT_ECN_SEEN`).
    pub seen: bool,
    /// What of accurate ECN did not get through (`tcpi_accecn_fail_mode`).
    pub failures: EcnFailures,
    /// The peer's counters have come with the accurate option.
    pub options_seen: bool,
    /// Times that the window was reduced for a mark.
    pub reductions: u32,
    /// Packets that were delivered with a mark, as far as the peer tells (`TCPDeliveredCE`); with classic ECN all that
    /// an acknowledgment reports count.
    pub delivered_ce: u32,
    /// Packets received with a mark; accurate ECN counts them.
    pub received_ce: u32,
    /// Bytes received under each mark; accurate ECN counts them.
    pub received: EcnBytes,
    /// Bytes that the peer has received under each mark, as far as it has said so with the accurate option.
    pub delivered: EcnBytes,
}

/// What of accurate ECN did not get through (RFC 9768 sections 3.2.2.3, 3.2.2.4 and 3.2.3.2), with Linux's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EcnFailures {
    /// 1: our flags in the handshake, as far as the peer's SYNs or its silence tell.
    pub ace_sent: bool,
    /// 2: the peer's flags or the ECN field of what we sent: something changes them.
    pub ace_received: bool,
    /// 4: our option.
    pub option_sent: bool,
    /// 8: the peer's option: it was zeroed, or came too late.
    pub option_received: bool,
}

impl EcnFailures {
    /// As one number.
    pub fn bits(&self) -> u8 {
        let Self { ace_sent, ace_received, option_sent, option_received } = *self;
        [ace_sent, ace_received, option_sent, option_received]
            .iter()
            .enumerate()
            .fold(0, |bits, (place, &failed)| bits | u8::from(failed) << place)
    }
}

/// Bytes under each mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EcnBytes {
    /// Congestion experienced.
    pub ce: u64,
    /// ECN-capable, code point 0.
    pub ect0: u64,
    /// ECN-capable, code point 1.
    pub ect1: u64,
}
