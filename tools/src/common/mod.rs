//! What the subcommands share: from what was typed to what can run, and how they speak.

pub(crate) mod console;
pub(crate) mod failure;
pub(crate) mod hub;
pub(crate) mod impairment;
pub(crate) mod span;
