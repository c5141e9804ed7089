//! What the script expects and what the stack sent, field by field, both in the script's words.

use std::fmt;

use ustack::wire::ip::Protocol;

use super::build;
use super::flow::{Flow, Stamps, first_wrong};
use super::icmp::Icmp;
use super::scope::Scope;
use super::script::{BodySpec, IpSpec, OptionSpec, OptionsSpec, PacketSpec, TcpSpec};
use super::seen::{Body, Seen};
use super::tcp::{Tcp, TcpOption, flag, show_flags};

/// One field of a packet, expected and seen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Field {
    /// Its name: `flags`, `seq`, `ack`, `options`...
    pub name: &'static str,
    /// What the script expects; `None` if it does not look at it.
    pub expected: Option<String>,
    /// What the stack sent.
    pub actual: String,
}

impl Field {
    /// Whether the stack sent something else than the script expects.
    pub fn differs(&self) -> bool {
        self.expected.as_ref().is_some_and(|expected| *expected != self.actual)
    }

    pub(super) fn new(name: &'static str, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self { name, expected: Some(expected.to_string()), actual: actual.to_string() }
    }

    fn unchecked(name: &'static str, actual: impl fmt::Display) -> Self {
        Self { name, expected: None, actual: actual.to_string() }
    }
}

/// Compares a packet with what the script expects. `flow` is the one that the packet belongs to.
pub(super) fn packet(
    spec: &PacketSpec,
    seen: &Seen,
    flow: &Flow,
    stamps: Stamps,
    scope: &Scope,
) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    match (&spec.body, &seen.body) {
        (BodySpec::Tcp(spec), Body::Tcp(tcp)) => segment(&mut fields, spec, tcp, flow, stamps, scope)?,
        (BodySpec::Udp { length }, Body::Udp { payload, .. }) => {
            fields.push(Field::new("length", scope.int(length)?, payload.len()));
            fields.push(payload_field(first_wrong(0, payload)));
        }
        (BodySpec::Icmp(spec), Body::Icmp(icmp)) => {
            let wanted = build::message(spec, flow, false, scope)?;
            let quotes = spec.quoted.is_some();
            message(&mut fields, &wanted, icmp, quotes, seen.is_v6());
        }
        (wanted, _) => fields.push(Field::new("packet", words(wanted), show(seen, Some(flow)))),
    }
    in_brackets(&mut fields, &spec.ip, seen, scope)?;
    Ok(fields)
}

/// A packet in the words of a script, as far as they go.
pub(super) fn show(seen: &Seen, flow: Option<&Flow>) -> String {
    match &seen.body {
        Body::Tcp(tcp) => show_segment(tcp, flow, true),
        Body::Udp { payload, .. } => format!("udp ({})", payload.len()),
        Body::Icmp(icmp) => format!("icmp {}", icmp.words(seen.is_v6())),
        Body::Other(what) => what.clone(),
    }
}

/// A segment in the words of a script: one of ours, or one of theirs.
pub(super) fn show_segment(tcp: &Tcp, flow: Option<&Flow>, ours: bool) -> String {
    let ours_in = |live: u32| flow.map_or(live, |flow| flow.our_script(live));
    let theirs_in = |live: u32| flow.map_or(live, |flow| flow.their_script(live));
    let (seq, ack) =
        if ours { (ours_in(tcp.seq), theirs_in(tcp.ack)) } else { (theirs_in(tcp.seq), ours_in(tcp.ack)) };
    let len = tcp.payload_len();
    let mut text = format!("{} {seq}:{}({len})", show_flags(tcp.flags), seq.wrapping_add(len));
    if tcp.has(flag::ACK) {
        text += &format!(" ack {ack}");
    }
    text += &format!(" win {}", tcp.window);
    if tcp.urgent != 0 {
        text += &format!(" urg {}", tcp.urgent);
    }
    if !tcp.options.is_empty() {
        let named = |option: &TcpOption| match (option, flow) {
            (TcpOption::Sack(blocks), _) => {
                let name = |live| if ours { theirs_in(live) } else { ours_in(live) };
                TcpOption::Sack(blocks.iter().map(|&(a, b)| (name(a), name(b))).collect()).show()
            }
            (&TcpOption::Timestamps(value, echo), Some(flow)) if ours => {
                TcpOption::Timestamps(flow.stamp_script(value, None, Stamps::Ticking), echo).show()
            }
            (&TcpOption::Timestamps(value, echo), Some(flow)) => {
                TcpOption::Timestamps(value, flow.stamp_script(echo, None, Stamps::Ticking)).show()
            }
            (other, _) => other.show(),
        };
        let options: Vec<String> = tcp.options.iter().map(named).collect();
        text += &format!(" <{}>", options.join(","));
    }
    text
}

