//! Goodput over a path that loses, each congestion control of ours beside smoltcp in the same simulator.
//!
//! `cargo bench -p ustack-tests --bench lossy [-- SEEDS]`: 100 ms round-trip time, random loss in both directions,
//! buffers of 32 KiB, a minute of virtual time, the mean over the seeds. The last column is what the response function
//! of RFC 5681 (as RFC 9438 section 5.1 states it, an ACK for each segment) gives, as far as the buffers allow.

use ustack::buf::frame::Medium;
use ustack::time::Duration;
use ustack_tests::duet::{Duet, Kind};

const BUFFER: usize = 32 * 1024;
const SPAN: u64 = 60;
const RTT: f64 = 0.1;
const MSS: f64 = 1448.0;
const SEEDS: u64 = 30;
const LOSSES: [u32; 6] = [0, 1, 5, 10, 20, 30];

#[derive(Clone, Copy)]
enum Stack {
    Ours(&'static str),
    Smoltcp,
}

const STACKS: [(&str, Stack); 4] = [
    ("bbr", Stack::Ours("bbr")),
    ("cubic", Stack::Ours("cubic")),
    ("reno", Stack::Ours("reno")),
    ("smoltcp", Stack::Smoltcp),
];

/// Bytes per second that arrive, and how far the seeds lie apart (standard deviation).
fn goodput(stack: Stack, loss: u32, seeds: u64) -> (f64, f64) {
    let link = format!("delay 50ms loss {loss}%");
    let (kind, congestion) = match stack {
        Stack::Ours(congestion) => (Kind::Ours, congestion),
        Stack::Smoltcp => (Kind::Smol, "cubic"),
    };
    let request = BUFFER * (SPAN as f64 / RTT) as usize + BUFFER;
    let rates: Vec<f64> = (1..=seeds)
        .map(|seed| {
            let (client, server) = (kind, kind);
            let buffer = Some(BUFFER);
            let duet = Duet { client, server, medium: Medium::Ip, link: &link, seed, ..Duet::default() };
            let duet = Duet { request, congestion, buffer, ..duet };
            duet.received_in(Duration::from_secs(SPAN)) as f64 / SPAN as f64
        })
        .collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / rates.len() as f64;
    (mean, variance.sqrt())
}

/// What the response function gives: the window is sqrt(3/2) / sqrt(loss) segments on average.
fn response(loss: u32) -> f64 {
    let most = BUFFER as f64 / RTT;
    if loss == 0 { most } else { most.min(1.5f64.sqrt() / (f64::from(loss) / 100.0).sqrt() * MSS / RTT) }
}

fn main() {
    let seeds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(SEEDS);
    println!(
        "bytes/s at 100 ms and 32 KiB buffers, mean (and deviation) of {seeds} seeds, {SPAN} s of virtual time"
    );
    print!("{:>6}", "loss");
    STACKS.iter().for_each(|(name, _)| print!("{name:>20}"));
    println!("{:>14}{:>14}", "bbr/smoltcp", "response");
    for loss in LOSSES {
        let rates = STACKS.map(|(_, stack)| goodput(stack, loss, seeds));
        print!("{:>5}%", loss);
        rates.iter().for_each(|(mean, deviation)| print!("{:>20}", format!("{mean:.0} ({deviation:.0})")));
        println!("{:>14.2}{:>14.0}", rates[0].0 / rates[3].0, response(loss));
    }
}
