//! Neighbours, addresses in conflict, link-local addresses, and links that carry less than others.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, SocketAddrV6};
use std::time::Duration;

use ustack::Event;
use ustack::blocking::{TcpStream, UdpSocket};
use ustack::ip::route::Route;
use ustack_tests::app::{connect, echo, exchange, receive, send, serve};
use ustack_tests::host::{Host, KERNEL, KERNEL_INTERFACE, Link, MAC, STACK, STACK_MAC, Setup, at, ip};
use ustack_tests::kernel::{Namespace, veth};
use ustack_tests::matrix::{bad, ethernet, everywhere, good, on_each};
use ustack_tests::pattern::pattern;
use ustack_tests::peer::Peer;
use ustack_tests::process::tool;
use ustack_tests::tshark::{FLOW_CONTROL, LOSS};
use ustack_tests::wait::{SOON, until, until_some};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
/// Without these packets nothing is learned.
const TOO_BIG: &[&str] = LOSS;
const NO_ECHO: &str = "No response seen to ICMP";

fn ping(host: &Host, address: &str) -> bool {
    host.kernel.run(tool("ping").args(["-c", "1", "-W", "1", address])).status.success()
}

#[test]
fn the_kernel_learns_where_the_stack_is() {
    on_each(&ethernet([good(), bad()].concat()), &["ping"], &[NO_ECHO], |host| {
        for stack in STACK {
            until("an echo", SOON, || ping(host, stack));
            let neighbor = host.neighbor(stack);
            assert!(neighbor.contains(&format!("lladdr {STACK_MAC}")), "{neighbor}");
            assert!(neighbor.contains("REACHABLE") || neighbor.contains("DELAY"), "{neighbor}");
            // Told to forget it, it asks again.
            host.kernel.ip(&format!("neigh flush dev {KERNEL_INTERFACE}"));
            until("an echo", SOON, || ping(host, stack));
        }
        // It asks for those that are not there in vain.
        for nobody in ["10.9.0.77", "fd09::77"] {
            assert!(!ping(host, nobody));
            let neighbor = host.neighbor(nobody);
            assert!(!neighbor.contains("lladdr"), "{neighbor}");
        }
    });
}

#[test]
fn a_kernel_that_probes_hears_that_the_stack_is_still_there() {
    on_each(&ethernet(good()), &["ping"], &[NO_ECHO], |host| {
        for (index, stack) in STACK.into_iter().enumerate() {
            assert!(ping(host, stack));
            // A stale entry that is used is asked for by unicast, soon.
            let family = ["ipv4", "ipv6"][index];
            host.kernel.sysctl(&format!("{family}/neigh/{KERNEL_INTERFACE}/delay_first_probe_time"), "1");
            host.kernel.ip(&format!("neigh change {stack} dev {KERNEL_INTERFACE} nud stale"));
            let ask = [
                format!("arp and ether dst {STACK_MAC}"),
                format!("icmp6[0] = 135 and ether dst {STACK_MAC}"),
            ];
            let socket = host.kernel.enter(|| std::net::UdpSocket::bind((ip(KERNEL[index]), 0)));
            let socket = socket.expect("the address is there");
            let _ = socket.send_to(b"anyone?", at(stack, 7)).expect("there is a route");
            host.capture().wait_frame(&ask[index], SOON);
            until("the neighbour to be confirmed", SOON, || host.neighbor(stack).contains("REACHABLE"));
        }
    });
}

#[test]
fn an_address_that_the_kernel_has_is_not_taken() {
    let setups = ethernet(good()).into_iter().map(|setup| Setup { dad: true, occupied: true, ..setup });
    on_each(&setups.collect::<Vec<_>>(), &[], &["Duplicate IP address"], |host| {
        let mut lost = Vec::new();
        until("both conflicts", SOON, || {
            while let Some(event) = host.net.take_event() {
                if let Event::AddressConflict { address, lost: true, .. } = event {
                    lost.push(address);
                }
            }
            STACK.into_iter().all(|address| lost.contains(&ip(address)))
        });
        for address in STACK {
            let refused = UdpSocket::bind(&host.net, at(address, 7)).expect_err("it is another's");
            assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
        }
    });
}

