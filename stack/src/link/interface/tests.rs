use super::*;
use crate::time::{Duration, Units, at};
use crate::wire::arp::{Operation, Packet};
use crate::wire::checksum::Sum;
use crate::wire::ip::Protocol;
use crate::wire::{ext, ipv4, ipv6, mld};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
const A4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const B6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

/// A host with one IPv4 and one IPv6 address; the stack's part is reading ICMPv6 and IGMP for it.
struct Host {
    interface: Interface,
    told: Vec<Event>,
}

impl Host {
    fn new(mac: MacAddr, last: u16, dad: bool) -> Self {
        let config = InterfaceConfig { dad, ..InterfaceConfig::new(mac) }
            .address(IpAddr::from([10, 9, 0, last as u8]), 24)
            .address(IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, last]), 64);
        let device = Capabilities::plain(Medium::Ethernet, 1500);
        let rng = Rng::new(u64::from(last), 0);
        Self { interface: Interface::new(at(0.ms()), &config, &device, rng).unwrap(), told: Vec::new() }
    }

    fn receive(&mut self, now: Instant, frame: &[u8]) -> Result<(), DropReason> {
        let result = match self.interface.handle_frame(now, &RxFrame::plain(frame)) {
            Received::Ip { packet, header, .. } => {
                assert_eq!(packet.len() + header, frame.len());
                self.receive_ip(now, packet)
            }
            Received::Consumed => Ok(()),
            Received::Dropped(reason) => Err(reason),
        };
        self.told.extend(core::iter::from_fn(|| self.interface.poll_event()));
        result
    }

    fn receive_ip(&mut self, now: Instant, packet: &[u8]) -> Result<(), DropReason> {
        if let Ok((header, payload)) = ipv4::Header::parse(packet)
            && let Ok(message) = igmp::Message::parse(payload)
        {
            return self.interface.handle_igmp(now, header.ttl, &message);
        }
        let Ok((header, payload)) = ipv6::Header::parse(packet) else { return Ok(()) };
        let Ok(walk) = ext::walk(header.next_header, payload) else { return Ok(()) };
        let Ok(message) = icmpv6::Message::parse(walk.payload, header.src, header.dst) else { return Ok(()) };
        self.interface.handle_icmpv6(now, header.src, header.dst, header.hop_limit, &message)
    }

    fn frames(&mut self, now: Instant) -> Vec<(Why, Vec<u8>)> {
        let mut out = Vec::new();
        core::iter::from_fn(|| self.interface.poll_control(now, &mut out).map(|why| (why, out.clone())))
            .collect()
    }

    fn told(&mut self) -> Vec<Event> {
        self.told.extend(core::iter::from_fn(|| self.interface.poll_event()));
        core::mem::take(&mut self.told)
    }
}

/// Hosts on one wire, which loses nothing and takes no time.
struct Wire {
    hosts: Vec<Host>,
    seen: Vec<(u64, usize, Reason)>,
}

impl Wire {
    fn run(&mut self, from: Instant, until: Instant) {
        let mut now = from;
        loop {
            let mut quiet = false;
            while !quiet {
                quiet = true;
                for from in 0..self.hosts.len() {
                    for (why, frame) in self.hosts[from].frames(now) {
                        quiet = false;
                        self.seen.push((now.as_millis(), from, why.reason()));
                        for to in (0..self.hosts.len()).filter(|&to| to != from) {
                            let _ = self.hosts[to].receive(now, &frame);
                        }
                    }
                }
            }
            match self.hosts.iter().filter_map(|host| host.interface.poll_timeout()).min() {
                Some(due) if due <= until => now = due,
                _ => return,
            }
            for host in &mut self.hosts {
                host.interface.handle_timeout(now);
                assert!(
                    host.interface.poll_timeout().is_none_or(|due| due > now),
                    "a deadline must not stay behind"
                );
            }
        }
    }

    fn said(&self, by: usize, reason: Reason) -> usize {
        self.seen.iter().filter(|&&(_, host, said)| (host, said) == (by, reason)).count()
    }
}

