//! What a link does to the frames of one direction, in the vocabulary of Linux' netem.

pub(super) mod text;

pub use text::ImpairmentError;

use crate::time::Duration;

/// What happens to the frames of one direction. The default does nothing to them.
///
/// Reads and writes netem's words: `"delay 50ms 5ms loss 1% reorder 25% gap 5 rate 10mbit".parse()`.
///
/// Correlation means here: with that probability a frame has the same luck as the one before it. Unlike netem's
/// averaging this leaves the probability itself as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Added to each frame.
    pub delay: Duration,
    /// How far the delay varies: half the width (uniform), or one standard deviation (others).
    pub jitter: Duration,
    /// How likely a frame gets the jitter of the one before it.
    pub delay_correlation: Probability,
    /// How the jitter is distributed.
    pub distribution: Distribution,
    /// Which frames are lost.
    pub loss: Loss,
    /// Which frames arrive twice. The copy draws a delay of its own.
    pub duplicate: Chance,
    /// Which frames arrive with one bit flipped.
    pub corrupt: Chance,
    /// Which frames overtake: they skip the delay.
    pub reorder: Reorder,
    /// How fast frames are sent, one after the other; None for no limit.
    pub rate: Option<Rate>,
    /// Most frames that wait for the rate, the one being sent included; None leaves it to `limit`.
    pub queue: Option<usize>,
    /// Marks what is ECN-capable while the queue for the rate is at least so long.
    pub mark: Option<Threshold>,
    /// Keeps the queue for the rate short: marks what is ECN-capable and drops the rest.
    pub codel: Option<Codel>,
    /// Largest IP packet that passes, in bytes; larger ones are lost and nobody is told, as in a black hole (RFC 2923
    /// section 2.1). None lets all pass.
    pub mtu: Option<usize>,
    /// Most frames held in all, waiting or on their way; what comes on top is dropped.
    pub limit: usize,
    /// Seed of this direction's dice; None leaves it to the network or device.
    pub seed: Option<u64>,
}

/// Most frames held unless told otherwise, as in netem.
pub(super) const DEFAULT_LIMIT: usize = 1000;

impl Impairment {
    /// Does nothing to frames.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        delay_correlation: Probability::NEVER,
        distribution: Distribution::Uniform,
        loss: Loss::None,
        duplicate: Chance::NEVER,
        corrupt: Chance::NEVER,
        reorder: Reorder { chance: Chance::NEVER, gap: 1 },
        rate: None,
        queue: None,
        mark: None,
        codel: None,
        mtu: None,
        limit: DEFAULT_LIMIT,
        seed: None,
    };

    /// A wire that takes `delay` from end to end and does nothing else.
    pub const fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::NONE }
    }

    /// Whether the queue marks or drops before it is full.
    pub(super) fn is_managed(&self) -> bool {
        self.mark.is_some() || self.codel.is_some()
    }

    /// Whether frames pass as if there were nothing.
    pub fn is_none(&self) -> bool {
        *self == Self { limit: self.limit, seed: self.seed, ..Self::NONE }
    }
}

impl Default for Impairment {
    fn default() -> Self {
        Self::NONE
    }
}

/// A probability, from 0 to 1. Written and read in percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default)]
pub struct Probability(f64);

impl Probability {
    /// Nothing.
    pub const NEVER: Self = Self(0.0);
    /// Everything.
    pub const ALWAYS: Self = Self(1.0);

    /// A probability from 0 to 1; what is outside becomes the nearest, and not-a-number becomes 0.
    pub fn new(p: f64) -> Self {
        if p.is_nan() { Self::NEVER } else { Self(p.clamp(0.0, 1.0)) }
    }

    /// From 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Something that happens to a frame now and then.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Chance {
    /// How often.
    pub probability: Probability,
    /// How likely a frame has the same luck as the one before it.
    pub correlation: Probability,
}

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self { probability: Probability::NEVER, correlation: Probability::NEVER };

    /// It happens with probability `p`, to each frame independently.
    pub fn of(p: f64) -> Self {
        Self { probability: Probability::new(p), correlation: Probability::NEVER }
    }
}

/// How jitter is distributed around the delay. A delay is never negative: what would be is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Distribution {
    /// Evenly from `delay - jitter` to `delay + jitter`.
    #[default]
    Uniform,
    /// A bell, at most six standard deviations wide to each side.
    Normal,
    /// Mostly a little early, seldom very late: shape 3, with mean `delay`, cut at 16 standard deviations.
    Pareto,
}

/// Which frames are lost.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with the same probability.
    Random(Chance),
    /// Four states: 1 passing in a gap, 2 passing in a burst, 3 lost in a burst, 4 lost alone in a gap.
    Markov {
        /// From a gap into a burst.
        p13: Probability,
        /// From a burst into a gap.
        p31: Probability,
        /// From lost to passing, within a burst.
        p32: Probability,
        /// From passing to lost, within a burst.
        p23: Probability,
        /// From a gap to a lonely loss.
        p14: Probability,
    },
    /// Two states, good and bad, each with its own loss.
    GilbertElliott {
        /// From good to bad.
        p: Probability,
        /// From bad to good.
        r: Probability,
        /// Loss in the bad state (1-h).
        bad_loss: Probability,
        /// Loss in the good state (1-k).
        good_loss: Probability,
    },
}

impl Loss {
    /// Each frame is lost with probability `p`, independently.
    pub fn random(p: f64) -> Self {
        Self::Random(Chance::of(p))
    }
}

/// Which frames overtake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    /// How often.
    pub chance: Chance,
    /// Only every so many frames there is a chance; 1 gives one to each.
    pub gap: u32,
}

impl Default for Reorder {
    fn default() -> Self {
        Impairment::NONE.reorder
    }
}

/// How long a queue is when it begins to mark (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// So many frames wait, the one being sent included.
    Frames(usize),
    /// So many bytes wait, those being sent included.
    Bytes(usize),
}

/// CoDel, which looks at how long frames wait (RFC 8289).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codel {
    /// How long they may.
    pub target: Duration,
    /// For how long they may wait longer than that: about a round trip.
    pub interval: Duration,
}

impl Default for Codel {
    /// RFC 8289 section 4.2 and 4.3: 5 ms and 100 ms.
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}

/// How fast frames are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits a second; 0 is taken as 1.
    pub bits_per_second: u64,
    /// Bytes that each frame costs on top of its length; negative if less of it counts.
    pub overhead: i32,
}

impl Rate {
    /// A rate at which a frame costs just its own length.
    pub const fn bits(bits_per_second: u64) -> Self {
        Self { bits_per_second, overhead: 0 }
    }

    /// How long a frame of `len` bytes takes.
    pub fn time(&self, len: usize) -> Duration {
        let bytes = (len as i128 + i128::from(self.overhead)).max(0) as u128;
        let nanos = (bytes * 8 * 1_000_000_000).div_ceil(u128::from(self.bits_per_second.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
