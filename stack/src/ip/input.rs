//! What a received packet must be before anything is done with it (RFC 1122 section 3.2.1, RFC 8200 section 4).
//!
//! [`check`] looks at one packet and answers with a [`Verdict`]. It keeps nothing: a fragment goes to
//! [`Reassembly`](super::reassembly::Reassembly), and the packet made of fragments comes back here.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::icmp_error::Problem;
use super::reassembly::Fragment;
use crate::buf::frame::InterfaceId;
use crate::wire::ext::{self, OptionAction};
use crate::wire::icmpv6::parameter_problem as code;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::{Error, Layer, Reason, ipv4, ipv6};

/// The longest datagram that fragments can make.
const MAX_LEN: usize = 65_535;

/// What the addresses of a packet are to us. The interface knows.
pub trait Local {
    /// One of our addresses, ready to be used.
    fn is_ours(&self, address: IpAddr) -> bool;
    /// The directed broadcast address of one of our subnets.
    fn is_broadcast(&self, address: Ipv4Addr) -> bool;
    /// A multicast group that we listen to on the interface at which the packet came in.
    fn is_member(&self, group: IpAddr) -> bool;
    /// Packets of this pair were found to be for us alone, and no address has changed since. False is always right.
    fn is_known_pair(&self, _src: IpAddr, _dst: IpAddr) -> bool {
        false
    }
}

/// How a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The interface.
    pub iface: InterfaceId,
    /// The link header was addressed to many (broadcast or multicast).
    pub link_broadcast: bool,
    /// It never was outside: our own addresses and loopback addresses may be its source.
    pub loopback: bool,
    /// It was put together from fragments.
    pub reassembled: bool,
}

impl Arrival {
    /// A packet from outside, addressed to us on the link.
    pub const fn unicast(iface: InterfaceId) -> Self {
        Self { iface, link_broadcast: false, loopback: false, reassembled: false }
    }
}

/// Who was meant by a destination address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// One of our addresses.
    Us,
    /// All hosts of the link or of our subnet.
    Broadcast,
    /// A group that we listen to.
    Multicast,
}

/// What is to be done with a packet. Its value is long, and stays where it was read.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// Give it to its protocol.
    Deliver(To),
    /// Keep it until the rest has come.
    Fragment(Fragment<'a>),
    /// Forget it; it is counted.
    Drop(DropReason),
    /// Forget it and tell its source, if [`icmp_error`](super::icmp_error) allows. The slice is the packet to quote.
    Error(Problem, &'a [u8]),
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a packet was dropped without a word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All reasons, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its header, or than its header says.
    Truncated = "truncated",
    /// The header's checksum is wrong.
    Checksum = "checksum",
    /// A header that contradicts itself, or is of another version.
    Header = "header",
    /// A source that no packet can have, or that is ours.
    MartianSource = "martian-source",
    /// A destination that does not leave a host.
    MartianDestination = "martian-destination",
    /// For somebody else.
    NotOurs = "not-ours",
    /// For a group that we do not listen to.
    NotMember = "not-member",
    /// For us alone, in a link frame for all (RFC 1122 section 3.3.6).
    LinkBroadcast = "link-broadcast",
    /// It carries a source route (RFC 7126 section 4.3).
    SourceRoute = "source-route",
    /// An option that we do not know asks for it (RFC 8200 section 4.2).
    Option = "option",
    /// There is nothing in it (RFC 8200 section 4.7).
    NoNextHeader = "no-next-header",
    /// Neighbour discovery in fragments (RFC 6980 section 5).
    FragmentedDiscovery = "fragmented-discovery",
}

/// How many reasons there are to drop a packet.
const REASONS: usize = DropReason::ALL.len();

/// What was counted for one family, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InputStats {
    /// InReceives: packets that came in, those of fragments and errors included. What was merged for us alone counts as
    /// what it was, in all counters.
    pub in_receives: u64,
    /// InHdrErrors: of these, with a broken header.
    pub in_hdr_errors: u64,
    /// InAddrErrors: of these, with an address that was not for us or nobody's.
    pub in_addr_errors: u64,
    /// InTruncatedPkts: of these, cut short by the link.
    pub in_truncated_pkts: u64,
    /// InCsumErrors: of these, with a wrong header checksum.
    pub in_csum_errors: u64,
    /// InDiscards: of these, dropped for another reason.
    pub in_discards: u64,
    /// InUnknownProtos: whole packets of a protocol that nobody here speaks. The stack counts it.
    pub in_unknown_protos: u64,
    /// InDelivers: whole packets given to their protocol.
    pub in_delivers: u64,
    /// InMcastPkts: of these, for a group.
    pub in_mcast_pkts: u64,
    /// InBcastPkts: of these, for all.
    pub in_bcast_pkts: u64,
    /// InOctets: bytes of all packets that came in.
    pub in_octets: u64,
    /// InNoECTPkts: packets that came as not ECN-capable (RFC 3168), fragments included.
    pub in_no_ect_pkts: u64,
    /// InECT1Pkts: packets that came as ECT(1).
    pub in_ect1_pkts: u64,
    /// InECT0Pkts: packets that came as ECT(0).
    pub in_ect0_pkts: u64,
    /// InCEPkts: packets that met congestion.
    pub in_ce_pkts: u64,
    dropped: [u64; REASONS],
}