#[test]
fn the_kernel_does_not_take_an_address_of_the_stack_s() {
    on_each(&ethernet(good()), &["ping"], &["Duplicate IP address"], |host| {
        host.kernel.sysctl(&format!("ipv6/conf/{KERNEL_INTERFACE}/accept_dad"), "1");
        host.kernel.ip(&format!("address add {}/64 dev {KERNEL_INTERFACE}", STACK[1]));
        until("the kernel to notice", SOON, || {
            let shown =
                host.kernel.run(tool("ip").args(["-6", "address", "show", "dev", KERNEL_INTERFACE])).text();
            shown.contains("dadfailed")
        });
        assert!(ping(host, STACK[0]));
    });
}

#[test]
fn link_local_addresses_are_enough() {
    // Not on a TUN, which has no link address to make them of.
    on_each(&ethernet([good(), bad()].concat()), &["ping"], &[NO_ECHO], |host| {
        let link = host.kernel.run(tool("ip").args(["-o", "link", "show", "dev", KERNEL_INTERFACE])).text();
        let index: u32 = link.split(':').next().and_then(|it| it.parse().ok()).expect("it has a number");
        let stack = MAC.link_local();
        until("an echo", SOON, || ping(host, &format!("{stack}%{KERNEL_INTERFACE}")));

        let server = serve(&host.net, at("::", 7), 1, |_, stream| echo(stream));
        let words = format!("tcp-connect [{stack}%{index}]:7 --do source --bytes 10000");
        let _ = Peer::start(&host.kernel, PEER, &words).finish(SOON).1.success();
        assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &10_000);

        let shown =
            host.kernel.run(tool("ip").args(["-6", "-o", "address", "show", "dev", KERNEL_INTERFACE])).text();
        let kernel = shown
            .split_whitespace()
            .filter_map(|word| word.strip_suffix("/64")?.parse::<std::net::Ipv6Addr>().ok())
            .find(|address| address.is_unicast_link_local())
            .expect("the kernel has one too");
        let words = format!("tcp-listen [{kernel}%{index}]:8 --do echo");
        let server = Peer::listen(&host.kernel, PEER, &words);
        let remote = SocketAddr::V6(SocketAddrV6::new(kernel, 8, 0, host.interface.0));
        let received = exchange(&connect(&host.net, remote), 1, 10_000, 1).expect("it went well");
        assert_eq!((received.bytes(), received.wrong()), (10_000, None));
        let _ = server.finish(SOON).1.success();
        host.wait_closed();
    });
}

/// A third kernel behind the second, which routes; the link between them carries less.
fn beyond(host: &Host) -> Namespace {
    let far = Namespace::new();
    veth(&host.kernel, "eth1", &far, "eth0");
    host.kernel.ip("link set eth1 mtu 1300");
    host.kernel.address("eth1", ip("10.9.1.1"), 24);
    host.kernel.address("eth1", ip("fd09:1::1"), 64);
    far.address("eth0", ip("10.9.1.2"), 24);
    far.address("eth0", ip("fd09:1::2"), 64);
    far.ip("route add default via 10.9.1.1");
    far.ip("-6 route add default via fd09:1::1");
    far.wait_up("eth0");
    host.kernel.sysctl("ipv4/ip_forward", "1");
    host.kernel.sysctl("ipv6/conf/all/forwarding", "1");
    for router in KERNEL {
        let route = Route::default_via(ip(router), host.interface);
        for shard in host.net.shards() {
            shard.with_stack(|stack, _| stack.add_route(route)).expect("there is room");
        }
    }
    far
}

