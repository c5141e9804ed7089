//! The demonstrations as a person runs them: what they tell agrees with what the wire was told to do.

use std::process::{Command, Output};

use serde_json::Value;
use ustack::capture::Reader;

const TOPICS: [&str; 3] = ["ordering", "retransmission", "connectionless"];

/// Links from kind to cruel, in the words that are typed.
const LINKS: [&str; 8] = [
    "",
    "--loss 0% --reorder 0% --duplicate 0%",
    "--loss 25%",
    "--reorder 50% --duplicate 40%",
    "--corrupt 15%",
    "--delay 8ms --jitter 7ms",
    "--rate 200kbit --limit 6",
    "--loss 10% --reorder 20% --duplicate 20% --corrupt 5% --jitter 3ms --rate 2mbit",
];

fn ustack(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
    command.args(words.split_whitespace()).env_remove("NO_COLOR").output().expect("ustack runs")
}

fn text(words: &str) -> String {
    let Output { status, stdout, stderr } = ustack(words);
    assert!(status.success(), "ustack {words}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// The one document that `--json` prints.
fn document(words: &str) -> Value {
    let Output { status, stdout, stderr } = ustack(&format!("{words} --json"));
    let document: Value = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("ustack {words}: {error}: {}", String::from_utf8_lossy(&stderr)));
    assert!(status.success(), "ustack {words}: {:#}", document["demos"][0]["verdict"]);
    document
}

fn demo(words: &str) -> Value {
    document(words)["demos"][0].take()
}

fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value.as_array().unwrap_or_else(|| panic!("{what} is no list"))
}

fn frames(demo: &Value) -> Vec<&Value> {
    list(&demo["parts"], "parts").iter().flat_map(|part| list(&part["frames"], "frames")).collect()
}

fn numbers(value: &Value) -> Vec<u64> {
    list(value, "numbers").iter().map(|number| number.as_u64().expect("a number")).collect()
}

/// How many of these fates have one of those words.
fn count(fates: &[&str], words: &[&str]) -> u64 {
    let has = |fate: &str| fate.split("; ").any(|part| words.contains(&part.split(' ').next().unwrap_or("")));
    fates.iter().filter(|fate| has(fate)).count() as u64
}

/// Whatever the wire does: the verdict holds, and the frames that are shown had the fates that are listed.
#[test]
fn the_counts_are_those_of_the_fates() {
    for topic in TOPICS {
        for link in LINKS {
            for seed in 1..=6 {
                check_counts(&format!("demo {topic} {link} --seed {seed}"));
            }
        }
    }
}

fn check_counts(words: &str) {
    let demo = demo(words);
    assert_eq!(demo["holds"], true, "{words}");
    let wire = &demo["wire"];
    let entries = list(&wire["fates"], "fates").iter().map(|entry| entry.as_str().unwrap());
    let listed: Vec<_> =
        entries.map(|entry| entry.split_once(": ").expect("frame N of A->B: FATE").1).collect();
    let shown: Vec<_> = frames(&demo).into_iter().map(|frame| frame["fate"].as_str().unwrap()).collect();
    let kinds: [(&str, &[&str]); 4] = [
        ("lost", &["drop", "overflow"]),
        ("reordered", &["reorder"]),
        ("duplicated", &["duplicate"]),
        ("corrupted", &["corrupt"]),
    ];
    for (kind, fate) in kinds {
        let told = wire["shown"][kind].as_u64().unwrap();
        assert_eq!(told, count(&shown, fate), "{words}: {kind} among the frames");
        assert_eq!(told, count(&listed, fate), "{words}: {kind} among the fates");
        assert_eq!(wire["counted"][kind], told, "{words}: {kind} as the wire counts");
    }
    assert_eq!(wire["shown"]["frames"], shown.len() as u64, "{words}");
}

