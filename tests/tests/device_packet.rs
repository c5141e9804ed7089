//! Raw devices on a virtual wire whose kernel end merges frames and leaves checksums open.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use ustack::buf::frame::{Checksum, Gso, GsoKind, Offload, TxFrame};
use ustack::device::{Device, PacketBuilder as Raw, PnetBuilder, offloads};
use ustack::time::Instant;
use ustack_tests::device::{address, expect, send, send_offloaded, transmit, udp_socket};
use ustack_tests::frames::{tcp_payload, udp, udp_payload};
use ustack_tests::kernel::{Namespace, Need, ready};
use ustack_tests::process::tool;
use ustack_tests::wait::{SOON, until};

const NEEDS: [Need; 3] = [Need::Namespaces, Need::Tool("ip"), Need::Tool("ethtool")];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
const KERNELS: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A wire between two kernels, with all offloads on; the left one knows our link address.
struct Wire {
    left: Namespace,
    right: Namespace,
}

impl Wire {
    fn new() -> Self {
        let wire = Self { left: Namespace::new(), right: Namespace::new() };
        let right = wire.right.path();
        wire.left.ip(&format!(
            "link add eth0 address 02:00:00:00:00:01 type veth peer eth0 netns {}",
            right.display()
        ));
        wire.right.sysctl("ipv6/conf/eth0/addr_gen_mode", "1");
        wire.right.ip("link set eth0 up");
        wire.left.address("eth0", "10.9.0.1".parse().expect("an address"), 24);
        wire.left.address("eth0", "fd09::1".parse().expect("an address"), 64);
        wire.left.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev eth0");
        wire.left.ip("neigh add fd09::2 lladdr 02:00:00:00:00:09 dev eth0");
        wire.left.wait_up("eth0");
        wire
    }
}

/// Both kinds of raw devices do the same, so they take the same test.
fn both(test: impl Fn(&Wire, &mut dyn Device)) {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    let mut packet = wire.right.enter(|| Raw::new("eth0").mac(OURS).build()).expect("we may");
    test(&wire, &mut packet);
    let wire = Wire::new();
    let mut pnet = wire.right.enter(|| PnetBuilder::new("eth0").mac(OURS).build()).expect("we may");
    test(&wire, &mut pnet);
}

#[test]
fn a_checksum_that_the_kernel_left_open_is_vouched_for() {
    both(|wire, device| {
        for (kernel, ours) in [("10.9.0.1:5000", "10.9.0.2:6000"), ("[fd09::1]:5000", "[fd09::2]:6000")] {
            let socket = wire.left.enter(|| udp_socket(kernel));
            socket.send_to(b"out", ours).expect("there is a route");
            let (payload, offload) = expect(device, |frame| {
                udp_payload(frame.bytes, true, 6000).map(|payload| (payload, frame.offload))
            });
            assert_eq!(payload, b"out");
            assert!(offload.checksum != Checksum::Full && offload.gso.is_none());
            send(device, &udp((OURS, KERNELS), address(ours), address(kernel), b"back"));
            let mut buffer = [0; 100];
            assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 4);
        }
    });
}

#[test]
fn what_was_sent_summed_is_to_be_verified() {
    both(|wire, device| {
        wire.left.no_offloads("eth0");
        let socket = wire.left.enter(|| udp_socket("10.9.0.1:5000"));
        socket.send_to(b"out", "10.9.0.2:6000").expect("there is a route");
        let offload = expect(device, |frame| udp_payload(frame.bytes, true, 6000).map(|_| frame.offload));
        assert_eq!(offload, Offload::NONE);
    });
}

/// Answers the SYN of a kernel's connection to port 80, and gives what was connected and its first sequence number.
fn accept(wire: &Wire, device: &mut dyn Device) -> (TcpStream, SocketAddr, u32) {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| wire.left.enter(|| TcpStream::connect("10.9.0.2:80")));
        let (port, sequence) =
            expect(device, |frame| match SlicedPacket::from_ethernet(frame.bytes).ok()?.transport? {
                TransportSlice::Tcp(tcp) if tcp.syn() => Some((tcp.source_port(), tcp.sequence_number())),
                _ => None,
            });
        let mut answer = Vec::new();
        PacketBuilder::ethernet2(OURS, KERNELS)
            .ipv4([10, 9, 0, 2], [10, 9, 0, 1], 64)
            .tcp(80, port, 1000, 65_535)
            .syn()
            .ack(sequence.wrapping_add(1))
            .options(&[etherparse::TcpOptionElement::MaximumSegmentSize(1000)])
            .expect("there is room")
            .write(&mut answer, &[])
            .expect("a vector takes all");
        send(device, &answer);
        let client = client.join().expect("it does not panic").expect("we answered");
        (client, SocketAddr::from(([10, 9, 0, 1], port)), sequence.wrapping_add(1))
    })
}

