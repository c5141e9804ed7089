//! From the words of a script to the bytes of a packet that arrives.

use std::net::SocketAddr;

use ustack::wire;
use ustack::wire::ip::Protocol;

use super::flow::{Flow, pattern_bytes};
use super::icmp::Icmp;
use super::scope::Scope;
use super::script::{
    AccEcnField, BodySpec, IcmpSpec, IpSpec, OptionSpec, OptionsSpec, QuotedSpec, RangeSpec, TcpSpec,
};
use super::tcp::{FAST_OPEN_MAGIC, Tcp, TcpOption, flag, kind};

/// Hops that are left to what arrives, if the script does not say.
const TTL: u8 = 64;

/// A packet of the other side of `flow`.
pub(super) fn packet(
    ip: &IpSpec,
    body: &BodySpec,
    flow: &mut Flow,
    scope: &Scope,
) -> Result<Vec<u8>, String> {
    let mut src = flow.remote;
    let mut dst = flow.local;
    src.set_ip(ip.src.unwrap_or(src.ip()));
    dst.set_ip(ip.dst.unwrap_or(dst.ip()));
    let (protocol, payload) = match body {
        BodySpec::Tcp(spec) => {
            let segment = segment(spec, flow, scope)?;
            (Protocol::TCP, segment.write(src.ip(), dst.ip(), !ip.bad_checksum)?)
        }
        BodySpec::Udp { length } => {
            let payload = pattern_bytes(0, scope.fit::<u16>(length, "a datagram")?.into());
            let mut datagram = datagram(src, dst, &payload)?;
            if ip.bad_checksum {
                datagram[wire::udp::CHECKSUM_OFFSET] ^= 0x55;
            }
            (Protocol::UDP, datagram)
        }
        BodySpec::Icmp(spec) => {
            let protocol = if src.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMP };
            (protocol, message(spec, flow, true, scope)?.write(src.ip(), dst.ip())?)
        }
    };
    let ttl = ip.ttl.as_ref().map_or(Ok(TTL), |ttl| scope.fit(ttl, "the hop limit"))?;
    let tos: u8 = ip.tos.as_ref().map_or(Ok(0), |tos| scope.fit(tos, "the traffic class"))?;
    in_ip(src, dst, protocol, ttl, tos | ip.ecn.unwrap_or(0), &payload)
}

/// `1:1001(1000)` as start and length, which must fit each other.
pub(super) fn range(range: &RangeSpec, scope: &Scope) -> Result<(u32, u32), String> {
    let (start, end) = (scope.number32(&range.start)?, scope.number32(&range.end)?);
    let length = u32::from(scope.fit::<u16>(&range.length, "a packet")?);
    if start.wrapping_add(length) != end {
        return Err(format!("{start}:{end}({length}) does not add up: {start} + {length} is not {end}"));
    }
    Ok((start, length))
}

/// A segment of theirs.
fn segment(spec: &TcpSpec, flow: &mut Flow, scope: &Scope) -> Result<Tcp, String> {
    let (start, length) = range(&spec.range, scope)?;
    let syn = spec.flags & flag::SYN != 0;
    if syn {
        flow.handle_their_syn(start);
    }
    let ack = spec.ack.as_ref().map_or(Ok(0), |ack| scope.number32(ack).map(|ack| flow.our_live(ack)))?;
    let options = match &spec.options {
        OptionsSpec::Whatever => Vec::new(),
        OptionsSpec::These(options) => {
            let live = |option| live_option(option, flow, scope);
            options.iter().map(live).collect::<Result<_, _>>()?
        }
    };
    Ok(Tcp {
        src_port: flow.remote.port(),
        dst_port: flow.local.port(),
        seq: flow.their_live(start),
        ack,
        flags: spec.flags,
        window: spec.window.as_ref().map_or(Ok(0), |win| scope.fit(win, "the window field"))?,
        urgent: spec.urgent.as_ref().map_or(Ok(0), |urg| scope.fit(urg, "the urgent pointer"))?,
        options,
        payload: pattern_bytes(flow.their_offset(start.wrapping_add(u32::from(syn))), length as usize),
    })
}

