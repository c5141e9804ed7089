//! What netcat does with a connection: stdin goes out, what comes in goes to stdout.

use std::io::{self, IsTerminal, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;

use ustack::net::{TcpStream, UdpSocket};
use ustack::tcp::State;
use ustack::time::Duration;

use super::failure::Failure;
use super::input::Input;

const BUFFER: usize = 64 * 1024;

/// How a conversation ends when stdin does.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct EndArgs {
    /// End this long after the end of input, even if the peer has not ended its side
    #[arg(long, short = 'q', value_name = "TIME", value_parser = super::span::parse)]
    pub(crate) quit_after: Option<Duration>,
    /// Do not read stdin at all
    #[arg(long, short = 'd')]
    pub(crate) no_input: bool,
}

/// What a conversation moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Talks over a stream until both sides have ended theirs. The end of stdin ends our side, and the peer can go on; when
/// the peer ends its side, what is piped into us is sent to its end, but a person at a terminal has nobody to talk to.
pub(crate) async fn stream(
    stream: &TcpStream,
    input: Option<&mut Input>,
    end: EndArgs,
) -> Result<Moved, Failure> {
    let mut moved = Moved::default();
    let has_input = input.is_some();
    {
        let mut receive = pin!(receive(stream, &mut moved.received));
        let mut send = pin!(send(stream, input, &mut moved.sent));
        tokio::select! {
            result = &mut receive => {
                result?;
                if has_input && !io::stdin().is_terminal() {
                    send.await?;
                }
            }
            result = &mut send => {
                result?;
                match end.quit_after.filter(|_| has_input) {
                    // Whether or not the peer has ended.
                    Some(span) => tokio::time::timeout(span.into(), receive).await.unwrap_or(Ok(()))?,
                    None => receive.await?,
                }
            }
        }
    }
    delivered(stream).await?;
    Ok(moved)
}

/// Waits until the peer has acknowledged all that we sent, so that our end does not take it away. Of the end of our
/// side alone, after all data, nobody can be sure: the peer may be gone already, and be content.
async fn delivered(stream: &TcpStream) -> Result<(), Failure> {
    let begin = now();
    loop {
        // Closed in order, and forgotten by the stack.
        let Ok(info) = stream.info() else { return Ok(()) };
        let waited = begin.elapsed();
        match info.state {
            State::Closed | State::TimeWait => return Ok(()),
            _ if info.unsent == 0 && info.unacked <= 1 && waited >= PATIENCE => return Ok(()),
            _ if waited >= LIMIT => {
                return Err(Failure::Unmet(format!(
                    "the peer did not acknowledge the last {} bytes",
                    info.unsent + info.unacked
                )));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// How long the acknowledgment of the end of our side is waited for, and how long that of data.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
const LOOK: std::time::Duration = std::time::Duration::from_millis(2);

/// From the stream to stdout, until its end.
async fn receive(stream: &TcpStream, received: &mut u64) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match stream.read(&mut buffer).await.map_err(broken)? {
            0 => return Ok(()),
            n => {
                put(&buffer[..n]).await?;
                *received += n as u64;
            }
        }
    }
}

/// From stdin to the stream, until the end of stdin, which becomes the end of our side.
async fn send(stream: &TcpStream, input: Option<&mut Input>, sent: &mut u64) -> Result<(), Failure> {
    let Some(input) = input else { return Ok(()) };
    while let Some(piece) = input.next().await {
        let piece = piece.map_err(unreadable)?;
        stream.write_all(&piece).await.map_err(broken)?;
        *sent += piece.len() as u64;
    }
    stream.shutdown(Shutdown::Write).map_err(broken)
}

/// Talks over a datagram socket: each piece of stdin (a line, in a terminal) is a datagram. With `peer` unknown, the
/// first who sends becomes the peer. Ends after the end of stdin, or never if there is no such end.
pub(crate) async fn datagrams(
    socket: &UdpSocket,
    mut peer: Option<SocketAddr>,
    mut input: Option<&mut Input>,
    end: EndArgs,
) -> Result<Moved, Failure> {
    let mut moved = Moved::default();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut ending = None;
    loop {
        let next = async {
            match &mut input {
                // Nobody to send to yet: stdin can wait.
                Some(input) if peer.is_some() && ending.is_none() => input.next().await,
                _ => std::future::pending().await,
            }
        };
        let end_of_wait = async {
            match ending {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (len, from) = received.map_err(broken)?;
                if peer.is_none() {
                    // From now on errors about what we send are told to us.
                    socket.connect(from).map_err(broken)?;
                    peer = Some(from);
                }
                put(&buffer[..len]).await?;
                moved.received += len as u64;
            }
            piece = next => match piece {
                Some(piece) => {
                    let piece = piece.map_err(unreadable)?;
                    for datagram in piece.chunks(MAX_DATAGRAM) {
                        socket.send(datagram).await.map_err(broken)?;
                        moved.sent += datagram.len() as u64;
                    }
                }
                None => {
                    let wait = end.quit_after.unwrap_or(AFTER_INPUT);
                    ending = Some(now() + wait.into());
                }
            },
            () = end_of_wait => return Ok(moved),
        }
    }
}

/// The largest payload of a UDP datagram over IPv4.
pub(crate) const MAX_DATAGRAM: usize = 65_507;
/// UDP has no end: answers to the last datagram have this long.
const AFTER_INPUT: Duration = Duration::from_secs(1);

#[allow(clippy::disallowed_methods, reason = "tools live in real time")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The conversation has ended out of order.
fn broken(error: io::Error) -> Failure {
    Failure::Unmet(error.to_string())
}

/// Stdin failed.
pub(crate) fn unreadable(error: io::Error) -> Failure {
    Failure::Unmet(format!("cannot read stdin: {error}"))
}

/// Writes to stdout at once. Another thread waits if nobody reads: the stack goes on, and closes its window.
pub(crate) async fn put(bytes: &[u8]) -> Result<(), Failure> {
    let bytes = bytes.to_vec();
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    });
    let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(written?)
}
