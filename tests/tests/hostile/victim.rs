//! The stack under attack: a listener, an established connection and a datagram socket; and the attacker's frames.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ustack::buf::frame::{Capabilities, Medium, Offload, RxFrame};
use ustack::tcp::{Settings, State};
use ustack::time::{Duration, Instant, Units as _};
use ustack::why::{Reason, Why};
use ustack::wire::checksum::checksum;
use ustack::wire::ethernet::{EtherType, Header as Ethernet, MacAddr};
use ustack::wire::ip::{self, Protocol};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};
use ustack::wire::{arp, ipv4, udp};
use ustack::{Config, Error, InterfaceConfig, InterfaceId, SocketId, Stack};

pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const STREAM_PORT: u16 = 80;
pub(crate) const PEER_PORT: u16 = 40_000;
pub(crate) const UDP_PORT: u16 = 7;
const ETH: InterfaceId = InterfaceId(1);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// Where the peer's numbers begin.
const PEER_ISS: u32 = 1_000_000;

/// A stack with open sockets.
pub(crate) struct Victim {
    pub(crate) stack: Stack,
    now: Instant,
    stream: SocketId,
    datagrams: SocketId,
    /// The first number of the victim's stream that is not sent yet.
    snd_nxt: SeqNum,
    /// The next number of the peer.
    peer_nxt: SeqNum,
    /// Why each frame was sent that is not the link's own business.
    sent: Vec<Why>,
}

