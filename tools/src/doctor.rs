//! `ustack doctor`: what this machine lets us do, and what to type to get the rest.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use ustack::device::{Fact, Interface, interfaces, offloads, probe};

use crate::common::console;
use crate::common::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  ustack doctor
  ustack doctor --json | jq '.uses[] | select(.ok | not)'

Changes nothing. Exit status: 0 if everything is allowed, 3 if something is not.";

/// Tell what this machine allows, and which command mends what it does not.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Findings {
    kernel: Option<String>,
    facts: Vec<Finding>,
    interfaces: Vec<Link>,
    uses: Vec<Use>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    found: String,
    remedy: Option<String>,
}

/// An interface of this machine.
#[derive(Debug, Serialize)]
struct Link {
    name: String,
    up: bool,
    addresses: Vec<String>,
    /// Offloads that make received frames larger than the wire's.
    merges: Vec<&'static str>,
}

/// Something that people want to do.
#[derive(Debug, Serialize)]
struct Use {
    command: &'static str,
    what: &'static str,
    ok: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let findings = Findings::gather();
    let mut out = console::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&findings).map_err(std::io::Error::from)?)?,
        false => findings.write(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::from(if findings.uses.iter().all(|used| used.ok) { 0 } else { 3 }))
}

impl Findings {
    fn gather() -> Self {
        let mut facts: Vec<_> = probe().into_iter().map(Finding::from).collect();
        facts.push(ipv6());
        let uses = uses(|what| facts.iter().any(|fact| fact.what == what && fact.ok));
        Self {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().into()),
            facts,
            interfaces: interfaces().into_iter().filter(|link| !link.loopback).map(Link::from).collect(),
            uses,
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "kernel {}", self.kernel.as_deref().unwrap_or("unknown"))?;
        writeln!(out, "\nwhat this machine allows")?;
        let mut told: Vec<&str> = Vec::new();
        for Finding { what, ok, found, remedy } in &self.facts {
            writeln!(out, "  {} {what:<16} {found}", mark(*ok))?;
            // Several things are often mended by the same.
            if let Some(remedy) = remedy.as_deref().filter(|remedy| !told.contains(remedy)) {
                writeln!(out, "      -> {remedy}")?;
                told.push(remedy);
            }
        }
        writeln!(out, "\ninterfaces for --raw and --pnet")?;
        if self.interfaces.is_empty() {
            writeln!(out, "  none but the loopback")?;
        }
        for Link { name, up, addresses, merges } in &self.interfaces {
            let state = if *up { "up" } else { "down" };
            write!(out, "  {name:<16} {state:<5} {}", addresses.join(" "))?;
            if !merges.is_empty() {
                write!(out, " (merges received frames: {})", merges.join(", "))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "\nwhat you can do")?;
        for Use { command, what, ok } in &self.uses {
            writeln!(out, "  {} {command:<34} {what}", mark(*ok))?;
        }
        Ok(())
    }
}

impl From<Fact> for Finding {
    fn from(fact: Fact) -> Self {
        let Fact { what, ok, found, remedy } = fact;
        Self { what: what.into(), ok, found, remedy }
    }
}

impl From<Interface> for Link {
    fn from(link: Interface) -> Self {
        let merges = offloads(&link.name).unwrap_or_default();
        let merges = merges.into_iter().filter(|state| state.on && state.merges_received);
        Self {
            up: link.up,
            addresses: link.addresses.iter().map(ToString::to_string).collect(),
            merges: merges.map(|state| state.name).collect(),
            name: link.name,
        }
    }
}

const fn mark(ok: bool) -> &'static str {
    if ok { "yes" } else { "NO " }
}

/// Whether new interfaces speak IPv6.
fn ipv6() -> Finding {
    const SWITCH: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    let (ok, found, remedy) = match fs::read_to_string(SWITCH).as_deref().map(str::trim) {
        Ok("0") => (true, "new interfaces speak it", None),
        Ok(_) => {
            let remedy = "`sudo sysctl -w net.ipv6.conf.default.disable_ipv6=0`, or use IPv4 addresses alone";
            (false, "new interfaces do not speak it", Some(remedy))
        }
        Err(_) => (false, "this kernel has none", Some("use IPv4 addresses alone: --address 10.9.0.2/24")),
    };
    Finding { what: "IPv6".into(), ok, found: found.into(), remedy: remedy.map(Into::into) }
}

/// What can be done where `has` tells what is allowed.
fn uses(has: impl Fn(&str) -> bool) -> Vec<Use> {
    let admin = has("CAP_NET_ADMIN");
    let private = has("user namespaces") || (admin && has("CAP_NET_RAW"));
    vec![
        Use { command: "ustack decode CAPTURE", what: "captures", ok: true },
        Use {
            command: "ustack listen|connect --hub FOLDER",
            what: "stacks of this machine among themselves",
            ok: true,
        },
        Use { command: "ustack host ... -- CMD", what: "a command behind the stack", ok: private },
        Use {
            command: "ustack host|ping|... --tap NAME",
            what: "this machine's own kernel",
            ok: admin && has("TUN/TAP"),
        },
        Use {
            command: "ustack host|ping|... --raw NAME",
            what: "the network behind an interface",
            ok: has("packet sockets"),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(facts: &[&str]) -> Vec<bool> {
        uses(|what| facts.contains(&what)).iter().map(|used| used.ok).collect()
    }

    #[test]
    fn each_use_has_its_needs() {
        assert_eq!(allowed(&[]), [true, true, false, false, false]);
        assert_eq!(allowed(&["user namespaces"]), [true, true, true, false, false]);
        assert_eq!(allowed(&["TUN/TAP"]), [true, true, false, false, false]);
        let root = ["TUN/TAP", "CAP_NET_ADMIN", "CAP_NET_RAW", "packet sockets"];
        assert_eq!(allowed(&root), [true; 5]);
    }

    #[test]
    fn the_needs_are_known_to_the_probe() {
        let known: Vec<_> = probe().into_iter().map(|fact| fact.what).collect();
        for what in ["TUN/TAP", "CAP_NET_ADMIN", "CAP_NET_RAW", "packet sockets", "user namespaces"] {
            assert!(known.contains(&what), "{what}");
        }
    }
}
