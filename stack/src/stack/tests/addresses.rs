//! Addresses that are being probed or were lost, gateways, redirects: one stack, and what it says on its link.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::ip::route::{Prefix, Route};
use crate::socket::endpoint::Endpoint;
use crate::wire::arp::{Operation, Packet as Arp};
use crate::wire::ip::Packet;
use crate::wire::list::List;
use crate::wire::ndp::{Message, RouterAdvertisement};
use crate::wire::{ethernet, icmpv6};

pub(super) const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 66]);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
const TARGETS: [(IpAddr, &str); 2] = [(V4, "10.0.0.2:80"), (V6, "[fd00::2]:80")];

/// A stack on a link where nobody answers.
struct Lone {
    stack: Stack,
    now: Instant,
    frames: Vec<Vec<u8>>,
}

/// [`OTHER`] says that `ip` is theirs.
pub(super) fn claim(stack: &mut Stack, now: Instant, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let arp = Arp {
                operation: Operation::Reply,
                sender_mac: OTHER,
                sender_ip: ip,
                target_mac: MacAddr::BROADCAST,
                target_ip: ip,
            };
            let ether_type = ethernet::EtherType::ARP;
            let header = ethernet::Header { dst: MacAddr::BROADCAST, src: OTHER, ether_type };
            let frame = [&header.to_bytes()[..], &arp.to_bytes()].concat();
            stack.handle_frame(now, ETH, RxFrame::plain(&frame));
        }
        IpAddr::V6(target) => {
            let says = Message::NeighborAdvertisement {
                target,
                target_link: Some(OTHER),
                router: false,
                solicited: false,
                override_cached: true,
            };
            ndp(stack, now, target, says);
        }
    }
}

fn ndp(stack: &mut Stack, now: Instant, from: Ipv6Addr, message: Message<'_>) {
    let to = crate::wire::ipv6::ALL_NODES;
    let interface = &mut stack.ports[ETH.0 as usize].interface;
    interface.handle_icmpv6(now, from, to, 255, &icmpv6::Message::Ndp(message)).unwrap();
    stack.handle_interface_events(now, ETH);
}

impl Lone {
    fn new(config: InterfaceConfig) -> Self {
        let mut stack = Stack::new(Config::seeded(1));
        let now = at(Duration::ZERO);
        let id = stack.add_interface(now, config, Capabilities::plain(Medium::Ethernet, 1500)).unwrap();
        assert_eq!(id, ETH);
        Self { stack, now, frames: Vec::new() }
    }

    /// With addresses that have to be probed.
    fn probing() -> Self {
        let config = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 1]));
        Self::new(config.address(V4, 24).address(V6, 64))
    }

    /// One that believes routers, and has only its link-local address.
    fn guided() -> Self {
        let config = InterfaceConfig {
            dad: false,
            accept_router_advertisements: true,
            ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 1]))
        };
        Self::new(config)
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            while let Some(frame) = self.stack.poll_transmit(self.now, ETH) {
                self.frames.push(frame.to_vec());
            }
            match self.stack.poll_timeout().filter(|&due| due <= until) {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
            self.stack.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Somebody else says that `ip` is theirs.
    fn claim(&mut self, ip: IpAddr) {
        claim(&mut self.stack, self.now, ip);
    }

    fn ndp(&mut self, from: Ipv6Addr, message: Message<'_>) {
        ndp(&mut self.stack, self.now, from, message);
    }

    fn connect(&mut self, to: &str) -> Result<SocketId, Error> {
        let settings = self.stack.config().tcp.clone();
        self.stack.tcp_connect(self.now, to.parse().unwrap(), None, settings)
    }

    /// Sends a datagram from any address.
    fn send(&mut self, to: &str) -> Result<usize, Error> {
        let to: SocketAddr = to.parse().unwrap();
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = self.stack.udp_bind(any.parse().unwrap()).unwrap();
        self.stack.udp_send_to(self.now, socket, b"anyone?", Some(to))
    }

    /// IP packets that left with this source, and questions for neighbours in its name.
    fn said_as(&self, source: IpAddr) -> usize {
        let is_from = |frame: &&Vec<u8>| {
            let (header, bytes) = ethernet::Header::parse(frame).unwrap();
            match header.ether_type {
                ethernet::EtherType::ARP => IpAddr::V4(Arp::parse(bytes).unwrap().sender_ip) == source,
                _ => Packet::parse(bytes).unwrap().src == source,
            }
        };
        self.frames.iter().filter(is_from).count()
    }

    fn told(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.stack.poll_event()).collect()
    }

    fn is_pinned(&mut self, ip: IpAddr) -> bool {
        let now = self.now;
        let interface = &mut self.stack.ports[ETH.0 as usize].interface;
        // The entry is made if there is none.
        interface.resolve(now, ip);
        interface.neighbor(now, ip).unwrap().pinned
    }
}

