//! The whole core: two stacks on a wire in memory, a stream from one to the other.

use ustack::SocketId;
use ustack::tcp::Settings;
use ustack::time::Duration;

use super::Work;
use super::twins::{Frames, Twins};

const BUFFER: usize = 1 << 20;
/// How far virtual time goes with each exchange.
const STEP: Duration = Duration::from_micros(100);

/// A stream between two stacks, and what is on the wire.
struct Stream {
    twins: Twins,
    sender: SocketId,
    receiver: SocketId,
    chunk: Vec<u8>,
    data: Frames,
    acks: Frames,
}

impl Stream {
    fn new() -> Self {
        let settings = Settings { send_buffer: BUFFER, recv_buffer: BUFFER, ..Settings::default() };
        let mut twins = Twins::new(settings.clone());
        let (sender, receiver) = twins.connect(settings);
        let chunk = vec![7; 128 << 10];
        Self { twins, sender, receiver, chunk, data: Frames::default(), acks: Frames::default() }
    }

    /// The sender takes ACKs, is given what it has room for, and sends.
    fn send(&mut self) {
        self.twins.now += STEP;
        self.data.clear();
        let (now, left) = (self.twins.now, &mut self.twins.left);
        left.handle(now, &self.acks);
        left.stack.handle_timeout(now);
        while left.stack.tcp_send(now, self.sender, &self.chunk).is_ok() {}
        left.collect(now, &mut self.data);
        while left.stack.poll_event().is_some() {}
    }

    /// The receiver takes data, gives it away, and sends ACKs.
    fn receive(&mut self) {
        self.acks.clear();
        let (now, right) = (self.twins.now, &mut self.twins.right);
        right.handle(now, &self.data);
        right.stack.handle_timeout(now);
        while right.stack.tcp_recv(now, self.receiver, &mut self.chunk).is_ok_and(|n| n > 0) {}
        right.collect(now, &mut self.acks);
        while right.stack.poll_event().is_some() {}
    }
}

struct Sending(Stream);

impl Work for Sending {
    fn prepare(&mut self) {
        self.0.receive();
    }

    fn run(&mut self) -> u64 {
        self.0.send();
        self.0.data.len() as u64
    }
}

struct Receiving(Stream);

impl Work for Receiving {
    fn prepare(&mut self) {
        self.0.send();
    }

    fn run(&mut self) -> u64 {
        self.0.receive();
        self.0.data.len() as u64
    }
}

/// What a segment costs its sender, its share of the ACKs included.
pub(super) fn sending() -> Box<dyn Work> {
    Box::new(Sending(Stream::new()))
}

/// What it costs its receiver.
pub(super) fn receiving() -> Box<dyn Work> {
    Box::new(Receiving(Stream::new()))
}
