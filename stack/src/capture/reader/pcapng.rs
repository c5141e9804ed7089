//! The new format: sections of blocks. Blocks that do not concern packets are skipped.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use super::bytes::Endian;
use super::{Direction, Error, ErrorKind, Input, Interface, Located, Place, bounded, byte_order};
use crate::capture::format::{BLOCK_OVERHEAD, MAX_INTERFACES, block, option, padded};
use crate::time::Instant;

/// Type and length, before the body.
const BODY: usize = 8;
const INTERFACE_LEN: usize = 8;
const PACKET_LEN: usize = 20;
const OPTION_LEN: usize = 4;
/// More comments on one packet are left out.
const MAX_COMMENTS: usize = 8;

/// The section that is being read.
#[derive(Debug)]
pub(super) struct Section {
    endian: Endian,
    /// Index of the section's first interface among all.
    first_interface: usize,
    blocks: u64,
}

/// How an interface tells time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set.
    resolution: u8,
    /// Seconds to add.
    offset: i64,
}

/// What the options of a packet tell.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) direction: Option<Direction>,
    comments: [Range<usize>; MAX_COMMENTS],
    comment_count: usize,
}

impl Section {
    /// Reads a section's header, whose first four bytes are in the buffer.
    pub(super) fn begin<R: Read>(input: &mut Input<R>, first_interface: usize) -> Result<Self, Error> {
        input.place = Place::Block(1);
        let endian = section_header(input)?;
        Ok(Self { endian, first_interface, blocks: 1 })
    }

    /// Reads up to the next packet.
    pub(super) fn next<R: Read>(
        &mut self,
        input: &mut Input<R>,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<Located>, Error> {
        loop {
            self.blocks += 1;
            input.begin(Place::Block(self.blocks));
            if !input.fill(0..4)? {
                return Ok(None);
            }
            let kind = self.endian.u32(&input.buffer, 0);
            if kind == block::SECTION {
                self.endian = section_header(input)?;
                self.first_interface = interfaces.len();
                continue;
            }
            let body = read_block(input, self.endian, 4)?;
            match kind {
                block::INTERFACE => {
                    let interface = self.interface(&input.buffer, body).map_err(|kind| input.error(kind))?;
                    if interfaces.len() >= MAX_INTERFACES {
                        return Err(input.error(ErrorKind::TooManyInterfaces));
                    }
                    interfaces.push(interface);
                }
                block::ENHANCED_PACKET | block::PACKET | block::SIMPLE_PACKET => {
                    let known = &interfaces[self.first_interface..];
                    let packet = self.packet(kind, &input.buffer, body, known);
                    return packet.map(Some).map_err(|kind| input.error(kind));
                }
                _ => {}
            }
        }
    }

    fn interface(&self, bytes: &[u8], body: Range<usize>) -> Result<Interface, ErrorKind> {
        if body.len() < INTERFACE_LEN {
            return Err(ErrorKind::Length((body.len() + BLOCK_OVERHEAD) as u64));
        }
        let mut interface = Interface {
            link_code: self.endian.u16(bytes, body.start),
            name: None,
            description: None,
            snap_len: self.endian.u32(bytes, body.start + 4),
            clock: Clock::default(),
        };
        for (code, range) in self.options(bytes, body.start + INTERFACE_LEN..body.end) {
            let value = &bytes[range.clone()];
            match (code, value.len()) {
                (option::INTERFACE_NAME, _) => interface.name = Some(text(value).into_owned()),
                (option::INTERFACE_DESCRIPTION, _) => interface.description = Some(text(value).into_owned()),
                (option::INTERFACE_RESOLUTION, 1) => interface.clock.resolution = value[0],
                (option::INTERFACE_TIME_OFFSET, 8) => {
                    interface.clock.offset = self.endian.u64(value, 0) as i64;
                }
                _ => {}
            }
        }
        Ok(interface)
    }

    fn packet(
        &self,
        kind: u32,
        bytes: &[u8],
        body: Range<usize>,
        interfaces: &[Interface],
    ) -> Result<Located, ErrorKind> {
        let fixed = if kind == block::SIMPLE_PACKET { 4 } else { PACKET_LEN };
        if body.len() < fixed {
            return Err(ErrorKind::Length((body.len() + BLOCK_OVERHEAD) as u64));
        }
        let word = |at: usize| self.endian.u32(bytes, body.start + at);
        let id = match kind {
            block::ENHANCED_PACKET => word(0),
            // The other half counts drops.
            block::PACKET => u32::from(self.endian.u16(bytes, body.start)),
            _ => 0,
        };
        let count = interfaces.len() as u32;
        let interface = interfaces.get(id as usize).ok_or(ErrorKind::UnknownInterface { id, count })?;
        let room = body.len() - fixed;
        let (claimed, original_len, ticks) = if kind == block::SIMPLE_PACKET {
            let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
            (word(0).min(limit).min(room as u32), word(0), None)
        } else {
            (word(12), word(16), Some(u64::from(word(4)) << 32 | u64::from(word(8))))
        };
        let len = usize::try_from(claimed).unwrap_or(usize::MAX);
        if len > room {
            return Err(ErrorKind::PacketLength { claimed: u64::from(claimed), room: room as u64 });
        }
        let start = body.start + fixed;
        let mut notes = Notes::default();
        if kind != block::SIMPLE_PACKET {
            for (code, range) in self.options(bytes, start + padded(len)..body.end) {
                notes.take(self.endian, bytes, code, range);
            }
        }
        Ok(Located {
            time: ticks.map_or(Instant::ZERO, |ticks| interface.clock.time(ticks)),
            interface: self.first_interface + id as usize,
            link_code: interface.link_code,
            original_len,
            bytes: start..start + len,
            notes,
        })
    }

    /// The options within `range`, up to the end mark or the first that is broken: they are never worth an error.
    fn options<'a>(
        &self,
        bytes: &'a [u8],
        range: Range<usize>,
    ) -> impl Iterator<Item = (u16, Range<usize>)> + use<'a> {
        let (endian, mut at, end) = (self.endian, range.start, range.end);
        core::iter::from_fn(move || {
            if at + OPTION_LEN > end {
                return None;
            }
            let (code, len) = (endian.u16(bytes, at), usize::from(endian.u16(bytes, at + 2)));
            let value = at + OPTION_LEN..at + OPTION_LEN + len;
            at = value.start + padded(len);
            (code != option::END && value.end <= end).then_some((code, value))
        })
    }
}

