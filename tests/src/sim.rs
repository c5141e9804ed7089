//! Connections in a simulated network.

use std::net::SocketAddr;

use ustack::sim::{Network, NodeId};
use ustack::tcp::Settings;
use ustack::time::Units as _;
use ustack::{SocketId, Stack};

/// Connects two hosts of a network, both with these settings; answers the client's socket and the server's.
///
/// # Panics
/// The server, which has `address`, does not take the connection within a minute.
#[track_caller]
pub fn connect(
    net: &mut Network<Stack>,
    (client, server): (NodeId, NodeId),
    address: SocketAddr,
    settings: &Settings,
) -> (SocketId, SocketId) {
    let listener = net.node_mut(server).tcp_listen(address, 1, settings.clone()).expect("a free port");
    let now = net.now();
    let ours = net.node_mut(client).tcp_connect(now, address, None, settings.clone()).expect("a route");
    let mut theirs = None;
    net.run_until_done(now + 60.secs(), |net| {
        let now = net.now();
        theirs = net.node_mut(server).tcp_accept(now, listener).ok().map(|(id, _)| id);
        theirs.is_some()
    });
    (ours, theirs.expect("it is accepted within a minute"))
}
