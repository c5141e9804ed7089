//! From what was typed to a stack that runs: wire, impairments, capture, addresses, seed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ustack::capture::{Capture, Tee};
use ustack::device::Device;
use ustack::ip::route::Route;
use ustack::net::{Driver, DriverBuilder, Net};
use ustack::sim::{Impaired, Impairment};
use ustack::tcp::{EcnPolicy, MtuProbing};
use ustack::time::Duration;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId};
use ustack_tools::events::EventLog;

use super::addresses::{AddressArgs, Addresses, mac_for};
use super::console::note;
use super::events::{self, EventsArgs};
use super::failure::Failure;
use super::impairment::ImpairmentArgs;
use super::keys;
use super::ready;
use super::repeat;
use super::wire::{Open, WireArgs};

/// Everything about the stack that can be typed, for all subcommands that run one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StackArgs {
    #[command(flatten)]
    pub(crate) wire: WireArgs,
    #[command(flatten)]
    pub(crate) addresses: AddressArgs,
    #[command(flatten)]
    pub(crate) impairment: ImpairmentArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// TCP Fast Open: take data in SYNs from clients with a cookie, and ask servers for theirs
    #[arg(long, help_heading = "TCP")]
    pub(crate) fast_open: bool,
    /// Look for the largest segments that the path takes: off, black-hole (as by default: when large ones vanish),
    /// always
    #[arg(long, value_name = "WHEN", value_parser = mtu_probing, help_heading = "TCP")]
    pub(crate) mtu_probing: Option<MtuProbing>,
    /// Sign segments with the keys of this file (MD5, TCP-AO), a line each: `PEERS md5 SECRET` or `PEERS ao SEND RECV
    /// SECRET`
    #[arg(long, value_name = "FILE", help_heading = "TCP")]
    pub(crate) keys: Option<PathBuf>,
}

/// Connections of one listener that Fast Open has begun and that are not confirmed.
const FAST_OPEN_QUEUE: usize = 64;

/// How the run is written down and repeated.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Write all packets to this file (pcapng), with the reason of each as its comment
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// What looks random follows from it: sequence numbers, ports, the luck of impairments
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Explicit congestion notification: off, answer (as by default), classic, accurate, or a number of Linux's tcp_ecn
    #[arg(long, value_name = "POLICY", value_parser = ecn_policy)]
    pub(crate) ecn: Option<EcnPolicy>,
}

fn ecn_policy(word: &str) -> Result<EcnPolicy, String> {
    let expected = || format!("expected {} or a number from 0 to 5", EcnPolicy::NAMES.join(", "));
    EcnPolicy::named(word).ok_or_else(expected)
}

fn mtu_probing(word: &str) -> Result<MtuProbing, String> {
    let expected = || format!("expected {}", MtuProbing::NAMES.join(", "));
    MtuProbing::named(word).ok_or_else(expected)
}

/// What can run: checked, but nothing is open yet.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    args: StackArgs,
    impairment: Impairment,
    seed: u64,
    events: EventsArgs,
}

/// A stack on its wire. Something has to drive it.
pub(crate) struct Running {
    pub(crate) net: Net,
    pub(crate) interface: InterfaceId,
    capture: Option<(Capture, PathBuf)>,
    events: Option<EventLog>,
    events_args: EventsArgs,
    /// Addresses become ours while we run.
    arrivals: bool,
    /// Among them those that routers tell of.
    pub(super) hears_routers: bool,
    busy_poll: Duration,
}

impl StackArgs {
    /// Checks what was typed.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let AddressArgs { address, accept_router_advertisements, .. } = &self.addresses;
        if self.wire.is_network() && address.is_empty() && !accept_router_advertisements {
            let text = "which address is free on that network? Give one: --address 192.168.1.200/24";
            return Err(Failure::Usage(text.into()));
        }
        if self.wire.queues > 1 && !self.wire.has_queues() {
            return Err(Failure::Usage("only --tap, --tun and --raw have several queues".into()));
        }
        self.addresses.check()?;
        let seed = match self.run.seed {
            Some(seed) => seed,
            None => repeat::random_seed().map_err(|error| Failure::cannot_open("/dev/urandom", &error))?,
        };
        Ok(Plan {
            impairment: self.impairment.impairment()?,
            args: self.clone(),
            seed,
            events: EventsArgs::default(),
        })
    }
}

impl Plan {
    /// The same, but what connections decide is written down.
    pub(crate) fn observed(self, events: &EventsArgs) -> Self {
        Self { events: events.clone(), ..self }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.args.addresses.addresses(0)
    }

    pub(crate) fn mtu(&self) -> Option<u16> {
        self.args.wire.mtu
    }

    /// Queues of the wire, and shards of the host.
    pub(crate) fn queues(&self) -> usize {
        self.args.wire.queues.into()
    }

    /// Whether frames may be merged and checksums left open: not where each packet is to have a fate of its own.
    pub(crate) fn offload(&self) -> bool {
        !self.args.wire.no_offload && self.impairment.is_none()
    }

    /// Opens the wire that was chosen, and puts a stack on it.
    pub(crate) fn open(&self) -> Result<Running, Failure> {
        let wire = self.args.wire.wire();
        let AddressArgs { mac, .. } = self.args.addresses;
        self.open_on(wire.open(&self.addresses().kernel, self.mtu(), mac, self.offload(), self.queues())?)
    }