impl Clock {
    /// The time of a count of ticks; what does not fit is cut to the nearest that does.
    fn time(self, ticks: u64) -> Instant {
        const NANOS_DIGITS: u32 = 9;
        let ticks = u128::from(ticks);
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * 1_000_000_000) >> exponent
        } else if exponent <= NANOS_DIGITS {
            ticks * 10u128.pow(NANOS_DIGITS - exponent)
        } else {
            10u128.checked_pow(exponent - NANOS_DIGITS).map_or(0, |unit| ticks / unit)
        };
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let nanos = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        Instant::from_nanos(nanos.clamp(0, i128::from(u64::MAX)) as u64)
    }
}

impl Default for Clock {
    /// Microseconds since 1970.
    fn default() -> Self {
        Self { resolution: 6, offset: 0 }
    }
}

impl Notes {
    /// The comments, one a line.
    pub(super) fn comment<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        let comments = &self.comments[..self.comment_count];
        let (first, rest) = comments.split_first()?;
        let mut comment = text(&bytes[first.clone()]);
        for range in rest {
            let line = text(&bytes[range.clone()]);
            comment = Cow::Owned(format!("{comment}\n{line}"));
        }
        Some(comment)
    }

    fn take(&mut self, endian: Endian, bytes: &[u8], code: u16, range: Range<usize>) {
        match code {
            option::COMMENT => {
                if let Some(slot) = self.comments.get_mut(self.comment_count) {
                    *slot = range;
                    self.comment_count += 1;
                }
            }
            option::PACKET_FLAGS if range.len() == 4 => {
                self.direction = match endian.u32(bytes, range.start) & 3 {
                    1 => Some(Direction::In),
                    2 => Some(Direction::Out),
                    _ => None,
                };
            }
            _ => {}
        }
    }
}

/// Reads the rest of a section header, whose first four bytes are in the buffer; answers its byte order.
fn section_header<R: Read>(input: &mut Input<R>) -> Result<Endian, Error> {
    const VERSION_AT: usize = 12;
    const SHORTEST: usize = 16;
    input.must_fill(4..12)?;
    // The length before the byte order mark is in the byte order that the mark tells.
    let endian = byte_order(Endian::Big.u32(&input.buffer, BODY)).map_err(|kind| input.error(kind))?;
    let body = read_block(input, endian, 12)?;
    if body.len() < SHORTEST {
        return Err(input.error(ErrorKind::Length((body.len() + BLOCK_OVERHEAD) as u64)));
    }
    let (major, minor) = (endian.u16(&input.buffer, VERSION_AT), endian.u16(&input.buffer, VERSION_AT + 2));
    // 1.2 differs from 1.0 in name only.
    if major != 1 || !matches!(minor, 0 | 2) {
        return Err(input.error(ErrorKind::Version { major, minor }));
    }
    Ok(endian)
}

/// Reads the rest of a block of which the buffer holds the first `had` bytes; answers where its body is.
fn read_block<R: Read>(input: &mut Input<R>, endian: Endian, had: usize) -> Result<Range<usize>, Error> {
    if had < BODY {
        input.must_fill(had..BODY)?;
    }
    let had = had.max(BODY);
    let first = endian.u32(&input.buffer, 4);
    let len = bounded(first).map_err(|kind| input.error(kind))?;
    if len < BLOCK_OVERHEAD.max(had) || len % 4 != 0 {
        return Err(input.error(ErrorKind::Length(u64::from(first))));
    }
    input.must_fill(had..len)?;
    let last = endian.u32(&input.buffer, len - 4);
    if last != first {
        return Err(input.error(ErrorKind::LengthMismatch { first, last }));
    }
    Ok(BODY..len - 4)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Some writers count a final zero.
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes))
}
