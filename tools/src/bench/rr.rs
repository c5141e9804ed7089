//! Requests of one byte, and connections: a client of the kernel's, and each kind of server.
//!
//! All servers do the same: accept, send back what comes until the client closes, and accept again. So requests over
//! one connection and connections with one request each differ in the client alone.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smoltcp::socket::tcp;
use ustack::device::Device;
use ustack::device::smoltcp::Phy;
use ustack::net::{Driver, Net, drive};
use ustack::tcp::Settings;
use ustack::{Config, Error, Stack};

use super::bed::{Bed, CONTENDER, open_raw, open_tap};
use super::gauge::{Gauge, Run};
use super::measure::{Cpus, percentile, pin};
use super::ours::{BATCH, Ours, interface_config};
use super::peer::{self, PORT};
use super::report::{Contender, Sample, Test};
use super::smoltap::{Driven, Own, Smoltcp};

/// Latencies that are kept of one run.
const MAX_LATENCIES: usize = 1 << 22;
/// How long a busy server asks before it sleeps: longer than a client takes.
const BUSY: ustack::time::Duration = ustack::time::Duration::from_millis(1);
/// What smoltcp's sockets have in each direction.
const SMOLTCP_BUFFER: usize = 4096;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Who {
    /// `ustack::net` on one thread for the stack and the server: the one that waits drives.
    Async,
    /// The same, asking the device again and again before it sleeps.
    Busy,
    /// `ustack::net` as tasks of tokio, on one thread.
    Tokio,
    /// `ustack::blocking`, with a driver that is a thread.
    Blocking,
    /// A loop over `ustack::Stack` that sleeps when there is nothing to do.
    Loop,
    /// As `async`, over a packet socket on a veth.
    #[value(name = "async-raw")]
    AsyncRaw,
    /// As `busy`, over a packet socket on a veth.
    #[value(name = "busy-raw")]
    BusyRaw,
    /// The kernel over a veth.
    Kernel,
    /// smoltcp over its own TAP.
    SmoltcpOwn,
    /// smoltcp over our TAP.
    Smoltcp,
}

/// Everybody on a TAP and the kernel, ours first.
pub const ALL: [Who; 8] =
    [Who::Async, Who::Busy, Who::Tokio, Who::Blocking, Who::Loop, Who::Kernel, Who::SmoltcpOwn, Who::Smoltcp];

impl Contender for Who {
    fn name(self) -> &'static str {
        match self {
            Self::Async => "ustack async",
            Self::Busy => "ustack busy",
            Self::AsyncRaw => "ustack async, raw on veth",
            Self::BusyRaw => "ustack busy, raw on veth",
            Self::Tokio => "ustack tokio",
            Self::Blocking => "ustack blocking",
            Self::Loop => "ustack loop",
            Self::Kernel => "kernel over veth",
            Self::SmoltcpOwn => "smoltcp, own TAP",
            Self::Smoltcp => "smoltcp, our TAP",
        }
    }

    fn is_ours(self) -> bool {
        !matches!(self, Self::Kernel | Self::SmoltcpOwn | Self::Smoltcp)
    }
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// One connection, one request after the other.
    Requests,
    /// Connect, one request, close, and again.
    Connections,
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What the client does.
    pub task: Task,
    /// How long each run is measured.
    pub span: Duration,
    /// How often the contenders take turns.
    pub rounds: usize,
    /// Processors: 1 or 2.
    pub cpus: u8,
    /// Who takes part.
    pub who: Vec<Who>,
}

impl Requests {
    /// Measures. Who never sleeps stays out where there is only one processor: the client would have to wait for its
    /// turn.
    pub fn measure(&self) -> Test {
        let fits = |who: &Who| self.cpus > 1 || !matches!(who, Who::Busy | Who::BusyRaw);
        let who: Vec<Who> = self.who.iter().copied().filter(fits).collect();
        let (name, unit) = match self.task {
            Task::Requests => ("request and response of 1 byte", "requests/s"),
            Task::Connections => ("connect, request, close", "conns/s"),
        };
        Test::alternate(name, Some(self.cpus), unit, self.rounds, &who, |who| self.run(who))
    }