impl InputStats {
    /// How many packets were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Counts a packet that came in, and what became of it. One made of fragments has come in before.
    /// `read` is the packet as far as it could be read.
    pub fn record(
        &mut self,
        len: usize,
        read: &Result<Packet<'_>, Error>,
        verdict: &Verdict<'_>,
        reassembled: bool,
    ) {
        if !reassembled {
            self.in_receives += 1;
            self.in_octets += len as u64;
        }
        match verdict {
            Verdict::Deliver(to) => {
                self.in_delivers += 1;
                if let Ok(packet) = read
                    && !reassembled
                {
                    self.record_ecn(packet.ecn, 1);
                }
                self.in_mcast_pkts += u64::from(*to == To::Multicast);
                self.in_bcast_pkts += u64::from(*to == To::Broadcast);
            }
            Verdict::Fragment(fragment) => self.record_ecn(fragment.ecn, 1),
            Verdict::Drop(reason) => self.record_drop(*reason),
            Verdict::Error(..) => self.in_hdr_errors += 1,
        }
    }

    /// Counts packets for one of our addresses that are as the one before but for their content, with all their bytes.
    #[inline]
    pub fn record_alike(&mut self, packets: u64, octets: u64, ecn: u8) {
        self.in_receives += packets;
        self.in_octets += octets;
        self.in_delivers += packets;
        self.record_ecn(ecn, packets);
    }

    fn record_ecn(&mut self, ecn: u8, packets: u64) {
        match ecn & 3 {
            0 => self.in_no_ect_pkts += packets,
            1 => self.in_ect1_pkts += packets,
            2 => self.in_ect0_pkts += packets,
            _ => self.in_ce_pkts += packets,
        }
    }

    fn record_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
        match reason {
            DropReason::Truncated => self.in_truncated_pkts += 1,
            DropReason::Header => self.in_hdr_errors += 1,
            DropReason::Checksum => {
                self.in_hdr_errors += 1;
                self.in_csum_errors += 1;
            }
            DropReason::MartianSource | DropReason::MartianDestination | DropReason::NotOurs => {
                self.in_addr_errors += 1;
            }
            _ => self.in_discards += 1,
        }
    }
}

/// Looks at a received packet: `bytes` from the first byte of the IP header to the end of the frame, and what
/// [`Packet::parse`] has read there.
#[inline(always)]
pub fn check<'a>(
    bytes: &'a [u8],
    read: &Result<Packet<'a>, Error>,
    arrival: &Arrival,
    local: &impl Local,
) -> Verdict<'a> {
    let packet = match read {
        Ok(packet) => packet,
        Err(error) => return refuse(bytes, error, arrival, local),
    };
    let known = !arrival.link_broadcast && local.is_known_pair(packet.src, packet.dst);
    let to = if known {
        To::Us
    } else {
        match check_addresses(packet.src, packet.dst, arrival, local) {
            Ok(to) => to,
            Err(reason) => return Verdict::Drop(reason),
        }
    };
    if packet.source_route {
        return Verdict::Drop(DropReason::SourceRoute);
    }
    if packet.fragment.is_some() {
        if arrival.reassembled {
            return Verdict::Drop(DropReason::Header); // Note: fragments of fragments are not made by anyone honest.
        }
        return check_fragment(packet, arrival.iface);
    }
    match packet.protocol {
        Protocol::NONE if packet.is_v6() => Verdict::Drop(DropReason::NoNextHeader),
        Protocol::ICMPV6 if is_fragmented_discovery(packet, arrival) => {
            Verdict::Drop(DropReason::FragmentedDiscovery)
        }
        _ => Verdict::Deliver(to),
    }
}