fn pair(dad: bool) -> Wire {
    Wire { hosts: vec![Host::new(A, 1, dad), Host::new(B, 2, dad)], seen: Vec::new() }
}

fn arp(operation: Operation, sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Packet {
    Packet { operation, sender_mac, sender_ip, target_mac: MacAddr::UNSPECIFIED, target_ip }
}

fn arp_frame(dst: MacAddr, packet: &Packet) -> Vec<u8> {
    let header = wire::ethernet::Header { dst, src: packet.sender_mac, ether_type: EtherType::ARP };
    [&header.to_bytes()[..], &packet.to_bytes()].concat()
}

#[test]
fn two_hosts_probe_their_addresses_and_find_each_other() {
    let mut wire = pair(true);
    wire.run(at(0.ms()), at(20.secs()));
    for host in 0..2 {
        let ready = wire.hosts[host].told();
        assert_eq!(ready.len(), 3, "{ready:?}");
        assert!(ready.iter().all(|event| matches!(event, Event::AddressReady { .. })), "{ready:?}");
        // Three times for IPv4, once for each of two IPv6 addresses.
        assert_eq!(wire.said(host, Reason::AddressProbe), 5);
        assert!(wire.said(host, Reason::GroupReport) >= 2);
    }
    for ip in [IpAddr::V4(B4), IpAddr::V6(B6), IpAddr::V6(B.link_local())] {
        let now = at(20.secs());
        assert_eq!(wire.hosts[0].interface.resolve(now, ip), Resolution::Pending);
        wire.run(now, now);
        assert_eq!(wire.hosts[0].told(), [Event::NeighborResolved { ip, mac: B }]);
        assert_eq!(wire.hosts[0].interface.resolve(now, ip), Resolution::Known(B));
    }
    assert_eq!((wire.said(0, Reason::NeighborSolicit), wire.said(1, Reason::NeighborAdvert)), (3, 3));
    // A minute later they are used again, and asked at their own address.
    let later = at(80.secs());
    wire.hosts[0].interface.resolve(later, IpAddr::V6(B6));
    wire.run(later, at(90.secs()));
    assert_eq!((wire.said(0, Reason::NeighborProbe), wire.said(1, Reason::NeighborAdvert)), (1, 4));
    assert!(
        wire.hosts.iter().all(|host| host.interface.poll_timeout().is_none()),
        "nothing wakes an idle interface"
    );
}

#[test]
fn two_hosts_with_one_address_notice() {
    let mut wire = Wire { hosts: vec![Host::new(A, 1, true)], seen: Vec::new() };
    wire.run(at(0.ms()), at(20.secs()));
    wire.hosts[0].told();
    wire.hosts.push(Host::new(B, 1, true));
    wire.run(at(0.ms()), at(20.secs()));
    let (first, second) = (wire.hosts[0].told(), wire.hosts[1].told());
    assert_eq!(first, [], "it answers probes, which claim nothing");
    let lost = |ip: IpAddr, mac| Event::AddressConflict { ip, mac, lost: true };
    assert!(second.contains(&lost(A4.into(), Some(A))), "{second:?}");
    assert!(second.contains(&lost("fd09::1".parse().unwrap(), Some(A))), "{second:?}");
    assert!(!wire.hosts[1].interface.owns(A4.into()));
    assert_eq!(wire.hosts[1].interface.source_for(B4.into()), None);
}

#[test]
fn of_two_hosts_that_probe_at_once_the_faster_one_gets_the_address() {
    let mut wire = Wire { hosts: vec![Host::new(A, 1, true), Host::new(B, 1, true)], seen: Vec::new() };
    wire.run(at(0.ms()), at(20.secs()));
    for ip in [IpAddr::V4(A4), "fd09::1".parse().unwrap()] {
        assert_eq!(wire.hosts.iter().filter(|host| host.interface.owns(ip)).count(), 1, "{ip}");
    }
    assert!(wire.hosts.iter().all(|host| host.interface.link_local().is_some()));
}

#[test]
fn an_address_in_use_is_defended() {
    let mut host = Host::new(A, 1, false);
    host.frames(at(0.ms()));
    host.told();
    let claim = arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, B, A4, A4));
    for second in 0..10 {
        host.receive(at(second.secs()), &claim).unwrap();
    }
    assert_eq!(host.told(), [Event::AddressConflict { ip: A4.into(), mac: Some(B), lost: false }]);
    let frames = host.frames(at(10.secs()));
    let defences: Vec<_> = frames.iter().filter(|(why, _)| why.reason() == Reason::AddressDefence).collect();
    assert_eq!(defences.len(), 1);
    assert_eq!(defences[0].1, arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, A, A4, A4)));
    assert!(host.interface.owns(A4.into()));
}

