//! The core alone, in memory, without any I/O: what a segment costs each side, what idle connections cost.
//!
//! `cargo bench -p ustack-tests --bench core [-- segments|idle|memory]`.

mod hosts;

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ustack::tcp::Settings;
use ustack::time::Duration as Time;
use ustack_tests::twins::Twins;

use self::hosts::{Cost, Smoltcp, Ustack, bulk};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long one measurement takes.
const SPAN: Duration = Duration::from_millis(300);
const ROUNDS: usize = 7;
const IDLE: usize = 10_000;

/// What a full segment costs the side that sends it and the side that receives it, ACKs included.
fn segments() {
    println!("bulk transfer in memory, MSS 1460, what one segment costs each side (medians of {ROUNDS}):");
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        costs[0].push(bulk(&mut Ustack::pair(0), SPAN));
        costs[1].push(bulk(&mut Smoltcp::pair(), SPAN));
    }
    let mut medians = Vec::new();
    for (name, costs) in ["ustack", "smoltcp"].into_iter().zip(costs) {
        let (sending, receiving) = (median(&costs, |c| c.sending), median(&costs, |c| c.receiving));
        let acks = median(&costs, |c| c.acks);
        println!(
            "  {name:8} sending {sending:5.0} ns, receiving {receiving:5.0} ns, {acks:.2} ACKs a segment: {:.2} million a second",
            1e3 / (sending + receiving)
        );
        medians.push((sending, receiving));
    }
    let (sending, receiving) = (medians[1].0 / medians[0].0, medians[1].1 / medians[0].1);
    println!("  ustack is {sending:.2} times as fast sending, {receiving:.2} receiving");
}

/// What a segment costs beside many idle connections, against what it costs alone.
fn idle() {
    let (mut alone, mut beside) = (Ustack::pair(0), Ustack::pair(IDLE));
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let one = bulk(&mut alone, SPAN);
        let many = bulk(&mut beside, SPAN);
        ratios.push((many.sending + many.receiving) / (one.sending + one.receiving));
    }
    println!(
        "a segment beside {IDLE} idle connections costs {:.3} times what it costs alone",
        median(&ratios, |r| *r)
    );
}

/// What an idle established connection costs, its place in every table and the allocator's own share included.
fn memory() {
    let settings = Settings::default();
    let mut twins = Twins::new(settings.clone());
    twins.connect(settings.clone());
    let (resident, region) = (resident(), Region::new(GLOBAL));
    for round in 0..IDLE {
        let (left, right) = twins.connect(settings.clone());
        let mut buf = [0; 512];
        twins.left.stack.tcp_send(twins.now, left, &buf).expect("the buffer is empty");
        twins.exchange();
        twins.right.stack.tcp_recv(twins.now, right, &mut buf).expect("it has arrived");
        twins.right.stack.tcp_send(twins.now, right, &buf).expect("the buffer is empty");
        twins.exchange();
        twins.left.stack.tcp_recv(twins.now, left, &mut buf).expect("it has arrived");
        twins.forget_events();
        if round % 100 == 0 {
            // Buffers are given back after a second without use: those of few connections are there at a time.
            twins.pass(Time::from_secs(2), Time::from_millis(500));
        }
    }
    twins.pass(Time::from_secs(5), Time::from_millis(100));
    let change = region.change();
    let ends = 2.0 * IDLE as f64;
    let counted = (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / ends;
    println!(
        "an idle connection that was used before: {counted:.0} bytes counted, {:.0} bytes resident",
        (self::resident() - resident) as f64 / ends
    );
}

/// Bytes of this process that lie in memory.
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).and_then(|word| word.parse::<i64>().ok()).expect("its second number");
    pages * 4096
}

fn median<T>(values: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = values.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 3] = [("memory", memory), ("segments", segments), ("idle", idle)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            part();
        }
    }
}
