//! TUN: an interface of the kernel that hands over IP packets, without link headers.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use super::tap::{Queue, QueueBuilder};
use super::{Capabilities, Cidr, Device, Error, Medium};
use crate::buf::frame::{RxFrame, TxFrame};
use crate::time::Instant;

/// A TUN: a point-to-point interface of the kernel whose other end is this process.
///
/// It is gone when this value is dropped, unless it was there before (`ip tuntap add`).
#[derive(Debug)]
pub struct Tun(Queue);

/// What a TUN is to be like: the kernel's side of it.
#[derive(Debug)]
#[must_use]
pub struct TunBuilder(QueueBuilder);

impl Tun {
    /// The interface's name.
    pub fn name(&self) -> &str {
        self.0.name.as_str()
    }
}

impl TunBuilder {
    /// A TUN of that name; with `%d` in it, the kernel chooses a number.
    pub fn new(name: &str) -> Self {
        Self(QueueBuilder::new(name, Medium::Ip))
    }

    /// Gives the kernel's side an address; can be called many times. IPv6 addresses are usable at once.
    pub fn address<A>(self, address: A) -> Self
    where
        A: TryInto<Cidr>,
        Error: From<A::Error>,
    {
        Self(self.0.address(address.try_into().map_err(Error::from)))
    }

    /// Sends everything that has no better route here. `gateway` only names the interface, as one of its networks has
    /// it: nobody is there to be asked; one for each family.
    pub fn default_route(self, gateway: IpAddr) -> Self {
        Self(self.0.gateway(gateway))
    }

    /// The largest IP packet, in bytes (1500 unless told otherwise).
    pub fn mtu(self, mtu: usize) -> Self {
        Self(self.0.mtu(mtu))
    }

    /// Brings the interface up.
    pub fn up(self) -> Self {
        Self(self.0.up())
    }

    /// Takes and hands over merged packets and partial checksums; `capabilities` then says so.
    pub fn offload(self) -> Self {
        Self(self.0.offload())
    }

    /// Makes the interface and configures it.
    ///
    /// # Errors
    /// As for a TAP: the message says what failed, why, and what mends it.
    pub fn build(self) -> Result<Tun, Error> {
        self.0.build().map(Tun)
    }

    /// Makes the interface with so many queues, one for each shard of a host, as
    /// [`TapBuilder::build_queues`](super::TapBuilder::build_queues) does.
    ///
    /// # Errors
    /// As there.
    pub fn build_queues(self, count: usize) -> Result<Vec<Tun>, Error> {
        Ok(self.0.build_queues(count)?.into_iter().map(Tun).collect())
    }
}

impl Device for Tun {
    fn capabilities(&self) -> Capabilities {
        self.0.frames.capabilities()
    }
    fn recv(&mut self, _now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.0.recv()
    }
    fn send(&mut self, _now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.0.send(frame)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.frames.as_fd())
    }

    fn recv_is_dear(&self) -> bool {
        true
    }
}
