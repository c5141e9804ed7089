//! Streams with ECN between the stack and the kernel, in both roles, over a queue that marks.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;

use ustack::blocking::TcpStream;
use ustack::stats::Stats;
use ustack::tcp::{EcnMode, EcnPolicy, TcpInfo};
use ustack_tests::app::{connect, send, serve};
use ustack_tests::host::{Host, KERNEL, Link, STACK, Setup, at};
use ustack_tests::matrix::on_each;
use ustack_tests::pattern::Received;
use ustack_tests::peer::Peer;
use ustack_tests::process::tool;
use ustack_tests::tshark::{FLOW_CONTROL, LATE};
use ustack_tests::wait::{SOON, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
/// Enough to fill the queue and to be told of it.
const BYTES: u64 = 3_000_000;
/// Long enough that nothing is lost, and marks that come early.
const MARKING: &str = "delay 2ms rate 40mbit queue 1000 mark 10";

/// A host whose link marks; what the stack asks for and answers with is the kernel's `tcp_ecn` in words.
fn marking(setup: Setup, policy: EcnPolicy) -> Setup {
    let mut setup = setup.impaired(MARKING).headers();
    setup.config.tcp.ecn = policy;
    setup
}

/// tshark's words for a queue that holds what a receiver waits for.
fn allowed() -> Vec<&'static str> {
    [FLOW_CONTROL, LATE].concat()
}

/// Sets the kernel's `tcp_ecn`; false if it does not take that number: not every kernel knows accurate ECN.
fn set_policy(host: &Host, number: &str) -> bool {
    host.kernel.enter(|| std::fs::write("/proc/sys/net/ipv4/tcp_ecn", number)).is_ok()
}

/// What `ss` says of the kernel's side of the stack's connections.
fn ss(host: &Host) -> String {
    let mut command = tool("ss");
    host.kernel.run(command.args(["-tino", "state", "established"])).success().text()
}

/// The stack's end of a stream has used ECN as `mode` says.
fn check(info: &TcpInfo, mode: EcnMode, what: &str) {
    assert_eq!((info.ecn.mode, info.ecn.sends_ect, info.ecn.seen), (mode, true, true), "{what}: {info:?}");
    if mode == EcnMode::Accurate {
        assert!(info.ecn.options_seen && info.ecn.received.ect0 > 0, "{what}: {info:?}");
    }
}

/// Sends everything back; what is known of the connection when the other side has ended.
fn echo_and_tell(mut stream: &TcpStream) -> io::Result<TcpInfo> {
    let mut piece = vec![0; 65_536];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            let info = stream.info();
            stream.shutdown(Shutdown::Write)?;
            return info;
        }
        stream.write_all(&piece[..len])?;
    }
}

/// Sends the stream and gets it back; what is known of the connection before it ends.
fn send_and_tell(stream: &TcpStream) -> io::Result<TcpInfo> {
    let (mut reader, mut received, mut piece) = (stream, Received::new(1), vec![0; 65_536]);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(stream, 1, BYTES));
        while received.bytes() < BYTES {
            let len = reader.read(&mut piece)?;
            assert!(len > 0, "the echo ended early");
            received.push(&piece[..len]);
        }
        sending.join().expect("it does not panic")
    })?;
    assert_eq!((received.bytes(), received.wrong()), (BYTES, None));
    let info = stream.info();
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(reader.read(&mut piece)?, 0);
    info
}

fn both_ways(setups: &[Setup], number: &'static str, policy: EcnPolicy, mode: EcnMode) {
    let setups: Vec<Setup> = setups.iter().map(|setup| marking(setup.clone(), policy)).collect();
    on_each(&setups, &["ss"], &allowed(), |host| {
        if !set_policy(host, number) {
            eprintln!("this kernel takes no tcp_ecn of {number}");
            return;
        }
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            // The kernel connects and sends, the stack echoes; then the other way round.
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo_and_tell(stream));
            let words = format!("tcp-connect {} --do source --bytes {BYTES}", at(stack, 7));
            let (reports, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
            let _ = client.success();
            assert!(reports.iter().any(|report| report.word() == "done" && report.is_right()), "{reports:?}");
            let info = server.finish(SOON).remove(0).expect("it went well");
            check(&info, mode, &format!("{stack} accepted"));

            let server = Peer::listen(&host.kernel, PEER, &format!("tcp-listen {} --do echo", at(kernel, 8)));
            let stream = connect(&host.net, at(kernel, 8));
            // Our end is open when the kernel's may still wait for the last ACK.
            until("the kernel to say that it has agreed", SOON, || {
                let told = ss(host);
                told.contains(" ecn ") && told.contains(&format!("{}", at(kernel, 8)))
            });
            let info = send_and_tell(&stream).expect("it went well");
            check(&info, mode, &format!("connected to {kernel}"));
            // Its window fills the queue: marks were told, and answered instead of losses.
            assert!(info.ecn.delivered_ce > 0 && info.ecn.reductions > 0, "{info:?}");
            let _ = server.finish(SOON).1.success();
        }
        host.wait_closed();
        for family in [|stats: &Stats| stats.in_v4, |stats: &Stats| stats.in_v6] {
            let seen = [
                host.sum(|stack| family(&stack.stats()).in_ect0_pkts),
                host.sum(|stack| family(&stack.stats()).in_ce_pkts),
                host.sum(|stack| family(&stack.stats()).in_no_ect_pkts),
            ];
            assert!(!seen.contains(&0), "{seen:?}");
        }
    });
}

#[test]
fn classic_ecn_with_the_kernel() {
    let setups = [Setup::new(Link::Tap), Setup::new(Link::Tun).merging().queues(2)];
    both_ways(&setups, "1", EcnPolicy::CLASSIC, EcnMode::Classic);
}

#[test]
fn accurate_ecn_with_the_kernel() {
    let setups = [Setup::new(Link::Tap), Setup::new(Link::Veth).merging()];
    both_ways(&setups, "3", EcnPolicy::ACCURATE, EcnMode::Accurate);
}

#[test]
fn the_kernel_falls_back_to_classic_ecn() {
    let setups = [Setup::new(Link::Veth), Setup::new(Link::Tap).merging().queues(2)];
    both_ways(&setups, "1", EcnPolicy::ACCURATE, EcnMode::Classic);
}
