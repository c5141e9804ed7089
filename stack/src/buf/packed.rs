//! Values written as few bytes: numbers as long as they need to be, runs of zeros as one.
//!
//! For what is kept for long and rarely looked at. A value can be packed if it is `is_plain`: some fields are not
//! written, and are what they are at rest when the value is read again. The list of a type's fields is given once, to
//! `packed!`; a field that is forgotten there does not compile.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;

use crate::time::{Duration, Instant};

/// What can be written and read again.
pub(crate) trait Packed: Sized {
    /// Whether what is not written is what it will be when it is read again.
    fn is_plain(&self) -> bool {
        true
    }

    /// Writes it.
    fn pack(&self, to: &mut Packer);

    /// Reads what was written.
    fn unpack(from: &mut Unpacker<'_>) -> Self;
}

/// Takes values.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    /// Zeros that are not written yet.
    zeros: u8,
}

impl Packer {
    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.byte(n as u8 | 0x80);
            n >>= 7;
        }
        self.byte(n as u8);
    }

    /// A zero stands before the length of its run.
    fn byte(&mut self, byte: u8) {
        if byte == 0 && self.zeros < u8::MAX {
            self.zeros += 1;
            return;
        }
        self.end_run();
        match byte {
            0 => self.zeros = 1,
            _ => self.bytes.push(byte),
        }
    }

    fn end_run(&mut self) {
        if self.zeros > 0 {
            self.bytes.extend([0, self.zeros]);
            self.zeros = 0;
        }
    }

    /// All that was written.
    pub(crate) fn finish(mut self) -> Box<[u8]> {
        self.end_run();
        self.bytes.into_boxed_slice()
    }
}

/// Gives values back, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    bytes: &'a [u8],
    zeros: u8,
}

impl<'a> Unpacker<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, zeros: 0 }
    }

    fn number(&mut self) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift >= 64 {
                return n;
            }
        }
    }

    /// Behind the end there are zeros.
    fn byte(&mut self) -> u8 {
        if self.zeros > 0 {
            self.zeros -= 1;
            return 0;
        }
        match *self.bytes {
            [0, run, ref rest @ ..] => {
                (self.bytes, self.zeros) = (rest, run.saturating_sub(1));
                0
            }
            [byte, ref rest @ ..] => {
                self.bytes = rest;
                byte
            }
            [] => 0,
        }
    }
}

/// Makes a struct `Packed`: of the fields before the `;` each is written, those after it must be, and will be, as it
/// says.
macro_rules! packed {
    ($type:ty { $($field:ident),* $(; $($fixed:ident: $value:path),*)? $(,)? }) => {
        impl $crate::buf::packed::Packed for $type {
            #[allow(clippy::redundant_pattern_matching, reason = "a value is named, not its kind")]
            fn is_plain(&self) -> bool {
                true $(&& $crate::buf::packed::Packed::is_plain(&self.$field))*
                    $($(&& matches!(self.$fixed, $value))*)?
            }

            fn pack(&self, to: &mut $crate::buf::packed::Packer) {
                let (Self { $($field,)* $($($fixed: _,)*)? }, _) = (self, &to);
                $($crate::buf::packed::Packed::pack($field, to);)*
            }

            fn unpack(from: &mut $crate::buf::packed::Unpacker<'_>) -> Self {
                let _ = &from;
                $(let $field = $crate::buf::packed::Packed::unpack(from);)*
                Self { $($field,)* $($($fixed: $value,)*)? }
            }
        }
    };
}
pub(crate) use packed;

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Packed for $type {
            fn pack(&self, to: &mut Packer) {
                to.number(*self as u64);
            }

            fn unpack(from: &mut Unpacker<'_>) -> Self {
                from.number() as Self
            }
        })*
    };
}
numbers!(u8 u16 u32 u64 usize);

impl Packed for bool {
    fn pack(&self, to: &mut Packer) {
        to.byte((*self).into());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.byte() != 0
    }
}

