//! The IPv4 header (RFC 791).

use core::fmt;
use core::net::Ipv4Addr;

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};

use super::checksum::{Sum, checksum};
use super::error::{Error, Layer, Reason, room};
use super::ip::Protocol;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of a header with all options: the most there can be.
pub const MAX_HEADER_LEN: usize = 60;
/// Largest payload of one packet without options.
pub const MAX_PAYLOAD_LEN: usize = 65_535 - MIN_HEADER_LEN;

/// An IPv4 header as a value. The checksum is not part of it: it is verified on reading and filled on
/// writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// What the payload is.
    pub protocol: Protocol,
    /// Hops that are left.
    pub ttl: u8,
    /// Differentiated services code point, 0..=63 (RFC 2474).
    pub dscp: u8,
    /// Explicit congestion notification, 0..=3 (RFC 3168).
    pub ecn: u8,
    /// Identification, for reassembly (RFC 6864).
    pub id: u16,
    /// Routers must not fragment it.
    pub dont_fragment: bool,
    /// Not the last fragment.
    pub more_fragments: bool,
    /// Where the payload stands in the whole datagram, in bytes (a multiple of 8).
    pub fragment_offset: u16,
    /// Bytes after the header.
    pub payload_len: u16,
    /// Options.
    pub options: Options,
}

impl Header {
    /// A header with the usual values: no fragment, not to be fragmented, no options.
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, ttl: u8, payload_len: u16) -> Self {
        Self {
            src,
            dst,
            protocol,
            ttl,
            dscp: 0,
            ecn: 0,
            id: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            payload_len,
            options: Options::EMPTY,
        }
    }

    /// Its length when written.
    pub fn header_len(&self) -> usize {
        MIN_HEADER_LEN + self.options.as_slice().len()
    }

    /// Whether this is a piece of a larger datagram.
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Reads a header and verifies its checksum; answers it and the payload. What follows the total length is
    /// padding of the link and left out.
    ///
    /// # Errors
    /// Too short, wrong version, lengths that contradict each other, wrong checksum, options that overrun the
    /// header.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (slice, payload) = verify(bytes)?;
        Ok((Self::from_slice(&slice), payload))
    }

    /// Reads a header that an ICMP error quotes: it may be cut short after the header, and what routers on
    /// the way did to its checksum and lengths does not matter. Answers what is left of the payload.
    ///
    /// # Errors
    /// Too short for the header, wrong version, header length below its minimum.
    pub fn parse_quoted(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let slice = slice(bytes)?;
        let header_len = slice.slice().len();
        let end = usize::from(slice.total_len()).clamp(header_len, bytes.len());
        Ok((Self::from_slice(&slice), &bytes[header_len..end]))
    }

    /// Writes the header with its checksum at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short; header and payload are longer than 65,535 bytes.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let len = self.header_len();
        let total_len = u16::try_from(len + usize::from(self.payload_len))
            .map_err(|_| Error::malformed(Layer::Ipv4, field::TOTAL_LEN, Reason::TotalLength))?;
        let out = room(out, len, Layer::Ipv4)?;
        let fragment = self.fragment_offset >> 3
            | u16::from(self.more_fragments) << 13
            | u16::from(self.dont_fragment) << 14;
        out[0] = 0x40 | (len / 4) as u8;
        out[1] = self.dscp << 2 | self.ecn & 3;
        out[2..4].copy_from_slice(&total_len.to_be_bytes());
        out[4..6].copy_from_slice(&self.id.to_be_bytes());
        out[6..8].copy_from_slice(&fragment.to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol.0;
        out[10..12].fill(0);
        out[12..16].copy_from_slice(&self.src.octets());
        out[16..20].copy_from_slice(&self.dst.octets());
        out[20..].copy_from_slice(self.options.as_slice());
        let sum = checksum(out);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        Ok(len)
    }

    fn from_slice(slice: &Ipv4HeaderSlice<'_>) -> Self {
        Self {
            src: slice.source_addr(),
            dst: slice.destination_addr(),
            protocol: Protocol(slice.protocol().0),
            ttl: slice.ttl(),
            dscp: slice.dcp().value(),
            ecn: slice.ecn().value(),
            id: slice.identification(),
            dont_fragment: slice.dont_fragment(),
            more_fragments: slice.more_fragments(),
            fragment_offset: slice.fragments_offset().value() << 3,
            payload_len: slice.total_len().saturating_sub(slice.slice().len() as u16),
            options: Options::copy_of(slice.options()),
        }
    }
}

