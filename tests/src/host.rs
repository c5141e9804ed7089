//! A stack of ours as a host beside a kernel in a namespace of its own.

use std::net::{IpAddr, SocketAddr};

use ustack::device::{Device, PacketBuilder, TapBuilder, TunBuilder, XdpBuilder};
use ustack::net::{Driver, Net};
use ustack::sim::{Impaired, Impairment};
use ustack::why::Reason;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, Stack};

use crate::kernel::{Namespace, Wire};
use crate::process::tool;
use crate::processor::OneProcessor;
use crate::tshark::{Capture, DSACK, FLOW_CONTROL, LATE, LOSS, OVERTAKEN, RESET, assert_clean_under_tshark};
use crate::wait::SOON;

/// The kernel's interface towards the stack.
pub const KERNEL_INTERFACE: &str = "eth0";
/// The stack's link address.
pub const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
/// The same as text.
pub const STACK_MAC: &str = "02:00:00:00:00:02";
/// The kernel's addresses.
pub const KERNEL: [&str; 2] = ["10.9.0.1", "fd09::1"];
/// The stack's addresses, in the same order.
pub const STACK: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// What tshark says of a checksum that the kernel makes now and then: it verifies, if it is unusual.
const KERNEL_CHECKSUM: &str = "TCP Checksum 0xffff instead of 0x0000";
/// What it says of one that was left open.
const OPEN_CHECKSUM: [&str; 2] = ["Bad checksum", "Partial"];
/// Such checksums of the stack's, which should make none (RFC 1624).
const OWN_CHECKSUM: &str = "(src 10.9.0.2 and ip proto 6 and tcp[16:2] = 0xffff) or \
     (src fd09::2 and ip6[6] = 6 and ip6[56:2] = 0xffff)";

/// What a bad link does to the frames of each direction.
pub const BAD: &str = "delay 500us loss 2% reorder 5% duplicate 2%";

/// What lies between the stack and the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A TAP whose wire ends in the stack.
    Tap,
    /// A TUN, which has no link header, no link addresses and no neighbours.
    Tun,
    /// A veth pair, with a packet socket of the stack's on the other end.
    Veth,
    /// A veth pair, with an XDP socket of the stack's on the other end.
    Xdp,
}

/// How a host is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What lies between.
    pub link: Link,
    /// Largest IP packet on the link.
    pub mtu: usize,
    /// Whether frames are merged and checksums left open, in both directions.
    pub merging: bool,
    /// Queues of the stack's end, each with a shard of its own.
    pub queues: usize,
    /// What happens to frames, the same in both directions, in netem's words.
    pub impairment: &'static str,
    /// Whether the stack checks its addresses for duplicates before it uses them.
    pub dad: bool,
    /// Whether the stack believes routers.
    pub advertisements: bool,
    /// Whether the kernel has the stack's addresses too.
    pub occupied: bool,
    /// Bytes of each frame that are captured; `None` for all.
    pub snaplen: Option<u32>,
    /// What the packet socket of a veth is to be like beside.
    pub packet: fn(PacketBuilder) -> PacketBuilder,
    /// The stack's configuration.
    pub config: Config,
}

impl Setup {
    /// A good link that carries packets of 1500 bytes.
    pub fn new(link: Link) -> Self {
        Self {
            link,
            mtu: 1500,
            merging: false,
            queues: 1,
            impairment: "",
            dad: false,
            advertisements: false,
            occupied: false,
            snaplen: None,
            packet: |builder| builder,
            config: Config::seeded(7),
        }
    }

    /// Makes the link lose, reorder and double frames.
    #[must_use]
    pub fn bad(self) -> Self {
        self.impaired(BAD)
    }

    /// Captures no more of each frame than its headers.
    #[must_use]
    pub fn headers(self) -> Self {
        Self { snaplen: Some(128), ..self }
    }

    /// Lets both sides merge frames and leave checksums open. The capture has no more than headers: tcpdump reserves
    /// room for the longest frame in each place of its ring.
    #[must_use]
    pub fn merging(self) -> Self {
        Self { merging: true, ..self }.headers()
    }

    /// Gives the stack's end so many queues, with a shard and a thread for each.
    #[must_use]
    pub fn queues(self, queues: usize) -> Self {
        Self { queues, ..self }
    }

    /// Makes the link bad.
    #[must_use]
    pub fn impaired(self, impairment: &'static str) -> Self {
        Self { impairment, ..self }
    }

    /// Makes the packet socket of a veth another.
    #[must_use]
    pub fn packet(self, packet: fn(PacketBuilder) -> PacketBuilder) -> Self {
        Self { packet, ..self }
    }

    /// Sets the largest IP packet.
    #[must_use]
    pub fn mtu(self, mtu: usize) -> Self {
        Self { mtu, ..self }
    }