/// An option that arrives, with the numbers of the wire.
fn live_option(spec: &OptionSpec, flow: &Flow, scope: &Scope) -> Result<TcpOption, String> {
    Ok(match option(spec, scope)? {
        TcpOption::Sack(blocks) => {
            TcpOption::Sack(blocks.iter().map(|&(a, b)| (flow.our_live(a), flow.our_live(b))).collect())
        }
        TcpOption::Timestamps(value, echo) => TcpOption::Timestamps(value, flow.stamp_live(echo)),
        other => other,
    })
}

/// An option with the numbers of the script.
pub(super) fn option(spec: &OptionSpec, scope: &Scope) -> Result<TcpOption, String> {
    Ok(match spec {
        OptionSpec::EndOfList => TcpOption::EndOfList,
        OptionSpec::Nop => TcpOption::Nop,
        OptionSpec::Mss(mss) => TcpOption::Mss(scope.fit(mss, "the MSS option")?),
        OptionSpec::WindowScale(shift) => {
            TcpOption::WindowScale(scope.fit(shift, "the window scale option")?)
        }
        OptionSpec::SackPermitted => TcpOption::SackPermitted,
        OptionSpec::Sack(blocks) => {
            let block = |(a, b): &(_, _)| Ok((scope.number32(a)?, scope.number32(b)?));
            TcpOption::Sack(blocks.iter().map(block).collect::<Result<_, String>>()?)
        }
        OptionSpec::Timestamps(value, echo) => {
            let number = |expr: &Option<_>| expr.as_ref().map_or(Ok(0), |expr| scope.number32(expr));
            TcpOption::Timestamps(number(value)?, number(echo)?)
        }
        OptionSpec::FastOpen(cookie, false) => TcpOption::Other(kind::FAST_OPEN, cookie.clone()),
        OptionSpec::FastOpen(cookie, true) => {
            TcpOption::Other(kind::EXPERIMENT, [&FAST_OPEN_MAGIC, &cookie[..]].concat())
        }
        OptionSpec::AccEcn(kind, fields) => TcpOption::Other(*kind, acc_ecn(*kind, fields, scope)?),
        OptionSpec::Md5(digest) => TcpOption::Other(kind::MD5, digest.clone().unwrap_or_else(|| vec![0; 16])),
        OptionSpec::Ao(key_id, next) => {
            let ids = [scope.fit::<u8>(key_id, "a key id")?, scope.fit::<u8>(next, "a key id")?];
            TcpOption::Other(kind::AO, [&ids[..], &[0; 12]].concat())
        }
        OptionSpec::Other(kind, body) => TcpOption::Other(*kind, body.clone()),
    })
}

/// Counters of 24 bits, in the order of their option (RFC 9768 section 3.2.3).
fn acc_ecn(kind: u8, fields: &[(AccEcnField, super::expr::Expr)], scope: &Scope) -> Result<Vec<u8>, String> {
    let mut order = [AccEcnField::Ect0, AccEcnField::Ce, AccEcnField::Ect1];
    if kind == kind::ACC_ECN_1 {
        order.reverse();
    }
    let mut body = Vec::new();
    if fields.len() > order.len() {
        return Err("the ECN option has three counters at most".into());
    }
    for ((field, value), place) in fields.iter().zip(order) {
        if *field != place {
            return Err(
                "the counters of the ECN option are e0b ceb e1b or e1b ceb e0b, or a beginning of it".into(),
            );
        }
        let value: u32 = scope.number32(value)? & 0xff_ffff;
        body.extend(&value.to_be_bytes()[1..]);
    }
    Ok(body)
}

