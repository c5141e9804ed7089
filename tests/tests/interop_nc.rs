//! netcat and the stack, both ways.

use std::time::Duration;

use ustack::blocking::UdpSocket;
use ustack_tests::app::{connect, echo, exchange, serve};
use ustack_tests::host::{Host, KERNEL, STACK, at};
use ustack_tests::matrix::everywhere;
use ustack_tests::pattern::pattern;
use ustack_tests::process::tool;
use ustack_tests::wait::{SOON, until, until_some};

/// What is typed into netcat.
const TYPED: &str = "what is typed here comes back\n";
/// How long to wait for a datagram before one looks what else has happened; on a bad link it is sent again then.
const AGAIN: Duration = Duration::from_millis(200);

/// Waits until netcat has bound its port.
fn wait_bound(host: &Host, kind: &str, port: u16) {
    until("netcat to listen", SOON, || {
        let shown = host.kernel.run(tool("ss").args(["-H", "-ln", kind])).success().text();
        shown.contains(&format!(":{port} "))
    });
}

#[test]
fn netcat_talks_to_an_echo_of_the_stack() {
    everywhere(&["nc"], &[], |host| {
        for stack in STACK {
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo(stream));
            let mut nc = host.kernel.spawn(tool("nc").args(["-N", stack, "7"]));
            nc.write(TYPED.as_bytes());
            assert_eq!(nc.wait_line("what", SOON), TYPED.trim_end());
            nc.write(&pattern(1, 100_000));
            // The end of its input ends its direction, and the echo's end ends it.
            let done = nc.finish(SOON).success();
            assert_eq!(done.stdout[TYPED.len()..], pattern(1, 100_000));
            let echoed = server.finish(SOON).remove(0).expect("it went well");
            assert_eq!(echoed, done.stdout.len() as u64);
        }
        host.wait_closed();
    });
}

#[test]
fn the_stack_talks_to_a_netcat_that_listens() {
    everywhere(&["nc", "ss"], &[], |host| {
        for kernel in KERNEL {
            let mut nc = host.kernel.spawn(tool("nc").args(["-N", "-l", kernel, "8"]));
            wait_bound(host, "-t", 8);
            nc.write(&pattern(2, 50_000));
            nc.close_input();
            let stream = connect(&host.net, at(kernel, 8));
            let received = exchange(&stream, 1, 100_000, 2).expect("it went well");
            assert_eq!((received.bytes(), received.wrong()), (50_000, None));
            assert_eq!(nc.finish(SOON).success().stdout, pattern(1, 100_000));
        }
        host.wait_closed();
    });
}

#[test]
fn netcat_sends_datagrams_to_the_stack() {
    everywhere(&["nc"], &[], |host| {
        for stack in STACK {
            let socket = UdpSocket::bind(&host.net, at(stack, 7)).expect("the port is free");
            socket.set_read_timeout(Some(AGAIN)).expect("it is not zero");
            let mut nc = host.kernel.spawn(tool("nc").args(["-u", stack, "7"]));
            let mut buffer = [0; 100];
            let mut typed = 0;
            until("what was typed to come back", SOON, || {
                if typed == 0 || host.is_bad() {
                    nc.write(TYPED.as_bytes());
                    typed += 1;
                }
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    assert_eq!(buffer[..len], *TYPED.as_bytes());
                    let _ = socket.send_to(&buffer[..len], from).expect("it is taken");
                }
                nc.has_said(TYPED)
            });
        }
    });
}

#[test]
fn the_stack_sends_datagrams_to_a_netcat_that_listens() {
    everywhere(&["nc", "ss"], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let mut nc = host.kernel.spawn(tool("nc").args(["-u", "-l", kernel, "8"]));
            wait_bound(host, "-u", 8);
            let socket = UdpSocket::bind(&host.net, at(stack, 0)).expect("a port is free");
            socket.set_read_timeout(Some(AGAIN)).expect("it is not zero");
            let mut sent = 0;
            until("netcat to show it", SOON, || {
                if sent == 0 || host.is_bad() {
                    let _ = socket.send_to(TYPED.as_bytes(), at(kernel, 8)).expect("there is a route");
                    sent += 1;
                }
                nc.has_said(TYPED)
            });
            let mut buffer = [0; 100];
            let mut typed = 0;
            let (len, from) = until_some("an answer", SOON, || {
                if typed == 0 || host.is_bad() {
                    nc.write(b"an answer\n");
                    typed += 1;
                }
                socket.recv_from(&mut buffer).ok()
            });
            assert_eq!((&buffer[..len], from), (&b"an answer\n"[..], at(kernel, 8)));
        }
    });
}
