//! Our own stack as a node.

use std::net::IpAddr;

use super::network::{Network, NodeId};
use super::node::Node;
use crate::buf::frame::{Capabilities, InterfaceId, Medium, RxFrame, TxFrame};
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;
use crate::{Config, Error, InterfaceConfig, Stack};

/// Ports are the interfaces in the order in which they were added, but for the loopback, which has no wire.
fn interface(port: usize) -> InterfaceId {
    InterfaceId(u32::try_from(port + 1).unwrap_or(u32::MAX))
}

impl Node for Stack {
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>) {
        Self::handle_frame(self, now, interface(port), frame);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn poll_transmit(&mut self, now: Instant, port: usize) -> Option<TxFrame<'_>> {
        Self::poll_transmit(self, now, interface(port))
    }
}

/// The bytes of an IP packet on Ethernet.
const MTU: usize = 1500;

impl Network<Stack> {
    /// Adds a host: a stack with one Ethernet interface of these addresses, which it uses at once, without asking
    /// whether they are free. Its luck comes from the network's seed and its place in the network.
    ///
    /// # Errors
    /// An address that cannot be.
    pub fn add_host(&mut self, name: &str, addresses: &[(IpAddr, u8)]) -> Result<NodeId, Error> {
        let place = self.ids().count() as u64;
        let [.., high, low] = place.wrapping_add(1).to_be_bytes();
        let mut config = InterfaceConfig::new(MacAddr([2, 0, 0, 0, high, low]));
        config.addresses = addresses.to_vec();
        config.dad = false;
        let mut stack = Stack::new(Config::seeded(self.seed_of(place)));
        stack.add_interface(self.now(), config, Capabilities::plain(Medium::Ethernet, MTU))?;
        Ok(self.add_node(name, stack))
    }
}

#[cfg(test)]
mod tests;
