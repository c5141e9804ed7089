//! ustack as a shared library that packetdrill loads: its system calls, its network device and its clock.
//!
//! ```text
//! packetdrill ──▶ ffi ──▶ machine: one lock, the virtual clock, ──▶ process: descriptors ──▶ host: a stack, and
//!   C pointers    only    calls that wait on another thread         and calls on them        what it has sent
//!                 unsafe
//! ```
//!
//! Nothing here reads a real clock: a run gives the same packets at the same times whenever it is repeated.

mod address;
mod epoll;
pub mod ffi;
mod host;
mod machine;
mod numbers;
mod options;
mod process;