impl Victim {
    pub(crate) fn new() -> Self {
        let mut stack = Stack::new(Config::seeded(3));
        let now = Instant::ZERO;
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(OUR_MAC) };
        let config = config.address(OURS.into(), 24).address("fd09::2".parse().unwrap(), 64);
        assert_eq!(stack.add_interface(now, config, Capabilities::plain(Medium::Ethernet, 1500)), Ok(ETH));
        let any = |port| SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port);
        let listener = stack.tcp_listen(any(STREAM_PORT), 16, Settings::default()).unwrap();
        let datagrams = stack.udp_bind(any(UDP_PORT)).unwrap();
        let mut victim = Self {
            stack,
            now,
            stream: listener,
            datagrams,
            snd_nxt: SeqNum::new(0),
            peer_nxt: SeqNum::new(PEER_ISS + 1),
            sent: Vec::new(),
        };
        victim.receive(&arp_request(PEER, PEER_MAC.0));
        victim.pass(5.secs());
        let _ = victim.drain();
        // The peer connects.
        let syn = Header { flags: Flags::SYN, seq: SeqNum::new(PEER_ISS), window: 8192, ..ports() };
        victim.feed(&tcp_frame(PEER, OURS, &syn, b""));
        let answer = victim.drain();
        let syn_ack = answer.iter().find_map(|frame| segment(frame)).expect("the listener answers");
        victim.snd_nxt = syn_ack.seq + 1;
        victim.feed(&tcp_frame(PEER, OURS, &victim.tuple_header(), b""));
        victim.stream = victim.stack.tcp_accept(victim.now, listener).expect("it is established").0;
        let _ = victim.drain();
        victim.sent.clear();
        victim
    }

    /// Why the victim sent what it sent since the attack began, but for what it says on the link of itself.
    pub(crate) fn sent(&self) -> &[Why] {
        &self.sent
    }

    /// The state of the established connection.
    pub(crate) fn state(&self) -> State {
        self.stack.tcp_info(self.stream).expect("it lives").state
    }

    /// The header of the peer's next segment.
    pub(crate) fn tuple_header(&self) -> Header {
        Header { seq: self.peer_nxt, ack: self.snd_nxt, flags: Flags::ACK, window: 8192, ..ports() }
    }

    /// One frame of each kind that the victim takes seriously.
    pub(crate) fn valid_frames(&self) -> Vec<Vec<u8>> {
        let syn = Header { flags: Flags::SYN, src_port: 1234, dst_port: STREAM_PORT, ..Header::default() };
        let data = Header { flags: Flags::ACK | Flags::PSH, ..self.tuple_header() };
        vec![
            arp_request(PEER, PEER_MAC.0),
            udp_frame(PEER, OURS, 5000, UDP_PORT, b"a datagram"),
            tcp_frame(PEER, OURS, &syn, b""),
            tcp_frame(PEER, OURS, &data, b"some bytes of the stream"),
            echo_request(),
            fragment(PEER, OURS, 1, 8, &[5; 64]),
            icmp_frame(PEER, OURS, 3, 3, &udp_frame(OURS, PEER, UDP_PORT, 9, b"quoted")[14..]),
            v6_udp_frame(b"a datagram over IPv6"),
        ]
    }

    /// A frame arrives, and what follows from it happens.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        self.feed(frame);
        let _ = self.drain();
    }

    /// The same, with a device that vouches for its checksum.
    pub(crate) fn receive_vouched(&mut self, frame: &[u8]) {
        let checksum = ustack::buf::frame::Checksum::Verified;
        let offload = Offload { checksum, ..Offload::NONE };
        self.stack.handle_frame(self.now, ETH, RxFrame { bytes: frame, offload });
        let _ = self.drain();
    }

    /// Time passes, and timers fire.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..10_000 {
            let Some(at) = self.stack.poll_timeout().filter(|&at| at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            let _ = self.drain();
        }
        panic!("timers fire again and again");
    }

    /// The next datagram that was delivered.
    pub(crate) fn datagram(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_535];
        let got = self.stack.udp_recv_from(self.datagrams, &mut buffer).ok()?;
        buffer.truncate(got.copied);
        Some(buffer)
    }

    /// How many datagrams were delivered since the last call.
    pub(crate) fn datagrams(&mut self) -> usize {
        core::iter::from_fn(|| self.datagram()).count()
    }

    /// What was delivered to the stream.
    pub(crate) fn read_stream(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_535];
        match self.stack.tcp_recv(self.now, self.stream, &mut buffer) {
            Ok(len) => buffer[..len].to_vec(),
            Err(Error::WouldBlock) => Vec::new(),
            Err(error) => panic!("the stream is broken: {error}"),
        }
    }

    /// The victim answers pings, takes datagrams, and its connection still carries bytes both ways.
    #[track_caller]
    pub(crate) fn assert_unharmed(&mut self) {
        self.assert_answers();
        assert_eq!(self.state(), State::Established);
        let _ = self.read_stream();
        let header = Header { flags: Flags::ACK | Flags::PSH, ..self.tuple_header() };
        self.feed(&tcp_frame(PEER, OURS, &header, b"still there?"));
        assert_eq!(self.read_stream(), b"still there?");
        self.peer_nxt += 12;
        assert_eq!(self.stack.tcp_send(self.now, self.stream, b"yes"), Ok(3));
        let carries = |frame: &Vec<u8>| frame.ends_with(b"yes");
        assert!(self.drain().iter().any(carries), "the answer is not sent");
        self.snd_nxt += 3;
        self.feed(&tcp_frame(PEER, OURS, &self.tuple_header(), b""));
    }

    /// The victim answers pings and takes datagrams.
    #[track_caller]
    pub(crate) fn assert_answers(&mut self) {
        self.pass(5.secs());
        let _ = self.datagrams();
        // The attacker may have taken the peer's place in the neighbour cache: the peer says who it is.
        self.receive(&arp_request(PEER, PEER_MAC.0));
        self.feed(&echo_request());
        let is_reply = |frame: &Vec<u8>| frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 0;
        assert!(self.drain().iter().any(is_reply), "a ping is not answered");
        self.feed(&udp_frame(PEER, OURS, 5000, UDP_PORT, b"hello"));
        assert_eq!(self.datagram().as_deref(), Some(&b"hello"[..]));
    }

    fn feed(&mut self, frame: &[u8]) {
        self.stack.handle_frame(self.now, ETH, RxFrame::plain(frame));
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.stack.poll_transmit(self.now, ETH) {
            let own = [Reason::Announce, Reason::GroupReport, Reason::NeighborSolicit, Reason::NeighborProbe];
            if !own.contains(&frame.why.reason()) {
                self.sent.push(*frame.why);
            }
            frames.push(frame.to_vec());
            assert!(frames.len() < 100_000, "the stack does not stop sending");
        }
        while self.stack.poll_event().is_some() {}
        frames
    }
}

