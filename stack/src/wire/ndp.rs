//! Neighbor discovery for IPv6 over Ethernet (RFC 4861). Written and read as [`super::icmpv6::Message::Ndp`].

use core::net::Ipv6Addr;

use etherparse::Icmpv6Slice;
use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice, NdpOptionsIterator};

use super::error::{Error, Layer, Reason};
use super::ethernet::MacAddr;
use super::list::{Item, List};

/// The hop limit of each message: it proves that no router passed it on (RFC 4861 section 3.1).
pub const HOP_LIMIT: u8 = 255;

/// A neighbor discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A host asks for routers.
    RouterSolicitation {
        /// The sender's link address.
        source_link: Option<MacAddr>,
    },
    /// A router tells of itself and of the link.
    RouterAdvertisement(RouterAdvertisement<'a>),
    /// Who has this address?
    NeighborSolicitation {
        /// The address in question.
        target: Ipv6Addr,
        /// The sender's link address; missing when the sender has no address yet (duplicate address
        /// detection).
        source_link: Option<MacAddr>,
    },
    /// An address is here.
    NeighborAdvertisement {
        /// The address.
        target: Ipv6Addr,
        /// Its link address.
        target_link: Option<MacAddr>,
        /// The sender is a router.
        router: bool,
        /// It answers a solicitation, and so proves that it is reachable.
        solicited: bool,
        /// It replaces what is cached.
        override_cached: bool,
    },
    /// A router knows a better first hop.
    Redirect {
        /// The better first hop; the destination itself if it is on the link.
        target: Ipv6Addr,
        /// For which destination.
        destination: Ipv6Addr,
        /// The target's link address.
        target_link: Option<MacAddr>,
        /// The beginning of the packet that was sent the longer way; written in multiples of 8 bytes.
        quoted: &'a [u8],
    },
}

/// What a router tells (RFC 4861 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement<'a> {
    /// Hop limit for hosts to use; 0 says nothing.
    pub hop_limit: u8,
    /// Addresses are to be had by DHCPv6.
    pub managed: bool,
    /// Other things are to be had by DHCPv6.
    pub other: bool,
    /// How long it is a default router, in seconds; 0 if it is none.
    pub lifetime: u16,
    /// How long a neighbor counts as reachable, in milliseconds; 0 says nothing.
    pub reachable_time: u32,
    /// Time between solicitations in milliseconds; 0 says nothing.
    pub retrans_timer: u32,
    /// The router's link address.
    pub source_link: Option<MacAddr>,
    /// The link's MTU.
    pub mtu: Option<u32>,
    /// The link's prefixes.
    pub prefixes: List<'a, PrefixInfo>,
}

/// A prefix of the link (RFC 4861 section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInfo {
    /// The prefix; bits behind its length do not count.
    pub prefix: Ipv6Addr,
    /// Its length in bits, up to 128.
    pub prefix_len: u8,
    /// Addresses of it are on the link.
    pub on_link: bool,
    /// Hosts make addresses of it (RFC 4862).
    pub autonomous: bool,
    /// How long it is valid, in seconds; `u32::MAX` is for ever.
    pub valid_lifetime: u32,
    /// How long its addresses are preferred, in seconds; `u32::MAX` is for ever.
    pub preferred_lifetime: u32,
}

/// Message types.
mod kind {
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const NEIGHBOR_SOLICITATION: u8 = 135;
    pub(super) const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    pub(super) const REDIRECT: u8 = 137;
}

/// Option types.
mod option {
    pub(super) const SOURCE_LINK: u8 = 1;
    pub(super) const TARGET_LINK: u8 = 2;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const REDIRECTED: u8 = 4;
    pub(super) const MTU: u8 = 5;
}

/// Bytes of an option with an Ethernet address, of an MTU option, and before a quoted packet.
const OPTION_UNIT: usize = 8;
/// Bytes of a prefix information option.
const PREFIX_LEN: usize = 32;
/// Bytes of messages before their options.
const SOLICITATION_LEN: usize = 24;
const ROUTER_SOLICITATION_LEN: usize = 8;
const ROUTER_ADVERTISEMENT_LEN: usize = 16;
const REDIRECT_LEN: usize = 40;

pub(crate) const fn is_kind(kind: u8) -> bool {
    matches!(kind, kind::ROUTER_SOLICITATION..=kind::REDIRECT)
}

impl<'a> Message<'a> {
    /// Its length when written.
    pub fn wire_len(&self) -> usize {
        let link = |link: &Option<MacAddr>| if link.is_some() { OPTION_UNIT } else { 0 };
        match self {
            Self::RouterSolicitation { source_link } => ROUTER_SOLICITATION_LEN + link(source_link),
            Self::RouterAdvertisement(router) => {
                let mtu = if router.mtu.is_some() { OPTION_UNIT } else { 0 };
                ROUTER_ADVERTISEMENT_LEN + link(&router.source_link) + mtu + router.prefixes.wire_len()
            }
            Self::NeighborSolicitation { source_link, .. } => SOLICITATION_LEN + link(source_link),
            Self::NeighborAdvertisement { target_link, .. } => SOLICITATION_LEN + link(target_link),
            Self::Redirect { target_link, quoted, .. } => {
                let quote = whole_units(quoted).len();
                let redirected = if quote == 0 { 0 } else { OPTION_UNIT + quote };
                REDIRECT_LEN + link(target_link) + redirected
            }
        }
    }

