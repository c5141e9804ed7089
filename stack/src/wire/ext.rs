//! IPv6 extension headers (RFC 8200 section 4): a bounded walk to what lies behind them.

use etherparse::err::ip_auth::HeaderSliceError;
use etherparse::{IpAuthHeaderSlice, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice};

use super::error::{Error, Layer, Reason, room};
use super::ip::{Fragment, Protocol};

/// Extension headers that we walk before we give up. RFC 8200 section 4.1 orders seven, destination options
/// twice.
pub const MAX_HEADERS: usize = 8;

/// What lies behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk<'a> {
    /// What the payload is.
    pub protocol: Protocol,
    /// The field that names `protocol`, counted from the first extension header; `None` if there is no such
    /// header.
    pub protocol_offset: Option<usize>,
    /// What follows the headers; in a fragment, the piece.
    pub payload: &'a [u8],
    /// Set if this is a piece of a larger datagram. An atomic fragment is whole (RFC 6946 section 4) and not
    /// told here.
    pub fragment: Option<Fragment>,
    /// Value of the router alert option (RFC 2711); 0 is MLD.
    pub router_alert: Option<u16>,
}

/// What a node does with an option that it does not know, from the two highest bits (RFC 8200 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionAction {
    /// 01: drop the packet.
    Discard,
    /// 10: drop it and send a parameter problem, code 2, to the source.
    Report,
    /// 11: the same, unless the destination was a multicast group.
    ReportUnlessMulticast,
}

/// Walks from the fixed header's next header `first` to what is no extension header, or to a fragment's
/// piece.
///
/// Offsets in errors count from the first byte of `bytes`.
///
/// # Errors
/// Headers that are cut short, come in numbers, stand where they must not, name further stops, or carry
/// options that ask for the packet to be dropped.
pub fn walk(first: Protocol, bytes: &[u8]) -> Result<Walk<'_>, Error> {
    walk_with(first, bytes, true)
}

/// The walk through a packet that an ICMP error quotes: options and routes do not matter any more.
///
/// # Errors
/// The quote ends within the headers, or there are too many.
pub fn walk_quoted(first: Protocol, bytes: &[u8]) -> Result<Walk<'_>, Error> {
    walk_with(first, bytes, false)
}

fn walk_with(first: Protocol, bytes: &[u8], strict: bool) -> Result<Walk<'_>, Error> {
    let mut walk =
        Walk { protocol: first, protocol_offset: None, payload: bytes, fragment: None, router_alert: None };
    for _ in 0..=MAX_HEADERS {
        let at = bytes.len() - walk.payload.len();
        let Some(header) = Extension::read(walk.protocol, walk.payload).map_err(|e| e.at(at))? else {
            return Ok(walk);
        };
        if strict {
            if let (Protocol::HOP_BY_HOP, Some(named_at)) = (walk.protocol, walk.protocol_offset) {
                return Err(Error::malformed(Layer::Extension, named_at, Reason::MisplacedHopByHop));
            }
            let alert = header.check(walk.protocol).map_err(|e| e.at(at))?;
            walk.router_alert = walk.router_alert.or(alert);
        }
        walk.protocol = header.next_header;
        walk.protocol_offset = Some(at);
        walk.payload = &walk.payload[header.bytes.len()..];
        walk.fragment = header.fragment;
        if walk.fragment.is_some() {
            return Ok(walk);
        }
    }
    let at = walk.protocol_offset.unwrap_or(0);
    Err(Error::malformed(Layer::Extension, at, Reason::TooManyHeaders))
}

/// One extension header.
struct Extension<'a> {
    next_header: Protocol,
    bytes: &'a [u8],
    fragment: Option<Fragment>,
}

impl<'a> Extension<'a> {
    /// Reads the header that `kind` announces; `None` if it is no extension header.
    fn read(kind: Protocol, bytes: &'a [u8]) -> Result<Option<Self>, Error> {
        let short = |e| Error::from_len(Layer::Extension, &e);
        Ok(Some(match kind {
            Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS => {
                let slice = Ipv6RawExtHeaderSlice::from_slice(bytes).map_err(short)?;
                Self { next_header: Protocol(slice.next_header().0), bytes: slice.slice(), fragment: None }
            }
            Protocol::FRAGMENT => {
                let slice = Ipv6FragmentHeaderSlice::from_slice(bytes).map_err(short)?;
                let fragment = Fragment {
                    id: slice.identification(),
                    offset: slice.fragment_offset().value() << 3,
                    more: slice.more_fragments(),
                };
                let fragment = slice.is_fragmenting_payload().then_some(fragment);
                Self { next_header: Protocol(slice.next_header().0), bytes: slice.slice(), fragment }
            }
            Protocol::AUTHENTICATION => {
                let slice = IpAuthHeaderSlice::from_slice(bytes).map_err(|e| match e {
                    HeaderSliceError::Len(len) => short(len),
                    HeaderSliceError::Content(_) => {
                        Error::malformed(Layer::Extension, 1, Reason::HeaderLength)
                    }
                })?;
                Self { next_header: Protocol(slice.next_header().0), bytes: slice.slice(), fragment: None }
            }
            _ => return Ok(None),
        }))
    }