#[test]
fn arp_is_answered_to_who_asked() {
    let mut host = Host::new(A, 1, false);
    host.frames(at(0.ms()));
    host.receive(at(1.ms()), &arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, B, B4, A4))).unwrap();
    let reply = Packet { target_mac: B, ..arp(Operation::Reply, A, A4, B4) };
    assert_eq!(host.frames(at(1.ms())), [(Why::new(Reason::NeighborAdvert), arp_frame(B, &reply))]);
    assert_eq!(host.interface.neighbor(at(1.ms()), B4.into()).unwrap().mac, Some(B));
    // Not for us, and from nobody on our link: nothing is said or learned.
    let other = Ipv4Addr::new(10, 9, 0, 77);
    host.receive(at(1.ms()), &arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, B, other, B4))).unwrap();
    let far = Ipv4Addr::new(192, 0, 2, 1);
    host.receive(at(1.ms()), &arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, B, far, A4))).unwrap();
    assert_eq!(host.frames(at(1.ms())).len(), 1);
    assert_eq!(host.interface.neighbors(at(1.ms())).count(), 1);
}

#[test]
fn a_flood_of_questions_fills_the_queue_and_no_more() {
    let mut host = Host::new(A, 1, false);
    host.frames(at(0.ms()));
    let frame = arp_frame(MacAddr::BROADCAST, &arp(Operation::Request, B, B4, A4));
    let dropped = (0..1000).filter(|_| host.receive(at(0.ms()), &frame) == Err(DropReason::Busy)).count();
    assert_eq!(dropped, 1000 - MAX_REPLIES);
    assert_eq!(host.frames(at(0.ms())).len(), MAX_REPLIES);
    assert_eq!(host.interface.stats().dropped(DropReason::Busy), dropped as u64);
}

#[test]
fn frames_are_filtered_by_their_link_addresses() {
    let mut host = Host::new(A, 1, false);
    let mut receive = |dst, src, ether_type| {
        let mut frame = wire::ethernet::Header { dst, src, ether_type }.to_bytes().to_vec();
        frame.extend([0; 46]);
        match host.interface.handle_frame(at(0.ms()), &RxFrame::plain(&frame)) {
            Received::Ip { packet, cast, .. } => {
                assert_eq!(packet.len(), 46);
                Ok(cast)
            }
            Received::Consumed => panic!("no one deals with this"),
            Received::Dropped(reason) => Err(reason),
        }
    };
    let v6_group = MacAddr([0x33, 0x33, 0xff, 0, 0, 1]);
    assert_eq!(receive(A, B, EtherType::IPV4), Ok(Cast::Unicast));
    assert_eq!(receive(MacAddr::BROADCAST, B, EtherType::IPV4), Ok(Cast::Broadcast));
    assert_eq!(
        receive(v6_group, B, EtherType::IPV6),
        Ok(Cast::Multicast),
        "the solicited-node group of fd09::1"
    );
    assert_eq!(receive(MacAddr([0x33, 0x33, 0, 0, 0, 9]), B, EtherType::IPV6), Err(DropReason::NotForUs));
    assert_eq!(receive(B, B, EtherType::IPV4), Err(DropReason::NotForUs));
    assert_eq!(receive(A, A, EtherType::IPV4), Err(DropReason::FromUs));
    assert_eq!(receive(A, v6_group, EtherType::IPV4), Err(DropReason::BadSource));
    assert_eq!(receive(A, B, EtherType::VLAN), Err(DropReason::UnknownType));
    assert_eq!(receive(A, B, EtherType(46)), Err(DropReason::UnknownType), "802.3");
    assert_eq!(receive(A, B, EtherType::ARP), Err(DropReason::BadArp));
}

