//! A network of nodes in virtual time.
//!
//! Nothing happens between two events, so that ten quiet minutes cost nothing. What happens at the same time happens
//! in a fixed order: frames before timeouts, links and nodes in the order in which they were made. So a run depends
//! on its seed alone.

use core::fmt;
use std::io;

use super::channel::{Channel, Delivery};
use super::fate::{Counts, FateList};
use super::link::{Link, LinkConfig, Port};
use super::merging::{Cutter, Merger};
use super::node::{Node, Switch, SwitchKind};
use super::trace::{Comment, Trace, Traced};
use crate::buf::frame::{Offload, RxFrame, TxFrame};
use crate::capture::{Capture, Direction, InterfaceId, Record};
use crate::rng::Rng;
use crate::time::Instant;

/// A node or a switch of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

impl NodeId {
    /// Its place in the order in which nodes and switches were made, from 0.
    pub const fn index(self) -> usize {
        self.0
    }

    /// That port of the node.
    pub const fn port(self, port: usize) -> Port {
        Port { node: self, port }
    }
}

impl From<NodeId> for Port {
    fn from(node: NodeId) -> Self {
        node.port(0)
    }
}

/// A link of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(usize);

/// Why a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time has come.
    Time,
    /// Nothing will ever happen again.
    Idle,
    /// What was waited for has happened.
    Done,
    /// Time does not move on: a million events at one instant.
    Stuck,
}

const MAX_EVENTS_AT_ONCE: u32 = 1_000_000;

/// A network in virtual time.
///
/// Getters: `now`, `node`, `name`, `link`, `counts`, `fates`, `trace`. Commands: `add_node`, `add_switch`, `connect`,
/// `node_mut`, and the ways to record. Running: `step`, `run_until`, `run_until_idle`, `run_until_done`.
#[derive(Debug)]
pub struct Network<N> {
    seed: u64,
    now: Instant,
    stations: Vec<Station<N>>,
    links: Vec<Link>,
    events_at_once: u32,
    unconnected: u64,
    trace: Option<Trace>,
    cutter: Cutter,
    merger: Merger,
}

#[derive(Debug)]
struct Station<N> {
    name: String,
    kind: Kind<N>,
    ports: Vec<Option<Plug>>,
    deadline: Option<Instant>,
    /// Somebody has touched it: what it wants is to be asked again.
    is_touched: bool,
    capture: Option<Capture>,
}

#[derive(Debug)]
enum Kind<N> {
    Node(N),
    Switch(Box<Switch>),
}

/// What a port is connected to.
#[derive(Clone, Copy, Debug)]
struct Plug {
    link: usize,
    /// Which end of the link.
    end: usize,
    capture: Option<InterfaceId>,
    /// Whether segments that arrive together are merged.
    merges: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { link: usize, direction: usize },
    Timeout { station: usize },
}

impl<N: Node> Network<N> {
    /// An empty network at time zero. All luck on its links comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            stations: Vec::new(),
            links: Vec::new(),
            events_at_once: 0,
            unconnected: 0,
            trace: None,
            cutter: Cutter::default(),
            merger: Merger::default(),
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A node.
    ///
    /// # Panics
    /// If it is a switch, or of another network.
    pub fn node(&self, id: NodeId) -> &N {
        match &self.stations[id.0].kind {
            Kind::Node(node) => node,
            Kind::Switch(_) => panic!("{} is a switch", self.name(id)),
        }
    }

    /// Whether it is a node, and not a switch.
    pub fn is_node(&self, id: NodeId) -> bool {
        matches!(self.stations[id.0].kind, Kind::Node(_))
    }

    /// A node, to give it commands. What it then wants to send leaves with the next step.
    ///
    /// # Panics
    /// If it is a switch, or of another network.
    pub fn node_mut(&mut self, id: NodeId) -> &mut N {
        let station = &mut self.stations[id.0];
        station.is_touched = true;
        match &mut station.kind {
            Kind::Node(node) => node,
            Kind::Switch(_) => panic!("{} is a switch", station.name),
        }
    }

    /// The name of a node or switch.
    pub fn name(&self, id: NodeId) -> &str {
        &self.stations[id.0].name
    }

