//! What an interface tells the stack.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::VecDeque;

use crate::wire::ethernet::MacAddr;

/// Something that happened on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A neighbour that was asked for has answered: what waits for it can go.
    NeighborResolved {
        /// Who.
        ip: IpAddr,
        /// Its link address.
        mac: MacAddr,
    },
    /// A neighbour does not answer: what waits for it gets "host unreachable".
    NeighborFailed {
        /// Who.
        ip: IpAddr,
    },
    /// An address of ours may be used from now on.
    AddressReady {
        /// Which.
        ip: IpAddr,
        /// The length of its prefix on the link.
        prefix_len: u8,
    },
    /// Somebody else uses, or wants to use, an address of ours.
    AddressConflict {
        /// Which.
        ip: IpAddr,
        /// The other's link address, where it said so.
        mac: Option<MacAddr>,
        /// We do not use the address: it was not ours yet. Otherwise we keep it.
        lost: bool,
    },
    /// An address of ours should not be used for new connections any more.
    AddressDeprecated {
        /// Which.
        ip: IpAddr,
    },
    /// An address of ours is gone: its lifetime is over, or it was removed.
    AddressRemoved {
        /// Which.
        ip: IpAddr,
    },
    /// A router offers itself as a default router.
    RouterAdded {
        /// Its link-local address.
        router: Ipv6Addr,
    },
    /// A router is no default router any more.
    RouterRemoved {
        /// Its link-local address.
        router: Ipv6Addr,
    },
    /// A router says that these addresses are on the link.
    PrefixAdded {
        /// The prefix; the bits behind it are zero.
        prefix: Ipv6Addr,
        /// Its length.
        len: u8,
    },
    /// A prefix is not known to be on the link any more.
    PrefixRemoved {
        /// The prefix.
        prefix: Ipv6Addr,
        /// Its length.
        len: u8,
    },
    /// A router says that there is a better first hop. Whoever keeps routes believes it only if `from` is the
    /// first hop that it uses for `destination` now (RFC 4861 section 8.1).
    Redirect {
        /// The router that says so.
        from: Ipv6Addr,
        /// Where packets were going.
        destination: Ipv6Addr,
        /// The better first hop; equal to `destination` if that is on the link.
        via: Ipv6Addr,
    },
    /// The largest IPv6 packet of this link has changed.
    MtuChanged {
        /// Bytes.
        mtu: usize,
    },
}

/// A queue of events with a limit.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    lost: u64,
}

impl Events {
    /// More than one call of a `handle_` method can make: who drains the queue after each loses none.
    pub(crate) const LIMIT: usize = 4096;

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.len() < Self::LIMIT {
            self.queue.push_back(event);
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let mut events = Events::default();
        for _ in 0..Events::LIMIT + 3 {
            events.push(Event::MtuChanged { mtu: 1500 });
        }
        assert_eq!(events.lost(), 3);
        assert_eq!(std::iter::from_fn(|| events.pop()).count(), Events::LIMIT);
    }
}
