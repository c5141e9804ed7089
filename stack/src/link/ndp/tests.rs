use super::*;
use crate::buf::frame::{Capabilities, Medium};
use crate::link::config::InterfaceConfig;
use crate::link::interface::Interface;
use crate::time::{Units, at};
use crate::wire::icmpv6;
use crate::wire::list::List;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

struct Trace {
    interface: Interface,
    told: Vec<Event>,
}

impl Trace {
    /// An interface that has its link-local address and listens to routers.
    fn new() -> Self {
        let config = InterfaceConfig {
            accept_router_advertisements: true,
            dad: false,
            report_groups: false,
            ..InterfaceConfig::new(OURS)
        };
        let device = Capabilities::plain(Medium::Ethernet, 1500);
        let mut interface = Interface::new(at(0.ms()), &config, &device, Rng::new(1, 0)).unwrap();
        while interface.poll_event().is_some() {}
        Self { interface, told: Vec::new() }
    }

    fn receive(&mut self, now: Instant, message: Message<'_>) -> Result<(), DropReason> {
        self.receive_from(now, ROUTER, 255, message)
    }

    fn receive_from(
        &mut self,
        now: Instant,
        src: Ipv6Addr,
        hops: u8,
        message: Message<'_>,
    ) -> Result<(), DropReason> {
        let result = self.interface.handle_icmpv6(now, src, ALL_NODES, hops, &icmpv6::Message::Ndp(message));
        self.told.extend(core::iter::from_fn(|| self.interface.poll_event()));
        result
    }

    /// Runs all deadlines up to `until`; answers when router solicitations left.
    fn run(&mut self, until: Instant) -> Vec<u64> {
        let (mut asked, mut out) = (Vec::new(), Vec::new());
        let mut now = Instant::ZERO;
        loop {
            while let Some(why) = self.interface.poll_control(now, &mut out) {
                if why.reason() == crate::why::Reason::RouterSolicit {
                    asked.push(now.as_millis());
                }
            }
            self.told.extend(core::iter::from_fn(|| self.interface.poll_event()));
            match self.interface.poll_timeout() {
                Some(due) if due <= until => now = due,
                _ => return asked,
            }
            self.interface.handle_timeout(now);
        }
    }

    fn valid_until(&self) -> Option<Instant> {
        let made = self.interface.addresses().iter().find(|address| address.origin == Origin::Autoconf);
        made.expect("an address was made").valid_until
    }

    fn told(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.told)
    }
}

fn advert(lifetime: u16) -> RouterAdvertisement<'static> {
    RouterAdvertisement {
        hop_limit: 0,
        managed: false,
        other: false,
        lifetime,
        reachable_time: 0,
        retrans_timer: 0,
        source_link: Some(ROUTER_MAC),
        mtu: None,
        prefixes: List::EMPTY,
    }
}

fn prefix(valid_lifetime: u32, preferred_lifetime: u32) -> PrefixInfo {
    PrefixInfo {
        prefix: PREFIX,
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime,
        preferred_lifetime,
    }
}

fn with_prefixes(prefixes: &[PrefixInfo]) -> Message<'_> {
    Message::RouterAdvertisement(RouterAdvertisement { prefixes: List::new(prefixes), ..advert(1800) })
}

#[test]
fn routers_are_asked_for_three_times() {
    let asked = Trace::new().run(at(60.secs()));
    assert!(asked.len() == 3 && asked[0] <= 1000, "{asked:?}");
    assert!(asked.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(4000) <= 1), "{asked:?}");
}

#[test]
fn a_router_that_answers_is_asked_no_more_and_ends_with_its_lifetime() {
    let mut trace = Trace::new();
    trace.receive(at(0.ms()), Message::RouterAdvertisement(advert(30))).unwrap();
    assert_eq!(trace.told(), [Event::RouterAdded { router: ROUTER }]);
    let neighbor = trace.interface.neighbor(at(0.ms()), ROUTER.into()).unwrap();
    assert_eq!(neighbor.mac, Some(ROUTER_MAC));
    assert_eq!(trace.run(at(29.secs())), []);
    assert_eq!(trace.interface.routers().count(), 1);
    trace.run(at(30.secs()));
    assert_eq!(trace.told(), [Event::RouterRemoved { router: ROUTER }]);
}