/// What a script expects, in few words.
fn words(spec: &BodySpec) -> &'static str {
    match spec {
        BodySpec::Tcp(_) => "a TCP segment",
        BodySpec::Udp { .. } => "a UDP datagram",
        BodySpec::Icmp(_) => "an ICMP message",
    }
}

fn segment(
    fields: &mut Vec<Field>,
    spec: &TcpSpec,
    tcp: &Tcp,
    flow: &Flow,
    stamps: Stamps,
    scope: &Scope,
) -> Result<(), String> {
    // When to push is the sender's own choice (RFC 9293 section 3.9.1.2): only of our stack do we know when it does.
    let ignored = if stamps == Stamps::Near && !tcp.payload.is_empty() { flag::PSH } else { 0 };
    let flags = spec.flags & !ignored | tcp.flags & ignored;
    fields.push(Field::new("flags", show_flags(flags), show_flags(tcp.flags)));
    let (start, length) = build::range(&spec.range, scope)?;
    let show = |start: u32, len: u32| format!("{start}:{}({len})", start.wrapping_add(len));
    let ours = flow.our_script(tcp.seq);
    fields.push(Field::new("seq", show(start, length), show(ours, tcp.payload_len())));
    let acked = if tcp.has(flag::ACK) { flow.their_script(tcp.ack).to_string() } else { "-".into() };
    let wanted = match &spec.ack {
        Some(ack) => scope.number32(ack)?.to_string(),
        None => "-".into(),
    };
    fields.push(Field::new("ack", wanted, acked));
    fields.push(match &spec.window {
        Some(window) => Field::new("win", scope.int(window)?, tcp.window),
        None => Field::unchecked("win", tcp.window),
    });
    let urgent = spec.urgent.as_ref().map_or(Ok(0), |urgent| scope.int(urgent))?;
    if urgent != 0 || tcp.urgent != 0 {
        fields.push(Field::new("urg", urgent, tcp.urgent));
    }
    fields.push(options(&spec.options, tcp, flow, stamps, scope)?);
    if !tcp.payload.is_empty() {
        let first = ours.wrapping_add(u32::from(tcp.has(flag::SYN)));
        fields.push(payload_field(first_wrong(flow.our_offset(first), &tcp.payload)));
    }
    Ok(())
}

fn options(
    spec: &OptionsSpec,
    tcp: &Tcp,
    flow: &Flow,
    stamps: Stamps,
    scope: &Scope,
) -> Result<Field, String> {
    let wanted: &[OptionSpec] = match spec {
        OptionsSpec::Whatever => &[],
        OptionsSpec::These(options) => options,
    };
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    for spec in wanted {
        expected.push(build::option(spec, scope)?);
    }
    for (at, option) in tcp.options.iter().enumerate() {
        actual.push(match (option, expected.get(at)) {
            (TcpOption::Sack(blocks), _) => TcpOption::Sack(
                blocks.iter().map(|&(a, b)| (flow.their_script(a), flow.their_script(b))).collect(),
            ),
            (&TcpOption::Timestamps(value, echo), Some(&TcpOption::Timestamps(wanted, wanted_echo))) => {
                let (any_value, any_echo) = match wanted_at(spec, at) {
                    Some(OptionSpec::Timestamps(value, echo)) => (value.is_none(), echo.is_none()),
                    _ => (false, false),
                };
                let named = || flow.stamp_script(value, Some(wanted), stamps);
                TcpOption::Timestamps(
                    if any_value { wanted } else { named() },
                    if any_echo { wanted_echo } else { echo },
                )
            }
            (&TcpOption::Timestamps(value, echo), _) => {
                TcpOption::Timestamps(flow.stamp_script(value, None, stamps), echo)
            }
            // A digest that the script does not name.
            (TcpOption::Other(kind, _), Some(wanted))
                if matches!(wanted_at(spec, at), Some(OptionSpec::Md5(None)))
                    && *kind == super::tcp::kind::MD5 =>
            {
                wanted.clone()
            }
            // A MAC has other bytes each time.
            (TcpOption::Other(super::tcp::kind::AO, body), Some(TcpOption::Other(kind, wanted)))
                if matches!(wanted_at(spec, at), Some(OptionSpec::Ao(..)))
                    && *kind == super::tcp::kind::AO
                    && (body.len(), body.get(..2)) == (wanted.len(), wanted.get(..2)) =>
            {
                TcpOption::Other(*kind, wanted.clone())
            }
            (other, _) => other.clone(),
        });
    }
    let list = |options: &[TcpOption]| {
        let shown: Vec<String> = options.iter().map(TcpOption::show).collect();
        format!("<{}>", shown.join(","))
    };
    Ok(match spec {
        OptionsSpec::Whatever => Field::unchecked("options", list(&actual)),
        OptionsSpec::These(_) => Field::new("options", list(&expected), list(&actual)),
    })
}

