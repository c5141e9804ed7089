//! Impairments as text: netem's words, read and written.

use core::fmt;
use core::str::FromStr;

use super::{Chance, Codel, DEFAULT_LIMIT, Distribution, Impairment, Loss, Probability, Rate, Threshold};
use crate::time::Duration;

/// Why a text is no impairment: which word is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word}: {expected}")]
pub struct ImpairmentError {
    /// The word that is wrong, quoted; or what it should have followed.
    pub word: String,
    /// What was expected.
    pub expected: &'static str,
}

const WORDS: &str = "expected delay, distribution, loss, duplicate, corrupt, reorder, gap, rate, queue, mark, codel, mtu, limit or seed";
const TIME: &str = "expected a time with its unit, such as 10ms (ns, us, ms, s)";
const PERCENT: &str = "expected a percentage from 0% to 100%";
const NUMBER: &str = "expected a whole number";
const THRESHOLD: &str = "expected a number of frames, such as 20, or of bytes, such as 30kb (b, kb, mb)";
const RATE: &str = "expected a rate, such as 10mbit (bit, kbit, mbit, gbit; bps is bytes)";

impl FromStr for Impairment {
    type Err = ImpairmentError;

    fn from_str(text: &str) -> Result<Self, ImpairmentError> {
        let mut words = Words { rest: text.split_whitespace().collect(), last: "the end" };
        words.rest.reverse();
        let mut this = Self::NONE;
        let mut gap = None;
        while let Some(word) = words.next() {
            match word {
                "delay" => {
                    this.delay = words.required(time, TIME)?;
                    this.jitter = words.optional(time, TIME)?.unwrap_or_default();
                    this.delay_correlation = words.optional(percent, PERCENT)?.unwrap_or_default();
                }
                "distribution" => this.distribution = words.required(distribution, DISTRIBUTION)?,
                "loss" => this.loss = loss(&mut words)?,
                "duplicate" => this.duplicate = words.chance()?,
                "corrupt" => this.corrupt = words.chance()?,
                "reorder" => this.reorder.chance = words.chance()?,
                "gap" => gap = Some(words.required(number, NUMBER)?),
                "rate" => {
                    let bits_per_second = words.required(rate, RATE)?;
                    let overhead = words.optional(number, NUMBER)?.unwrap_or(0);
                    this.rate = Some(Rate { bits_per_second, overhead });
                }
                "queue" => this.queue = Some(words.required(number, NUMBER)?),
                "mark" => this.mark = Some(words.required(threshold, THRESHOLD)?),
                "codel" => {
                    let usual = Codel::default();
                    let target = words.optional(time, TIME)?.unwrap_or(usual.target);
                    let interval = words.optional(time, TIME)?.unwrap_or(usual.interval);
                    this.codel = Some(Codel { target, interval });
                }
                "mtu" => this.mtu = Some(words.required(number, NUMBER)?),
                "limit" => this.limit = words.required(number, NUMBER)?,
                "seed" => this.seed = Some(words.required(number, NUMBER)?),
                _ => return Err(words.error(WORDS)),
            }
        }
        this.reorder.gap = gap.unwrap_or(1).max(1);
        if this.reorder.chance.probability > Probability::NEVER && this.delay.is_zero() {
            let expected = "a frame overtakes by skipping the delay: give one, such as delay 10ms";
            return Err(ImpairmentError { word: "\"reorder\"".into(), expected });
        }
        let managed = [(this.mark.is_some(), "\"mark\""), (this.codel.is_some(), "\"codel\"")];
        if let (Some((_, word)), None) = (managed.iter().find(|(is, _)| *is), this.rate) {
            let expected = "only what waits for a rate is in a queue: give one, such as rate 10mbit";
            return Err(ImpairmentError { word: (*word).into(), expected });
        }
        Ok(this)
    }
}

const DISTRIBUTION: &str = "expected uniform, normal or pareto";

