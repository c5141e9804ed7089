//! Ethernet II: which frames are for us, and the header of those that we send.

use super::group::Groups;
use crate::wire::ethernet::{Header, MacAddr};

/// To whom the link delivered a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To us alone.
    Unicast,
    /// To everyone on the link.
    Broadcast,
    /// To a group that we listen to.
    Multicast,
}

/// Why a frame went no further than the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Shorter than a link header, or empty.
    TooShort,
    /// To another station, or to a group that we do not listen to.
    NotForUs,
    /// From our own address: it came back, or somebody else has it.
    FromUs,
    /// From an address that no station has: a group, or all zero.
    BadSource,
    /// It carries something that we do not speak.
    UnknownType,
    /// A broken ARP packet, or one whose sender cannot be.
    BadArp,
    /// A neighbour discovery message that RFC 4861 tells to discard: it came from beyond the link, or is
    /// malformed.
    BadNdp,
    /// A group management message that came from beyond the link, or is malformed.
    BadGroup,
    /// The queue of answers is full.
    Busy,
}

impl DropReason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::TooShort,
        Self::NotForUs,
        Self::FromUs,
        Self::BadSource,
        Self::UnknownType,
        Self::BadArp,
        Self::BadNdp,
        Self::BadGroup,
        Self::Busy,
    ];

    /// The words for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::NotForUs => "not-for-us",
            Self::FromUs => "from-us",
            Self::BadSource => "bad-source",
            Self::UnknownType => "unknown-type",
            Self::BadArp => "bad-arp",
            Self::BadNdp => "bad-ndp",
            Self::BadGroup => "bad-group",
            Self::Busy => "busy",
        }
    }
}

/// Whether a frame is for us, by its link addresses alone.
pub(crate) fn classify(header: &Header, ours: MacAddr, v4: &Groups, v6: &Groups) -> Result<Cast, DropReason> {
    if !header.src.is_unicast() {
        return Err(DropReason::BadSource);
    }
    if header.src == ours {
        return Err(DropReason::FromUs);
    }
    match header.dst {
        dst if dst == ours => Ok(Cast::Unicast),
        dst if dst.is_broadcast() => Ok(Cast::Broadcast),
        dst if dst.is_multicast() && (v4.contains_mac(dst) || v6.contains_mac(dst)) => Ok(Cast::Multicast),
        _ => Err(DropReason::NotForUs),
    }
}
