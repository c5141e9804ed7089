//! Packet sockets in all their kinds: with slots for frames, with blocks of them, and without a ring; one frame a
//! system call, and many.

use std::time::Duration;

use ustack::blocking::UdpSocket;
use ustack::device::PacketBuilder;
use ustack_tests::host::{KERNEL, Link, STACK, Setup, at};
use ustack_tests::matrix::on_each;
use ustack_tests::pattern::pattern;
use ustack_tests::streams::streams_both_ways;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, until_some};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");

/// Every kind, on a wire of single segments and on one of merged frames. Those with blocks answer late, so that the
/// kernel may repeat itself.
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
    let two = [&plain, &merging].map(|setups| setups.each_ref().map(|setup| setup.clone().queues(2)));
    [&plain[..], &merging, &large, two.as_flattened()].concat()
}

#[test]
fn streams_arrive_whole_both_ways() {
    on_each(&setups(), &[], FLOW_CONTROL, |host| streams_both_ways(host, PEER));
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
