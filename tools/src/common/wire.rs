//! Which wire the stack is on: `--tap`, `--tun`, `--raw`, `--xdp`, `--pnet` or `--hub`.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "xdp")]
use ustack::device::XdpBuilder;
use ustack::device::{Cidr, Device, PacketBuilder, PnetBuilder, TapBuilder, TunBuilder};
use ustack::wire::ethernet::MacAddr;

use super::failure::Failure;
use super::hub::Hub;

/// The wire, as it is typed.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Wire")]
pub(crate) struct WireArgs {
    /// Talk with this machine through a TAP of this name, made if it is not there [default: tap0]
    #[arg(long, value_name = "NAME", group = "wire")]
    pub(crate) tap: Option<String>,
    /// Talk with this machine through a TUN: IP packets without Ethernet
    #[arg(long, value_name = "NAME", group = "wire")]
    pub(crate) tun: Option<String>,
    /// Join the network behind an interface by a packet socket; needs --address
    #[arg(long, value_name = "INTERFACE", group = "wire")]
    pub(crate) raw: Option<String>,
    /// The same by an XDP socket, past the kernel's stack, which hears no more ARP requests there; as the machine's
    /// root
    #[cfg(feature = "xdp")]
    #[arg(long, value_name = "INTERFACE", group = "wire")]
    pub(crate) xdp: Option<String>,
    /// Take received checksums for verified: with --xdp on a virtual wire whose other end leaves them open
    #[cfg(feature = "xdp")]
    #[arg(long, requires = "xdp")]
    pub(crate) open_sums: bool,
    /// The same through the portable `pnet` library, which is slower
    #[arg(long, value_name = "INTERFACE", group = "wire")]
    pub(crate) pnet: Option<String>,
    /// Talk with other ustacks that name the same folder; needs no privilege
    #[arg(long, value_name = "FOLDER", group = "wire")]
    pub(crate) hub: Option<PathBuf>,
    /// With --raw: let received frames wait for others so many milliseconds; for floods of small packets that nobody
    /// waits for
    #[arg(long, value_name = "MS", requires = "raw", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) coalesce: Option<u16>,
    /// Largest IP packet on the wire, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: Option<u16>,
    /// Queues of a TAP, a TUN or a packet socket, each with a stack and a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) queues: u8,
    /// After a frame, ask for the next one for up to so long before sleeping
    #[arg(long, value_name = "US", default_value_t = 0, hide_default_value = true)]
    pub(crate) busy_poll: u32,
    /// One packet in each frame, and every checksum complete, as on a real wire; always so with impairments
    #[arg(long)]
    pub(crate) no_offload: bool,
}

/// A wire that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Tap(String),
    Tun(String),
    Raw {
        name: String,
        coalesce: Option<Duration>,
    },
    #[cfg(feature = "xdp")]
    Xdp {
        name: String,
        open_sums: bool,
    },
    Pnet(String),
    Hub(PathBuf),
}

/// A wire that is open.
pub(crate) struct Open {
    /// One for each queue.
    pub(crate) devices: Vec<Box<dyn Device>>,
    /// What it is called in messages and captures.
    pub(crate) name: String,
    /// The link address that the device expects us to have.
    pub(crate) mac: Option<MacAddr>,
    /// Our place in a hub.
    pub(crate) place: u8,
}

impl WireArgs {
    /// What was chosen; `tap0` if nothing was.
    pub(crate) fn wire(&self) -> Wire {
        let Self { tap, tun, raw, pnet, hub, .. } = self;
        let choices = [
            tun.clone().map(Wire::Tun),
            raw.clone().map(|name| Wire::Raw { name, coalesce: self.coalesce() }),
            self.xdp(),
            pnet.clone().map(Wire::Pnet),
            hub.clone().map(Wire::Hub),
        ];
        let tap = || Wire::Tap(tap.clone().unwrap_or_else(|| "tap0".into()));
        choices.into_iter().flatten().next().unwrap_or_else(tap)
    }

    /// Whether the wire can have several queues.
    pub(crate) fn has_queues(&self) -> bool {
        self.pnet.is_none() && self.hub.is_none() && self.xdp().is_none()
    }

    /// Whether the wire is a network that others live on too.
    pub(crate) fn is_network(&self) -> bool {
        self.raw.is_some() || self.pnet.is_some() || self.xdp().is_some()
    }

