//! What a recovery hears, and what it answers.

use crate::tcp::decision::{Evidence, LostBy, Reduction};
use crate::tcp::plpmtud::Probe;
use crate::tcp::sack::Acked;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// How far a connection is with repairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery.
    Fast,
    /// The timer fired; everything that should have been reported is sent again in slow start.
    Timeout,
}

/// What an acknowledgment or the passing of time changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// DeliveredData of RFC 9937: what the acknowledgment brought; None if it is time that has passed.
    pub(crate) delivered: Option<u32>,
    /// SND.UNA moved.
    pub(crate) progress: bool,
    /// The last reduction was not needed: it is to be undone, before anything else.
    pub(crate) undone: Option<Undone>,
    /// A fast recovery is over.
    pub(crate) ended: bool,
    pub(crate) signal: Signal,
    /// Sequence numbers that were sent again and are lost again.
    pub(crate) lost_again: u32,
    /// Sequence numbers that were marked lost, and what said so.
    pub(crate) lost: u32,
    pub(crate) lost_by: Option<LostBy>,
}

impl Change {
    /// A recovery began or ended, or never should have begun: the acknowledgment says nothing about growth.
    pub(crate) fn is_turn(&self) -> bool {
        self.ended || self.undone.is_some() || self.signal != Signal::None
    }
}

/// Which reduction was not needed, and what proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) what: Reduction,
    pub(crate) by: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Signal {
    /// Nothing.
    #[default]
    None,
    /// A fast recovery begins: tell the congestion control.
    Begins,
    /// A probe has repaired a loss: a recovery that is over as it begins.
    Repaired,
    /// A probe of the path's MTU is lost, and nothing else: it is sent again in pieces, without blaming congestion.
    ProbeLost,
}

/// An acknowledgment as the recovery sees it; the scoreboard has already taken it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// SND.UNA after it.
    pub(crate) una: SeqNum,
    /// SND.NXT.
    pub(crate) nxt: SeqNum,
    /// What it acknowledged.
    pub(crate) acked: Acked,
    /// SND.UNA moved.
    pub(crate) progress: bool,
    /// It is a duplicate in the sense of RFC 5681 section 2, or with SACK reports more.
    pub(crate) duplicate: bool,
    /// It carries neither data nor news nor SACK blocks.
    pub(crate) bare_duplicate: bool,
    /// Its timestamp echoes what was sent before this.
    pub(crate) echoed: Option<Instant>,
    /// What it reports as received twice.
    pub(crate) dsack: Option<SackBlock>,
    /// It gave a sample of the round-trip time.
    pub(crate) sampled: bool,
    /// Something new could be sent, if the congestion window allowed it.
    pub(crate) has_new: bool,
    pub(crate) path: Path,
}

/// What is known of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Bytes of a full segment.
    pub(crate) smss: u32,
    pub(crate) srtt: Option<Duration>,
    pub(crate) min_rtt: Option<Duration>,
    /// The peer acknowledges what is in flight at once.
    pub(crate) prompt: bool,
    /// The probe of its MTU that is on its way.
    pub(crate) mtu_probe: Option<Probe>,
}

/// What to do when the probe timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeTimer {
    /// It is not time yet: set it to this.
    Later(Instant),
    /// A probe is due.
    Probe,
    /// Nothing.
    Idle,
}
