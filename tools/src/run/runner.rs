//! Runs the statements of a script one after another.

use ustack::time::{Duration, Instant};
use ustack::why::{Reason, Why};

use super::Sinks;
use super::compare::{self, Field};
use super::expr::{Names, Value};
use super::flow::Stamps;
use super::host::{Answer, Blocked, Host};
use super::report::{Failure, Line, Report};
use super::scope::Scope;
use super::script::{
    Action, BodySpec, CallSpec, Check, OptionSpec, OptionsSpec, PacketSpec, Script, Span, Statement, Time,
};
use super::seen::{Body, Seen};
use super::tcp::{TcpOption, flag};
use super::world::Simulated;

/// Deadlines of the stack between two statements: more are a loop.
const MAX_STEPS: usize = 1_000_000;

/// A script at work.
struct Runner<'a, H> {
    script: &'a Script,
    host: H,
    scope: Scope,
    /// Why the last expected packet was sent.
    last_why: Option<Why>,
    printed: Vec<String>,
    /// By how much at most something of the script itself happened too late: the machine was busy.
    slip: Duration,
}

/// What time passes for.
#[derive(Clone, Copy, Debug)]
enum Until {
    Then,
    Packet,
    Return,
}

type Step = Result<(), Box<Failure>>;

/// Runs a script against our stack, from its beginning to its end, or to what goes wrong first.
pub(super) fn run(script: &Script, sinks: &Sinks) -> Report {
    match Simulated::new(&script.settings, sinks, &script.file) {
        Ok(host) => run_on(script, host),
        Err(message) => Report::never_begun(&script.file, &format!("the settings do not work: {message}")),
    }
}

/// The same against any host.
pub(super) fn run_on(script: &Script, host: impl Host) -> Report {
    let scope = Scope::new(&script.settings.defined);
    let mut runner =
        Runner { script, host, scope, last_why: None, printed: Vec::new(), slip: Duration::ZERO };
    let result = runner.statements(&script.statements).and_then(|()| runner.finish());
    let mut failure = result.err();
    let wire = runner.host.wire();
    if let Some(failure) = &mut failure {
        let flow = wire.current.map(|index| &wire.flows[index]);
        let ports = flow.map(|flow| (flow.local.port(), flow.remote.port()));
        failure.recent = wire.trace.lines();
        failure.decided = wire.trace.decisions(ports);
    }
    Report {
        file: script.file.clone(),
        virtual_us: wire.now.as_micros(),
        packets: wire.trace.packets(),
        printed: runner.printed,
        failure,
        skipped: None,
        slip: runner.slip,
    }
}

