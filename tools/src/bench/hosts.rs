//! A sender and a receiver in memory, of either kind, and how long each of them works.

use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities};
use smoltcp::socket::{Socket, tcp};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use ustack::SocketId;
use ustack::tcp::Settings;
use ustack::time::Duration as Time;

use super::measure::thread_time;
use super::smol::Received;
use super::twins::{Frames, PORT, Twins};

const BUFFER: usize = 1 << 20;
/// Frames that a side takes or gives at once.
const BATCH: usize = 64;
/// How far virtual time goes with each exchange.
const STEP: u64 = 100;
/// The port from which smoltcp's first connection begins.
const FIRST_LOCAL: u16 = 40_000;

/// Nanoseconds per data segment.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// What one costs the side that sends it, its acknowledgment included.
    pub sending: f64,
    /// What one costs the side that receives it.
    pub receiving: f64,
    /// Acknowledgments for each.
    pub acks: f64,
}

/// A pair of hosts with one connection that carries data.
pub trait Host {
    /// The sender writes what fits, takes ACKs and gives data.
    fn send(&mut self, acks: &Frames, data: &mut Frames);
    /// The receiver takes data, reads it, and gives ACKs.
    fn receive(&mut self, data: &Frames, acks: &mut Frames);
}

/// Moves data for a while.
pub fn bulk(pair: &mut dyn Host, span: Duration) -> Cost {
    let (mut data, mut acks) = (Frames::default(), Frames::default());
    let (mut sending, mut receiving) = (Duration::ZERO, Duration::ZERO);
    let (mut segments, mut answers) = (0usize, 0usize);
    let begin = thread_time();
    let mut before = begin;
    while before - begin < span {
        data.clear();
        pair.send(&acks, &mut data);
        let between = thread_time();
        acks.clear();
        pair.receive(&data, &mut acks);
        let after = thread_time();
        sending += between - before;
        receiving += after - between;
        segments += data.iter().filter(|frame| frame.len() > 1000).count();
        answers += acks.len();
        before = thread_time();
    }
    let each = |time: Duration| time.as_nanos() as f64 / segments.max(1) as f64;
    Cost { sending: each(sending), receiving: each(receiving), acks: answers as f64 / segments.max(1) as f64 }
}

/// Two of ours.
pub struct Ustack {
    twins: Twins,
    sender: SocketId,
    receiver: SocketId,
    chunk: Vec<u8>,
}

impl Ustack {
    /// A pair with that many idle connections beside the one that is used.
    pub fn pair(idle: usize) -> Self {
        let settings =
            Settings { send_buffer: BUFFER, recv_buffer: BUFFER, timestamps: false, ..Settings::default() };
        let mut twins = Twins::new(settings.clone());
        for _ in 0..idle / 2 {
            twins.connect(settings.clone());
        }
        let (sender, receiver) = twins.connect(settings.clone());
        for _ in 0..idle / 2 {
            twins.connect(settings.clone());
        }
        // What is idle comes to rest first: buffers given back, state packed.
        twins.pass(Time::from_secs(10), Time::from_millis(500));
        Self { twins, sender, receiver, chunk: vec![7; 128 << 10] }
    }
}

impl Host for Ustack {
    fn send(&mut self, acks: &Frames, data: &mut Frames) {
        self.twins.now += Time::from_micros(STEP);
        let (now, left) = (self.twins.now, &mut self.twins.left);
        left.handle(now, acks);
        left.stack.handle_timeout(now);
        while left.stack.tcp_send(now, self.sender, &self.chunk).is_ok() {}
        left.collect(now, data);
        while left.stack.poll_event().is_some() {}
    }

    fn receive(&mut self, data: &Frames, acks: &mut Frames) {
        let (now, right) = (self.twins.now, &mut self.twins.right);
        right.handle(now, data);
        right.stack.handle_timeout(now);
        while right.stack.tcp_recv(now, self.receiver, &mut self.chunk).is_ok_and(|n| n > 0) {}
        right.collect(now, acks);
        while right.stack.poll_event().is_some() {}
    }
}

/// Two of smoltcp's.
pub struct Smoltcp {
    sender: Side,
    receiver: Side,
    chunk: Vec<u8>,
    micros: i64,
}

struct Side {
    interface: Interface,
    sockets: SocketSet<'static>,
    /// The one that is used.
    socket: SocketHandle,
}

