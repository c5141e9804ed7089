//! What `ustack bench` measures: speed beside peers in real time, goodput beside smoltcp in virtual time.
//!
//! ```text
//!   contender (CPU 0)                        peer (CPU 1, or CPU 0 too)
//!   ustack, smoltcp, mini ── TAP ═══════════ the kernel's TCP ── reader, writer, echo
//!   the kernel's TCP ─────── veth ══════════ the kernel's TCP ── the same
//! ```
//!
//! The peer is the same for all contenders, and so is what is counted: what its side, or ours, has read. Contenders
//! take turns, so that whatever else the machine does hits all of them, and each ratio is a median of ratios of
//! neighbours.

pub mod bed;
pub mod bulk;
pub mod duet;
pub mod gauge;
pub mod hosts;
pub mod iperf3;
pub mod lossy;
pub mod measure;
pub mod mini;
pub mod ours;
pub mod peer;
pub mod queues;
pub mod report;
pub mod rr;
pub mod segments;
pub mod smol;
pub mod smoltap;
pub mod twins;
pub mod udp;
