//! What `ustack bench` measures in virtual time: conversations of our stack and of smoltcp in the same simulator.

pub mod duet;
pub mod lossy;
pub mod smol;
