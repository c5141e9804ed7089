//! How much may be in flight: the interface of a congestion control, and the choice of one.

pub mod bbr;
pub mod cubic;
mod hystart;
pub mod reno;
mod validation;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use reno::NewReno;

pub use super::rate::{LostSegment, RateSample};

use crate::time::{Duration, Instant};
use core::fmt;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The gains of a congestion control that works by a model of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gains {
    /// The rate to send at, in percent of the bandwidth.
    pub pacing: u16,
    /// The window, in percent of the bandwidth-delay product.
    pub cwnd: u16,
}

/// A congestion control: a value that hears what was acknowledged and lost, and says how many bytes may be in flight.
///
/// It decides about the window alone. What is lost, what is sent again and how the reduction is spread over the
/// acknowledgments of a recovery is decided elsewhere. All sizes are bytes of TCP payload.
///
/// Implement it to try one of your own, and hand it to a socket as [`Algorithm::custom`].
pub trait Congestion: fmt::Debug + Send {
    /// A short name: `cubic`.
    fn name(&self) -> &'static str;

    /// The congestion window in bytes: at least one SMSS.
    fn cwnd(&self) -> u64;

    /// The slow start threshold in bytes; [`u64::MAX`] before the first loss.
    fn ssthresh(&self) -> u64;

    /// The rate to pace at, in bytes per second; None leaves the window alone to limit.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// A word for what it does now: `slow_start`, or a state of its own. Empty if it has no states.
    fn phase(&self) -> &'static str {
        ""
    }

    /// The bandwidth of the path in bytes per second, if it has an estimate of it.
    fn bandwidth(&self) -> Option<u64> {
        None
    }

    /// The rate that it sends at and the window, in percent of bandwidth and bandwidth-delay product, if it works by
    /// them.
    fn gains(&self) -> Option<Gains> {
        None
    }

    /// Whether it sends less than the path takes on purpose now, so that rates measured meanwhile say nothing about it.
    fn holds_back(&self) -> bool {
        false
    }

    /// Whether the window follows a loss by itself, so that a recovery must not spread the reduction over its
    /// acknowledgments: for those that have a model of the path instead of a threshold.
    fn paces_recovery(&self) -> bool {
        false
    }

    /// `sent.bytes` left.
    fn on_sent(&mut self, sent: &Sent) {
        let _ = sent;
    }

    /// Bytes were marked lost; told before the acknowledgment, congestion event or timeout that says so.
    fn on_lost(&mut self, now: Instant, lost: &LostSegment) {
        let _ = (now, lost);
    }

    /// New data was acknowledged (cumulatively or by SACK).
    fn on_ack(&mut self, ack: &AckSample);

    /// A congestion event: at most one per window of data, at the start of a fast recovery or for an ECN echo.
    /// Afterwards `ssthresh` is the window to reach.
    fn on_congestion_event(&mut self, loss: &Loss);

    /// The peer reports that data was marked by the network (ECN). Answers whether the window was reduced as for a
    /// loss, so that a loss of the same window of data reduces it no more.
    ///
    /// As it is, the first report in a window of data is a congestion event, and others are none (RFC 3168 section
    /// 6.1.2), without a milder reduction (RFC 8511), as on Linux. An algorithm that answers to how much was marked
    /// does otherwise; it needs accurate ECN (RFC 9768) to hear of more than one mark in a round trip.
    fn on_ecn(&mut self, signal: &EcnSignal) -> bool {
        if signal.first_in_window {
            let &EcnSignal { now, flight, .. } = signal;
            self.on_congestion_event(&Loss { now, flight, kind: LossKind::Ecn });
        }
        true
    }

    /// The recovery that the last congestion event began is over, with `flight` bytes outstanding.
    fn on_recovery_exit(&mut self, now: Instant, flight: u64);

    /// The retransmission timer fired.
    fn on_rto(&mut self, timeout: &Timeout);

    /// Sending begins again after nothing was sent for longer than a retransmission timeout (RFC 5681 section 4.1).
    fn on_idle_restart(&mut self, now: Instant, idle: Duration);

    /// The last congestion event or timeout was spurious: what was taken is given back.
    fn undo(&mut self, now: Instant);

    /// The sender's maximum segment size changed: the path MTU did.
    fn set_smss(&mut self, smss: u32);
}

