//! What the child does between `fork` and `exec`, and how it tells us. Nothing here allocates before the report is
//! sent.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::super::netlink::{LinkChange, Netlink};
use super::super::setup::{self, Setup, Step as SetupStep};
use super::super::sys::{self, Control, IfName};
use super::super::{Error, Medium, filter, packet, probe, tap};
use crate::buf::shard::Shard;

/// The loopback is the first interface of each network namespace.
const LOOPBACK: u32 = 1;
/// Our end of the virtual wire, in a namespace that the command does not see.
const STACK_END: &str = "stack0";

/// What is to be made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: IfName,
    pub(super) setup: Setup,
    pub(super) user: bool,
    pub(super) tap: bool,
    pub(super) offload: bool,
    /// Queues of our end, at most [`Shard::MOST`].
    pub(super) queues: usize,
}

/// Our end of the wire: a descriptor for each queue.
type Ends = arrayvec::ArrayVec<OwnedFd, { Shard::MOST }>;

/// What our end of the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tap,
    Packet,
}

/// A step of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Namespaces,
    Loopback,
    VirtualWire,
    PacketSocket,
    Setup(SetupStep),
    Parent,
}

type Failure = (Step, io::Error);

fn at(step: Step) -> impl Fn(io::Error) -> Failure {
    move |error| (step, error)
}

impl Plan {
    /// Makes everything and reports; whoever watches over the network, if we cannot any more, gets its number.
    pub(super) fn carry_out(&self, parent: BorrowedFd<'_>, watcher: BorrowedFd<'_>) -> io::Result<()> {
        match self.make() {
            Ok((kind, ends)) => {
                let network = fs::metadata("/proc/self/ns/net").map_or(0, |found| found.ino());
                // It may have found that it cannot watch.
                let _ = sys::send_with_fd(watcher, &network.to_ne_bytes(), None);
                Report::send_made(parent, kind, network, &ends)
            }
            Err((step, error)) => {
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                Report::send_failed(parent, self, step, code)?;
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }

    fn make(&self) -> Result<(Kind, Ends), Failure> {
        self.enter().map_err(at(Step::Namespaces))?;
        let (kind, ends) = match self.tap.then(|| self.tap_queues()) {
            Some(Ok(ends)) => (Kind::Tap, ends),
            // An ordinary user may be kept from /dev/net/tun, but not from a virtual wire.
            Some(Err(_)) | None => (Kind::Packet, self.virtual_wire()?),
        };
        loopback_up().map_err(at(Step::Loopback))?;
        self.setup.apply(&self.name).map_err(|(step, error)| (Step::Setup(step), error))?;
        sys::die_with_parent().map_err(at(Step::Parent))?;
        Ok((kind, ends))
    }

    fn tap_queues(&self) -> io::Result<Ends> {
        let open = || tap::open(&self.name, Medium::Ethernet, self.offload, self.queues > 1);
        (0..self.queues).map(|_| open().map(|(_, file)| file.into()).map_err(|(_, error)| error)).collect()
    }

    fn enter(&self) -> io::Result<()> {
        if self.user {
            return sys::unshare_user_and_network();
        }
        // A root that lost its privileges (in a container) is an ordinary user.
        sys::unshare_network().or_else(|_| sys::unshare_user_and_network())
    }

    /// Makes a pair of links, keeps one end for a packet socket, and takes the other into a further namespace, where no
    /// one sees the first. That ends with the socket, and with it the wire.
    fn virtual_wire(&self) -> Result<Ends, Failure> {
        let wire = at(Step::VirtualWire);
        let stack_end = IfName::new(STACK_END).ok_or_else(|| wire(io::ErrorKind::InvalidInput.into()))?;
        let mut netlink = Netlink::open().map_err(&wire)?;
        netlink.add_veth(&self.name, &stack_end).map_err(&wire)?;
        let control = Control::open().map_err(&wire)?;
        let index = control.index(&stack_end).map_err(&wire)?;
        let far_index = control.index(&self.name).map_err(&wire)?;
        let quiet = LinkChange {
            up: Some(true),
            arp: Some(false),
            mtu: self.setup.mtu.and_then(|mtu| u32::try_from(mtu).ok()),
            no_link_local: true,
            ..LinkChange::default()
        };
        // Without IPv6 in the kernel there is nothing to keep quiet.
        let loud = LinkChange { no_link_local: false, ..quiet };
        netlink.change_link(index, &quiet).or_else(|_| netlink.change_link(index, &loud)).map_err(&wire)?;

        let ends = self.packet_queues(index).map_err(at(Step::PacketSocket))?;
        sys::unshare_network().map_err(at(Step::Namespaces))?;
        let here = LinkChange { namespace_of: Some(std::process::id()), ..LinkChange::default() };
        netlink.change_link(far_index, &here).map_err(&wire)?;
        Ok(ends)
    }

    fn packet_queues(&self, index: u32) -> io::Result<Ends> {
        let ends = (0..self.queues).map(|_| packet_socket(index)).collect::<io::Result<Ends>>()?;
        if ends.len() > 1 {
            let sockets: arrayvec::ArrayVec<_, { Shard::MOST }> = ends.iter().map(AsFd::as_fd).collect();
            packet::share(&sockets)?;
        }
        Ok(ends)
    }
}

fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    let socket = sys::packet_socket()?;
    packet::give_room(socket.as_fd());
    sys::packet_switch(socket.as_fd(), libc::PACKET_VNET_HDR, true)?;
    sys::attach_filter(socket.as_fd(), &filter::for_address(None))?;
    sys::packet_bind(socket.as_fd(), index)?;
    Ok(socket)
}

fn loopback_up() -> io::Result<()> {
    Netlink::open()?.change_link(LOOPBACK, &LinkChange { up: Some(true), ..LinkChange::default() })
}

/// What the child says: a byte for the step, a byte for which address, the system's error code, and the number of the
/// network namespace. Of what was made, the second byte is the number of queues; each but the first follows by a byte.
#[derive(Debug)]
pub(super) enum Report {
    Made {
        kind: Kind,
        ends: Vec<OwnedFd>,
        network: u64,
    },
    Failed(FailedStep, io::Error),
    /// It ended without a word.
    Nothing,
}

/// A step by its number, as it came over the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedStep {
    step: u8,
    which: u8,
}

