//! What can be known about a connection, in the words of `ss -ti`.

use super::congestion::Gains;
use super::ecn::EcnInfo;
use super::plpmtud::MtuSearch;
use super::recovery::Phase;
use super::state::{Block, Open, State, Synchronised};
use super::watch::Spent;
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

mod linux;
mod show;

/// How far Linux lets segments overtake each other before it has seen more, in segments.
const USUAL_REORDERING: u32 = 3;
/// What a peer's segments are thought to hold before any has arrived (RFC 9293 section 3.7.1).
const USUAL_MSS: u32 = 536;

/// A snapshot of a connection. [`Self::linux`] has the numbers under Linux's names and in its units, and `Display`
/// writes the line of `ss -ti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// When it was taken; what lasts is counted until then.
    pub now: Instant,
    /// When the connection began: its first SYN was sent, or answered. So connections that a peer opened one after the
    /// other come in its order, although they may be accepted in another, as where several shards listen; but for
    /// those that a SYN cookie stood for, which begin with the cookie's return.
    pub opened: Instant,
    /// The state.
    pub state: State,
    /// Whether timestamps are used.
    pub timestamps: bool,
    /// Whether selective acknowledgments are used.
    pub sack: bool,
    /// Whether windows are scaled.
    pub window_scaling: bool,
    /// Window scale that the peer announced for its windows.
    pub snd_wscale: u8,
    /// Window scale that we announced for ours.
    pub rcv_wscale: u8,
    /// Name of the congestion control.
    pub congestion: &'static str,
    /// What it does now: `slow_start`, `css` or `avoidance`, or a state of its own; empty if it has none.
    pub congestion_phase: &'static str,
    /// Its estimate of the path's bandwidth in bytes per second, if it makes one.
    pub bandwidth: Option<u64>,
    /// The gains by which it sends, if it works by them.
    pub gains: Option<Gains>,
    /// Name of the recovery's phase: open, disorder, cwr, recovery or loss.
    pub recovery: &'static str,
    /// How long sent data may remain unacknowledged; `None` if retries decide.
    pub user_timeout: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// How often it was doubled since the last progress.
    pub backoff: u32,
    /// How often the retransmission timer has fired since the last progress.
    pub retransmits: u32,
    /// Probes of a closed window, or of a silent peer, without an answer.
    pub probes_out: u32,
    /// How long an ACK may wait for company.
    pub ato: Duration,
    /// Smoothed round-trip time (RFC 6298); `None` before the first sample.
    pub srtt: Option<Duration>,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// The least round-trip time seen.
    pub min_rtt: Option<Duration>,
    /// Bytes of data in a full segment to the peer.
    pub snd_mss: u32,
    /// The MSS that we announced.
    pub advmss: u16,
    /// Data of the peer's largest segment in bytes.
    pub rcv_mss: u32,
    /// Where the search for the path's MTU stands; `None` if there is none (RFC 4821).
    pub mtu_search: Option<MtuSearch>,
    /// Largest IP packet of the path in bytes; 0 if only the connection was asked, which does not know.
    pub pmtu: u32,
    /// Congestion window in bytes.
    pub cwnd: u64,
    /// Slow start threshold in bytes; `None` before the first loss.
    pub ssthresh: Option<u64>,
    /// Bytes sent and not acknowledged, less those known to have left the network (the pipe of RFC 6675).
    pub in_flight: u64,
    /// Bytes between SND.UNA and SND.NXT.
    pub unacked: u64,
    /// Bytes written and not yet sent.
    pub unsent: u64,
    /// Bytes above SND.UNA that the peer reported as received.
    pub sacked: u64,
    /// Bytes that count as lost.
    pub lost: u64,
    /// Bytes that were sent again and are on their way.
    pub retrans: u64,
    /// How often the path was seen to reorder.
    pub reord_seen: u32,
    /// By how many segments one was overtaken at most, at least 3.
    pub reordering_degree: u32,
    /// Whether the path was seen to reorder.
    pub reordering: bool,
    /// How long a segment may be overtaken before it counts as lost (RFC 8985), as it was last decided.
    pub reo_wnd: Duration,
    /// The peer's window in bytes.
    pub snd_wnd: u64,
    /// Our window in bytes.
    pub rcv_wnd: u64,
    /// The largest window that we would offer, in bytes.
    pub rcv_ssthresh: u64,
    /// Bytes of our receive buffer.
    pub rcv_space: u64,
    /// Round-trip time as the receiver measures it, by the timestamps that data echoes or by how long the peer takes to
    /// fill a window; `None` before the first sample.
    pub rcv_rtt: Option<Duration>,
    /// Bytes received and not yet read.
    pub unread: u64,
    /// Data in a SYN was acknowledged, the peer's or ours (Fast Open, RFC 7413; `TCPI_OPT_SYN_DATA`).
    pub syn_data: bool,
    /// Why our SYN has brought no data, if it was to (`tcpi_fastopen_client_fail`): 0 it has, or was not to; 1 no
    /// cookie was known; 2 the data was not acknowledged; 3 nor was the SYN in time.
    pub fast_open_fail: u8,
    /// Pacing rate in bytes per second; `None` if not paced.
    pub pacing_rate: Option<u64>,
    /// The rate in bytes per second that the application allows at most; `None`: any.
    pub max_pacing_rate: Option<u64>,
    /// Last measured rate of delivery in bytes per second that the application did not limit.
    pub delivery_rate: Option<u64>,
    /// Bytes delivered: acknowledged, cumulatively or selectively.
    pub delivered: u64,
    /// Whether the application, not the network, limits what is sent.
    pub app_limited: bool,
    /// Explicit congestion notification.
    pub ecn: EcnInfo,
    /// When data was last sent.
    pub last_data_sent: Instant,
    /// When an ACK was last sent.
    pub last_ack_sent: Instant,
    /// When data last arrived.
    pub last_data_recv: Instant,
    /// When an acceptable segment last arrived.
    pub last_ack_recv: Instant,
    /// How long data waited to be sent or acknowledged.
    pub busy_time: Duration,
    /// Of this, how long the peer's window was what limited.
    pub rwnd_limited: Duration,
    /// And how long the send buffer was.
    pub sndbuf_limited: Duration,
    /// How long losses were repaired that a timeout told of.
    pub total_rto_time: Duration,
    /// Counters since the beginning.
    pub counters: Counters,
}

