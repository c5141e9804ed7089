//! For the tests of this module: two ends and a pipe in virtual time, and one end against a written trace.

use std::collections::BTreeMap;

use super::*;
use crate::rng::Rng;
use crate::time::{Duration, Instant, Units};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header};

/// The ports of the client's side.
pub(super) const CLIENT: Ports = Ports { local: 50_000, remote: 80 };
/// The segment size of an Ethernet path over IPv4.
pub(super) const MAX_SEGMENT: usize = 1480;

/// What a connection starts with, its first number being `iss`.
pub(super) fn start(iss: u32) -> Start {
    Start {
        iss: SeqNum::new(iss),
        ts_offset: iss,
        max_segment: MAX_SEGMENT,
        default_mss: 536,
        signature: None,
        successor: false,
    }
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    /// The ECN field of its IP header.
    pub(super) ecn: u8,
    pub(super) reason: crate::why::Reason,
}

impl Packet {
    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { ecn: self.ecn, ..Segment::new(self.header, &self.payload) }
    }
}

/// The next packet of a connection.
pub(super) fn transmit(connection: &mut Connection, now: Instant, limits: &Limits) -> Option<Packet> {
    let outgoing = connection.poll_transmit(now, limits)?;
    let payload = connection.payload(&outgoing).concat();
    assert_eq!(payload.len(), outgoing.len as usize, "{outgoing:?} names bytes that are not there");
    Some(Packet { header: outgoing.header, payload, ecn: outgoing.ecn, reason: outgoing.why.reason() })
}

/// What a pipe does to packets; each in its own direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipe {
    pub(super) delay: Duration,
    /// Up to this much more.
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    /// How often what may be marked is.
    pub(super) mark: f64,
    /// Time that each byte takes on the wire.
    pub(super) ns_per_byte: u64,
    /// Packets that wait for the wire; what finds it full is lost.
    pub(super) queue: usize,
}

impl Pipe {
    pub(super) fn good() -> Self {
        let delay = 10.ms();
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            mark: 0.0,
            ns_per_byte: 0,
            queue: usize::MAX,
        }
    }
}

/// An end of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Client,
    Server,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Whether the how manieth packet of an end is lost.
pub(super) type DropRule = Box<dyn FnMut(End, usize, &Packet) -> bool>;

/// A client, a listener and what came of it, with a pipe between them in virtual time.
pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) client: Connection,
    pub(super) server: Option<Connection>,
    pub(super) listener: Listener<u8, ()>,
    pub(super) pipe: Pipe,
    pub(super) limits: Limits,
    /// Which packets are lost besides those that chance takes.
    pub(super) drop: DropRule,
    /// All that was sent, with its time and whether it was lost.
    pub(super) log: Vec<(Instant, End, Packet, bool)>,
    wire: BTreeMap<(Instant, u64), (End, Packet)>,
    wire_free: [Instant; 2],
    sent: [usize; 2],
    serial: u64,
    rng: Rng,
}

impl Net {
    pub(super) fn new(client: Settings, server: Settings, pipe: Pipe, seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        Self {
            now: Instant::ZERO,
            client: Connection::connect(Instant::ZERO, CLIENT, start(1000), client),
            server: None,
            listener: Listener::new(80, 8, server, &mut rng),
            pipe,
            limits: Limits::plain(MAX_SEGMENT),
            drop: Box::new(|_, _, _| false),
            log: Vec::new(),
            wire: BTreeMap::new(),
            wire_free: [Instant::ZERO; 2],
            sent: [0; 2],
            serial: 0,
            rng,
        }
    }

    pub(super) fn plain() -> Self {
        Self::new(Settings::default(), Settings::default(), Pipe::good(), 1)
    }

    /// A network whose handshake is done.
    pub(super) fn established(client: Settings, server: Settings, pipe: Pipe) -> Self {
        let mut net = Self::new(client, server, pipe, 1);
        net.run_until(|net| net.server.is_some() && net.client.state() == State::Established);
        net.run_for(200.ms());
        net.log.clear();
        net
    }

    pub(super) fn server(&mut self) -> &mut Connection {
        self.server.as_mut().expect("the handshake is done")
    }

