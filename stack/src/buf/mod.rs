//! Bytes on their way: rings, sets of ranges, queues of packets, and frames.

pub mod frame;
pub(crate) mod packed;
pub mod packets;
pub mod ranges;
pub mod ring;
pub mod shard;
