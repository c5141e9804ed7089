//! The counters under the names of Linux: those of `/proc/net/snmp`, `/proc/net/snmp6` and `/proc/net/netstat`.

use super::Stats;
use crate::why::Reason;

/// A counter with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// `Ip`, `Icmp`, `Tcp`, `Udp`, `TcpExt`, `IpExt`, `Ip6` or `Icmp6` as on Linux; `Ustack` for what only ustack
    /// counts.
    pub group: &'static str,
    /// The name within the group; of `Ip6` and `Icmp6` without these prefixes, which `/proc/net/snmp6` repeats.
    pub name: &'static str,
    /// How often, or how many.
    pub value: u64,
}

type Pair = (&'static str, u64);

impl Stats {
    /// Everything that Linux counts too, under its names, and what it does not, in the group `Ustack`.
    ///
    /// Where ustack counts both versions of IP together, the number stands in the group of IPv4: `OutRequests`,
    /// `OutDiscards`, `OutNoRoutes`, `Frag...`, and all of `Udp`. `OutSegs` leaves out what is sent again (RFC 4022);
    /// Linux counts that there too. A merged frame counts everywhere as the segments or datagrams that it stands for,
    /// so that a transfer has the same numbers by every device; Linux counts in `InReceives`, `InDelivers` and
    /// `InOctets` what reaches IP after merging, and in `OutRequests` and `OutOctets` what leaves it before it is cut.
    pub fn named(&self) -> impl Iterator<Item = Named> {
        let groups: [(&'static str, Vec<Pair>); 9] = [
            ("Ip", self.ip_group()),
            ("Icmp", self.icmp_group()),
            ("Tcp", self.tcp_group()),
            ("Udp", self.udp_group()),
            ("TcpExt", self.tcp_ext_group()),
            ("IpExt", self.ip_ext_group()),
            ("Ip6", self.ip6_group()),
            ("Icmp6", self.icmp6_group()),
            ("Ustack", self.own_group()),
        ];
        groups.into_iter().flat_map(|(group, pairs)| {
            pairs.into_iter().map(move |(name, value)| Named { group, name, value })
        })
    }

    fn ip_group(&self) -> Vec<Pair> {
        let Self { in_v4, ip, reassembly_v4, fragments, .. } = self;
        vec![
            ("InReceives", in_v4.in_receives),
            ("InHdrErrors", in_v4.in_hdr_errors),
            ("InAddrErrors", in_v4.in_addr_errors),
            ("InUnknownProtos", in_v4.in_unknown_protos),
            ("InDiscards", in_v4.in_discards),
            ("InDelivers", in_v4.in_delivers),
            ("OutRequests", ip.out_requests),
            ("OutDiscards", ip.out_discards),
            ("OutNoRoutes", ip.out_no_routes),
            ("ReasmTimeout", reassembly_v4.reasm_timeout),
            ("ReasmReqds", reassembly_v4.reasm_reqds),
            ("ReasmOKs", reassembly_v4.reasm_oks),
            ("ReasmFails", reassembly_v4.reasm_fails),
            ("FragOKs", fragments.frag_oks),
            ("FragFails", fragments.frag_fails),
            ("FragCreates", fragments.frag_creates),
        ]
    }

    fn icmp_group(&self) -> Vec<Pair> {
        let (icmp, errors) = (&self.icmp_v4, &self.icmp_errors_v4);
        let out = errors.out_dest_unreachs + errors.out_time_excds + errors.out_parm_probs;
        vec![
            ("InMsgs", icmp.in_msgs),
            ("InErrors", icmp.in_errors),
            ("InCsumErrors", icmp.in_csum_errors),
            ("InDestUnreachs", icmp.in_dest_unreachs),
            ("InTimeExcds", icmp.in_time_excds),
            ("InParmProbs", icmp.in_parm_probs),
            ("InEchos", icmp.in_echos),
            ("InEchoReps", icmp.in_echo_reps),
            ("OutMsgs", out + icmp.out_echo_reps),
            ("OutRateLimitGlobal", errors.rate_limited),
            ("OutDestUnreachs", errors.out_dest_unreachs),
            ("OutTimeExcds", errors.out_time_excds),
            ("OutParmProbs", errors.out_parm_probs),
            ("OutEchoReps", icmp.out_echo_reps),
        ]
    }

    fn tcp_group(&self) -> Vec<Pair> {
        let (tcp, connections) = (&self.tcp, &self.connections);
        vec![
            ("ActiveOpens", tcp.active_opens),
            ("PassiveOpens", tcp.passive_opens),
            ("AttemptFails", connections.attempt_fails),
            ("EstabResets", connections.estab_resets),
            ("CurrEstab", connections.curr_estab),
            ("InSegs", tcp.in_segs),
            ("OutSegs", tcp.out_segs),
            ("RetransSegs", tcp.retrans_segs),
            ("InErrs", tcp.in_errs),
            ("OutRsts", tcp.out_rsts),
            ("InCsumErrors", tcp.in_csum_errors),
        ]
    }

    fn udp_group(&self) -> Vec<Pair> {
        let udp = &self.udp;
        vec![
            ("InDatagrams", udp.in_datagrams),
            ("NoPorts", udp.no_ports),
            ("InErrors", udp.in_errors),
            ("OutDatagrams", udp.out_datagrams),
            ("RcvbufErrors", udp.rcvbuf_errors),
            ("InCsumErrors", udp.in_csum_errors),
            ("IgnoredMulti", udp.ignored_multi),
            ("MemErrors", udp.mem_errors),
        ]
    }

    fn tcp_ext_group(&self) -> Vec<Pair> {
        let (tcp, sum) = (&self.tcp, &self.connections);
        let sent = |reason| self.sent.by(reason);
        vec![
            ("SyncookiesSent", tcp.syncookies_sent),
            ("SyncookiesRecv", tcp.syncookies_recv),
            ("SyncookiesFailed", tcp.syncookies_failed),
            ("ListenOverflows", tcp.listen_overflows),
            ("ListenDrops", tcp.listen_drops),
            ("TW", tcp.time_waits),
            ("PAWSEstab", sum.paws_rejected),
            ("DelayedACKs", sent(Reason::DelayedAck)),
            ("TCPSackRecovery", sum.recoveries - sum.reno_recoveries),
            ("TCPRenoRecovery", sum.reno_recoveries),
            ("TCPTimeouts", sum.timeouts + sum.syn_timeouts),
            ("TCPSpuriousRTOs", sum.spurious_timeouts),
            ("TCPFullUndo", sum.full_undos),
            ("TCPPartialUndo", sum.undos - sum.full_undos - sum.dsack_undos - sum.loss_undos),
            ("TCPDSACKUndo", sum.dsack_undos),
            ("TCPLossUndo", sum.loss_undos),
            ("TCPSACKReneging", sum.reneged),
            ("TCPSACKReorder", sum.reorderings),
            ("TCPLostRetransmit", sum.lost_retransmits),
            ("TCPFastRetrans", sent(Reason::FastRetransmit) + sent(Reason::RecoveryRetransmit)),
            ("TCPSlowStartRetrans", sent(Reason::RtoRecovery)),
            ("TCPSynRetrans", sent(Reason::SynRetransmit) + sent(Reason::SynAckRetransmit)),
            ("TCPLossProbes", sum.loss_probes),
            ("TCPLossProbeRecovery", sum.loss_probe_recoveries),
            ("TCPDSACKRecv", sum.dsacks_in),
            ("TCPDSACKOldSent", sum.dsacks_old_sent),
            ("TCPDSACKOfoSent", sum.dsacks_ofo_sent),
            ("TCPOFOQueue", sum.out_of_order.saturating_sub(sum.holes_refused)),
            ("TCPOFODrop", sum.holes_refused),
            ("TCPChallengeACK", sum.challenge_acks),
            ("TCPACKSkippedChallenge", sum.challenges_skipped),
            ("TCPACKSkippedTimeWait", tcp.time_wait_acks_skipped),
            ("TCPSYNChallenge", sum.syn_challenges),
            ("TCPToZeroWindowAdv", sum.to_zero_window),
            ("TCPFromZeroWindowAdv", sum.from_zero_window),
            ("TCPAbortOnData", sum.aborts_on_data),
            ("TCPAbortOnClose", sum.aborts_on_close),
            ("TCPAbortOnTimeout", sum.aborts_on_timeout),
            ("TCPMemoryPressures", self.memory.pressures),
            ("TCPHystartDelayDetect", sum.hystart_exits),
            ("TCPHystartDelayCwnd", sum.hystart_cwnd),
            ("TCPWinProbe", sent(Reason::ZeroWindowProbe)),
            ("TCPKeepAlive", sent(Reason::Keepalive)),
            ("TCPOrigDataSent", sum.data_segs_out.saturating_sub(sum.segs_retrans - sum.syn_timeouts)),
            ("TCPDeliveredCE", sum.delivered_ce),
            ("TCPMD5NotFound", tcp.md5_not_found),
            ("TCPMD5Unexpected", tcp.md5_unexpected),
            ("TCPMD5Failure", tcp.md5_failure),
            ("TCPAOGood", tcp.ao_good),
            ("TCPAOBad", tcp.ao_bad),
            ("TCPAOKeyNotFound", tcp.ao_key_not_found),
            ("TCPAORequired", tcp.ao_required),
            ("TCPMTUPFail", sum.mtu_probes_lost),
            ("TCPMTUPSuccess", sum.mtu_probes_answered),
            ("TCPTimeWaitOverflow", tcp.time_wait_overflows),
            ("TCPFastOpenActive", tcp.fast_open_active),
            ("TCPFastOpenActiveFail", tcp.fast_open_active_fail),
            ("TCPFastOpenPassive", tcp.fast_open_passive),
            ("TCPFastOpenPassiveFail", tcp.fast_open_passive_fail),
            ("TCPFastOpenListenOverflow", tcp.fast_open_listen_overflow),
            ("TCPFastOpenCookieReqd", tcp.fast_open_cookie_reqd),
        ]
    }

    fn ip_ext_group(&self) -> Vec<Pair> {
        let in_v4 = &self.in_v4;
        vec![
            ("InTruncatedPkts", in_v4.in_truncated_pkts),
            ("InMcastPkts", in_v4.in_mcast_pkts),
            ("InBcastPkts", in_v4.in_bcast_pkts),
            ("InOctets", in_v4.in_octets),
            ("InCsumErrors", in_v4.in_csum_errors),
            ("InNoECTPkts", in_v4.in_no_ect_pkts),
            ("InECT1Pkts", in_v4.in_ect1_pkts),
            ("InECT0Pkts", in_v4.in_ect0_pkts),
            ("InCEPkts", in_v4.in_ce_pkts),
            ("ReasmOverlaps", self.reassembly_v4.overlaps),
        ]
    }

    fn ip6_group(&self) -> Vec<Pair> {
        let (in_v6, reassembly) = (&self.in_v6, &self.reassembly_v6);
        vec![
            ("InReceives", in_v6.in_receives),
            ("InHdrErrors", in_v6.in_hdr_errors),
            ("InAddrErrors", in_v6.in_addr_errors),
            ("InUnknownProtos", in_v6.in_unknown_protos),
            ("InTruncatedPkts", in_v6.in_truncated_pkts),
            ("InDiscards", in_v6.in_discards),
            ("InDelivers", in_v6.in_delivers),
            ("ReasmTimeout", reassembly.reasm_timeout),
            ("ReasmReqds", reassembly.reasm_reqds),
            ("ReasmOKs", reassembly.reasm_oks),
            ("ReasmFails", reassembly.reasm_fails),
            ("InMcastPkts", in_v6.in_mcast_pkts),
            ("InOctets", in_v6.in_octets),
            ("InNoECTPkts", in_v6.in_no_ect_pkts),
            ("InECT1Pkts", in_v6.in_ect1_pkts),
            ("InECT0Pkts", in_v6.in_ect0_pkts),
            ("InCEPkts", in_v6.in_ce_pkts),
        ]
    }

    fn icmp6_group(&self) -> Vec<Pair> {
        let (icmp, errors) = (&self.icmp_v6, &self.icmp_errors_v6);
        vec![
            ("InMsgs", icmp.in_msgs),
            ("InErrors", icmp.in_errors),
            ("InCsumErrors", icmp.in_csum_errors),
            ("InDestUnreachs", icmp.in_dest_unreachs),
            ("InPktTooBigs", icmp.in_pkt_too_bigs),
            ("InTimeExcds", icmp.in_time_excds),
            ("InParmProblems", icmp.in_parm_probs),
            ("InEchos", icmp.in_echos),
            ("InEchoReplies", icmp.in_echo_reps),
            ("OutDestUnreachs", errors.out_dest_unreachs),
            ("OutPktTooBigs", errors.out_pkt_too_bigs),
            ("OutTimeExcds", errors.out_time_excds),
            ("OutParmProblems", errors.out_parm_probs),
            ("OutEchoReplies", icmp.out_echo_reps),
        ]
    }

    fn own_group(&self) -> Vec<Pair> {
        let (tcp, sum) = (&self.tcp, &self.connections);
        vec![
            ("InLinkDrops", self.ip.in_link_drops),
            ("NeighborFailures", self.ip.out_neighbor_failures),
            ("OutFrames", self.ip.out_frames),
            ("OutFrameOctets", self.ip.out_octets),
            ("IcmpUnmatched", self.icmp_unmatched),
            ("IcmpErrorsRefused", self.icmp_errors_v4.refused + self.icmp_errors_v6.refused),
            ("SocketLimitDrops", tcp.socket_limit_drops),
            ("ListenStrays", tcp.listen_strays),
            ("OutOfPlace", sum.out_of_place),
            ("UdpCopiesRefused", self.udp.copies_refused),
            ("EchoRepliesHeldBack", self.icmp_v6.echo_limited),
            ("FastOpenCacheOverflows", tcp.fast_open_cache_overflows),
            ("DupAcksIn", sum.dup_acks_in),
            ("MtuBlackHoles", sum.mtu_black_holes),
            ("DuplicatesIn", sum.duplicates),
            ("OutOfWindow", sum.out_of_window),
            ("RawIn", self.raw.in_packets),
            ("RawRcvbufErrors", self.raw.rcvbuf_errors),
            ("RawOut", self.raw.out_packets),
            ("DecisionsRefused", self.decisions_refused),
            ("EventsLost", self.events_lost),
            ("RoutesRefused", self.ip.routes_refused),
            ("PathMtuDoubted", self.path_mtu.doubted),
            ("PathMtuIgnored", self.path_mtu.ignored_unsent),
            ("RedirectsTaken", self.redirects.taken),
            ("RedirectsIgnored", self.redirects.ignored),
            ("RedirectsEvicted", self.redirects.evicted),
        ]
    }
}
