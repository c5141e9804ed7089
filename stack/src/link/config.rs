//! What an interface is told when it is made.

use core::net::IpAddr;

use crate::time::Duration;
use crate::wire::ethernet::MacAddr;

/// The configuration of one interface.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Our Ethernet address; meaningless on a medium without a link header.
    pub mac: MacAddr,
    /// Our addresses, each with the length of its prefix on the link.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whether an IPv6 link-local address is made from `mac` (RFC 4862 section 5.3).
    pub link_local: bool,
    /// Whether a new address is used only after nobody answered to it: duplicate address detection for IPv6
    /// (RFC 4862 section 5.4, 1 to 2 seconds), probes for IPv4 (RFC 5227 section 2.1, 4 to 7 seconds). If
    /// not, it is used at once; conflicts are noticed and reported all the same.
    pub dad: bool,
    /// Whether routers are asked for and what they advertise is believed (RFC 4861 section 6.3, RFC 4862
    /// section 5.5).
    pub accept_router_advertisements: bool,
    /// Largest IP packet in bytes, where that is to be less than what the device takes: at least 68, and 1,280 for IPv6
    /// to be spoken at all.
    pub mtu: Option<usize>,
    /// Hop limit of what we send while no router advertised another.
    pub hop_limit: u8,
    /// Whether membership of multicast groups is reported (IGMP, MLD).
    pub report_groups: bool,
    /// Most multicast groups that are listened to.
    pub max_groups: usize,
    /// The neighbour cache.
    pub neighbors: NeighborConfig,
}

impl InterfaceConfig {
    /// An interface with this Ethernet address and no others.
    pub fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            addresses: Vec::new(),
            link_local: true,
            dad: true,
            accept_router_advertisements: false,
            mtu: None,
            hop_limit: 64,
            report_groups: true,
            max_groups: 256,
            neighbors: NeighborConfig::default(),
        }
    }

    /// With one more address.
    #[must_use]
    pub fn address(mut self, ip: IpAddr, prefix_len: u8) -> Self {
        self.addresses.push((ip, prefix_len));
        self
    }
}

/// Limits and times of the neighbour cache; the times are RFC 4861 section 10's, for ARP too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborConfig {
    /// Most entries.
    pub limit: usize,
    /// Most entries without a link address: those that are asked for, and those that failed.
    pub unresolved_limit: usize,
    /// How long an entry that was used is safe from eviction.
    pub keep: Duration,
    /// ReachableTime before it is randomised: how long a confirmation holds.
    pub reachable: Duration,
    /// RetransTimer: between two questions.
    pub retransmit: Duration,
    /// DELAY_FIRST_PROBE_TIME: how long a used stale entry waits for upper layers to confirm it.
    pub delay: Duration,
    /// MAX_MULTICAST_SOLICIT: questions to everyone before the neighbour is given up.
    pub multicast_asks: u8,
    /// MAX_UNICAST_SOLICIT: questions to a link address that was right once.
    pub unicast_asks: u8,
    /// How long a neighbour that was given up is not asked for again.
    pub hold_failed: Duration,
}

impl Default for NeighborConfig {
    fn default() -> Self {
        Self {
            limit: 1024,
            unresolved_limit: 256,
            keep: Duration::from_secs(60),
            reachable: Duration::from_secs(30),
            retransmit: Duration::from_secs(1),
            delay: Duration::from_secs(5),
            multicast_asks: 3,
            unicast_asks: 3,
            hold_failed: Duration::from_secs(3),
        }
    }
}
