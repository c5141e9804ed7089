//! Commands in private networks, as root and as an ordinary user, with a TAP and with a virtual wire.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, raise};
use ustack::device::namespace::exit_code;
use ustack::device::{Device, Guest, Namespace, Wire, interfaces, probe, wait};
use ustack_tests::device::{address, expect, send, udp_socket};
use ustack_tests::frames::{asks_for_neighbor, udp, udp_payload};
use ustack_tests::kernel::{Need, ready};
use ustack_tests::nobody::{am_nobody, run_as_nobody};
use ustack_tests::wait::{SOON, until};

/// Set for the command in the private network, which is this program again.
const INSIDE: &str = "USTACK_TEST_INSIDE";
/// How the command in the private network ends.
const CONTENT: i32 = 7;
const STACK: [u8; 6] = [2, 0, 0, 0, 0, 9];
const KERNEL: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn network() -> Namespace {
    Namespace::new("tap0").address("10.9.0.1/24").address("fd09::1/64").mac(KERNEL).mtu(1400)
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn refuse_or_start(network: Namespace, command: Command) -> Result<(Guest, Wire), String> {
    network.spawn(command).map_err(|error| error.to_string())
}

/// What the command does inside: it looks around, sends, and waits for the answer.
#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let seen: Vec<_> = interfaces().into_iter().map(|found| (found.name, found.up)).collect();
    assert_eq!(seen, [("lo".into(), true), ("tap0".into(), true)]);
    for (ours, stack) in [("10.9.0.1:5000", "10.9.0.2:6000"), ("[fd09::1]:5000", "[fd09::2]:6000")] {
        let socket = udp_socket(ours);
        socket.send_to(&vec![1; 1300], stack).expect("there is a route");
        if ours.starts_with('1') {
            let mut buffer = [0; 100];
            assert_eq!(socket.recv(&mut buffer).expect("it is answered"), 5);
        }
    }
    UdpSocket::bind("10.9.0.1:0").expect("we may").connect("192.0.2.1:9").expect("there is a default route");
    std::process::exit(CONTENT);
}

/// The stack's side: answers ARP and one datagram, and sees the neighbour solicitation.
fn converse(network: Namespace) -> Wire {
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command.args(["--exact", "inside", "--nocapture"]).env(INSIDE, "1").stdout(Stdio::null());
    let network = network.default_route("10.9.0.2".parse().expect("an address"));
    let (mut guest, mut wire) = network.spawn(command).expect("we may");
    assert_eq!(wire.capabilities().mtu, 1400);
    let asks_v4 = |frame: &[u8]| asks_for_neighbor(frame) && frame[12..14] == [8, 6];
    expect(&mut wire, |frame| asks_v4(frame.bytes).then_some(()));
    let mut reply = vec![0; 60];
    reply[..6].copy_from_slice(&KERNEL);
    reply[6..12].copy_from_slice(&STACK);
    reply[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    reply[22..28].copy_from_slice(&STACK);
    reply[28..32].copy_from_slice(&[10, 9, 0, 2]);
    reply[32..38].copy_from_slice(&KERNEL);
    reply[38..42].copy_from_slice(&[10, 9, 0, 1]);
    send(&mut wire, &reply);
    let sent = expect(&mut wire, |frame| udp_payload(frame.bytes, true, 6000));
    assert_eq!(sent, [1; 1300]);
    let (from, to) = (address("10.9.0.2:6000"), address("10.9.0.1:5000"));
    send(&mut wire, &udp((STACK, KERNEL), from, to, b"reply"));
    expect(&mut wire, |frame| {
        (frame.bytes[12..14] == [0x86, 0xdd] && asks_for_neighbor(frame.bytes)).then_some(())
    });
    assert_eq!(exit_code(guest.wait().expect("it is ours")), CONTENT);
    wire
}

#[test]
fn a_command_talks_to_us_over_a_tap() {
    if ready(&[Need::Namespaces, Need::Tun]) {
        assert!(matches!(converse(network()), Wire::Tap(_)));
    }
}

#[test]
fn a_command_talks_to_us_over_a_virtual_wire() {
    if ready(&[Need::Namespaces]) {
        assert!(matches!(converse(network().without_tap()), Wire::Packet(_)));
    }
}

#[test]
fn a_user_namespace_does_as_well() {
    if ready(&[Need::Namespaces]) && user_namespaces() {
        let _ = converse(network().user_namespace());
        let _ = converse(network().user_namespace().without_tap());
    }
}

fn user_namespaces() -> bool {
    let fact = probe().into_iter().find(|fact| fact.what == "user namespaces").expect("it is looked at");
    if !fact.ok {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "with CI=true nothing is skipped: {fact:?}");
        eprintln!("skipped: {}: {}", fact.what, fact.found);
    }
    fact.ok
}

