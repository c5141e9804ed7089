//! Memory: nothing is allocated for a packet, and a connection that is idle holds little.
//!
//! One test, because the allocator counts for the whole process.

use std::alloc::System;
use std::net::SocketAddr;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ustack::SocketId;
use ustack::tcp::Settings;
use ustack::time::Duration;
use ustack_tools::bench::twins::Twins;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn memory() {
    streams_allocate_nothing_for_a_segment();
    datagrams_allocate_nothing_for_a_packet();
    an_idle_connection_holds_less_than_three_quarters_of_a_kilobyte();
}

/// A queue or an ordered set may grow once more after the warm-up: that is not for a segment, of which there are
/// 100,000.
const GROWTH: usize = 2;

/// How often memory was asked for while `f` ran.
fn allocations(f: impl FnOnce()) -> usize {
    let region = Region::new(GLOBAL);
    f();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Bulk data both ways at once, until buffers, queues and windows have their size; then it is counted.
fn streams_allocate_nothing_for_a_segment() {
    let mut twins = Twins::new(Settings::default());
    let (left, right) = twins.connect(Settings::default());
    let mut buf = vec![7; 64 << 10];
    for _ in 0..200 {
        carry(&mut twins, left, right, &mut buf);
    }
    let before = twins.left.stack.tcp_info(left).expect("it is open").counters;
    let count = allocations(|| {
        for _ in 0..1000 {
            carry(&mut twins, left, right, &mut buf);
        }
    });
    let after = twins.left.stack.tcp_info(left).expect("it is open").counters;
    assert!(after.segs_in - before.segs_in > 10_000 && after.segs_out - before.segs_out > 10_000);
    assert_eq!(after.segs_retrans, 0);
    assert!(count <= GROWTH, "{count} allocations for {} segments", after.segs_in + after.segs_out);
}

/// Both write what fits, a millisecond passes, both read what came.
fn carry(twins: &mut Twins, left: SocketId, right: SocketId, buf: &mut [u8]) {
    let now = twins.now;
    let _ = twins.left.stack.tcp_send(now, left, buf);
    let _ = twins.right.stack.tcp_send(now, right, buf);
    twins.pass(Duration::from_millis(1), Duration::from_millis(1));
    while twins.left.stack.tcp_recv(twins.now, left, buf).is_ok_and(|n| n > 0) {}
    while twins.right.stack.tcp_recv(twins.now, right, buf).is_ok_and(|n| n > 0) {}
    twins.exchange();
    twins.forget_events();
}

/// Datagrams both ways, connected on one side and not on the other.
fn datagrams_allocate_nothing_for_a_packet() {
    const ROUNDS: usize = 1000;
    let mut twins = Twins::new(Settings::default());
    let at = |address, port| SocketAddr::new(address, port);
    let (here, there) = (at(twins.left.address, 5000), at(twins.right.address, 5001));
    let left = twins.left.stack.udp_bind(here).expect("the port is free");
    let right = twins.right.stack.udp_bind(there).expect("the port is free");
    twins.left.stack.udp_connect(left, Some(there)).expect("there is a route");
    let mut buf = [7; 1400];
    let mut arrived = 0;
    let mut round = |twins: &mut Twins| {
        for _ in 0..20 {
            twins.left.stack.udp_send_to(twins.now, left, &buf, None).expect("there is room");
            twins.right.stack.udp_send_to(twins.now, right, &buf, Some(here)).expect("there is room");
        }
        twins.pass(Duration::from_millis(1), Duration::from_millis(1));
        while twins.left.stack.udp_recv_from(left, &mut buf).is_ok() {
            arrived += 1;
        }
        while twins.right.stack.udp_recv_from(right, &mut buf).is_ok() {
            arrived += 1;
        }
        twins.forget_events();
    };
    (0..200).for_each(|_| round(&mut twins));
    let count = allocations(|| (0..ROUNDS).for_each(|_| round(&mut twins)));
    // Of the first round, only those arrive that had room while the neighbour was asked for.
    assert!(arrived >= 40 * (ROUNDS + 199), "all datagrams arrive");
    assert!(count <= GROWTH, "{count} allocations for {} datagrams", 40 * ROUNDS);
}

/// All that there is of it: its entry in each table, its control block, its buffers.
fn an_idle_connection_holds_less_than_three_quarters_of_a_kilobyte() {
    const CONNECTIONS: usize = 2000;
    let mut twins = Twins::new(Settings::default());
    twins.connect(Settings::default());
    let region = Region::new(GLOBAL);
    for _ in 0..CONNECTIONS {
        let (left, right) = twins.connect(Settings::default());
        let mut buf = [0; 512];
        twins.left.stack.tcp_send(twins.now, left, &buf).expect("the buffer is empty");
        twins.exchange();
        assert_eq!(twins.right.stack.tcp_recv(twins.now, right, &mut buf), Ok(512));
        twins.right.stack.tcp_send(twins.now, right, &buf).expect("the buffer is empty");
        twins.exchange();
        assert_eq!(twins.left.stack.tcp_recv(twins.now, left, &mut buf), Ok(512));
        twins.forget_events();
    }
    twins.pass(Duration::from_secs(10), Duration::from_millis(500));
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / (2 * CONNECTIONS);
    assert!(each < 768, "an idle connection holds {each} bytes");
}
