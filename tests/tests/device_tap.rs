//! TAP and TUN against the kernel.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use ustack::buf::frame::{Checksum, Offload, TxFrame};
use ustack::device::{Device, TapBuilder, TunBuilder, interfaces, wait};
use ustack::time::Instant;
use ustack_tests::device::{address, expect, send, send_offloaded, transmit, udp_socket};
use ustack_tests::frames::{asks_for_neighbor, udp, udp_payload};
use ustack_tests::kernel::{Namespace, Need, ready};
use ustack_tests::nobody::{am_nobody, run_as_nobody, run_without};

const NEEDS: [Need; 2] = [Need::Namespaces, Need::Tun];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
const KERNELS: [u8; 6] = [2, 0, 0, 0, 0, 1];

#[test]
fn frames_pass_both_ways_over_both_families() {
    if !ready(&NEEDS) {
        return;
    }
    Namespace::new().enter(|| {
        let mut tap = TapBuilder::new("tap7")
            .address("10.9.0.1/24")
            .address("fd09::1/64")
            .mac(KERNELS)
            .mtu(1400)
            .up()
            .build()
            .expect("we may");
        assert_eq!(tap.name(), "tap7");
        assert_eq!(tap.capabilities().mtu, 1400);
        assert_eq!(tap.kernel_mac().expect("it is there"), KERNELS);
        for (kernel, ours) in [("10.9.0.1:5000", "10.9.0.2:6000"), ("[fd09::1]:5000", "[fd09::2]:6000")] {
            let socket = udp_socket(kernel);
            send(&mut tap, &udp((OURS, KERNELS), address(ours), address(kernel), b"to the kernel"));
            let mut buffer = [0; 100];
            let (len, from) = socket.recv_from(&mut buffer).expect("it arrives");
            assert_eq!((&buffer[..len], from), (&b"to the kernel"[..], address(ours)));
            socket.send_to(b"back", ours).expect("there is a route");
            expect(&mut tap, |frame| asks_for_neighbor(frame.bytes).then_some(()));
        }
    });
}

#[test]
fn a_tun_hands_over_packets() {
    if !ready(&NEEDS) {
        return;
    }
    Namespace::new().enter(|| {
        let tun = TunBuilder::new("tun%d").address("10.9.0.1/24").address("fd09::1/64").up().build();
        let mut tun = tun.expect("we may");
        assert_eq!(tun.name(), "tun0");
        for (kernel, ours) in [("10.9.0.1:5000", "10.9.0.2:6000"), ("[fd09::1]:5000", "[fd09::2]:6000")] {
            let socket = udp_socket(kernel);
            socket.send_to(b"out", ours).expect("there is a route");
            assert_eq!(expect(&mut tun, |packet| udp_payload(packet.bytes, false, 6000)), b"out");
            send(&mut tun, &udp((OURS, KERNELS), address(ours), address(kernel), b"in")[14..]);
            let mut buffer = [0; 100];
            assert_eq!(socket.recv(&mut buffer).expect(kernel), 2);
        }
    });
}

#[test]
fn with_offloads_the_kernel_merges_and_we_may_too() {
    if !ready(&[Need::Namespaces, Need::Tun, Need::Tool("ip")]) {
        return;
    }
    let namespace = Namespace::new();
    let mut tap = namespace
        .enter(|| TapBuilder::new("tap0").address("10.9.0.1/24").mac(KERNELS).up().offload().build());
    let tap = tap.as_mut().expect("we may");
    assert!(tap.capabilities().checksum && tap.capabilities().max_merged > 60_000);
    namespace.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev tap0");
    let socket = namespace.enter(|| udp_socket("10.9.0.1:5000"));
    socket.send_to(b"partial", "10.9.0.2:6000").expect("there is a route");
    let checksum = expect(tap, |frame| udp_payload(frame.bytes, true, 6000).map(|_| frame.offload.checksum));
    assert_eq!(checksum, Checksum::Partial { start: 34, offset: 6 });
    // And back: we leave the sum to the kernel.
    let mut frame = udp((OURS, KERNELS), address("10.9.0.2:6000"), address("10.9.0.1:5000"), b"unsummed");
    let pseudo: u32 = [0x0a09u32, 2, 0x0a09, 1, 17, 8 + 8].iter().sum();
    frame[40..42].copy_from_slice(&(pseudo as u16).to_be_bytes());
    let offload = Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, gso: None };
    send_offloaded(tap, &TxFrame { offload, ..transmit(&frame) });
    let mut buffer = [0; 100];
    assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 8);
}

