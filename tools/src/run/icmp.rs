//! ICMP messages by the words that scripts have for them.

use std::net::IpAddr;

use ustack::wire::{icmpv4, icmpv6};

/// One kind of message: its word, its number in ICMP and in ICMPv6, and its codes with theirs.
struct Kind {
    word: &'static str,
    v4: Option<u8>,
    v6: Option<u8>,
    codes: &'static [(&'static str, Option<u8>, Option<u8>)],
}

const KINDS: &[Kind] = &[
    Kind {
        word: "unreachable",
        v4: Some(3),
        v6: Some(1),
        codes: &[
            ("net_unreachable", Some(0), Some(0)),
            ("noroute", Some(0), Some(0)),
            ("host_unreachable", Some(1), Some(3)),
            ("address_unreachable", Some(1), Some(3)),
            ("protocol_unreachable", Some(2), None),
            ("port_unreachable", Some(3), Some(4)),
            ("frag_needed", Some(4), None),
            ("source_route_failed", Some(5), None),
            ("net_unknown", Some(6), None),
            ("host_unknown", Some(7), None),
            ("source_host_isolated", Some(8), None),
            ("net_prohibited", Some(9), None),
            ("host_prohibited", Some(10), None),
            ("net_unreachable_for_tos", Some(11), None),
            ("host_unreachable_for_tos", Some(12), None),
            ("admin_prohibited", Some(13), Some(1)),
            ("not_neighbour", None, Some(2)),
        ],
    },
    Kind { word: "packet_too_big", v4: None, v6: Some(2), codes: &[] },
    Kind { word: "source_quench", v4: Some(4), v6: None, codes: &[] },
    Kind {
        word: "time_exceeded",
        v4: Some(11),
        v6: Some(3),
        codes: &[("exceeded_in_transit", Some(0), Some(0)), ("exceeded_in_reassembly", Some(1), Some(1))],
    },
    Kind { word: "parameter_problem", v4: Some(12), v6: Some(4), codes: &[] },
    Kind { word: "echo_request", v4: Some(8), v6: Some(128), codes: &[] },
    Kind { word: "echo_reply", v4: Some(0), v6: Some(129), codes: &[] },
];

/// A message as a value, of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Icmp {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The second half of its header: an MTU, an identifier and a number.
    pub(super) rest: [u8; 4],
    pub(super) body: Vec<u8>,
}

impl Icmp {
    /// The message of these words.
    pub(super) fn named(word: &str, code: Option<&str>, v6: bool) -> Result<Self, String> {
        let version = if v6 { "ICMPv6" } else { "ICMP" };
        let kind = KINDS.iter().find(|kind| kind.word == word).ok_or_else(|| format!("no message {word}"))?;
        let number = if v6 { kind.v6 } else { kind.v4 };
        let number = number.ok_or_else(|| format!("{version} has no message {word}"))?;
        let code = match code {
            None => 0,
            Some(code) => kind
                .codes
                .iter()
                .find(|(name, ..)| *name == code)
                .and_then(|&(_, v4_code, v6_code)| if v6 { v6_code } else { v4_code })
                .ok_or_else(|| format!("{version} has no code {code} of {word}"))?,
        };
        Ok(Self { kind: number, code, rest: [0; 4], body: Vec::new() })
    }

    /// Reads a message.
    pub(super) fn read(bytes: &[u8], src: IpAddr, dst: IpAddr) -> Result<Self, String> {
        let checked = match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => icmpv6::Message::parse(bytes, src, dst).map(|_| ()),
            _ => icmpv4::Message::parse(bytes).map(|_| ()),
        };
        checked.map_err(|error| error.to_string())?;
        match *bytes {
            [kind, code, _, _, a, b, c, d, ref body @ ..] => {
                Ok(Self { kind, code, rest: [a, b, c, d], body: body.to_vec() })
            }
            _ => Err(format!("an ICMP message needs 8 bytes, there are {}", bytes.len())),
        }
    }

    /// Writes it.
    pub(super) fn write(&self, src: IpAddr, dst: IpAddr) -> Result<Vec<u8>, String> {
        let (kind, code, rest, body) = (self.kind, self.code, self.rest, &self.body[..]);
        let mut out = vec![0; 8 + body.len()];
        let written = match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                icmpv6::Message::Other { kind, code, rest, body }.write(&mut out, src, dst)
            }
            _ => icmpv4::Message::Other { kind, code, rest, body }.write(&mut out),
        };
        written.map_err(|error| error.to_string())?;
        Ok(out)
    }

    /// Whether it is an echo, request or reply.
    pub(super) fn is_echo(&self, v6: bool) -> bool {
        if v6 { matches!(self.kind, 128 | 129) } else { matches!(self.kind, 0 | 8) }
    }

    /// The words for its kind and code.
    pub(super) fn words(&self, v6: bool) -> String {
        let number = |kind: &&Kind| if v6 { kind.v6 } else { kind.v4 };
        let Some(kind) = KINDS.iter().find(|kind| number(kind) == Some(self.kind)) else {
            return format!("type {} code {}", self.kind, self.code);
        };
        let code = kind
            .codes
            .iter()
            .find(|&&(_, v4_code, v6_code)| (if v6 { v6_code } else { v4_code }) == Some(self.code));
        match code {
            Some((name, ..)) => format!("{} {name}", kind.word),
            None if self.code == 0 => kind.word.to_owned(),
            None => format!("{} code {}", kind.word, self.code),
        }
    }
}

pub(super) fn is_kind(word: &str) -> bool {
    KINDS.iter().any(|kind| kind.word == word)
}

pub(super) fn kinds() -> String {
    KINDS.iter().map(|kind| kind.word).collect::<Vec<_>>().join(" ")
}

pub(super) fn is_code(kind: &str, code: &str) -> bool {
    KINDS.iter().any(|known| known.word == kind && known.codes.iter().any(|(name, ..)| *name == code))
}

pub(super) fn codes(kind: &str) -> String {
    let codes = KINDS.iter().find(|known| known.word == kind).map_or(&[][..], |known| known.codes);
    if codes.is_empty() {
        return "there is none".into();
    }
    codes.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" ")
}
