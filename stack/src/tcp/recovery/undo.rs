//! Was what was sent again needed? If the peer says that it was not, the reduction is taken back: by duplicates that it
//! reports (RFC 2883, RFC 3708), or by the timestamp that it echoes (Eifel, RFC 3522).

use crate::buf::packed::packed;
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// What is remembered of the last reduction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undo {
    /// Boxed, as long as it lasts: most connections have none.
    episode: Option<Box<Episode>>,
}

packed!(Undo { ; episode: None });

/// One reduction and what was sent again since.
#[derive(Clone, Copy, Debug)]
struct Episode {
    /// SND.UNA when it began.
    from: SeqNum,
    /// The end of the highest that was sent again.
    to: SeqNum,
    /// Bytes sent again.
    resent: u64,
    /// Of these, bytes that the peer had twice.
    duplicate: u64,
    /// RetransmitTS of RFC 3522: when the first was sent again. None once a timestamp has told.
    first_resent: Option<Instant>,
    /// The timer began it.
    timeout: bool,
}

/// An acknowledgment that may prove a reduction wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// SND.UNA moved.
    pub(crate) progress: bool,
    /// Its timestamp echoes what was sent before this.
    pub(crate) echoed: Option<Instant>,
    /// What it reports as received twice.
    pub(crate) dsack: Option<SackBlock>,
    /// Bytes that were sent again and are still on their way.
    pub(crate) repeats_in_flight: u32,
}

impl Undo {
    /// Whether it is about a timeout.
    pub(crate) fn is_for_timeout(&self) -> bool {
        self.episode.as_ref().is_some_and(|episode| episode.timeout)
    }

    /// A reduction was made; `una` is SND.UNA. An earlier one is forgotten.
    pub(crate) fn begin(&mut self, una: SeqNum, timeout: bool) {
        self.episode = Some(Box::new(Episode {
            from: una,
            to: una,
            resent: 0,
            duplicate: 0,
            first_resent: None,
            timeout,
        }));
    }

    /// There is nothing to take back any more.
    pub(crate) fn forget(&mut self) {
        self.episode = None;
    }

    /// `len` sequence numbers from `start` were sent again.
    pub(crate) fn handle_resent(&mut self, now: Instant, start: SeqNum, len: u32) {
        if let Some(episode) = &mut self.episode {
            episode.to = episode.to.max(start + len);
            episode.resent += u64::from(len);
            if episode.resent == u64::from(len) {
                episode.first_resent = Some(now);
            }
        }
    }

    /// Whether the acknowledgment proves that the reduction was not needed.
    pub(crate) fn handle_ack(&mut self, proof: &Proof) -> bool {
        let Some(episode) = &mut self.episode else { return false };
        if let Some(block) = proof.dsack
            && block.start.at_or_after(episode.from)
            && block.end.at_or_before(episode.to)
        {
            episode.duplicate += u64::from(block.end - block.start);
        }
        // RFC 3708 section 2: each of them arrived twice, so none was lost.
        let all_twice = episode.resent > 0 && episode.duplicate >= episode.resent;
        let spurious = all_twice || episode.is_refuted_by_time(proof);
        if spurious {
            self.episode = None;
        }
        spurious
    }
}

impl Episode {
    /// RFC 3522 section 3.2: the first acceptable ACK after the retransmission echoes a timestamp from before it.
    fn is_refuted_by_time(&mut self, proof: &Proof) -> bool {
        let (Some(first), Some(echoed), true) = (self.first_resent, proof.echoed, proof.progress) else {
            return false;
        };
        // RFC 3522 section 3.2 step 5: with a DSACK all ACKs of a flight were lost, and the timeout was right.
        if echoed > first || proof.dsack.is_some() {
            // An answer to a retransmission: it was needed, and so may the others have been.
            self.first_resent = None;
            return false;
        }
        // Note: with more than one segment sent again, the others may yet turn out to be needed: wait for their ACKs.
        self.timeout || proof.repeats_in_flight == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const UNA: SeqNum = SeqNum::new(u32::MAX - 500);
    const NOTHING: Proof = Proof { progress: false, echoed: None, dsack: None, repeats_in_flight: 0 };

    fn resent(timeout: bool, pieces: &[(u32, u32)]) -> Undo {
        let mut undo = Undo::default();
        undo.begin(UNA, timeout);
        for &(start, len) in pieces {
            undo.handle_resent(at(100.ms()), UNA + start, len);
        }
        undo
    }

    fn twice(start: u32, end: u32) -> Proof {
        Proof { dsack: Some(SackBlock { start: UNA + start, end: UNA + end }), ..NOTHING }
    }

    #[test]
    fn all_that_was_sent_again_must_be_reported_twice() {
        let mut undo = resent(false, &[(0, 1000), (3000, 1000)]);
        assert!(!undo.handle_ack(&twice(3000, 4000)));
        assert!(!undo.handle_ack(&twice(7000, 8000)), "that is the network's own duplicate");
        assert!(undo.handle_ack(&twice(0, 1000)));
        assert!(!undo.handle_ack(&twice(0, 1000)), "once");
    }

    #[test]
    fn what_was_lost_is_never_reported() {
        let mut undo = resent(false, &[(0, 1000), (0, 1000)]);
        assert!(!undo.handle_ack(&twice(0, 1000)), "the repeat of the repeat is missing");
        assert!(!Undo::default().handle_ack(&twice(0, 1000)));
        assert!(!resent(false, &[]).handle_ack(&twice(0, 1000)));
    }

    #[test]
    fn a_timestamp_from_before_the_repeat_is_proof() {
        let early = Proof { progress: true, echoed: Some(at(100.ms())), ..NOTHING };
        assert!(resent(true, &[(0, 1000)]).handle_ack(&early));
        let mut undo = resent(false, &[(0, 1000)]);
        assert!(!undo.handle_ack(&Proof { progress: false, ..early }), "it must be an ACK of something");
        assert!(undo.handle_ack(&early));
    }

    #[test]
    fn an_answer_to_the_repeat_settles_it() {
        let mut undo = resent(true, &[(0, 1000)]);
        assert!(!undo.handle_ack(&Proof { progress: true, echoed: Some(at(101.ms())), ..NOTHING }));
        assert!(!undo.handle_ack(&Proof { progress: true, echoed: Some(at(100.ms())), ..NOTHING }));
    }

    #[test]
    fn a_fast_recovery_waits_for_all_its_repeats() {
        let mut undo = resent(false, &[(0, 1000), (3000, 1000)]);
        let early = Proof { progress: true, echoed: Some(at(90.ms())), repeats_in_flight: 1000, dsack: None };
        assert!(!undo.handle_ack(&early));
        assert!(undo.handle_ack(&Proof { repeats_in_flight: 0, ..early }));
    }
}