    /// Reads a message whose checksum is verified already.
    pub(crate) fn parse(slice: &Icmpv6Slice<'a>) -> Result<Self, Error> {
        // RFC 4861 sections 6.1 and 7.1: a code other than 0 makes the message invalid.
        if slice.code_u8() != 0 {
            return Err(Error::malformed(Layer::Ndp, 1, Reason::Value));
        }
        let payload = slice.payload_slice().map_err(|e| Error::from_len(Layer::Ndp, &e))?;
        let [first, second, high, low] = slice.bytes5to8();
        let whole = slice.slice();
        match payload {
            Icmpv6PayloadSlice::RouterSolicitation(message) => {
                let options = Options::parse(whole, message.options())?;
                Ok(Self::RouterSolicitation { source_link: options.source_link })
            }
            Icmpv6PayloadSlice::RouterAdvertisement(message) => {
                let options = Options::parse(whole, message.options())?;
                Ok(Self::RouterAdvertisement(RouterAdvertisement {
                    hop_limit: first,
                    managed: second & flag::MANAGED != 0,
                    other: second & flag::OTHER != 0,
                    lifetime: u16::from_be_bytes([high, low]),
                    reachable_time: message.reachable_time(),
                    retrans_timer: message.retrans_timer(),
                    source_link: options.source_link,
                    mtu: options.mtu,
                    prefixes: List::wire(message.options()),
                }))
            }
            Icmpv6PayloadSlice::NeighborSolicitation(message) => {
                let options = Options::parse(whole, message.options())?;
                let target = unicast(message.target_address(), 8)?;
                Ok(Self::NeighborSolicitation { target, source_link: options.source_link })
            }
            Icmpv6PayloadSlice::NeighborAdvertisement(message) => {
                let options = Options::parse(whole, message.options())?;
                Ok(Self::NeighborAdvertisement {
                    target: unicast(message.target_address(), 8)?,
                    target_link: options.target_link,
                    router: first & flag::ROUTER != 0,
                    solicited: first & flag::SOLICITED != 0,
                    override_cached: first & flag::OVERRIDE != 0,
                })
            }
            Icmpv6PayloadSlice::Redirect(message) => {
                let options = Options::parse(whole, message.options())?;
                Ok(Self::Redirect {
                    target: message.target_address(),
                    destination: unicast(message.destination_address(), 24)?,
                    target_link: options.target_link,
                    quoted: options.quoted,
                })
            }
            _ => Err(Error::malformed(Layer::Ndp, 0, Reason::Value)),
        }
    }

    /// Writes all but the checksum into `out`, which has exactly the message's length.
    pub(crate) fn put(&self, out: &mut [u8]) {
        let mut out = Writer { out, at: 0 };
        match self {
            Self::RouterSolicitation { source_link } => {
                out.head(kind::ROUTER_SOLICITATION, [0; 4]);
                out.link(option::SOURCE_LINK, *source_link);
            }
            Self::RouterAdvertisement(router) => {
                let managed = if router.managed { flag::MANAGED } else { 0 };
                let other = if router.other { flag::OTHER } else { 0 };
                let [high, low] = router.lifetime.to_be_bytes();
                out.head(kind::ROUTER_ADVERTISEMENT, [router.hop_limit, managed | other, high, low]);
                out.put(&router.reachable_time.to_be_bytes());
                out.put(&router.retrans_timer.to_be_bytes());
                out.link(option::SOURCE_LINK, router.source_link);
                if let Some(mtu) = router.mtu {
                    out.put(&[option::MTU, 1, 0, 0]);
                    out.put(&mtu.to_be_bytes());
                }
                router.prefixes.put(&mut out.out[out.at..]);
            }
            Self::NeighborSolicitation { target, source_link } => {
                out.head(kind::NEIGHBOR_SOLICITATION, [0; 4]);
                out.put(&target.octets());
                out.link(option::SOURCE_LINK, *source_link);
            }
            Self::NeighborAdvertisement { target, target_link, router, solicited, override_cached } => {
                let flags =
                    [(router, flag::ROUTER), (solicited, flag::SOLICITED), (override_cached, flag::OVERRIDE)];
                let flags = flags.iter().filter(|(set, _)| **set).fold(0, |flags, (_, bit)| flags | bit);
                out.head(kind::NEIGHBOR_ADVERTISEMENT, [flags, 0, 0, 0]);
                out.put(&target.octets());
                out.link(option::TARGET_LINK, *target_link);
            }
            Self::Redirect { target, destination, target_link, quoted } => {
                out.head(kind::REDIRECT, [0; 4]);
                out.put(&target.octets());
                out.put(&destination.octets());
                out.link(option::TARGET_LINK, *target_link);
                let quoted = whole_units(quoted);
                if !quoted.is_empty() {
                    let units = (OPTION_UNIT + quoted.len()) / OPTION_UNIT;
                    out.put(&[option::REDIRECTED, units as u8, 0, 0, 0, 0, 0, 0]);
                    out.put(quoted);
                }
            }
        }
    }
}

