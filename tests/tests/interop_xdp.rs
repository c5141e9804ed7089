//! An XDP socket on a virtual wire: streams, requests, what reaches the kernel and what does not, and what is refused.

use std::net::{SocketAddr, UdpSocket};

use ustack::device::{Device, XdpBuilder};
use ustack::time::Instant;
use ustack_tests::device::{address, expect, send, udp_socket};
use ustack_tests::frames::{udp, udp_payload};
use ustack_tests::host::{Link, STACK, Setup};
use ustack_tests::kernel::{Need, Wire, ready};
use ustack_tests::matrix::on_each;
use ustack_tests::pattern::pattern;
use ustack_tests::process::tool;
use ustack_tests::streams::streams_both_ways;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, now, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
const NEEDS: [Need; 4] = [Need::Namespaces, Need::Xdp, Need::Tool("ip"), Need::Tool("ethtool")];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
const KERNELS: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// With complete checksums, and with those that the kernel leaves open; and of another size.
fn setups() -> [Setup; 3] {
    let setup = Setup::new(Link::Xdp);
    [setup.clone(), setup.clone().merging(), setup.mtu(3000)]
}

#[test]
fn streams_arrive_whole_both_ways() {
    on_each(&setups(), &[], FLOW_CONTROL, |host| streams_both_ways(host, PEER));
}

#[test]
fn pings_of_all_sizes_are_answered() {
    on_each(&setups(), &["ping"], &[], |host| {
        for stack in STACK {
            for bytes in ["0", "1400", "20000"] {
                let mut ping = tool("ping");
                let _ = host.kernel.run(ping.args(["-c", "3", "-i", "0.01", "-s", bytes, stack])).success();
            }
        }
    });
}

/// A socket of the kernel's at the other end, which knows where we are.
fn kernel_end(wire: &Wire) -> UdpSocket {
    wire.left.ip("link set eth0 address 02:00:00:00:00:01");
    wire.left.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev eth0");
    wire.left.enter(|| udp_socket("10.9.0.1:5000"))
}

#[test]
fn thousands_of_frames_leave_in_order() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::to_bare_end();
    let socket = kernel_end(&wire);
    let mut device = wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).batch().build()).expect("we may");
    assert!(!device.is_zero_copy(), "a veth copies");
    let (from, to): (SocketAddr, SocketAddr) = (address("10.9.0.2:6000"), address("10.9.0.1:5000"));
    let mut buffer = [0; 2000];
    // More than there are places for.
    for round in 0..75u8 {
        for i in 0..40u8 {
            send(
                &mut device,
                &udp((OURS, KERNELS), from, to, &[&[round, i][..], &pattern(1, 1400)].concat()),
            );
        }
        assert_eq!(device.flush(Instant::ZERO).expect("the wire takes all"), 0);
        for i in 0..40 {
            assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 1402);
            assert_eq!(buffer[..2], [round, i]);
        }
    }
}

#[test]
fn each_frame_comes_once_however_often_we_ask() {
    const SENT: u16 = 20_000;
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::to_bare_end();
    let socket = kernel_end(&wire);
    let mut device = wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).build()).expect("we may");
    let (mut arrived, mut next) = (0, 0);
    let deadline = now() + SOON;
    std::thread::scope(|scope| {
        let _ = scope.spawn(|| {
            for number in 0..SENT {
                let _ = socket.send_to(&number.to_be_bytes(), "10.9.0.2:6000").expect("the wire takes all");
            }
        });
        // Asked without a pause, it is asked at the moment when a frame arrives, too.
        while arrived + device.missed() < u64::from(SENT) {
            assert!(now() < deadline, "{arrived} arrived, {} missed", device.missed());
            for _ in 0..100 {
                let Some(frame) = device.recv(Instant::ZERO).expect("it works") else { continue };
                let Some(payload) = udp_payload(frame.bytes, true, 6000) else { continue };
                let number = u16::from_be_bytes(payload.try_into().expect("two bytes"));
                assert!(number >= next, "{number} comes again, or late: {next} is next");
                (arrived, next) = (arrived + 1, number + 1);
            }
        }
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    const SENT: u64 = 3000;
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::to_bare_end();
    let socket = kernel_end(&wire);
    let mut device = wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).build()).expect("we may");
    for _ in 0..SENT {
        let _ = socket.send_to(b"out", "10.9.0.2:6000").expect("the wire takes all");
    }
    let mut arrived = 0;
    until("the others to be counted", SOON, || {
        while let Some(frame) = device.recv(Instant::ZERO).expect("it works") {
            arrived += u64::from(udp_payload(frame.bytes, true, 6000).is_some());
        }
        arrived + device.missed() >= SENT
    });
    assert!(arrived >= 1000 && device.missed() > 0, "{arrived} arrived, {} missed", device.missed());
    socket.send_to(b"again", "10.9.0.2:6000").expect("the wire takes all");
    let payload = expect(&mut device, |frame| udp_payload(frame.bytes, true, 6000));
    assert_eq!(payload, b"again");
}

#[test]
fn the_kernel_keeps_what_is_not_ours() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::between_kernels();
    let kernel = wire.left.enter(|| udp_socket("10.9.0.1:5000"));
    let beside = wire.right.enter(|| udp_socket("10.9.0.2:6000"));
    // Both know each other before: what asks for neighbours is the stack's from now on.
    kernel.send_to(b"before", "10.9.0.2:6000").expect("there is a route");
    assert_eq!(beside.recv(&mut [0; 10]).expect("it arrives"), 6);
    let mut device = wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).build()).expect("we may");
    kernel.send_to(b"kernel's", "10.9.0.2:6000").expect("there is a route");
    assert_eq!(beside.recv(&mut [0; 10]).expect("it arrives"), 8);
    wire.left.ip("neigh add 10.9.0.3 lladdr 02:00:00:00:00:09 dev eth0");
    kernel.send_to(b"ours", "10.9.0.3:6000").expect("there is a route");
    let payload = expect(&mut device, |frame| udp_payload(frame.bytes, true, 6000));
    assert_eq!(payload, b"ours");
    // When the socket is gone, so is its program: all is the kernel's again.
    drop(device);
    kernel.set_broadcast(true).expect("it can");
    kernel.send_to(b"for all", "10.9.0.255:6000").expect("there is a route");
    wire.left.ip("neigh flush dev eth0");
    kernel.send_to(b"after", "10.9.0.2:6000").expect("there is a route");
    assert_eq!(beside.recv(&mut [0; 10]).expect("it arrives"), 5);
}

#[test]
fn what_is_refused_is_explained() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::to_bare_end();
    let build = |queue| wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).queue(queue).build());
    let refusal = build(7).expect_err("there is no such queue").to_string();
    assert!(refusal.contains("no such queue"), "{refusal}");
    let mut device = build(0).expect("we may");
    let refusal = build(0).expect_err("it is taken").to_string();
    assert!(refusal.contains("another program has it"), "{refusal}");
    wire.right.ip("link del eth0");
    let mut told = None;
    until("the device to say that it is gone", SOON, || {
        told = device.recv(Instant::ZERO).err().map(|error| error.to_string());
        told.is_some()
    });
    assert_eq!(told.as_deref(), Some("eth0 went down or was removed"));

    let wire = Wire::to_bare_end();
    wire.right.ip("link set eth0 mtu 9000");
    let refusal = wire.right.enter(|| XdpBuilder::new("eth0").build()).expect_err("too large").to_string();
    assert!(refusal.contains("`ip link set eth0 mtu 3826` or less"), "{refusal}");
}
