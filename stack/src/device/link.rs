//! Links of the kernel in which no device of ours ends: what a stack is measured or tested beside.

use super::netlink::{LinkChange, Netlink};
use super::setup::{self, Setup};
use super::sys::Control;
use super::tap::{PRIVILEGE, interface_name};
use super::{Cidr, Error};

/// Makes a pair of virtual Ethernet interfaces: `name` in the network namespace of the calling thread, `peer` in that
/// of the process or thread with the number `namespace_of`. Each ends with the other, or with its namespace.
///
/// # Errors
/// No privilege, a name that is taken or makes no sense, or no veth in this kernel.
pub fn add_veth(name: &str, peer: &str, namespace_of: u32) -> Result<(), Error> {
    let (near, far) = (interface_name(name)?, interface_name(peer)?);
    let add = || {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(&near, &far)?;
        let there = LinkChange { namespace_of: Some(namespace_of), ..LinkChange::default() };
        netlink.change_link(Control::open()?.index(&far)?, &there)
    };
    add().map_err(|cause| {
        let refused = cause.kind() == std::io::ErrorKind::PermissionDenied;
        let error = Error::new(format!("cannot make the pair of interfaces {name} and {peer}"), cause);
        if refused { error.remedy(PRIVILEGE) } else { error }
    })
}

/// Gives an interface of the calling thread's network namespace these addresses, usable at once, and brings it up.
///
/// # Errors
/// There is no such interface, no privilege, or an address is refused: the message says which, and what mends it.
pub fn bring_up(name: &str, addresses: &[Cidr]) -> Result<(), Error> {
    let name = interface_name(name)?;
    let setup = Setup { up: true, addresses: addresses.to_vec(), ..Setup::default() };
    setup.apply(&name).map_err(|(step, cause)| setup::explain(&name, &setup, step, cause))
}
