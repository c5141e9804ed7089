//! An independent host for simulated networks: smoltcp behind `sim::Node`.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use ustack::buf::frame::{Medium, Offload, RxFrame, TxFrame};
use ustack::sim::Node;
use ustack::time::Instant;
use ustack::why::Why;

/// A host that runs smoltcp, with one port.
///
/// Between events its sockets are used through `tcp`, `udp` and `connect`.
pub struct SmolHost {
    interface: Interface,
    sockets: SocketSet<'static>,
    frames: Frames,
    current: Vec<u8>,
    now: Instant,
}

/// The frames between smoltcp and the network.
struct Frames {
    medium: Medium,
    mtu: usize,
    received: Option<Vec<u8>>,
    /// What smoltcp reads at the moment.
    current: Vec<u8>,
    to_send: VecDeque<Vec<u8>>,
}

impl SmolHost {
    /// A host with these addresses. On Ethernet its address is `02:00:00:00:00:host`.
    ///
    /// # Panics
    /// An address is malformed, or smoltcp takes no more.
    pub fn new(medium: Medium, mtu: usize, host: u8, addresses: &[&str], seed: u64) -> Self {
        let mut frames =
            Frames { medium, mtu, received: None, current: Vec::new(), to_send: VecDeque::new() };
        let address = match medium {
            Medium::Ethernet => HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, host])),
            Medium::Ip => HardwareAddress::Ip,
        };
        let mut config = Config::new(address);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut frames, SmolInstant::ZERO);
        interface.update_ip_addrs(|list| {
            for address in addresses {
                let cidr: IpCidr = address.parse().unwrap_or_else(|()| panic!("{address}"));
                list.push(cidr).expect("smoltcp takes few addresses");
            }
        });
        let sockets = SocketSet::new(Vec::new());
        Self { interface, sockets, frames, current: Vec::new(), now: Instant::ZERO }
    }

    /// A TCP socket.
    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// A UDP socket.
    pub fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Adds a TCP socket with buffers of that size.
    pub fn add_tcp(&mut self, buffer: usize) -> SocketHandle {
        let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
        self.sockets.add(tcp::Socket::new(ring(), ring()))
    }

    /// Adds a UDP socket for so many datagrams of up to `bytes` together in each direction.
    pub fn add_udp(&mut self, datagrams: usize, bytes: usize) -> SocketHandle {
        let ring = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; datagrams], vec![0; bytes]);
        self.sockets.add(udp::Socket::new(ring(), ring()))
    }

    /// Connects a TCP socket.
    ///
    /// # Errors
    /// What smoltcp says.
    pub fn connect(
        &mut self,
        handle: SocketHandle,
        remote: std::net::SocketAddr,
        local_port: u16,
    ) -> Result<(), tcp::ConnectError> {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(self.interface.context(), remote, local_port)
    }

    fn poll(&mut self, now: Instant) {
        self.now = now;
        self.interface.poll(smol(now), &mut self.frames, &mut self.sockets);
    }
}

/// smoltcp counts microseconds.
fn smol(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl Node for SmolHost {
    fn handle_frame(&mut self, now: Instant, _port: usize, frame: RxFrame<'_>) {
        self.frames.received = Some(frame.bytes.to_vec());
        self.poll(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.poll(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let micros = self.interface.poll_at(smol(self.now), &self.sockets)?.total_micros();
        Some(Instant::from_nanos(u64::try_from(micros).unwrap_or(0).saturating_mul(1000)))
    }

    fn poll_transmit(&mut self, _now: Instant, port: usize) -> Option<TxFrame<'_>> {
        if port > 0 {
            return None;
        }
        self.current = self.frames.to_send.pop_front()?;
        let why = &Why::FOREIGN;
        Some(TxFrame { head: &self.current, body: [&[], &[]], offload: Offload::NONE, why })
    }
}

impl phy::Device for Frames {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Received<'_>, ToSend<'_>)> {
        self.current = self.received.take()?;
        Some((Received(&self.current), ToSend(&mut self.to_send)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.to_send))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        const ETHERNET_HEADER: usize = 14;
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = match self.medium {
            Medium::Ethernet => (phy::Medium::Ethernet, self.mtu + ETHERNET_HEADER),
            Medium::Ip => (phy::Medium::Ip, self.mtu),
        };
        capabilities
    }
}

/// A frame that smoltcp may read.
pub struct Received<'a>(pub &'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame that smoltcp wants to send.
pub struct ToSend<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}
