//! Connections in a simulated network.

use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, Network, NodeId};
use ustack::tcp::Settings;
use ustack::time::{Duration, Units as _};
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

/// The port that [`Pair`]'s server listens at.
const PORT: u16 = 7;

/// Two hosts on one link.
pub struct Pair {
    /// What they are in.
    pub net: Network<Stack>,
    /// Who connects, and sends.
    pub client: NodeId,
    /// Who listens, and receives.
    pub server: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Pair {
    /// Hosts that have not spoken yet.
    ///
    /// # Panics
    /// Never.
    pub fn new(seed: u64, link: LinkConfig) -> Self {
        let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
        let mut net = Network::new(seed);
        let client = net.add_host("alice", &[(a, 24)]).expect("an address");
        let server = net.add_host("bob", &[(b, 24)]).expect("an address");
        net.connect(client, server, link);
        Self { net, client, server, address: SocketAddr::new(b, PORT) }
    }

    /// Connects them, and sends so many bytes; answers the client's socket.
    ///
    /// # Panics
    /// They do not all arrive within `limit`.
    #[track_caller]
    pub fn transfer(&mut self, bytes: usize, settings: &Settings, limit: Duration) -> SocketId {
        let Self { net, client, server, address } = self;
        let listener = net.node_mut(*server).tcp_listen(*address, 1, settings.clone()).expect("a free port");
        let now = net.now();
        let ours = net.node_mut(*client).tcp_connect(now, *address, None, settings.clone()).expect("a route");
        let (chunk, mut buffer) = (vec![7; 64 << 10], vec![0; 64 << 10]);
        let (mut theirs, mut sent, mut got) = (None, 0, 0);
        net.run_until_done(now + limit, |net| {
            let now = net.now();
            theirs =
                theirs.or_else(|| net.node_mut(*server).tcp_accept(now, listener).ok().map(|(id, _)| id));
            while let Ok(len @ 1..) =
                net.node_mut(*client).tcp_send(now, ours, &chunk[..chunk.len().min(bytes - sent)])
            {
                sent += len;
            }
            while let Some(id) = theirs
                && let Ok(len @ 1..) = net.node_mut(*server).tcp_recv(now, id, &mut buffer)
            {
                got += len;
            }
            got == bytes
        });
        assert_eq!(got, bytes, "within {limit}");
        ours
    }
}