/// What one acknowledgment tells.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When it came.
    pub now: Instant,
    /// Bytes that it newly acknowledges cumulatively: 0 if it only reports more by SACK (see `delivered`).
    pub newly_acked: u64,
    /// FlightSize before it: bytes sent and not cumulatively acknowledged.
    pub flight: u64,
    /// Bytes on their way after it: without what is sacked or lost.
    pub in_flight: u64,
    /// The round-trip time that it measured, if it could.
    pub rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Least round-trip time of the last minutes.
    pub min_rtt: Option<Duration>,
    /// The window was not what limited sending since the last one: the application or the peer's window was.
    /// In slow start half of the window in use is enough (RFC 7661 section 4.3).
    pub app_limited: bool,
    /// What it acknowledges left while the window was the limit.
    pub cwnd_limited: bool,
    /// A fast recovery is under way, begun by a congestion event. False in the slow start that repairs a timeout.
    pub in_recovery: bool,
    /// The slow start that repairs a timeout is under way.
    pub after_timeout: bool,
    /// All bytes delivered so far in the connection, those that it reports included.
    pub delivered: u64,
    /// How fast the path delivered what it reports.
    pub rate: RateSample,
}

/// Data that left.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When.
    pub now: Instant,
    /// How much.
    pub bytes: u64,
    /// Bytes on their way before it.
    pub in_flight: u64,
    /// The application, not the window, was the limit when what came before it was sent.
    pub app_limited: bool,
}

/// A congestion event.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// When it was noticed.
    pub now: Instant,
    /// FlightSize (RFC 5681): bytes sent and not cumulatively acknowledged.
    pub flight: u64,
    /// How it was noticed.
    pub kind: LossKind,
}

/// How a congestion event was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// By duplicate acknowledgments or SACK: a segment is lost.
    Fast,
    /// By an ECN echo (RFC 3168): nothing is lost yet.
    Ecn,
}

/// A report of marks.
#[derive(Clone, Copy, Debug)]
pub struct EcnSignal {
    /// When it came.
    pub now: Instant,
    /// FlightSize (RFC 5681) before it.
    pub flight: u64,
    /// Bytes that the same acknowledgment reports as delivered.
    pub newly_acked: u64,
    /// Packets that were marked. Classic ECN does not say: then all that the acknowledgment reports count.
    pub packets: u64,
    /// Bytes that were marked; an estimate without the accurate ECN option.
    pub bytes: u64,
    /// It is the first in a window of data, in which nothing was found to be lost either.
    pub first_in_window: bool,
}

/// An expiry of the retransmission timer.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// When it fired.
    pub now: Instant,
    /// Bytes on their way before anything was declared lost: FlightSize (RFC 5681) without what SACK has reported.
    pub flight: u64,
    /// It has fired for the same segment before.
    pub repeated: bool,
    /// A recovery from an earlier timeout, of whatever segment, was under way: what is to be restored if that was
    /// needless stays what it was before the first (RFC 4015 section 3.1).
    pub again: bool,
}

/// What a congestion control begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// When the connection was established.
    pub now: Instant,
    /// Sender's maximum segment size in bytes.
    pub smss: u32,
    /// The first window in bytes.
    pub cwnd: u64,
    /// The first threshold: [`u64::MAX`] unless another congestion control is replaced.
    pub ssthresh: u64,
    /// Smoothed round-trip time, if it was measured.
    pub srtt: Option<Duration>,
    /// What is sent is paced even if the congestion control does not ask for it.
    pub paced: bool,
    /// For the choices that are to be random: the same seed makes the same choices.
    pub seed: u64,
}

impl Start {
    /// The start of a new connection. If the SYN or SYN-ACK was lost the window begins with one segment.
    pub fn new(now: Instant, smss: u32, handshake_lost: bool) -> Self {
        // RFC 5681 section 3.1: after a lost SYN the initial window is one segment.
        let cwnd = if handshake_lost { u64::from(smss) } else { initial_window(smss) };
        Self { now, smss, cwnd, ssthresh: u64::MAX, srtt: None, paced: false, seed: 0 }
    }
}

/// The initial window in bytes: ten segments, within bounds (RFC 6928 section 2).
pub fn initial_window(smss: u32) -> u64 {
    let smss = u64::from(smss);
    (10 * smss).min((2 * smss).max(14_600))
}

/// Which congestion control a connection uses.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// [`NewReno`]: RFC 5681 and RFC 6582.
    NewReno,
    /// [`Cubic`]: RFC 9438.
    #[default]
    Cubic,
    /// [`Bbr`]: version 3 of draft-ietf-ccwg-bbr.
    Bbr,
    /// One of the user's own.
    Custom(Factory),
}

/// Makes a congestion control for each connection.
pub type Factory = Arc<dyn Fn(&Start) -> Box<dyn Congestion> + Send + Sync>;

