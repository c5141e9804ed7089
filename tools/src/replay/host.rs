//! The stack that stands in for one side: an interface that takes IP packets, in virtual time.

use std::net::{SocketAddr, SocketAddrV6};

use ustack::buf::frame::{Capabilities, InterfaceId, Medium, RxFrame};
use ustack::ip::route::{Prefix, Route};
use ustack::link::InterfaceConfig;
use ustack::time::Instant;
use ustack::why::Why;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, Stack};

use super::error::Error;
use crate::events::EventLog;

/// A stack with one address.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) stack: Stack,
    interface: InterfaceId,
    /// Where decisions are written to.
    pub(super) events: Option<EventLog>,
}

/// A packet that the stack sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) why: Why,
}

impl Host {
    /// A host at `local` that reaches `remote` directly.
    pub(super) fn new(local: SocketAddr, remote: SocketAddr, mtu: usize, seed: u64) -> Result<Self, Error> {
        let refused = |error| Error::Stack { address: local, error };
        let mut stack = Stack::new(Config::seeded(seed));
        let whole = if local.is_ipv4() { 32 } else { 128 };
        let config = InterfaceConfig {
            dad: false,
            link_local: false,
            report_groups: false,
            ..InterfaceConfig::new(MacAddr::UNSPECIFIED).address(local.ip(), whole)
        };
        let capabilities = Capabilities::plain(Medium::Ip, mtu);
        let interface = stack.add_interface(Instant::ZERO, config, capabilities).map_err(refused)?;
        stack.add_route(Route::on_link(Prefix::host(remote.ip()), interface)).map_err(refused)?;
        Ok(Self { stack, interface, events: None })
    }

    /// An address as sockets of this host have it: a link-local one names the interface.
    pub(super) fn scoped(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, self.interface.0).into()
            }
            _ => address,
        }
    }

    /// When the stack is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    /// A packet arrives.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        self.stack.handle_frame(now, self.interface, RxFrame::plain(packet));
    }

    /// Does what is due, and forgets events: whoever plays asks the sockets themselves.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        while self.stack.poll_event().is_some() {}
    }

    /// The next packet that the stack sends.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Sent> {
        if let Some(frame) = self.stack.poll_transmit(now, self.interface) {
            return Some(Sent { bytes: frame.to_vec(), why: *frame.why });
        }
        while let Some(told) = self.stack.poll_decision() {
            if let Some(log) = &self.events {
                log.write(&told, &[]);
            }
        }
        None
    }
}
