//! The round-trip time as a receiver sees it, which sends nothing whose acknowledgment it could time.

use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

/// Two ways lead to it. With timestamps, the echo in the data says when we sent what the peer answered (RFC 7323
/// section 4.1). Without, the first data beyond a window cannot be sent before the window was heard of: from our
/// sending it to that data is a round trip at least, and many if the peer does not fill the window, so that only the
/// least counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiverRtt {
    estimate: Option<Duration>,
    /// The echo that was measured last: further segments of its flight came later for other reasons.
    last_echo: u32,
    round: Option<Round>,
}

packed!(ReceiverRtt { estimate, last_echo, round });

/// A window, and when it was the newest.
#[derive(Clone, Copy, Debug)]
struct Round {
    edge: SeqNum,
    began: Instant,
}

packed!(Round { edge, began });

impl ReceiverRtt {
    /// The estimate; `None` before the first sample.
    pub(crate) fn get(&self) -> Option<Duration> {
        self.estimate
    }

    /// Whether data that echoes `echo` has something to say.
    pub(crate) fn is_news(&self, echo: u32) -> bool {
        echo != self.last_echo
    }

    /// A full segment echoes the timestamp `echo`, from `sample` ago; `unread` says that the application has not read
    /// all. A reader that is slow keeps the peer waiting for a window: that is no part of the path's round trip.
    pub(crate) fn handle_echo(&mut self, echo: u32, sample: Option<Duration>, unread: bool) {
        self.last_echo = echo;
        let Some(sample) = sample.filter(|sample| !sample.is_zero()) else { return };
        self.estimate = Some(match self.estimate {
            Some(old) if sample >= old && unread => old,
            // The weight of RFC 6298 section 2, but what is less is believed at once.
            Some(old) if sample >= old => old - old / 8 + sample / 8,
            _ => sample,
        });
    }

    /// Data up to `next` arrived in order; the window that was offered ends at `edge`.
    pub(crate) fn handle_progress(&mut self, now: Instant, next: SeqNum, edge: SeqNum) {
        if let Some(round) = self.round {
            if next.before(round.edge) {
                return;
            }
            let sample = now.since(round.began).max(Duration::from_micros(1));
            self.estimate = Some(self.estimate.map_or(sample, |old| old.min(sample)));
        }
        self.round = Some(Round { edge, began: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_echo_counts_once_and_less_at_once() {
        let mut rtt = ReceiverRtt::default();
        assert!(rtt.is_news(7) && rtt.get().is_none());
        rtt.handle_echo(7, Some(ms(80)), false);
        assert!(!rtt.is_news(7) && rtt.is_news(8));
        rtt.handle_echo(8, Some(ms(160)), false);
        assert_eq!(rtt.get(), Some(ms(90)), "an eighth of what is more");
        rtt.handle_echo(9, Some(ms(500)), true);
        assert_eq!(rtt.get(), Some(ms(90)), "the application was slow, not the path");
        rtt.handle_echo(10, Some(ms(40)), true);
        assert_eq!(rtt.get(), Some(ms(40)));
        rtt.handle_echo(11, None, false);
        rtt.handle_echo(12, Some(ms(0)), false);
        assert_eq!(rtt.get(), Some(ms(40)), "no clock is finer than its tick");
    }

    #[test]
    fn without_timestamps_a_window_is_a_round_trip_at_most() {
        let mut rtt = ReceiverRtt::default();
        let mut progress = |at, next: u32, edge: u32| {
            rtt.handle_progress(Instant::ZERO + ms(at), SeqNum::new(next), SeqNum::new(edge));
            rtt.get()
        };
        assert_eq!(progress(0, 1_000, 5_000), None);
        assert_eq!(progress(50, 2_000, 6_000), None);
        assert_eq!(progress(100, 5_000, 9_000), Some(ms(100)));
        assert_eq!(progress(400, 9_000, 13_000), Some(ms(100)), "the peer had a pause");
        assert_eq!(progress(440, 14_000, 18_000), Some(ms(40)));
    }
}
