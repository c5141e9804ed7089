//! ustack: a TCP/UDP/IP stack in user space that explains itself.

pub mod blocking;
pub mod buf;
pub mod capture;
pub mod config;
pub mod device;
pub mod error;
pub mod event;
pub mod ip;
pub mod link;
pub mod net;
pub mod raw;
pub mod rng;
pub mod sim;
pub mod socket;
pub mod stack;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod why;
pub mod wire;

pub use buf::frame::InterfaceId;
pub use config::Config;
pub use error::Error;
pub use event::{Event, Readiness};
pub use link::InterfaceConfig;
pub use socket::table::SocketId;
pub use stack::Stack;
