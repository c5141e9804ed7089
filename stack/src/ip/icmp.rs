//! What ICMP tells us: echo requests to answer, and errors about packets of ours.
//!
//! [`read`] verifies a message and sorts it. An error becomes an [`IcmpError`] with one vocabulary for both families;
//! nothing in it is proven, so the transport compares the quote with what it has in flight (RFC 5927) before it acts.

use core::net::IpAddr;

use crate::wire::checksum::Sum;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::quote::Quote;
use crate::wire::{Error, icmpv4, icmpv6, ipv4, ipv6, mld, ndp};

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No route leads to the network.
    NetworkUnreachable,
    /// The host does not answer.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nobody listens at the port.
    PortUnreachable,
    /// A filter or a policy forbids it.
    Prohibited,
    /// A source route failed.
    SourceRoute,
    /// The packet is too large for a link on its way.
    PacketTooBig {
        /// What that link carries, in bytes; 0 if the router does not say (RFC 1191 section 5).
        mtu: u32,
    },
    /// The packet made its last hop before it was there.
    HopLimitExceeded,
    /// Not all fragments of the packet came in time.
    ReassemblyTimeExceeded,
    /// A field of the packet is wrong.
    ParameterProblem {
        /// Where it lies, in bytes from the start of the packet.
        pointer: u32,
    },
}

impl ErrorKind {
    /// Whether trying again is pointless (RFC 1122 sections 3.2.2.1 and 4.2.3.9). Note: since RFC 5461 a connection
    /// that is established survives hard errors too; that is for the transport to decide.
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::ProtocolUnreachable | Self::PortUnreachable | Self::Prohibited)
    }

    /// Destination unreachable of IPv4 (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
    const fn from_unreachable_v4(code: u8, mtu: u16) -> Option<Self> {
        use icmpv4::unreachable as is;
        Some(match code {
            is::NETWORK | 6 | 11 => Self::NetworkUnreachable, // 6: unknown, 11: for this type of service
            is::HOST | 7 | 8 | 12 => Self::HostUnreachable,   // 7: unknown, 8: isolated, 12: as 11
            is::PROTOCOL => Self::ProtocolUnreachable,
            is::PORT => Self::PortUnreachable,
            is::FRAGMENTATION_NEEDED => Self::PacketTooBig { mtu: mtu as u32 },
            is::SOURCE_ROUTE_FAILED => Self::SourceRoute,
            9 | 10 | is::ADMINISTRATIVELY_PROHIBITED | 14 | 15 => Self::Prohibited,
            _ => return None,
        })
    }

    /// Destination unreachable of IPv6 (RFC 4443 section 3.1).
    const fn from_unreachable_v6(code: u8) -> Option<Self> {
        use icmpv6::unreachable as is;
        Some(match code {
            is::NO_ROUTE => Self::NetworkUnreachable,
            is::BEYOND_SCOPE | is::ADDRESS => Self::HostUnreachable,
            is::PORT => Self::PortUnreachable,
            is::ADMINISTRATIVELY_PROHIBITED | 5 | 6 => Self::Prohibited, // 5: source policy, 6: route rejects
            _ => return None,
        })
    }
}

/// An ICMP error about a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What it says.
    pub kind: ErrorKind,
    /// Who says it: a router on the way, or the destination.
    pub from: IpAddr,
    /// Which packet it is about: `src` is to be one of our addresses.
    pub quote: Quote,
    /// Length of that packet in bytes as its header says, for [`pmtu`](super::pmtu).
    pub packet_len: u32,
}

/// An echo request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Which conversation.
    pub id: u16,
    /// Which one of it.
    pub seq: u16,
    /// What comes back as it is.
    pub data: &'a [u8],
}

