//! What a connection decides, with the numbers that were decided upon: for those who watch it.
//!
//! A connection that is observed ([`Settings::observe`](super::Settings::observe)) writes its decisions down; one that
//! is not pays a branch for each and no memory.

use core::fmt;

use super::error::Error;
use super::state::State;
use crate::time::{Duration, Instant};

/// A decision and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// When, on the clock of whoever drives the connection.
    pub at: Instant,
    /// What.
    pub decision: Decision,
}

/// One decision of a connection. Sizes are bytes of payload, rates bytes per second.
///
/// What is told as `from` and `to` is compared after each segment, timer and call: values that were passed through on
/// the way are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The connection went from one state to another (RFC 9293 section 3.3.2).
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// The connection is over.
    Ended {
        /// Why, if not in order.
        error: Option<Error>,
    },
    /// The size of a full segment changed (RFC 9293 section 3.7.1, RFC 8899): the path's, or at first.
    Mss {
        /// Before; 0 at first.
        from: u32,
        /// Now.
        to: u32,
    },
    /// A probe of the path's MTU leaves (RFC 4821 section 7.5). Sizes are those of segments, TCP header and options
    /// included.
    MtuProbe {
        /// What it tries.
        size: u32,
        /// What passes for sure.
        low: u32,
        /// What may pass.
        high: u32,
    },
    /// What became of it (RFC 4821 section 7.6).
    MtuProbed {
        /// What it tried.
        size: u32,
        /// It arrived.
        passes: bool,
    },
    /// All that is large seems to vanish on the path: segments become smaller (RFC 4821 section 7.7). Sizes as above.
    BlackHole {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// A round-trip time was measured (RFC 6298 section 2).
    Rtt {
        /// The sample.
        sample: Duration,
        /// The smoothed time with it.
        srtt: Duration,
        /// Its variation.
        rttvar: Duration,
        /// The retransmission timeout that follows.
        rto: Duration,
    },
    /// The retransmission timer was started (RFC 6298 section 5.1), or its deadline moved by at least a quarter of the
    /// timeout since this was last told.
    RtoArmed {
        /// When it fires.
        due: Instant,
        /// The timeout.
        rto: Duration,
        /// How often it was doubled.
        backoff: u32,
    },
    /// Nothing is in flight any more: the retransmission timer stands still (RFC 6298 section 5.2).
    RtoStopped,
    /// The retransmission timer fired (RFC 6298 section 5.4 to 5.6), that of a SYN too.
    RtoFired {
        /// Bytes on their way before it.
        in_flight: u64,
        /// How often it fired for the same segment, this time included.
        retries: u32,
        /// The timeout from now on, backed off.
        rto: Duration,
    },
    /// The probe timer fired: a tail-loss probe goes out (RFC 8985 section 7.3).
    LossProbe {
        /// Bytes on their way.
        in_flight: u64,
    },
    /// A tail-loss probe has repaired a loss that nothing else told of: the window is reduced for it (RFC 8985
    /// section 7.4.2).
    LossProbeRepaired,
    /// Segments count as lost.
    Lost {
        /// What says so.
        by: LostBy,
        /// Sequence numbers that were marked now.
        bytes: u32,
        /// Of these, those that had been sent again.
        again: u32,
        /// All that is lost and not sent again.
        total: u32,
    },
    /// The peer reports that the network has marked what was sent (RFC 3168, RFC 9768).
    Marked {
        /// Packets; with classic ECN all that the acknowledgment reports.
        packets: u32,
        /// Bytes; an estimate without the accurate ECN option.
        bytes: u32,
        /// They are the first of a window of data, so that the congestion control answers.
        first: bool,
    },
    /// The peer has forgotten what it reported by SACK (RFC 2018 section 8).
    Reneged {
        /// Sequence numbers that count as in flight again.
        bytes: u32,
    },
    /// A reduction of the window was not needed, and was taken back (RFC 4015 section 3).
    Spurious {
        /// Which.
        what: Reduction,
        /// What proves it.
        by: Evidence,
    },
    /// The loss recovery went from one phase to another: `open`, `disorder`, `cwr`, `recovery` or `loss`, as in `ss`.
    Recovery {
        /// Before.
        from: &'static str,
        /// Now.
        to: &'static str,
        /// Bytes on their way (the pipe of RFC 6675).
        in_flight: u64,
        /// Bytes that the peer reported beyond SND.UNA.
        sacked: u32,
        /// Bytes that count as lost.
        lost: u32,
    },
    /// The path was seen to reorder (RFC 8985 section 6.2 step 3).
    Reordering {
        /// How long a segment may be overtaken from now on.
        reo_wnd: Duration,
    },
    /// The congestion window changed (RFC 5681).
    Cwnd {
        /// Before; 0 at first.
        from: u64,
        /// Now.
        to: u64,
    },
    /// The slow start threshold changed (RFC 5681); `None` is infinite.
    Ssthresh {
        /// Before.
        from: Option<u64>,
        /// Now.
        to: Option<u64>,
    },
    /// The pacing rate changed by at least a sixteenth since this was last told; `None` is unpaced.
    PacingRate {
        /// Before.
        from: Option<u64>,
        /// Now.
        to: Option<u64>,
    },
    /// The congestion control was chosen, or another took its place.
    Congestion {
        /// Before; empty at first.
        from: &'static str,
        /// Now.
        to: &'static str,
    },
    /// The congestion control went from one of its phases to another: `slow_start`, `css` (RFC 9406), `avoidance`, or
    /// those of BBR.
    Phase {
        /// Before.
        from: &'static str,
        /// Now.
        to: &'static str,
    },
    /// The peer closed its window, or opened it again (RFC 9293 section 3.8.6.1).
    PeerWindow {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// Our window is used up, or has room again.
    OurWindow {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// The persist timer fired: the peer's window is probed (RFC 9293 section 3.8.6.1).
    WindowProbe {
        /// Probes since the window closed, this one included.
        backoff: u32,
        /// Until the next.
        next: Duration,
    },
    /// The peer was silent for long: it is probed (RFC 9293 section 3.8.4).
    Keepalive {
        /// Probes without an answer, this one included.
        probes: u8,
        /// How many there will be before the peer counts as gone.
        of: u8,
    },
}

/// What says that a segment is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostBy {
    /// Something that was sent later has been delivered, and the patience is over (RFC 8985 section 6.2).
    Rack,
    /// The same, as the reordering timer found (RFC 8985 section 6.2 step 5).
    ReorderingTimer,
    /// Three duplicate acknowledgments, without SACK (RFC 5681 section 3.2).
    DupThresh,
    /// An acknowledgment within a recovery that is for a part only, without SACK (RFC 6582 section 3.2 step 3).
    PartialAck,
    /// The retransmission timer (RFC 8985 section 6.3, RFC 6298 section 5.4).
    Rto,
}

/// A reduction of the congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// That of a fast recovery.
    Recovery,
    /// That of a timeout.
    Timeout,
}

