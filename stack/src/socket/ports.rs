//! The choice of an ephemeral port (RFC 6056).

use core::ops::RangeInclusive;

use crate::rng::Rng;

/// The ports that are handed out when nobody asks for one, as Linux does.
pub const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// How many candidates are tried at random before the range is walked.
const RANDOM_TRIES: usize = 16;

/// Chooses a free ephemeral port, `None` if there is none.
///
/// RFC 6056 section 3.3.2 (Algorithm 2): at random while that is quick, then each port once from a random start.
pub fn ephemeral(
    rng: &mut Rng,
    range: RangeInclusive<u16>,
    mut free: impl FnMut(u16) -> bool,
) -> Option<u16> {
    let (first, count) = (*range.start(), u64::from(*range.end() - *range.start()) + 1);
    let nth = |n: u64| first + (n % count) as u16;
    for _ in 0..RANDOM_TRIES {
        let port = nth(rng.below(count));
        if free(port) {
            return Some(port);
        }
    }
    let start = rng.below(count);
    (0..count).map(|n| nth(start + n)).find(|&port| free(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_free_port_and_then_none() {
        let mut rng = Rng::new(1, 0);
        assert_eq!(ephemeral(&mut rng, EPHEMERAL, |port| port == 40_000), Some(40_000));
        assert_eq!(ephemeral(&mut rng, EPHEMERAL, |_| false), None);
    }

    #[test]
    fn choices_are_spread_over_the_range() {
        let mut rng = Rng::new(1, 0);
        let ports: Vec<u16> = (0..100).filter_map(|_| ephemeral(&mut rng, EPHEMERAL, |_| true)).collect();
        assert!(ports.iter().all(|p| EPHEMERAL.contains(p)));
        assert!(ports.windows(2).filter(|w| w[0].abs_diff(w[1]) < 100).count() < 10);
    }
}
