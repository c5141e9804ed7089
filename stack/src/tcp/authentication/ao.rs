//! The TCP authentication option (RFC 5925) with its two algorithms (RFC 5926).
//!
//! ```text
//!   master key --KDF(addresses, ports, both ISNs)--> traffic key, one for each direction
//!   MAC = MAC_alg(traffic key, SNE | pseudo header | header | data), its first 96 bits
//! ```

use core::fmt;
use std::net::IpAddr;

use aes::Aes128;
use arrayvec::ArrayVec;
use cmac::Cmac;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::keys::Keys;
use super::{Isns, Refusal, Wire, same};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{CHECKSUM_OFFSET, Flags, Header, MIN_HEADER_LEN, Signature, digest_range};

/// Bytes of a MAC (RFC 5926 section 3.2).
const MAC_LEN: usize = 12;
/// Bytes of the longest traffic key.
const MAX_TRAFFIC_KEY: usize = 20;

/// A master key tuple (RFC 5925 section 3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct AoKey {
    /// Its number in what we send (SendID).
    pub send_id: u8,
    /// Its number in what we receive (RecvID).
    pub recv_id: u8,
    /// How traffic keys and MACs are made.
    pub algorithm: AoAlgorithm,
    /// Whether the MAC covers the other options. Without it, middleboxes may change them.
    pub include_options: bool,
    /// The master key, 1 to 80 bytes.
    pub secret: Box<[u8]>,
}

/// The algorithms of RFC 5926 section 2.2: how traffic keys are derived and MACs made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AoAlgorithm {
    /// KDF_HMAC_SHA1 and HMAC-SHA-1-96.
    #[default]
    HmacSha1,
    /// KDF_AES_128_CMAC and AES-128-CMAC-96.
    Aes128Cmac,
}

/// The keys in use on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AoKeyIds {
    /// What we send with (KeyID).
    pub current: u8,
    /// What we ask the peer to send with (RNextKeyID).
    pub next: u8,
}

impl AoKey {
    /// A key of HMAC-SHA-1-96 whose MAC covers all options.
    pub fn new(send_id: u8, recv_id: u8, secret: &[u8]) -> Self {
        Self {
            send_id,
            recv_id,
            algorithm: AoAlgorithm::HmacSha1,
            include_options: true,
            secret: secret.into(),
        }
    }
}

impl fmt::Debug for AoKey {
    /// Says nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { send_id, recv_id, algorithm, include_options, secret: _ } = self;
        f.debug_struct("AoKey")
            .field("send_id", send_id)
            .field("recv_id", recv_id)
            .field("algorithm", algorithm)
            .field("include_options", include_options)
            .finish_non_exhaustive()
    }
}

/// TCP-AO of one connection.
#[derive(Clone, Debug)]
pub(super) struct State {
    isns: Isns,
    /// SendID of the key that we send with; the first key's before anybody has asked for another.
    current: Option<u8>,
    /// RecvID of the key that we ask for.
    next: Option<u8>,
    sent: Extension,
    received: Extension,
    /// The traffic keys that were used last.
    sending: Option<Cached>,
    receiving: Option<Cached>,
}

/// A traffic key of the whole connection, with the number of its master key.
#[derive(Clone, Debug)]
struct Cached {
    id: u8,
    key: TrafficKey,
}

type TrafficKey = ArrayVec<u8, MAX_TRAFFIC_KEY>;

/// The sequence number extension (RFC 5925 section 6.2): how often the numbers have begun anew.
#[derive(Clone, Copy, Debug, Default)]
struct Extension {
    sne: u32,
    highest: Option<SeqNum>,
}

impl Extension {
    /// The extension of a segment that begins at `seq`.
    fn of(&self, seq: SeqNum) -> u32 {
        let Some(highest) = self.highest else { return 0 };
        if seq.after(highest) {
            self.sne.wrapping_add(u32::from(seq.get() < highest.get()))
        } else {
            self.sne.wrapping_sub(u32::from(seq.get() > highest.get()))
        }
    }

    /// A segment that begins at `seq` is good.
    fn advance(&mut self, seq: SeqNum) {
        if self.highest.is_none_or(|highest| seq.after(highest)) {
            self.sne = self.of(seq);
            self.highest = Some(seq);
        }
    }
}

impl State {
    pub(super) fn new(isns: Isns) -> Self {
        Self {
            isns,
            current: None,
            next: None,
            sent: Extension { sne: 0, highest: isns.local },
            received: Extension { sne: 0, highest: isns.remote },
            sending: None,
            receiving: None,
        }
    }

    pub(super) fn begin(&mut self, isns: Isns) {
        let Self { current, next, .. } = *self;
        *self = Self { current, next, ..Self::new(isns) };
    }

