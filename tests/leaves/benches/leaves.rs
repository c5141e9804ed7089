//! The leaves by the clock.

#![allow(clippy::disallowed_methods, reason = "it is what reads the clock")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ustack_leaves::{LEAVES, counted_turn};

fn leaves(criterion: &mut Criterion) {
    for leaf in LEAVES {
        let mut work = (leaf.work)();
        criterion.bench_function(leaf.name, |bencher| {
            bencher.iter_custom(|times| {
                let (mut spent, mut done) = (Duration::ZERO, 0);
                while done < times {
                    work.prepare();
                    let begin = Instant::now();
                    done += counted_turn(work.as_mut());
                    spent += begin.elapsed();
                }
                spent.mul_f64(times as f64 / done as f64)
            });
        });
    }
}

criterion_group!(benches, leaves);
criterion_main!(benches);