mod flag {
    pub(super) const MANAGED: u8 = 0x80;
    pub(super) const OTHER: u8 = 0x40;
    pub(super) const ROUTER: u8 = 0x80;
    pub(super) const SOLICITED: u8 = 0x40;
    pub(super) const OVERRIDE: u8 = 0x20;
    pub(super) const ON_LINK: u8 = 0x80;
    pub(super) const AUTONOMOUS: u8 = 0x40;
}

/// RFC 4861 sections 7.1.1, 7.1.2 and 8.1: these addresses must not be multicast.
fn unicast(address: Ipv6Addr, offset: usize) -> Result<Ipv6Addr, Error> {
    let wrong = Error::malformed(Layer::Ndp, offset, Reason::Value);
    if address.is_multicast() { Err(wrong) } else { Ok(address) }
}

/// As much of a quoted packet as an option can hold: whole units of 8 bytes, within the least MTU.
fn whole_units(quoted: &[u8]) -> &[u8] {
    let most = super::icmpv6::MAX_QUOTE_LEN - REDIRECT_LEN - 2 * OPTION_UNIT;
    &quoted[..quoted.len().min(most) / OPTION_UNIT * OPTION_UNIT]
}

/// The options of any message. A link address of another length than Ethernet's is no address.
#[derive(Default)]
struct Options<'a> {
    source_link: Option<MacAddr>,
    target_link: Option<MacAddr>,
    mtu: Option<u32>,
    quoted: &'a [u8],
}

impl<'a> Options<'a> {
    /// Walks all options; those that we do not know are skipped (RFC 4861 section 4.6).
    fn parse(message: &'a [u8], bytes: &'a [u8]) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut rest = NdpOptionsIterator::from_slice(bytes);
        loop {
            let at = message.len() - rest.rest().len();
            match rest.next() {
                None => return Ok(options),
                Some(Ok(NdpOptionSlice::SourceLinkLayerAddress(option))) => {
                    options.source_link = MacAddr::from_slice(option.link_layer_address());
                }
                Some(Ok(NdpOptionSlice::TargetLinkLayerAddress(option))) => {
                    options.target_link = MacAddr::from_slice(option.link_layer_address());
                }
                Some(Ok(NdpOptionSlice::Mtu(option))) => options.mtu = Some(option.mtu()),
                Some(Ok(NdpOptionSlice::RedirectedHeader(option))) => {
                    options.quoted = option.redirected_packet();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) => return Err(Error::malformed(Layer::Ndp, at, Reason::Option)),
            }
        }
    }
}

impl<'a> Item<'a> for PrefixInfo {
    fn take(bytes: &'a [u8]) -> Option<(Option<Self>, &'a [u8])> {
        let mut rest = NdpOptionsIterator::from_slice(bytes);
        let prefix = match rest.next()?.ok()? {
            NdpOptionSlice::PrefixInformation(option) => Some(Self {
                prefix: option.prefix().into(),
                prefix_len: option.prefix_length(),
                on_link: option.on_link(),
                autonomous: option.autonomous_address_configuration(),
                valid_lifetime: option.valid_lifetime(),
                preferred_lifetime: option.preferred_lifetime(),
            }),
            _ => None,
        };
        Some((prefix.filter(|prefix| prefix.prefix_len <= 128), rest.rest()))
    }

    fn wire_len(&self) -> usize {
        PREFIX_LEN
    }

    fn put(&self, out: &mut [u8]) {
        let on_link = if self.on_link { flag::ON_LINK } else { 0 };
        let autonomous = if self.autonomous { flag::AUTONOMOUS } else { 0 };
        let mut out = Writer { out, at: 0 };
        out.put(&[option::PREFIX, (PREFIX_LEN / OPTION_UNIT) as u8, self.prefix_len, on_link | autonomous]);
        out.put(&self.valid_lifetime.to_be_bytes());
        out.put(&self.preferred_lifetime.to_be_bytes());
        out.put(&[0; 4]);
        out.put(&self.prefix.octets());
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// Type, code, room for the checksum, and the second half of the header.
    fn head(&mut self, kind: u8, rest: [u8; 4]) {
        self.put(&[kind, 0, 0, 0]);
        self.put(&rest);
    }

    fn link(&mut self, option: u8, link: Option<MacAddr>) {
        if let Some(link) = link {
            self.put(&[option, 1]);
            self.put(&link.0);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

#[cfg(test)]
mod tests;
