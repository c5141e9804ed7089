//! The wire as a script sees it: conversations with their own numbers, what was sent and is not expected yet, the time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ustack::capture::{self, Capture, Direction, LinkType};
use ustack::time::Instant;
use ustack::why::{Reason, Why};
use ustack::wire::ip::Protocol;

use super::build;
use super::compare;
use super::flow::Flow;
use super::keys::TheirKeys;
use super::scope::Scope;
use super::script::{BodySpec, PacketSpec};
use super::seen::{Body, Seen};
use super::settings::{IpVersion, Settings};
use super::tcp::{Tcp, flag};
use super::trace::Trace;

/// The port of the other side's first connection; each further one has the next.
const FIRST_REMOTE_PORT: u16 = 40_001;

/// The other side's end of the wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) now: Instant,
    pub(super) settings: Settings,
    /// What was sent, and no statement has expected yet.
    pub(super) outbox: VecDeque<Seen>,
    pub(super) flows: Vec<Flow>,
    /// The conversation that packets without a number belong to.
    pub(super) current: Option<usize>,
    pub(super) trace: Trace,
    /// What the other side signs with.
    pub(super) their_keys: TheirKeys,
    tap: Option<Tap>,
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

impl Wire {
    pub(super) fn new(settings: &Settings, capture: Option<&Capture>, name: &str) -> Result<Self, String> {
        let tap = match capture {
            Some(capture) => {
                let written = capture.add_interface(name, LinkType::Raw);
                Some(Tap { capture: capture.clone(), interface: written.map_err(|error| error.to_string())? })
            }
            None => None,
        };
        Ok(Self {
            now: Instant::ZERO,
            settings: settings.clone(),
            outbox: VecDeque::new(),
            flows: Vec::new(),
            current: None,
            trace: Trace::default(),
            their_keys: TheirKeys::default(),
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

    /// A packet of the script arrives: its bytes.
    pub(super) fn arriving(&mut self, spec: &PacketSpec, scope: &Scope) -> Result<Vec<u8>, String> {
        let index = self.flow_for(spec, scope)?;
        self.current = Some(index);
        let flow = &mut self.flows[index];
        let mut bytes = build::packet(&spec.ip, &spec.body, flow, scope)?;
        if spec.is_signed() {
            self.their_keys.sign(&mut bytes, flow)?;
        }
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
        self.record(self.now, Direction::In, &bytes, None);
        Ok(bytes)
    }

    /// A packet was sent at `at`.
    pub(super) fn handle_sent(&mut self, at: Instant, why: Why, bytes: &[u8]) {
        let seen = Seen::read(at, why, bytes);
        let index = self.note_flow(&seen);
        let shown = compare::show(&seen, index.map(|index| &self.flows[index]));
        let said = (why.reason() != Reason::Foreign).then_some(why);
        self.trace.packet(at, Direction::Out, self.flow_name(index), &shown, said);
        self.record(at, Direction::Out, bytes, said.as_ref().map(|why| why as &dyn std::fmt::Display));
        self.outbox.push_back(seen);
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

    fn record(
        &self,
        time: Instant,
        direction: Direction,
        bytes: &[u8],
        comment: Option<&dyn std::fmt::Display>,
    ) {
        if let Some(Tap { capture, interface }) = &self.tap {
            let record = capture::Record { interface: *interface, time, direction: Some(direction), comment };
            capture.write(&record, &[bytes]);
        }
    }
}
