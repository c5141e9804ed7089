//! Packetization-layer path MTU discovery (RFC 4821; RFC 8899 says the same for datagrams): how large segments may be
//! is found out by what arrives, for paths on which nobody says what was too large.
//!
//! Sizes are bytes of a segment: TCP header, options and data.

use super::common::Common;
use super::decision::Decision;
use super::handshake::Terms;
use super::segment::BASE_HEADER;
use super::state::Open;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

/// When the size of segments is looked for by probes (RFC 4821).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MtuProbing {
    /// Never: segments are as large as the interface and ICMP messages say.
    Off,
    /// When large segments seem to vanish: segments become smaller, and probes look for what passes.
    #[default]
    BlackHole,
    /// From the beginning, with segments of 1,024 bytes of data.
    Always,
}

/// Where the search for the path's MTU stands, in bytes of a segment: TCP header, options and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtuSearch {
    /// What passes, as far as is known: how large segments are.
    pub low: u32,
    /// What may pass.
    pub high: u32,
    /// The probe that is on its way, if there is one.
    pub probe: Option<u32>,
}

/// The search of one connection.
///
/// ```text
///   FLOOR      BASE         low                probe              high            limit
///     |          |           |                   |                  |               |
///   --+----------+-----------+-------------------+------------------+---------------+--> bytes
///      has to pass            passes              (low + high) / 2   may pass        path, peer
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Plpmtud {
    /// Of each segment, what is no data.
    header: u32,
    /// The most that the interface, ICMP messages and the peer allow.
    limit: u32,
    /// `search_low` and `search_high` of RFC 4821 section 7.1.
    low: u32,
    high: u32,
    probe: Option<Probe>,
    /// When the search began.
    since: Instant,
}

/// A segment larger than others, with data that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) start: SeqNum,
    /// Bytes of data.
    pub(crate) len: u32,
    /// The size that it tries.
    pub(crate) size: u32,
}

/// Data of a segment that any path should take (RFC 4821 section 7.2: search_low begins with 1,024).
const BASE: u32 = 1024;
/// Data of the smallest segments that a black hole leads to.
const FLOOR: u32 = 48;
/// A range that is narrower is not searched any more.
const THRESHOLD: u32 = 8;
/// After this long the path may be another (RFC 4821 section 7.3, RFC 8899 section 5.1.1: PMTU_RAISE_TIMER).
const INTERVAL: Duration = Duration::from_secs(600);
/// Segments of the congestion window without which nothing is probed (RFC 4821 section 7.4): the loss of one must not
/// stop the flow.
const LEAST_WINDOW: u64 = 11;
/// Segments that have to follow a probe, so that its loss is noticed.
const FOLLOWERS: u32 = 4;
/// R1 of RFC 9293 section 3.8.3 as a time: three repeats and the wait after them, with timeouts of 200 ms.
const R1: Duration = Duration::from_millis(3_000);

impl MtuProbing {
    /// The names.
    pub const NAMES: [&str; 3] = ["off", "black-hole", "always"];
    const ALL: [Self; 3] = [Self::Off, Self::BlackHole, Self::Always];

    /// By one of [`Self::NAMES`], or by a number of Linux's `tcp_mtu_probing`.
    pub fn named(name: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|known| *known == name);
        index.map(|index| Self::ALL[index]).or_else(|| Self::from_sysctl(name.parse().ok()?))
    }

    /// By a number of Linux's `tcp_mtu_probing`, 0 to 2.
    pub fn from_sysctl(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number of Linux's `tcp_mtu_probing`.
    pub const fn sysctl(self) -> u8 {
        self as u8
    }
}

impl Probe {
    /// The sequence number after it.
    pub(crate) fn end(&self) -> SeqNum {
        self.start + self.len
    }
}

impl Plpmtud {
    /// The search with which a connection begins, if it begins with one: what it says counts at once.
    pub(crate) fn begin(now: Instant, terms: &Terms, common: &mut Common) -> Option<Self> {
        if common.settings.mtu_probing != MtuProbing::Always {
            return None;
        }
        let search = Self::of(now, terms, common);
        common.max_segment = common.path_segment.min(search.size() as usize);
        Some(search)
    }

    fn of(now: Instant, terms: &Terms, common: &Common) -> Self {
        let limit = limit(terms, common);
        Self::new(now, limit - terms.smss(common.path_segment), limit)
    }