#[test]
fn merged_segments_arrive_whole() {
    both(|wire, device| {
        let (mut client, _, _) = accept(wire, device);
        let sent: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
        client.write_all(&sent).expect("there is room");
        let (mut got, mut merged) = (Vec::new(), None);
        while got.len() < sent.len() {
            let (payload, offload) =
                expect(device, |frame| tcp_payload(frame.bytes, 80).map(|payload| (payload, frame.offload)));
            assert_ne!(offload.checksum, Checksum::Full);
            if payload.len() > 1000 {
                merged = merged.or(offload.gso);
            }
            got.extend(payload);
        }
        assert_eq!(got, sent);
        let merged = merged.expect("a kernel with offloads sends its window as one frame");
        assert_eq!((merged.kind, merged.header), (GsoKind::Tcp4, 54));
    });
}

#[test]
fn a_packet_socket_tells_the_size_of_the_segments_and_takes_merged_ones() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    let mut device = wire.right.enter(|| Raw::new("eth0").mac(OURS).offload().build()).expect("we may");
    assert!(device.capabilities().checksum && device.capabilities().max_merged > 60_000);
    let (mut client, kernel, sequence) = accept(&wire, &mut device);
    client.write_all(&[7; 5000]).expect("there is room");
    let gso = expect(&mut device, |frame| {
        tcp_payload(frame.bytes, 80).filter(|payload| !payload.is_empty()).and(Some(frame.offload.gso))
    });
    assert_eq!(gso, Some(Gso { kind: GsoKind::Tcp4, size: 1000, header: 54 }));

    // 20,000 bytes as one frame, whose sum is the kernel's business.
    let payload: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(OURS, KERNELS)
        .ipv4([10, 9, 0, 2], [10, 9, 0, 1], 64)
        .tcp(80, kernel.port(), 1001, 65_535)
        .ack(sequence)
        .write(&mut frame, &payload)
        .expect("a vector takes all");
    let pseudo = [0x0a09u32, 2, 0x0a09, 1, 6, 20_020].iter().sum::<u32>();
    frame[50..52].copy_from_slice(&(pseudo as u16).to_be_bytes());
    let offload = Offload {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        gso: Some(Gso { kind: GsoKind::Tcp4, size: 1000, header: 54 }),
    };
    send_offloaded(&mut device, &TxFrame { offload, ..transmit(&frame) });
    let mut got = vec![0; payload.len()];
    client.read_exact(&mut got).expect("it arrives");
    assert_eq!(got, payload);
}

#[test]
fn only_frames_for_us_arrive() {
    both(|wire, device| {
        wire.left.ip("neigh add 10.9.0.3 lladdr 02:00:00:00:00:33 dev eth0");
        let socket = wire.left.enter(|| udp_socket("10.9.0.1:5000"));
        socket.set_broadcast(true).expect("it can");
        socket.send_to(b"not ours", "10.9.0.3:6000").expect("there is a route");
        socket.send_to(b"for all", "10.9.0.255:6000").expect("there is a route");
        let payload = expect(device, |frame| udp_payload(frame.bytes, true, 6000));
        assert_eq!(payload, b"for all");
        // What leaves by the interface did not arrive.
        send(device, &udp((OURS, KERNELS), address("10.9.0.2:6000"), address("10.9.0.1:5000"), b"ours"));
        socket.recv(&mut [0; 10]).expect("it arrives there");
        while let Some(frame) = device.recv(Instant::ZERO).expect("it works") {
            assert_eq!(udp_payload(frame.bytes, true, 5000), None);
        }
    });
}

#[test]
fn a_promiscuous_device_hears_the_others_but_nobody_s_own() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    let mut all = wire.right.enter(|| Raw::new("eth0").promiscuous().build()).expect("we may");
    let mut one = wire.right.enter(|| Raw::new("eth0").mac(OURS).build()).expect("we may");
    wire.left.ip("neigh add 10.9.0.3 lladdr 02:00:00:00:00:33 dev eth0");
    let (from, to) = (address("10.9.0.2:6000"), address("10.9.0.1:5000"));
    send(&mut one, &udp((OURS, KERNELS), from, to, b"leaves"));
    let socket = wire.left.enter(|| udp_socket("10.9.0.1:5001"));
    socket.send_to(b"arrives", "10.9.0.3:6000").expect("there is a route");
    let seen = expect(&mut all, |frame| {
        assert_eq!(udp_payload(frame.bytes, true, 5000), None, "this frame left the interface");
        udp_payload(frame.bytes, true, 6000)
    });
    assert_eq!(seen, b"arrives");
}

