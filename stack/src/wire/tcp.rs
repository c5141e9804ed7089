//! TCP: the header and its options as values (RFC 9293 section 3.1, RFC 7323, RFC 2018).

use core::net::IpAddr;

use etherparse::err::tcp::HeaderSliceError;
use etherparse::{TcpHeaderSlice, TcpOptionElement, TcpOptionReadError, TcpOptionsIterator};

use super::acc_ecn::{AccEcn, AccEcnOrder};
use super::checksum::Sum;
use super::error::{Error, Layer, Reason, room};
use super::ip::Protocol;
use super::seq::SeqNum;
use crate::buf::frame::Checksum;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of a TCP header with all options: the most there can be.
pub const MAX_HEADER_LEN: usize = 60;
/// Bytes of options: the most there can be.
pub const MAX_OPTIONS_LEN: usize = MAX_HEADER_LEN - MIN_HEADER_LEN;
/// Where the checksum field lies.
pub const CHECKSUM_OFFSET: usize = 16;

/// Where the other fields lie, for those who read or change single ones.
pub(crate) mod field {
    pub(crate) const SEQ: usize = 4;
    pub(crate) const ACK: usize = 8;
    pub(crate) const DATA_OFFSET: usize = 12;
    /// The lower eight of the control bits.
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: usize = 14;
}

/// A TCP header as a value. The checksum is not part of it: it is verified on reading and filled on writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source port; 0 never leaves our stack.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte of the payload (of the SYN, if there is one).
    pub seq: SeqNum,
    /// Acknowledgment number; meaningful only with `Flags::ACK`.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// Window as it stands on the wire, not scaled.
    pub window: u16,
    /// Urgent pointer; meaningful only with `Flags::URG`.
    pub urgent: u16,
    /// Options.
    pub options: Options,
}

impl Header {
    /// All zero, without options.
    pub const EMPTY: Self = Self {
        src_port: 0,
        dst_port: 0,
        seq: SeqNum::new(0),
        ack: SeqNum::new(0),
        flags: Flags::empty(),
        window: 0,
        urgent: 0,
        options: Options::EMPTY,
    };

    /// Its length when written, options and their padding included.
    pub fn header_len(&self) -> usize {
        MIN_HEADER_LEN + self.options.len()
    }

    /// Reads a header; answers it and the payload. The checksum is verified if `checksum` is
    /// [`Checksum::Full`].
    ///
    /// # Errors
    /// Too short, a data offset that is too small or beyond the segment, wrong checksum, broken options.
    pub fn parse(bytes: &[u8], src: IpAddr, dst: IpAddr, checksum: Checksum) -> Result<(Self, &[u8]), Error> {
        let mut header = Self::EMPTY;
        let payload = header.read(bytes, src, dst, checksum)?;
        Ok((header, payload))
    }

