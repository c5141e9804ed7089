//! A conversation in a simulated network between any two of our stack and smoltcp.

use std::net::{IpAddr, SocketAddr};

use smoltcp::iface::SocketHandle;
use ustack::buf::frame::{Capabilities, Medium, RxFrame, TxFrame};
use ustack::rng::Rng;
use ustack::sim::{LinkConfig, Network, Node, NodeId, Stop};
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{Settings, TcpInfo};
use ustack::time::{Duration, Instant, Units as _, at};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, Error, InterfaceConfig, SocketId, Stack};

use super::smol::SmolHost;

const PORT: u16 = 7000;
const MTU: usize = 1500;
/// Buffers of smoltcp's sockets if nothing else is asked for.
const BUFFER: usize = 65_535;

/// Which stack a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ustack.
    Ours,
    /// smoltcp.
    Smol,
}

/// A host of either kind.
#[allow(clippy::large_enum_variant)]
pub enum Host {
    /// ustack.
    Ours(Stack),
    /// smoltcp.
    Smol(SmolHost),
}

/// A socket of either kind. Ours has none before it is accepted.
#[derive(Clone, Copy, Debug)]
enum Socket {
    Ours(SocketId),
    Listening(SocketId),
    Smol(SocketHandle),
}

/// How a conversation went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When the last byte arrived, or, if both closed, when both knew.
    pub end: Instant,
    /// Frames that the client sent, and those that the server sent.
    pub frames: [u64; 2],
}

/// How far a conversation without end has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Bytes that the server got.
    pub bytes: usize,
    /// What the client's connection says, if it is ours.
    pub info: Option<TcpInfo>,
}

/// What two hosts are to do.
#[derive(Clone, Copy, Debug)]
pub struct Duet<'a> {
    /// Who connects and sends.
    pub client: Kind,
    /// Who listens and answers.
    pub server: Kind,
    /// What the link's frames begin with.
    pub medium: Medium,
    /// Whether to speak IPv6.
    pub v6: bool,
    /// What the link does to frames, in netem's words.
    pub link: &'a str,
    /// The seed of everything.
    pub seed: u64,
    /// How many bytes the client sends.
    pub request: usize,
    /// How many bytes the server sends at the same time.
    pub response: usize,
    /// Whether both close at the end, the client first.
    pub close: bool,
    /// The congestion control of ours, by name; smoltcp has none.
    pub congestion: &'a str,
    /// Bytes of each socket's buffers; `None` leaves ours at their default and gives smoltcp 64 KiB.
    pub buffer: Option<usize>,
}

impl Default for Duet<'_> {
    /// Nothing to say over a perfect link, both ours.
    fn default() -> Self {
        Self {
            client: Kind::Ours,
            server: Kind::Ours,
            medium: Medium::Ethernet,
            v6: false,
            link: "",
            seed: 1,
            request: 0,
            response: 0,
            close: false,
            congestion: "cubic",
            buffer: None,
        }
    }
}

