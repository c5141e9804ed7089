//! Frames through a descriptor: one read or one write each, with or without the kernel's offload header before them.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{read, write, writev};

use super::vnet;
use crate::buf::frame::{Capabilities, Checksum, Offload, RxFrame, TxFrame};

/// Room for the largest frame that the kernel merges, its link header and the offload header.
pub(super) const BUFFER: usize = 65_600;

/// Frames of up to so many bytes are copied together before they are written. (To write four parts took 0.94 us where
/// one took 0.76, up to this length; 1.50 and 1.36 at 4096; from 16 KiB on nothing is won.)
const SHORT: usize = 2048;

/// A descriptor that carries one frame per read and write.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    buffer: Box<[u8]>,
    short: Vec<u8>,
    /// Whether a `virtio_net_hdr` stands before each frame.
    vnet: bool,
    capabilities: Capabilities,
}

impl Frames {
    /// `file` must not block.
    pub(super) fn new(file: File, vnet: bool, capabilities: Capabilities) -> Self {
        Self { file, buffer: vec![0; BUFFER].into(), short: Vec::with_capacity(SHORT), vnet, capabilities }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Lends the next frame; `None` if nothing waits.
    pub(super) fn recv(&mut self) -> io::Result<Option<RxFrame<'_>>> {
        // Not the C library's calls: those look each time whether somebody wants to cancel the thread.
        let len = match read(&self.file, &mut self.buffer[..]).map_err(io::Error::from) {
            Ok(len) => len,
            Err(error) if is_empty(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = &self.buffer[..len];
        if !self.vnet {
            return Ok(Some(RxFrame::plain(bytes)));
        }
        let Some((header, bytes)) = bytes.split_first_chunk::<{ vnet::LEN }>() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame without its offload header"));
        };
        let offload = vnet::Header::parse(header).offload(bytes, self.capabilities.medium);
        Ok(Some(RxFrame { bytes, offload }))
    }

    /// Sends the frame with one system call: a long one from where its parts lie, a short one in one piece, because the
    /// kernel takes longer over a list of parts than a copy of so few bytes takes.
    pub(super) fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        let header = vnet::Header::of(&frame.offload).to_bytes();
        let header: &[u8] = if self.vnet { &header } else { &[] };
        if !self.vnet && needs_help(&frame.offload) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this device completes no frames"));
        }
        let len = header.len() + frame.len();
        let [body, more] = frame.body;
        self.short.clear();
        self.short.extend_from_slice(header);
        self.short.extend_from_slice(frame.head);
        let written = if len <= SHORT {
            self.short.extend_from_slice(body);
            self.short.extend_from_slice(more);
            write(&self.file, &self.short)
        } else {
            let parts = [&self.short, body, more].map(IoSlice::new);
            writev(&self.file, if more.is_empty() { &parts[..2] } else { &parts })
        };
        match written.map_err(io::Error::from) {
            Ok(written) if written == len => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            // A queue without room, an interface that is down, a signal: another time it may pass.
            Err(error) if may_pass_later(&error) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        }
    }
}

fn needs_help(offload: &Offload) -> bool {
    offload.gso.is_some() || matches!(offload.checksum, Checksum::Partial { .. })
}

fn is_empty(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether a frame that was not taken may be later.
pub(super) fn may_pass_later(error: &io::Error) -> bool {
    is_empty(error) || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EIO | libc::ENETDOWN))
}

#[cfg(test)]
mod tests;
