//! ustack: a TCP/UDP/IP stack in user space that explains itself.

pub mod buf;
pub mod capture;
pub mod device;
pub mod ip;
pub mod link;
pub mod raw;
pub mod rng;
pub mod sim;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod why;
pub mod wire;