    /// As [`Header::parse`], into a fresh value, where it is to stay: it is long, and a copy costs as much as reading.
    #[inline(always)]
    pub(crate) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        src: IpAddr,
        dst: IpAddr,
        checksum: Checksum,
    ) -> Result<&'a [u8], Error> {
        let slice = TcpHeaderSlice::from_slice(bytes).map_err(|error| match error {
            HeaderSliceError::Len(len) => Error::from_len(Layer::Tcp, &len),
            HeaderSliceError::Content(_) => Error::malformed(Layer::Tcp, 12, Reason::HeaderLength),
        })?;
        if checksum == Checksum::Full
            && !Sum::pseudo(src, dst, Protocol::TCP, bytes.len()).with(bytes).is_valid()
        {
            return Err(Error::malformed(Layer::Tcp, CHECKSUM_OFFSET, Reason::Checksum));
        }
        let header = slice.slice();
        let flags = u16::from_be_bytes([header[12], header[13]]);
        self.options
            .read(slice.options())
            .map_err(|at| Error::malformed(Layer::Tcp, MIN_HEADER_LEN + at, Reason::Option))?;
        self.src_port = slice.source_port();
        self.dst_port = slice.destination_port();
        self.seq = SeqNum::new(slice.sequence_number());
        self.ack = SeqNum::new(slice.acknowledgment_number());
        self.flags = Flags::from_bits_truncate(flags);
        self.window = slice.window_size();
        self.urgent = slice.urgent_pointer();
        Ok(&bytes[header.len()..])
    }

    /// Writes the header for a payload in two parts, with its checksum, at the start of `out`; answers its
    /// length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(
        &self,
        out: &mut [u8],
        src: IpAddr,
        dst: IpAddr,
        payload: [&[u8]; 2],
    ) -> Result<usize, Error> {
        let header = self.write_bare(out)?;
        let segment_len = header.len() + payload[0].len() + payload[1].len();
        let sum = Sum::pseudo(src, dst, Protocol::TCP, segment_len)
            .with(header)
            .with(payload[0])
            .with(payload[1])
            .checksum();
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(header.len())
    }

    /// As [`Header::write`], but the field holds only the sum of the pseudo header, for a device that
    /// completes it.
    ///
    /// # Errors
    /// As [`Header::write`].
    pub fn write_partial(
        &self,
        out: &mut [u8],
        src: IpAddr,
        dst: IpAddr,
        payload_len: usize,
    ) -> Result<usize, Error> {
        let header = self.write_bare(out)?;
        let sum = Sum::pseudo(src, dst, Protocol::TCP, header.len() + payload_len).partial();
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(header.len())
    }

    /// As [`Header::write`] for a header with a signature: `sign` gets the written header, in which checksum and digest
    /// are zero, and fills in the digest. With `partial` the checksum is that of [`Header::write_partial`].
    ///
    /// # Errors
    /// As [`Header::write`].
    pub fn write_signed(
        &self,
        out: &mut [u8],
        (src, dst): (IpAddr, IpAddr),
        payload: [&[u8]; 2],
        partial: bool,
        sign: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Error> {
        let header = self.write_bare(out)?;
        sign(header);
        let segment_len = header.len() + payload[0].len() + payload[1].len();
        let sum = Sum::pseudo(src, dst, Protocol::TCP, segment_len);
        let sum = match partial {
            true => sum.partial(),
            false => sum.with(header).with(payload[0]).with(payload[1]).checksum(),
        };
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(header.len())
    }

    /// Writes all but the checksum, which is zero.
    fn write_bare<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let len = self.header_len();
        let out = room(out, len, Layer::Tcp)?;
        out[..2].copy_from_slice(&self.src_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        out[4..8].copy_from_slice(&self.seq.get().to_be_bytes());
        out[8..12].copy_from_slice(&self.ack.get().to_be_bytes());
        let offset_and_flags = (len as u16 / 4) << 12 | self.flags.bits();
        out[12..14].copy_from_slice(&offset_and_flags.to_be_bytes());
        out[14..16].copy_from_slice(&self.window.to_be_bytes());
        out[16..18].fill(0);
        out[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        self.options.write(&mut out[MIN_HEADER_LEN..]);
        Ok(out)
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A header that was written once, for segments that differ in sequence number and payload alone.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Over the pseudo header and the header, in which sequence number and checksum are zero.
    sum: Sum,
}

impl Template {
    /// Writes at the start of `out` what segments with `payload_len` bytes of payload have in common; answers how long
    /// it is. The sequence number of `header` does not matter.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(
        out: &mut [u8],
        header: &Header,
        src: IpAddr,
        dst: IpAddr,
        payload_len: usize,
    ) -> Result<(Self, usize), Error> {
        let written = Header { seq: SeqNum::new(0), ..*header }.write_bare(out)?;
        let sum = Sum::pseudo(src, dst, Protocol::TCP, written.len() + payload_len).with(written);
        Ok((Self { sum }, written.len()))
    }

    /// Makes what [`write`](Self::write) has written the header of the segment that begins at `seq`.
    ///
    /// # Panics
    /// `out` is shorter than what was written.
    #[inline]
    pub fn complete(&self, out: &mut [u8], seq: SeqNum, payload: [&[u8]; 2]) {
        let seq = seq.get();
        let sum = self.sum.with_u32(seq).with(payload[0]).with(payload[1]).checksum();
        out[field::SEQ..field::ACK].copy_from_slice(&seq.to_be_bytes());
        out[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

bitflags::bitflags! {
    /// Control bits (RFC 9293 section 3.1, RFC 3168).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
    pub struct Flags: u16 {
        /// No more data from the sender.
        const FIN = 0x001;
        /// Synchronise sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push.
        const PSH = 0x008;
        /// The acknowledgment field counts.
        const ACK = 0x010;
        /// The urgent pointer counts.
        const URG = 0x020;
        /// ECN echo.
        const ECE = 0x040;
        /// Congestion window reduced.
        const CWR = 0x080;
        /// Accurate ECN (RFC 9768; once NS).
        const AE = 0x100;
    }
}

/// The options that the stack understands. Others are skipped when reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size; only on SYNs.
    pub mss: Option<u16>,
    /// Window scale shift as it stands on the wire, up to 255; only on SYNs. Whoever uses it limits it to 14
    /// (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted; only on SYNs.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// User timeout.
    pub user_timeout: Option<UserTimeout>,
    /// Accurate ECN.
    pub acc_ecn: Option<AccEcn>,
    /// What says who sent the segment, but for its digest.
    pub signature: Option<Signature>,
    /// Fast Open: an empty cookie asks for one; only on SYNs.
    pub fast_open: Option<FastOpenCookie>,
    /// SACK blocks, as they stand on the wire: not yet checked against any window.
    pub sack: SackBlocks,
}

impl Options {
    /// None.
    pub const EMPTY: Self = Self {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        user_timeout: None,
        acc_ecn: None,
        signature: None,
        fast_open: None,
        sack: SackBlocks::EMPTY,
    };

    /// Their length when written, a multiple of 4. SACK blocks that do not fit beside the others are left
    /// out.
    #[inline]
    pub fn len(&self) -> usize {
        if let Some(timestamps) = self.only_timestamps() {
            return timestamps.map_or(0, |_| TIMESTAMPS_LEN);
        }
        self.len_of_all()
    }

    /// What nearly every segment of an open connection carries: timestamps alone, or nothing (`Some(None)`).
    #[inline]
    fn only_timestamps(&self) -> Option<Option<Timestamps>> {
        let Self { mss, window_scale, sack_permitted, timestamps, .. } = self;
        let Self { user_timeout, acc_ecn, signature, fast_open, sack, .. } = self;
        let others = *sack_permitted
            || mss.is_some()
            || window_scale.is_some()
            || user_timeout.is_some()
            || acc_ecn.is_some()
            || signature.is_some()
            || fast_open.is_some()
            || !sack.is_empty();
        (!others).then_some(*timestamps)
    }

    /// As `len`, whatever they are.
    fn len_of_all(&self) -> usize {
        let others = self.len_without_sack();
        let blocks = self.sack.as_slice().len().min(sack_capacity_beside(others));
        others + if blocks == 0 { 0 } else { 4 + 8 * blocks }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many SACK blocks fit beside the other options.
    pub fn sack_capacity(&self) -> usize {
        sack_capacity_beside(self.len_without_sack())
    }

    fn len_without_sack(&self) -> usize {
        self.len_of_others() + self.fast_open_that_fits().map_or(0, |cookie| cookie.padded_len())
    }

    /// All but SACK blocks and Fast Open.
    fn len_of_others(&self) -> usize {
        self.len_of_usual() + self.signature_that_fits().map_or(0, Signature::padded_len)
    }

    /// Those that no signature is among.
    fn len_of_usual(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let window_scale = if self.window_scale.is_some() { 4 } else { 0 };
        // SACK permitted takes the place of the two NOPs before the timestamps.
        let rest = match (self.timestamps, self.sack_permitted) {
            (Some(_), _) => TIMESTAMPS_LEN,
            (None, true) => 4,
            (None, false) => 0,
        };
        let user_timeout = if self.user_timeout.is_some() { 4 } else { 0 };
        let acc_ecn = self.acc_ecn.as_ref().map_or(0, AccEcn::padded_len);
        mss + window_scale + rest + user_timeout + acc_ecn
    }

    /// The signature, unless it is too long beside the others: what `set_signature` has set fits.
    fn signature_that_fits(&self) -> Option<Signature> {
        self.signature.filter(|signature| self.len_of_usual() + signature.padded_len() <= MAX_OPTIONS_LEN)
    }

    /// Sets or removes the signature, in whose favour others may be left out.
    pub(crate) fn set_signature(&mut self, signature: Option<Signature>) {
        self.signature = signature;
        if self.signature_that_fits() != signature {
            self.acc_ecn = None;
            self.user_timeout = None;
        }
    }

    /// Sets or removes the Fast Open option, in whose favour another may be left out.
    pub(crate) fn set_fast_open(&mut self, cookie: Option<FastOpenCookie>) {
        self.fast_open = cookie;
        if cookie.is_some() && self.fast_open_that_fits().is_none() {
            // RFC 9768 section 3.2.3: that option gives way to others.
            self.acc_ecn = None;
        }
    }

    /// The Fast Open option, unless it is too long beside the others.
    fn fast_open_that_fits(&self) -> Option<FastOpenCookie> {
        self.fast_open.filter(|cookie| self.len_of_others() + cookie.padded_len() <= MAX_OPTIONS_LEN)
    }

    fn sack_that_fits(&self) -> &[SackBlock] {
        let blocks = self.sack.as_slice();
        &blocks[..blocks.len().min(self.sack_capacity())]
    }

    /// Reads options up to their end into a fresh value; answers where they are broken. Unknown kinds are skipped by
    /// their length (RFC 9293 section 3.2, MUST-6).
    #[inline]
    fn read(&mut self, bytes: &[u8]) -> Result<(), usize> {
        // What nearly every segment of an open connection carries, in the layout that RFC 7323 appendix A recommends.
        if let &[kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] = bytes {
            let (value, echo) = (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
            self.timestamps = Some(Timestamps { value, echo });
            return Ok(());
        }
        if bytes.is_empty() { Ok(()) } else { self.read_each(bytes) }
    }

    /// As `read`, in any layout.
    fn read_each(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = TcpOptionsIterator::from_slice(bytes);
        loop {
            let left = rest.rest();
            let at = bytes.len() - left.len();
            match rest.next() {
                None => return Ok(()),
                Some(Ok(element)) => self.set(&element),
                Some(Err(TcpOptionReadError::UnknownId(_))) => {
                    // RFC 9293 section 3.1: every kind but 0 and 1 has a length that counts kind and length
                    // too.
                    let len = usize::from(*left.get(1).ok_or(at)?);
                    let skipped = left.get(len..).filter(|_| len >= 2).ok_or(at)?;
                    self.set_other(left[0], &left[2..len]);
                    rest = TcpOptionsIterator::from_slice(skipped);
                }
                Some(Err(_)) => return Err(at),
            }
        }
    }

    fn set(&mut self, element: &TcpOptionElement) {
        match *element {
            TcpOptionElement::Noop => {}
            TcpOptionElement::MaximumSegmentSize(mss) => self.mss = Some(mss),
            TcpOptionElement::WindowScale(shift) => self.window_scale = Some(shift),
            TcpOptionElement::SelectiveAcknowledgementPermitted => self.sack_permitted = true,
            TcpOptionElement::SelectiveAcknowledgement(first, others) => {
                self.sack = SackBlocks::EMPTY;
                for (start, end) in core::iter::once(first).chain(others.into_iter().flatten()) {
                    self.sack.push(SackBlock { start: SeqNum::new(start), end: SeqNum::new(end) });
                }
            }
            TcpOptionElement::Timestamp(value, echo) => self.timestamps = Some(Timestamps { value, echo }),
        }
    }

    /// An option that `etherparse` does not know. With a length that is not its own it says nothing.
    fn set_other(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (kind::USER_TIMEOUT, &[high, low]) => {
                let both = u16::from_be_bytes([high, low]);
                self.user_timeout = Some(UserTimeout { minutes: both >> 15 == 1, value: both & 0x7fff });
            }
            (kind::ACC_ECN_0, body) => self.acc_ecn = Some(AccEcn::read(AccEcnOrder::Ect0First, body)),
            (kind::ACC_ECN_1, body) => self.acc_ecn = Some(AccEcn::read(AccEcnOrder::Ect1First, body)),
            (kind::MD5 | kind::AO, _) => {
                self.signature = Some(Signature::read(self.signature, kind, value));
            }
            (kind::FAST_OPEN, cookie) => self.fast_open = FastOpenCookie::new(cookie),
            // RFC 6994 section 3: other experiments share the kind, each with a number of its own.
            (kind::EXPERIMENT, body) => {
                if let Some(cookie) = body.strip_prefix(&fast_open::EXPERIMENT) {
                    let cookie = FastOpenCookie::new(cookie);
                    self.fast_open = cookie.map(|cookie| cookie.in_form(FastOpenForm::Experimental));
                }
            }
            _ => {}
        }
    }

    /// Writes the options in the order and with the padding that Linux uses, so that a middlebox that knows
    /// one layout knows ours. `out` has exactly their length.
    fn write(&self, out: &mut [u8]) {
        if let Some(timestamps) = self.only_timestamps() {
            if let (Some(timestamps), Some(out)) = (timestamps, out.first_chunk_mut()) {
                *out = timestamps.padded();
            }
            return;
        }
        self.write_each(out);
    }

    /// As `write`, whatever they are.
    fn write_each(&self, out: &mut [u8]) {
        let mut at = 0;
        if let Some(signature) = self.signature_that_fits() {
            signature.write(out);
            at = signature.padded_len();
        }
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            put(&[kind::MSS, 4]);
            put(&mss.to_be_bytes());
        }
        if self.timestamps.is_some() || self.sack_permitted {
            let sack_permitted = [kind::SACK_PERMITTED, 2];
            match (self.timestamps, self.sack_permitted) {
                (Some(_), true) => put(&sack_permitted),
                _ => put(&[kind::NOP, kind::NOP]),
            }
            match self.timestamps {
                Some(timestamps) => put(&timestamps.padded()[2..]),
                None => put(&sack_permitted),
            }
        }
        if let Some(shift) = self.window_scale {
            put(&[kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        if let Some(UserTimeout { minutes, value }) = self.user_timeout {
            put(&[kind::USER_TIMEOUT, 4]);
            put(&(u16::from(minutes) << 15 | value & 0x7fff).to_be_bytes());
        }
        if let Some(acc_ecn) = &self.acc_ecn {
            let kind = match acc_ecn.order() {
                AccEcnOrder::Ect0First => kind::ACC_ECN_0,
                AccEcnOrder::Ect1First => kind::ACC_ECN_1,
            };
            let len = 2 + acc_ecn.body().len();
            put(&[kind, len as u8]);
            put(acc_ecn.body());
            put(&[kind::NOP; 3][..acc_ecn.padded_len() - len]);
        }
        if let Some(cookie) = self.fast_open_that_fits() {
            let len = cookie.option_len();
            put(&[cookie.form().kind(), len as u8]);
            put(cookie.form().experiment());
            put(cookie.as_bytes());
            put(&[kind::NOP; 2][..cookie.padded_len() - len]);
        }
        let blocks = self.sack_that_fits();
        if !blocks.is_empty() {
            put(&[kind::NOP, kind::NOP, kind::SACK, 2 + 8 * blocks.len() as u8]);
            for block in blocks {
                put(&block.start.get().to_be_bytes());
                put(&block.end.get().to_be_bytes());
            }
        }
    }
}

/// How many SACK blocks fit beside so many bytes of other options.
fn sack_capacity_beside(others: usize) -> usize {
    (MAX_OPTIONS_LEN - others).saturating_sub(4) / 8
}

mod fast_open;
mod signature;

pub use fast_open::{FastOpenCookie, FastOpenForm};
pub use signature::{Signature, digest_range};

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
    pub(super) const MD5: u8 = 19;
    pub(super) const USER_TIMEOUT: u8 = 28;
    pub(super) const AO: u8 = 29;
    pub(super) const ACC_ECN_0: u8 = 172;
    pub(super) const ACC_ECN_1: u8 = 174;
    pub(super) const FAST_OPEN: u8 = 34;
    pub(super) const EXPERIMENT: u8 = 254;
}

/// The timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The latest clock of the other side that the sender saw; meaningful only with ACK.
    pub echo: u32,
}

/// Bytes of the timestamps option with the two NOPs before it.
const TIMESTAMPS_LEN: usize = 12;

impl Timestamps {
    /// The option, with two NOPs before it (RFC 7323 appendix A).
    fn padded(self) -> [u8; TIMESTAMPS_LEN] {
        let ([v0, v1, v2, v3], [e0, e1, e2, e3]) = (self.value.to_be_bytes(), self.echo.to_be_bytes());
        [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3]
    }
}

/// The user timeout option (RFC 5482 section 3): how long its sender keeps data that is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UserTimeout {
    /// Whether `value` counts minutes; seconds otherwise.
    pub minutes: bool,
    /// 15 bits; 0 says nothing.
    pub value: u16,
}

/// One SACK block: `start` is the first byte held, `end` the first byte after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlock {
    /// First byte held.
    pub start: SeqNum,
    /// First byte after it.
    pub end: SeqNum,
}

/// Up to four SACK blocks, the most that fit.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// No block.
    pub const EMPTY: Self =
        Self { blocks: [SackBlock { start: SeqNum::new(0), end: SeqNum::new(0) }; 4], len: 0 };

    /// Adds a block; false if there is no room.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *slot = block;
        self.len += 1;
        true
    }

    /// The blocks, in the order of the wire.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.len)]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl core::fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests;
