//! Single small datagrams through the whole core, from one stack to another.

use std::net::SocketAddr;

use ustack::SocketId;
use ustack::time::{Duration, Instant};

use super::Work;
use super::core::{BATCH, Frames, Host, address};

const PORT: u16 = 7;
const SIZE: usize = 64;

/// Two stacks that know each other, a socket at each, and what is on the wire.
struct Pair {
    sender: Host,
    receiver: Host,
    ends: [SocketId; 2],
    now: Instant,
    frames: Frames,
}

impl Pair {
    fn new() -> Self {
        let (mut sender, mut receiver) = (Host::new(1), Host::new(2));
        let now = Instant::ZERO + Duration::from_secs(1);
        let bind = |host: &mut Host, number| {
            let local = SocketAddr::new(address(number), PORT);
            host.stack.udp_bind(local).expect("the port is free")
        };
        let ends = [bind(&mut sender, 1), bind(&mut receiver, 2)];
        let mut pair = Self { sender, receiver, ends, now, frames: Frames::default() };
        pair.meet();
        pair
    }

    /// One datagram, with what has to be asked first.
    fn meet(&mut self) {
        let mut answers = Frames::default();
        self.write(1);
        for _ in 0..3 {
            self.sender.collect(self.now, &mut self.frames);
            self.receiver.handle(self.now, &self.frames);
            self.receiver.collect(self.now, &mut answers);
            self.sender.handle(self.now, &answers);
        }
        self.read();
    }

    fn write(&mut self, count: usize) {
        let to = Some(SocketAddr::new(address(2), PORT));
        for _ in 0..count {
            let sent = self.sender.stack.udp_send_to(self.now, self.ends[0], &[7; SIZE], to);
            sent.expect("there is room");
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; SIZE];
        while self.receiver.stack.udp_recv_from(self.ends[1], &mut bytes).is_ok() {}
        while self.receiver.stack.poll_event().is_some() {}
    }

    fn send(&mut self) {
        self.write(BATCH);
        self.sender.collect(self.now, &mut self.frames);
    }

    fn receive(&mut self) {
        self.receiver.handle(self.now, &self.frames);
        self.read();
    }
}

struct Sending(Pair);

impl Work for Sending {
    fn run(&mut self) -> u64 {
        self.0.send();
        self.0.frames.len as u64
    }
}

struct Receiving(Pair);

impl Work for Receiving {
    fn prepare(&mut self) {
        self.0.send();
    }

    fn run(&mut self) -> u64 {
        self.0.receive();
        self.0.frames.len as u64
    }
}

/// What a datagram costs its sender.
pub(super) fn sending() -> Box<dyn Work> {
    Box::new(Sending(Pair::new()))
}

/// What it costs its receiver.
pub(super) fn receiving() -> Box<dyn Work> {
    Box::new(Receiving(Pair::new()))
}
