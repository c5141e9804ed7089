//! Queues: what a host of two shards sends by two queues on two processors, against one of one shard by one queue on
//! one.
//!
//! Many flows of datagrams go to a link address that nobody has, so that the kernel drops each frame as soon as it has
//! it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ustack::buf::frame::{InterfaceId, RxFrame};
use ustack::device::TapBuilder;
use ustack::net::Net;
use ustack::{Config, SocketId};

use super::bed::{Bed, CONTENDER, PEER, TAP, cidr};
use super::gauge::{Gauge, Run};
use super::measure::{CpuTime, Cpus, pin};
use super::ours::interface_config;
use super::report::{Contender, Sample, Test};
use super::udp::{NOBODY, PORT, announcement};

/// Datagrams that one flow queues before it is the next one's turn.
const BURST: usize = 4;

/// How many queues there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Two queues, two shards, two threads.
    Two,
    /// The same work on one of each.
    One,
}

/// Both.
pub const ALL: [Who; 2] = [Who::Two, Who::One];

impl Who {
    const fn queues(self) -> usize {
        match self {
            Self::Two => 2,
            Self::One => 1,
        }
    }
}

impl Contender for Who {
    fn name(self) -> &'static str {
        match self {
            Self::Two => "ustack, 2 queues",
            Self::One => "ustack, 1 queue",
        }
    }

    fn is_ours(self) -> bool {
        self == Self::Two
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Bytes of each datagram.
    pub size: usize,
    /// Sockets that send, of all shards together.
    pub flows: usize,
    /// How long each run is measured.
    pub span: Duration,
    /// How often the contenders take turns.
    pub rounds: usize,
}

impl Queues {
    /// Measures both.
    pub fn measure(&self) -> Test {
        let name = format!("{} flows of {} bytes", self.flows, self.size);
        Test::alternate(name, Some(2), "packets/s", self.rounds, &ALL, |who| self.run(who))
    }

    /// One run of one contender.
    ///
    /// # Errors
    /// The kernel refuses something.
    pub fn run(&self, who: Who) -> io::Result<Sample> {
        let (cpus, run, bed) = (Cpus::new(2), Run::new(), Bed::tap()?);
        let address = cidr(PEER)?;
        let build = move || TapBuilder::new(TAP).address(address).up().build_queues(who.queues());
        let taps = bed.on_contenders_side(build)??;
        let net = Net::sharded(Config::default(), who.queues());
        let interface = net.attach_queues(interface_config(), taps)?;
        let shards = net.shards().zip([cpus.contender, cpus.peer]);
        let begun: io::Result<Vec<_>> = shards
            .map(|(shard, cpu)| {
                let (run, size, flows) = (run.clone(), self.size, self.flows / who.queues());
                let body = move || {
                    pin(cpu);
                    send(&shard, interface, &run, size, flows).inspect_err(|_| run.fail())
                };
                std::thread::Builder::new().name("shard".into()).spawn(body)
            })
            .collect();
        let moved = run.measure(self.span);
        let mut used = Vec::new();
        for thread in begun? {
            used.push(thread.join().map_err(|_| io::Error::other("a shard panicked"))??);
        }
        let moved = moved?;
        let busiest = used.iter().map(|used| used.total()).fold(0.0, f64::max);
        let all = used.into_iter().fold(CpuTime::default(), |sum, one| sum + one);
        let columns = vec![
            ("CPU ns", all.total() / moved.count as f64 * 1e9),
            ("user %", 100.0 * all.user / all.total().max(1e-9)),
        ];
        let by_cpu = (busiest > 0.0).then(|| moved.count as f64 / busiest);
        Ok(Sample { value: moved.rate(), by_cpu, columns })
    }
}

/// Sends from so many sockets of one shard, by turns, on this thread.
fn send(net: &Net, interface: InterfaceId, run: &Arc<Run>, size: usize, flows: usize) -> io::Result<CpuTime> {
    let payload = vec![7; size];
    let ids = open(net, interface, flows)?;
    let mut gauge = Gauge::new(run);
    while gauge.running() {
        for &id in &ids {
            // What it leads to is sent before this returns.
            let queued = net.with_stack(|stack, now| {
                (0..BURST).take_while(|_| stack.udp_send_to(now, id, &payload, None).is_ok()).count()
            });
            gauge.add(queued);
        }
    }
    Ok(gauge.used())
}

/// Sockets of one shard, connected to nobody by flows that are this shard's.
fn open(net: &Net, interface: InterfaceId, flows: usize) -> io::Result<Vec<SocketId>> {
    let remote = SocketAddr::from((NOBODY, PORT));
    net.with_stack(|stack, now| {
        let shard = stack.config().shard;
        let own = (PORT..).filter(|&port| shard.owns((CONTENDER.into(), port), (NOBODY.into(), PORT)));
        let mut ids = Vec::new();
        for port in own.take(flows) {
            let id = stack.udp_bind(SocketAddr::from((CONTENDER, port)))?;
            stack.udp_connect(id, Some(remote))?;
            if ids.is_empty() {
                // The neighbour is asked for, and we are who answers.
                stack.udp_send_to(now, id, b"", None)?;
                while stack.poll_transmit(now, interface).is_some() {}
                stack.handle_frame(now, interface, RxFrame::plain(&announcement()));
            }
            ids.push(id);
        }
        Ok(ids)
    })
}
