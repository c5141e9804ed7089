//! Blocking raw sockets.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::std_like::timeouts_of_std;
use super::wait::{Timeouts, block_on};
use crate::buf::frame::InterfaceId;
use crate::net::{self, Net};
use crate::raw::{Family, Received};

/// A socket for the packets of one IP protocol.
#[derive(Debug)]
pub struct RawSocket {
    inner: net::RawSocket,
    timeouts: Timeouts,
}

impl RawSocket {
    /// Opens a socket for one protocol of one family.
    ///
    /// # Errors
    /// Too many sockets.
    pub fn open(net: &Net, family: Family, protocol: u8) -> io::Result<Self> {
        Ok(Self { inner: net::RawSocket::open(net, family, protocol)?, timeouts: Timeouts::default() })
    }

    /// The async socket inside, with its options.
    pub fn get_ref(&self) -> &net::RawSocket {
        &self.inner
    }

    /// Sends a packet; `interface` for link-local destinations.
    ///
    /// # Errors
    /// Too long; no route; what ICMP said about an earlier one.
    pub fn send_to(&self, bytes: &[u8], remote: IpAddr, interface: Option<InterfaceId>) -> io::Result<usize> {
        block_on(
            self.inner.only_shared(),
            self.timeouts.write(),
            self.inner.send_to(bytes, remote, interface),
        )
    }

    /// Waits for a packet.
    ///
    /// # Errors
    /// `TimedOut`; what ICMP said about an earlier packet.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<Received> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.recv_from(buf))
    }

    timeouts_of_std!();
}