/// An ICMP message; what it quotes is a packet of ours if it arrives, and one of theirs if it leaves.
pub(super) fn message(spec: &IcmpSpec, flow: &Flow, arrives: bool, scope: &Scope) -> Result<Icmp, String> {
    let v6 = flow.local.is_ipv6();
    let mut message = Icmp::named(&spec.kind, spec.code.as_deref(), v6)?;
    if message.is_echo(v6) {
        let id = spec.id.as_ref().map_or(Ok(0), |id| scope.fit::<u16>(id, "the identifier"))?;
        let seq = spec.seq.as_ref().map_or(Ok(0), |seq| scope.fit::<u16>(seq, "the number"))?;
        message.rest = (u32::from(id) << 16 | u32::from(seq)).to_be_bytes();
        let length = spec.length.as_ref().map_or(Ok(0), |length| scope.fit::<u16>(length, "an echo"))?;
        message.body = pattern_bytes(0, length.into());
        return Ok(message);
    }
    if let Some(mtu) = &spec.mtu {
        // RFC 1191 section 4 has 16 bits for it, RFC 4443 section 3.2 has 32.
        message.rest = match v6 {
            true => scope.fit::<u32>(mtu, "an MTU")?.to_be_bytes(),
            false => u32::from(scope.fit::<u16>(mtu, "an MTU")?).to_be_bytes(),
        };
    }
    if let Some(quoted) = &spec.quoted {
        message.body = quote(quoted, flow, arrives, scope)?;
    }
    Ok(message)
}

/// The packet that an ICMP error is about, as far as it must be quoted.
fn quote(spec: &QuotedSpec, flow: &Flow, arrives: bool, scope: &Scope) -> Result<Vec<u8>, String> {
    let (src, dst) = if arrives { (flow.local, flow.remote) } else { (flow.remote, flow.local) };
    let (protocol, payload) = match spec {
        QuotedSpec::Tcp(spec) => {
            let (start, length) = range(spec, scope)?;
            let seq = if arrives { flow.our_live(start) } else { flow.their_live(start) };
            let payload = vec![0; length as usize];
            let segment = Tcp {
                src_port: src.port(),
                dst_port: dst.port(),
                seq,
                flags: flag::ACK,
                payload,
                ..Tcp::default()
            };
            (Protocol::TCP, segment.write(src.ip(), dst.ip(), true)?)
        }
        QuotedSpec::Udp { length } => {
            let payload = pattern_bytes(0, scope.fit::<u16>(length, "a datagram")?.into());
            (Protocol::UDP, datagram(src, dst, &payload)?)
        }
    };
    let mut packet = in_ip(src, dst, protocol, TTL, 0, &payload)?;
    // RFC 792: the IP header and 64 bits of what follows; RFC 4443 quotes more, we quote the transport header.
    packet.truncate(packet.len() - payload.len() + payload.len().min(20));
    Ok(packet)
}

fn datagram(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, String> {
    let header = wire::udp::Header { src_port: src.port(), dst_port: dst.port() };
    let mut out = vec![0; wire::udp::HEADER_LEN];
    header.write(&mut out, src.ip(), dst.ip(), [payload, &[]]).map_err(|error| error.to_string())?;
    out.extend(payload);
    Ok(out)
}

fn in_ip(
    src: SocketAddr,
    dst: SocketAddr,
    protocol: Protocol,
    ttl: u8,
    tos: u8,
    payload: &[u8],
) -> Result<Vec<u8>, String> {
    let too_long = |_| format!("no packet has room for {} bytes", payload.len());
    let len = u16::try_from(payload.len()).map_err(too_long)?;
    let header = wire::ip::Header::new(src.ip(), dst.ip(), protocol, ttl, len)
        .ok_or("both addresses must be of one family")?
        .with_traffic_class(tos >> 2, tos & 3);
    let mut out = vec![0; header.header_len()];
    header.write(&mut out).map_err(|error| error.to_string())?;
    out.extend(payload);
    Ok(out)
}
