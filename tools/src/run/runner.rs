//! Runs the statements of a script one after another.

use ustack::time::{Duration, Instant};
use ustack::why::{Reason, Why};
use ustack::wire::ip::Protocol;

use super::Sinks;
use super::calls::Process;
use super::compare::{self, Field};
use super::expr::{Names, Value};
use super::flow::Stamps;
use super::info;
use super::report::{Failure, Line, Report};
use super::scope::Scope;
use super::script::{
    Action, BodySpec, CallSpec, Check, OptionSpec, OptionsSpec, PacketSpec, Script, Span, Statement, Time,
};
use super::seen::{Body, Seen};
use super::tcp::{TcpOption, flag};
use super::world::World;

/// How long is waited for a packet that is late, to tell how late it is.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long is waited for a packet that may come whenever it likes.
const ETERNITY: Duration = Duration::from_secs(86_400);
/// Deadlines of the stack between two statements: more are a loop.
const MAX_STEPS: usize = 1_000_000;

/// A script at work.
struct Runner<'a> {
    script: &'a Script,
    world: World,
    process: Process,
    scope: Scope,
    /// Why the last expected packet was sent.
    last_why: Option<Why>,
    printed: Vec<String>,
}

type Step = Result<(), Box<Failure>>;

/// Runs a script from its beginning to its end, or to what goes wrong first.
pub(super) fn run(script: &Script, sinks: &Sinks) -> Report {
    let world = match World::new(&script.settings, sinks, &script.file) {
        Ok(world) => world,
        Err(message) => {
            let line = Line { file: script.file.clone(), line: 1, text: String::new() };
            let failure = Some(Failure::new(&line, format!("the settings do not work: {message}")));
            return Report {
                file: script.file.clone(),
                virtual_us: 0,
                packets: 0,
                printed: Vec::new(),
                failure,
            };
        }
    };
    let mut runner = Runner {
        script,
        world,
        process: Process::default(),
        scope: Scope::new(&script.settings.defined),
        last_why: None,
        printed: Vec::new(),
    };
    let result = runner.statements(&script.statements).and_then(|()| runner.finish());
    let mut failure = result.err();
    if let Some(failure) = &mut failure {
        let flow = runner.world.current.map(|index| &runner.world.flows[index]);
        let ports = flow.map(|flow| (flow.local.port(), flow.remote.port()));
        failure.recent = runner.world.trace.lines();
        failure.decided = runner.world.trace.decisions(ports);
    }
    Report {
        file: script.file.clone(),
        virtual_us: runner.world.now.as_micros(),
        packets: runner.world.trace.packets(),
        printed: runner.printed,
        failure,
    }
}