/// What a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Segments received.
    pub segs_in: u64,
    /// Segments sent; a merged frame counts as what it divides into.
    pub segs_out: u64,
    /// Of the segments received, those with data.
    pub data_segs_in: u64,
    /// Of the segments sent, those with data.
    pub data_segs_out: u64,
    /// Payload bytes sent, repeats included.
    pub bytes_sent: u64,
    /// Payload bytes sent again.
    pub bytes_retrans: u64,
    /// Payload bytes acknowledged.
    pub bytes_acked: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Segments sent again.
    pub segs_retrans: u32,
    /// Times that the retransmission timer fired.
    pub timeouts: u32,
    /// Times that it began a repair: it had not fired before for what was in flight.
    pub timeout_recoveries: u32,
    /// Times that it fired for a SYN.
    pub syn_timeouts: u32,
    /// Of the timeouts, those that turned out not to have been needed (F-RTO, Eifel, DSACK).
    pub spurious_timeouts: u32,
    /// Times that fast recovery began.
    pub recoveries: u32,
    /// Of these, those without SACK.
    pub reno_recoveries: u32,
    /// Reductions of the window that were taken back, those for timeouts included.
    pub undos: u32,
    /// Segments that were sent again and were lost again, as seen without a timeout.
    pub lost_retransmits: u32,
    /// Tail-loss probes sent.
    pub loss_probes: u32,
    /// Losses that a tail-loss probe has repaired.
    pub loss_probe_recoveries: u32,
    /// Duplicate ACKs received.
    pub dup_acks_in: u32,
    /// Segments received out of order.
    pub out_of_order: u32,
    /// Segments received whose data was already there.
    pub duplicates: u32,
    /// DSACKs received: our repeats that were not needed.
    pub dsacks_in: u32,
    /// Segments refused because of an old timestamp (PAWS).
    pub paws_rejected: u32,
    /// Segments refused because they lie outside the window.
    pub out_of_window: u32,
    /// Bytes out of order refused because there were too many holes.
    pub holes_refused: u32,
    /// Challenge ACKs sent (RFC 5961).
    pub challenge_acks: u32,
    /// Challenge ACKs, and ACKs in answer to what is no news, that were not sent because one was just before.
    pub challenges_skipped: u32,
    /// Segments dropped for their flags: without ACK, or such as a handshake has no place for.
    pub out_of_place: u32,
    /// Zero-window and keepalive probes sent.
    pub probes: u32,
    /// Probes of the path's MTU that arrived (RFC 4821).
    pub mtu_probes_answered: u32,
    /// Probes of the path's MTU that were lost, or refused by ICMP.
    pub mtu_probes_lost: u32,
    /// Times that segments became smaller because all that was large seemed to vanish.
    pub mtu_black_holes: u32,
    /// Packets that the peer reported as marked (RFC 3168, RFC 9768).
    pub delivered_ce: u32,
    /// 1 if it ended before it was established (RFC 4022).
    pub attempt_fails: u32,
    /// 1 if it ended at once from ESTABLISHED or CLOSE-WAIT (RFC 4022).
    pub estab_resets: u32,
    /// Of the reductions taken back, those that a timestamp told of when all that was outstanding then had arrived.
    pub full_undos: u32,
    /// Those that a DSACK told of.
    pub dsack_undos: u32,
    /// Those for timeouts.
    pub loss_undos: u32,
    /// Times that the peer took back what it had reported as received (RFC 2018 section 8).
    pub reneged: u32,
    /// Times that something was overtaken on its way, as acknowledgments tell.
    pub reorderings: u32,
    /// DSACKs sent for what had been read or could have been (RFC 2883).
    pub dsacks_old_sent: u32,
    /// DSACKs sent for what lies out of order.
    pub dsacks_ofo_sent: u32,
    /// Challenge ACKs sent to a SYN (RFC 5961 section 4.2).
    pub syn_challenges: u32,
    /// Times that the window that we offer was closed.
    pub to_zero_window: u32,
    /// Times that it was opened again.
    pub from_zero_window: u32,
    /// 1 if it ended because data came, or had to be thrown away, after the application had let go.
    pub aborts_on_data: u32,
    /// 1 if the application has let go while data was unread.
    pub aborts_on_close: u32,
    /// 1 if it was given up because nobody answered.
    pub aborts_on_timeout: u32,
    /// 1 if a rise of the round-trip time ended its first slow start (RFC 9406).
    pub hystart_exits: u32,
    /// The window in segments at which that was.
    pub hystart_cwnd: u32,
}

