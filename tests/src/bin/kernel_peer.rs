//! The kernel's side of a conversation: a TCP or UDP peer on the system's own sockets, told by its arguments what to do
//! and by lines on its standard input when. It reports on standard output, a line an event, `word key=value...`.

use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use ustack_tests::pattern::{Received, fill, pattern};

/// A peer on the kernel's own sockets.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Waits for connections and serves each on a thread of its own; ends after so many.
    TcpListen {
        address: SocketAddr,
        #[command(flatten)]
        options: TcpOptions,
    },
    /// Makes so many connections at once.
    TcpConnect {
        address: SocketAddr,
        /// Whence; port 0 leaves the choice to the kernel.
        #[arg(long)]
        local: Option<SocketAddr>,
        #[command(flatten)]
        options: TcpOptions,
    },
    /// Receives so many datagrams.
    UdpListen {
        address: SocketAddr,
        /// Sends each datagram back.
        #[arg(long)]
        echo: bool,
        /// How many datagrams to receive.
        #[arg(long, default_value_t = u64::MAX)]
        datagrams: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Sends datagrams of these sizes, each of which begins the pattern anew.
    UdpSend {
        address: SocketAddr,
        /// Sizes in bytes, separated by commas.
        #[arg(long, value_delimiter = ',')]
        sizes: Vec<usize>,
        /// Waits for one answer to each before it sends the next.
        #[arg(long)]
        answered: bool,
        /// Asks again whenever no answer of that size comes for 0.2 seconds.
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Clone)]
struct Common {
    /// The pattern that is sent. Connection i of several sends pattern `seed + i`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The pattern that should come, `expect + i` on connection i; the one that is sent, if not given.
    #[arg(long)]
    expect: Option<u64>,
    /// How long to wait for the other side, in seconds.
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

impl Common {
    fn expected(&self) -> u64 {
        self.expect.unwrap_or(self.seed)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

#[derive(Args, Clone)]
struct TcpOptions {
    /// What to do with a connection.
    #[arg(long = "do", value_enum)]
    conversation: Conversation,
    /// How many connections.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// How many bytes to send; for `abort`: how many to receive before.
    #[arg(long, default_value_t = 0)]
    bytes: u64,
    /// SO_RCVBUF, set before the connection exists, so that it bounds the window scale too.
    #[arg(long)]
    receive_buffer: Option<usize>,
    /// SO_SNDBUF.
    #[arg(long)]
    send_buffer: Option<usize>,
    /// The congestion control; named, because a machine's default may pace.
    #[arg(long, default_value = "cubic")]
    congestion: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Conversation {
    /// Sends everything back; closes after the other side.
    Echo,
    /// Receives to the end; closes after the other side.
    Sink,
    /// Sends `--bytes` and closes that direction, receiving to the end at the same time.
    Source,
    /// Receives to the end, then sends `--bytes` and closes.
    Answer,
    /// Receives `--bytes`, then resets the connection.
    Abort,
    /// As `sink`, but reads only between the lines `go` and `stop`.
    Slow,
    /// Does nothing until the line `close`.
    Hold,
}

fn main() -> ExitCode {
    let done = match Cli::parse().role {
        Role::TcpListen { address, options } => tcp_listen(address, &options),
        Role::TcpConnect { address, local, options } => tcp_connect(address, local, &options),
        Role::UdpListen { address, echo, datagrams, common } => udp_listen(address, echo, datagrams, &common),
        Role::UdpSend { address, sizes, answered, again, common } => {
            udp_send(address, &sizes, (answered, again), &common)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("failed kind={:?} error={error}", error.kind()));
            ExitCode::FAILURE
        }
    }
}

/// Standard output is a pipe: each line must leave at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A test that has gone reads no more, and nobody is left to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What the lines on standard input have allowed.
struct Orders {
    state: Mutex<Allowed>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Allowed {
    reading: bool,
    closing: bool,
}

impl Orders {
    /// Begins to read standard input. Its end allows everything.
    fn listen() -> Arc<Self> {
        let orders = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let ours = Arc::clone(&orders);
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                match line.trim() {
                    "go" => ours.set(|allowed| allowed.reading = true),
                    "stop" => ours.set(|allowed| allowed.reading = false),
                    "close" => ours.set(|allowed| allowed.closing = true),
                    other => say(&format!("unknown order={other}")),
                }
            }
            ours.set(|allowed| *allowed = Allowed { reading: true, closing: true });
        });
        orders
    }