impl Runner<'_> {
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
        if start < self.world.now {
            let now = self.world.now;
            return Err(fail(format!("it is {now} already: {start} is past")));
        }
        self.advance(start, false, &line)?;
        match &statement.action {
            Action::Expect(_) => {}
            Action::Inject(spec) => self.world.inject(spec, &self.scope).map_err(fail)?,
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
        if let Some(blocked) = &self.process.blocked {
            end = blocked.statement.clone();
            let until = blocked.until + self.world.settings.tolerance;
            self.advance(until, false, &end)?;
            if let Some(blocked) = &self.process.blocked {
                let (since, now) = (blocked.since, self.world.now);
                return Err(Failure::new(
                    &end,
                    format!("the call blocks since {since}, and still does at {now}"),
                ));
            }
        }
        match self.world.outbox.pop_front() {
            None => Ok(()),
            Some(seen) => {
                let message =
                    format!("at the end the stack has sent a packet at {} that nobody expects", seen.at);
                Err(self.about_packet(&end, message, &seen))
            }
        }
    }

    /// Waits for the next packet of the stack, which must be the one that the script expects.
    fn expect(&mut self, statement: &Statement, spec: &PacketSpec, line: &Line) -> Step {
        let fail = |message: String| Failure::new(line, message);
        let (earliest, latest) = match statement.time {
            Time::Any => (Instant::ZERO, self.world.now + ETERNITY),
            ref time => {
                let (start, _) = self.moment(time).map_err(fail)?;
                let latest = self.latest(time).map_err(fail)?.unwrap_or(start);
                let tolerance = self.world.settings.tolerance;
                (
                    Instant::from_nanos(start.as_nanos().saturating_sub(tolerance.as_nanos())),
                    latest + tolerance,
                )
            }
        };
        self.advance(latest, true, line)?;
        if self.world.outbox.is_empty() {
            let then = self.world.now;
            self.advance(then + PATIENCE, true, line)?;
            if self.world.outbox.is_empty() {
                return Err(fail(format!(
                    "the stack sends nothing until {then}, nor for {PATIENCE} after that"
                )));
            }
        }
        let Some(seen) = self.world.outbox.pop_front() else { return Ok(()) };
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
        let index = self.world.flow_of(seen).or(self.world.current);
        let Some(index) = index else {
            let message = "the stack sent a packet that belongs to no connection".to_owned();
            return Err(self.about_packet(line, message, seen));
        };
        if let (BodySpec::Tcp(tcp_spec), Body::Tcp(tcp)) = (&spec.body, &seen.body)
            && tcp.has(flag::SYN)
            && tcp_spec.flags & flag::SYN != 0
        {
            let script = self.scope.number32(&tcp_spec.range.start).map_err(fail)?;
            self.world.flows[index].name_our_syn(script, tcp.seq);
        }
        let flow = &self.world.flows[index];
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
            let what = format!("the stack sent another packet: it differs in {}", differing.join(", "));
            let mut failure = self.about_packet(line, what, seen);
            failure.fields = fields;
            return Err(failure);
        }
        self.name_stamps(index, spec, seen).map_err(fail)?;
        self.world.current = Some(index);
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
                self.world.flows[index].name_stamp(script, live);
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &CallSpec, until: Option<Instant>, line: &Line) -> Step {
        let fail = |message: String| Failure::new(line, message);
        self.world.trace.note(self.world.now, &line.text);
        let answer = self.process.call(&mut self.world, &self.scope, call, until, line).map_err(fail)?;
        match (answer, until) {
            (Some(answer), Some(until)) if until > self.world.now + self.world.settings.tolerance => {
                let (now, shown) = (self.world.now, answer.show());
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

    /// Lets the stack say what it has to say, and the call that blocks go on, until both are done.
    fn settle(&mut self, line: &Line) -> Step {
        loop {
            self.world.drain().map_err(|message| Failure::new(line, message))?;
            let resumed = self.process.resume(&mut self.world, &self.scope);
            let Some((blocked, answer)) = resumed.map_err(|message| Failure::new(line, message))? else {
                return self.world.drain().map_err(|message| Failure::new(line, message));
            };
            let (now, at) = (self.world.now, &blocked.statement);
            self.world.trace.note(now, &format!("{} returns {}", blocked.call.name, answer.show()));
            let wanted = answer.expected(&blocked.call.result, &self.scope);
            if let Some(wanted) = wanted.map_err(|message| Failure::new(at, message))? {
                let message = format!("the call returns {} at {now}, expected was {wanted}", answer.show());
                return Err(Failure::new(at, message));
            }
            let tolerance = self.world.settings.tolerance;
            if now + tolerance < blocked.until || now > blocked.until + tolerance {
                let message = format!("the call returns at {now}, expected was {}", blocked.until);
                return Err(Failure::new(at, message));
            }
        }
    }

    /// Lets time pass until `to`, or until the stack has sent something if `until_packet` says so.
    fn advance(&mut self, to: Instant, until_packet: bool, line: &Line) -> Step {
        for _ in 0..MAX_STEPS {
            self.settle(line)?;
            if until_packet && !self.world.outbox.is_empty() {
                return Ok(());
            }
            let due = [self.world.poll_timeout(), self.process.poll_timeout()].into_iter().flatten().min();
            match due {
                Some(due) if due <= to => {
                    self.world.now = self.world.now.max(due);
                    self.world.handle_timeout();
                }
                _ => {
                    self.world.now = self.world.now.max(to);
                    return Ok(());
                }
            }
        }
        Err(Failure::new(line, format!("more than {MAX_STEPS} deadlines passed without an end")))
    }

    /// `%{ assert ... }%`
    fn check(&mut self, check: &Check, line: &Line) -> Step {
        let line = Line { line: check.place.line, text: check.text.clone(), file: line.file.clone() };
        let fail = |message: String| Failure::new(&line, message);
        let info = self.info();
        let stats = self.world.stack.stats();
        let names = |name: &str| {
            let of_connection = || info.as_ref().and_then(|info| info::lookup(info, name));
            self.scope.lookup(name).or_else(|| info::counted(&stats, name)).or_else(of_connection)
        };
        let value = check.expr.eval(&names).map_err(|why| match &info {
            Some(_) => fail(why),
            None => fail(format!("{why}; there is no connection whose tcp_info could be asked")),
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
        let fail = |message: String| Failure::new(line, message);
        let why = self.last_why.ok_or_else(|| fail("no packet was expected before".into()))?;
        let info = self.info();
        let names = |name: &str| {
            let word = name.replace('_', "-");
            match name {
                "why" => Some(Value::Text(why.reason().word().to_owned())),
                _ => why
                    .number(name)
                    .map(|number| Value::Int(number as i64))
                    .or_else(|| self.scope.lookup(name))
                    .or_else(|| info.as_ref().and_then(|info| info::lookup(info, name)))
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

    /// What is known about the connection that went on last.
    fn info(&self) -> Option<ustack::tcp::TcpInfo> {
        let stack = &self.world.stack;
        let flow = self.world.current.map(|index| &self.world.flows[index]);
        let is_current = |&id: &ustack::SocketId| {
            flow.is_some_and(|flow| {
                flow.protocol == Protocol::TCP
                    && stack.local_addr(id).is_ok_and(|local| local == flow.local)
                    && stack.peer_addr(id).is_ok_and(|remote| remote == flow.remote)
            })
        };
        let id =
            self.process.fds.streams().find(is_current).or_else(|| self.process.fds.streams().next_back())?;
        stack.tcp_info(id).ok()
    }

    /// When a statement begins, and when its call is to end.
    fn moment(&self, time: &Time) -> Result<(Instant, Option<Instant>), String> {
        let now = self.world.now;
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
                Ok(Some(self.world.now + self.seconds(latest)?))
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
        if self.world.settings.ts_tick.is_some() { Stamps::Ticking } else { Stamps::Named }
    }

    fn about_packet(&self, line: &Line, message: String, seen: &Seen) -> Box<Failure> {
        let flow = self.world.flow_of(seen).map(|index| &self.world.flows[index]);
        let mut failure = Failure::new(line, message);
        failure.actual = Some(format!("{} > {}    {}", seen.at, compare::show(seen, flow), seen.why));
        failure
    }

    fn line(&self, statement: &Statement) -> Line {
        Line { file: self.script.file.clone(), line: statement.place.line, text: statement.text.clone() }
    }
}
