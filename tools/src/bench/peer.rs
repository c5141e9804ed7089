//! The kernel's end of a run: plain programs over the kernel's sockets, the same for each contender.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::bed::{Bed, PEER};
use super::gauge::{Gauge, Run};
use super::measure::{CpuTime, pin};

/// Where the peer listens.
pub const PORT: u16 = 5201;
/// How long a call may wait before it looks whether the run is over.
pub(super) const GLANCE: Duration = Duration::from_millis(50);
/// What no benchmark may leave to the system's settings: some machines pace.
const CONGESTION: &[u8] = b"cubic";

/// Which way the bytes of a bulk transfer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// The contender sends.
    Send,
    /// The contender receives.
    Receive,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Send, Self::Receive];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// The peer of a bulk transfer at work.
#[derive(Debug)]
pub struct Bulk {
    thread: JoinHandle<io::Result<CpuTime>>,
}

impl Bulk {
    /// Listens on the peer's side for `flows` connections, and reads from them all, or writes, `chunk` bytes at a time.
    ///
    /// # Errors
    /// The port is taken, or there is no thread.
    pub fn start(
        bed: &Bed,
        run: &Arc<Run>,
        cpu: usize,
        way: Way,
        flows: usize,
        chunk: usize,
    ) -> io::Result<Self> {
        let listener = bed.on_peers_side(listen)??;
        let run = run.clone();
        let body = move || {
            pin(cpu);
            let served = accept(&listener, &run, flows)
                .and_then(|streams| in_threads(streams, |stream| serve(stream, &run, way, chunk)));
            if served.is_err() {
                run.fail();
            }
            served
        };
        let thread = std::thread::Builder::new().name("peer".into()).spawn(body)?;
        Ok(Self { thread })
    }

    /// What its threads have used.
    ///
    /// # Errors
    /// What went wrong there.
    pub fn end(self) -> io::Result<CpuTime> {
        self.thread.join().map_err(|_| io::Error::other("the peer panicked"))?
    }
}

/// Accepts so many connections, as long as the run lasts.
fn accept(listener: &TcpListener, run: &Run, flows: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    while streams.len() < flows && !run.is_over() {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                streams.push(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = ustack::device::wait(&[listener.as_fd()], Some(GLANCE))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(streams)
}

/// A kernel's listener that does not block, on [`PORT`] of the namespace it is called in.
///
/// # Errors
/// The port is taken.
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from(([0; 4], PORT)))?;
    SockRef::from(&listener).set_tcp_congestion(CONGESTION)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A kernel's connection to [`PORT`] of an address.
///
/// # Errors
/// Nobody listens, or nobody answers in that time.
pub fn connect_to(address: [u8; 4], patience: Duration) -> io::Result<TcpStream> {
    // Before it connects: an algorithm that paces, such as BBR, leaves its pace behind when it is exchanged later.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_congestion(CONGESTION)?;
    socket.connect_timeout(&SocketAddr::from((address, PORT)).into(), patience)?;
    Ok(socket.into())
}

/// Connects so many times to the peer; for a contender that is a kernel.
///
/// # Errors
/// Nobody listens.
pub fn connect(flows: usize) -> io::Result<Vec<TcpStream>> {
    (0..flows).map(|_| connect_to(PEER, 20 * GLANCE)).collect()
}

/// Serves each stream on a thread of its own, the first on this one, and adds up what they used.
///
/// # Errors
/// One of them failed.
pub fn in_threads(
    mut streams: Vec<TcpStream>,
    serve: impl Fn(TcpStream) -> io::Result<CpuTime> + Sync,
) -> io::Result<CpuTime> {
    let Some(first) = streams.pop() else { return Ok(CpuTime::default()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = streams.into_iter().map(|stream| scope.spawn(|| serve(stream))).collect();
        let mut used = serve(first)?;
        for other in others {
            used = used + other.join().map_err(|_| io::Error::other("a thread panicked"))??;
        }
        Ok(used)
    })
}

/// Reads or writes until the run is over; who reads counts. `way` is the contender's.
///
/// # Errors
/// The connection breaks.
pub fn serve(mut stream: TcpStream, run: &Arc<Run>, way: Way, chunk: usize) -> io::Result<CpuTime> {
    let mut gauge = Gauge::new(run);
    let mut buffer = vec![7; chunk];
    stream.set_read_timeout(Some(GLANCE))?;
    stream.set_write_timeout(Some(GLANCE))?;
    while gauge.running() {
        let done = match way {
            Way::Send => stream.read(&mut buffer).inspect(|&n| gauge.add(n)),
            Way::Receive => stream.write(&buffer),
        };
        match done {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Whoever aborts first ends the other's call.
            Err(_) if !gauge.running() => {}
            Err(error) => return Err(error),
        }
    }
    // What is still in the buffers is of no use to anybody.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
    Ok(gauge.used())
}

/// The contender that is a kernel: the same program on the other side of a veth.
///
/// # Errors
/// Nobody listens, or a connection breaks.
pub fn kernel(run: &Arc<Run>, way: Way, flows: usize, chunk: usize) -> io::Result<CpuTime> {
    let mirrored = match way {
        Way::Send => Way::Receive,
        Way::Receive => Way::Send,
    };
    in_threads(connect(flows)?, |stream| serve(stream, run, mirrored, chunk))
}
