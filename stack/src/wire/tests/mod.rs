//! The wire as a whole: others read what we write, we read what others write, and nothing that arrives
//! panics.

mod agree;
mod agree_icmp;
pub(super) mod strategies;
mod total;

use super::checksum::Sum;

/// Puts the checksum at byte `at` right, over `bytes` and whatever `start` has summed.
fn fill_checksum(bytes: &mut [u8], at: usize, start: Sum) {
    if bytes.len() >= at + 2 {
        bytes[at..at + 2].fill(0);
        let sum = start.with(bytes).checksum();
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}