#[test]
fn knows_what_is_for_us() {
    let mut host = Host::new(A, 1, false);
    let group: IpAddr = "239.1.2.3".parse().unwrap();
    host.interface.join_group(at(0.ms()), group).unwrap();
    for (dst, accepted) in [
        ("10.9.0.1", Some(Cast::Unicast)),
        ("fd09::1", Some(Cast::Unicast)),
        ("10.9.0.255", Some(Cast::Broadcast)),
        ("255.255.255.255", Some(Cast::Broadcast)),
        ("224.0.0.1", Some(Cast::Multicast)),
        ("239.1.2.3", Some(Cast::Multicast)),
        ("ff02::1", Some(Cast::Multicast)),
        ("ff02::1:ff00:1", Some(Cast::Multicast)),
        ("10.9.0.2", None),
        ("239.1.2.4", None),
        ("ff02::2", None),
    ] {
        assert_eq!(host.interface.accepts(dst.parse().unwrap()), accepted, "{dst}");
    }
    let mut resolve = |dst: &str| host.interface.resolve(at(0.ms()), dst.parse().unwrap());
    assert_eq!(resolve("239.1.2.4"), Resolution::Known(MacAddr([1, 0, 0x5e, 1, 2, 4])));
    assert_eq!(resolve("ff02::2"), Resolution::Known(MacAddr([0x33, 0x33, 0, 0, 0, 2])));
    assert_eq!(resolve("10.9.0.255"), Resolution::Known(MacAddr::BROADCAST));
}

