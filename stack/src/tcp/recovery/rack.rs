//! RACK: what was sent before something that has since been delivered, and is not delivered itself after some
//! patience, is lost (RFC 8985 section 6).

use crate::buf::packed::packed;
use crate::tcp::sack::{Acked, Lost, Scoreboard, Sent};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlock;

/// The state of RACK of one connection.
///
/// ```text
///   sent      A      B      C      D                             now
///   ----------+------+------+------+------------------------------+----> time
///             |      |      |<------------ RACK.rtt ------------->|   C is reported: RACK.xmit_ts = C
///             |      |  still within RACK.rtt + reo_wnd: the reordering timer decides
///             |  sent before C, and RACK.rtt + reo_wnd ago: lost
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: of all that was delivered, what was sent last.
    newest: Option<Sent>,
    /// RACK.rtt: how long that took.
    rtt: Duration,
    /// RACK.fack: the highest sequence number that was delivered.
    fack: SeqNum,
    /// RACK.reordering_seen.
    reordering_seen: bool,
    /// How often that was, and the largest distance from what had overtaken to what was overtaken, in bytes.
    reorderings: u32,
    distance: u32,
    /// RACK.reo_wnd as it was last used.
    reo_wnd: Duration,
    /// RACK.reo_wnd_mult: quarters of the least round-trip time in the reordering window.
    reo_wnd_mult: u32,
    /// RACK.reo_wnd_persist: recoveries without a DSACK until the window shrinks again.
    reo_wnd_persist: u8,
    /// RACK.dsack_round: until this is acknowledged, further DSACKs belong to the same round trip.
    dsack_round: Option<SeqNum>,
}

packed!(Rack {
    newest,
    rtt,
    fack,
    reordering_seen,
    reorderings,
    distance,
    reo_wnd,
    reo_wnd_mult,
    reo_wnd_persist,
    dsack_round
});

/// What RACK has to know beside the scoreboard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) now: Instant,
    /// Smoothed and least round-trip time.
    pub(crate) srtt: Option<Duration>,
    pub(crate) min_rtt: Option<Duration>,
    /// A recovery is under way, fast or after a timeout.
    pub(crate) in_recovery: bool,
    /// RACK.segs_sacked >= DupThresh.
    pub(crate) many_sacked: bool,
}

/// Recoveries for which a grown window persists (RFC 8985 section 6.2 step 4).
const PERSIST: u8 = 16;
/// The window stops growing here: it is bounded by the smoothed round-trip time anyway.
const MAX_MULT: u32 = 255;

impl Rack {
    /// At the start of a connection, whose first sequence number is `una`.
    pub(crate) fn new(una: SeqNum) -> Self {
        Self {
            newest: None,
            rtt: Duration::ZERO,
            fack: una,
            reordering_seen: false,
            reorderings: 0,
            distance: 0,
            reo_wnd: Duration::ZERO,
            reo_wnd_mult: 1,
            reo_wnd_persist: PERSIST,
            dsack_round: None,
        }
    }

    /// Whether the path was seen to reorder.
    pub(crate) fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    /// How often something was overtaken, and by how many bytes at most.
    pub(crate) fn reorderings(&self) -> (u32, u32) {
        (self.reorderings, self.distance)
    }

    /// The reordering window as it was last used.
    pub(crate) fn reo_wnd(&self) -> Duration {
        self.reo_wnd
    }

