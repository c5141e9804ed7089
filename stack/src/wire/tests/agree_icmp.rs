//! ICMP, neighbor discovery and group management: etherparse, smoltcp and pnet read what we write, and we
//! read it back.

use core::net::{Ipv4Addr, Ipv6Addr};

use pnet::packet::Packet as _;
use pnet::packet::{icmp as pnet_icmp, icmpv6 as pnet_icmpv6};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as smol;

use super::strategies;
use crate::time::Duration;
use crate::wire::ethernet::MacAddr;
use crate::wire::group::RecordKind;
use crate::wire::list::List;
use crate::wire::ndp::{PrefixInfo, RouterAdvertisement};
use crate::wire::{icmpv4, icmpv6, igmp, mld, ndp};

proptest! {
    #[test]
    fn icmpv4_messages((kind, code, numbers) in any::<(u8, u8, u32)>(), body in strategies::payload()) {
        let message = icmpv4_message(kind, code, numbers, &body);
        let mut bytes = vec![0xee; message.wire_len()];
        message.write(&mut bytes).unwrap();
        prop_assert_eq!(icmpv4::Message::parse(&bytes), Ok(message));

        let theirs = smol::Icmpv4Packet::new_checked(&bytes).unwrap();
        prop_assert!(theirs.verify_checksum());
        if let icmpv4::Message::EchoRequest { id, seq, data } | icmpv4::Message::EchoReply { id, seq, data } =
            message {
            prop_assert_eq!((theirs.echo_ident(), theirs.echo_seq_no(), theirs.data()), (id, seq, data));
        }

        let theirs = pnet_icmp::IcmpPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_checksum(), pnet_icmp::checksum(&theirs));
        prop_assert_eq!((theirs.get_icmp_type().0, theirs.get_icmp_code().0), (bytes[0], bytes[1]));

        let theirs = etherparse::Icmpv4Slice::from_slice(&bytes).unwrap();
        match (theirs.icmp_type(), message) {
            (etherparse::Icmpv4Type::EchoRequest(echo), icmpv4::Message::EchoRequest { id, seq, .. })
            | (etherparse::Icmpv4Type::EchoReply(echo), icmpv4::Message::EchoReply { id, seq, .. }) =>
                prop_assert_eq!((echo.id, echo.seq), (id, seq)),
            (etherparse::Icmpv4Type::Redirect(theirs), icmpv4::Message::Redirect { gateway, .. }) =>
                prop_assert_eq!(theirs.gateway_internet_address, gateway.octets()),
            (etherparse::Icmpv4Type::DestinationUnreachable(
                etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu }),
             icmpv4::Message::DestinationUnreachable { mtu, .. }) => prop_assert_eq!(next_hop_mtu, mtu),
            _ => {}
        }
        prop_assert_eq!(theirs.payload(), &body);
    }

    #[test]
    fn icmpv6_messages(
        (kind, code, numbers) in any::<(u8, u8, u32)>(),
        body in strategies::payload(),
        (src, dst) in any::<(Ipv6Addr, Ipv6Addr)>(),
    ) {
        let message = icmpv6_message(kind, code, numbers, &body);
        let bytes = written(&message, src, dst);
        prop_assert_eq!(icmpv6::Message::parse(&bytes, src, dst), Ok(message));
        everyone_accepts_the_checksum(&bytes, src, dst)?;

        let theirs = etherparse::Icmpv6Slice::from_slice(&bytes).unwrap();
        match (theirs.icmp_type(), message) {
            (etherparse::Icmpv6Type::EchoRequest(echo), icmpv6::Message::EchoRequest { id, seq, .. })
            | (etherparse::Icmpv6Type::EchoReply(echo), icmpv6::Message::EchoReply { id, seq, .. }) =>
                prop_assert_eq!((echo.id, echo.seq), (id, seq)),
            (
                etherparse::Icmpv6Type::PacketTooBig { mtu: theirs },
                icmpv6::Message::PacketTooBig { mtu, .. },
            ) =>
                prop_assert_eq!(theirs, mtu),
            (
                etherparse::Icmpv6Type::ParameterProblem(theirs),
                icmpv6::Message::ParameterProblem { pointer, .. },
            ) =>
                prop_assert_eq!(theirs.pointer, pointer),
            _ => {}
        }
        prop_assert_eq!(theirs.payload(), &body);
    }

    #[test]
    fn neighbor_messages(
        target in unicast(), link in option::of(strategies::mac()), flags in any::<[bool; 3]>(),
        solicit in any::<bool>(),
        (src, dst) in any::<(Ipv6Addr, Ipv6Addr)>(),
    ) {
        let [router, solicited, override_cached] = flags;
        let message = if solicit {
            ndp::Message::NeighborSolicitation { target, source_link: link }
        } else {
            let target_link = link;
            ndp::Message::NeighborAdvertisement { target, target_link, router, solicited, override_cached }
        };
        let bytes = written(&message.into(), src, dst);
        prop_assert_eq!(icmpv6::Message::parse(&bytes, src, dst), Ok(message.into()));
        everyone_accepts_the_checksum(&bytes, src, dst)?;

        let packet = smol::Icmpv6Packet::new_checked(&bytes[..]).unwrap();
        match smol::NdiscRepr::parse(&packet).unwrap() {
            smol::NdiscRepr::NeighborSolicit { target_addr, lladdr } => {
                prop_assert!(solicit);
                prop_assert_eq!((target_addr, lladdr.map(mac_of)), (target, link));
            }
            smol::NdiscRepr::NeighborAdvert { flags, target_addr, lladdr } => {
                let ours = [router, solicited, override_cached];
                prop_assert_eq!([
                    flags.contains(smol::NdiscNeighborFlags::ROUTER),
                    flags.contains(smol::NdiscNeighborFlags::SOLICITED),
                    flags.contains(smol::NdiscNeighborFlags::OVERRIDE),
                ], ours);
                prop_assert_eq!((target_addr, lladdr.map(mac_of)), (target, link));
            }
            other => panic!("another message: {other:?}"),
        }

        let (address, options) = if solicit {
            let theirs = pnet_icmpv6::ndp::NeighborSolicitPacket::new(&bytes).unwrap();
            (theirs.get_target_addr(), theirs.get_options())
        } else {
            let theirs = pnet_icmpv6::ndp::NeighborAdvertPacket::new(&bytes).unwrap();
            (theirs.get_target_addr(), theirs.get_options())
        };
        let data = options.first().and_then(|option| MacAddr::from_slice(&option.data));
        prop_assert_eq!((address, data), (target, link));
    }

    #[test]
    fn router_messages(
        (hop_limit, lifetime, reachable_time, retrans_timer) in any::<(u8, u16, u32, u32)>(),
        (managed, other) in any::<(bool, bool)>(), link in option::of(strategies::mac()),
        mtu in option::of(any::<u32>()),
        prefixes in vec(prefix(), 0..=3), (src, dst) in any::<(Ipv6Addr, Ipv6Addr)>(),
    ) {
        let ours = RouterAdvertisement {
            hop_limit, managed, other, lifetime, reachable_time, retrans_timer, source_link: link, mtu,
            prefixes: List::new(&prefixes),
        };
        let message = ndp::Message::RouterAdvertisement(ours);
        let bytes = written(&message.into(), src, dst);
        prop_assert_eq!(icmpv6::Message::parse(&bytes, src, dst), Ok(message.into()));
        everyone_accepts_the_checksum(&bytes, src, dst)?;

        let packet = smol::Icmpv6Packet::new_checked(&bytes[..]).unwrap();
        let Ok(smol::NdiscRepr::RouterAdvert {
            hop_limit: hops, flags, router_lifetime, reachable_time: reachable, retrans_time, lladdr,
            mtu: units, prefix_info,
        }) = smol::NdiscRepr::parse(&packet) else { panic!("not read") };
        prop_assert_eq!((hops, router_lifetime.secs()), (hop_limit, u64::from(lifetime)));
        prop_assert_eq!(
            (reachable.total_millis(), retrans_time.total_millis()),
            (reachable_time.into(), retrans_timer.into()),
        );
        prop_assert_eq!(flags.contains(smol::NdiscRouterFlags::MANAGED), managed);
        prop_assert_eq!(flags.contains(smol::NdiscRouterFlags::OTHER), other);
        prop_assert_eq!((lladdr.map(mac_of), units), (link, mtu));
        let last = prefixes.last().map(
            |prefix| (prefix.prefix, prefix.prefix_len, u64::from(prefix.valid_lifetime))
        );
        prop_assert_eq!(
            prefix_info.map(|info| (info.prefix, info.prefix_len, info.valid_lifetime.secs())), last,
        );

        let theirs = pnet_icmpv6::ndp::RouterAdvertPacket::new(&bytes).unwrap();
        prop_assert_eq!((theirs.get_hop_limit(), theirs.get_lifetime()), (hop_limit, lifetime));
        prop_assert_eq!(
            (theirs.get_reachable_time(), theirs.get_retrans_time()), (reachable_time, retrans_timer),
        );
        let count = usize::from(link.is_some()) + usize::from(mtu.is_some()) + prefixes.len();
        prop_assert_eq!(theirs.get_options().len(), count);
    }

    #[test]
    fn redirects(
        target in unicast(), destination in unicast(), link in option::of(strategies::mac()),
        packet in vec(any::<[u8; 8]>(), 0..20), (src, dst) in any::<(Ipv6Addr, Ipv6Addr)>(),
    ) {
        let quoted = packet.as_flattened();
        let message = ndp::Message::Redirect { target, destination, target_link: link, quoted };
        let bytes = written(&message.into(), src, dst);
        prop_assert_eq!(icmpv6::Message::parse(&bytes, src, dst), Ok(message.into()));
        let theirs = pnet_icmpv6::ndp::RedirectPacket::new(&bytes).unwrap();
        prop_assert_eq!((theirs.get_target_addr(), theirs.get_dest_addr()), (target, destination));
        let data: Vec<u8> = theirs.get_options().iter().filter(|option| option.option_type.0 == 4)
            .flat_map(|option| option.data[6..].to_vec()).collect();
        prop_assert_eq!(data, quoted);
    }

    #[test]
    fn igmp_messages(
        group in any::<Ipv4Addr>(),
        sources in vec(any::<Ipv4Addr>(), 0..4),
        kinds in vec(1u8..=6, 0..4),
        code in 1u8..=127,
    ) {
        let records: Vec<_> = kinds.iter().filter_map(|kind| RecordKind::from_wire(*kind))
            .map(|kind| igmp::Record { kind, group, sources: List::new(&sources) }).collect();
        let max_response = Duration::from_millis(100 * u64::from(code));
        let query = igmp::Query {
            version: igmp::Version::V3, group, max_response, suppress: code & 1 == 1, robustness: code & 7,
            interval: Duration::from_secs(125), sources: List::new(&sources),
        };
        let v2 = igmp::Query {
            version: igmp::Version::V2, suppress: false, robustness: 0, interval: Duration::ZERO,
            sources: List::EMPTY, ..query
        };
        for message in [
            igmp::Message::Query(query),
            igmp::Message::Query(v2),
            igmp::Message::ReportV1 { group },
            igmp::Message::ReportV2 { group },
            igmp::Message::Leave { group },
            igmp::Message::ReportV3 { records: List::new(&records) },
        ] {
            let mut bytes = vec![0xee; message.wire_len()];
            message.write(&mut bytes).unwrap();
            prop_assert_eq!(igmp::Message::parse(&bytes), Ok(message));

            let theirs = etherparse::IgmpSlice::from_slice(&bytes).unwrap();
            prop_assert!(theirs.is_checksum_valid());
            match (&theirs, message) {
                (etherparse::IgmpSlice::MembershipQueryWithSources(theirs), igmp::Message::Query(query)) => {
                    prop_assert_eq!(
                        theirs.source_addresses().map(Ipv4Addr::from).collect::<Vec<_>>(), sources.clone(),
                    );
                    prop_assert_eq!((theirs.s_flag(), theirs.qqic()), (query.suppress, 125));
                    prop_assert_eq!(theirs.qrv().value(), query.robustness);
                }
                (etherparse::IgmpSlice::MembershipReportV3(theirs), _) => {
                    for (record, ours) in theirs.group_records().zip(&records) {
                        let record = record.unwrap();
                        prop_assert_eq!(
                            (record.record_type().0, record.multicast_address()),
                            (ours.kind as u8, group.octets()),
                        );
                        prop_assert_eq!(
                            record.source_addresses().map(Ipv4Addr::from).collect::<Vec<_>>(),
                            sources.clone(),
                        );
                    }
                    prop_assert_eq!(theirs.group_records().count(), records.len());
                }
                _ => prop_assert_eq!(theirs.bytes4to7(), group.octets()),
            }

            // smoltcp knows versions 1 and 2 alone.
            if !matches!(message, igmp::Message::ReportV3 { .. }) {
                let theirs = smol::IgmpPacket::new_checked(&bytes[..]).unwrap();
                prop_assert!(theirs.verify_checksum());
                prop_assert_eq!(theirs.group_addr(), group);
            }
        }
    }

    #[test]
    fn mld_messages(
        group in any::<Ipv6Addr>(), sources in vec(any::<Ipv6Addr>(), 0..4), kinds in vec(1u8..=6, 0..4),
        code in 0u16..0x8000,
        (src, dst) in any::<(Ipv6Addr, Ipv6Addr)>(),
    ) {
        let records: Vec<_> = kinds.iter().filter_map(|kind| RecordKind::from_wire(*kind))
            .map(|kind| mld::Record { kind, group, sources: List::new(&sources) }).collect();
        let query = mld::Query {
            version: mld::Version::V2, group, max_response: Duration::from_millis(code.into()),
            suppress: code & 1 == 1,
            robustness: (code & 7) as u8, interval: Duration::from_secs(125), sources: List::new(&sources),
        };
        for message in [
            mld::Message::Query(query),
            mld::Message::ReportV1 { group },
            mld::Message::Done { group },
            mld::Message::ReportV2 { records: List::new(&records) },
        ] {
            let bytes = written(&message.into(), src, dst);
            prop_assert_eq!(icmpv6::Message::parse(&bytes, src, dst), Ok(message.into()));
            everyone_accepts_the_checksum(&bytes, src, dst)?;
            if matches!(message, mld::Message::ReportV1 { .. } | mld::Message::Done { .. }) {
                continue; // smoltcp knows version 2 alone.
            }
            let packet = smol::Icmpv6Packet::new_checked(&bytes[..]).unwrap();
            let read = smol::Icmpv6Repr::parse(&src, &dst, &packet, &ChecksumCapabilities::default());
            match read {
                Ok(
                    smol::Icmpv6Repr::Mld(
                        smol::MldRepr::Query { max_resp_code, mcast_addr, s_flag, qrv, qqic, num_srcs, .. }
                    ),
                ) => {
                    prop_assert_eq!((max_resp_code, mcast_addr), (code, group));
                    prop_assert_eq!((s_flag, qrv, qqic), (query.suppress, query.robustness, 125));
                    prop_assert_eq!(usize::from(num_srcs), sources.len());
                }
                Ok(smol::Icmpv6Repr::Mld(smol::MldRepr::Report { nr_mcast_addr_rcrds, data })) => {
                    prop_assert_eq!(usize::from(nr_mcast_addr_rcrds), records.len());
                    if let Some(ours) = records.first() {
                        let theirs = smol::MldAddressRecord::new_checked(data).unwrap();
                        prop_assert_eq!(
                            (u8::from(theirs.record_type()), theirs.mcast_addr()), (ours.kind as u8, group),
                        );
                        prop_assert_eq!(usize::from(theirs.num_srcs()), sources.len());
                    }
                }
                other => panic!("not read: {other:?}"),
            }
        }
    }
}

