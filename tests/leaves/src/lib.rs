//! The leaves of the stack, and the core that they carry, each with something to do again and again.
//!
//! `cargo bench -p ustack-leaves` times them. `cargo run --profile counted -p ustack-leaves` counts their instructions,
//! which a busy machine does not change, and compares them with the table in `instructions.txt`.

mod core;
mod datagrams;
mod scoreboard;
mod simple;

/// Something to do again and again, that much each time.
pub trait Work {
    /// What has to be there before the next turn; neither timed nor counted.
    fn prepare(&mut self) {}

    /// A turn; answers how often it did what the leaf is for.
    fn run(&mut self) -> u64;
}

/// A leaf under its name.
pub struct Leaf {
    /// Its name, and what of it.
    pub name: &'static str,
    /// Makes its work.
    pub work: fn() -> Box<dyn Work>,
}

/// All leaves, from the bytes up.
pub const LEAVES: &[Leaf] = &[
    Leaf { name: "checksum/20", work: || simple::checksum(20) },
    Leaf { name: "checksum/1460", work: || simple::checksum(1460) },
    Leaf { name: "parse/ipv4-tcp", work: || simple::parse(false, 0) },
    Leaf { name: "parse/ipv6-tcp", work: || simple::parse(true, 0) },
    Leaf { name: "parse/ipv4-tcp-sack", work: || simple::parse(false, 3) },
    Leaf { name: "build/ipv4-tcp", work: || simple::build(false, 0) },
    Leaf { name: "build/ipv6-tcp", work: || simple::build(true, 0) },
    Leaf { name: "build/ipv4-tcp-sack", work: || simple::build(false, 3) },
    Leaf { name: "demux/same", work: || simple::demux(1) },
    Leaf { name: "demux/next", work: || simple::demux(1000) },
    Leaf { name: "ring/in-order", work: simple::ring },
    Leaf { name: "ring/out-of-order", work: simple::ring_with_holes },
    Leaf { name: "timers/later", work: || simple::timers(true) },
    Leaf { name: "timers/earlier", work: || simple::timers(false) },
    Leaf { name: "scoreboard/in-order", work: || scoreboard::acknowledgments(false) },
    Leaf { name: "scoreboard/holes", work: || scoreboard::acknowledgments(true) },
    Leaf { name: "datagrams/sending", work: datagrams::sending },
    Leaf { name: "datagrams/receiving", work: datagrams::receiving },
    Leaf { name: "core/sending", work: core::sending },
    Leaf { name: "core/receiving", work: core::receiving },
];

/// One turn, as a function of its own that a counter can recognise.
#[inline(never)]
pub fn counted_turn(work: &mut dyn Work) -> u64 {
    work.run()
}
