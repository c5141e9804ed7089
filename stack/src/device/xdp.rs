//! AF_XDP: frames through memory that the driver of an interface and we share, past the kernel's stack.

mod program;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::packet::{EthernetLink, explain_recv};
use super::sys::{self, Front, IfName, XdpSocket};
use super::{Capabilities, Device, ETHERNET_HEADER, Error, Medium};
use crate::buf::frame::{Checksum, Offload, RxFrame, TxFrame};
use crate::time::Instant;

/// What a person can do about a missing privilege.
pub(super) const PRIVILEGE: &str = "run as the machine's root (that of a user namespace has not enough rights), or `sudo setcap \
     cap_net_admin,cap_net_raw,cap_bpf+ep` the program";
/// And about a kernel without XDP.
pub(super) const NOT_HERE: &str = "this kernel has no XDP sockets (CONFIG_XDP_SOCKETS): use a packet socket";

/// Places for frames in each direction. 2048 bytes each, or 4096: 4 or 8 MiB in all.
const CHUNKS: u32 = 1024;
/// Before each received frame the kernel leaves so much room.
const HEADROOM: usize = 256;
const CHUNK_SIZES: [u32; 2] = [2048, 4096];
/// Queues of one interface that a map has places for.
const MAX_QUEUES: u32 = 64;
/// Frames in a row that are unsound and are passed over at once.
const MAX_UNSOUND: usize = 64;
/// The socket itself is asked each time so often in a row nothing has come.
const GLANCE: u32 = 64;
/// A call sends 32 frames or more; what it does not send then is left to the next.
const MAX_KICKS: usize = CHUNKS as usize / 32;

/// An XDP socket on one queue of an Ethernet interface.
///
/// What comes for the stack's link address, and for broadcast and multicast addresses, goes to the stack and never
/// reaches the kernel; the rest goes to the kernel as before. So a kernel that has addresses on the same interface
/// hears no ARP requests and no advertisements any more: its neighbours need to know it. All frames are single packets,
/// with their checksums. Where the driver can, it reads and writes our memory itself; else the kernel copies.
#[derive(Debug)]
pub struct Xdp {
    name: IfName,
    mac: [u8; 6],
    mtu: usize,
    socket: XdpSocket,
    zero_copy: bool,
    open_sums: bool,
    batch: bool,
    /// The frame at the front was lent.
    lent: bool,
    /// Frames that made no sense.
    unsound: u64,
    /// How often in a row nothing had come.
    idle: u32,
    /// The program on the interface, which is gone with it.
    _attached: OwnedFd,
    /// Has the interface let frames for our link address through.
    _membership: OwnedFd,
}

/// What an XDP socket is to hear.
#[derive(Debug)]
#[must_use]
pub struct XdpBuilder {
    name: String,
    mac: Option<[u8; 6]>,
    queue: u32,
    promiscuous: bool,
    open_sums: bool,
    batch: bool,
    copy: bool,
}

impl Xdp {
    /// The interface's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The link address whose frames arrive, beside those of all groups: the stack's own, not the interface's.
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Whether the driver reads and writes frames where they lie in our memory.
    pub const fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }
}

impl XdpBuilder {
    /// On the interface of that name.
    pub fn new(interface: &str) -> Self {
        Self {
            name: interface.into(),
            mac: None,
            queue: 0,
            promiscuous: false,
            open_sums: false,
            batch: false,
            copy: false,
        }
    }

    /// The stack's link address; unless told otherwise, one made from the interface's.
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The receive queue, from 0, if the interface has several: what comes by the others goes to the kernel.
    pub fn queue(mut self, queue: u32) -> Self {
        self.queue = queue;
        self
    }

    /// Takes everything that arrives by the queue: the kernel hears nothing any more.
    pub fn promiscuous(mut self) -> Self {
        self.promiscuous = true;
        self
    }

    /// Takes all received checksums for verified. For a virtual wire whose other end leaves them open (`ethtool -K`:
    /// `tx on`): XDP does not tell, and they would all be wrong.
    pub fn open_sums(mut self) -> Self {
        self.open_sums = true;
        self
    }

    /// Sends many frames with one system call: what `send` takes may wait until [`Device::flush`].
    pub fn batch(mut self) -> Self {
        self.batch = true;
        self
    }

    /// Has the kernel copy frames even where the driver could do without.
    pub fn copy(mut self) -> Self {
        self.copy = true;
        self
    }

    /// Opens the socket and puts its program on the interface.
    ///
    /// # Errors
    /// No privilege (a user namespace's root has not enough), no XDP in this kernel or for this interface, no such
    /// interface or queue, an MTU that is too large, or another XDP program there: the message says what mends it.
    pub fn build(self) -> Result<Xdp, Error> {
        let link = EthernetLink::find(&self.name)?;
        let mac = self.mac.unwrap_or_else(|| link.mac_beside());
        let chunk = chunk_size(&link)?;
        let fail = |what: &str, cause| explain(&link, what, cause);
        let socket =
            XdpSocket::new(chunk, CHUNKS).map_err(|cause| fail("cannot open an XDP socket", cause))?;
        let membership = join(&link, mac, self.promiscuous)
            .map_err(|cause| fail("cannot have the interface listen to another address", cause))?;
        let map = sys::xdp_map(MAX_QUEUES).map_err(|cause| fail("cannot make a map of sockets", cause))?;
        let program = program::redirect((!self.promiscuous).then_some(mac), map.as_raw_fd());
        let program = sys::xdp_program(&program).map_err(|cause| fail("cannot load the program", cause))?;
        let attached = attach(program.as_fd(), link.index)
            .map_err(|cause| fail("cannot put the program on the interface", cause))?;
        let bind = || {
            socket.bind(link.index, self.queue, self.copy)?;
            socket.is_zero_copy()
        };
        let zero_copy = bind().map_err(|cause| fail("cannot have the queue", cause))?;
        sys::xdp_map_set(map.as_fd(), self.queue, socket.as_fd())
            .map_err(|cause| fail("cannot register the socket", cause))?;
        Ok(Xdp {
            name: link.name,
            mac,
            mtu: link.mtu,
            socket,
            zero_copy,
            open_sums: self.open_sums,
            batch: self.batch,
            lent: false,
            unsound: 0,
            idle: 0,
            _attached: attached,
            _membership: membership,
        })
    }
}

