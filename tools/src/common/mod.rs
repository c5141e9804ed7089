//! What the subcommands share: from what was typed to what can run, and how they speak.

pub(crate) mod addresses;
pub(crate) mod console;
pub(crate) mod events;
pub(crate) mod failure;
pub(crate) mod hub;
pub(crate) mod impairment;
pub(crate) mod input;
pub(crate) mod keys;
pub(crate) mod ports;
pub(crate) mod ready;
pub(crate) mod relay;
pub(crate) mod repeat;
pub(crate) mod runtime;
pub(crate) mod span;
pub(crate) mod stack;
pub(crate) mod target;
pub(crate) mod wire;
