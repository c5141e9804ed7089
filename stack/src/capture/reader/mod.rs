//! Reads captures: pcap (micro- and nanoseconds) and pcapng (any number of sections and interfaces), in either
//! byte order, and tells where a file is wrong.

mod bytes;
mod pcap;
mod pcapng;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::error::{Error, ErrorKind, Place};
use super::format::{BYTE_ORDER_MAGIC, MAX_BLOCK, PCAP_MICROS, PCAP_NANOS, block};
use super::{Direction, LinkType};
use crate::time::Instant;
use bytes::Endian;

/// One packet of a capture, lent until the next is read.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Its number in the file, the first being 1.
    pub number: u64,
    /// Nanoseconds since the beginning of 1970; zero where the capture does not tell (simple packet blocks).
    pub time: Instant,
    /// Index into `Reader::interfaces`.
    pub interface: usize,
    /// What `bytes` begin with.
    pub link_type: LinkType,
    /// Which way it went, if the capture tells.
    pub direction: Option<Direction>,
    /// Its comments, each on a line of its own.
    pub comment: Option<Cow<'a, str>>,
    /// Its length before the capture cut it.
    pub original_len: u32,
    /// What the capture kept of it.
    pub bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Whether the capture kept less than there was.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.original_len as usize
    }

    /// The IP packet within; None if it is something else.
    pub fn ip_packet(&self) -> Option<&'a [u8]> {
        self.link_type.ip_packet(self.bytes)
    }
}

/// An interface that a capture describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The number of its link type as it stands in the file; `LinkType::from_code` tells whether it can be read.
    pub link_code: u16,
    /// Its name, if the capture tells.
    pub name: Option<String>,
    /// Its description, if the capture tells.
    pub description: Option<String>,
    /// Most bytes kept of a packet; 0 if there is no limit.
    pub snap_len: u32,
    clock: pcapng::Clock,
}

/// A capture being read, packet by packet.
///
/// Getters: `interfaces`, `offset`. Output: `next_packet`. Memory is bounded by the largest block, at most 16 MiB,
/// and never asked for ahead of the bytes that fill it.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    format: Format,
    interfaces: Vec<Interface>,
    packets: u64,
    ended: bool,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// The file, and where in it we are.
#[derive(Debug)]
struct Input<R> {
    reader: BufReader<R>,
    buffer: Vec<u8>,
    /// Where the current block begins.
    start: u64,
    /// Where the next byte will be read.
    offset: u64,
    place: Place,
}

/// Where in the buffer the parts of a packet lie.
struct Located {
    time: Instant,
    interface: usize,
    link_code: u16,
    original_len: u32,
    bytes: Range<usize>,
    notes: pcapng::Notes,
}

impl Reader<File> {
    /// Opens a capture file.
    ///
    /// # Errors
    /// It cannot be opened, or is not a capture that we read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error {
            offset: 0,
            place: Place::Header,
            kind: ErrorKind::Io(error),
        })?;
        Self::new(file)
    }
}

impl<R: Read> Reader<R> {
    /// Reads a capture from its first byte. Buffers by itself.
    ///
    /// # Errors
    /// It is not a capture that we read.
    pub fn new(input: R) -> Result<Self, Error> {
        let mut input = Input {
            reader: BufReader::new(input),
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            place: Place::Header,
        };
        if !input.fill(0..4)? {
            return Err(input.error(ErrorKind::Empty));
        }
        let mut interfaces = Vec::new();
        let magic = Endian::Big.u32(&input.buffer, 0);
        let format = match magic {
            block::SECTION => Format::Pcapng(pcapng::Section::begin(&mut input, 0)?),
            PCAP_MICROS => Format::Pcap(pcap::Header::read(&mut input, Endian::Big, 1_000)?),
            PCAP_NANOS => Format::Pcap(pcap::Header::read(&mut input, Endian::Big, 1)?),
            _ => match magic.swap_bytes() {
                PCAP_MICROS => Format::Pcap(pcap::Header::read(&mut input, Endian::Little, 1_000)?),
                PCAP_NANOS => Format::Pcap(pcap::Header::read(&mut input, Endian::Little, 1)?),
                _ => return Err(input.error(not_a_capture(magic))),
            },
        };
        if let Format::Pcap(header) = &format {
            interfaces.push(header.interface());
        }
        Ok(Self { input, format, interfaces, packets: 0, ended: false })
    }

