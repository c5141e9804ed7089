//! Streams: TCP over the shared stack.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};

use super::Net;
use super::shards::group::Group;
use super::shared::Shared;
use super::socket::Socket;
use super::wakers::Interest;
use crate::Stack;
use crate::tcp::congestion::Algorithm;
use crate::tcp::{MtuProbing, Settings, TcpInfo};

/// Waits for connections on a port.
///
/// Dropping it refuses what comes later and resets what nobody accepted; accepted streams live on.
#[derive(Debug)]
pub struct TcpListener {
    group: Group,
}

/// A TCP connection. Clones are handles of the same connection; it is closed in order when the last is dropped.
///
/// Reading and writing work on a shared reference too, so that two tasks can use one stream.
#[derive(Clone)]
pub struct TcpStream {
    socket: Arc<Socket>,
}

impl TcpListener {
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Handshakes under way, and connections not yet accepted, that a listener keeps unless told otherwise.
    pub const BACKLOG: usize = 128;

    /// Listens on `address` (an unspecified IPv6 address takes IPv4 too, port 0 an ephemeral one).
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(net: &Net, address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(net, address, Self::BACKLOG, |_| ())
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
        let mut settings = net.with_stack(|stack, _| stack.config().tcp.clone());
        change(&mut settings);
        let listen = |stack: &mut Stack, _, address| stack.tcp_listen(address, backlog, settings.clone());
        Ok(Self { group: Group::open(net, address, listen)? })
    }

    /// The stack, if there is but one.
    pub(crate) fn only_shared(&self) -> Option<&Arc<Shared>> {
        self.group.only_shared()
    }

    /// Where it listens; with the port that was chosen if 0 was asked for.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.group.first().local_addr()
    }

    /// Waits for the next connection, and says from where it comes.
    ///
    /// # Errors
    /// The listener is closed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`TcpListener::accept`], for those who write futures by hand.
    ///
    /// # Errors
    /// As `accept`.
    pub fn poll_accept(&self, cx: &Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = self.group.poll(cx, Interest::Read, |stack, now, id| stack.tcp_accept(now, id));
        accepted.map_ok(|(listener, (id, peer))| (TcpStream::new(listener.sibling(id)), peer))
    }
}

impl TcpStream {
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn new(socket: Socket) -> Self {
        Self { socket: Arc::new(socket) }
    }

    /// Connects to `remote` and waits until the handshake is complete.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`, `AddrNotAvailable`...
    pub async fn connect(net: &Net, remote: SocketAddr) -> io::Result<Self> {
        Self::connect_with(net, remote, None, |_| ()).await
    }