#[test]
fn a_router_tells_that_packets_are_too_big() {
    everywhere(&[], TOO_BIG, |host| {
        let far = beyond(host);
        for (index, address) in ["10.9.1.2", "fd09:1::2"].into_iter().enumerate() {
            // The far end announces the MSS of its own side of the link, which is too large.
            let server = Peer::listen(&far, PEER, &format!("tcp-listen {} --do sink", at(address, 8)));
            let stream = connect(&host.net, at(address, 8));
            assert_eq!(stream.info().expect("it is open").snd_mss, [1_448, 1_428][index]);
            send(&stream, 1, 100_000).expect("it is taken");
            until("the path MTU to be known", SOON, || {
                stream.info().expect("it is open").snd_mss == [1_248, 1_228][index]
            });
            stream.shutdown(Shutdown::Write).expect("it is connected");
            assert_eq!(receive(&stream, 1).expect("it ends in order").bytes(), 0);
            let (reports, server) = server.finish(SOON);
            let _ = server.success();
            assert_eq!(reports.last().expect("it reports").value::<u64>("received"), 100_000);
        }
        host.wait_closed();
    });
}

#[test]
fn datagrams_follow_the_path_mtu() {
    everywhere(&[], TOO_BIG, |host| {
        let far = beyond(host);
        for (index, address) in ["10.9.1.2", "fd09:1::2"].into_iter().enumerate() {
            let there =
                far.enter(|| std::net::UdpSocket::bind(at(address, 8))).expect("the address is there");
            there.set_read_timeout(Some(Duration::from_millis(200))).expect("it is not zero");
            let socket = UdpSocket::bind(&host.net, at(STACK[index], 0)).expect("a port is free");
            socket.connect(at(address, 8)).expect("there is a route");
            let datagram = pattern(1, 1_400);
            let mut arrived = vec![0; 2_000];
            // IPv4 may be fragmented by the router; of IPv6 the first is lost, and the next come in fragments.
            let len = until_some("a datagram", SOON, || {
                let _ = socket.send(&datagram);
                there.recv(&mut arrived).ok()
            });
            assert_eq!(arrived[..len], datagram);
        }
    });
}

#[test]
fn a_link_that_carries_less_from_now_on() {
    // Not on a veth: that receives no longer packets than it sends.
    let setups: Vec<Setup> = good().into_iter().filter(|setup| setup.link != Link::Veth).collect();
    // What the kernel had cut for the larger link it drops, and sends again.
    on_each(&setups, &[], &[FLOW_CONTROL, LOSS].concat(), |host| {
        for stack in STACK {
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo(stream));
            let mut client = Peer::start(
                &host.kernel,
                PEER,
                &format!("tcp-connect {} --do source --bytes 500000", at(stack, 7)),
            );
            let _ = client.wait("connected", SOON);
            host.kernel.ip(&format!("link set {KERNEL_INTERFACE} mtu 1280"));
            let _ = client.finish(SOON).1.success();
            assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &500_000);
            host.kernel.ip(&format!("link set {KERNEL_INTERFACE} mtu 1500"));
        }
    });
}

#[test]
fn links_of_other_sizes() {
    let sizes = |setup: Setup| [1_280, 9_000].map(|mtu| setup.clone().mtu(mtu));
    let setups: Vec<Setup> = good().into_iter().flat_map(sizes).collect();
    on_each(&setups, &["ping"], &[], |host| {
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            let server = Peer::listen(&host.kernel, PEER, &format!("tcp-listen {} --do echo", at(kernel, 8)));
            let stream: TcpStream = connect(&host.net, at(kernel, 8));
            send(&stream, 1, 100_000).expect("it is taken");
            stream.shutdown(Shutdown::Write).expect("it is connected");
            assert_eq!(receive(&stream, 1).expect("it went well").wrong(), None);
            let _ = server.finish(SOON).1.success();
            let mut big = tool("ping");
            let _ = host.kernel.run(big.args(["-c", "1", "-W", "5", "-s", "20000", stack])).success();
        }
    });
}
