use super::*;
use crate::time::{Units, at};

const V4: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

fn lowered(mtu: u32) -> Update {
    Update::Lowered(PathMtu { mtu, may_fragment: false })
}

/// What a cache that knows nothing makes of one message about a 1,500 byte packet.
fn first(destination: IpAddr, next_hop_mtu: u32) -> Update {
    Cache::default().handle_too_big(at(0.ms()), destination, next_hop_mtu, 1500, 1500)
}

#[test]
fn a_router_names_its_mtu() {
    let mut cache = Cache::default();
    assert_eq!(cache.path_mtu(V4, 1500).mtu, 1500);
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 1400, 1500, 1500), lowered(1400));
    assert_eq!(cache.path_mtu(V4, 1500).mtu, 1400);
    assert_eq!(cache.path_mtu(V4, 1300).mtu, 1300);
    assert_eq!(cache.path_mtu(V6, 1500).mtu, 1500);
}

#[test]
fn values_never_rise() {
    // RFC 8201 section 4: an increase is not to be learned from a message.
    let mut cache = Cache::default();
    assert_eq!(cache.handle_too_big(at(0.ms()), V6, 1500, 1500, 1500), Update::NotLower);
    assert_eq!(cache.handle_too_big(at(0.ms()), V6, 1300, 1500, 1500), lowered(1300));
    assert_eq!(cache.handle_too_big(at(0.ms()), V6, 1400, 1500, 1500), Update::NotLower);
    assert_eq!(cache.path_mtu(V6, 1500).mtu, 1300);
    assert_eq!((cache.stats().lowered, cache.stats().ignored_increase), (1, 2));
}

#[test]
fn a_packet_that_fits_was_not_too_big() {
    // RFC 5927 section 7.2.
    let mut cache = Cache::default();
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 1400, 1400, 1500), Update::NotLower);
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 1400, 1401, 1500), lowered(1400));
}

#[test]
fn below_the_minimum_is_not_believed() {
    assert_eq!(first(V6, 1279), Update::BelowMinimum); // RFC 8201 section 4
    assert_eq!(first(V6, 0), Update::BelowMinimum);
    assert_eq!(first(V6, 1280), lowered(1280));
    assert_eq!(first(V4, 67), Update::BelowMinimum); // RFC 791 section 3.2
}

#[test]
fn on_a_narrow_v4_path_the_network_fragments() {
    let mut cache = Cache::default();
    let narrow = PathMtu { mtu: 552, may_fragment: true };
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 296, 1500, 1500), Update::Lowered(narrow));
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 68, 552, 1500), Update::NotLower);
    assert_eq!(cache.path_mtu(V4, 1500), narrow);
}

#[test]
fn a_silent_router_means_the_next_plateau() {
    // RFC 1191 section 7.1.
    assert_eq!(first(V4, 0), lowered(1492));
    let mut cache = Cache::default();
    cache.handle_too_big(at(0.ms()), V4, 0, 1500, 1500);
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 0, 1492, 1500), lowered(1006));
    // A late message about a packet from before the change says nothing new.
    assert_eq!(cache.handle_too_big(at(0.ms()), V4, 0, 1500, 1500), Update::NotLower);
    assert_eq!((plateau_below(68), plateau_below(65535)), (68, 32000));
}

#[test]
fn a_value_is_forgotten_after_ten_minutes() {
    let mut cache = Cache::default();
    cache.handle_too_big(at(1.secs()), V4, 1400, 1500, 1500);
    let generation = cache.generation();
    assert_eq!(cache.poll_timeout(), Some(at(601.secs())));
    assert!(!cache.handle_timeout(at(600.secs())));
    assert!(cache.handle_timeout(at(601.secs())));
    assert_eq!(cache.path_mtu(V4, 1500).mtu, 1500);
    assert_ne!(cache.generation(), generation);
    assert_eq!((cache.stats().aged, cache.poll_timeout()), (1, None));
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = Cache::new(2, DEFAULT_LIFETIME);
    for (n, host) in (1..=3).enumerate() {
        let destination = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, host));
        cache.handle_too_big(at((n as u64).secs()), destination, 1400, 1500, 1500);
    }
    assert_eq!(cache.get(V4), None); // the oldest went
    assert_eq!(cache.stats().evicted, 1);
    assert_eq!(cache.entries.len(), cache.expiry.len());
}
