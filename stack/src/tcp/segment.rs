//! Segments as the core sees them: received ones with their payload, outgoing ones as a header and a range of the send
//! ring.

use core::ops::Range;

use crate::buf::packed::packed;
use crate::why::{Reason, Why};
use crate::wire::acc_ecn::AccEcn;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, Signature};

/// A received segment, or several that the kernel merged. The checksum is already verified.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The TCP header.
    pub header: Header,
    /// The bytes after it.
    pub payload: &'a [u8],
    /// The ECN field of the IP header, 0 to 3.
    pub ecn: u8,
    /// How many segments were on the wire: more than 1 if the kernel merged them.
    pub segments: u16,
}

impl<'a> Segment<'a> {
    /// One segment that is not ECN marked.
    pub const fn new(header: Header, payload: &'a [u8]) -> Self {
        Self { header, payload, ecn: 0, segments: 1 }
    }

    /// Whether all of `flags` are set.
    pub const fn has(&self, flags: Flags) -> bool {
        self.header.flags.contains(flags)
    }

    /// SEG.LEN: the sequence space that it takes, SYN and FIN included (RFC 9293 section 3.4).
    pub fn seq_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// The sequence number after its last byte.
    pub fn end(&self) -> SeqNum {
        self.header.seq + self.seq_len()
    }
}

/// A segment that is to be sent. Its payload still lies in the send ring: see [`Connection::payload`].
///
/// [`Connection::payload`]: super::Connection::payload
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The TCP header, complete but for the checksum.
    pub header: Header,
    /// Where the payload begins in the send ring, in bytes after SND.UNA.
    pub offset: u32,
    /// Bytes of payload.
    pub len: u32,
    /// Bytes of payload of each segment but the last, if `len` is larger: then it is a merged frame.
    pub segment_size: u16,
    /// The ECN field of its IP header, 0 to 3.
    pub ecn: u8,
    /// Why it is sent.
    pub why: Why,
}

impl Outgoing {
    /// Where the payload lies in the send ring, in bytes after SND.UNA.
    pub const fn payload_range(&self) -> Range<usize> {
        let start = self.offset as usize;
        start..start + self.len as usize
    }

    /// How many segments it is on the wire.
    pub fn segments(&self) -> u32 {
        self.len.div_ceil(u32::from(self.segment_size.max(1))).max(1)
    }

    /// A segment without payload.
    pub fn bare(header: Header, why: impl Into<Why>) -> Self {
        Self { header, offset: 0, len: 0, segment_size: 0, ecn: 0, why: why.into() }
    }
}

/// How large a segment may be on its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest TCP header, options and data of one segment: the path MTU less the IP header.
    pub max_segment: usize,
    /// Largest TCP header, options and data of what is chosen at once; equal to `max_segment` for single segments.
    pub max_merged: usize,
    /// Whether that leaves as one frame, which costs about as much as one with a single segment.
    pub merges: bool,
}

impl Limits {
    /// No merged frames.
    pub const fn plain(max_segment: usize) -> Self {
        Self { max_segment, max_merged: max_segment, merges: false }
    }
}

/// The two ports of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

packed!(Ports { local, remote });

impl Ports {
    /// The ports of the connection that a received segment belongs to.
    pub const fn of_received(header: &Header) -> Self {
        Self { local: header.dst_port, remote: header.src_port }
    }
}

/// The RST that answers a segment for which there is no connection (RFC 9293 section 3.10.7.1); none answers a RST.
pub fn reset_for(segment: &Segment<'_>) -> Option<Outgoing> {
    if segment.has(Flags::RST) {
        return None;
    }
    let ports = Ports::of_received(&segment.header);
    let mut header = Header { src_port: ports.local, dst_port: ports.remote, ..Header::default() };
    if segment.has(Flags::ACK) {
        header.seq = segment.header.ack;
        header.flags = Flags::RST;
    } else {
        header.ack = segment.end();
        header.flags = Flags::RST | Flags::ACK;
    }
    Some(Outgoing::bare(header, Why::new(Reason::NoConnection)))
}

/// Bytes of a TCP header without options.
pub(crate) const BASE_HEADER: usize = 20;

/// Bytes that `options` take on a segment that carries data or an ACK: what SYNs alone carry is not counted.
pub(crate) fn options_len(options: &Options) -> usize {
    let timestamps = if options.timestamps.is_some() { 12 } else { 0 };
    let sack = match options.sack.as_slice().len() {
        0 => 0,
        blocks => 4 + 8 * blocks,
    };
    let user_timeout = if options.user_timeout.is_some() { 4 } else { 0 };
    let acc_ecn = options.acc_ecn.as_ref().map_or(0, AccEcn::padded_len);
    let signature = options.signature.map_or(0, Signature::padded_len);
    timestamps + sack + user_timeout + acc_ecn + signature
}
