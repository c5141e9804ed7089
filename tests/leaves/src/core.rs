//! The whole core: two stacks on a wire in memory, a stream from one to the other.

use std::net::{IpAddr, SocketAddr};

use ustack::buf::frame::{Capabilities, Medium, RxFrame};
use ustack::tcp::Settings;
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, SocketId, Stack};

use super::Work;

const PORT: u16 = 7;
const BUFFER: usize = 1 << 20;
/// Frames that go one way before the other side answers.
pub(super) const BATCH: usize = 64;
/// How far virtual time goes with each exchange.
const STEP: Duration = Duration::from_micros(100);

/// One of the two stacks.
pub(super) struct Host {
    pub(super) stack: Stack,
    interface: InterfaceId,
}

/// Frames in order, in buffers that are used again and again.
#[derive(Default)]
pub(super) struct Frames {
    slots: Vec<Vec<u8>>,
    pub(super) len: usize,
}

/// A stream between two stacks, and what is on the wire.
struct Stream {
    sender: Host,
    receiver: Host,
    /// The socket at each end.
    ends: [SocketId; 2],
    now: Instant,
    chunk: Vec<u8>,
    data: Frames,
    acks: Frames,
}

pub(super) fn address(host: u8) -> IpAddr {
    [10, 0, 0, host].into()
}

impl Host {
    pub(super) fn new(host: u8) -> Self {
        let mut stack = Stack::new(Config::seeded(host.into()));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, host])) };
        let device = Capabilities::plain(Medium::Ethernet, 1500);
        let interface = stack.add_interface(Instant::ZERO, config.address(address(host), 24), device);
        Self { stack, interface: interface.expect("the configuration is sound") }
    }

    pub(super) fn handle(&mut self, now: Instant, frames: &Frames) {
        for frame in &frames.slots[..frames.len] {
            self.stack.handle_frame(now, self.interface, RxFrame::plain(frame));
        }
        self.stack.handle_timeout(now);
    }

    pub(super) fn collect(&mut self, now: Instant, frames: &mut Frames) {
        frames.len = 0;
        while frames.len < BATCH
            && let Some(frame) = self.stack.poll_transmit(now, self.interface)
        {
            if frames.slots.len() == frames.len {
                frames.slots.push(Vec::with_capacity(2048));
            }
            let slot = &mut frames.slots[frames.len];
            slot.clear();
            frame.copy_to(slot);
            frames.len += 1;
        }
        while self.stack.poll_event().is_some() {}
    }
}

impl Stream {
    fn new() -> Self {
        let settings = Settings { send_buffer: BUFFER, recv_buffer: BUFFER, ..Settings::default() };
        let (mut sender, mut receiver) = (Host::new(1), Host::new(2));
        let (now, to) = (Instant::ZERO + Duration::from_secs(1), SocketAddr::new(address(2), PORT));
        let listener = receiver.stack.tcp_listen(to, 1, settings.clone()).expect("the port is free");
        let left = sender.stack.tcp_connect(now, to, None, settings).expect("there is a route");
        let (mut data, mut acks) = (Frames::default(), Frames::default());
        let right = loop {
            sender.collect(now, &mut data);
            receiver.handle(now, &data);
            receiver.collect(now, &mut acks);
            sender.handle(now, &acks);
            if let Ok((accepted, _)) = receiver.stack.tcp_accept(now, listener) {
                break accepted;
            }
        };
        acks.len = 0;
        Self { sender, receiver, ends: [left, right], now, chunk: vec![7; 128 << 10], data, acks }
    }

    /// The sender takes ACKs, is given what it has room for, and sends.
    fn send(&mut self) {
        self.now += STEP;
        let host = &mut self.sender;
        host.handle(self.now, &self.acks);
        while host.stack.tcp_send(self.now, self.ends[0], &self.chunk).is_ok() {}
        host.collect(self.now, &mut self.data);
    }

    /// The receiver takes data, gives it away, and sends ACKs.
    fn receive(&mut self) {
        let host = &mut self.receiver;
        host.handle(self.now, &self.data);
        while host.stack.tcp_recv(self.now, self.ends[1], &mut self.chunk).is_ok_and(|n| n > 0) {}
        host.collect(self.now, &mut self.acks);
    }
}

struct Sending(Stream);

impl Work for Sending {
    fn prepare(&mut self) {
        self.0.receive();
    }

    fn run(&mut self) -> u64 {
        self.0.send();
        self.0.data.len as u64
    }
}

struct Receiving(Stream);

impl Work for Receiving {
    fn prepare(&mut self) {
        self.0.send();
    }

    fn run(&mut self) -> u64 {
        self.0.receive();
        self.0.data.len as u64
    }
}

/// What a segment costs its sender, its share of the ACKs included.
pub(super) fn sending() -> Box<dyn Work> {
    let mut stream = Stream::new();
    stream.send();
    Box::new(Sending(stream))
}

/// What it costs its receiver.
pub(super) fn receiving() -> Box<dyn Work> {
    Box::new(Receiving(Stream::new()))
}
