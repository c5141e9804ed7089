//! What came of a benchmark: for each test a line for each contender, and how ours compare with the others.

use std::io;

use super::measure::median;

/// What one run of one contender showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// In the unit of the test.
    pub value: f64,
    /// The value if the busiest processor had done nothing else, where that is known.
    pub by_cpu: Option<f64>,
    /// What was seen beside it, the same for each sample of a test.
    pub columns: Vec<(&'static str, f64)>,
}

/// "1 flow", "2 flows": for the name of a test.
pub(super) fn flow_count(flows: usize) -> String {
    if flows == 1 { "1 flow".to_owned() } else { format!("{flows} flows") }
}

/// Someone who is measured.
pub trait Contender: Copy {
    /// What it is called.
    fn name(self) -> &'static str;

    /// Whether it is ustack, which is compared with all others.
    fn is_ours(self) -> bool;
}

/// All runs of one contender in one test.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Line {
    /// Who.
    pub contender: &'static str,
    /// The median; `None` if each run failed.
    pub median: Option<f64>,
    /// The median if the busiest processor had done nothing else.
    pub by_cpu: Option<f64>,
    /// Medians of what was seen beside it.
    pub columns: Vec<Column>,
    /// All values in the order of the runs; a run that failed has none.
    pub values: Vec<Option<f64>>,
    /// Why the last run that failed did.
    pub failure: Option<String>,
}

/// Something seen beside the value.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Column {
    /// What, with its unit.
    pub name: &'static str,
    /// Its median.
    pub median: f64,
}

/// How one of ours compares with another.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Ratio {
    /// Ours.
    pub ours: &'static str,
    /// The other.
    pub against: &'static str,
    /// The median of the ratios of neighbouring runs.
    pub ratio: f64,
    /// The same by processor time.
    pub by_cpu: Option<f64>,
}

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Test {
    /// What was measured.
    pub name: String,
    /// On how many processors, if that was chosen.
    pub cpus: Option<u8>,
    /// The values' unit.
    pub unit: &'static str,
    /// The contenders.
    pub lines: Vec<Line>,
    /// How they compare.
    pub ratios: Vec<Ratio>,
}

impl Test {
    /// Lets the contenders take turns, `rounds` times. Who fails is reported, and the others go on.
    pub fn alternate<C: Contender>(
        name: impl Into<String>,
        cpus: Option<u8>,
        unit: &'static str,
        rounds: usize,
        contenders: &[C],
        mut run: impl FnMut(C) -> io::Result<Sample>,
    ) -> Self {
        let mut samples: Vec<Vec<io::Result<Sample>>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (&contender, samples) in contenders.iter().zip(&mut samples) {
                samples.push(run(contender));
            }
        }
        let mut ratios = Vec::new();
        for (ours, us) in contenders.iter().zip(&samples).filter(|(who, _)| who.is_ours()) {
            for (other, them) in contenders.iter().zip(&samples).filter(|(who, _)| !who.is_ours()) {
                let Some(ratio) = neighbours(us, them, |sample| Some(sample.value)) else { continue };
                let by_cpu = neighbours(us, them, |sample| sample.by_cpu);
                ratios.push(Ratio { ours: ours.name(), against: other.name(), ratio, by_cpu });
            }
        }
        let lines = contenders.iter().zip(&samples).map(|(&who, samples)| line(who, samples)).collect();
        Self { name: name.into(), cpus, unit, lines, ratios }
    }

    /// How ours compares with another; `None` if one of them did not run.
    pub fn ratio(&self, ours: &str, against: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.ours == ours && ratio.against == against)
    }
}

/// The median of the ratios of runs in the same round.
fn neighbours(
    us: &[io::Result<Sample>],
    them: &[io::Result<Sample>],
    of: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let value = |sample: &io::Result<Sample>| sample.as_ref().ok().and_then(&of);
    let pairs = us.iter().zip(them).filter_map(|(us, them)| value(us).zip(value(them)));
    let each: Vec<f64> = pairs.map(|(us, them)| us / them).filter(|ratio| ratio.is_finite()).collect();
    (!each.is_empty()).then(|| median(&each))
}

fn line(who: impl Contender, samples: &[io::Result<Sample>]) -> Line {
    let good: Vec<&Sample> = samples.iter().flatten().collect();
    let values: Vec<f64> = good.iter().map(|sample| sample.value).collect();
    let by_cpu: Vec<f64> = good.iter().filter_map(|sample| sample.by_cpu).collect();
    let names = good.first().map_or(&[][..], |sample| &sample.columns).iter().map(|(name, _)| *name);
    let of = |index: usize| good.iter().filter_map(|sample| Some(sample.columns.get(index)?.1)).collect();
    let column = |(index, name)| Column { name, median: median(&Vec::from_iter::<Vec<f64>>(of(index))) };
    Line {
        contender: who.name(),
        median: (!values.is_empty()).then(|| median(&values)),
        by_cpu: (!by_cpu.is_empty()).then(|| median(&by_cpu)),
        columns: names.enumerate().map(column).collect(),
        values: samples.iter().map(|sample| sample.as_ref().ok().map(|sample| sample.value)).collect(),
        failure: samples.iter().rev().find_map(|sample| sample.as_ref().err()).map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Who {
        Us,
        Them,
        Broken,
    }

    impl Contender for Who {
        fn name(self) -> &'static str {
            match self {
                Self::Us => "us",
                Self::Them => "them",
                Self::Broken => "broken",
            }
        }

        fn is_ours(self) -> bool {
            self == Self::Us
        }
    }

    #[test]
    fn neighbours_are_compared_and_who_fails_is_reported() {
        let mut round = 0.0;
        let all = [Who::Us, Who::Them, Who::Broken];
        let test = Test::alternate("a test", Some(2), "things/s", 3, &all, |who| {
            round += f64::from(u8::from(who == Who::Us));
            let sample =
                |value| Ok(Sample { value, by_cpu: Some(value / 3.0), columns: vec![("cost", value / 2.0)] });
            match who {
                Who::Us => sample(6.0 * round),
                Who::Them => sample(3.0 * round),
                Who::Broken => Err(io::Error::other("no")),
            }
        });
        assert_eq!(test.ratios.len(), 1);
        let ratio = test.ratio("us", "them").unwrap();
        assert_eq!(
            (ratio.ratio, ratio.by_cpu),
            (2.0, Some(2.0)),
            "in each round, however fast the round was"
        );
        assert_eq!(test.lines[0].median, Some(12.0));
        assert_eq!(test.lines[0].columns, [Column { name: "cost", median: 6.0 }]);
        assert_eq!(test.lines[2].failure.as_deref(), Some("no"));
        assert_eq!((test.lines[2].median, test.lines[2].values.len()), (None, 3));
    }
}
