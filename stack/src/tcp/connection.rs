//! One connection: what the caller sees of it.

use super::error::{Error, IcmpError};
use super::info::TcpInfo;
use super::options::{Keepalive, Settings};
use super::segment::{Limits, Outgoing, Ports, Segment};
use super::state::State;
use super::time_wait::TimeWait;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

/// What a new connection gets from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Initial sequence number (RFC 6528).
    pub iss: SeqNum,
    /// Added to our timestamp clock, so that it tells nothing about us (RFC 7323 section 5.4). The same for
    /// successive connections of one pair of addresses.
    pub ts_offset: u32,
    /// Largest TCP header, options and data of one segment, see [`Limits::max_segment`]. Decides the MSS that we announce.
    pub max_segment: usize,
}

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
    /// Enters TIME-WAIT: [`Connection::take_time_wait`] has a value.
    TimeWait,
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
    /// The connection failed: see [`Connection::error`].
    pub error: bool,
}

/// One TCP connection.
///
/// Getters; `handle_*` for input; commands; `poll_*` for output.
#[derive(Debug)]
pub struct Connection {
    settings: Settings,
}

impl Connection {
    /// Begins an active open: the SYN leaves with the next `poll_transmit`.
    pub fn connect(now: Instant, ports: Ports, start: Start, settings: Settings) -> Self {
        let _ = (now, ports, start, settings);
        todo!()
    }

    /// The state.
    pub fn state(&self) -> State {
        todo!()
    }

    /// The ports.
    pub fn ports(&self) -> Ports {
        todo!()
    }

    /// A snapshot of everything else.
    pub fn info(&self) -> TcpInfo {
        todo!()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why the connection failed, if it did; or the last ICMP error that did not end it.
    pub fn error(&self) -> Option<Error> {
        todo!()
    }

    /// What can be done without waiting.
    pub fn readiness(&self) -> Readiness {
        todo!()
    }

    /// Whether nothing will ever happen again: no timer, nothing to send.
    /// What is received may still be read.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// Whether `poll_transmit` may have something. Cheap; false is certain.
    pub fn wants_transmit(&self, now: Instant) -> bool {
        let _ = now;
        todo!()
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether an ICMP error about a segment of ours that began at `seq` is believable (RFC 5927 section 4.1):
    /// the segment must be in flight.
    pub fn accepts_icmp(&self, seq: SeqNum) -> bool {
        let _ = seq;
        todo!()
    }

    /// A segment arrived.
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment<'_>) {
        let _ = (now, segment);
        todo!()
    }

    /// Time has come to `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// An ICMP error about a segment of ours; ignored unless [`Self::accepts_icmp`].
    pub fn handle_icmp(&mut self, now: Instant, seq: SeqNum, error: IcmpError) {
        let _ = (now, seq, error);
        todo!()
    }

    /// Our own host found that the peer cannot be reached (no route, no answer to ARP or NDP).
    /// Ends an open under way; an established connection goes on trying.
    pub fn handle_unreachable(&mut self, now: Instant, error: Error) {
        let _ = (now, error);
        todo!()
    }

    /// The path takes segments of at most `max_segment` bytes (see [`Limits`]) from now on. What was larger is sent again.
    pub fn handle_path_mtu(&mut self, now: Instant, max_segment: usize) {
        let _ = (now, max_segment);
        todo!()
    }

    /// Takes bytes to be sent; answers how many fitted.
    ///
    /// # Errors
    /// `WouldBlock` if the buffer is full, `BrokenPipe` after our end of the stream, the connection's error after its failure.
    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        let _ = (now, data);
        todo!()
    }

    /// Gives received bytes; 0 is the end of the stream (or an empty buffer).
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, the connection's error after its failure.
    pub fn recv(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, Error> {
        let _ = (now, out);
        todo!()
    }

    /// Like `recv`, but the bytes stay.
    ///
    /// # Errors
    /// As `recv`.
    pub fn peek(&self, out: &mut [u8]) -> Result<usize, Error> {
        let _ = out;
        todo!()
    }

    /// Ends our stream: a FIN follows the last byte. Reading goes on.
    ///
    /// # Errors
    /// `NotConnected` if there is no connection.
    pub fn shutdown_write(&mut self, now: Instant) -> Result<(), Error> {
        let _ = now;
        todo!()
    }

    /// Stops reading: what is there and what comes is thrown away.
    pub fn shutdown_read(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The application lets go of the connection: it ends in order, or with a RST if received data was left unread
    /// or `linger` says so.
    pub fn close(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Ends the connection with a RST.
    pub fn abort(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Takes the error, as `SO_ERROR` does.
    pub fn take_error(&mut self) -> Option<Error> {
        todo!()
    }

    /// Takes what the connection left for its TIME-WAIT. The connection is CLOSED afterwards; it can still be read.
    pub fn take_time_wait(&mut self) -> Option<TimeWait> {
        todo!()
    }

    /// Switches Nagle's algorithm off or on.
    pub fn set_nodelay(&mut self, now: Instant, nodelay: bool) {
        let _ = (now, nodelay);
        todo!()
    }

    /// Sets keepalive.
    pub fn set_keepalive(&mut self, now: Instant, keepalive: Option<Keepalive>) {
        let _ = (now, keepalive);
        todo!()
    }

    /// Sets linger.
    pub fn set_linger(&mut self, linger: Option<Duration>) {
        self.settings.linger = linger;
    }

    /// Sets the user timeout.
    pub fn set_user_timeout(&mut self, now: Instant, timeout: Option<Duration>) {
        let _ = (now, timeout);
        todo!()
    }

    /// Sets the size of the send buffer. What is in it stays.
    pub fn set_send_buffer(&mut self, bytes: usize) {
        let _ = bytes;
        todo!()
    }

    /// Sets the size of the receive buffer. A window once offered is never taken back.
    pub fn set_recv_buffer(&mut self, bytes: usize) {
        let _ = bytes;
        todo!()
    }

    /// The next segment to send. Call until `None`; each answer counts as sent at `now`.
    pub fn poll_transmit(&mut self, now: Instant, limits: &Limits) -> Option<Outgoing> {
        let _ = (now, limits);
        todo!()
    }

    /// Where the payload of an answer of `poll_transmit` lies. Valid until the next call of a `&mut` method.
    pub fn payload(&self, outgoing: &Outgoing) -> [&[u8]; 2] {
        let _ = outgoing;
        todo!()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
}
