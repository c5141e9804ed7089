//! smoltcp over devices of ours: with our stack on the other end of a wire in memory, and with the kernel behind each
//! kind of device.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;

use smoltcp::iface::{Config as SmolConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device as _, RxToken as _};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use ustack::buf::frame::{Checksum, Offload, RxFrame, TxFrame};
use ustack::device::smoltcp::Phy;
use ustack::device::{
    Capabilities, Device, Medium, Memory, PacketBuilder, TapBuilder, TunBuilder, XdpBuilder, wait,
};
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, SocketId, Stack};
use ustack_tests::device::{address, send_offloaded, transmit};
use ustack_tests::frames::udp;
use ustack_tests::kernel::{Namespace, Need, Wire, ready};
use ustack_tests::pattern::pattern;

const MTU: usize = 1500;
const MERGED: usize = 65_535;
const PORT: u16 = 7000;
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 2];
const BUFFER: usize = 256 << 10;
const LEN: usize = 3 << 20;

/// smoltcp with one TCP socket.
struct Smol<D: Device> {
    phy: Phy<D>,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl<D: Device> Smol<D> {
    fn new(device: D, address: &str) -> Self {
        let mut phy = Phy::new(device);
        let hardware = match phy.get_ref().capabilities().medium {
            Medium::Ethernet => HardwareAddress::Ethernet(EthernetAddress(OURS)),
            Medium::Ip => HardwareAddress::Ip,
        };
        let mut interface = Interface::new(SmolConfig::new(hardware), &mut phy, SmolInstant::ZERO);
        let cidr: IpCidr = address.parse().expect("an address");
        interface.update_ip_addrs(|list| list.push(cidr).expect("there is room for one"));
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { phy, interface, sockets, socket }
    }

    fn connect(&mut self, to: SocketAddr) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        socket.connect(self.interface.context(), to, 40_000).expect("the socket is closed");
    }

    /// Sends the rest of `data`, reads into `read`, and lets smoltcp work.
    fn step(&mut self, now: Instant, data: &mut &[u8], read: &mut Vec<u8>) {
        let now = SmolInstant::from_micros(now.as_micros() as i64);
        self.interface.poll(now, &mut self.phy, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        if socket.can_send() {
            let sent = socket.send_slice(data).expect("it can send");
            *data = &data[sent..];
        }
        while socket.can_recv() {
            let take = |bytes: &mut [u8]| (bytes.len(), read.extend_from_slice(bytes));
            socket.recv(take).expect("it can receive");
        }
        self.interface.poll(now, &mut self.phy, &mut self.sockets);
    }
}

/// Our stack on the other end of the wire.
struct Ours {
    stack: Stack,
    interface: InterfaceId,
    device: Memory,
    listener: SocketId,
    socket: Option<SocketId>,
}

impl Ours {
    fn new(device: Memory, address: &str, prefix: u8) -> Self {
        let mut stack = Stack::new(Config::seeded(1));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 1])) };
        let config = config.address(address.parse().expect("an address"), prefix);
        let interface = stack
            .add_interface(Instant::ZERO, config, device.capabilities())
            .expect("the configuration fits");
        let at = SocketAddr::new(address.parse().expect("an address"), PORT);
        let settings = stack.config().tcp.clone();
        let listener = stack.tcp_listen(at, 1, settings).expect("the port is free");
        Self { stack, interface, device, listener, socket: None }
    }

    fn step(&mut self, now: Instant, data: &mut &[u8], read: &mut Vec<u8>) {
        let stack = &mut self.stack;
        while let Some(frame) = self.device.recv(now).expect("memory works") {
            stack.handle_frame(now, self.interface, frame);
        }
        stack.handle_timeout(now);
        self.socket = self.socket.or_else(|| stack.tcp_accept(now, self.listener).ok().map(|(id, _)| id));
        if let Some(socket) = self.socket {
            while !data.is_empty()
                && let Ok(sent) = stack.tcp_send(now, socket, data)
            {
                *data = &data[sent..];
            }
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = stack.tcp_recv(now, socket, &mut buf) {
                read.extend_from_slice(&buf[..n]);
            }
        }
        while let Some(frame) = stack.poll_transmit(now, self.interface) {
            self.device.send(now, &frame).expect("the wire has room");
        }
        while stack.poll_event().is_some() {}
    }
}

