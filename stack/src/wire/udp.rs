//! The UDP header (RFC 768).

use core::net::IpAddr;

use etherparse::UdpHeaderSlice;

use super::checksum::Sum;
use super::error::{Error, Layer, Reason, room};
use super::ip::Protocol;
use crate::buf::frame::Checksum;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum field lies.
pub const CHECKSUM_OFFSET: usize = 6;
/// Where the length field lies.
const LEN_OFFSET: usize = 4;

/// A UDP header as a value. Length and checksum are not part of it: they follow from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Source port; 0 if the sender wants no answer.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
}

impl Header {
    /// Its length when written.
    pub const LEN: usize = HEADER_LEN;

    /// Reads a header; answers it and the payload. The checksum is verified if `checksum` is
    /// [`Checksum::Full`]: over IPv4 a zero stands for none (RFC 768), over IPv6 it is an error (RFC 8200
    /// section 8.1).
    ///
    /// # Errors
    /// Too short, a length below the header's or above the packet's, wrong checksum.
    pub fn parse(bytes: &[u8], src: IpAddr, dst: IpAddr, checksum: Checksum) -> Result<(Self, &[u8]), Error> {
        let slice = UdpHeaderSlice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Udp, &e))?;
        let len = usize::from(slice.length());
        if len < Self::LEN {
            return Err(Error::malformed(Layer::Udp, 4, Reason::TotalLength));
        }
        let datagram = bytes.get(..len).ok_or(Error::length(Layer::Udp, len, bytes.len()))?;
        if checksum == Checksum::Full {
            let wrong = |reason| Err(Error::malformed(Layer::Udp, CHECKSUM_OFFSET, reason));
            match slice.checksum() {
                0 if src.is_ipv4() => {}
                0 => return wrong(Reason::ZeroChecksum),
                _ if Sum::pseudo(src, dst, Protocol::UDP, len).with(datagram).is_valid() => {}
                _ => return wrong(Reason::Checksum),
            }
        }
        let header = Self { src_port: slice.source_port(), dst_port: slice.destination_port() };
        Ok((header, &datagram[Self::LEN..]))
    }

    /// Writes the header for a payload in two parts, with its checksum, at the start of `out`; answers its
    /// length.
    ///
    /// # Errors
    /// `out` is too short; the payload is longer than 65,527 bytes.
    pub fn write(
        &self,
        out: &mut [u8],
        src: IpAddr,
        dst: IpAddr,
        payload: [&[u8]; 2],
    ) -> Result<usize, Error> {
        let len = self.write_bare(out, payload[0].len() + payload[1].len())?;
        let header = &mut out[..Self::LEN];
        let sum = Sum::pseudo(src, dst, Protocol::UDP, len).with(header).with(payload[0]).with(payload[1]);
        header[CHECKSUM_OFFSET..].copy_from_slice(&written(sum).to_be_bytes());
        Ok(Self::LEN)
    }

    /// As [`Header::write`], but the field holds only the sum of the pseudo header, for a device that
    /// completes it.
    ///
    /// # Errors
    /// As [`Header::write`].
    pub fn write_partial(
        &self,
        out: &mut [u8],
        src: IpAddr,
        dst: IpAddr,
        payload_len: usize,
    ) -> Result<usize, Error> {
        let len = self.write_bare(out, payload_len)?;
        let sum = Sum::pseudo(src, dst, Protocol::UDP, len).partial();
        out[CHECKSUM_OFFSET..Self::LEN].copy_from_slice(&sum.to_be_bytes());
        Ok(Self::LEN)
    }

    /// As [`Header::write`], but without a checksum: for IPv4 alone.
    ///
    /// # Errors
    /// As [`Header::write`].
    pub fn write_unchecked(&self, out: &mut [u8], payload_len: usize) -> Result<usize, Error> {
        self.write_bare(out, payload_len)?;
        Ok(Self::LEN)
    }

    /// Writes all but the checksum, which is zero; answers the length of header and payload.
    fn write_bare(&self, out: &mut [u8], payload_len: usize) -> Result<usize, Error> {
        let len = Self::LEN + payload_len;
        let field = u16::try_from(len).map_err(|_| Error::malformed(Layer::Udp, 4, Reason::TotalLength))?;
        let out = room(out, Self::LEN, Layer::Udp)?;
        out[..2].copy_from_slice(&self.src_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        out[4..6].copy_from_slice(&field.to_be_bytes());
        out[6..].fill(0);
        Ok(len)
    }
}