    pub(super) fn ids(&self, keys: &Keys, peer: IpAddr) -> AoKeyIds {
        let first = keys.ao(peer).next();
        let current = self.current.or(first.map(|key| key.send_id)).unwrap_or_default();
        let usual = || keys.ao(peer).find(|key| key.send_id == current).map(|key| key.recv_id);
        AoKeyIds { current, next: self.next.or_else(usual).unwrap_or_default() }
    }

    pub(super) fn option(&self, keys: &Keys, peer: IpAddr) -> Signature {
        let AoKeyIds { current, next } = self.ids(keys, peer);
        Signature::Ao { key_id: current, next_key_id: next, mac_len: MAC_LEN as u8 }
    }

    pub(super) fn ask_for(&mut self, keys: &Keys, peer: IpAddr, recv_id: u8) -> bool {
        let found = keys.ao(peer).any(|key| key.recv_id == recv_id);
        if found {
            // What we send with stays until the peer asks for another.
            self.current = Some(self.ids(keys, peer).current);
            self.next = Some(recv_id);
        }
        found
    }

    /// Keys of the same numbers as those in use stay in use; false if one is missing.
    pub(super) fn handle_new_keys(&mut self, old: &Keys, new: &Keys, peer: IpAddr) -> bool {
        let AoKeyIds { current, next } = self.ids(old, peer);
        let found =
            new.ao(peer).any(|key| key.send_id == current) && new.ao(peer).any(|key| key.recv_id == next);
        if found {
            (self.current, self.next) = (Some(current), Some(next));
            (self.sending, self.receiving) = (None, None);
        }
        found
    }

    /// The MAC of a segment of ours.
    pub(super) fn sign(
        &mut self,
        keys: &Keys,
        peer: IpAddr,
        value: &Header,
        wire: &Wire<'_>,
    ) -> Option<[u8; MAC_LEN]> {
        let Some(Signature::Ao { key_id, .. }) = value.options.signature else { return None };
        let key = keys.ao(peer).find(|key| key.send_id == key_id)?;
        if value.flags.contains(Flags::SYN) {
            self.isns.local = Some(value.seq);
            self.sent = Extension { sne: 0, highest: Some(value.seq) };
        }
        let first = is_first(value);
        let isns = if first { (value.seq, SeqNum::new(0)) } else { (self.isns.local?, self.isns.remote?) };
        let traffic_key = match &self.sending {
            Some(cached) if cached.id == key_id && !first => cached.key.clone(),
            _ => {
                let made = traffic_key(key, wire, isns);
                if !first {
                    self.sending = Some(Cached { id: key_id, key: made.clone() });
                }
                made
            }
        };
        let sne = self.sent.of(value.seq);
        self.sent.advance(value.seq);
        Some(mac(key, &traffic_key, sne, wire))
    }

    /// RFC 5925 section 7.5: a segment that arrived.
    pub(super) fn verify(
        &mut self,
        keys: &Keys,
        peer: IpAddr,
        value: &Header,
        wire: &Wire<'_>,
    ) -> Result<(), Refusal> {
        let (key_id, next_key_id) = match value.options.signature {
            Some(Signature::Ao { key_id, next_key_id, mac_len }) if usize::from(mac_len) == MAC_LEN => {
                (key_id, next_key_id)
            }
            Some(Signature::Ao { .. } | Signature::Conflict) => return Err(Refusal::AoBad),
            None | Some(Signature::Md5) => return Err(Refusal::AoRequired),
        };
        let key = keys.ao(peer).find(|key| key.recv_id == key_id).ok_or(Refusal::AoKeyNotFound)?;
        let first = is_first(value);
        let syn = value.flags.contains(Flags::SYN);
        let isns = match () {
            () if first => Some((value.seq, SeqNum::new(0))),
            () if syn => self.isns.local.map(|local| (value.seq, local)),
            () => self.isns.remote.zip(self.isns.local),
        };
        let isns = isns.ok_or(Refusal::AoBad)?;
        let traffic_key = match &self.receiving {
            Some(cached) if cached.id == key_id && !syn => cached.key.clone(),
            _ => traffic_key(key, wire, isns),
        };
        let sne = if syn { 0 } else { self.received.of(value.seq) };
        let found = digest_range(wire.header).and_then(|range| wire.header.get(range));
        if !found.is_some_and(|found| same(found, &mac(key, &traffic_key, sne, wire))) {
            return Err(Refusal::AoBad);
        }
        if !syn {
            self.receiving = Some(Cached { id: key_id, key: traffic_key });
            self.received.advance(value.seq);
        } else if self.isns.remote.is_none() {
            self.isns.remote = Some(value.seq);
            self.received = Extension { sne: 0, highest: Some(value.seq) };
        }
        self.follow(keys, peer, next_key_id);
        Ok(())
    }

