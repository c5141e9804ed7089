//! Bytes on their way: rings, sets of ranges, and frames.

pub mod frame;
