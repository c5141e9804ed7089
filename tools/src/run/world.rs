//! One stack with one interface in virtual time, and the other side's end of the wire.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ustack::Stack;
use ustack::buf::frame::{InterfaceId, RxFrame};
use ustack::capture::{self, Capture, Direction, LinkType};
use ustack::tcp;
use ustack::time::Instant;
use ustack::wire::ip::Protocol;

use super::Sinks;
use super::build;
use super::compare;
use super::flow::Flow;
use super::scope::Scope;
use super::script::{BodySpec, PacketSpec};
use super::seen::{Body, Seen};
use super::settings::{IpVersion, Settings};
use super::tcp::{Tcp, flag};
use super::trace::Trace;
use crate::events::EventLog;

/// The port of the other side's first connection; each further one has the next.
const FIRST_REMOTE_PORT: u16 = 40_001;
/// Packets that the stack sends at one moment: more are a loop.
const MAX_BURST: usize = 100_000;

/// What a script drives.
#[derive(Debug)]
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) now: Instant,
    pub(super) settings: Settings,
    /// What the stack sent, and no statement has expected yet.
    pub(super) outbox: VecDeque<Seen>,
    pub(super) flows: Vec<Flow>,
    /// The conversation that packets without a number belong to.
    pub(super) current: Option<usize>,
    pub(super) trace: Trace,
    interface: InterfaceId,
    tap: Option<Tap>,
    /// Where decisions are written to, and under which name.
    events: Option<(EventLog, String)>,
}

/// Where a capture of the run is written to.
struct Tap {
    capture: Capture,
    interface: capture::InterfaceId,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

impl World {
    pub(super) fn new(settings: &Settings, sinks: &Sinks, name: &str) -> Result<Self, String> {
        let settings =
            Settings { tcp: tcp::Settings { observe: true, ..settings.tcp.clone() }, ..settings.clone() };
        let (stack, interface) = settings.stack().map_err(|error| error.to_string())?;
        let tap = match &sinks.capture {
            Some(capture) => {
                let written = capture.add_interface(name, LinkType::Raw);
                Some(Tap { capture: capture.clone(), interface: written.map_err(|error| error.to_string())? })
            }
            None => None,
        };
        Ok(Self {
            stack,
            now: Instant::ZERO,
            settings,
            events: sinks.events.clone().map(|log| (log, name.to_owned())),
            outbox: VecDeque::new(),
            flows: Vec::new(),
            current: None,
            trace: Trace::default(),
            interface,
            tap,
        })
    }

    /// Our address in the family of sockets: IPv4 within IPv6 where that is asked for.
    pub(super) fn socket_address(&self, ip: IpAddr, port: u16) -> SocketAddr {
        match (self.settings.version, ip) {
            (IpVersion::Mapped, IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), port),
            _ => SocketAddr::new(ip, port),
        }
    }

    /// The conversation that a packet of ours belongs to.
    pub(super) fn flow_of(&self, seen: &Seen) -> Option<usize> {
        let (protocol, local, remote) = seen.ends()?;
        self.flow_between(protocol, local, remote)
    }

