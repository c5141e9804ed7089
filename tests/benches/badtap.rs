//! Goodput over a bad path in real time, to a kernel that receives: Linux as the sender beside ustack as the sender.
//!
//! `cargo bench -p ustack-tests --bench badtap [-- cubic reno bbr 0 1 5 linux ustack pairs=N secs=N capture=DIR]`. Both
//! go through the same bridge of ours: 10 ms each way, 50 Mbit/s with a queue of 100 frames on the way to the receiver,
//! loss in both directions from one seed for each pair. The rate is low enough that the processor does not matter.
//! TUNs, so that the dice hit no ARP. Needs network namespaces.
//!
//! ```text
//!   Linux in a namespace ── TUN ──┐
//!                                 ├── impairments ── TUN ── Linux in another namespace, reads
//!   ustack, no device ────────────┘
//! ```
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use ustack::buf::frame::{Offload, TxFrame};
use ustack::capture::Capture;
use ustack::device::{Device, Tun, TunBuilder, wait};
use ustack::sim::{Impaired, Impairment};
use ustack::tcp::congestion::Algorithm;
use ustack::why::Why;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, Stack};
use ustack_tests::kernel::{self, Namespace, Need};
use ustack_tools::bench::measure::median;

const SENDER: [u8; 4] = [10, 9, 0, 1];
const RECEIVER: [u8; 4] = [10, 9, 0, 2];
const PORT: u16 = 5201;
const PATH: &str = "delay 10ms rate 50mbit queue 100";
const WAY_BACK: &str = "delay 10ms";
const ALGORITHMS: [&str; 3] = ["cubic", "reno", "bbr"];
const LOSSES: [u32; 3] = [0, 1, 5];
const PAIRS: usize = 5;
const SECS: u64 = 5;
/// Room for several times what is on its way.
const BUFFER: usize = 4 << 20;
const CHUNK: usize = 64 << 10;
/// Nobody sleeps longer, whatever the deadlines say.
const LONGEST: Duration = Duration::from_millis(50);

/// The path, with the receiving kernel at its end.
type Path = Impaired<Tun>;

/// Sends until it is told that the reader is done.
type Send = fn(&Flow, &mut Path, &dyn Fn() -> bool);

/// What one flow is to be like.
#[derive(Clone, Debug)]
struct Flow {
    algorithm: &'static str,
    loss: u32,
    seed: u64,
    span: Duration,
    capture: Option<PathBuf>,
}

impl Flow {
    fn path(&self, receiver: &Namespace) -> Path {
        let tun = receiver.enter(|| TunBuilder::new("tun0").address("10.9.0.2/24").up().build());
        let lossy = |text: &str| -> Impairment {
            format!("{text} loss {}%", self.loss).parse().expect("it is written as netem's are")
        };
        let tun = tun.expect("a namespace of our own takes a TUN");
        Impaired::new(tun, lossy(PATH), lossy(WAY_BACK), self.seed)
    }

    /// Writes down what passes, if that was asked for.
    fn watch(&self, path: &mut Path, who: &str) -> Option<Capture> {
        let folder = self.capture.as_ref()?;
        let name = format!("{who}-{}-{}-{}.pcapng", self.algorithm, self.loss, self.seed);
        let capture = Capture::create(folder.join(name), 0).expect("the folder takes a file");
        path.capture(capture.clone(), who).expect("the file can be written");
        Some(capture)
    }

    /// Bytes per second that the receiver's application reads from the flow of `send`.
    fn run(&self, who: &str, send: Send) -> f64 {
        let receiver = Namespace::new();
        let mut path = self.path(&receiver);
        let capture = self.watch(&mut path, who);
        let reader = reader(&receiver, self.span);
        send(self, &mut path, &|| reader.is_finished());
        let rate = reader.join().expect("the reader is well");
        if let Some(capture) = capture {
            capture.finish().expect("the file can be written");
        }
        rate
    }
}

/// Reads for `span` from its beginning on; answers bytes per second.
fn reader(receiver: &Namespace, span: Duration) -> JoinHandle<f64> {
    let listener =
        receiver.enter(|| TcpListener::bind(SocketAddr::from((RECEIVER, PORT)))).expect("the port is free");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the sender connects");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("it is no zero");
        let (mut buffer, mut total, start) = (vec![0; 1 << 20], 0, Instant::now());
        while start.elapsed() < span {
            total += stream.read(&mut buffer).unwrap_or(0);
        }
        total as f64 / start.elapsed().as_secs_f64()
    })
}

/// A kernel sends; this thread is the bridge.
fn linux(flow: &Flow, path: &mut Path, done: &dyn Fn() -> bool) {
    let sender = Namespace::new();
    let tun = sender.enter(|| TunBuilder::new("tun0").address("10.9.0.1/24").up().build());
    let mut tun = tun.expect("a namespace of our own takes a TUN");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = writer(&sender, flow.algorithm, stop.clone());
    let begin = Instant::now();
    let now = || ustack::time::Instant::ZERO + begin.elapsed().into();
    let why = &Why::FOREIGN;
    while !done() {
        let mut moved = false;
        while let Some(frame) = tun.recv(now()).expect("the TUN is there") {
            let frame = TxFrame { head: frame.bytes, body: [&[]; 2], offload: Offload::NONE, why };
            path.send(now(), &frame).expect("the TUN is there");
            moved = true;
        }
        while let Some(frame) = path.recv(now()).expect("the TUN is there") {
            // What a full device does not take is lost, as on any wire.
            let _ =
                tun.send(now(), &TxFrame { head: frame.bytes, body: [&[]; 2], offload: Offload::NONE, why });
            moved = true;
        }
        if !moved {
            sleep(&[&tun, path], path.poll_timeout(), now());
        }
    }
    stop.store(true, Ordering::Relaxed);
    drop(tun);
    let _ = writer.join();
}

