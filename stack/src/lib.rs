//! ustack: a TCP/UDP/IP stack in user space that explains itself.
//!
//! It builds every packet itself and moves it through a TAP or TUN device, a raw socket, or a wire in memory. Each
//! frame that leaves says [why](why::Why): new data, fast retransmit, timeout, delayed acknowledgment, with the numbers
//! that decided it.
//!
//! # One core, several lives
//!
//! [`Stack`] is a value: bytes and time go in; bytes, deadlines and events come out. It reads no clock, opens no file,
//! blocks on nothing, and asks nobody for randomness; so the same core runs
//!
//! - on a TAP in real time, under async sockets ([`net`]) or blocking ones ([`blocking`]);
//! - on simulated links in virtual time ([`net::Simulation`], [`sim`]), repeatable to the bit from a seed;
//! - by hand: see the example `sans_io`.
//!
//! ```
//! use ustack::net::{Simulation, TcpListener, TcpStream};
//! use ustack::sim::LinkConfig;
//! use ustack::time::Units;
//! use ustack::wire::ethernet::MacAddr;
//! use ustack::{Config, InterfaceConfig};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut simulation = Simulation::new(42);
//! let interface = |last| {
//!     let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
//!     config.address([10, 0, 0, last].into(), 24)
//! };
//! let (a, client) = simulation.add_host("a", Config::seeded(1), interface(1))?;
//! let (b, server) = simulation.add_host("b", Config::seeded(2), interface(2))?;
//! let link = "delay 50ms loss 5%".parse().expect("netem's words");
//! simulation.connect(a.port(0), b.port(0), LinkConfig::both(link));
//!
//! let listener = TcpListener::bind(&server, "10.0.0.2:7".parse().unwrap())?;
//! simulation.spawn(async move {
//!     let (stream, _) = listener.accept().await.unwrap();
//!     stream.write_all(b"hello from virtual time").await.unwrap();
//! });
//! let text = simulation.block_on(60.secs(), async move {
//!     let stream = TcpStream::connect(&client, "10.0.0.2:7".parse().unwrap()).await?;
//!     let mut text = vec![0; 23];
//!     stream.read_exact(&mut text).await?;
//!     std::io::Result::Ok(text)
//! });
//! assert_eq!(text.unwrap()?, b"hello from virtual time");
//! # Ok(())
//! # }
//! ```
//!
//! # The house
//!
//! | modules | what they hold |
//! | --- | --- |
//! | [`time`] [`rng`] [`why`] [`buf`] [`wire`] | numbers, bytes, and what bytes mean |
//! | [`link`] [`ip`] | neighbours and addresses; routes, fragments, ICMP, path MTU |
//! | [`tcp`] [`udp`] [`raw`] | the transports, without addresses |
//! | [`socket`] [`stack`] [`config`] [`event`] [`error`] [`stats`] | the table of sockets, and the stack itself |
//! | [`device`] [`capture`] [`sim`] [`net`] [`blocking`] | above the core: I/O, clocks, threads |

pub mod blocking;
pub mod buf;
pub mod capture;
pub mod config;
pub mod device;
pub mod error;
pub mod event;
pub mod ip;
pub mod link;
pub mod net;
pub mod raw;
pub mod rng;
pub mod sim;
pub mod socket;
pub mod stack;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod why;
pub mod wire;

pub use buf::frame::InterfaceId;
pub use config::Config;
pub use error::Error;
pub use event::{Event, Observation, Readiness};
pub use link::InterfaceConfig;
pub use socket::table::SocketId;
pub use stack::Stack;