/// Verifies what [`Header::parse`] does; answers the header's fields where they lie, and the payload.
#[inline(always)]
pub(super) fn verify(bytes: &[u8]) -> Result<(Ipv4HeaderSlice<'_>, &[u8]), Error> {
    let slice = slice(bytes)?;
    let sum = match <&[u8; MIN_HEADER_LEN]>::try_from(slice.slice()) {
        // Of a length that the compiler knows: a few additions.
        Ok(header) => Sum::ZERO.with(header),
        Err(_) => Sum::ZERO.with(slice.slice()),
    };
    if !sum.is_valid() {
        return Err(Error::malformed(Layer::Ipv4, field::CHECKSUM, Reason::Checksum));
    }
    let header_len = slice.slice().len();
    let total_len = usize::from(slice.total_len());
    if total_len < header_len {
        return Err(Error::malformed(Layer::Ipv4, field::TOTAL_LEN, Reason::TotalLength));
    }
    let payload =
        bytes.get(header_len..total_len).ok_or(Error::length(Layer::Ipv4, total_len, bytes.len()))?;
    if !slice.options().is_empty() {
        each_option(slice.options())
            .try_for_each(|option| option.map(|_| ()))
            .map_err(|at| Error::malformed(Layer::Ipv4, MIN_HEADER_LEN + at, Reason::Option))?;
    }
    Ok((slice, payload))
}

/// Whether a source route (LSRR or SSRR) is among the options of a header.
pub(super) fn has_source_route(options: &[u8]) -> bool {
    !options.is_empty() && each_option(options).any(|option| matches!(option, Ok([131 | 137, ..])))
}

/// Whether a router alert is among the options of a header.
pub(super) fn has_router_alert(options: &[u8]) -> bool {
    !options.is_empty() && each_option(options).any(|option| matches!(option, Ok([148, ..])))
}

/// Each option with its kind and length, without padding; or where one does not fit.
fn each_option(all: &[u8]) -> impl Iterator<Item = Result<&[u8], usize>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        while all.get(at) == Some(&kind::NOP) {
            at += 1;
        }
        let start = at;
        match *all.get(start..)? {
            [] | [kind::END, ..] => None,
            [_, len, ..] if len >= 2 && start + usize::from(len) <= all.len() => {
                at += usize::from(len);
                Some(Ok(&all[start..at]))
            }
            _ => {
                at = all.len();
                Some(Err(start))
            }
        }
    })
}

/// Where fields begin, for errors and for those who read or change single ones.
pub(crate) mod field {
    pub(crate) const VERSION: usize = 0;
    pub(crate) const TOTAL_LEN: usize = 2;
    pub(crate) const ID: usize = 4;
    pub(crate) const FRAGMENT: usize = 6;
    pub(crate) const TTL: usize = 8;
    pub(crate) const PROTOCOL: usize = 9;
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const ADDRESSES: usize = 12;
}

fn slice(bytes: &[u8]) -> Result<Ipv4HeaderSlice<'_>, Error> {
    Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(len) => Error::from_len(Layer::Ipv4, &len),
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => {
            Error::malformed(Layer::Ipv4, field::VERSION, Reason::Version)
        }
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => {
            Error::malformed(Layer::Ipv4, field::VERSION, Reason::HeaderLength)
        }
    })
}

/// The options of a header, as they stand on the wire; a multiple of 4 bytes.
#[derive(Clone, Copy)]
pub struct Options {
    bytes: [u8; MAX_HEADER_LEN - MIN_HEADER_LEN],
    len: u8,
}

impl Options {
    /// No options.
    pub const EMPTY: Self = Self { bytes: [0; MAX_HEADER_LEN - MIN_HEADER_LEN], len: 0 };

    /// Router alert (RFC 2113), which IGMP carries (RFC 3376 section 4).
    pub const ROUTER_ALERT: Self = {
        let mut options = Self::EMPTY;
        options.bytes[0] = 148;
        options.bytes[1] = 4;
        options.len = 4;
        options
    };

    /// From bytes, padded with end-of-options to a multiple of 4; `None` if there are more than 40.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_HEADER_LEN - MIN_HEADER_LEN).then(|| Self::copy_of(bytes))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a source route is among them (LSRR or SSRR).
    pub fn has_source_route(&self) -> bool {
        has_source_route(self.as_slice())
    }

    /// Whether a router alert is among them.
    pub fn has_router_alert(&self) -> bool {
        has_router_alert(self.as_slice())
    }

