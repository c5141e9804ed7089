//! A stack of ours as a host beside a kernel in a namespace of its own.

use std::net::{IpAddr, SocketAddr};

use ustack::device::{Device, PacketBuilder, TapBuilder};
use ustack::net::{Driver, Net};
use ustack::sim::{Impaired, Impairment};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, Stack};

use crate::kernel::{Namespace, Wire};
use crate::process::tool;
use crate::tshark::Capture;

/// The kernel's interface towards the stack.
pub const KERNEL_INTERFACE: &str = "eth0";
/// The stack's link address.
pub const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
/// The kernel's addresses.
pub const KERNEL: [&str; 2] = ["10.9.0.1", "fd09::1"];
/// The stack's addresses, in the same order.
pub const STACK: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// What lies between the stack and the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A TAP whose wire ends in the stack.
    Tap,
    /// A veth pair, with a packet socket of the stack's on the other end.
    Veth,
}

impl Link {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tap, Self::Veth];
}

/// How a host is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What lies between.
    pub link: Link,
    /// Largest IP packet on the link.
    pub mtu: usize,
    /// What happens to frames, the same in both directions, in netem's words.
    pub impairment: &'static str,
    /// Whether the stack checks its addresses for duplicates before it uses them.
    pub dad: bool,
    /// The stack's configuration.
    pub config: Config,
}

impl Setup {
    /// A good link that carries packets of 1500 bytes.
    pub fn new(link: Link) -> Self {
        Self { link, mtu: 1500, impairment: "", dad: false, config: Config::seeded(7) }
    }

    /// Makes the link bad.
    #[must_use]
    pub fn impaired(self, impairment: &'static str) -> Self {
        Self { impairment, ..self }
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

/// The stack at 10.9.0.2 and `fd09::2`, moved by a thread of this process; beside it a kernel at 10.9.0.1 and `fd09::1`.
pub struct Host {
    /// Where the kernel's side runs.
    pub kernel: Namespace,
    /// The stack and its sockets.
    pub net: Net,
    /// The stack's interface.
    pub interface: InterfaceId,
    driver: Driver,
    /// The namespace of the veth's other end.
    _other_end: Option<Namespace>,
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
        let (kernel, other_end, device) = match setup.link {
            Link::Tap => {
                let (kernel, device) = tap(setup.mtu);
                (kernel, None, device)
            }
            Link::Veth => {
                let (kernel, other_end, device) = veth(setup.mtu);
                (kernel, Some(other_end), device)
            }
        };
        let device = match setup.impairment {
            "" => device,
            words => {
                let impairment: Impairment = words.parse().expect("netem's words");
                Box::new(Impaired::new(device, impairment, impairment, setup.config.seed))
            }
        };
        let net = Net::new(Stack::new(setup.config.clone()));
        let mut interface = InterfaceConfig::new(MAC).address(ip(STACK[0]), 24).address(ip(STACK[1]), 64);
        interface.dad = setup.dad;
        let interface = net.attach(interface, device).expect("the configuration fits");
        let driver = Driver::spawn(&net).expect("a thread is left");
        Self { kernel, net, interface, driver, _other_end: other_end }
    }

    /// Captures what the kernel's side sends and receives.
    ///
    /// # Panics
    /// As [`Capture::start`].
    #[track_caller]
    pub fn capture(&self, filter: &str) -> Capture {
        Capture::start(&self.kernel, KERNEL_INTERFACE, filter)
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
        crate::wait::until("the stack's sockets to be gone", crate::wait::SOON, || {
            self.net.with_stack(|stack, _| stack.socket_count() == 0)
        });
    }

    /// Ends the stack; a test that calls it knows that the device and the driver were well to the end.
    ///
    /// # Panics
    /// They were not.
    #[track_caller]
    pub fn finish(self) {
        let errors = self.net.device_errors(self.interface);
        assert_eq!((errors.failed_reads, errors.last.as_deref()), (0, None), "{errors:?}");
        self.driver.stop().expect("the driver was well");
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

fn tap(mtu: usize) -> (Namespace, Box<dyn Device>) {
    let kernel = Namespace::new();
    let mut builder = TapBuilder::new(KERNEL_INTERFACE).mtu(mtu);
    for (address, prefix) in KERNEL.into_iter().zip([24, 64]) {
        builder = builder.address(format!("{address}/{prefix}").as_str());
    }
    let tap = kernel.enter(|| builder.up().build()).expect("a namespace of our own takes a TAP");
    // A capture reserves room for the largest frame in each place of its ring: merged ones would leave it few places.
    kernel.no_offloads(KERNEL_INTERFACE);
    (kernel, Box::new(tap))
}

fn veth(mtu: usize) -> (Namespace, Namespace, Box<dyn Device>) {
    let wire = Wire::to_bare_end();
    if mtu != 1500 {
        for end in [&wire.left, &wire.right] {
            end.ip(&format!("link set {KERNEL_INTERFACE} mtu {mtu}"));
        }
    }
    let open = || PacketBuilder::new(KERNEL_INTERFACE).mac(MAC.0).build();
    let device = wire.right.enter(open).expect("a namespace of our own takes a packet socket");
    (wire.left, wire.right, Box::new(device))
}
