//! A script as values: what was read, with its places, before anything of it has happened.

use std::net::IpAddr;

use super::cursor::Place;
use super::expr::Expr;
use super::settings::Settings;

/// A script that was read and understood.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) file: String,
    pub(super) settings: Settings,
    pub(super) statements: Vec<Statement>,
    pub(super) mark: Option<Mark>,
}

/// What a script says about Linux at its head: `// Linux: same`, `// Linux: differs, because...`, or `// Linux:
/// untried, because...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Linux does the same on the wire.
    Same,
    /// It does not; why.
    Differs(String),
    /// No kernel at hand can tell; why.
    Untried(String),
}

impl Mark {
    /// The mark in the comment that a script begins with.
    pub(super) fn find(text: &str) -> Option<Self> {
        let head = text.lines().take_while(|line| line.starts_with("//"));
        let said =
            head.filter_map(|line| line.trim_start_matches('/').trim().strip_prefix("Linux: ")).next()?;
        let reason = |word| Some(said.strip_prefix(word)?.trim_start_matches([',', ':', ' ']).to_owned());
        match (reason("differs"), reason("untried")) {
            (Some(why), _) => Some(Self::Differs(why)),
            (_, Some(why)) => Some(Self::Untried(why)),
            _ => said.starts_with("same").then_some(Self::Same),
        }
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) place: Place,
    /// As it was written.
    pub(super) text: String,
    pub(super) time: Time,
    pub(super) action: Action,
}

/// When a statement happens.
#[derive(Clone, Debug, Default)]
pub(super) enum Time {
    /// At once.
    #[default]
    Now,
    /// `*`: whenever it happens.
    Any,
    /// `0.1`, `0.1~0.2`, `0.1...0.3`.
    Absolute(Span),
    /// `+0.1`, `+0.1~+0.2`, `+0.1...0.3`: after the statement before.
    Relative(Span),
}

/// One point, or more than one.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) start: Expr,
    /// Of a range: the last moment.
    pub(super) latest: Option<Expr>,
    /// Of a call that blocks: when it returns.
    pub(super) end: Option<Expr>,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// `<`: a packet arrives.
    Inject(PacketSpec),
    /// `>`: the stack sends a packet.
    Expect(PacketSpec),
    /// An application calls.
    Call(CallSpec),
    /// `%{ ... }%`.
    Code(Vec<Check>),
    /// `expect why == rto`: about the packet before.
    Why(Check),
    /// `let x = 10`.
    Let(String, Expr),
    /// `repeat 5 as i { ... }`.
    Repeat { times: Expr, counter: Option<String>, body: Vec<Statement> },
}

/// A condition that must hold, or a value that is printed.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) place: Place,
    pub(super) text: String,
    pub(super) expr: Expr,
    /// Said if it does not hold.
    pub(super) message: Option<Expr>,
    /// It is only printed.
    pub(super) print: bool,
}

/// A system call with what it is to answer.
#[derive(Clone, Debug)]
pub(super) struct CallSpec {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) result: CallResult,
}

/// What a call is to answer.
#[derive(Clone, Debug)]
pub(super) enum CallResult {
    /// `= ?` or nothing at all.
    Whatever,
    /// A number, or -1 with an error.
    Is(Expr, Option<String>),
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    /// `...`
    Any,
    Expr(Expr),
    /// `[a, b]`
    List(Vec<Self>),
    /// `{a = 1, b}`; a part without a name has an empty one.
    Struct(Vec<(String, Self)>),
    /// `htons(80)`
    Of(String, Vec<Self>),
}

/// A packet, in or out.
#[derive(Clone, Debug)]
pub(super) struct PacketSpec {
    pub(super) ip: IpSpec,
    pub(super) body: BodySpec,
}

impl PacketSpec {
    /// Whether it has a digest that is not written in the script.
    pub(super) fn is_signed(&self) -> bool {
        let BodySpec::Tcp(TcpSpec { options: OptionsSpec::These(options), .. }) = &self.body else {
            return false;
        };
        options.iter().any(|option| matches!(option, OptionSpec::Md5(None) | OptionSpec::Ao(..)))
    }
}

/// What stands in brackets before a packet.
#[derive(Clone, Debug, Default)]
pub(super) struct IpSpec {
    /// The two ECN bits.
    pub(super) ecn: Option<u8>,
    /// The whole byte of code point and ECN.
    pub(super) tos: Option<Expr>,
    pub(super) ttl: Option<Expr>,
    /// Which connection of the script it belongs to; they count from 1.
    pub(super) connection: Option<Expr>,
    /// Other addresses than the connection's.
    pub(super) src: Option<IpAddr>,
    pub(super) dst: Option<IpAddr>,
    /// Its checksum is wrong.
    pub(super) bad_checksum: bool,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(super) enum BodySpec {
    Tcp(TcpSpec),
    Udp { length: Expr },
    Icmp(IcmpSpec),
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub(super) struct TcpSpec {
    /// The nine control bits as they stand in the header.
    pub(super) flags: u16,
    pub(super) range: RangeSpec,
    pub(super) ack: Option<Expr>,
    pub(super) window: Option<Expr>,
    pub(super) urgent: Option<Expr>,
    pub(super) options: OptionsSpec,
}

/// `1:1461(1460)`
#[derive(Clone, Debug)]
pub(super) struct RangeSpec {
    pub(super) start: Expr,
    pub(super) end: Expr,
    pub(super) length: Expr,
}

/// The options of a segment.
#[derive(Clone, Debug)]
pub(super) enum OptionsSpec {
    /// `<...>`
    Whatever,
    /// Exactly these.
    These(Vec<OptionSpec>),
}

/// One option.
#[derive(Clone, Debug)]
pub(super) enum OptionSpec {
    EndOfList,
    Nop,
    Mss(Expr),
    WindowScale(Expr),
    SackPermitted,
    Sack(Vec<(Expr, Expr)>),
    /// Value and echo; `any` of an outgoing one is not looked at.
    Timestamps(Option<Expr>, Option<Expr>),
    /// The cookie; the bool says that it is the experimental option.
    FastOpen(Vec<u8>, bool),
    /// Kind 172 or 174, and its counters in their order.
    AccEcn(u8, Vec<(AccEcnField, Expr)>),
    /// A digest, or one that is not looked at.
    Md5(Option<Vec<u8>>),
    /// KeyID and RNextKeyID; the MAC is made where it arrives, and does not matter where it leaves.
    Ao(Expr, Expr),
    /// Any kind with its bytes.
    Other(u8, Vec<u8>),
}

/// A counter of the accurate ECN option (RFC 9768 section 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccEcnField {
    Ect0,
    Ce,
    Ect1,
}

/// An ICMP message.
#[derive(Clone, Debug)]
pub(super) struct IcmpSpec {
    /// The words of its kind and its code: `unreachable`, `frag_needed`.
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) mtu: Option<Expr>,
    pub(super) id: Option<Expr>,
    pub(super) seq: Option<Expr>,
    /// Bytes of an echo.
    pub(super) length: Option<Expr>,
    pub(super) quoted: Option<QuotedSpec>,
}

/// What an ICMP error quotes.
#[derive(Clone, Debug)]
pub(super) enum QuotedSpec {
    Tcp(RangeSpec),
    Udp { length: Expr },
}
