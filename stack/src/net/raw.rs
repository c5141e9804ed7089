//! Raw sockets over the shared stack.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::Net;
use super::shared::Shared;
use super::socket::Socket;
use super::wakers::Interest;
use crate::buf::frame::InterfaceId;
use crate::raw::{Counters, Family, IcmpFilter, Options, Received};

/// A socket for the packets of one IP protocol.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
}

impl RawSocket {
    /// Opens a socket for one protocol of one family.
    ///
    /// # Errors
    /// Too many sockets.
    pub fn open(net: &Net, family: Family, protocol: u8) -> io::Result<Self> {
        Ok(Self { socket: net.open(|stack, _| stack.raw_open(family, protocol))? })
    }

    /// The stack.
    pub(crate) fn only_shared(&self) -> Option<&Arc<Shared>> {
        Some(self.socket.shared())
    }

    /// Receives and sends with this address of ours alone; `None` for any.
    ///
    /// # Errors
    /// Not ours; another family.
    pub fn bind(&self, local: Option<IpAddr>) -> io::Result<()> {
        self.socket.command(|stack, _, id| stack.raw_bind(id, local))
    }

    /// Speaks with `remote` alone; `None` for all.
    ///
    /// # Errors
    /// Another family.
    pub fn connect(&self, remote: Option<IpAddr>) -> io::Result<()> {
        self.socket.command(|stack, _, id| stack.raw_connect(id, remote))
    }

    /// Sends a packet; `interface` for link-local destinations.
    ///
    /// # Errors
    /// Too long; no route; not a header where one must be; what ICMP said about an earlier one.
    pub async fn send_to(
        &self,
        bytes: &[u8],
        remote: IpAddr,
        interface: Option<InterfaceId>,
    ) -> io::Result<usize> {
        let send = |cx: &mut Context<'_>| {
            self.socket.poll(cx, Interest::Write, |stack, now, id| {
                stack.raw_send_to(now, id, bytes, Some(remote), interface)
            })
        };
        poll_fn(send).await
    }

    /// Takes the next packet; what does not fit into `buf` is lost, as the answer tells.
    ///
    /// # Errors
    /// What ICMP said about an earlier packet.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<Received> {
        poll_fn(|cx| self.poll_recv_from(cx, buf)).await
    }

    /// The options.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn options(&self) -> io::Result<Options> {
        self.socket.command(|stack, _, id| stack.raw_options(id))
    }

    /// Changes options: `socket.configure(|o| o.ttl = Some(1))`.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) -> io::Result<()> {
        self.socket.command(|stack, _, id| {
            let mut options = stack.raw_options(id)?;
            change(&mut options);
            stack.raw_set_options(id, options)
        })
    }

    /// Chooses which ICMP messages are received.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_filter(&self, filter: IcmpFilter) -> io::Result<()> {
        self.socket.command(|stack, _, id| stack.raw_set_filter(id, filter))
    }

    /// What the socket counted.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn counters(&self) -> io::Result<Counters> {
        self.socket.command(|stack, _, id| stack.raw_counters(id))
    }

    /// As `recv_from`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `recv_from`.
    pub fn poll_recv_from(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        self.socket.poll(cx, Interest::Read, |stack, _, id| stack.raw_recv_from(id, buf))
    }
}
