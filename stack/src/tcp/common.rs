//! What a connection has in all its states: buffers, deadlines, settings, and what is to be told.

use super::error::Error;
use super::event::{Event, Events};
use super::fast_open::FastOpenReport;
use super::info::Counters;
use super::journal::Journal;
use super::options::Settings;
use super::segment::{BASE_HEADER, Outgoing, Ports};
use super::sizing::Sizing;
use super::timer::{Timer, Timers};
use super::too_big::TooBig;
use super::user_timeout;
use crate::buf::ring::Ring;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, UserTimeout};

/// What a connection has in all its states.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) timers: Timers,
    pub(crate) events: Events,
    /// Why the connection ended, if not in order.
    pub(crate) error: Option<Error>,
    /// An error that nobody has taken yet, soft ones included.
    pub(crate) news: Option<Error>,
    /// The last ICMP error that did not end the connection.
    pub(crate) soft_error: Option<Error>,
    pub(crate) counters: Counters,
    /// For whoever observes.
    pub(crate) journal: Option<Box<Journal>>,
    /// Written, not yet acknowledged.
    pub(crate) tx: Ring,
    /// Received, not yet read.
    pub(crate) rx: Ring,
    /// How large the two are.
    pub(crate) sizing: Sizing,
    /// Largest TCP header, options and data of one segment that the path takes as far as the interface and ICMP tell;
    /// see [`Start::max_segment`](super::Start::max_segment).
    pub(crate) path_segment: usize,
    /// The same as it is used: less, if the search for the path's MTU says so (RFC 4821).
    pub(crate) max_segment: usize,
    /// Something may be there to send.
    pub(crate) dirty: bool,
    /// A segment that does not depend on the state any more: a RST, the last ACK.
    pub(crate) parting: Option<Box<Outgoing>>,
    /// The application said with its last bytes that more will follow soon.
    pub(crate) more: bool,
    /// What the cork holds back leaves all the same: it has waited long enough.
    pub(crate) cork_due: bool,
    /// What both sides' user timeout options led to.
    pub(super) agreed_user_timeout: Option<Duration>,
    /// What a client has learned about Fast Open, until somebody takes it.
    pub(crate) fast_open: Option<Box<FastOpenReport>>,
    /// What ICMP said about the path's MTU, while it is doubted.
    pub(crate) too_big: Option<Box<TooBig>>,
    /// Data in a SYN was acknowledged, the peer's or ours (RFC 7413).
    pub(crate) syn_data: bool,
    /// Why the SYN's data did not arrive: see [`TcpInfo::fast_open_fail`](super::TcpInfo::fast_open_fail).
    pub(crate) fast_open_fail: u8,
    /// The application has let go.
    pub(crate) orphaned: bool,
    /// The application has written its last byte.
    pub(crate) write_shut: bool,
    /// The application does not read any more.
    pub(crate) read_shut: bool,
    /// The peer's FIN has arrived in its turn.
    pub(crate) end_of_stream: bool,
    /// The application waits for room.
    pub(crate) write_blocked: bool,
    /// When the first SYN was sent, or answered.
    pub(crate) opened: Instant,
    /// When the application or the peer last did something.
    pub(crate) last_active: Instant,
}

/// Buffers that stand empty for this long give their memory back, at the earliest.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// Bits of the milliseconds by which connections differ in that: of many that were used together, few come to rest at
/// the same time.
const IDLE_SPREAD: u16 = 0x1fff;
/// For how long a cork holds back what does not fill a segment.
const CORK_TIME: Duration = Duration::from_millis(200);
/// No path is narrower than this: TCP header, timestamps and a few bytes.
pub(crate) const MIN_SEGMENT: usize = BASE_HEADER + 12 + 16;

impl Common {
    pub(crate) fn new(now: Instant, ports: Ports, settings: Settings, max_segment: usize) -> Self {
        let sizing = Sizing::new(&settings);
        Self {
            ports,
            timers: Timers::new(),
            events: Events::default(),
            error: None,
            news: None,
            soft_error: None,
            counters: Counters::default(),
            journal: settings.observe.then(Box::default),
            tx: Ring::new(sizing.send()),
            rx: Ring::new(sizing.recv()),
            sizing,
            path_segment: max_segment.max(MIN_SEGMENT),
            max_segment: max_segment.max(MIN_SEGMENT),
            dirty: false,
            parting: None,
            more: false,
            cork_due: false,
            agreed_user_timeout: None,
            fast_open: None,
            too_big: None,
            syn_data: false,
            fast_open_fail: 0,
            orphaned: false,
            write_shut: false,
            read_shut: false,
            end_of_stream: false,
            write_blocked: false,
            opened: now,
            last_active: now,
            settings,
        }
    }

