//! The IPv6 header (RFC 8200 section 3).

use core::net::Ipv6Addr;

use etherparse::Ipv6HeaderSlice;
use etherparse::err::ipv6::HeaderSliceError;

use super::error::{Error, Layer, Reason, room};
use super::ip::Protocol;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Each link carries packets of this size without fragments (RFC 8200 section 5).
pub const MIN_MTU: usize = 1280;

/// Where fields begin, for those who read or change single ones.
pub(crate) mod field {
    pub(crate) const PAYLOAD_LEN: usize = 4;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const ADDRESSES: usize = 8;
}

/// An IPv6 header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// What follows: an extension header or the payload's protocol.
    pub next_header: Protocol,
    /// Hops that are left.
    pub hop_limit: u8,
    /// Differentiated services code point, 0..=63 (RFC 2474).
    pub dscp: u8,
    /// Explicit congestion notification, 0..=3 (RFC 3168).
    pub ecn: u8,
    /// Flow label, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Bytes after this header, extension headers included.
    pub payload_len: u16,
}

impl Header {
    /// Its length when written.
    pub const LEN: usize = HEADER_LEN;

    /// A header with the usual values.
    pub const fn new(
        src: Ipv6Addr,
        dst: Ipv6Addr,
        next_header: Protocol,
        hop_limit: u8,
        payload_len: u16,
    ) -> Self {
        Self { src, dst, next_header, hop_limit, dscp: 0, ecn: 0, flow_label: 0, payload_len }
    }

    /// Reads a header; answers it and the payload (extension headers included). What follows the payload's
    /// length is padding of the link and left out.
    ///
    /// # Errors
    /// Too short for header and payload, wrong version.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let header = Self::from_slice(&slice(bytes)?);
        let end = Self::LEN + usize::from(header.payload_len);
        let payload = bytes.get(Self::LEN..end).ok_or(Error::length(Layer::Ipv6, end, bytes.len()))?;
        Ok((header, payload))
    }

    /// Reads a header that an ICMP error quotes: its payload may be cut short.
    ///
    /// # Errors
    /// Too short for the header, wrong version.
    pub fn parse_quoted(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let header = Self::from_slice(&slice(bytes)?);
        let end = (Self::LEN + usize::from(header.payload_len)).min(bytes.len());
        Ok((header, &bytes[Self::LEN..end]))
    }

    /// Writes the header at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let out = room(out, Self::LEN, Layer::Ipv6)?;
        let first = 6 << 28
            | u32::from(self.dscp & 0x3f) << 22
            | u32::from(self.ecn & 3) << 20
            | self.flow_label & 0xf_ffff;
        out[..4].copy_from_slice(&first.to_be_bytes());
        out[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        out[6] = self.next_header.0;
        out[7] = self.hop_limit;
        out[8..24].copy_from_slice(&self.src.octets());
        out[24..40].copy_from_slice(&self.dst.octets());
        Ok(Self::LEN)
    }

    fn from_slice(slice: &Ipv6HeaderSlice<'_>) -> Self {
        Self {
            src: slice.source_addr(),
            dst: slice.destination_addr(),
            next_header: Protocol(slice.next_header().0),
            hop_limit: slice.hop_limit(),
            dscp: slice.dscp().value(),
            ecn: slice.ecn().value(),
            flow_label: slice.flow_label().value(),
            payload_len: slice.payload_length(),
        }
    }
}

fn slice(bytes: &[u8]) -> Result<Ipv6HeaderSlice<'_>, Error> {
    Ipv6HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(len) => Error::from_len(Layer::Ipv6, &len),
        HeaderSliceError::Content(_) => Error::malformed(Layer::Ipv6, 0, Reason::Version),
    })
}

/// The solicited-node group of an address (RFC 4291 section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// All nodes on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_s_length_decides() {
        let header = Header::new(Ipv6Addr::LOCALHOST, ALL_NODES, Protocol::UDP, 64, 3);
        let mut bytes = [7; HEADER_LEN + 5];
        header.write(&mut bytes).unwrap();
        assert_eq!(Header::parse(&bytes), Ok((header, &[7; 3][..])));
        assert_eq!(Header::parse(&bytes[..42]), Err(Error::length(Layer::Ipv6, 43, 42)));
        assert_eq!(Header::parse_quoted(&bytes[..42]), Ok((header, &[7; 2][..])));
        assert_eq!(Header::parse(&bytes[..39]), Err(Error::length(Layer::Ipv6, 40, 39)));
        bytes[0] = 0x40;
        assert_eq!(Header::parse(&bytes).unwrap_err().reason(), Some(Reason::Version));
    }

    #[test]
    fn an_address_has_its_solicited_node_group() {
        let address = "fd09::1:2a3b:4c5d".parse().unwrap();
        assert_eq!(solicited_node(address).to_string(), "ff02::1:ff3b:4c5d");
    }
}
