//! What the stack counts, under the names of `/proc/net/snmp` and `netstat` where they have one.

use core::fmt;

mod connections;
mod named;

pub use self::connections::ConnectionStats;
pub use self::named::Named;

use crate::ip::fragment::FragmentStats;
use crate::ip::icmp::IcmpStats;
use crate::ip::icmp_error::IcmpErrorStats;
use crate::ip::input::InputStats;
use crate::ip::pmtu::PmtuStats;
use crate::ip::reassembly::ReassemblyStats;
use crate::ip::redirect::RedirectStats;
use crate::tcp::ListenerStats;
use crate::why::Reason;
use crate::wire::tcp::Flags;

/// All counters of a stack at one time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// IPv4 packets received.
    pub in_v4: InputStats,
    /// IPv6 packets received.
    pub in_v6: InputStats,
    /// Both versions of IP: what was sent.
    pub ip: IpStats,
    /// ICMP messages over IPv4.
    pub icmp_v4: IcmpStats,
    /// ICMP messages over IPv6.
    pub icmp_v6: IcmpStats,
    /// ICMP errors about packets that no socket of ours can have sent.
    pub icmp_unmatched: u64,
    /// TCP.
    pub tcp: TcpStats,
    /// What all connections of TCP counted together.
    pub connections: ConnectionStats,
    /// UDP.
    pub udp: UdpStats,
    /// Raw sockets.
    pub raw: RawStats,
    /// Reassembly of IPv4.
    pub reassembly_v4: ReassemblyStats,
    /// Reassembly of IPv6.
    pub reassembly_v6: ReassemblyStats,
    /// Fragmentation.
    pub fragments: FragmentStats,
    /// Path MTUs learned.
    pub path_mtu: PmtuStats,
    /// Better first hops that routers told us of.
    pub redirects: RedirectStats,
    /// ICMP errors sent and held back, over IPv4.
    pub icmp_errors_v4: IcmpErrorStats,
    /// ICMP errors sent and held back, over IPv6.
    pub icmp_errors_v6: IcmpErrorStats,
    /// Packets sent, by the reason why; a merged frame counts as what it stands for.
    pub sent: Sent,
    /// The memory of buffers.
    pub memory: MemoryStats,
    /// Decisions of observed connections that were lost because nobody asked for those before.
    pub decisions_refused: u64,
    /// Events of interfaces that were lost because nobody asked for those before.
    pub events_lost: u64,
}

/// Counters of IP that are the stack's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IpStats {
    /// Frames that the link layer dropped: not for us, or malformed. Each interface says why.
    pub in_link_drops: u64,
    /// Packets that transports wanted to send; a merged frame counts as what it stands for.
    pub out_requests: u64,
    /// Bytes of frames sent, and of those that a merged one stands for.
    pub out_octets: u64,
    /// Frames given to devices: a merged one is one.
    pub out_frames: u64,
    /// Packets dropped for want of room in a queue.
    pub out_discards: u64,
    /// Packets for which there is no route.
    pub out_no_routes: u64,
    /// Packets dropped because their neighbour did not answer.
    pub out_neighbor_failures: u64,
    /// Routes of addresses and of router advertisements that found no room in the table.
    pub routes_refused: u64,
}

/// Counters of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpStats {
    /// Connections begun by us.
    pub active_opens: u64,
    /// Connections accepted.
    pub passive_opens: u64,
    /// Segments received; a merged frame counts as what it was.
    pub in_segs: u64,
    /// Segments sent, without repeats.
    pub out_segs: u64,
    /// Segments sent again.
    pub retrans_segs: u64,
    /// Malformed segments.
    pub in_errs: u64,
    /// Those with a wrong checksum.
    pub in_csum_errors: u64,
    /// RSTs sent.
    pub out_rsts: u64,
    /// Connections forgotten in TIME-WAIT before their time, for want of room.
    pub time_wait_overflows: u64,
    /// Connections refused because there are too many sockets.
    pub socket_limit_drops: u64,
    /// SYNs and completed handshakes that listeners dropped for want of room.
    pub listen_drops: u64,
    /// Of these, completed handshakes that found the queue for `accept` full.
    pub listen_overflows: u64,
    /// Connections whose TIME-WAIT has ended in its time.
    pub time_waits: u64,
    /// Segments to listeners that begin no connection and are not answered.
    pub listen_strays: u64,
    /// ACKs of connections in TIME-WAIT that were not sent because one was just before.
    pub time_wait_acks_skipped: u64,
    /// SYNs answered with a cookie.
    pub syncookies_sent: u64,
    /// Connections made from a cookie that came back.
    pub syncookies_recv: u64,
    /// ACKs to a listener whose cookie was wrong or too old.
    pub syncookies_failed: u64,
    /// `TCPMD5NotFound`: segments dropped because they were not signed and should have been.
    pub md5_not_found: u64,
    /// `TCPMD5Unexpected`: segments dropped because they were signed, and there is no key.
    pub md5_unexpected: u64,
    /// `TCPMD5Failure`: segments dropped because of a wrong signature.
    pub md5_failure: u64,
    /// `TCPAOGood`: segments whose MAC was right.
    pub ao_good: u64,
    /// `TCPAOBad`: segments dropped because of a wrong MAC.
    pub ao_bad: u64,
    /// `TCPAOKeyNotFound`: segments dropped because there is no key of their number.
    pub ao_key_not_found: u64,
    /// `TCPAORequired`: segments dropped because they had no authentication option and should have had.
    pub ao_required: u64,
    /// `TCPFastOpenActive`: connections of ours whose data in the SYN was acknowledged.
    pub fast_open_active: u64,
    /// `TCPFastOpenActiveFail`: those whose SYN with data or cookie was lost, or whose data was not acknowledged.
    pub fast_open_active_fail: u64,
    /// `TCPFastOpenPassive`: connections that began with their SYN.
    pub fast_open_passive: u64,
    /// `TCPFastOpenPassiveFail`: SYNs whose cookie was wrong.
    pub fast_open_passive_fail: u64,
    /// `TCPFastOpenListenOverflow`: SYNs with the Fast Open option while a listener had too many connections that were
    /// not confirmed.
    pub fast_open_listen_overflow: u64,
    /// `TCPFastOpenCookieReqd`: SYNs that asked for a cookie, whether they got one or not.
    pub fast_open_cookie_reqd: u64,
    /// Servers whose Fast Open cookie was forgotten for want of room.
    pub fast_open_cache_overflows: u64,
}