    /// As `connect`, from a chosen address and with settings of its own.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn connect_with(
        net: &Net,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        change: impl FnOnce(&mut Settings),
    ) -> io::Result<Self> {
        let stream = Self::new(net.home_of_stream(remote, local).open(|stack, now| {
            let mut settings = stack.config().tcp.clone();
            change(&mut settings);
            stack.tcp_connect(now, remote, local, settings)
        })?);
        poll_fn(|cx| stream.socket.poll(cx, Interest::Write, |stack, _, id| stack.tcp_established(id)))
            .await?;
        Ok(stream)
    }

    /// Connects to `remote` and writes all of `data`, as much of it in the SYN as may be (TCP Fast Open, RFC 7413):
    /// that saves a round trip if the server has given its cookie before; otherwise one is asked for.
    ///
    /// As a SYN can arrive twice, `data` must be such that it does no harm when a server acts on it twice.
    ///
    /// # Errors
    /// As `connect` and `write`.
    pub async fn connect_with_data(net: &Net, remote: SocketAddr, data: &[u8]) -> io::Result<Self> {
        let mut taken = 0;
        let stream = Self::new(net.home_of_stream(remote, None).open(|stack, now| {
            let settings = stack.config().tcp.clone();
            let (id, bytes) = stack.tcp_connect_with_data(now, remote, None, settings, data)?;
            taken = bytes;
            Ok(id)
        })?);
        poll_fn(|cx| stream.socket.poll(cx, Interest::Write, |stack, _, id| stack.tcp_established(id)))
            .await?;
        stream.write_all(&data[taken..]).await?;
        Ok(stream)
    }

    /// The stack.
    pub(crate) fn only_shared(&self) -> Option<&Arc<Shared>> {
        Some(self.socket.shared())
    }

    /// Our end.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    /// `NotConnected`, or the stack has closed the socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// What `ss -ti` would show.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.socket.command(|stack, now, id| stack.tcp_info_at(now, id))
    }

    /// The stack that it belongs to; of a host of several shards, that shard alone.
    pub fn net(&self) -> Net {
        self.socket.net()
    }

    /// Reads what has arrived; 0 is the end of the stream.
    ///
    /// # Errors
    /// The connection ended out of order.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// As `read`, but leaves the bytes for the next read.
    ///
    /// # Errors
    /// As `read`.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.socket.poll(cx, Interest::Read, |stack, _, id| stack.tcp_peek(id, buf))).await
    }

    /// Writes as much as there is room for, at least one byte.
    ///
    /// # Errors
    /// The connection ended, or our side of it was shut down.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, bytes)).await
    }

    /// As `write`, and says that more will follow soon: what does not fill a segment waits for it, at most for 200 ms
    /// (`MSG_MORE`).
    ///
    /// # Errors
    /// As `write`.
    pub async fn write_more(&self, bytes: &[u8]) -> io::Result<usize> {
        let more = |stack: &mut Stack, now, id| stack.tcp_send_more(now, id, bytes);
        poll_fn(|cx| self.socket.poll(cx, Interest::Write, more)).await
    }

    /// Writes all.
    ///
    /// # Errors
    /// As `write`; how much was written before is not told.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before.
    pub async fn read_exact(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => buf = &mut buf[n..],
            }
        }
        Ok(())
    }

    /// Ends our side (`Write`: the peer reads the end after all that was sent), stops reading, or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.command(|stack, now, id| stack.tcp_shutdown(now, id, how))
    }

    /// Ends the connection at once by a RST; what was not sent is lost.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn abort(&self) -> io::Result<()> {
        self.socket.command(|stack, now, id| stack.tcp_abort(now, id))
    }

    /// The options in force.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn settings(&self) -> io::Result<Settings> {
        self.socket.command(|stack, _, id| stack.tcp_settings(id))
    }

    /// Changes options: `stream.configure(|s| s.nodelay = true)`.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        self.socket.command(|stack, now, id| {
            let mut settings = stack.tcp_settings(id)?;
            change(&mut settings);
            stack.tcp_configure(now, id, settings)
        })
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.configure(|settings| settings.nodelay = nodelay)
    }

    /// Changes the congestion control (`TCP_CONGESTION`); the new one goes on from the window of the old.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_congestion(&self, algorithm: Algorithm) -> io::Result<()> {
        self.socket.command(|stack, now, id| stack.tcp_set_congestion(now, id, algorithm))
    }

    /// The same by name: one of [`Algorithm::NAMES`].
    ///
    /// # Errors
    /// `NotFound` if none has that name; the stack has closed the socket.
    pub fn set_congestion_by_name(&self, name: &str) -> io::Result<()> {
        let unknown =
            || io::Error::new(io::ErrorKind::NotFound, format!("no congestion control is called {name}"));
        self.set_congestion(Algorithm::named(name).ok_or_else(unknown)?)
    }

    /// Holds back what does not fill a segment until it is switched off again, or for 200 ms (`TCP_CORK`).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        self.configure(|settings| settings.cork = cork)
    }

    /// Acknowledges each segment at once (`TCP_QUICKACK`, but it stays).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.configure(|settings| settings.quickack = quickack)
    }

    /// Looks for the largest segments that the path takes, from now on or no longer (RFC 4821).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_mtu_probing(&self, probing: MtuProbing) -> io::Result<()> {
        self.configure(|settings| settings.mtu_probing = probing)
    }

    /// As `read`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `read`.
    pub fn poll_recv(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket.poll(cx, Interest::Read, |stack, now, id| stack.tcp_recv(now, id, buf))
    }

    /// As `write`, for those who write futures by hand.
    ///
    /// # Errors
    /// As `write`.
    pub fn poll_send(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll(cx, Interest::Write, |stack, now, id| stack.tcp_send(now, id, bytes))
    }

    /// Ends our side, for the traits' `poll_close` and `poll_shutdown`.
    pub(super) fn end(&self) -> Poll<io::Result<()>> {
        match self.shutdown(Shutdown::Write) {
            // Closing what is closed already is no error.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.poll_send(cx, first)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A write has left for the send ring, and what may be sent was sent.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end()
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpStream").field(&self.socket).finish()
    }
}