    fn set(&self, change: impl FnOnce(&mut Allowed)) {
        change(&mut self.state.lock().expect("no holder panics"));
        self.changed.notify_all();
    }

    fn wait(&self, condition: impl Fn(&Allowed) -> bool) {
        let state = self.state.lock().expect("no holder panics");
        drop(self.changed.wait_while(state, |allowed| !condition(allowed)).expect("no holder panics"));
    }
}

fn tcp_socket(address: SocketAddr, options: &TcpOptions) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_congestion(options.congestion.as_bytes())?;
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(socket)
}

fn tcp_listen(address: SocketAddr, options: &TcpOptions) -> std::io::Result<bool> {
    let socket = tcp_socket(address, options)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    let listener = TcpListener::from(socket);
    let orders = Orders::listen();
    say(&format!("listening address={}", listener.local_addr()?));
    let served = (0..options.connections).map(|index| {
        let (stream, _) = listener.accept()?;
        Ok(serve_on_thread(stream, index, options, &orders))
    });
    let served = served.collect::<std::io::Result<Vec<_>>>()?;
    Ok(all_well(served))
}

fn tcp_connect(
    address: SocketAddr,
    local: Option<SocketAddr>,
    options: &TcpOptions,
) -> std::io::Result<bool> {
    let orders = Orders::listen();
    let connect = |index| {
        let socket = tcp_socket(address, options)?;
        if let Some(local) = local {
            socket.bind(&local.into())?;
        }
        socket.connect_timeout(&address.into(), options.common.patience())?;
        Ok(serve_on_thread(TcpStream::from(socket), index, options, &orders))
    };
    let served = (0..options.connections).map(connect).collect::<std::io::Result<Vec<_>>>()?;
    Ok(all_well(served))
}

fn all_well(served: Vec<thread::JoinHandle<bool>>) -> bool {
    // All are waited for, also after the first that failed.
    let results: Vec<bool> = served.into_iter().map(|thread| thread.join().unwrap_or(false)).collect();
    results.into_iter().all(|well| well)
}

fn serve_on_thread(
    stream: TcpStream,
    index: u64,
    options: &TcpOptions,
    orders: &Arc<Orders>,
) -> thread::JoinHandle<bool> {
    let options = options.clone();
    let orders = Arc::clone(orders);
    thread::spawn(move || {
        let mut talk = Talk {
            index,
            sent: 0,
            received: Received::new(options.common.expected() + index),
            options: &options,
            orders: &orders,
        };
        let end = talk.run(stream);
        let wrong = talk.received.wrong();
        let counts = format!(
            "index={index} sent={} received={} hash={:016x} wrong={}",
            talk.sent,
            talk.received.bytes(),
            talk.received.hash(),
            wrong.map_or("none".to_owned(), |at| at.to_string())
        );
        match &end {
            Ok(()) => say(&format!("done {counts}")),
            Err(error) => say(&format!("failed {counts} kind={:?} error={error}", error.kind())),
        }
        end.is_ok() && wrong.is_none()
    })
}

/// One connection and what has passed over it.
struct Talk<'a> {
    index: u64,
    sent: u64,
    received: Received,
    options: &'a TcpOptions,
    orders: &'a Orders,
}

