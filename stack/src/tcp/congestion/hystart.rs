//! HyStart++: leaves slow start when the round-trip time tells of a queue, before the queue overflows (RFC 9406).

use super::AckSample;
use crate::buf::packed::{Packed, Packer, Unpacker, packed};
use crate::time::Duration;

/// The first slow start of a connection.
///
/// ```text
///              round-trip time rose                 five rounds of that
///   Slow start --------------------> Conservative ----------------------> over: congestion avoidance
///        ^                                |
///        +---- it fell again: noise ------+
/// ```
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    phase: Phase,
    /// A round ends when something is acknowledged that left after this much was delivered.
    round_end: u64,
    last_round_min: Option<Duration>,
    current_round_min: Option<Duration>,
    samples: u32,
}

packed!(HyStart { phase, round_end, last_round_min, current_round_min, samples });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SlowStart,
    /// CSS: grows by a quarter, to see whether the rise was real.
    Conservative {
        baseline: Duration,
        rounds: u8,
    },
    Over,
}

impl Packed for Phase {
    fn pack(&self, to: &mut Packer) {
        let (kind, baseline, rounds) = match *self {
            Self::SlowStart => (0_u8, Duration::ZERO, 0),
            Self::Over => (1, Duration::ZERO, 0),
            Self::Conservative { baseline, rounds } => (2, baseline, rounds),
        };
        kind.pack(to);
        baseline.pack(to);
        rounds.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match (u8::unpack(from), Duration::unpack(from), u8::unpack(from)) {
            (0, ..) => Self::SlowStart,
            (1, ..) => Self::Over,
            (_, baseline, rounds) => Self::Conservative { baseline, rounds },
        }
    }
}

/// How slow start goes on after an acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// As RFC 5681 has it.
    Full,
    /// By a fourth of that (CSS_GROWTH_DIVISOR).
    Quarter,
    /// No more: the window is the threshold from now on.
    Stop,
}

/// MIN_RTT_THRESH and MAX_RTT_THRESH of section 4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
/// MIN_RTT_DIVISOR.
const MIN_RTT_DIVISOR: u64 = 8;
/// N_RTT_SAMPLE: fewer in a round say nothing.
const N_RTT_SAMPLE: u32 = 8;
/// CSS_ROUNDS.
const CSS_ROUNDS: u8 = 5;

impl HyStart {
    /// For a connection whose threshold is `ssthresh`: section 4.3 asks for the first slow start alone.
    pub(super) fn new(ssthresh: u64) -> Self {
        let phase = if ssthresh == u64::MAX { Phase::SlowStart } else { Phase::Over };
        Self { phase, round_end: 0, last_round_min: None, current_round_min: None, samples: 0 }
    }

    /// A loss or a timeout ended the first slow start.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Over;
    }

    /// Whether the conservative part is under way.
    pub(super) fn is_conservative(&self) -> bool {
        matches!(self.phase, Phase::Conservative { .. })
    }

    /// An acknowledgment in slow start.
    pub(super) fn handle_ack(&mut self, ack: &AckSample) -> Growth {
        if self.phase == Phase::Over {
            return Growth::Full;
        }
        if ack.rate.has_newest() && ack.rate.prior_delivered >= self.round_end {
            self.begin_round(ack.delivered);
        }
        if let Some(rtt) = ack.rtt {
            self.current_round_min = Some(self.current_round_min.map_or(rtt, |least| least.min(rtt)));
            self.samples += 1;
        }
        self.judge();
        match self.phase {
            Phase::SlowStart => Growth::Full,
            Phase::Conservative { rounds, .. } if rounds < CSS_ROUNDS => Growth::Quarter,
            Phase::Conservative { .. } | Phase::Over => {
                self.phase = Phase::Over;
                Growth::Stop
            }
        }
    }

    fn begin_round(&mut self, delivered: u64) {
        self.round_end = delivered;
        self.last_round_min = self.current_round_min.take();
        self.samples = 0;
        if let Phase::Conservative { rounds, .. } = &mut self.phase {
            *rounds += 1;
        }
    }

    fn judge(&mut self) {
        let (Some(current), true) = (self.current_round_min, self.samples >= N_RTT_SAMPLE) else { return };
        match self.phase {
            Phase::SlowStart => {
                let Some(last) = self.last_round_min else { return };
                let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last + threshold {
                    self.phase = Phase::Conservative { baseline: current, rounds: 0 };
                }
            }
            // Section 4.2: the rise was no queue.
            Phase::Conservative { baseline, .. } if current < baseline => self.phase = Phase::SlowStart,
            Phase::Conservative { .. } | Phase::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RateSample;
    use super::super::testing::ack;
    use super::*;
    use crate::time::{Units, at};

    /// Rounds of ten acknowledgments of 1000 bytes each.
    struct Path {
        hystart: HyStart,
        delivered: u64,
    }

    impl Path {
        fn new() -> Self {
            Self { hystart: HyStart::new(u64::MAX), delivered: 0 }
        }

        /// What a round of acknowledgments answers, the last of them.
        fn round(&mut self, rtt_ms: u64) -> Growth {
            let prior_delivered = self.delivered;
            let mut growth = Growth::Full;
            for _ in 0..10 {
                self.delivered += 1000;
                let rate = RateSample { prior_delivered, tx_in_flight: 10_000, ..RateSample::default() };
                let rtt = Some(rtt_ms.ms());
                growth = self.hystart.handle_ack(&AckSample {
                    rtt,
                    delivered: self.delivered,
                    rate,
                    ..ack(at(0.ms()), 1000)
                });
                if growth == Growth::Stop {
                    break;
                }
            }
            growth
        }
    }

    #[test]
    fn a_steady_round_trip_time_leaves_slow_start_alone() {
        let mut path = Path::new();
        for rtt in [100, 101, 105, 110, 111] {
            assert_eq!(path.round(rtt), Growth::Full);
        }
    }

    /// RFC 9438 section 4.10 (SHLD-7).
    #[test]
    fn five_rounds_of_a_longer_round_trip_end_it() {
        let mut path = Path::new();
        assert_eq!([path.round(100), path.round(113)], [Growth::Full, Growth::Quarter]);
        for _ in 0..4 {
            assert_eq!(path.round(120), Growth::Quarter);
        }
        assert_eq!(path.round(120), Growth::Stop);
        assert_eq!(path.round(300), Growth::Full, "it is over for good");
    }

    #[test]
    fn noise_is_forgiven() {
        let mut path = Path::new();
        assert_eq!([path.round(100), path.round(113)], [Growth::Full, Growth::Quarter]);
        assert_eq!(path.round(100), Growth::Full);
    }

    #[test]
    fn the_threshold_has_bounds() {
        let mut path = Path::new();
        assert_eq!([path.round(8), path.round(11)], [Growth::Full; 2], "less than 4 ms");
        assert_eq!(path.round(16), Growth::Quarter);
        let mut path = Path::new();
        assert_eq!([path.round(400), path.round(416)], [Growth::Full, Growth::Quarter]);
    }

    #[test]
    fn a_later_slow_start_does_without() {
        let mut path = Path { hystart: HyStart::new(10_000), delivered: 0 };
        assert_eq!([path.round(100), path.round(200)], [Growth::Full; 2]);
    }
}
