//! `ustack bench` alone: a little of everything.

use ustack_tools::bench::iperf3::Iperf3;
use ustack_tools::bench::peer::Way;
use ustack_tools::bench::report::Test;
use ustack_tools::bench::rr::{Requests, Task};
use ustack_tools::bench::udp::Datagrams;
use ustack_tools::bench::{bulk, rr, segments};

use super::output::{OutputArgs, Style};
use super::{enter, iperf3};
use crate::common::failure::Outcome;

/// Idle connections that every machine has memory for.
const IDLE: usize = 10_000;
/// Flows where there are many.
const FLOWS: usize = 8;

pub(super) fn run(output: &OutputArgs) -> Outcome {
    enter()?;
    let (span, rounds) = (output.span(Style::Together), output.rounds(Style::Together));
    let bulk = |cpus, flows, offload, way| {
        let bulk = bulk::Bulk { span, rounds, cpus, flows, offload, ..bulk::Bulk::default() };
        move || bulk.measure(way)
    };
    let requests =
        |task, cpus| move || Requests { task, span, rounds, cpus, who: rr::ALL.to_vec() }.measure();
    let mut tests: Vec<Box<dyn FnOnce() -> Test>> = vec![
        // First, while nothing else has taken memory and given it back.
        Box::new(segments::memory),
        Box::new(move || segments::core(span, rounds)),
        Box::new(move || segments::idle(span, rounds, IDLE)),
    ];
    for way in Way::ALL {
        tests.push(Box::new(bulk(2, 1, true, way)));
        tests.push(Box::new(bulk(1, 1, true, way)));
        tests.push(Box::new(bulk(2, FLOWS, true, way)));
        tests.push(Box::new(bulk(2, 1, false, way)));
    }
    for task in [Task::Requests, Task::Connections] {
        tests.push(Box::new(requests(task, 2)));
        tests.push(Box::new(requests(task, 1)));
    }
    for (size, way) in [(64, Way::Send), (64, Way::Receive), (1472, Way::Send), (1472, Way::Receive)] {
        tests.push(Box::new(move || Datagrams { size, span, rounds, cpus: 2 }.measure(way)));
    }
    if Iperf3::is_installed() {
        let iperf3 = iperf3::measured(output, Style::Together)?;
        for way in Way::ALL {
            let iperf3 = iperf3.clone();
            tests.push(Box::new(move || iperf3.measure(way)));
        }
    }
    output.show(Style::Together, tests.into_iter().map(|test| test()))
}