    /// An acknowledgment has delivered `acked`. Its timestamp, if it has one, echoes what was sent before `echoed`;
    /// `dsack` is what it reports as received twice.
    pub(crate) fn handle_delivered(
        &mut self,
        now: Instant,
        acked: &Acked,
        echoed: Option<Instant>,
        dsack: Option<SackBlock>,
        min_rtt: Option<Duration>,
    ) {
        // RFC 8985 section 6.2 step 2: the ACK of a retransmission may be that of the original, unless it says that
        // both have arrived.
        let believed = acked.latest_resent.filter(|sent| {
            let both =
                dsack.is_some_and(|block| block.start.before(sent.end) && sent.end.at_or_before(block.end));
            let original = !both && echoed.is_some_and(|echoed| echoed <= sent.at);
            !original && min_rtt.is_none_or(|least| now - sent.at >= least)
        });
        for sent in [acked.latest, believed].into_iter().flatten() {
            // Note: an older segment does not change RACK.rtt. It may be reported late because its ACK was lost.
            if self.newest.is_none_or(|newest| sent.is_after(newest)) {
                (self.newest, self.rtt) = (Some(sent), now - sent.at);
            }
        }
        // Step 3: an original below what had been delivered before.
        if let Some(start) = acked.lowest_original.filter(|start| start.before(self.fack)) {
            self.reordering_seen = true;
            self.reorderings = self.reorderings.saturating_add(1);
            self.distance = self.distance.max(self.fack - start);
        }
        if let Some(highest) = acked.highest {
            self.fack = self.fack.max(highest);
        }
    }

    /// An acknowledgment up to `una` came, with a DSACK or without; SND.NXT is `nxt`.
    pub(crate) fn handle_dsack(&mut self, una: SeqNum, nxt: SeqNum, dsack: bool) {
        // RFC 8985 section 6.2 step 4: once in a round trip.
        self.dsack_round = self.dsack_round.filter(|&round| una.before(round));
        if dsack && self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            self.reo_wnd_mult = (self.reo_wnd_mult + 1).min(MAX_MULT);
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// A recovery is over.
    pub(crate) fn handle_recovery_end(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
        }
    }

    /// A timeout was not needed: the ACK of what was sent again was for the original. Only `latest`, an original that
    /// was delivered now, tells what was sent before it.
    pub(crate) fn handle_spurious_timeout(&mut self, latest: Option<Sent>) {
        self.newest = latest;
    }

    /// A fast recovery was not needed, as an acknowledgment up to `una` tells: the path has kept a segment for longer
    /// than the window. SND.NXT is `nxt`.
    pub(crate) fn handle_spurious_loss(&mut self, una: SeqNum, nxt: SeqNum, latest: Option<Sent>) {
        self.reordering_seen = true;
        self.newest = latest;
        // Note: a timestamp tells so before the DSACK does.
        self.handle_dsack(una, nxt, true);
    }

    /// Marks on the scoreboard what is lost (RFC 8985 section 6.2 step 5); `retry` of the answer is when to look again.
    pub(crate) fn detect(&mut self, view: &View, board: &mut Scoreboard) -> Lost {
        let Some(newest) = self.newest else { return Lost::default() };
        self.reo_wnd = self.next_reo_wnd(view);
        board.mark_lost_before(newest, view.now, self.patience(view.srtt))
    }

    /// RFC 8985 section 6.3: the first, and what was sent so long ago that it should have been reported by now.
    pub(crate) fn mark_on_timeout(&self, now: Instant, board: &mut Scoreboard) -> Lost {
        let patience = self.newest.map_or(Duration::ZERO, |_| self.patience(None));
        board.mark_lost_since(now, patience)
    }

    /// How long after it was sent a segment is lost, if others were delivered that were sent later.
    fn patience(&self, srtt: Option<Duration>) -> Duration {
        let rtt = if self.reo_wnd_mult > 1 { self.rtt.max(srtt.unwrap_or_default()) } else { self.rtt };
        rtt + self.reo_wnd
    }

    /// RACK_update_reo_wnd.
    ///
    /// Note: once DSACKs have told of needless repeats, the window is made of quarters of the smoothed round-trip time,
    /// and counts from it. Where some packets overtake others by far the least round-trip time, of which RFC 8985 takes
    /// the quarters, is that of the lucky ones: it may be next to nothing, and the window would never grow.
    fn next_reo_wnd(&self, view: &View) -> Duration {
        if !self.reordering_seen && (view.in_recovery || view.many_sacked) {
            return Duration::ZERO;
        }
        let least = view.min_rtt.unwrap_or_default();
        let srtt = view.srtt.unwrap_or(least);
        let unit = if self.reo_wnd_mult > 1 { srtt } else { least };
        (unit * u64::from(self.reo_wnd_mult) / 4).min(srtt)
    }
}

#[cfg(test)]
mod tests;
