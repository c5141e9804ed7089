//! When things last happened, and how long what limited the sender did: for who asks, not for the protocol.

use super::common::Common;
use super::receiver_rtt::ReceiverRtt;
use super::state::Open;
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// What a connection remembers of its times.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When data, and when an ACK, was last sent.
    pub(crate) data_sent: Instant,
    pub(crate) ack_sent: Instant,
    /// When data last arrived.
    pub(crate) data_received: Instant,
    /// Data of the largest segment that arrived, in bytes.
    pub(crate) largest_received: u32,
    pub(crate) receiver_rtt: ReceiverRtt,
    /// Since when, and by what, the sender is limited now.
    since: Instant,
    limit: Limit,
    /// How long each limit held, the one of now not counted.
    spent: [Duration; Limit::Sndbuf as usize],
    /// When the timeout began whose repair is under way.
    loss_since: Option<Instant>,
    in_loss: Duration,
}

packed!(Watch {
    data_sent, ack_sent, data_received, largest_received, receiver_rtt, since, spent, loss_since, in_loss; limit: Limit::Idle
});

/// What keeps the sender from sending more, in the words of `ss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// There is nothing to send, and nothing under way.
    Idle = 0,
    /// The network: data is under way.
    Busy,
    /// The peer's window.
    Rwnd,
    /// The send buffer: it is full, and all of it is under way.
    Sndbuf,
}

/// How long what limited the sender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Spent {
    /// Data waited or was under way, for whatever reason.
    pub(crate) busy: Duration,
    pub(crate) rwnd_limited: Duration,
    pub(crate) sndbuf_limited: Duration,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            data_sent: now,
            ack_sent: now,
            data_received: now,
            largest_received: 0,
            receiver_rtt: ReceiverRtt::default(),
            since: now,
            limit: Limit::Idle,
            spent: [Duration::ZERO; Limit::Sndbuf as usize],
            loss_since: None,
            in_loss: Duration::ZERO,
        }
    }

    /// How long each limit held until `now`.
    pub(crate) fn spent(&self, now: Instant) -> Spent {
        let mut spent = self.spent;
        if let Some(index) = (self.limit as usize).checked_sub(1) {
            spent[index] += now.since(self.since);
        }
        let [busy, rwnd_limited, sndbuf_limited] = spent;
        Spent { busy: busy + rwnd_limited + sndbuf_limited, rwnd_limited, sndbuf_limited }
    }

    /// Time spent repairing what timeouts told of, until `now`.
    pub(crate) fn in_loss(&self, now: Instant) -> Duration {
        self.in_loss + self.loss_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// A segment with data arrived.
    pub(crate) fn handle_data(&mut self, now: Instant, len: usize, segments: u16) {
        self.data_received = now;
        let len = if segments > 1 { len.div_ceil(usize::from(segments)) } else { len };
        self.largest_received = self.largest_received.max(len as u32);
    }

    /// The retransmission timer fired, and no repair was under way.
    pub(crate) fn handle_loss(&mut self, now: Instant) {
        self.loss_since = Some(now);
    }

    /// The repair is over.
    pub(crate) fn handle_loss_end(&mut self, now: Instant) {
        if let Some(since) = self.loss_since.take() {
            self.in_loss += now.since(since);
        }
    }
}

impl Open {
    /// Data of `len` bytes echoes our timestamp `echo`. What is less than full may have waited for the application.
    pub(crate) fn time_receiver(&mut self, now: Instant, echo: u32, len: usize, all_read: bool) {
        if self.terms.timestamps && len >= self.rcv_mss() as usize {
            self.watch.receiver_rtt.handle_echo(echo, self.clock.since(now, echo), !all_read);
        }
    }

    /// Nothing more leaves now: what keeps it back is noted.
    pub(crate) fn note_limit(&mut self, now: Instant, common: &Common) {
        let limit = self.limit(common);
        let watch = &mut self.watch;
        if limit == watch.limit {
            return;
        }
        if let Some(index) = (watch.limit as usize).checked_sub(1) {
            watch.spent[index] += now.since(watch.since);
        }
        (watch.limit, watch.since) = (limit, now);
    }

    fn limit(&self, common: &Common) -> Limit {
        let (sender, written) = (&self.sender, common.tx.len());
        if !sender.has_unacked(written) {
            return Limit::Idle;
        }
        let unsent = sender.unsent(written);
        let full = u64::from(self.recovery.pipe(&sender.board, sender.smss)) >= self.congestion.cwnd();
        if full {
            Limit::Busy
        } else if unsent > 0 && sender.usable_window() < unsent.min(sender.smss) {
            Limit::Rwnd
        } else if unsent == 0 && common.write_blocked {
            Limit::Sndbuf
        } else {
            Limit::Busy
        }
    }
}