#[test]
fn group_reports_have_the_form_that_snoopers_expect() {
    let mut host = Host::new(A, 1, false);
    host.frames(at(0.ms()));
    for group in ["239.1.2.3", "ff05::1:3"] {
        host.interface.join_group(at(3.secs()), group.parse().unwrap()).unwrap();
    }
    let frames = host.frames(at(3.secs()));
    let [(why4, v4), (why6, v6)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((why4.reason(), why6.reason()), (Reason::GroupReport, Reason::GroupReport));
    assert_eq!(v4[..6], [1, 0, 0x5e, 0, 0, 22]);
    let (header, payload) = ipv4::Header::parse(&v4[14..]).unwrap();
    assert_eq!((header.src, header.dst, header.ttl), (A4, igmp::ALL_V3_ROUTERS, 1));
    assert_eq!(header.options, ipv4::Options::ROUTER_ALERT);
    assert!(
        matches!(igmp::Message::parse(payload), Ok(igmp::Message::ReportV3 { records: r }) if r.count() == 1)
    );
    assert_eq!(v6[..6], [0x33, 0x33, 0, 0, 0, 0x16]);
    let (header, payload) = ipv6::Header::parse(&v6[14..]).unwrap();
    assert_eq!((header.src, header.dst, header.hop_limit), (A.link_local(), mld::ALL_V2_ROUTERS, 1));
    let walk = ext::walk(header.next_header, payload).unwrap();
    assert_eq!(walk.router_alert, Some(0));
    let message = icmpv6::Message::parse(walk.payload, header.src, header.dst).unwrap();
    let icmpv6::Message::Mld(mld::Message::ReportV2 { records }) = message else { panic!("{message:?}") };
    // The groups of our addresses, which are reported again, come with it.
    assert!(records.iter().any(|record| record.group == "ff05::1:3".parse::<Ipv6Addr>().unwrap()));
}

#[test]
fn a_duplicate_probe_for_our_address_is_told_to_everyone() {
    let mut host = Host::new(A, 1, false);
    host.frames(at(0.ms()));
    let target: Ipv6Addr = "fd09::1".parse().unwrap();
    let probe = ndp::Message::NeighborSolicitation { target, source_link: None };
    let mut frame = Vec::new();
    emit::ndp(B, None, Ipv6Addr::UNSPECIFIED, solicited_node(target), probe, &mut frame);
    host.receive(at(1.ms()), &frame).unwrap();
    let frames = host.frames(at(1.ms()));
    let [(_, advert)] = &frames[..] else { panic!("{frames:?}") };
    let (header, payload) = ipv6::Header::parse(&advert[14..]).unwrap();
    assert_eq!((header.src, header.dst, header.hop_limit), (target, ALL_NODES, 255));
    let message = icmpv6::Message::parse(payload, header.src, header.dst).unwrap();
    let icmpv6::Message::Ndp(ndp::Message::NeighborAdvertisement {
        solicited,
        override_cached,
        target_link,
        ..
    }) = message
    else {
        panic!("{message:?}")
    };
    assert_eq!((solicited, override_cached, target_link), (false, true, Some(A)));
}

#[test]
fn an_older_querier_gets_an_older_report() {
    let mut host = Host::new(A, 1, false);
    host.interface.join_group(at(0.ms()), "239.1.2.3".parse().unwrap()).unwrap();
    let mut wire = Wire { hosts: vec![host], seen: Vec::new() };
    wire.run(at(0.ms()), at(5.secs()));
    let host = &mut wire.hosts[0];
    let query = igmp::Query {
        version: igmp::Version::V2,
        group: Ipv4Addr::UNSPECIFIED,
        max_response: 10.secs(),
        suppress: false,
        robustness: 0,
        interval: Duration::ZERO,
        sources: wire::list::List::EMPTY,
    };
    let query = igmp::Message::Query(query);
    assert_eq!(host.interface.handle_igmp(at(5.secs()), 64, &query), Err(DropReason::BadGroup));
    host.interface.handle_igmp(at(5.secs()), 1, &query).unwrap();
    let due = host.interface.poll_timeout().unwrap();
    host.interface.handle_timeout(due);
    let frames = host.frames(due);
    let [(_, report)] = &frames[..] else { panic!("{frames:?}") };
    let (header, payload) = ipv4::Header::parse(&report[14..]).unwrap();
    let group = Ipv4Addr::new(239, 1, 2, 3);
    assert_eq!((header.dst, igmp::Message::parse(payload)), (group, Ok(igmp::Message::ReportV2 { group })));
}

#[test]
fn a_medium_without_a_link_header_passes_packets_through() {
    let config = InterfaceConfig::new(A).address(A4.into(), 24).address("fd09::1".parse().unwrap(), 64);
    let device = Capabilities::plain(Medium::Ip, 1500);
    let mut interface = Interface::new(at(0.ms()), &config, &device, Rng::new(1, 0)).unwrap();
    assert!(interface.owns(A4.into()), "nobody to ask whether it is free");
    let received = interface.handle_frame(at(0.ms()), &RxFrame::plain(&[0x45, 0]));
    assert_eq!(received, Received::Ip { packet: &[0x45, 0], header: 0, cast: Cast::Unicast });
    assert_eq!(
        interface.handle_frame(at(0.ms()), &RxFrame::plain(&[])),
        Received::Dropped(DropReason::TooShort)
    );
    assert_eq!(interface.resolve(at(0.ms()), B4.into()), Resolution::Known(MacAddr::UNSPECIFIED));
    let mut head = Vec::new();
    interface.write_link_header(MacAddr::UNSPECIFIED, EtherType::IPV4, &mut head);
    assert_eq!((head.len(), interface.link_header_len()), (0, 0));
    interface.handle_timeout(at(60.secs()));
    assert_eq!((interface.poll_control(at(60.secs()), &mut head), interface.poll_timeout()), (None, None));
}

#[test]
fn two_runs_from_one_seed_say_the_same() {
    let run = || {
        let mut wire = pair(true);
        wire.run(at(0.ms()), at(30.secs()));
        wire.seen
    };
    assert_eq!(run(), run());
}

/// A frame of noise, one that begins like ours, or one of ours with a byte changed.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let own: Vec<Vec<u8>> = {
        let mut hosts = [Host::new(B, 2, true), Host::new(B, 1, true), Host::new(B, 2, false)];
        let mut frames = Vec::new();
        for host in &mut hosts {
            for second in 0..8 {
                host.interface.handle_timeout(at(second.secs()));
                host.interface.resolve(at(second.secs()), IpAddr::V4(A4));
                host.interface.resolve(at(second.secs()), "fd09::1".parse().unwrap());
                frames.extend(host.frames(at(second.secs())).into_iter().map(|(_, frame)| frame));
            }
        }
        frames
    };
    let changed = (proptest::sample::select(own), any::<proptest::sample::Index>(), any::<u8>());
    let header = prop_oneof![Just(EtherType::ARP), Just(EtherType::IPV4), Just(EtherType::IPV6)];
    prop_oneof![
        vec(any::<u8>(), 0..100),
        (header, vec(any::<u8>(), 0..100)).prop_map(|(ether_type, noise)| {
            let header = wire::ethernet::Header { dst: MacAddr::BROADCAST, src: B, ether_type };
            [&header.to_bytes()[..], &noise].concat()
        }),
        changed.prop_map(|(mut frame, index, value)| {
            let at = index.index(frame.len());
            frame[at] = value;
            frame
        }),
    ]
}