/// A header that was written once, for datagrams that differ in their payload alone.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Over the pseudo header and the header, in which lengths and checksum are zero.
    sum: Sum,
}

impl Template {
    /// Makes a template of a header between these addresses.
    pub fn new(header: &mut [u8; HEADER_LEN], src: IpAddr, dst: IpAddr) -> Self {
        header[LEN_OFFSET..].fill(0);
        Self { sum: Sum::pseudo(src, dst, Protocol::UDP, 0).with(header) }
    }

    /// Makes the header, which it was made of, that of a datagram with this payload of at most 65,527 bytes.
    #[inline]
    pub fn complete(&self, header: &mut [u8; HEADER_LEN], payload: [&[u8]; 2]) {
        let len = (HEADER_LEN + payload[0].len() + payload[1].len()) as u16;
        let mut sum = self.sum;
        // Of the pseudo header and of the header.
        sum.add_u16(len);
        sum.add_u16(len);
        let sum = written(sum.with(payload[0]).with(payload[1]));
        header[LEN_OFFSET..CHECKSUM_OFFSET].copy_from_slice(&len.to_be_bytes());
        header[CHECKSUM_OFFSET..].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The checksum to write. RFC 768: a computed one of zero is sent as all ones.
pub(crate) fn written(sum: Sum) -> u16 {
    match sum.checksum() {
        0 => 0xffff,
        checksum => checksum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    const V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2))];
    const V6: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST); 2];
    const HEADER: Header = Header { src_port: 7, dst_port: 9 };

    fn parse(bytes: &[u8], [src, dst]: [IpAddr; 2]) -> Result<(Header, &[u8]), Error> {
        Header::parse(bytes, src, dst, Checksum::Full)
    }

    fn datagram([src, dst]: [IpAddr; 2], payload: &[u8]) -> Vec<u8> {
        let mut bytes = [&[0; 8], payload].concat();
        HEADER.write(&mut bytes, src, dst, [payload, &[]]).unwrap();
        bytes
    }

    #[test]
    fn a_zero_checksum_means_none_over_ipv4_alone() {
        let mut bytes = datagram(V4, b"ping");
        HEADER.write_unchecked(&mut bytes, 4).unwrap();
        assert_eq!(parse(&bytes, V4), Ok((HEADER, &b"ping"[..])));
        assert_eq!(parse(&bytes, V6).unwrap_err().reason(), Some(Reason::ZeroChecksum));
    }

    /// RFC 1122 section 4.1.3.4 (MUST-4, MUST-6).
    #[test]
    fn a_computed_zero_is_sent_as_ones() {
        // The payload is what makes the sum all ones: the checksum of the datagram without it.
        let without = datagram(V6, &[0, 0]);
        let payload = [without[6], without[7]];
        let bytes = datagram(V6, &payload);
        assert_eq!(bytes[6..8], [0xff, 0xff]);
        assert_eq!(parse(&bytes, V6), Ok((HEADER, &payload[..])));
    }

    #[test]
    fn the_length_field_decides() {
        let mut bytes = datagram(V4, b"ping");
        bytes.extend([0; 10]);
        assert_eq!(parse(&bytes, V4), Ok((HEADER, &b"ping"[..])));
        assert_eq!(parse(&bytes[..11], V4), Err(Error::length(Layer::Udp, 12, 11)));
        assert_eq!(parse(&bytes[..7], V4), Err(Error::length(Layer::Udp, 8, 7)));
        bytes[5] = 7;
        assert_eq!(parse(&bytes, V4).unwrap_err().reason(), Some(Reason::TotalLength));
    }

    #[test]
    fn a_wrong_checksum_matters_only_if_asked() {
        let mut bytes = datagram(V4, b"ping");
        bytes[8] ^= 1;
        assert!(parse(&bytes, V4).unwrap_err().is_checksum());
        assert!(Header::parse(&bytes, V4[0], V4[1], Checksum::Verified).is_ok());
        HEADER.write_partial(&mut bytes, V4[0], V4[1], 4).unwrap();
        let partial = Checksum::Partial { start: 34, offset: CHECKSUM_OFFSET as u16 };
        assert!(Header::parse(&bytes, V4[0], V4[1], partial).is_ok());
    }

    #[test]
    fn a_device_completes_a_partial_sum() {
        let mut bytes = datagram(V4, b"ping!");
        let full = bytes.clone();
        HEADER.write_partial(&mut bytes, V4[0], V4[1], 5).unwrap();
        let sum = super::super::checksum::checksum(&bytes);
        bytes[CHECKSUM_OFFSET..HEADER_LEN].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(bytes, full);
    }
}