    /// Makes the host.
    ///
    /// # Panics
    /// The kernel refuses: ask [`crate::kernel::ready`] first.
    pub fn build(self) -> Host {
        Host::build(&self)
    }
}

/// The stack at 10.9.0.2 and `fd09::2`, moved by a thread of this process; beside it a kernel at 10.9.0.1 and
/// `fd09::1`.
pub struct Host {
    /// Where the kernel's side runs.
    pub kernel: Namespace,
    /// The stack and its sockets.
    pub net: Net,
    /// The stack's interface.
    pub interface: InterfaceId,
    driver: Driver,
    capture: Capture,
    setup: Setup,
    /// The namespace of the veth's other end.
    other_end: Option<Namespace>,
    /// A virtual wire keeps the order of what leaves by one processor.
    _one_processor: Option<OneProcessor>,
}

impl Host {
    /// A stack on a good link.
    ///
    /// # Panics
    /// The kernel refuses: ask [`crate::kernel::ready`] first.
    pub fn on(link: Link) -> Self {
        Setup::new(link).build()
    }

    fn build(setup: &Setup) -> Self {
        let is_veth = matches!(setup.link, Link::Veth | Link::Xdp);
        let one_processor = is_veth.then(OneProcessor::take);
        let (kernel, other_end, devices) = match setup.link {
            Link::Tap => {
                let (kernel, devices) = tap(setup);
                (kernel, None, devices)
            }
            Link::Tun => {
                let (kernel, devices) = tun(setup);
                (kernel, None, devices)
            }
            Link::Veth | Link::Xdp => {
                let (kernel, other_end, devices) = veth(setup);
                (kernel, Some(other_end), devices)
            }
        };
        if setup.occupied {
            for (address, prefix) in STACK.into_iter().zip([24, 64]) {
                kernel.address(KERNEL_INTERFACE, ip(address), prefix);
            }
        }
        let impaired = |(queue, device)| match setup.impairment {
            "" => device,
            words => {
                let impairment: Impairment = words.parse().expect("netem's words");
                let seed = setup.config.seed + queue as u64;
                Box::new(Impaired::new(device, impairment, impairment, seed)) as Box<dyn Device>
            }
        };
        let devices = devices.into_iter().enumerate().map(impaired).collect();
        let net = Net::sharded(setup.config.clone(), setup.queues);
        let mut interface = InterfaceConfig::new(MAC).address(ip(STACK[0]), 24).address(ip(STACK[1]), 64);
        interface.dad = setup.dad;
        interface.accept_router_advertisements = setup.advertisements;
        let interface = net.attach_queues(interface, devices).expect("the configuration fits");
        // Without a link header tcpdump reserves room for the longest frame of all.
        let whole = if setup.link == Link::Tun { u32::try_from(setup.mtu).unwrap_or(0) } else { 0 };
        let capture = Capture::start_short(&kernel, KERNEL_INTERFACE, "", setup.snaplen.unwrap_or(whole));
        let driver = Driver::spawn(&net).expect("a thread is left");
        Self {
            kernel,
            net,
            interface,
            driver,
            capture,
            setup: setup.clone(),
            other_end,
            _one_processor: one_processor,
        }
    }

    /// How it was made.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// True if the link loses, reorders and doubles frames.
    pub fn is_bad(&self) -> bool {
        !self.setup.impairment.is_empty()
    }

    /// True if frames are merged.
    pub fn is_merging(&self) -> bool {
        self.setup.merging
    }

    /// A number that the stack knows, of all shards together.
    pub fn sum(&self, of: impl Fn(&Stack) -> u64) -> u64 {
        self.net.shards().map(|shard| shard.with_stack(|stack, _| of(stack))).sum()
    }

