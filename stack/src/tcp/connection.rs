//! One connection: what the caller sees of it. What segments do to it is in `input`, what it sends in `output`,
//! what time does to it in `timeout`.

use core::ops::Range;

use super::common::{self, Common};
use super::congestion::{self, Algorithm};
use super::error::{Error, IcmpError};
use super::handshake::{Course, Offer, Opening, Peer, establish};
use super::info::{Counters, TcpInfo};
use super::options::Settings;
use super::receiver::Owed;
use super::segment::{Outgoing, Ports};
use super::state::{Block, State, Synchronised};
use super::time_wait::TimeWait;
use super::timer::Timer;
use crate::time::{Duration, Instant};
use crate::why::{Reason, Why};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Signature};

mod tuning;

pub use super::event::{Event, Readiness};

/// What a new connection gets from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Initial sequence number (RFC 6528).
    pub iss: SeqNum,
    /// Added to our timestamp clock, so that it tells nothing about us (RFC 7323 section 5.4). The same for
    /// successive connections of one pair of addresses.
    pub ts_offset: u32,
    /// Largest TCP header, options and data of one segment, see [`Limits::max_segment`](super::Limits).
    /// Decides the MSS that we announce.
    pub max_segment: usize,
    /// The peer's MSS if it announces none: 536 for IPv4, 1220 for IPv6 (RFC 9293 section 3.7.1).
    pub default_mss: u16,
    /// The option that says who sends, if one does: it takes room from others.
    pub signature: Option<Signature>,
    /// The addresses and ports were in TIME-WAIT a moment ago (RFC 6191): `iss` lies after what was sent then, and
    /// nothing before it may be taken instead.
    pub successor: bool,
}

/// One TCP connection.
///
/// Getters; `handle_*` for input; commands; `poll_*` for output.
#[derive(Debug)]
pub struct Connection {
    pub(crate) block: Block,
    pub(crate) common: Common,
}

impl Connection {
    /// Begins an active open: the SYN leaves with the next `poll_transmit`.
    pub fn connect(now: Instant, ports: Ports, start: Start, settings: Settings) -> Self {
        let mut common = Common::new(now, ports, settings, start.max_segment);
        common.dirty = true;
        if let Some(timeout) = common.settings.user_timeout {
            common.timers.set(Timer::UserTimeout, now + timeout);
        }
        let opening = Opening::new(now, start, &common.settings);
        Self { block: Block::Opening(Box::new(opening)), common }
    }

    /// A connection whose handshake a listener has completed.
    pub(crate) fn accepted(
        now: Instant,
        ports: Ports,
        start: &Start,
        settings: Settings,
        offer: &Offer,
        peer: &Peer,
        course: Course,
    ) -> Self {
        let mut common = Common::new(now, ports, settings, start.max_segment);
        let open = establish(now, start, offer, peer, course, &mut common);
        common.handle_established(now);
        Self { block: Block::Open(Box::new(open)), common }
    }

    /// The state.
    pub fn state(&self) -> State {
        match &self.block {
            Block::Opening(opening) if opening.peer.is_some() => State::SynReceived,
            Block::Opening(_) => State::SynSent,
            Block::Open(open) if open.is_unconfirmed() => State::SynReceived,
            Block::Open(open) => open.state.state(),
            Block::TimeWait(_) => State::TimeWait,
            Block::Closed => State::Closed,
        }
    }

    /// The ports.
    pub fn ports(&self) -> Ports {
        self.common.ports
    }

    /// A snapshot of everything else, as of the last time that something happened.
    pub fn info(&self) -> TcpInfo {
        self.info_at(self.common.last_active)
    }

    /// A snapshot of everything else: what lasts is counted until `now`.
    pub fn info_at(&self, now: Instant) -> TcpInfo {
        let common = &self.common;
        let base = TcpInfo {
            now,
            opened: common.opened,
            state: self.state(),
            ato: common.settings.delayed_ack,
            rcv_space: common.rx.limit() as u64,
            last_data_sent: common.last_active,
            last_ack_sent: common.last_active,
            last_data_recv: common.last_active,
            last_ack_recv: common.last_active,
            unread: common.rx.len() as u64,
            unsent: common.tx.len() as u64,
            max_pacing_rate: common.settings.max_pacing_rate,
            user_timeout: common.user_timeout(),
            syn_data: common.syn_data,
            fast_open_fail: common.fast_open_fail,
            counters: common.counters,
            ..TcpInfo::default()
        };
        match &self.block {
            Block::Opening(opening) => TcpInfo {
                rto: opening.rtt.rto(),
                backoff: opening.rtt.backoffs(),
                retransmits: opening.retries.into(),
                advmss: opening.offer.mss,
                rcv_wnd: u64::from(opening.offer.window),
                ..base
            },
            Block::Open(open) => open.info(base, common.tx.len()),
            Block::TimeWait(_) | Block::Closed => base,
        }
    }