    fn coalesce(&self) -> Option<Duration> {
        self.coalesce.map(|millis| Duration::from_millis(millis.into()))
    }

    #[cfg(feature = "xdp")]
    fn xdp(&self) -> Option<Wire> {
        let Self { xdp, open_sums, .. } = self;
        xdp.clone().map(|name| Wire::Xdp { name, open_sums: *open_sums })
    }

    #[cfg(not(feature = "xdp"))]
    fn xdp(&self) -> Option<Wire> {
        None
    }
}

/// Devices as the stack takes them.
pub(crate) fn boxed<D: Device + 'static>(devices: Vec<D>) -> Vec<Box<dyn Device>> {
    devices.into_iter().map(|device| Box::new(device) as Box<dyn Device>).collect()
}

impl Wire {
    /// Opens it; of TAP and TUN, `kernel` are the addresses of the kernel's end. With `offload`, frames may be merged
    /// and checksums left open where the wire can do that.
    pub(crate) fn open(
        &self,
        kernel: &[Cidr],
        mtu: Option<u16>,
        mac: Option<MacAddr>,
        offload: bool,
        queues: usize,
    ) -> Result<Open, Failure> {
        let mtu = mtu.map(usize::from);
        let open = |devices, name: &str, mac| Open { devices, name: name.into(), mac, place: 0 };
        Ok(match self {
            Self::Tap(name) => {
                let builder =
                    kernel.iter().fold(TapBuilder::new(name).up(), |builder, &cidr| builder.address(cidr));
                let builder = mtu.into_iter().fold(builder, TapBuilder::mtu);
                let taps = if offload { builder.offload() } else { builder }.build_queues(queues)?;
                let name = taps[0].name().to_string();
                open(boxed(taps), &name, None)
            }
            Self::Tun(name) => {
                let builder =
                    kernel.iter().fold(TunBuilder::new(name).up(), |builder, &cidr| builder.address(cidr));
                let builder = mtu.into_iter().fold(builder, TunBuilder::mtu);
                let tuns = if offload { builder.offload() } else { builder }.build_queues(queues)?;
                let name = tuns[0].name().to_string();
                open(boxed(tuns), &name, None)
            }
            Self::Raw { name, coalesce } => {
                let builder = PacketBuilder::new(name).batch();
                let builder = coalesce.iter().fold(builder, |builder, &time| builder.coalesce(time));
                let builder = mac.iter().fold(builder, |builder, mac| builder.mac(mac.octets()));
                let packets = if offload { builder.offload() } else { builder }.build_queues(queues)?;
                let mac = Some(MacAddr(packets[0].mac()));
                open(boxed(packets), name, mac)
            }
            #[cfg(feature = "xdp")]
            Self::Xdp { name, open_sums } => {
                let builder = XdpBuilder::new(name).batch();
                let builder = mac.iter().fold(builder, |builder, mac| builder.mac(mac.octets()));
                let xdp = if *open_sums { builder.open_sums() } else { builder }.build()?;
                let mac = Some(MacAddr(xdp.mac()));
                open(vec![Box::new(xdp)], name, mac)
            }
            Self::Pnet(name) => {
                let builder = PnetBuilder::new(name).switch_off_offloads();
                let pnet = mac.iter().fold(builder, |builder, mac| builder.mac(mac.octets())).build()?;
                let mac = Some(MacAddr(pnet.mac()));
                open(vec![Box::new(pnet)], name, mac)
            }
            Self::Hub(folder) => {
                let join = Hub::join(folder);
                let hub = join.map_err(|error| {
                    Failure::Device(format!("cannot join the hub {}: {error}", folder.display()))
                })?;
                let place = hub.number();
                Open { place, ..open(vec![Box::new(hub)], &format!("hub {}", folder.display()), None) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_is_the_default() {
        assert_eq!(WireArgs::default().wire(), Wire::Tap("tap0".into()));
    }

    #[test]
    fn what_is_named_is_taken() {
        let args = WireArgs { raw: Some("eth0".into()), ..WireArgs::default() };
        assert_eq!(args.wire(), Wire::Raw { name: "eth0".into(), coalesce: None });
        assert!(args.is_network());
        let args = WireArgs { coalesce: Some(3), ..args };
        let coalesce = Some(Duration::from_millis(3));
        assert_eq!(args.wire(), Wire::Raw { name: "eth0".into(), coalesce });
    }
}
