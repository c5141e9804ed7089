//! Any device of ours as one of smoltcp's, offloads included: `ustack::device::smoltcp::Phy`.
//!
//! smoltcp then sends super-segments of up to 64 KiB where the device takes them (over IPv4), leaves TCP checksums to
//! it, and reads merged frames where they lie, without a copy.
//!
//! ```
//! use smoltcp::iface::{Config, Interface};
//! use smoltcp::wire::{EthernetAddress, HardwareAddress};
//! use ustack::device::smoltcp::Phy;
//! use ustack::device::{Medium, Memory};
//!
//! let (ours, _theirs) = Memory::pair(Medium::Ethernet, 1500);
//! let mut phy = Phy::new(ours);
//! let address = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2]));
//! let interface = Interface::new(Config::new(address), &mut phy, smoltcp::time::Instant::ZERO);
//! assert_eq!(interface.hardware_addr(), address);
//! ```

use core::num::{NonZeroU16, NonZeroUsize};
use std::io;

use ::smoltcp::phy::{self, DeviceCapabilities, PacketMeta};
use ::smoltcp::time::Instant as SmolInstant;
use ::smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6Packet, TcpPacket,
    UdpPacket, checksum,
};

use super::{Capabilities, Device, ETHERNET_HEADER, Medium};
use crate::buf::frame::{Checksum, Gso, GsoKind, Offload, RxFrame, TxFrame};
use crate::time::Instant;
use crate::why::Why;

/// No headers are longer.
const HEADERS: usize = 256;

/// A device of ours, for smoltcp.
///
/// - A received frame is lent to smoltcp where the device has it. A reply that smoltcp makes while it reads waits
///   until smoltcp next asks for a frame, which `Interface::poll` does before it returns; [`Phy::flush`] sends it
///   for those who drive smoltcp otherwise.
/// - smoltcp verifies no TCP and no UDP checksum: `Phy` does, unless the device vouches for the frame, and drops what
///   is damaged. Fragments pass unverified.
/// - What the device cannot take is lost, as on any full queue, and counted.
#[derive(Debug)]
pub struct Phy<D: Device> {
    device: D,
    counts: Counts,
    error: Option<io::Error>,
    /// Where smoltcp writes what it sends; as long as the longest frame so far.
    buffer: Vec<u8>,
    /// What `buffer` begins with when it is not sent yet: its length, and what the device has to do.
    waiting: Option<(usize, Offload)>,
}

/// How many frames went which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames that smoltcp was given.
    pub received: u64,
    /// Frames that the device took.
    pub sent: u64,
    /// Frames that the device did not take.
    pub refused: u64,
    /// Received frames that were dropped for a wrong TCP or UDP checksum.
    pub damaged: u64,
}

impl<D: Device> Phy<D> {
    /// The device for smoltcp.
    pub const fn new(device: D) -> Self {
        Self {
            device,
            counts: Counts { received: 0, sent: 0, refused: 0, damaged: 0 },
            error: None,
            buffer: Vec::new(),
            waiting: None,
        }
    }

    /// The device itself, to wait on its descriptor.
    pub const fn get_ref(&self) -> &D {
        &self.device
    }

    /// How many frames went which way.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the last error of the device, which smoltcp has no way to hear of: a broken device, or a malformed frame.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Sends a reply that still waits.
    pub fn flush(&mut self, now: Instant) {
        if let Some((len, offload)) = self.waiting.take() {
            let Self { device, counts, error, buffer, .. } = self;
            Outlet { device, counts, error, now }.send(&buffer[..len], offload);
        }
    }

    /// The device back, after what waits was sent.
    pub fn into_inner(mut self, now: Instant) -> D {
        self.flush(now);
        self.device
    }
}

impl<D: Device> phy::Device for Phy<D> {
    type RxToken<'a>
        = Rx<'a>
    where
        D: 'a;
    type TxToken<'a>
        = Tx<'a, D>
    where
        D: 'a;

    fn receive(&mut self, timestamp: SmolInstant) -> Option<(Rx<'_>, Tx<'_, D>)> {
        let now = instant(timestamp);
        self.flush(now);
        let Capabilities { medium, checksum: leaves_sums, .. } = self.device.capabilities();
        let Self { device, counts, error, buffer, waiting } = self;
        match device.recv(now) {
            Ok(frame) => {
                let frame = frame?;
                counts.received += 1;
                let outlet = Next::Wait(waiting);
                let rx = Rx { frame, medium, damaged: &mut counts.damaged };
                Some((rx, Tx { buffer, medium, leaves_sums, size: None, outlet }))
            }
            Err(cause) => {
                *error = Some(cause);
                None
            }
        }
    }

