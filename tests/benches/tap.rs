//! One TCP flow over a TAP, stack to kernel and kernel to stack: ustack beside smoltcp, alternating, in one run.
//!
//! `cargo bench -p ustack-tests --bench tap`. Both stacks are driven by the same kind of loop over the same device,
//! without offloads, one thread for the stack and one for the kernel's peer. Needs a network namespace.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use smoltcp::iface::{Config as SmolConfig, Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use socket2::SockRef;
use ustack::buf::frame::InterfaceId;
use ustack::device::smoltcp::Phy;
use ustack::device::{Device, Tap, TapBuilder, wait};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, Stack};
use ustack_tests::kernel::{self, Namespace, Need};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PORT: u16 = 5201;
const BUFFER: usize = 1 << 20;
const SPAN: Duration = Duration::from_secs(2);
const PAIRS: usize = 5;
const STACK_CPU: usize = 0;
const PEER_CPU: usize = 1;
/// Bytes that the application hands over in one call.
const CHUNK: usize = 64 << 10;
/// Frames taken from the device before the stack sends.
const BATCH: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ToKernel,
    FromKernel,
}

/// A kernel at 10.9.0.1, and the TAP whose wire ends in the stack.
fn bed() -> (Namespace, Tap) {
    let kernel = Namespace::new();
    let build = || TapBuilder::new("tap0").address("10.9.0.1/24").up().build();
    let tap = kernel.enter(build).expect("a namespace of our own takes a TAP");
    (kernel, tap)
}

/// The kernel's end: reads all, or writes for a while; answers bytes, and bytes per second.
fn peer(kernel: &Namespace, way: Way) -> JoinHandle<(u64, f64)> {
    let listener = kernel.enter(|| TcpListener::bind(("10.9.0.1", PORT))).expect("the port is free");
    // A name of its own, so that a profile tells the two apart.
    let thread = std::thread::Builder::new().name("peer".into());
    let run = move || {
        pin(PEER_CPU);
        let (stream, _) = listener.accept().expect("the stack connects");
        SockRef::from(&stream).set_tcp_congestion(b"cubic").expect("every kernel has cubic");
        let start = Instant::now();
        let bytes = if way == Way::ToKernel { sink(stream) } else { source(stream) };
        (bytes, bytes as f64 / start.elapsed().as_secs_f64())
    };
    thread.spawn(run).expect("there is room for a thread")
}

fn sink(mut stream: TcpStream) -> u64 {
    let (mut buf, mut total) = (vec![0; 1 << 20], 0);
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        total += n as u64;
    }
    total
}

fn source(mut stream: TcpStream) -> u64 {
    let (buf, start, mut total) = (vec![7; 128 << 10], Instant::now(), 0);
    while start.elapsed() < SPAN {
        match stream.write(&buf) {
            Ok(n) => total += n as u64,
            Err(_) => break,
        }
    }
    total
}

/// What one run of a flow showed.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Bytes per second.
    rate: f64,
    /// Seconds of processor time that the stack's thread used for a gigabyte, the kernel's part of it included.
    cost: f64,
}

impl Run {
    /// Runs one flow with the stack that `f` drives, on this thread.
    fn of(way: Way, f: fn(&Namespace, Tap, Way, &JoinHandle<(u64, f64)>)) -> Self {
        let (kernel, tap) = bed();
        let peer = peer(&kernel, way);
        let before = cpu_time();
        f(&kernel, tap, way, &peer);
        let used = cpu_time() - before;
        let (bytes, rate) = peer.join().expect("the peer is well");
        Self { rate, cost: used / (bytes as f64 / 1e9) }
    }
}

/// Seconds of processor time of the calling thread.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every kernel has this clock");
    Duration::from(time).as_secs_f64()
}

/// One flow by ustack.
fn ustack(_: &Namespace, mut tap: Tap, way: Way, peer: &JoinHandle<(u64, f64)>) {
    let begin = Instant::now();
    let now = || ustack::time::Instant::ZERO + begin.elapsed().into();
    let mut stack = Stack::new(Config::default());
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr(MAC)) };
    let config = config.address([10, 9, 0, 2].into(), 24);
    let interface = stack.add_interface(now(), config, tap.capabilities()).expect("the configuration fits");
    let mut settings = stack.config().tcp.clone();
    (settings.send_buffer, settings.recv_buffer) = (BUFFER, BUFFER);
    (settings.send_tuning, settings.recv_tuning) = (false, false);
    // smoltcp sends none: the two are to put the same segments on the wire.
    settings.timestamps = false;
    let remote = SocketAddr::from(([10, 9, 0, 1], PORT));
    let id = stack.tcp_connect(now(), remote, None, settings).expect("there is a route");
    let chunk = vec![7; CHUNK];
    let mut open = true;
    while begin.elapsed() < SPAN * 2 && !peer.is_finished() {
        let at = now();
        let mut taken = 0;
        while taken < BATCH
            && let Ok(Some(frame)) = tap.recv(at)
        {
            stack.handle_frame(at, interface, frame);
            taken += 1;
        }
        stack.handle_timeout(at);
        match way {
            Way::ToKernel if begin.elapsed() < SPAN => {
                while stack.tcp_send(at, id, &chunk).is_ok() {
                    flush(&mut stack, interface, at, &mut tap);
                }
            }
            Way::ToKernel if open => {
                stack.close(at, id);
                open = false;
            }
            Way::FromKernel => {
                while let Ok([first, second]) = stack.tcp_received(id)
                    && let n @ 1.. = first.len() + second.len()
                {
                    stack.tcp_consume(at, id, n).expect("the socket is open");
                }
            }
            Way::ToKernel => {}
        }
        flush(&mut stack, interface, at, &mut tap);
        if taken == 0 {
            idle(&tap, stack.poll_timeout().map(|deadline| deadline.since(now()).into()));
        }
    }
    if open {
        stack.tcp_abort(now(), id).ok();
        flush(&mut stack, interface, now(), &mut tap);
    }
}

