//! Sockets: the table that holds them, who gets a packet, which ports are taken, who has something to say.

pub mod demux;
pub mod endpoint;
pub(crate) mod fast_open;
pub mod ports;
pub mod ready;
pub mod table;
pub(crate) mod time_waits;
pub mod timers;