impl Algorithm {
    /// One of the user's own: `make` is called for each connection.
    pub fn custom<C: Congestion + 'static>(make: impl Fn(&Start) -> C + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(move |start| Box::new(make(start))))
    }

    /// The names that [`Self::named`] knows.
    pub const NAMES: [&'static str; 3] = ["reno", "cubic", "bbr"];

    /// The algorithm of that name: `reno`, `cubic` or `bbr`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "reno" | "newreno" => Some(Self::NewReno),
            "cubic" => Some(Self::Cubic),
            "bbr" => Some(Self::Bbr),
            _ => None,
        }
    }

    /// Makes one for a connection.
    pub fn build(&self, start: &Start) -> Controller {
        match self {
            Self::NewReno => Controller::NewReno(NewReno::new(start)),
            Self::Cubic => Controller::Cubic(Cubic::new(start)),
            Self::Bbr => Controller::Bbr(Box::new(Bbr::new(start))),
            Self::Custom(make) => Controller::Custom(make(start)),
        }
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewReno => "NewReno",
            Self::Cubic => "Cubic",
            Self::Bbr => "Bbr",
            Self::Custom(_) => "Custom",
        })
    }
}

/// The congestion control of one connection; what it can do is said by [`Congestion`], to which it dereferences.
#[derive(Debug)]
pub enum Controller {
    /// The one of RFC 5681 and RFC 6582.
    NewReno(NewReno),
    /// The one of RFC 9438.
    Cubic(Cubic),
    /// The one of draft-ietf-ccwg-bbr.
    Bbr(Box<Bbr>),
    /// The user's own.
    Custom(Box<dyn Congestion>),
}

impl Deref for Controller {
    type Target = dyn Congestion;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::NewReno(reno) => reno,
            Self::Cubic(cubic) => cubic,
            Self::Bbr(bbr) => &**bbr,
            Self::Custom(custom) => &**custom,
        }
    }
}

impl DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::NewReno(reno) => reno,
            Self::Cubic(cubic) => cubic,
            Self::Bbr(bbr) => &mut **bbr,
            Self::Custom(custom) => &mut **custom,
        }
    }
}

/// Bytes by which slow start opens the window for one acknowledgment: what it acknowledges, `limit` segments at most
/// (appropriate byte counting, RFC 3465 section 2.3: an acknowledgment for much must not release a burst).
fn slow_start_increase(newly_acked: u64, limit: u64, smss: u32) -> u64 {
    newly_acked.min(limit * u64::from(smss))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    #[test]
    fn the_initial_window_is_ten_segments_within_bounds() {
        assert_eq!(initial_window(1460), 14_600);
        assert_eq!(initial_window(536), 5360);
        assert_eq!(initial_window(9000), 18_000);
        assert_eq!(initial_window(5000), 14_600);
        assert_eq!(Start::new(at(0.ms()), 1460, true).cwnd, 1460);
    }

    #[test]
    fn an_algorithm_builds_what_it_names() {
        let start = Start::new(at(0.ms()), 1000, false);
        for (algorithm, name) in
            [(Algorithm::NewReno, "reno"), (Algorithm::default(), "cubic"), (Algorithm::Bbr, "bbr")]
        {
            let built = algorithm.build(&start);
            assert_eq!((built.name(), built.cwnd()), (name, 10_000));
            assert_eq!(Algorithm::named(name).unwrap().build(&start).name(), name);
        }
        assert!(Algorithm::named("vegas").is_none());
    }

    #[test]
    fn a_users_own_is_asked_for_everything() {
        #[derive(Debug)]
        struct Fixed(u64);
        impl Congestion for Fixed {
            fn name(&self) -> &'static str {
                "fixed"
            }
            fn cwnd(&self) -> u64 {
                self.0
            }
            fn ssthresh(&self) -> u64 {
                u64::MAX
            }
            fn pacing_rate(&self) -> Option<u64> {
                Some(1_000_000)
            }
            fn on_ack(&mut self, ack: &AckSample) {
                self.0 += ack.newly_acked;
            }
            fn on_congestion_event(&mut self, _: &Loss) {}
            fn on_recovery_exit(&mut self, _: Instant, _: u64) {}
            fn on_rto(&mut self, _: &Timeout) {}
            fn on_idle_restart(&mut self, _: Instant, _: Duration) {}
            fn undo(&mut self, _: Instant) {}
            fn set_smss(&mut self, _: u32) {}
        }
        let algorithm = Algorithm::custom(|start| Fixed(3 * u64::from(start.smss)));
        let mut built = algorithm.build(&Start::new(at(0.ms()), 1000, false));
        built.on_ack(&testing::ack(at(0.ms()), 500));
        assert_eq!((built.name(), built.cwnd(), built.pacing_rate()), ("fixed", 3500, Some(1_000_000)));
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// An acknowledgment of `newly_acked` bytes on a path of 100 ms whose window is full.
    pub(super) fn ack(now: Instant, newly_acked: u64) -> AckSample {
        let rtt = Some(Duration::from_millis(100));
        AckSample {
            now,
            newly_acked,
            flight: newly_acked,
            in_flight: newly_acked,
            rtt,
            srtt: rtt,
            min_rtt: rtt,
            app_limited: false,
            cwnd_limited: true,
            in_recovery: false,
            after_timeout: false,
            delivered: 0,
            rate: RateSample { newly_delivered: newly_acked, ..RateSample::default() },
        }
    }
}
