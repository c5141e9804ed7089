//! Our TCP against smoltcp's, in both roles, in virtual time: every byte arrives, once and in order.

use ustack::buf::frame::Medium;
use ustack_tests::duet::{Duet, Kind};

/// Our stack as the client, and as the server.
const ROLES: [(Kind, Kind); 2] = [(Kind::Ours, Kind::Smol), (Kind::Smol, Kind::Ours)];

const BASE: Duet<'_> = Duet {
    client: Kind::Ours,
    server: Kind::Smol,
    medium: Medium::Ethernet,
    v6: false,
    link: "delay 5ms",
    seed: 1,
    request: 100_000,
    response: 70_000,
    close: true,
    congestion: "cubic",
    buffer: None,
};

#[test]
fn both_roles_families_and_media_on_a_good_link() {
    for (client, server) in ROLES {
        for medium in [Medium::Ethernet, Medium::Ip] {
            for v6 in [false, true] {
                Duet { client, server, medium, v6, ..BASE }.run();
            }
        }
    }
}

#[test]
fn sizes_around_those_that_matter() {
    for (client, server) in ROLES {
        for request in [0, 1, 535, 1459, 1460, 1461, 2920, 65_535, 65_536, 262_145] {
            Duet { client, server, request, response: 262_145 - request, ..BASE }.run();
        }
    }
}

#[test]
fn bad_links() {
    let links = [
        "delay 5ms loss 1%",
        "delay 5ms loss 5%",
        "delay 20ms loss gemodel 1% 30%",
        "delay 5ms duplicate 10%",
        "delay 5ms reorder 10%",
        "delay 5ms 4ms",
        "delay 5ms corrupt 2%",
        "delay 5ms rate 2mbit queue 10",
        "delay 10ms 3ms loss 2% duplicate 2% corrupt 1% reorder 3% rate 10mbit queue 50",
    ];
    for (client, server) in ROLES {
        for link in links {
            for seed in 1..4 {
                // Nobody closes: when its FIN is lost, this peer may wait for ever.
                Duet { client, server, link, seed, v6: seed == 2, close: false, ..BASE }.run();
            }
        }
    }
}