/// What proves that a reduction was not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// All that was sent again has arrived twice (RFC 3708 section 2).
    Dsack,
    /// A timestamp: the acknowledgment is for the original (Eifel, RFC 3522).
    Timestamp,
    /// What was not sent again was acknowledged after the timeout (F-RTO, RFC 5682).
    Frto,
}

/// A value of one field of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; the unit is in the field's name, bytes if there is none.
    Number(u64),
    /// A word without spaces.
    Word(&'static str),
    /// Not there: infinite, unlimited, or no error.
    Nothing,
}

/// The most fields that a decision has.
const MOST: usize = 5;

type Named = (&'static str, Value);

impl Decision {
    /// The word for its kind: `rto_fired`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Ended { .. } => "ended",
            Self::Mss { .. } => "mss",
            Self::MtuProbe { .. } => "mtu_probe",
            Self::MtuProbed { .. } => "mtu_probed",
            Self::BlackHole { .. } => "black_hole",
            Self::Rtt { .. } => "rtt",
            Self::RtoArmed { .. } => "rto_armed",
            Self::RtoStopped => "rto_stopped",
            Self::RtoFired { .. } => "rto_fired",
            Self::LossProbe { .. } => "loss_probe",
            Self::LossProbeRepaired => "loss_probe_repaired",
            Self::Lost { .. } => "lost",
            Self::Marked { .. } => "marked",
            Self::Reneged { .. } => "reneged",
            Self::Spurious { .. } => "spurious",
            Self::Recovery { .. } => "recovery",
            Self::Reordering { .. } => "reordering",
            Self::Cwnd { .. } => "cwnd",
            Self::Ssthresh { .. } => "ssthresh",
            Self::PacingRate { .. } => "pacing_rate",
            Self::Congestion { .. } => "congestion",
            Self::Phase { .. } => "phase",
            Self::PeerWindow { .. } => "peer_window",
            Self::OurWindow { .. } => "our_window",
            Self::WindowProbe { .. } => "window_probe",
            Self::Keepalive { .. } => "keepalive",
        }
    }

    /// Its fields by name, in a fixed order; times are in microseconds (`..._us`).
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let number = |name, n: u64| Some((name, Value::Number(n)));
        let word = |name, word| Some((name, Value::Word(word)));
        let maybe = |name, n: Option<u64>| Some((name, n.map_or(Value::Nothing, Value::Number)));
        let us = |name, span: Duration| Some((name, Value::Number(span.as_micros())));
        let fields: [Option<Named>; MOST] = match *self {
            Self::State { from, to } => fill([word("from", from.name()), word("to", to.name())]),
            Self::Ended { error } => {
                fill([Some(("error", error.map_or(Value::Nothing, |error| Value::Word(error.word()))))])
            }
            Self::Mss { from, to }
            | Self::BlackHole { from, to }
            | Self::PeerWindow { from, to }
            | Self::OurWindow { from, to } => fill([number("from", from.into()), number("to", to.into())]),
            Self::MtuProbe { size, low, high } => {
                fill([number("size", size.into()), number("low", low.into()), number("high", high.into())])
            }
            Self::MtuProbed { size, passes } => {
                fill([number("size", size.into()), number("passes", passes.into())])
            }
            Self::Rtt { sample, srtt, rttvar, rto } => fill([
                us("sample_us", sample),
                us("srtt_us", srtt),
                us("rttvar_us", rttvar),
                us("rto_us", rto),
            ]),
            Self::RtoArmed { due, rto, backoff } => fill([
                number("due_us", due.as_micros()),
                us("rto_us", rto),
                number("backoff", backoff.into()),
            ]),
            Self::RtoStopped | Self::LossProbeRepaired => fill([]),
            Self::RtoFired { in_flight, retries, rto } => {
                fill([number("in_flight", in_flight), number("retries", retries.into()), us("rto_us", rto)])
            }
            Self::LossProbe { in_flight } => fill([number("in_flight", in_flight)]),
            Self::Lost { by, bytes, again, total } => fill([
                word("by", by.word()),
                number("bytes", bytes.into()),
                number("again", again.into()),
                number("total", total.into()),
            ]),
            Self::Marked { packets, bytes, first } => fill([
                number("packets", packets.into()),
                number("bytes", bytes.into()),
                number("first", first.into()),
            ]),
            Self::Reneged { bytes } => fill([number("bytes", bytes.into())]),
            Self::Spurious { what, by } => fill([word("what", what.word()), word("by", by.word())]),
            Self::Recovery { from, to, in_flight, sacked, lost } => fill([
                word("from", from),
                word("to", to),
                number("in_flight", in_flight),
                number("sacked", sacked.into()),
                number("lost", lost.into()),
            ]),
            Self::Reordering { reo_wnd } => fill([us("reo_wnd_us", reo_wnd)]),
            Self::Cwnd { from, to } => fill([number("from", from), number("to", to)]),
            Self::Ssthresh { from, to } | Self::PacingRate { from, to } => {
                fill([maybe("from", from), maybe("to", to)])
            }
            Self::Congestion { from, to } | Self::Phase { from, to } => {
                fill([word("from", from), word("to", to)])
            }
            Self::WindowProbe { backoff, next } => {
                fill([number("backoff", backoff.into()), us("next_us", next)])
            }
            Self::Keepalive { probes, of } => {
                fill([number("probes", probes.into()), number("of", of.into())])
            }
        };
        fields.into_iter().flatten()
    }
}

