//! What the command line of ustack is made of, for tests and programs that want it without a process.

pub mod bench;
pub mod events;
pub mod iperf3;
pub mod namespace;
pub mod replay;
pub mod run;