    /// A search that begins with the base size; segments carry `header` bytes beside data, and may have `limit` bytes.
    fn new(now: Instant, header: u32, limit: u32) -> Self {
        Self { header, limit, low: (header + BASE).min(limit), high: limit, probe: None, since: now }
    }

    /// How large segments are.
    pub(crate) fn size(&self) -> u32 {
        self.low
    }

    /// The probe on its way.
    pub(crate) fn probe(&self) -> Option<Probe> {
        self.probe
    }

    pub(crate) fn search(&self) -> MtuSearch {
        let Self { low, high, .. } = *self;
        MtuSearch { low, high, probe: self.probe.map(|probe| probe.size) }
    }

    /// The path or the peer allow another size now. What an ICMP message says bounds the search; what is larger than
    /// before is to be tried.
    pub(crate) fn handle_limit(&mut self, limit: u32) {
        let grown = limit > self.limit;
        self.limit = limit;
        self.high = if grown { limit } else { self.high.min(limit) };
        self.low = self.low.min(limit);
    }

    /// Nothing passes (RFC 4821 section 7.7): what is smaller may.
    pub(crate) fn handle_black_hole(&mut self) {
        self.low = self.smaller();
        self.probe = None;
    }

    /// The size of segments after that: the base size, and then half and half again.
    pub(crate) fn smaller(&self) -> u32 {
        let data = self.low.saturating_sub(self.header);
        let data = if data > BASE { BASE } else { (data / 2).max(FLOOR) };
        (self.header + data).min(self.low)
    }

    /// Everything up to `una` has arrived: answers the probe if that is among it, so that its size passes.
    pub(crate) fn handle_ack(&mut self, una: SeqNum) -> Option<Probe> {
        let probe = self.probe.take_if(|probe| una.at_or_after(probe.end()))?;
        self.low = self.low.max(probe.size.min(self.limit));
        self.high = self.high.max(self.low);
        Some(probe)
    }

    /// The probe was lost, and nothing else (RFC 4821 section 7.6.2): its size does not pass.
    pub(crate) fn handle_lost(&mut self) -> Option<Probe> {
        let probe = self.probe.take()?;
        self.high = self.high.min(probe.size - 1).max(self.low);
        Some(probe)
    }

    /// `len` sequence numbers from `start` are sent again. If the probe is among them, nothing will be known from it
    /// (RFC 4821 section 7.6.4).
    pub(crate) fn handle_resent(&mut self, start: SeqNum, len: u32) {
        self.probe = self
            .probe
            .filter(|probe| (start + len).at_or_before(probe.start) || start.at_or_after(probe.end()));
    }

    /// A probe was sent.
    pub(crate) fn handle_sent(&mut self, probe: Probe) {
        self.probe = Some(probe);
    }

    /// The size to try next, if it is time (RFC 4821 section 7.3).
    ///
    /// Note: where nothing failed the last step is to the largest size itself, from which the threshold would keep
    /// away.
    pub(crate) fn poll_size(&mut self, now: Instant) -> Option<u32> {
        if self.probe.is_some() {
            return None;
        }
        if self.high - self.low >= THRESHOLD {
            return Some(self.low.midpoint(self.high));
        }
        if self.high == self.limit {
            return Some(self.high).filter(|&high| high > self.low);
        }
        if now >= self.since + INTERVAL {
            (self.high, self.since) = (self.limit, now);
        }
        None
    }
}

/// What a connection sends instead of what it usually would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbePlan {
    /// No probe.
    None,
    /// Nothing: a probe waits for room.
    Wait,
    /// So much data in one segment of this size.
    Send { len: u32, size: u32 },
}

impl Open {
    /// The probe on its way.
    pub(crate) fn mtu_probe(&self) -> Option<Probe> {
        self.plpmtud.as_ref()?.probe()
    }

    /// Begins or ends the search as the settings want it.
    pub(crate) fn set_mtu_probing(&mut self, now: Instant, common: &mut Common) {
        match common.settings.mtu_probing {
            MtuProbing::Off => self.plpmtud = None,
            MtuProbing::BlackHole => {}
            MtuProbing::Always => {
                let search = self.plpmtud.take();
                self.plpmtud = search.or_else(|| Some(Box::new(Plpmtud::of(now, &self.terms, common))));
            }
        }
        self.resize(common);
    }

