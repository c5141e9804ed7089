//! The dice: a random stream for each kind of impairment.
//!
//! Every kind draws the same number of times for every frame, whether it is switched on or not. So switching one
//! on, or turning it up, changes none of the decisions of another.

use super::fate::{Corruption, Drop, Fate};
use super::impair::{Chance, Distribution, Impairment, Loss, Probability};
use crate::rng::Rng;
use crate::time::Duration;

/// The decisions of one direction, drawn.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    delay: Jitter,
    copy_delay: Jitter,
    loss: LossDice,
    duplicate: Luck,
    corrupt: Luck,
    corrupt_at: Rng,
    reorder: Luck,
    /// Frames since the last that overtook.
    since_reorder: u32,
}

/// The streams of one direction.
#[derive(Clone, Copy)]
enum Stream {
    Delay,
    CopyDelay,
    Loss,
    Duplicate,
    Corrupt,
    CorruptAt,
    Reorder,
}

impl Dice {
    /// Dice for one direction: `seed` and `direction` alone decide what they show.
    pub(super) fn new(seed: u64, direction: u64) -> Self {
        let rng = |stream: Stream| {
            let stream = direction << 3 | stream as u64;
            // Generators with one state and neighbouring streams resemble each other: mix the stream into the state.
            Rng::new(mix(seed ^ mix(stream)), stream)
        };
        Self {
            delay: Jitter::new(rng(Stream::Delay)),
            copy_delay: Jitter::new(rng(Stream::CopyDelay)),
            loss: LossDice { luck: Luck::new(rng(Stream::Loss)), state: LossState::Gap },
            duplicate: Luck::new(rng(Stream::Duplicate)),
            corrupt: Luck::new(rng(Stream::Corrupt)),
            corrupt_at: rng(Stream::CorruptAt),
            reorder: Luck::new(rng(Stream::Reorder)),
            since_reorder: 0,
        }
    }

    /// The fate of the next frame, of `len` bytes.
    pub(super) fn roll(&mut self, config: &Impairment, len: usize) -> Fate {
        let delay = self.delay.roll(config);
        let copy_delay = self.copy_delay.roll(config);
        let lost = self.loss.roll(&config.loss);
        let duplicate = self.duplicate.roll(&config.duplicate);
        let corrupt = self.corrupt.roll(&config.corrupt);
        let corruption = Corruption::at(self.corrupt_at.next_u64(), len);
        let overtakes = self.reorder.roll(&config.reorder.chance);
        let may_overtake = self.since_reorder.saturating_add(1) >= config.reorder.gap;
        let reorder = overtakes && may_overtake;
        self.since_reorder = if reorder { 0 } else { self.since_reorder.saturating_add(1) };
        if lost {
            return Fate { drop: Some(Drop::Loss), ..Fate::PLAIN };
        }
        Fate {
            drop: None,
            delay: if reorder { Duration::ZERO } else { delay },
            reorder,
            duplicate: duplicate.then_some(copy_delay),
            mark: false,
            corrupt: corruption.filter(|_| corrupt),
        }
    }
}

/// The finaliser of splitmix64: every bit of the answer depends on every bit of `x`.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A uniform number a frame, now and then that of the frame before.
#[derive(Clone, Debug)]
struct Luck {
    rng: Rng,
    last: f64,
}

impl Luck {
    fn new(mut rng: Rng) -> Self {
        let last = rng.unit();
        Self { rng, last }
    }

    fn roll(&mut self, chance: &Chance) -> bool {
        self.draw(chance.correlation) < chance.probability.get()
    }

    fn draw(&mut self, correlation: Probability) -> f64 {
        let (fresh, repeat) = (self.rng.unit(), self.rng.unit());
        if repeat >= correlation.get() {
            self.last = fresh;
        }
        self.last
    }
}

/// A deviate a frame, for each distribution from the same draws.
#[derive(Clone, Debug)]
struct Jitter {
    rng: Rng,
    last: [u64; 3],
}

impl Jitter {
    fn new(mut rng: Rng) -> Self {
        let last = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        Self { rng, last }
    }