/// Sends all that is ready.
fn flush(stack: &mut Stack, interface: InterfaceId, now: ustack::time::Instant, tap: &mut Tap) {
    while let Some(frame) = stack.poll_transmit(now, interface) {
        // A frame that the device does not take is lost, as on any wire.
        let _ = tap.send(now, &frame);
    }
}

/// Sleeps until a frame comes or the time is over.
fn idle(tap: &Tap, timeout: Option<Duration>) {
    let longest = Duration::from_millis(100);
    let fd = tap.as_fd().expect("a TAP has a descriptor");
    wait(&[fd], Some(timeout.unwrap_or(longest).min(longest))).expect("the descriptor is good");
}

/// One flow by smoltcp.
fn smoltcp(_: &Namespace, tap: Tap, way: Way, peer: &JoinHandle<(u64, f64)>) {
    let begin = Instant::now();
    let now = || smoltcp::time::Instant::from_micros(begin.elapsed().as_micros() as i64);
    let mut device = Phy::new(tap);
    let config = SmolConfig::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
    let mut interface = Interface::new(config, &mut device, now());
    interface.update_ip_addrs(|list| {
        list.push(IpCidr::new(IpAddress::v4(10, 9, 0, 2), 24)).expect("there is room for one");
    });
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    let remote = (IpAddress::v4(10, 9, 0, 1), PORT);
    sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .connect(interface.context(), remote, 49_152)
        .expect("the socket is closed");
    let chunk = vec![7; CHUNK];
    while begin.elapsed() < SPAN * 2 && !peer.is_finished() {
        let before = device.counts().received;
        interface.poll(now(), &mut device, &mut sockets);
        let mut moved = (device.counts().received - before) as usize;
        match way {
            Way::ToKernel if begin.elapsed() < SPAN => {
                while let Ok(n @ 1..) = sockets.get_mut::<tcp::Socket<'_>>(handle).send_slice(&chunk) {
                    moved += n;
                    interface.poll(now(), &mut device, &mut sockets);
                }
            }
            Way::ToKernel => sockets.get_mut::<tcp::Socket<'_>>(handle).close(),
            Way::FromKernel => {
                let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
                while let Ok(n @ 1..) = socket.recv(|data| (data.len(), data.len())) {
                    moved += n;
                }
            }
        }
        if moved == 0 {
            let delay =
                interface.poll_delay(now(), &sockets).map(|d| Duration::from_micros(d.total_micros()));
            idle(device.get_ref(), delay);
        }
    }
    sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
    interface.poll(now(), &mut device, &mut sockets);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    if !kernel::ready(&[Need::Namespaces, Need::Tun]) {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    pin(STACK_CPU);
    println!("one TCP flow over a TAP, MTU 1500, no offloads, {PAIRS} alternating pairs, medians");
    for (way, name) in [(Way::ToKernel, "send"), (Way::FromKernel, "receive")] {
        if !wanted(name) && words.iter().any(|w| w == "send" || w == "receive") {
            continue;
        }
        let alone = words.iter().any(|w| w == "ustack" || w == "smoltcp");
        let mut runs: [Vec<Run>; 2] = Default::default();
        for _ in 0..PAIRS {
            if !alone || wanted("ustack") {
                runs[0].push(Run::of(way, ustack));
            }
            if !alone || wanted("smoltcp") {
                runs[1].push(Run::of(way, smoltcp));
            }
        }
        for (stack, runs) in ["ustack", "smoltcp"].iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            let rate = median(runs.iter().map(|run| run.rate * 8.0 / 1e9).collect());
            let cost = median(runs.iter().map(|run| run.cost).collect());
            println!("  {name:8} {stack:8} {rate:6.2} Gbit/s, {cost:5.2} s of processor time a gigabyte");
        }
        if !alone {
            let pairs = || runs[0].iter().zip(&runs[1]);
            let rate = median(pairs().map(|(ours, theirs)| ours.rate / theirs.rate).collect());
            let cost = median(pairs().map(|(ours, theirs)| ours.cost / theirs.cost).collect());
            println!("  {name:8} ratio    {rate:6.2} in rate, {cost:.2} in processor time");
        }
    }
}

/// Keeps the calling thread on one processor, as far as there are several.
fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
