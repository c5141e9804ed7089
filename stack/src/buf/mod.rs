//! Bytes on their way: rings, sets of ranges, and frames.

pub mod frame;
pub mod ranges;
pub mod ring;