    /// RFC 5925 section 7.5.2: the peer is ready for another key of ours.
    pub(super) fn follow(&mut self, keys: &Keys, peer: IpAddr, next_key_id: u8) {
        let ids = self.ids(keys, peer);
        if ids.current != next_key_id && keys.ao(peer).any(|key| key.send_id == next_key_id) {
            (self.current, self.next) = (Some(next_key_id), Some(ids.next));
        }
    }
}

/// A SYN without ACK: its keys know nothing of the other side's number (RFC 5925 section 5.2).
const fn is_first(value: &Header) -> bool {
    value.flags.contains(Flags::SYN) && !value.flags.contains(Flags::ACK)
}

/// RFC 5926 section 3.1: the traffic key for segments of the direction of `wire`, whose sender's and receiver's initial
/// sequence numbers are `isns`.
fn traffic_key(key: &AoKey, wire: &Wire<'_>, isns: (SeqNum, SeqNum)) -> TrafficKey {
    // The counter, the label, both addresses, ports and numbers, and the length in bits.
    let mut input: ArrayVec<u8, 64> = ArrayVec::new();
    let mut put = |bytes: &[u8]| {
        let _ = input.try_extend_from_slice(bytes);
    };
    put(&[1]);
    put(b"TCP-AO");
    for address in [wire.direction.src, wire.direction.dst] {
        match address {
            IpAddr::V4(address) => put(&address.octets()),
            IpAddr::V6(address) => put(&address.octets()),
        }
    }
    put(wire.header.get(..4).unwrap_or(&[]));
    put(&isns.0.get().to_be_bytes());
    put(&isns.1.get().to_be_bytes());
    let mut out = TrafficKey::new();
    match key.algorithm {
        AoAlgorithm::HmacSha1 => {
            put(&160u16.to_be_bytes());
            let _ = out.try_extend_from_slice(&hmac_sha1(&key.secret, &[&input]));
        }
        AoAlgorithm::Aes128Cmac => {
            put(&128u16.to_be_bytes());
            // RFC 5926 section 3.1.1.2: a master key of another length than the cipher's goes through it first.
            let whole: Result<[u8; 16], _> = key.secret[..].try_into();
            let secret = whole.unwrap_or_else(|_| aes_cmac(&[0; 16], &[&key.secret]));
            let _ = out.try_extend_from_slice(&aes_cmac(&secret, &[&input]));
        }
    }
    out
}

/// RFC 5925 section 5.1 and RFC 5926 section 3.2: the MAC of a segment, in which checksum and MAC count as zeros.
fn mac(key: &AoKey, traffic_key: &[u8], sne: u32, wire: &Wire<'_>) -> [u8; MAC_LEN] {
    let len = wire.header.len() + wire.payload[0].len() + wire.payload[1].len();
    let mut front: ArrayVec<u8, 44> = ArrayVec::new();
    let mut put = |bytes: &[u8]| {
        let _ = front.try_extend_from_slice(bytes);
    };
    put(&sne.to_be_bytes());
    match (wire.direction.src, wire.direction.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            put(&src.octets());
            put(&dst.octets());
            put(&[0, 6]);
            put(&(len as u16).to_be_bytes());
        }
        (src, dst) => {
            for address in [src, dst] {
                match address {
                    IpAddr::V4(address) => put(&address.to_ipv6_mapped().octets()),
                    IpAddr::V6(address) => put(&address.octets()),
                }
            }
            put(&(len as u32).to_be_bytes());
            put(&[0, 0, 0, 6]);
        }
    }
    let mut header: ArrayVec<u8, { crate::wire::tcp::MAX_HEADER_LEN }> = ArrayVec::new();
    let _ = header.try_extend_from_slice(wire.header);
    if let Some(checksum) = header.get_mut(CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2) {
        checksum.fill(0);
    }
    if let Some(range) = digest_range(wire.header) {
        let option = range.start - 4..range.end;
        if let Some(found) = header.get_mut(range) {
            found.fill(0);
        }
        if !key.include_options {
            // RFC 5925 section 5.1: this option alone is covered, in its place the first.
            header.copy_within(option.clone(), MIN_HEADER_LEN);
            header.truncate(MIN_HEADER_LEN + option.len());
        }
    }
    let message = [&front[..], &header, wire.payload[0], wire.payload[1]];
    let mut out = [0; MAC_LEN];
    match key.algorithm {
        AoAlgorithm::HmacSha1 => out.copy_from_slice(&hmac_sha1(traffic_key, &message)[..MAC_LEN]),
        AoAlgorithm::Aes128Cmac => {
            let key: [u8; 16] = traffic_key.try_into().unwrap_or_default();
            out.copy_from_slice(&aes_cmac(&key, &message)[..MAC_LEN]);
        }
    }
    out
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return [0; 20] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn aes_cmac(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Cmac::<Aes128>::new(key.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
