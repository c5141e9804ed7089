//! The small services that a host offers by old custom: echo, discard, daytime, chargen; over TCP and over UDP.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;
use ustack::net::{Net, TcpListener, TcpStream, UdpSocket};
use ustack::rng::Rng;

use super::counters::Counters;

/// Clients of all TCP services at a time; further ones wait in their listeners.
pub(super) const MAX_CLIENTS: usize = 4096;
/// Nobody who serves on such a port is a client: two services would answer each other for ever.
const FIRST_CLIENT_PORT: u16 = 20;
const MAX_DATAGRAM: usize = 65_535;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// RFC 862: everything comes back.
    Echo,
    /// RFC 863: everything is thrown away.
    Discard,
    /// RFC 867: the date and the time.
    Daytime,
    /// RFC 864: lines of characters without end.
    Chargen,
}

impl Service {
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Daytime => 13,
            Self::Chargen => 19,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Daytime => "daytime",
            Self::Chargen => "chargen",
        }
    }

    /// Opens its ports and serves from then on, in tasks of the runtime.
    ///
    /// # Errors
    /// A port is taken.
    pub(super) fn start(
        self,
        net: &Net,
        clients: &Arc<Semaphore>,
        counters: &Arc<Counters>,
    ) -> io::Result<()> {
        let listener = TcpListener::bind(net, any(self.port()))?;
        let socket = UdpSocket::bind(net, any(self.port()))?;
        let serve = move |stream| async move { self.serve(&stream).await };
        tokio::spawn(accept(listener, clients.clone(), counters.clone(), serve));
        let seed = net.with_stack(|stack, _| stack.config().seed);
        tokio::spawn(self.answer(socket, Rng::new(seed, u64::from(self.port())), counters.clone()));
        Ok(())
    }

    /// Serves one connection until the client is content.
    async fn serve(self, stream: &TcpStream) -> io::Result<()> {
        match self {
            Self::Echo => echo(stream).await,
            Self::Discard => discard(stream).await,
            Self::Daytime => {
                stream.write_all(daytime().as_bytes()).await?;
                end(stream)
            }
            Self::Chargen => chargen(stream).await,
        }
    }

    /// Answers datagrams for ever.
    async fn answer(self, socket: UdpSocket, mut rng: Rng, counters: Arc<Counters>) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            // An error is about a datagram of before, not about the socket.
            let Ok(received) = socket.receive(&mut buffer).await else { continue };
            Counters::add(&counters.datagrams, 1);
            let (from, to_many) = (received.arrival.from, received.arrival.to_many);
            if from.port() < FIRST_CLIENT_PORT || to_many {
                continue;
            }
            let answer = match self {
                Self::Echo => socket.send_to(&buffer[..received.copied], from).await,
                Self::Discard => continue,
                Self::Daytime => socket.send_to(daytime().as_bytes(), from).await,
                // RFC 864: a random number, between 0 and 512, of characters.
                Self::Chargen => {
                    let len = (rng.next_u64() % 513) as usize;
                    let characters: Vec<u8> = (0..).flat_map(line).take(len).collect();
                    socket.send_to(&characters, from).await
                }
            };
            // As on any network, an answer may be lost.
            let _ = answer;
        }
    }
}

/// Accepts connections for ever, and serves each in a task of its own.
pub(super) async fn accept<F>(
    listener: TcpListener,
    clients: Arc<Semaphore>,
    counters: Arc<Counters>,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        let Ok(place) = clients.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        Counters::add(&counters.connections, 1);
        let (serving, counters) = (serve(stream), counters.clone());
        tokio::spawn(async move {
            if serving.await.is_err() {
                Counters::add(&counters.broken, 1);
            }
            drop(place);
        });
    }
}

/// All of our addresses, of both families.
pub(super) const fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

async fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return end(stream),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn discard(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer).await? > 0 {}
    end(stream)
}

/// Writes until the client ends its side or the connection.
async fn chargen(stream: &TcpStream) -> io::Result<()> {
    let write = async {
        // 95 lines begin with each character once: then it begins again.
        let all: Vec<u8> = (0..95).flat_map(line).collect();
        loop {
            stream.write_all(&all).await?;
        }
    };
    tokio::select! { result = write => result, result = discard(stream) => result }
}

/// One of the 95 lines: 72 characters, each line beginning one later than the one before.
fn line(number: usize) -> impl Iterator<Item = u8> {
    (0..72).map(move |column| b' ' + ((number + column) % 95) as u8).chain(*b"\r\n")
}

#[allow(clippy::disallowed_methods, reason = "who asks for the time of day gets it")]
fn daytime() -> String {
    format!("{}\r\n", httpdate::fmt_http_date(SystemTime::now()))
}

fn end(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chargen_turns_through_the_characters() {
        let text: Vec<u8> = line(0).collect();
        assert_eq!(text.len(), 74);
        assert!(text.starts_with(b" !\"#$%&'()*+,-./0123456789") && text.ends_with(b"g\r\n"));
        assert!(line(94).collect::<Vec<_>>().starts_with(b"~ !"));
    }

    #[test]
    fn daytime_is_a_line() {
        assert!(daytime().ends_with(" GMT\r\n"));
    }
}
