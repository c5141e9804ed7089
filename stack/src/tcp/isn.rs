//! Initial sequence numbers and timestamp offsets that only we can predict (RFC 6528, RFC 7323 section 5.4).

use crate::rng::{KeyedHash, Rng};
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use core::hash::Hash;

/// Chooses where each connection's numbers begin. One for a whole stack.
#[derive(Clone, Debug)]
pub struct IsnGenerator {
    sequence: KeyedHash,
    timestamp: KeyedHash,
}

impl IsnGenerator {
    /// Takes its secret keys from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self { sequence: KeyedHash::new(rng), timestamp: KeyedHash::new(rng) }
    }

    /// The initial sequence number of a connection. `addresses` are both ends' addresses and ports.
    ///
    /// RFC 6528 section 3: ISN = M + F(addresses, secret), with M a timer that ticks each 4 microseconds: a new
    /// incarnation of a connection begins above the old one, and another connection's numbers tell nothing.
    pub fn isn(&self, now: Instant, addresses: &impl Hash) -> SeqNum {
        SeqNum::new(self.sequence.of(addresses) as u32) + (now.as_micros() / 4) as u32
    }

    /// What a connection adds to its timestamp clock, so that the values reveal neither the stack's age nor whether
    /// two connections end at one host. It is the same for each incarnation, so that RFC 6191 can compare them.
    pub fn timestamp_offset(&self, addresses: &impl Hash) -> u32 {
        self.timestamp.of(addresses) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    /// RFC 9293 section 3.4.1 (MUST-8).
    #[test]
    fn the_clock_ticks_each_four_microseconds() {
        let isn = IsnGenerator::new(&mut Rng::new(1, 0));
        let connection = ("10.0.0.1", 80, "10.0.0.2", 5000);
        let first = isn.isn(at(0.ms()), &connection);
        assert_eq!(isn.isn(at(3.us()), &connection), first);
        assert_eq!(isn.isn(at(4.us()), &connection), first + 1);
        assert_eq!(isn.isn(at(1.secs()), &connection), first + 250_000);
        // A full turn of the sequence space takes 4.77 hours, well above the maximum segment lifetime.
        assert_eq!(isn.isn(at(Units::us(4u64 << 32)), &connection), first);
    }

    /// RFC 9293 section 3.4.1 (MUST-9, SHLD-1), RFC 7323 section 7.1 (SHLD-10).
    #[test]
    fn connections_and_secrets_differ() {
        let isn = IsnGenerator::new(&mut Rng::new(1, 0));
        let other = IsnGenerator::new(&mut Rng::new(2, 0));
        assert_ne!(isn.isn(at(0.ms()), &1u8), isn.isn(at(0.ms()), &2u8));
        assert_ne!(isn.isn(at(0.ms()), &1u8), other.isn(at(0.ms()), &1u8));
        assert_ne!(isn.timestamp_offset(&1u8), isn.timestamp_offset(&2u8));
        assert_ne!(isn.timestamp_offset(&1u8), isn.isn(at(0.ms()), &1u8).get());
        assert_eq!(isn.timestamp_offset(&1u8), isn.timestamp_offset(&1u8));
    }
}