    /// Puts a stack on a wire.
    pub(crate) fn open_on(&self, open: Open) -> Result<Running, Failure> {
        let Open { devices, name, mac, place } = open;
        let mut addresses = self.args.addresses.addresses(place);
        if self.args.wire.is_network() && self.args.addresses.address.is_empty() {
            // They come from router advertisements.
            addresses.stack.clear();
        }
        let capture = self.args.run.capture.clone().map(|path| {
            let capture = Capture::create(&path, since_1970());
            let capture = capture.map_err(|error| Failure::cannot_open(path.display(), &error))?;
            Ok::<_, Failure>((capture, path))
        });
        let capture = capture.transpose()?;
        let capturing = capture.as_ref().map(|(capture, _)| capture);
        let wrapped = devices
            .into_iter()
            .zip(self.seed..)
            .map(|(device, seed)| self.wrap(device, capturing, &name, seed));
        let devices: Vec<_> = wrapped.collect::<Result<_, _>>()?;
        let config = self.interface_config(&addresses, mac);
        let events_args = self.events.clone();
        let mut stack = Config::seeded(self.seed);
        stack.tcp.observe = events_args.is_wanted();
        if self.args.fast_open {
            stack.tcp.fast_open_queue = FAST_OPEN_QUEUE;
            stack.tcp.fast_open_connect = true;
        }
        stack.tcp.mtu_probing = self.args.mtu_probing.unwrap_or_default();
        stack.tcp.ecn = self.args.run.ecn.unwrap_or_default();
        stack.tcp.keys = self.args.keys.as_deref().map(keys::read).transpose()?.map(Arc::new);
        let (net, events) = (Net::sharded(stack, devices.len()), events_args.log()?);
        let refused =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("the stack refuses {name}: {error}"));
        let interface = net.attach_queues(config, devices).map_err(|error| refused(&error))?;
        for &gateway in &self.args.addresses.gateway {
            let route = Route::default_via(gateway, interface);
            for shard in net.shards() {
                shard.with_stack(|stack, _| stack.add_route(route)).map_err(|error| refused(&error))?;
            }
        }
        let typed = &self.args.addresses;
        let ours: Vec<_> = addresses.stack.iter().map(ToString::to_string).collect();
        note!(
            "{} on {name}",
            if ours.is_empty() { "addresses by advertisement".into() } else { ours.join(", ") }
        );
        if !self.impairment.is_none() {
            note!("both directions: {}", self.impairment);
        }
        note!("seed {}; again: {}", self.seed, repeat::command(self.seed));
        let hears_routers = typed.accept_router_advertisements;
        let arrivals = typed.detect_duplicates || hears_routers;
        let busy_poll = Duration::from_micros(self.args.wire.busy_poll.into());
        Ok(Running { net, interface, capture, events, events_args, arrivals, hears_routers, busy_poll })
    }

    /// The device as the stack is to see it. The capture stands between the stack and the impairments.
    fn wrap(
        &self,
        device: Box<dyn Device>,
        capture: Option<&Capture>,
        name: &str,
        seed: u64,
    ) -> Result<Box<dyn Device>, Failure> {
        let unwritable = |error: std::io::Error| Failure::Unmet(format!("cannot write the capture: {error}"));
        if self.impairment.is_none() {
            return Ok(match capture {
                Some(capture) => Box::new(Tee::new(device, capture.clone(), name).map_err(unwritable)?),
                None => device,
            });
        }
        let mut impaired = Impaired::new(device, self.impairment, self.impairment, seed);
        if let Some(capture) = capture {
            impaired.capture(capture.clone(), name).map_err(unwritable)?;
        }
        Ok(Box::new(impaired))
    }

    fn interface_config(&self, addresses: &Addresses, mac: Option<MacAddr>) -> InterfaceConfig {
        let typed = &self.args.addresses;
        let first = addresses.stack.first().map(|cidr| mac_for(cidr.address()));
        let mac = typed.mac.or(mac).or(first).unwrap_or(MacAddr([0x02, b'u', b's', 0, 0, 1]));
        InterfaceConfig {
            addresses: addresses.stack.iter().map(|cidr| (cidr.address(), cidr.prefix_len())).collect(),
            dad: typed.detect_duplicates,
            accept_router_advertisements: typed.accept_router_advertisements,
            mtu: self.args.wire.mtu.map(usize::from),
            ..InterfaceConfig::new(mac)
        }
    }
}

impl Running {
    /// How the net is to be moved, and its shards.
    pub(crate) fn driver(&self, net: &Net) -> DriverBuilder {
        Driver::builder(net).busy_poll(self.busy_poll)
    }

    /// Writes decisions down as they are made, for ever; if nobody wants them, it only waits.
    pub(crate) async fn follow(&self) -> Infallible {
        match &self.events {
            Some(log) => events::follow(&self.net, log).await,
            None => std::future::pending().await,
        }
    }

    /// Tells what happens to our addresses, for ever.
    pub(crate) async fn watch(&self) -> Infallible {
        ready::watch(&self.net, self.arrivals).await
    }

    /// Completes the capture and the decisions, and tells what went wrong on the way.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let errors = self.net.device_errors(self.interface);
        if let Some(last) = errors.last {
            note!(
                "the device refused {} frames, and failed to read {}: {last}",
                errors.refused,
                errors.failed_reads
            );
        }
        if errors.missed > 0 {
            note!("{} frames came too fast, and were lost", errors.missed);
        }
        if let Some(log) = &self.events {
            events::drain(&self.net, log, &[]);
        }
        self.events_args.finish(self.events.as_ref())?;
        let Some((capture, path)) = &self.capture else { return Ok(()) };
        capture
            .finish()
            .map_err(|error| Failure::Unmet(format!("cannot write {}: {error}", path.display())))?;
        note!("{} packets in {1}; read them: ustack decode {1}", capture.packets(), path.display());
        Ok(())
    }
}

/// Now, for people who read the capture.
#[allow(clippy::disallowed_methods, reason = "a capture tells the time of day")]
pub(crate) fn since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
