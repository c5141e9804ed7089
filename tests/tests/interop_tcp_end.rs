//! How connections between the stack and the kernel end, and how they do not even begin.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use ustack::blocking::TcpStream;
use ustack_tests::app::{connect, exchange, receive, send, serve};
use ustack_tests::host::{KERNEL, STACK, at};
use ustack_tests::kernel::Namespace;
use ustack_tests::matrix::{ethernet, everywhere, good, on_each};
use ustack_tests::peer::Peer;
use ustack_tests::process::tool;
use ustack_tests::tshark::RESET;
use ustack_tests::wait::{SOON, until, until_some};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");

/// The kernel's connections in TIME-WAIT.
fn time_waits(kernel: &Namespace) -> usize {
    let shown = kernel.run(tool("ss").args(["-H", "-tan", "state", "time-wait"])).success().text();
    shown.lines().count()
}

#[test]
fn the_kernel_closes_first() {
    everywhere(&["ss"], &[], |host| {
        for (index, (kernel, stack)) in KERNEL.into_iter().zip(STACK).enumerate() {
            // It comes to the stack and goes first,
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| receive(stream, 1));
            let words = format!("tcp-connect {} --do source --bytes 1000", at(stack, 7));
            let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
            let received = server.finish(SOON).remove(0).expect("it ends in order");
            assert_eq!((received.bytes(), received.wrong()), (1_000, None));
            // and the stack comes to it.
            let words = format!("tcp-listen {} --do source --bytes 1000", at(kernel, 8));
            let mut server = Peer::listen(&host.kernel, PEER, &words);
            let stream = connect(&host.net, at(kernel, 8));
            let received = receive(&stream, 1).expect("it ends in order");
            assert_eq!((received.bytes(), received.wrong()), (1_000, None));
            drop(stream);
            let _ = server.wait("done", SOON);
            host.wait_closed();
            assert_eq!(host.sum(|stack| stack.time_wait_count() as u64), 0);
            // What comes late to a connection that is gone gets a reset, which ends the kernel's wait (RFC 1337).
            if !host.is_bad() {
                until("the kernel to wait", SOON, || time_waits(&host.kernel) == 2 * (index + 1));
            }
        }
    });
}

#[test]
fn the_stack_closes_first() {
    everywhere(&["ss"], &[], |host| {
        for (index, (kernel, stack)) in KERNEL.into_iter().zip(STACK).enumerate() {
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| exchange(stream, 1, 1_000, 1));
            let words = format!("tcp-connect {} --do sink", at(stack, 7));
            let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            let _ = client.success();
            assert_eq!(reports.last().expect("it reports").value::<u64>("received"), 1_000);
            let received = server.finish(SOON).remove(0).expect("it ends in order");
            assert_eq!(received.bytes(), 0);

            let server = Peer::listen(&host.kernel, PEER, &format!("tcp-listen {} --do sink", at(kernel, 8)));
            let stream = connect(&host.net, at(kernel, 8));
            assert_eq!(exchange(&stream, 1, 1_000, 1).expect("it ends in order").bytes(), 0);
            drop(stream);
            let _ = server.finish(SOON).1.success();
            host.wait_closed();
            assert_eq!(host.sum(|stack| stack.time_wait_count() as u64), 2 * (index as u64 + 1));
            assert_eq!(time_waits(&host.kernel), 0);
        }
    });
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    everywhere(&[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| {
                let received = receive(stream, 1)?;
                send(stream, 2, 50_000)?;
                stream.shutdown(Shutdown::Write)?;
                Ok::<_, std::io::Error>(received)
            });
            let words = format!("tcp-connect {} --do source --bytes 50000 --seed 1 --expect 2", at(stack, 7));
            let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            let _ = client.success();
            assert_eq!(reports.last().expect("it reports").value::<u64>("received"), 50_000);
            let received = server.finish(SOON).remove(0).expect("it ends in order");
            assert_eq!((received.bytes(), received.wrong()), (50_000, None));

            let words = format!("tcp-listen {} --do answer --bytes 50000 --seed 2 --expect 1", at(kernel, 8));
            let server = Peer::listen(&host.kernel, PEER, &words);
            let stream = connect(&host.net, at(kernel, 8));
            send(&stream, 1, 50_000).expect("it is taken");
            stream.shutdown(Shutdown::Write).expect("it is connected");
            let received = receive(&stream, 2).expect("it ends in order");
            assert_eq!((received.bytes(), received.wrong()), (50_000, None));
            let _ = server.finish(SOON).1.success();
        }
        host.wait_closed();
    });
}

