//! Why a frame was sent: the reason and the numbers that decided it.

use core::fmt;

/// Why one frame left the stack.
///
/// Written `why=rto rto_us=400000 cwnd=14480`: words without commas or spaces, so that it can be a capture's comment
/// and still be split.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Why {
    reason: Reason,
    numbers: [(&'static str, u64); MAX_NUMBERS],
    len: u8,
}

const MAX_NUMBERS: usize = 6;

impl Why {
    /// Of a frame that is not our stack's.
    pub const FOREIGN: Self = Self::new(Reason::Foreign);
    /// Of a datagram that an application sent.
    pub const DATAGRAM: Self = Self::new(Reason::Datagram);

    /// A reason without numbers.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, numbers: [("", 0); MAX_NUMBERS], len: 0 }
    }

    /// Adds a number that took part in the decision. The unit belongs into the name (`rto_us`).
    ///
    /// At most six are kept; a seventh is ignored.
    #[must_use]
    pub const fn with(mut self, name: &'static str, value: u64) -> Self {
        if (self.len as usize) < MAX_NUMBERS {
            self.numbers[self.len as usize] = (name, value);
            self.len += 1;
        }
        self
    }

    /// The reason.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The numbers, in the order in which they were given.
    pub fn numbers(&self) -> &[(&'static str, u64)] {
        &self.numbers[..usize::from(self.len)]
    }

    /// The number of that name.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.numbers().iter().find(|(n, _)| *n == name).map(|&(_, value)| value)
    }
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "why={}", self.reason)?;
        self.numbers().iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Debug for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The kinds of reasons, one word each.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    /// Bytes that were never sent before.
    NewData = "new-data",
    /// The first SYN of an active open.
    Syn = "syn",
    /// A SYN again, after the timer.
    SynRetransmit = "syn-rto",
    /// The answer to a SYN.
    SynAck = "syn-ack",
    /// The answer to a SYN again, after the timer.
    SynAckRetransmit = "syn-ack-rto",
    /// The end of our stream, alone.
    Fin = "fin",
    /// Lost by RFC 5681/6675 evidence: duplicate ACKs or SACK.
    FastRetransmit = "fast-retransmit",
    /// Sent again inside a recovery that a duplicate ACK or SACK began.
    RecoveryRetransmit = "recovery-retransmit",
    /// The retransmission timer fired.
    Rto = "rto",
    /// Sent again after a timeout, without waiting for another.
    RtoRecovery = "rto-recovery",
    /// A tail-loss probe (RFC 8985): the last segment again.
    TailLossProbe = "tail-loss-probe",
    /// New data in a segment that is larger than others: what the path takes (RFC 4821).
    MtuProbe = "mtu-probe",
    /// A tail-loss probe that brings something new.
    NewDataProbe = "new-data-probe",
    /// The peer's window is closed, or too small for what is waiting.
    ZeroWindowProbe = "zero-window-probe",
    /// An acknowledgment at once: every second segment, or because something was odd.
    Ack = "ack",
    /// An acknowledgment because of a segment out of order or a duplicate.
    DupAck = "dup-ack",
    /// An acknowledgment that waited for company in vain.
    DelayedAck = "delayed-ack",
    /// An acknowledgment at once because congestion was met, or its echo was heard (ECN).
    MarkEcho = "mark-echo",
    /// The receive window has opened.
    WindowUpdate = "window-update",
    /// Nothing was heard for the keepalive time.
    Keepalive = "keepalive",
    /// Out of window or otherwise suspicious (RFC 5961).
    ChallengeAck = "challenge-ack",
    /// Answer of TIME-WAIT to a retransmitted FIN.
    TimeWaitAck = "time-wait-ack",
    /// Abort by our side.
    Abort = "abort",
    /// A segment for which there is no connection.
    NoConnection = "no-connection",
    /// A segment that the state forbids.
    Refused = "refused",
    /// A datagram of an application.
    Datagram = "datagram",
    /// A packet of a raw socket.
    Raw = "raw",
    /// A further fragment of a packet.
    Fragment = "fragment",
    /// Asks who has an address.
    NeighborSolicit = "neighbor-solicit",
    /// Checks that a neighbour is still there.
    NeighborProbe = "neighbor-probe",
    /// Tells who has an address, because somebody asked.
    NeighborAdvert = "neighbor-advert",
    /// Tells it unasked (gratuitous ARP, unsolicited advertisement).
    Announce = "announce",
    /// Asks whether our new address is free.
    AddressProbe = "address-probe",
    /// Defends our address against another who claims it.
    AddressDefence = "address-defence",
    /// Asks for a router.
    RouterSolicit = "router-solicit",
    /// Answer to an echo request.
    EchoReply = "echo-reply",
    /// An ICMP error: unreachable.
    Unreachable = "unreachable",
    /// An ICMP error: hop limit or reassembly time exceeded.
    TimeExceeded = "time-exceeded",
    /// An ICMP error: parameter problem.
    ParameterProblem = "parameter-problem",
    /// An ICMP error: packet too big.
    PacketTooBig = "packet-too-big",
    /// Membership of a multicast group (IGMP, MLD).
    GroupReport = "group-report",
    /// Not sent by our stack: forwarded or injected.
    Foreign = "foreign",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_words() {
        let why = Why::new(Reason::Rto).with("rto_us", 400_000).with("cwnd", 14_480);
        assert_eq!(why.to_string(), "why=rto rto_us=400000 cwnd=14480");
        assert_eq!(why.number("cwnd"), Some(14_480));
    }

    #[test]
    fn words_differ_and_hold_no_space_or_comma() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|r| r.word()).collect();
        assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
