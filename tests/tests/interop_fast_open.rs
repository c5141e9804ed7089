//! TCP Fast Open between the stack and the kernel, in both roles (RFC 7413).

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use socket2::{Domain, Socket, Type};
use ustack::blocking::{TcpListener, TcpStream};
use ustack::stats::TcpStats;
use ustack_tests::app::{Task, echo, patient};
use ustack_tests::host::{Host, KERNEL, STACK, Setup, at};
use ustack_tests::matrix::{good, on_each};
use ustack_tests::tshark::FAST_OPEN;
use ustack_tests::wait::SOON;

/// Linux's `MSG_FASTOPEN`: connects, with data in the SYN if there is a cookie.
const MSG_FASTOPEN: i32 = 0x2000_0000;
/// Client, server, and each listener a server without a socket option of its own.
const ALL_ROLES: &str = "1027";

fn on_good_links(setups: &[Setup], test: impl Fn(&Host) + Sync) {
    on_each(setups, &[], FAST_OPEN, |host| {
        host.kernel.sysctl("ipv4/tcp_fastopen", ALL_ROLES);
        test(host);
    });
}

/// A counter of the kernel's `TcpExt`.
fn counted(host: &Host, name: &str) -> u64 {
    let text =
        host.kernel.enter(|| fs::read_to_string("/proc/thread-self/net/netstat")).expect("it is there");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(known, _)| *known == name).expect("the kernel counts it");
    value.parse().expect("a number")
}

/// A counter of the stack's.
fn counted_here(host: &Host, of: impl Fn(&TcpStats) -> u64) -> u64 {
    host.sum(|stack| of(&stack.stats().tcp))
}

/// The kernel connects with `text` in its first `send`, and gets it back.
fn ask(server: SocketAddr, text: &[u8]) {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("it is not zero");
    assert_eq!(
        socket.send_to_with_flags(text, &server.into(), MSG_FASTOPEN).expect("it connects"),
        text.len()
    );
    socket.shutdown(Shutdown::Write).expect("it is connected");
    let mut back = Vec::new();
    (&socket).read_to_end(&mut back).expect("it comes back");
    assert!(back == text);
}

#[test]
fn the_kernel_connects_with_data() {
    on_good_links(&good(), |host| {
        let mut begun = 0;
        for address in STACK {
            let server = at(address, 7);
            let listener =
                TcpListener::bind_with(&host.net, server, 8, |settings| settings.fast_open_queue = 8);
            let listener = listener.expect("the address is free");
            let serving = Task::start("the stack's server", move || {
                for _ in 0..3 {
                    let (stream, _) = listener.accept().expect("it listens");
                    patient(&stream);
                    echo(&stream).expect("it went well");
                }
            });
            for _ in 0..3 {
                host.kernel.enter(|| ask(server, &[7; 700]));
            }
            serving.finish(SOON);
            begun += 1;
            assert_eq!(counted_here(host, |tcp| tcp.fast_open_cookie_reqd), begun);
            assert_eq!(counted_here(host, |tcp| tcp.fast_open_passive), 2 * begun);
            assert_eq!(counted_here(host, |tcp| tcp.fast_open_passive_fail), 0);
        }
        assert_eq!(counted(host, "TCPFastOpenActive"), 4);
        host.wait_closed();
    });
}

#[test]
fn the_kernel_takes_data_of_a_syn() {
    // With one shard: of several, each asks for a cookie of its own.
    let mut setups = good();
    setups.retain(|setup| setup.queues == 1);
    on_good_links(&setups, |host| {
        for address in KERNEL {
            let server = at(address, 8);
            let listener = host.kernel.enter(|| std::net::TcpListener::bind(server)).expect("it is free");
            let serving = Task::start("the kernel's server", move || {
                for _ in 0..3 {
                    let (mut stream, _) = listener.accept().expect("it listens");
                    let mut text = Vec::new();
                    stream.read_to_end(&mut text).expect("it comes");
                    stream.write_all(&text).expect("it goes");
                }
            });
            for round in 0..3 {
                // More than a SYN has room for.
                let text = vec![round; 3000];
                let mut stream = TcpStream::connect_with_data(&host.net, server, &text).expect("it connects");
                patient(&stream);
                stream.shutdown(Shutdown::Write).expect("it is connected");
                let mut back = Vec::new();
                stream.read_to_end(&mut back).expect("it comes back");
                assert!(back == text);
                assert_eq!(stream.info().expect("it is open").syn_data, round > 0);
            }
            serving.finish(SOON);
        }
        assert_eq!(counted_here(host, |tcp| tcp.fast_open_active), 4);
        assert_eq!(counted_here(host, |tcp| tcp.fast_open_active_fail), 0);
        assert_eq!(counted(host, "TCPFastOpenPassive"), 4);
        assert_eq!(counted(host, "TCPFastOpenCookieReqd"), 2);
        host.wait_closed();
    });
}
