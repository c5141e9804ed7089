//! TCP: the header and its options as values (RFC 9293 section 3.1, RFC 7323, RFC 2018).

use super::seq::SeqNum;

/// A TCP header as a value. The checksum is not part of it: it is verified on reading and filled on writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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
        /// Accurate ECN (once NS).
        const AE = 0x100;
    }
}

/// The options that the stack understands. Others are skipped when reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Maximum segment size; only on SYNs.
    pub mss: Option<u16>,
    /// Window scale shift as it stands on the wire, up to 255; only on SYNs. Whoever uses it limits it to 14 (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted; only on SYNs.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks, as they stand on the wire: not yet checked against any window.
    pub sack: SackBlocks,
}

/// The timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The latest clock of the other side that the sender saw; meaningful only with ACK.
    pub echo: u32,
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

/// Bytes of a TCP header with all options: the most there can be.
pub const MAX_HEADER_LEN: usize = 60;
