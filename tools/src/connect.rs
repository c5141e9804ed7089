//! `ustack connect`: netcat's client over the stack.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use tokio::time::timeout;
use ustack::net::{Net, TcpStream, UdpSocket};
use ustack::time::Duration;

use crate::common::console::note;
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::input::Input;
use crate::common::ports::{self, Ports};
use crate::common::ready::ready;
use crate::common::relay::{self, EndArgs, Moved};
use crate::common::runtime::{block_on, driven, interrupted};
use crate::common::span;
use crate::common::stack::{Running, StackArgs};
use crate::common::target::{FamilyArgs, endpoint};

const EXAMPLES: &str = "\
Examples:
  echo hello | ustack connect 10.9.0.1 7              to this machine, through tap0
  ustack connect --udp fd09::1 5000                   each line is a datagram
  ustack connect --scan 10.9.0.1 20-25                which ports are open?
  ustack connect --raw eth0 --address 192.168.1.200/24 192.168.1.1 80 < request

A chat between two terminals, without any privilege (the first to come to the hub is 10.9.0.2):
  ustack listen  --hub /tmp/chat 5000
  ustack connect --hub /tmp/chat 10.9.0.2 5000";

/// Connect to a port: stdin goes out, what comes in goes to stdout (as nc does).
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", ports::ABOUT))]
pub(crate) struct Args {
    /// Address, or a name that this machine can look up
    host: String,
    /// Port; with --scan also a range such as 20-25
    #[arg(value_name = "PORT", value_parser = Ports::parse)]
    ports: Ports,
    #[command(flatten)]
    family: FamilyArgs,
    /// Datagrams instead of a stream
    #[arg(long, short)]
    udp: bool,
    /// Only tell which ports are open; with --udp, which are not known to be closed
    #[arg(long, short = 'z')]
    scan: bool,
    /// Our own port [default: a random one from 32768 to 60999]
    #[arg(long, short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    source_port: Option<u16>,
    /// How long to wait for a connection
    #[arg(long, short = 'w', value_name = "TIME", value_parser = span::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    events: EventsArgs,
}

/// How long a port has to answer when there are more of them.
const SCAN_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &Args) -> Outcome {
    if args.ports.single().is_none() && !args.scan {
        let text = format!("{} are many ports: name one, or look which are open by --scan", args.ports);
        return Err(Failure::Usage(text));
    }
    let target = args.family.resolve(&args.host)?;
    let running = args.stack.plan()?.observed(&args.events).open()?;
    let result = block_on(driven(&running, async {
        tokio::select! {
            result = args.talk(&running, target) => result,
            () = interrupted() => Ok(ExitCode::from(INTERRUPTED)),
        }
    }));
    running.finish()?;
    result
}

/// What a shell answers for a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

impl Args {
    async fn talk(&self, running: &Running, target: IpAddr) -> Outcome {
        let net = &running.net;
        let remote = endpoint(target, *self.ports.range().start(), running.interface);
        ready(running, remote).await?;
        if self.scan {
            return self.scan(running, target).await;
        }
        let mut input = match self.end.no_input {
            true => None,
            false => Some(Input::start()?),
        };
        let moved = if self.udp {
            let socket = self.udp_socket(net, remote)?;
            note!("sending to {remote} from {}", socket.local_addr()?);
            relay::datagrams(&socket, Some(remote), input.as_mut(), self.end).await?
        } else {
            let stream = self.connect(net, remote, self.timeout).await?;
            note!("connected to {remote} from {}", stream.local_addr()?);
            relay::stream(&stream, input.as_mut(), self.end).await?
        };
        let Moved { sent, received } = moved;
        note!("{sent} bytes sent, {received} received");
        Ok(ExitCode::SUCCESS)
    }

    async fn connect(
        &self,
        net: &Net,
        remote: SocketAddr,
        limit: Option<Duration>,
    ) -> Result<TcpStream, Failure> {
        let local = self.source_port.map(|port| SocketAddr::new(unspecified(remote.ip()), port));
        let connecting = TcpStream::connect_with(net, remote, local, |_| ());
        let connected = match limit {
            Some(limit) => timeout(limit.into(), connecting).await.unwrap_or_else(|_| {
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit}")))
            }),
            None => connecting.await,
        };
        connected.map_err(|error| Failure::Unmet(format!("cannot connect to {remote}: {error}")))
    }

    fn udp_socket(&self, net: &Net, remote: SocketAddr) -> Result<UdpSocket, Failure> {
        let local = SocketAddr::new(unspecified(remote.ip()), self.source_port.unwrap_or(0));
        let opened = UdpSocket::bind(net, local).and_then(|socket| socket.connect(remote).map(|()| socket));
        opened.map_err(|error| Failure::Unmet(format!("cannot send to {remote}: {error}")))
    }

    /// Tries one port after the other; 0 if at least one is open.
    async fn scan(&self, running: &Running, target: IpAddr) -> Outcome {
        let mut open = 0;
        for port in self.ports.range() {
            let remote = endpoint(target, port, running.interface);
            let wait = self.timeout.unwrap_or(SCAN_TIMEOUT);
            let verdict = if self.udp {
                self.probe(&running.net, remote, wait).await
            } else {
                // A RST ends it at once: nothing was said that could be lost.
                let connected = self.connect(&running.net, remote, Some(wait)).await;
                connected.and_then(|stream| Ok(stream.abort()?))
            };
            let protocol = if self.udp { "udp" } else { "tcp" };
            match verdict {
                Ok(()) => {
                    open += 1;
                    use std::io::Write;
                    writeln!(std::io::stdout(), "{target} {port}/{protocol} open")?;
                }
                Err(Failure::Unmet(why)) => note!("{port}/{protocol}: {why}"),
                Err(other) => return Err(other),
            }
        }
        Ok(ExitCode::from(u8::from(open == 0)))
    }

    /// A UDP port that is closed says so by ICMP; of one that is silent nothing is known.
    async fn probe(&self, net: &Net, remote: SocketAddr, wait: Duration) -> Result<(), Failure> {
        let socket = self.udp_socket(net, remote)?;
        let closed = |error: std::io::Error| Failure::Unmet(error.to_string());
        socket.send(&[]).await.map_err(closed)?;
        match timeout(wait.into(), socket.recv(&mut [0; 1])).await {
            Ok(received) => received.map(drop).map_err(closed),
            Err(_) => Ok(()),
        }
    }
}

fn unspecified(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
