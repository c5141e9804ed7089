//! The kernel pings the stack, and the stack the kernel.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ustack::blocking::RawSocket;
use ustack::raw::{Arrival, Family};
use ustack::wire::{icmpv4, icmpv6};
use ustack_tests::host::{Host, KERNEL, STACK, everywhere, ip};
use ustack_tests::pattern::pattern;
use ustack_tests::process::tool;
use ustack_tests::wait::{SOON, until};

/// Pings with a pattern that is compared; how many answers came.
#[track_caller]
fn ping(host: &Host, address: &str, size: &str, count: usize) -> usize {
    let mut ping = tool("ping");
    ping.args(["-c", &count.to_string(), "-i", "0.002", "-W", "2", "-p", "c0ffee", "-s", size, address]);
    let text = host.kernel.run(&mut ping).text();
    assert!(!text.contains("wrong data"), "{text}");
    let received =
        text.lines().find_map(|line| line.split_once(" received")?.0.rsplit(' ').next()?.parse().ok());
    received.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn echoes_of_all_sizes_come_back_whole() {
    everywhere(&["ping"], &["No response seen to ICMP"], |host| {
        for address in STACK {
            for size in ["0", "1", "56", "1472", "1473", "9000", "65507"] {
                let count = if host.is_bad() { 20 } else { 3 };
                let received = ping(host, address, size, count);
                // 2 % of the frames are lost each way, so that of 46 fragments there and back one is missing mostly.
                let least = match (host.is_bad(), size) {
                    (false, _) => count,
                    (true, "65507") => 0,
                    (true, "9000") => 5,
                    (true, _) => 13,
                };
                assert!(received >= least, "{received} of {count} echoes of {size} bytes to {address}");
            }
        }
    });
}

/// An echo request; the stack completes the checksum of IPv6.
fn request(to: IpAddr, seq: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + data.len()];
    let written = match to {
        IpAddr::V4(_) => icmpv4::Message::EchoRequest { id: 7, seq, data }.write(&mut bytes),
        IpAddr::V6(to) => {
            icmpv6::Message::EchoRequest { id: 7, seq, data }.write(&mut bytes, Ipv6Addr::UNSPECIFIED, to)
        }
    };
    assert_eq!(written.expect("there is room"), bytes.len());
    bytes
}

/// What an echo reply carries; `None` if it is anything else.
fn reply<'a>(bytes: &'a [u8], arrival: &Arrival) -> Option<(u16, &'a [u8])> {
    match (arrival.from, arrival.to) {
        (IpAddr::V4(_), _) => match icmpv4::Message::parse(bytes) {
            Ok(icmpv4::Message::EchoReply { id: 7, seq, data }) => Some((seq, data)),
            _ => None,
        },
        (IpAddr::V6(from), IpAddr::V6(to)) => match icmpv6::Message::parse(bytes, from, to) {
            Ok(icmpv6::Message::EchoReply { id: 7, seq, data }) => Some((seq, data)),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn the_kernel_echoes_what_the_stack_s_raw_sockets_send() {
    everywhere(&[], &["No response seen to ICMP"], |host| {
        for address in KERNEL.map(ip) {
            let (family, protocol) = if address.is_ipv4() { (Family::V4, 1) } else { (Family::V6, 58) };
            let socket = RawSocket::open(&host.net, family, protocol).expect("there is room");
            socket.set_read_timeout(Some(Duration::from_millis(300))).expect("it is not zero");
            let mut bytes = vec![0; 65_536];
            for (seq, size) in (0..).zip([0, 1, 56, 1_472, 1_473, 9_000, 65_507 - 8]) {
                if host.is_bad() && size > 2_000 {
                    continue;
                }
                let data = pattern(1, size);
                until(&format!("an echo of {size} bytes from {address}"), SOON, || {
                    let sent = socket.send_to(&request(address, seq, &data), address, None);
                    assert_eq!(sent.expect("it is taken"), 8 + size);
                    // What else ICMP says is read too: requests, solicitations, late replies.
                    while let Ok(received) = socket.recv_from(&mut bytes) {
                        if let Some((of, echoed)) = reply(&bytes[..received.copied], &received.arrival)
                            && of == seq
                        {
                            assert_eq!(echoed, data);
                            return true;
                        }
                    }
                    false
                });
            }
        }
    });
}
