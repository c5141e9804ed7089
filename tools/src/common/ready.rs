//! Our addresses: when they can be used, and who else has them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ustack::net::Net;
use ustack::{Error, Event};

use super::console::note;
use super::failure::Failure;
use super::stack::Running;

/// How often a stack that is not ready is asked again.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long a router may be silent: three solicitations, four seconds apart (RFC 4861 section 10), and the address that
/// its answer leads to.
const ROUTER: Duration = Duration::from_secs(15);

/// Waits until an address of ours can speak to `remote`: until nobody has answered to it, where that is asked, and
/// until a router has told of its network, if we listen to routers.
///
/// # Errors
/// Another host has it. That no route leads there is for whoever connects to say.
pub(crate) async fn ready(running: &Running, remote: SocketAddr) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    let mut tell = |what: String| {
        if told.insert(what.clone()) {
            note!("{what}");
        }
    };
    let routers = running.hears_routers && remote.is_ipv6();
    let deadline = running.net.now() + if routers { ROUTER.into() } else { ustack::time::Duration::ZERO };
    for shard in running.net.shards() {
        loop {
            match shard.with_stack(|stack, _| stack.source_for(remote)) {
                Err(Error::AddressTentative(address)) => {
                    tell(format!("asking whether another host has {address}"));
                }
                Err(Error::AddressDuplicate(address)) => {
                    return Err(Failure::Unmet(format!(
                        "{address} belongs to another host: choose one that is free, by --address"
                    )));
                }
                Err(_) if running.net.now() < deadline => tell("asking for a router".into()),
                _ => break,
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
    Ok(())
}

/// Tells which addresses others have too, for ever; with `arrivals` also which are ours from now on.
pub(crate) async fn watch(net: &Net, arrivals: bool) -> Infallible {
    let mut ours = BTreeSet::new();
    let mut conflicts = BTreeSet::new();
    let mut lost_before = 0;
    loop {
        // Each shard tells, and of an address that we defend again and again: once is enough.
        match net.next_event().await {
            Event::AddressReady { address, .. } if arrivals && ours.insert(address) => {
                note!("{address} is ours");
            }
            Event::AddressConflict { address, by, lost, .. } if conflicts.insert((address, lost)) => {
                tell_conflict(address, by.map(|mac| mac.to_string()), lost);
            }
            _ => {}
        }
        let lost = net.lost_events();
        if lost > lost_before {
            note!("{} events of interfaces came too fast, and were lost", lost - lost_before);
            lost_before = lost;
        }
    }
}

fn tell_conflict(address: IpAddr, by: Option<String>, lost: bool) {
    let by = by.map(|mac| format!(" ({mac})")).unwrap_or_default();
    if lost {
        note!("another host{by} has {address}: it is not used here; choose one that is free, by --address");
    } else {
        note!(
            "another host{by} uses {address} too, and connections will break: end one of the two, or choose another \
             --address"
        );
    }
}