fn loss<'a>(words: &mut Words<'a>) -> Result<Loss, ImpairmentError> {
    let complement = |p: Probability| Probability::new(1.0 - p.get());
    match words.peek() {
        Some("state") => {
            words.next();
            let p13 = words.required(percent, PERCENT)?;
            let p31 = words.optional(percent, PERCENT)?.unwrap_or(complement(p13));
            let p32 = words.optional(percent, PERCENT)?.unwrap_or(Probability::NEVER);
            let p23 = words.optional(percent, PERCENT)?.unwrap_or(Probability::ALWAYS);
            let p14 = words.optional(percent, PERCENT)?.unwrap_or(Probability::NEVER);
            Ok(Loss::Markov { p13, p31, p32, p23, p14 })
        }
        Some("gemodel") => {
            words.next();
            let p = words.required(percent, PERCENT)?;
            let r = words.optional(percent, PERCENT)?.unwrap_or(complement(p));
            let bad_loss = words.optional(percent, PERCENT)?.unwrap_or(Probability::ALWAYS);
            let good_loss = words.optional(percent, PERCENT)?.unwrap_or(Probability::NEVER);
            Ok(Loss::GilbertElliott { p, r, bad_loss, good_loss })
        }
        other => {
            if other == Some("random") {
                words.next();
            }
            words.chance().map(Loss::Random)
        }
    }
}

