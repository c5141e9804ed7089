//! Segments that leave, and arrive, as one frame: they count as what they are.

use super::*;
use crate::device::{Device, Memory};
use crate::stats::Stats;
use crate::tcp::Settings;

/// What both ends have counted after `len` bytes went from the first to the second, over a wire that can do so much.
/// The second is silent once the connection is there: how often it acknowledges depends on what it gets at once.
fn transfer(wire: Capabilities, len: usize) -> [Stats; 2] {
    let now = at(1.secs());
    let mut ends: [Memory; 2] = Memory::builder(wire).pair().unwrap().into();
    let mut hosts = [1, 2].map(|last: u8| {
        let mut stack = Stack::new(Config::seeded(last.into()));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr::UNSPECIFIED) };
        stack.add_interface(now, config.address(IpAddr::from([10, 0, 0, last]), 24), wire).unwrap();
        stack
    });
    let to = SocketAddr::from(([10, 0, 0, 2], 7));
    hosts[1].tcp_listen(to, 1, Settings::default()).unwrap();
    let client = hosts[0].tcp_connect(now, to, None, Settings::default()).unwrap();
    for from in [0, 1, 0] {
        pass(&mut hosts, &mut ends, from, now);
    }
    assert_eq!(hosts[0].tcp_send(now, client, &vec![7; len]), Ok(len));
    pass(&mut hosts, &mut ends, 0, now);
    hosts.map(|host| host.stats())
}

fn pass(hosts: &mut [Stack; 2], ends: &mut [Memory; 2], from: usize, now: Instant) {
    while let Some(frame) = hosts[from].poll_transmit(now, ETH) {
        ends[from].send(now, &frame).unwrap();
    }
    while let Some(frame) = ends[1 - from].recv(now).unwrap() {
        hosts[1 - from].handle_frame(now, ETH, frame);
    }
}

#[test]
fn a_transfer_has_the_same_numbers_merged_and_not() {
    let plain = Capabilities::plain(Medium::Ip, 1500);
    let merging = plain.merging();
    for len in [10 * 1448, 4 * 1448 + 1, 100] {
        let [one, other] = [plain, merging].map(|wire| transfer(wire, len));
        let segments = len.div_ceil(1448) as u64;
        let (sender, receiver) = (&other[0], &other[1]);
        assert_eq!((one[0].ip.out_frames, sender.ip.out_frames), (2 + segments, 3), "SYN, ACK and data");
        assert_eq!(sender.sent.by(Reason::NewData), segments);
        assert_eq!(sender.sent, one[0].sent);
        assert_eq!(sender.ip.out_requests, one[0].ip.out_requests);
        assert_eq!(sender.ip.out_octets, one[0].ip.out_octets);
        assert_eq!(sender.tcp, one[0].tcp);
        assert_eq!(receiver.in_v4, one[1].in_v4);
        assert_eq!(receiver.in_v4.in_delivers, 2 + segments);
        assert_eq!(receiver.in_v4.in_octets, sender.ip.out_octets);
        assert_eq!(receiver.tcp, one[1].tcp);
    }
}