    /// What was counted since the beginning; the snapshot has it, too.
    pub fn counters(&self) -> &Counters {
        &self.common.counters
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.common.settings
    }

    /// Why the connection failed, if it did.
    pub fn error(&self) -> Option<Error> {
        self.common.error
    }

    /// What can be done without waiting.
    pub fn readiness(&self) -> Readiness {
        let common = &self.common;
        let opening = matches!(&self.block, Block::Opening(opening) if !opening.is_deferred());
        let over = matches!(self.block, Block::TimeWait(_) | Block::Closed);
        let write_closed = common.write_shut || over;
        let read_closed = common.end_of_stream || common.read_shut || over;
        Readiness {
            readable: common.is_worth_reading() || read_closed,
            writable: write_closed
                || (!opening && common.tx.free() > 0 && common.has_unsent_room(self.unsent())),
            read_closed,
            write_closed,
            error: common.error.is_some(),
        }
    }

    /// Whether nothing will ever happen again: no timer, nothing to send.
    /// What is received may still be read.
    pub fn is_finished(&self) -> bool {
        matches!(self.block, Block::Closed) && self.common.parting.is_none()
    }

    /// Whether the application has let go of the connection by `close` or `abort`.
    pub fn is_orphaned(&self) -> bool {
        self.common.orphaned
    }

