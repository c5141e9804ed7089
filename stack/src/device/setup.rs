//! The kernel's end of a link: link address, MTU, up, addresses, routes, and what to say when one of them fails.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::netlink::{LinkChange, Netlink};
use super::sys::{self, Control, IfName};
use super::{Cidr, Error};

/// What the kernel's end is to be like.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<usize>,
    pub(super) up: bool,
    pub(super) addresses: Vec<Cidr>,
    pub(super) gateways: Vec<IpAddr>,
}

/// A step of the setup, and what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Netlink,
    Mac,
    Mtu,
    Up,
    Address(Cidr),
    Gateway(IpAddr),
}

impl Setup {
    /// Configures the link. Allocates nothing, so a child between `fork` and `exec` may do it.
    ///
    /// What is so already needs no privilege: an ordinary user may use a link that root has prepared.
    pub(super) fn apply(&self, name: &IfName) -> Result<(), (Step, io::Error)> {
        let at = |step| move |error| (step, error);
        let control = Control::open().map_err(at(Step::Netlink))?;
        let index = control.index(name).map_err(at(Step::Netlink))?;
        let mut netlink = Netlink::open().map_err(at(Step::Netlink))?;
        if let Some(mac) = self.mac
            && control.link_address(name).is_ok_and(|(is, _)| is != mac)
        {
            let change = LinkChange { mac: Some(mac), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Mac))?;
        }
        if let Some(mtu) = self.mtu
            && control.mtu(name).is_ok_and(|is| is != mtu)
        {
            let mtu = u32::try_from(mtu).unwrap_or(u32::MAX);
            let change = LinkChange { mtu: Some(mtu), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Mtu))?;
        }
        let has = |flag| control.flags(name).is_ok_and(|flags| flags & flag != 0);
        if self.up && !has(libc::IFF_UP) {
            let change = LinkChange { up: Some(true), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Up))?;
        }
        if self.up {
            wait_until(|| has(libc::IFF_RUNNING));
        }
        for &address in &self.addresses {
            let is_local = |netlink: &mut Netlink| netlink.is_local(address.address());
            match netlink.add_address(index, address) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_refused(&error) && is_local(&mut netlink).unwrap_or(false) => {}
                answer => answer.map_err(at(Step::Address(address)))?,
            }
            if self.up {
                // Linux inserts the route of an IPv6 address later, from a work queue; until then what arrives is
                // dropped.
                wait_until(|| is_local(&mut netlink).unwrap_or(true));
            }
        }
        for &gateway in &self.gateways {
            netlink.add_default_route(index, gateway).map_err(at(Step::Gateway(gateway)))?;
        }
        Ok(())
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Waits until the kernel has done what it does by and by. What does not happen in a second is left to show itself.
fn wait_until(mut done: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_micros(200);
    const TRIES: u32 = 5_000;
    for _ in 0..TRIES {
        if done() {
            return;
        }
        let _ = sys::wait(&[], Some(PAUSE));
    }
}

/// Says which step failed, and which command does the same.
pub(super) fn explain(name: &IfName, setup: &Setup, step: Step, cause: io::Error) -> Error {
    let (what, command) = match step {
        Step::Netlink => (format!("cannot configure {name}"), None),
        Step::Mac => {
            let mac = setup.mac.unwrap_or_default().map(|byte| format!("{byte:02x}")).join(":");
            let command = format!("ip link set {name} address {mac}");
            (format!("cannot give {name} the link address {mac}"), Some(command))
        }
        Step::Mtu => {
            let mtu = setup.mtu.unwrap_or_default();
            (format!("cannot set the MTU of {name} to {mtu}"), Some(format!("ip link set {name} mtu {mtu}")))
        }
        Step::Up => (format!("cannot bring {name} up"), Some(format!("ip link set {name} up"))),
        Step::Address(address) => {
            let command = format!("ip address add {address} dev {name}");
            (format!("cannot give {name} the address {address}"), Some(command))
        }
        Step::Gateway(gateway) => {
            let command = format!("ip route add default via {gateway} dev {name}");
            (format!("cannot route through {gateway} on {name}"), Some(command))
        }
    };
    let v6 = matches!(step, Step::Address(address) if address.address().is_ipv6());
    let error = Error::new(what, cause);
    match (error.cause().raw_os_error(), command) {
        (Some(libc::EPERM), Some(command)) => {
            error.remedy(format!("run as root, or have root run `{command}` before"))
        }
        (Some(libc::EACCES | libc::EINVAL | libc::EOPNOTSUPP | libc::EAFNOSUPPORT), _) if v6 => {
            error.remedy(format!(
                "IPv6 may be off (`sysctl -w net.ipv6.conf.{name}.disable_ipv6=0`) or the MTU below 1280"
            ))
        }
        (Some(libc::EINVAL | libc::ERANGE), _) if step == Step::Mtu => {
            error.remedy("choose 68 to 65521, at least 1280 for IPv6")
        }
        (Some(libc::EADDRNOTAVAIL), _) if step == Step::Mac => {
            error.remedy("an address of one host begins with an even byte, 02:... for one of your own")
        }
        (Some(libc::ENETUNREACH | libc::EHOSTUNREACH), _) => {
            error.remedy("give the link an address on the gateway's network first")
        }
        _ => error,
    }
}