    /// The conversation between two ends.
    pub(super) fn flow_between(
        &self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<usize> {
        self.flows
            .iter()
            .rposition(|flow| flow.protocol == protocol && flow.local == local && flow.remote == remote)
    }

    /// When the stack is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    /// A packet of the script arrives.
    pub(super) fn inject(&mut self, spec: &PacketSpec, scope: &Scope) -> Result<(), String> {
        let index = self.flow_for(spec, scope)?;
        self.current = Some(index);
        let flow = &mut self.flows[index];
        let bytes = build::packet(&spec.ip, &spec.body, flow, scope)?;
        let read = ustack::wire::ip::Packet::parse(&bytes).map_err(|error| error.to_string())?;
        let shown = match &spec.body {
            BodySpec::Tcp(_) if spec.ip.bad_checksum => "a segment with a wrong checksum".to_owned(),
            BodySpec::Tcp(_) => {
                compare::show_segment(&Tcp::read(read.payload, read.src, read.dst)?, Some(flow), false)
            }
            BodySpec::Udp { .. } => format!("udp ({})", read.payload.len() - 8),
            BodySpec::Icmp(spec) => {
                format!("icmp {} {}", spec.kind, spec.code.as_deref().unwrap_or_default())
            }
        };
        self.trace.packet(self.now, Direction::In, self.flow_name(Some(index)), shown.trim_end(), None);
        self.record(Direction::In, &bytes, None);
        self.stack.handle_frame(self.now, self.interface, RxFrame::plain(&bytes));
        Ok(())
    }

    /// Does what is due now.
    pub(super) fn handle_timeout(&mut self) {
        self.stack.handle_timeout(self.now);
    }

    /// Takes from the stack what it has to send.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        for _ in 0..MAX_BURST {
            let Some(frame) = self.stack.poll_transmit(self.now, self.interface) else {
                while self.stack.poll_event().is_some() {}
                self.note_decisions();
                return Ok(());
            };
            let (bytes, why) = (frame.to_vec(), frame.why);
            let seen = Seen::read(self.now, why, &bytes);
            let index = self.note_flow(&seen);
            let shown = compare::show(&seen, index.map(|index| &self.flows[index]));
            self.trace.packet(self.now, Direction::Out, self.flow_name(index), &shown, Some(why));
            self.record(Direction::Out, &bytes, Some(&why));
            self.outbox.push_back(seen);
        }
        Err(format!("the stack has sent {MAX_BURST} packets at one moment, and goes on"))
    }

    /// What the stack has decided is kept for who asks why, and written down.
    fn note_decisions(&mut self) {
        while let Some(told) = self.stack.poll_decision() {
            if let Some((log, script)) = &self.events {
                log.write(&told, &[("script", script)]);
            }
            self.trace.decision(told);
        }
    }

    /// The next SYN that arrives without a number begins a new connection.
    pub(super) fn forget_current(&mut self) {
        self.current = None;
    }

    /// The conversation of a packet that the script names by number, or the one that went on last.
    fn flow_for(&mut self, spec: &PacketSpec, scope: &Scope) -> Result<usize, String> {
        let protocol = compare::protocol(&spec.body);
        if let Some(number) = &spec.ip.connection {
            let number: usize = scope.fit(number, "a connection's number")?;
            let have = self.flows.len();
            return match number.checked_sub(1) {
                Some(index) if index < have => Ok(index),
                Some(index) if index == have => Ok(self.add_flow(protocol)),
                _ => Err(format!("there is no connection {number} yet: the next one is {}", have + 1)),
            };
        }
        let is_alike = |flow: &Flow| flow.protocol == protocol || protocol == Protocol::ICMP;
        match self.current {
            Some(index) if is_alike(&self.flows[index]) => Ok(index),
            _ => Ok(self.add_flow(protocol)),
        }
    }

    /// A conversation that the other side begins.
    fn add_flow(&mut self, protocol: Protocol) -> usize {
        let local = SocketAddr::new(self.settings.local(), self.settings.bind_port);
        let mut remote = SocketAddr::new(self.settings.remote(), FIRST_REMOTE_PORT);
        while self.flows.iter().any(|flow| flow.remote == remote) {
            remote.set_port(remote.port().wrapping_add(1));
        }
        self.flows.push(Flow::new(protocol, local, remote, self.settings.remote_isn));
        self.flows.len() - 1
    }

    /// The conversation of a packet of ours, which may begin with it.
    fn note_flow(&mut self, seen: &Seen) -> Option<usize> {
        let (protocol, local, remote) = seen.ends()?;
        let index = self.flow_between(protocol, local, remote).unwrap_or_else(|| {
            self.flows.push(Flow::new(protocol, local, remote, self.settings.remote_isn));
            self.current = Some(self.flows.len() - 1);
            self.flows.len() - 1
        });
        if let Body::Tcp(tcp) = &seen.body
            && tcp.has(flag::SYN)
        {
            self.flows[index].handle_our_syn(tcp.seq);
        }
        Some(index)
    }

    /// The number of a conversation, if there are several.
    fn flow_name(&self, index: Option<usize>) -> Option<usize> {
        index.filter(|_| self.flows.len() > 1).map(|index| index + 1)
    }

    fn record(&self, direction: Direction, bytes: &[u8], comment: Option<&dyn std::fmt::Display>) {
        if let Some(Tap { capture, interface }) = &self.tap {
            let record = capture::Record {
                interface: *interface,
                time: self.now,
                direction: Some(direction),
                comment,
            };
            capture.write(&record, &[bytes]);
        }
    }
}
