//! The kernel as a host of scripts: its packets come from a TUN, its calls from a thread inside the namespace.

use std::os::fd::AsFd;

use ustack::buf::frame::{Offload, TxFrame};
use ustack::device::{Device, Tun, wait};
use ustack::time::{Duration, Instant};
use ustack::why::{Reason, Why};
use ustack::wire::ip::{Packet, Protocol};

use super::clock::Clock;
use super::namespace;
use super::process::Process;
use super::{Settings, info, options, sysctl};
use crate::namespace::Inside;
use crate::run::expr::Value;
use crate::run::host::{Answer, Blocked, Host, Slack};
use crate::run::report::Line;
use crate::run::scope::Scope;
use crate::run::script::{CallSpec, Script};
use crate::run::wire::Wire;

/// A kernel's timer may fire late by this part of its time, and by a tick.
const WHEEL: u64 = 8;
const TICK: Duration = Duration::from_millis(4);

/// A kernel in a namespace, in real time.
#[derive(Debug)]
pub(super) struct Linux {
    wire: Wire,
    // Dropped before the thread inside, which may wait in one of its calls.
    process: Process,
    tun: Tun,
    inside: Inside,
    clock: Clock,
    tolerance: Duration,
}

impl Linux {
    pub(super) fn new(script: &Script, settings: &Settings) -> Result<Self, String> {
        let inside = Inside::new()?;
        let (of_script, sysctls) = (script.settings.clone(), sysctl::of(&script.settings));
        let tun =
            inside.run(move || namespace::apply(&sysctls).and_then(|()| namespace::tun(&of_script)))??;
        let wire = Wire::new(&script.settings, None, &script.file)?;
        let tolerance = script.settings.tolerance.max(settings.tolerance.into());
        let clock = Clock::start();
        let process = Process::new(namespace::event()?, clock);
        Ok(Self { wire, process, tun, inside, clock, tolerance })
    }

    fn tcp_info(&self) -> Option<Vec<u8>> {
        options::tcp_info(self.process.current(&self.wire)?)
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.process.abandon();
    }
}

impl Host for Linux {
    const NAME: &'static str = "Linux";
    const REAL_TIME: bool = true;
    const PATIENCE: Duration = Duration::from_millis(1200);
    const ETERNITY: Duration = Duration::from_secs(4);

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn blocked(&self) -> Option<&Blocked> {
        self.process.blocked()
    }

    fn slack(&self, after: Duration) -> Slack {
        let wheel = Duration::from_nanos(after.as_nanos() / WHEEL);
        let timer = if after > Duration::ZERO { wheel + TICK } else { Duration::ZERO };
        Slack { early: self.tolerance, late: self.tolerance + timer }
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        let of_connection = || info::lookup(&self.tcp_info()?, name);
        info::counted(&self.inside.proc, name).or_else(of_connection)
    }

    fn has_connection(&self) -> bool {
        self.process.current(&self.wire).is_some()
    }

    fn handle_packet(&mut self, bytes: &[u8]) -> Result<(), String> {
        let why = &Why::FOREIGN;
        let frame = TxFrame { head: bytes, body: [&[]; 2], offload: Offload::NONE, why };
        self.tun.send(self.wire.now, &frame).map_err(|error| format!("the TUN takes no packet: {error}"))
    }

    fn call(
        &mut self,
        scope: &Scope,
        call: &CallSpec,
        until: Option<Instant>,
        line: &Line,
    ) -> Result<Option<Answer>, String> {
        let answer = self.process.call(&self.inside, &mut self.wire, scope, call, until, line);
        self.wire.now = self.clock.now();
        answer
    }

    fn resume(&mut self, _: &Scope) -> Result<Option<(Blocked, Answer, Instant)>, String> {
        self.process.resume()
    }

    fn poll_sent(&mut self) -> Result<(), String> {
        loop {
            self.wire.now = self.clock.now();
            match self.tun.recv(self.wire.now) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) if is_noise(frame.bytes) => {}
                Ok(Some(frame)) => {
                    self.wire.handle_sent(self.wire.now, Why::new(Reason::Foreign), frame.bytes);
                }
                Err(error) => return Err(format!("the TUN gives no packet: {error}")),
            }
        }
    }

    fn poll_time(&mut self, to: Instant) -> Result<bool, String> {
        self.wire.now = self.clock.now();
        let left = to.since(self.wire.now);
        if left == Duration::ZERO {
            return Ok(false);
        }
        let tun = self.tun.as_fd().ok_or("a TUN has a descriptor")?;
        wait(&[tun, self.process.event().as_fd()], Some(left.into())).map_err(|error| error.to_string())?;
        self.wire.now = self.clock.now();
        Ok(true)
    }
}

/// What a kernel says about itself to a group: reports of groups, solicitations of routers and neighbours.
fn is_noise(bytes: &[u8]) -> bool {
    Packet::parse(bytes).is_ok_and(|packet| {
        packet.dst.is_multicast() && !matches!(packet.protocol, Protocol::TCP | Protocol::UDP)
    })
}