    /// One run of one contender.
    ///
    /// # Errors
    /// The kernel refuses something, or a connection breaks.
    pub fn run(&self, who: Who) -> io::Result<Sample> {
        let cpus = Cpus::new(self.cpus);
        let bed = match who {
            Who::Kernel => Bed::veth(true)?,
            Who::AsyncRaw | Who::BusyRaw => Bed::bare_veth(true)?,
            _ => Bed::tap()?,
        };
        bed.on_peers_side(many_ports)?;
        let run = Run::new();
        let working = {
            let run = run.clone();
            bed.begin(move || {
                pin(cpus.contender);
                serve(who, &run).inspect_err(|_| run.fail())
            })?
        };
        let (task, of_client) = (self.task, run.clone());
        let client = bed.begin_peer("client", move || {
            pin(cpus.peer);
            let body = match task {
                Task::Requests => requests,
                Task::Connections => connections,
            };
            body(&of_client).inspect_err(|_| of_client.fail())
        })?;
        let moved = run.measure(self.span);
        let (served, latencies) = (working.end()?, joined(client));
        served?;
        let (moved, latencies) = (moved?, latencies?);
        let work = moved.cpu.total() / moved.count as f64;
        let micros = |part| percentile(&latencies, part) / 1e3;
        let columns = match self.task {
            Task::Requests => vec![("p50 us", micros(0.5)), ("p99 us", micros(0.99)), ("CPU us", work * 1e6)],
            Task::Connections => vec![("CPU us", work * 1e6)],
        };
        // Both ends on one processor: it is theirs to share.
        let by_cpu = (self.cpus == 1 && work > 0.0).then(|| 1.0 / work);
        Ok(Sample { value: moved.rate(), by_cpu, columns })
    }
}

fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("the client panicked"))?
}

/// Lets a client that closes first use each port again after a second.
fn many_ports() {
    for (name, value) in [("ip_local_port_range", "1024 65535"), ("tcp_tw_reuse", "1")] {
        // Where that may not be set, a long run ends early and says so.
        let _ = std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
    }
}

/// Connects to the contender, which may not be ready yet.
fn connect(gauge: &mut Gauge) -> io::Result<TcpStream> {
    const PAUSE: Duration = Duration::from_millis(2);
    while gauge.running() {
        if let Ok(stream) = peer::connect_to(CONTENDER, 4 * peer::GLANCE) {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(peer::GLANCE))?;
            return Ok(stream);
        }
        let _ = ustack::device::wait(&[], Some(PAUSE))?;
    }
    Err(io::ErrorKind::NotConnected.into())
}

/// One request; false if the run is over before it is answered.
fn request(stream: &mut TcpStream, gauge: &mut Gauge) -> io::Result<bool> {
    stream.write_all(&[7])?;
    while gauge.running() {
        match stream.read(&mut [0]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// One request after the other; answers how many nanoseconds each took.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn requests(run: &Arc<Run>) -> io::Result<Vec<f64>> {
    let mut gauge = Gauge::new(run);
    let mut latencies = Vec::with_capacity(MAX_LATENCIES / 8);
    let mut stream = connect(&mut gauge)?;
    let mut begin = Instant::now();
    while request(&mut stream, &mut gauge)? {
        let end = Instant::now();
        if gauge.is_measuring() && latencies.len() < MAX_LATENCIES {
            latencies.push((end - begin).as_nanos() as f64);
        }
        begin = end;
        gauge.add(1);
    }
    Ok(latencies)
}

/// One connection after the other.
fn connections(run: &Arc<Run>) -> io::Result<Vec<f64>> {
    let mut gauge = Gauge::new(run);
    while gauge.running() {
        let answered = connect(&mut gauge).and_then(|mut stream| request(&mut stream, &mut gauge));
        match answered {
            Ok(true) => gauge.add(1),
            Ok(false) => {}
            Err(_) if !gauge.running() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

fn serve(who: Who, run: &Arc<Run>) -> io::Result<()> {
    match who {
        Who::Async => asynchronous(run, open_tap(true)?, ustack::time::Duration::ZERO),
        Who::Busy => asynchronous(run, open_tap(true)?, BUSY),
        Who::AsyncRaw => asynchronous(run, open_raw(true)?, ustack::time::Duration::ZERO),
        Who::BusyRaw => asynchronous(run, open_raw(true)?, BUSY),
        Who::Tokio => on_tokio(run),
        Who::Blocking => blocking(run),
        Who::Loop => in_a_loop(run),
        Who::Kernel => kernel(run),
        Who::SmoltcpOwn => smoltcp(Own::open()?, run),
        Who::Smoltcp => smoltcp(Phy::new(open_tap(true)?), run),
    }
}

fn everywhere() -> SocketAddr {
    SocketAddr::from(([0; 4], PORT))
}

fn attached(device: impl Device + 'static) -> io::Result<Net> {
    let net = Net::new(Stack::new(Config::default()));
    net.attach(interface_config(), device)?;
    Ok(net)
}

fn asynchronous(run: &Run, device: impl Device + 'static, busy: ustack::time::Duration) -> io::Result<()> {
    let net = attached(device)?;
    let listener = ustack::net::TcpListener::bind(&net, everywhere())?;
    let over = async {
        while !run.is_over() {
            net.sleep(peer::GLANCE.into()).await;
        }
    };
    Driver::builder(&net).busy_poll(busy).block_on(echo(&listener, over))?
}

fn on_tokio(run: &Run) -> io::Result<()> {
    let net = attached(open_tap(true)?)?;
    let listener = ustack::net::TcpListener::bind(&net, everywhere())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let over = async {
        while !run.is_over() {
            tokio::time::sleep(peer::GLANCE).await;
        }
    };
    runtime.block_on(async {
        tokio::select! { ended = drive(net.clone()) => ended, ended = echo(&listener, over) => ended }
    })
}

/// Serves one connection after the other, until it is over. That is asked between two connections alone: a client
/// leaves first.
async fn echo(listener: &ustack::net::TcpListener, over: impl Future<Output = ()>) -> io::Result<()> {
    let mut over = pin!(over);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut over => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let mut buf = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut buf).await
            && stream.write_all(&buf[..n]).await.is_ok()
        {}
    }
}

fn blocking(run: &Arc<Run>) -> io::Result<()> {
    let net = attached(open_tap(true)?)?;
    let driver = Driver::spawn(&net)?;
    let listener = ustack::blocking::TcpListener::bind(&net, everywhere())?;
    let serve = move || -> io::Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buf)
                && stream.write_all(&buf[..n]).is_ok()
            {}
        }
    };
    // Nothing ends who waits for a connection that does not come: the process does.
    std::thread::Builder::new().name("server".into()).spawn(serve)?;
    while !run.is_over() {
        let _ = ustack::device::wait(&[], Some(peer::GLANCE))?;
    }
    driver.stop()
}

