//! Which ICMP messages a raw socket wants.

/// A set of ICMP types that pass; at first all do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpFilter {
    /// One bit for each type that is kept away.
    blocked: [u64; 4],
}

impl Default for IcmpFilter {
    fn default() -> Self {
        Self::PASS_ALL
    }
}

impl IcmpFilter {
    /// Everything passes.
    pub const PASS_ALL: Self = Self { blocked: [0; 4] };
    /// Nothing passes.
    pub const BLOCK_ALL: Self = Self { blocked: [u64::MAX; 4] };

    /// A filter that passes these types alone.
    pub fn only(kinds: &[u8]) -> Self {
        let mut filter = Self::BLOCK_ALL;
        kinds.iter().for_each(|&kind| filter.pass(kind));
        filter
    }

    /// Whether a type passes.
    pub fn passes(&self, kind: u8) -> bool {
        self.blocked[usize::from(kind / 64)] & (1 << (kind % 64)) == 0
    }

    /// Lets a type pass.
    pub fn pass(&mut self, kind: u8) {
        self.blocked[usize::from(kind / 64)] &= !(1 << (kind % 64));
    }

    /// Keeps a type away.
    pub fn block(&mut self, kind: u8) {
        self.blocked[usize::from(kind / 64)] |= 1 << (kind % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_bit() {
        let only = IcmpFilter::only(&[0, 63, 64, 129, 255]);
        let passing: Vec<u8> = (0..=255).filter(|&kind| only.passes(kind)).collect();
        assert_eq!(passing, [0, 63, 64, 129, 255]);
        let mut most = IcmpFilter::default();
        most.block(8);
        assert!((0..=255u8).all(|kind| most.passes(kind) == (kind != 8)));
    }
}
