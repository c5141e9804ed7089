//! The simulator by itself: two hosts that know nothing of it carry a conversation over bad links.

use std::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use ustack::buf::frame::Medium;
use ustack::capture::{Capture, Reader, Text};
use ustack::sim::{FateList, LinkConfig, Network, NodeId, Stop, SwitchKind};
use ustack::time::{Units as _, at};
use ustack_tests::pattern::pattern;
use ustack_tests::smol::SmolHost;

const SERVER_PORT: u16 = 7000;

struct Transfer {
    net: Network<SmolHost>,
    client: (NodeId, SocketHandle),
    server: (NodeId, SocketHandle),
    to_send: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

impl Transfer {
    /// Two hosts on a switch, the first of which sends `len` bytes.
    fn new(medium: Medium, link: &str, len: usize, family: &str) -> Self {
        let mut net = Network::new(7);
        let (a, b) =
            if family == "v4" { ("10.9.0.1/24", "10.9.0.2/24") } else { ("fd09::1/64", "fd09::2/64") };
        let client = net.add_node("client", SmolHost::new(medium, 1500, 1, &[a], 1));
        let server = net.add_node("server", SmolHost::new(medium, 1500, 2, &[b], 2));
        let kind = if medium == Medium::Ethernet { SwitchKind::Switch } else { SwitchKind::Hub };
        let switch = net.add_switch("switch", kind);
        let config = LinkConfig { medium, ..LinkConfig::both(link.parse().unwrap()) };
        net.connect(client, switch.port(0), config);
        net.connect(server, switch.port(1), LinkConfig { medium, ..LinkConfig::default() });
        let listening = net.node_mut(server).add_tcp(65_535);
        net.node_mut(server).tcp(listening).listen(SERVER_PORT).unwrap();
        let calling = net.node_mut(client).add_tcp(65_535);
        let remote = SocketAddr::new(b.split('/').next().unwrap().parse().unwrap(), SERVER_PORT);
        net.node_mut(client).connect(calling, remote, 40_000).unwrap();
        let to_send = pattern(1, len);
        let (client, server) = ((client, calling), (server, listening));
        Self { net, client, server, to_send, sent: 0, received: Vec::new() }
    }

    /// Runs until all has arrived. Nobody closes: when a FIN is lost, this peer may wait for ever.
    fn run(&mut self) {
        let Self { net, client, server, to_send, sent, received } = self;
        let stop = net.run_until_done(at(3600.secs()), |net| {
            let socket = net.node_mut(client.0).tcp(client.1);
            if socket.can_send() && *sent < to_send.len() {
                *sent += socket.send_slice(&to_send[*sent..]).unwrap();
            }
            let socket = net.node_mut(server.0).tcp(server.1);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes))).unwrap();
            }
            received.len() >= to_send.len()
        });
        let states = [*client, *server].map(|(node, socket)| net.node_mut(node).tcp(socket).state());
        assert_eq!(stop, Stop::Done, "at {}: {states:?}, {} received", net.now(), received.len());
        assert!(self.received == self.to_send, "what arrived is not what was sent");
    }
}

#[test]
fn a_transfer_survives_a_bad_link() {
    let link = "delay 10ms 3ms loss 2% duplicate 4% reorder 5% rate 20mbit queue 100";
    for (medium, family) in [(Medium::Ethernet, "v4"), (Medium::Ip, "v4"), (Medium::Ip, "v6")] {
        let mut transfer = Transfer::new(medium, link, 200_000, family);
        transfer.run();
        let counts: Vec<_> = transfer.net.counts().map(|(_, counts)| *counts).collect();
        assert!(counts[0].lost > 0 && counts[0].duplicated > 0, "{counts:?}");
    }
}

/// Runs a transfer; answers its fates, its end and its capture.
fn record(play: Option<&FateList>) -> (FateList, ustack::time::Instant, Vec<u8>) {
    let link = "delay 10ms 3ms loss 2% corrupt 1% duplicate 1% rate 20mbit";
    let mut transfer = Transfer::new(Medium::Ethernet, link, 100_000, "v4");
    let (capture, buffer) = Capture::in_memory();
    transfer.net.capture_node(transfer.server.0, &capture).unwrap();
    transfer.net.record_fates(None);
    if let Some(list) = play {
        transfer.net.play_back(list);
    }
    transfer.run();
    (transfer.net.fates(), transfer.net.now(), buffer.bytes())
}

#[test]
fn a_run_is_repeated_to_the_byte_by_its_seed_and_by_its_fates() {
    let first = record(None);
    assert!(first == record(None), "the same seed, another run");
    let list: FateList = first.0.to_string().parse().unwrap();
    assert!(first == record(Some(&list)), "the same fates, another run");
}

#[test]
fn what_is_captured_can_be_read_and_shown() {
    let (_, _, capture) = record(None);
    let mut reader = Reader::new(&capture[..]).unwrap();
    let mut text = Text::relative();
    let mut lines = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        lines.push(text.line(packet.link_type, packet.bytes));
    }
    assert_eq!(lines[0], "ARP who-has 10.9.0.2 tell 10.9.0.1");
    assert!(lines.iter().any(|line| line.contains("10.9.0.1:40000 > 10.9.0.2:7000 TCP [S] seq 0 win")));
    assert!(lines.iter().any(|line| line.contains("seq 1:1461 ack 1")), "{lines:#?}");
}
