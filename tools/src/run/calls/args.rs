//! The arguments of a call.

use std::net::{IpAddr, SocketAddr};

use super::fd::{Fd, Fds};
use crate::run::expr::{Expr, Value};
use crate::run::scope::Scope;
use crate::run::script::{Argument, CallResult, CallSpec};

/// Bytes of the largest buffer that a script can name.
const MAX_BUFFER: i64 = 1 << 28;

/// A call's arguments with what names in them stand for.
pub(in crate::run) struct Args<'a> {
    pub(in crate::run) call: &'a CallSpec,
    pub(in crate::run) scope: &'a Scope,
}

/// The parts of an address that a script names.
#[derive(Clone, Copy, Debug)]
pub(in crate::run) struct WantedAddress {
    ip: Option<IpAddr>,
    port: Option<i64>,
}

impl WantedAddress {
    /// An error if the call `name` has answered another one.
    pub(in crate::run) fn check(&self, name: &str, actual: Option<SocketAddr>) -> Result<(), String> {
        let Some(actual) = actual else { return Err(format!("{name} answers no address")) };
        let ip = self.ip.is_none_or(|ip| ip.to_canonical() == actual.ip().to_canonical());
        let port = self.port.is_none_or(|port| port == i64::from(actual.port()));
        if ip && port { Ok(()) } else { Err(format!("{name} answers the address {actual}")) }
    }
}