    fn transmit(&mut self, timestamp: SmolInstant) -> Option<Tx<'_, D>> {
        let now = instant(timestamp);
        self.flush(now);
        let Capabilities { medium, checksum: leaves_sums, .. } = self.device.capabilities();
        let Self { device, counts, error, buffer, .. } = self;
        let outlet = Next::Send(Outlet { device, counts, error, now });
        Some(Tx { buffer, medium, leaves_sums, size: None, outlet })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let ours = self.device.capabilities();
        let (medium, link) = match ours.medium {
            Medium::Ethernet => (phy::Medium::Ethernet, ETHERNET_HEADER),
            Medium::Ip => (phy::Medium::Ip, 0),
        };
        let mut theirs = DeviceCapabilities::default();
        theirs.medium = medium;
        theirs.max_transmission_unit = ours.mtu + link;
        // A sum that is left to the device must not be left out of a datagram that smoltcp fragments: so TCP only.
        theirs.checksum.udp = phy::Checksum::Tx;
        theirs.checksum.tcp = if ours.checksum { phy::Checksum::None } else { phy::Checksum::Tx };
        // Note: IPv4 only. smoltcp 0.14 makes large IPv6 segments, too, but drops what is larger than the MTU.
        if ours.checksum && ours.max_merged > ours.mtu {
            theirs.segmentation.tcpv4 = NonZeroUsize::new(ours.max_merged + link);
        }
        theirs
    }
}

/// A received frame, lent by the device.
#[derive(Debug)]
pub struct Rx<'a> {
    frame: RxFrame<'a>,
    medium: Medium,
    damaged: &'a mut u64,
}

impl phy::RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let Self { frame, medium, damaged } = self;
        if frame.offload.checksum == Checksum::Full && is_damaged(frame.bytes, medium) {
            *damaged += 1;
            // smoltcp takes an empty frame for none.
            return read(&[]);
        }
        read(frame.bytes)
    }
}

/// Room for one frame to send.
#[derive(Debug)]
pub struct Tx<'a, D: Device> {
    buffer: &'a mut Vec<u8>,
    medium: Medium,
    /// Whether TCP checksums are the device's business.
    leaves_sums: bool,
    /// Payload bytes of each segment, if smoltcp leaves the division to the device.
    size: Option<NonZeroU16>,
    outlet: Next<'a, D>,
}

/// What becomes of a frame once it is written.
#[derive(Debug)]
enum Next<'a, D: Device> {
    /// The device lends a frame at this moment: it can take none.
    Wait(&'a mut Option<(usize, Offload)>),
    Send(Outlet<'a, D>),
}

/// The way out of a device, and who hears how it went.
#[derive(Debug)]
struct Outlet<'a, D: Device> {
    device: &'a mut D,
    counts: &'a mut Counts,
    error: &'a mut Option<io::Error>,
    now: Instant,
}

impl<D: Device> Outlet<'_, D> {
    fn send(self, head: &[u8], offload: Offload) {
        let frame = TxFrame { head, body: [&[], &[]], offload, why: &Why::FOREIGN };
        // smoltcp does not say when it is the last for now.
        match self.device.send(self.now, &frame).and_then(|()| self.device.flush(self.now)) {
            Ok(0) => self.counts.sent += 1,
            Ok(_) => self.counts.refused += 1,
            Err(cause) => {
                self.counts.refused += 1;
                if cause.kind() != io::ErrorKind::WouldBlock {
                    *self.error = Some(cause);
                }
            }
        }
    }
}

impl<D: Device> phy::TxToken for Tx<'_, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let Self { buffer, medium, leaves_sums, size, outlet } = self;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let frame = &mut buffer[..len];
        // smoltcp expects zeros; a payload it overwrites for sure.
        frame[..len.min(HEADERS)].fill(0);
        let result = write(frame);
        let offload = if leaves_sums { leave_sum(frame, medium, size) } else { Offload::NONE };
        match outlet {
            Next::Wait(waiting) => *waiting = Some((len, offload)),
            Next::Send(outlet) => outlet.send(frame, offload),
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.size = meta.segmentation_offload_size;
    }
}