    fn roll(&mut self, config: &Impairment) -> Duration {
        let fresh = [self.rng.next_u64(), self.rng.next_u64(), self.rng.next_u64()];
        if self.rng.unit() >= config.delay_correlation.get() {
            self.last = fresh;
        }
        if config.jitter.is_zero() {
            return config.delay;
        }
        let deviate = match config.distribution {
            Distribution::Uniform => 2.0 * unit(self.last[0]) - 1.0,
            Distribution::Normal => normal(&self.last),
            Distribution::Pareto => pareto(unit(self.last[0])),
        };
        let shift = Duration::from_nanos((config.jitter.as_nanos() as f64 * deviate.abs()) as u64);
        if deviate < 0.0 { config.delay - shift } else { config.delay + shift }
    }
}

/// Uniform in `[0, 1)`.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Mean 0, standard deviation 1: the sum of twelve uniform numbers (16 bits each). Only additions, so that a seed
/// means the same on every machine.
fn normal(bits: &[u64; 3]) -> f64 {
    let quarters = bits.iter().flat_map(|word| (0..4).map(move |i| (word >> (16 * i)) & 0xffff));
    let sum: u64 = quarters.sum();
    (sum as f64 + 6.0) / 65_536.0 - 6.0
}

/// Mean 0, standard deviation 1 before it is cut: the inverse of the Pareto distribution of shape 3.
fn pareto(u: f64) -> f64 {
    const MEAN: f64 = 1.5;
    const DEVIATION: f64 = 0.866_025_403_784_438_6;
    const LARGEST: f64 = 16.0;
    /// Beyond it the root is past what `LARGEST` cuts.
    const SMALLEST: f64 = 1.0 / 4096.0;
    ((inverse_cube_root((1.0 - u).max(SMALLEST)) - MEAN) / DEVIATION).min(LARGEST)
}

/// `x` to the power of -1/3 for `x` from 1/4096 to 1, by Newton's method: a library's root may differ between machines.
fn inverse_cube_root(x: f64) -> f64 {
    // It climbs to the root from below, at first by a third each time: ten steps to 16, and a few to be exact.
    (0..18).fold(1.0, |y, _| y * (4.0 - x * y * y * y) / 3.0)
}

/// Which frames are lost.
#[derive(Clone, Debug)]
struct LossDice {
    luck: Luck,
    state: LossState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LossState {
    /// Passing, in a gap (Markov 1), or good (Gilbert-Elliott).
    Gap,
    /// Passing, in a burst (Markov 2).
    BurstPassing,
    /// Lost, in a burst (Markov 3), or bad (Gilbert-Elliott).
    Burst,
    /// Lost alone in a gap (Markov 4).
    Alone,
}

impl LossDice {
    fn roll(&mut self, loss: &Loss) -> bool {
        let correlation = match loss {
            Loss::Random(chance) => chance.correlation,
            _ => Probability::NEVER,
        };
        let draw = self.luck.draw(correlation);
        let second = self.luck.rng.unit();
        match loss {
            Loss::None => false,
            Loss::Random(chance) => draw < chance.probability.get(),
            Loss::Markov { p13, p31, p32, p23, p14 } => {
                self.state = match self.state {
                    LossState::Gap if draw < p14.get() => LossState::Alone,
                    LossState::Gap if draw < p14.get() + p13.get() => LossState::Burst,
                    LossState::BurstPassing if draw < p23.get() => LossState::Burst,
                    LossState::Burst if draw < p32.get() => LossState::BurstPassing,
                    LossState::Burst if draw < p32.get() + p31.get() => LossState::Gap,
                    LossState::Alone => LossState::Gap,
                    same => same,
                };
                matches!(self.state, LossState::Burst | LossState::Alone)
            }
            Loss::GilbertElliott { p, r, bad_loss, good_loss } => {
                let bad = self.state == LossState::Burst;
                let (leave, lost) = if bad { (r, bad_loss) } else { (p, good_loss) };
                if draw < leave.get() {
                    self.state = if bad { LossState::Gap } else { LossState::Burst };
                }
                second < lost.get()
            }
        }
    }
}

#[cfg(test)]
mod tests;
