//! Several queues of one interface against the kernel: which queue gets a frame.

use std::net::SocketAddr;

use ustack::buf::shard::Shard;
use ustack::device::{Device, PacketBuilder, TapBuilder, TunBuilder};
use ustack::time::Instant;
use ustack_tests::device::{address, expect, send, udp_socket};
use ustack_tests::frames::{udp, udp_payload};
use ustack_tests::kernel::{Namespace, Need, Wire, ready};
use ustack_tests::wait::{SOON, until_some};

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
const KERNELS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PAIRS: [(&str, &str); 2] = [("10.9.0.1:5000", "10.9.0.2:6000"), ("[fd09::1]:5000", "[fd09::2]:6000")];

/// The queue to which a datagram for that port comes.
fn arrives_at(devices: &mut [impl Device], ethernet: bool, port: u16) -> usize {
    until_some("the datagram to arrive at a queue", SOON, || {
        devices.iter_mut().position(|device| {
            let mut arrived = false;
            while let Some(frame) = device.recv(Instant::ZERO).expect("the device works") {
                arrived |= udp_payload(frame.bytes, ethernet, port).is_some();
            }
            arrived
        })
    })
}

#[test]
fn a_flow_of_a_tap_comes_to_the_queue_that_it_left_by() {
    if !ready(&[Need::Namespaces, Need::Tun]) {
        return;
    }
    let kernel = Namespace::new();
    let builder = TapBuilder::new("tap%d").address("10.9.0.1/24").address("fd09::1/64").mac(KERNELS).up();
    let mut taps = kernel.enter(|| builder.build_queues(3)).expect("we may");
    assert!(taps.len() == 3 && taps.iter().all(|tap| tap.name() == "tap0"));
    kernel.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev tap0");
    kernel.ip("neigh add fd09::2 lladdr 02:00:00:00:00:09 dev tap0");
    for (theirs, ours) in PAIRS {
        let socket = kernel.enter(|| udp_socket(theirs));
        for queue in [0, 1, 2, 1, 0] {
            send(&mut taps[queue], &udp((OURS, KERNELS), address(ours), address(theirs), b"from here"));
            let (_, from) = socket.recv_from(&mut [0; 10]).expect("it arrives");
            socket.send_to(b"to there", from).expect("there is a route");
            assert_eq!(arrives_at(&mut taps, true, 6000), queue);
        }
    }
}

#[test]
fn a_tun_has_queues_too() {
    if !ready(&[Need::Namespaces, Need::Tun]) {
        return;
    }
    let kernel = Namespace::new();
    let builder = TunBuilder::new("tun7").address("10.9.0.1/24").offload().up();
    let mut tuns = kernel.enter(|| builder.build_queues(2)).expect("we may");
    let socket = kernel.enter(|| udp_socket("10.9.0.1:5000"));
    // Flows that the kernel has not seen yet: it shares them out by a hash of its own.
    let mut seen = [false; 2];
    for port in 6000..6064 {
        socket.send_to(b"out", SocketAddr::from(([10, 9, 0, 2], port))).expect("there is a route");
        seen[arrives_at(&mut tuns, false, port)] = true;
    }
    assert_eq!(seen, [true; 2]);
}

/// The program in the kernel and our own function choose the same.
#[test]
fn packet_sockets_share_flows_as_the_shards_do() {
    if !ready(&[Need::Namespaces, Need::Tool("ip")]) {
        return;
    }
    for count in [1, 2, 3] {
        let wire = Wire::to_bare_end();
        let builder = PacketBuilder::new("eth0").mac(OURS);
        let mut packets = wire.right.enter(|| builder.build_queues(count)).expect("we may");
        let shard = Shard::all(count).next().expect("there is one");
        for (theirs, ours) in PAIRS {
            let (theirs, ours) = (address(theirs), address(ours));
            wire.left.ip(&format!("neigh replace {} lladdr 02:00:00:00:00:09 dev eth0", ours.ip()));
            let socket = wire.left.enter(|| udp_socket(&theirs.to_string()));
            for port in 6000..6032 {
                socket.send_to(b"out", SocketAddr::new(ours.ip(), port)).expect("there is a route");
                let owner = shard.owner((ours.ip(), port), (theirs.ip(), theirs.port()));
                assert_eq!(arrives_at(&mut packets, true, port), owner, "{theirs} {port} of {count}");
            }
            // What is in fragments has no ports: all of it comes to the first.
            socket.send_to(&[7; 4000], ours).expect("there is a route");
            let mut fragments = 0;
            while fragments < 3 {
                expect(&mut packets[0], |frame| (frame.bytes.len() > 1000).then_some(()));
                fragments += 1;
            }
        }
    }
}

#[test]
fn no_queue_or_too_many_are_refused() {
    for count in [0, 65] {
        let error = TapBuilder::new("tap7").build_queues(count).expect_err("there can be 1 to 64");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(PacketBuilder::new("lo").build_queues(count).is_err());
    }
}