#[test]
fn a_router_takes_itself_back() {
    for last in [
        Message::RouterAdvertisement(advert(0)),
        Message::NeighborAdvertisement {
            target: ROUTER,
            target_link: Some(ROUTER_MAC),
            router: false,
            solicited: false,
            override_cached: true,
        },
    ] {
        let mut trace = Trace::new();
        trace.receive(at(0.ms()), Message::RouterAdvertisement(advert(1800))).unwrap();
        trace.receive(at(1.secs()), last).unwrap();
        assert_eq!(trace.told()[1..], [Event::RouterRemoved { router: ROUTER }]);
    }
}

/// RFC 4861 section 7.2.5, I: another link address without the override flag is not taken, nor is what comes with it.
#[test]
fn who_only_claims_another_link_address_takes_no_router_back() {
    let mut trace = Trace::new();
    trace.receive(at(0.ms()), Message::RouterAdvertisement(advert(1800))).unwrap();
    let claim = |target_link, override_cached| Message::NeighborAdvertisement {
        target: ROUTER,
        target_link,
        router: false,
        solicited: false,
        override_cached,
    };
    trace.receive(at(1.secs()), claim(Some(MacAddr([2, 0, 0, 0, 0, 66])), false)).unwrap();
    assert_eq!(trace.told()[1..], []);
    assert_eq!(trace.interface.neighbor(at(1.secs()), ROUTER.into()).unwrap().mac, Some(ROUTER_MAC));
    trace.receive(at(2.secs()), claim(Some(ROUTER_MAC), false)).unwrap();
    assert_eq!(trace.told(), [Event::RouterRemoved { router: ROUTER }], "its own address is no other");
}

#[test]
fn parameters_are_taken_within_bounds() {
    let mut trace = Trace::new();
    let with_mtu =
        |mtu| Message::RouterAdvertisement(RouterAdvertisement { mtu: Some(mtu), hop_limit: 7, ..advert(0) });
    for (mtu, then) in [(1279, 1500), (9000, 1500), (1400, 1400), (1280, 1280)] {
        trace.receive(at(0.ms()), with_mtu(mtu)).unwrap();
        assert_eq!(trace.interface.mtu_v6(), then, "{mtu}");
    }
    assert_eq!(trace.interface.mtu(), 1500, "IPv4 has its own");
    assert_eq!(trace.interface.hop_limit(), 7);
    assert_eq!(trace.told(), [Event::MtuChanged { mtu: 1400 }, Event::MtuChanged { mtu: 1280 }]);
}

#[test]
fn a_prefix_makes_an_address_that_ages() {
    let mut trace = Trace::new();
    trace.receive(at(0.ms()), with_prefixes(&[prefix(100, 50)])).unwrap();
    let ip: IpAddr = "2001:db8::ff:fe00:2".parse().unwrap();
    assert!(trace.interface.owns(ip));
    let told = trace.told();
    assert!(told.contains(&Event::PrefixAdded { prefix: PREFIX, len: 64 }), "{told:?}");
    assert!(told.contains(&Event::AddressReady { ip, prefix_len: 128 }), "{told:?}");
    trace.run(at(50.secs()));
    assert_eq!(trace.told(), [Event::AddressDeprecated { ip }]);
    assert!(trace.interface.owns(ip));
    trace.run(at(100.secs()));
    assert_eq!(
        trace.told(),
        [Event::PrefixRemoved { prefix: PREFIX, len: 64 }, Event::AddressRemoved { ip }]
    );
    let group = IpAddr::V6(solicited_node("2001:db8::ff:fe00:2".parse().unwrap()));
    assert_eq!(
        trace.interface.joined_groups().filter(|&joined| joined == group).count(),
        1,
        "the link-local's"
    );
}

/// RFC 4862 section 5.5.3 (e): what an address has left, what is received, what it has left then, in seconds.
#[test]
fn an_unproven_router_shortens_a_lifetime_to_two_hours_at_most() {
    const HOUR: u32 = 3600;
    for (left, received, then) in [
        (HOUR, 30, HOUR),
        (HOUR, 2 * HOUR, 2 * HOUR),
        (10 * HOUR, 30, 2 * HOUR),
        (10 * HOUR, 3 * HOUR, 3 * HOUR),
        (u32::MAX, 0, 2 * HOUR),
        (u32::MAX, 5 * HOUR, 5 * HOUR),
    ] {
        let mut trace = Trace::new();
        trace.receive(at(0.ms()), with_prefixes(&[prefix(left, 0)])).unwrap();
        trace.receive(at(0.ms()), with_prefixes(&[prefix(received, 0)])).unwrap();
        assert_eq!(trace.valid_until(), Some(at(u64::from(then).secs())), "{left} {received}");
    }
    let mut trace = Trace::new();
    trace.receive(at(0.ms()), with_prefixes(&[prefix(HOUR, 0)])).unwrap();
    trace.receive(at(0.ms()), with_prefixes(&[prefix(u32::MAX, 0)])).unwrap();
    assert_eq!(trace.valid_until(), None);
}

