//! Signed segments between the stack and the kernel, in both roles (RFC 2385): each believes what the other has signed,
//! and nobody gets through with another key or none.

use std::io::ErrorKind;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ustack::blocking::{TcpListener, TcpStream};
use ustack::net;
use ustack::tcp::{Keys, Settings};
use ustack_tests::app::{Task, echo, patient};
use ustack_tests::host::{Host, KERNEL, Link, STACK, Setup, at};
use ustack_tests::matrix::{few, on_each};
use ustack_tests::process::{Running, tool};
use ustack_tests::tshark::{FLOW_CONTROL, LOSS, RESET};
use ustack_tests::wait::SOON;

const KEY: &str = "a secret";
/// Both sides say so much: enough that the kernel sends several segments at once.
const BYTES: usize = 200_000;

/// The kernel's side, with `TCP_MD5SIG` for the stack's address: `listen` or `connect`, our address, its own, a port, a
/// key. It echoes what it gets, or sends and checks the echo.
const PEER: &str = r#"
import socket, struct, sys
role, peer, own, port, key, count = sys.argv[1:7]
port, count, key, in_vain = int(port), int(count), key.encode(), key != "a secret"
family = socket.AF_INET6 if ":" in own else socket.AF_INET
sock = socket.socket(family, socket.SOCK_STREAM)
sock.settimeout(15)
if key:
    packed = socket.inet_pton(family, peer)
    if family == socket.AF_INET:
        storage = struct.pack("=HH4s120x", family, 0, packed)
    else:
        storage = struct.pack("=HHI16sI100x", family, 0, 0, packed, 0)
    # struct tcp_md5sig of linux/tcp.h
    sock.setsockopt(socket.IPPROTO_TCP, 14, storage + struct.pack("=BBHi80s", 0, 0, len(key), 0, key))
def rest(stream):
    text = b""
    while piece := stream.recv(65536):
        text += piece
    return text
if role == "listen":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((own, port))
    sock.listen(1)
    print("ready", flush=True)
    stream, _ = sock.accept()
    stream.settimeout(15)
    stream.sendall(rest(stream))
else:
    # Who has not the right key waits in vain: for a SYN and another a second later.
    sock.settimeout(1.5 if in_vain else 15)
    sock.connect((peer, port))
    sock.settimeout(15)
    text = bytes(i * 7 % 251 for i in range(count))
    sock.sendall(text)
    sock.shutdown(socket.SHUT_WR)
    assert rest(sock) == text
print("done", flush=True)
"#;

fn on_links(test: impl Fn(&Host) + Sync) {
    // Where a key is missing nobody answers, and what is sent again is no loss.
    let allowed = [FLOW_CONTROL, LOSS, RESET].concat();
    let setups = [few(), vec![Setup::new(Link::Tap).bad(), Setup::new(Link::Veth).merging().bad()]].concat();
    on_each(&setups, &["python3"], &allowed, test);
}

fn kernel(host: &Host, role: &str, peer: &str, own: &str, port: u16, key: &str) -> Running {
    let (port, count) = (port.to_string(), BYTES.to_string());
    host.kernel.spawn(tool("python3").args(["-c", PEER, role, peer, own, &port, key, &count]))
}

fn keys(peer: &str) -> Arc<Keys> {
    let peer: IpAddr = peer.parse().expect("an address");
    let mut keys = Keys::new();
    keys.add_md5(peer, if peer.is_ipv4() { 24 } else { 64 }, KEY.as_bytes()).expect("a key");
    Arc::new(keys)
}

fn connect(host: &Host, server: SocketAddr, peer: &str) -> std::io::Result<net::TcpStream> {
    let change = |settings: &mut Settings| settings.keys = Some(keys(peer));
    let connecting = net::TcpStream::connect_with(&host.net, server, None, change);
    futures_lite::future::block_on(connecting)
}

#[test]
fn the_kernel_connects_with_a_key() {
    on_links(|host| {
        for (us, them) in STACK.into_iter().zip(KERNEL) {
            let server = at(us, 7);
            let listener = TcpListener::bind_with(&host.net, server, 8, |settings| {
                settings.keys = Some(keys(them));
            });
            let listener = listener.expect("the address is free");
            let serving = Task::start("the stack's server", move || {
                let (stream, _) = listener.accept().expect("it listens");
                patient(&stream);
                (echo(&stream).expect("it went well"), listener)
            });
            let wrong = kernel(host, "connect", us, them, 7, "another").finish(SOON);
            assert!(!wrong.status.success(), "it has the wrong key");
            let without = kernel(host, "connect", us, them, 7, "").finish(SOON);
            assert!(!without.status.success(), "it has no key");
            let _ = kernel(host, "connect", us, them, 7, KEY).finish(SOON).success();
            assert_eq!(serving.finish(SOON).0, BYTES as u64);
        }
        let failures = host.sum(|stack| stack.stats().tcp.md5_failure);
        let without = host.sum(|stack| stack.stats().tcp.md5_not_found);
        assert!(failures >= 2 && without >= 2, "{failures} {without}");
        host.wait_closed();
    });
}

#[test]
fn the_stack_connects_with_a_key() {
    on_links(|host| {
        for (us, them) in STACK.into_iter().zip(KERNEL) {
            let server = at(them, 8);
            let mut peer = kernel(host, "listen", us, them, 8, KEY);
            peer.wait_line("ready", SOON);
            let unsigned = TcpStream::connect_timeout(&host.net, server, Duration::from_secs(1));
            assert_eq!(unsigned.expect_err("it has no key").kind(), ErrorKind::TimedOut);
            let stream = connect(host, server, them).expect("it has the key");
            let text: Vec<u8> = (0..BYTES).map(|i| (i * 13 % 251) as u8).collect();
            let (sender, sent) = (stream.clone(), text.clone());
            let sending = Task::start("the sender", move || {
                futures_lite::future::block_on(sender.write_all(&sent)).expect("it goes");
                sender.shutdown(Shutdown::Write).expect("it is connected");
            });
            let mut back = vec![0; BYTES];
            futures_lite::future::block_on(stream.read_exact(&mut back)).expect("it comes back");
            assert!(back == text);
            sending.finish(SOON);
            drop(stream);
            let _ = peer.finish(SOON).success();
        }
        let refused = host.sum(|stack| {
            let stats = stack.stats().tcp;
            stats.md5_failure + stats.md5_not_found + stats.md5_unexpected
        });
        assert_eq!(refused, 0);
        host.wait_closed();
    });
}