const REPORT: usize = 14;
const MADE_TAP: u8 = 0;
const MADE_PACKET: u8 = 1;
const NAMESPACES: u8 = 2;
const LOOPBACK_UP: u8 = 3;
const VIRTUAL_WIRE: u8 = 4;
const PACKET_SOCKET: u8 = 5;
const PARENT: u8 = 6;
const SETUP_NETLINK: u8 = 7;
const SETUP_MAC: u8 = 8;
const SETUP_MTU: u8 = 9;
const SETUP_UP: u8 = 10;
const SETUP_ADDRESS: u8 = 11;
const SETUP_GATEWAY: u8 = 12;

impl Report {
    fn send_made(parent: BorrowedFd<'_>, kind: Kind, network: u64, ends: &[OwnedFd]) -> io::Result<()> {
        let step = match kind {
            Kind::Tap => MADE_TAP,
            Kind::Packet => MADE_PACKET,
        };
        let [first, others @ ..] = ends else { return Err(io::ErrorKind::InvalidInput.into()) };
        let bytes = Self::bytes(step, ends.len() as u8, 0, network);
        sys::send_with_fd(parent, &bytes, Some(first.as_fd()))?;
        others.iter().try_for_each(|end| sys::send_with_fd(parent, &[0], Some(end.as_fd())).map(drop))
    }

    fn send_failed(parent: BorrowedFd<'_>, plan: &Plan, step: Step, code: i32) -> io::Result<()> {
        let position = |found: Option<usize>| found.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        let (step, which) = match step {
            Step::Namespaces => (NAMESPACES, 0),
            Step::Loopback => (LOOPBACK_UP, 0),
            Step::VirtualWire => (VIRTUAL_WIRE, 0),
            Step::PacketSocket => (PACKET_SOCKET, 0),
            Step::Parent => (PARENT, 0),
            Step::Setup(SetupStep::Netlink) => (SETUP_NETLINK, 0),
            Step::Setup(SetupStep::Mac) => (SETUP_MAC, 0),
            Step::Setup(SetupStep::Mtu) => (SETUP_MTU, 0),
            Step::Setup(SetupStep::Up) => (SETUP_UP, 0),
            Step::Setup(SetupStep::Address(address)) => {
                (SETUP_ADDRESS, position(plan.setup.addresses.iter().position(|other| *other == address)))
            }
            Step::Setup(SetupStep::Gateway(gateway)) => {
                (SETUP_GATEWAY, position(plan.setup.gateways.iter().position(|other| *other == gateway)))
            }
        };
        sys::send_with_fd(parent, &Self::bytes(step, which, code, 0), None).map(drop)
    }

