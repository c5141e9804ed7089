//! ICMP of both families as text.

use core::fmt::{self, Write as _};
use core::net::{IpAddr, SocketAddr};

use crate::wire::quote::{Quote, QuotedTransport};
use crate::wire::{icmpv4, icmpv6, mld, ndp};

pub(super) fn write_v4(out: &mut String, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> fmt::Result {
    use icmpv4::Message as M;
    write!(out, "{src} > {dst} ICMP ")?;
    match icmpv4::Message::parse(bytes) {
        Ok(M::EchoRequest { id, seq, data }) => {
            write!(out, "echo request id {id} seq {seq} len {}", data.len())
        }
        Ok(M::EchoReply { id, seq, data }) => write!(out, "echo reply id {id} seq {seq} len {}", data.len()),
        Ok(M::DestinationUnreachable { code, mtu, quoted }) => {
            const REASONS: [&str; 6] =
                ["net", "host", "protocol", "port", "fragmentation needed", "source route failed"];
            match (REASONS.get(usize::from(code)), code) {
                (Some(reason), 4) => write!(out, "{reason}, mtu {mtu}")?,
                (Some(reason), _) => write!(out, "{reason} unreachable")?,
                (None, 9 | 10 | 13) => out.write_str("administratively prohibited")?,
                (None, _) => write!(out, "unreachable code {code}")?,
            }
            write_quote(out, quoted)
        }
        Ok(M::Redirect { gateway, quoted, .. }) => {
            write!(out, "redirect to {gateway}")?;
            write_quote(out, quoted)
        }
        Ok(M::TimeExceeded { code, quoted }) => {
            out.write_str(time_exceeded(code))?;
            write_quote(out, quoted)
        }
        Ok(M::ParameterProblem { code, pointer, quoted }) => {
            write!(out, "parameter problem code {code} at {pointer}")?;
            write_quote(out, quoted)
        }
        Ok(M::Other { kind, code, .. }) => write!(out, "type {kind} code {code}"),
        Err(error) => write!(out, "broken: {error}"),
    }
}

pub(super) fn write_v6(out: &mut String, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> fmt::Result {
    use icmpv6::Message as M;
    write!(out, "{src} > {dst} ICMPv6 ")?;
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) else {
        return out.write_str("within IPv4");
    };
    match icmpv6::Message::parse(bytes, src, dst) {
        Ok(M::EchoRequest { id, seq, data }) => {
            write!(out, "echo request id {id} seq {seq} len {}", data.len())
        }
        Ok(M::EchoReply { id, seq, data }) => write!(out, "echo reply id {id} seq {seq} len {}", data.len()),
        Ok(M::DestinationUnreachable { code, quoted }) => {
            const REASONS: [&str; 5] =
                ["no route", "administratively prohibited", "beyond scope", "address", "port"];
            match (REASONS.get(usize::from(code)), code) {
                (Some(reason), 3 | 4) => write!(out, "{reason} unreachable")?,
                (Some(reason), _) => out.write_str(reason)?,
                (None, _) => write!(out, "unreachable code {code}")?,
            }
            write_quote(out, quoted)
        }
        Ok(M::PacketTooBig { mtu, quoted }) => {
            write!(out, "packet too big, mtu {mtu}")?;
            write_quote(out, quoted)
        }
        Ok(M::TimeExceeded { code, quoted }) => {
            out.write_str(time_exceeded(code))?;
            write_quote(out, quoted)
        }
        Ok(M::ParameterProblem { code, pointer, quoted }) => {
            write!(out, "parameter problem code {code} at {pointer}")?;
            write_quote(out, quoted)
        }
        Ok(M::Ndp(message)) => write_ndp(out, &message),
        Ok(M::Mld(message)) => write_mld(out, &message),
        Ok(M::Other { kind, code, .. }) => write!(out, "type {kind} code {code}"),
        Err(error) => write!(out, "broken: {error}"),
    }
}

fn time_exceeded(code: u8) -> &'static str {
    match code {
        0 => "time exceeded in transit",
        1 => "reassembly time exceeded",
        _ => "time exceeded",
    }
}

/// The packet that an error is about.
fn write_quote(out: &mut String, quoted: &[u8]) -> fmt::Result {
    let Ok(Quote { src, dst, protocol, transport }) = Quote::parse(quoted) else { return Ok(()) };
    match transport {
        QuotedTransport::Tcp { src_port, dst_port, .. } | QuotedTransport::Udp { src_port, dst_port } => {
            let (from, to) = (SocketAddr::new(src, src_port), SocketAddr::new(dst, dst_port));
            write!(out, " for {from} > {to} {protocol}")
        }
        QuotedTransport::Echo { id, seq } => write!(out, " for {src} > {dst} echo request id {id} seq {seq}"),
        QuotedTransport::Unknown => write!(out, " for {src} > {dst} {protocol}"),
    }
}

fn write_ndp(out: &mut String, message: &ndp::Message<'_>) -> fmt::Result {
    match message {
        ndp::Message::RouterSolicitation { .. } => out.write_str("router solicitation"),
        ndp::Message::RouterAdvertisement(router) => {
            write!(out, "router advertisement lifetime {}s", router.lifetime)?;
            if let Some(mtu) = router.mtu {
                write!(out, " mtu {mtu}")?;
            }
            let mut prefixes = router.prefixes.iter();
            prefixes.try_for_each(|prefix| write!(out, " prefix {}/{}", prefix.prefix, prefix.prefix_len))
        }
        ndp::Message::NeighborSolicitation { target, .. } => {
            write!(out, "neighbor solicitation who-has {target}")
        }
        ndp::Message::NeighborAdvertisement { target, target_link, router, solicited, override_cached } => {
            write!(out, "neighbor advertisement {target}")?;
            if let Some(address) = target_link {
                write!(out, " is-at {address}")?;
            }
            let flags = [(*router, "router"), (*solicited, "solicited"), (*override_cached, "override")];
            flags.iter().filter(|(is_set, _)| *is_set).try_for_each(|(_, flag)| write!(out, " {flag}"))
        }
        ndp::Message::Redirect { target, destination, .. } => {
            write!(out, "redirect {destination} to {target}")
        }
    }
}

fn write_mld(out: &mut String, message: &mld::Message<'_>) -> fmt::Result {
    match message {
        mld::Message::Query(query) if query.group.is_unspecified() => out.write_str("MLD query"),
        mld::Message::Query(query) => write!(out, "MLD query {}", query.group),
        mld::Message::ReportV1 { group } => write!(out, "MLDv1 report {group}"),
        mld::Message::Done { group } => write!(out, "MLDv1 done {group}"),
        mld::Message::ReportV2 { records } => {
            out.write_str("MLDv2 report")?;
            records.iter().try_for_each(|record| write!(out, " {:?} {}", record.kind, record.group))
        }
    }
}