fn icmpv4_message(kind: u8, code: u8, numbers: u32, body: &[u8]) -> icmpv4::Message<'_> {
    let (id, seq) = ((numbers >> 16) as u16, numbers as u16);
    match kind % 7 {
        0 => icmpv4::Message::EchoRequest { id, seq, data: body },
        1 => icmpv4::Message::EchoReply { id, seq, data: body },
        2 => icmpv4::Message::DestinationUnreachable {
            code: icmpv4::unreachable::FRAGMENTATION_NEEDED,
            mtu: seq,
            quoted: body,
        },
        3 => {
            icmpv4::Message::DestinationUnreachable { code: icmpv4::unreachable::PORT, mtu: 0, quoted: body }
        }
        4 => {
            let gateway = Ipv4Addr::from(numbers);
            icmpv4::Message::Redirect { code: code % 4, gateway, quoted: body }
        }
        5 => icmpv4::Message::TimeExceeded { code: code % 2, quoted: body },
        _ => icmpv4::Message::ParameterProblem { code: 0, pointer: code, quoted: body },
    }
}

fn icmpv6_message(kind: u8, code: u8, numbers: u32, body: &[u8]) -> icmpv6::Message<'_> {
    let (id, seq) = ((numbers >> 16) as u16, numbers as u16);
    match kind % 6 {
        0 => icmpv6::Message::EchoRequest { id, seq, data: body },
        1 => icmpv6::Message::EchoReply { id, seq, data: body },
        2 => icmpv6::Message::DestinationUnreachable { code: code % 5, quoted: body },
        3 => icmpv6::Message::PacketTooBig { mtu: numbers, quoted: body },
        4 => icmpv6::Message::TimeExceeded { code: code % 2, quoted: body },
        _ => icmpv6::Message::ParameterProblem { code: code % 3, pointer: numbers, quoted: body },
    }
}