impl Duet<'_> {
    /// Runs the conversation.
    ///
    /// # Panics
    /// A byte does not arrive, or another does, or it takes more than an hour.
    #[track_caller]
    pub fn run(&self) -> Outcome {
        let (mut net, mut ends) = self.begin();
        let stop = net.run_until_done(at(3600.secs()), |net| {
            for end in &mut ends {
                end.move_bytes(net);
            }
            let [client, server] = &mut ends;
            if !(client.is_complete() && server.is_complete()) {
                return false;
            }
            !self.close || {
                client.close(net);
                if server.saw_end {
                    server.close(net);
                }
                server.saw_end && client.saw_end
            }
        });
        let [client, server] = &ends;
        assert_eq!(
            stop,
            Stop::Done,
            "{self:?} at {}: {} and {} bytes arrived, ends seen: {} {}",
            net.now(),
            client.received.len(),
            server.received.len(),
            client.saw_end,
            server.saw_end,
        );
        assert!(server.received == client.to_send, "{self:?}: the request was damaged");
        assert!(client.received == server.to_send, "{self:?}: the response was damaged");
        let mut counts = net.counts().map(|(_, counts)| counts.frames);
        let frames = [counts.next().unwrap_or(0), counts.next().unwrap_or(0)];
        Outcome { end: net.now(), frames }
    }

    /// Lets the client send without end for `span`; what the server got is checked.
    ///
    /// # Panics
    /// A byte arrives that was not sent, or the connection fails.
    #[track_caller]
    pub fn received_in(&self, span: Duration) -> Progress {
        let (mut net, mut ends) = self.begin();
        let until = net.now() + span;
        let stop = net.run_until_done(until, |net| {
            for end in &mut ends {
                end.move_bytes(net);
            }
            false
        });
        assert_eq!(stop, Stop::Time, "{self:?} has nothing left to do at {}", net.now());
        let [client, server] = &ends;
        assert!(client.sent < client.to_send.len(), "{self:?}: the request was too short for {span:?}");
        assert!(client.to_send.starts_with(&server.received), "{self:?}: the request was damaged");
        let info = match (net.node(client.node), client.socket) {
            (Host::Ours(stack), Some(Socket::Ours(id))) => stack.tcp_info(id).ok(),
            _ => None,
        };
        Progress { bytes: server.received.len(), info }
    }

    /// The network with both hosts, and the two ends with their sockets.
    fn begin(&self) -> (Network<Host>, [End; 2]) {
        let mut net = Network::new(self.seed);
        let client = net.add_node("client", self.host(self.client, 1));
        let server = net.add_node("server", self.host(self.server, 2));
        let config =
            LinkConfig { medium: self.medium, ..LinkConfig::both(self.link.parse().expect("netem's words")) };
        net.connect(client, server, config);
        let mut ends = [
            End::new(client, payload(1, self.request), self.response),
            End::new(server, payload(2, self.response), self.request),
        ];
        ends[1].socket = Some(self.listen(net.node_mut(server)));
        let remote = SocketAddr::new(self.address(2), PORT);
        ends[0].socket = Some(self.connect(net.node_mut(client), remote));
        (net, ends)
    }

    fn settings(&self) -> Settings {
        let congestion = Algorithm::named(self.congestion)
            .unwrap_or_else(|| panic!("no congestion control is called {}", self.congestion));
        let settings = Settings { congestion, ..Settings::default() };
        match self.buffer {
            Some(buffer) => Settings { send_buffer: buffer, recv_buffer: buffer, ..settings },
            None => settings,
        }
    }

    fn listen(&self, host: &mut Host) -> Socket {
        match host {
            Host::Ours(stack) => {
                let any = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), PORT);
                Socket::Listening(stack.tcp_listen(any, 8, self.settings()).expect("a free port"))
            }
            Host::Smol(host) => {
                let handle = host.add_tcp(self.buffer.unwrap_or(BUFFER));
                host.tcp(handle).listen(PORT).expect("a fresh socket");
                Socket::Smol(handle)
            }
        }
    }

    fn connect(&self, host: &mut Host, to: SocketAddr) -> Socket {
        match host {
            Host::Ours(stack) => Socket::Ours(
                stack.tcp_connect(Instant::ZERO, to, None, self.settings()).expect("a route to the server"),
            ),
            Host::Smol(host) => {
                let handle = host.add_tcp(self.buffer.unwrap_or(BUFFER));
                host.connect(handle, to, 40_000).expect("a fresh socket");
                Socket::Smol(handle)
            }
        }
    }

    fn address(&self, host: u8) -> IpAddr {
        let text = if self.v6 { format!("fd09::{host}") } else { format!("10.9.0.{host}") };
        text.parse().expect("an address")
    }

    fn host(&self, kind: Kind, host: u8) -> Host {
        let len = if self.v6 { 64 } else { 24 };
        let address = self.address(host);
        let seed = self.seed + u64::from(host);
        match kind {
            Kind::Smol => {
                Host::Smol(SmolHost::new(self.medium, MTU, host, &[&format!("{address}/{len}")], seed))
            }
            Kind::Ours => {
                let mut config = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, host]));
                config.addresses = vec![(address, len)];
                config.dad = false;
                let mut stack = Stack::new(Config::seeded(seed));
                let capabilities = Capabilities::plain(self.medium, MTU);
                stack.add_interface(Instant::ZERO, config, capabilities).expect("a sound interface");
                Host::Ours(stack)
            }
        }
    }
}

