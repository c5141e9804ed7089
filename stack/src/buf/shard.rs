//! Which of several shards a flow belongs to: one function for all who steer, so that nobody has to ask another.

use core::net::IpAddr;

/// One of the equal parts of a host: a stack of its own, with a queue of the device and a thread. All flows of one pair
/// of endpoints belong to one of them.
///
/// ```text
///                   queue 0 --- shard 0: neighbours, echo, fragments, raw sockets, its flows
///   the interface <
///                   queue 1 --- shard 1: its flows
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u8,
    count: u8,
}

impl Shard {
    /// The most shards of one host.
    pub const MOST: usize = 64;
    /// All of a host that has no other shards.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// The shards of a host that has so many: at least one, at most [`Self::MOST`].
    pub fn all(count: usize) -> impl ExactSizeIterator<Item = Self> {
        let count = count.clamp(1, Self::MOST) as u8;
        (0..count).map(move |index| Self { index, count })
    }

    /// Its place among the shards, from 0.
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// How many shards the host has.
    pub const fn count(self) -> usize {
        self.count as usize
    }

    /// Whether it is the only one.
    pub const fn is_alone(self) -> bool {
        self.count == 1
    }

    /// Whether it is the one that speaks for the host: to neighbours, and where there are no ports.
    pub const fn is_first(self) -> bool {
        self.index == 0
    }

    /// The shard of the flow between two endpoints, in whichever order.
    #[inline]
    pub fn owner(self, one: (IpAddr, u16), other: (IpAddr, u16)) -> usize {
        place(fold(one.0) ^ fold(other.0) ^ u32::from(one.1 ^ other.1), self.count)
    }

    /// Whether the flow between two endpoints belongs to this shard.
    #[inline]
    pub fn owns(self, one: (IpAddr, u16), other: (IpAddr, u16)) -> bool {
        self.is_alone() || self.owner(one, other) == self.index()
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::ALONE
    }
}

/// Spreads neighbouring numbers (Knuth's multiplicative hash).
pub(crate) const SPREAD: u32 = 0x9e37_79b1;
/// The bits of the product that are good.
pub(crate) const GOOD_BITS: u32 = 16;

/// An address in 32 bits: its words, each exclusive-or the others.
#[inline]
fn fold(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

#[inline]
fn place(folded: u32, count: u8) -> usize {
    (folded.wrapping_mul(SPREAD) >> GOOD_BITS) as usize % usize::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ip: &str, port: u16) -> (IpAddr, u16) {
        (ip.parse().unwrap(), port)
    }

    #[test]
    fn a_flow_has_one_owner_in_both_directions() {
        for count in 1..=5 {
            for port in 40_000..40_100 {
                let (here, there) = (end("10.9.0.2", 80), end("10.9.0.1", port));
                let owners: Vec<_> = Shard::all(count).filter(|shard| shard.owns(here, there)).collect();
                let [owner] = owners[..] else { panic!("{owners:?}") };
                assert_eq!(owner.index(), owner.owner(there, here));
            }
        }
    }

    #[test]
    fn neighbouring_ports_and_addresses_are_spread() {
        for count in 2..=8 {
            let shard = Shard::all(count).next().unwrap();
            let mut by_port = vec![0; count];
            let mut by_address = vec![0; count];
            for n in 0..1000 {
                by_port[shard.owner(end("fd09::2", 80), end("fd09::1", 40_000 + n))] += 1;
                let client = IpAddr::from([10, 9, (n >> 8) as u8, n as u8]);
                by_address[shard.owner(end("10.9.9.9", 53), (client, 5353))] += 1;
            }
            for spread in [by_port, by_address] {
                let fair = 1000 / count;
                assert!(spread.iter().all(|&n| n > fair * 3 / 4 && n < fair * 5 / 4), "{spread:?}");
            }
        }
    }
}
