//! A network in virtual time, and links as bad as one likes.
//!
//! [`Impairment`] says what a link does to frames, in netem's vocabulary. [`Channel`] does it, to one direction of
//! anything; [`Impaired`] does it to a device in real time. Each decision is a [`Fate`]: a run writes its list,
//! and a list can be played back instead of the dice. [`Network`] joins nodes by links, in virtual time.

mod channel;
mod dice;
mod fate;
mod host;
mod impair;
mod impaired;
mod link;
mod merging;
mod network;
mod node;
mod queue;
mod trace;

pub use channel::{Channel, Delivery, Passage};
pub use fate::{Corruption, Counts, Drop, Fate, FateError, FateList, Fated};
pub use impair::{
    Chance, Codel, Distribution, Impairment, ImpairmentError, Loss, Probability, Rate, Reorder, Threshold,
};
pub use impaired::{Impaired, Passed};
pub use link::{Link, LinkConfig, Port};
pub use network::{LinkId, Network, NodeId, Stop};
pub use node::{Node, SwitchKind};
pub use trace::{Trace, Traced};
