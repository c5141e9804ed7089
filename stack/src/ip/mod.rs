//! The Internet Protocol, both versions: what is taken in, where it goes, how large it may be, and what is said when
//! it cannot go on.

pub mod fragment;
pub mod pmtu;
pub mod rate_limit;
pub mod reassembly;
pub mod route;

/// The Internet checksum of an IPv4 header (RFC 1071); zero over a header that holds the right one.
pub(crate) fn header_checksum(header: &[u8]) -> u16 {
    let sum: u32 =
        header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + sum) as u16
}