impl<H: Host> Runner<'_, H> {
    fn statements(&mut self, statements: &[Statement]) -> Step {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Statement) -> Step {
        let line = self.line(statement);
        let fail = |message: String| Failure::new(&line, message);
        if let Action::Expect(spec) = &statement.action {
            return self.expect(statement, spec, &line);
        }
        let (start, end) = self.moment(&statement.time).map_err(fail)?;
        let now = self.host.wire().now;
        if start < now && !H::REAL_TIME {
            return Err(fail(format!("it is {now} already: {start} is past")));
        }
        self.advance(start, Until::Then, &line)?;
        self.slip = self.slip.max(self.host.wire().now.since(start));
        match &statement.action {
            Action::Expect(_) => {}
            Action::Inject(spec) => {
                let bytes = self.host.wire_mut().arriving(spec, &self.scope).map_err(fail)?;
                self.host.handle_packet(&bytes).map_err(fail)?;
            }
            Action::Call(call) => self.call(call, end, &line)?,
            Action::Code(checks) => checks.iter().try_for_each(|check| self.check(check, &line))?,
            Action::Why(check) => self.check_why(check, &line)?,
            Action::Let(name, expr) => {
                let value = self.scope.eval(expr).map_err(fail)?;
                self.scope.set(name, value);
            }
            Action::Repeat { times, counter, body } => {
                for round in 0..self.scope.int(times).map_err(fail)? {
                    if let Some(counter) = counter {
                        self.scope.set(counter, Value::Int(round));
                    }
                    self.statements(body)?;
                }
            }
        }
        self.settle(&line)
    }

    /// Nothing may be left that the script did not expect, and every call must have returned.
    fn finish(&mut self) -> Step {
        let last = self.script.statements.last();
        let mut end = last.map_or_else(
            || Line { file: self.script.file.clone(), line: 1, text: String::new() },
            |statement| self.line(statement),
        );
        if let Some(blocked) = self.host.blocked() {
            end = blocked.statement.clone();
            self.await_return(&end)?;
            if let Some(blocked) = self.host.blocked() {
                let (since, now) = (blocked.since, self.host.wire().now);
                return Err(Failure::new(
                    &end,
                    format!("the call blocks since {since}, and still does at {now}"),
                ));
            }
        }
        self.settle(&end)?;
        match self.host.wire_mut().outbox.pop_front() {
            None => Ok(()),
            Some(seen) => {
                let (who, at) = (H::NAME, seen.at);
                let message = format!("at the end {who} has sent a packet at {at} that nobody expects");
                Err(self.about_packet(&end, message, &seen))
            }
        }
    }

    /// Waits for the next packet of the stack, which must be the one that the script expects.
    fn expect(&mut self, statement: &Statement, spec: &PacketSpec, line: &Line) -> Step {
        let fail = |message: String| Failure::new(line, message);
        let now = self.host.wire().now;
        let (earliest, latest) = match statement.time {
            Time::Any => (Instant::ZERO, now + H::ETERNITY),
            ref time => {
                let (start, _) = self.moment(time).map_err(fail)?;
                let latest = self.latest(time).map_err(fail)?.unwrap_or(start);
                let slack = self.host.slack(latest.since(now));
                (
                    Instant::from_nanos(start.as_nanos().saturating_sub(slack.early.as_nanos())),
                    latest + slack.late,
                )
            }
        };
        self.advance(latest, Until::Packet, line)?;
        if self.host.wire().outbox.is_empty() {
            let then = self.host.wire().now;
            self.advance(then + H::PATIENCE, Until::Packet, line)?;
            if self.host.wire().outbox.is_empty() {
                let (who, patience) = (H::NAME, H::PATIENCE);
                return Err(fail(format!("{who} sends nothing until {then}, nor for {patience} after that")));
            }
        }
        let Some(seen) = self.host.wire_mut().outbox.pop_front() else { return Ok(()) };
        self.compare(statement, spec, &seen, (earliest, latest), line)
    }

    fn compare(
        &mut self,
        statement: &Statement,
        spec: &PacketSpec,
        seen: &Seen,
        (earliest, latest): (Instant, Instant),
        line: &Line,
    ) -> Step {
        let fail = |message: String| Failure::new(line, message);
        let index = self.host.wire().flow_of(seen).or(self.host.wire().current);
        let Some(index) = index else {
            let message = format!("{} sent a packet that belongs to no connection", H::NAME);
            return Err(self.about_packet(line, message, seen));
        };
        if let (BodySpec::Tcp(tcp_spec), Body::Tcp(tcp)) = (&spec.body, &seen.body)
            && tcp.has(flag::SYN)
            && tcp_spec.flags & flag::SYN != 0
        {
            let script = self.scope.number32(&tcp_spec.range.start).map_err(fail)?;
            self.host.wire_mut().flows[index].name_our_syn(script, tcp.seq);
        }
        let flow = &self.host.wire().flows[index];
        let mut fields = compare::packet(spec, seen, flow, self.stamps(), &self.scope).map_err(fail)?;
        if let Some(wanted) = &spec.ip.connection {
            fields.insert(0, Field::new("conn", self.scope.int(wanted).map_err(fail)?, index + 1));
        }
        let wanted = match &statement.time {
            Time::Any => seen.at.to_string(),
            _ if (earliest..=latest).contains(&seen.at) => seen.at.to_string(),
            _ if earliest == latest => earliest.to_string(),
            _ => format!("{earliest}~{latest}"),
        };
        fields.insert(0, Field::new("time", wanted, seen.at));
        let differing: Vec<&str> =
            fields.iter().filter(|field| field.differs()).map(|field| field.name).collect();
        if !differing.is_empty() {
            let what = format!("{} sent another packet: it differs in {}", H::NAME, differing.join(", "));
            let mut failure = self.about_packet(line, what, seen);
            failure.about_time = differing == ["time"];
            failure.fields = fields;
            return Err(failure);
        }
        self.name_stamps(index, spec, seen).map_err(fail)?;
        self.host.wire_mut().current = Some(index);
        self.last_why = Some(seen.why);
        Ok(())
    }

    /// From now on the script's timestamps have the values that were seen under them.
    fn name_stamps(&mut self, index: usize, spec: &PacketSpec, seen: &Seen) -> Result<(), String> {
        let (BodySpec::Tcp(spec), Body::Tcp(tcp)) = (&spec.body, &seen.body) else { return Ok(()) };
        let OptionsSpec::These(options) = &spec.options else { return Ok(()) };
        for (spec, option) in options.iter().zip(&tcp.options) {
            if let (OptionSpec::Timestamps(Some(value), _), &TcpOption::Timestamps(live, _)) = (spec, option)
            {
                let script = self.scope.number32(value)?;
                self.host.wire_mut().flows[index].name_stamp(script, live);
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &CallSpec, until: Option<Instant>, line: &Line) -> Step {
        let fail = |message: String| Failure::new(line, message);
        if self.host.blocked().is_some_and(|blocked| blocked.until <= self.host.wire().now) {
            self.await_return(line)?;
        }
        let wire = self.host.wire_mut();
        wire.trace.note(wire.now, &line.text);
        let answer = self.host.call(&self.scope, call, until, line).map_err(fail)?;
        let now = self.host.wire().now;
        match (answer, until) {
            (Some(answer), Some(until)) if until > now + self.host.slack(until.since(now)).early => {
                let shown = answer.show();
                Err(fail(format!(
                    "the call is to block until {until}, and returns {shown} at once, at {now}"
                )))
            }
            (Some(answer), _) => match answer.expected(&call.result, &self.scope).map_err(fail)? {
                Some(wanted) => {
                    Err(fail(format!("the call returns {}, expected was {wanted}", answer.show())))
                }
                None => Ok(()),
            },
            (None, _) => Ok(()),
        }
    }

    /// Lets the host say what it has to say, and the call that blocks go on, until both are done.
    fn settle(&mut self, line: &Line) -> Step {
        loop {
            self.host.poll_sent().map_err(|message| Failure::new(line, message))?;
            let resumed = self.host.resume(&self.scope);
            let Some((blocked, answer, at)) = resumed.map_err(|message| Failure::new(line, message))? else {
                return self.host.poll_sent().map_err(|message| Failure::new(line, message));
            };
            self.returned(&blocked, answer, at)?;
        }
    }

    /// A call that had blocked has returned `answer` at `at`.
    fn returned(&mut self, blocked: &Blocked, answer: Answer, at: Instant) -> Step {
        let fail = |message: String| Failure::new(&blocked.statement, message);
        let shown = answer.show();
        self.host.wire_mut().trace.note(at, &format!("{} returns {shown}", blocked.call.name));
        if let Some(wanted) = answer.expected(&blocked.call.result, &self.scope).map_err(fail)? {
            return Err(fail(format!("the call returns {shown} at {at}, expected was {wanted}")));
        }
        let slack = self.host.slack(blocked.until.since(blocked.since));
        if at + slack.early < blocked.until || at > blocked.until + slack.late {
            let mut failure = fail(format!("the call returns at {at}, expected was {}", blocked.until));
            failure.about_time = true;
            return Err(failure);
        }
        Ok(())
    }

    /// Waits for the call that blocks, as long as it may and a little longer.
    fn await_return(&mut self, line: &Line) -> Step {
        let Some(blocked) = self.host.blocked() else { return Ok(()) };
        let until = blocked.until + self.host.slack(blocked.until.since(blocked.since)).late;
        self.advance(until, Until::Return, line)?;
        // If it returns after that, `returned` says how late.
        let then = self.host.wire().now;
        self.advance(then + H::PATIENCE, Until::Return, line)
    }

    /// Lets time pass until `to`, or until something has happened before that.
    fn advance(&mut self, to: Instant, until: Until, line: &Line) -> Step {
        for _ in 0..MAX_STEPS {
            self.settle(line)?;
            let done = match until {
                Until::Then => false,
                Until::Packet => !self.host.wire().outbox.is_empty(),
                Until::Return => self.host.blocked().is_none(),
            };
            if done || !self.host.poll_time(to).map_err(|message| Failure::new(line, message))? {
                return Ok(());
            }
        }
        Err(Failure::new(line, format!("more than {MAX_STEPS} deadlines passed without an end")))
    }

    /// `%{ assert ... }%`
    fn check(&mut self, check: &Check, line: &Line) -> Step {
        let line = Line { line: check.place.line, text: check.text.clone(), file: line.file.clone() };
        let fail = |message: String| Failure::new(&line, message);
        let names = |name: &str| self.scope.lookup(name).or_else(|| self.host.lookup(name));
        if H::REAL_TIME && check.expr.names().into_iter().any(|name| names(name).is_none()) {
            let wire = self.host.wire_mut();
            wire.trace.note(wire.now, &format!("{} does not say: {}", H::NAME, check.text));
            return Ok(());
        }
        let value = check.expr.eval(&names).map_err(|why| match self.host.has_connection() {
            true => fail(why),
            false => fail(format!("{why}; there is no connection whose tcp_info could be asked")),
        })?;
        if check.print {
            let text = format!("{line}: {} = {value}", check.text);
            self.printed.push(text);
            return Ok(());
        }
        self.verdict(check, &value, &names, &line)
    }

    /// `expect why == rto`
    fn check_why(&self, check: &Check, line: &Line) -> Step {
        if H::REAL_TIME {
            // Only our stack says why.
            return Ok(());
        }
        let fail = |message: String| Failure::new(line, message);
        let why = self.last_why.ok_or_else(|| fail("no packet was expected before".into()))?;
        let names = |name: &str| {
            let word = name.replace('_', "-");
            match name {
                "why" => Some(Value::Text(why.reason().word().to_owned())),
                _ => why
                    .number(name)
                    .map(|number| Value::Int(number as i64))
                    .or_else(|| self.scope.lookup(name))
                    .or_else(|| self.host.lookup(name))
                    .or_else(|| {
                        let known = Reason::ALL.iter().any(|reason| reason.word() == word);
                        known.then_some(Value::Text(word))
                    }),
            }
        };
        let value =
            check.expr.eval(&names).map_err(|error| fail(format!("{error}; the packet says {why}")))?;
        self.verdict(check, &value, &names, line).map_err(|mut failure| {
            failure.message = format!("{}; the packet says {why}", failure.message);
            failure
        })
    }

    /// A condition that does not hold tells what its names stand for.
    fn verdict(&self, check: &Check, value: &Value, names: &dyn Names, line: &Line) -> Step {
        if value.is_true() {
            return Ok(());
        }
        let mut message = "this does not hold".to_owned();
        let values: Vec<String> = check
            .expr
            .names()
            .into_iter()
            .filter_map(|name| names.lookup(name).map(|value| format!("{name} is {value}")))
            .collect();
        if !values.is_empty() {
            message = format!("{message}: {}", values.join(", "));
        }
        if let Some(said) = &check.message {
            let said = match said.eval(names) {
                Ok(Value::Text(text)) => text,
                Ok(value) => value.to_string(),
                Err(why) => why,
            };
            message = format!("{message} ({said})");
        }
        Err(Failure::new(line, message))
    }

    /// When a statement begins, and when its call is to end.
    fn moment(&self, time: &Time) -> Result<(Instant, Option<Instant>), String> {
        let now = self.host.wire().now;
        let base = match time {
            Time::Now | Time::Any => return Ok((now, None)),
            Time::Absolute(_) => Instant::ZERO,
            Time::Relative(_) => now,
        };
        let (Time::Absolute(span) | Time::Relative(span)) = time else { return Ok((now, None)) };
        let Span { start, end, .. } = span;
        let end = match end {
            Some(end) => Some(base + self.seconds(end)?),
            None => None,
        };
        Ok((base + self.seconds(start)?, end))
    }

    /// The last moment of a range.
    fn latest(&self, time: &Time) -> Result<Option<Instant>, String> {
        match time {
            Time::Absolute(Span { latest: Some(latest), .. }) => {
                Ok(Some(Instant::ZERO + self.seconds(latest)?))
            }
            Time::Relative(Span { latest: Some(latest), .. }) => {
                Ok(Some(self.host.wire().now + self.seconds(latest)?))
            }
            _ => Ok(None),
        }
    }

    fn seconds(&self, expr: &super::expr::Expr) -> Result<Duration, String> {
        let seconds = self.scope.eval(expr)?.float()?;
        if seconds < 0.0 {
            return Err(format!("{seconds} seconds lie before now"));
        }
        Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
    }

    fn stamps(&self) -> Stamps {
        match self.host.wire().settings.ts_tick {
            _ if H::REAL_TIME => Stamps::Near,
            Some(_) => Stamps::Ticking,
            None => Stamps::Named,
        }
    }

    fn about_packet(&self, line: &Line, message: String, seen: &Seen) -> Box<Failure> {
        let wire = self.host.wire();
        let flow = wire.flow_of(seen).map(|index| &wire.flows[index]);
        let shown = compare::show(seen, flow);
        let why = if H::REAL_TIME { String::new() } else { format!("    {}", seen.why) };
        let mut failure = Failure::new(line, message);
        failure.actual = Some(format!("{} > {shown}{why}", seen.at));
        failure
    }

    fn line(&self, statement: &Statement) -> Line {
        Line { file: self.script.file.clone(), line: statement.place.line, text: statement.text.clone() }
    }
}
