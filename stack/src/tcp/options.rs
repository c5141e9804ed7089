//! What an application may set about a connection.

use core::mem::discriminant;
use std::sync::Arc;

use super::authentication::Keys;
use super::congestion::Algorithm;
use super::ecn::EcnPolicy;
use super::plpmtud::MtuProbing;
use crate::time::Duration;

/// The settings of a connection. Those that the handshake negotiates count only before it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Send small segments at once (RFC 9293 section 3.7.4: Nagle off).
    pub nodelay: bool,
    /// Hold back what does not fill a segment until this is off again, or for 200 ms (`TCP_CORK`). Wins over `nodelay`.
    pub cork: bool,
    /// Acknowledge each segment at once (`TCP_QUICKACK`).
    pub quickack: bool,
    /// Probe an idle peer; `None` never does.
    pub keepalive: Option<Keepalive>,
    /// What `close` does with data not yet acknowledged. `None`: it goes on in the background.
    /// Zero: RST at once. Otherwise: RST if it takes longer than this.
    pub linger: Option<Duration>,
    /// How long sent data may remain unacknowledged before the connection is given up (RFC 5482); `None`: by retries.
    pub user_timeout: Option<Duration>,
    /// Say this with the user timeout option, and take the peer's (RFC 5482): the larger of both is the user timeout of
    /// a connection whose `user_timeout` the application leaves open. `None`: neither.
    pub advertised_user_timeout: Option<Duration>,
    /// The congestion control.
    pub congestion: Algorithm,
    /// Bytes of the send buffer at most. Allocated as needed.
    pub send_buffer: usize,
    /// Bytes of the receive buffer at most. Allocated as needed; negotiates the window scale.
    pub recv_buffer: usize,
    /// The send buffer begins with 128 KiB and grows with the congestion window. If false it has its full size at once.
    pub send_tuning: bool,
    /// The receive buffer begins with 128 KiB and grows with what the application reads in a round trip. If false it
    /// has its full size at once.
    pub recv_tuning: bool,
    /// Take no more to send while so many bytes are unsent, whatever room the buffer has (`TCP_NOTSENT_LOWAT`); below
    /// half of that the connection is writable again. `None`: the buffer alone decides.
    pub notsent_lowat: Option<usize>,
    /// The connection counts as readable from so many bytes on, or from half of the receive buffer (`SO_RCVLOWAT`).
    pub recv_lowat: usize,
    /// Announce and use no larger MSS than this.
    pub max_mss: Option<u16>,
    /// Whether segments of several sizes are tried to find out what the path takes (RFC 4821, `tcp_mtu_probing`).
    pub mtu_probing: MtuProbing,
    /// Negotiate timestamps (RFC 7323).
    pub timestamps: bool,
    /// Negotiate selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Negotiate window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Explicit congestion notification: what the handshake asks for, and answers with.
    pub ecn: EcnPolicy,
    /// Spread the congestion window over the round-trip time.
    pub pacing: bool,
    /// Bytes per second at which new data leaves at most, whatever the congestion control allows
    /// (`SO_MAX_PACING_RATE`). Paces a connection that does not pace itself.
    pub max_pacing_rate: Option<u64>,
    /// Longest time that an ACK waits for company (RFC 9293 section 3.8.6.3: under 500 ms).
    pub delayed_ack: Duration,
    /// How often a SYN is repeated before the peer counts as absent.
    pub syn_retries: u8,
    /// How often a SYN-ACK is repeated before the entry is forgotten.
    pub syn_ack_retries: u8,
    /// How often a segment is repeated before the connection is given up (R2 of RFC 9293 section 3.8.3).
    pub retries: u8,
    /// When a listener answers SYNs with cookies instead of remembering them (RFC 4987 section 3.6).
    pub syn_cookies: SynCookiePolicy,
    /// What signs segments to certain peers, and is asked of theirs: MD5 (RFC 2385) or TCP-AO (RFC 5925). What other
    /// peers send must not be signed.
    pub keys: Option<Arc<Keys>>,
    /// How many connections of a listener may begin with a SYN that brings a Fast Open cookie, and wait for their ACK
    /// (`TCP_FASTOPEN`, RFC 7413). 0: Fast Open is off.
    pub fast_open_queue: usize,
    /// If the peer's Fast Open cookie is known, `connect` is done at once and the SYN leaves with the first bytes that
    /// are written; otherwise it asks for a cookie (`TCP_FASTOPEN_CONNECT`, RFC 7413).
    pub fast_open_connect: bool,
    /// A listener on the unspecified IPv6 address takes no IPv4 (`IPV6_V6ONLY`, RFC 3493 section 5.3).
    pub only_v6: bool,
    /// How long a closed socket waits in FIN-WAIT-2 for the peer's FIN.
    pub fin_wait_2_timeout: Duration,
    /// How long TIME-WAIT lasts: 2 MSL.
    pub time_wait: Duration,
    /// Write decisions down for [`Stack::poll_decision`](crate::Stack::poll_decision).
    pub observe: bool,
}

