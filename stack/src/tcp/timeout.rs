//! What time does to a connection.

use super::congestion::Timeout;
use super::connection::Connection;
use super::decision::{Decision, LostBy};
use super::error::Error;
use super::recovery::{Phase, ProbeTimer};
use super::state::{Block, Synchronised};
use super::timer::Timer;
use crate::time::Instant;
use crate::why::Reason;

/// Repeats for a connection that no application holds any more.
const ORPHAN_RETRIES: u8 = 8;

impl Connection {
    /// Time has come to `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.common.timers.expire(now) {
            match timer {
                Timer::Reordering => self.handle_reordering(now),
                Timer::Probe => self.handle_probe(now),
                Timer::Rto => self.handle_rto(now),
                Timer::Persist => self.handle_persist(now),
                Timer::DelayedAck => {
                    if let Block::Open(open) = &mut self.block {
                        open.receiver.owe(Reason::DelayedAck);
                        self.common.dirty = true;
                    }
                }
                Timer::Keepalive => self.handle_keepalive(now),
                // RFC 9293 section 3.10.8: the user timeout.
                Timer::UserTimeout => self.give_up(),
                Timer::FinWait2 => self.finish(None),
                Timer::Pacing => self.common.dirty = true,
                Timer::Cork => self.common.uncork(),
                Timer::Linger => self.reset(now, Error::ConnectionAborted, Reason::Abort),
                Timer::TimeWait => self.finish(None),
                Timer::Idle => self.handle_idle(now),
            }
        }
    }

    /// RFC 6298 section 5.4 to 5.7.
    fn handle_rto(&mut self, now: Instant) {
        let retries = self.retries();
        match &mut self.block {
            Block::Opening(opening) => {
                if opening.retries >= retries {
                    return self.give_up();
                }
                opening.retries += 1;
                if let Some(attempt) = &mut opening.fast_open {
                    attempt.handle_timeout();
                }
                self.common.counters.syn_timeouts += 1;
                opening.rtt.handle_timeout();
                let (retries, rto) = (opening.retries.into(), opening.rtt.rto());
                self.common.tell(now, || Decision::RtoFired { in_flight: 0, retries, rto });
                opening.due = Some(if opening.peer.is_some() {
                    Reason::SynAckRetransmit
                } else {
                    Reason::SynRetransmit
                });
                self.common.timers.set(Timer::Rto, now + opening.rtt.rto());
                self.common.dirty = true;
            }
            Block::Open(open) if open.unconfirmed.is_some() => self.handle_unconfirmed_timeout(now),
            Block::Open(open) => {
                if open.sender.flight() == 0 || open.sender.probing {
                    return;
                }
                if open.sender.retries >= retries {
                    return self.give_up();
                }
                open.sender.retries += 1;
                // Note: in a long recovery SND.NXT - SND.UNA holds much that has arrived; what counts is what is on its
                // way.
                let flight = u64::from(open.recovery.pipe(&open.sender.board, open.sender.smss));
                let (una, nxt) = (open.sender.snd_una, open.sender.snd_nxt);
                let again = open.recovery.phase() == Phase::Timeout;
                if !again {
                    open.watch.handle_loss(now);
                    self.common.counters.timeout_recoveries += 1;
                }
                let reneged = open.sender.board.sacked() * u32::from(open.sender.board.has_reneged());
                let lost = open.recovery.handle_timeout(now, una, nxt, &mut open.sender.board);
                self.common.counters.lost_retransmits += lost.again.div_ceil(open.sender.smss);
                open.check_black_hole(now, &mut self.common, open.sender.retries - 1);
                open.tell_losses(now);
                let repeated = open.sender.retries > 1;
                open.congestion.on_rto(&Timeout { now, flight, repeated, again });
                if let Some(ecn) = &mut open.ecn {
                    ecn.handle_reduction(nxt, false);
                    if self.common.counters.bytes_acked == 0 {
                        ecn.handle_first_lost();
                    }
                }
                open.rtt.handle_timeout();
                let (retries, rto) = (open.sender.retries.into(), open.rtt.rto());
                self.common.tell(now, || Decision::RtoFired { in_flight: flight, retries, rto });
                if reneged > 0 {
                    self.common.counters.reneged += 1;
                    self.common.tell(now, || Decision::Reneged { bytes: reneged });
                }
                let (bytes, again, total) = (lost.newly, lost.again, open.sender.board.lost());
                self.common.tell(now, || Decision::Lost { by: LostBy::Rto, bytes, again, total });
                self.common.counters.timeouts += 1;
                self.common.timers.set(Timer::Rto, now + open.rtt.rto());
                self.common.timers.stop(Timer::Reordering);
                self.common.dirty = true;
            }
            Block::TimeWait(_) | Block::Closed => {}
        }
    }

    /// RFC 8985 section 6.2 step 5: what was left alone for the reordering window.
    fn handle_reordering(&mut self, now: Instant) {
        let Block::Open(open) = &mut self.block else { return };
        let (una, nxt, path) = (open.sender.snd_una, open.sender.snd_nxt, open.path());
        let flight = u64::from(open.sender.flight());
        let change = open.recovery.handle_reordering_timeout(now, una, nxt, &path, &mut open.sender.board);
        open.take_change(&mut self.common, now, &change, flight);
        self.common.dirty = true;
    }

    /// RFC 8985 section 7.3: the probe timer.
    fn handle_probe(&mut self, now: Instant) {
        let Block::Open(open) = &mut self.block else { return };
        if open.sender.flight() == 0 || open.sender.probing || open.unconfirmed.is_some() {
            return;
        }
        match open.recovery.handle_probe_timeout(now, open.sender.snd_una) {
            ProbeTimer::Later(due) => self.common.timers.set(Timer::Probe, due),
            ProbeTimer::Probe => {
                let in_flight = u64::from(open.recovery.pipe(&open.sender.board, open.sender.smss));
                self.common.tell(now, || Decision::LossProbe { in_flight });
                // Whether something is sent or not: the retransmission timer has its full time again.
                self.common.timers.set(Timer::Rto, now + open.rtt.rto());
                self.common.dirty = true;
            }
            ProbeTimer::Idle => {}
        }
    }

    /// RFC 9293 section 3.8.6.1.
    fn handle_persist(&mut self, now: Instant) {
        let retries = self.retries();
        let Block::Open(open) = &mut self.block else { return };
        let common = &mut self.common;
        if !open.sender.has_unacked(common.tx.len()) {
            return;
        }
        if open.sender.retries >= retries {
            return self.give_up();
        }
        open.sender.retries += 1;
        if open.sender.probing {
            open.sender.unsend_probe();
        }
        open.sender.probe_due = true;
        open.persist_backoff += 1;
        let (backoff, next) = (open.persist_backoff, open.persist_interval());
        common.tell(now, || Decision::WindowProbe { backoff, next });
        common.timers.set(Timer::Persist, now + next);
        common.dirty = true;
    }

    /// RFC 9293 section 3.8.4.
    fn handle_keepalive(&mut self, now: Instant) {
        let Some(keepalive) = self.common.settings.keepalive else { return };
        let Block::Open(open) = &mut self.block else { return };
        let common = &mut self.common;
        let due = open.last_heard + keepalive.time;
        if due > now && open.keepalive_probes == 0 {
            common.timers.set(Timer::Keepalive, due);
            return;
        }
        // While something is in flight the retransmission timer finds out.
        if open.sender.flight() > 0 || matches!(open.state, Synchronised::LastAck | Synchronised::Closing) {
            common.timers.set(Timer::Keepalive, now + keepalive.time.max(MIN_INTERVAL));
            return;
        }
        if open.keepalive_probes >= keepalive.count {
            let error = common.soft_error.unwrap_or(Error::TimedOut);
            return self.reset(now, error, Reason::Abort);
        }
        open.keepalive_probes += 1;
        open.keepalive_due = true;
        let (probes, of) = (open.keepalive_probes, keepalive.count);
        common.tell(now, || Decision::Keepalive { probes, of });
        common.timers.set(Timer::Keepalive, now + keepalive.interval.max(MIN_INTERVAL));
        common.dirty = true;
    }

    fn handle_idle(&mut self, now: Instant) {
        self.common.handle_idle(now);
        if let Block::Open(open) = &mut self.block {
            open.sender.board.shrink();
        }
    }

    /// How often something is repeated before the connection is given up.
    fn retries(&self) -> u8 {
        let settings = &self.common.settings;
        match &self.block {
            // RFC 5482: the user timeout decides alone.
            _ if self.common.user_timeout().is_some() => u8::MAX,
            Block::Opening(opening) if opening.peer.is_some() => settings.syn_ack_retries,
            Block::Opening(_) => settings.syn_retries,
            _ if self.common.orphaned => settings.retries.min(ORPHAN_RETRIES),
            _ => settings.retries,
        }
    }

    /// No answer for too long. The last ICMP error says why, if there was one.
    fn give_up(&mut self) {
        let error = self.common.soft_error.unwrap_or(Error::TimedOut);
        self.common.counters.aborts_on_timeout += 1;
        self.finish(Some(error));
    }
}

/// Probes are never closer together, whatever the application asked for.
const MIN_INTERVAL: crate::time::Duration = crate::time::Duration::from_millis(1);
