//! The header that the kernel puts before a frame when it offloads (`struct virtio_net_hdr`, 10 bytes, host order).

use super::ETHERNET_HEADER;
use crate::buf::frame::{Checksum, Gso, GsoKind, Medium, Offload};

/// Bytes of the header.
pub(super) const LEN: usize = 10;

/// The checksum field holds only the pseudo header's sum.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// A bit beside the kind: the segments carry ECN's CWR.
const GSO_ECN: u8 = 0x80;

/// The header as the kernel defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Header {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl Header {
    /// Reads the header.
    pub(super) fn parse(bytes: &[u8; LEN]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = *bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            csum_start: u16::from_ne_bytes([s0, s1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    /// Writes the header.
    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let [h0, h1] = self.hdr_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    /// What has to be said to the kernel about a frame that is sent.
    pub(super) fn of(offload: &Offload) -> Self {
        let mut header = Self::default();
        match offload.checksum {
            Checksum::Full | Checksum::Verified => {}
            Checksum::Partial { start, offset } => {
                header.flags = NEEDS_CSUM;
                header.csum_start = start;
                header.csum_offset = offset;
            }
        }
        if let Some(gso) = offload.gso {
            header.gso_type = match gso.kind {
                GsoKind::Tcp4 => GSO_TCPV4,
                GsoKind::Tcp6 => GSO_TCPV6,
                GsoKind::Udp => GSO_UDP_L4,
            };
            header.gso_size = gso.size;
            header.hdr_len = gso.header;
        }
        header
    }

    /// What the kernel says about the received frame `frame`.
    ///
    /// An open checksum is told as such; it vouches for the data as well as a verified one, for the frame was made on
    /// this machine and has seen no wire. A merged frame whose headers cannot be found is left to the checks of whoever
    /// reads it: no merging is claimed.
    pub(super) fn offload(self, frame: &[u8], medium: Medium) -> Offload {
        let field_end = usize::from(self.csum_start) + usize::from(self.csum_offset) + 2;
        let checksum = match (self.flags & NEEDS_CSUM, self.flags & DATA_VALID) {
            (0, 0) => Checksum::Full,
            (NEEDS_CSUM, _) if field_end <= frame.len() => {
                Checksum::Partial { start: self.csum_start, offset: self.csum_offset }
            }
            _ => Checksum::Verified,
        };
        Offload { checksum, gso: self.gso(frame, medium) }
    }

    fn gso(self, frame: &[u8], medium: Medium) -> Option<Gso> {
        let kind = match self.gso_type & !GSO_ECN {
            GSO_NONE => return None,
            GSO_TCPV4 => GsoKind::Tcp4,
            GSO_TCPV6 => GsoKind::Tcp6,
            GSO_UDP_L4 => GsoKind::Udp,
            _ => return None,
        };
        // Note: the kernel's hdr_len is only a hint (on receipt it is the length of the linear part), so we look
        // ourselves.
        let start = match self.flags & NEEDS_CSUM {
            0 => transport_start(frame, medium)?,
            _ => usize::from(self.csum_start),
        };
        let header = start + transport_len(frame, start, kind)?;
        if self.gso_size == 0 || header > frame.len() {
            return None;
        }
        Some(Gso { kind, size: self.gso_size, header: u16::try_from(header).ok()? })
    }
}

/// What kind of segments the merged frame `frame` holds, judged by its headers alone; `mtu` bounds each segment's IP
/// packet.
///
/// For devices that hand over merged frames without telling how they were merged.
pub(super) fn guess_gso(frame: &[u8], medium: Medium, mtu: usize) -> Option<Gso> {
    let link = link_len(medium);
    let start = transport_start(frame, medium)?;
    let (version, protocol) = (frame.get(link)? >> 4, ip_protocol(frame, link)?);
    let kind = match (version, protocol) {
        (4, TCP) => GsoKind::Tcp4,
        (6, TCP) => GsoKind::Tcp6,
        _ => return None,
    };
    let header = start + transport_len(frame, start, kind)?;
    let size = (mtu + link).checked_sub(header).filter(|&size| size > 0)?;
    Some(Gso { kind, size: u16::try_from(size).ok()?, header: u16::try_from(header).ok()? })
}

const TCP: u8 = 6;
const IPV4_PROTOCOL: usize = 9;
const IPV6_NEXT_HEADER: usize = 6;
const IPV6_HEADER: usize = 40;
const TCP_DATA_OFFSET: usize = 12;
const UDP_HEADER: usize = 8;

const fn link_len(medium: Medium) -> usize {
    match medium {
        Medium::Ethernet => ETHERNET_HEADER,
        Medium::Ip => 0,
    }
}

fn ip_protocol(frame: &[u8], link: usize) -> Option<u8> {
    match frame.get(link)? >> 4 {
        4 => frame.get(link + IPV4_PROTOCOL).copied(),
        6 => frame.get(link + IPV6_NEXT_HEADER).copied(),
        _ => None,
    }
}

/// Where the transport header begins. IPv6 extension headers do not occur in merged frames without a partial checksum.
fn transport_start(frame: &[u8], medium: Medium) -> Option<usize> {
    let link = link_len(medium);
    let first = *frame.get(link)?;
    let len = match first >> 4 {
        4 => usize::from(first & 0xf) * 4,
        6 => IPV6_HEADER,
        _ => return None,
    };
    Some(link + len)
}

fn transport_len(frame: &[u8], start: usize, kind: GsoKind) -> Option<usize> {
    match kind {
        GsoKind::Udp => Some(UDP_HEADER),
        GsoKind::Tcp4 | GsoKind::Tcp6 => Some(usize::from(frame.get(start + TCP_DATA_OFFSET)? >> 4) * 4),
    }
}

#[cfg(test)]
mod tests;