/// What smoltcp's side counted after both sent `LEN` bytes to each other.
fn conversation(capabilities: Capabilities, smol: &str, ours: &str, prefix: u8) -> Smol<Memory> {
    let (left, right) = Memory::builder(capabilities).limit(1 << 16).pair().expect("memory is there");
    let mut smol = Smol::new(left, &format!("{smol}/{prefix}"));
    let mut server = Ours::new(right, ours, prefix);
    smol.connect(SocketAddr::new(ours.parse().expect("an address"), PORT));
    let (to_server, to_smol) = (pattern(1, LEN), pattern(2, LEN));
    let (mut up, mut down) = (&to_server[..], &to_smol[..]);
    let (mut at_server, mut at_smol) = (Vec::new(), Vec::new());
    let mut now = Instant::ZERO;
    while at_server.len() < LEN || at_smol.len() < LEN {
        now += Duration::from_millis(1);
        smol.step(now, &mut up, &mut at_smol);
        server.step(now, &mut down, &mut at_server);
        assert!(now < Instant::ZERO + Duration::from_secs(60), "{} {} bytes", at_server.len(), at_smol.len());
    }
    assert!(at_server == to_server && at_smol == to_smol, "bytes were damaged");
    assert!(smol.phy.take_error().is_none());
    assert_eq!(smol.phy.counts().refused + smol.phy.counts().damaged, 0);
    smol
}

#[test]
fn smoltcp_and_our_stack_exchange_segments() {
    for medium in [Medium::Ethernet, Medium::Ip] {
        for (smol, ours, prefix) in [("10.9.0.2", "10.9.0.1", 24), ("fd09::2", "fd09::1", 64)] {
            let counts = conversation(Capabilities::plain(medium, MTU), smol, ours, prefix).phy.counts();
            assert!(counts.sent as usize > LEN / MTU, "{counts:?}: nothing was merged");
        }
    }
}

#[test]
fn smoltcp_and_our_stack_exchange_merged_frames_without_checksums() {
    for medium in [Medium::Ethernet, Medium::Ip] {
        for (smol, ours, prefix) in [("10.9.0.2", "10.9.0.1", 24), ("fd09::2", "fd09::1", 64)] {
            let merging =
                Capabilities { max_merged: MERGED, checksum: true, ..Capabilities::plain(medium, MTU) };
            let counts = conversation(merging, smol, ours, prefix).phy.counts();
            assert!((counts.received as usize) < LEN / MTU, "{counts:?}: large frames were received");
            if prefix == 24 {
                assert!((counts.sent as usize) < LEN / MTU, "{counts:?}: large frames were sent");
            }
        }
    }
}

#[test]
fn a_damaged_datagram_is_dropped_unless_the_device_vouches_for_it() {
    let merging = Capabilities { checksum: true, ..Capabilities::plain(Medium::Ethernet, MTU) };
    let (mut far, near) = Memory::builder(merging).pair().expect("memory is there");
    let mut phy = Phy::new(near);
    let mut given = |far: &mut Memory, frame: &TxFrame<'_>| {
        send_offloaded(far, frame);
        let (rx, _) = phy.receive(SmolInstant::ZERO).expect("a frame came");
        (rx.consume(<[u8]>::len), phy.counts().damaged)
    };
    let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut frame = udp(macs, address("10.9.0.1:9"), address("10.9.0.2:9"), b"hello");
    let len = frame.len();
    assert_eq!(given(&mut far, &transmit(&frame)), (len, 0));
    *frame.last_mut().expect("it is not empty") ^= 1;
    assert_eq!(given(&mut far, &transmit(&frame)), (0, 1));
    let checksum = Checksum::Partial { start: 34, offset: 6 };
    let vouched = TxFrame { offload: Offload { checksum, gso: None }, ..transmit(&frame) };
    assert_eq!(given(&mut far, &vouched), (len, 1));
}

/// The addresses of smoltcp and of a kernel, and the length of their prefix.
const ADDRESSES: [(&str, &str, u8); 2] = [("10.9.0.2", "10.9.0.1", 24), ("fd09::2", "fd09::1", 64)];

/// A device that remembers the longest frames that passed.
struct Measured<D> {
    device: D,
    received: usize,
    sent: usize,
}

