//! Packet sockets in all their kinds: with slots for frames, with blocks of them, and without a ring; one frame a system
//! call, and many.

use std::time::Duration;

use ustack::blocking::UdpSocket;
use ustack::device::PacketBuilder;
use ustack_tests::app::{connect, echo, exchange, serve};
use ustack_tests::host::{KERNEL, Link, STACK, Setup, at, on_each};
use ustack_tests::pattern::pattern;
use ustack_tests::peer::Peer;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, until_some};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");

/// Every kind, on a wire of single segments and on one of merged frames. Those with blocks answer late, so that the kernel
/// may repeat itself.
fn setups() -> Vec<Setup> {
    let kinds: [fn(PacketBuilder) -> PacketBuilder; 4] = [
        PacketBuilder::batch,
        |builder| builder.coalesce(Duration::from_millis(1)),
        |builder| builder.coalesce(Duration::from_millis(1)).batch(),
        PacketBuilder::no_ring,
    ];
    let plain = kinds.map(|kind| Setup::new(Link::Veth).packet(kind));
    let merging = kinds.map(|kind| Setup::new(Link::Veth).packet(kind).merging());
    // Packets longer than a slot of 2 KiB, and than any.
    let large =
        [4000, 30_000].map(|mtu| Setup::new(Link::Veth).mtu(mtu).packet(PacketBuilder::batch).headers());
    [&plain[..], &merging, &large].concat()
}

#[test]
fn streams_arrive_whole_both_ways() {
    on_each(&setups(), &[], FLOW_CONTROL, |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            for bytes in [1, 2_000_000] {
                let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo(stream));
                let words = format!("tcp-connect {} --do source --bytes {bytes}", at(stack, 7));
                let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
                assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &bytes);

                let server =
                    Peer::listen(&host.kernel, PEER, &format!("tcp-listen {} --do echo", at(kernel, 8)));
                let stream = connect(&host.net, at(kernel, 8));
                let received = exchange(&stream, 1, bytes, 1).expect("it went well");
                assert_eq!((received.bytes(), received.wrong()), (bytes, None));
                let _ = server.finish(SOON).1.success();
            }
        }
        host.wait_closed();
        assert_eq!(host.net.device_errors(host.interface).missed, 0);
    });
}

#[test]
fn small_requests_are_answered() {
    on_each(&setups(), &[], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let there = host.kernel.enter(|| std::net::UdpSocket::bind(at(kernel, 8))).expect("it is free");
            there.set_read_timeout(Some(Duration::from_millis(200))).expect("it is not zero");
            let here = UdpSocket::bind(&host.net, at(stack, 7)).expect("a port is free");
            here.set_read_timeout(Some(SOON)).expect("it is not zero");
            let mut buf = [0; 2000];
            for len in [1, 64, 1400] {
                let sent = pattern(1, len);
                let n = until_some("a datagram", SOON, || {
                    let _ = here.send_to(&sent, at(kernel, 8));
                    there.recv(&mut buf).ok()
                });
                assert_eq!(buf[..n], sent);
                let _ = there.send_to(&sent, at(stack, 7)).expect("there is a route");
                let (n, from) = here.recv_from(&mut buf).expect("it comes");
                assert_eq!((&buf[..n], from), (&sent[..], at(kernel, 8)));
            }
        }
    });
}