#[test]
fn senseless_prefixes_make_no_address() {
    let mut trace = Trace::new();
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    trace
        .receive(
            at(0.ms()),
            with_prefixes(&[
                PrefixInfo { prefix: link_local, ..prefix(100, 100) },
                PrefixInfo { prefix_len: 65, on_link: false, ..prefix(100, 100) },
                PrefixInfo { on_link: false, ..prefix(50, 100) },
                prefix(0, 0),
            ]),
        )
        .unwrap();
    assert_eq!(trace.interface.addresses().len(), 1);
    assert_eq!(trace.told(), [Event::RouterAdded { router: ROUTER }]);
}

#[test]
fn a_flood_of_routers_and_prefixes_ends_at_the_limits() {
    let mut trace = Trace::new();
    for n in 1..200u16 {
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n);
        let prefixes =
            [PrefixInfo { prefix: Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0), ..prefix(100, 100) }];
        trace.receive_from(at(0.ms()), router, 255, with_prefixes(&prefixes)).unwrap();
    }
    assert_eq!(trace.interface.routers().count(), MAX_ROUTERS);
    assert_eq!(trace.interface.addresses().len(), 1 + MAX_AUTOCONF);
    let prefixes = trace.told().iter().filter(|event| matches!(event, Event::PrefixAdded { .. })).count();
    assert_eq!(prefixes, MAX_PREFIXES);
    let refused = 3 * 199 - MAX_ROUTERS - MAX_AUTOCONF - MAX_PREFIXES;
    assert_eq!(trace.interface.stats().routers_refused, refused as u64);
}

#[test]
fn what_comes_from_beyond_the_link_is_dropped() {
    let mut trace = Trace::new();
    let message = Message::RouterAdvertisement(advert(1800));
    let far = "2001:db8::1".parse().unwrap();
    assert_eq!(trace.receive_from(at(0.ms()), ROUTER, 254, message), Err(DropReason::BadNdp));
    assert_eq!(trace.receive_from(at(0.ms()), far, 255, message), Err(DropReason::BadNdp));
    let redirect = Message::Redirect { target: far, destination: PREFIX, target_link: None, quoted: &[] };
    assert_eq!(
        trace.receive(at(0.ms()), redirect),
        Err(DropReason::BadNdp),
        "no router, not the destination"
    );
    let group = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
    let message =
        Message::RouterAdvertisement(RouterAdvertisement { source_link: Some(group), ..advert(1800) });
    assert_eq!(trace.receive(at(0.ms()), message), Err(DropReason::BadNdp));
    assert_eq!(trace.interface.stats().dropped(DropReason::BadNdp), 4);
    assert_eq!(trace.told(), []);
}

#[test]
fn a_redirect_is_told_and_its_target_learned() {
    let mut trace = Trace::new();
    let target = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let destination = "2001:db8:9::1".parse().unwrap();
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    let message = Message::Redirect { target, destination, target_link: Some(mac), quoted: &[] };
    trace.receive(at(0.ms()), message).unwrap();
    assert_eq!(trace.told(), [Event::Redirect { from: ROUTER, destination, via: target }]);
    assert_eq!(trace.interface.neighbor(at(0.ms()), target.into()).unwrap().mac, Some(mac));
}

#[test]
fn who_does_not_listen_to_routers_takes_nothing_from_them() {
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(OURS) };
    let device = Capabilities::plain(Medium::Ethernet, 1500);
    let interface = Interface::new(at(0.ms()), &config, &device, Rng::new(1, 0)).unwrap();
    let mut trace = Trace { interface, told: Vec::new() };
    assert_eq!(trace.run(at(60.secs())), []);
    trace.told();
    trace.receive(at(60.secs()), with_prefixes(&[prefix(100, 100)])).unwrap();
    assert_eq!(trace.told(), []);
}