fn wanted_at(spec: &OptionsSpec, at: usize) -> Option<&OptionSpec> {
    match spec {
        OptionsSpec::Whatever => None,
        OptionsSpec::These(options) => options.get(at),
    }
}

fn message(fields: &mut Vec<Field>, wanted: &Icmp, icmp: &Icmp, quotes: bool, v6: bool) {
    fields.push(Field::new("kind", wanted.words(v6), icmp.words(v6)));
    let number = |icmp: &Icmp| u32::from_be_bytes(icmp.rest);
    if icmp.is_echo(v6) {
        fields.push(Field::new("id", number(wanted) >> 16, number(icmp) >> 16));
        fields.push(Field::new("seq", number(wanted) & 0xffff, number(icmp) & 0xffff));
        fields.push(Field::new("length", wanted.body.len(), icmp.body.len()));
        fields.push(payload_field(first_wrong(0, &icmp.body)));
        return;
    }
    fields.push(Field::new("mtu", number(wanted), number(icmp)));
    if quotes {
        fields.push(Field::new("quoted", show_quote(&wanted.body), show_quote(&icmp.body)));
    }
}

/// A quoted packet by its ends and its first eight bytes.
fn show_quote(bytes: &[u8]) -> String {
    use ustack::wire::quote::{Quote, QuotedTransport};
    match Quote::parse(bytes) {
        Err(error) => format!("broken: {error}"),
        Ok(quote) => match quote.transport {
            QuotedTransport::Tcp { src_port, dst_port, seq } => {
                format!("tcp {}:{src_port} > {}:{dst_port} seq {}", quote.src, quote.dst, seq.get())
            }
            QuotedTransport::Udp { src_port, dst_port } => {
                format!("udp {}:{src_port} > {}:{dst_port}", quote.src, quote.dst)
            }
            QuotedTransport::Echo { .. } | QuotedTransport::Unknown => {
                format!("{} {} > {}", quote.protocol, quote.src, quote.dst)
            }
        },
    }
}

fn payload_field(wrong: Option<u32>) -> Field {
    let actual =
        wrong.map_or("the stream's bytes".into(), |at| format!("wrong from byte {at} of the stream"));
    Field::new("payload", "the stream's bytes", actual)
}

fn in_brackets(fields: &mut Vec<Field>, spec: &IpSpec, seen: &Seen, scope: &Scope) -> Result<(), String> {
    let word = |ecn: u8| ["noecn", "ect1", "ect0", "ce"][usize::from(ecn & 3)];
    if let Some(ecn) = spec.ecn {
        fields.push(Field::new("ecn", word(ecn), word(seen.tos)));
    }
    if let Some(tos) = &spec.tos {
        fields.push(Field::new("tos", scope.int(tos)?, seen.tos));
    }
    if let Some(src) = spec.src {
        fields.push(Field::new("src", src, seen.src));
    }
    if let Some(dst) = spec.dst {
        fields.push(Field::new("dst", dst, seen.dst));
    }
    if let Some(ttl) = &spec.ttl {
        fields.push(Field::new("ttl", scope.int(ttl)?, seen.ttl));
    }
    Ok(())
}

/// The protocol of what a script expects, for the conversation that it belongs to.
pub(super) fn protocol(body: &BodySpec) -> Protocol {
    match body {
        BodySpec::Tcp(_) => Protocol::TCP,
        BodySpec::Udp { .. } => Protocol::UDP,
        BodySpec::Icmp(_) => Protocol::ICMP,
    }
}