    /// Sends what both ends have to send.
    fn drain(&mut self) {
        loop {
            let mut idle = true;
            while let Some(packet) = transmit(&mut self.client, self.now, &self.limits) {
                self.put(End::Client, packet);
                idle = false;
            }
            while let Some(syn_ack) = self.listener.poll_transmit(self.now) {
                let SynAck { segment, .. } = syn_ack;
                let reason = segment.why.reason();
                self.put(
                    End::Server,
                    Packet { header: segment.header, payload: Vec::new(), ecn: segment.ecn, reason },
                );
            }
            while let Some(packet) = self.server.as_mut().and_then(|c| transmit(c, self.now, &self.limits)) {
                self.put(End::Server, packet);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    /// Puts a packet on the wire.
    pub(super) fn put(&mut self, from: End, mut packet: Packet) {
        if packet.ecn != 0 && self.pipe.mark > 0.0 && self.rng.chance(self.pipe.mark) {
            packet.ecn = 3;
        }
        let count = self.sent[from as usize];
        self.sent[from as usize] += 1;
        let bytes = packet.payload.len() as u64 + 60;
        let free = self.wire_free[from as usize].max(self.now);
        let waiting = if self.pipe.ns_per_byte == 0 {
            0
        } else {
            ((free - self.now).as_nanos() / (self.pipe.ns_per_byte * 1500)) as usize
        };
        let lost = (self.drop)(from, count, &packet)
            || self.rng.chance(self.pipe.loss)
            || waiting >= self.pipe.queue;
        self.log.push((self.now, from, packet.clone(), lost));
        if lost {
            return;
        }
        let sent = free + Duration::from_nanos(self.pipe.ns_per_byte * bytes);
        self.wire_free[from as usize] = sent;
        for _ in 0..1 + usize::from(self.rng.chance(self.pipe.duplicate)) {
            let jitter = Duration::from_nanos(self.rng.below(self.pipe.jitter.as_nanos() + 1));
            self.serial += 1;
            self.wire.insert((sent + self.pipe.delay + jitter, self.serial), (from, packet.clone()));
        }
    }

    /// The time of the next thing that happens.
    fn next(&self) -> Option<Instant> {
        let timers =
            [self.client.poll_timeout(), self.listener.poll_timeout(), self.server.as_ref()?.poll_timeout()];
        let wire = self.wire.keys().next().map(|&(at, _)| at);
        timers.into_iter().flatten().chain(wire).min()
    }

    fn next_any(&self) -> Option<Instant> {
        if self.server.is_some() {
            return self.next();
        }
        let wire = self.wire.keys().next().map(|&(at, _)| at);
        [self.client.poll_timeout(), self.listener.poll_timeout(), wire].into_iter().flatten().min()
    }

    /// Lets one thing happen; false if nothing ever will before `end`.
    pub(super) fn step(&mut self, end: Instant) -> bool {
        self.drain();
        let Some(next) = self.next_any().filter(|&next| next <= end) else { return false };
        self.now = self.now.max(next);
        while let Some((&key, _)) = self.wire.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            let (from, packet) = self.wire.remove(&key).expect("was just seen");
            self.deliver(from.other(), &packet);
            self.drain();
        }
        let now = self.now;
        for connection in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
                let after = connection.poll_timeout();
                assert!(after.is_none_or(|at| at > now), "a deadline that is due stays: {after:?} at {now}");
            }
        }
        self.listener.handle_timeout(now);
        self.drain();
        true
    }

    /// Gives a packet to an end.
    pub(super) fn deliver(&mut self, to: End, packet: &Packet) {
        let segment = packet.segment();
        match (to, &mut self.server) {
            (End::Client, _) => self.client.handle_segment(self.now, &segment),
            (End::Server, Some(server)) => server.handle_segment(self.now, &segment),
            (End::Server, None) => {
                match self.listener.handle_segment(self.now, 1, start(700_000), None, &segment) {
                    Verdict::Established(connection) => self.server = Some(*connection),
                    Verdict::Reset(outgoing) => {
                        let reason = outgoing.why.reason();
                        self.put(
                            End::Server,
                            Packet {
                                header: outgoing.header,
                                payload: Vec::new(),
                                ecn: outgoing.ecn,
                                reason,
                            },
                        );
                    }
                    Verdict::Done => {}
                }
            }
        }
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, two hours at most.
    pub(super) fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + 7200.secs();
        while !done(self) {
            assert!(self.step(end), "nothing happens any more at {}\n{}", self.now, self.trace());
        }
    }

