//! `--loss 2% --delay 10ms ...`: the wire made bad, in netem's words.

use ustack::sim::Impairment;

use super::failure::Failure;
use super::repeat::quote;

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
    #[arg(long, value_name = "TIME")]
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
    /// Most frames that wait for the rate; what comes on top is dropped
    #[arg(long, value_name = "FRAMES", requires = "rate")]
    queue: Option<usize>,
    /// Mark what is ECN-capable while the queue is at least so long: `20` (frames), `30kb`
    #[arg(long, value_name = "LENGTH", requires = "rate")]
    mark_threshold: Option<String>,
    /// Keep the queue short by CoDel: mark what is ECN-capable, drop the rest; `5ms 100ms` (target and interval)
    #[arg(long, value_name = "TIMES", requires = "rate", num_args = 0..=1, default_missing_value = "5ms 100ms")]
    codel: Option<String>,
    /// Largest IP packet that passes; larger ones vanish, and nobody is told
    #[arg(long, value_name = "BYTES")]
    path_mtu: Option<usize>,
    /// Most frames held at once; what comes on top is dropped
    #[arg(long, value_name = "FRAMES")]
    limit: Option<usize>,
}

/// The delay of a wire that is to reorder or to vary and was given none: a frame overtakes by skipping it.
const DEFAULT_DELAY: &str = "10ms";

impl ImpairmentArgs {
    /// What it means; `NONE` if nothing was asked for.
    pub(crate) fn impairment(&self) -> Result<Impairment, Failure> {
        self.words()
            .parse()
            .map_err(|error| Failure::Usage(format!("impairment `{}`: {error}", self.words())))
    }

    /// What it means over a wire that does `delay` and `rest`, in netem's words, unless told otherwise.
    pub(crate) fn over(&self, delay: &str, rest: &str) -> Result<Impairment, Failure> {
        // Of a word that is said twice the later counts.
        let words = format!("{rest} {}", self.words_with(Some(delay)));
        words.parse().map_err(|error| Failure::Usage(format!("impairment `{}`: {error}", words.trim())))
    }

    /// The options as they were typed, each after a space.
    pub(crate) fn typed(&self) -> String {
        let options = self.options(self.delay.clone());
        let jitter = ("jitter", self.jitter.clone());
        let given = options.into_iter().chain([jitter]).filter_map(|(word, value)| Some((word, value?)));
        let typed = |word| match word {
            "mark" => "mark-threshold",
            "mtu" => "path-mtu",
            word => word,
        };
        given.map(|(word, value)| format!(" --{} {}", typed(word), quote(&value))).collect()
    }

    /// The same in netem's own words.
    fn words(&self) -> String {
        self.words_with(self.reorder.as_ref().or(self.jitter.as_ref()).map(|_| DEFAULT_DELAY))
    }

    fn words_with(&self, default_delay: Option<&str>) -> String {
        let delay = self.delay.as_deref().or(default_delay).map(|delay| match &self.jitter {
            Some(jitter) => format!("{delay} {jitter}"),
            None => delay.to_string(),
        });
        let given =
            self.options(delay).into_iter().filter_map(|(word, value)| Some(format!("{word} {}", value?)));
        given.collect::<Vec<_>>().join(" ")
    }

    /// Each option and its value, jitter being the delay's.
    fn options(&self, delay: Option<String>) -> [(&'static str, Option<String>); 12] {
        [
            ("delay", delay),
            ("distribution", self.distribution.clone()),
            ("loss", self.loss.clone()),
            ("reorder", self.reorder.clone()),
            ("duplicate", self.duplicate.clone()),
            ("corrupt", self.corrupt.clone()),
            ("rate", self.rate.clone()),
            ("queue", self.queue.map(|queue| queue.to_string())),
            ("mark", self.mark_threshold.clone()),
            ("codel", self.codel.clone()),
            ("mtu", self.path_mtu.map(|mtu| mtu.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ]
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
    fn a_queue_that_marks_is_said_and_typed_again() {
        let args = args(|a| {
            a.rate = Some("10mbit".into());
            a.mark_threshold = Some("30kb".into());
            a.codel = Some("5ms 100ms".into());
        });
        assert_eq!(args.words(), "rate 10mbit mark 30kb codel 5ms 100ms");
        assert_eq!(args.typed(), " --rate 10mbit --mark-threshold 30kb --codel '5ms 100ms'");
        assert!(args.impairment().is_ok());
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
