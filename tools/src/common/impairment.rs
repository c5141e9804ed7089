//! `--loss 2% --delay 10ms ...`: the wire made bad, in netem's words.

use ustack::sim::Impairment;

use super::failure::Failure;

/// What happens to the frames of both directions.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Impairments (netem's words, applied to both directions)")]
pub(crate) struct ImpairmentArgs {
    /// Frames lost: `2%`, `2% 25%` (with correlation), `gemodel 1% 10%`, `state 1% 10%`
    #[arg(long, value_name = "LOSS")]
    loss: Option<String>,
    /// Added to each frame: `10ms`
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// How far the delay varies: `2ms`; so frames overtake each other
    #[arg(long, value_name = "TIME", requires = "delay")]
    jitter: Option<String>,
    /// How the jitter is distributed: uniform, normal or pareto
    #[arg(long, value_name = "NAME", requires = "jitter")]
    distribution: Option<String>,
    /// Frames that skip the delay and overtake: `25%`, `25% 50%`
    #[arg(long, value_name = "CHANCE")]
    reorder: Option<String>,
    /// Frames that arrive twice: `1%`
    #[arg(long, value_name = "CHANCE")]
    duplicate: Option<String>,
    /// Frames with one bit flipped: `0.1%`
    #[arg(long, value_name = "CHANCE")]
    corrupt: Option<String>,
    /// How fast frames are sent: `10mbit`, `500kbit`
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// Most frames held at once; what comes on top is dropped
    #[arg(long, value_name = "FRAMES")]
    limit: Option<usize>,
}

/// The delay of a wire that is to reorder and was given none: a frame overtakes by skipping it.
const DELAY_TO_REORDER: &str = "10ms";

impl ImpairmentArgs {
    /// What it means; `NONE` if nothing was asked for.
    pub(crate) fn impairment(&self) -> Result<Impairment, Failure> {
        self.words()
            .parse()
            .map_err(|error| Failure::Usage(format!("impairment `{}`: {error}", self.words())))
    }

    /// The same in netem's own words.
    fn words(&self) -> String {
        let default_delay = self.reorder.as_ref().map(|_| DELAY_TO_REORDER);
        let delay = self.delay.as_deref().or(default_delay).map(|delay| match &self.jitter {
            Some(jitter) => format!("{delay} {jitter}"),
            None => delay.to_string(),
        });
        let options = [
            ("delay", delay),
            ("distribution", self.distribution.clone()),
            ("loss", self.loss.clone()),
            ("reorder", self.reorder.clone()),
            ("duplicate", self.duplicate.clone()),
            ("corrupt", self.corrupt.clone()),
            ("rate", self.rate.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        let given =
            options.into_iter().filter_map(|(word, value)| value.map(|value| format!("{word} {value}")));
        given.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(change: impl FnOnce(&mut ImpairmentArgs)) -> ImpairmentArgs {
        let mut args = ImpairmentArgs::default();
        change(&mut args);
        args
    }

    #[test]
    fn nothing_typed_is_nothing_done() {
        assert!(args(|_| ()).impairment().unwrap().is_none());
    }

    #[test]
    fn says_it_in_netems_words() {
        let args = args(|a| {
            a.delay = Some("10ms".into());
            a.jitter = Some("2ms".into());
            a.loss = Some("gemodel 1% 10%".into());
        });
        assert_eq!(args.words(), "delay 10ms 2ms loss gemodel 1% 10%");
        assert!(!args.impairment().unwrap().is_none());
    }

    #[test]
    fn reordering_needs_a_delay_and_gets_one() {
        let args = args(|a| a.reorder = Some("25%".into()));
        assert_eq!(args.words(), "delay 10ms reorder 25%");
        assert!(args.impairment().is_ok());
    }

    #[test]
    fn names_the_word_that_is_wrong() {
        let failure = args(|a| a.loss = Some("much".into())).impairment().unwrap_err();
        assert!(
            matches!(failure, Failure::Usage(text) if text.contains("much") && text.contains("percentage"))
        );
    }
}
