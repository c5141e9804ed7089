//! The command line of ustack.

fn main() {}
