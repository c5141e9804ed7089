//! What a connection tells its caller: events, and what can be done without waiting.

use super::error::Error;
use crate::buf::packed::packed;

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The handshake is complete.
    Connected,
    /// There is something to read.
    Readable,
    /// There is room to write again.
    Writable,
    /// The peer has sent its last byte.
    ReadClosed,
    /// The peer has acknowledged our last byte and our FIN.
    WriteClosed,
    /// Enters TIME-WAIT: [`Connection::take_time_wait`](super::Connection::take_time_wait) has a value.
    TimeWait,
    /// The handshake of a connection that began with Fast Open is complete.
    FastOpenDone,
    /// The peer has reset a connection that began with Fast Open before its handshake was complete.
    FastOpenReset,
    /// The connection is over: `None` if both sides ended it in order.
    Closed(Option<Error>),
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness {
    /// `recv` would not answer `WouldBlock`: data, the end of the stream, or an error.
    pub readable: bool,
    /// `send` would not answer `WouldBlock`.
    pub writable: bool,
    /// The peer has sent its last byte (it need not have been read), or we stopped reading.
    pub read_closed: bool,
    /// We cannot send any more.
    pub write_closed: bool,
    /// The connection failed: see [`Connection::error`](super::Connection::error).
    pub error: bool,
}

/// Events that nobody has taken yet: each kind at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    bits: u16,
    error: Option<Error>,
}

packed!(Events { bits; error: None });

/// The order in which they are told.
const ORDER: [Event; 8] = [
    Event::Connected,
    Event::Readable,
    Event::Writable,
    Event::ReadClosed,
    Event::WriteClosed,
    Event::TimeWait,
    Event::FastOpenDone,
    Event::FastOpenReset,
];

const CLOSED: u16 = 1 << ORDER.len();

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::Closed(error) => self.close(error),
            _ => self.bits |= ORDER.iter().position(|&kind| kind == event).map_or(0, |index| 1 << index),
        }
    }

    pub(crate) fn close(&mut self, error: Option<Error>) {
        self.bits |= CLOSED;
        self.error = error;
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.bits == 0 {
            return None;
        }
        let index = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(ORDER.get(index).copied().unwrap_or(Event::Closed(self.error)))
    }
}
