//! `host -- CMD`: a command in a private network whose only wire leads to the stack.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use tokio::signal::unix::{SignalKind, signal};
use ustack::device::namespace::{Guest, Namespace, exit_code};

use crate::common::failure::Failure;
use crate::common::stack::Plan;
use crate::common::wire::{Open, boxed};

/// Starts the command, and opens our end of its wire.
pub(super) fn spawn(words: &[OsString], tap: Option<&str>, plan: &Plan) -> Result<(Guest, Open), Failure> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::Usage("no command".into()))?;
    let name = tap.unwrap_or("tap0");
    let addresses = plan.addresses();
    // Signals that ask us to end are the command's.
    let network = Namespace::new(name).forward_signals();
    let mut network = addresses.kernel.iter().fold(network, |network, &cidr| network.address(cidr));
    for is_v4 in [true, false] {
        // Whatever CMD asks for beyond its network goes to the stack, which answers that it knows no way.
        let ours = addresses.stack.iter().find(|cidr| cidr.address().is_ipv4() == is_v4);
        let theirs = addresses.kernel.iter().any(|cidr| cidr.address().is_ipv4() == is_v4);
        if let (Some(ours), true) = (ours, theirs) {
            network = network.default_route(ours.address());
        }
    }
    if let Some(mtu) = plan.mtu() {
        network = network.mtu(mtu.into());
    }
    if plan.offload() {
        network = network.offload();
    }
    let mut command = Command::new(program);
    command.args(arguments);
    let (guest, wires) = network.spawn_queues(command, plan.queues())?;
    Ok((guest, Open { devices: boxed(wires), name: name.into(), mac: None, place: 0 }))
}

/// Waits for the command's end, whose status becomes ours.
pub(super) async fn ended(guest: &mut Guest) -> Result<ExitCode, Failure> {
    let lost = |error: std::io::Error| Failure::Device(format!("cannot wait for the command: {error}"));
    let mut child = signal(SignalKind::child()).map_err(lost)?;
    loop {
        if let Some(status) = guest.try_wait().map_err(lost)? {
            return Ok(ExitCode::from(exit_code(status) as u8));
        }
        child.recv().await;
    }
}
