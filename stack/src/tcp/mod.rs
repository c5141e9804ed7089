//! TCP (RFC 9293) without addresses, clocks or I/O: segments and time go in, segments, deadlines and events come out.
//!
//! - [`Connection`]: one connection, from its SYN to its end.
//! - [`Listener`]: a listening port, with small entries for handshakes under way.
//! - [`TimeWait`]: what remains of a connection that is over.
//!
//! The caller knows the addresses: it finds the connection for a segment, verifies the checksum before and fills it
//! after.

mod asleep;
mod authentication;
mod common;
pub mod congestion;
mod connection;
mod decision;
mod ecn;
mod error;
mod event;
mod fast_open;
mod handshake;
mod info;
mod input;
pub mod isn;
mod journal;
mod listener;
mod low_water;
mod options;
mod output;
pub mod pacing;
mod plpmtud;
pub mod rate;
mod receiver;
mod receiver_rtt;
mod recovery;
pub mod rtt;
mod sack;
mod segment;
mod sender;
mod sizing;
mod state;
mod syncookie;
mod time_wait;
mod timeout;
mod timer;
mod too_big;
mod user_timeout;
mod watch;

pub use authentication::{
    AoAlgorithm, AoKey, AoKeyIds, Authenticator, Direction, Isns, KeyError, Keys, Refusal,
};
pub use connection::{Connection, Event, Readiness, Start};
pub use decision::{Decided, Decision, Evidence, LostBy, Reduction, Value};
pub use ecn::{EcnBytes, EcnFailures, EcnInfo, EcnMode, EcnPolicy};
pub use error::{Error, IcmpError};
pub use fast_open::{FastOpenClient, FastOpenOutcome, FastOpenReport, Shown, Ticket};
pub use info::{Counters, TcpInfo};
pub use listener::{Listener, ListenerStats, SynAck, Verdict};
pub use options::{Keepalive, Settings, SynCookiePolicy};
pub use plpmtud::{MtuProbing, MtuSearch};
pub use segment::{Limits, Outgoing, Ports, Segment, reset_for};
pub use sizing::Pressure;
pub use state::State;
pub use time_wait::{TimeWait, TimeWaitVerdict};
pub use too_big::TooBig;

pub(crate) use asleep::{Asleep, SharedSettings};
pub(crate) use input::Next;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
