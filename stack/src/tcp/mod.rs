//! TCP (RFC 9293) without addresses, clocks or I/O: segments and time go in, segments, deadlines and events come out.
//!
//! - [`Connection`]: one connection, from its SYN to its end.
//! - [`Listener`]: a listening port, with small entries for handshakes under way.
//! - [`TimeWait`]: what remains of a connection that is over.
//!
//! The caller knows the addresses: it finds the connection for a segment, verifies the checksum before and fills it after.

pub mod congestion;
mod connection;
mod error;
mod info;
pub mod isn;
mod listener;
mod options;
pub mod pacing;
pub mod rtt;
mod segment;
mod state;
mod time_wait;

pub use connection::{Connection, Event, Readiness, Start};
pub use error::{Error, IcmpError};
pub use info::{Counters, TcpInfo};
pub use listener::{Listener, ListenerStats, SynAck, Verdict};
pub use options::{Keepalive, Settings};
pub use segment::{Limits, Outgoing, Ports, Segment, reset_for};
pub use state::State;
pub use time_wait::{TimeWait, TimeWaitVerdict};
