//! What a connection sends next: the one place that decides it.

use super::common::Common;
use super::congestion::Sent;
use super::connection::Connection;
use super::options::Settings;
use super::receiver::Owed;
use super::recovery::Phase;
use super::segment::{BASE_HEADER, Limits, Outgoing, options_len};
use super::state::{Block, Open};
use super::timer::Timer;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, MAX_OPTIONS_LEN, Options, SackBlocks};

mod probe;
mod repeat;

use probe::Probing;

impl Connection {
    /// The next segment to send. Call until `None`; each answer counts as sent at `now`.
    pub fn poll_transmit(&mut self, now: Instant, limits: &Limits) -> Option<Outgoing> {
        if let Some(parting) = self.common.parting.take() {
            self.common.counters.segs_out += 1;
            return Some(*parting);
        }
        if !self.common.dirty {
            return None;
        }
        self.set_max_segment(limits.max_segment);
        let common = &mut self.common;
        let mut over = false;
        let outgoing = match &mut self.block {
            Block::Opening(opening) => opening.due.take().map(|reason| {
                if !opening.sent {
                    (opening.sent, opening.sent_at) = (true, now);
                }
                common.timers.set_if_unset(Timer::Rto, now + opening.rtt.rto());
                let header = opening.header(now, common.ports, reason);
                let mut syn = Outgoing::bare(header, opening.why(reason));
                opening.add_fast_open(&mut syn, common);
                syn
            }),
            Block::Open(open) => {
                let mut output = Output { open, common, now, limits, over: false };
                let found = output.next();
                over = output.over || found.is_none();
                if over {
                    open.notice_app_limit(common.tx.len());
                    open.note_limit(now, common);
                }
                found
            }
            Block::TimeWait(_) | Block::Closed => None,
        };
        match &outgoing {
            Some(outgoing) => common.count(outgoing),
            None => over = true,
        }
        common.dirty &= !over;
        outgoing
    }
}

impl Common {
    fn count(&mut self, outgoing: &Outgoing) {
        let segments = outgoing.segments();
        self.counters.segs_out += u64::from(segments);
        self.counters.bytes_sent += u64::from(outgoing.len);
        self.counters.data_segs_out += u64::from(segments) * u64::from(outgoing.len > 0);
        match outgoing.why.reason() {
            Reason::Rto
            | Reason::RtoRecovery
            | Reason::FastRetransmit
            | Reason::RecoveryRetransmit
            | Reason::TailLossProbe => {
                self.counters.segs_retrans += segments;
                self.counters.bytes_retrans += u64::from(outgoing.len);
            }
            Reason::SynRetransmit | Reason::SynAckRetransmit => self.counters.segs_retrans += 1,
            Reason::ZeroWindowProbe | Reason::Keepalive => self.counters.probes += 1,
            _ => {}
        }
    }
}

/// One look for something to send.
struct Output<'a> {
    open: &'a mut Open,
    common: &'a mut Common,
    now: Instant,
    limits: &'a Limits,
    /// Certainly nothing follows what was found: whoever asks again need not be told so at length.
    over: bool,
}

/// A segment's place in the sequence space.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: SeqNum,
    /// Bytes of data.
    len: u32,
    /// A FIN follows them.
    fin: bool,
}

/// What a segment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// No data.
    None,
    /// Data that was never sent.
    New,
    /// Data that was sent before, or that asks for a window.
    Again,
}