#[test]
fn tcp_reads_in_order_and_udp_as_it_comes() {
    let mut overtaken = 0;
    for seed in 1..=10 {
        let demo = demo(&format!("demo ordering -n 40 --reorder 30% --duplicate 10% --seed {seed}"));
        let details = &demo["details"];
        assert_eq!(numbers(&details["tcp"]["read"]), (1..=40).collect::<Vec<_>>());
        let udp = numbers(&details["udp"]["read"]);
        assert_eq!(udp, numbers(&details["udp"]["arrived"]));
        overtaken += udp.windows(2).filter(|pair| pair[1] < pair[0]).count();
        // The same from the frames alone: when each datagram arrived, and its copy.
        let mut arrivals: Vec<(u64, u64)> = list(&demo["parts"][1]["frames"], "frames")
            .iter()
            .filter_map(|frame| Some((frame["what"].as_str()?.strip_prefix('#')?.parse().ok()?, frame)))
            .flat_map(|(number, frame)| {
                numbers(&frame["arrived_us"]).into_iter().map(move |time| (time, number))
            })
            .collect();
        arrivals.sort_by_key(|(time, _)| *time);
        assert_eq!(udp, arrivals.into_iter().map(|(_, number)| number).collect::<Vec<_>>());
    }
    assert!(overtaken > 20, "{overtaken} were overtaken");
}

fn noticed(demo: &Value) -> Vec<&str> {
    list(&demo["details"]["losses"], "losses")
        .iter()
        .map(|loss| loss["noticed_by"].as_str().unwrap())
        .collect()
}

#[test]
fn with_sack_the_timer_is_not_needed() {
    let demo = demo("demo retransmission");
    assert_eq!(noticed(&demo), ["SACK", "SACK"]);
    assert_eq!(demo["details"]["timeouts"], 0);
}

#[test]
fn a_loss_is_noticed_by_duplicates_or_by_the_timer() {
    let demo = demo("demo retransmission --no-sack --loss 15% --seed 19");
    assert_eq!(noticed(&demo), ["duplicate ACKs", "timer"]);
    let [by_acks, by_timer] = list(&demo["details"]["losses"], "losses") else { panic!("two losses") };
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    let is_reduced = |loss| number(loss, "cwnd_after") < number(loss, "cwnd_before");
    assert!(is_reduced(by_acks) && is_reduced(by_timer));
    // RFC 6298 section 5.5: the timer backs off. A fast retransmit leaves it alone.
    assert_eq!(number(by_timer, "rto_us_after"), 2 * number(by_timer, "rto_us_before"));
    assert_eq!(number(by_acks, "rto_us_after"), number(by_acks, "rto_us_before"));
    assert!(number(by_timer, "resent_after_us") >= number(by_timer, "rto_us_before"));
    assert!(number(by_acks, "resent_after_us") < number(by_acks, "rto_us_before"));
    // RFC 5681 section 3.1: the loss window is one segment.
    assert_eq!(number(by_timer, "cwnd_after"), number(&demo["details"], "message_bytes"));
}

#[test]
fn without_sack_duplicate_acks_tell() {
    let demo = demo("demo retransmission --no-sack");
    assert_eq!(noticed(&demo)[0], "duplicate ACKs");
    assert_eq!(demo["details"]["losses"][0]["because"], "3 in a row reach no further than #7");
    let sacks = frames(&demo).into_iter().filter(|frame| frame["what"].as_str().unwrap().contains("sack"));
    assert_eq!(sacks.count(), 0);
}

#[test]
fn the_last_segment_is_noticed_by_a_probe_or_by_the_timer() {
    // One message: nothing comes behind it that could tell.
    let is_lost = |seed: &u32| {
        let demo = demo(&format!("demo retransmission -n 1 --loss 40% --seed {seed}"));
        let losses = noticed(&demo);
        assert!(losses.iter().all(|by| ["probe", "timer"].contains(by)), "seed {seed}: {losses:?}");
        !losses.is_empty()
    };
    assert!((1..=20).filter(is_lost).count() > 3);
}

