//! TAP and TUN: interfaces of the kernel whose other end is this process.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::frames::Frames;
use super::setup::{self, Setup};
use super::sys::{self, Control, IfName};
use super::{Capabilities, Cidr, Device, Error, Medium};
use crate::buf::frame::{RxFrame, TxFrame};
use crate::buf::shard::Shard;
use crate::time::Instant;

/// A TAP: an Ethernet interface of the kernel whose wire ends in this process.
///
/// It is gone when this value is dropped, unless it was there before (`ip tuntap add`).
#[derive(Debug)]
pub struct Tap(Queue);

/// What a TAP is to be like: the kernel's side of it.
///
/// ```no_run
/// # use ustack::device::TapBuilder;
/// let tap = TapBuilder::new("tap0").address("10.9.0.1/24").address("fd09::1/64").mtu(1500).up().build()?;
/// # Ok::<(), ustack::device::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct TapBuilder(QueueBuilder);

impl Tap {
    /// The interface's name.
    pub fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// The link address of the kernel's side.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn kernel_mac(&self) -> io::Result<[u8; 6]> {
        Control::open()?.link_address(&self.0.name).map(|(mac, _)| mac)
    }

    pub(super) fn from_queue(queue: Queue) -> Self {
        Self(queue)
    }
}

impl TapBuilder {
    /// A TAP of that name; with `%d` in it, the kernel chooses a number.
    pub fn new(name: &str) -> Self {
        Self(QueueBuilder::new(name, Medium::Ethernet))
    }

    /// Gives the kernel's side an address; can be called many times. IPv6 addresses are usable at once.
    pub fn address<A>(self, address: A) -> Self
    where
        A: TryInto<Cidr>,
        Error: From<A::Error>,
    {
        Self(self.0.address(address.try_into().map_err(Error::from)))
    }

    /// The largest IP packet, in bytes (1500 unless told otherwise).
    pub fn mtu(self, mtu: usize) -> Self {
        Self(self.0.mtu(mtu))
    }

    /// The link address of the kernel's side (random unless told otherwise).
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.0.setup.mac = Some(mac);
        self
    }

    /// Brings the interface up.
    pub fn up(mut self) -> Self {
        self.0.setup.up = true;
        self
    }

    /// Takes and hands over merged frames and partial checksums; `capabilities` then says so.
    pub fn offload(mut self) -> Self {
        self.0.offload = true;
        self
    }

    /// Makes the interface and configures it.
    ///
    /// # Errors
    /// No privilege, no TUN/TAP in this kernel, the name is taken, or a setting is refused: the message says which, and
    /// what mends it.
    pub fn build(self) -> Result<Tap, Error> {
        self.0.build().map(Tap)
    }

    /// Makes the interface with so many queues, at most [`Shard::MOST`]: one for each shard of a host
    /// (`IFF_MULTI_QUEUE`). Each is a device of its own. A frame of the kernel's comes to one of them; those of a flow
    /// to the one to which its last frame was written, for three seconds after that.
    ///
    /// # Errors
    /// As for [`Self::build`]; an interface that was there before must have been made for several queues
    /// (`ip tuntap add ... multi_queue`).
    pub fn build_queues(self, count: usize) -> Result<Vec<Tap>, Error> {
        Ok(self.0.build_queues(count)?.into_iter().map(Tap).collect())
    }
}

impl Device for Tap {
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

/// The open queue of a TUN or TAP.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: IfName,
    pub(super) frames: Frames,
}

impl Queue {
    /// A queue over a descriptor that is attached to an interface already.
    pub(super) fn new(name: IfName, file: File, medium: Medium, mtu: usize, offload: bool) -> Self {
        let mut capabilities = Capabilities::plain(medium, mtu);
        if offload {
            capabilities = capabilities.merging();
            // Linux 6.2 and later; an older kernel refuses, and leaves what was switched on before.
            let datagrams = libc::TUN_F_USO4 | libc::TUN_F_USO6;
            capabilities.udp_segments = sys::tun_offload(file.as_fd(), OFFLOADS | datagrams).is_ok();
        }
        Self { name, frames: Frames::new(file, offload, capabilities) }
    }

    pub(super) fn recv(&mut self) -> io::Result<Option<RxFrame<'_>>> {
        let name = self.name;
        self.frames.recv().map_err(|error| match error.raw_os_error() {
            Some(libc::EBADFD | libc::EFAULT) => {
                io::Error::new(io::ErrorKind::NotConnected, format!("{name} is gone: it was deleted"))
            }
            _ => error,
        })
    }

    pub(super) fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.frames.send(frame)
    }
}

/// What TAP and TUN have in common when they are made.
#[derive(Debug)]
pub(super) struct QueueBuilder {
    name: String,
    medium: Medium,
    setup: Setup,
    offload: bool,
    /// The first thing that was asked for and made no sense.
    nonsense: Option<Error>,
}

impl QueueBuilder {
    pub(super) fn new(name: &str, medium: Medium) -> Self {
        Self { name: name.into(), medium, setup: Setup::default(), offload: false, nonsense: None }
    }

    pub(super) fn address(mut self, address: Result<Cidr, Error>) -> Self {
        match address {
            Ok(address) => self.setup.addresses.push(address),
            Err(error) => self.nonsense = self.nonsense.or(Some(error)),
        }
        self
    }

