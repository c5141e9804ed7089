//! Packets: `P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 100 ecr 0>`, `udp (100)`, `icmp unreachable ...`.

use std::net::IpAddr;

use super::tcp_options;
use crate::run::cursor::Cursor;
use crate::run::error::ParseError;
use crate::run::expr::Expr;
use crate::run::icmp;
use crate::run::script::{
    BodySpec, IcmpSpec, IpSpec, OptionsSpec, PacketSpec, QuotedSpec, RangeSpec, TcpSpec,
};
use crate::run::tcp::{ACE_SHIFT, FLAG_LETTERS, flag};

/// Reads what stands behind `<` or `>`.
pub(super) fn parse(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<PacketSpec, ParseError> {
    let ip = if cursor.takes("[") { parse_ip(cursor, outgoing)? } else { IpSpec::default() };
    let body = if cursor.takes_name("udp") || cursor.takes_name("UDP") {
        BodySpec::Udp { length: parse_length(cursor)? }
    } else if cursor.takes_name("icmp") || cursor.takes_name("icmpv6") {
        BodySpec::Icmp(parse_icmp(cursor)?)
    } else {
        BodySpec::Tcp(parse_tcp(cursor, outgoing)?)
    };
    Ok(PacketSpec { ip, body })
}

/// `[ect0, ttl 1, conn 2]`
fn parse_ip(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<IpSpec, ParseError> {
    const KNOWN: &str =
        "`ect0`, `ect1`, `ce`, `noecn`, `tos N`, `ttl N`, `conn N`, `src IP`, `dst IP` or `bad_checksum`";
    let mut ip = IpSpec::default();
    loop {
        let at = cursor.at();
        match cursor.name(false) {
            Some("noecn") => ip.ecn = Some(0),
            Some("ect1") => ip.ecn = Some(1),
            Some("ect0" | "ecn") => ip.ecn = Some(2),
            Some("ce") => ip.ecn = Some(3),
            Some("tos") => ip.tos = Some(Expr::parse_number(cursor)?),
            Some("ttl") => ip.ttl = Some(Expr::parse_sum(cursor)?),
            Some("conn") => ip.connection = Some(Expr::parse_sum(cursor)?),
            Some("src") => ip.src = Some(parse_address(cursor)?),
            Some("dst") => ip.dst = Some(parse_address(cursor)?),
            Some("bad_checksum") if !outgoing => ip.bad_checksum = true,
            Some(name) => return Err(cursor.error_at(at, format!("expected {KNOWN}, found `{name}`"))),
            None => return Err(cursor.error(KNOWN)),
        }
        if cursor.takes("]") {
            return Ok(ip);
        }
        if !cursor.takes(",") {
            return Err(cursor.error("`,` or `]`"));
        }
    }
}

fn parse_address(cursor: &mut Cursor<'_>) -> Result<IpAddr, ParseError> {
    let at = cursor.at();
    let word = cursor.run(|c| c.is_ascii_hexdigit() || c == '.' || c == ':');
    word.parse().map_err(|_| cursor.error_at(at, format!("expected an IP address, found `{word}`")))
}

fn parse_tcp(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<TcpSpec, ParseError> {
    let at = cursor.at();
    let flags = parse_flags(cursor)?;
    let range = parse_range(cursor)?;
    let mut spec = TcpSpec {
        flags,
        range,
        ack: None,
        window: None,
        urgent: None,
        options: OptionsSpec::These(Vec::new()),
    };
    loop {
        if cursor.is_at_line_end() || cursor.sees("}") {
            break;
        } else if cursor.takes_name("ack") {
            spec.ack = Some(Expr::parse_sum(cursor)?);
        } else if cursor.takes_name("win") {
            spec.window = Some(Expr::parse_sum(cursor)?);
        } else if cursor.takes_name("urg") {
            spec.urgent = Some(Expr::parse_sum(cursor)?);
        } else if cursor.takes("<") {
            spec.options = tcp_options::parse(cursor, outgoing)?;
        } else {
            return Err(cursor.error("`ack`, `win`, `urg`, `<` or the end of the line"));
        }
    }
    let refuse = |text: &str| Err(cursor.error_at(at, text.to_owned()));
    if (spec.flags & flag::ACK != 0) != spec.ack.is_some() {
        return refuse("expected `ack` where there is the flag `.`, and nowhere else");
    }
    if !outgoing {
        if spec.window.is_none() && flags & flag::RST == 0 {
            return refuse("expected `win` in a segment that arrives");
        }
        if matches!(spec.options, OptionsSpec::Whatever) {
            return refuse("expected the options of a segment that arrives, found `<...>`");
        }
    }
    Ok(spec)
}

/// `S`, `P.`, `SEWA`, `.5`: letters, and a digit for the three bits of the ACE field.
fn parse_flags(cursor: &mut Cursor<'_>) -> Result<u16, ParseError> {
    let at = cursor.at();
    let word = cursor.run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let mut flags = 0;
    for c in word.chars() {
        let bits = match c {
            '-' => 0,
            '0'..='7' => (c as u16 - '0' as u16) << ACE_SHIFT,
            _ => FLAG_LETTERS.iter().find(|(letter, _)| *letter == c).map_or(0, |&(_, bit)| bit),
        };
        if bits == 0 && !matches!(c, '-' | '0') {
            let text =
                format!("expected flags of `FSRP.UEWA-` or a digit from 0 to 7, found `{c}` in `{word}`");
            return Err(cursor.error_at(at, text));
        }
        flags |= bits;
    }
    if word.is_empty() { Err(cursor.error("flags, `udp` or `icmp`")) } else { Ok(flags) }
}

/// `1:1001(1000)`
fn parse_range(cursor: &mut Cursor<'_>) -> Result<RangeSpec, ParseError> {
    let start = Expr::parse_sum(cursor)?;
    cursor.expect(":")?;
    let end = Expr::parse_sum(cursor)?;
    Ok(RangeSpec { start, end, length: parse_length(cursor)? })
}

/// `(1000)`
fn parse_length(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    cursor.expect("(")?;
    let length = Expr::parse_sum(cursor)?;
    cursor.expect(")")?;
    Ok(length)
}

/// `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`
fn parse_icmp(cursor: &mut Cursor<'_>) -> Result<IcmpSpec, ParseError> {
    let at = cursor.at();
    let kind = cursor.name(false).ok_or_else(|| cursor.error("a kind of ICMP message"))?.to_owned();
    if !icmp::is_kind(&kind) {
        let known = icmp::kinds();
        return Err(cursor.error_at(at, format!("expected a kind of ICMP message ({known}), found `{kind}`")));
    }
    let mut spec = IcmpSpec { kind, code: None, mtu: None, id: None, seq: None, length: None, quoted: None };
    while !cursor.is_at_line_end() && !cursor.sees("}") {
        let at = cursor.at();
        if cursor.takes("[") {
            spec.quoted = Some(if cursor.takes_name("udp") {
                QuotedSpec::Udp { length: parse_length(cursor)? }
            } else {
                // A segment may be quoted with its flags; they do not matter.
                cursor.run(|c| c.is_ascii_uppercase() || c == '.');
                QuotedSpec::Tcp(parse_range(cursor)?)
            });
            cursor.expect("]")?;
        } else if cursor.sees("(") {
            spec.length = Some(parse_length(cursor)?);
        } else {
            match cursor.name(false) {
                Some("mtu") => spec.mtu = Some(Expr::parse_sum(cursor)?),
                Some("id") => spec.id = Some(Expr::parse_sum(cursor)?),
                Some("seq") => spec.seq = Some(Expr::parse_sum(cursor)?),
                Some(code) if icmp::is_code(&spec.kind, code) => spec.code = Some(code.to_owned()),
                Some(code) => {
                    let known = icmp::codes(&spec.kind);
                    return Err(cursor.error_at(at, format!("expected a code ({known}), found `{code}`")));
                }
                None => {
                    return Err(cursor.error("a code, `mtu`, `id`, `seq`, `(`, `[` or the end of the line"));
                }
            }
        }
    }
    Ok(spec)
}
