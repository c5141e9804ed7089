//! A hundred thousand connections in one process: what each holds, that each can be woken, and that a packet costs no
//! more beside them.
//!
//! One test, because the allocator counts for the whole process.

use std::alloc::System;

use nix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ustack::SocketId;
use ustack::tcp::{Settings, State};
use ustack::time::Duration;
use ustack_tools::bench::twins::Twins;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 100_000;
/// Bytes of memory that one end of an idle connection holds at most: its place in every table, its control block, its
/// buffers.
const MOST: usize = 1024;
/// How much more processor time a packet may take beside the others. A look at each of them would be a hundred times as
/// much; a table that does not fit the cache is not.
const DEARER: u64 = 6;

/// Bytes there and back, which arrive.
fn ask(twins: &mut Twins, (left, right): (SocketId, SocketId)) {
    let (question, mut buf) = ([7; 512], [0; 512]);
    assert_eq!(twins.left.stack.tcp_send(twins.now, left, &question), Ok(512));
    twins.exchange();
    assert_eq!(twins.right.stack.tcp_recv(twins.now, right, &mut buf), Ok(512));
    assert_eq!(twins.right.stack.tcp_send(twins.now, right, &buf), Ok(512));
    twins.exchange();
    assert_eq!(twins.left.stack.tcp_recv(twins.now, left, &mut buf), Ok(512));
    assert_eq!(buf, question);
    twins.forget_events();
}

/// Nothing happens for ten seconds: buffers are given back.
fn rest(twins: &mut Twins) {
    twins.pass(Duration::from_secs(10), Duration::from_millis(500));
    twins.forget_events();
}

/// Nanoseconds of this thread's processor time for some thousand questions and answers, and for the timers of a second;
/// the least of a few attempts.
fn cost(twins: &mut Twins, connection: (SocketId, SocketId)) -> u64 {
    let spent = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("each thread has one");
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    };
    let attempt = |twins: &mut Twins| {
        let before = spent();
        for _ in 0..1000 {
            ask(twins, connection);
            twins.pass(Duration::from_millis(1), Duration::from_millis(1));
        }
        spent() - before
    };
    (0..3).map(|_| attempt(twins)).min().unwrap_or(0)
}

#[test]
fn a_hundred_thousand_connections_are_small_and_in_nobody_s_way() {
    let mut twins = Twins::new(Settings::default());
    let first = twins.connect(Settings::default());
    ask(&mut twins, first);
    let alone = cost(&mut twins, first);
    rest(&mut twins);

    let region = Region::new(GLOBAL);
    let mut all = vec![first];
    for round in 1..CONNECTIONS {
        let connection = twins.connect(Settings::default());
        ask(&mut twins, connection);
        all.push(connection);
        if round % 10_000 == 0 {
            rest(&mut twins);
        }
    }
    rest(&mut twins);
    let change = region.change();
    let list = all.capacity() * size_of::<(SocketId, SocketId)>();
    let each = (change.bytes_allocated - change.bytes_deallocated - list) / (2 * (CONNECTIONS - 1));
    assert!(each < MOST, "an idle connection holds {each} bytes");
    for twin in [&twins.left, &twins.right] {
        let established = twin.stack.stats().connections.curr_estab;
        assert_eq!(established as usize, CONNECTIONS);
    }

    // Any of them wakes: the first, the last, some between; and costs nobody else a thing.
    for index in [0, 1, CONNECTIONS / 2, CONNECTIONS - 1] {
        ask(&mut twins, all[index]);
        for (stack, id) in [(&twins.left.stack, all[index].0), (&twins.right.stack, all[index].1)] {
            assert_eq!(stack.tcp_info(id).expect("it is open").state, State::Established);
        }
    }
    let region = Region::new(GLOBAL);
    let beside = cost(&mut twins, first);
    let change = region.change();
    // The buffers of the one that works, and a queue that may grow.
    let asked = change.allocations + change.reallocations;
    assert!(asked < 100, "{asked} allocations for 12,000 segments");
    assert!(beside < DEARER * alone, "{beside} ns beside {CONNECTIONS} connections, {alone} alone");
}
