//! The captures of `pcaps/`, played at the stack in both roles: the bytes are those that were recorded, and the
//! segments differ only in what each stack decides for itself.

use std::path::{Path, PathBuf};

use ustack_tests::pattern::pattern;
use ustack_tools::replay::{Capture, Conversation, Difference, Error, Report, Role, replay};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(format!("{name}.pcap"))
}

fn conversation(name: &str) -> Conversation {
    Capture::open(file(name))
        .and_then(|capture| capture.choose(None))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Plays a capture in one role.
fn play(name: &str, role: Role) -> Report {
    replay(&conversation(name), role, 7).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Plays a capture in both roles; `unlike` are differences that this capture makes where we differ from Linux.
fn check(name: &str, unlike: &[Difference]) {
    for role in [Role::Client, Role::Server] {
        let report = play(name, role);
        assert!(report.bytes_are_equal(), "{name}\n{report}{}", rows(&report));
        assert_eq!(report.played, report.to_play, "{name}\n{report}");
        let strange: Vec<_> =
            report.differences().filter(|(kind, _)| !kind.is_tolerated() && !unlike.contains(kind)).collect();
        assert!(strange.is_empty(), "{name}: {strange:?}\n{report}{}", rows(&report));
        assert!(report.broken_rules.is_empty(), "{name}\n{report}");
    }
}

fn rows(report: &Report) -> String {
    let line = |row: &ustack_tools::replay::Row| {
        let text = |side: &Option<String>| side.clone().unwrap_or_default();
        format!("{:<60} | {:<60} {:?}\n", text(&row.recorded), text(&row.ours), row.differences)
    };
    report.rows.iter().map(line).collect()
}

macro_rules! replays {
    ($($test:ident: $name:literal $([$($unlike:ident),*])?;)*) => {
        $(#[test]
        fn $test() {
            check($name, &[$($(Difference::$unlike),*)?]);
        })*

        #[test]
        fn every_capture_is_replayed() {
            let mut names: Vec<String> = std::fs::read_dir(file("x").parent().expect("a folder"))
                .expect("the folder is there")
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".pcap").map(String::from))
                .collect();
            names.sort();
            let mut replayed = vec![$($name),*];
            replayed.sort_unstable();
            assert_eq!(names, replayed);
        }
    };
}

replays! {
    client_closes_first: "tcp4-client-closes-first";
    server_closes_first: "tcp4-server-closes-first";
    loss_at_the_receiver: "tcp4-loss-receiver";
    loss_at_the_sender: "tcp4-loss-sender";
    reordering_at_the_receiver: "tcp4-reorder-receiver";
    reordering_at_the_sender: "tcp4-reorder-sender";
    no_options_at_all: "tcp4-plain-receiver";
    zero_window: "tcp4-zero-window";
    half_close: "tcp4-half-close";
    abort: "tcp4-abort";
    refused: "tcp4-refused";
    simultaneous_close: "tcp4-simultaneous-close";
    simultaneous_open: "tcp4-simultaneous-open";
    client_closes_first_over_ipv6: "tcp6-client-closes-first";
    loss_over_ipv6: "tcp6-loss-receiver";
    refused_over_ipv6: "tcp6-refused";
    datagrams: "udp4-exchange";
    fragments: "udp4-fragments";
    port_unreachable: "udp4-port-unreachable";
    datagrams_over_ipv6: "udp6-exchange";
    fragments_over_ipv6: "udp6-fragments";
    port_unreachable_over_ipv6: "udp6-port-unreachable";
}

#[test]
fn a_run_can_be_repeated() {
    let text = |seed| {
        let report = replay(&conversation("tcp4-loss-receiver"), Role::Server, seed).unwrap();
        format!("{report}{}", rows(&report))
    };
    assert_eq!(text(3), text(3));
}

#[test]
fn where_nothing_is_lost_only_acknowledgments_differ() {
    for name in ["tcp4-client-closes-first", "tcp6-client-closes-first", "tcp4-server-closes-first"] {
        let report = play(name, Role::Client);
        let kinds: Vec<_> = report.differences().map(|(kind, _)| kind).collect();
        assert!(kinds.is_empty() || kinds == [Difference::AckTiming], "{report}{}", rows(&report));
    }
}

