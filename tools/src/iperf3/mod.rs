//! The wire protocol of iperf3, both roles, on the sockets of a stack: a real iperf3 can measure us, and we a real one.
//!
//! A test has one control connection, on which the server tells the client the state that comes next, and beside it one
//! connection (or flow of datagrams) for each stream. Both sides send each other their results at the end.

pub mod client;
mod error;
mod meter;
mod protocol;
pub mod report;
mod results;
pub mod server;
mod streams;
mod usage;

pub use error::Error;
pub use protocol::{PORT, Params};

use ustack::tcp::Keepalive;
use ustack::time::Duration;

/// How long the other side may take for each step before and after the test itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// How it is noticed that the other side vanished without a word.
const KEEPALIVE: Keepalive =
    Keepalive { time: Duration::from_secs(10), interval: Duration::from_secs(3), count: 5 };

/// Waits no longer than [`PATIENCE`].
async fn patiently<T, E>(what: &str, future: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::time::timeout(PATIENCE.into(), future).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Silent(format!("{what} did not come within {PATIENCE}"))),
    }
}