/// An ICMP message, sorted by who has to deal with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Somebody wants an echo: see [`echo_reply`].
    EchoRequest(Echo<'a>),
    /// An echo of ours came back.
    EchoReply(Echo<'a>),
    /// A packet of ours met a problem.
    Error(IcmpError),
    /// For the interface (IPv6).
    Ndp(ndp::Message<'a>),
    /// For the interface (IPv6).
    Mld(mld::Message<'a>),
    /// Nothing for us: redirects of IPv4, and what we do not know (RFC 1122 section 3.2.2: silently discarded).
    Other,
}

/// What was counted for one family, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IcmpStats {
    /// InMsgs: messages that came, broken ones included.
    pub in_msgs: u64,
    /// InErrors: of these, broken.
    pub in_errors: u64,
    /// InCsumErrors: of these, with a wrong checksum.
    pub in_csum_errors: u64,
    /// InDestUnreachs (of IPv4 with "fragmentation needed").
    pub in_dest_unreachs: u64,
    /// InPktTooBigs.
    pub in_pkt_too_bigs: u64,
    /// InTimeExcds.
    pub in_time_excds: u64,
    /// InParmProbs.
    pub in_parm_probs: u64,
    /// InEchos.
    pub in_echos: u64,
    /// InEchoReps.
    pub in_echo_reps: u64,
    /// OutEchoReps. The stack counts it.
    pub out_echo_reps: u64,
    /// Echo requests to a group that were not answered, for too many came. The stack counts it.
    pub echo_limited: u64,
}

impl IcmpStats {
    /// Counts a message that came in.
    pub fn record(&mut self, message: &Result<Incoming<'_>, Error>) {
        self.in_msgs += 1;
        match message {
            Ok(Incoming::EchoRequest(_)) => self.in_echos += 1,
            Ok(Incoming::EchoReply(_)) => self.in_echo_reps += 1,
            Ok(Incoming::Error(error)) => match error.kind {
                ErrorKind::HopLimitExceeded | ErrorKind::ReassemblyTimeExceeded => self.in_time_excds += 1,
                ErrorKind::ParameterProblem { .. } => self.in_parm_probs += 1,
                ErrorKind::ProtocolUnreachable if error.quote.src.is_ipv6() => self.in_parm_probs += 1,
                ErrorKind::PacketTooBig { .. } => {
                    self.in_pkt_too_bigs += 1;
                    self.in_dest_unreachs += u64::from(error.quote.src.is_ipv4());
                }
                _ => self.in_dest_unreachs += 1,
            },
            Ok(Incoming::Ndp(_) | Incoming::Mld(_) | Incoming::Other) => {}
            Err(error) => {
                self.in_errors += 1;
                self.in_csum_errors += u64::from(error.is_checksum());
            }
        }
    }
}

/// Reads the ICMP message in a packet of either family, and verifies its checksum.
///
/// # Errors
/// The message is broken, or quotes what is no packet of its family.
pub fn read<'a>(packet: &Packet<'a>) -> Result<Incoming<'a>, Error> {
    match (packet.src, packet.dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            read_v6(packet.src, icmpv6::Message::parse(packet.payload, src, dst)?)
        }
        _ => read_v4(packet.src, icmpv4::Message::parse(packet.payload)?),
    }
}