#[test]
fn the_interface_is_gone_with_its_device() {
    if !ready(&NEEDS) {
        return;
    }
    Namespace::new().enter(|| {
        let named = || interfaces().into_iter().find(|interface| interface.name == "tap0");
        let tap = TapBuilder::new("tap0").address("10.9.0.1/24").up().build().expect("we may");
        let found = named().expect("it is there");
        assert!(found.up);
        assert_eq!(found.addresses[0].to_string(), "10.9.0.1/24");
        drop(tap);
        assert_eq!(named(), None);
    });
}

#[test]
fn a_tap_that_is_down_takes_no_frames_and_lives() {
    if !ready(&[Need::Namespaces, Need::Tun, Need::Tool("ip")]) {
        return;
    }
    let namespace = Namespace::new();
    let mut tap = namespace.enter(|| TapBuilder::new("tap0").up().build()).expect("we may");
    namespace.ip("link set tap0 down");
    let frame = transmit(&[0; 60]);
    let error = tap.send(Instant::ZERO, &frame).expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    while tap.recv(Instant::ZERO).expect("it is not broken").is_some() {}
    namespace.ip("link set tap0 up");
    tap.send(Instant::ZERO, &frame).expect("it is back");
    namespace.ip("link delete tap0");
    assert_ne!(wait(&[tap.as_fd().expect("it has one")], Some(Duration::from_secs(5))).expect("it works"), 0);
    let error = loop {
        match tap.recv(Instant::ZERO) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a deleted interface is silent"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("tap0 is gone"), "{error}");
}

#[test]
fn what_is_refused_is_explained() {
    if !ready(&NEEDS) {
        return;
    }
    Namespace::new().enter(|| {
        let complaint = |builder: TapBuilder| builder.build().expect_err("it makes no sense").to_string();
        let _held = TapBuilder::new("tap0").build().expect("we may");
        for (builder, words) in [
            (TapBuilder::new("tap0"), ["cannot make tap0", "another process holds it"]),
            (TapBuilder::new("lo"), ["cannot make lo", "of another kind"]),
            (TapBuilder::new("a name"), ["`a name` is no name", "no space"]),
            (TapBuilder::new("tap1").address("10.9.0.1"), ["`10.9.0.1` is no address", "write 10.9.0.1/24"]),
            // Another name each time: while another thread starts a program, that may hold the last one a moment
            // longer.
            (TapBuilder::new("tap2").mtu(10), ["MTU of tap2 to 10", "choose 68"]),
            (TapBuilder::new("tap3").mac([1, 0, 0, 0, 0, 0]), ["address 01:00:00:00:00:00", "02:"]),
            (TapBuilder::new("tap4").mtu(1000).address("fd09::1/64").up(), ["fd09::1/64", "below 1280"]),
        ] {
            let complaint = complaint(builder);
            for word in words {
                assert!(complaint.contains(word), "{complaint}");
            }
        }
    });
}

#[test]
fn an_ordinary_user_is_told_what_to_do() {
    if am_nobody() {
        let error = TapBuilder::new("tap0").build().expect_err("we may not");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("run as root"), "{error}");
        return;
    }
    if !ready(&[Need::Namespaces, Need::Tun, Need::Tool("setpriv")]) {
        return;
    }
    run_as_nobody("an_ordinary_user_is_told_what_to_do");
}

#[test]
fn a_tap_that_root_prepared_is_there_for_others() {
    if am_nobody() {
        let prepared = || TapBuilder::new("tap5").address("10.9.0.1/24").mtu(1400).up();
        let tap = prepared().build().expect("everything is as it should be");
        assert_eq!((tap.name(), tap.capabilities().mtu), ("tap5", 1400));
        drop(tap);
        for (builder, command) in [
            (prepared().address("10.9.0.7/24"), "`ip address add 10.9.0.7/24 dev tap5`"),
            (prepared().mtu(1300), "`ip link set tap5 mtu 1300`"),
            (prepared().mac(KERNELS), "`ip link set tap5 address 02:00:00:00:00:01`"),
        ] {
            let error = builder.build().expect_err("we may not change it").to_string();
            assert!(error.contains(command), "{error}");
        }
        return;
    }
    if !ready(&[Need::Namespaces, Need::Tun, Need::Tool("ip"), Need::Tool("setpriv")]) {
        return;
    }
    let namespace = Namespace::new();
    // Ours, so that we may open it without being root.
    let user = std::fs::metadata("/proc/self").expect("we run").uid();
    namespace.ip(&format!("tuntap add tap5 mode tap user {user}"));
    namespace.ip("address add 10.9.0.1/24 dev tap5");
    namespace.ip("link set tap5 mtu 1400 up");
    namespace.enter(|| run_without("net_admin", "a_tap_that_root_prepared_is_there_for_others"));
}
