//! The headers of the frame that was chosen: link, IP and transport, one after the other in one buffer.

use super::authentication::push_signed;
use super::interfaces::TxLimits;
use crate::buf::frame::{Checksum, Gso, GsoKind, Medium, Offload};
use crate::buf::packets::Run;
use crate::ip::output::{Ids, Meta};
use crate::link::Interface;
use crate::tcp::{Authenticator, Outgoing};
use crate::udp::Departure;
use crate::wire;
use crate::wire::ethernet::{EtherType, MacAddr};

/// Room for a link header, an IP header and a TCP header with all their options.
pub(super) const HEAD: usize = 192;

/// The headers of the frame that was chosen last.
#[derive(Debug)]
pub(super) struct HeadBuffer {
    bytes: [u8; HEAD],
    pub(super) len: usize,
}

impl HeadBuffer {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; HEAD], len: 0 }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What was written, from `at` on.
    pub(super) fn written_mut(&mut self, at: usize) -> &mut [u8] {
        &mut self.bytes[at..self.len]
    }

    /// What may still be written.
    pub(super) fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.len..]
    }

    /// Appends bytes; nothing if there is no room.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// Appends what `write` writes and says how long it is; nothing if it fails.
    pub(super) fn push<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        self.len += write(&mut self.bytes[self.len..])?;
        Ok(())
    }
}

/// Writes the link header, if the medium has one.
pub(super) fn push_link(head: &mut HeadBuffer, interface: &Interface, dst: MacAddr, v4: bool) {
    if interface.medium() == Medium::Ethernet {
        let ether_type = if v4 { EtherType::IPV4 } else { EtherType::IPV6 };
        let header = wire::ethernet::Header { dst, src: interface.mac(), ether_type };
        let written = head.push(|out| header.write(out));
        debug_assert!(written.is_ok(), "there is room: it is the first header");
    }
}

/// Writes IP and TCP headers; the checksum is complete unless the device completes it.
pub(super) fn push_tcp(
    head: &mut HeadBuffer,
    ids: &mut Ids,
    meta: &Meta,
    outgoing: &Outgoing,
    payload: [&[u8]; 2],
    limits: TxLimits,
    known: Option<&mut Authenticator>,
) -> Option<Offload> {
    let (source, destination) = (meta.source, meta.destination);
    if let Some(known) = known {
        return push_signed(head, ids, meta, outgoing, payload, limits, known);
    }
    let tcp_len = outgoing.header.header_len();
    let total = tcp_len + outgoing.len as usize;
    head.push(|out| meta.write(ids, total, out)).ok()?;
    let start = head.len;
    let merged = outgoing.len > u32::from(outgoing.segment_size);
    let mut offload = Offload::NONE;
    if limits.checksum {
        head.push(|out| outgoing.header.write_partial(out, source, destination, outgoing.len as usize))
            .ok()?;
        offload.checksum =
            Checksum::Partial { start: start as u16, offset: wire::tcp::CHECKSUM_OFFSET as u16 };
    } else {
        head.push(|out| outgoing.header.write(out, source, destination, payload)).ok()?;
    }
    if merged {
        let kind = if source.is_ipv4() { GsoKind::Tcp4 } else { GsoKind::Tcp6 };
        offload.gso = Some(Gso { kind, size: outgoing.segment_size, header: head.len as u16 });
    }
    Some(offload)
}

/// Writes the IP and UDP headers of one datagram, or of a frame that the device cuts into several; the checksum is
/// complete unless the device completes it.
pub(super) fn push_udp(
    head: &mut HeadBuffer,
    ids: &mut Ids,
    meta: &Meta,
    header: &wire::udp::Header,
    run: &Run<'_, Departure>,
    limits: TxLimits,
) -> Option<Offload> {
    let (source, destination) = (meta.source, meta.destination);
    let payload_len = run.bytes[0].len() + run.bytes[1].len();
    head.push(|out| meta.write(ids, wire::udp::HEADER_LEN + payload_len, out)).ok()?;
    if run.packets > 1 {
        ids.pass_over(meta, run.packets - 1);
    }
    let start = head.len as u16;
    if !limits.checksum {
        head.push(|out| header.write(out, source, destination, run.bytes)).ok()?;
        return Some(Offload::NONE);
    }
    head.push(|out| header.write_partial(out, source, destination, payload_len)).ok()?;
    let checksum = Checksum::Partial { start, offset: wire::udp::CHECKSUM_OFFSET as u16 };
    let gso = Gso { kind: GsoKind::Udp, size: run.size as u16, header: head.len as u16 };
    Some(Offload { checksum, gso: (run.packets > 1).then_some(gso) })
}
