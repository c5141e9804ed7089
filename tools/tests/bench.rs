//! `ustack bench` in real time: each benchmark runs, and its one document has its shape. Speeds are nobody's business
//! here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The status that says that a privilege is missing.
const PRIVILEGE: i32 = 3;

/// The tests of the document that a benchmark prints; `None` where namespaces are not permitted.
fn tests(words: &[&str]) -> Option<Vec<Value>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
    command.arg("bench").args(words).args(["--json", "--pairs", "1", "--seconds", "0.02"]);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(PRIVILEGE) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "with CI=true nothing is skipped: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        eprintln!("skipped: {stderr}");
        return None;
    }
    assert!(output.status.success(), "{words:?}: {stderr}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tests = document["tests"].as_array().unwrap().clone();
    tests.iter().for_each(check);
    Some(tests)
}

/// Each contender has a median or a reason, each ratio stands between two contenders.
fn check(test: &Value) {
    let lines = test["lines"].as_array().unwrap();
    let mut medians = BTreeMap::new();
    for line in lines {
        let median = line["median"].as_f64();
        assert!(median.is_some_and(|median| median > 0.0) || line["failure"].is_string(), "{line}");
        assert_eq!(line["values"].as_array().unwrap().len(), 1, "{line}");
        medians.insert(line["contender"].as_str().unwrap(), median);
    }
    assert!(test["unit"].is_string() && medians.len() == lines.len(), "{test}");
    assert!(medians.values().any(Option::is_some), "{test}");
    for ratio in test["ratios"].as_array().unwrap() {
        let median = |key: &str| medians[ratio[key].as_str().unwrap()].unwrap();
        let between = median("ours") / median("against");
        assert!((ratio["ratio"].as_f64().unwrap() / between - 1.0).abs() < 1e-9, "{ratio} of {test}");
    }
}

fn names(tests: &[Value]) -> Vec<&str> {
    tests.iter().map(|test| test["name"].as_str().unwrap()).collect()
}

fn contenders(test: &Value) -> Vec<&str> {
    test["lines"].as_array().unwrap().iter().map(|line| line["contender"].as_str().unwrap()).collect()
}

#[test]
fn a_real_iperf3_serves_both_clients() {
    let Some(tests) = tests(&["iperf3", "--cpus", "1"]) else { return };
    assert_eq!(names(&tests), ["iperf3's server, send, 1 flow", "iperf3's server, receive, 1 flow"]);
    for test in &tests {
        assert_eq!(contenders(test), ["ustack iperf3", "iperf3 over veth"]);
        assert!(test["ratios"].as_array().is_some_and(|ratios| !ratios.is_empty()), "{test}");
    }
}

#[test]
fn bulk_transfer_has_all_its_peers() {
    let Some(tests) = tests(&["tap", "--cpus", "2,1"]) else { return };
    assert_eq!(names(&tests), ["TCP send, 1 flow, offloads", "TCP receive, 1 flow, offloads"].repeat(2));
    let all = ["ustack", "kernel over veth", "smoltcp, own TAP", "smoltcp, our TAP"];
    assert_eq!(contenders(&tests[0]), [&all[..], &["ceiling, one copy", "ceiling, no copy"]].concat());
    let cpus: Vec<_> = tests.iter().map(|test| test["cpus"].as_u64().unwrap()).collect();
    assert_eq!(cpus, [2, 2, 1, 1]);
}

#[test]
fn several_flows_without_offloads_and_a_chart() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench.svg");
    let words = ["tap", "--flows", "3", "--no-offload", "--way", "send", "--svg", file.to_str().unwrap()];
    let Some(tests) = tests(&words) else { return };
    assert_eq!(names(&tests), ["TCP send, 3 flows, no offloads"]);
    assert!(!contenders(&tests[0]).contains(&"ceiling, no copy"), "it speaks for one connection");
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("kernel over veth"), "{svg}");
}

#[test]
fn requests_and_connections_have_each_kind_of_server() {
    for (command, unit) in [("rr", "requests/s"), ("connect", "conns/s")] {
        let Some(tests) = tests(&[command]) else { return };
        assert_eq!(tests.len(), 2, "one processor and two");
        assert!(tests.iter().all(|test| test["unit"] == unit));
        assert_eq!((contenders(&tests[0]).len(), contenders(&tests[1]).len()), (8, 7), "busy needs its own");
    }
}

#[test]
fn datagrams_go_both_ways() {
    let Some(tests) = tests(&["udp", "--size", "64"]) else { return };
    assert_eq!(names(&tests), ["UDP send, 64 bytes", "UDP receive, 64 bytes"]);
    assert_eq!(contenders(&tests[0]), ["ustack, merged", "ustack, single", "bare loop", "kernel over veth"]);
}

#[test]
fn two_queues_stand_beside_one() {
    let Some(tests) = tests(&["queues", "--size", "64", "--flows", "8"]) else { return };
    assert_eq!(names(&tests), ["8 flows of 64 bytes"]);
    assert_eq!(contenders(&tests[0]), ["ustack, 2 queues", "ustack, 1 queue"]);
    assert!(tests[0]["ratios"][0]["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0));
}

#[test]
fn the_core_needs_no_privilege() {
    let core = tests(&["core"]).unwrap();
    assert_eq!(contenders(&core[0]), ["ustack", "smoltcp"]);
    let idle = tests(&["idle", "--most", "10000"]).unwrap();
    assert_eq!(names(&idle), ["memory of an idle connection", "one flow beside idle connections"]);
    assert_eq!(
        contenders(&idle[1]),
        ["none idle", "10,000 idle", "smoltcp, none idle", "smoltcp, 1,000 idle"]
    );
}