    /// The log as text, for a reader.
    pub(super) fn trace(&self) -> String {
        self.log.iter().map(|(at, from, packet, lost)| line(*at, *from, packet, *lost)).collect()
    }

    /// Moves bytes both ways, closes, and checks that all arrive once and in order.
    pub(super) fn transfer(&mut self, up: usize, down: usize) {
        let (to_server, to_client) = (pattern(up, 1), pattern(down, 2));
        let (mut sent_up, mut sent_down) = (0, 0);
        let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
        self.run_until(|net| {
            let now = net.now;
            let client = (&mut net.client, &to_server, &mut sent_up, &mut at_client);
            let server =
                net.server.as_mut().map(|server| (server, &to_client, &mut sent_down, &mut at_server));
            let mut done = server.is_some();
            for (connection, data, sent, received) in [Some(client), server].into_iter().flatten() {
                if *sent < data.len() {
                    *sent += connection.send(now, &data[*sent..]).unwrap_or(0);
                }
                if *sent == data.len() {
                    connection.shutdown_write(now).expect("is connected");
                }
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = connection.recv(now, &mut buffer) {
                    received.extend_from_slice(&buffer[..n]);
                }
                assert_eq!(connection.error(), None, "at {now}");
                done &= matches!(connection.state(), State::Closed | State::TimeWait);
            }
            done
        });
        assert!(at_server == to_server, "{} of {} bytes arrived at the server", at_server.len(), up);
        assert!(at_client == to_client, "{} of {} bytes arrived at the client", at_client.len(), down);
    }
}

/// One line of a trace.
pub(super) fn line(at: Instant, from: End, packet: &Packet, lost: bool) -> String {
    let Packet { header, payload, reason, .. } = packet;
    let arrow = match from {
        End::Client => "->",
        End::Server => "<-",
    };
    let flags: Vec<_> = header.flags.iter_names().map(|(name, _)| name).collect();
    let lost = if lost { " LOST" } else { "" };
    let len = payload.len();
    format!(
        "{at} {arrow} {} seq={} ack={} win={} len={len} {reason}{lost} {:?}\n",
        flags.join("+"),
        header.seq,
        header.ack,
        header.window,
        header.options.sack
    )
}

/// Bytes that tell where in the stream they belong.
pub(super) fn pattern(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8).collect()
}

/// One end against a written trace.
///
/// ```text
///   < SA seq=0 ack=1 win=5000 mss=1000     a segment arrives
///   > A seq=1 ack=1                        this is what the connection sends now; what is not named does not matter
///   +200ms                                 time passes, and nothing is sent before its end
///   = ESTABLISHED                          the state
/// ```
///
/// Sequence numbers count from each side's SYN. Before a segment arrives, before time passes,
/// and at the end of a script nothing more is to be sent.
pub(super) struct One {
    pub(super) now: Instant,
    pub(super) c: Connection,
    pub(super) limits: Limits,
}

/// Our first number in traces, and the peer's.
pub(super) const ISS: u32 = 4_294_966_000;
pub(super) const IRS: u32 = 4_294_967_000;

/// Settings of traces: no options but MSS and SACK, so that windows and sizes are round.
pub(super) fn bare() -> Settings {
    Settings {
        timestamps: false,
        window_scaling: false,
        congestion: congestion::Algorithm::NewReno,
        recv_buffer: 10_000,
        nodelay: true,
        ..Settings::default()
    }
}

impl One {
    /// In SYN-SENT, the SYN not yet sent. Full segments hold 1000 bytes.
    pub(super) fn connect(settings: Settings) -> Self {
        let now = crate::time::at(1.secs());
        let start = Start { max_segment: 1020, ..start(ISS) };
        let c = Connection::connect(now, CLIENT, start, settings);
        Self { now, c, limits: Limits::plain(1020) }
    }