impl Talk<'_> {
    fn run(&mut self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(self.options.common.patience()))?;
        stream.set_write_timeout(Some(self.options.common.patience()))?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        say(&format!("connected index={} local={local} peer={peer}", self.index));
        match self.options.conversation {
            Conversation::Echo => self.echo(&stream),
            Conversation::Sink => self.receive(&stream, u64::MAX),
            Conversation::Source => self.send_and_receive(&stream),
            Conversation::Answer => {
                self.receive(&stream, u64::MAX)?;
                self.send_and_receive(&stream)
            }
            Conversation::Abort => {
                self.receive(&stream, self.options.bytes)?;
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))
            }
            Conversation::Slow => self.receive_by_orders(&stream),
            Conversation::Hold => {
                self.orders.wait(|allowed| allowed.closing);
                Ok(())
            }
        }
    }

    fn echo(&mut self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut piece = vec![0; 65_536];
        loop {
            let len = stream.read(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            self.received.push(&piece[..len]);
            stream.write_all(&piece[..len])?;
            self.sent += len as u64;
        }
    }

    /// Receives to the end, or until so many bytes have come.
    fn receive(&mut self, mut stream: &TcpStream, limit: u64) -> std::io::Result<()> {
        let mut piece = vec![0; 65_536];
        while self.received.bytes() < limit {
            let len = stream.read(&mut piece)?;
            if len == 0 {
                break;
            }
            self.received.push(&piece[..len]);
        }
        Ok(())
    }

    fn receive_by_orders(&mut self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut piece = vec![0; 4_096];
        loop {
            self.orders.wait(|allowed| allowed.reading);
            let len = stream.read(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            self.received.push(&piece[..len]);
        }
    }

    /// Both directions at once: whoever echoes would block if nobody read.
    fn send_and_receive(&mut self, stream: &TcpStream) -> std::io::Result<()> {
        let (seed, bytes) = (self.options.common.seed + self.index, self.options.bytes);
        thread::scope(|scope| {
            let sending = scope.spawn(move || send(stream, seed, bytes));
            let received = self.receive(stream, u64::MAX);
            let (sent, result) = sending.join().expect("it does not panic");
            self.sent += sent;
            received.and(result)
        })
    }
}

/// Sends the pattern and ends the direction; says how much was sent, also if it failed.
fn send(mut stream: &TcpStream, seed: u64, bytes: u64) -> (u64, std::io::Result<()>) {
    let mut piece = vec![0; 65_536];
    let mut sent = 0;
    while sent < bytes {
        let len = usize::try_from(bytes - sent).map_or(piece.len(), |left| left.min(piece.len()));
        fill(seed, sent, &mut piece[..len]);
        if let Err(error) = stream.write_all(&piece[..len]) {
            return (sent, Err(error));
        }
        sent += len as u64;
    }
    (sent, stream.shutdown(Shutdown::Write))
}

fn udp_listen(address: SocketAddr, echo: bool, datagrams: u64, common: &Common) -> std::io::Result<bool> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(common.patience()))?;
    SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    say(&format!("listening address={}", socket.local_addr()?));
    let mut buffer = vec![0; 65_536];
    let mut well = true;
    for _ in 0..datagrams {
        let (len, from) = socket.recv_from(&mut buffer)?;
        well &= report_datagram(&buffer[..len], from, common.expected());
        if echo {
            let _ = socket.send_to(&buffer[..len], from)?;
        }
    }
    Ok(well)
}

fn udp_send(
    address: SocketAddr,
    sizes: &[usize],
    (answered, again): (bool, bool),
    common: &Common,
) -> std::io::Result<bool> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    let patience = if again { Duration::from_millis(200) } else { common.patience() };
    socket.set_read_timeout(Some(patience))?;
    socket.connect(address)?;
    say(&format!("connected local={} peer={address}", socket.local_addr()?));
    let mut buffer = vec![0; 65_536];
    let mut well = true;
    for size in sizes {
        let datagram = pattern(common.seed, *size);
        let _ = socket.send(&datagram)?;
        if !answered {
            continue;
        }
        loop {
            match socket.recv(&mut buffer) {
                // A late answer to another one, or a second.
                Ok(len) if again && len != *size => {}
                Ok(len) => {
                    well &= report_datagram(&buffer[..len], address, common.expected());
                    break;
                }
                Err(error) if again && error.kind() == std::io::ErrorKind::WouldBlock => {
                    let _ = socket.send(&datagram)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    say(&format!("done datagrams={}", sizes.len()));
    Ok(well)
}

fn report_datagram(datagram: &[u8], from: SocketAddr, expected: u64) -> bool {
    let mut received = Received::new(expected);
    received.push(datagram);
    let wrong = received.wrong().map_or("none".to_owned(), |at| at.to_string());
    say(&format!(
        "datagram from={from} bytes={} hash={:016x} wrong={wrong}",
        datagram.len(),
        received.hash()
    ));
    received.wrong().is_none()
}
