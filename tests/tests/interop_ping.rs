//! The kernel pings the stack, and the stack the kernel.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ustack::blocking::RawSocket;
use ustack::raw::{Arrival, Family};
use ustack::wire::{icmpv4, icmpv6};
use ustack_tests::host::{Host, KERNEL, STACK, ip};
use ustack_tests::matrix::everywhere;
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
                // 2 % of the frames are lost each way. Of 45 fragments there and 45 back one is missing mostly: a sixth of
                // such echoes comes back, and of a hundred less than two in one run of a million.
                let (count, least) = match (host.is_bad(), size) {
                    (false, _) => (3, 3),
                    (true, "65507") => (100, 2),
                    (true, "9000") => (20, 5),
                    (true, _) => (20, 13),
                };
                // ping waits for twice the time that answers have taken so far, which is too short on a busy machine.
                let mut received = 0;
                for _ in 0..3 {
                    received = received.max(ping(host, address, size, count));
                    if received >= least {
                        break;
                    }
                }
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
            // Of the longest, many get lost on a bad link.
            let again = Duration::from_millis(if host.is_bad() { 100 } else { 300 });
            socket.set_read_timeout(Some(again)).expect("it is not zero");
            let mut bytes = vec![0; 65_536];
            for (seq, size) in (0..).zip([0, 1, 56, 1_472, 1_473, 9_000, 65_507 - 8]) {
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
