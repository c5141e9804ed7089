//! What the near end does in more than one demonstration: send a stream of messages, send datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};

use ustack::net::{Net, TcpStream, UdpSocket};
use ustack::tcp::TcpInfo;
use ustack::time::Duration;

use super::frame::{Content, Frame, Side};
use super::peer::{DATAGRAM_PORT, Heard, STREAM_PORT};
use super::place::far;
use super::report::Check;
use super::stream::{message, number_of};

/// How a stream of messages is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    pub(crate) count: usize,
    /// Bytes of a message; None for as much as fits a segment.
    pub(crate) size: Option<usize>,
    /// Time between two messages.
    pub(crate) pace: Duration,
    pub(crate) sack: bool,
}

/// What the sender of a stream knows in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Bytes of a message.
    pub(crate) size: usize,
    pub(crate) info: TcpInfo,
}

/// Connects, sends messages, and ends when the far end has read them all.
pub(crate) async fn send_stream(net: Net, sending: Sending) -> io::Result<Sent> {
    let Sending { count, size, pace, sack } = sending;
    // One segment for each message: Nagle would let them wait for acknowledgments.
    let settings = |settings: &mut ustack::tcp::Settings| (settings.nodelay, settings.sack) = (true, sack);
    let stream = TcpStream::connect_with(&net, far(STREAM_PORT), None, settings).await?;
    let size = match size {
        Some(size) => size,
        None => stream.info()?.snd_mss as usize,
    };
    for number in 1..=count {
        stream.write_all(&message(number, size)).await?;
        if !pace.is_zero() {
            net.sleep(pace).await;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    // The far end answers the end by the end: then it has read everything.
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(Sent { size, info: stream.info()? })
}

/// Sends each message as a datagram. Nobody says whether they arrive.
pub(crate) async fn send_datagrams(net: Net, count: usize, size: usize, pace: Duration) -> io::Result<()> {
    let socket = bind(&net)?;
    for number in 1..=count {
        socket.send_to(&message(number, size), far(DATAGRAM_PORT)).await?;
        net.sleep(pace).await;
    }
    Ok(())
}

/// A datagram socket on a port of its own.
pub(crate) fn bind(net: &Net) -> io::Result<UdpSocket> {
    UdpSocket::bind(net, SocketAddr::new(IpAddr::from(Ipv4Addr::UNSPECIFIED), 0))
}

/// The numbers of the messages that were read from the stream, in order; 0 for what is no message.
pub(crate) fn read_from_stream(heard: &[Heard], size: usize) -> Vec<usize> {
    let parts = heard.iter().filter(|heard| heard.port == STREAM_PORT).map(|heard| &heard.bytes[..]);
    let bytes: Vec<u8> = parts.collect::<Vec<_>>().concat();
    bytes.chunks(size.max(1)).map(|message| number_of(message).unwrap_or(0)).collect()
}

/// The numbers of the datagrams that were read, in order; 0 for what is no message.
pub(crate) fn read_from_datagrams(heard: &[Heard]) -> Vec<usize> {
    let datagrams = heard.iter().filter(|heard| heard.port == DATAGRAM_PORT);
    datagrams.map(|heard| number_of(&heard.bytes).unwrap_or(0)).collect()
}

/// What arrived of the near end's frames, undamaged and in that order: `of` tells which numbers a frame carries.
pub(crate) fn arrived<I: IntoIterator<Item = usize>>(
    frames: &[Frame],
    of: impl Fn(&Frame) -> I,
) -> Vec<usize> {
    let near = frames.iter().filter(|frame| frame.from == Side::Near);
    let arrivals = near.flat_map(|frame| frame.arrivals().map(move |arrival| (arrival, frame)));
    let mut whole: Vec<_> = arrivals.filter(|(arrival, _)| arrival.is_taken).collect();
    whole.sort_by_key(|(arrival, _)| arrival.time);
    whole.into_iter().flat_map(|(_, frame)| of(frame)).collect()
}

/// The number of the message that a datagram is.
pub(crate) fn datagram_number(frame: &Frame) -> Option<usize> {
    match &frame.content {
        Content::Udp { payload, to, .. } if to.port() == DATAGRAM_PORT => number_of(payload),
        _ => None,
    }
}

/// TCP's promise: all messages, each once, in order.
pub(crate) fn stream_check(count: usize, read: &[usize]) -> Check {
    let all = read.iter().copied().eq(1..=count);
    let how = if all { "each once, in order" } else { "which is not what TCP promises" };
    Check::new(all, format!("TCP:   {} of {count} messages read, {how}", read.len()))
}

/// What a conversation ended with, if it ended as it should; otherwise a check that fails.
pub(crate) fn outcome<T>(result: Option<io::Result<T>>, checks: &mut Vec<Check>) -> Option<T> {
    let why = match result {
        Some(Ok(value)) => return Some(value),
        Some(Err(error)) => error.to_string(),
        None => "it did not come to an end".to_owned(),
    };
    checks.push(Check::new(false, format!("the conversation failed: {why}")));
    None
}

/// Times in whole and tenths of milliseconds, for tables.
pub(crate) fn short(span: Duration) -> String {
    format!("{}.{} ms", span.as_millis(), span.as_micros() / 100 % 10)
}