    /// Takes what the path, the peer and the search allow for the size of segments.
    pub(crate) fn resize(&mut self, common: &mut Common) {
        common.max_segment = common.path_segment;
        let limit = limit(&self.terms, common);
        if let Some(plpmtud) = &mut self.plpmtud {
            plpmtud.handle_limit(limit);
            common.max_segment = common.path_segment.min(plpmtud.size() as usize);
        }
        let smss = self.terms.smss(common.max_segment);
        if smss != self.sender.smss {
            self.sender.smss = smss;
            self.congestion.set_smss(smss);
        }
    }

    /// The retransmission timer fires and has fired `before` for the same segment, which is marked lost now. If that is
    /// large, and what it waits for is longer than R1, something on the path may swallow what is large (RFC 4821
    /// section 7.7, RFC 2923 section 2.1).
    pub(crate) fn check_black_hole(&mut self, now: Instant, common: &mut Common, before: u8) {
        if common.settings.mtu_probing == MtuProbing::Off || before == 0 {
            return;
        }
        // The first repeat was one timeout ago, and one of twice that, and so on.
        let waited = self.rtt.base_rto() * ((2u64 << u64::from(before).min(32)) - 2);
        let lost = self.sender.board.next_lost().map_or(0, |(_, len)| len.min(self.sender.smss));
        let mut search = match &self.plpmtud {
            Some(search) => (**search).clone(),
            None => {
                let whole = Plpmtud::of(now, &self.terms, common);
                Plpmtud { low: whole.limit, ..whole }
            }
        };
        let (from, to) = (search.size(), search.smaller());
        if waited < R1 || to >= from || self.terms.smss(to as usize) >= lost {
            return;
        }
        search.handle_black_hole();
        self.plpmtud = Some(Box::new(search));
        common.counters.mtu_black_holes += 1;
        common.tell(now, || Decision::BlackHole { from, to });
        self.resize(common);
    }

    /// Whether what would be sent next is to be a probe: `data` bytes were never sent and fit the peer's window, a full
    /// segment has `size`, and `overhead` bytes beside them (RFC 4821 section 7.4).
    pub(crate) fn plan_mtu_probe(&mut self, now: Instant, data: u32, size: u32, overhead: u32) -> ProbePlan {
        let pipe = u64::from(self.recovery.pipe(&self.sender.board, self.sender.smss));
        let (cwnd, full) = (self.congestion.cwnd(), u64::from(size));
        let calm = self.recovery.is_calm(&self.sender.board) && self.unconfirmed.is_none();
        let Some(plpmtud) = self.plpmtud.as_mut().filter(|_| calm && cwnd >= LEAST_WINDOW * full) else {
            return ProbePlan::None;
        };
        let Some(probe) = plpmtud.poll_size(now) else { return ProbePlan::None };
        let len = probe.saturating_sub(overhead);
        let room = u64::from(len).max(2 * full);
        if len <= size || data < len + FOLLOWERS * size || room > cwnd {
            return ProbePlan::None;
        }
        if pipe + room > cwnd {
            return if pipe > 0 { ProbePlan::Wait } else { ProbePlan::None };
        }
        ProbePlan::Send { len, size: probe }
    }

    /// SND.UNA has moved: the probe may have arrived (RFC 4821 section 7.6.1).
    pub(crate) fn take_mtu_answer(&mut self, now: Instant, common: &mut Common) {
        let una = self.sender.snd_una;
        let Some(probe) = self.plpmtud.as_mut().and_then(|plpmtud| plpmtud.handle_ack(una)) else { return };
        common.counters.mtu_probes_answered += 1;
        common.tell(now, || Decision::MtuProbed { size: probe.size, passes: true });
        self.resize(common);
    }

    /// The probe was lost, and nothing else: it says nothing about congestion (RFC 4821 section 7.6.2).
    pub(crate) fn take_mtu_loss(&mut self, now: Instant, common: &mut Common) {
        let Some(probe) = self.plpmtud.as_mut().and_then(|plpmtud| plpmtud.handle_lost()) else { return };
        common.counters.mtu_probes_lost += 1;
        common.tell(now, || Decision::MtuProbed { size: probe.size, passes: false });
    }
}

/// The most that path and peer allow in a segment.
fn limit(terms: &Terms, common: &Common) -> u32 {
    common.path_segment.min(usize::from(terms.peer_mss) + BASE_HEADER) as u32
}

#[cfg(test)]
mod tests;
