//! The link: frames, neighbours, our own addresses and groups on it, and the interface that holds them
//! together.
//!
//! ```text
//!   RxFrame --> ethernet (is it for us?) --> ARP: consumed     IP: lent to the stack
//!                                             |                 |  NDP, MLD, IGMP come back
//!                                             v                 v
//!   neighbor (who is where)   address (what is ours)   ndp (routers, prefixes)   group (what we listen to)
//!                    \___________________ poll_control: one frame at a time ___________________/
//! ```
//!
//! Nothing here answers at once: input changes state, `poll_control` speaks, `poll_event` tells.

pub mod address;
pub mod config;
pub mod ethernet;
pub mod event;
pub mod group;
pub mod interface;
pub mod neighbor;

mod arp;
mod emit;
mod membership;
mod ndp;
mod tables;

pub use address::{Address, AddressError, AddressState, Origin};
pub use config::{InterfaceConfig, NeighborConfig};
pub use ethernet::{Cast, DropReason};
pub use event::Event;
pub use group::GroupError;
pub use interface::{Interface, InterfaceStats, Received};
pub use neighbor::{Neighbor, NeighborState, NeighborStats, Resolution};
