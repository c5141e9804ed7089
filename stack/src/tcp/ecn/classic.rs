//! Feedback by a flag (RFC 3168 section 6.1): the receiver sets ECE from a mark on until it sees CWR, the sender sets
//! CWR on the first new data after it has reduced its window.

use super::codepoint::CE;
use super::{Arrival, Marks, Report};
use crate::wire::tcp::Flags;

/// Both halves of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Classic {
    /// As a receiver: ECE is set until CWR comes.
    echo: bool,
    /// As a sender: the next new data says that the window was reduced.
    cwr_due: bool,
}

impl Classic {
    /// Whether the peer does not know yet that the window was reduced.
    pub(super) fn owes_cwr(&self) -> bool {
        self.cwr_due
    }

    /// RFC 3168 section 6.1.3; only data counts (sections 6.1.4 to 6.1.6).
    ///
    /// Note: as on Linux the first mark and each CWR are acknowledged at once, for the sender's window may be small.
    pub(super) fn handle_arrival(&mut self, arrival: &Arrival) -> bool {
        if arrival.bytes == 0 {
            return false;
        }
        let confirmed = arrival.flags.contains(Flags::CWR);
        let echoed = self.echo && !confirmed;
        self.echo = echoed || arrival.ecn == CE;
        confirmed || (self.echo && !echoed)
    }

    /// RFC 3168 section 6.1.2: which packets were marked is not said.
    pub(super) fn handle_report(&self, report: &Report) -> Marks {
        match report.flags.contains(Flags::ECE) {
            true => Marks { any: true, packets: report.packets(), bytes: report.newly },
            false => Marks::default(),
        }
    }

    /// The window was reduced, for whatever reason.
    pub(super) fn handle_reduction(&mut self) {
        self.cwr_due = true;
    }

    /// It is as it was.
    pub(super) fn withdraw(&mut self) {
        self.cwr_due = false;
    }

    /// The flags of a segment that leaves; `new` if its data is new.
    pub(super) fn take_flags(&mut self, new: bool) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::ECE, self.echo);
        // RFC 3168 section 6.1.2: on new data, never on a retransmission.
        flags.set(Flags::CWR, new && self.cwr_due);
        self.cwr_due &= !new;
        flags
    }
}
