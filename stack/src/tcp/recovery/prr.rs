//! Proportional rate reduction: how much a fast recovery sends for what arrives, so that at its end as much is in
//! flight as the congestion control wants (RFC 9937).

/// The reduction of one fast recovery. All sizes are bytes.
///
/// ```text
///   in flight ^ RecoverFS
///             |\
///             | \    for each segment delivered ssthresh / RecoverFS of one is sent
///    ssthresh |- \________________
///             |   \    ___/   as many as are delivered (CRB); one more while all goes well (SSRB)
///             |    \__/  losses took more
///             +------------------------> delivered
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Prr {
    /// RecoverFS: what the recovery starts from.
    recover_fs: u64,
    /// prr_delivered.
    delivered: u64,
    /// prr_out.
    out: u64,
    /// SndCnt: what may still be sent before the next acknowledgment.
    sndcnt: u64,
}

/// What one acknowledgment means for the reduction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// DeliveredData: cumulatively or selectively acknowledged for the first time.
    pub(crate) delivered: u64,
    /// In flight after it.
    pub(crate) inflight: u64,
    /// SafeACK: it acknowledges cumulatively, and indicates no further loss.
    pub(crate) safe: bool,
    /// What the congestion control wants in flight at the end.
    pub(crate) ssthresh: u64,
    pub(crate) smss: u64,
}

impl Prr {
    /// A recovery begins with `recover_fs` bytes: SND.NXT - SND.UNA before the acknowledgment that begins it, less what
    /// had been selectively acknowledged before (RFC 9937 section 6.2).
    pub(crate) fn new(recover_fs: u64) -> Self {
        Self { recover_fs: recover_fs.max(1), delivered: 0, out: 0, sndcnt: 0 }
    }

    /// Bytes that may be sent now.
    pub(crate) fn sndcnt(&self) -> u64 {
        self.sndcnt
    }

    /// What of RecoverFS was not delivered yet.
    pub(crate) fn undelivered(&self) -> u64 {
        self.recover_fs.saturating_sub(self.delivered)
    }

    /// An acknowledgment, the one that begins the recovery included.
    pub(crate) fn handle_ack(&mut self, step: &Step) {
        self.delivered += step.delivered;
        let balance = self.delivered.saturating_sub(self.out);
        let sndcnt = if step.inflight > step.ssthresh {
            // Proportional: rounded up, so that the first segment is not held back.
            let due = u128::from(self.delivered) * u128::from(step.ssthresh);
            let due = due.div_ceil(u128::from(self.recover_fs));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.out)
        } else {
            // The conservative bound; one segment more, as slow start would, while the recovery makes good progress.
            let bound = balance.max(step.delivered) + if step.safe { step.smss } else { 0 };
            bound.min(step.ssthresh - step.inflight)
        };
        // The fast retransmit itself is never held back.
        self.sndcnt = if self.out == 0 && sndcnt == 0 { step.smss } else { sndcnt };
    }

    /// Data was sent, new or again.
    pub(crate) fn handle_sent(&mut self, bytes: u64) {
        self.out += bytes;
        self.sndcnt = self.sndcnt.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMSS: u64 = 1000;

    /// A recovery from 20 segments to `ssthresh`, with an ideal path: for each ACK the pipe loses a segment; answers
    /// how many segments each acknowledgment lets out.
    fn recover(lost: u64, ssthresh: u64, acks: usize) -> (Vec<u64>, u64) {
        let mut prr = Prr::new(20 * SMSS);
        let mut inflight = (20 - lost) * SMSS;
        let mut sent = Vec::new();
        for ack in 0..acks {
            inflight -= SMSS;
            let (delivered, ssthresh) = (SMSS, ssthresh * SMSS);
            prr.handle_ack(&Step { delivered, inflight, safe: false, ssthresh, smss: SMSS });
            // The fast retransmit is a whole segment.
            let segments = if ack == 0 { 1 } else { prr.sndcnt() / SMSS };
            prr.handle_sent(segments * SMSS);
            inflight += segments * SMSS;
            sent.push(segments);
        }
        (sent, inflight / SMSS)
    }

    /// RFC 9937 section 6.2 (MUST-2), section 6.4 (MUST-7).
    #[test]
    fn a_halving_sends_every_other_time() {
        let (sent, inflight) = recover(1, 10, 19);
        assert_eq!(sent[..6], [1, 0, 0, 1, 0, 1]);
        assert_eq!((sent.iter().sum::<u64>(), inflight), (10, 10));
    }

    #[test]
    fn cubic_sends_seven_of_ten() {
        let (sent, inflight) = recover(1, 14, 19);
        assert!((13..=14).contains(&inflight), "{inflight}: {sent:?}");
        assert!(sent.iter().all(|&segments| segments <= 1));
    }

    /// RFC 9937 section 6.2 (MUST-4).
    #[test]
    fn heavy_losses_are_not_made_up_in_a_burst() {
        // 15 of 20 are lost: 5 in flight, below the threshold of 10. As much leaves as arrives.
        let (sent, inflight) = recover(15, 10, 5);
        assert_eq!((sent, inflight), (vec![1; 5], 5));
        // While the recovery makes progress, one more for each acknowledgment.
        let mut prr = Prr::new(20 * SMSS);
        let step = Step { delivered: SMSS, inflight: 4 * SMSS, safe: true, ssthresh: 10 * SMSS, smss: SMSS };
        prr.handle_ack(&step);
        assert_eq!(prr.sndcnt(), 2 * SMSS);
        prr.handle_sent(2 * SMSS);
        // Never above the threshold.
        prr.handle_ack(&Step { inflight: 9 * SMSS + 500, ..step });
        assert_eq!(prr.sndcnt(), 500);
    }

    #[test]
    fn an_acknowledgment_for_many_lets_as_many_out() {
        let mut prr = Prr::new(20 * SMSS);
        let step =
            Step { delivered: 6 * SMSS, inflight: 4 * SMSS, safe: false, ssthresh: 10 * SMSS, smss: SMSS };
        prr.handle_ack(&step);
        assert_eq!(prr.sndcnt(), 6 * SMSS);
    }

    proptest! {
        /// Not more is sent than delivered plus one segment for each safe acknowledgment and the first.
        #[test]
        fn never_sends_more_than_its_bounds(
            fs in 1u64..100, ssthresh in 2u64..100,
            acks in prop::collection::vec((0u64..4, any::<bool>(), 0u64..100), 1..200),
        ) {
            let mut prr = Prr::new(fs * SMSS);
            let (mut delivered, mut out, mut safes) = (0, 0, 0);
            for (segments, safe, inflight) in acks {
                let step = Step {
                    delivered: segments * SMSS,
                    inflight: inflight * SMSS,
                    safe,
                    ssthresh: ssthresh * SMSS,
                    smss: SMSS,
                };
                prr.handle_ack(&step);
                delivered += step.delivered;
                safes += u64::from(safe);
                if step.inflight <= step.ssthresh && out > 0 {
                    prop_assert!(prr.sndcnt() <= step.ssthresh - step.inflight);
                }
                let sent = prr.sndcnt();
                prr.handle_sent(sent);
                out += sent;
                let most = delivered.max(delivered * ssthresh / fs + 1);
                prop_assert!(out <= most * 2 + (safes + 1) * SMSS, "{out} for {delivered}");
                prop_assert_eq!(prr.sndcnt(), 0);
            }
        }
    }
}
