//! Private networks: a command that runs at the other end of the stack's wire, in namespaces of its own.
//!
//! ```text
//!   this process               the command's namespaces
//!   stack -- Wire ======= tap0 10.9.0.1 -- the kernel's TCP -- CMD
//! ```
//!
//! The child makes everything between `fork` and `exec`, where it has one thread and may enter namespaces, and passes
//! the wire's end back to us. Whatever it made ends with the command and the wire.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use super::setup::Setup;
use super::sys::{self, IfName, SignalForwarding, Watcher};
use super::tap::{Queue, Tap, check_queues, interface_name};
use super::{Capabilities, Cidr, Device, Error, Medium, Packet};
use crate::buf::frame::{RxFrame, TxFrame};
#[cfg(doc)]
use crate::buf::shard::Shard;
use crate::time::Instant;

mod child;
mod rest;

use child::{Kind, Plan, Report};

/// The MTU unless told otherwise.
const DEFAULT_MTU: usize = 1500;
/// The link address that we propose for the stack's end of a virtual wire: `ustac` in a locally administered address.
const STACK_MAC: [u8; 6] = [0x02, b'u', b's', b't', b'a', b'c'];

/// A private network for one command: a link to the stack, and nothing else.
///
/// As root it is a network namespace; else a user namespace too, in which the command is root. Where `/dev/net/tun` may
/// not be opened, the link is a virtual wire and a packet socket instead of a TAP: the command sees no difference.
///
/// ```no_run
/// # use std::process::Command;
/// # use ustack::device::Namespace;
/// let network = Namespace::new("tap0").address("10.9.0.1/24").default_route("10.9.0.2".parse()?);
/// let (mut guest, wire) = network.spawn(Command::new("sh"))?;
/// // ... drive a stack over `wire` until `guest` ends ...
/// std::process::exit(ustack::device::namespace::exit_code(guest.wait()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Namespace {
    name: String,
    setup: Setup,
    user: bool,
    tap: bool,
    offload: bool,
    forward_signals: bool,
    nonsense: Option<Error>,
}

impl Namespace {
    /// A private network whose link to the stack has that name.
    pub fn new(name: &str) -> Self {
        let setup = Setup { up: true, mtu: Some(DEFAULT_MTU), ..Setup::default() };
        Self {
            name: name.into(),
            setup,
            user: !sys::is_root(),
            tap: true,
            offload: false,
            forward_signals: false,
            nonsense: None,
        }
    }

    /// Gives the command's side an address; can be called many times.
    pub fn address<A>(mut self, address: A) -> Self
    where
        A: TryInto<Cidr>,
        Error: From<A::Error>,
    {
        match address.try_into() {
            Ok(address) => self.setup.addresses.push(address),
            Err(error) => self.nonsense = self.nonsense.or(Some(error.into())),
        }
        self
    }

    /// Sends everything that has no better route to the stack, which has that address; one for each family.
    pub fn default_route(mut self, gateway: IpAddr) -> Self {
        self.setup.gateways.push(gateway);
        self
    }

