//! Tail-loss probes: when nothing comes back for two round trips, one segment asks what has arrived (RFC 8985 section
//! 7).

use crate::buf::packed::packed;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// The tail-loss probe of one connection.
///
/// ```text
///   data 1 2 3 4 ------ 2 * SRTT ------> probe: something new, or 4 again
///        lost: 3 4                         ACK or SACK of it: RACK sees that 3 is lost
///        lost: 4                           ACK above it: the probe itself has repaired the loss
///        lost: none                        DSACK of it: nothing was lost
/// ```
#[derive(Clone, Debug, Default)]
pub(crate) struct Tlp {
    /// When the probe is due; the connection's timer may fire earlier.
    due: Option<Instant>,
    /// TLP.end_seq: SND.NXT after the probe that is not yet answered.
    end_seq: Option<SeqNum>,
    /// TLP.is_retrans: that probe sent again what had been sent.
    is_retrans: bool,
    /// A probe left, and since then no round trip was measured.
    unmeasured: bool,
}

packed!(Tlp { due, end_seq, is_retrans, unmeasured });

/// What an acknowledgment says to a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// SEG.ACK.
    pub(crate) ack: SeqNum,
    /// What it reports as received twice.
    pub(crate) dsack: Option<SackBlock>,
    /// It acknowledges nothing new and carries no SACK blocks.
    pub(crate) bare_duplicate: bool,
}

/// TLP.max_ack_delay: how long a peer may sit on the ACK of a single segment.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// The shortest time after which a probe is sent.
const LEAST: Duration = Duration::from_millis(10);

impl Tlp {
    /// When the probe is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The end of the retransmission that is a probe without an answer.
    pub(crate) fn repeated_to(&self) -> Option<SeqNum> {
        self.end_seq.filter(|_| self.is_retrans)
    }

    /// Data was sent or acknowledged: the probe is due two round trips from now (RFC 8985 section 7.2), but not after
    /// the retransmission timer. `single`: one segment is in flight.
    pub(crate) fn schedule(&mut self, now: Instant, srtt: Duration, single: bool, rto: Option<Instant>) {
        if self.end_seq.is_some() || self.unmeasured {
            self.due = None;
            return;
        }
        // Note: on a path of microseconds two round trips are less than a busy peer takes to be scheduled.
        let pto = (srtt * 2).max(LEAST) + if single { MAX_ACK_DELAY } else { Duration::ZERO };
        let due = now + pto;
        self.due = Some(rto.map_or(due, |rto| due.min(rto)));
    }

    /// No probe is due.
    pub(crate) fn cancel(&mut self) {
        self.due = None;
    }

    /// The probe left; SND.NXT is `nxt` now.
    pub(crate) fn handle_sent(&mut self, nxt: SeqNum, is_retrans: bool) {
        *self = Self { due: None, end_seq: Some(nxt), is_retrans, unmeasured: true };
    }

    /// A round trip was measured (RFC 8985 section 7.2: otherwise probes could follow each other for ever).
    pub(crate) fn handle_sample(&mut self) {
        self.unmeasured = false;
    }

    /// The retransmission timer fired: its recovery is not the probe's business.
    pub(crate) fn handle_timeout(&mut self) {
        (self.due, self.end_seq) = (None, None);
    }

    /// TLP_process_ack (RFC 8985 section 7.4): whether the probe has repaired a loss, which nothing else would tell of.
    pub(crate) fn handle_ack(&mut self, answer: &Answer) -> bool {
        let Some(end) = self.end_seq.filter(|&end| answer.ack.at_or_after(end)) else { return false };
        let reported = answer.dsack.is_some_and(|block| block.end == end);
        // Case 1: the original and the probe have both arrived.
        if !self.is_retrans || reported {
            self.end_seq = None;
            return false;
        }
        // Case 3: above the probe, and no word of a duplicate.
        if answer.ack.after(end) {
            self.end_seq = None;
            return true;
        }
        // Case 2: what the peer answers to a duplicate if it knows no DSACK.
        if answer.bare_duplicate {
            self.end_seq = None;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const END: SeqNum = SeqNum::new(5);

    fn answer(ack: u32) -> Answer {
        Answer { ack: SeqNum::new(ack), dsack: None, bare_duplicate: false }
    }

    fn probed(is_retrans: bool) -> Tlp {
        let mut tlp = Tlp::default();
        tlp.handle_sent(END, is_retrans);
        tlp
    }

    #[test]
    fn is_due_after_two_round_trips_but_not_after_the_timeout() {
        let mut tlp = Tlp::default();
        tlp.schedule(at(1.secs()), 50.ms(), false, Some(at(2.secs())));
        assert_eq!(tlp.due(), Some(at(1100.ms())));
        tlp.schedule(at(1.secs()), Duration::from_micros(50), false, Some(at(2.secs())));
        assert_eq!(tlp.due(), Some(at(1010.ms())), "a peer next door may be busy");
        tlp.schedule(at(1.secs()), 50.ms(), true, Some(at(2.secs())));
        assert_eq!(tlp.due(), Some(at(1300.ms())), "the ACK of one segment may be delayed");
        tlp.schedule(at(1.secs()), 50.ms(), true, Some(at(1250.ms())));
        assert_eq!(tlp.due(), Some(at(1250.ms())));
        tlp.cancel();
        assert_eq!(tlp.due(), None);
    }

    /// RFC 8985 section 7.3 (MUST-15, MUST-19).
    #[test]
    fn one_probe_for_a_tail_and_none_without_a_round_trip_since() {
        let mut tlp = probed(false);
        tlp.schedule(at(1.secs()), 50.ms(), false, None);
        assert_eq!(tlp.due(), None, "it is not answered yet");
        assert!(!tlp.handle_ack(&answer(5)));
        tlp.schedule(at(1.secs()), 50.ms(), false, None);
        assert_eq!(tlp.due(), None, "no round trip was measured since");
        tlp.handle_sample();
        tlp.schedule(at(1.secs()), 50.ms(), false, None);
        assert!(tlp.due().is_some());
    }

    #[test]
    fn new_data_as_a_probe_repairs_nothing() {
        let mut tlp = probed(false);
        assert!(!tlp.handle_ack(&answer(4)));
        assert!(!tlp.handle_ack(&answer(9)));
    }

    #[test]
    fn a_duplicate_report_says_that_nothing_was_lost() {
        let mut tlp = probed(true);
        assert_eq!(tlp.repeated_to(), Some(END));
        let dsack = Some(SackBlock { start: SeqNum::new(3), end: END });
        assert!(!tlp.handle_ack(&Answer { dsack, ..answer(5) }));
        assert!(!tlp.handle_ack(&answer(9)), "that is settled");
    }

    #[test]
    fn an_ack_of_the_probe_alone_leaves_it_open() {
        let mut tlp = probed(true);
        assert!(!tlp.handle_ack(&answer(5)));
        assert!(
            tlp.handle_ack(&answer(6)),
            "more was acknowledged, and still no duplicate: a loss was repaired"
        );
        let mut tlp = probed(true);
        assert!(!tlp.handle_ack(&answer(5)));
        assert!(!tlp.handle_ack(&Answer { bare_duplicate: true, ..answer(5) }));
        assert!(!tlp.handle_ack(&answer(6)), "the second ACK was for the duplicate");
    }

    #[test]
    fn a_timeout_ends_it() {
        let mut tlp = probed(true);
        tlp.handle_timeout();
        assert!(!tlp.handle_ack(&answer(9)));
        assert_eq!(tlp.repeated_to(), None);
    }
}
