//! The kernel's side alone: two kernel peers and a capture between them do what the tests of the stack rely on.

use std::time::Duration;

use ustack_tests::kernel::{Need, Wire, ready};
use ustack_tests::peer::Peer;
use ustack_tests::tshark::{
    Capture, DSACK, FLOW_CONTROL, LOSS, Severity, assert_clean_under_tshark, findings,
};
use ustack_tests::wait::SOON;

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
const NEEDS: [Need; 4] =
    [Need::Namespaces, Need::Tool("ethtool"), Need::Tool("tcpdump"), Need::Tool("tshark")];

/// A listener on the right and a client on the left, both to their end; the client's and the listener's `done`.
#[track_caller]
fn converse(wire: &Wire, listener: &str, client: &str) {
    let server = Peer::listen(&wire.right, PEER, &format!("tcp-listen 10.9.0.2:7 {listener}"));
    let client = Peer::start(&wire.left, PEER, &format!("tcp-connect 10.9.0.2:7 {client}"));
    let (_, client) = client.finish(SOON);
    let (_, server) = server.finish(SOON);
    let _ = (client.success(), server.success());
}

#[test]
fn streams_pass_and_their_capture_is_clean() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    let capture = Capture::start(&wire.left, "eth0", "tcp");
    converse(&wire, "--do echo", "--do source --bytes 300000");
    converse(&wire, "--do sink", "--do source --bytes 1");
    converse(
        &wire,
        "--do answer --bytes 100000 --seed 2 --expect 1",
        "--do source --bytes 5000 --seed 1 --expect 2",
    );
    let capture = capture.stop();
    // Two processors may overtake each other on a veth, so that even these kernels see reordering.
    assert_clean_under_tshark(capture.path(), &[FLOW_CONTROL, LOSS, DSACK].concat());
}

#[test]
fn a_wrong_byte_is_reported() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    let mut server = Peer::listen(&wire.right, PEER, "tcp-listen [fd09::2]:7 --do sink --expect 2");
    let client = Peer::start(&wire.left, PEER, "tcp-connect [fd09::2]:7 --do source --bytes 100 --seed 1");
    let _ = client.finish(SOON).1.success();
    let report = server.wait("done", SOON);
    assert_eq!(report.value::<u64>("received"), 100);
    assert!(!report.is_right());
    assert!(!server.finish(SOON).1.status.success());
}

#[test]
fn two_hundred_connections_at_once() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    converse(&wire, "--do echo --connections 200 --expect 0", "--do source --bytes 0 --connections 200");
    converse(&wire, "--do sink --connections 200", "--do source --bytes 2000 --connections 200");
}

#[test]
fn an_abort_is_a_reset() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    let capture = Capture::start(&wire.right, "eth0", "tcp");
    let server = Peer::listen(&wire.right, PEER, "tcp-listen 10.9.0.2:7 --do abort --bytes 10");
    let mut client = Peer::start(&wire.left, PEER, "tcp-connect 10.9.0.2:7 --do source --bytes 10");
    assert_eq!(client.wait("failed", SOON).get("kind"), Some("ConnectionReset"));
    let _ = server.finish(SOON).1.success();
    let found = findings(capture.stop().path());
    assert!(
        found.iter().any(|it| it.severity == Severity::Warn && it.summary.starts_with("Connection reset"))
    );
}

#[test]
fn a_slow_reader_closes_the_window_until_it_may_go_on() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    let capture = Capture::start(&wire.left, "eth0", "tcp");
    let mut server = Peer::listen(&wire.right, PEER, "tcp-listen 10.9.0.2:7 --do slow --receive-buffer 4096");
    let client = Peer::start(&wire.left, PEER, "tcp-connect 10.9.0.2:7 --do source --bytes 100000");
    let _ = server.wait("connected", SOON);
    capture.wait_frame("tcp[14:2] = 0 and tcp[tcpflags] & (tcp-syn|tcp-rst) = 0", SOON);
    server.order("go");
    assert_eq!(server.wait("done", SOON).value::<u64>("received"), 100_000);
    let _ = (client.finish(SOON).1.success(), server.finish(SOON).1.success());
    let found = findings(capture.stop().path());
    assert!(found.iter().any(|it| it.summary.starts_with("TCP Zero Window")), "{found:?}");
}

#[test]
fn datagrams_pass_and_a_closed_port_refuses() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    for address in ["10.9.0.2:7", "[fd09::2]:7"] {
        let server = Peer::listen(&wire.right, PEER, &format!("udp-listen {address} --echo --datagrams 4"));
        let words = format!("udp-send {address} --sizes 0,1,1472,40000 --answered");
        let _ = Peer::start(&wire.left, PEER, &words).finish(SOON).1.success();
        let _ = server.finish(SOON).1.success();

        let words = format!("udp-send {address} --sizes 5 --answered");
        let mut refused = Peer::start(&wire.left, PEER, &words);
        assert_eq!(refused.wait("failed", Duration::from_secs(10)).get("kind"), Some("ConnectionRefused"));
    }
}
