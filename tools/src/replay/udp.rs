//! Replays an exchange of datagrams.

use std::net::{IpAddr, SocketAddr};

use ustack::time::{Duration, Instant};
use ustack::udp::Options;
use ustack::{Error as StackError, SocketId};

use ustack::buf::frame::Checksum;
use ustack::wire::ip::{Packet, Protocol as Upper};
use ustack::wire::udp::Header;

use super::compare::{Difference, Row};
use super::conversation::{Conversation, Data, Frame};
use super::error::Error;
use super::fragments::Fragments;
use super::host::Host;
use super::readdress::readdress;
use super::report::{Report, Stalled, Streams};
use super::{Protocol, Role};

/// Time for what our stack may still say when all is played.
const SETTLE: Duration = Duration::from_millis(100);
/// Without progress for so long nothing will ever happen.
const GIVE_UP: Duration = Duration::from_secs(120);
const MTU: usize = 1500;

/// Something that one side does, in the order of the capture.
enum Turn<'a> {
    /// The peer's packets arrive.
    Theirs(&'a Frame),
    /// Our application sends.
    Ours(&'a [u8]),
}

/// A run.
struct Player {
    host: Host,
    socket: Option<SocketId>,
    remote: SocketAddr,
    /// From and to which addresses recorded packets are moved, if they cannot stay.
    moved: Option<(IpAddr, IpAddr)>,
    now: Instant,
    fragments: Fragments,
    received: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    errors_sent: usize,
    errors_received: usize,
    broken_rules: Vec<String>,
}

/// Plays the other side of an exchange at a stack that stands in for `role`.
pub(super) fn replay(conversation: &Conversation, role: Role, seed: u64) -> Result<Report, Error> {
    let (local, remote) = (conversation.stand_in(role), conversation.stand_in(role.other()));
    let ours = |frame: &&Frame| frame.from == role;
    let recorded = |want: bool| -> Vec<Vec<u8>> {
        let side = conversation.frames.iter().filter(|frame| ours(frame) == want);
        side.filter_map(|frame| match &frame.data {
            Data::Udp { payload, .. } => Some(payload.clone()),
            _ => None,
        })
        .collect()
    };
    let errors = |want: bool| {
        let side = conversation.frames.iter().filter(|frame| ours(frame) == want);
        side.filter(|frame| matches!(frame.data, Data::Icmp { .. })).count()
    };
    let (sent, received) = (recorded(true), recorded(false));
    let (errors_sent, errors_received) = (errors(true), errors(false));
    // Whoever answers by an error has no socket there.
    let is_bound = !sent.is_empty() || errors_sent == 0;
    let mut player = Player::new(local, remote, is_bound, seed)?;
    player.moved = conversation.needs_stand_ins().then_some((remote.ip(), local.ip()));
    let (played, stalled) = player.run(conversation, role);

    let mut rows = datagram_rows(&sent, &player.sent);
    rows.extend(error_rows("ICMP error sent", errors_sent, player.errors_sent));
    rows.extend(error_rows("error reported to the application", errors_received, player.errors_received));
    let expected = if is_bound { received } else { Vec::new() };
    Ok(Report {
        protocol: Protocol::Udp,
        client: conversation.client,
        server: conversation.server,
        role,
        played,
        to_play: conversation.frames.iter().filter(|frame| frame.from != role).count(),
        added_acks: 0,
        virtual_time: player.now - Instant::ZERO,
        received: compare(&expected, &player.received),
        sent: compare(&sent, &player.sent),
        recorded_segments: conversation.frames.iter().filter(ours).count(),
        our_segments: player.sent.len() + player.errors_sent,
        rows,
        stalled,
        broken_rules: player.broken_rules,
    })
}

impl Player {
    fn new(local: SocketAddr, remote: SocketAddr, is_bound: bool, seed: u64) -> Result<Self, Error> {
        let mut host = Host::new(local, remote, MTU, seed)?;
        let refused = |error| Error::Stack { address: local, error };
        let (bound, remote) = (host.scoped(local), host.scoped(remote));
        let socket = if is_bound {
            let socket = host.stack.udp_bind_with(bound, Options::default()).map_err(refused)?;
            // Only a connected socket is told of ICMP errors.
            host.stack.udp_connect(socket, Some(remote)).map_err(refused)?;
            Some(socket)
        } else {
            None
        };
        Ok(Self {
            host,
            socket,
            remote,
            moved: None,
            now: Instant::ZERO,
            fragments: Fragments::default(),
            received: Vec::new(),
            sent: Vec::new(),
            errors_sent: 0,
            errors_received: 0,
            broken_rules: Vec::new(),
        })
    }

    /// Takes turns as recorded: each side goes on when the other has said what it had said then.
    fn run(&mut self, conversation: &Conversation, role: Role) -> (usize, Option<Stalled>) {
        let mut played = 0;
        let mut previous: Option<Instant> = None;
        let (mut ours, mut theirs) = (0, 0);
        for frame in &conversation.frames {
            let pause = previous.map_or(Duration::ZERO, |previous| frame.time.since(previous));
            previous = Some(frame.time);
            let turn = match &frame.data {
                _ if frame.from != role => Turn::Theirs(frame),
                Data::Udp { payload, .. } => Turn::Ours(payload),
                _ => continue,
            };
            self.run_until(self.now + pause);
            match turn {
                Turn::Theirs(frame) => {
                    if !self.wait(|player| player.sent.len() >= ours) {
                        return (played, Some(stall(frame, "our stack has not sent the datagram before it")));
                    }
                    self.play(frame);
                    played += 1;
                    theirs += usize::from(matches!(frame.data, Data::Udp { .. }) && self.socket.is_some());
                }
                Turn::Ours(payload) => {
                    if !self.wait(|player| player.received.len() >= theirs) {
                        return (played, Some(stall(frame, "our application waits for a datagram")));
                    }
                    self.send(payload);
                    ours += 1;
                }
            }
            self.settle();
        }
        self.run_until(self.now + SETTLE);
        (played, None)
    }

    fn play(&mut self, frame: &Frame) {
        let packets = match &frame.data {
            Data::Udp { packets, .. } => &packets[..],
            Data::Icmp { packet, .. } => core::slice::from_ref(packet),
            Data::Tcp(_) => &[],
        };
        for packet in packets {
            match self.moved {
                Some((src, dst)) => {
                    self.host.handle_packet(self.now, &readdress(packet, src, dst, src, None));
                }
                None => self.host.handle_packet(self.now, packet),
            }
        }
    }

    fn send(&mut self, payload: &[u8]) {
        let Some(socket) = self.socket else { return };
        // What was learned of an earlier datagram is told first.
        for _ in 0..2 {
            match self.host.stack.udp_send_to(self.now, socket, payload, None) {
                Ok(_) => return,
                Err(StackError::ConnectionRefused | StackError::HostUnreachable) => self.errors_received += 1,
                Err(error) => {
                    self.broken_rules.push(format!("our stack does not send to {}: {error}", self.remote));
                    return;
                }
            }
        }
    }

    /// Waits until `is_done`, moving time as the stack wants it.
    fn wait(&mut self, is_done: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + GIVE_UP;
        loop {
            self.settle();
            if is_done(self) {
                return true;
            }
            match self.host.poll_timeout().filter(|&at| at <= limit) {
                Some(at) => self.now = self.now.max(at),
                None => return false,
            }
            self.host.handle_timeout(self.now);
        }
    }

    fn run_until(&mut self, until: Instant) {
        self.settle();
        while let Some(at) = self.host.poll_timeout().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.host.handle_timeout(self.now);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    /// Takes what the stack sends, and what the application can read.
    fn settle(&mut self) {
        while let Some(sent) = self.host.poll_transmit(self.now) {
            self.note(&sent.bytes);
        }
        let Some(socket) = self.socket else { return };
        let mut buf = vec![0; 65_535];
        loop {
            match self.host.stack.udp_recv_from(socket, &mut buf) {
                Ok(got) => self.received.push(buf[..got.copied].to_vec()),
                Err(StackError::WouldBlock) => return,
                Err(_) => self.errors_received += 1,
            }
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        let Ok(ip) = Packet::parse(bytes) else {
            self.broken_rules.push("our stack sent a packet that cannot be read".to_string());
            return;
        };
        let Some(whole) = self.fragments.take(&ip) else { return };
        match whole.protocol {
            Upper::UDP => match Header::parse(&whole.payload, ip.src, ip.dst, Checksum::Full) {
                Ok((_, payload)) => self.sent.push(payload.to_vec()),
                Err(error) => self.broken_rules.push(format!("our stack sent what is no datagram: {error}")),
            },
            Upper::ICMP | Upper::ICMPV6 => self.errors_sent += 1,
            protocol => self.broken_rules.push(format!("our stack sent a packet of {protocol}")),
        }
    }
}

fn stall(frame: &Frame, reason: &str) -> Stalled {
    Stalled { packet: Some(frame.number), segment: Some("datagram".to_string()), reason: reason.to_string() }
}

fn compare(recorded: &[Vec<u8>], ours: &[Vec<u8>]) -> Vec<Streams> {
    let of = |all: &[Vec<u8>], index: usize| all.get(index).cloned().unwrap_or_default();
    (0..recorded.len().max(ours.len()))
        .map(|index| {
            let (a, b) = (of(recorded, index), of(ours, index));
            let mut streams = Streams::compare(&a, &a, &b);
            if index >= recorded.len().min(ours.len()) {
                // A datagram without bytes is one too.
                streams.differs_at.get_or_insert(0);
            }
            streams
        })
        .collect()
}

fn datagram_rows(recorded: &[Vec<u8>], ours: &[Vec<u8>]) -> Vec<Row> {
    let text =
        |datagram: Option<&Vec<u8>>| datagram.map(|bytes| format!("datagram of {} bytes", bytes.len()));
    (0..recorded.len().max(ours.len()))
        .map(|index| {
            let (a, b) = (recorded.get(index), ours.get(index));
            let differences = if a == b { Vec::new() } else { vec![Difference::Datagram] };
            Row { packet: None, recorded: text(a), ours: text(b), why: None, differences }
        })
        .collect()
}

fn error_rows(what: &str, recorded: usize, ours: usize) -> Vec<Row> {
    (0..recorded.max(ours))
        .map(|index| {
            let (a, b) = (index < recorded, index < ours);
            let differences = if a == b { Vec::new() } else { vec![Difference::Error] };
            let text = |there: bool| there.then(|| what.to_string());
            Row { packet: None, recorded: text(a), ours: text(b), why: None, differences }
        })
        .collect()
}
