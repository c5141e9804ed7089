//! The numbers of pcap and pcapng that reader and writer share.

/// Block types.
pub(super) mod block {
    pub(in crate::capture) const SECTION: u32 = 0x0a0d_0d0a;
    pub(in crate::capture) const INTERFACE: u32 = 1;
    /// Long obsolete, still found in old files.
    pub(in crate::capture) const PACKET: u32 = 2;
    pub(in crate::capture) const SIMPLE_PACKET: u32 = 3;
    pub(in crate::capture) const ENHANCED_PACKET: u32 = 6;
}

/// Option codes; their meaning depends on the block, except for the first two.
pub(super) mod option {
    pub(in crate::capture) const END: u16 = 0;
    pub(in crate::capture) const COMMENT: u16 = 1;
    pub(in crate::capture) const SECTION_APPLICATION: u16 = 4;
    pub(in crate::capture) const INTERFACE_NAME: u16 = 2;
    pub(in crate::capture) const INTERFACE_DESCRIPTION: u16 = 3;
    pub(in crate::capture) const INTERFACE_RESOLUTION: u16 = 9;
    pub(in crate::capture) const INTERFACE_TIME_OFFSET: u16 = 14;
    pub(in crate::capture) const PACKET_FLAGS: u16 = 2;
}

/// Tells a section's byte order.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// First word of a pcap file with microseconds.
pub(super) const PCAP_MICROS: u32 = 0xa1b2_c3d4;
/// First word of a pcap file with nanoseconds.
pub(super) const PCAP_NANOS: u32 = 0xa1b2_3c4d;

/// Bytes of a block around its body: type and length before, length after.
pub(super) const BLOCK_OVERHEAD: usize = 12;
/// Larger blocks, and larger packets, are refused.
pub(super) const MAX_BLOCK: usize = 16 << 20;
/// More interfaces are refused.
pub(super) const MAX_INTERFACES: usize = 65_536;

/// Length with the padding to the next multiple of four.
pub(super) const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}
