//! TIME-WAIT as a small value (RFC 9293 section 3.3.2, RFC 6191, RFC 1337).

use super::segment::{Outgoing, Ports, Segment};
use crate::time::Instant;
use crate::wire::seq::SeqNum;

/// What remains of a connection in TIME-WAIT. The caller keeps it under the connection's addresses until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWait {
    ports: Ports,
    expires: Instant,
}

/// What a segment for a connection in TIME-WAIT leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitVerdict {
    /// Nothing.
    Ignore,
    /// Send this ACK; the deadline may have changed.
    Acknowledge(Outgoing),
    /// A new SYN that may reuse the pair of addresses (RFC 6191): forget this value and treat the segment as new.
    /// The new connection's ISN must lie at or after `min_iss`.
    Reuse {
        /// The least sequence number to begin with.
        min_iss: SeqNum,
    },
}

impl TimeWait {
    /// The ports of the connection.
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// When it may be forgotten.
    pub const fn expires(&self) -> Instant {
        self.expires
    }

    /// A segment for this pair of addresses arrived.
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment<'_>) -> TimeWaitVerdict {
        let _ = (now, segment);
        todo!()
    }
}
