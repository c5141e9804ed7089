//! A raw device over `pnet_datalink`: portable, with several system calls a frame.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use ::pnet::datalink::{self, Channel, DataLinkReceiver, DataLinkSender};

use super::frames::{BUFFER, may_pass_later};
use super::offloads::{self, SwitchedOff};
use super::packet::{EthernetLink, explain_recv, listen};
use super::sys::{self, IfName};
use super::{Capabilities, Device, ETHERNET_HEADER, Error, Medium, vnet};
use crate::buf::frame::{Checksum, Offload, RxFrame, TxFrame};
use crate::time::Instant;

/// A raw device over `pnet_datalink`.
///
/// It sends and receives single segments. A frame that arrives merged all the same (from the other end of a virtual
/// wire) is taken whole: how it was merged is then guessed from the MTU.
pub struct Pnet {
    name: IfName,
    mac: [u8; 6],
    mtu: usize,
    /// The same socket that pnet has.
    socket: OwnedFd,
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
    scratch: Vec<u8>,
    /// Ends last: offloads come back when nobody listens any more.
    _switched_off: Option<SwitchedOff>,
}

/// What the device is to hear.
#[derive(Debug)]
#[must_use]
pub struct PnetBuilder {
    name: String,
    mac: Option<[u8; 6]>,
    promiscuous: bool,
    switch_off: bool,
}

impl Pnet {
    /// The interface's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The link address whose frames arrive, beside those of all groups: the stack's own, not the interface's.
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }
}

impl PnetBuilder {
    /// On the interface of that name.
    pub fn new(interface: &str) -> Self {
        Self { name: interface.into(), mac: None, promiscuous: false, switch_off: false }
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

    /// Switches off what merges received frames on the interface, until the device is dropped.
    pub fn switch_off_offloads(mut self) -> Self {
        self.switch_off = true;
        self
    }

    /// Opens the device.
    ///
    /// # Errors
    /// No privilege, no such interface, it is down or not Ethernet, or it merges received frames and nobody allowed to
    /// switch that off: the message says what mends it.
    pub fn build(self) -> Result<Pnet, Error> {
        let link = EthernetLink::find(&self.name)?;
        let mac = self.mac.unwrap_or_else(|| link.mac_beside());
        let socket = listen(&link, mac, self.promiscuous)?;
        let switched_off = if self.switch_off {
            Some(offloads::switch_off_merging(link.name)?)
        } else {
            offloads::refuse_merging(link.name)?;
            None
        };
        let fail = |cause| Error::new(format!("cannot listen on {}", link.name), cause);
        sys::packet_switch(socket.as_fd(), libc::PACKET_AUXDATA, true).map_err(fail)?;
        let missing = || fail(io::ErrorKind::NotFound.into());
        let interface = datalink::interfaces().into_iter().find(|found| found.index == link.index);
        let config = datalink::Config {
            read_buffer_size: BUFFER,
            write_buffer_size: BUFFER,
            read_timeout: Some(Duration::ZERO),
            write_timeout: Some(Duration::ZERO),
            promiscuous: false,
            socket_fd: Some(socket.try_clone().map_err(fail)?.into_raw_fd()),
            ..datalink::Config::default()
        };
        match datalink::channel(&interface.ok_or_else(missing)?, config).map_err(fail)? {
            Channel::Ethernet(sender, receiver) => Ok(Pnet {
                name: link.name,
                mac,
                mtu: link.mtu,
                socket,
                sender,
                receiver,
                scratch: Vec::with_capacity(link.mtu + ETHERNET_HEADER),
                _switched_off: switched_off,
            }),
            _ => Err(fail(io::ErrorKind::Unsupported.into())),
        }
    }
}

impl Device for Pnet {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, self.mtu)
    }

    fn recv(&mut self, _now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        let name = self.name;
        // Note: pnet tells nothing about checksums, so we look at the frame before pnet takes it.
        let Some(waiting) =
            sys::packet_peek(self.socket.as_fd()).map_err(|error| explain_recv(name, error))?
        else {
            return Ok(None);
        };
        let bytes = match self.receiver.next() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
            Err(error) => return Err(explain_recv(name, error)),
        };
        let checksum = if waiting.vouched { Checksum::Verified } else { Checksum::Full };
        let merged = bytes.len() > self.mtu + ETHERNET_HEADER;
        let gso = if merged { vnet::guess_gso(bytes, Medium::Ethernet, self.mtu) } else { None };
        Ok(Some(RxFrame { bytes, offload: Offload { checksum, gso } }))
    }

    fn send(&mut self, _now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        if frame.offload.gso.is_some() || matches!(frame.offload.checksum, Checksum::Partial { .. }) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this device completes no frames"));
        }
        self.scratch.clear();
        frame.copy_to(&mut self.scratch);
        match self.sender.send_to(&self.scratch, None) {
            Some(Err(error)) if may_pass_later(&error) || error.kind() == io::ErrorKind::TimedOut => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(answer) => answer,
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

impl std::fmt::Debug for Pnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pnet").field("name", &self.name).field("mac", &self.mac).finish_non_exhaustive()
    }
}