/// Waits for the error that ends a stream. If the reset was lost, the stream learns of it when it says something.
fn end_of(mut stream: &TcpStream) -> ErrorKind {
    const NOTHING_YET: Duration = Duration::from_millis(300);
    stream.set_read_timeout(Some(NOTHING_YET)).expect("it is not zero");
    until_some("the stream's end", SOON, || match stream.read(&mut [0; 1_000]) {
        Ok(0) => panic!("it ends in order"),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            let _ = stream.write(b"?");
            None
        }
        Err(error) => Some(error.kind()),
    })
}

#[test]
fn the_kernel_resets() {
    everywhere(&[], RESET, |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let server = serve(&host.net, at(stack, 7), 1, |_, mut stream| {
                stream.write_all(b"enough").expect("it is open");
                end_of(stream)
            });
            let words = format!("tcp-connect {} --do abort --bytes 6", at(stack, 7));
            let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            assert_eq!(server.finish(SOON).remove(0), ErrorKind::ConnectionReset);

            let words = format!("tcp-listen {} --do abort --bytes 6", at(kernel, 8));
            let server = Peer::listen(&host.kernel, PEER, &words);
            let mut stream = connect(&host.net, at(kernel, 8));
            stream.write_all(b"enough").expect("it is open");
            assert_eq!(end_of(&stream), ErrorKind::ConnectionReset);
            let _ = stream.write(b"more").expect_err("it is over");
            let _ = server.finish(SOON);
        }
        host.wait_closed();
    });
}

#[test]
fn the_stack_resets() {
    everywhere(&[], RESET, |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let server = serve(&host.net, at(stack, 7), 1, |_, mut stream| {
                let mut piece = [0; 6];
                stream.read_exact(&mut piece).expect("it arrives");
                stream.get_ref().abort().expect("it is open");
            });
            let words = format!("tcp-connect {} --do source --bytes 6", at(stack, 7));
            let mut client = Peer::start(&host.kernel, PEER, &words);
            assert_eq!(client.wait("failed", SOON).get("kind"), Some("ConnectionReset"));
            let _ = server.finish(SOON);

            let words = format!("tcp-listen {} --do sink", at(kernel, 8));
            let mut server = Peer::listen(&host.kernel, PEER, &words);
            let stream = connect(&host.net, at(kernel, 8));
            let _ = server.wait("connected", SOON);
            stream.get_ref().abort().expect("it is open");
            assert_eq!(server.wait("failed", SOON).get("kind"), Some("ConnectionReset"));
        }
        host.wait_closed();
    });
}

#[test]
fn a_closed_port_refuses() {
    everywhere(&[], RESET, |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let words = format!("tcp-connect {} --do source", at(stack, 7));
            let mut client = Peer::start(&host.kernel, PEER, &words);
            assert_eq!(client.wait("failed", SOON).get("kind"), Some("ConnectionRefused"));
            let refused = TcpStream::connect_timeout(&host.net, at(kernel, 8), SOON);
            assert_eq!(refused.expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
        }
        host.wait_closed();
    });
}

#[test]
fn nobody_at_that_address() {
    on_each(&ethernet(good()), &[], &[], |host| {
        for address in ["10.9.0.77", "fd09::77"] {
            let refused = TcpStream::connect_timeout(&host.net, at(address, 8), SOON);
            assert_eq!(refused.expect_err("nobody is there").kind(), ErrorKind::HostUnreachable);
        }
        let refused = TcpStream::connect_timeout(&host.net, at("192.0.2.1", 8), SOON);
        assert_eq!(refused.expect_err("there is no route").kind(), ErrorKind::NetworkUnreachable);
        host.wait_closed();
    });
}
