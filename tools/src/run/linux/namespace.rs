//! What is inside the namespace of a script: its sysctls and the TUN that leads to us.

use std::fs;
use std::net::IpAddr;

use ustack::device::{Cidr, EventFd, Tun, TunBuilder};

use super::sysctl::Sysctl;
use crate::run::settings;

/// Sets what is set below `/proc/sys/net`; to be called inside.
pub(super) fn apply(sysctls: &[Sysctl]) -> Result<(), String> {
    for Sysctl { name, value, optional } in sysctls {
        match fs::write(format!("/proc/sys/net/{name}"), value) {
            Ok(()) => {}
            // Older kernels do not have all, or not in each namespace.
            Err(_) if *optional => {}
            Err(error) => return Err(format!("net/{name} = {value}: {error}")),
        }
    }
    Ok(())
}

/// The TUN that leads to us; to be called inside.
pub(super) fn tun(settings: &settings::Settings) -> Result<Tun, String> {
    let local = settings.local();
    let (prefix, neighbour) = match local {
        IpAddr::V4(ip) => (24, IpAddr::from((ip.to_bits() ^ 2).to_be_bytes())),
        IpAddr::V6(ip) => (64, IpAddr::from((ip.to_bits() ^ 2).to_be_bytes())),
    };
    let address = Cidr::new(local, prefix).ok_or("no network is that long")?;
    let builder = TunBuilder::new("tun0").address(address).mtu(settings.mtu).default_route(neighbour);
    builder.up().build().map_err(|error| error.to_string())
}

/// An event that a thread inside raises when a call is done.
pub(super) fn event() -> Result<EventFd, String> {
    EventFd::new().map_err(|error| error.to_string())
}
