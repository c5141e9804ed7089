//! Replays: one side of a captured conversation is played at the stack, which stands in for the other side.
//!
//! ```text
//! capture ──▶ Capture ──▶ Conversation ──▶ script ──▶ player ──▶ Report
//!             packets      one of them      what waits   the stack    bytes and segments,
//!                                           for what     in virtual   side by side
//!                                                        time
//! ```
//!
//! Nothing is played by counting frames. A recorded segment waits until the stack has sent what it acknowledges, the
//! application writes when it has read what the recorded one had, and time passes as it passed in the capture.

mod capture;
mod compare;
mod conversation;
mod error;
mod fragments;
mod host;
mod readdress;
mod report;
mod stream;
mod tcp;
mod udp;

use crate::events::EventLog;

pub use capture::Capture;
pub use compare::{Difference, Row};
pub use conversation::{Conversation, Protocol};
pub use error::Error;
pub use report::{Report, Streams};

/// Which side of the conversation the stack takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The one that began it.
    Client,
    /// The other.
    Server,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Plays a conversation at a stack that stands in for `role`; what looks random follows from `seed`.
///
/// # Errors
/// The conversation cannot be played: its beginning or some of its bytes are not in the capture.
pub fn replay(conversation: &Conversation, role: Role, seed: u64) -> Result<Report, Error> {
    replay_observed(conversation, role, seed, None)
}

/// As [`replay`], and writes down what the connection decides.
///
/// # Errors
/// As [`replay`].
pub fn replay_observed(
    conversation: &Conversation,
    role: Role,
    seed: u64,
    events: Option<&EventLog>,
) -> Result<Report, Error> {
    match conversation.protocol {
        Protocol::Tcp => tcp::replay(conversation, role, seed, events),
        Protocol::Udp => udp::replay(conversation, role, seed),
    }
}
