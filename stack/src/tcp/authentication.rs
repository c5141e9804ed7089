//! Segments that carry a proof of who sent them: MD5 signatures (RFC 2385) and the authentication option (TCP-AO,
//! RFC 5925), per peer.
//!
//! [`Keys`] are what an application has agreed with its peers; they are part of the [`Settings`](super::Settings). An
//! [`Authenticator`] is what one connection makes of them: it signs what leaves and verifies what arrives, byte by byte as
//! it stands on the wire. The rest of TCP only leaves room for the option.

use std::net::IpAddr;
use std::sync::Arc;

mod ao;
mod keys;
mod md5;

use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Header, Signature};

pub use ao::{AoAlgorithm, AoKey, AoKeyIds};
pub use keys::{KeyError, Keys};

/// Where a segment goes, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The sender.
    pub src: IpAddr,
    /// The receiver.
    pub dst: IpAddr,
}

/// A segment as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) direction: Direction,
    /// The TCP header with its options.
    pub(crate) header: &'a [u8],
    pub(crate) payload: [&'a [u8]; 2],
}

/// Why a segment is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `TCPMD5NotFound`: it is not signed and should be.
    Md5NotFound,
    /// `TCPMD5Unexpected`: it is signed, and there is no key.
    Md5Unexpected,
    /// `TCPMD5Failure`: the signature is wrong.
    Md5Failure,
    /// `TCPAORequired`: it has no authentication option and should have.
    AoRequired,
    /// `TCPAOKeyNotFound`: there is no key of that number.
    AoKeyNotFound,
    /// `TCPAOBad`: the MAC is wrong.
    AoBad,
}

impl Refusal {
    /// Why a segment with this option is not believed where there is no key.
    pub const fn unexpected(option: Signature) -> Self {
        match option {
            Signature::Ao { .. } => Self::AoKeyNotFound,
            Signature::Md5 | Signature::Conflict => Self::Md5Unexpected,
        }
    }
}

/// The initial sequence numbers of a connection, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Isns {
    /// Ours.
    pub local: Option<SeqNum>,
    /// The peer's.
    pub remote: Option<SeqNum>,
}

/// What signs and verifies the segments of one connection.
#[derive(Clone, Debug)]
pub struct Authenticator {
    keys: Arc<Keys>,
    peer: IpAddr,
    scheme: Scheme,
}

#[derive(Clone, Debug)]
enum Scheme {
    Md5,
    Ao(ao::State),
}

impl Authenticator {
    /// What `keys` say about segments from and to `peer`; `None` if nothing. TCP-AO wins over MD5 (RFC 5925 section 1).
    pub fn new(keys: &Arc<Keys>, peer: IpAddr, isns: Isns) -> Option<Self> {
        let scheme = match () {
            () if keys.has_ao(peer) => Scheme::Ao(ao::State::new(isns)),
            () if keys.md5(peer).is_some() => Scheme::Md5,
            () => return None,
        };
        Some(Self { keys: keys.clone(), peer, scheme })
    }

    /// A connection begins with these numbers.
    pub fn begin(&mut self, isns: Isns) {
        if let Scheme::Ao(state) = &mut self.scheme {
            state.begin(isns);
        }
    }

    /// The option of the next segment, without its digest.
    pub fn option(&self) -> Signature {
        match &self.scheme {
            Scheme::Md5 => Signature::Md5,
            Scheme::Ao(state) => state.option(&self.keys, self.peer),
        }
    }

    /// The keys in use with TCP-AO.
    pub fn ao_key_ids(&self) -> Option<AoKeyIds> {
        match &self.scheme {
            Scheme::Md5 => None,
            Scheme::Ao(state) => Some(state.ids(&self.keys, self.peer)),
        }
    }

    /// Other keys, of which those in use stay in use if they are among them. Answers whether there is one of the same
    /// kind for the peer; otherwise nothing changes.
    pub fn set_keys(&mut self, keys: &Arc<Keys>) -> bool {
        let found = match &mut self.scheme {
            Scheme::Md5 => keys.md5(self.peer).is_some(),
            Scheme::Ao(state) => keys.has_ao(self.peer) && state.handle_new_keys(&self.keys, keys, self.peer),
        };
        if found {
            self.keys = keys.clone();
        }
        found
    }

    /// Asks the peer to send with the key that we receive as `recv_id` from now on (RFC 5925 section 7.5); false if
    /// there is none.
    pub fn ask_for_key(&mut self, recv_id: u8) -> bool {
        match &mut self.scheme {
            Scheme::Md5 => false,
            Scheme::Ao(state) => state.ask_for(&self.keys, self.peer, recv_id),
        }
    }

    /// The digest of a segment that leaves, whose header `value` is written in `header` with a checksum and a digest of
    /// zeros. False if there is no such key, or the connection is not known well enough.
    pub fn sign(
        &mut self,
        value: &Header,
        header: &mut [u8],
        payload: [&[u8]; 2],
        direction: Direction,
    ) -> bool {
        let Some(range) = crate::wire::tcp::digest_range(header) else { return false };
        let wire = Wire { direction, header, payload };
        match &mut self.scheme {
            Scheme::Md5 => {
                let Some(key) = self.keys.md5(self.peer) else { return false };
                let digest = md5::digest(&wire, key);
                header[range].copy_from_slice(&digest);
            }
            Scheme::Ao(state) => {
                let Some(mac) = state.sign(&self.keys, self.peer, value, &wire) else { return false };
                header[range].copy_from_slice(&mac);
            }
        }
        true
    }

    /// Whether a segment that arrived, `value` being its header, is the peer's. `bytes` are the whole segment.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&mut self, value: &Header, bytes: &[u8], direction: Direction) -> Result<(), Refusal> {
        let (header, payload) = bytes.split_at(header_len(bytes));
        let wire = Wire { direction, header, payload: [payload, &[]] };
        match &mut self.scheme {
            Scheme::Md5 => {
                let key = self.keys.md5(self.peer).ok_or(Refusal::Md5Unexpected)?;
                md5::verify(value.options.signature, &wire, key)
            }
            Scheme::Ao(state) => state.verify(&self.keys, self.peer, value, &wire),
        }
    }

    /// Answers with the keys that the peer has asked for with this option, if they are there (RFC 5925 section 7.5).
    pub fn answer(&mut self, option: Option<Signature>) {
        if let (Scheme::Ao(state), Some(Signature::Ao { next_key_id, .. })) = (&mut self.scheme, option) {
            state.follow(&self.keys, self.peer, next_key_id);
        }
    }

    /// Whether it is TCP-AO.
    pub const fn is_ao(&self) -> bool {
        matches!(self.scheme, Scheme::Ao(_))
    }
}

/// The length that a header says it has, as far as it is there.
fn header_len(bytes: &[u8]) -> usize {
    bytes.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4).min(bytes.len())
}

/// Whether two digests are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