impl Output<'_> {
    /// In this order: what was lost, what is new, a probe, a bare ACK. All that is sent carries the ACK that is owed.
    fn next(&mut self) -> Option<Outgoing> {
        if self.open.unconfirmed.is_some() {
            // RFC 7413 section 4.2.2: what answers the data of a SYN need not wait for the ACK.
            let syn_ack = self.open.syn_ack(self.now, self.common);
            return if syn_ack.is_some() { syn_ack } else { self.new_data() };
        }
        if self.open.ecn.as_ref().is_some_and(|ecn| ecn.wants_pure_ack())
            && let found @ Some(_) = self.bare_ack()
        {
            return found;
        }
        // Note: a chain of `or_else` would copy the segment from link to link.
        if let found @ Some(_) = self.repeat() {
            return found;
        }
        if let found @ Some(_) = self.new_data() {
            self.over = self.has_said_all();
            return found;
        }
        if let found @ Some(_) = self.window_probe() {
            return found;
        }
        if let found @ Some(_) = self.keepalive_probe() {
            return found;
        }
        // All that comes before it has nothing to say.
        self.over = true;
        self.bare_ack()
    }

    /// Whether what has just left, with the acknowledgment that was owed, was the last of what there is to send.
    fn has_said_all(&self) -> bool {
        let (sender, written) = (&self.open.sender, self.common.tx.len());
        let sent = sender.unsent(written) == 0 && !sender.fin_unsent(written);
        sent && sender.board.lost() == 0 && !self.open.keepalive_due
    }

    /// Data and FIN that were never sent, under the peer's window, the congestion window, pacing and Nagle.
    fn new_data(&mut self) -> Option<Outgoing> {
        let written = self.common.tx.len();
        let unsent = self.open.sender.unsent(written);
        let fin_waits = self.open.sender.fin_unsent(written);
        if (unsent == 0 && !fin_waits) || self.open.sender.probing {
            return None;
        }
        self.restart_after_idle();
        let usable = self.open.sender.usable_window();
        let want = unsent.min(usable);
        if want == 0 && (unsent > 0 || usable == 0) {
            self.wait_for_window();
            return None;
        }
        let options = self.open.options(self.now);
        let size = self.segment_size(&options);
        if self.open.plpmtud.is_some() {
            match self.mtu_probe(&options, size, want) {
                Probing::Not => {}
                Probing::Waits => return None,
                Probing::Probe(probe) => return Some(probe),
            }
        }
        let (pipe, room) = self.pipe_and_room();
        if pipe > 0 && room < u64::from(want.min(size)) {
            self.open.sender.cwnd_limited_to = self.open.sender.snd_nxt;
            return None;
        }
        let allowed = self.paced()?.min(room).max(u64::from(size)).min(u64::from(u32::MAX)) as u32;
        let largest = self.largest(&options, size);
        let len = self.worth_sending(want.min(allowed).min(largest), size)?;
        if self.fills_soon(len, largest) {
            return None;
        }
        let fin = fin_waits && len == unsent && len < usable;
        self.open.sender.probe_due = false;
        let start = self.open.sender.snd_nxt;
        let reason = if len == 0 { Reason::Fin } else { Reason::NewData };
        let why = self.why(reason);
        Some(self.launch(Piece { start, len, fin }, options, size, why))
    }

    /// Whether to wait for what makes `len` bytes one of the largest frames: all that was written, by an application that
    /// waits for room, which the acknowledgments of what is in flight are about to make. A small frame now and then costs
    /// as much as a large one.
    fn fills_soon(&self, len: u32, largest: u32) -> bool {
        /// So many of the largest frames in flight are acknowledged before anybody misses the rest.
        const FRAMES: u32 = 4;
        let (sender, common) = (&self.open.sender, &*self.common);
        self.limits.merges
            && len < largest
            && common.write_blocked
            && !sender.fin
            && len + sender.smss > sender.unsent(common.tx.len())
            && sender.flight() >= FRAMES * largest
            && self.open.recovery.phase() == Phase::Open
    }

    /// Sends what was never sent, as the timers and the accounts have to know.
    fn launch(&mut self, piece: Piece, options: Options, size: u32, why: Why) -> Outgoing {
        self.send_new(piece.len + u32::from(piece.fin));
        if !piece.len.is_multiple_of(size) {
            self.open.sender.small_end = self.open.sender.snd_nxt;
        }
        self.open.pacer.handle_sent(self.now, u64::from(piece.len));
        let at = self.now + self.open.rtt.rto();
        self.common.timers.set_if_unset(Timer::Rto, at);
        self.common.timers.stop(Timer::Persist);
        self.common.disarm_cork();
        self.open.arm_probe(self.common, self.now);
        if self.common.settings.notsent_lowat.is_some() {
            let unsent = self.open.sender.unsent(self.common.tx.len());
            self.common.tell_unsent(unsent);
        }
        self.emit_new(piece, options, size, why)
    }

    /// How much of `len` bytes is worth a segment now: Nagle and the sender's side of silly window avoidance
    /// (RFC 9293 sections 3.7.4 and 3.8.6.2.1).
    fn worth_sending(&mut self, len: u32, size: u32) -> Option<u32> {
        let sender = &self.open.sender;
        let unsent = sender.unsent(self.common.tx.len());
        let tail = len % size;
        let all = len == unsent;
        let corked = self.common.is_corked() && !sender.fin;
        // Minshall's form of Nagle: one small segment in flight at most. What the stream ends with does not wait.
        let nagle =
            self.common.settings.nodelay || sender.fin || sender.small_end.at_or_before(sender.snd_una);
        if (tail == 0 && len > 0) || (all && nagle && !corked) {
            return Some(len);
        }
        if len > size {
            return Some(len - tail);
        }
        if len >= (sender.max_snd_wnd / 2).max(1) && !all || sender.probe_due {
            return Some(len);
        }
        if all && corked {
            self.common.arm_cork(self.now);
        } else if !all && sender.flight() == 0 {
            self.wait_for_window();
        }
        None
    }

    /// One byte (or the FIN) that the peer has no room for, so that it says when it has (RFC 9293 section 3.8.6.1).
    fn window_probe(&mut self) -> Option<Outgoing> {
        let sender = &self.open.sender;
        if !sender.probe_due || sender.flight() > 0 {
            return None;
        }
        let written = self.common.tx.len();
        let len = sender.unsent(written).min(1);
        let fin = len == 0 && sender.fin_unsent(written);
        self.open.sender.probe_due = false;
        if len == 0 && !fin {
            return None;
        }
        let start = self.open.sender.snd_nxt;
        let backoff = u64::from(self.open.persist_backoff);
        let why = self.why(Reason::ZeroWindowProbe).with("backoff", backoff);
        self.send_new(1);
        self.open.sender.probing = true;
        let options = self.open.options(self.now);
        let size = self.segment_size(&options);
        Some(self.emit_piece(Piece { start, len, fin }, options, size, why, Load::Again))
    }

    /// A segment that the peer must answer although it says nothing (RFC 9293 section 3.8.4).
    fn keepalive_probe(&mut self) -> Option<Outgoing> {
        if !core::mem::take(&mut self.open.keepalive_due) {
            return None;
        }
        let probes = u64::from(self.open.keepalive_probes);
        let options = self.open.options(self.now);
        let start = self.open.sender.snd_nxt - 1;
        let header = self.header(start, Flags::ACK, options, Load::None);
        Some(Outgoing::bare(header, Why::new(Reason::Keepalive).with("probes", probes)))
    }

    fn bare_ack(&mut self) -> Option<Outgoing> {
        let Owed::Now(reason) = self.open.receiver.owed else { return None };
        let options = self.open.options(self.now);
        let header = self.header(self.open.sender.snd_nxt, Flags::ACK, options, Load::None);
        Some(Outgoing::bare(header, Why::new(reason).with("rcv_wnd", u64::from(self.open.receiver.window()))))
    }

    /// A segment with what was never sent: it may meet marks (RFC 3168 sections 6.1.4 to 6.1.6: nothing else may).
    fn emit_new(&mut self, piece: Piece, options: Options, size: u32, why: Why) -> Outgoing {
        let ecn = self.open.ecn.as_ref().filter(|_| piece.len > 0).map_or(0, |ecn| ecn.field_of_data());
        Outgoing { ecn, ..self.emit_piece(piece, options, size, why, Load::New) }
    }

    /// A segment with data or a FIN.
    fn emit_piece(&mut self, piece: Piece, options: Options, size: u32, why: Why, load: Load) -> Outgoing {
        let Piece { start, len, fin } = piece;
        let offset = start - self.open.sender.snd_una;
        self.open.watch.data_sent = self.now;
        let mut flags = Flags::ACK;
        flags.set(Flags::FIN, fin);
        // RFC 9293 section 3.9.1.2: the last of what was written.
        flags.set(Flags::PSH, len > 0 && (offset + len) as usize == self.common.tx.len());
        let load = if len > 0 { load } else { Load::None };
        let header = self.header(start, flags, options, load);
        Outgoing { header, offset, len, segment_size: size as u16, ecn: 0, why }
    }

    /// The header of a segment that leaves now; it carries the ACK that is owed.
    fn header(&mut self, seq: SeqNum, mut flags: Flags, options: Options, load: Load) -> Header {
        let open = &mut *self.open;
        if let Some(ecn) = &mut open.ecn {
            let pure = load == Load::None && options.sack.is_empty();
            flags |= ecn.take_flags(pure, load == Load::New, options.acc_ecn.is_some());
        }
        let window = open.receiver.offer_window(&self.common.rx);
        let counters = &mut self.common.counters;
        if let Some(is_old) = open.receiver.dsack_is_old().filter(|_| !options.sack.is_empty()) {
            *(if is_old { &mut counters.dsacks_old_sent } else { &mut counters.dsacks_ofo_sent }) += 1;
        }
        if open.receiver.handle_offered(window == 0) {
            *(if window == 0 { &mut counters.to_zero_window } else { &mut counters.from_zero_window }) += 1;
        }
        open.receiver.handle_ack_sent();
        open.advertise = None;
        open.clock.last_ack_sent = open.receiver.rcv_nxt;
        open.watch.ack_sent = self.now;
        self.common.timers.stop(Timer::DelayedAck);
        Header { window, options, ..self.common.bare(seq, open.receiver.rcv_nxt, flags) }
    }

    fn send_new(&mut self, len: u32) {
        self.tell_sent(len);
        self.open.recovery.handle_new(len);
        self.open.sender.handle_sent(self.now, len);
    }

    /// The congestion control hears what leaves, before the scoreboard does.
    fn tell_sent(&mut self, len: u32) {
        let open = &mut *self.open;
        open.congestion.on_sent(&Sent {
            now: self.now,
            bytes: u64::from(len),
            in_flight: u64::from(open.recovery.pipe(&open.sender.board, open.sender.smss)),
            app_limited: open.sender.board.rate.is_app_limited(),
        });
    }

    /// Bytes of data in a full segment with these options, on this path.
    fn segment_size(&self, options: &Options) -> u32 {
        let largest = self.common.max_segment.min(usize::from(self.open.terms.peer_mss) + BASE_HEADER);
        largest.saturating_sub(BASE_HEADER + options_len(options)).max(1) as u32
    }

    /// Bytes of data in the largest frame, a whole number of segments.
    fn largest(&self, options: &Options, size: u32) -> u32 {
        let has_cwr_bit = self.open.ecn.as_ref().is_some_and(|ecn| ecn.has_cwr_bit());
        if self.limits.max_merged <= self.limits.max_segment || has_cwr_bit {
            // RFC 9293 section 3.7.1 (MUST-16): nobody divides it, so that several small ones must not go as one.
            // Devices that divide give CWR to the first piece alone, which is wrong for the ACE field (RFC 9768 section
            // 3.3.4).
            return size;
        }
        let merged = self.limits.max_merged.min(0xffff).saturating_sub(BASE_HEADER + options_len(options));
        round_down(merged as u32, size)
    }

    /// Bytes on their way, and how many more the congestion window or a recovery allows.
    fn pipe_and_room(&self) -> (u32, u64) {
        let Open { recovery, sender, congestion, .. } = &*self.open;
        let pipe = recovery.pipe(&sender.board, sender.smss);
        (pipe, recovery.room(&sender.board, sender.smss, congestion.cwnd()))
    }

    /// Bytes that pacing lets pass now; otherwise its timer is set.
    fn paced(&mut self) -> Option<u64> {
        match self.open.pacer.poll_timeout(self.now) {
            None => Some(self.open.pacer.allowance(self.now)),
            Some(at) => {
                self.common.timers.set(Timer::Pacing, at);
                None
            }
        }
    }

    /// RFC 5681 section 4.1: after a pause the window starts anew.
    fn restart_after_idle(&mut self) {
        let open = &mut *self.open;
        if open.sender.flight() > 0 {
            return;
        }
        let idle = self.now - open.sender.last_sent;
        if idle > open.rtt.rto() {
            open.congestion.on_idle_restart(self.now, idle);
            // Once for each pause, however often the output looks.
            open.sender.last_sent = self.now;
        }
    }

    /// Nothing is in flight and the window does not let enough pass: ask again later.
    fn wait_for_window(&mut self) {
        if self.open.sender.flight() == 0 && !self.open.sender.probe_due {
            let at = self.now + self.open.persist_interval();
            self.common.timers.set_if_unset(Timer::Persist, at);
        }
    }

    /// A reason with the numbers that decided it.
    fn why(&self, reason: Reason) -> Why {
        let open = &*self.open;
        let mut why =
            Why::new(reason).with("rto_us", open.rtt.rto().as_micros()).with("cwnd", open.congestion.cwnd());
        if open.congestion.ssthresh() < u64::MAX {
            why = why.with("ssthresh", open.congestion.ssthresh());
        }
        why.with("flight", u64::from(open.sender.flight())).with("snd_wnd", u64::from(open.sender.snd_wnd))
    }
}

