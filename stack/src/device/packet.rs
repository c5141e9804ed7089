//! A raw device: a packet socket on an interface of the kernel, which goes on living beside us.

mod outbox;
mod ring;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use self::outbox::Outbox;
use self::ring::{Next, Ring};
use super::frames::Frames;
use super::sys::{self, Control, IfName};
use super::tap::{PRIVILEGE, check_queues, interface_name};
use super::{Capabilities, Device, Error, Medium, filter, interfaces};
use crate::buf::frame::{RxFrame, TxFrame};
#[cfg(doc)]
use crate::buf::shard::Shard;
use crate::time::Instant;

/// Room for frames that wait to be received, and for those that an interface has not sent yet: about 60 merged ones.
/// What Linux gives unasked is enough for three.
const BUFFER: i32 = 4 << 20;

/// Frames in a row that were cut short and are passed over at once.
const MAX_CUT: usize = 64;
/// The socket itself is asked each time so often in a row nothing is in the ring.
const GLANCE: u32 = 64;
/// Nobody wants to wait longer for a frame.
const MAX_COALESCE: u32 = 1000;

/// A packet socket on an Ethernet interface.
///
/// Frames that the kernel merged arrive as one, and checksums that it left to a card are known as such. What this
/// machine's own kernel sends by the interface goes to the wire and not to us, so the two cannot talk to each other.
///
/// Received frames lie in a ring that the kernel and we share: they are read there, without a system call for each and
/// without a copy. Merged ones are too long for its slots and come by a read each. Where the kernel grants no ring, all
/// do.
#[derive(Debug)]
pub struct Packet {
    name: IfName,
    mac: [u8; 6],
    frames: Frames,
    ring: Option<Ring>,
    outbox: Option<Box<Outbox>>,
    missed: u64,
    /// How often in a row nothing was in the ring.
    idle: u32,
}

/// What a packet socket is to hear.
#[derive(Debug)]
#[must_use]
pub struct PacketBuilder {
    name: String,
    mac: Option<[u8; 6]>,
    promiscuous: bool,
    offload: bool,
    ring: Option<Receive>,
    batch: bool,
}

/// The ring that was asked for.
#[derive(Clone, Copy, Debug)]
enum Receive {
    Slots,
    /// Blocks, which wait for so many milliseconds to be filled.
    Blocks(u32),
}

impl Packet {
    /// The interface's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The link address whose frames arrive, beside those of all groups: the stack's own, not the interface's.
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Whether received frames lie in a ring that the kernel and we share.
    pub const fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// A packet socket on one end of a wire of which we own the other: everything that comes is for us.
    pub(super) fn from_socket(
        name: IfName,
        mac: [u8; 6],
        socket: OwnedFd,
        mtu: usize,
        offload: bool,
    ) -> Self {
        let ring = Ring::slots(socket.as_fd(), mtu).ok();
        let frames = Frames::new(File::from(socket), true, capabilities(mtu, offload));
        Self { name, mac, frames, ring, outbox: None, missed: 0, idle: 0 }
    }
}

impl PacketBuilder {
    /// On the interface of that name.
    pub fn new(interface: &str) -> Self {
        Self {
            name: interface.into(),
            mac: None,
            promiscuous: false,
            offload: false,
            ring: Some(Receive::Slots),
            batch: false,
        }
    }

    /// The stack's link address; unless told otherwise, one made from the interface's.
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Hears everything that passes the interface.
    pub fn promiscuous(mut self) -> Self {
        self.promiscuous = true;
        self
    }

    /// Takes merged frames and partial checksums for sending too; `capabilities` then says so.
    pub fn offload(mut self) -> Self {
        self.offload = true;
        self
    }

    /// Sends short frames with one system call for many: what `send` takes may wait until [`Device::flush`].
    pub fn batch(mut self) -> Self {
        self.batch = true;
        self
    }

    /// Lets received frames wait for others, for so long at most (whole milliseconds, at least one): many are then
    /// handed over at once, which wakes us less often. Worth it for floods of small packets that nobody waits for; a
    /// request and its response take longer by that time.
    pub fn coalesce(mut self, time: Duration) -> Self {
        let millis = time.as_micros().div_ceil(1000);
        self.ring = Some(Receive::Blocks(u32::try_from(millis).unwrap_or(u32::MAX).clamp(1, MAX_COALESCE)));
        self
    }