    /// The options that each fragment but the first carries: those with the copied bit (RFC 791 section 3.1).
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut bytes = arrayvec::ArrayVec::<u8, { MAX_HEADER_LEN - MIN_HEADER_LEN }>::new();
        for option in
            each_option(self.as_slice()).map_while(Result::ok).filter(|option| option[0] & 0x80 != 0)
        {
            bytes.extend(option.iter().copied());
        }
        Self::copy_of(&bytes)
    }

    /// At most 40 bytes, rounded up to a multiple of 4 with zeros.
    fn copy_of(bytes: &[u8]) -> Self {
        let mut options = Self::EMPTY;
        let len = bytes.len().min(options.bytes.len());
        options.bytes[..len].copy_from_slice(&bytes[..len]);
        options.len = len.next_multiple_of(4) as u8;
        options
    }
}

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
}

impl Default for Options {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Options {}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(options: &[u8]) -> Header {
        let (src, dst) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
        Header { options: Options::new(options).unwrap(), ..Header::new(src, dst, Protocol::UDP, 64, 4) }
    }

    fn packet(header: &Header) -> Vec<u8> {
        let mut bytes = vec![0; header.header_len()];
        header.write(&mut bytes).unwrap();
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    /// Changes one byte and puts the checksum right again.
    fn with(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
        bytes[at] = value;
        bytes[10..12].fill(0);
        let sum = checksum(&bytes[..usize::from(bytes[0] & 15) * 4]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn the_link_s_padding_is_left_out() {
        let mut bytes = packet(&header(&[]));
        bytes.resize(46, 0xee);
        assert_eq!(Header::parse(&bytes), Ok((header(&[]), &[1, 2, 3, 4][..])));
    }

    #[test]
    fn options_are_skipped() {
        let record_route = [7, 7, 4, 0, 0, 0, 0];
        let (read, payload) =
            Header::parse(&packet(&header(&record_route))).map(|(h, p)| (h, p.to_vec())).unwrap();
        assert_eq!((read.header_len(), payload), (28, vec![1, 2, 3, 4]));
        assert!(!read.options.has_source_route() && !read.options.has_router_alert());
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let good = packet(&header(&[]));
        let refused = |bytes: &[u8]| Header::parse(bytes).unwrap_err();
        assert_eq!(refused(&with(good.clone(), 3, 19)).reason(), Some(Reason::TotalLength));
        assert_eq!(refused(&with(good.clone(), 3, 25)), Error::length(Layer::Ipv4, 25, 24));
        assert_eq!(refused(&with(good.clone(), 0, 0x44)).reason(), Some(Reason::HeaderLength));
        assert_eq!(refused(&with(good.clone(), 0, 0x55)).reason(), Some(Reason::Version));
        assert_eq!(refused(&good[..23]), Error::length(Layer::Ipv4, 24, 23));
        assert_eq!(refused(&good[..19]), Error::length(Layer::Ipv4, 20, 19));
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let mut bytes = packet(&header(&[]));
        bytes[8] = 63;
        assert!(Header::parse(&bytes).unwrap_err().is_checksum());
        assert!(Header::parse_quoted(&bytes).is_ok(), "a router may have changed what it quotes");
    }

    #[test]
    fn broken_options_are_refused_at_their_place() {
        for (options, at) in
            [(&[7, 1, 0, 0][..], 20), (&[1, 7, 5, 0], 21), (&[1, 1, 1, 7], 23), (&[7, 0, 0, 0], 20)]
        {
            let error = Header::parse(&packet(&header(options))).unwrap_err();
            assert_eq!(error, Error::malformed(Layer::Ipv4, at, Reason::Option), "{options:?}");
        }
        let after_the_end = [0, 7, 1, 1];
        assert!(Header::parse(&packet(&header(&after_the_end))).is_ok());
    }

    #[test]
    fn later_fragments_carry_what_is_to_be_copied() {
        let options = Options::new(&[7, 3, 4, 1, 148, 4, 0, 0, 131, 3, 4]).unwrap();
        assert_eq!(options.copied().as_slice(), [148, 4, 0, 0, 131, 3, 4, 0]);
        assert!(options.has_source_route() && options.has_router_alert());
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = [0; 60];
        let long = Header { payload_len: 65_516, ..header(&[]) };
        assert_eq!(long.write(&mut out).unwrap_err().reason(), Some(Reason::TotalLength));
        assert_eq!(header(&[]).write(&mut out[..19]), Err(Error::length(Layer::Ipv4, 20, 19)));
    }
}
