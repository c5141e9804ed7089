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

    /// Reads a header; answers it and the payload. The checksum is verified if `checksum` is [`Checksum::Full`]: over
    /// IPv4 a zero stands for none (RFC 768), over IPv6 it is an error (RFC 8200 section 8.1).
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

    /// Writes the header for a payload in two parts, with its checksum, at the start of `out`; answers its length.
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
        // RFC 768: a computed checksum of zero is sent as all ones.
        let checksum = match sum.checksum() {
            0 => 0xffff,
            checksum => checksum,
        };
        header[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_be_bytes());
        Ok(Self::LEN)
    }

    /// As [`Header::write`], but the field holds only the sum of the pseudo header, for a device that completes it.
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
