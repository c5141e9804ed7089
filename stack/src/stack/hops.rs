//! How far what a socket sends may go.

use super::Stack;
use crate::error::Error;
use crate::socket::table::{Kind, Socket, SocketId};

/// What most hosts send with.
const USUAL: u8 = 64;

impl Stack {
    /// The TTL or hop limit of what a stream or a datagram socket sends, or of what the streams will send that a
    /// listener accepts: what was set, else the interface's.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn hop_limit(&self, id: SocketId) -> Result<u8, Error> {
        let outside = self.ports.get(1).or(self.ports.first());
        let usual = |local: std::net::IpAddr| outside.map_or(USUAL, |port| port.hop_limit(local));
        match self.sockets.get(id).map(|socket| &socket.kind) {
            Some(Kind::Listener(entry)) => Ok(entry.ip.hop_limit.unwrap_or(usual(entry.local.ip))),
            Some(Kind::Udp(entry)) => {
                Ok(entry.socket.options().ttl.unwrap_or(usual(entry.socket.local().ip())))
            }
            _ => {
                let tcp = self.tcp(id)?;
                let port = self.port(tcp.path.interface);
                Ok(tcp.ip.hop_limit.unwrap_or(port.map_or(USUAL, |port| port.hop_limit(tcp.tuple.remote.ip))))
            }
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn set_hop_limit(&mut self, id: SocketId, hop_limit: u8) -> Result<(), Error> {
        let socket = self.sockets.get_mut(id).ok_or(Error::NoSuchSocket)?;
        match &mut socket.kind {
            Kind::Listener(entry) => entry.ip.hop_limit = Some(hop_limit),
            Kind::Udp(entry) => entry.socket.options_mut().ttl = Some(hop_limit),
            _ => Socket::tcp_mut(socket).ok_or(Error::NoSuchSocket)?.ip.hop_limit = Some(hop_limit),
        }
        Ok(())
    }
}
