//! Where a conversation takes place: between two of our stacks in virtual time, or against the kernel.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::Poll;

use ustack::capture::Capture;
use ustack::net::{Net, Simulation};
use ustack::sim::{Counts, FateList, Impairment, LinkConfig, LinkId};
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig};
use ustack_tools::events::EventLog;

use super::frame::{Frame, Side};
use super::kernel::Kernel;
use super::peer::{self, Heard, Log};
use crate::common::events;
use crate::common::failure::Failure;

/// The near end: our stack.
pub(crate) const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 2));
/// The far end: another of our stacks, or the kernel.
pub(crate) const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 1));
/// Bits of an address that the two ends share.
pub(crate) const PREFIX: u8 = 24;

/// Frames that a demonstration keeps; beyond that it would not be one.
pub(crate) const MAX_FRAMES: usize = 200_000;

/// Where a conversation takes place.
pub(crate) enum Place {
    Simulated(Box<Simulated>),
    Kernel(Box<Kernel>),
}

/// What a conversation left behind.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// What was sent, in that order.
    pub(crate) frames: Vec<Frame>,
    /// What the applications at the far end read.
    pub(crate) heard: Vec<Heard>,
}

impl Place {
    /// Runs a conversation of the near end, until it is over and the wire is quiet. None if it does not end.
    pub(crate) fn run<T, F>(
        &mut self,
        conversation: impl FnOnce(Net) -> F,
    ) -> Result<(Option<T>, Recording), Failure>
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        match self {
            Self::Simulated(place) => Ok(place.run(conversation)),
            Self::Kernel(place) => place.run(conversation),
        }
    }

    /// What the wire did so far: near to far, and far to near.
    pub(crate) fn counts(&self) -> [Counts; 2] {
        match self {
            Self::Simulated(place) => place.counts(),
            Self::Kernel(place) => place.counts(),
        }
    }

    /// Somebody asked us to end before the conversations had ended.
    pub(crate) fn is_interrupted(&self) -> bool {
        match self {
            Self::Simulated(_) => false,
            Self::Kernel(place) => place.is_interrupted(),
        }
    }

    /// The fates of all frames so far.
    pub(crate) fn fates(&self) -> FateList {
        match self {
            Self::Simulated(place) => place.simulation.network().fates(),
            Self::Kernel(place) => place.fates(),
        }
    }

    /// What stands at the far end.
    pub(crate) const fn far_name(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "server",
            Self::Kernel(_) => "kernel",
        }
    }

    /// Writes down what was decided at the ends that are ours.
    pub(crate) fn write_decisions(&self, log: &EventLog, demo: &str) {
        let of = |host| [("demo", demo), ("host", host)];
        match self {
            Self::Simulated(place) => {
                events::drain(&place.near, log, &of("client"));
                events::drain(&place.far, log, &of("server"));
            }
            Self::Kernel(place) => events::drain(place.net(), log, &of("client")),
        }
    }

    /// The time in which it takes place.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Simulated(place) => place.simulation.now(),
            Self::Kernel(place) => place.now(),
        }
    }
}

/// How our end is configured: quiet unless it has something to say.
pub(crate) fn near_interface() -> InterfaceConfig {
    interface(NEAR, 2)
}

fn interface(address: IpAddr, last: u8) -> InterfaceConfig {
    let quiet = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last]));
    InterfaceConfig { dad: false, link_local: false, report_groups: false, ..quiet }.address(address, PREFIX)
}

/// Two of our stacks on a wire, in virtual time.
pub(crate) struct Simulated {
    simulation: Simulation,
    near: Net,
    far: Net,
    link: LinkId,
    heard: Log,
    /// Frames that were handed out.
    taken: usize,
    /// The link addresses of the two ends.
    addresses: [Option<MacAddr>; 2],
}

/// Virtual time after which a conversation counts as stuck.
const LIMIT: Duration = Duration::from_secs(3600);
/// Virtual time that the wire gets to become quiet.
const QUIET_LIMIT: Duration = Duration::from_secs(300);
const QUIET_STEP: Duration = Duration::from_millis(10);

impl Simulated {
    /// Both directions of the wire are as bad as `impairment`. All begins at `start`, so that several captures make
    /// one.
    pub(crate) fn new(
        impairment: Impairment,
        config: Config,
        start: Duration,
        capture: Option<&Capture>,
    ) -> io::Result<Self> {
        let seed = config.seed;
        let far_config = Config { seed: !seed, ..config.clone() };
        let mut simulation = Simulation::new(seed);
        simulation.run_for(start);
        let (client, near) = simulation.add_host("client", config, near_interface())?;
        let (server, far) = simulation.add_host("server", far_config, interface(FAR, 1))?;
        let link = simulation.connect(client.port(0), server.port(0), LinkConfig::both(impairment));
        let network = simulation.network_mut();
        network.record_fates(None);
        network.record_trace(MAX_FRAMES);
        if let Some(capture) = capture {
            network.capture_link(link, capture)?;
        }
        let heard = Log::default();
        peer::serve(&far, &simulation.spawner(), &heard)?;
        Ok(Self { simulation, near, far, link, heard, taken: 0, addresses: [None; 2] })
    }

    fn run<T, F>(&mut self, conversation: impl FnOnce(Net) -> F) -> (Option<T>, Recording)
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        let result = self.simulation.block_on(LIMIT, conversation(self.near.clone()));
        let until = self.simulation.now() + QUIET_LIMIT;
        while !self.is_quiet() && self.simulation.now() < until {
            self.simulation.run_for(QUIET_STEP);
        }
        let trace = self.simulation.network().trace();
        let sent = trace.map_or(&[][..], |trace| &trace.frames[self.taken..]);
        self.taken += sent.len();
        let near = self.simulation.network().link(self.link).ends()[0].node;
        let frames = sent.iter().map(|sent| {
            let from = if sent.from == near { Side::Near } else { Side::Far };
            Frame::new(sent.time, from, sent.passage, Some(sent.why), &sent.bytes)
        });
        let mut frames: Vec<_> = frames.collect();
        Frame::address(&mut frames, &mut self.addresses);
        (result, Recording { frames, heard: self.heard.borrow_mut().drain(..).collect() })
    }

    /// Nothing is on its way, and no connection is left at the far end.
    fn is_quiet(&self) -> bool {
        let link = self.simulation.network().link(self.link);
        let held = link.forward().held() + link.backward().held();
        let open = |net: &Net| net.with_stack(|stack, _| stack.socket_count());
        held == 0 && open(&self.far) <= peer::SOCKETS && open(&self.near) == 0
    }

    fn counts(&self) -> [Counts; 2] {
        let link = self.simulation.network().link(self.link);
        [*link.forward().counts(), *link.backward().counts()]
    }
}

/// Waits for `future`, but not longer than `span`.
pub(crate) async fn within<T>(net: &Net, span: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = pin!(net.sleep(span));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// A port of the far end.
pub(crate) const fn far(port: u16) -> SocketAddr {
    SocketAddr::new(FAR, port)
}