/// What the source is told of a packet whose protocol nobody here speaks.
pub fn unknown_protocol(packet: &Packet<'_>) -> Problem {
    if packet.is_v6() {
        // RFC 8200 section 4: code 1, pointing at the field that names it.
        Problem::ParameterProblem { code: code::NEXT_HEADER, pointer: packet.protocol_offset as u32 }
    } else {
        Problem::ProtocolUnreachable // RFC 1122 section 3.2.2.1
    }
}

/// Drops a packet that cannot be read, and says so to its source where the RFCs want that.
fn refuse<'a>(bytes: &'a [u8], error: &Error, arrival: &Arrival, local: &impl Local) -> Verdict<'a> {
    let (drop, problem) = match *error {
        Error::Length { layer: Layer::Extension, .. } => (DropReason::Header, None),
        Error::Length { .. } => (DropReason::Truncated, None),
        Error::Malformed { layer, offset, reason } => {
            let pointer = offset as u32;
            let problem = |code| Some(Problem::ParameterProblem { code, pointer });
            match reason {
                Reason::Checksum => (DropReason::Checksum, None),
                // RFC 8200 section 4.2.
                Reason::UnknownOption(OptionAction::Discard) => (DropReason::Option, None),
                Reason::UnknownOption(OptionAction::Report) => (DropReason::Option, problem(code::OPTION)),
                Reason::UnknownOption(OptionAction::ReportUnlessMulticast) => {
                    let multicast =
                        ipv6::Header::parse_quoted(bytes).is_ok_and(|(h, _)| h.dst.is_multicast());
                    (DropReason::Option, problem(code::OPTION).filter(|_| !multicast))
                }
                // RFC 8200 section 4.4.
                Reason::RoutingHeader => (DropReason::Header, problem(code::HEADER_FIELD)),
                // RFC 8200 section 4.
                Reason::MisplacedHopByHop => (DropReason::Header, problem(code::NEXT_HEADER)),
                // RFC 1122 section 3.2.2.5: an option that does not fit into its header.
                Reason::Option if matches!(layer, Layer::Ipv4 | Layer::Extension) => {
                    (DropReason::Header, problem(code::HEADER_FIELD))
                }
                _ => (DropReason::Header, None),
            }
        }
    };
    let Some(problem) = problem else { return Verdict::Drop(drop) };
    let Some((src, dst, whole)) = quoted_addresses(bytes) else { return Verdict::Drop(drop) };
    match check_addresses(src, dst, arrival, local) {
        Ok(_) => Verdict::Error(problem, whole),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Addresses of a packet that cannot be read further, and the packet without the link's padding.
fn quoted_addresses(bytes: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let (src, dst, payload) = if bytes.first()? >> 4 == 4 {
        let (header, payload) = ipv4::Header::parse_quoted(bytes).ok()?;
        (header.src.into(), header.dst.into(), payload)
    } else {
        let (header, payload) = ipv6::Header::parse_quoted(bytes).ok()?;
        (header.src.into(), header.dst.into(), payload)
    };
    let end = payload.as_ptr().addr() - bytes.as_ptr().addr() + payload.len();
    Some((src, dst, &bytes[..end]))
}

/// Whether the addresses may be, and whom they mean.
fn check_addresses(
    src: IpAddr,
    dst: IpAddr,
    arrival: &Arrival,
    local: &impl Local,
) -> Result<To, DropReason> {
    if is_martian_source(src, arrival, local) {
        return Err(DropReason::MartianSource);
    }
    if is_martian_destination(dst, arrival) {
        return Err(DropReason::MartianDestination);
    }
    let to = match dst {
        _ if dst.is_multicast() && local.is_member(dst) => To::Multicast,
        _ if dst.is_multicast() => return Err(DropReason::NotMember),
        // Our own packets come back to loopback addresses whether or not they are listed.
        _ if local.is_ours(dst) || dst.is_loopback() => To::Us,
        IpAddr::V4(dst) if dst.is_broadcast() || local.is_broadcast(dst) => To::Broadcast,
        _ => return Err(DropReason::NotOurs),
    };
    if src.is_unspecified() && to == To::Us {
        return Err(DropReason::MartianSource); // RFC 1122 section 3.2.1.3 (a), RFC 4291 section 2.5.2
    }
    if arrival.link_broadcast && to == To::Us {
        return Err(DropReason::LinkBroadcast); // RFC 1122 section 3.3.6
    }
    Ok(to)
}

/// RFC 1122 section 3.2.1.3, RFC 4291 sections 2.5.3 and 2.7: what a source can never be.
fn is_martian_source(src: IpAddr, arrival: &Arrival, local: &impl Local) -> bool {
    let impossible = match src {
        IpAddr::V4(v4) => {
            let this_network = v4.octets()[0] == 0 && !v4.is_unspecified();
            v4.is_multicast() || v4.is_broadcast() || this_network || local.is_broadcast(v4)
        }
        IpAddr::V6(v6) => v6.is_multicast() || v6.to_ipv4_mapped().is_some(),
    };
    impossible || !arrival.loopback && (src.is_loopback() || local.is_ours(src))
}

/// What no packet from outside can be for.
fn is_martian_destination(dst: IpAddr, arrival: &Arrival) -> bool {
    let impossible = match dst {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => {
            v6.is_unspecified() || v6.to_ipv4_mapped().is_some() || multicast_scope(v6) == Some(0)
        }
    };
    // RFC 4291 section 2.7: scope 1 never leaves an interface.
    let inner = dst.is_loopback() || matches!(dst, IpAddr::V6(v6) if multicast_scope(v6) == Some(1));
    impossible || inner && !arrival.loopback
}

fn multicast_scope(address: Ipv6Addr) -> Option<u8> {
    address.is_multicast().then(|| address.octets()[1] & 0xf)
}

/// Looks at what a fragment says of itself.
fn check_fragment<'a>(packet: &Packet<'a>, iface: InterfaceId) -> Verdict<'a> {
    let Some(piece) = packet.fragment else { return Verdict::Drop(DropReason::Header) };
    let offset = usize::from(piece.offset);
    if packet.is_v6() {
        let problem = |code, pointer: usize| {
            Verdict::Error(Problem::ParameterProblem { code, pointer: pointer as u32 }, packet.bytes)
        };
        // RFC 8200 section 4.5, the error conditions.
        if piece.more && !packet.payload.len().is_multiple_of(8) {
            return problem(code::HEADER_FIELD, v6::PAYLOAD_LENGTH_AT);
        }
        if offset + packet.payload.len() > MAX_LEN {
            return problem(
                code::HEADER_FIELD,
                packet.header_len() - v6::FRAGMENT_HEADER_LEN + v6::OFFSET_AT,
            );
        }
        if offset == 0 && !has_whole_chain(packet) {
            return problem(code::INCOMPLETE_CHAIN, 0); // RFC 7112 section 5
        }
    }
    Verdict::Fragment(Fragment {
        iface,
        source: packet.src,
        destination: packet.dst,
        id: piece.id,
        protocol: packet.protocol.0,
        offset,
        more: piece.more,
        ecn: packet.ecn,
        packet: packet.bytes,
        data_at: packet.header_len(),
        next_header_at: fragment_announced_at(packet).unwrap_or(0),
    })
}