impl Open {
    /// The time between two looks at a closed window (RFC 9293 section 3.8.6.1: the retransmission timeout, then
    /// doubled).
    pub(crate) fn persist_interval(&self) -> Duration {
        (self.rtt.base_rto() * (1 << self.persist_backoff.min(10))).min(Duration::from_secs(60))
    }

    /// Nothing more leaves now: whether that is the application's doing (draft-ietf-ccwg-bbr section 4.1.2.4).
    ///
    /// Note: the draft counts a full window of the peer as the path's limit, although it says as little about the path
    /// as an application that pauses. What such a flow delivers is no more a measure of the bandwidth than that.
    fn notice_app_limit(&mut self, written: usize) {
        let sender = &self.sender;
        let pipe = self.recovery.pipe(&sender.board, sender.smss);
        let room = u64::from(pipe) + u64::from(sender.smss) <= self.congestion.cwnd();
        let nothing = sender.unsent(written) == 0 || sender.usable_window() < sender.smss;
        if room && nothing && sender.board.lost() == 0 {
            self.sender.board.rate.handle_app_limited(pipe);
        }
    }

    /// How fast to send, if it is to be spread.
    pub(crate) fn set_pacing_rate(&mut self, settings: &Settings) {
        let own = self.congestion.pacing_rate();
        let most = settings.max_pacing_rate;
        let wanted = settings.pacing || most.is_some();
        let spread = self.rtt.srtt().filter(|srtt| wanted && !srtt.is_zero()).map(|srtt| {
            let cwnd = self.congestion.cwnd();
            // Twice the window per round trip in slow start, else a little more than the window, so that it can grow.
            let percent = if cwnd < self.congestion.ssthresh() { 200 } else { 120 };
            let per_second = u128::from(cwnd) * percent * 10_000_000 / u128::from(srtt.as_nanos());
            u64::try_from(per_second).unwrap_or(u64::MAX)
        });
        let rate = match most {
            None => own.or(spread),
            Some(most) => Some(own.or(spread).map_or(most, |rate| rate.min(most))),
        };
        self.pacer.set_rate(rate, u64::from(self.sender.smss));
    }

    /// Timestamps, our user timeout if it is to be told, and what was received beyond the acknowledgment number.
    fn options(&self, now: Instant) -> Options {
        let timestamps = self.terms.timestamps.then(|| self.clock.stamp(now));
        let user_timeout = self.advertise;
        let signature = self.terms.signature;
        let mut options = Options { timestamps, user_timeout, signature, ..Options::default() };
        let sack = |options: &Options| match self.terms.sack {
            true => self.receiver.sack_blocks(options.sack_capacity().min(4)),
            false => SackBlocks::EMPTY,
        };
        if let Some(ecn) = &self.ecn {
            // RFC 9768 section 3.2.3.3: two SACK blocks go before.
            let blocks = sack(&options).as_slice().len().min(2);
            let reserved = if blocks > 0 { 4 + 8 * blocks } else { 0 };
            options.acc_ecn = ecn.option((MAX_OPTIONS_LEN - options.len()).saturating_sub(reserved));
        }
        options.sack = sack(&options);
        options
    }
}

/// The largest multiple of `size` up to `len`, but at least one.
fn round_down(len: u32, size: u32) -> u32 {
    (len - len % size).max(size)
}
