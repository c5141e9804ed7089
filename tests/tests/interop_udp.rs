//! Datagrams between the stack and the kernel, and the errors that come back.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ustack::blocking::UdpSocket;
use ustack_tests::app::Task;
use ustack_tests::host::{Host, KERNEL, STACK, at};
use ustack_tests::matrix::{bad, everywhere, good, on_each};
use ustack_tests::pattern::{Received, pattern};
use ustack_tests::peer::Peer;
use ustack_tests::process::tool;
use ustack_tests::tshark::RESET;
use ustack_tests::wait::{SOON, now, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
const SIZES: [usize; 8] = [0, 1, 512, 1_452, 1_472, 1_473, 9_000, 65_507];
/// How long to wait for an answer before one asks again.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(200);

/// A bound socket of the stack's that waits for a while.
fn bind(host: &Host, address: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(&host.net, at(address, port)).expect("the port is free");
    socket.set_read_timeout(Some(SOON)).expect("it is not zero");
    socket
}

/// Sends a datagram until its answer comes, which must be the same bytes.
#[track_caller]
fn ask(socket: &UdpSocket, datagram: &[u8]) {
    let deadline = now() + SOON;
    let mut answer = vec![0; 65_536];
    loop {
        assert_eq!(socket.send(datagram).expect("it is taken"), datagram.len());
        match socket.recv(&mut answer) {
            Ok(len) if answer[..len] == *datagram => return,
            // A late answer to an earlier one.
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        assert!(now() < deadline, "no answer to {} bytes", datagram.len());
    }
}

#[test]
fn the_kernel_echoes_datagrams_of_all_sizes() {
    everywhere(&[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let _server = Peer::listen(&host.kernel, PEER, &format!("udp-listen {} --echo", at(kernel, 8)));
            let socket = bind(host, stack, 0);
            socket.connect(at(kernel, 8)).expect("there is a route");
            socket.set_read_timeout(Some(if host.is_bad() { AGAIN } else { SOON })).expect("it is not zero");
            for size in SIZES {
                ask(&socket, &pattern(1, size));
            }
        }
    });
}

/// Sends datagrams back, which should be the pattern: so many, and on until `enough` says so. On a bad link the client
/// may have to ask for a long one many times.
fn echo(socket: UdpSocket, datagrams: usize, enough: Arc<AtomicBool>) -> Task<()> {
    Task::start("the stack's echo", move || {
        let mut buffer = vec![0; 65_536];
        let mut echoed = 0;
        let deadline = now() + SOON;
        while echoed < datagrams || !enough.load(Ordering::Relaxed) {
            let (len, from) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::TimedOut && now() < deadline => continue,
                Err(error) => panic!("{echoed} datagrams: {error}"),
            };
            let mut received = Received::new(1);
            received.push(&buffer[..len]);
            assert_eq!(received.wrong(), None, "{len} bytes from {from}");
            let _ = socket.send_to(&buffer[..len], from).expect("it is taken");
            echoed += 1;
        }
    })
}

#[test]
fn the_stack_echoes_datagrams_of_all_sizes() {
    everywhere(&[], &[], |host| {
        for stack in STACK {
            let socket = bind(host, stack, 7);
            socket.set_read_timeout(Some(if host.is_bad() { AGAIN } else { SOON })).expect("it is not zero");
            let enough = Arc::new(AtomicBool::new(!host.is_bad()));
            let server = echo(socket, SIZES.len(), enough.clone());
            let sizes = SIZES.map(|size| size.to_string()).join(",");
            // Where datagrams are lost, whoever gets no answer asks again.
            let again = if host.is_bad() { "--again" } else { "" };
            let words = format!("udp-send {} --sizes {sizes} --answered {again}", at(stack, 7));
            let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            let _ = client.success();
            let right = reports.iter().filter(|it| it.word() == "datagram" && it.is_right()).count();
            assert_eq!(right, SIZES.len());
            enough.store(true, Ordering::Relaxed);
            server.finish(SOON);
        }
    });
}

#[test]
fn most_datagrams_pass_a_bad_link_and_some_twice() {
    const SENT: usize = 200;
    on_each(&bad(), &["ping"], &["No response seen to ICMP"], |host| {
        for stack in STACK {
            // The kernel drops most of what waits for a neighbour's address.
            until("an echo", SOON, || {
                host.kernel.run(tool("ping").args(["-c", "1", "-W", "1", stack])).status.success()
            });
            let socket = bind(host, stack, 7);
            let words = format!("udp-send {} --sizes {}", at(stack, 7), vec!["1000"; SENT].join(","));
            let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
            // Within 2 % each, with room for luck; nothing repairs what is lost.
            echo(socket, SENT * 9 / 10, Arc::new(AtomicBool::new(true))).finish(SOON);
        }
    });
}