    /// Reads each frame by a system call, as where the kernel grants no ring. Takes less memory of the kernel's: a ring
    /// is 2 MiB, or 4 for large packets and for blocks.
    pub fn no_ring(mut self) -> Self {
        self.ring = None;
        self
    }

    /// Opens the socket.
    ///
    /// # Errors
    /// No privilege, no such interface, or it is down or not Ethernet: the message says what mends it.
    pub fn build(self) -> Result<Packet, Error> {
        let link = EthernetLink::find(&self.name)?;
        self.open(&link)
    }

    /// Opens so many sockets, at most [`Shard::MOST`], which share what arrives: one for each shard of a host. A frame
    /// comes to one of them, those of one flow of TCP or UDP to the same, that of the shard to which the flow belongs
    /// (`PACKET_FANOUT`); an old kernel shares them out in its own way.
    ///
    /// # Errors
    /// As for [`Self::build`].
    pub fn build_queues(self, count: usize) -> Result<Vec<Packet>, Error> {
        check_queues(count)?;
        let link = EthernetLink::find(&self.name)?;
        let sockets = (0..count).map(|_| self.open(&link)).collect::<Result<Vec<_>, _>>()?;
        if count > 1 {
            let share = share(&sockets.iter().map(|socket| socket.frames.as_fd()).collect::<Vec<_>>());
            share.map_err(|cause| Error::new(format!("cannot share {} among queues", link.name), cause))?;
        }
        Ok(sockets)
    }

    fn open(&self, link: &EthernetLink) -> Result<Packet, Error> {
        let mac = self.mac.unwrap_or_else(|| link.mac_beside());
        let socket = listen(link, mac, self.promiscuous)?;
        let fail = |cause| Error::new(format!("cannot listen on {}", link.name), cause);
        sys::packet_switch(socket.as_fd(), libc::PACKET_VNET_HDR, true).map_err(fail)?;
        // Without a ring, frames are read one by one.
        let ring = self.ring.and_then(|kind| match kind {
            Receive::Slots => Ring::slots(socket.as_fd(), link.mtu).ok(),
            Receive::Blocks(millis) => Ring::blocks(socket.as_fd(), millis).ok(),
        });
        sys::packet_bind(socket.as_fd(), link.index).map_err(fail)?;
        let frames = Frames::new(File::from(socket), true, capabilities(link.mtu, self.offload));
        let outbox = self.batch.then(|| Box::new(Outbox::new()));
        Ok(Packet { name: link.name, mac, frames, ring, outbox, missed: 0, idle: 0 })
    }
}

impl Device for Packet {
    fn capabilities(&self) -> Capabilities {
        self.frames.capabilities()
    }

    fn recv(&mut self, _now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        let name = self.name;
        if let Some(ring) = &mut self.ring {
            let mut next = ring.next();
            for _ in 0..MAX_CUT {
                if next != Next::Cut {
                    break;
                }
                self.missed += 1;
                next = ring.next();
            }
            if let Next::Frame(place) = next {
                self.idle = 0;
                return Ok(ring.frame(place));
            }
            let before = self.idle;
            self.idle = if next == Next::Nothing { before.wrapping_add(1) } else { 0 };
            // Who asks again and again need not ask the kernel each time whether the interface is still there.
            if next == Next::Nothing && !before.is_multiple_of(GLANCE) {
                return Ok(None);
            }
        }
        self.frames.recv().map_err(|error| explain_recv(name, error))
    }

    fn send(&mut self, _now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        let Some(outbox) = &mut self.outbox else { return self.frames.send(frame) };
        if outbox.push(frame) {
            return Ok(());
        }
        // It is too long to wait, or there is no room: what waits goes first.
        let flushed = outbox.flush(self.frames.as_fd());
        if outbox.push(frame) {
            return Ok(());
        }
        flushed?;
        self.frames.send(frame)
    }

    fn flush(&mut self, _now: Instant) -> io::Result<usize> {
        let Some(outbox) = &mut self.outbox else { return Ok(0) };
        outbox.flush(self.frames.as_fd())?;
        Ok(outbox.take_refused())
    }

    fn missed(&mut self) -> u64 {
        self.missed += sys::packet_drops(self.frames.as_fd()).map_or(0, u64::from);
        self.missed
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.frames.as_fd())
    }
}