fn in_a_loop(run: &Run) -> io::Result<()> {
    let mut ours = Ours::new(open_tap(true)?)?;
    let settings = Settings { nodelay: true, ..Settings::default() };
    let listener = ours.stack.tcp_listen(everywhere(), 64, settings)?;
    let mut stream = None;
    let mut buf = [0; 64];
    while !run.is_over() {
        let now = ours.now();
        let taken = ours.receive(now, BATCH)?;
        if stream.is_none() {
            stream = ours.stack.tcp_accept(now, listener).ok().map(|(id, _)| id);
        }
        if let Some(id) = stream {
            match ours.stack.tcp_recv(now, id, &mut buf) {
                Ok(n @ 1..) => drop(ours.stack.tcp_send(now, id, &buf[..n])?),
                Err(Error::WouldBlock) => {}
                Ok(0) | Err(_) => {
                    ours.stack.close(now, id);
                    stream = None;
                }
            }
        }
        ours.flush(now);
        if taken == 0 {
            ours.idle()?;
        }
    }
    Ok(())
}

fn kernel(run: &Run) -> io::Result<()> {
    let listener = peer::listen()?;
    while !run.is_over() {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = ustack::device::wait(&[listener.as_fd()], Some(peer::GLANCE))?;
                continue;
            }
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut buf = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut buf)
            && stream.write_all(&buf[..n]).is_ok()
        {}
    }
    Ok(())
}

fn smoltcp(device: impl Driven, run: &Run) -> io::Result<()> {
    /// What a listener of smoltcp's keeps waiting is a socket each.
    const BACKLOG: usize = 16;
    let mut host = Smoltcp::new(device)?;
    let handles: Vec<_> = (0..BACKLOG).map(|_| host.add(SMOLTCP_BUFFER)).collect();
    while !run.is_over() {
        let mut moved = host.turn();
        for &handle in &handles {
            let socket = host.socket(handle);
            if socket.state() == tcp::State::Closed {
                socket.listen(PORT).map_err(|error| io::Error::other(error.to_string()))?;
                socket.set_nagle_enabled(false);
            }
            if socket.can_recv() {
                let mut buf = [0; 64];
                let n = socket.recv_slice(&mut buf).unwrap_or(0);
                let _ = socket.send_slice(&buf[..n]);
                moved += 1;
            } else if socket.state() == tcp::State::CloseWait {
                socket.close();
                moved += 1;
            }
        }
        if moved == 0 {
            host.idle()?;
        }
    }
    Ok(())
}