    /// Bytes written that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.common.tx.len()
    }

    /// Bytes of memory that its buffers occupy now.
    pub fn buffer_memory(&self) -> usize {
        self.common.tx.memory() + self.common.rx.memory()
    }

    /// Whether `poll_transmit` may have something. Cheap; false is certain.
    pub fn wants_transmit(&self) -> bool {
        self.common.dirty || self.common.parting.is_some()
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.common.timers.next()
    }

    /// The same, unless it is certain that it is not before `known`, where it would wake up anyway.
    pub(crate) fn timeout_before(&mut self, known: Option<Instant>) -> Option<Option<Instant>> {
        let timers = &mut self.common.timers;
        known.is_none_or(|at| timers.may_precede(at)).then(|| timers.take_next())
    }

    /// Whether an ICMP error about a segment of ours that began at `seq` is believable: the segment must be in flight.
    pub fn accepts_icmp(&self, seq: SeqNum) -> bool {
        // RFC 5927 section 4.1.
        match &self.block {
            Block::Opening(opening) => opening.sent && seq == opening.start.iss,
            Block::Open(open) => seq.at_or_after(open.sender.snd_una) && seq.before(open.sender.snd_max),
            Block::TimeWait(_) | Block::Closed => false,
        }
    }

    /// An ICMP error about a segment of ours that began at `seq`; ignored unless [`Self::accepts_icmp`].
    pub fn handle_icmp(&mut self, seq: SeqNum, error: IcmpError) {
        if !self.accepts_icmp(seq) {
            return;
        }
        // RFC 1122 section 4.2.3.9 and RFC 5927 section 5.2: a hard error ends an attempt to connect and nothing else.
        if error.is_hard() && matches!(self.block, Block::Opening(_)) {
            self.finish(Some(error.error()));
        } else {
            self.handle_soft_error(error.error());
        }
    }

    /// Our own host found that the peer cannot be reached (no route, no answer to ARP or NDP).
    /// Ends an open under way; an established connection goes on trying.
    pub fn handle_unreachable(&mut self, error: Error) {
        if matches!(self.block, Block::Opening(_)) {
            self.finish(Some(error));
        } else {
            self.handle_soft_error(error);
        }
    }

    /// The path takes segments of at most `max_segment` bytes (see [`Limits`](super::Limits)) from now on.
    /// What was larger is sent again.
    pub fn handle_path_mtu(&mut self, now: Instant, max_segment: usize) {
        let before = self.common.max_segment;
        self.set_max_segment(max_segment);
        let Block::Open(open) = &mut self.block else { return };
        if open.sender.flight() == 0 || open.sender.probing {
            return;
        }
        if self.common.max_segment < before {
            open.recovery.handle_too_large(&mut open.sender.board, None);
            self.common.dirty = true;
        } else if let Some(probe) = open.mtu_probe().filter(|probe| probe.size as usize > max_segment) {
            open.recovery.handle_too_large(&mut open.sender.board, Some(probe));
            open.take_mtu_loss(now, &mut self.common);
            self.common.dirty = true;
        }
    }

    /// Takes bytes to be sent; answers how many fitted. Before the handshake is complete they wait.
    ///
    /// # Errors
    /// `WouldBlock` if the buffer is full; after the connection's failure its error, if nobody was told yet;
    /// `BrokenPipe` after that, and after our end of the stream.
    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        self.send_slices(now, &[data])
    }

    /// As `send`, and says that more will follow soon: what does not fill a segment waits for it, at most for 200 ms
    /// (`MSG_MORE`).
    ///
    /// # Errors
    /// As `send`.
    pub fn send_more(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        let taken = self.send_slices(now, &[data])?;
        self.common.more = true;
        Ok(taken)
    }

    /// As `send`, from several pieces.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_slices(&mut self, now: Instant, parts: &[&[u8]]) -> Result<usize, Error> {
        if let Some(error) = self.untold() {
            self.common.news = None;
            return Err(error);
        }
        if self.common.write_shut || matches!(self.block, Block::TimeWait(_) | Block::Closed) {
            return Err(Error::BrokenPipe);
        }
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        let (taken, has_room) = self.write_below_mark(parts);
        let common = &mut self.common;
        common.write_blocked = taken < wanted || common.tx.free() == 0 || !has_room;
        if taken == 0 && wanted > 0 {
            return Err(Error::WouldBlock);
        }
        common.handle_activity(now);
        common.arm_user_timeout(now);
        common.more = false;
        common.dirty = true;
        if let Block::Opening(opening) = &mut self.block {
            opening.handle_written();
        }
        Ok(taken)
    }

    /// Gives received bytes; 0 is the end of the stream (or an empty buffer).
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; after the connection's failure its error, if nobody was told yet. Then the
    /// stream has ended.
    pub fn recv(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, Error> {
        if self.common.rx.is_empty() && !out.is_empty() {
            let result = self.nothing_to_read();
            if result.is_err_and(|error| error != Error::WouldBlock) {
                self.common.news = None;
            }
            return result;
        }
        let taken = self.common.rx.read(out);
        self.handle_read(now);
        Ok(taken)
    }

    /// The received bytes where they lie; see [`Self::consume`].
    ///
    /// # Errors
    /// As `recv`.
    pub fn received(&self) -> Result<[&[u8]; 2], Error> {
        if self.common.rx.is_empty() {
            self.nothing_to_read()?;
        }
        Ok(self.common.rx.peek(0, usize::MAX))
    }

    /// Drops the first `n` received bytes, which [`Self::received`] has shown.
    pub fn consume(&mut self, now: Instant, n: usize) {
        self.common.rx.consume(n);
        self.handle_read(now);
    }

    /// Like `recv`, but the bytes stay.
    ///
    /// # Errors
    /// As `recv`.
    pub fn peek(&self, out: &mut [u8]) -> Result<usize, Error> {
        if self.common.rx.is_empty() && !out.is_empty() {
            return self.nothing_to_read();
        }
        let [first, second] = self.common.rx.peek(0, out.len());
        out[..first.len()].copy_from_slice(first);
        out[first.len()..first.len() + second.len()].copy_from_slice(second);
        Ok(first.len() + second.len())
    }

    /// Ends our stream: a FIN follows the last byte. Reading goes on.
    ///
    /// # Errors
    /// `NotConnected` if there is no connection.
    pub fn shutdown_write(&mut self, now: Instant) -> Result<(), Error> {
        match &mut self.block {
            Block::TimeWait(_) | Block::Closed if self.common.write_shut => Ok(()),
            Block::TimeWait(_) | Block::Closed => Err(Error::NotConnected),
            _ if self.common.write_shut => Ok(()),
            Block::Opening(opening) => {
                // RFC 9293 section 3.10.4: queued until the connection is established.
                self.common.write_shut = true;
                self.common.dirty = true;
                opening.handle_written();
                Ok(())
            }
            Block::Open(open) => {
                self.common.write_shut = true;
                open.sender.fin = true;
                open.state = open.state.on_close();
                self.common.arm_user_timeout(now);
                self.common.dirty = true;
                Ok(())
            }
        }
    }

    /// Stops reading: what is there and what comes is thrown away.
    pub fn shutdown_read(&mut self, now: Instant) {
        self.common.read_shut = true;
        self.common.rx.consume(usize::MAX);
        self.handle_read(now);
    }

    /// The application lets go of the connection: it ends in order, or with a RST if received data was left unread
    /// or `linger` says so.
    pub fn close(&mut self, now: Instant) {
        if self.common.orphaned {
            return;
        }
        self.common.orphaned = true;
        let unread = !self.common.rx.is_empty();
        match &self.block {
            // RFC 9293 section 3.10.4: nobody knows of this connection yet.
            Block::Opening(opening) if opening.peer.is_none() => return self.finish(None),
            Block::TimeWait(_) | Block::Closed => return,
            Block::Opening(_) | Block::Open(_) => {}
        }
        // RFC 2525 section 2.17: the peer must learn that its data was not read.
        if unread || self.common.settings.linger == Some(Duration::ZERO) {
            let counters = &mut self.common.counters;
            *(if unread { &mut counters.aborts_on_close } else { &mut counters.aborts_on_data }) += 1;
            return self.reset(now, Error::ConnectionAborted, Reason::Abort);
        }
        let _ = self.shutdown_write(now);
        if let Some(linger) = self.common.settings.linger {
            self.common.timers.set(Timer::Linger, now + linger);
        }
        self.guard_fin_wait_2(now);
    }

    /// Ends the connection with a RST.
    pub fn abort(&mut self, now: Instant) {
        self.common.orphaned = true;
        if !matches!(self.block, Block::Closed) {
            self.reset(now, Error::ConnectionAborted, Reason::Abort);
        }
    }

    /// Takes the error, as `SO_ERROR` does; an ICMP error that did not end the connection is one too.
    pub fn take_error(&mut self) -> Option<Error> {
        self.common.news.take()
    }

    /// Takes what the connection left for its TIME-WAIT. The connection is CLOSED afterwards; it can still be read.
    pub fn take_time_wait(&mut self) -> Option<TimeWait> {
        let Block::TimeWait(time_wait) = self.block else { return None };
        self.block = Block::Closed;
        // Its last decision was TIME-WAIT; when that is over is not the connection's business any more.
        self.common.journal = None;
        self.common.timers.stop_all();
        Some(time_wait)
    }

    /// Changes the congestion control. It begins with the window and the threshold of the one before.
    pub fn set_congestion(&mut self, now: Instant, algorithm: Algorithm) {
        if let Block::Open(open) = &mut self.block {
            let (cwnd, ssthresh) = (open.congestion.cwnd(), open.congestion.ssthresh());
            let smss = open.sender.smss;
            let settings = &self.common.settings;
            let paced = settings.pacing;
            let (srtt, seed) = (open.rtt.srtt(), open.seed);
            open.congestion =
                algorithm.build(&congestion::Start { now, smss, cwnd, ssthresh, srtt, paced, seed });
            open.set_pacing_rate(settings);
            self.common.dirty = true;
        }
        self.common.settings.congestion = algorithm;
    }

    /// Where the payload of an answer of `poll_transmit` lies. Valid until the next call of a `&mut` method.
    pub fn payload(&self, outgoing: &Outgoing) -> [&[u8]; 2] {
        self.unacknowledged_bytes(outgoing.payload_range())
    }

    /// Bytes that the peer has not acknowledged, counted from the first of them.
    pub fn unacknowledged_bytes(&self, range: Range<usize>) -> [&[u8]; 2] {
        self.common.tx.peek(range.start, range.len())
    }

    /// Where `len` bytes from `seq` on lie among those that the peer has not acknowledged; `None` unless all do.
    pub fn place_of(&self, seq: SeqNum, len: u32) -> Option<Range<usize>> {
        let Block::Open(open) = &self.block else { return None };
        let start = usize::try_from(seq.distance(open.sender.snd_una)).ok()?;
        let range = start..start + len as usize;
        (range.end <= self.common.tx.len()).then_some(range)
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.common.events.pop()
    }

    /// The connection is over; what was received can still be read.
    pub(crate) fn finish(&mut self, error: Option<Error>) {
        let common = &mut self.common;
        common.counters.count_end(&self.block);
        match &self.block {
            Block::Opening(opening) => common.fast_open = opening.report_failure(),
            Block::Open(open) if open.unconfirmed.is_some() => common.events.push(Event::FastOpenDone),
            _ => {}
        }
        common.timers.stop_all();
        common.tx.clear();
        common.tx.shrink();
        common.dirty = false;
        common.error = error;
        common.news = error.or(common.news);
        common.events.close(error);
        self.block = Block::Closed;
    }

    /// The connection is over, and the peer is told so by a RST if it may not know.
    pub(crate) fn reset(&mut self, now: Instant, error: Error, reason: Reason) {
        let common = &mut self.common;
        match &mut self.block {
            // RFC 9293 section 3.10.5: both FINs are under way or done, or nobody knows of us.
            Block::TimeWait(_) | Block::Closed => {}
            Block::Open(open) if matches!(open.state, Synchronised::Closing | Synchronised::LastAck) => {}
            Block::Opening(opening) => {
                if let Some(peer) = &opening.peer {
                    let header = common.bare(opening.start.iss + 1, peer.irs + 1, Flags::RST | Flags::ACK);
                    common.parting = Some(Box::new(Outgoing::bare(header, Why::new(reason))));
                }
            }
            Block::Open(open) => {
                let (seq, ack) = (open.sender.snd_nxt, open.receiver.rcv_nxt);
                let mut header = common.bare(seq, ack, Flags::RST | Flags::ACK);
                header.options.timestamps = open.terms.timestamps.then(|| open.clock.stamp(now));
                common.parting = Some(Box::new(Outgoing::bare(header, Why::new(reason))));
            }
        }
        self.finish(Some(error));
    }

    /// Enters TIME-WAIT (RFC 9293 section 3.3.2); an ACK that is owed goes out.
    pub(crate) fn enter_time_wait(&mut self, now: Instant) {
        let Block::Open(open) = &mut self.block else { return };
        let common = &mut self.common;
        let time_wait = TimeWait::new(now, common.ports, common.settings.time_wait, open, &common.rx);
        common.timers.stop_all();
        common.timers.set(Timer::TimeWait, time_wait.expires());
        if let Owed::Now(reason) = open.receiver.owed {
            common.parting = Some(Box::new(time_wait.acknowledge(now, reason)));
        }
        common.dirty = false;
        common.tx.clear();
        common.tx.shrink();
        common.events.push(Event::TimeWait);
        self.block = Block::TimeWait(time_wait);
    }

    /// A socket that nobody holds does not wait in FIN-WAIT-2 for ever.
    pub(crate) fn guard_fin_wait_2(&mut self, now: Instant) {
        if self.common.orphaned && self.state() == State::FinWait2 {
            let at = now + self.common.settings.fin_wait_2_timeout;
            self.common.timers.set_if_unset(Timer::FinWait2, at);
        }
    }

    pub(crate) fn set_max_segment(&mut self, max_segment: usize) {
        let max_segment = max_segment.max(common::MIN_SEGMENT);
        if max_segment == self.common.path_segment {
            return;
        }
        (self.common.path_segment, self.common.max_segment) = (max_segment, max_segment);
        if let Block::Open(open) = &mut self.block {
            open.resize(&mut self.common);
        }
    }

    fn handle_soft_error(&mut self, error: Error) {
        if !matches!(self.block, Block::TimeWait(_) | Block::Closed) {
            self.common.soft_error = Some(error);
            self.common.news = Some(error);
        }
    }

    fn nothing_to_read(&self) -> Result<usize, Error> {
        let common = &self.common;
        if common.end_of_stream || common.read_shut {
            return Ok(0);
        }
        match (&self.block, self.untold()) {
            (_, Some(error)) => Err(error),
            (Block::Opening(_) | Block::Open(_), None) => Err(Error::WouldBlock),
            (Block::TimeWait(_) | Block::Closed, None) => Ok(0),
        }
    }

    /// Why the connection failed, until a call has told it: as with Linux's `SO_ERROR`, one call does.
    fn untold(&self) -> Option<Error> {
        self.common.error.filter(|_| self.common.news.is_some())
    }

    fn handle_read(&mut self, now: Instant) {
        self.common.handle_activity(now);
        self.tell_window();
    }

    /// The peer hears of it if the window has become much larger.
    fn tell_window(&mut self) {
        if let Block::Open(open) = &mut self.block
            && open.receiver.wants_update(&self.common.rx)
        {
            open.receiver.owe(Reason::WindowUpdate);
            self.common.dirty = true;
        }
    }
}
