//! What the integration tests share: namespaces and processes on the kernel's side, waiting without fixed delays,
//! captures and what tshark says of them, a payload that every side can compute.

pub mod app;
pub mod architecture;
pub mod device;
pub mod echo;
pub mod frames;
pub mod host;
pub mod http;
pub mod kernel;
pub mod matrix;
pub mod nobody;
pub mod pattern;
pub mod peer;
pub mod process;
pub mod processor;
pub mod rfc;
pub mod scratch;
pub mod sim;
pub mod source;
pub mod streams;
pub mod tshark;
pub mod wait;

pub use ustack_tools::bench::{duet, smol};