impl Side {
    fn new(host: u8) -> Self {
        let mac = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, host]));
        let (input, mut output) = (Frames::default(), Frames::default());
        let mut device = Wire { input: &input, taken: 0, output: &mut output };
        let mut interface =
            Interface::new(Config::new(mac), &mut device, smoltcp::time::Instant::from_secs(1));
        interface.update_ip_addrs(|list| {
            list.push(IpCidr::new(IpAddress::v4(10, 0, 0, host), 24)).expect("there is room for one");
        });
        Self { interface, sockets: SocketSet::new(Vec::new()), socket: SocketHandle::default() }
    }

    fn add(&mut self, bytes: usize) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; bytes]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn is_established(&self) -> bool {
        self.sockets.iter().all(|(_, socket)| match socket {
            Socket::Tcp(socket) => socket.state() == tcp::State::Established,
            _ => true,
        })
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn poll(&mut self, micros: i64, input: &Frames, output: &mut Frames) {
        let now = smoltcp::time::Instant::from_micros(micros);
        let mut device = Wire { input, taken: 0, output };
        self.interface.poll(now, &mut device, &mut self.sockets);
    }
}

impl Smoltcp {
    /// A pair with that many idle connections, a few thousand at most, beside the one that is used.
    ///
    /// # Panics
    /// They are not all established after a while.
    pub fn pair(idle: usize) -> Self {
        let (mut sender, mut receiver) = (Side::new(1), Side::new(2));
        // The one that is used stands in the middle.
        for number in 0..idle / 2 {
            connect_idle(&mut sender, &mut receiver, number);
        }
        let used = connect(&mut sender, &mut receiver, (PORT, FIRST_LOCAL), BUFFER);
        for number in idle / 2..idle {
            connect_idle(&mut sender, &mut receiver, number);
        }
        (sender.socket, receiver.socket) = used;
        let mut pair = Self { sender, receiver, chunk: vec![7; 128 << 10], micros: 1_000_000 };
        pair.establish(idle);
        pair
    }

    fn establish(&mut self, idle: usize) {
        const STEP: i64 = 10_000;
        let (mut data, mut acks) = (Frames::default(), Frames::default());
        // A batch at a time has its SYN answered; the first ones wait for the neighbour.
        for _ in 0..idle / 8 + 1000 {
            self.micros += STEP;
            data.clear();
            self.sender.poll(self.micros, &acks, &mut data);
            acks.clear();
            self.receiver.poll(self.micros, &data, &mut acks);
            if data.is_empty()
                && acks.is_empty()
                && self.sender.is_established()
                && self.receiver.is_established()
            {
                return;
            }
        }
        panic!("{idle} connections do not come about");
    }
}

/// A connection that will have nothing to do.
fn connect_idle(sender: &mut Side, receiver: &mut Side, number: usize) {
    const SMALLEST: usize = 512;
    connect(sender, receiver, (PORT + 1, FIRST_LOCAL + 1 + number as u16), SMALLEST);
}

/// A new connection between these ports, with buffers of so many bytes.
fn connect(
    sender: &mut Side,
    receiver: &mut Side,
    (port, local): (u16, u16),
    bytes: usize,
) -> (SocketHandle, SocketHandle) {
    let (from, to) = (sender.add(bytes), receiver.add(bytes));
    receiver.sockets.get_mut::<tcp::Socket<'_>>(to).listen(port).expect("the socket is closed");
    let remote = (IpAddress::v4(10, 0, 0, 2), port);
    let socket = sender.sockets.get_mut::<tcp::Socket<'_>>(from);
    socket.connect(sender.interface.context(), remote, local).expect("the socket is closed");
    (from, to)
}

impl Host for Smoltcp {
    fn send(&mut self, acks: &Frames, data: &mut Frames) {
        self.micros += STEP as i64;
        while let Ok(1..) = self.sender.socket().send_slice(&self.chunk) {}
        self.sender.poll(self.micros, acks, data);
    }

    fn receive(&mut self, data: &Frames, acks: &mut Frames) {
        self.receiver.poll(self.micros, data, acks);
        while let Ok(1..) = self.receiver.socket().recv_slice(&mut self.chunk) {}
    }
}

/// What smoltcp takes for a device: one batch in, one batch out.
struct Wire<'a> {
    input: &'a Frames,
    taken: usize,
    output: &'a mut Frames,
}

impl phy::Device for Wire<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Tx<'t>
    where
        Self: 't;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received<'_>, Tx<'_>)> {
        let frame = self.input.get(self.taken)?;
        self.taken += 1;
        Some((Received(frame), Tx(self.output)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        (self.output.len() < BATCH).then_some(Tx(self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Tx<'a>(&'a mut Frames);

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let slot = self.0.add();
        slot.resize(len, 0);
        f(slot)
    }
}