/// Any NDP message, as the stack hands it over after its checksum was right.
fn ndp_messages() -> impl Strategy<Value = (Ipv6Addr, Ipv6Addr, Vec<u8>)> {
    let address = prop_oneof![
        any::<[u8; 16]>().prop_map(Ipv6Addr::from),
        Just(Ipv6Addr::UNSPECIFIED),
        Just("fd09::1".parse::<Ipv6Addr>().unwrap()),
        Just("fe80::1".parse::<Ipv6Addr>().unwrap()),
        Just(ALL_NODES),
    ];
    let kind = prop_oneof![130u8..=143, 133u8..=137];
    let message = (kind, vec(any::<u8>(), 7..120));
    let message = message.prop_map(|(kind, mut rest)| {
        rest.insert(0, kind);
        rest[1] = 0;
        rest
    });
    (address.clone(), address, message)
}

proptest! {
    /// No bytes from the link make us panic, or fill anything beyond its limit, or leave a deadline behind.
    #[test]
    fn no_frame_is_too_much(input in vec((frames(), ndp_messages(), 0u16..3000), 1..40)) {
        let mut host = Host::new(A, 1, true);
        let mut now = Instant::ZERO;
        for (frame, (src, dst, mut message), wait) in input {
            let _ = host.receive(now, &frame);
            message[2..4].fill(0);
            let sum = Sum::pseudo(src.into(), dst.into(), Protocol::ICMPV6, message.len());
            let sum = sum.with(&message).checksum().to_be_bytes();
            message[2..4].copy_from_slice(&sum);
            if let Ok(message) = icmpv6::Message::parse(&message, src, dst) {
                let hop_limit = if wait % 2 == 0 { 255 } else { 1 };
                let _ = host.interface.handle_icmpv6(now, src, dst, hop_limit, &message);
            }
            prop_assert!(host.interface.replies.len() <= MAX_REPLIES);
            prop_assert!(host.interface.neighbors(now).count() <= 1024);
            if wait % 3 == 0 {
                host.frames(now);
            }
            now += u64::from(wait).ms();
            host.interface.handle_timeout(now);
            prop_assert!(host.interface.poll_timeout().is_none_or(|due| due > now));
        }
    }
}
