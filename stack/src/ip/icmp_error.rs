//! Telling a source what went wrong: ICMP errors (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3.2,
//! RFC 4443 section 2.4).
//!
//! One error about another, or about what many were sent, is how a network melts. So each passes three gates: the
//! packet may be answered at all ([`may_answer`]), the rate limit has a token, and the quote keeps within bounds.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rate_limit::{RateLimiter, RateLimits, RateStats};
use crate::rng::Rng;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::checksum::Sum;
use crate::wire::ip::Protocol;
use crate::wire::{ext, icmpv4, icmpv6, ipv4, ipv6};

/// What went wrong with a packet. Each has its form in both families.
///
/// A host tells of what it could not take in: unknown protocols and ports, fragments that did not all come, and
/// parameters. The others are a router's to tell, when it forwards; the stack does not forward, and so it never makes
/// them. They are here for whoever answers in a router's place, as a simulation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No route leads there (a router's).
    NetworkUnreachable,
    /// The neighbour does not answer (a router's).
    HostUnreachable,
    /// Nobody here speaks this protocol (IPv4). See [`unknown_protocol`](super::input::unknown_protocol).
    ProtocolUnreachable,
    /// Nobody listens at this port.
    PortUnreachable,
    /// A filter forbids it (a router's).
    Prohibited,
    /// It made its last hop (a router's).
    HopLimit,
    /// Not all of its fragments came.
    ReassemblyTime,
    /// It is too large for the link of this MTU (a router's).
    PacketTooBig {
        /// What the link carries.
        mtu: u32,
    },
    /// A field of its headers is wrong.
    ParameterProblem {
        /// What is wrong with it (IPv6; RFC 4443 section 3.4).
        code: u8,
        /// Where it lies, in bytes from the start of the packet.
        pointer: u32,
    },
}

impl Problem {
    /// Why the frame with this error leaves.
    pub const fn why(&self) -> Why {
        match *self {
            Self::HopLimit | Self::ReassemblyTime => Why::new(Reason::TimeExceeded),
            Self::PacketTooBig { mtu } => Why::new(Reason::PacketTooBig).with("mtu", mtu as u64),
            Self::ParameterProblem { pointer, .. } => {
                Why::new(Reason::ParameterProblem).with("pointer", pointer as u64)
            }
            _ => Why::new(Reason::Unreachable),
        }
    }

    /// Type, code and the four bytes after the checksum, for IPv4.
    fn v4(self) -> (u8, u8, u32) {
        match self {
            Self::NetworkUnreachable => (3, 0, 0),
            Self::HostUnreachable => (3, 1, 0),
            Self::ProtocolUnreachable => (3, 2, 0),
            Self::PortUnreachable => (3, 3, 0),
            Self::PacketTooBig { mtu } => (3, 4, mtu.min(0xffff)), // RFC 1191 section 4
            Self::Prohibited => (3, 13, 0),
            Self::HopLimit => (11, 0, 0),
            Self::ReassemblyTime => (11, 1, 0),
            Self::ParameterProblem { pointer, .. } => (12, 0, pointer << 24),
        }
    }

    /// Type, code and the four bytes after the checksum, for IPv6.
    fn v6(self) -> (u8, u8, u32) {
        match self {
            Self::NetworkUnreachable => (1, 0, 0),
            Self::Prohibited => (1, 1, 0),
            Self::HostUnreachable => (1, 3, 0),
            Self::PortUnreachable => (1, 4, 0),
            Self::PacketTooBig { mtu } => (2, 0, mtu),
            Self::HopLimit => (3, 0, 0),
            Self::ReassemblyTime => (3, 1, 0),
            Self::ParameterProblem { code, pointer } => (4, code, pointer),
            Self::ProtocolUnreachable => (4, 1, 6), // the fixed header's next header field
        }
    }
}

/// Why nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The packet, or the frame it came in, was for many.
    Many,
    /// Its source is not one host.
    Source,
    /// It is an ICMP error itself, or may be one.
    Error,
    /// It is a fragment that is not the first.
    Fragment,
    /// It is no packet.
    Unreadable,
    /// Too many were sent already.
    RateLimited,
}

/// What was counted for one family, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IcmpErrorStats {
    /// OutDestUnreachs.
    pub out_dest_unreachs: u64,
    /// OutTimeExcds.
    pub out_time_excds: u64,
    /// OutParmProbs.
    pub out_parm_probs: u64,
    /// OutPktTooBigs; for IPv4 they are among `out_dest_unreachs` too.
    pub out_pkt_too_bigs: u64,
    /// Errors not sent because the packet must not be answered.
    pub refused: u64,
    /// Errors not sent because of the rate limit.
    pub rate_limited: u64,
}

/// An error that is to be sent; its message is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Our address, as the caller chose it.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// ICMP or ICMPv6.
    pub protocol: Protocol,
    /// Why it is sent.
    pub why: Why,
}

/// Makes ICMP errors, within limits.
#[derive(Clone, Debug)]
pub struct IcmpErrors {
    limiter: RateLimiter,
    stats: [IcmpErrorStats; 2],
}

impl IcmpErrors {
    /// None was sent yet.
    pub fn new(limits: RateLimits, rng: &mut Rng) -> Self {
        Self { limiter: RateLimiter::new(limits, rng), stats: [IcmpErrorStats::default(); 2] }
    }

    /// What was counted for IPv4.
    pub const fn stats_v4(&self) -> &IcmpErrorStats {
        &self.stats[0]
    }

    /// What was counted for IPv6.
    pub const fn stats_v6(&self) -> &IcmpErrorStats {
        &self.stats[1]
    }

    /// What the rate limit counted.
    pub const fn rate_stats(&self) -> &RateStats {
        self.limiter.stats()
    }

