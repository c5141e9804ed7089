//! What bytes mean: headers as values, read and written without I/O and without a panic.

pub mod seq;
pub mod tcp;
