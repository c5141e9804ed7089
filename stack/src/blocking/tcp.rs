//! Blocking streams.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::std_like::{nonblocking_of_std, options_of_std, timeouts_of_std};
use super::wait::{Timeouts, block_on, hops};
use crate::net::{self, Net};
use crate::tcp::congestion::Algorithm;
use crate::tcp::{MtuProbing, Settings, TcpInfo};

/// As `std::net::TcpListener`, on a [`Net`].
#[derive(Debug)]
pub struct TcpListener {
    inner: Arc<net::TcpListener>,
    timeouts: Timeouts,
}

/// As `std::net::TcpStream`, on a [`Net`].
#[derive(Debug)]
pub struct TcpStream {
    inner: net::TcpStream,
    timeouts: Timeouts,
}

/// Connections as they come: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl TcpListener {
    fn new(inner: net::TcpListener) -> Self {
        Self { inner: Arc::new(inner), timeouts: Timeouts::default() }
    }

    /// Listens on `address`; port 0 asks for an ephemeral port.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(net: &Net, address: SocketAddr) -> io::Result<Self> {
        net::TcpListener::bind(net, address).map(Self::new)
    }

    /// As `bind`, with a backlog and settings of its own, which the accepted streams get.
    ///
    /// # Errors
    /// As `bind`.
    pub fn bind_with(
        net: &Net,
        address: SocketAddr,
        backlog: usize,
        change: impl FnOnce(&mut Settings),
    ) -> io::Result<Self> {
        net::TcpListener::bind_with(net, address, backlog, change).map(Self::new)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Another handle of the same listener; it is closed with the last of them.
    ///
    /// # Errors
    /// None: the shape is `std`'s.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { inner: self.inner.clone(), timeouts: self.timeouts.clone() })
    }

    /// The async listener inside.
    pub fn get_ref(&self) -> &net::TcpListener {
        &self.inner
    }

    nonblocking_of_std!();

    /// The TTL or hop limit of what the accepted streams send.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl().map(u32::from)
    }

    /// Sets the TTL or hop limit of what streams send that are accepted later.
    ///
    /// # Errors
    /// 0, or more than 255; the stack has closed the socket.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(hops(ttl)?)
    }

    /// The error that nobody was told of yet: a listener has none.
    ///
    /// # Errors
    /// None: the shape is `std`'s.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The listener is closed; `WouldBlock` if it does not wait.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (inner, peer) = block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.accept())?;
        Ok((TcpStream::new(inner), peer))
    }

    /// Connections as they come, for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl TcpStream {
    fn new(inner: net::TcpStream) -> Self {
        Self { inner, timeouts: Timeouts::default() }
    }

    /// Connects to `remote`.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`...
    pub fn connect(net: &Net, remote: SocketAddr) -> io::Result<Self> {
        block_on(net.only_shared(), None, net::TcpStream::connect(net, remote)).map(Self::new)
    }

    /// Connects to `remote`, at most for `timeout`.
    ///
    /// # Errors
    /// As `connect`.
    pub fn connect_timeout(net: &Net, remote: SocketAddr, timeout: Duration) -> io::Result<Self> {
        block_on(net.only_shared(), Some(timeout), net::TcpStream::connect(net, remote)).map(Self::new)
    }

    /// Connects to `remote` and writes all of `data`, as much of it in the SYN as may be (TCP Fast Open, RFC 7413), see
    /// [`net::TcpStream::connect_with_data`].
    ///
    /// # Errors
    /// As `connect` and `write`.
    pub fn connect_with_data(net: &Net, remote: SocketAddr, data: &[u8]) -> io::Result<Self> {
        block_on(net.only_shared(), None, net::TcpStream::connect_with_data(net, remote, data)).map(Self::new)
    }

    /// Another handle of the same connection; timeouts are shared.
    ///
    /// # Errors
    /// None: the shape is `std`'s.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { inner: self.inner.clone(), timeouts: self.timeouts.clone() })
    }

    /// The async stream inside.
    pub fn get_ref(&self) -> &net::TcpStream {
        &self.inner
    }

    /// Our end.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// What `ss -ti` would show.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.inner.info()
    }

    /// Reads without taking.
    ///
    /// # Errors
    /// As `read`.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.peek(buf))
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    timeouts_of_std!();

    options_of_std!();

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.inner.settings()?.nodelay)
    }

    /// Sends small segments at once.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    /// Changes the congestion control (`TCP_CONGESTION`); the new one goes on from the window of the old.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_congestion(&self, algorithm: Algorithm) -> io::Result<()> {
        self.inner.set_congestion(algorithm)
    }

    /// The same by name: one of [`Algorithm::NAMES`].
    ///
    /// # Errors
    /// `NotFound` if none has that name; the stack has closed the socket.
    pub fn set_congestion_by_name(&self, name: &str) -> io::Result<()> {
        self.inner.set_congestion_by_name(name)
    }

    /// Holds back what does not fill a segment until it is switched off again, or for 200 ms (`TCP_CORK`).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        self.inner.set_cork(cork)
    }

    /// Acknowledges each segment at once (`TCP_QUICKACK`, but it stays).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.inner.set_quickack(quickack)
    }

    /// Looks for the largest segments that the path takes, from now on or no longer (RFC 4821).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_mtu_probing(&self, probing: MtuProbing) -> io::Result<()> {
        self.inner.set_mtu_probing(probing)
    }

    /// As `write`, and says that more will follow soon (`MSG_MORE`).
    ///
    /// # Errors
    /// As `write`.
    pub fn write_more(&self, bytes: &[u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.write(), self.inner.write_more(bytes))
    }

    /// Changes any option.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        self.inner.configure(change)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.read(), self.inner.read(buf))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        block_on(self.inner.only_shared(), self.timeouts.write(), self.inner.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