    /// What the kernel's side sends and receives, from the beginning.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// What the kernel's neighbour table says of an address.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn neighbor(&self, address: &str) -> String {
        let mut command = tool("ip");
        self.kernel.run(command.args(["neigh", "show", address, "dev", KERNEL_INTERFACE])).success().text()
    }

    /// Waits until nothing of a connection is left in the stack but TIME-WAIT.
    ///
    /// # Panics
    /// Sockets are left after a while.
    #[track_caller]
    pub fn wait_closed(&self) {
        crate::wait::until("the stack's sockets to be gone", SOON, || {
            self.sum(|stack| stack.socket_count() as u64) == 0
        });
    }

    /// What the wire itself has lost: it has little room for what its other end does not take at once, as on a busy
    /// machine.
    fn unsent(&self) -> u64 {
        let ends = [Some(&self.kernel), self.other_end.as_ref()];
        ends.into_iter().flatten().map(|end| end.unsent(KERNEL_INTERFACE)).sum()
    }

    /// Ends the stack: nothing went wrong with its device, and the capture is clean but for `allowed`.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn finish(self, allowed: &[&str]) {
        let errors = self.net.device_errors(self.interface);
        assert_eq!((errors.failed_reads, errors.last.as_deref()), (0, None), "{errors:?}");
        assert!(!self.driver.is_finished(), "{:?}", self.driver.stop());
        let hand_overs = self.net.hand_overs();
        assert!(hand_overs.iter().all(|it| it.refused == 0), "{hand_overs:?}");
        let (is_bad, unsent) = (self.is_bad(), self.unsent());
        let capture = self.capture.stop();
        // A window that is full to its last byte is no fault: either side may be as quick as that.
        let mut allowed = [allowed, LATE, &FLOW_CONTROL[..1], &[KERNEL_CHECKSUM]].concat();
        assert!(self.setup.merging || capture.count(OWN_CHECKSUM) == 0, "{:?}", capture.path());
        if self.setup.merging {
            // What the capture sees of a checksum that was left open is the pseudo header's sum.
            allowed.extend(OPEN_CHECKSUM);
        }
        if self.setup.queues > 1 {
            // The first frames of a flow may come by different queues: one that is overtaken by the end of its
            // connection is answered by a reset.
            allowed.extend(RESET);
        }
        if is_bad {
            // What comes late after the end is answered by a reset.
            allowed.extend([LOSS, DSACK, RESET, OVERTAKEN].concat());
        } else if unsent > 0 {
            eprintln!("the wire has lost {unsent} frames");
            allowed.extend([LOSS, DSACK].concat());
        } else if !allowed.contains(&LOSS[0]) {
            // The kernel answers at once, however busy the machine is; but it may delay an acknowledgment for longer
            // than a probe waits (RFC 8985 section 7.2).
            for shard in self.net.shards() {
                let stats = shard.with_stack(|stack, _| stack.stats());
                let probes = stats.sent.by(Reason::TailLossProbe);
                assert!(stats.tcp.retrans_segs <= probes, "{:?}: {:?}", capture.path(), stats.sent);
                if probes > 0 {
                    allowed.extend([LOSS, DSACK].concat());
                }
            }
        }
        assert_clean_under_tshark(capture.path(), &allowed);
    }
}

/// An address.
///
/// # Panics
/// It is none.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An address of one of the lists here, and a port.
///
/// # Panics
/// It is none.
pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// The queues of a device.
type Queues = Vec<Box<dyn Device>>;

fn boxed<D: Device + 'static>(queues: Vec<D>) -> Queues {
    queues.into_iter().map(|queue| Box::new(queue) as Box<dyn Device>).collect()
}

/// A kernel with a TAP or TUN: their builders differ in their types alone.
macro_rules! tunnel {
    ($builder:ident, $setup:expr) => {{
        let &Setup { mtu, merging, queues, .. } = $setup;
        let kernel = Namespace::new();
        let mut builder = $builder::new(KERNEL_INTERFACE).mtu(mtu);
        for (address, prefix) in KERNEL.into_iter().zip([24, 64]) {
            builder = builder.address(format!("{address}/{prefix}").as_str());
        }
        if merging {
            builder = builder.offload();
        }
        let built = kernel.enter(|| builder.up().build_queues(queues));
        let devices = built.expect("a namespace of our own takes such an interface");
        if !merging {
            kernel.no_offloads(KERNEL_INTERFACE);
        }
        (kernel, boxed(devices))
    }};
}

fn tap(setup: &Setup) -> (Namespace, Queues) {
    tunnel!(TapBuilder, setup)
}

fn tun(setup: &Setup) -> (Namespace, Queues) {
    tunnel!(TunBuilder, setup)
}

fn veth(setup: &Setup) -> (Namespace, Namespace, Queues) {
    let wire = Wire::to_bare_end();
    let mtu = setup.mtu;
    if mtu != 1500 {
        for end in [&wire.left, &wire.right] {
            end.ip(&format!("link set {KERNEL_INTERFACE} mtu {mtu}"));
        }
    }
    if setup.link == Link::Xdp {
        let builder = XdpBuilder::new(KERNEL_INTERFACE).mac(MAC.0).batch();
        let builder = if setup.merging { builder.open_sums() } else { builder };
        if setup.merging {
            wire.left.all_offloads(KERNEL_INTERFACE);
        }
        let device = wire.right.enter(|| builder.build()).expect("the machine's root may open an XDP socket");
        return (wire.left, wire.right, boxed(vec![device]));
    }
    let mut builder = (setup.packet)(PacketBuilder::new(KERNEL_INTERFACE).mac(MAC.0));
    if setup.merging {
        for end in [&wire.left, &wire.right] {
            end.all_offloads(KERNEL_INTERFACE);
        }
        builder = builder.offload();
    }
    let sockets = wire
        .right
        .enter(|| builder.build_queues(setup.queues))
        .expect("a namespace of our own takes a packet socket");
    (wire.left, wire.right, boxed(sockets))
}