packed!(Counters {
    segs_in,
    segs_out,
    data_segs_in,
    data_segs_out,
    bytes_sent,
    bytes_retrans,
    bytes_acked,
    bytes_received,
    segs_retrans,
    timeouts,
    timeout_recoveries,
    syn_timeouts,
    spurious_timeouts,
    recoveries,
    reno_recoveries,
    undos,
    lost_retransmits,
    loss_probes,
    loss_probe_recoveries,
    dup_acks_in,
    out_of_order,
    duplicates,
    dsacks_in,
    paws_rejected,
    out_of_window,
    holes_refused,
    challenge_acks,
    challenges_skipped,
    out_of_place,
    probes,
    attempt_fails,
    estab_resets,
    mtu_probes_answered,
    mtu_probes_lost,
    mtu_black_holes,
    delivered_ce,
    full_undos,
    dsack_undos,
    loss_undos,
    reneged,
    reorderings,
    dsacks_old_sent,
    dsacks_ofo_sent,
    syn_challenges,
    to_zero_window,
    from_zero_window,
    aborts_on_data,
    aborts_on_close,
    aborts_on_timeout,
    hystart_exits,
    hystart_cwnd
});

impl Counters {
    /// The connection goes to CLOSED from the state of `block`.
    pub(crate) fn count_end(&mut self, block: &Block) {
        match block {
            Block::Opening(_) => self.attempt_fails += 1,
            Block::Open(open)
                if matches!(open.state, Synchronised::Established | Synchronised::CloseWait) =>
            {
                self.estab_resets += 1;
            }
            Block::Open(_) | Block::TimeWait(_) | Block::Closed => {}
        }
    }
}