#[test]
fn what_arrives_is_what_was_recorded() {
    let mut bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    let answer = pattern(2, 600);
    let at = bytes.windows(600).position(|window| window == answer).expect("the answer is in the capture");
    bytes[at + 300] ^= 1;
    let conversation = Capture::read(&bytes[..]).unwrap().choose(None).unwrap();
    let report = replay(&conversation, Role::Client, 1).unwrap();
    assert!(report.bytes_are_equal(), "{report}");
    assert_eq!(report.received[0].ours, 600);
}

#[test]
fn a_capture_that_ends_in_the_middle_says_where() {
    let bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    let error = Capture::read(&bytes[..bytes.len() - 20]).unwrap().choose(None).unwrap_err();
    assert!(matches!(error, Error::Capture(_)), "{error}");
    assert!(
        error.to_string().contains("ends in the middle") && error.to_string().contains("packet 12"),
        "{error}"
    );
}

#[test]
fn what_is_no_capture_is_refused() {
    let error = Capture::read(&b"GET / HTTP/1.0\r\n\r\n"[..]).unwrap_err();
    assert!(error.to_string().contains("not a pcap or pcapng capture"), "{error}");
    let error = Capture::open("/nowhere/at.all").unwrap_err();
    assert!(matches!(error, Error::Open(_)), "{error}");
}

#[test]
fn an_unknown_link_type_is_named() {
    let mut bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    bytes[20..24].copy_from_slice(&127u32.to_le_bytes());
    let error = Capture::read(&bytes[..]).unwrap_err();
    assert!(error.to_string().contains("link type 127"), "{error}");
}

#[test]
fn without_a_conversation_there_is_nothing_to_replay() {
    // The header of a capture and the packets of ARP, which come first.
    let bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    let error = Capture::read(&bytes[..24 + 2 * (16 + 42)]).unwrap().choose(None).unwrap_err();
    assert!(matches!(error, Error::NoConversation { packets: 2 }), "{error}");
}

#[test]
fn of_several_conversations_one_is_chosen() {
    let mut bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    bytes.extend_from_slice(&std::fs::read(file("udp4-exchange")).unwrap()[24..]);
    let read = || Capture::read(&bytes[..]).unwrap();
    let error = read().choose(None).unwrap_err().to_string();
    assert!(error.starts_with("2 conversations"), "{error}");
    assert!(error.contains("1  TCP 10.9.1.1:40000 -> 10.9.1.2:50000, 10 packets"), "{error}");
    assert!(error.contains("2  UDP 10.9.1.1:40000 -> 10.9.1.2:50000"), "{error}");
    let error = read().choose(Some(3)).unwrap_err();
    assert!(matches!(error, Error::NoSuch { number: 3, .. }), "{error}");
    let report = replay(&read().choose(Some(2)).unwrap(), Role::Client, 1).unwrap();
    assert!(report.bytes_are_equal(), "{report}");
}

#[test]
fn a_conversation_without_its_beginning_is_refused() {
    let bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    // Without ARP and the three packets of the handshake.
    let head = 24 + 2 * (16 + 42) + 2 * (16 + 74) + (16 + 66);
    let late = [&bytes[..24], &bytes[head..]].concat();
    let conversation = Capture::read(&late[..]).unwrap().choose(None).unwrap();
    let error = replay(&conversation, Role::Server, 1).unwrap_err();
    assert!(matches!(error, Error::Midstream { side: "client" }), "{error}");
}

#[test]
fn bytes_that_the_capture_missed_are_named() {
    let bytes = std::fs::read(file("tcp4-client-closes-first")).unwrap();
    // Without the answer of the server, which is packet 8 and has 666 bytes.
    let lens = [42, 42, 74, 74, 66, 266, 66];
    let at = 24 + lens.iter().map(|len| 16 + len).sum::<usize>();
    let holed = [&bytes[..at], &bytes[at + 16 + 666..]].concat();
    let conversation = Capture::read(&holed[..]).unwrap().choose(None).unwrap();
    let error = replay(&conversation, Role::Client, 1).unwrap_err();
    assert!(matches!(error, Error::Missing { side: "server", from: 0, to: 600 }), "{error}");
}