impl Packed for f64 {
    /// What is nearly a whole number ends in zeros: they come first.
    fn pack(&self, to: &mut Packer) {
        to.number(self.to_bits().swap_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self::from_bits(from.number().swap_bytes())
    }
}

impl Packed for Instant {
    fn pack(&self, to: &mut Packer) {
        to.number(self.as_nanos());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self::from_nanos(from.number())
    }
}

impl Packed for Duration {
    fn pack(&self, to: &mut Packer) {
        to.number(self.as_nanos());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self::from_nanos(from.number())
    }
}

impl<T: Packed> Packed for Option<T> {
    fn is_plain(&self) -> bool {
        self.as_ref().is_none_or(T::is_plain)
    }

    fn pack(&self, to: &mut Packer) {
        self.is_some().pack(to);
        if let Some(value) = self {
            value.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        bool::unpack(from).then(|| T::unpack(from))
    }
}

impl<T: Packed, const N: usize> Packed for [T; N] {
    fn is_plain(&self) -> bool {
        self.iter().all(T::is_plain)
    }

    fn pack(&self, to: &mut Packer) {
        self.iter().for_each(|value| value.pack(to));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        core::array::from_fn(|_| T::unpack(from))
    }
}

/// A list must be empty, and is empty.
impl<T> Packed for Vec<T> {
    fn is_plain(&self) -> bool {
        self.is_empty()
    }

    fn pack(&self, _: &mut Packer) {}

    fn unpack(_: &mut Unpacker<'_>) -> Self {
        Self::new()
    }
}

/// A queue must be empty, and is empty.
impl<T> Packed for VecDeque<T> {
    fn is_plain(&self) -> bool {
        self.is_empty()
    }

    fn pack(&self, _: &mut Packer) {}

    fn unpack(_: &mut Unpacker<'_>) -> Self {
        Self::new()
    }
}

impl Packed for IpAddr {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::V4(v4) => {
                to.byte(4);
                v4.octets().into_iter().for_each(|byte| to.byte(byte));
            }
            Self::V6(v6) => {
                to.byte(6);
                v6.octets().into_iter().for_each(|byte| to.byte(byte));
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match from.byte() {
            4 => Ipv4Addr::from(core::array::from_fn::<u8, 4, _>(|_| from.byte())).into(),
            _ => Ipv6Addr::from(core::array::from_fn::<u8, 16, _>(|_| from.byte())).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mood {
        Calm,
        Wild,
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Example {
        a: u64,
        b: Option<u32>,
        c: f64,
        d: [Option<Duration>; 2],
        e: bool,
        list: Vec<u8>,
        mood: Mood,
    }

    packed!(Example { a, b, c, d, e, list; mood: Mood::Calm });

    fn again<T: Packed>(value: &T) -> (T, usize) {
        let mut packer = Packer::default();
        value.pack(&mut packer);
        let bytes = packer.finish();
        (T::unpack(&mut Unpacker::new(&bytes)), bytes.len())
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            a: u64, b: Option<u32>, c: f64, d: [Option<u64>; 2], e: bool, zeros in 0..300_usize,
        ) {
            let d = d.map(|ns| ns.map(Duration::from_nanos));
            let value = Example { a, b, c, d, e, list: Vec::new(), mood: Mood::Calm };
            prop_assert!(value.is_plain());
            let (read, _) = again(&value);
            prop_assert_eq!(format!("{read:?}"), format!("{value:?}"));
            let mut packer = Packer::default();
            (0..zeros).for_each(|_| 0_u8.pack(&mut packer));
            a.pack(&mut packer);
            let bytes = packer.finish();
            let mut unpacker = Unpacker::new(&bytes);
            prop_assert!((0..zeros).all(|_| u8::unpack(&mut unpacker) == 0));
            prop_assert_eq!(u64::unpack(&mut unpacker), a);
        }
    }

    #[test]
    fn little_takes_little() {
        assert_eq!(again(&[0_u64; 100]).1, 2);
        assert_eq!(again(&5_u64).1, 1);
        assert!(again(&14_480.0_f64).1 <= 4);
        for address in ["10.0.0.1", "fe80::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(again(&address).0, address);
        }
    }

    #[test]
    fn what_would_be_lost_is_not_plain() {
        let plain = Example { a: 1, b: None, c: 0.0, d: [None; 2], e: true, list: vec![], mood: Mood::Calm };
        assert!(plain.is_plain());
        assert!(!Example { list: vec![1], ..plain.clone() }.is_plain());
        assert!(!Example { mood: Mood::Wild, ..plain }.is_plain());
    }
}