    pub(super) fn gateway(mut self, gateway: IpAddr) -> Self {
        self.setup.gateways.push(gateway);
        self
    }

    pub(super) fn mtu(mut self, mtu: usize) -> Self {
        self.setup.mtu = Some(mtu);
        self
    }

    pub(super) fn up(mut self) -> Self {
        self.setup.up = true;
        self
    }

    pub(super) fn offload(mut self) -> Self {
        self.offload = true;
        self
    }

    pub(super) fn build(mut self) -> Result<Queue, Error> {
        let (name, file, mtu) = self.make(false)?;
        Ok(Queue::new(name, file, self.medium, mtu, self.offload))
    }

    pub(super) fn build_queues(mut self, count: usize) -> Result<Vec<Queue>, Error> {
        check_queues(count)?;
        if count == 1 {
            return Ok(vec![self.build()?]);
        }
        let (name, first, mtu) = self.make(true)?;
        let mut files = vec![first];
        while files.len() < count {
            let opened = open(&name, self.medium, self.offload, true);
            files.push(opened.map_err(|(step, cause)| step.explain(&name, cause))?.1);
        }
        let queue = |file| Queue::new(name, file, self.medium, mtu, self.offload);
        Ok(files.into_iter().map(queue).collect())
    }

    /// Makes the interface with its first queue; answers its MTU too.
    fn make(&mut self, several: bool) -> Result<(IfName, File, usize), Error> {
        if let Some(error) = self.nonsense.take() {
            return Err(error);
        }
        let name = interface_name(&self.name)?;
        let opened = open(&name, self.medium, self.offload, several);
        let (name, file) = opened.map_err(|(step, cause)| step.explain(&name, cause))?;
        let applied = self.setup.apply(&name);
        applied.map_err(|(step, cause)| setup::explain(&name, &self.setup, step, cause))?;
        let mtu = Control::open().and_then(|control| control.mtu(&name));
        let mtu = mtu.map_err(|cause| Error::new(format!("cannot ask for the MTU of {name}"), cause))?;
        Ok((name, file, mtu))
    }
}

/// Checks how many queues are asked for.
pub(super) fn check_queues(count: usize) -> Result<(), Error> {
    let fits = (1..=Shard::MOST).contains(&count);
    fits.then_some(()).ok_or_else(|| Error::invalid(format!("{count} queues"), "there can be 1 to 64"))
}

/// Checks the name of an interface.
pub(super) fn interface_name(name: &str) -> Result<IfName, Error> {
    let no_name = || {
        Error::invalid(format!("`{name}` is no name for an interface"), "1 to 15 bytes, no space, `/` or `:`")
    };
    IfName::new(name).ok_or_else(no_name)
}

/// What every kernel with an offload header can do: complete checksums, cut and merge streams.
const OFFLOADS: u32 = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// A step of opening a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenStep {
    Open,
    Attach,
    Offload,
}

/// Opens a queue on the interface `name`, which is made if it is not there; one of `several` or the only one. Allocates
/// nothing.
pub(super) fn open(
    name: &IfName,
    medium: Medium,
    offload: bool,
    several: bool,
) -> Result<(IfName, File), (OpenStep, io::Error)> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.map_err(|error| (OpenStep::Open, error))?;
    let kind = match medium {
        Medium::Ethernet => libc::IFF_TAP,
        Medium::Ip => libc::IFF_TUN,
    };
    let vnet = if offload { libc::IFF_VNET_HDR } else { 0 };
    let queues = if several { libc::IFF_MULTI_QUEUE } else { 0 };
    let name = sys::tun_attach(file.as_fd(), name, kind | libc::IFF_NO_PI | vnet | queues)
        .map_err(|error| (OpenStep::Attach, error))?;
    if offload {
        sys::tun_offload(file.as_fd(), OFFLOADS).map_err(|error| (OpenStep::Offload, error))?;
    }
    Ok((name, file))
}

/// What an ordinary user can do about a missing privilege.
pub(super) const PRIVILEGE: &str = "run as root, or `sudo setcap cap_net_admin,cap_net_raw+ep` the program, or run your \
     command behind it in a private namespace (`-- CMD`), which needs no privilege";

impl OpenStep {
    pub(super) fn explain(self, name: &IfName, cause: io::Error) -> Error {
        let code = cause.raw_os_error();
        match (self, code) {
            (Self::Open, Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
                Error::new("cannot open /dev/net/tun", cause).remedy(
                    "`modprobe tun`; in a container also `mkdir -p /dev/net && mknod /dev/net/tun c 10 200`",
                )
            }
            (Self::Open, _) => Error::new("cannot open /dev/net/tun", cause).remedy(PRIVILEGE),
            (Self::Attach, Some(libc::EBUSY)) => Error::new(format!("cannot make {name}"), cause)
                .remedy("another process holds it: stop that or choose another name"),
            (Self::Attach, Some(libc::EINVAL)) => Error::new(format!("cannot make {name}"), cause)
                .remedy("an interface of this name exists and is of another kind, or has one queue where several are asked \
                     for: choose another name"),
            (Self::Attach, _) => Error::new(format!("cannot make {name}"), cause).remedy(PRIVILEGE),
            (Self::Offload, _) => Error::new(format!("cannot switch on the offloads of {name}"), cause),
        }
    }
}
