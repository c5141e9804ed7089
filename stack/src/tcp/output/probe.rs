//! Probes of the path's MTU: new data in a segment larger than the others (RFC 4821 section 7.5).

use super::{Output, Piece};
use crate::tcp::decision::Decision;
use crate::tcp::plpmtud::{Probe, ProbePlan};
use crate::tcp::segment::{BASE_HEADER, Outgoing, options_len};
use crate::why::Reason;
use crate::wire::tcp::Options;

/// What the search for the path's MTU does where new data could leave.
#[allow(clippy::large_enum_variant, reason = "it lives for one call")]
pub(super) enum Probing {
    /// Nothing.
    Not,
    /// A probe waits for room in the congestion window: nothing else leaves before.
    Waits,
    /// The probe.
    Probe(Outgoing),
}

impl Output<'_> {
    /// A probe, if it is time for one; `want` bytes were never sent and fit the peer's window.
    pub(super) fn mtu_probe(&mut self, options: &Options, size: u32, want: u32) -> Probing {
        let overhead = (BASE_HEADER + options_len(options)) as u32;
        let (len, tried) = match self.open.plan_mtu_probe(self.now, want, size, overhead) {
            ProbePlan::None => return Probing::Not,
            ProbePlan::Wait => {
                self.open.sender.cwnd_limited_to = self.open.sender.snd_nxt;
                return Probing::Waits;
            }
            ProbePlan::Send { len, size } => (len, size),
        };
        if self.paced().is_none() {
            return Probing::Waits;
        }
        let start = self.open.sender.snd_nxt;
        if let Some(plpmtud) = &mut self.open.plpmtud {
            plpmtud.handle_sent(Probe { start, len, size: tried });
            let search = plpmtud.search();
            let decision = || Decision::MtuProbe { size: tried, low: search.low, high: search.high };
            self.common.tell(self.now, decision);
        }
        let why = self.why(Reason::MtuProbe).with("size", tried.into());
        Probing::Probe(self.launch(Piece { start, len, fin: false }, *options, len, why))
    }
}