    fn bytes(step: u8, which: u8, code: i32, network: u64) -> [u8; REPORT] {
        let mut bytes = [0; REPORT];
        bytes[..2].copy_from_slice(&[step, which]);
        bytes[2..6].copy_from_slice(&code.to_ne_bytes());
        bytes[6..].copy_from_slice(&network.to_ne_bytes());
        bytes
    }

    pub(super) fn receive(child: BorrowedFd<'_>) -> io::Result<Self> {
        let mut bytes = [0; REPORT];
        let (len, fd) = sys::recv_with_fd(child, &mut bytes)?;
        let [step, which, c0, c1, c2, c3, network @ ..] = bytes;
        let network = u64::from_ne_bytes(network);
        let queues = |first| {
            let mut ends = vec![first];
            while ends.len() < usize::from(which) {
                let (_, end) = sys::recv_with_fd(child, &mut [0])?;
                ends.push(end.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            Ok::<_, io::Error>(ends)
        };
        Ok(match (len, step, fd) {
            (REPORT, MADE_TAP, Some(end)) => Self::Made { kind: Kind::Tap, ends: queues(end)?, network },
            (REPORT, MADE_PACKET, Some(end)) => {
                Self::Made { kind: Kind::Packet, ends: queues(end)?, network }
            }
            (REPORT, _, None) => {
                let cause = io::Error::from_raw_os_error(i32::from_ne_bytes([c0, c1, c2, c3]));
                Self::Failed(FailedStep { step, which }, cause)
            }
            _ => Self::Nothing,
        })
    }
}

impl FailedStep {
    /// Says what failed, and what mends it.
    pub(super) fn explain(self, plan: &Plan, cause: io::Error) -> Error {
        let setup =
            |step| setup::explain(&plan.name, &plan.setup, step, io::Error::from_raw_os_error(code(&cause)));
        let (what, cause) = match self.step {
            NAMESPACES => {
                return Error::new("cannot make a private network", cause)
                    .remedy(probe::user_namespace_remedy());
            }
            SETUP_MAC => return setup(SetupStep::Mac),
            SETUP_MTU => return setup(SetupStep::Mtu),
            SETUP_UP => return setup(SetupStep::Up),
            SETUP_ADDRESS => match plan.setup.addresses.get(usize::from(self.which)) {
                Some(&address) => return setup(SetupStep::Address(address)),
                None => ("cannot add an address", cause),
            },
            SETUP_GATEWAY => match plan.setup.gateways.get(usize::from(self.which)) {
                Some(&gateway) => return setup(SetupStep::Gateway(gateway)),
                None => ("cannot add a route", cause),
            },
            LOOPBACK_UP => ("cannot bring up the loopback of the private network", cause),
            VIRTUAL_WIRE => ("cannot make a virtual wire", cause),
            PACKET_SOCKET => ("cannot open a packet socket", cause),
            PARENT => ("cannot tie the command to this process", cause),
            _ => ("cannot configure the private network", cause),
        };
        let refused = matches!(cause.kind(), io::ErrorKind::PermissionDenied);
        let missing = self.step == VIRTUAL_WIRE && code(&cause) == libc::EOPNOTSUPP;
        let error = Error::new(what, cause);
        match () {
            () if refused => error.remedy(probe::user_namespace_remedy()),
            () if missing => error.remedy("`sudo modprobe veth`, or make /dev/net/tun readable"),
            () => error,
        }
    }
}

fn code(cause: &io::Error) -> i32 {
    cause.raw_os_error().unwrap_or(libc::EIO)
}
