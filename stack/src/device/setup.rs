//! The kernel's end of a link: link address, MTU, up, addresses, routes, and what to say when one of them fails.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::netlink::{LinkChange, Netlink};
use super::sys::{self, Control, IfName};
use super::{Cidr, Error, interfaces};

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
    pub(super) fn apply(&self, name: &IfName) -> Result<(), (Step, io::Error)> {
        let at = |step| move |error| (step, error);
        let control = Control::open().map_err(at(Step::Netlink))?;
        let index = control.index(name).map_err(at(Step::Netlink))?;
        let mut netlink = Netlink::open().map_err(at(Step::Netlink))?;
        if let Some(mac) = self.mac {
            let change = LinkChange { mac: Some(mac), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Mac))?;
        }
        if let Some(mtu) = self.mtu {
            let mtu = u32::try_from(mtu).unwrap_or(u32::MAX);
            let change = LinkChange { mtu: Some(mtu), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Mtu))?;
        }
        if self.up {
            let change = LinkChange { up: Some(true), ..LinkChange::default() };
            netlink.change_link(index, &change).map_err(at(Step::Up))?;
            wait_until(|| control.flags(name).is_ok_and(|flags| flags & libc::IFF_RUNNING != 0));
        }
        for &address in &self.addresses {
            match netlink.add_address(index, address) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                answer => answer.map_err(at(Step::Address(address)))?,
            }
        }
        if self.up {
            // Linux inserts the route of an IPv6 address later, from a work queue; until then what arrives is dropped.
            let is_local = |netlink: &mut Netlink, address| netlink.is_local(address).unwrap_or(true);
            for address in self.addresses.iter().map(Cidr::address) {
                wait_until(|| is_local(&mut netlink, address));
            }
        }
        for &gateway in &self.gateways {
            netlink.add_default_route(index, gateway).map_err(at(Step::Gateway(gateway)))?;
        }
        Ok(())
    }

    /// Whether the link is already as it should be, so that an ordinary user may do without changing it.
    pub(super) fn is_so(&self, name: &IfName) -> bool {
        let Ok(control) = Control::open() else { return false };
        let mac_is_so = |mac| control.link_address(name).is_ok_and(|(is, _)| is == mac);
        let mtu_is_so = |mtu| control.mtu(name).is_ok_and(|is| is == mtu);
        let up_is_so = || control.flags(name).is_ok_and(|flags| flags & libc::IFF_UP != 0);
        let addresses = || interfaces::named(name.as_str()).map(|found| found.addresses).unwrap_or_default();
        self.mac.is_none_or(mac_is_so)
            && self.mtu.is_none_or(mtu_is_so)
            && (!self.up || up_is_so())
            && (self.addresses.is_empty() || {
                let present = addresses();
                self.addresses.iter().all(|address| present.contains(address))
            })
            && self.gateways.is_empty()
    }
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
