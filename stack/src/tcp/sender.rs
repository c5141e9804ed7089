//! What we send: the send sequence space of RFC 9293 section 3.3.1 and the peer's window.

use super::sack::Scoreboard;
use crate::buf::packed::packed;
use crate::time::Instant;
use crate::wire::seq::SeqNum;

/// The sender of one connection. The bytes lie in a ring whose first byte is SND.UNA.
///
/// ```text
///     SND.UNA            SND.NXT                end of the ring    FIN
///       |                  |                        |               |
///       v                  v                        v               v
///   ....[ in flight         | written and not sent  ][ one number, if the stream is over ]
///       |<------ SND.WND --------->|
/// ```
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    /// One after the highest number ever sent: above SND.NXT after a window probe was taken back.
    pub(crate) snd_max: SeqNum,
    /// The peer's window in bytes.
    pub(crate) snd_wnd: u32,
    /// SEG.SEQ and SEG.ACK of the segment that last changed SND.WND.
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_wl2: SeqNum,
    /// The largest window that the peer ever offered.
    pub(crate) max_snd_wnd: u32,
    /// Bytes of data in a full segment.
    pub(crate) smss: u32,
    /// What `smss` was when a full segment was last acknowledged; 0 before that.
    pub(crate) proven: u32,
    /// A FIN follows the last byte of the ring.
    pub(crate) fin: bool,
    /// The FIN is acknowledged.
    pub(crate) fin_acked: bool,
    pub(crate) board: Scoreboard,
    /// The end of the last segment that was not full (the Minshall form of Nagle's algorithm).
    pub(crate) small_end: SeqNum,
    /// What was in flight beyond this was sent while the congestion window was the limit.
    pub(crate) cwnd_limited_to: SeqNum,
    /// When data was last sent.
    pub(crate) last_sent: Instant,
    /// What the persist timer asked for: the next piece goes out against the rules.
    pub(crate) probe_due: bool,
    /// A probe byte outside the window is in flight.
    pub(crate) probing: bool,
    /// Timer expiries since the peer was last heard with progress.
    pub(crate) retries: u8,
}

packed!(Sender {
    snd_una,
    snd_nxt,
    snd_max,
    snd_wnd,
    snd_wl1,
    snd_wl2,
    max_snd_wnd,
    smss,
    proven,
    fin,
    fin_acked,
    board,
    small_end,
    cwnd_limited_to,
    last_sent,
    probe_due,
    probing,
    retries
});

impl Sender {
    /// After the handshake: the SYN is acknowledged.
    pub(crate) fn new(now: Instant, una: SeqNum, smss: u32) -> Self {
        Self {
            snd_una: una,
            snd_nxt: una,
            snd_max: una,
            snd_wnd: 0,
            snd_wl1: SeqNum::default(),
            snd_wl2: una,
            max_snd_wnd: 0,
            proven: 0,
            smss,
            fin: false,
            fin_acked: false,
            board: Scoreboard::new(una),
            small_end: una,
            cwnd_limited_to: una,
            last_sent: now,
            probe_due: false,
            probing: false,
            retries: 0,
        }
    }

    /// Sequence numbers in flight (FlightSize).
    pub(crate) fn flight(&self) -> u32 {
        self.snd_nxt - self.snd_una
    }

    /// Bytes of the ring (whose length is `written`) that were never sent.
    pub(crate) fn unsent(&self, written: usize) -> u32 {
        (written as u32).saturating_sub(self.flight())
    }

    /// Whether the FIN is due to be sent for the first time, after all data.
    pub(crate) fn fin_unsent(&self, written: usize) -> bool {
        self.fin && !self.fin_acked && self.flight() <= written as u32
    }

    /// Whether anything was written that the peer has not acknowledged.
    pub(crate) fn has_unacked(&self, written: usize) -> bool {
        written > 0 || (self.fin && !self.fin_acked)
    }

    /// What the peer's window leaves after what is in flight.
    pub(crate) fn usable_window(&self) -> u32 {
        self.snd_wnd.saturating_sub(self.flight())
    }

    /// Takes the peer's window from a segment (RFC 9293 section 3.10.7.4, fifth); answers whether it changed.
    pub(crate) fn handle_window(&mut self, seq: SeqNum, ack: SeqNum, window: u32) -> bool {
        let newer = self.snd_wl1.before(seq) || (self.snd_wl1 == seq && self.snd_wl2.at_or_before(ack));
        if !newer {
            return false;
        }
        let changed = window != self.snd_wnd;
        self.snd_wnd = window;
        self.max_snd_wnd = self.max_snd_wnd.max(window);
        (self.snd_wl1, self.snd_wl2) = (seq, ack);
        changed
    }

    /// `len` sequence numbers were sent for the first time.
    pub(crate) fn handle_sent(&mut self, now: Instant, len: u32) {
        self.board.handle_sent(now, len);
        self.snd_nxt += len;
        self.snd_max = self.snd_max.max(self.snd_nxt);
        self.last_sent = now;
    }

    /// Takes a probe byte back that the peer had no room for, so that the next segment is a full one.
    pub(crate) fn unsend_probe(&mut self) {
        self.board.unsend();
        self.snd_nxt = self.snd_una;
        self.probing = false;
    }
}
