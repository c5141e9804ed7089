//! Datagrams: UDP over the shared stack.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::Net;
use super::socket::Socket;
use super::wakers::Interest;
use crate::buf::frame::InterfaceId;
use crate::udp::{Counters, Membership, Options, Received};

/// A datagram socket. Works on a shared reference, so that tasks can share it in an `Arc`.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    /// Opens a socket on `local` (an unspecified IPv6 address takes IPv4 too, port 0 an ephemeral one).
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(net: &Net, local: SocketAddr) -> io::Result<Self> {
        Self::bind_with(net, local, Options::default())
    }

    /// As `bind`, with options that count from the beginning (`reuse_address`, `only_v6`).
    ///
    /// # Errors
    /// As `bind`.
    pub fn bind_with(net: &Net, local: SocketAddr, options: Options) -> io::Result<Self> {
        Ok(Self { socket: net.open(|stack, _| stack.udp_bind_with(local, options))? })
    }

    /// Where it is bound; the address too once it is connected.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Sends to and hears from `remote` alone from now on, and hears of ICMP errors about what it sends.
    ///
    /// # Errors
    /// No route; another family.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.socket.command(|stack, _, id| stack.udp_connect(id, Some(remote)))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// Too long; no route; what ICMP said about an earlier one.
    pub async fn send_to(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_to(cx, bytes, Some(remote))).await
    }

    /// Sends a datagram to whom the socket is connected.
    ///
    /// # Errors
    /// As `send_to`; `NotConnected`.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_to(cx, bytes, None)).await
    }

    /// Sends `bytes` as datagrams of `size` bytes, of which the last may be shorter, to `remote` or to whom the socket is
    /// connected; a device that merges datagrams gets up to 64 KiB of them in one call.
    ///
    /// # Errors
    /// As `send_to`; more than the queue ever holds.
    pub async fn send_segments(
        &self,
        bytes: &[u8],
        size: usize,
        remote: Option<SocketAddr>,
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_segments(cx, bytes, size, remote)).await
    }

    /// Takes the next datagram; what does not fit into `buf` is lost.
    ///
    /// # Errors
    /// What ICMP said about an earlier datagram of a connected socket.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.receive(buf).await?;
        Ok((received.copied, received.arrival.from))
    }

    /// As `recv_from`, of a connected socket.
    ///
    /// # Errors
    /// As `recv_from`.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buf).await?.copied)
    }

    /// As `recv_from`, with all that is known: true length, destination, interface, hop limit.
    ///
    /// # Errors
    /// As `recv_from`.
    pub async fn receive(&self, buf: &mut [u8]) -> io::Result<Received> {
        poll_fn(|cx| self.poll_receive(cx, buf)).await
    }

    /// As `recv_from`, but the datagram stays.
    ///
    /// # Errors
    /// As `recv_from`.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = |cx: &mut Context<'_>| {
            self.socket.poll(cx, Interest::Read, |stack, _, id| stack.udp_peek_from(id, buf))
        };
        let received = poll_fn(peek).await?;
        Ok((received.copied, received.arrival.from))
    }

    /// The options.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn options(&self) -> io::Result<Options> {
        self.socket.command(|stack, _, id| stack.udp_options(id))
    }

    /// Changes options: `socket.configure(|o| o.broadcast = true)`.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) -> io::Result<()> {
        self.socket.command(|stack, _, id| {
            let mut options = stack.udp_options(id)?;
            change(&mut options);
            stack.udp_set_options(id, options)
        })
    }

    /// Joins a multicast group on an interface.
    ///
    /// # Errors
    /// Not a group, joined already, too many.
    pub fn join(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.socket.command(|stack, now, id| stack.udp_join(now, id, Membership { group, interface }))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// Not a member.
    pub fn leave(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.socket.command(|stack, now, id| stack.udp_leave(now, id, Membership { group, interface }))
    }

    /// What the socket counted.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn counters(&self) -> io::Result<Counters> {
        self.socket.command(|stack, _, id| stack.udp_counters(id))
    }

    /// As `send_to` or `send`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `send_to`.
    pub fn poll_send_to(
        &self,
        cx: &Context<'_>,
        bytes: &[u8],
        remote: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll(cx, Interest::Write, |stack, now, id| stack.udp_send_to(now, id, bytes, remote))
    }

    /// As `send_segments`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `send_segments`.
    pub fn poll_send_segments(
        &self,
        cx: &Context<'_>,
        bytes: &[u8],
        size: usize,
        remote: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        self.socket
            .poll(cx, Interest::Write, |stack, now, id| stack.udp_send_segments(now, id, bytes, size, remote))
    }

    /// As `receive`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `recv_from`.
    pub fn poll_receive(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        self.socket.poll(cx, Interest::Read, |stack, _, id| stack.udp_recv_from(id, buf))
    }
}
