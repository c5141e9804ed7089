//! The captures of `pcaps/` are what its README says: small, clean, and of the bytes that a test can compute.

use std::path::{Path, PathBuf};

use ustack_tests::kernel::{Need, ready};
use ustack_tests::pattern::pattern;
use ustack_tests::process::{run, tool};
use ustack_tests::tshark::{DSACK, FLOW_CONTROL, LOSS, RESET, assert_clean_under_tshark};
use ustack_tests::wait::SOON;

/// A TCP capture: its name, the bytes of client and server, and what tshark is allowed to say.
type Conversation = (&'static str, usize, usize, &'static [&'static [&'static str]]);

const CONVERSATIONS: &[Conversation] = &[
    ("tcp4-abort", 200, 600, &[RESET]),
    ("tcp4-client-closes-first", 200, 600, &[]),
    ("tcp4-half-close", 3_000, 20_000, &[]),
    ("tcp4-loss-receiver", 100, 131_072, &[LOSS]),
    ("tcp4-loss-sender", 100, 131_072, &[LOSS]),
    ("tcp4-plain-receiver", 131_072, 0, &[LOSS]),
    ("tcp4-refused", 0, 0, &[RESET]),
    ("tcp4-reorder-receiver", 100, 131_072, &[LOSS, FLOW_CONTROL, DSACK, RESET]),
    ("tcp4-reorder-sender", 100, 131_072, &[LOSS, FLOW_CONTROL, DSACK, RESET]),
    ("tcp4-server-closes-first", 200, 600, &[]),
    ("tcp4-simultaneous-close", 200, 600, &[]),
    ("tcp4-simultaneous-open", 200, 600, &[LOSS, DSACK]),
    ("tcp4-zero-window", 49_152, 0, &[LOSS, FLOW_CONTROL, DSACK]),
    ("tcp6-client-closes-first", 200, 600, &[]),
    ("tcp6-loss-receiver", 131_072, 0, &[LOSS]),
    ("tcp6-refused", 0, 0, &[RESET]),
];

/// A UDP capture and the sizes of the client's datagrams; true if each is answered by one of the same size.
const EXCHANGES: &[(&str, &[usize], bool)] = &[
    ("udp4-exchange", &[1, 20, 512, 1_452, 0], true),
    ("udp4-fragments", &[8_000, 3_001], true),
    ("udp4-port-unreachable", &[64], false),
    ("udp6-exchange", &[1, 20, 512, 1_452, 0], true),
    ("udp6-fragments", &[8_000, 3_001], true),
    ("udp6-port-unreachable", &[64], false),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps")
}

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.pcap"))
}

/// What tshark prints of a capture when asked with these words, as lines.
fn tshark(name: &str, words: &[&str]) -> Vec<String> {
    let done = run(tool("tshark").arg("-r").arg(file(name)).args(words), SOON * 3).success();
    done.text().lines().map(str::to_owned).collect()
}

#[test]
fn the_folder_is_small_and_every_capture_is_listed() {
    let mut total = 0;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the folder is there") {
        let entry = entry.expect("it can be read");
        let size = entry.metadata().expect("it can be read").len();
        let name = entry.file_name().into_string().expect("names are text");
        total += size;
        if let Some(name) = name.strip_suffix(".pcap") {
            assert!(size < 300_000, "{name} has {size} bytes");
            names.push(name.to_owned());
        }
    }
    assert!(total < 3_000_000, "the folder has {total} bytes");
    names.sort();
    let mut listed: Vec<&str> =
        CONVERSATIONS.iter().map(|it| it.0).chain(EXCHANGES.iter().map(|it| it.0)).collect();
    listed.sort_unstable();
    assert_eq!(names, listed);
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("the README is there");
    for name in listed {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not explain {name}");
    }
}

#[test]
fn tshark_finds_only_what_each_capture_is_there_to_show() {
    if !ready(&[Need::Tool("tshark")]) {
        return;
    }
    for (name, _, _, allowed) in CONVERSATIONS {
        assert_clean_under_tshark(&file(name), &allowed.concat());
    }
    for (name, ..) in EXCHANGES {
        assert_clean_under_tshark(&file(name), &[]);
    }
}

#[test]
fn the_streams_are_the_patterns() {
    if !ready(&[Need::Tool("tshark")]) {
        return;
    }
    for (name, from_client, from_server, _) in CONVERSATIONS {
        // One line a segment in stream order; the server's are indented by a tab.
        let lines = tshark(name, &["-q", "-z", "follow,tcp,raw,0"]);
        let stream = |of_server: bool| {
            let ours = lines.iter().filter(|line| line.starts_with('\t') == of_server);
            unhex(&ours.map(|line| line.trim()).filter(|line| is_hex(line)).collect::<String>())
        };
        let (client, server) = (stream(false), stream(true));
        assert!(client == pattern(1, *from_client), "{name}: the client's {} bytes are others", client.len());
        assert!(server == pattern(2, *from_server), "{name}: the server's {} bytes are others", server.len());
    }
}

#[test]
fn the_datagrams_are_the_patterns() {
    if !ready(&[Need::Tool("tshark")]) {
        return;
    }
    for (name, sizes, answered) in EXCHANGES {
        // The datagram that an ICMP error quotes is not one that was sent.
        let words =
            ["-Y", "udp && !icmp && !icmpv6", "-T", "fields", "-e", "udp.srcport", "-e", "udp.payload"];
        let got: Vec<(String, Vec<u8>)> = tshark(name, &words)
            .iter()
            .map(|line| line.split_once('\t').unwrap_or((line.as_str(), "")))
            .map(|(port, payload)| (port.to_owned(), unhex(payload)))
            .collect();
        let mut expected = Vec::new();
        for size in *sizes {
            expected.push(("40000".to_owned(), pattern(1, *size)));
            if *answered {
                expected.push(("50000".to_owned(), pattern(2, *size)));
            }
        }
        assert!(got == expected, "{name}: other datagrams");
    }
}

fn is_hex(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("tshark prints hex digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}