    /// The largest IP packet, in bytes (1500 unless told otherwise).
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.setup.mtu = Some(mtu);
        self
    }

    /// The link address of the command's side (random unless told otherwise).
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.setup.mac = Some(mac);
        self
    }

    /// Makes a user namespace even as root.
    pub fn user_namespace(mut self) -> Self {
        self.user = true;
        self
    }

    /// Uses a virtual wire even where a TAP could be made.
    pub fn without_tap(mut self) -> Self {
        self.tap = false;
        self
    }

    /// Lets the stack send merged frames and partial checksums; the wire's `capabilities` then say so.
    pub fn offload(mut self) -> Self {
        self.offload = true;
        self
    }

    /// Passes signals that ask this process to end on to the command, from its first moment to the guest's end.
    pub fn forward_signals(mut self) -> Self {
        self.forward_signals = true;
        self
    }

    /// Makes the network, starts the command in it, and hands over the stack's end of the wire.
    ///
    /// The command is killed when the thread that called this ends.
    ///
    /// # Errors
    /// The kernel gives us no namespace, the network cannot be configured, there is no such command, or signals go to
    /// another command already: the message says which, and what mends it.
    pub fn spawn(self, command: Command) -> Result<(Guest, Wire), Error> {
        let (guest, mut wires) = self.spawn_queues(command, 1)?;
        let wire = wires.pop().ok_or_else(|| Error::invalid("a wire without an end", "one was made"))?;
        Ok((guest, wire))
    }

    /// As [`Self::spawn`], but our end of the wire has so many queues, at most [`Shard::MOST`], one for each shard of a
    /// host.
    ///
    /// # Errors
    /// As there.
    pub fn spawn_queues(mut self, mut command: Command, queues: usize) -> Result<(Guest, Vec<Wire>), Error> {
        check_queues(queues)?;
        if let Some(error) = self.nonsense.take() {
            return Err(error);
        }
        let name = interface_name(&self.name)?;
        let mtu = self.setup.mtu.unwrap_or(DEFAULT_MTU);
        let Self { setup, user, tap, offload, .. } = self;
        let plan = Plan { name, setup, user, tap, offload, queues };
        let program = command.get_program().to_string_lossy().into_owned();
        let fail = |cause| Error::new(format!("cannot run `{program}`"), cause);

        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        let watcher = Watcher::start(rest::kill_all_in).map_err(fail)?;
        let lifeline = watcher.lifeline().try_clone_to_owned().map_err(fail)?;
        let forwarding = self.forward_signals.then(SignalForwarding::begin).transpose().map_err(fail)?;
        let held = forwarding.as_ref().map(SignalForwarding::hold);
        let undo = held.as_ref().map(|held| held.undo_in_child());
        let in_child = plan.clone();
        sys::before_exec(&mut command, move || {
            undo.iter().for_each(|undo| undo());
            in_child.carry_out(theirs.as_fd(), lifeline.as_fd())
        });
        let spawned = command.spawn();
        drop(held);
        // With the command goes our copy of the child's end, so that reading ends if the child said nothing.
        drop(command);
        match (Report::receive(ours.as_fd()).map_err(fail)?, spawned) {
            (Report::Failed(step, cause), spawned) => {
                // A child that failed does not get as far as its program; `spawn` has waited for it.
                drop(spawned.map(|child| Guest::new(child, 0, None, watcher)));
                Err(step.explain(&plan, cause))
            }
            (_, Err(cause)) => Err(fail(cause)),
            (Report::Made { kind, ends, network }, Ok(child)) => {
                let guest = Guest::new(child, network, forwarding, watcher);
                let wire = |end| Wire::new(kind, name, end, mtu, plan.offload);
                Ok((guest, ends.into_iter().map(wire).collect()))
            }
            (Report::Nothing, Ok(child)) => {
                drop(Guest::new(child, 0, None, watcher));
                Err(fail(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}

/// The command that runs in a private network. It and all whom it started there are killed when this is dropped, or
/// when this process is killed, for which a small process of ours watches.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    /// Readable when the command has ended; missing on kernels before 5.3.
    ended: Option<OwnedFd>,
    /// The number of its network namespace; 0 if there is none.
    network: u64,
    _forwarding: Option<SignalForwarding>,
    _watcher: Watcher,
}

impl Guest {
    fn new(child: Child, network: u64, forwarding: Option<SignalForwarding>, watcher: Watcher) -> Self {
        let ended = sys::pidfd(child.id()).ok();
        if let Some(forwarding) = &forwarding {
            forwarding.to(child.id());
        }
        Self { child, ended, network, _forwarding: forwarding, _watcher: watcher }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What becomes readable when the command has ended; `None` if the kernel is too old for that.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.ended.as_ref().map(AsFd::as_fd)
    }

    /// The command's streams, where they were asked to be pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the command ends.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// How the command ended; `None` while it runs.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail if it has ended, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        rest::kill_all_in(self.network);
    }
}

/// What a shell would answer for a command that ended so: its code, or 128 and the signal.
pub fn exit_code(status: ExitStatus) -> i32 {
    /// What shells add to a signal.
    const SIGNALLED: i32 = 128;
    status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal)).unwrap_or(1)
}

/// The stack's end of the wire into a private network.
#[derive(Debug)]
pub enum Wire {
    /// The other end is a TAP.
    Tap(Tap),
    /// The other end is a virtual wire, of which we have a packet socket.
    Packet(Packet),
}

impl Wire {
    fn new(kind: Kind, name: IfName, end: OwnedFd, mtu: usize, offload: bool) -> Self {
        match kind {
            Kind::Tap => {
                Self::Tap(Tap::from_queue(Queue::new(name, end.into(), Medium::Ethernet, mtu, offload)))
            }
            Kind::Packet => Self::Packet(Packet::from_socket(name, STACK_MAC, end, mtu, offload)),
        }
    }
}

impl Device for Wire {
    fn capabilities(&self) -> Capabilities {
        match self {
            Self::Tap(tap) => tap.capabilities(),
            Self::Packet(packet) => packet.capabilities(),
        }
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        match self {
            Self::Tap(tap) => tap.recv(now),
            Self::Packet(packet) => packet.recv(now),
        }
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        match self {
            Self::Tap(tap) => tap.send(now, frame),
            Self::Packet(packet) => packet.send(now, frame),
        }
    }

    fn flush(&mut self, now: Instant) -> io::Result<usize> {
        match self {
            Self::Tap(tap) => tap.flush(now),
            Self::Packet(packet) => packet.flush(now),
        }
    }

    fn missed(&mut self) -> u64 {
        match self {
            Self::Tap(tap) => tap.missed(),
            Self::Packet(packet) => packet.missed(),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tap(tap) => tap.as_fd(),
            Self::Packet(packet) => packet.as_fd(),
        }
    }
}
