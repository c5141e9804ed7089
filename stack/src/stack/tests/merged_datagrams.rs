//! Datagrams of one size that leave, and arrive, as one frame.

use super::*;
use crate::device::{Device, Memory};

/// A wire that takes merged frames, and two hosts that know each other's link addresses.
fn hosts() -> ([Stack; 2], [Memory; 2]) {
    let plain = Capabilities::plain(Medium::Ip, 1500);
    let capabilities = plain.merging();
    let (left, right) = Memory::builder(capabilities).pair().unwrap();
    let host = |last: u8| {
        let mut stack = Stack::new(Config::seeded(last.into()));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr::UNSPECIFIED) };
        let config = config.address(IpAddr::from([10, 0, 0, last]), 24);
        stack.add_interface(at(Duration::ZERO), config, capabilities).unwrap();
        stack
    };
    ([host(1), host(2)], [left, right])
}

/// Moves all frames from the first host to the second; answers how many there were.
fn pass(hosts: &mut [Stack; 2], wire: &mut [Memory; 2]) -> usize {
    let (now, mut frames) = (at(Duration::ZERO), 0);
    while let Some(frame) = hosts[0].poll_transmit(now, ETH) {
        wire[0].send(now, &frame).unwrap();
        frames += 1;
    }
    while let Some(frame) = wire[1].recv(now).unwrap() {
        hosts[1].handle_frame(now, ETH, frame);
    }
    frames
}

/// The lengths of all datagrams that wait.
fn lengths(stack: &mut Stack, id: SocketId) -> Vec<usize> {
    let mut buffer = [0; 65_536];
    core::iter::from_fn(|| stack.udp_recv_from(id, &mut buffer).ok())
        .map(|received| received.length)
        .collect()
}

fn sockets(hosts: &mut [Stack; 2]) -> [SocketId; 2] {
    [0, 1].map(|index: usize| {
        let local = SocketAddr::from(([10, 0, 0, index as u8 + 1], 7));
        hosts[index].udp_bind(local).unwrap()
    })
}

#[test]
fn a_burst_is_one_frame_and_many_datagrams() {
    let (mut hosts, mut wire) = hosts();
    let [sender, receiver] = sockets(&mut hosts);
    let to = Some(SocketAddr::from(([10, 0, 0, 2], 7)));
    hosts[0].udp_send_segments(at(Duration::ZERO), sender, &[7; 10_500], 1000, to).unwrap();
    assert_eq!(pass(&mut hosts, &mut wire), 1);
    assert_eq!(lengths(&mut hosts[1], receiver), [[1000; 10].as_slice(), &[500]].concat());
    assert_eq!((hosts[0].stats().udp.out_datagrams, hosts[1].stats().udp.in_datagrams), (11, 11));
    assert_eq!(hosts[0].udp_counters(sender).unwrap().sent, 11);
}

#[test]
fn datagrams_that_wait_together_leave_together() {
    let (mut hosts, mut wire) = hosts();
    let [sender, receiver] = sockets(&mut hosts);
    let to = Some(SocketAddr::from(([10, 0, 0, 2], 7)));
    for len in [100, 100, 40, 100, 2000, 2000, 0, 0] {
        hosts[0].udp_send_to(at(Duration::ZERO), sender, &vec![7; len], to).unwrap();
    }
    // Three alike, one alone; two that do not fit the wire, in two fragments each; two empty ones.
    assert_eq!(pass(&mut hosts, &mut wire), 1 + 1 + 2 * 2 + 2);
    assert_eq!(lengths(&mut hosts[1], receiver), [100, 100, 40, 100, 2000, 2000, 0, 0]);
}

#[test]
fn what_finds_no_room_is_counted_each() {
    let (mut hosts, mut wire) = hosts();
    let [sender, receiver] = sockets(&mut hosts);
    let to = Some(SocketAddr::from(([10, 0, 0, 2], 7)));
    let room = hosts[1].config().udp_receive_buffer;
    for _ in 0..room / 50_000 + 1 {
        hosts[0].udp_send_segments(at(Duration::ZERO), sender, &[7; 50_000], 1000, to).unwrap();
        pass(&mut hosts, &mut wire);
    }
    assert_eq!(lengths(&mut hosts[1], receiver).len(), room / 1000);
    let stats = hosts[1].stats().udp;
    assert_eq!(stats.in_datagrams + stats.rcvbuf_errors, hosts[0].stats().udp.out_datagrams);
    assert!(stats.rcvbuf_errors > 0);
}

#[test]
fn identifications_go_on_behind_those_that_the_device_gives() {
    let (mut hosts, _) = hosts();
    let [sender, _] = sockets(&mut hosts);
    let to = Some(SocketAddr::from(([10, 0, 0, 2], 7)));
    let now = at(Duration::ZERO);
    let mut id = || {
        hosts[0].udp_send_segments(now, sender, &[7; 10_000], 1000, to).unwrap();
        let frame = hosts[0].poll_transmit(now, ETH).unwrap().to_vec();
        u16::from_be_bytes([frame[4], frame[5]])
    };
    let first = id();
    assert_eq!(id(), first.wrapping_add(10));
}

#[test]
fn more_than_the_queue_holds_is_refused_and_nothing_is_queued() {
    let (mut hosts, mut wire) = hosts();
    let [sender, _] = sockets(&mut hosts);
    let to = Some(SocketAddr::from(([10, 0, 0, 2], 7)));
    let mut send =
        |bytes: &[u8], size| hosts[0].udp_send_segments(at(Duration::ZERO), sender, bytes, size, to);
    assert!(matches!(send(&[7; 5000], 1), Err(Error::Udp(crate::udp::Error::MessageTooLong { .. }))));
    assert!(matches!(send(&[7; 5000], 0), Err(Error::Udp(crate::udp::Error::MessageTooLong { .. }))));
    assert_eq!(pass(&mut hosts, &mut wire), 0);
}
