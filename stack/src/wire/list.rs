//! Lists within a message, read from the wire or lent by who builds the message, without a copy.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A value of which a message carries several.
pub trait Item<'a>: Copy {
    /// Reads the value at the start of `bytes` and answers what follows it. The value is `None` if there is
    /// something else that is to be skipped; the whole is `None` if the bytes are broken.
    fn take(bytes: &'a [u8]) -> Option<(Option<Self>, &'a [u8])>;

    /// Its length when written.
    fn wire_len(&self) -> usize;

    /// Writes it into `out`, which has exactly its length.
    fn put(&self, out: &mut [u8]);
}

/// A list of values: bytes of a received message, looked at as they are asked for, or a slice of values to
/// send.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Wire(&'a [u8]),
    Values(&'a [T]),
}

impl<'a, T: Item<'a>> List<'a, T> {
    /// No values.
    pub const EMPTY: Self = Self(Source::Wire(&[]));

    /// The values of a slice.
    pub const fn new(values: &'a [T]) -> Self {
        Self(Source::Values(values))
    }

    /// The values in `bytes`, which their reader has walked already: a broken one would end the list.
    pub(crate) const fn wire(bytes: &'a [u8]) -> Self {
        Self(Source::Wire(bytes))
    }

    /// The first `count` values in `bytes`, skipped ones counted; `None` if one of them is broken.
    pub(crate) fn wire_counted(bytes: &'a [u8], count: usize) -> Option<Self> {
        let mut rest = bytes;
        for _ in 0..count {
            rest = T::take(rest)?.1;
        }
        Some(Self::wire(&bytes[..bytes.len() - rest.len()]))
    }

    /// The values in their order.
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(self.0)
    }

    /// How many there are. Walks the list.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Bytes of all values when written.
    pub(crate) fn wire_len(&self) -> usize {
        self.iter().map(|value| value.wire_len()).sum()
    }

    /// Writes all values into `out`, which has exactly their length.
    pub(crate) fn put(&self, mut out: &mut [u8]) {
        for value in self.iter() {
            let (here, rest) = out.split_at_mut(value.wire_len());
            value.put(here);
            out = rest;
        }
    }
}

/// The values of a [`List`], one by one.
#[derive(Clone, Copy)]
pub struct Iter<'a, T>(Source<'a, T>);

impl<'a, T: Item<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::Wire(bytes) => loop {
                let (value, rest) = T::take(bytes)?;
                *bytes = rest;
                if value.is_some() {
                    return value;
                }
            },
            Source::Values(values) => {
                let (first, rest) = values.split_first()?;
                *values = rest;
                Some(*first)
            }
        }
    }
}

impl<'a, T: Item<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Item<'a> for Ipv4Addr {
    fn take(bytes: &'a [u8]) -> Option<(Option<Self>, &'a [u8])> {
        let (octets, rest) = bytes.split_first_chunk::<4>()?;
        Some((Some(Self::from(*octets)), rest))
    }

    fn wire_len(&self) -> usize {
        4
    }

    fn put(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.octets());
    }
}

impl<'a> Item<'a> for Ipv6Addr {
    fn take(bytes: &'a [u8]) -> Option<(Option<Self>, &'a [u8])> {
        let (octets, rest) = bytes.split_first_chunk::<16>()?;
        Some((Some(Self::from(*octets)), rest))
    }

    fn wire_len(&self) -> usize {
        16
    }

    fn put(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.octets());
    }
}
