//! What an interface merges and leaves unsummed: read, switched off, and switched on again (ethtool).

use std::io;

use super::Error;
use super::sys::{Control, IfName};
use super::tap::interface_name;

/// One of the things that an interface does instead of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadState {
    /// As `ethtool -K` calls it: `gro`, `lro`, `gso`, `tso`, `tx`, `rx`.
    pub name: &'static str,
    /// Whether it is on.
    pub on: bool,
    /// Whether it makes received frames larger than the wire's.
    pub merges_received: bool,
}

struct Feature {
    name: &'static str,
    get: u32,
    set: u32,
    /// The bit of the value that is meant.
    bit: u32,
    merges_received: bool,
}

/// The large-receive bit among the flags.
const LRO: u32 = 1 << 15;

/// The numbers are those of `linux/ethtool.h`.
const FEATURES: [Feature; 6] = [
    Feature { name: "gro", get: 0x2b, set: 0x2c, bit: 1, merges_received: true },
    Feature { name: "lro", get: 0x25, set: 0x26, bit: LRO, merges_received: true },
    Feature { name: "gso", get: 0x23, set: 0x24, bit: 1, merges_received: false },
    Feature { name: "tso", get: 0x1e, set: 0x1f, bit: 1, merges_received: false },
    Feature { name: "tx", get: 0x16, set: 0x17, bit: 1, merges_received: false },
    Feature { name: "rx", get: 0x14, set: 0x15, bit: 1, merges_received: false },
];

/// The state of an interface's offloads. What its driver does not know counts as off.
///
/// # Errors
/// No such interface.
pub fn offloads(interface: &str) -> Result<Vec<OffloadState>, Error> {
    let name = interface_name(interface)?;
    let fail = |cause| Error::new(format!("cannot ask for the offloads of {name}"), cause);
    let control = Control::open().map_err(fail)?;
    control.index(&name).map_err(fail)?;
    Ok(FEATURES.iter().map(|feature| feature.state(&control, &name)).collect())
}

/// Switches off all offloads of an interface for good: frames are single segments, with their checksums.
///
/// # Errors
/// No such interface, no privilege, or its driver has one of them always on.
pub fn switch_off_offloads(interface: &str) -> Result<(), Error> {
    let name = interface_name(interface)?;
    let fail = |cause: io::Error| {
        Error::new(format!("cannot switch off the offloads of {name}"), cause).remedy(command(name))
    };
    let control = Control::open().map_err(fail)?;
    for feature in FEATURES.iter().filter(|feature| feature.state(&control, &name).on) {
        feature.switch(&control, &name, false).map_err(fail)?;
    }
    Ok(())
}

/// Offloads that were switched off, and are switched on again when this is dropped.
#[derive(Debug)]
pub(super) struct SwitchedOff {
    name: IfName,
    which: Vec<&'static str>,
}

/// Switches off what merges received frames.
pub(super) fn switch_off_merging(name: IfName) -> Result<SwitchedOff, Error> {
    let fail = |cause: io::Error| {
        Error::new(format!("cannot switch off the merging of frames on {name}"), cause).remedy(command(name))
    };
    let control = Control::open().map_err(fail)?;
    let mut done = SwitchedOff { name, which: Vec::new() };
    for feature in merging(&control, &name) {
        feature.switch(&control, &name, false).map_err(fail)?;
        done.which.push(feature.name);
    }
    Ok(done)
}

/// Refuses an interface that merges received frames.
pub(super) fn refuse_merging(name: IfName) -> Result<(), Error> {
    let control = Control::open().map_err(|cause| Error::new("cannot ask for offloads", cause))?;
    let on: Vec<_> = merging(&control, &name).map(|feature| feature.name).collect();
    if on.is_empty() {
        return Ok(());
    }
    let what = format!("cannot use {name}: its {} would merge frames", on.join(" and "));
    let cause = io::Error::new(io::ErrorKind::Unsupported, "this device knows single segments only");
    Err(Error::new(what, cause).remedy(command(name)))
}

fn merging(control: &Control, name: &IfName) -> impl Iterator<Item = &'static Feature> {
    FEATURES.iter().filter(move |feature| feature.merges_received && feature.state(control, name).on)
}

fn command(name: IfName) -> String {
    format!(
        "as root `ethtool -K {name} gro off lro off`, or let the device switch it off, or use a packet socket"
    )
}

impl Feature {
    fn state(&self, control: &Control, name: &IfName) -> OffloadState {
        let on = control.ethtool_get(name, self.get).is_ok_and(|value| value & self.bit != 0);
        OffloadState { name: self.name, on, merges_received: self.merges_received }
    }

    fn switch(&self, control: &Control, name: &IfName, on: bool) -> io::Result<()> {
        let rest = control.ethtool_get(name, self.get)? & !self.bit;
        control.ethtool_set(name, self.set, if on { rest | self.bit } else { rest })
    }
}

impl Drop for SwitchedOff {
    fn drop(&mut self) {
        let Ok(control) = Control::open() else { return };
        for feature in FEATURES.iter().filter(|feature| self.which.contains(&feature.name)) {
            if let Err(error) = feature.switch(&control, &self.name, true) {
                tracing::warn!(interface = %self.name, offload = feature.name, %error, "cannot switch it on again");
            }
        }
    }
}