    /// Verifies what the header asks of us; answers the router alert in it.
    fn check(&self, kind: Protocol) -> Result<Option<u16>, Error> {
        match kind {
            Protocol::HOP_BY_HOP => check_options(self.bytes, true),
            Protocol::DESTINATION_OPTIONS => check_options(self.bytes, false),
            // RFC 8200 section 4.4: an unknown type (we know none; type 0 is gone by RFC 5095) with segments
            // left is an error that points at the type; without, it is skipped.
            Protocol::ROUTING if self.bytes[routing::SEGMENTS_LEFT] != 0 => {
                Err(Error::malformed(Layer::Extension, routing::TYPE, Reason::RoutingHeader))
            }
            _ => Ok(None),
        }
    }
}

mod routing {
    pub(super) const TYPE: usize = 2;
    pub(super) const SEGMENTS_LEFT: usize = 3;
}

mod option {
    pub(super) const PAD1: u8 = 0;
    pub(super) const PADN: u8 = 1;
    pub(super) const ROUTER_ALERT: u8 = 5;
}

/// Walks the options of one header (RFC 8200 section 4.2).
fn check_options(header: &[u8], hop_by_hop: bool) -> Result<Option<u16>, Error> {
    let mut at = 2;
    let mut router_alert = None;
    while let Some(&kind) = header.get(at) {
        if kind == option::PAD1 {
            at += 1;
            continue;
        }
        let broken = Error::malformed(Layer::Extension, at, Reason::Option);
        let len = usize::from(*header.get(at + 1).ok_or(broken)?);
        let data = header.get(at + 2..at + 2 + len).ok_or(broken)?;
        match kind {
            option::PADN => {}
            option::ROUTER_ALERT if hop_by_hop => {
                let value = data.try_into().map_err(|_| broken)?;
                router_alert = Some(u16::from_be_bytes(value));
            }
            _ => {
                let action = match kind >> 6 {
                    0 => None,
                    1 => Some(OptionAction::Discard),
                    2 => Some(OptionAction::Report),
                    _ => Some(OptionAction::ReportUnlessMulticast),
                };
                if let Some(action) = action {
                    return Err(Error::malformed(Layer::Extension, at, Reason::UnknownOption(action)));
                }
            }
        }
        at += 2 + len;
    }
    Ok(router_alert)
}

/// The fragment header, for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// What the pieces together are.
    pub next_header: Protocol,
    /// Which piece it is.
    pub fragment: Fragment,
}

impl FragmentHeader {
    /// Its length when written.
    pub const LEN: usize = 8;

    /// Writes the header at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let out = room(out, Self::LEN, Layer::Extension)?;
        let field = self.fragment.offset & !7 | u16::from(self.fragment.more);
        out[0] = self.next_header.0;
        out[1] = 0;
        out[2..4].copy_from_slice(&field.to_be_bytes());
        out[4..].copy_from_slice(&self.fragment.id.to_be_bytes());
        Ok(Self::LEN)
    }
}

/// Bytes of the hop-by-hop header that [`router_alert`] makes.
pub const ROUTER_ALERT_LEN: usize = 8;

