//! What bytes mean: headers as values, read and written without I/O and without a panic.
//!
//! Each protocol is a file with a `Header` or `Message` value. `parse` takes received bytes and answers the
//! value and what follows it, or an [`Error`] that names the place; `LEN`, `header_len` or `wire_len` is the
//! length it has when written; `write` fills a byte slice. Nothing here allocates.

pub mod acc_ecn;
pub mod arp;
pub mod checksum;
pub mod ecn;
mod error;
pub mod ethernet;
pub mod ext;
pub mod group;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod list;
pub mod mld;
pub mod ndp;
pub mod quote;
pub mod seq;
pub mod tcp;
pub mod udp;

pub use error::{Error, Layer, Reason};

/// Writes one field of a header anew.
pub(crate) fn put_u16(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