/// One side of the conversation.
struct End {
    node: NodeId,
    socket: Option<Socket>,
    to_send: Vec<u8>,
    sent: usize,
    expected: usize,
    received: Vec<u8>,
    saw_end: bool,
    closed: bool,
}

impl End {
    fn new(node: NodeId, to_send: Vec<u8>, expected: usize) -> Self {
        let (socket, received) = (None, Vec::new());
        Self { node, socket, to_send, sent: 0, expected, received, saw_end: false, closed: false }
    }

    /// All is sent and all is received.
    fn is_complete(&self) -> bool {
        self.sent == self.to_send.len() && self.received.len() >= self.expected
    }

    fn move_bytes(&mut self, net: &mut Network<Host>) {
        let now = net.now();
        match (net.node_mut(self.node), self.socket) {
            (Host::Ours(stack), Some(Socket::Listening(listener))) => {
                if let Ok((id, _)) = stack.tcp_accept(now, listener) {
                    self.socket = Some(Socket::Ours(id));
                    self.move_ours(now, stack, id);
                }
            }
            (Host::Ours(stack), Some(Socket::Ours(id))) => self.move_ours(now, stack, id),
            (Host::Smol(host), Some(Socket::Smol(handle))) => self.move_smol(host, handle),
            _ => unreachable!("sockets live on the hosts that made them"),
        }
    }

    fn move_ours(&mut self, now: Instant, stack: &mut Stack, id: SocketId) {
        while self.sent < self.to_send.len() {
            match stack.tcp_send(now, id, &self.to_send[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("send: {error}"),
            }
        }
        let mut buf = [0; 4096];
        while !self.saw_end {
            match stack.tcp_recv(now, id, &mut buf) {
                Ok(0) => self.saw_end = true,
                Ok(len) => self.received.extend_from_slice(&buf[..len]),
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("receive: {error}"),
            }
        }
    }

    fn move_smol(&mut self, host: &mut SmolHost, handle: SocketHandle) {
        let socket = host.tcp(handle);
        if socket.can_send() && self.sent < self.to_send.len() {
            self.sent += socket.send_slice(&self.to_send[self.sent..]).expect("it can send");
        }
        while socket.can_recv() {
            let take = |bytes: &mut [u8]| (bytes.len(), self.received.extend_from_slice(bytes));
            socket.recv(take).expect("it can receive");
        }
        let was_open = self.received.len() >= self.expected;
        self.saw_end |=
            was_open && !socket.may_recv() && socket.state() != smoltcp::socket::tcp::State::Listen;
    }

    /// Ends the stream of this side.
    fn close(&mut self, net: &mut Network<Host>) {
        if core::mem::replace(&mut self.closed, true) {
            return;
        }
        let now = net.now();
        match (net.node_mut(self.node), self.socket) {
            (Host::Ours(stack), Some(Socket::Ours(id))) => {
                stack.tcp_shutdown(now, id, std::net::Shutdown::Write).expect("it is connected");
            }
            (Host::Smol(host), Some(Socket::Smol(handle))) => host.tcp(handle).close(),
            _ => unreachable!("a connection has two ends"),
        }
    }
}

/// What a side sends: bytes that tell of any that is missing, twice there, or in the wrong place.
fn payload(side: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(side, 0);
    let words = core::iter::repeat_with(|| rng.next_u64().to_le_bytes());
    let mut bytes: Vec<u8> = words.take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

impl Node for Host {
    fn handle_frame(&mut self, now: Instant, port: usize, frame: RxFrame<'_>) {
        match self {
            Self::Ours(stack) => Node::handle_frame(stack, now, port, frame),
            Self::Smol(host) => host.handle_frame(now, port, frame),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Ours(stack) => stack.handle_timeout(now),
            Self::Smol(host) => host.handle_timeout(now),
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        match self {
            Self::Ours(stack) => stack.poll_timeout(),
            Self::Smol(host) => host.poll_timeout(),
        }
    }

    fn poll_transmit(&mut self, now: Instant, port: usize) -> Option<TxFrame<'_>> {
        match self {
            Self::Ours(stack) => Node::poll_transmit(stack, now, port),
            Self::Smol(host) => host.poll_transmit(now, port),
        }
    }
}