/// Whether a first fragment holds all headers up to the one of the transport.
fn has_whole_chain(packet: &Packet<'_>) -> bool {
    ext::walk_quoted(packet.protocol, packet.payload).is_ok_and(|walk| {
        let least = match walk.protocol {
            Protocol::TCP => 20,
            Protocol::UDP | Protocol::ICMPV6 => 8,
            _ => 0,
        };
        walk.payload.len() >= least
    })
}

/// RFC 6980 section 5: neighbour discovery never comes with a fragment header, not even an atomic one.
fn is_fragmented_discovery(packet: &Packet<'_>, arrival: &Arrival) -> bool {
    let is_discovery = packet.payload.first().is_some_and(|kind| (133..=137).contains(kind));
    is_discovery && (arrival.reassembled || fragment_announced_at(packet).is_some())
}

/// Where the byte lies that announces an IPv6 packet's fragment header.
fn fragment_announced_at(packet: &Packet<'_>) -> Option<usize> {
    if !packet.is_v6() {
        return None;
    }
    let headers = &packet.bytes[..packet.header_len()];
    let (mut announced_at, mut at) = (v6::NEXT_HEADER_AT, ipv6::HEADER_LEN);
    while let &[_, units] = headers.get(at..at + 2)? {
        at = match Protocol(headers[announced_at]) {
            Protocol::FRAGMENT => return Some(announced_at),
            Protocol::AUTHENTICATION => {
                core::mem::replace(&mut announced_at, at) + (usize::from(units) + 2) * 4
            }
            _ => core::mem::replace(&mut announced_at, at) + (usize::from(units) + 1) * 8,
        };
    }
    None
}

/// Where fields lie that are pointed at.
mod v6 {
    pub(super) const PAYLOAD_LENGTH_AT: usize = 4;
    pub(super) const NEXT_HEADER_AT: usize = 6;
    pub(super) const FRAGMENT_HEADER_LEN: usize = 8;
    /// Within the fragment header.
    pub(super) const OFFSET_AT: usize = 2;
}

#[cfg(test)]
mod tests;