/// Has bound sockets share what arrives.
pub(super) fn share(sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let Some((first, others)) = sockets.split_first() else { return Ok(()) };
    let program = filter::for_queues(sockets.len() as u32);
    let (how, group) = match sys::packet_fanout(*first, None, libc::PACKET_FANOUT_CBPF) {
        Ok(group) => (libc::PACKET_FANOUT_CBPF, group),
        // Kernels before 4.3: by a hash of its own.
        Err(_) => (libc::PACKET_FANOUT_HASH, sys::packet_fanout(*first, None, libc::PACKET_FANOUT_HASH)?),
    };
    others.iter().try_for_each(|socket| sys::packet_fanout(*socket, Some(group), how).map(drop))?;
    if how == libc::PACKET_FANOUT_CBPF { sys::packet_fanout_program(*first, &program) } else { Ok(()) }
}

fn capabilities(mtu: usize, offload: bool) -> Capabilities {
    let plain = Capabilities::plain(Medium::Ethernet, mtu);
    if offload { plain.merging() } else { plain }
}

pub(super) fn explain_recv(name: IfName, error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENETDOWN) => {
            io::Error::new(io::ErrorKind::NetworkDown, format!("{name} went down or was removed"))
        }
        _ => error,
    }
}

/// An Ethernet interface that is up.
#[derive(Debug)]
pub(super) struct EthernetLink {
    pub(super) name: IfName,
    pub(super) index: u32,
    pub(super) mac: [u8; 6],
    pub(super) mtu: usize,
}

impl EthernetLink {
    pub(super) fn find(name: &str) -> Result<Self, Error> {
        let name = interface_name(name)?;
        let fail = |cause: io::Error| {
            let missing = cause.raw_os_error() == Some(libc::ENODEV);
            let error = Error::new(format!("cannot use the interface {name}"), cause);
            if missing { error.remedy(format!("there are: {}", names())) } else { error }
        };
        let control = Control::open().map_err(fail)?;
        let index = control.index(&name).map_err(fail)?;
        let (mac, kind) = control.link_address(&name).map_err(fail)?;
        let mtu = control.mtu(&name).map_err(fail)?;
        if !matches!(kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
            return Err(Error::invalid(format!("cannot use the interface {name}"), "it is not Ethernet"));
        }
        if control.flags(&name).map_err(fail)? & libc::IFF_UP == 0 {
            let down = io::Error::new(io::ErrorKind::NetworkDown, "it is down");
            return Err(fail(down).remedy(format!("`ip link set {name} up`")));
        }
        Ok(Self { name, index, mac, mtu })
    }

    /// A link address beside the interface's own: locally administered, and the same each time.
    pub(super) fn mac_beside(&self) -> [u8; 6] {
        const LOCAL: u8 = 0x02;
        const GROUP: u8 = 0x01;
        const MARK: u8 = 0x75;
        let [a, b, c, d, e, f] = self.mac;
        [a & !GROUP | LOCAL, b, c, d, e, f ^ MARK]
    }
}

fn names() -> String {
    let names: Vec<_> = interfaces::interfaces().into_iter().map(|found| found.name).collect();
    names.join(", ")
}

/// Lets a packet socket hold more frames.
pub(super) fn give_room(socket: BorrowedFd<'_>) {
    sys::set_buffers(socket, BUFFER);
}

/// A packet socket, not yet bound, that will hear what is for `mac` and the groups.
pub(super) fn listen(link: &EthernetLink, mac: [u8; 6], promiscuous: bool) -> Result<OwnedFd, Error> {
    let opened = sys::packet_socket();
    let socket =
        opened.map_err(|cause| Error::new("cannot open a packet socket", cause).remedy(PRIVILEGE))?;
    let fd = socket.as_fd();
    give_room(fd);
    let prepare = || {
        sys::attach_filter(fd, &filter::for_address((!promiscuous).then_some(mac)))?;
        // Kernels before 4.20 do not know this; the filter does the same.
        let _ = sys::packet_switch(fd, libc::PACKET_IGNORE_OUTGOING, true);
        let join = |kind| sys::packet_join(fd, link.index, kind, mac);
        if promiscuous {
            return join(libc::PACKET_MR_PROMISC);
        }
        join(libc::PACKET_MR_ALLMULTI)?;
        // A card that cannot listen to a second address listens to all.
        join(libc::PACKET_MR_UNICAST).or_else(|_| join(libc::PACKET_MR_PROMISC))
    };
    prepare().map_err(|cause| Error::new(format!("cannot listen on {}", link.name), cause))?;
    Ok(socket)
}