/// The application of a kernel that sends.
fn writer(sender: &Namespace, algorithm: &'static str, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    let socket = sender.enter(|| {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("every kernel has TCP");
        socket.set_tcp_congestion(algorithm.as_bytes()).expect("this kernel has the algorithm");
        socket
    });
    socket.set_write_timeout(Some(Duration::from_millis(100))).expect("it is no zero");
    std::thread::spawn(move || {
        // A lost SYN is repeated within a call that waits.
        while socket.connect(&SocketAddr::from((RECEIVER, PORT)).into()).is_err()
            && !stop.load(Ordering::Relaxed)
        {}
        let chunk = vec![7; CHUNK];
        while !stop.load(Ordering::Relaxed) {
            let _ = (&socket).write(&chunk);
        }
    })
}

/// ustack sends, on this thread.
fn ustack(flow: &Flow, path: &mut Path, done: &dyn Fn() -> bool) {
    let begin = Instant::now();
    let now = || ustack::time::Instant::ZERO + begin.elapsed().into();
    let mut stack = Stack::new(Config::seeded(flow.seed));
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr::UNSPECIFIED) };
    let config = config.address(SENDER.into(), 24);
    let interface = stack.add_interface(now(), config, path.capabilities()).expect("the configuration fits");
    let mut settings = stack.config().tcp.clone();
    settings.congestion = Algorithm::named(flow.algorithm).expect("we have the algorithm");
    settings.send_buffer = BUFFER;
    let remote = SocketAddr::from((RECEIVER, PORT));
    let id = stack.tcp_connect(now(), remote, None, settings).expect("there is a route");
    let chunk = vec![7; CHUNK];
    while !done() {
        let at = now();
        let mut moved = false;
        while let Some(frame) = path.recv(at).expect("the TUN is there") {
            stack.handle_frame(at, interface, frame);
            moved = true;
        }
        stack.handle_timeout(at);
        while stack.tcp_send(at, id, &chunk).is_ok() {}
        while let Some(frame) = stack.poll_transmit(at, interface) {
            path.send(at, &frame).expect("the TUN is there");
            moved = true;
        }
        if !moved {
            let due = [path.poll_timeout(), stack.poll_timeout()].into_iter().flatten().min();
            sleep(&[path], due, now());
        }
    }
}

/// Sleeps until a frame comes or something is due.
fn sleep(devices: &[&dyn Device], due: Option<ustack::time::Instant>, now: ustack::time::Instant) {
    let fds: Vec<_> = devices.iter().filter_map(|device| device.as_fd()).collect();
    let left = due.map_or(LONGEST, |due| Duration::from(due.since(now)).min(LONGEST));
    wait(&fds, Some(left)).expect("the descriptors are good");
}

fn main() {
    if !kernel::ready(&[Need::Namespaces, Need::Tun]) {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let number = |key: &str, default| value(key).and_then(|word| word.parse().ok()).unwrap_or(default);
    // Of each kind of words all count if none is said.
    let chosen = |all: &[&str], name: &str| {
        let said = words.iter().any(|word| all.contains(&word.as_str()));
        !said || words.iter().any(|word| word == name)
    };
    let (pairs, secs) = (number("pairs", PAIRS as u64), number("secs", SECS));
    let senders: [(&str, Send); 2] = [("linux", linux), ("ustack", ustack)];
    println!("Mbit/s that a kernel reads, {PATH}, {secs} s, medians of {pairs} alternating pairs");
    println!("{:>10}{:>6}{:>10}{:>10}{:>8}   each pair's ratio", "", "loss", "linux", "ustack", "ratio");
    for algorithm in ALGORITHMS.into_iter().filter(|name| chosen(&ALGORITHMS, name)) {
        for loss in LOSSES.into_iter().filter(|loss| chosen(&["0", "1", "5"], &loss.to_string())) {
            let mut rates: [Vec<f64>; 2] = Default::default();
            for seed in 1..=pairs {
                let (span, capture) = (Duration::from_secs(secs), value("capture").map(PathBuf::from));
                let flow = Flow { algorithm, loss, seed, span, capture };
                for ((who, send), rates) in senders.iter().zip(&mut rates) {
                    if chosen(&["linux", "ustack"], who) {
                        rates.push(flow.run(who, *send) * 8.0 / 1e6);
                    }
                }
            }
            let shown = |rates: &[f64]| match rates {
                [] => "-".to_owned(),
                _ => format!("{:.2}", median(rates)),
            };
            let ratios: Vec<f64> =
                rates[0].iter().zip(&rates[1]).map(|(theirs, ours)| ours / theirs).collect();
            let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            println!(
                "{algorithm:>10}{loss:>5}%{:>10}{:>10}{:>8}   {}",
                shown(&rates[0]),
                shown(&rates[1]),
                shown(&ratios),
                each.join(" ")
            );
        }
    }
}
