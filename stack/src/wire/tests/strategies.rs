//! Values of every header, as proptest draws them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample;

use crate::wire::acc_ecn::{AccEcn, AccEcnOrder};
use crate::wire::ethernet::{self, EtherType, MacAddr};
use crate::wire::ip::Protocol;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{
    FastOpenCookie, FastOpenForm, Flags, Options, SackBlock, SackBlocks, Timestamps, UserTimeout,
};
use crate::wire::{arp, ipv4, ipv6, tcp, udp};

pub(super) fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

pub(super) fn ethernet() -> impl Strategy<Value = ethernet::Header> {
    (mac(), mac(), any::<u16>()).prop_map(|(dst, src, number)| ethernet::Header {
        dst,
        src,
        ether_type: EtherType(number),
    })
}

pub(super) fn arp() -> impl Strategy<Value = arp::Packet> {
    let operation = prop_oneof![Just(arp::Operation::Request), Just(arp::Operation::Reply)];
    (operation, mac(), any::<Ipv4Addr>(), mac(), any::<Ipv4Addr>()).prop_map(
        |(operation, sender_mac, sender_ip, target_mac, target_ip)| arp::Packet {
            operation,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

/// Pairs of addresses, as often of one family as of the other.
pub(super) fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(src, dst)| (src.into(), dst.into())),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(src, dst)| (src.into(), dst.into())),
    ]
}

pub(super) fn payload() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

/// Options that are well formed: padding, a record route, a router alert, in any order.
fn ipv4_options() -> impl Strategy<Value = ipv4::Options> {
    let one = prop_oneof![
        Just(vec![1]),
        Just(vec![148, 4, 0, 0]),
        Just(vec![7, 7, 4, 0, 0, 0, 0]),
        (2u8..10).prop_map(|len| [vec![0x5e, len], vec![9; usize::from(len) - 2]].concat()),
    ];
    vec(one, 0..4).prop_map(|options| ipv4::Options::new(&options.concat()).unwrap_or_default())
}

pub(in crate::wire) fn ipv4() -> impl Strategy<Value = ipv4::Header> {
    let fragment = (any::<bool>(), any::<bool>(), (0u16..0x2000).prop_map(|units| units << 3));
    let class = (0u8..64, 0u8..4);
    let rest = (any::<u8>(), any::<u8>(), any::<u16>(), ipv4_options());
    (any::<(Ipv4Addr, Ipv4Addr)>(), fragment, class, rest).prop_map(
        |((src, dst), (dont_fragment, more_fragments, fragment_offset), (dscp, ecn), rest)| {
            let (protocol, ttl, id, options) = rest;
            ipv4::Header {
                src,
                dst,
                protocol: Protocol(protocol),
                ttl,
                dscp,
                ecn,
                id,
                dont_fragment,
                more_fragments,
                fragment_offset,
                payload_len: 0,
                options,
            }
        },
    )
}

pub(in crate::wire) fn ipv6() -> impl Strategy<Value = ipv6::Header> {
    let class = (0u8..64, 0u8..4, 0u32..1 << 20);
    (any::<(Ipv6Addr, Ipv6Addr)>(), any::<(u8, u8)>(), class).prop_map(
        |((src, dst), (next_header, hop_limit), (dscp, ecn, flow_label))| ipv6::Header {
            src,
            dst,
            next_header: Protocol(next_header),
            hop_limit,
            dscp,
            ecn,
            flow_label,
            payload_len: 0,
        },
    )
}

pub(super) fn udp() -> impl Strategy<Value = udp::Header> {
    any::<(u16, u16)>().prop_map(|(src_port, dst_port)| udp::Header { src_port, dst_port })
}

/// Options of which none has to be left out.
pub(super) fn tcp_options() -> impl Strategy<Value = Options> {
    let timestamps = any::<(u32, u32)>().prop_map(|(value, echo)| Timestamps { value, echo });
    let user_timeout =
        (any::<bool>(), 0u16..0x8000).prop_map(|(minutes, value)| UserTimeout { minutes, value });
    (
        option::of(any::<u16>()),
        option::of(any::<u8>()),
        any::<bool>(),
        option::of(timestamps),
        option::of(user_timeout),
        option::of(acc_ecn()),
        option::of(cookie()),
        vec(any::<(u32, u32)>(), 0..=4),
    )
        .prop_map(
            |(mss, window_scale, sack_permitted, timestamps, user_timeout, acc_ecn, cookie, blocks)| {
                let mut options = Options {
                    mss,
                    window_scale,
                    sack_permitted,
                    timestamps,
                    user_timeout,
                    acc_ecn,
                    signature: None,
                    fast_open: None,
                    sack: SackBlocks::EMPTY,
                };
                let number = |cookie: &FastOpenCookie| match cookie.form() {
                    FastOpenForm::Standard => 0,
                    FastOpenForm::Experimental => 2,
                };
                let len = |cookie: &FastOpenCookie| 2 + number(cookie) + cookie.as_bytes().len();
                options.fast_open = cookie.filter(|cookie| options.len() + len(cookie) <= 40);
                for (start, end) in blocks.into_iter().take(options.sack_capacity()) {
                    options.sack.push(SackBlock { start: SeqNum::new(start), end: SeqNum::new(end) });
                }
                options
            },
        )
}

fn cookie() -> impl Strategy<Value = FastOpenCookie> {
    let bytes = sample::select(&[0, 4, 6, 8][..]).prop_flat_map(|len| vec(any::<u8>(), len));
    let form = sample::select(&[FastOpenForm::Standard, FastOpenForm::Experimental][..]);
    (bytes, form).prop_map(|(bytes, form)| {
        let cookie = FastOpenCookie::new(&bytes).expect("has a length that there is");
        cookie.in_form(form)
    })
}

fn acc_ecn() -> impl Strategy<Value = AccEcn> {
    (any::<bool>(), 0usize..=3, any::<[u32; 3]>()).prop_map(|(first, fields, [e0b, ceb, e1b])| {
        let order = if first { AccEcnOrder::Ect0First } else { AccEcnOrder::Ect1First };
        // What is not written is read as nothing.
        let written = AccEcn::new(order, fields, e0b, ceb, e1b);
        let [e0b, ceb, e1b] = [written.e0b(), written.ceb(), written.e1b()].map(Option::unwrap_or_default);
        AccEcn::new(order, fields, e0b, ceb, e1b)
    })
}

pub(super) fn tcp() -> impl Strategy<Value = tcp::Header> {
    let numbers = any::<(u16, u16, u32, u32, u16, u16)>();
    (numbers, any::<u16>(), tcp_options()).prop_map(
        |((src_port, dst_port, seq, ack, window, urgent), flags, options)| tcp::Header {
            src_port,
            dst_port,
            seq: SeqNum::new(seq),
            ack: SeqNum::new(ack),
            flags: Flags::from_bits_truncate(flags),
            window,
            urgent,
            options,
        },
    )
}