#[test]
fn an_ordinary_user_needs_nothing() {
    if am_nobody() {
        let tun = probe().into_iter().find(|fact| fact.what == "TUN/TAP").expect("it is looked at");
        let wire = converse(network());
        assert_eq!(matches!(wire, Wire::Tap(_)), tun.ok);
        // The command is root in there, and nobody out here.
        let (mut guest, _wire) = refuse_or_start(network(), shell("test $(id -u) = 0")).expect("we may");
        assert!(guest.wait().expect("it is ours").success());
        return;
    }
    if !ready(&[Need::Namespaces, Need::Tool("setpriv")]) || !user_namespaces() {
        return;
    }
    run_as_nobody("an_ordinary_user_needs_nothing");
}

#[test]
fn the_end_of_the_command_is_told() {
    if !ready(&[Need::Namespaces]) {
        return;
    }
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        let (mut guest, _wire) = refuse_or_start(network(), shell(script)).expect("we may");
        if let Some(ended) = guest.as_fd() {
            assert_eq!(wait(&[ended], Some(SOON)).expect("it works"), 1);
            assert!(guest.try_wait().expect("it is ours").is_some());
        }
        assert_eq!(exit_code(guest.wait().expect("it is ours")), code, "{script}");
    }
}

#[test]
fn what_is_refused_is_explained() {
    if !ready(&[Need::Namespaces]) {
        return;
    }
    let missing = refuse_or_start(network(), Command::new("no-such-command")).expect_err("there is none");
    assert!(missing.contains("cannot run `no-such-command`: No such file"), "{missing}");
    for (network, words) in [
        (network().mtu(1000), ["fd09::1/64", "MTU below 1280"]),
        (network().address("10.9.0.1"), ["`10.9.0.1` is no address", "write 10.9.0.1/24"]),
        (
            network().default_route("192.0.2.1".parse().expect("an address")),
            ["192.0.2.1 on tap0", "network first"],
        ),
        (network().mtu(20).without_tap(), ["cannot", "argument"]),
        (network().mac([1, 0, 0, 0, 0, 1]), ["01:00:00:00:00:01", "02:"]),
    ] {
        let refusal = refuse_or_start(network, shell("exit 0")).expect_err("it makes no sense");
        assert!(words.iter().all(|word| refusal.contains(word)), "{refusal}");
    }
}

#[test]
fn signals_are_passed_on() {
    if !ready(&[Need::Namespaces]) {
        return;
    }
    let mut command = shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done");
    command.stdout(Stdio::piped());
    let (mut guest, _wire) = refuse_or_start(network().forward_signals(), command).expect("we may");
    let refusal = refuse_or_start(network().forward_signals(), shell("exit 0")).expect_err("one at a time");
    assert!(refusal.contains("another child"), "{refusal}");
    let mut line = String::new();
    let output = guest.child().stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("it speaks");
    raise(Signal::SIGTERM).expect("we may signal ourselves");
    assert_eq!(exit_code(guest.wait().expect("it is ours")), 9);
}

#[test]
fn nothing_is_left_behind() {
    if !ready(&[Need::Namespaces]) {
        return;
    }
    let before = interfaces();
    // The command, and somebody whom it leaves in the background.
    let mut command = shell("sleep 1000 >/dev/null 2>&1 & echo $!; sleep 1000");
    command.stdout(Stdio::piped());
    let (mut guest, wire) = refuse_or_start(network(), command).expect("we may");
    let mut line = String::new();
    BufReader::new(guest.child().stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("it speaks");
    let processes = [guest.id(), line.trim().parse().expect("a process number")];
    let running = |process: &u32| {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    assert!(processes.iter().all(running));
    drop(guest);
    until("all processes to end", SOON, || !processes.iter().any(running));
    drop(wire);
    assert_eq!(interfaces(), before);
}