    /// The interfaces described so far, of all sections, in the order of the file.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// How many bytes of the file have been read.
    pub fn offset(&self) -> u64 {
        self.input.offset
    }

    /// The next packet; None at the end.
    ///
    /// # Errors
    /// The file is broken or ends in the middle: nothing follows, further calls answer None. A packet of an unknown
    /// link type is an error too, but the next one can be read.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let located = match &mut self.format {
            Format::Pcap(header) => header.next(&mut self.input),
            Format::Pcapng(section) => section.next(&mut self.input, &mut self.interfaces),
        };
        let located = match located {
            Ok(Some(located)) => located,
            other => {
                self.ended = true;
                return other.map(|_| None);
            }
        };
        self.packets += 1;
        let Some(link_type) = LinkType::from_code(located.link_code) else {
            return Err(self.input.error(ErrorKind::LinkType(located.link_code)));
        };
        let buffer = &self.input.buffer;
        Ok(Some(Packet {
            number: self.packets,
            time: located.time,
            interface: located.interface,
            link_type,
            direction: located.notes.direction,
            comment: located.notes.comment(buffer),
            original_len: located.original_len,
            bytes: &buffer[located.bytes],
        }))
    }
}

fn not_a_capture(magic: u32) -> ErrorKind {
    match magic >> 16 {
        0x1f8b => ErrorKind::Compressed("gzip"),
        0x28b5 if magic == 0x28b5_2ffd => ErrorKind::Compressed("zstd"),
        0x0422 if magic == 0x0422_4d18 => ErrorKind::Compressed("lz4"),
        0xfd37 => ErrorKind::Compressed("xz"),
        _ => ErrorKind::NotACapture(magic),
    }
}

impl<R: Read> Input<R> {
    /// Begins a block or record: what is read next, and any error, belongs to it.
    fn begin(&mut self, place: Place) {
        self.start = self.offset;
        self.place = place;
        self.buffer.clear();
    }

    /// Fills that range of the buffer, which begins where the buffer ends.
    /// False if the file has ended before the block's first byte.
    fn fill(&mut self, range: Range<usize>) -> Result<bool, Error> {
        debug_assert_eq!(self.buffer.len(), range.start);
        // `take` and `read_to_end` ask for memory as bytes arrive: a length that lies costs nothing.
        let read = (&mut self.reader).take(range.len() as u64).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| self.error(ErrorKind::Io(error)))?;
        self.offset += read as u64;
        if self.buffer.len() == range.end {
            return Ok(true);
        }
        if self.buffer.is_empty() {
            return Ok(false);
        }
        Err(self.truncated(range.end))
    }

    /// The same, where the end of the file is an error.
    fn must_fill(&mut self, range: Range<usize>) -> Result<(), Error> {
        let end = range.end;
        if self.fill(range)? { Ok(()) } else { Err(self.truncated(end)) }
    }

    fn truncated(&self, needed: usize) -> Error {
        self.error(ErrorKind::Truncated { needed: needed as u64, had: self.buffer.len() as u64 })
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { offset: self.start, place: self.place, kind }
    }
}

/// A length as the file says it, if it is one that we accept.
fn bounded(len: u32) -> Result<usize, ErrorKind> {
    usize::try_from(len).ok().filter(|&len| len <= MAX_BLOCK).ok_or(ErrorKind::Length(u64::from(len)))
}

/// The byte order of a section, if `word` (read in big endian) is its mark.
fn byte_order(word: u32) -> Result<Endian, ErrorKind> {
    match (word == BYTE_ORDER_MAGIC, word.swap_bytes() == BYTE_ORDER_MAGIC) {
        (true, _) => Ok(Endian::Big),
        (_, true) => Ok(Endian::Little),
        _ => Err(ErrorKind::ByteOrder(word)),
    }
}