impl Device for Xdp {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, self.mtu)
    }

    fn recv(&mut self, _now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        if std::mem::take(&mut self.lent) {
            self.socket.pop();
        }
        for _ in 0..MAX_UNSOUND {
            match self.socket.front() {
                Front::Frame => {
                    self.lent = true;
                    self.idle = 0;
                    let checksum = if self.open_sums { Checksum::Verified } else { Checksum::Full };
                    let offload = Offload { checksum, gso: None };
                    return Ok(self.socket.frame().map(|bytes| RxFrame { bytes, offload }));
                }
                Front::Unsound => {
                    self.socket.pop();
                    self.unsound += 1;
                }
                Front::Nothing => break,
            }
        }
        self.wait_for_more()?;
        Ok(None)
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        if frame.offload.gso.is_some() || matches!(frame.offload.checksum, Checksum::Partial { .. }) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this device completes no frames"));
        }
        if frame.len() > self.mtu + ETHERNET_HEADER {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the frame is longer than the MTU"));
        }
        let parts = [frame.head, frame.body[0], frame.body[1]];
        if !self.socket.push(&parts) {
            // All places are taken: what waits goes first.
            self.flush(now)?;
            if !self.socket.push(&parts) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        if self.batch { Ok(()) } else { self.flush(now).map(drop) }
    }

    fn flush(&mut self, _now: Instant) -> io::Result<usize> {
        for _ in 0..MAX_KICKS {
            if !self.socket.wants_kick() {
                break;
            }
            match self.socket.kick() {
                Ok(()) => {}
                // It has sent some, and more wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_busy(&error) => break,
                Err(error) => return Err(explain_recv(self.name, error)),
            }
        }
        Ok(0)
    }

    fn missed(&mut self) -> u64 {
        self.unsound + self.socket.missed().unwrap_or(0)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

impl Xdp {
    /// Nothing has come: looks now and then whether anything still can.
    fn wait_for_more(&mut self) -> io::Result<()> {
        self.socket.wake_receiver();
        let before = self.idle;
        self.idle = before.wrapping_add(1);
        if before.is_multiple_of(GLANCE) {
            self.socket.take_error().map_err(|error| explain_recv(self.name, error))?;
        }
        Ok(())
    }
}

/// What is there for a moment: no room, or an interface that is down for now.
fn is_busy(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOBUFS | libc::EINTR | libc::ENETDOWN))
}

/// Bytes of a chunk in which the interface's frames fit.
fn chunk_size(link: &EthernetLink) -> Result<u32, Error> {
    let longest = link.mtu + ETHERNET_HEADER + HEADROOM;
    let fits = CHUNK_SIZES.into_iter().find(|&size| longest <= size as usize);
    fits.ok_or_else(|| {
        let most = CHUNK_SIZES[1] as usize - ETHERNET_HEADER - HEADROOM;
        let what = format!("cannot use XDP on {}", link.name);
        let cause = io::Error::new(io::ErrorKind::Unsupported, "its packets are too large");
        Error::new(what, cause).remedy(format!("`ip link set {} mtu {most}` or less", link.name))
    })
}

/// Has the interface let frames for another address, and for all groups, through, as long as the answer lives.
fn join(link: &EthernetLink, mac: [u8; 6], promiscuous: bool) -> io::Result<OwnedFd> {
    // Not bound to a protocol, it hears nothing itself.
    let socket = sys::packet_socket()?;
    let join = |kind| sys::packet_join(socket.as_fd(), link.index, kind, mac);
    if promiscuous {
        join(libc::PACKET_MR_PROMISC)?;
    } else {
        join(libc::PACKET_MR_ALLMULTI)?;
        // A card that cannot listen to a second address listens to all.
        join(libc::PACKET_MR_UNICAST).or_else(|_| join(libc::PACKET_MR_PROMISC))?;
    }
    Ok(socket)
}

/// In the driver, or if that cannot, behind it.
fn attach(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    const BEHIND_DRIVER: u32 = 1 << 1;
    const IN_DRIVER: u32 = 1 << 2;
    sys::xdp_attach(program, interface, IN_DRIVER).or_else(|error| match error.raw_os_error() {
        Some(libc::EBUSY | libc::EPERM) => Err(error),
        _ => sys::xdp_attach(program, interface, BEHIND_DRIVER),
    })
}

fn explain(link: &EthernetLink, what: &str, cause: io::Error) -> Error {
    let name = link.name;
    let code = cause.raw_os_error();
    let error = Error::new(format!("XDP on {name}: {what}"), cause);
    match code {
        Some(libc::EPERM | libc::EACCES) => {
            error.remedy(PRIVILEGE)
        }
        Some(libc::EBUSY) => error.remedy(format!(
            "another program has it: `ip link set {name} xdp off`, or end the program, or choose another queue"
        )),
        Some(libc::EAFNOSUPPORT | libc::ENOSYS) => {
            error.remedy(NOT_HERE)
        }
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENODEV) => {
            error.remedy("this kernel or driver may have no XDP, or no such queue; use a packet socket")
        }
        _ => error,
    }
}
