//! Writes pcapng: little endian, nanoseconds, one section.

use core::fmt;
use std::io::{self, Write};

use super::format::{BLOCK_OVERHEAD, BYTE_ORDER_MAGIC, block, option, padded};
use super::{Direction, LinkType};
use crate::time::Instant;

/// Number of an interface in a capture that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceId(pub(super) u32);

/// What is written beside the bytes of a packet.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The interface that saw it.
    pub interface: InterfaceId,
    /// When.
    pub time: Instant,
    /// Which way it went, if that is known.
    pub direction: Option<Direction>,
    /// A comment, such as the `Why` of a frame that was sent.
    pub comment: Option<&'a dyn fmt::Display>,
}

/// A pcapng file in the making. Each block is one write to `W`: give it a `BufWriter` if writes are dear.
///
/// Commands: `add_interface`, `write`, `flush`. Allocates nothing per packet once its buffer has grown.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    epoch: u64,
    interfaces: u32,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a capture in which `Instant::ZERO` is the beginning of 1970.
    ///
    /// # Errors
    /// What `output` refuses.
    pub fn new(output: W) -> io::Result<Self> {
        Self::with_epoch(output, 0)
    }

    /// Begins a capture in which `Instant::ZERO` is `epoch` nanoseconds after the beginning of 1970.
    ///
    /// # Errors
    /// What `output` refuses.
    pub fn with_epoch(output: W, epoch: u64) -> io::Result<Self> {
        let mut writer = Self { output, epoch, interfaces: 0, buffer: Vec::new() };
        writer.begin(block::SECTION);
        writer.put_u32(BYTE_ORDER_MAGIC);
        writer.put_u16(1);
        writer.put_u16(0);
        // The section's length: not known.
        writer.put(&u64::MAX.to_le_bytes());
        writer.put_option(
            option::SECTION_APPLICATION,
            concat!("ustack ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        writer.put_option(option::END, &[]);
        writer.finish_block()?;
        Ok(writer)
    }

    /// The output, flushed.
    ///
    /// # Errors
    /// What the output refuses.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }

    /// Describes a further interface.
    ///
    /// # Errors
    /// What the output refuses.
    pub fn add_interface(&mut self, name: &str, link_type: LinkType) -> io::Result<InterfaceId> {
        self.begin(block::INTERFACE);
        self.put_u16(link_type.code());
        self.put_u16(0);
        // No limit to a packet's length.
        self.put_u32(0);
        self.put_option(option::INTERFACE_NAME, name.as_bytes());
        self.put_option(option::INTERFACE_RESOLUTION, &[9]);
        self.put_option(option::END, &[]);
        self.finish_block()?;
        let id = InterfaceId(self.interfaces);
        self.interfaces += 1;
        Ok(id)
    }

    /// Writes one packet, given in `parts`.
    ///
    /// # Errors
    /// What the output refuses.
    pub fn write(&mut self, record: &Record<'_>, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let len_field = u32::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let time = self.epoch.saturating_add(record.time.as_nanos());
        self.begin(block::ENHANCED_PACKET);
        self.put_u32(record.interface.0);
        self.put_u32((time >> 32) as u32);
        self.put_u32(time as u32);
        self.put_u32(len_field);
        self.put_u32(len_field);
        parts.iter().for_each(|part| self.put(part));
        self.pad();
        if let Some(comment) = record.comment {
            self.put_comment(comment);
        }
        if let Some(direction) = record.direction {
            let flags: u32 = match direction {
                Direction::In => 1,
                Direction::Out => 2,
            };
            self.put_option(option::PACKET_FLAGS, &flags.to_le_bytes());
        }
        if record.comment.is_some() || record.direction.is_some() {
            self.put_option(option::END, &[]);
        }
        self.finish_block()
    }

    /// Brings everything to where the output keeps it.
    ///
    /// # Errors
    /// What the output refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn begin(&mut self, kind: u32) {
        self.buffer.clear();
        self.put_u32(kind);
        // The length: `finish_block` fills it in.
        self.put_u32(0);
    }

    fn finish_block(&mut self) -> io::Result<()> {
        let len = (self.buffer.len() + BLOCK_OVERHEAD - 8) as u32;
        self.put_u32(len);
        self.buffer[4..8].copy_from_slice(&len.to_le_bytes());
        self.output.write_all(&self.buffer)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn pad(&mut self) {
        self.buffer.resize(padded(self.buffer.len()), 0);
    }

    /// A value longer than the field can say is cut.
    fn put_option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.put_u16(code);
        self.put_u16(value.len() as u16);
        self.put(value);
        self.pad();
    }

    fn put_comment(&mut self, comment: &dyn fmt::Display) {
        self.put_u16(option::COMMENT);
        self.put_u16(0);
        let start = self.buffer.len();
        // A vector takes whatever is written; a `Display` that fails leaves what it wrote so far.
        let _ = write!(self.buffer, "{comment}");
        self.buffer.truncate(start + usize::from(u16::MAX));
        let len = (self.buffer.len() - start) as u16;
        self.buffer[start - 2..start].copy_from_slice(&len.to_le_bytes());
        self.pad();
    }
}
