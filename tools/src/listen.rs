//! `ustack listen`: netcat's server over the stack.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use tokio::task::JoinSet;
use ustack::net::{Net, TcpListener, TcpStream, UdpSocket};
use ustack::udp::Options;

use crate::common::console::note;
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::input::Input;
use crate::common::ports;
use crate::common::relay::{self, EndArgs, Moved};
use crate::common::runtime::{block_on, driven, interrupted};
use crate::common::stack::StackArgs;
use crate::common::target::FamilyArgs;

const EXAMPLES: &str = "\
Examples:
  ustack listen 5000                          then, in another terminal: nc 10.9.0.2 5000
  ustack listen 5000 > file                   receives a file: nc -N 10.9.0.2 5000 < file
  ustack listen --keep-open 5000              many clients: what one of them sends is printed,
                                              what is typed goes to all of them
  ustack listen --udp --keep-open 5000        the same with datagrams: all who have sent one
  ustack listen --udp -6 5000

A chat between two terminals, without any privilege (the first to come to the hub is 10.9.0.2):
  ustack listen  --hub /tmp/chat 5000
  ustack connect --hub /tmp/chat 10.9.0.2 5000";

/// Wait for a connection: what comes in goes to stdout, stdin goes out (as nc -l does).
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", ports::ABOUT))]
pub(crate) struct Args {
    /// Port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    #[command(flatten)]
    family: FamilyArgs,
    /// Datagrams instead of a stream
    #[arg(long, short)]
    udp: bool,
    /// Serve many clients, at the same time and one after the other, until Ctrl-C
    #[arg(long, short)]
    keep_open: bool,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    events: EventsArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let running = args.stack.plan()?.observed(&args.events).open()?;
    let result = block_on(driven(&running, async {
        tokio::select! {
            result = args.serve(&running.net) => result,
            () = interrupted() => Ok(ExitCode::SUCCESS),
        }
    }));
    running.finish()?;
    result
}

/// Clients that wait to be served.
const BACKLOG: usize = 128;
/// Clients that are served at a time by `--keep-open`; of datagrams, senders that are told what is typed.
const MAX_CLIENTS: usize = 1024;

impl Args {
    async fn serve(&self, net: &Net) -> Outcome {
        let mut input = match self.end.no_input {
            true => None,
            false => Some(Input::start()?),
        };
        if self.udp {
            self.serve_datagrams(net, input).await?;
        } else {
            let only_v6 = self.family.ipv6;
            let listener =
                TcpListener::bind_with(net, self.local(), BACKLOG, |settings| settings.only_v6 = only_v6);
            let listener = listener.map_err(|error| self.cannot(&error))?;
            note!("listening on port {}", self.port);
            match self.keep_open {
                true => self.serve_many(&listener, input).await?,
                false => self.serve_one(listener, input.as_mut()).await?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One client, as nc: the next ones are refused.
    async fn serve_one(&self, listener: TcpListener, input: Option<&mut Input>) -> Result<(), Failure> {
        let (stream, peer) = listener.accept().await.map_err(|error| self.cannot(&error))?;
        drop(listener);
        note!("connection from {peer}");
        let Moved { sent, received } = relay::stream(&stream, input, self.end).await?;
        note!("{sent} bytes sent, {received} received");
        Ok(())
    }

    /// Many clients; what is typed goes to all who are there.
    async fn serve_many(&self, listener: &TcpListener, mut input: Option<Input>) -> Result<(), Failure> {
        let mut clients: Vec<(SocketAddr, TcpStream)> = Vec::new();
        let mut receiving = JoinSet::new();
        loop {
            let next = async {
                match &mut input {
                    Some(input) if !clients.is_empty() => input.next().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                    let (stream, peer) = accepted.map_err(|error| self.cannot(&error))?;
                    note!("connection from {peer}");
                    clients.push((peer, stream.clone()));
                    receiving.spawn(async move { (peer, relay::stream(&stream, None, EndArgs::default()).await) });
                }
                Some(ended) = receiving.join_next() => {
                    let Ok((peer, result)) = ended else { continue };
                    clients.retain(|(of, _)| *of != peer);
                    match result {
                        Ok(Moved { received, .. }) => note!("{peer} has ended: {received} bytes received"),
                        Err(Failure::Unread) => return Err(Failure::Unread),
                        Err(Failure::Unmet(why)) => note!("{peer}: {why}"),
                        Err(other) => return Err(other),
                    }
                }
                piece = next => match piece {
                    Some(piece) => {
                        let piece = piece.map_err(relay::unreadable)?;
                        for (peer, stream) in &clients {
                            // One that does not read must not hold up the others for ever, and cannot lose a part.
                            let written = tokio::time::timeout(PATIENCE, stream.write_all(&piece)).await;
                            if !matches!(written, Ok(Ok(()))) {
                                note!("{peer} takes nothing: its connection is reset");
                                let _ = stream.abort();
                            }
                        }
                    }
                    // Those who come later are heard, but there is nothing to tell them.
                    None => input = None,
                },
            }
        }
    }

    async fn serve_datagrams(&self, net: &Net, mut input: Option<Input>) -> Result<(), Failure> {
        let only_v6 = self.family.ipv6;
        let socket = UdpSocket::bind_with(net, self.local(), Options { only_v6, ..Options::default() });
        let socket = socket.map_err(|error| self.cannot(&error))?;
        note!("listening on UDP port {}", self.port);
        if !self.keep_open {
            relay::datagrams(&socket, None, input.as_mut(), self.end).await?;
            return Ok(());
        }
        // Who has sent something, whoever was heard last at the end.
        let mut peers: VecDeque<SocketAddr> = VecDeque::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let next = async {
                match &mut input {
                    Some(input) if !peers.is_empty() => input.next().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                received = socket.recv_from(&mut buffer) => {
                    let (len, from) = received.map_err(|error| self.cannot(&error))?;
                    note!("{len} bytes from {from}");
                    remember(&mut peers, from);
                    relay::put(&buffer[..len]).await?;
                }
                piece = next => match piece {
                    Some(piece) => {
                        let piece = piece.map_err(relay::unreadable)?;
                        for datagram in piece.chunks(relay::MAX_DATAGRAM) {
                            for peer in &peers {
                                // What one of them cannot get, the others can.
                                if let Err(error) = socket.send_to(datagram, *peer).await {
                                    note!("{peer}: {error}");
                                }
                            }
                        }
                    }
                    None => input = None,
                },
            }
        }
    }

    fn local(&self) -> SocketAddr {
        // An unspecified IPv6 address takes IPv4 too, unless it is told not to.
        let any: IpAddr = match self.family {
            FamilyArgs { ipv4: true, .. } => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(any, self.port)
    }

    fn cannot(&self, error: &std::io::Error) -> Failure {
        Failure::Unmet(format!("cannot listen on port {}: {error}", self.port))
    }
}

/// Puts whoever sent something at the end of the list; of too many, those are forgotten that were silent for longest.
fn remember(peers: &mut VecDeque<SocketAddr>, from: SocketAddr) {
    if peers.back() == Some(&from) {
        return;
    }
    peers.retain(|peer| *peer != from);
    if peers.len() >= MAX_CLIENTS {
        peers.pop_front();
    }
    peers.push_back(from);
}

/// How long a client of many may take to make room for what is sent to all.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
