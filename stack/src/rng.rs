//! The two seeded sources of "chance": a named generator and a keyed hash.
//!
//! The seed comes from the configuration, so two runs from one seed make the same choices.

use core::hash::{BuildHasher, Hash};
use std::collections::hash_map::Entry;

use rand_core::Rng as _;
use rand_pcg::Pcg64;
use siphasher::sip::SipHasher13;

/// A seeded generator (PCG XSL 128/64), the same on every platform.
#[derive(Clone, Debug)]
pub struct Rng(Pcg64);

impl Rng {
    /// A generator whose stream depends on `seed` and `stream` alone. Two streams of one seed are independent.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), u128::from(stream)))
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0. The bias of the multiplication is below 2^-32 for 32-bit bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// A keyed hash (SipHash-1-3): what is predictable to us is not to a remote host.
#[derive(Clone, Debug)]
pub struct KeyedHash {
    key: [u64; 2],
}

impl KeyedHash {
    /// Takes a fresh key from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self { key: [rng.next_u64(), rng.next_u64()] }
    }

    /// The hash of `value` under this key.
    pub fn of(&self, value: &impl Hash) -> u64 {
        self.hash_one(value)
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key[0], self.key[1])
    }
}

/// A hash map under a keyed hash. Its order is no one's business: it is looked up, and cannot be iterated.
#[derive(Clone, Debug)]
#[allow(
    clippy::disallowed_types,
    reason = "the one place where a hash map is given a seed, and its order is hidden"
)]
pub struct KeyedMap<K, V>(std::collections::HashMap<K, V, KeyedHash>);

#[allow(clippy::disallowed_types, reason = "as above")]
impl<K: Eq + Hash, V> KeyedMap<K, V> {
    /// An empty map under `hash`.
    pub fn with_hasher(hash: KeyedHash) -> Self {
        Self(std::collections::HashMap::with_hasher(hash))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// The value of this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// The value of this key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// The place of this key, with or without a value.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        self.0.entry(key)
    }

    /// Enters a value; answers the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes a value away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_keeps_its_meaning() {
        let mut rng = Rng::new(1, 2);
        let first: Vec<u32> = (0..4).map(|_| rng.next_u32()).collect();
        let mut again = Rng::new(1, 2);
        assert_eq!(first, (0..4).map(|_| again.next_u32()).collect::<Vec<_>>());
        assert_ne!(Rng::new(1, 3).next_u64(), Rng::new(1, 2).next_u64());
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(7, 0);
        assert!((0..1000).all(|_| rng.below(10) < 10));
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_hash_depends_on_its_key() {
        let mut rng = Rng::new(7, 0);
        let (a, b) = (KeyedHash::new(&mut rng), KeyedHash::new(&mut rng));
        assert_eq!(a.of(&(1u32, 2u16)), a.of(&(1u32, 2u16)));
        assert_ne!(a.of(&1u32), b.of(&1u32));
    }
}