#[test]
fn a_closed_port_of_the_stack_is_unreachable() {
    everywhere(&[], &[], |host| {
        for stack in STACK {
            // On a bad link the datagram or its error may be lost: then another asks.
            until("the kernel to be refused", SOON, || {
                let words = format!("udp-send {} --sizes 5 --answered --patience 1", at(stack, 9));
                let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
                assert!(!client.status.success(), "nobody can have answered");
                reports.iter().any(|report| report.get("kind") == Some("ConnectionRefused"))
            });
        }
    });
}

#[test]
fn a_closed_port_of_the_kernel_is_unreachable() {
    everywhere(&[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let socket = bind(host, stack, 0);
            socket.connect(at(kernel, 9)).expect("there is a route");
            socket.set_read_timeout(Some(AGAIN)).expect("it is not zero");
            until("the stack to be refused", SOON, || {
                // The error may be told by either call.
                let sent = socket.send(b"hello").map(|_| ());
                let end = sent.and_then(|()| socket.recv(&mut [0; 10]).map(|_| ()));
                end.expect_err("nobody can have answered").kind() == ErrorKind::ConnectionRefused
            });
        }
    });
}

#[test]
fn traceroute_finds_the_stack() {
    let allowed = [RESET, &["No response seen to ICMP", "\"Time To Live\" only"]].concat();
    everywhere(&["traceroute"], &allowed, |host| {
        for stack in STACK {
            // Datagrams, echo requests and SYNs.
            for method in ["-4", "-6", "-I", "-T"] {
                if method == if stack.contains(':') { "-4" } else { "-6" } {
                    continue;
                }
                until(&format!("traceroute {method} to answer"), SOON, || {
                    let mut trace = tool("traceroute");
                    trace.args(["-n", "-q", "2", "-m", "4", "-w", "1", method, stack]);
                    let text = host.kernel.run(&mut trace).success().text();
                    let hops: Vec<&str> = text.lines().skip(1).collect();
                    // It is one hop away, and answers each probe: unless the link loses it.
                    let found =
                        hops.len() == 1 && hops[0].contains(stack) && hops[0].matches(" ms").count() == 2;
                    assert!(found || host.is_bad(), "{method}: {text}");
                    found
                });
            }
        }
    });
}

/// Datagrams of one size in a burst, the last one shorter.
const BURST: (usize, usize) = (20_500, 1_000);

/// How many frames the stack has sent, and how many datagrams.
fn frames_and_datagrams(host: &Host) -> (u64, u64) {
    let frames = host.sum(|stack| stack.stats().ip.out_frames);
    (frames, host.sum(|stack| stack.stats().udp.out_datagrams))
}

#[test]
fn a_burst_of_the_stack_arrives_as_single_datagrams() {
    on_each(&good(), &[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let receiver =
                host.kernel.enter(|| std::net::UdpSocket::bind(at(kernel, 9))).expect("the port is free");
            receiver.set_read_timeout(Some(SOON)).expect("it is not zero");
            let sent = pattern(1, BURST.0);
            let socket = bind(host, stack, 0);
            // Until the neighbour is known, each datagram waits for it alone.
            socket.send_to(b"first", at(kernel, 9)).expect("it is taken");
            let mut buffer = [0; 65_536];
            assert_eq!(receiver.recv(&mut buffer).expect("it arrives"), 5);
            let before = frames_and_datagrams(host);
            let taken = socket.send_segments(&sent, BURST.1, Some(at(kernel, 9))).expect("it is taken");
            assert_eq!(taken, BURST.0);
            for piece in sent.chunks(BURST.1) {
                let len = receiver.recv(&mut buffer).expect("each arrives");
                assert!(buffer[..len] == *piece, "{len} bytes of {}", piece.len());
            }
            let after = frames_and_datagrams(host);
            let frames = after.0 - before.0;
            assert_eq!(after.1 - before.1, 21);
            // A word of ARP or NDP may be among them.
            assert_eq!(frames < 21, host.is_merging(), "{frames} frames");
        }
    });
}

#[test]
fn a_burst_of_the_kernel_arrives_as_single_datagrams() {
    on_each(&good(), &[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let socket = bind(host, stack, 9);
            let sender =
                host.kernel.enter(|| std::net::UdpSocket::bind(at(kernel, 0))).expect("a port is free");
            let size = i32::try_from(BURST.1).expect("it is small");
            nix::sys::socket::setsockopt(&sender, nix::sys::socket::sockopt::UdpGsoSegment, &size)
                .expect("the kernel cuts datagrams");
            let sent = pattern(1, BURST.0);
            assert_eq!(sender.send_to(&sent, at(stack, 9)).expect("there is a route"), BURST.0);
            let mut buffer = [0; 65_536];
            for piece in sent.chunks(BURST.1) {
                let (len, _) = socket.recv_from(&mut buffer).expect("each arrives");
                assert!(buffer[..len] == *piece, "{len} bytes of {}", piece.len());
            }
        }
    });
}