/// The words that are left, last first, and the one that was taken last.
struct Words<'a> {
    rest: Vec<&'a str>,
    last: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.rest.pop()?;
        self.last = word;
        Some(word)
    }

    fn peek(&self) -> Option<&'a str> {
        self.rest.last().copied()
    }

    fn required<T>(
        &mut self,
        read: impl FnOnce(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<T, ImpairmentError> {
        match self.next() {
            Some(word) => read(word).ok_or_else(|| self.error(expected)),
            None => Err(ImpairmentError { word: format!("after {:?}", self.last), expected }),
        }
    }

    /// A word that may be missing: what does not begin as a number is the next word's business.
    fn optional<T>(
        &mut self,
        read: impl FnOnce(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, ImpairmentError> {
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        if self.peek().is_some_and(is_number) { self.required(read, expected).map(Some) } else { Ok(None) }
    }

    fn chance(&mut self) -> Result<Chance, ImpairmentError> {
        let probability = self.required(percent, PERCENT)?;
        let correlation = self.optional(percent, PERCENT)?.unwrap_or_default();
        Ok(Chance { probability, correlation })
    }

    fn error(&self, expected: &'static str) -> ImpairmentError {
        ImpairmentError { word: format!("{:?}", self.last), expected }
    }
}

fn distribution(word: &str) -> Option<Distribution> {
    match word {
        "uniform" => Some(Distribution::Uniform),
        "normal" => Some(Distribution::Normal),
        "pareto" => Some(Distribution::Pareto),
        _ => None,
    }
}

fn number<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

/// A length of a queue: frames, or bytes with their unit.
fn threshold(word: &str) -> Option<Threshold> {
    let unit_at = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(unit_at);
    let count: usize = digits.parse().ok()?;
    let bytes = |unit: usize| count.checked_mul(unit).map(Threshold::Bytes);
    match unit {
        "" => Some(Threshold::Frames(count)),
        "b" => bytes(1),
        "kb" => bytes(1000),
        "mb" => bytes(1_000_000),
        _ => None,
    }
}

/// A percentage; the sign may be left out.
pub(in crate::sim) fn percent(word: &str) -> Option<Probability> {
    let percent: f64 = word.strip_suffix('%').unwrap_or(word).parse().ok()?;
    (0.0..=100.0).contains(&percent).then(|| Probability::new(percent / 100.0))
}

/// A time with its unit, exact to the nanosecond; only zero needs none.
pub(in crate::sim) fn time(word: &str) -> Option<Duration> {
    let unit_at = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (digits, unit) = word.split_at(unit_at);
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "" if digits == "0" => 1,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    // The fraction's digits are all digits, or one is a second point and the number does not parse.
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let part = part * unit / 10u64.pow(fraction.len() as u32);
    Some(Duration::from_nanos(whole.checked_mul(unit)?.checked_add(part)?))
}

fn rate(word: &str) -> Option<u64> {
    let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(unit_at);
    let unit = unit.to_ascii_lowercase();
    let (prefix, bits) = match unit.strip_suffix("bit") {
        Some(prefix) => (prefix, 1.0),
        None if unit.is_empty() => ("", 1.0),
        None => (unit.strip_suffix("bps")?, 8.0),
    };
    let scale = match prefix {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bits = digits.parse::<f64>().ok()? * scale * bits;
    (1.0..=1e18).contains(&bits).then_some(bits.round() as u64)
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Spaced { f, first: true };
        if !self.delay.is_zero() || !self.jitter.is_zero() {
            out.word(format_args!("delay {}", Time(self.delay)))?;
            if !self.jitter.is_zero() {
                out.word(format_args!("{}", Time(self.jitter)))?;
                out.correlation(self.delay_correlation)?;
            }
        }
        match self.distribution {
            Distribution::Uniform => {}
            Distribution::Normal => out.word("distribution normal")?,
            Distribution::Pareto => out.word("distribution pareto")?,
        }
        match self.loss {
            Loss::None => {}
            Loss::Random(chance) => out.chance("loss", chance)?,
            Loss::Markov { p13, p31, p32, p23, p14 } => {
                out.word(format_args!("loss state {p13} {p31} {p32} {p23} {p14}"))?;
            }
            Loss::GilbertElliott { p, r, bad_loss, good_loss } => {
                out.word(format_args!("loss gemodel {p} {r} {bad_loss} {good_loss}"))?;
            }
        }
        for (name, chance) in [("duplicate", self.duplicate), ("corrupt", self.corrupt)] {
            if chance != Chance::NEVER {
                out.chance(name, chance)?;
            }
        }
        if self.reorder.chance != Chance::NEVER {
            out.chance("reorder", self.reorder.chance)?;
        }
        if self.reorder.gap > 1 {
            out.word(format_args!("gap {}", self.reorder.gap))?;
        }
        if let Some(Rate { bits_per_second, overhead }) = self.rate {
            out.word(format_args!("rate {}", Bits(bits_per_second)))?;
            if overhead != 0 {
                out.word(overhead)?;
            }
        }
        if let Some(queue) = self.queue {
            out.word(format_args!("queue {queue}"))?;
        }
        match self.mark {
            None => {}
            Some(Threshold::Frames(frames)) => out.word(format_args!("mark {frames}"))?,
            Some(Threshold::Bytes(bytes)) => out.word(format_args!("mark {bytes}b"))?,
        }
        if let Some(Codel { target, interval }) = self.codel {
            out.word(format_args!("codel {} {}", Time(target), Time(interval)))?;
        }
        if let Some(mtu) = self.mtu {
            out.word(format_args!("mtu {mtu}"))?;
        }
        if self.limit != DEFAULT_LIMIT {
            out.word(format_args!("limit {}", self.limit))?;
        }
        if let Some(seed) = self.seed {
            out.word(format_args!("seed {seed}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nine decimals hide what binary fractions cannot say exactly.
        write!(f, "{}%", (self.get() * 1e11).round() / 1e9)
    }
}

/// Words with a space between them.
struct Spaced<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl Spaced<'_, '_> {
    fn word(&mut self, word: impl fmt::Display) -> fmt::Result {
        let space = if self.first { "" } else { " " };
        self.first = false;
        write!(self.f, "{space}{word}")
    }

    fn chance(&mut self, name: &str, chance: Chance) -> fmt::Result {
        self.word(format_args!("{name} {}", chance.probability))?;
        self.correlation(chance.correlation)
    }

    fn correlation(&mut self, correlation: Probability) -> fmt::Result {
        if correlation > Probability::NEVER { self.word(correlation) } else { Ok(()) }
    }
}

/// A time with the largest unit that leaves it whole, or else with a fraction.
pub(in crate::sim) struct Time(pub(in crate::sim) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        write!(f, "{}", nanos / unit)?;
        if !nanos.is_multiple_of(unit) {
            let digits = unit.ilog10() as usize;
            let fraction = format!("{:0digits$}", nanos % unit);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

struct Bits(u64);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit"), (1, "bit")];
        let (unit, name) =
            units.into_iter().find(|(unit, _)| self.0.is_multiple_of(*unit)).unwrap_or((1, "bit"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Reorder;
    use super::*;
    use crate::time::Units as _;

    #[test]
    fn reads_what_netem_reads() {
        let text = "delay 100ms 10ms 25% distribution normal loss 0.3% 25% duplicate 1% corrupt 0.1% \
                    reorder 25% 50% gap 5 rate 10mbit 20 mtu 1280 limit 500 seed 42";
        let expected = Impairment {
            delay: 100.ms(),
            jitter: 10.ms(),
            delay_correlation: Probability::new(0.25),
            distribution: Distribution::Normal,
            loss: Loss::Random(Chance {
                probability: Probability::new(0.003),
                correlation: Probability::new(0.25),
            }),
            duplicate: Chance::of(0.01),
            corrupt: Chance::of(0.001),
            reorder: Reorder {
                chance: Chance { probability: Probability::new(0.25), correlation: Probability::new(0.5) },
                gap: 5,
            },
            rate: Some(Rate { bits_per_second: 10_000_000, overhead: 20 }),
            queue: None,
            mark: None,
            codel: None,
            mtu: Some(1280),
            limit: 500,
            seed: Some(42),
        };
        assert_eq!(text.parse(), Ok(expected));
        assert_eq!(expected.to_string(), text);
        assert_eq!("".parse(), Ok(Impairment::NONE));
        assert!(Impairment::NONE.is_none() && !expected.is_none());
    }

    #[test]
    fn reads_the_loss_models_with_their_defaults() {
        let written = |text: &str| text.parse::<Impairment>().unwrap().to_string();
        assert_eq!(written("loss random 1"), "loss 1%");
        assert_eq!(written("loss state 2%"), "loss state 2% 98% 0% 100% 0%");
        assert_eq!(written("loss gemodel 1% 10% rate 1.5mbit"), "loss gemodel 1% 10% 100% 0% rate 1500kbit");
        assert_eq!(written("rate 1mbps queue 20"), "rate 8mbit queue 20");
        assert_eq!(written("delay 1.5s 0.25us"), "delay 1.5s 250ns");
        assert_eq!(written("rate 1mbit mark 20 codel"), "rate 1mbit mark 20 codel 5ms 100ms");
        assert_eq!(written("mark 30kb codel 1ms 20ms rate 1mbit"), "rate 1mbit mark 30000b codel 1ms 20ms");
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Impairment>().unwrap_err().to_string();
        assert_eq!(error("delay 10"), format!("\"10\": {TIME}"));
        assert_eq!(error("loss"), format!("after \"loss\": {PERCENT}"));
        assert_eq!(error("loss 101%"), format!("\"101%\": {PERCENT}"));
        assert_eq!(error("lost 1%"), format!("\"lost\": {WORDS}"));
        assert_eq!(error("delay 1ms distribution weird"), format!("\"weird\": {DISTRIBUTION}"));
        assert_eq!(error("rate 10parsec"), format!("\"10parsec\": {RATE}"));
        assert!(error("reorder 25%").contains("give one, such as delay 10ms"));
        assert!(error("codel").contains("give one, such as rate 10mbit"));
        assert_eq!(error("mark 10frames"), format!("\"10frames\": {THRESHOLD}"));
        assert_eq!(error("delay 1.2.3ms"), format!("\"1.2.3ms\": {TIME}"));
    }

    #[test]
    fn a_rate_makes_time() {
        assert_eq!(Rate::bits(8_000).time(100), 100.ms());
        assert_eq!(Rate { bits_per_second: 8_000, overhead: 24 }.time(100), 124.ms());
        assert_eq!(Rate { bits_per_second: 8_000, overhead: -200 }.time(100), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(delay|loss|rate|gap|[0-9.]{1,25}(ms|%|mbit)?|state|seed| ){0,12}") {
            let _ = text.parse::<Impairment>();
        }

        #[test]
        fn a_time_reads_back(nanos in any::<u64>()) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(time(&Time(span).to_string()), Some(span));
        }

        #[test]
        fn an_impairment_reads_back(
            delay in 1u64..10_000_000_000, jitter in 0u64..1_000_000_000, percents in proptest::array::uniform6(0u32..10_000),
            gap in 1u32..9, bits in 1u64..100_000_000_000, overhead in -50i32..50, seed: Option<u64>,
        ) {
            let p = percents.map(|p| Probability::new(f64::from(p) / 10_000.0));
            let chance = |i: usize| Chance { probability: p[i], correlation: p[i + 1] };
            let impairment = Impairment {
                delay: Duration::from_nanos(delay),
                jitter: Duration::from_nanos(jitter),
                distribution: Distribution::Pareto,
                loss: Loss::Random(chance(0)),
                corrupt: chance(2),
                reorder: Reorder { chance: chance(4), gap },
                rate: Some(Rate { bits_per_second: bits, overhead }),
                seed,
                ..Impairment::NONE
            };
            let text = impairment.to_string();
            let back: Impairment = text.parse().unwrap();
            prop_assert_eq!(back.to_string(), text);
            prop_assert_eq!((back.delay, back.jitter, back.rate), (impairment.delay, impairment.jitter, impairment.rate));
        }
    }
}
