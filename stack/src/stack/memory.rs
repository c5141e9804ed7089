//! The memory of all buffers of a stack: who has how much, and when it is short.

use super::Stack;
use crate::socket::table::{Kind, Socket, SocketId};
use crate::tcp::Pressure;

/// Bytes of buffers, and how many there may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    used: usize,
    limit: usize,
    /// How often it became short.
    pub(super) pressures: u64,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// How short it is.
    pub(super) fn pressure(&self) -> Pressure {
        match self.used {
            used if used >= self.limit => Pressure::Full,
            used if used >= self.limit - self.limit / 4 => Pressure::High,
            _ => Pressure::Low,
        }
    }

    /// A socket that had `charged` bytes has `used` now.
    pub(super) fn charge(&mut self, charged: &mut usize, used: usize) {
        if *charged == used {
            return;
        }
        let before = self.pressure();
        self.used = self.used - *charged + used;
        *charged = used;
        self.pressures += u64::from(before == Pressure::Low && self.pressure() > Pressure::Low);
    }
}

impl Socket {
    /// Bytes of memory that its buffers occupy.
    fn buffer_memory(&self) -> usize {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.connection.buffer_memory(),
            Kind::Udp(udp) => udp.socket.memory(),
            Kind::Raw(raw) => raw.memory(),
            // What waits in a listener has sockets of its own.
            Kind::Listener(_) | Kind::Asleep(_) => 0,
        }
    }
}

impl Stack {
    /// Counts what a socket's buffers occupy after something happened to them.
    pub(super) fn charge(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            let used = socket.buffer_memory();
            self.memory.charge(&mut socket.charged, used);
        }
    }
}
