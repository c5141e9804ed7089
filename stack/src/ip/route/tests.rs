use super::*;
use proptest::prelude::*;

const ETH0: InterfaceId = InterfaceId(0);
const ETH1: InterfaceId = InterfaceId(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn table(routes: &[Route]) -> Table {
    let mut table = Table::new(64);
    for &route in routes {
        table.add(route).unwrap();
    }
    table
}

#[test]
fn a_prefix_is_cut_to_its_length() {
    assert_eq!(net("10.9.1.200/20").to_string(), "10.9.0.0/20");
    assert_eq!(net("fd09::1:2/64").to_string(), "fd09::/64");
    assert!(net("0.0.0.0/0").contains(ip("255.1.2.3")));
    assert!(!net("0.0.0.0/0").contains(ip("::")));
    assert!(net("::/0").contains(ip("fe80::1")));
    assert!("10.0.0.0/33".parse::<Prefix>().is_err());
    assert!("10.0.0.0".parse::<Prefix>().is_err());
}

#[test]
fn a_subnet_has_a_broadcast_address_unless_it_is_a_pair() {
    assert_eq!(net("10.9.0.0/24").broadcast(), Some(Ipv4Addr::new(10, 9, 0, 255)));
    assert_eq!(net("0.0.0.0/0").broadcast(), Some(Ipv4Addr::BROADCAST));
    assert_eq!(net("10.9.0.0/31").broadcast(), None); // RFC 3021
    assert_eq!(net("fd09::/64").broadcast(), None);
}

#[test]
fn the_longest_prefix_wins_then_the_least_metric() {
    let slow = Route { metric: 100, ..Route::via(net("10.9.0.0/24"), ip("10.9.0.7"), ETH1) };
    let table = table(&[
        Route::default_via(ip("10.9.0.1"), ETH0),
        slow,
        Route::on_link(net("10.9.0.0/24"), ETH0),
        Route::on_link(net("10.9.0.128/25"), ETH1),
        Route::default_via(ip("fe80::1"), ETH1),
    ]);
    let hop = |to: &str| table.lookup(ip(to)).map(|route| (route.next_hop(ip(to)), route.iface));
    assert_eq!(hop("10.9.0.5"), Some((ip("10.9.0.5"), ETH0)));
    assert_eq!(hop("10.9.0.200"), Some((ip("10.9.0.200"), ETH1)));
    assert_eq!(hop("8.8.8.8"), Some((ip("10.9.0.1"), ETH0)));
    assert_eq!(hop("2001:db8::1"), Some((ip("fe80::1"), ETH1)));
    assert_eq!(table.lookup_on(ip("10.9.0.5"), ETH1), Some(&slow));
    assert_eq!(table.lookup_on(ip("8.8.8.8"), ETH1), None);
}

#[test]
fn a_change_shows_in_the_generation() {
    let mut table = table(&[Route::on_link(net("10.9.0.0/24"), ETH0)]);
    let before = table.generation();
    assert_eq!(table.remove(net("10.8.0.0/24"), None, ETH0), 0);
    assert_eq!(table.generation(), before);
    assert_eq!(table.remove(net("10.9.0.0/24"), None, ETH0), 1);
    assert_ne!(table.generation(), before);
    assert_eq!(table.lookup(ip("10.9.0.1")), None);
}

#[test]
fn the_same_route_again_replaces_the_first() {
    let route = Route::on_link(net("10.9.0.0/24"), ETH0);
    let table = table(&[route, Route { mtu: Some(1400), ..route }]);
    assert_eq!(table.len(), 1);
    assert_eq!(table.lookup(ip("10.9.0.1")).unwrap().mtu, Some(1400));
}

#[test]
fn bad_routes_are_refused() {
    let mut table = Table::new(1);
    let mixed = Route::via(net("10.0.0.0/8"), ip("fe80::1"), ETH0);
    assert_eq!(table.add(mixed), Err(RouteError::Family { prefix: net("10.0.0.0/8") }));
    let group = Route::default_via(ip("224.0.0.1"), ETH0);
    assert_eq!(table.add(group), Err(RouteError::Gateway { gateway: ip("224.0.0.1") }));
    table.add(Route::default_via(ip("10.0.0.1"), ETH0)).unwrap();
    assert_eq!(table.add(Route::default_via(ip("10.0.0.2"), ETH0)), Err(RouteError::Full { limit: 1 }));
}

/// Addresses that often share long prefixes.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[bool; 6]>().prop_map(|bits| {
            let host = bits.iter().enumerate().map(|(at, &bit)| u32::from(bit) << (at * 5)).sum::<u32>();
            IpAddr::V4(Ipv4Addr::from_bits(host))
        }),
        any::<[bool; 6]>().prop_map(|bits| {
            let host = bits.iter().enumerate().map(|(at, &bit)| u128::from(bit) << (at * 20)).sum::<u128>();
            IpAddr::V6(Ipv6Addr::from_bits(host))
        }),
    ]
}

proptest! {
    #[test]
    fn a_look_up_agrees_with_a_scan(
        routes in proptest::collection::vec((address(), 0u8..=128, 0u32..3, 0u32..3), 0..40),
        to in address(),
    ) {
        let mut table = Table::new(usize::MAX);
        for (address, len, metric, iface) in routes {
            let prefix = Prefix::new(address, len % (width(address) + 1)).unwrap();
            table.add(Route { metric, ..Route::on_link(prefix, InterfaceId(iface)) }).unwrap();
        }
        let best = table.routes()
            .filter(|route| route.prefix.contains(to))
            .min_by_key(|route| (128 - route.prefix.len, route.metric, route.iface));
        prop_assert_eq!(table.lookup(to), best);
    }
}
