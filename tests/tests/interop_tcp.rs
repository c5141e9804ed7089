//! Streams between the stack and the kernel, in both roles.

use std::sync::{Arc, Barrier};

use ustack_tests::app::{Task, connect, echo, exchange, serve};
use ustack_tests::host::{KERNEL, STACK, at};
use ustack_tests::matrix::everywhere;
use ustack_tests::peer::Peer;
use ustack_tests::tshark::{FLOW_CONTROL, LOSS, RESET};
use ustack_tests::wait::SOON;

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
/// Connections at once.
const MANY: usize = 200;
/// What each of them sends and gets back.
const EACH: u64 = 5_000;

#[test]
fn the_stack_echoes_what_the_kernel_sends() {
    everywhere(&[], FLOW_CONTROL, |host| {
        for address in STACK {
            for bytes in [0, 1, 1_448, 300_000] {
                let server = serve(&host.net, at(address, 7), 1, |_, stream| echo(stream));
                let words = format!("tcp-connect {} --do source --bytes {bytes}", at(address, 7));
                let (_, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
                let _ = client.success();
                assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &bytes);
            }
        }
        host.wait_closed();
    });
}

#[test]
fn the_kernel_echoes_what_the_stack_sends() {
    everywhere(&[], FLOW_CONTROL, |host| {
        for address in KERNEL {
            for bytes in [0, 1, 1_448, 300_000] {
                let server =
                    Peer::listen(&host.kernel, PEER, &format!("tcp-listen {} --do echo", at(address, 8)));
                let stream = connect(&host.net, at(address, 8));
                let received = exchange(&stream, 1, bytes, 1).expect("it went well");
                assert_eq!((received.bytes(), received.wrong()), (bytes, None));
                let _ = server.finish(SOON).1.success();
            }
        }
        host.wait_closed();
    });
}

/// On a busy machine so many connections may overflow the queue of a TAP, or be late: frames are lost or repeated on a
/// good link too, and come again after the end.
fn crowded() -> Vec<&'static str> {
    [FLOW_CONTROL, LOSS, RESET].concat()
}

#[test]
fn two_hundred_connections_to_the_stack() {
    everywhere(&[], &crowded(), |host| {
        for address in STACK {
            // Nobody is served before all are there.
            let all = Arc::new(Barrier::new(MANY));
            let server = serve(&host.net, at(address, 7), MANY, move |_, stream| {
                all.wait();
                echo(stream)
            });
            let words =
                format!("tcp-connect {} --do source --bytes {EACH} --connections {MANY}", at(address, 7));
            let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            let _ = client.success();
            assert_eq!(
                reports.iter().filter(|report| report.word() == "done" && report.is_right()).count(),
                MANY
            );
            for served in server.finish(SOON) {
                assert_eq!(served.expect("it went well"), EACH);
            }
        }
        host.wait_closed();
    });
}

#[test]
fn two_hundred_connections_from_the_stack() {
    everywhere(&[], &crowded(), |host| {
        for address in KERNEL {
            let words = format!("tcp-listen {} --do echo --connections {MANY}", at(address, 8));
            let server = Peer::listen(&host.kernel, PEER, &words);
            let all = Arc::new(Barrier::new(MANY));
            let begin = |_| {
                let (all, net) = (all.clone(), host.net.clone());
                Task::start("a client of many", move || {
                    let stream = connect(&net, at(address, 8));
                    all.wait();
                    exchange(&stream, 1, EACH, 1).expect("it went well")
                })
            };
            let clients: Vec<_> = (0..MANY).map(begin).collect();
            for client in clients {
                let received = client.finish(SOON);
                assert_eq!((received.bytes(), received.wrong()), (EACH, None));
            }
            // What the kernel got is each connection's pattern for the first alone: it expects others on the others.
            let (reports, _) = server.finish(SOON);
            assert_eq!(reports.iter().filter(|report| report.word() == "done").count(), MANY);
        }
        host.wait_closed();
    });
}