/// smoltcp's time: microseconds since a moment of its own.
fn instant(timestamp: SmolInstant) -> Instant {
    let micros = u64::try_from(timestamp.total_micros()).unwrap_or(0);
    Instant::from_nanos(micros.saturating_mul(1000))
}

/// A transport packet in one piece, and where in its frame it lies.
struct Whole {
    source: IpAddress,
    destination: IpAddress,
    protocol: IpProtocol,
    start: usize,
    end: usize,
}

impl Whole {
    /// `None`: no IP, a fragment, or malformed, as smoltcp will see itself.
    fn find(frame: &[u8], medium: Medium) -> Option<Self> {
        let start = match medium {
            Medium::Ethernet => ETHERNET_HEADER,
            Medium::Ip => 0,
        };
        let ethertype = match medium {
            Medium::Ethernet => Some(EthernetFrame::new_checked(frame).ok()?.ethertype()),
            Medium::Ip => None,
        };
        match (ethertype, frame.get(start)? >> 4) {
            (None | Some(EthernetProtocol::Ipv4), 4) => Self::find_in_ipv4(frame, start),
            (None | Some(EthernetProtocol::Ipv6), 6) => Self::find_in_ipv6(frame, start),
            _ => None,
        }
    }

    fn find_in_ipv4(frame: &[u8], start: usize) -> Option<Self> {
        let ip = Ipv4Packet::new_checked(&frame[start..]).ok()?;
        if ip.more_frags() || ip.frag_offset() != 0 {
            return None;
        }
        Some(Self {
            source: ip.src_addr().into(),
            destination: ip.dst_addr().into(),
            protocol: ip.next_header(),
            start: start + usize::from(ip.header_len()),
            end: start + usize::from(ip.total_len()),
        })
    }

    fn find_in_ipv6(frame: &[u8], start: usize) -> Option<Self> {
        let ip = Ipv6Packet::new_checked(&frame[start..]).ok()?;
        let (mut protocol, mut at, end) = (ip.next_header(), start + ip.header_len(), start + ip.total_len());
        // Hop-by-hop options are the one extension that smoltcp looks behind.
        if protocol == IpProtocol::HopByHop {
            let extension = Ipv6ExtHeader::new_checked(&frame[at..end]).ok()?;
            protocol = extension.next_header();
            at += (usize::from(extension.header_len()) + 1) * 8;
        }
        let whole = Self {
            source: ip.src_addr().into(),
            destination: ip.dst_addr().into(),
            protocol,
            start: at,
            end,
        };
        (at <= end).then_some(whole)
    }
}

/// Whether a TCP or UDP checksum in the received frame is wrong.
fn is_damaged(frame: &[u8], medium: Medium) -> bool {
    let Some(whole) = Whole::find(frame, medium) else { return false };
    let Whole { source, destination, protocol, start, end } = whole;
    let packet = &frame[start..end];
    match protocol {
        IpProtocol::Tcp => {
            TcpPacket::new_checked(packet).is_ok_and(|tcp| !tcp.verify_checksum(&source, &destination))
        }
        IpProtocol::Udp => {
            UdpPacket::new_checked(packet).is_ok_and(|udp| !udp.verify_checksum(&source, &destination))
        }
        _ => false,
    }
}

/// Prepares the checksum of a TCP segment for the device to complete, and says how a merged one divides.
fn leave_sum(frame: &mut [u8], medium: Medium, size: Option<NonZeroU16>) -> Offload {
    const FIELD: u16 = 16;
    let Some(whole) = Whole::find(frame, medium) else { return Offload::NONE };
    let Whole { source, destination, protocol: IpProtocol::Tcp, start, end } = whole else {
        return Offload::NONE;
    };
    let (kind, len) = match source {
        IpAddress::Ipv4(_) => (GsoKind::Tcp4, end - start),
        IpAddress::Ipv6(_) => (GsoKind::Tcp6, end - start),
    };
    let (Ok(mut tcp), Ok(len), Ok(from)) =
        (TcpPacket::new_checked(&mut frame[start..end]), u32::try_from(len), u16::try_from(start))
    else {
        return Offload::NONE;
    };
    tcp.set_checksum(checksum::pseudo_header(&source, &destination, IpProtocol::Tcp, len));
    let header = from + u16::from(tcp.header_len());
    let gso = size.map(|size| Gso { kind, size: size.get(), header });
    Offload { checksum: Checksum::Partial { start: from, offset: FIELD }, gso }
}