/// RFC 4862 section 5.4, RFC 5227 section 2.1.
#[test]
fn nothing_leaves_from_an_address_that_is_being_probed() {
    for (ours, to) in TARGETS {
        let mut lone = Lone::probing();
        lone.run(100.ms());
        assert_eq!(lone.connect(to), Err(Error::AddressTentative(ours)));
        assert_eq!(lone.send(to), Err(Error::AddressTentative(ours)));
        let named = SocketAddr::new(ours, 0);
        assert_eq!(lone.stack.udp_bind(named), Err(Error::AddressTentative(ours)));
        assert_eq!(lone.said_as(ours), 0);
        lone.run(10.secs());
        assert!(lone.told().contains(&Event::AddressReady { interface: ETH, address: ours }));
        lone.frames.clear();
        lone.connect(to).unwrap();
        lone.send(to).unwrap();
        lone.run(1.secs());
        assert!(lone.said_as(ours) > 0, "the neighbour is asked for from {ours}");
    }
}

/// RFC 4862 section 5.4.5.
#[test]
fn nothing_leaves_from_an_address_that_was_lost() {
    for (ours, to) in TARGETS {
        let mut lone = Lone::probing();
        lone.run(500.ms());
        lone.claim(ours);
        let lost = Event::AddressConflict { interface: ETH, address: ours, by: Some(OTHER), lost: true };
        assert_eq!(lone.told(), [lost]);
        assert_eq!(lone.stack.routes().routes().filter(|route| route.source == Some(ours)).count(), 0);
        lone.run(20.secs());
        assert_eq!(lone.connect(to), Err(Error::AddressDuplicate(ours)));
        assert_eq!(lone.send(to), Err(Error::AddressDuplicate(ours)));
        let listened = lone.stack.tcp_listen(SocketAddr::new(ours, 80), 1, lone.stack.config().tcp.clone());
        assert_eq!(listened, Err(Error::AddressDuplicate(ours)));
        // By way of a gateway it is no other.
        let gateway: IpAddr =
            if ours.is_ipv4() { [10, 0, 0, 254].into() } else { "fe80::9".parse().unwrap() };
        lone.stack.add_route(Route::default_via(gateway, ETH)).unwrap();
        let far = if ours.is_ipv4() { "192.0.2.1:80" } else { "[2001:db8::1]:80" };
        assert_eq!(lone.connect(far), Err(Error::AddressDuplicate(ours)));
        lone.run(5.secs());
        assert_eq!(lone.said_as(ours), 0);
    }
}

#[test]
fn nothing_leaves_from_an_address_that_was_removed() {
    for (ours, to) in TARGETS {
        let second: IpAddr = if ours.is_ipv4() { [10, 0, 0, 9].into() } else { "fd00::9".parse().unwrap() };
        let mut lone = Lone::probing();
        lone.stack.add_address(lone.now, ETH, second, if ours.is_ipv4() { 24 } else { 64 }).unwrap();
        lone.run(10.secs());
        let remote: SocketAddr = to.parse().unwrap();
        let bound = lone.stack.udp_bind(SocketAddr::new(ours, 0)).unwrap();
        lone.stack.udp_send_to(lone.now, bound, b"anyone?", Some(remote)).unwrap();
        lone.connect(to).unwrap();
        lone.run(100.ms());
        assert!(lone.said_as(ours) > 0);
        lone.stack.remove_address(lone.now, ETH, ours).unwrap();
        assert_eq!(lone.stack.remove_address(lone.now, ETH, ours), Err(Error::AddressNotAvailable(ours)));
        lone.frames.clear();
        let sent = lone.stack.udp_send_to(lone.now, bound, b"anyone?", Some(remote));
        assert_eq!(sent, Err(Error::AddressNotAvailable(ours)));
        lone.send(to).expect("the other address speaks");
        lone.run(20.secs());
        assert_eq!(lone.said_as(ours), 0);
        assert!(lone.said_as(second) > 0);
    }
}

#[test]
fn the_route_to_a_prefix_stays_while_another_address_has_it() {
    let second = IpAddr::from([10, 0, 0, 9]);
    let mut lone = Lone::probing();
    lone.run(10.secs());
    lone.stack.add_address(lone.now, ETH, second, 24).unwrap();
    lone.run(500.ms());
    lone.connect("10.0.0.2:80").expect("the first address speaks while the second is being probed");
    lone.claim(second);
    lone.connect("10.0.0.2:80").expect("and when that is lost");
    lone.run(1.secs());
    assert!(lone.said_as(V4) > 0);
    assert_eq!(lone.said_as(second), 0);
}