#[test]
fn nobody_answers_for_a_closed_port_but_icmp() {
    let text = text("demo connectionless --loss 0%");
    let expected = "\
A datagram to a port where nobody is
        ms  client                              server
     0.000  │── \"anyone?\" ──────────────────────────▶│  datagram · port 7009 is closed
    10.000  │◀───────────── ICMP: port unreachable ──│  unreachable · connection refused
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("None is missing"), "{text}");
    assert!(text.contains("3 got an answer"), "{text}");
}

#[test]
fn the_same_seed_shows_the_same() {
    for topic in TOPICS {
        let once = text(&format!("demo {topic} --seed 3 --loss 5%"));
        assert_eq!(once, text(&format!("demo {topic} --seed 3 --loss 5%")));
        assert_ne!(once, text(&format!("demo {topic} --seed 4 --loss 5%")));
        let repeat =
            once.lines().last().and_then(|line| line.strip_prefix("The same again: ustack ")).unwrap();
        assert_eq!(once, text(repeat));
    }
}

#[test]
fn all_three_are_shown_without_an_argument() {
    let text = text("demo");
    for topic in TOPICS {
        assert!(text.contains(&topic.to_uppercase()), "{topic}");
        assert!(text.contains(&format!("The same again: ustack demo {topic} --seed")), "{topic}");
    }
    assert_eq!(text.matches("Verdict").count(), 3);
    assert_eq!(list(&document("demo")["demos"], "demos").len(), 3);
}

#[test]
fn lines_fit_and_a_pipe_gets_no_colours() {
    let cruel = "--loss 15% --reorder 30% --duplicate 30% --corrupt 10% --jitter 3ms";
    for topic in ["", "ordering", "retransmission", "connectionless"] {
        for words in [format!("demo {topic}"), format!("demo {topic} --seed 9 {cruel}")] {
            let text = text(&words);
            assert!(!text.contains('\x1b'));
            for line in text.lines() {
                let columns = line.chars().count();
                assert!(
                    columns <= 100 || line.contains("The same again"),
                    "{words}: {columns} columns: {line}"
                );
                assert_eq!(line, line.trim_end(), "{words}: blanks at the end");
            }
        }
    }
}

#[test]
fn a_capture_holds_every_frame_with_why_and_fate() {
    let path = std::env::temp_dir().join(format!("ustack-demo-{}.pcapng", std::process::id()));
    let document = document(&format!("demo --seed 5 --capture {}", path.display()));
    let total = |kind: &str| {
        let demos = list(&document["demos"], "demos").iter();
        demos.map(|demo| demo["wire"]["shown"][kind].as_u64().unwrap()).sum::<u64>()
    };
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let (mut packets, mut dropped, mut last) = (0, 0, None);
    while let Some(packet) = reader.next_packet().unwrap() {
        let comment = packet.comment.unwrap_or_default();
        assert!(comment.starts_with("why="), "{comment}");
        dropped += u64::from(comment.contains("fate=drop"));
        assert!(last <= Some(packet.time), "time goes on");
        last = Some(packet.time);
        packets += 1;
    }
    assert_eq!((packets, dropped), (total("frames"), total("lost")));
    assert!(dropped > 0);
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for words in [
        "demo disorder",
        "demo ordering --messages 0",
        "demo ordering --loss much",
        "demo --reorder 10% --delay 0ms",
        "demo --capture /nowhere/at/all.pcapng",
    ] {
        let Output { status, stdout, stderr } = ustack(words);
        assert_eq!(status.code(), Some(2), "{words}: {}", String::from_utf8_lossy(&stderr));
        assert!(stdout.is_empty() && !stderr.is_empty(), "{words}");
    }
}

/// The kernel keeps to the same rules. Needs a namespace; where there is none, the status says so.
#[test]
fn the_kernel_at_the_other_end_does_the_same() {
    for topic in TOPICS {
        let output = ustack(&format!("demo {topic} --tap --json --delay 2ms"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(3) {
            assert!(std::env::var_os("CI").is_none(), "{stderr}");
            eprintln!("skipped: {stderr}");
            return;
        }
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        assert!(output.status.success(), "{topic}: {:#}", document["demos"][0]["verdict"]);
        assert_eq!(document["demos"][0]["far_end"], "kernel");
    }
}
