//! `--events`: each line is an object, the same for the same seed, and tells what connections decided.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file of a test's own, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("ustack-{name}-{}.jsonl", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn workspace(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

/// Runs `ustack WORDS --events FILE`; the lines of the file, each an object with what all have.
fn events(name: &str, words: &[&str], status: i32) -> Vec<Value> {
    let file = Scratch::new(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
    let output = command.args(words).arg("--events").arg(&file.0).output().expect("ustack runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains("decisions in"), "{said}");
    parse(&std::fs::read_to_string(&file.0).expect("it was written"))
}

fn parse(text: &str) -> Vec<Value> {
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        assert!(line["t_us"].is_u64(), "{line}");
        for name in ["local", "remote"] {
            let address = line[name].as_str().unwrap_or_default();
            assert!(address.parse::<std::net::SocketAddr>().is_ok(), "{line}");
        }
        let word = line["event"].as_str().unwrap_or_default();
        assert!(!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
    }
    lines
}

fn count(lines: &[Value], event: &str) -> usize {
    lines.iter().filter(|line| line["event"] == event).count()
}

#[test]
fn a_demonstration_tells_how_losses_were_noticed() {
    let words = ["demo", "retransmission", "--loss", "20%", "--seed", "9"];
    let lines = events("demo", &words, 0);
    assert!(count(&lines, "lost") > 0 && count(&lines, "rtt") > 0, "{} lines", lines.len());
    for host in ["client", "server"] {
        let of_host: Vec<_> = lines.iter().filter(|line| line["host"] == host).collect();
        assert!(!of_host.is_empty());
        assert!(of_host.is_sorted_by_key(|line| line["t_us"].as_u64()), "{host}'s come in the order of time");
    }
    assert_eq!(lines, events("demo-again", &words, 0), "the same seed decides the same");
}

#[test]
fn scripts_are_told_apart() {
    let words = [workspace("tests/scripts/close"), workspace("tests/scripts/retransmission")];
    let lines = events("scripts", &["run", &words[0], &words[1]], 0);
    let mut scripts: Vec<_> = lines.iter().map(|line| line["script"].as_str().expect("a name")).collect();
    scripts.dedup();
    assert!(scripts.len() > 5 && scripts.is_sorted(), "{scripts:?}");
    assert!(count(&lines, "rto_fired") > 0 && count(&lines, "state") > 0);
}

#[test]
fn a_replay_tells_what_our_side_decided() {
    let capture = workspace("pcaps/tcp4-loss-sender.pcap");
    let lines = events("replay", &["replay", &capture, "--as", "client"], 0);
    assert!(count(&lines, "cwnd") > 0 && count(&lines, "rto_armed") > 0, "{} lines", lines.len());
}

#[test]
fn a_stream_goes_to_stdout_if_asked() {
    let script = workspace("tests/scripts/handshake");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
    let output = command.args(["run", &script, "--events", "-"]).output().expect("ustack runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let (lines, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
    assert!(parse(&lines.join("\n")).len() > 10);
    assert!(rest.concat().contains("0 failed"), "{rest:?}");
}