/// Writes the answer to an echo request into `message`, whatever was there before (RFC 1122 section 3.2.2.6, RFC 4443
/// section 4.2: the data comes back whole); answers its protocol. The checksum is complete.
///
/// `source` is the request's destination, or one of our addresses if that was a group.
pub fn echo_reply(echo: &Echo<'_>, source: IpAddr, destination: IpAddr, message: &mut Vec<u8>) -> Protocol {
    const REPLY_V4: u8 = 0;
    const REPLY_V6: u8 = 129;
    let (protocol, kind) = match source {
        IpAddr::V4(_) => (Protocol::ICMP, REPLY_V4),
        IpAddr::V6(_) => (Protocol::ICMPV6, REPLY_V6),
    };
    message.clear();
    message.extend_from_slice(&[kind, 0, 0, 0]);
    message.extend_from_slice(&echo.id.to_be_bytes());
    message.extend_from_slice(&echo.seq.to_be_bytes());
    message.extend_from_slice(echo.data);
    let start = match source {
        IpAddr::V4(_) => Sum::ZERO,
        IpAddr::V6(_) => Sum::pseudo(source, destination, protocol, message.len()),
    };
    let sum = start.with(message).checksum();
    message[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    protocol
}

const CHECKSUM: core::ops::Range<usize> = 2..4;

/// Whether an echo request is answered: asked by one host, which has an address. Over IPv4 we do not answer what many
/// were asked (RFC 1122 section 3.2.2.6 allows it), over IPv6 we do (RFC 4443 section 4.2).
pub fn answers_echo(packet: &Packet<'_>, for_many: bool) -> bool {
    !packet.src.is_unspecified() && (packet.is_v6() || !for_many)
}

fn read_v4(from: IpAddr, message: icmpv4::Message<'_>) -> Result<Incoming<'_>, Error> {
    use icmpv4::Message;
    let (kind, quoted) = match message {
        Message::EchoRequest { id, seq, data } => return Ok(Incoming::EchoRequest(Echo { id, seq, data })),
        Message::EchoReply { id, seq, data } => return Ok(Incoming::EchoReply(Echo { id, seq, data })),
        Message::DestinationUnreachable { code, mtu, quoted } => {
            (ErrorKind::from_unreachable_v4(code, mtu), quoted)
        }
        Message::TimeExceeded { code: icmpv4::time_exceeded::TTL, quoted } => {
            (Some(ErrorKind::HopLimitExceeded), quoted)
        }
        Message::TimeExceeded { quoted, .. } => (Some(ErrorKind::ReassemblyTimeExceeded), quoted),
        Message::ParameterProblem { pointer, quoted, .. } => {
            (Some(ErrorKind::ParameterProblem { pointer: u32::from(pointer) }), quoted)
        }
        // RFC 6633 section 3: source quench is ignored. Redirects are (RFC 1122 section 3.2.2.2 lets a host; the
        // attack is older than the use).
        Message::Redirect { .. } | Message::Other { .. } => return Ok(Incoming::Other),
    };
    error(kind, from, quoted)
}

fn read_v6(from: IpAddr, message: icmpv6::Message<'_>) -> Result<Incoming<'_>, Error> {
    use icmpv6::Message;
    let (kind, quoted) = match message {
        Message::EchoRequest { id, seq, data } => return Ok(Incoming::EchoRequest(Echo { id, seq, data })),
        Message::EchoReply { id, seq, data } => return Ok(Incoming::EchoReply(Echo { id, seq, data })),
        Message::Ndp(message) => return Ok(Incoming::Ndp(message)),
        Message::Mld(message) => return Ok(Incoming::Mld(message)),
        Message::DestinationUnreachable { code, quoted } => (ErrorKind::from_unreachable_v6(code), quoted),
        Message::PacketTooBig { mtu, quoted } => (Some(ErrorKind::PacketTooBig { mtu }), quoted),
        Message::TimeExceeded { code: icmpv6::time_exceeded::HOP_LIMIT, quoted } => {
            (Some(ErrorKind::HopLimitExceeded), quoted)
        }
        Message::TimeExceeded { quoted, .. } => (Some(ErrorKind::ReassemblyTimeExceeded), quoted),
        // The IPv6 form of "protocol unreachable" (RFC 4443 section 3.4).
        Message::ParameterProblem { code: icmpv6::parameter_problem::NEXT_HEADER, quoted, .. } => {
            (Some(ErrorKind::ProtocolUnreachable), quoted)
        }
        Message::ParameterProblem { pointer, quoted, .. } => {
            (Some(ErrorKind::ParameterProblem { pointer }), quoted)
        }
        Message::Other { .. } => return Ok(Incoming::Other),
    };
    error(kind, from, quoted)
}

/// An error of a known kind about a packet of the same family.
fn error(kind: Option<ErrorKind>, from: IpAddr, quoted: &[u8]) -> Result<Incoming<'_>, Error> {
    let Some(kind) = kind else { return Ok(Incoming::Other) };
    let quote = Quote::parse(quoted)?;
    if quote.src.is_ipv4() != from.is_ipv4() {
        return Ok(Incoming::Other);
    }
    let packet_len = match quote.src {
        IpAddr::V4(_) => {
            let (header, _) = ipv4::Header::parse_quoted(quoted)?;
            header.header_len() + usize::from(header.payload_len)
        }
        IpAddr::V6(_) => ipv6::HEADER_LEN + usize::from(ipv6::Header::parse_quoted(quoted)?.0.payload_len),
    };
    Ok(Incoming::Error(IcmpError { kind, from, quote, packet_len: packet_len as u32 }))
}

#[cfg(test)]
mod tests;
