//! What a test's own side does with the stack's sockets: the conversations that `kernel_peer` has with the kernel's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ustack::blocking::{TcpListener, TcpStream};
use ustack::net::Net;

use crate::pattern::{Received, fill};
use crate::wait::SOON;

/// Something that runs on a thread of its own and is waited for with a deadline.
pub struct Task<T> {
    what: String,
    result: Receiver<T>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts it.
    pub fn start(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, result) = channel();
        thread::spawn(move || {
            // A test that has failed does not wait any more.
            let _ = sender.send(work());
        });
        Self { what: what.to_owned(), result }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end within `limit`, or panicked.
    #[track_caller]
    pub fn finish(self, limit: Duration) -> T {
        match self.result.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => panic!("{} still runs after {limit:?}", self.what),
            Err(RecvTimeoutError::Disconnected) => panic!("{} panicked", self.what),
        }
    }
}

/// Accepts so many connections, each handled on a thread of its own; the results in the order of the arrivals.
///
/// # Panics
/// The address is taken.
pub fn serve<T: Send + 'static>(
    net: &Net,
    address: SocketAddr,
    connections: usize,
    handle: impl Fn(usize, &TcpStream) -> T + Clone + Send + 'static,
) -> Task<Vec<T>> {
    let listener = TcpListener::bind(net, address).expect("the address is free");
    Task::start(&format!("the stack's server on {address}"), move || {
        let begin = |index| {
            let (stream, _) = listener.accept().expect("it listens");
            patient(&stream);
            let handle = handle.clone();
            thread::spawn(move || handle(index, &stream))
        };
        let running: Vec<_> = (0..connections).map(begin).collect();
        running.into_iter().map(|thread| thread.join().expect("its handler does not panic")).collect()
    })
}

/// Connects from the stack.
///
/// # Panics
/// It cannot connect in time.
#[track_caller]
pub fn connect(net: &Net, address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(net, address, SOON);
    let stream = stream.unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    patient(&stream);
    stream
}

/// No read or write of this stream waits for ever.
///
/// # Panics
/// Never.
pub fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(SOON)).expect("it is not zero");
    stream.set_write_timeout(Some(SOON)).expect("it is not zero");
}

/// Sends everything back; ends after the other side.
///
/// # Errors
/// The connection's.
pub fn echo(mut stream: &TcpStream) -> io::Result<u64> {
    let mut piece = vec![0; 65_536];
    let mut sent = 0;
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            stream.shutdown(Shutdown::Write)?;
            return Ok(sent);
        }
        stream.write_all(&piece[..len])?;
        sent += len as u64;
    }
}

/// Receives stream `seed` to its end.
///
/// # Errors
/// The connection's.
pub fn receive(mut stream: &TcpStream, seed: u64) -> io::Result<Received> {
    let mut received = Received::new(seed);
    let mut piece = vec![0; 65_536];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(received),
            len => received.push(&piece[..len]),
        }
    }
}

/// Sends the first bytes of stream `seed`, and leaves the direction open.
///
/// # Errors
/// The connection's.
pub fn send(mut stream: &TcpStream, seed: u64, bytes: u64) -> io::Result<()> {
    let mut piece = vec![0; 65_536];
    let mut sent = 0;
    while sent < bytes {
        let len = piece.len().min(usize::try_from(bytes - sent).unwrap_or(usize::MAX));
        fill(seed, sent, &mut piece[..len]);
        stream.write_all(&piece[..len])?;
        sent += len as u64;
    }
    Ok(())
}

/// Sends the first bytes of stream `seed`, ends that direction, and receives stream `expected` at the same time.
///
/// # Errors
/// The connection's, in either direction.
///
/// # Panics
/// Never.
pub fn exchange(stream: &TcpStream, seed: u64, bytes: u64, expected: u64) -> io::Result<Received> {
    thread::scope(|scope| {
        let sending =
            scope.spawn(|| send(stream, seed, bytes).and_then(|()| stream.shutdown(Shutdown::Write)));
        let received = receive(stream, expected);
        let sent = sending.join().expect("it does not panic");
        received.and_then(|received| sent.map(|()| received))
    })
}
