//! What all connections counted together, those that are gone included.

use crate::tcp::{Counters, State};

/// Sums of the counters of connections: [`Counters`] says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of `Counters`")]
pub struct ConnectionStats {
    /// Connections in ESTABLISHED or CLOSE-WAIT now (RFC 4022).
    pub curr_estab: u64,
    pub attempt_fails: u64,
    pub estab_resets: u64,
    pub data_segs_out: u64,
    pub segs_retrans: u64,
    pub timeouts: u64,
    pub syn_timeouts: u64,
    pub spurious_timeouts: u64,
    pub recoveries: u64,
    pub reno_recoveries: u64,
    pub undos: u64,
    pub lost_retransmits: u64,
    pub loss_probes: u64,
    pub loss_probe_recoveries: u64,
    pub dup_acks_in: u64,
    pub out_of_order: u64,
    pub duplicates: u64,
    pub dsacks_in: u64,
    pub paws_rejected: u64,
    pub out_of_window: u64,
    pub holes_refused: u64,
    pub challenge_acks: u64,
    pub challenges_skipped: u64,
    pub out_of_place: u64,
    pub delivered_ce: u64,
    pub mtu_probes_answered: u64,
    pub mtu_probes_lost: u64,
    pub mtu_black_holes: u64,
    pub full_undos: u64,
    pub dsack_undos: u64,
    pub loss_undos: u64,
    pub reneged: u64,
    pub reorderings: u64,
    pub dsacks_old_sent: u64,
    pub dsacks_ofo_sent: u64,
    pub syn_challenges: u64,
    pub to_zero_window: u64,
    pub from_zero_window: u64,
    pub aborts_on_data: u64,
    pub aborts_on_close: u64,
    pub aborts_on_timeout: u64,
    pub hystart_exits: u64,
    pub hystart_cwnd: u64,
}

impl ConnectionStats {
    /// Adds what one connection has counted.
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.data_segs_out += counters.data_segs_out;
        for (sum, count) in [
            (&mut self.attempt_fails, counters.attempt_fails),
            (&mut self.estab_resets, counters.estab_resets),
            (&mut self.segs_retrans, counters.segs_retrans),
            (&mut self.timeouts, counters.timeouts),
            (&mut self.syn_timeouts, counters.syn_timeouts),
            (&mut self.spurious_timeouts, counters.spurious_timeouts),
            (&mut self.recoveries, counters.recoveries),
            (&mut self.reno_recoveries, counters.reno_recoveries),
            (&mut self.undos, counters.undos),
            (&mut self.lost_retransmits, counters.lost_retransmits),
            (&mut self.loss_probes, counters.loss_probes),
            (&mut self.loss_probe_recoveries, counters.loss_probe_recoveries),
            (&mut self.dup_acks_in, counters.dup_acks_in),
            (&mut self.out_of_order, counters.out_of_order),
            (&mut self.duplicates, counters.duplicates),
            (&mut self.dsacks_in, counters.dsacks_in),
            (&mut self.paws_rejected, counters.paws_rejected),
            (&mut self.out_of_window, counters.out_of_window),
            (&mut self.holes_refused, counters.holes_refused),
            (&mut self.challenge_acks, counters.challenge_acks),
            (&mut self.challenges_skipped, counters.challenges_skipped),
            (&mut self.out_of_place, counters.out_of_place),
            (&mut self.delivered_ce, counters.delivered_ce),
            (&mut self.mtu_probes_answered, counters.mtu_probes_answered),
            (&mut self.mtu_probes_lost, counters.mtu_probes_lost),
            (&mut self.mtu_black_holes, counters.mtu_black_holes),
            (&mut self.full_undos, counters.full_undos),
            (&mut self.dsack_undos, counters.dsack_undos),
            (&mut self.loss_undos, counters.loss_undos),
            (&mut self.reneged, counters.reneged),
            (&mut self.reorderings, counters.reorderings),
            (&mut self.dsacks_old_sent, counters.dsacks_old_sent),
            (&mut self.dsacks_ofo_sent, counters.dsacks_ofo_sent),
            (&mut self.syn_challenges, counters.syn_challenges),
            (&mut self.to_zero_window, counters.to_zero_window),
            (&mut self.from_zero_window, counters.from_zero_window),
            (&mut self.aborts_on_data, counters.aborts_on_data),
            (&mut self.aborts_on_close, counters.aborts_on_close),
            (&mut self.aborts_on_timeout, counters.aborts_on_timeout),
            (&mut self.hystart_exits, counters.hystart_exits),
            (&mut self.hystart_cwnd, counters.hystart_cwnd),
        ] {
            *sum += u64::from(count);
        }
    }

    /// Counts a connection that is there now by its state.
    pub(crate) fn count_state(&mut self, state: State) {
        self.curr_estab += u64::from(matches!(state, State::Established | State::CloseWait));
    }
}