impl<D: Device> Device for Measured<D> {
    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        let frame = self.device.recv(now)?;
        self.received = self.received.max(frame.as_ref().map_or(0, |frame| frame.bytes.len()));
        Ok(frame)
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.sent = self.sent.max(frame.len());
        self.device.send(now, frame)
    }

    fn flush(&mut self, now: Instant) -> io::Result<usize> {
        self.device.flush(now)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.device.as_fd()
    }
}

/// A kernel echoes what smoltcp says over a device; whether frames were merged in both directions is looked at, but that
/// smoltcp sends none over IPv6.
fn echo(kernel: &Namespace, device: impl Device, (ours, theirs, prefix): (&str, &str, u8), merges: bool) {
    let device = Measured { device, received: 0, sent: 0 };
    let mut smol = Smol::new(device, &format!("{ours}/{prefix}"));
    let at = SocketAddr::new(theirs.parse().expect("an address"), PORT);
    let listener = kernel.enter(|| TcpListener::bind(at)).expect("the port is free");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("smoltcp connects");
        let mut all = vec![0; LEN];
        stream.read_exact(&mut all).expect("all comes");
        stream.write_all(&all).expect("all goes");
    });
    smol.connect(at);
    let sent = pattern(3, LEN);
    let (mut rest, mut got) = (&sent[..], Vec::new());
    #[allow(clippy::disallowed_methods, reason = "the kernel's time is the real one")]
    let begin = std::time::Instant::now();
    while got.len() < LEN {
        let now = Instant::ZERO + Duration::from(begin.elapsed());
        smol.step(now, &mut rest, &mut got);
        assert!(smol.phy.take_error().is_none());
        let fd = smol.phy.get_ref().as_fd().expect("it has a descriptor");
        wait(&[fd], Some(std::time::Duration::from_millis(1))).expect("it can be waited for");
        assert!(begin.elapsed() < ustack_tests::wait::SOON, "{} bytes came back", got.len());
    }
    echo.join().expect("the kernel's side is well");
    assert!(got == sent, "bytes were damaged");
    assert_eq!(smol.phy.counts().damaged, 0);
    let Measured { received, sent, .. } = *smol.phy.get_ref();
    let large = [received, sent].map(|longest| longest > 2 * MTU);
    assert_eq!(large, [merges, merges && prefix == 24], "the longest frames: {received} came, {sent} left");
}

#[test]
fn smoltcp_and_the_kernel_exchange_frames_over_a_tap_and_a_tun() {
    if !ready(&[Need::Namespaces, Need::Tun, Need::Tool("ethtool")]) {
        return;
    }
    for addresses in ADDRESSES {
        let cidr = format!("{}/{}", addresses.1, addresses.2);
        let kernel = Namespace::new();
        let tap = kernel.enter(|| TapBuilder::new("tap0").address(&*cidr).up().offload().build());
        echo(&kernel, tap.expect("we may"), addresses, true);
        let kernel = Namespace::new();
        let tun = kernel.enter(|| TunBuilder::new("tun0").address(&*cidr).up().offload().build());
        echo(&kernel, tun.expect("we may"), addresses, true);
        let kernel = Namespace::new();
        let tun = kernel.enter(|| TunBuilder::new("tun0").address(&*cidr).up().build()).expect("we may");
        kernel.no_offloads("tun0");
        echo(&kernel, tun, addresses, false);
    }
}

#[test]
fn smoltcp_and_the_kernel_exchange_frames_over_a_packet_socket() {
    if !ready(&[Need::Namespaces, Need::Tool("ethtool")]) {
        return;
    }
    for (addresses, merges) in ADDRESSES.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let wire = Wire::to_bare_end();
        let mut builder = PacketBuilder::new("eth0").mac(OURS);
        if merges {
            [&wire.left, &wire.right].into_iter().for_each(|end| end.all_offloads("eth0"));
            builder = builder.offload();
        }
        let socket = wire.right.enter(|| builder.build()).expect("we may");
        echo(&wire.left, socket, addresses, merges);
    }
}

#[test]
fn smoltcp_and_the_kernel_exchange_frames_over_an_xdp_socket() {
    if !ready(&[Need::Namespaces, Need::Xdp, Need::Tool("ethtool")]) {
        return;
    }
    for addresses in ADDRESSES {
        let wire = Wire::to_bare_end();
        let socket = wire.right.enter(|| XdpBuilder::new("eth0").mac(OURS).build()).expect("we may");
        echo(&wire.left, socket, addresses, false);
    }
}
