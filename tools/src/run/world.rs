//! One stack with one interface in virtual time, at the other end of a script's wire.

use ustack::Stack;
use ustack::buf::frame::{InterfaceId, RxFrame};
use ustack::tcp;
use ustack::time::{Duration, Instant};
use ustack::wire::ip::Protocol;

use super::Sinks;
use super::calls::Process;
use super::expr::Value;
use super::host::{Answer, Blocked, Host, Slack};
use super::info;
use super::report::Line;
use super::scope::Scope;
use super::script::CallSpec;
use super::settings::Settings;
use super::wire::Wire;
use crate::events::EventLog;

/// Packets that the stack sends at one moment: more are a loop.
const MAX_BURST: usize = 100_000;

/// What the system calls of a script act on.
#[derive(Debug)]
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) wire: Wire,
    interface: InterfaceId,
}

/// The stack with the one process that uses it.
#[derive(Debug)]
pub(super) struct Simulated {
    world: World,
    process: Process,
    /// Where decisions are written to, and under which name.
    events: Option<(EventLog, String)>,
}

impl Simulated {
    pub(super) fn new(settings: &Settings, sinks: &Sinks, name: &str) -> Result<Self, String> {
        let settings =
            Settings { tcp: tcp::Settings { observe: true, ..settings.tcp.clone() }, ..settings.clone() };
        let (stack, interface) = settings.stack().map_err(|error| error.to_string())?;
        let wire = Wire::new(&settings, sinks.capture.as_ref(), name)?;
        let events = sinks.events.clone().map(|log| (log, name.to_owned()));
        Ok(Self { world: World { stack, wire, interface }, process: Process::default(), events })
    }

    /// What the stack has decided is kept for who asks why, and written down.
    fn note_decisions(&mut self) {
        while let Some(told) = self.world.stack.poll_decision() {
            if let Some((log, script)) = &self.events {
                log.write(&told, &[("script", script)]);
            }
            self.world.wire.trace.decision(told);
        }
    }

    /// What is known about the connection that went on last.
    fn info(&self) -> Option<ustack::tcp::TcpInfo> {
        let World { stack, wire, .. } = &self.world;
        let flow = wire.current.map(|index| &wire.flows[index]);
        let is_current = |&id: &ustack::SocketId| {
            flow.is_some_and(|flow| {
                flow.protocol == Protocol::TCP
                    && stack.local_addr(id).is_ok_and(|local| local == flow.local)
                    && stack.peer_addr(id).is_ok_and(|remote| remote == flow.remote)
            })
        };
        let id =
            self.process.fds.streams().find(is_current).or_else(|| self.process.fds.streams().next_back())?;
        stack.tcp_info_at(wire.now, id).ok()
    }
}

impl Host for Simulated {
    const NAME: &'static str = "the stack";
    const REAL_TIME: bool = false;
    /// Long, to tell how late a packet is: it costs nothing.
    const PATIENCE: Duration = Duration::from_secs(600);
    const ETERNITY: Duration = Duration::from_secs(86_400);

    fn wire(&self) -> &Wire {
        &self.world.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.world.wire
    }

    fn blocked(&self) -> Option<&Blocked> {
        self.process.blocked.as_ref().map(|(blocked, _)| blocked)
    }

    fn slack(&self, _after: Duration) -> Slack {
        let tolerance = self.world.wire.settings.tolerance;
        Slack { early: tolerance, late: tolerance }
    }

    /// Numbers of a connection come first, and those of the whole stack.
    fn lookup(&self, name: &str) -> Option<Value> {
        info::counted(&self.world.stack.stats(), name)
            .or_else(|| self.info().as_ref().and_then(|info| info::lookup(info, name)))
    }

    fn has_connection(&self) -> bool {
        self.info().is_some()
    }

    fn handle_packet(&mut self, bytes: &[u8]) -> Result<(), String> {
        let World { stack, wire, interface } = &mut self.world;
        stack.handle_frame(wire.now, *interface, RxFrame::plain(bytes));
        Ok(())
    }

    fn call(
        &mut self,
        scope: &Scope,
        call: &CallSpec,
        until: Option<Instant>,
        line: &Line,
    ) -> Result<Option<Answer>, String> {
        self.process.call(&mut self.world, scope, call, until, line)
    }

    fn resume(&mut self, scope: &Scope) -> Result<Option<(Blocked, Answer, Instant)>, String> {
        let resumed = self.process.resume(&mut self.world, scope)?;
        Ok(resumed.map(|(blocked, answer)| (blocked, answer, self.world.wire.now)))
    }

    fn poll_sent(&mut self) -> Result<(), String> {
        let World { stack, wire, interface } = &mut self.world;
        for _ in 0..MAX_BURST {
            let Some(frame) = stack.poll_transmit(wire.now, *interface) else {
                while stack.poll_event().is_some() {}
                self.note_decisions();
                return Ok(());
            };
            let (bytes, why) = (frame.to_vec(), *frame.why);
            wire.handle_sent(wire.now, why, &bytes);
        }
        Err(format!("the stack has sent {MAX_BURST} packets at one moment, and goes on"))
    }

    fn poll_time(&mut self, to: Instant) -> Result<bool, String> {
        let due = [self.world.stack.poll_timeout(), self.process.poll_timeout()].into_iter().flatten().min();
        let World { stack, wire, .. } = &mut self.world;
        match due {
            Some(due) if due <= to => {
                wire.now = wire.now.max(due);
                stack.handle_timeout(wire.now);
                Ok(true)
            }
            _ => {
                wire.now = wire.now.max(to);
                Ok(false)
            }
        }
    }
}
