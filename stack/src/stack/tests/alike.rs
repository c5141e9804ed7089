//! Datagrams that leave with the headers of those before are the same as those whose headers were written anew.

use super::addresses::{OTHER, claim};
use super::*;
use crate::ip::route::{Prefix, Route};
use crate::udp::Options;

/// Sends what `say` says from two hosts that are the same, of which one forgets each time what it knows of the way.
struct Twins {
    wires: [Wire; 2],
    sockets: [SocketId; 2],
    options: Options,
    /// The last frame.
    frame: Vec<u8>,
}

impl Twins {
    fn new() -> Self {
        let mut wires = [Wire::new(), Wire::new()];
        let sockets = [0, 1].map(|twin| {
            let wire: &mut Wire = &mut wires[twin];
            let socket = wire.hosts[0].udp_bind("[::]:9".parse().unwrap()).unwrap();
            for to in ["10.0.0.2:7", "[fd00::2]:7"] {
                wire.hosts[0]
                    .udp_send_to(wire.now, socket, b"who are you?", Some(to.parse().unwrap()))
                    .unwrap();
            }
            wire.run(10.ms());
            socket
        });
        Self { wires, sockets, options: Options::default(), frame: Vec::new() }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Stack, Instant)) {
        self.wires.iter_mut().for_each(|wire| act(&mut wire.hosts[0], wire.now));
    }

    fn set(&mut self, options: Options) {
        self.options = options;
        let sockets = self.sockets;
        self.wires.iter_mut().zip(sockets).for_each(|(wire, socket)| {
            wire.hosts[0].udp_set_options(socket, options).unwrap();
        });
    }

    /// Sends a datagram of each size, and answers how many of them went the short way.
    fn say(&mut self, to: &str, sizes: &[usize]) -> usize {
        let to: SocketAddr = to.parse().unwrap();
        let mut short = 0;
        for (n, &size) in sizes.iter().enumerate() {
            let payload: Vec<u8> = (0..size).map(|at| (at * 7 + n) as u8).collect();
            let frames = [0, 1].map(|twin| {
                let (host, socket, now) =
                    (&mut self.wires[twin].hosts[0], self.sockets[twin], self.wires[twin].now);
                if twin == 1 {
                    host.udp_set_options(socket, self.options).unwrap();
                }
                host.udp_send_to(now, socket, &payload, Some(to)).unwrap();
                let frame = |host: &mut Stack| {
                    let frame = host.poll_transmit(now, ETH)?;
                    assert_eq!(frame.offload, Default::default());
                    Some(frame.to_vec())
                };
                let frames: Vec<_> = core::iter::from_fn(|| frame(host)).collect();
                short += usize::from(twin == 0 && host.stencil.is_some());
                assert!(twin == 0 || host.stencil.is_none(), "it forgets");
                frames
            });
            let [mut one, other] = frames;
            assert_eq!(one, other, "{to}, {size} bytes");
            self.frame = one.pop().expect("it is sent");
        }
        short
    }
}

#[test]
fn headers_that_serve_again_are_what_they_would_be_anew() {
    let sizes: Vec<usize> = (0..60).chain([1_471, 1_472, 3, 1_473, 8_000, 5]).collect();
    for to in ["10.0.0.2:7", "[fd00::2]:7"] {
        let mut twins = Twins::new();
        // The second one leaves them to the others.
        assert_eq!(twins.say(to, &sizes), sizes.len() - 1);
        let plain = twins.options;
        for options in [
            Options { ttl: Some(3), ..plain },
            Options { tos: 0xb9, ..plain },
            Options { dont_fragment: true, ..plain },
            plain,
        ] {
            twins.set(options);
            assert_eq!(twins.say(to, &sizes[..20]), 19, "{options:?}");
        }
    }
}

#[test]
fn a_datagram_elsewhere_has_headers_of_its_own() {
    let mut twins = Twins::new();
    for to in ["10.0.0.2:7", "10.0.0.2:8", "[fd00::2]:7", "10.0.0.2:7", "[::ffff:10.0.0.2]:7"] {
        let _ = twins.say(to, &[5, 6, 7, 8]);
    }
    twins.say("10.0.0.2:7", &[5, 6, 7]);
    // One to somebody else in between changes nothing for those that follow.
    twins.say("10.0.0.2:9", &[5]);
    twins.say("10.0.0.2:7", &[5]);
}

#[test]
fn what_is_learned_on_the_way_counts_at_once() {
    for (to, far) in [("10.0.0.2:7", "10.0.0.2"), ("[fd00::2]:7", "fd00::2")] {
        let far: IpAddr = far.parse().unwrap();
        let mut twins = Twins::new();
        twins.say(to, &[5, 6, 7]);
        // The neighbour has another link address.
        twins.each(|host, now| claim(host, now, far));
        twins.say(to, &[5]);
        assert_eq!(twins.frame[..6], OTHER.0);
        twins.say(to, &[6, 7]);
        // The path takes less than the link.
        twins.each(|host, _| {
            let prefix = Prefix::new(far, if far.is_ipv4() { 32 } else { 128 }).unwrap();
            host.add_route(Route { mtu: Some(1_300), ..Route::on_link(prefix, ETH) }).unwrap();
        });
        twins.say(to, &[5, 6, 1_400]);
        assert!(twins.frame.len() < 1_300, "the last of two fragments");
    }
}
