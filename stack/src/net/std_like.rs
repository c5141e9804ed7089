//! What `std::net` offers for sockets beside sending and receiving.

use std::io;

use super::socket::Socket;
use super::{TcpListener, TcpStream, UdpSocket};
use crate::Stack;
use crate::error::Error;
use crate::socket::table::SocketId;

impl TcpStream {
    /// The error that nobody was told of yet (`SO_ERROR`): what ended the connection, or what ICMP said about it.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        take(self.socket(), Stack::tcp_take_error)
    }

    /// The TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn ttl(&self) -> io::Result<u8> {
        hop_limit(self.socket())
    }

    /// Sets the TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_ttl(&self, ttl: u8) -> io::Result<()> {
        set_hop_limit([self.socket()], ttl)
    }
}

impl TcpListener {
    /// The TTL or hop limit of what the accepted streams send.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn ttl(&self) -> io::Result<u8> {
        hop_limit(self.group().first())
    }

    /// Sets the TTL or hop limit of what streams send that are accepted later.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_ttl(&self, ttl: u8) -> io::Result<()> {
        set_hop_limit(self.group().iter(), ttl)
    }
}

impl UdpSocket {
    /// What ICMP said about an earlier datagram, if nobody was told of it yet (`SO_ERROR`).
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        for socket in self.group().iter() {
            if let error @ Some(_) = take(socket, Stack::udp_take_error)? {
                return Ok(error);
            }
        }
        Ok(None)
    }

    /// The TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn ttl(&self) -> io::Result<u8> {
        hop_limit(self.group().first())
    }

    /// Sets the TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// The stack has closed the socket.
    pub fn set_ttl(&self, ttl: u8) -> io::Result<()> {
        set_hop_limit(self.group().iter(), ttl)
    }
}

fn hop_limit(socket: &Socket) -> io::Result<u8> {
    socket.command(|stack, _, id| stack.hop_limit(id))
}

/// Of all parts of a socket.
fn set_hop_limit<'a>(parts: impl IntoIterator<Item = &'a Socket>, ttl: u8) -> io::Result<()> {
    let mut parts = parts.into_iter();
    parts.try_for_each(|socket| socket.command(|stack, _, id| stack.set_hop_limit(id, ttl)))
}

/// The pending error of a socket: that there is one is no error of asking.
fn take(
    socket: &Socket,
    ask: impl FnOnce(&mut Stack, SocketId) -> Result<(), Error>,
) -> io::Result<Option<io::Error>> {
    socket.command(|stack, _, id| match ask(stack, id) {
        Err(Error::NoSuchSocket) => Err(Error::NoSuchSocket),
        answer => Ok(answer.err().map(io::Error::from)),
    })
}
