//! The core alone, in memory, without any I/O: what a segment costs, and what idle connections cost.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use ustack::tcp::Settings;
use ustack::time::Duration as Time;

use super::hosts::{Cost, Host, Smoltcp, Ustack, bulk};
use super::report::{Contender, Sample, Test};
use super::twins::Twins;

/// What one end of an idle connection may take, allocators and tables included, before there are too many for the
/// memory.
const ROOM: u64 = 4096;
/// Connections among which the memory of one is measured.
const COUNTED: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Core {
    Ustack,
    Smoltcp,
}

impl Contender for Core {
    fn name(self) -> &'static str {
        match self {
            Self::Ustack => "ustack",
            Self::Smoltcp => "smoltcp",
        }
    }

    fn is_ours(self) -> bool {
        self == Self::Ustack
    }
}

/// Segments of a bulk transfer that a sender and a receiver together carry in a second of processor time, ours and
/// smoltcp's, with the same payload.
pub fn core(span: Duration, rounds: usize) -> Test {
    let (mut ours, mut theirs) = (Ustack::pair(0), Smoltcp::pair(0));
    let name = "core alone, sender and receiver, MSS 1460";
    Test::alternate(name, None, "segments/s", rounds, &[Core::Ustack, Core::Smoltcp], |who| match who {
        Core::Ustack => sample(&mut ours, span),
        Core::Smoltcp => sample(&mut theirs, span),
    })
}

fn sample(pair: &mut dyn Host, span: Duration) -> io::Result<Sample> {
    let Cost { sending, receiving, acks } = bulk(pair, span);
    let value = 1e9 / (sending + receiving);
    let columns = vec![("sending ns", sending), ("receiving ns", receiving), ("ACKs", acks)];
    Ok(Sample { value, by_cpu: Some(value), columns })
}

/// Whose core it is, and how many connections are idle beside the one that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Beside(Core, usize);

/// smoltcp looks at all of its sockets for each packet: so many are enough to tell.
const SMOLTCP_IDLE: usize = 1000;

impl Contender for Beside {
    fn name(self) -> &'static str {
        match (self.0, self.1) {
            (Core::Ustack, 0) => "none idle",
            (Core::Ustack, 1..=9_999) => "some idle",
            (Core::Ustack, 10_000..=99_999) => "10,000 idle",
            (Core::Ustack, _) => "100,000 idle",
            (Core::Smoltcp, 0) => "smoltcp, none idle",
            (Core::Smoltcp, _) => "smoltcp, 1,000 idle",
        }
    }

    fn is_ours(self) -> bool {
        self.0 == Core::Ustack && self.1 > 0
    }
}

/// The same for ustack beside 10,000 and 100,000 idle connections, but not more than `most`, and for smoltcp beside
/// 1,000. For which the memory of this machine is too small fails and says so.
pub fn idle(span: Duration, rounds: usize, most: usize) -> Test {
    let counts = [0, 10_000, 100_000].into_iter().filter(|&count| count <= most);
    let ours = counts.map(|count| Beside(Core::Ustack, count));
    let theirs = [0, SMOLTCP_IDLE].map(|count| Beside(Core::Smoltcp, count));
    let beside: Vec<Beside> = ours.chain(theirs).collect();
    let mut pairs = BTreeMap::new();
    Test::alternate("one flow beside idle connections", None, "segments/s", rounds, &beside, |who| {
        let Beside(core, count) = who;
        if !pairs.contains_key(&who) {
            check_room(2 * ROOM * count as u64, memory_available())?;
        }
        let pair = pairs.entry(who).or_insert_with(|| -> Box<dyn Host> {
            match core {
                Core::Ustack => Box::new(Ustack::pair(count)),
                Core::Smoltcp => Box::new(Smoltcp::pair(count)),
            }
        });
        sample(&mut **pair, span)
    })
}

/// An error if so much is more than half of what is there.
fn check_room(needed: u64, available: u64) -> io::Result<()> {
    if needed <= available / 2 {
        return Ok(());
    }
    let [needed, available] = [needed, available].map(|bytes| bytes >> 20);
    let text = format!("not measured: it may take {needed} MiB, and this machine has {available} to spare");
    Err(io::Error::new(io::ErrorKind::OutOfMemory, text))
}

#[derive(Clone, Copy, Debug)]
struct Connection;

impl Contender for Connection {
    fn name(self) -> &'static str {
        "ustack"
    }

    fn is_ours(self) -> bool {
        true
    }
}

/// Resident bytes of one end of an established connection that was used and is idle: its place in every table and the
/// allocator's own share included. To be measured before anything else takes memory and gives it back.
pub fn memory() -> Test {
    Test::alternate("memory of an idle connection", None, "bytes", 1, &[Connection], |_| {
        let settings = Settings::default();
        let mut twins = Twins::new(settings.clone());
        twins.connect(settings.clone());
        let before = resident()?;
        for round in 0..COUNTED {
            use_once(&mut twins, settings.clone())?;
            if round % 100 == 0 {
                // Buffers are given back after some seconds without use: those of few connections are there at a time.
                twins.pass(Time::from_secs(10), Time::from_millis(500));
            }
        }
        twins.pass(Time::from_secs(10), Time::from_millis(100));
        let value = resident()?.saturating_sub(before) as f64 / (2.0 * COUNTED as f64);
        Ok(Sample { value, by_cpu: None, columns: Vec::new() })
    })
}

/// A connection that carries something each way.
fn use_once(twins: &mut Twins, settings: Settings) -> io::Result<()> {
    let (left, right) = twins.connect(settings);
    let mut buf = [0; 512];
    twins.left.stack.tcp_send(twins.now, left, &buf)?;
    twins.exchange();
    twins.right.stack.tcp_recv(twins.now, right, &mut buf)?;
    twins.right.stack.tcp_send(twins.now, right, &buf)?;
    twins.exchange();
    twins.left.stack.tcp_recv(twins.now, left, &mut buf)?;
    twins.forget_events();
    Ok(())
}

/// Bytes of this process that lie in memory.
fn resident() -> io::Result<u64> {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|word| word.parse().ok());
    pages.map(|pages| pages * PAGE).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Bytes that programs may still take; 0 if the kernel does not say.
fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_told() {
        assert!(check_room(0, 0).is_ok() && check_room(5 << 20, 10 << 20).is_ok());
        let error = check_room(800 << 20, 1000 << 20).unwrap_err().to_string();
        assert!(error.contains("may take 800 MiB") && error.contains("has 1000"), "{error}");
    }
}
