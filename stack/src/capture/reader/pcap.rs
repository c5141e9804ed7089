//! The old format: one header, then packets.

use std::io::Read;

use super::bytes::Endian;
use super::pcapng::{Clock, Notes};
use super::{Error, ErrorKind, Input, Interface, LinkType, Located, Place, bounded};
use crate::time::Instant;

const HEADER_LEN: usize = 24;
const VERSION: (u16, u16) = (2, 4);
const RECORD_LEN: usize = 16;

/// What a file's header says.
#[derive(Debug)]
pub(super) struct Header {
    endian: Endian,
    /// Nanoseconds of one unit of the fraction.
    unit: u64,
    link_code: u16,
    snap_len: u32,
    records: u64,
}

impl Header {
    /// Reads the rest of the header, whose first four bytes are in the buffer.
    pub(super) fn read<R: Read>(input: &mut Input<R>, endian: Endian, unit: u64) -> Result<Self, Error> {
        input.must_fill(4..HEADER_LEN)?;
        let bytes = &input.buffer;
        let (major, minor) = (endian.u16(bytes, 4), endian.u16(bytes, 6));
        if (major, minor) != VERSION {
            return Err(input.error(ErrorKind::Version { major, minor }));
        }
        // The upper half may tell the length of a frame check sequence, which nobody keeps.
        let link_code = endian.u32(bytes, 20) as u16;
        if LinkType::from_code(link_code).is_none() {
            return Err(input.error(ErrorKind::LinkType(link_code)));
        }
        Ok(Self { endian, unit, link_code, snap_len: endian.u32(bytes, 16), records: 0 })
    }

    pub(super) fn interface(&self) -> Interface {
        Interface {
            link_code: self.link_code,
            name: None,
            description: None,
            snap_len: self.snap_len,
            clock: Clock::default(),
        }
    }

    pub(super) fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Located>, Error> {
        self.records += 1;
        input.begin(Place::Record(self.records));
        if !input.fill(0..RECORD_LEN)? {
            return Ok(None);
        }
        let word = |at| self.endian.u32(&input.buffer, at);
        let (seconds, fraction, original_len) = (word(0), word(4), word(12));
        let len = bounded(word(8)).map_err(|kind| input.error(kind))?;
        let bytes = RECORD_LEN..RECORD_LEN + len;
        input.must_fill(bytes.clone())?;
        let nanos = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        Ok(Some(Located {
            time: Instant::from_nanos(nanos),
            interface: 0,
            link_code: self.link_code,
            original_len,
            bytes,
            notes: Notes::default(),
        }))
    }
}