impl<'a> Args<'a> {
    pub(in crate::run) fn get(&self, index: usize) -> Result<&'a Argument, String> {
        let missing = || format!("{} has no argument {}", self.call.name, index + 1);
        self.call.arguments.get(index).ok_or_else(missing)
    }

    /// A number.
    pub(in crate::run) fn int(&self, index: usize) -> Result<i64, String> {
        self.value(self.get(index)?)
    }

    /// A number, or `default` where there is no argument or `...`.
    pub(in crate::run) fn int_or(&self, index: usize, default: i64) -> Result<i64, String> {
        match self.call.arguments.get(index) {
            None | Some(Argument::Any) => Ok(default),
            Some(argument) => self.value(argument),
        }
    }

    /// The number that an argument is.
    pub(in crate::run) fn value(&self, argument: &Argument) -> Result<i64, String> {
        match argument {
            Argument::Expr(expr) => self.scope.int(expr),
            Argument::List(list) if list.len() == 1 => self.value(&list[0]),
            Argument::Of(name, inner)
                if matches!(name.as_str(), "htons" | "htonl" | "ntohs" | "ntohl") && inner.len() == 1 =>
            {
                self.value(&inner[0])
            }
            _ => Err(format!("an argument of {} is no number", self.call.name)),
        }
    }

    /// A text.
    pub(in crate::run) fn text(&self, argument: &Argument) -> Result<String, String> {
        match argument {
            Argument::Expr(expr) => match self.scope.eval(expr)? {
                Value::Text(text) => Ok(text),
                other => Err(format!("{other} is no text")),
            },
            Argument::List(list) if list.len() == 1 => self.text(&list[0]),
            _ => Err(format!("an argument of {} is no text", self.call.name)),
        }
    }

    /// The name that an argument is: `SO_ERROR`.
    pub(in crate::run) fn name(&self, index: usize) -> Result<&'a str, String> {
        match self.get(index)? {
            Argument::Expr(Expr::Name(name)) => Ok(name),
            _ => Err(format!("argument {} of {} is to be a name", index + 1, self.call.name)),
        }
    }

    /// A part of a struct by its name.
    pub(in crate::run) fn part<'b>(&self, argument: &'b Argument, name: &str) -> Option<&'b Argument> {
        match argument {
            Argument::Struct(parts) => parts.iter().find(|(key, _)| key == name).map(|(_, part)| part),
            Argument::List(list) if list.len() == 1 => self.part(&list[0], name),
            _ => None,
        }
    }

    /// `{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}`; `None` for `...`.
    pub(in crate::run) fn address(&self, index: usize) -> Result<Option<SocketAddr>, String> {
        let argument = match self.call.arguments.get(index) {
            None | Some(Argument::Any) => return Ok(None),
            Some(argument) => argument,
        };
        // A null pointer: nobody is named.
        if let Argument::Expr(Expr::Value(Value::Int(0)) | Expr::Name(_)) = argument {
            return Ok(None);
        }
        let port = ["sin_port", "sin6_port"].iter().find_map(|name| self.part(argument, name));
        let ip = ["sin_addr", "sin6_addr"].iter().find_map(|name| self.part(argument, name));
        let (Some(port), Some(ip)) = (port, ip) else {
            return Err("an address is `...` or {sa_family = AF_INET, sin_port = htons(80), \
                        sin_addr = inet_addr(\"192.0.2.1\")}"
                .into());
        };
        let port = u16::try_from(self.value(port)?).map_err(|_| "a port has 16 bits")?;
        Ok(Some(SocketAddr::new(self.ip(ip)?, port)))
    }

    /// What the address that a call answers is expected to be; `None` where it does not matter.
    pub(in crate::run) fn wanted_address(&self, index: usize) -> Result<Option<WantedAddress>, String> {
        self.call.arguments.get(index).map_or(Ok(None), |argument| self.wanted(argument))
    }

    /// The same for who sent what is received.
    pub(in crate::run) fn wanted_sender(&self) -> Result<Option<WantedAddress>, String> {
        match self.call.name.as_str() {
            "recvfrom" => self.wanted_address(4),
            "recvmsg" => self.part(self.get(1)?, "msg_name").map_or(Ok(None), |name| self.wanted(name)),
            _ => Ok(None),
        }
    }

    /// How many bytes a call that moves bytes is to move.
    pub(in crate::run) fn bytes(&self) -> Result<usize, String> {
        match self.call.name.as_str() {
            "readv" | "writev" => self.pieces(self.get(1)?),
            "recvmsg" | "sendmsg" => self.message(1),
            _ => match self.int(2)? {
                number @ 0..=MAX_BUFFER => Ok(number as usize),
                number => Err(format!("{number} is no length of a buffer")),
            },
        }
    }

    /// The flags of a call that has some.
    pub(in crate::run) fn flags(&self) -> Result<i64, String> {
        match self.call.name.as_str() {
            "recv" | "recvfrom" | "send" | "sendto" => self.int_or(3, 0),
            "recvmsg" | "sendmsg" => self.int_or(2, 0),
            _ => Ok(0),
        }
    }

    /// The descriptor in the first argument.
    pub(super) fn fd<'b>(&self, fds: &'b Fds) -> Result<Option<&'b Fd>, String> {
        Ok(fds.get(self.int(0)?))
    }

    /// The number of the descriptor that the script expects to be answered.
    pub(super) fn new_fd(&self, fds: &Fds) -> Result<i64, String> {
        match &self.call.result {
            CallResult::Is(value, None) => match self.scope.int(value)? {
                number @ 0.. => Ok(number),
                _ => Ok(fds.free()),
            },
            _ => Ok(fds.free()),
        }
    }

    /// How many bytes the pieces `[{..., 1000}, {..., 2}]` have together.
    fn pieces(&self, argument: &Argument) -> Result<usize, String> {
        let Argument::List(list) = argument else {
            return Err(format!("{} wants a list of pieces: [{{..., 1000}}]", self.call.name));
        };
        let mut total = 0;
        for piece in list {
            let Argument::Struct(parts) = piece else {
                return Err("a piece is written {..., 1000}".into());
            };
            let (_, length) = parts.last().ok_or("a piece is written {..., 1000}")?;
            total += usize::try_from(self.value(length)?).map_err(|_| "a length is not negative")?;
        }
        Ok(total)
    }

    /// The same for `{msg_name(...)=..., msg_iov(2)=[{..., 1000}, {..., 2}], msg_flags=0}`.
    fn message(&self, index: usize) -> Result<usize, String> {
        let pieces = self.part(self.get(index)?, "msg_iov");
        self.pieces(pieces.ok_or("a message is written {msg_iov(1)=[{..., 1000}]}")?)
    }

    fn wanted(&self, argument: &Argument) -> Result<Option<WantedAddress>, String> {
        if !matches!(argument, Argument::Struct(_) | Argument::List(_)) {
            return Ok(None);
        }
        let part = |names: [&str; 2]| {
            let part = names.iter().find_map(|name| self.part(argument, name));
            part.filter(|part| !matches!(part, Argument::Any))
        };
        let port = part(["sin_port", "sin6_port"]).map(|port| self.value(port)).transpose()?;
        let ip = part(["sin_addr", "sin6_addr"]).map(|ip| self.ip(ip)).transpose()?;
        Ok(Some(WantedAddress { ip, port }))
    }

    fn ip(&self, argument: &Argument) -> Result<IpAddr, String> {
        let text = match argument {
            Argument::Of(name, inner) if matches!(name.as_str(), "inet_addr" | "inet_pton") => {
                self.text(inner.last().ok_or("an address is missing")?)?
            }
            Argument::Expr(Expr::Name(name)) if name == "INADDR_ANY" => "0.0.0.0".to_owned(),
            Argument::Expr(Expr::Name(name)) if name == "in6addr_any" => "::".to_owned(),
            other => self.text(other)?,
        };
        text.parse().map_err(|_| format!("\"{text}\" is no address"))
    }
}
