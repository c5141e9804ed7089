//! Puts captured fragments together, so that what they carry can be read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ustack::wire::ip::{Packet, Protocol};

/// Datagrams of which only some fragments have been seen; beyond it, the oldest is given up.
const MOST: usize = 256;

/// Whose fragments these are.
type Key = (IpAddr, IpAddr, u8, u32);

/// Datagrams of which some fragments have been seen.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    pending: BTreeMap<Key, Pending>,
    count: u64,
}

#[derive(Debug, Default)]
struct Pending {
    age: u64,
    pieces: BTreeMap<usize, Vec<u8>>,
    end: Option<usize>,
    packets: Vec<Vec<u8>>,
}

/// The payload of a whole datagram, and the packets that carried it.
pub(super) struct Whole {
    pub(super) protocol: Protocol,
    pub(super) payload: Vec<u8>,
    pub(super) packets: Vec<Vec<u8>>,
}

impl Fragments {
    /// Takes a packet; answers the datagram that it is, or completes.
    pub(super) fn take(&mut self, packet: &Packet<'_>) -> Option<Whole> {
        let Some(fragment) = packet.fragment else {
            let (payload, packets) = (packet.payload.to_vec(), vec![packet.bytes.to_vec()]);
            return Some(Whole { protocol: packet.protocol, payload, packets });
        };
        let key = (packet.src, packet.dst, packet.protocol.0, fragment.id);
        if !self.pending.contains_key(&key) && self.pending.len() >= MOST {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.age).map(|(&key, _)| key)?;
            self.pending.remove(&oldest);
        }
        self.count += 1;
        let age = self.count;
        let pending = self.pending.entry(key).or_insert_with(|| Pending { age, ..Pending::default() });
        let offset = usize::from(fragment.offset);
        pending.pieces.insert(offset, packet.payload.to_vec());
        pending.packets.push(packet.bytes.to_vec());
        if !fragment.more {
            pending.end = Some(offset + packet.payload.len());
        }
        let payload = pending.whole()?;
        let pending = self.pending.remove(&key)?;
        Some(Whole { protocol: packet.protocol, payload, packets: pending.packets })
    }
}

impl Pending {
    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end?;
        let mut bytes = Vec::new();
        for (&offset, piece) in &self.pieces {
            if offset != bytes.len() {
                return None;
            }
            bytes.extend_from_slice(piece);
        }
        (bytes.len() == end).then_some(bytes)
    }
}
