//! smoltcp as a contender: over its own TAP, or over ours with what that offers.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, TunTapInterface};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use ustack::device::smoltcp::Phy;
use ustack::device::{Tap, bring_up};

use super::bed::{self, CONTENDER, MAC, PEER, TAP};
use super::gauge::{Gauge, Run};
use super::measure::CpuTime;
use super::peer::{PORT, Way};

/// The first port that our side uses.
const OWN_PORT: u16 = 49_152;

/// What smoltcp calls a device, and what it must also tell to be driven in a loop.
pub trait Driven: phy::Device {
    /// Frames received so far.
    fn received(&self) -> u64;
    /// Sleeps until a frame comes or the time is over.
    fn sleep(&self, timeout: Option<Duration>) -> io::Result<()>;
}

/// smoltcp's own TAP.
#[derive(Debug)]
pub struct Own {
    device: TunTapInterface,
    received: u64,
}

impl Own {
    /// Opens it, on the contender's side. It stays on the thread that made it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open() -> io::Result<Self> {
        let device = TunTapInterface::new(TAP, phy::Medium::Ethernet)?;
        bring_up(TAP, &[bed::cidr(PEER)?])?;
        Ok(Self { device, received: 0 })
    }
}

impl phy::Device for Own {
    type RxToken<'a> = <TunTapInterface as phy::Device>::RxToken<'a>;
    type TxToken<'a> = <TunTapInterface as phy::Device>::TxToken<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.device.receive(now).inspect(|_| self.received += 1)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

impl Driven for Own {
    fn received(&self) -> u64 {
        self.received
    }

    fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        const LONGEST: Duration = Duration::from_millis(50);
        let timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
        phy::wait(self.device.as_raw_fd(), Some(timeout.into()))
    }
}

/// Our TAP, with all that it offers.
impl Driven for Phy<Tap> {
    fn received(&self) -> u64 {
        self.counts().received
    }

    fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        bed::idle(self.get_ref(), timeout)
    }
}

/// smoltcp with its sockets, in real time.
pub struct Smoltcp<D> {
    interface: Interface,
    /// Its sockets.
    pub sockets: SocketSet<'static>,
    device: D,
    begin: std::time::Instant,
}

impl<D: Driven> Smoltcp<D> {
    /// The contender's host.
    ///
    /// # Errors
    /// smoltcp takes no address.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub fn new(mut device: D) -> io::Result<Self> {
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        let [a, b, c, d] = CONTENDER;
        let mut room = true;
        interface
            .update_ip_addrs(|list| room = list.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).is_ok());
        let begin = std::time::Instant::now();
        let sockets = SocketSet::new(Vec::new());
        room.then_some(Self { interface, sockets, device, begin })
            .ok_or_else(|| io::Error::other("no address"))
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.begin.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// A socket with buffers of that size.
    pub fn add(&mut self, buffer: usize) -> SocketHandle {
        let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
        self.sockets.add(tcp::Socket::new(ring(), ring()))
    }

    /// A socket.
    pub fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Connects a socket to the peer.
    ///
    /// # Errors
    /// It is open already.
    pub fn connect(&mut self, handle: SocketHandle, own_port: u16) -> io::Result<()> {
        let [a, b, c, d] = PEER;
        let remote = (IpAddress::v4(a, b, c, d), PORT);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket
            .connect(self.interface.context(), remote, own_port)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    /// Takes what the device has, sends what is ready; answers how many frames were taken.
    pub fn turn(&mut self) -> u64 {
        let (now, before) = (self.now(), self.device.received());
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        self.device.received() - before
    }

    /// Sleeps until a frame comes or something is due.
    ///
    /// # Errors
    /// The descriptor is bad.
    pub fn idle(&mut self) -> io::Result<()> {
        let delay = self.interface.poll_delay(self.now(), &self.sockets);
        self.device.sleep(delay.map(|delay| Duration::from_micros(delay.total_micros())))
    }
}

/// A bulk transfer over `flows` connections to the peer, on this thread.
///
/// # Errors
/// The device is gone.
pub fn bulk(
    device: impl Driven,
    run: &Arc<Run>,
    way: Way,
    flows: usize,
    buffer: usize,
    chunk: usize,
) -> io::Result<CpuTime> {
    let mut host = Smoltcp::new(device)?;
    let handles: Vec<_> = (0..flows).map(|_| host.add(buffer)).collect();
    for (port, &handle) in (OWN_PORT..).zip(&handles) {
        host.connect(handle, port)?;
    }
    let chunk = vec![7; chunk];
    let mut gauge = Gauge::new(run);
    while gauge.running() {
        let mut moved = host.turn();
        for &handle in &handles {
            match way {
                Way::Send => {
                    while let Ok(n @ 1..) = host.socket(handle).send_slice(&chunk) {
                        moved += n as u64;
                        host.turn();
                    }
                }
                Way::Receive => {
                    while let Ok(n @ 1..) = host.socket(handle).recv(|data| (data.len(), data.len())) {
                        moved += n as u64;
                        gauge.add(n);
                    }
                }
            }
        }
        if moved == 0 {
            host.idle()?;
        }
    }
    for handle in handles {
        host.socket(handle).abort();
    }
    host.turn();
    Ok(gauge.used())
}