    /// In ESTABLISHED; the round trip took 100 ms, and the peer offers 20,000 bytes.
    pub(super) fn established(settings: Settings) -> Self {
        let mut one = Self::connect(settings);
        one.play("> S seq=0 \n +100ms \n < SA seq=0 ack=1 win=20000 mss=1000 sackok \n > A seq=1 ack=1");
        one.events();
        one
    }

    /// 100 ms after ten full segments of `written` bytes left: they are in flight, what else there is waits for the window.
    pub(super) fn with_ten_in_flight(written: usize, settings: Settings) -> Self {
        let mut one = Self::established(settings);
        one.send(written);
        assert_eq!(one.burst().len(), 10);
        one.play("+100ms");
        one
    }

    /// The events so far.
    pub(super) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.c.poll_event()).collect()
    }

    pub(super) fn send(&mut self, len: usize) {
        assert_eq!(self.c.send(self.now, &pattern(len, 0)), Ok(len));
    }

    pub(super) fn recv(&mut self, len: usize) {
        assert_eq!(self.c.recv(self.now, &mut vec![0; len]), Ok(len));
    }

    /// Plays lines of a trace after which something may be left to send.
    pub(super) fn hear(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line).unwrap_or_else(|error| panic!("at {}, line `{line}`: {error}", self.now));
        }
    }

    /// Segments that arrive before the connection gets to speak: lines as `SA seq=0 ack=1`.
    pub(super) fn arrive(&mut self, lines: &str) {
        for line in lines.lines() {
            self.c.handle_segment(self.now, &Self::packet(line).segment());
        }
    }

    /// All that is sent now: sequence number and length.
    pub(super) fn burst(&mut self) -> Vec<(u32, usize)> {
        let packets = core::iter::from_fn(|| transmit(&mut self.c, self.now, &self.limits));
        packets.map(|p| (p.header.seq.get().wrapping_sub(ISS), p.payload.len())).collect()
    }

    /// Plays a trace.
    pub(super) fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.line(line).unwrap_or_else(|error| panic!("at {}, line `{line}`: {error}", self.now));
        }
        self.silent().unwrap_or_else(|error| panic!("at {}, after the script: {error}", self.now));
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (kind, rest) = line.split_at(1);
        if kind == ">" {
            let packet = transmit(&mut self.c, self.now, &self.limits).ok_or("nothing is sent")?;
            return Self::compare(&packet, rest)
                .map_err(|error| format!("{error} in {}", self.show(&packet)));
        }
        if kind == "=" {
            let state = self.c.state().name();
            return if state == rest.trim() { Ok(()) } else { Err(format!("the state is {state}")) };
        }
        self.silent()?;
        match kind {
            "<" => {
                let packet = Self::packet(rest);
                self.c.handle_segment(self.now, &packet.segment());
            }
            "+" => {
                let digits = rest.trim_end_matches(char::is_alphabetic);
                let count: u64 = digits.parse().expect("a number");
                let span = match &rest[digits.len()..] {
                    "us" => count.us(),
                    "ms" => count.ms(),
                    "s" => count.secs(),
                    unit => panic!("unit {unit}"),
                };
                self.pass(span)?;
            }
            _ => panic!("kind {kind}"),
        }
        Ok(())
    }

    fn silent(&mut self) -> Result<(), String> {
        match transmit(&mut self.c, self.now, &self.limits) {
            None => Ok(()),
            Some(packet) => Err(format!("unexpectedly sent: {}", self.show(&packet))),
        }
    }

    /// Time passes; what is due at the end of it has happened, what it makes the connection say is not yet sent.
    fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + span;
        while let Some(at) = self.c.poll_timeout().filter(|&at| at <= end) {
            self.silent()?;
            self.now = at;
            self.c.handle_timeout(at);
            assert!(self.c.poll_timeout().is_none_or(|next| next > at), "a due deadline stays");
        }
        if self.now < end {
            self.silent()?;
        }
        self.now = end;
        Ok(())
    }

    fn show(&self, packet: &Packet) -> String {
        let mut shown = packet.clone();
        shown.header.seq = SeqNum::new(shown.header.seq.get().wrapping_sub(ISS));
        shown.header.ack = SeqNum::new(shown.header.ack.get().wrapping_sub(IRS));
        line(self.now, End::Client, &shown, false)
    }

    /// What a line says that arrives.
    fn packet(text: &str) -> Packet {
        let mut header =
            Header { src_port: CLIENT.remote, dst_port: CLIENT.local, window: 20_000, ..Header::default() };
        header.seq = SeqNum::new(IRS);
        let mut words = text.split_whitespace();
        header.flags = flags(words.next().unwrap_or_default());
        let (mut payload, mut ecn) = (Vec::new(), 0);
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("number in {word}"));
            match key {
                "seq" => header.seq = SeqNum::new(IRS) + number(),
                "ack" => header.ack = SeqNum::new(ISS) + number(),
                "win" => header.window = number() as u16,
                "len" => payload = pattern(number() as usize, header.seq.get()),
                "mss" => header.options.mss = Some(number() as u16),
                "ws" => header.options.window_scale = Some(number() as u8),
                "sackok" => header.options.sack_permitted = true,
                "ts" => header.options.timestamps = Some(stamps(value)),
                "ecn" => ecn = number() as u8,
                "urg" => header.urgent = number() as u16,
                "sack" => {
                    for block in value.split(';') {
                        let (from, to) = block.split_once('-').expect("a block");
                        let seq = |text: &str| SeqNum::new(ISS) + text.parse::<u32>().expect("a number");
                        header
                            .options
                            .sack
                            .push(crate::wire::tcp::SackBlock { start: seq(from), end: seq(to) });
                    }
                }
                _ => panic!("word {word}"),
            }
        }
        Packet { header, payload, ecn, reason: crate::why::Reason::Foreign }
    }

    /// Compares what was sent with what a line names.
    fn compare(packet: &Packet, text: &str) -> Result<(), String> {
        let header = &packet.header;
        let mut words = text.split_whitespace();
        if header.flags != flags(words.next().unwrap_or_default()) {
            return Err("other flags".into());
        }
        let rel = |seq: SeqNum, from: u32| seq.get().wrapping_sub(from).to_string();
        let or_none = |option: Option<String>| option.unwrap_or_else(|| "none".into());
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, "true"));
            let found = match key {
                "seq" => rel(header.seq, ISS),
                "ack" => rel(header.ack, IRS),
                "win" => header.window.to_string(),
                "len" => packet.payload.len().to_string(),
                "ecn" => packet.ecn.to_string(),
                "why" => packet.reason.word().to_string(),
                "mss" => or_none(header.options.mss.map(|mss| mss.to_string())),
                "ws" => or_none(header.options.window_scale.map(|shift| shift.to_string())),
                "sackok" => header.options.sack_permitted.to_string(),
                "ts" => or_none(header.options.timestamps.map(|ts| format!("{}/{}", ts.value, ts.echo))),
                "sack" => {
                    let blocks = header.options.sack.as_slice().iter();
                    let blocks: Vec<_> =
                        blocks.map(|b| format!("{}-{}", rel(b.start, IRS), rel(b.end, IRS))).collect();
                    if blocks.is_empty() { "none".into() } else { blocks.join(";") }
                }
                _ => panic!("word {word}"),
            };
            if found != value {
                return Err(format!("{key} is {found}"));
            }
        }
        Ok(())
    }
}

fn flags(letters: &str) -> Flags {
    letters
        .chars()
        .map(|letter| match letter {
            'S' => Flags::SYN,
            'A' => Flags::ACK,
            'F' => Flags::FIN,
            'R' => Flags::RST,
            'P' => Flags::PSH,
            'U' => Flags::URG,
            'E' => Flags::ECE,
            'W' => Flags::CWR,
            'N' => Flags::AE,
            _ => panic!("flag {letter}"),
        })
        .collect()
}

fn stamps(text: &str) -> crate::wire::tcp::Timestamps {
    let (value, echo) = text.split_once('/').expect("value/echo");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    crate::wire::tcp::Timestamps { value: number(value), echo: number(echo) }
}