    /// Writes an error about `packet` into `message`, whatever was there before, ICMP checksum included.
    ///
    /// `for_many`: the packet or its frame was a broadcast. `source` is our address to speak from: the packet's
    /// destination if that is ours, else one of the interface that the answer leaves by.
    ///
    /// # Errors
    /// The reason to be silent.
    pub fn answer(
        &mut self,
        now: Instant,
        problem: Problem,
        packet: &[u8],
        for_many: bool,
        source: IpAddr,
        message: &mut Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let stats = &mut self.stats[usize::from(source.is_ipv6())];
        let destination = match may_answer(problem, packet, for_many) {
            Ok(destination) if destination.is_ipv4() == source.is_ipv4() => destination,
            refused => {
                stats.refused += 1;
                return Err(refused.err().unwrap_or(Refusal::Source));
            }
        };
        if !self.limiter.take(now, destination) {
            stats.rate_limited += 1;
            return Err(Refusal::RateLimited);
        }
        let protocol = write(problem, packet, source, destination, message);
        match problem {
            Problem::HopLimit | Problem::ReassemblyTime => stats.out_time_excds += 1,
            Problem::ParameterProblem { .. } => stats.out_parm_probs += 1,
            Problem::ProtocolUnreachable if source.is_ipv6() => stats.out_parm_probs += 1,
            Problem::PacketTooBig { .. } => {
                stats.out_pkt_too_bigs += 1;
                stats.out_dest_unreachs += u64::from(source.is_ipv4());
            }
            _ => stats.out_dest_unreachs += 1,
        }
        Ok(Answer { source, destination, protocol, why: problem.why() })
    }
}

/// Whether `packet` may be answered by an error, and to whom that goes.
///
/// # Errors
/// The reason to be silent.
pub fn may_answer(problem: Problem, packet: &[u8], for_many: bool) -> Result<IpAddr, Refusal> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => may_answer_v4(packet, for_many).map(IpAddr::V4),
        Some(6) => may_answer_v6(problem, packet, for_many).map(IpAddr::V6),
        _ => Err(Refusal::Unreadable),
    }
}

/// RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7.
fn may_answer_v4(packet: &[u8], for_many: bool) -> Result<Ipv4Addr, Refusal> {
    let (header, payload) = ipv4::Header::parse_quoted(packet).map_err(|_| Refusal::Unreadable)?;
    let (src, dst) = (header.src, header.dst);
    if for_many || dst.is_broadcast() || dst.is_multicast() {
        return Err(Refusal::Many);
    }
    // Class E is no host either; loopback speaks only to itself.
    let first = src.octets()[0];
    if first == 0 || first >= 224 || src.is_loopback() && !dst.is_loopback() {
        return Err(Refusal::Source);
    }
    if header.fragment_offset != 0 {
        return Err(Refusal::Fragment);
    }
    // Echo, timestamp and the like may be answered; errors, redirects and what we do not know may not.
    let query = |kind: &u8| matches!(kind, 0 | 8..=10 | 13..=18);
    if header.protocol == Protocol::ICMP && !payload.first().is_some_and(query) {
        return Err(Refusal::Error);
    }
    Ok(src)
}

/// RFC 4443 section 2.4 (e).
fn may_answer_v6(problem: Problem, packet: &[u8], for_many: bool) -> Result<Ipv6Addr, Refusal> {
    let (header, rest) = ipv6::Header::parse_quoted(packet).map_err(|_| Refusal::Unreadable)?;
    // (e.3), (e.4): "too big" has to reach who sends to a group, and so has "unrecognized option".
    let group_too =
        matches!(problem, Problem::PacketTooBig { .. } | Problem::ParameterProblem { code: 2, .. });
    if (for_many || header.dst.is_multicast()) && !group_too {
        return Err(Refusal::Many);
    }
    // (e.6)
    let src = header.src;
    if src.is_unspecified() || src.is_multicast() || src.is_loopback() && !header.dst.is_loopback() {
        return Err(Refusal::Source);
    }
    // (e.1), (e.2). In a later fragment nobody can see what it is part of; if the headers do not even end, there is no
    // ICMP in it.
    if let Ok(walk) = ext::walk_quoted(header.next_header, rest)
        && walk.protocol == Protocol::ICMPV6
        && walk.fragment.is_none_or(|fragment| fragment.offset == 0)
        && !walk.payload.first().is_some_and(|&kind| kind >= 128 && kind != v6::REDIRECT)
    {
        return Err(Refusal::Error);
    }
    Ok(src)
}

mod v6 {
    pub(super) const REDIRECT: u8 = 137;
}

/// Writes the message; answers its protocol.
fn write(
    problem: Problem,
    packet: &[u8],
    source: IpAddr,
    destination: IpAddr,
    out: &mut Vec<u8>,
) -> Protocol {
    let (protocol, (kind, code, rest), max_quote) = if source.is_ipv4() {
        (Protocol::ICMP, problem.v4(), icmpv4::MAX_QUOTE_LEN)
    } else {
        (Protocol::ICMPV6, problem.v6(), icmpv6::MAX_QUOTE_LEN)
    };
    let quote = &packet[..packet.len().min(max_quote)];
    out.clear();
    out.extend_from_slice(&[kind, code, 0, 0]);
    out.extend_from_slice(&rest.to_be_bytes());
    out.extend_from_slice(quote);
    let start = match source {
        IpAddr::V4(_) => Sum::ZERO,
        IpAddr::V6(_) => Sum::pseudo(source, destination, protocol, out.len()), // RFC 4443 section 2.3
    };
    let sum = start.with(out).checksum();
    out[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    protocol
}

const CHECKSUM: core::ops::Range<usize> = 2..4;

#[cfg(test)]
mod tests;