#[test]
fn a_conflict_is_told_though_a_scan_told_of_hundreds_before_and_what_is_lost_is_counted() {
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 1])) };
    let mut lone = Lone::new(config.address(V4, 16));
    for n in 0..3000u16 {
        let [high, low] = (n + 512).to_be_bytes();
        let _ = lone.send(&format!("10.0.{high}.{low}:9"));
        if n % 200 == 199 {
            lone.run(10.secs());
        }
    }
    assert!(lone.stack.stats().events_lost > 0);
    lone.claim(V4);
    let conflict = Event::AddressConflict { interface: ETH, address: V4, by: Some(OTHER), lost: false };
    assert!(lone.told().contains(&conflict));
}

#[test]
fn a_gateway_is_protected_as_long_as_a_route_names_it() {
    let mut lone = Lone::probing();
    lone.run(10.secs());
    let gateway = IpAddr::from([10, 0, 0, 254]);
    let route = Route::default_via(gateway, ETH);
    let refused = lone.stack.add_route(Route { source: Some(V6), ..route });
    assert!(refused.is_err() && !lone.is_pinned(gateway), "it did not become a route");
    lone.stack.add_route(route).unwrap();
    lone.stack.add_route(Route { mtu: Some(1400), ..route }).unwrap();
    lone.stack.add_route(Route { metric: 7, ..route }).unwrap();
    assert!(lone.is_pinned(gateway));
    let other: Prefix = "192.0.2.0/24".parse().unwrap();
    lone.stack.add_route(Route::via(other, gateway, ETH)).unwrap();
    assert!(lone.stack.remove_route(Prefix::ALL_V4, Some(gateway), ETH));
    assert!(lone.is_pinned(gateway), "one route is left");
    assert!(lone.stack.remove_route(other, Some(gateway), ETH));
    assert!(!lone.is_pinned(gateway));
}

fn advert(lifetime: u16) -> Message<'static> {
    Message::RouterAdvertisement(RouterAdvertisement {
        hop_limit: 0,
        managed: false,
        other: false,
        lifetime,
        reachable_time: 0,
        retrans_timer: 0,
        source_link: Some(OTHER),
        mtu: None,
        prefixes: List::EMPTY,
    })
}

fn router(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n)
}

#[test]
fn invented_routers_leave_nothing_behind() {
    let mut lone = Lone::guided();
    for n in 0..3000 {
        lone.ndp(router(n), advert(1));
        assert!(lone.is_pinned(router(n).into()), "{n}");
        lone.ndp(router(n), advert(0));
        assert!(!lone.is_pinned(router(n).into()), "{n}");
        lone.run(5.secs());
    }
    assert_eq!(lone.stack.routes().routes().filter(|route| route.gateway.is_some()).count(), 0);
    let stats = lone.stack.interfaces().nth(1).unwrap().1.stats();
    assert_eq!((stats.neighbors.refused_pins, stats.neighbors.refused_full), (0, 0));
    lone.ndp(router(9999), advert(1800));
    assert!(lone.is_pinned(router(9999).into()));
}

#[test]
fn only_the_first_hop_in_use_redirects_and_not_for_ever() {
    let far: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let (gateway, better, liar) = (router(1), router(2), router(3));
    let mut lone = Lone::guided();
    lone.ndp(gateway, advert(9000));
    let next_hop = |lone: &Lone| {
        let remote = Endpoint::from(SocketAddr::new(far.into(), 80));
        lone.stack.path_to(None, &remote).unwrap().next_hop
    };
    let redirect =
        |target| Message::Redirect { target, destination: far, target_link: Some(OTHER), quoted: &[] };
    lone.ndp(liar, redirect(liar));
    assert_eq!((next_hop(&lone), lone.stack.stats().redirects.ignored), (gateway.into(), 1));
    let routes = lone.stack.routes().len();
    lone.ndp(gateway, redirect(better));
    assert_eq!(next_hop(&lone), IpAddr::from(better));
    lone.ndp(gateway, redirect(liar));
    assert_eq!(next_hop(&lone), IpAddr::from(better), "the router is not the first hop any more");
    lone.run(601.secs());
    assert_eq!((next_hop(&lone), lone.stack.stats().redirects.aged), (gateway.into(), 1));
    assert_eq!(lone.stack.routes().len(), routes, "a redirect is no route");
}

#[test]
fn a_datagram_to_everyone_of_the_subnet_is_marked() {
    let mut wire = Wire::new();
    let server = wire.hosts[1].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let client = wire.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let options = crate::udp::Options { broadcast: true, ..crate::udp::Options::default() };
    wire.hosts[0].udp_set_options(client, options).unwrap();
    for (to, many) in [("10.0.0.2:7", false), ("10.0.0.255:7", true), ("255.255.255.255:7", true)] {
        wire.hosts[0].udp_send_to(wire.now, client, b"?", Some(to.parse().unwrap())).unwrap();
        wire.run(10.ms());
        let received = wire.hosts[1].udp_recv_from(server, &mut [0; 9]).unwrap();
        assert_eq!(received.arrival.to_many, many, "{to}");
    }
}