/// Compares these fields of both.
macro_rules! same {
    ($a:ident $b:ident $($field:ident)*) => {{
        // Without `..`: a new field must be named here or below.
        let Settings { congestion: _, keys: _, $($field,)* } = $a;
        true $(&& *$field == $b.$field)*
    }};
}

impl Settings {
    /// Whether the two say the same; congestion controls of a user's own never do.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let keys = match (&self.keys, &other.keys) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        let named = !matches!(self.congestion, Algorithm::Custom(_));
        let congestion = named && discriminant(&self.congestion) == discriminant(&other.congestion);
        keys && congestion
            && same!(self other
                nodelay cork quickack keepalive linger user_timeout advertised_user_timeout send_buffer recv_buffer
                send_tuning recv_tuning notsent_lowat recv_lowat max_mss mtu_probing timestamps sack window_scaling ecn
                pacing max_pacing_rate delayed_ack syn_retries syn_ack_retries retries syn_cookies fast_open_queue
                fast_open_connect only_v6 fin_wait_2_timeout time_wait observe
            )
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodelay: false,
            cork: false,
            quickack: false,
            keepalive: None,
            linger: None,
            user_timeout: None,
            advertised_user_timeout: None,
            congestion: Algorithm::default(),
            send_buffer: 4 << 20,
            recv_buffer: 6 << 20,
            send_tuning: true,
            recv_tuning: true,
            notsent_lowat: None,
            recv_lowat: 1,
            max_mss: None,
            mtu_probing: MtuProbing::default(),
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: EcnPolicy::default(),
            pacing: false,
            max_pacing_rate: None,
            delayed_ack: Duration::from_millis(40),
            // With the first timeout of a second these are 183 seconds: RFC 9293 3.8.3 wants three minutes for a SYN.
            syn_retries: 7,
            syn_ack_retries: 5,
            retries: 15,
            syn_cookies: SynCookiePolicy::default(),
            keys: None,
            fast_open_queue: 0,
            fast_open_connect: false,
            only_v6: false,
            fin_wait_2_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            observe: false,
        }
    }
}

/// When a listener answers SYNs with cookies.
///
/// A cookie is all that is remembered: the MSS in the sequence number, and window scale, SACK and ECN in our timestamp.
/// With a peer that sends no timestamps these three are not agreed on, as on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SynCookiePolicy {
    /// Never: a SYN that finds the backlog full is dropped.
    Off,
    /// When there are as many half-open connections as the backlog allows.
    #[default]
    WhenFull,
    /// Always: no handshake is remembered, and no SYN-ACK repeated.
    Always,
}

/// When and how often an idle peer is probed (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe; at least two hours by default.
    pub time: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without an answer before the peer counts as gone.
    pub count: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { time: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}