fn unicast() -> impl Strategy<Value = Ipv6Addr> {
    any::<Ipv6Addr>().prop_filter("not a group", |address| !address.is_multicast())
}

fn prefix() -> impl Strategy<Value = PrefixInfo> {
    (any::<Ipv6Addr>(), 0u8..=128, any::<(bool, bool, u32, u32)>()).prop_map(
        |(prefix, prefix_len, (on_link, autonomous, valid_lifetime, preferred_lifetime))| PrefixInfo {
            prefix,
            prefix_len,
            on_link,
            autonomous,
            valid_lifetime,
            preferred_lifetime,
        },
    )
}

fn written(message: &icmpv6::Message<'_>, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0xee; message.wire_len()];
    assert_eq!(message.write(&mut bytes, src, dst), Ok(bytes.len()));
    bytes
}

fn everyone_accepts_the_checksum(bytes: &[u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<(), TestCaseError> {
    let theirs = smol::Icmpv6Packet::new_unchecked(bytes);
    prop_assert!(theirs.verify_checksum(&src, &dst));
    let theirs = pnet_icmpv6::Icmpv6Packet::new(bytes).unwrap();
    prop_assert_eq!(theirs.get_checksum(), pnet_icmpv6::checksum(&theirs, &src, &dst));
    prop_assert_eq!(theirs.payload(), &bytes[4..]);
    let theirs = etherparse::Icmpv6Slice::from_slice(bytes).unwrap();
    prop_assert!(theirs.is_checksum_valid(src.octets(), dst.octets()));
    Ok(())
}

fn mac_of(address: smol::RawHardwareAddress) -> MacAddr {
    MacAddr::from_slice(address.as_bytes()).unwrap()
}
