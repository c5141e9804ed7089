//! Bulk transfer over TCP: one flow or several, stack to kernel and kernel to stack, beside every peer there is.

use std::io;
use std::time::Duration;

use ustack::device::smoltcp::Phy;

#[cfg(feature = "xdp")]
use super::bed;
use super::bed::{Bed, open_raw, open_tap};
use super::gauge::Run;
use super::measure::{CpuTime, Cpus, pin};
use super::peer::{self, Way};
use super::report::{Contender, Sample, Test, flow_count};
use super::smoltap::Own;
use super::{mini, ours, smoltap};

/// Who moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Who {
    /// ustack over a TAP.
    Ustack,
    /// ustack over a packet socket on a veth.
    #[value(name = "ustack-raw")]
    Raw,
    /// ustack over an XDP socket on a veth.
    #[cfg(feature = "xdp")]
    #[value(name = "ustack-xdp")]
    Xdp,
    /// The kernel over a veth.
    Kernel,
    /// smoltcp over its own TAP.
    SmoltcpOwn,
    /// smoltcp over our TAP.
    Smoltcp,
    /// No stack: the ceiling, with one copy in user space.
    #[value(name = "ceiling")]
    Mini,
    /// No stack and no copy.
    #[value(name = "ceiling-no-copy")]
    MiniPrepared,
}

/// Everybody on a TAP and the kernel, ours first.
pub const ALL: [Who; 6] =
    [Who::Ustack, Who::Kernel, Who::SmoltcpOwn, Who::Smoltcp, Who::Mini, Who::MiniPrepared];

impl Contender for Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ustack => "ustack",
            Self::Raw => "ustack, raw on veth",
            #[cfg(feature = "xdp")]
            Self::Xdp => "ustack, XDP on veth",
            Self::Kernel => "kernel over veth",
            Self::SmoltcpOwn => "smoltcp, own TAP",
            Self::Smoltcp => "smoltcp, our TAP",
            Self::Mini => "ceiling, one copy",
            Self::MiniPrepared => "ceiling, no copy",
        }
    }

    fn is_ours(self) -> bool {
        !matches!(self, Self::Kernel | Self::SmoltcpOwn | Self::Smoltcp | Self::Mini | Self::MiniPrepared)
    }
}

/// What is transferred, and how.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// How long each run is measured.
    pub span: Duration,
    /// How often the contenders take turns.
    pub rounds: usize,
    /// Processors: 1 or 2.
    pub cpus: u8,
    /// Connections at the same time.
    pub flows: usize,
    /// Whether the devices merge frames and complete checksums.
    pub offload: bool,
    /// Bytes of each buffer of ours, and the ceiling's window.
    pub buffer: usize,
    /// Bytes of each buffer of smoltcp's.
    pub smoltcp_buffer: usize,
    /// Bytes that applications hand over or ask for in one call.
    pub chunk: usize,
    /// Who takes part.
    pub who: Vec<Who>,
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            span: Duration::from_secs(1),
            rounds: 5,
            cpus: 2,
            flows: 1,
            offload: true,
            buffer: 1 << 20,
            smoltcp_buffer: 4 << 20,
            chunk: 128 << 10,
            who: ALL.to_vec(),
        }
    }
}

impl Bulk {
    /// Measures one way. What can only speak for one connection stays out of several.
    pub fn measure(&self, way: Way) -> Test {
        let speaks = |who: &Who| self.flows == 1 || !matches!(who, Who::Mini | Who::MiniPrepared);
        let who: Vec<Who> = self.who.iter().copied().filter(speaks).collect();
        let flows = flow_count(self.flows);
        let offload = if self.offload { "offloads" } else { "no offloads" };
        let name = format!("TCP {}, {flows}, {offload}", way.name());
        Test::alternate(name, Some(self.cpus), "Gbit/s", self.rounds, &who, |who| self.run(who, way))
    }

    /// One run of one contender.
    ///
    /// # Errors
    /// The kernel refuses something, or the connection breaks.
    pub fn run(&self, who: Who, way: Way) -> io::Result<Sample> {
        let cpus = Cpus::new(self.cpus);
        let bed = match who {
            Who::Kernel => Bed::veth(self.offload)?,
            Who::Raw => Bed::bare_veth(self.offload)?,
            #[cfg(feature = "xdp")]
            Who::Xdp => Bed::bare_veth(self.offload)?,
            _ => Bed::tap()?,
        };
        let run = Run::new();
        let peer = peer::Bulk::start(&bed, &run, cpus.peer, way, self.flows, self.chunk)?;
        let working = {
            let (run, settings) = (run.clone(), self.clone());
            bed.begin(move || {
                pin(cpus.contender);
                let used = settings.contend(who, &run, way);
                if used.is_err() {
                    run.fail();
                }
                used
            })?
        };
        let moved = run.measure(self.span);
        // Of several failures the contender's own says most.
        let (ours, theirs) = (working.end()?, peer.end());
        let (ours, moved) = (ours?, moved?);
        Ok(sample(self.cpus, moved.rate(), moved.count as f64, ours, theirs?))
    }

    fn contend(&self, who: Who, run: &std::sync::Arc<Run>, way: Way) -> io::Result<CpuTime> {
        let Self { flows, chunk, buffer, smoltcp_buffer, offload, .. } = *self;
        match who {
            Who::Kernel => peer::kernel(run, way, flows, chunk),
            Who::Ustack => ours::bulk(open_tap(offload)?, run, way, flows, buffer, chunk),
            Who::Raw => ours::bulk(open_raw(offload)?, run, way, flows, buffer, chunk),
            #[cfg(feature = "xdp")]
            Who::Xdp => ours::bulk(bed::open_xdp(offload)?, run, way, flows, buffer, chunk),
            Who::SmoltcpOwn => smoltap::bulk(Own::open()?, run, way, flows, buffer, chunk),
            Who::Smoltcp => {
                smoltap::bulk(Phy::new(open_tap(offload)?), run, way, flows, smoltcp_buffer, chunk)
            }
            Who::Mini => mini::bulk(open_tap(offload)?, run, way, buffer, true),
            Who::MiniPrepared => mini::bulk(open_tap(offload)?, run, way, buffer, false),
        }
    }
}

/// `by CPU time` is the rate if the busiest processor had done nothing else: on a machine that others use too, it says
/// more than the clock.
fn sample(cpus: u8, rate: f64, bytes: f64, ours: CpuTime, peer: CpuTime) -> Sample {
    let gigabytes = bytes / 1e9;
    let busiest = if cpus == 1 { (ours + peer).total() } else { ours.total().max(peer.total()) };
    let share = 100.0 * ours.user / ours.total().max(1e-9);
    Sample {
        value: rate * 8.0 / 1e9,
        by_cpu: (busiest > 0.0).then(|| 8.0 * gigabytes / busiest),
        columns: vec![
            ("user s/GB", ours.user / gigabytes),
            ("system s/GB", ours.system / gigabytes),
            ("user %", share),
            ("peer s/GB", peer.total() / gigabytes),
        ],
    }
}
