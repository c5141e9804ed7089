//! Subcommands that talk to each other over a hub: what needs no privilege runs everywhere.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

/// A hub of its own for a test, gone afterwards.
struct Hub(PathBuf);

/// A ustack that runs, killed if the test gives up.
struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<String>>,
}

impl Hub {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ustack-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn ustack(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
        command.args(&arguments[..1]).arg("--hub").arg(&self.0).args(&arguments[1..]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a ustack, and waits until it says `ready` on stderr.
    fn start(&self, arguments: &[&str], ready: &str) -> Running {
        let mut child = self.ustack(arguments).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(ready) {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended before `{ready}`: {said}");
        }
        let rest = std::thread::spawn(move || {
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        Running { child, stdout: Some(stdout), stderr: Some(rest) }
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.ustack(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Who ends early does not read all of it.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Running {
    /// Waits for its end; status, stdout, stderr.
    fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap().code();
        (status, self.stdout.take().unwrap().join().unwrap(), self.stderr.take().unwrap().join().unwrap())
    }

    fn interrupt(&self) {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn two_of_them_talk_in_both_directions() {
    let hub = Hub::new("talk");
    let mut listener = hub.start(&["listen", "5000"], "listening");
    listener.child.stdin.take().unwrap().write_all(b"from the listener\n").unwrap();
    let connector = hub.run(&["connect", "10.9.0.2", "5000"], b"from the connector\n");
    assert_eq!(text(&connector.stdout), "from the listener\n");
    assert_eq!(connector.status.code(), Some(0));
    let (status, stdout, stderr) = listener.end();
    assert_eq!((status, text(&stdout).as_str()), (Some(0), "from the connector\n"), "{stderr}");
    assert!(stderr.contains("18 bytes sent, 19 received"), "{stderr}");
    assert!(!hub.0.exists(), "nothing is left behind");
}

#[test]
fn whoever_detects_duplicates_connects_when_the_address_is_ready() {
    let hub = Hub::new("ready");
    let host = hub.start(&["host", "--echo"], "echo");
    let connector = hub.run(&["connect", "--detect-duplicates", "10.9.0.2", "7"], b"hello\n");
    let said = text(&connector.stderr);
    assert_eq!((text(&connector.stdout).as_str(), connector.status.code()), ("hello\n", Some(0)), "{said}");
    assert!(said.contains("asking whether another host has 10.9.0.3"), "{said}");
    host.interrupt();
    assert_eq!(host.end().0, Some(0));
}

#[test]
fn an_address_that_another_host_has_is_refused_or_told_of() {
    let hub = Hub::new("conflict");
    let address = ["--address", "10.9.0.2/24"];
    let host = hub.start(&[&["host", "--echo", "--mac", "02:00:00:00:00:01"], &address[..]].concat(), "echo");
    let careful = ["connect", "--mac", "02:00:00:00:00:02", "--detect-duplicates", "10.9.0.1", "7"];
    let careful = hub.run(&[&careful, &address[..]].concat(), b"");
    let said = text(&careful.stderr);
    assert_eq!(careful.status.code(), Some(1), "{said}");
    assert!(
        said.contains("10.9.0.2 belongs to another host: choose one that is free, by --address"),
        "{said}"
    );
    // Who does not look takes it all the same, and both are told.
    let careless = ["host", "--mac", "02:00:00:00:00:03"];
    let careless = hub.start(&[&careless, &address[..]].concat(), "uses 10.9.0.2 too");
    careless.interrupt();
    careless.end();
    host.interrupt();
    let said = host.end().2;
    assert!(said.contains("another host (02:00:00:00:00:03) uses 10.9.0.2 too"), "{said}");
}

#[test]
fn a_host_shows_its_connections_and_counters() {
    let hub = Hub::new("stats");
    let host = hub.start(&["host", "--echo", "--stats", "--json"], "echo on port 7");
    let echoed = hub.run(&["connect", "10.9.0.2", "7"], b"hello");
    assert_eq!(text(&echoed.stdout), "hello");
    host.interrupt();
    let (status, stdout, stderr) = host.end();
    assert_eq!(status, Some(0), "{stderr}");
    let document: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(document["stats"]["Tcp"]["PassiveOpens"], 1, "{document:#}");
    assert_eq!(document["stats"]["Tcp"]["CurrEstab"], 0);
    assert!(document["stats"]["Ip"]["InReceives"].as_u64().unwrap() >= 4);
    assert!(document["connections"].is_array());
}

#[test]
fn what_both_ends_decide_is_written_down() {
    let hub = Hub::new("events");
    let file = |name: &str| std::env::temp_dir().join(format!("ustack-{name}-{}.jsonl", std::process::id()));
    let (ours, theirs) = (file("ours"), file("theirs"));
    let [at_ours, at_theirs] = [&ours, &theirs].map(|path| path.to_str().unwrap());
    let listener = hub.start(&["listen", "--no-input", "5000", "--events", at_theirs], "listening");
    hub.run(&["connect", "10.9.0.2", "5000", "--events", at_ours], &[7; 100_000]);
    let (status, _, stderr) = listener.end();
    assert_eq!(status, Some(0), "{stderr}");
    for path in [&ours, &theirs] {
        let text = fs::read_to_string(path).unwrap();
        fs::remove_file(path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for word in ["state", "congestion", "cwnd"] {
            assert!(lines.iter().any(|line| line["event"] == word), "no {word} in {}", path.display());
        }
    }
}

#[test]
fn a_file_arrives_whole_on_a_bad_wire() {
    let hub = Hub::new("file");
    let file: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_be_bytes()).collect();
    let listener = hub.start(&["listen", "--no-input", "5000"], "listening");
    let bad = [
        "connect",
        "--loss",
        "2%",
        "--duplicate",
        "2%",
        "--reorder",
        "10%",
        "--delay",
        "1ms",
        "10.9.0.2",
        "5000",
    ];
    let connector = hub.run(&bad, &file);
    assert_eq!(connector.status.code(), Some(0), "{}", text(&connector.stderr));
    let (status, stdout, stderr) = listener.end();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout == file, "{} of {} bytes", stdout.len(), file.len());
}

#[test]
fn a_closed_port_is_refused() {
    let hub = Hub::new("refused");
    let host = hub.start(&["host", "--echo"], "echo on port 7");
    let connector = hub.run(&["connect", "10.9.0.2", "9"], b"");
    assert_eq!(connector.status.code(), Some(1));
    assert!(text(&connector.stderr).contains("cannot connect to 10.9.0.2:9: connection refused"));
    let scan = hub.run(&["connect", "--scan", "10.9.0.2", "6-8"], b"");
    assert_eq!((scan.status.code(), text(&scan.stdout).as_str()), (Some(0), "10.9.0.2 7/tcp open\n"));
    host.interrupt();
    let (status, _, stderr) = host.end();
    assert_eq!(status, Some(0));
    assert!(stderr.contains("served 1 connections"), "{stderr}");
}

#[test]
fn services_answer_over_tcp_and_udp_and_both_families() {
    let hub = Hub::new("services");
    let host = hub.start(&["host", "--echo", "--daytime", "--chargen"], "on port");
    let echoed = hub.run(&["connect", "fd09::2", "7"], b"over IPv6");
    assert_eq!(text(&echoed.stdout), "over IPv6");
    let echoed = hub.run(&["connect", "--udp", "10.9.0.2", "7"], b"a datagram");
    assert_eq!(text(&echoed.stdout), "a datagram");
    let daytime = hub.run(&["connect", "10.9.0.2", "13"], b"");
    assert!(text(&daytime.stdout).ends_with(" GMT\r\n"), "{}", text(&daytime.stderr));
    let ping = hub.run(&["ping", "--count", "2", "--interval", "10ms", "--json", "fd09::2"], b"");
    assert_eq!(ping.status.code(), Some(0));
    assert!(text(&ping.stdout).contains("\"received\": 2"), "{}", text(&ping.stdout));
    host.interrupt();
    assert_eq!(host.end().0, Some(0));
}

#[test]
fn a_capture_tells_why_each_packet_was_sent() {
    let hub = Hub::new("capture");
    let host = hub.start(&["host", "--echo"], "echo on port 7");
    let capture = std::env::temp_dir().join(format!("ustack-capture-{}.pcapng", std::process::id()));
    let path = capture.to_str().unwrap();
    let connector = hub.run(&["connect", "--capture", path, "--seed", "7", "10.9.0.2", "7"], b"hello");
    assert!(text(&connector.stderr).contains("seed 7; again: ustack connect --hub"));
    host.interrupt();
    host.end();
    let decoded = Command::new(env!("CARGO_BIN_EXE_ustack")).args(["decode", path]).output().unwrap();
    let _ = fs::remove_file(&capture);
    let decoded = text(&decoded.stdout);
    for expected in ["why=syn", "why=new-data", "-> 10.9.0.2:7", "closed, handshake"] {
        assert!(decoded.contains(expected), "{expected} in {decoded}");
    }
}

#[test]
fn many_clients_are_served_at_the_same_time() {
    let hub = Hub::new("many");
    let listener = hub.start(&["listen", "--keep-open", "5000"], "listening");
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut child = hub.ustack(&["connect", "10.9.0.2", "5000"]).spawn().unwrap();
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut said = String::new();
            while !said.contains("connected to") {
                assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
            }
            (child, stderr)
        })
        .collect();
    for (mut child, _stderr) in clients {
        child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }
    listener.interrupt();
    let (status, stdout, _) = listener.end();
    assert_eq!((status, text(&stdout).as_str()), (Some(0), "hello\nhello\nhello\n"));
}

#[test]
fn what_is_typed_goes_to_all_who_have_sent_datagrams() {
    let hub = Hub::new("announce");
    let mut listener = hub.start(&["listen", "--udp", "--keep-open", "5000"], "listening");
    let mut clients: Vec<_> = ["10.9.0.2", "fd09::2"]
        .map(|address| hub.ustack(&["connect", "--udp", address, "5000"]).spawn().unwrap())
        .into_iter()
        .collect();
    for client in &mut clients {
        client.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    }
    // Who has not been heard of yet is told nothing: so something is typed until both have got it.
    let mut heard: Vec<_> =
        clients.iter_mut().map(|client| BufReader::new(client.stdout.take().unwrap())).collect();
    let typing = std::thread::spawn({
        let mut stdin = listener.child.stdin.take().unwrap();
        move || {
            while stdin.write_all(b"to all\n").is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        }
    });
    for heard in &mut heard {
        let mut line = String::new();
        heard.read_line(&mut line).unwrap();
        assert_eq!(line, "to all\n");
    }
    listener.interrupt();
    let (status, stdout, _) = listener.end();
    assert_eq!((status, text(&stdout).as_str()), (Some(0), "hello\nhello\n"));
    typing.join().unwrap();
    for mut client in clients {
        let _ = client.kill();
        let _ = client.wait();
    }
}

#[test]
fn a_listener_for_ipv6_alone_takes_nothing_else() {
    let hub = Hub::new("only-v6");
    for udp in [None, Some("--udp")] {
        let words = |rest: &[&'static str]| rest.iter().copied().chain(udp).collect::<Vec<_>>();
        let listener = hub.start(&words(&["listen", "-6", "--keep-open", "5000"]), "listening");
        let refused = hub.run(&words(&["connect", "10.9.0.2", "5000"]), b"over IPv4\n");
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("refused"), "{}", text(&refused.stderr));
        let taken = hub.run(&words(&["connect", "fd09::2", "5000"]), b"over IPv6\n");
        assert_eq!(taken.status.code(), Some(0), "{}", text(&taken.stderr));
        listener.interrupt();
        let (status, stdout, _) = listener.end();
        assert_eq!((status, text(&stdout).as_str()), (Some(0), "over IPv6\n"));
    }
}

#[test]
fn a_pipe_that_nobody_reads_any_more_is_no_error() {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../pcaps/tcp4-loss-sender.pcap");
    let mut decode = Command::new(env!("CARGO_BIN_EXE_ustack"));
    let mut child =
        decode.args(["decode", capture]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