/// The fields, and nothing in what is left of the room for them.
fn fill<const N: usize>(fields: [Option<Named>; N]) -> [Option<Named>; MOST] {
    let mut all = [None; MOST];
    all[..N].copy_from_slice(&fields);
    all
}

impl LostBy {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rack => "rack",
            Self::ReorderingTimer => "reordering_timer",
            Self::DupThresh => "dupthresh",
            Self::PartialAck => "partial_ack",
            Self::Rto => "rto",
        }
    }
}

impl Reduction {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::Timeout => "timeout",
        }
    }
}

impl Evidence {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dsack => "dsack",
            Self::Timestamp => "timestamp",
            Self::Frto => "frto",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
            Self::Nothing => f.write_str("none"),
        }
    }
}

/// As words: `rto_fired in_flight=14600 retries=1 rto_us=400000`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.fields().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Units;

    #[test]
    fn a_decision_is_written_as_words() {
        let fired = Decision::RtoFired { in_flight: 14_600, retries: 1, rto: 400.ms() };
        assert_eq!(fired.to_string(), "rto_fired in_flight=14600 retries=1 rto_us=400000");
        let first = Decision::Ssthresh { from: None, to: Some(7300) };
        assert_eq!(first.to_string(), "ssthresh from=none to=7300");
        let over = Decision::Ended { error: Some(Error::TimedOut) };
        assert_eq!(over.to_string(), "ended error=timed_out");
        assert_eq!(Decision::RtoStopped.to_string(), "rto_stopped");
    }

    #[test]
    fn a_decision_is_small() {
        assert!(size_of::<Decided>() <= 64, "{} bytes", size_of::<Decided>());
    }
}
