//! What an application can say about a UDP socket.

use crate::buf::frame::InterfaceId;
use std::net::IpAddr;

/// The options of a UDP socket, under their usual names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// May send to broadcast addresses (`SO_BROADCAST`).
    pub broadcast: bool,
    /// Others may bind the same address and port (`SO_REUSEADDR`); multicast and broadcast go to all of them.
    pub reuse_address: bool,
    /// Bound to `::`, it does not talk IPv4 (`IPV6_V6ONLY`).
    pub only_v6: bool,
    /// TTL or hop limit of what is sent to one host (`IP_TTL`); None is the stack's default.
    pub ttl: Option<u8>,
    /// DSCP and ECN (`IP_TOS`, `IPV6_TCLASS`).
    pub tos: u8,
    /// What is longer than the path takes is refused and not fragmented (`IP_MTU_DISCOVER`).
    pub dont_fragment: bool,
    /// TTL or hop limit of what is sent to a group (`IP_MULTICAST_TTL`): 1 stays on the link.
    pub multicast_ttl: u8,
    /// What is sent to a group comes back to sockets of this stack that joined it (`IP_MULTICAST_LOOP`).
    pub multicast_loop: bool,
    /// By which interface it leaves to a group (`IP_MULTICAST_IF`); None lets the route decide.
    pub multicast_interface: Option<InterfaceId>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            broadcast: false,
            reuse_address: false,
            only_v6: false,
            ttl: None,
            tos: 0,
            dont_fragment: false,
            multicast_ttl: 1,
            multicast_loop: true,
            multicast_interface: None,
        }
    }
}

/// The most groups that a socket joins.
pub const MAX_MEMBERSHIPS: usize = 20;

/// A multicast group on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    /// The group's address.
    pub group: IpAddr,
    /// Where.
    pub interface: InterfaceId,
}
