//! What stands at the ends of links: nodes, and the switches between them.

use std::collections::{BTreeMap, VecDeque};

use super::channel::Delivery;
use crate::buf::frame::{Offload, RxFrame, TxFrame};
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::ethernet::MacAddr;

/// A host of a simulated network: bytes and time go in, bytes and deadlines come out.
///
/// Its ports are numbered from 0; a link is connected to one each.
pub trait Node {
    /// A frame has arrived.
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>);

    /// The deadline that `poll_timeout` told has come.
    fn handle_timeout(&mut self, now: Instant);

    /// When `handle_timeout` is to be called.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// The next frame to send from that port.
    fn poll_transmit(&mut self, now: Instant, port: usize) -> Option<TxFrame<'_>>;
}

impl<N: Node + ?Sized> Node for Box<N> {
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>) {
        (**self).handle_frame(now, port, frame);
    }
    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        (**self).poll_timeout()
    }
    fn poll_transmit(&mut self, now: Instant, port: usize) -> Option<TxFrame<'_>> {
        (**self).poll_transmit(now, port)
    }
}

/// How a switch chooses where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SwitchKind {
    /// By its Ethernet addresses, which are learned; unknown and group addresses go everywhere.
    #[default]
    Switch,
    /// Everywhere. The only kind for links without Ethernet.
    Hub,
}

/// More addresses are not learned: frames to them go everywhere.
const MAX_ADDRESSES: usize = 4096;
/// Most frames that wait at one port; they leave before the next arrives, so that there is seldom more than one.
const MAX_WAITING: usize = 64;

/// Joins several links. It takes no time: delays and queues are the links' own.
#[derive(Debug)]
pub(super) struct Switch {
    kind: SwitchKind,
    waiting: Vec<VecDeque<Waiting>>,
    addresses: BTreeMap<MacAddr, usize>,
    spare: Vec<Vec<u8>>,
    current: Waiting,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    offload: Offload,
    why: Why,
}

impl Switch {
    pub(super) fn new(kind: SwitchKind) -> Self {
        let current = Waiting { bytes: Vec::new(), offload: Offload::NONE, why: Why::new(Reason::Foreign) };
        Self { kind, waiting: Vec::new(), addresses: BTreeMap::new(), spare: Vec::new(), current }
    }

    pub(super) fn ensure_port(&mut self, port: usize) {
        if self.waiting.len() <= port {
            self.waiting.resize_with(port + 1, VecDeque::new);
        }
    }

    pub(super) fn handle(&mut self, port: usize, frame: &Delivery<'_>) {
        let destination = self.learn(port, frame.bytes);
        for out in 0..self.waiting.len() {
            if out == port || destination.is_some_and(|known| known != out) {
                continue;
            }
            if self.waiting[out].len() >= MAX_WAITING {
                continue;
            }
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(frame.bytes);
            self.waiting[out].push_back(Waiting { bytes, offload: frame.offload, why: frame.why });
        }
    }

    pub(super) fn poll_transmit(&mut self, port: usize) -> Option<TxFrame<'_>> {
        let next = self.waiting.get_mut(port)?.pop_front()?;
        let last = core::mem::replace(&mut self.current, next);
        self.spare.push(last.bytes);
        let Waiting { bytes, offload, why } = &self.current;
        Some(TxFrame { head: bytes, body: [&[], &[]], offload: *offload, why })
    }

    /// Notes where the sender is; answers where the receiver is, if that is known.
    fn learn(&mut self, port: usize, frame: &[u8]) -> Option<usize> {
        if self.kind == SwitchKind::Hub {
            return None;
        }
        let destination = MacAddr::from_slice(frame.get(0..6)?)?;
        let source = MacAddr::from_slice(frame.get(6..12)?)?;
        let known = self.addresses.contains_key(&source);
        if source.is_unicast() && (known || self.addresses.len() < MAX_ADDRESSES) {
            self.addresses.insert(source, port);
        }
        self.addresses.get(&destination).copied()
    }
}
