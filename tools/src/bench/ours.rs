//! Our stack in a loop of its own: device in, timers, application, device out, on one thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ustack::buf::frame::{InterfaceId, RxFrame};
use ustack::device::Device;
use ustack::tcp::Settings;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, SocketId, Stack};

use super::bed::{self, CONTENDER, MAC, PEER};
use super::gauge::{Gauge, Run};
use super::measure::CpuTime;
use super::peer::{PORT, Way};

/// Frames taken from the device before the application and the sender get their turn.
pub const BATCH: usize = 64;
/// Room for the datagrams of a batch.
const DATAGRAMS: usize = 1 << 20;

/// A stack with one device.
#[derive(Debug)]
pub struct Ours<D> {
    /// The stack.
    pub stack: Stack,
    interface: InterfaceId,
    device: D,
    begin: Instant,
}

impl<D: Device> Ours<D> {
    /// The contender's host on this device.
    ///
    /// # Errors
    /// The device fits no interface.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub fn new(device: D) -> io::Result<Self> {
        let mut stack = Stack::new(Config { udp_receive_buffer: DATAGRAMS, ..Config::default() });
        let interface =
            stack.add_interface(ustack::time::Instant::ZERO, interface_config(), device.capabilities())?;
        Ok(Self { stack, interface, device, begin: Instant::now() })
    }

    /// The stack's time.
    pub fn now(&self) -> ustack::time::Instant {
        ustack::time::Instant::ZERO + self.begin.elapsed().into()
    }

    /// Feeds at most so many frames and fires what is due; answers how many frames there were.
    ///
    /// # Errors
    /// The device is gone.
    pub fn receive(&mut self, now: ustack::time::Instant, most: usize) -> io::Result<usize> {
        let mut taken = 0;
        while taken < most
            && let Some(frame) = self.device.recv(now)?
        {
            self.stack.handle_frame(now, self.interface, frame);
            taken += 1;
        }
        self.stack.handle_timeout(now);
        Ok(taken)
    }

    /// Feeds a frame that no device had.
    pub fn inject(&mut self, frame: &[u8]) {
        self.stack.handle_frame(self.now(), self.interface, RxFrame::plain(frame));
    }

    /// Sends all that is ready; answers how many packets the device did not take: they are lost, as on any wire.
    pub fn flush(&mut self, now: ustack::time::Instant) -> usize {
        let mut refused = 0;
        while let Some(frame) = self.stack.poll_transmit(now, self.interface) {
            if self.device.send(now, &frame).is_err() {
                let payload = frame.body[0].len() + frame.body[1].len();
                refused += frame.offload.gso.map_or(1, |gso| gso.packets(payload));
            }
        }
        refused += self.device.flush(now).unwrap_or(0);
        while self.stack.poll_event().is_some() {}
        refused
    }

    /// Sleeps until a frame comes or something is due.
    ///
    /// # Errors
    /// The descriptor is bad.
    pub fn idle(&self) -> io::Result<()> {
        let now = self.now();
        bed::idle(&self.device, self.stack.poll_timeout().map(|deadline| deadline.since(now).into()))
    }
}

/// The contender's interface.
pub fn interface_config() -> InterfaceConfig {
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr(MAC)) };
    config.address(CONTENDER.into(), 24)
}

/// Settings with buffers of that size from the beginning.
pub fn settings(buffer: usize) -> Settings {
    Settings {
        send_buffer: buffer,
        recv_buffer: buffer,
        send_tuning: false,
        recv_tuning: false,
        ..Settings::default()
    }
}

/// A bulk transfer over `flows` connections to the peer, on this thread.
///
/// # Errors
/// The device is gone, or a connection breaks.
pub fn bulk(
    device: impl Device,
    run: &Arc<Run>,
    way: Way,
    flows: usize,
    buffer: usize,
    chunk: usize,
) -> io::Result<CpuTime> {
    let mut ours = Ours::new(device)?;
    let remote = SocketAddr::from((PEER, PORT));
    let settings = settings(buffer);
    let mut ids = Vec::new();
    for _ in 0..flows {
        ids.push(ours.stack.tcp_connect(ours.now(), remote, None, settings.clone())?);
    }
    let chunk = vec![7; chunk];
    let mut gauge = Gauge::new(run);
    while gauge.running() {
        let now = ours.now();
        let taken = ours.receive(now, BATCH)?;
        for &id in &ids {
            match way {
                Way::Send => send(&mut ours, now, id, &chunk),
                Way::Receive => gauge.add(consume(&mut ours.stack, now, id)?),
            }
        }
        ours.flush(now);
        if taken == 0 {
            ours.idle()?;
        }
    }
    for id in ids {
        // One that is broken already needs no end.
        let _ = ours.stack.tcp_abort(ours.now(), id);
    }
    ours.flush(ours.now());
    Ok(gauge.used())
}

/// Writes as much as the connection takes.
fn send(ours: &mut Ours<impl Device>, now: ustack::time::Instant, id: SocketId, chunk: &[u8]) {
    while ours.stack.tcp_send(now, id, chunk).is_ok() {
        ours.flush(now);
    }
}

/// Takes what has come, where it lies; answers how much it was.
fn consume(stack: &mut Stack, now: ustack::time::Instant, id: SocketId) -> io::Result<usize> {
    let mut total = 0;
    while let Ok([first, second]) = stack.tcp_received(id)
        && let n @ 1.. = first.len() + second.len()
    {
        stack.tcp_consume(now, id, n)?;
        total += n;
    }
    Ok(total)
}
