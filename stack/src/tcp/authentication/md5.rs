//! The MD5 signature option (RFC 2385). It protects against those who cannot see the traffic; RFC 5925 makes it
//! obsolete.

use std::net::IpAddr;

use md5::{Digest, Md5};

use super::{Refusal, Wire, same};
use crate::wire::tcp::{CHECKSUM_OFFSET, MIN_HEADER_LEN, Signature, digest_range};

/// RFC 2385 section 2.0: over the pseudo header, the header without options and with a checksum of zero, the data, and
/// the key.
pub(super) fn digest(wire: &Wire<'_>, key: &[u8]) -> [u8; 16] {
    let len = wire.header.len() + wire.payload[0].len() + wire.payload[1].len();
    let mut hash = Md5::new();
    match (wire.direction.src, wire.direction.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            hash.update(src.octets());
            hash.update(dst.octets());
            hash.update([0, 6]);
            hash.update((len as u16).to_be_bytes());
        }
        (src, dst) => {
            for address in [src, dst] {
                match address {
                    IpAddr::V4(address) => hash.update(address.to_ipv6_mapped().octets()),
                    IpAddr::V6(address) => hash.update(address.octets()),
                }
            }
            // RFC 8200 section 8.1.
            hash.update((len as u32).to_be_bytes());
            hash.update([0, 0, 0, 6]);
        }
    }
    let mut fixed = [0; MIN_HEADER_LEN];
    let there = wire.header.len().min(MIN_HEADER_LEN);
    fixed[..there].copy_from_slice(&wire.header[..there]);
    fixed[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    hash.update(fixed);
    hash.update(wire.payload[0]);
    hash.update(wire.payload[1]);
    hash.update(key);
    hash.finalize().into()
}

pub(super) fn verify(option: Option<Signature>, wire: &Wire<'_>, key: &[u8]) -> Result<(), Refusal> {
    match option {
        Some(Signature::Md5) => {}
        Some(Signature::Conflict) => return Err(Refusal::Md5Failure),
        None | Some(Signature::Ao { .. }) => return Err(Refusal::Md5NotFound),
    }
    let found = digest_range(wire.header).and_then(|range| wire.header.get(range));
    let good = found.is_some_and(|found| same(found, &digest(wire, key)));
    if good { Ok(()) } else { Err(Refusal::Md5Failure) }
}
