//! Datagrams: UDP over the shared stack.

use core::future::poll_fn;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Net;
use super::shards::group::Group;
use super::shared::Shared;
use super::socket::Socket;
use super::wakers::Interest;
use crate::Stack;
use crate::buf::frame::InterfaceId;
use crate::error::Error;
use crate::socket::table::SocketId;
use crate::time::Instant;
use crate::udp::{Counters, Membership, Options, Received};

/// A datagram socket. Works on a shared reference, so that tasks can share it in an `Arc`.
#[derive(Debug)]
pub struct UdpSocket {
    group: Group,
    /// Where it was bound, and the stack.
    bound: SocketAddr,
    net: Net,
    /// Of a connected socket on a host of several shards: whose its flow is.
    home: AtomicUsize,
}

impl UdpSocket {
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

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
        let group = Group::open(net, local, |stack, _, local| stack.udp_bind_with(local, options))?;
        let bound = group.first().local_addr()?;
        Ok(Self { group, bound, net: net.clone(), home: AtomicUsize::new(0) })
    }

    /// The stack, if there is but one.
    pub(crate) fn only_shared(&self) -> Option<&Arc<Shared>> {
        self.group.only_shared()
    }

    /// Where it is bound; the address too once it is connected.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.group.first().local_addr()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.group.first().peer_addr()
    }

    /// Sends to and hears from `remote` alone from now on, and hears of ICMP errors about what it sends.
    ///
    /// # Errors
    /// No route; another family.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.each(|stack, _, id| stack.udp_connect(id, Some(remote)))?;
        self.home.store(self.net.home_of_flow(remote, self.local_addr()?), Relaxed);
        Ok(())
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

    /// Sends `bytes` as datagrams of `size` bytes, of which the last may be shorter, to `remote` or to whom the socket
    /// is connected; a device that merges datagrams gets up to 64 KiB of them in one call.
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
            self.group.poll(cx, Interest::Read, |stack, _, id| stack.udp_peek_from(id, buf))
        };
        let (_, received) = poll_fn(peek).await?;
        Ok((received.copied, received.arrival.from))
    }

    /// The options.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn options(&self) -> io::Result<Options> {
        self.group.first().command(|stack, _, id| stack.udp_options(id))
    }

    /// Changes options: `socket.configure(|o| o.broadcast = true)`.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) -> io::Result<()> {
        let mut options = self.options()?;
        change(&mut options);
        self.each(|stack, _, id| stack.udp_set_options(id, options))
    }

    /// Joins a multicast group on an interface.
    ///
    /// # Errors
    /// Not a group, joined already, too many.
    pub fn join(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.each(|stack, now, id| stack.udp_join(now, id, Membership { group, interface }))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// Not a member.
    pub fn leave(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        self.each(|stack, now, id| stack.udp_leave(now, id, Membership { group, interface }))
    }

    /// What the socket counted.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn counters(&self) -> io::Result<Counters> {
        let all = self.group.iter().map(|socket| socket.command(|stack, _, id| stack.udp_counters(id)));
        all.sum()
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
        let send = |stack: &mut Stack, now, id| stack.udp_send_to(now, id, bytes, remote);
        self.towards(remote).poll(cx, Interest::Write, send)
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
        let send = |stack: &mut Stack, now, id| stack.udp_send_segments(now, id, bytes, size, remote);
        self.towards(remote).poll(cx, Interest::Write, send)
    }

    /// As `receive`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `recv_from`.
    pub fn poll_receive(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        let received = self.group.poll(cx, Interest::Read, |stack, _, id| stack.udp_recv_from(id, buf));
        received.map_ok(|(_, received)| received)
    }

    /// The part of it that sends to `remote`: in the shard whose that flow is, so that answers come there.
    fn towards(&self, remote: Option<SocketAddr>) -> &Socket {
        match remote {
            _ if self.group.is_single() => self.group.first(),
            None => self.group.of(self.home.load(Relaxed)),
            Some(remote) => self.group.of(self.net.home_of_flow(remote, self.bound)),
        }
    }

    /// Does the same in each shard.
    fn each(&self, mut f: impl FnMut(&mut Stack, Instant, SocketId) -> Result<(), Error>) -> io::Result<()> {
        self.group.iter().try_for_each(|socket| socket.command(&mut f))
    }
}