impl Open {
    /// The phase of the recovery in the words of `ss`; the window of data after a mark has one of its own.
    pub(crate) fn recovery_name(&self) -> &'static str {
        match &self.ecn {
            Some(ecn) if self.recovery.phase() == Phase::Open && ecn.covers_losses(self.sender.snd_una) => {
                "cwr"
            }
            _ => self.recovery.name(&self.sender.board),
        }
    }

    /// Data of the peer's full segments, as far as it has sent any.
    pub(crate) fn rcv_mss(&self) -> u32 {
        self.watch.largest_received.max(USUAL_MSS.min(self.terms.mss.into()))
    }

    /// Completes `base` with what a synchronised state knows; `written` bytes lie in the send ring.
    pub(crate) fn info(&self, base: TcpInfo, written: usize) -> TcpInfo {
        let (sender, board, watch) = (&self.sender, &self.sender.board, &self.watch);
        let (reordering, reo_wnd) = self.recovery.reordering();
        let (reord_seen, distance) = self.recovery.reorderings();
        let Spent { busy, rwnd_limited, sndbuf_limited } = watch.spent(base.now);
        let persisting = self.persist_backoff > 0;
        TcpInfo {
            window_scaling: self.terms.scaled,
            retransmits: if persisting { 0 } else { sender.retries.into() },
            probes_out: if persisting { self.persist_backoff } else { self.keepalive_probes.into() },
            rcv_mss: self.rcv_mss(),
            retrans: u64::from(board.repeats()),
            reord_seen,
            reordering_degree: distance.div_ceil(sender.smss).max(USUAL_REORDERING),
            rcv_ssthresh: base.rcv_space.min(u64::from(u16::MAX) << self.terms.rcv_wscale),
            rcv_rtt: watch.receiver_rtt.get(),
            last_data_sent: watch.data_sent,
            last_ack_sent: watch.ack_sent,
            last_data_recv: watch.data_received,
            last_ack_recv: self.last_heard,
            busy_time: busy,
            rwnd_limited,
            sndbuf_limited,
            total_rto_time: watch.in_loss(base.now),
            timestamps: self.terms.timestamps,
            sack: self.terms.sack,
            snd_wscale: self.terms.snd_wscale,
            rcv_wscale: self.terms.rcv_wscale,
            congestion: self.congestion.name(),
            congestion_phase: self.congestion.phase(),
            bandwidth: self.congestion.bandwidth(),
            gains: self.congestion.gains(),
            recovery: self.recovery_name(),
            rto: self.rtt.rto(),
            backoff: self.rtt.backoffs(),
            srtt: self.rtt.srtt(),
            rttvar: self.rtt.rttvar().unwrap_or_default(),
            min_rtt: self.rtt.min_rtt(),
            snd_mss: sender.smss,
            advmss: self.terms.mss,
            mtu_search: self.plpmtud.as_ref().map(|plpmtud| plpmtud.search()),
            cwnd: self.congestion.cwnd(),
            ssthresh: Some(self.congestion.ssthresh()).filter(|&bytes| bytes < u64::MAX),
            in_flight: u64::from(self.recovery.pipe(board, sender.smss)),
            unacked: u64::from(sender.flight()),
            unsent: u64::from(sender.unsent(written)),
            sacked: u64::from(board.sacked()),
            lost: u64::from(board.lost()),
            reordering,
            reo_wnd,
            snd_wnd: u64::from(sender.snd_wnd),
            rcv_wnd: u64::from(self.receiver.window()),
            pacing_rate: self.pacer.rate(),
            delivery_rate: self.delivery_rate,
            delivered: board.rate.delivered(),
            app_limited: board.rate.is_app_limited(),
            ecn: self.ecn.as_ref().map(|ecn| ecn.info()).unwrap_or_default(),
            ..base
        }
    }
}