fn ports() -> Header {
    Header { src_port: PEER_PORT, dst_port: STREAM_PORT, ..Header::default() }
}

/// The TCP header of an IPv4 frame.
fn segment(frame: &[u8]) -> Option<Header> {
    let packet = ip::Packet::parse(frame.get(14..)?).ok()?;
    let checksum = ustack::buf::frame::Checksum::Full;
    Some(Header::parse(packet.payload, packet.src, packet.dst, checksum).ok()?.0)
}

pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let header = Ethernet { dst: OUR_MAC, src: PEER_MAC, ether_type: EtherType(ether_type) };
    [&header.to_bytes(), payload].concat()
}

pub(crate) fn ip_frame(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    packet_frame(&ipv4::Header::new(src, dst, protocol, 64, payload.len() as u16), payload)
}

fn packet_frame(header: &ipv4::Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; header.header_len()];
    header.write(&mut packet).expect("there is room");
    packet.extend_from_slice(payload);
    ethernet(EtherType::IPV4.0, &packet)
}

pub(crate) fn udp_frame(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    src_port: u16,
    dst_port: u16,
    payload: &[u8],
) -> Vec<u8> {
    ip_frame(src, dst, Protocol::UDP, &datagram(src.into(), dst.into(), src_port, dst_port, payload))
}

fn datagram(src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; udp::HEADER_LEN];
    udp::Header { src_port, dst_port }.write(&mut bytes, src, dst, [payload, &[]]).expect("there is room");
    [&bytes, payload].concat()
}

fn v6_udp_frame(payload: &[u8]) -> Vec<u8> {
    let [src, dst]: [IpAddr; 2] = ["fd09::1", "fd09::2"].map(|text| text.parse().unwrap());
    let datagram = datagram(src, dst, 5000, UDP_PORT, payload);
    let header = ip::Header::new(src, dst, Protocol::UDP, 64, datagram.len() as u16).expect("one family");
    let mut packet = vec![0; header.header_len()];
    header.write(&mut packet).expect("there is room");
    packet.extend_from_slice(&datagram);
    ethernet(EtherType::IPV6.0, &packet)
}

pub(crate) fn tcp_frame(src: Ipv4Addr, dst: Ipv4Addr, header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; header.header_len()];
    header.write(&mut bytes, src.into(), dst.into(), [payload, &[]]).expect("there is room");
    bytes.extend_from_slice(payload);
    ip_frame(src, dst, Protocol::TCP, &bytes)
}

pub(crate) fn icmp_frame(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0, 0, 0, 0, 0], quote].concat();
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    ip_frame(src, dst, Protocol::ICMP, &message)
}

pub(crate) fn echo_request() -> Vec<u8> {
    icmp_frame(PEER, OURS, 8, 0, b"are you there?")
}

/// A fragment of a UDP datagram that has more to come.
pub(crate) fn fragment(src: Ipv4Addr, dst: Ipv4Addr, id: u16, offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = ipv4::Header::new(src, dst, Protocol::UDP, 64, payload.len() as u16);
    (header.id, header.fragment_offset, header.more_fragments) = (id, offset, true);
    header.dont_fragment = false;
    packet_frame(&header, payload)
}

/// Asks for our address; whoever asks tells its own.
pub(crate) fn arp_request(sender: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    let request = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: MacAddr(mac),
        sender_ip: sender,
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: OURS,
    };
    let mut bytes = vec![0; arp::Packet::LEN];
    bytes.copy_from_slice(&request.to_bytes());
    ethernet(EtherType::ARP.0, &bytes)
}

pub(crate) fn fix_ip_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
}

/// Memory of this process that is in use.
pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
