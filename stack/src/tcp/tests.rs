//! Conversations: between two of our own ends, and of one end with a written trace.

mod closing;
mod listening;
mod low_water;
mod merged;
mod observing;
mod opening;
mod properties;
mod receiving;
mod recovering;
mod repairing;
mod sending;
mod showing;
mod waiting;