/// A hop-by-hop header with a router alert for MLD, which each MLD message carries (RFC 3810 section 5).
pub const fn router_alert(next_header: Protocol) -> [u8; ROUTER_ALERT_LEN] {
    [next_header.0, 0, option::ROUTER_ALERT, 2, 0, 0, option::PADN, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u8 = Protocol::TCP.0;
    const HBH: u8 = Protocol::HOP_BY_HOP.0;
    const FRAGMENT: u8 = Protocol::FRAGMENT.0;
    const DESTINATION: u8 = Protocol::DESTINATION_OPTIONS.0;
    const ROUTING: u8 = Protocol::ROUTING.0;
    const AH: u8 = Protocol::AUTHENTICATION.0;

    fn refused(first: u8, bytes: &[u8]) -> (usize, Reason) {
        let error = walk(Protocol(first), bytes).unwrap_err();
        (error.offset(), error.reason().unwrap())
    }

    #[test]
    fn the_usual_headers_lead_to_tcp() {
        let bytes = [
            [DESTINATION, 0, 5, 2, 0, 0, 1, 0], // hop-by-hop: router alert
            [ROUTING, 0, 1, 4, 9, 9, 9, 9],     // destination options: PadN
            [AH, 0, 4, 0, 0, 0, 0, 0],          // routing: no stops left
            [FRAGMENT, 2, 0, 0, 0, 0, 0, 1],    // authentication, 16 bytes
            [0, 0, 0, 1, 5, 5, 5, 5],
            [TCP, 0, 0, 0, 0, 0, 0, 7], // atomic fragment
            *b"segment!",
        ];
        let bytes = bytes.as_flattened();
        let walk = walk(Protocol::HOP_BY_HOP, bytes).unwrap();
        assert_eq!((walk.protocol, walk.payload), (Protocol::TCP, &b"segment!"[..]));
        assert_eq!((walk.protocol_offset, walk.router_alert), (Some(40), Some(0)));
        assert_eq!(walk.fragment, None, "RFC 6946: an atomic fragment is whole");
    }

    #[test]
    fn the_walk_ends_at_a_fragment() {
        let fragment = Fragment { id: 0x1234_5678, offset: 1232, more: true };
        let mut bytes = [0; 16];
        FragmentHeader { next_header: Protocol::DESTINATION_OPTIONS, fragment }.write(&mut bytes).unwrap();
        let walk = walk(Protocol::FRAGMENT, &bytes).unwrap();
        assert_eq!((walk.protocol, walk.fragment), (Protocol::DESTINATION_OPTIONS, Some(fragment)));
        assert_eq!(walk.payload, [0; 8]);
    }

    #[test]
    fn unknown_options_decide_by_their_high_bits() {
        let header = |kind: u8| [TCP, 0, 0, kind, 1, 0, 0, 0];
        assert!(walk(Protocol::DESTINATION_OPTIONS, &header(0x1e)).is_ok());
        for (kind, action) in [
            (0x5e, OptionAction::Discard),
            (0x9e, OptionAction::Report),
            (0xde, OptionAction::ReportUnlessMulticast),
        ] {
            assert_eq!(refused(DESTINATION, &header(kind)), (3, Reason::UnknownOption(action)));
            assert!(walk_quoted(Protocol::DESTINATION_OPTIONS, &header(kind)).is_ok());
        }
    }

    #[test]
    fn broken_headers_are_refused_at_their_place() {
        assert_eq!(refused(DESTINATION, &[TCP, 0, 1, 5, 0, 0, 0, 0]), (2, Reason::Option));
        assert_eq!(refused(DESTINATION, &[TCP, 0, 1, 3, 0, 0, 0, 1]), (7, Reason::Option));
        assert_eq!(refused(HBH, &[TCP, 0, 5, 3, 0, 0, 0, 0]), (2, Reason::Option));
        assert_eq!(refused(ROUTING, &[TCP, 0, 0, 1, 0, 0, 0, 0]), (2, Reason::RoutingHeader));
        let twice = [[HBH, 0, 1, 4, 0, 0, 0, 0], [TCP, 0, 1, 4, 0, 0, 0, 0]];
        assert_eq!(refused(HBH, twice.as_flattened()), (0, Reason::MisplacedHopByHop));
        let short = walk(Protocol::HOP_BY_HOP, &[TCP, 1, 1, 4, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(short, Error::length(Layer::Extension, 16, 8));
    }

    #[test]
    fn a_long_chain_is_not_walked_to_its_end() {
        let chain = |count| [[DESTINATION, 0, 1, 4, 0, 0, 0, 0]].repeat(count);
        let ends = |count| {
            let mut chain = chain(count);
            chain.last_mut().unwrap()[0] = TCP;
            walk(Protocol::DESTINATION_OPTIONS, chain.as_flattened()).map(|walk| walk.protocol)
        };
        assert_eq!(ends(MAX_HEADERS), Ok(Protocol::TCP));
        assert_eq!(ends(MAX_HEADERS + 1).unwrap_err().reason(), Some(Reason::TooManyHeaders));
    }

    #[test]
    fn our_router_alert_is_understood() {
        let header = router_alert(Protocol::ICMPV6);
        let walk = walk(Protocol::HOP_BY_HOP, &header).unwrap();
        assert_eq!((walk.protocol, walk.router_alert), (Protocol::ICMPV6, Some(0)));
    }
}