    /// All nodes and switches, in the order in which they were made.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<N> {
        (0..self.stations.len()).map(NodeId)
    }

    /// A link.
    pub fn link(&self, id: LinkId) -> &Link {
        &self.links[id.0]
    }

    /// How many frames had which fate, of each direction under its name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.channels().map(|channel| (channel.name(), channel.counts()))
    }

    /// The fates written down so far, direction by direction.
    pub fn fates(&self) -> FateList {
        FateList {
            entries: self.channels().flat_map(|channel| channel.fates().iter().cloned()).collect(),
            omitted: self.channels().map(Channel::fates_omitted).sum(),
        }
    }

    /// The frames sent since `record_trace`.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// How many frames were sent from ports without a link.
    pub fn unconnected(&self) -> u64 {
        self.unconnected
    }

    /// Adds a node.
    pub fn add_node(&mut self, name: &str, node: N) -> NodeId {
        self.add(name, Kind::Node(node))
    }

    /// Adds a switch, which has as many ports as are connected.
    pub fn add_switch(&mut self, name: &str, kind: SwitchKind) -> NodeId {
        self.add(name, Kind::Switch(Box::new(Switch::new(kind))))
    }

    /// Connects two ports. The fates of the two directions go by the names of the ends, such as `a->b`.
    ///
    /// # Panics
    /// If a port is connected already.
    pub fn connect(&mut self, first: impl Into<Port>, second: impl Into<Port>, config: LinkConfig) -> LinkId {
        let (link, ends) = (self.links.len(), [first.into(), second.into()]);
        let [forward, backward] = self.channel_names(ends);
        let direction = |end: usize| (link as u64) << 1 | end as u64;
        let channels = [
            Channel::new(&forward, config.forward, self.seed, direction(0)).on(config.medium),
            Channel::new(&backward, config.backward, self.seed, direction(1)).on(config.medium),
        ];
        for (end, port) in ends.into_iter().enumerate() {
            let station = &mut self.stations[port.node.0];
            if station.ports.len() <= port.port {
                station.ports.resize(port.port + 1, None);
            }
            let plug = &mut station.ports[port.port];
            assert!(plug.is_none(), "port {} of {} is connected already", port.port, station.name);
            *plug = Some(Plug { link, end, capture: None, merges: false });
            if let Kind::Switch(switch) = &mut station.kind {
                switch.ensure_port(port.port);
            }
        }
        self.links.push(Link { medium: config.medium, ends, channels, capture: None });
        LinkId(link)
    }

    /// Lets the interface at a port merge what arrives, from now on: TCP segments that come one after the other at the
    /// same time reach the node as one frame, as the kernel's GRO has it.
    ///
    /// What a node sends as a merged frame (its `Capabilities` say that it may) is cut into segments before it meets
    /// the link, whether or not anybody merges: each has a fate of its own.
    ///
    /// # Panics
    /// If the port is not connected.
    pub fn merge_received(&mut self, port: impl Into<Port>) {
        let Port { node, port } = port.into();
        let station = &mut self.stations[node.0];
        let plug = station.ports.get_mut(port).and_then(Option::as_mut);
        let plug = plug.unwrap_or_else(|| panic!("port {port} of {} is not connected", station.name));
        plug.merges = true;
    }

    /// Writes down the fates on all links from now on, at most `limit` in each direction (None: a million).
    pub fn record_fates(&mut self, limit: Option<usize>) {
        self.channels_mut().for_each(|channel| channel.record_fates(limit));
    }

    /// Takes all fates from `list` instead of the dice.
    pub fn play_back(&mut self, list: &FateList) {
        self.channels_mut().for_each(|channel| channel.play_back(list));
    }

    /// Keeps the frames sent from now on, at most `limit`.
    pub fn record_trace(&mut self, limit: usize) {
        self.trace = Some(Trace::new(limit));
    }

    /// Captures what is sent over a link: each frame once, when it is sent, with why, and with its fate if that is
    /// not the one that all frames have.
    ///
    /// # Errors
    /// What the capture's output refuses.
    pub fn capture_link(&mut self, id: LinkId, capture: &Capture) -> io::Result<()> {
        let link = &mut self.links[id.0];
        let [forward, backward] = &link.channels;
        let medium = link.medium.into();
        let forward = capture.add_interface(forward.name(), medium)?;
        let backward = capture.add_interface(backward.name(), medium)?;
        link.capture = Some((capture.clone(), [forward, backward]));
        Ok(())
    }

    /// Captures what a node sends (with why, and its fate) and what it receives, on all ports connected so far.
    ///
    /// # Errors
    /// What the capture's output refuses.
    pub fn capture_node(&mut self, id: NodeId, capture: &Capture) -> io::Result<()> {
        let Station { name, ports, capture: kept, .. } = &mut self.stations[id.0];
        let several = ports.len() > 1;
        for (port, plug) in ports.iter_mut().enumerate() {
            let Some(plug) = plug else { continue };
            let name = if several { format!("{name}.{port}") } else { name.clone() };
            plug.capture = Some(capture.add_interface(&name, self.links[plug.link].medium.into())?);
        }
        *kept = Some(capture.clone());
        Ok(())
    }

    /// When something happens next; None if nothing ever will.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.settle();
        self.next().map(|(time, _)| time)
    }

    /// Lets one thing happen: a frame arrive, or a deadline come. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        self.settle();
        let Some((time, event)) = self.next() else { return false };
        if time > self.now {
            self.now = time;
            self.events_at_once = 0;
        }
        self.events_at_once = self.events_at_once.saturating_add(1);
        match event {
            Event::Arrival { link, direction } => self.deliver(link, direction),
            Event::Timeout { station } => {
                let station = &mut self.stations[station];
                station.is_touched = true;
                if let Kind::Node(node) = &mut station.kind {
                    node.handle_timeout(self.now);
                }
            }
        }
        self.settle();
        true
    }

    /// Runs until that time, which then it is.
    pub fn run_until(&mut self, time: Instant) -> Stop {
        match self.run_until_done(time, |_| false) {
            Stop::Idle => {
                self.now = self.now.max(time);
                Stop::Idle
            }
            stop => stop,
        }
    }

    /// Runs until nothing will ever happen again, or until that time. Stacks seldom are that idle: their timers
    /// (neighbour cache, router solicitations) go on.
    pub fn run_until_idle(&mut self, limit: Instant) -> Stop {
        self.run_until_done(limit, |_| false)
    }

    /// Runs until `is_done` says so, which is asked before each event, or until that time.
    pub fn run_until_done(&mut self, limit: Instant, mut is_done: impl FnMut(&mut Self) -> bool) -> Stop {
        loop {
            if is_done(self) {
                return Stop::Done;
            }
            match self.next_event() {
                None => return Stop::Idle,
                Some(time) if time > limit => {
                    self.now = self.now.max(limit);
                    self.events_at_once = 0;
                    return Stop::Time;
                }
                Some(_) if self.events_at_once >= MAX_EVENTS_AT_ONCE => return Stop::Stuck,
                Some(_) => self.step(),
            };
        }
    }

    /// A seed for the node of that place.
    pub(super) fn seed_of(&self, place: u64) -> u64 {
        // Far from the streams of the links.
        Rng::new(self.seed, !place).next_u64()
    }

    fn add(&mut self, name: &str, kind: Kind<N>) -> NodeId {
        self.stations.push(Station {
            name: name.to_owned(),
            kind,
            ports: Vec::new(),
            deadline: None,
            is_touched: true,
            capture: None,
        });
        NodeId(self.stations.len() - 1)
    }

    /// Names that no other channel has: with the ports, if need be.
    fn channel_names(&self, ends: [Port; 2]) -> [String; 2] {
        let [a, b] = ends.map(|end| self.name(end.node));
        let brief = [format!("{a}->{b}"), format!("{b}->{a}")];
        if a != b && !self.channels().any(|channel| brief.iter().any(|name| name == channel.name())) {
            return brief;
        }
        let [a, b] = ends.map(|end| format!("{}.{}", self.name(end.node), end.port));
        [format!("{a}->{b}"), format!("{b}->{a}")]
    }

    fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.links.iter().flat_map(|link| &link.channels)
    }

    fn channels_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.links.iter_mut().flat_map(|link| &mut link.channels)
    }

    /// The earliest event; among those of one time the least.
    fn next(&self) -> Option<(Instant, Event)> {
        let arrivals = self.links.iter().enumerate().flat_map(|(link, Link { channels, .. })| {
            channels.iter().enumerate().filter_map(move |(direction, channel)| {
                channel.poll_timeout().map(|time| (time, Event::Arrival { link, direction }))
            })
        });
        let timeouts = self.stations.iter().enumerate().filter_map(|(station, Station { deadline, .. })| {
            deadline.map(|time| (time, Event::Timeout { station }))
        });
        // What is overdue is due now: it must not come before what is due now as well.
        arrivals.chain(timeouts).map(|(time, event)| (time.max(self.now), event)).min()
    }

    fn deliver(&mut self, link: usize, direction: usize) {
        let Link { medium, ends, channels, .. } = &mut self.links[link];
        let Port { node, port } = ends[1 - direction];
        let station = &mut self.stations[node.0];
        station.is_touched = true;
        let merges = station.ports[port].is_some_and(|plug| plug.merges);
        let mut is_merging = false;
        // One frame; or, where they are merged, all that arrive at this time.
        while let Some(delivery) = channels[direction].pop(self.now) {
            station.witness(self.now, port, &delivery);
            let node = match &mut station.kind {
                Kind::Switch(switch) => return switch.handle(port, &delivery),
                Kind::Node(node) => node,
            };
            let RxFrame { bytes, offload } = delivery.as_rx();
            if is_merging && self.merger.add(bytes, *medium) {
                continue;
            }
            if is_merging {
                let (bytes, offload) = self.merger.finish();
                node.handle_frame(self.now, port, RxFrame { bytes, offload });
            }
            is_merging = merges && offload == Offload::NONE && self.merger.begin(bytes, *medium);
            if !is_merging {
                node.handle_frame(self.now, port, RxFrame { bytes, offload });
                if !merges {
                    return;
                }
            }
        }
        if let (true, Kind::Node(node)) = (is_merging, &mut station.kind) {
            let (bytes, offload) = self.merger.finish();
            node.handle_frame(self.now, port, RxFrame { bytes, offload });
        }
    }

    /// Takes from all stations that were touched what they want to send, and asks for their deadlines.
    fn settle(&mut self) {
        for index in 0..self.stations.len() {
            if !core::mem::take(&mut self.stations[index].is_touched) {
                continue;
            }
            for port in 0..self.stations[index].ports.len().max(1) {
                while self.transmit(index, port) {}
            }
            if let Kind::Node(node) = &mut self.stations[index].kind {
                self.stations[index].deadline = node.poll_timeout();
            }
        }
    }

    /// Sends one frame of a port; false if there is none.
    fn transmit(&mut self, index: usize, port: usize) -> bool {
        let Station { kind, ports, capture, .. } = &mut self.stations[index];
        let frame = match kind {
            Kind::Node(node) => node.poll_transmit(self.now, port),
            Kind::Switch(switch) => switch.poll_transmit(port),
        };
        let Some(frame) = frame else { return false };
        let Some(Some(plug)) = ports.get(port) else {
            self.unconnected += 1;
            return true;
        };
        let (now, link, trace) = (self.now, &mut self.links[plug.link], &mut self.trace);
        self.cutter.cut(&frame, link.medium, |frame| {
            let passage = link.channels[plug.end].push(now, frame);
            let TxFrame { head, body, why, .. } = *frame;
            let comment = Comment { why, passage: &passage };
            let write = |capture: &Capture, interface| {
                let direction = Some(Direction::Out);
                let record = Record { interface, time: now, direction, comment: Some(&comment) };
                capture.write(&record, &[head, body[0], body[1]]);
            };
            if let Some((capture, interfaces)) = &link.capture {
                write(capture, interfaces[plug.end]);
            }
            if let Some((capture, interface)) = capture.as_ref().zip(plug.capture) {
                write(capture, interface);
            }
            if let Some(trace) = trace {
                trace.add(|| Traced {
                    time: now,
                    link: LinkId(plug.link),
                    from: NodeId(index),
                    to: link.ends[1 - plug.end].node,
                    passage,
                    why: *why,
                    medium: link.medium,
                    bytes: frame.to_vec(),
                });
            }
        });
        true
    }
}

impl<N> Station<N> {
    /// Captures a frame that has arrived.
    fn witness(&self, now: Instant, port: usize, delivery: &Delivery<'_>) {
        let interface = self.ports.get(port).copied().flatten().and_then(|plug| plug.capture);
        let Some((capture, interface)) = self.capture.as_ref().zip(interface) else { return };
        let fate = delivery.fate.comment();
        let comment = delivery.is_special.then_some(&fate as &dyn fmt::Display);
        let record = Record { interface, time: now, direction: Some(Direction::In), comment };
        capture.write(&record, &[delivery.bytes]);
    }
}

#[cfg(test)]
mod tests;
