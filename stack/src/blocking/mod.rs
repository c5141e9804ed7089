//! Blocking sockets in the shapes of `std::net`, over a shared stack that a [`crate::net::Driver`] moves.

mod decisions;
mod raw;
mod std_like;
mod tcp;
mod udp;
mod wait;

pub use self::decisions::Decisions;
pub use self::raw::RawSocket;
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;

#[cfg(test)]
mod tests;