    /// A header without options.
    pub(crate) fn bare(&self, seq: SeqNum, ack: SeqNum, flags: Flags) -> Header {
        Header {
            src_port: self.ports.local,
            dst_port: self.ports.remote,
            seq,
            ack,
            flags,
            ..Header::default()
        }
    }

    /// How long sent data may remain unacknowledged: the application's word, or what both sides' options led to.
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        self.settings.user_timeout.or(self.agreed_user_timeout)
    }

    /// The peer's user timeout option; answers whether it changed something.
    pub(crate) fn handle_user_timeout_option(&mut self, theirs: UserTimeout) -> bool {
        // RFC 5482 section 3.1: ENABLED is asked for, and CHANGEABLE ends with a timeout that the application sets.
        let Some(ours) = self.settings.advertised_user_timeout else { return false };
        let agreed = user_timeout::agreed(ours, theirs);
        let changes = agreed.is_some() && agreed != self.agreed_user_timeout;
        if changes {
            self.agreed_user_timeout = agreed;
        }
        changes && self.settings.user_timeout.is_none()
    }

    /// The handshake is complete.
    pub(crate) fn handle_established(&mut self, now: Instant) {
        self.timers.stop(Timer::Rto);
        self.timers.stop(Timer::UserTimeout);
        self.arm_keepalive(now);
        self.timers.set_if_unset(Timer::Idle, now + self.idle_time());
        if !self.tx.is_empty() || self.write_shut {
            self.arm_user_timeout(now);
        }
        self.events.push(Event::Connected);
        self.events.push(Event::Writable);
        self.dirty = true;
    }

    /// The application or the peer did something.
    pub(crate) fn handle_activity(&mut self, now: Instant) {
        self.last_active = now;
        self.timers.set_if_unset(Timer::Idle, now + self.idle_time());
    }

    /// After how much rest buffers give their memory back: another time for each pair of ports.
    fn idle_time(&self) -> Duration {
        let spread = (self.ports.local ^ self.ports.remote.rotate_left(7)) & IDLE_SPREAD;
        IDLE_TIME + Duration::from_millis(spread.into())
    }

    /// A connection that was at rest is to come to rest again, even if nothing more happens.
    pub(crate) fn handle_wake(&mut self) {
        let due = self.last_active + self.idle_time();
        self.timers.set(Timer::Idle, due);
    }

    /// Buffers give their memory back, unless something happened meanwhile.
    pub(crate) fn handle_idle(&mut self, now: Instant) {
        let due = self.last_active + self.idle_time();
        if due > now {
            self.timers.set(Timer::Idle, due);
            return;
        }
        self.tx.shrink();
        self.rx.shrink();
    }

    /// Whether what does not fill a segment is to wait for company.
    pub(crate) const fn is_corked(&self) -> bool {
        (self.settings.cork || self.more) && !self.cork_due
    }

    /// A cork holds back what does not fill a segment; not for ever.
    pub(crate) fn arm_cork(&mut self, now: Instant) {
        self.timers.set_if_unset(Timer::Cork, now + CORK_TIME);
    }

    /// New data left: what is held back from now on has its full time.
    pub(crate) fn disarm_cork(&mut self) {
        self.timers.stop(Timer::Cork);
        self.cork_due = false;
    }

    /// What a cork holds back leaves.
    pub(crate) fn uncork(&mut self) {
        self.cork_due = true;
        self.dirty = true;
    }

    pub(crate) fn arm_keepalive(&mut self, now: Instant) {
        if let Some(keepalive) = self.settings.keepalive {
            self.timers.set(Timer::Keepalive, now + keepalive.time);
        }
    }

    /// Data waits for its acknowledgment.
    pub(crate) fn arm_user_timeout(&mut self, now: Instant) {
        if let Some(timeout) = self.user_timeout() {
            self.timers.set_if_unset(Timer::UserTimeout, now + timeout);
        }
    }
}
