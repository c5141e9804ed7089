//! Why a capture cannot be replayed.

use std::io;

use super::conversation::Conversation;

/// A capture cannot be replayed: what is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    /// The capture cannot be read.
    #[error("{0}")]
    Capture(#[from] ustack::capture::Error),
    /// There is no TCP or UDP in it.
    #[error("no TCP or UDP conversation among its {packets} packets")]
    NoConversation {
        /// Packets of the capture.
        packets: u64,
    },
    /// There are several, and none was chosen.
    #[error("{} conversations: choose one by --conversation\n{}", .0.len(), list(.0))]
    Several(Vec<String>),
    /// There is none of that number.
    #[error("no conversation {number}: there are {}\n{}", .all.len(), list(.all))]
    NoSuch {
        /// The one asked for.
        number: usize,
        /// Those that there are.
        all: Vec<String>,
    },
    /// The capture kept less of a packet than there was.
    #[error("packet {number} was cut when it was captured: capture whole packets (tcpdump -s 0)")]
    Cut {
        /// Its number in the capture.
        number: u64,
    },
    /// The beginning is missing.
    #[error("the capture begins in the middle of the conversation: the {side}'s SYN is missing")]
    Midstream {
        /// Whose.
        side: &'static str,
    },
    /// Bytes were acknowledged that are not in the capture.
    #[error(
        "bytes {from} to {to} of the {side}'s stream are not in the capture, though they were acknowledged"
    )]
    Missing {
        /// Whose.
        side: &'static str,
        /// The first.
        from: u64,
        /// One beyond the last.
        to: u64,
    },
    /// Our stack does not take the recorded addresses or ports.
    #[error("the stack cannot take the place of {address}: {error}")]
    Stack {
        /// Whose place.
        address: std::net::SocketAddr,
        /// Why not.
        error: ustack::Error,
    },
}

impl Error {
    pub(super) fn several(all: &[Conversation]) -> Self {
        Self::Several(titles(all))
    }

    pub(super) fn no_such(number: usize, all: &[Conversation]) -> Self {
        Self::NoSuch { number, all: titles(all) }
    }
}

fn titles(all: &[Conversation]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// At most this many conversations are listed.
const MOST_LISTED: usize = 50;

fn list(titles: &[String]) -> String {
    let mut lines: Vec<String> = titles
        .iter()
        .take(MOST_LISTED)
        .enumerate()
        .map(|(i, title)| format!("{:>4}  {title}", i + 1))
        .collect();
    if titles.len() > MOST_LISTED {
        lines.push(format!("      and {} more", titles.len() - MOST_LISTED));
    }
    lines.join("\n")
}
