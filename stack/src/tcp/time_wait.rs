//! TIME-WAIT as a small value (RFC 9293 section 3.3.2, RFC 6191, RFC 1337).

use super::handshake::{is_before, value_at};
use super::input::CHALLENGE_SPACING;
use super::segment::{Outgoing, Ports, Segment};
use super::state::Open;
use crate::buf::ring::Ring;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, Timestamps};

/// What remains of a connection in TIME-WAIT. The caller keeps it under the connection's addresses until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWait {
    ports: Ports,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    /// As on the wire.
    window: u16,
    clock: Option<LastClock>,
    expires: Instant,
    duration: Duration,
    /// No ACK before this, but for the peer's FIN (RFC 5961 section 7).
    next_ack: Instant,
}

/// What is left of the timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastClock {
    offset: u32,
    recent: u32,
    recent_at: Instant,
}

/// What a segment for a connection in TIME-WAIT leads to.
#[allow(clippy::large_enum_variant, reason = "lives for one call")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitVerdict {
    /// Nothing.
    Ignore,
    /// Nothing: an ACK was due, but one was sent just before.
    Skip,
    /// Send this ACK; the deadline may have changed.
    Acknowledge(Outgoing),
    /// A new SYN that may reuse the pair of addresses (RFC 6191): forget this value and treat the segment as new.
    /// The new connection's ISN must lie at or after `min_iss`.
    Reuse {
        /// The least sequence number to begin with.
        min_iss: SeqNum,
    },
}

/// How far above the old connection's numbers a new one begins: more than any window that was ever offered unscaled.
const ISS_GAP: u32 = 65_537;

impl TimeWait {
    pub(crate) fn new(now: Instant, ports: Ports, duration: Duration, open: &mut Open, rx: &Ring) -> Self {
        let (recent, recent_at, offset) = open.clock.recent();
        Self {
            ports,
            snd_nxt: open.sender.snd_nxt,
            rcv_nxt: open.receiver.rcv_nxt,
            window: open.receiver.offer_window(rx),
            clock: open.terms.timestamps.then_some(LastClock { offset, recent, recent_at }),
            expires: now + duration,
            duration,
            next_ack: now,
        }
    }

    /// The ports of the connection.
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// When it may be forgotten.
    pub const fn expires(&self) -> Instant {
        self.expires
    }

    /// A segment for this pair of addresses arrived (RFC 9293 section 3.10.7.4).
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment<'_>) -> TimeWaitVerdict {
        let header = &segment.header;
        // RFC 1337: a RST must not end TIME-WAIT before its time.
        if segment.has(Flags::RST) {
            return TimeWaitVerdict::Ignore;
        }
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) && self.is_newer(segment) {
            return TimeWaitVerdict::Reuse { min_iss: self.snd_nxt + ISS_GAP };
        }
        let old = self.clock.zip(header.options.timestamps);
        let old = old.is_some_and(|(clock, stamp)| is_before(stamp.value, clock.recent));
        // The FIN again: its ACK was lost, and 2 MSL begin anew.
        if segment.has(Flags::FIN) && !old && segment.end() == self.rcv_nxt {
            self.expires = now + self.duration;
            return TimeWaitVerdict::Acknowledge(self.acknowledge(now, Reason::TimeWaitAck));
        }
        // Note: an in-order ACK without data asks for nothing; answering it could go on for ever.
        if segment.seq_len() == 0 && header.seq == self.rcv_nxt {
            return TimeWaitVerdict::Ignore;
        }
        if segment.has(Flags::SYN) || segment.seq_len() > 0 {
            if now < self.next_ack {
                return TimeWaitVerdict::Skip;
            }
            self.next_ack = now + CHALLENGE_SPACING;
            return TimeWaitVerdict::Acknowledge(self.acknowledge(now, Reason::TimeWaitAck));
        }
        TimeWaitVerdict::Ignore
    }

    /// The ACK that repeats where both streams ended.
    pub(crate) fn acknowledge(&self, now: Instant, reason: Reason) -> Outgoing {
        let stamp = |clock: LastClock| Timestamps { value: value_at(now, clock.offset), echo: clock.recent };
        let header = Header {
            src_port: self.ports.local,
            dst_port: self.ports.remote,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: Options { timestamps: self.clock.map(stamp), ..Options::default() },
            ..Header::default()
        };
        Outgoing::bare(header, Why::new(reason))
    }

    /// RFC 6191 section 2: whether a SYN cannot be an old duplicate.
    fn is_newer(&self, segment: &Segment<'_>) -> bool {
        let seq_is_newer = segment.header.seq.after(self.rcv_nxt);
        match (self.clock, segment.header.options.timestamps) {
            (Some(clock), Some(stamp)) => {
                is_before(clock.recent, stamp.value) || (stamp.value == clock.recent && seq_is_newer)
            }
            _ => seq_is_newer,
        }
    }
}