#[test]
fn pnet_refuses_or_switches_off_what_merges_on_receipt() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    let _ = wire.right.run(tool("ethtool").args(["-K", "eth0", "gro", "on"])).success();
    wire.right.enter(|| {
        let gro = || {
            let states = offloads("eth0").expect("it is there");
            states.iter().any(|state| state.name == "gro" && state.on)
        };
        assert!(gro());
        let refusal = PnetBuilder::new("eth0").build().expect_err("it would merge").to_string();
        assert!(
            refusal.contains("its gro would merge") && refusal.contains("ethtool -K eth0 gro off"),
            "{refusal}"
        );
        let device = PnetBuilder::new("eth0").switch_off_offloads().build().expect("we may");
        assert!(!gro());
        drop(device);
        assert!(gro(), "it is on again when nobody listens any more");
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    const SENT: u64 = 8000;
    type Kind = fn(Raw) -> Raw;
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    wire.left.no_offloads("eth0");
    let blocks = |builder: Raw| builder.coalesce(Duration::from_millis(1));
    let kinds: [(Kind, usize); 3] = [(|it| it, 0), (blocks, 1400), (Raw::no_ring, 1400)];
    for (kind, size) in kinds {
        let mut device = wire.right.enter(|| kind(Raw::new("eth0").mac(OURS)).build()).expect("we may");
        let socket = wire.left.enter(|| udp_socket("10.9.0.1:5000"));
        for _ in 0..SENT {
            let _ = socket.send_to(&vec![7; size], "10.9.0.2:6000").expect("the wire takes all");
        }
        let mut arrived = 0;
        while arrived + device.missed() < SENT {
            arrived += expect(&mut device, |frame| udp_payload(frame.bytes, true, 6000).map(|_| 1));
        }
        let missed = device.missed();
        assert!(missed > 0 && arrived > 500, "{missed} missed, {arrived} arrived");
        assert_eq!(device.missed(), missed, "they are counted once");
        // There is room again.
        socket.send_to(b"again", "10.9.0.2:6000").expect("the wire takes all");
        let payload = expect(&mut device, |frame| {
            udp_payload(frame.bytes, true, 6000).filter(|payload| payload == b"again")
        });
        assert_eq!(payload, b"again");
    }
}

#[test]
fn what_waits_leaves_in_order() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    wire.left.no_offloads("eth0");
    let mut device = wire.right.enter(|| Raw::new("eth0").mac(OURS).batch().build()).expect("we may");
    assert!(device.has_ring());
    let socket = wire.left.enter(|| udp_socket("10.9.0.1:5000"));
    let (from, to) = (address("10.9.0.2:6000"), address("10.9.0.1:5000"));
    for i in 0..100u8 {
        send(&mut device, &udp((OURS, KERNELS), from, to, &[i]));
    }
    assert_eq!(device.flush(Instant::ZERO).expect("the wire takes all"), 0);
    let mut buffer = [0];
    for i in 0..100 {
        assert_eq!((socket.recv(&mut buffer).expect("it arrives"), buffer), (1, [i]));
    }
    // Nobody takes them: they go on waiting.
    (0..5).for_each(|i| send(&mut device, &udp((OURS, KERNELS), from, to, &[i])));
    wire.right.ip("link set eth0 down");
    let down = device.flush(Instant::ZERO).expect_err("it is down");
    assert_eq!(down.kind(), ErrorKind::WouldBlock);
    wire.right.ip("link set eth0 up");
    until("the link takes frames", SOON, || matches!(device.flush(Instant::ZERO), Ok(0)));
    for i in 0..5 {
        assert_eq!((socket.recv(&mut buffer).expect("it arrives"), buffer), (1, [i]));
    }
}

#[test]
fn what_is_refused_is_explained() {
    if !ready(&NEEDS) {
        return;
    }
    let wire = Wire::new();
    let mut device = wire.right.enter(|| Raw::new("eth0").build()).expect("we may");
    assert_ne!(device.mac(), wire.right.enter(|| Raw::new("eth0").build()).map(|_| KERNELS).expect("we may"));
    let refusal = wire.right.enter(|| Raw::new("eth7").build()).expect_err("there is none").to_string();
    assert!(refusal.contains("eth7") && refusal.contains("there are: lo, eth0"), "{refusal}");
    wire.right.ip("link set eth0 down");
    let refusal = wire.right.enter(|| PnetBuilder::new("eth0").build()).expect_err("it is down").to_string();
    assert!(refusal.contains("`ip link set eth0 up`"), "{refusal}");
    let error = loop {
        match device.recv(Instant::ZERO) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an interface that went down says so"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("eth0 went down"), "{error}");
}
