//! The states of RFC 9293 section 3.3.2 and what moves between them.

use core::fmt;

use super::congestion::Controller;
use super::ecn::Ecn;
use super::fast_open::Unconfirmed;
use super::handshake::{Clock, Opening, Terms};
use super::pacing::Pacer;
use super::plpmtud::Plpmtud;
use super::receiver::Receiver;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::sender::Sender;
use super::time_wait::TimeWait;
use super::watch::Watch;
use crate::time::Instant;
use crate::wire::tcp::UserTimeout;

/// The eleven states by name. LISTEN is the state of a [`Listener`](super::Listener).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum State {
    #[default]
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl State {
    /// The name as the RFC writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The control block: one shape for each part of a connection's life.
#[derive(Debug)]
pub(crate) enum Block {
    /// SYN-SENT, and SYN-RECEIVED after a simultaneous open.
    Opening(Box<Opening>),
    /// The six synchronised states in which segments are exchanged.
    Open(Box<Open>),
    /// TIME-WAIT, as long as nobody takes the value.
    TimeWait(TimeWait),
    /// CLOSED. Why is said by the connection's error.
    Closed,
}

/// A connection in one of the synchronised states.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) state: Synchronised,
    pub(crate) terms: Terms,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) recovery: Recovery,
    pub(crate) congestion: Controller,
    /// Boxed: most connections do without.
    pub(crate) ecn: Option<Box<Ecn>>,
    /// The search for the path's MTU. Boxed: most connections do without.
    pub(crate) plpmtud: Option<Box<Plpmtud>>,
    pub(crate) rtt: Rtt,
    pub(crate) pacer: Pacer,
    /// The last rate of delivery that the application did not limit, in bytes per second.
    pub(crate) delivery_rate: Option<u64>,
    /// For the random choices of a congestion control.
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) watch: Watch,
    /// When the peer was last heard.
    pub(crate) last_heard: Instant,
    pub(crate) keepalive_probes: u8,
    pub(crate) keepalive_due: bool,
    /// The user timeout option of the next segment.
    pub(crate) advertise: Option<UserTimeout>,
    pub(crate) persist_backoff: u32,
    /// Fast Open began the connection, and the peer has not acknowledged our SYN.
    pub(crate) unconfirmed: Option<Box<Unconfirmed>>,
    /// Challenge ACKs are spaced (RFC 5961 section 7): when the next may leave.
    pub(crate) next_challenge: Instant,
}

impl Open {
    /// What was marked lost is told to the congestion control.
    pub(crate) fn tell_losses(&mut self, now: Instant) {
        while let Some(lost) = self.sender.board.rate.poll_lost() {
            self.congestion.on_lost(now, &lost);
        }
    }

    /// What was marked lost does not concern the congestion control.
    pub(crate) fn forget_losses(&mut self) {
        while self.sender.board.rate.poll_lost().is_some() {}
    }
}

/// ESTABLISHED and what follows it, until TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synchronised {
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
}

/// Where a synchronised state leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Stay(Synchronised),
    TimeWait,
    Closed,
}

impl Synchronised {
    /// The state by name.
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Established => State::Established,
            Self::FinWait1 => State::FinWait1,
            Self::FinWait2 => State::FinWait2,
            Self::CloseWait => State::CloseWait,
            Self::Closing => State::Closing,
            Self::LastAck => State::LastAck,
        }
    }

    /// We end our stream (RFC 9293 section 3.10.4).
    pub(crate) const fn on_close(self) -> Self {
        match self {
            Self::Established => Self::FinWait1,
            Self::CloseWait => Self::LastAck,
            Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck => self,
        }
    }

    /// The peer's FIN has its turn (RFC 9293 section 3.10.7.4, eighth).
    pub(crate) const fn on_fin(self) -> Next {
        match self {
            Self::Established => Next::Stay(Self::CloseWait),
            Self::FinWait1 => Next::Stay(Self::Closing),
            Self::FinWait2 => Next::TimeWait,
            Self::CloseWait | Self::Closing | Self::LastAck => Next::Stay(self),
        }
    }

    /// Our FIN is acknowledged (RFC 9293 section 3.10.7.4, fifth).
    pub(crate) const fn on_fin_acked(self) -> Next {
        match self {
            Self::FinWait1 => Next::Stay(Self::FinWait2),
            Self::Closing => Next::TimeWait,
            Self::LastAck => Next::Closed,
            Self::Established | Self::FinWait2 | Self::CloseWait => Next::Stay(self),
        }
    }

    /// Whether the peer may still send data.
    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Synchronised::*;

    #[test]
    fn transitions_are_those_of_the_diagram() {
        let all = [Established, FinWait1, FinWait2, CloseWait, Closing, LastAck];
        let closed = [FinWait1, FinWait1, FinWait2, LastAck, Closing, LastAck];
        assert_eq!(all.map(Synchronised::on_close), closed);
        let stay = Next::Stay;
        let fin =
            [stay(CloseWait), stay(Closing), Next::TimeWait, stay(CloseWait), stay(Closing), stay(LastAck)];
        assert_eq!(all.map(Synchronised::on_fin), fin);
        let acked = [
            stay(Established),
            stay(FinWait2),
            stay(FinWait2),
            stay(CloseWait),
            Next::TimeWait,
            Next::Closed,
        ];
        assert_eq!(all.map(Synchronised::on_fin_acked), acked);
    }
}
