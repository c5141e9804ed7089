//! What an application has agreed with its peers.

use core::fmt;
use std::net::IpAddr;

use super::ao::AoKey;

/// Keys per peer, or per network of peers; the longest prefix counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    md5: Vec<(Peers, Box<[u8]>)>,
    ao: Vec<(Peers, AoKey)>,
}

/// A key that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key has 1 to 80 bytes.
    #[error("a key has 1 to 80 bytes, not {0}")]
    Length(usize),
    /// The prefix is longer than an address.
    #[error("a prefix of {0} bits is longer than the address")]
    Prefix(u8),
    /// A key of these peers has one of the numbers already.
    #[error("there is a key with send id {send} or receive id {recv} already")]
    Taken {
        /// Its number in what we send.
        send: u8,
        /// Its number in what we receive.
        recv: u8,
    },
    /// There are as many as there may be.
    #[error("no more than {0} keys of a kind")]
    TooMany(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peers {
    address: IpAddr,
    prefix: u8,
}

/// Keys of a kind that one value holds: each segment of a peer looks through them.
const MOST: usize = 256;
/// Bytes of the longest key; Linux has the same.
const LONGEST: usize = 80;

impl Keys {
    /// None.
    pub const fn new() -> Self {
        Self { md5: Vec::new(), ao: Vec::new() }
    }

    /// Signs with MD5 what goes to peers whose first `prefix` bits are those of `peers`, and believes only what they
    /// have signed (`TCP_MD5SIG`, RFC 2385). A key that was there for the same peers is replaced.
    ///
    /// # Errors
    /// The key is empty or too long, or there are too many.
    pub fn add_md5(&mut self, peers: IpAddr, prefix: u8, key: &[u8]) -> Result<(), KeyError> {
        let peers = Peers::new(peers, prefix)?;
        check_length(key)?;
        self.remove(peers);
        if self.md5.len() >= MOST {
            return Err(KeyError::TooMany(MOST));
        }
        self.md5.push((peers, key.into()));
        Ok(())
    }

    /// Signs no longer what goes to these peers.
    pub fn remove_md5(&mut self, peers: IpAddr, prefix: u8) {
        if let Ok(peers) = Peers::new(peers, prefix) {
            self.remove(peers);
        }
    }

    /// Protects with TCP-AO what goes to and comes from peers whose first `prefix` bits are those of `peers`
    /// (`TCP_AO_ADD_KEY`, RFC 5925). The first key that is added is the one that is begun with.
    ///
    /// # Errors
    /// The key is empty or too long, a number of it is taken, or there are too many.
    pub fn add_ao(&mut self, peers: IpAddr, prefix: u8, key: AoKey) -> Result<(), KeyError> {
        let peers = Peers::new(peers, prefix)?;
        check_length(&key.secret)?;
        let (send, recv) = (key.send_id, key.recv_id);
        // RFC 5925 section 3.1: the numbers of the keys of one connection differ.
        let taken = |other: &(Peers, AoKey)| {
            other.0.overlaps(&peers) && (other.1.send_id == send || other.1.recv_id == recv)
        };
        if self.ao.iter().any(taken) {
            return Err(KeyError::Taken { send, recv });
        }
        if self.ao.len() >= MOST {
            return Err(KeyError::TooMany(MOST));
        }
        self.ao.push((peers, key));
        Ok(())
    }

    /// Forgets a key of TCP-AO.
    pub fn remove_ao(&mut self, peers: IpAddr, prefix: u8, send_id: u8, recv_id: u8) {
        if let Ok(peers) = Peers::new(peers, prefix) {
            let is_it = |key: &AoKey| key.send_id == send_id && key.recv_id == recv_id;
            self.ao.retain(|(of, key)| *of != peers || !is_it(key));
        }
    }

    /// The MD5 key of a peer.
    pub(super) fn md5(&self, peer: IpAddr) -> Option<&[u8]> {
        let fitting = self.md5.iter().filter(|(peers, _)| peers.contains(peer));
        fitting.max_by_key(|(peers, _)| peers.prefix).map(|(_, key)| &**key)
    }

    /// Whether TCP-AO protects what comes from a peer.
    pub(super) fn has_ao(&self, peer: IpAddr) -> bool {
        self.ao(peer).next().is_some()
    }

    /// The keys of TCP-AO of a peer, in the order in which they were added.
    pub(super) fn ao(&self, peer: IpAddr) -> impl Iterator<Item = &AoKey> {
        self.ao.iter().filter(move |(peers, _)| peers.contains(peer)).map(|(_, key)| key)
    }

    fn remove(&mut self, peers: Peers) {
        self.md5.retain(|(of, _)| *of != peers);
    }
}

impl fmt::Debug for Keys {
    /// Says nothing of the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("md5", &self.md5.len()).field("ao", &self.ao.len()).finish()
    }
}

impl Peers {
    fn new(address: IpAddr, prefix: u8) -> Result<Self, KeyError> {
        let address = address.to_canonical();
        if prefix > bits(address) {
            return Err(KeyError::Prefix(prefix));
        }
        Ok(Self { address: masked(address, prefix), prefix })
    }

    fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_ipv4() == self.address.is_ipv4() && masked(peer, self.prefix) == self.address
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first bits of an address, the rest zeros.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let host = u32::from(bits(address) - prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(host).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

const fn check_length(key: &[u8]) -> Result<(), KeyError> {
    if key.is_empty() || key.len() > LONGEST { Err(KeyError::Length(key.len())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_longest_prefix_counts() {
        let mut keys = Keys::new();
        keys.add_md5(ip("10.0.0.0"), 8, b"net").unwrap();
        keys.add_md5(ip("10.1.2.3"), 32, b"host").unwrap();
        keys.add_md5(ip("fd00::"), 16, b"six").unwrap();
        let found = |address| keys.md5(ip(address));
        assert_eq!(found("10.1.2.3"), Some(&b"host"[..]));
        assert_eq!(found("10.1.2.4"), Some(&b"net"[..]));
        assert_eq!(found("::ffff:10.1.2.4"), Some(&b"net"[..]));
        assert_eq!(found("fd00::7"), Some(&b"six"[..]));
        assert_eq!((found("11.0.0.1"), found("::1")), (None, None));
        keys.add_md5(ip("10.9.9.9"), 8, b"other").unwrap();
        assert_eq!(keys.md5(ip("10.1.2.4")), Some(&b"other"[..]), "it is the same net");
        keys.remove_md5(ip("10.0.0.0"), 8);
        assert_eq!(keys.md5(ip("10.1.2.4")), None);
        keys.add_md5(ip("0.0.0.0"), 0, b"all").unwrap();
        assert_eq!(keys.md5(ip("192.0.2.1")), Some(&b"all"[..]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut keys = Keys::new();
        assert_eq!(keys.add_md5(ip("10.0.0.0"), 33, b"key"), Err(KeyError::Prefix(33)));
        assert_eq!(keys.add_md5(ip("10.0.0.0"), 8, b""), Err(KeyError::Length(0)));
        assert_eq!(keys.add_md5(ip("10.0.0.0"), 8, &[1; 81]), Err(KeyError::Length(81)));
        assert_eq!(format!("{keys:?}"), "Keys { md5: 0, ao: 0 }");
    }
}
