//! Two stacks whose frames pass from hand to hand: no wire, no queue, no clock but ours. For benchmarks and for
//! counting.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ustack::buf::frame::{Capabilities, Medium, RxFrame};
use ustack::tcp::Settings;
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, SocketId, Stack};

/// The first port on which the right one listens.
pub const PORT: u16 = 7;
/// So many ports in all: one has not enough pairs for a hundred thousand connections from one address.
const PORTS: u16 = 16;
/// Frames that go one way before the other side answers.
const BATCH: usize = 64;

/// One of the two.
pub struct Twin {
    /// The stack.
    pub stack: Stack,
    /// Its only interface.
    pub interface: InterfaceId,
    /// Its only address.
    pub address: IpAddr,
}

/// Frames in order, in buffers that are used again and again.
#[derive(Default)]
pub struct Frames {
    slots: Vec<Vec<u8>>,
    len: usize,
}

/// Two stacks on one Ethernet.
pub struct Twins {
    /// The one that connects.
    pub left: Twin,
    /// The one that listens.
    pub right: Twin,
    /// Time at both.
    pub now: Instant,
    /// With their ports; the first was used last.
    listeners: VecDeque<(u16, SocketId)>,
    frames: Frames,
}

impl Frames {
    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.slots[..self.len].iter().map(Vec::as_slice)
    }

    /// The frame at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.slots[..self.len].get(index).map(Vec::as_slice)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets them; the buffers stay.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// A buffer for one frame more, with what was in it before.
    pub fn add(&mut self) -> &mut Vec<u8> {
        if self.slots.len() == self.len {
            self.slots.push(Vec::with_capacity(2048));
        }
        self.len += 1;
        &mut self.slots[self.len - 1]
    }
}

impl Twin {
    /// Host number `host` of 10.0.0.0/24, over Ethernet.
    ///
    /// # Panics
    /// Never with a number that a host can have.
    pub fn new(host: u8) -> Self {
        let mut stack = Stack::new(Config::seeded(host.into()));
        let address = IpAddr::from([10, 0, 0, host]);
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, host])) };
        let device = Capabilities::plain(Medium::Ethernet, 1500);
        let interface = stack
            .add_interface(Instant::ZERO, config.address(address, 24), device)
            .expect("the configuration fits");
        Self { stack, interface, address }
    }

    /// Takes frames in.
    pub fn handle(&mut self, now: Instant, frames: &Frames) {
        for frame in frames.iter() {
            self.stack.handle_frame(now, self.interface, RxFrame::plain(frame));
        }
    }

    /// Adds what there is to send, up to a batch.
    pub fn collect(&mut self, now: Instant, frames: &mut Frames) {
        while frames.len() < BATCH
            && let Some(frame) = self.stack.poll_transmit(now, self.interface)
        {
            let slot = frames.add();
            slot.clear();
            frame.copy_to(slot);
        }
    }
}

impl Twins {
    /// Two stacks that know each other's link address. Connections that the right one accepts have these settings.
    ///
    /// # Panics
    /// Never: both configurations are good.
    pub fn new(settings: Settings) -> Self {
        let (left, mut right) = (Twin::new(1), Twin::new(2));
        let mut listen = |port| {
            let at = SocketAddr::new(right.address, port);
            (port, right.stack.tcp_listen(at, 128, settings.clone()).expect("the port is free"))
        };
        let listeners = (PORT..PORT + PORTS).map(&mut listen).collect();
        let now = Instant::ZERO + Duration::from_secs(1);
        Self { left, right, now, listeners, frames: Frames::default() }
    }

    /// A connection from left to right: the socket of each.
    ///
    /// # Panics
    /// It does not come about.
    pub fn connect(&mut self, settings: Settings) -> (SocketId, SocketId) {
        self.listeners.rotate_left(1);
        let (port, listener) = self.listeners[0];
        let to = SocketAddr::new(self.right.address, port);
        let left = self.left.stack.tcp_connect(self.now, to, None, settings).expect("there is a route");
        self.exchange();
        let (right, _) = self.right.stack.tcp_accept(self.now, listener).expect("it has connected");
        self.forget_events();
        (left, right)
    }

    /// Carries frames to and fro until nobody says anything more.
    pub fn exchange(&mut self) {
        loop {
            self.frames.clear();
            self.left.collect(self.now, &mut self.frames);
            self.right.handle(self.now, &self.frames);
            let said = self.frames.len();
            self.frames.clear();
            self.right.collect(self.now, &mut self.frames);
            self.left.handle(self.now, &self.frames);
            if said + self.frames.len() == 0 {
                return;
            }
        }
    }

    /// Lets time pass, in steps of `step`.
    pub fn pass(&mut self, time: Duration, step: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += step;
            self.left.stack.handle_timeout(self.now);
            self.right.stack.handle_timeout(self.now);
            self.exchange();
        }
    }

    /// Drops what the stacks tell their users.
    pub fn forget_events(&mut self) {
        while self.left.stack.poll_event().is_some() {}
        while self.right.stack.poll_event().is_some() {}
    }
}
