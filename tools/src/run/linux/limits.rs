//! What of a script no kernel can do, or not in the time that we have.

use ustack::time::Duration;

use super::{Settings, keys, options, sysctl};
use crate::run::expr::{Expr, Value};
use crate::run::scope::Scope;
use crate::run::script::{Action, Argument, CallSpec, Script, Span, Statement, Time};

/// Options that give keys.
const KEYS: &[&str] = &["TCP_MD5SIG", "TCP_AO_ADD_KEY", "TCP_AO_INFO"];
/// Rounds of a loop that are looked at.
const MAX_ROUNDS: i64 = 10_000;

/// Why a script is not run against Linux; `None` if it is.
pub(super) fn unfit(script: &Script, settings: &Settings) -> Option<String> {
    if let Some(why) = sysctl::refused(&script.settings) {
        return Some(why);
    }
    if let Some(what) = sysctl::missing(&script.settings) {
        return Some(lacks(what));
    }
    let mut walk = Walk { scope: Scope::new(&script.settings.defined), seconds: 0.0, unknown: None };
    walk.statements(&script.statements);
    let longest: Duration = settings.longest.into();
    if walk.unknown.is_none() && walk.seconds > longest.as_micros() as f64 / 1e6 {
        return Some(format!("it takes {:.0} s of real time", walk.seconds));
    }
    walk.unknown
}

/// This kernel is too old for it, or built without it.
fn lacks(what: &str) -> String {
    format!("{}{what}", super::LACKS)
}

/// Goes through a script as a run would, without doing anything.
struct Walk {
    scope: Scope,
    /// Time that has passed.
    seconds: f64,
    /// The first thing that cannot be done.
    unknown: Option<String>,
}

impl Walk {
    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            self.pass(&statement.time);
            match &statement.action {
                Action::Call(call) if self.unknown.is_none() => self.unknown = cannot_call(call),
                Action::Let(name, expr) => self.set(name, expr),
                Action::Repeat { times, counter, body } => {
                    for round in 0..self.scope.int(times).unwrap_or(0).min(MAX_ROUNDS) {
                        if let Some(counter) = counter {
                            self.scope.set(counter, Value::Int(round));
                        }
                        self.statements(body);
                    }
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: &Time) {
        let (Time::Absolute(Span { start, latest, end }) | Time::Relative(Span { start, latest, end })) =
            time
        else {
            return;
        };
        let base = if matches!(time, Time::Relative(_)) { self.seconds } else { 0.0 };
        let seconds = |expr: &Expr| self.scope.eval(expr).and_then(|value| value.float()).unwrap_or(0.0);
        let last = latest.as_ref().unwrap_or(start);
        // A call that blocks lets others go on meanwhile.
        let _ = end;
        self.seconds = self.seconds.max(base + seconds(last));
    }

    fn set(&mut self, name: &str, expr: &Expr) {
        if let Ok(value) = self.scope.eval(expr) {
            self.scope.set(name, value);
        }
    }
}

/// Why a call cannot be made on a kernel's socket.
fn cannot_call(call: &CallSpec) -> Option<String> {
    match (call.name.as_str(), call.arguments.get(2)) {
        ("setsockopt", Some(Argument::Expr(Expr::Name(name)))) if KEYS.contains(&name.as_str()) => {
            (!keys::is_there(name)).then(|| lacks(&format!("{name} (CONFIG_TCP_MD5SIG, CONFIG_TCP_AO)")))
        }
        ("setsockopt" | "getsockopt", Some(Argument::Expr(Expr::Name(name)))) if !options::is_known(name) => {
            Some(format!("the option {name} is not known here"))
        }
        _ => None,
    }
}
