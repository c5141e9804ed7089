//! Blocking datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::std_like::{options_of_std, timeouts_of_std};
use super::wait::{Timeouts, block_on, hops};
use crate::buf::frame::InterfaceId;
use crate::net::{self, Net};
use crate::udp::Options;

/// As `std::net::UdpSocket`, on a [`Net`].
#[derive(Debug)]
pub struct UdpSocket {
    inner: Arc<net::UdpSocket>,
    timeouts: Timeouts,
}

impl UdpSocket {
    /// Opens a socket on `local`.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(net: &Net, local: SocketAddr) -> io::Result<Self> {
        Ok(Self { inner: Arc::new(net::UdpSocket::bind(net, local)?), timeouts: Timeouts::default() })
    }

    /// Another handle of the same socket; timeouts are shared.
    ///
    /// # Errors
    /// None: the shape is `std`'s.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { inner: self.inner.clone(), timeouts: self.timeouts.clone() })
    }

    /// The async socket inside.
    pub fn get_ref(&self) -> &net::UdpSocket {
        &self.inner
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Sends to and hears from `remote` alone from now on.
    ///
    /// # Errors
    /// No route; another family.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.inner.connect(remote)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// Too long; no route; what ICMP said about an earlier one.
    pub fn send_to(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.write(), self.inner.send_to(bytes, remote))
    }

    /// Sends a datagram to whom the socket is connected.
    ///
    /// # Errors
    /// As `send_to`; `NotConnected`.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.write(), self.inner.send(bytes))
    }

    /// Sends `bytes` as datagrams of `size` bytes, of which the last may be shorter, to `remote` or to whom the socket
    /// is connected; a device that merges datagrams gets up to 64 KiB of them in one call.
    ///
    /// # Errors
    /// As `send_to`; more than the queue ever holds.
    pub fn send_segments(&self, bytes: &[u8], size: usize, remote: Option<SocketAddr>) -> io::Result<usize> {
        block_on(
            self.inner.only_shared(),
            self.timeouts.write(),
            self.inner.send_segments(bytes, size, remote),
        )
    }

    /// Waits for a datagram; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `TimedOut`; what ICMP said about an earlier datagram of a connected socket.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.recv_from(buf))
    }

    /// As `recv_from`, of a connected socket.
    ///
    /// # Errors
    /// As `recv_from`.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.recv(buf))
    }

    /// As `recv_from`, but the datagram stays.
    ///
    /// # Errors
    /// As `recv_from`.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.peek_from(buf))
    }

    /// As `recv`, but the datagram stays.
    ///
    /// # Errors
    /// As `recv`.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peek_from(buf).map(|(copied, _)| copied)
    }

    timeouts_of_std!();

    options_of_std!();

    /// Whether broadcasts are permitted.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.inner.options()?.broadcast)
    }

    /// Permits broadcasts.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.inner.configure(|options| options.broadcast = broadcast)
    }

    /// Changes any option.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) -> io::Result<()> {
        self.inner.configure(change)
    }

    /// Joins a multicast group on an interface.
    ///
    /// # Errors
    /// Not a group, joined already, too many.
    pub fn join(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.inner.join(group, interface)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// Not a member.
    pub fn leave(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.inner.leave(group, interface)
    }
}