impl TcpStats {
    /// Counts what a listener did between two looks at its own counters.
    pub(crate) fn count_listener(&mut self, before: &ListenerStats, after: &ListenerStats) {
        let drops =
            |stats: &ListenerStats| stats.syns_dropped + stats.cookies_dropped + stats.accept_overflows;
        self.listen_drops += drops(after) - drops(before);
        self.listen_overflows += after.accept_overflows - before.accept_overflows;
        self.listen_strays += after.strays - before.strays;
        self.syncookies_sent += after.cookies_sent - before.cookies_sent;
        self.syncookies_recv += after.cookies_accepted - before.cookies_accepted;
        self.syncookies_failed += after.cookies_refused - before.cookies_refused;
        self.fast_open_passive += after.fast_opens - before.fast_opens;
        self.fast_open_passive_fail += after.fast_opens_refused - before.fast_opens_refused;
        self.fast_open_listen_overflow += after.fast_open_overflows - before.fast_open_overflows;
    }

    /// Counts a segment that leaves.
    pub(crate) fn count_out(&mut self, flags: Flags, reason: Reason, segments: u64) {
        match reason {
            Reason::SynRetransmit
            | Reason::SynAckRetransmit
            | Reason::FastRetransmit
            | Reason::RecoveryRetransmit
            | Reason::Rto
            | Reason::RtoRecovery
            | Reason::TailLossProbe => self.retrans_segs += segments,
            _ => self.out_segs += segments,
        }
        self.out_rsts += u64::from(flags.contains(Flags::RST));
    }
}

/// Counters of UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UdpStats {
    /// Datagrams given to sockets.
    pub in_datagrams: u64,
    /// Datagrams to ports where nobody listens.
    pub no_ports: u64,
    /// Malformed datagrams.
    pub in_errors: u64,
    /// Those with a wrong checksum.
    pub in_csum_errors: u64,
    /// Datagrams dropped because a socket's queue was full.
    pub rcvbuf_errors: u64,
    /// Datagrams dropped because the stack has no memory left for buffers.
    pub mem_errors: u64,
    /// Datagrams to a group or to everyone for which no socket asked: nobody is told (RFC 1122 section 4.1.3.3).
    pub ignored_multi: u64,
    /// Copies of such datagrams that were not made, for too many sockets asked.
    pub copies_refused: u64,
    /// Datagrams sent.
    pub out_datagrams: u64,
    /// Datagrams that could not be sent: no route, or too long.
    pub out_errors: u64,
}

/// Counters of raw sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RawStats {
    /// Packets given to sockets.
    pub in_packets: u64,
    /// Packets dropped because a socket's queue was full.
    pub rcvbuf_errors: u64,
    /// Packets dropped because the stack has no memory left for buffers.
    pub mem_errors: u64,
    /// Packets sent.
    pub out_packets: u64,
}

/// The memory of all sockets' buffers: see [`Config::max_buffer_memory`](crate::Config::max_buffer_memory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemoryStats {
    /// Bytes that they occupy now.
    pub used: usize,
    /// How often it became short.
    pub pressures: u64,
}

/// Packets sent, by the reason why.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent([u64; Reason::ALL.len()]);

impl Default for Sent {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

impl Sent {
    /// How many were sent for `reason`.
    pub fn by(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// How many were sent at all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|&reason| (reason, self.by(reason))).filter(|&(_, n)| n > 0)
    }

    pub(crate) fn count(&mut self, reason: Reason, packets: u64) {
        self.0[reason as usize] += packets;
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(reason, n)| (reason.word(), n))).finish()
    }
}
