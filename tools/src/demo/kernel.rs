//! The kernel at the far end: a process of our own, in a private network behind an impaired TAP, in real time.

use std::future::Future;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration as Span;

use ustack::buf::frame::{Capabilities, RxFrame, TxFrame};
use ustack::capture::{Capture, Direction};
use ustack::device::namespace::{Guest, Namespace, Wire};
use ustack::device::{Cidr, Device};
use ustack::net::{Driver, Net};
use ustack::sim::{Counts, FateList, Impaired, Impairment, Passed};
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, Stack};

use super::frame::{Frame, Side};
use super::peer::Heard;
use super::place::{FAR, MAX_FRAMES, PREFIX, Recording, near_interface, within};
use crate::common::failure::Failure;
use crate::common::runtime;

/// The TAP's name in the private network.
const TAP: &str = "tap0";
/// Most time that a conversation takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Most time that the wire gets to become quiet afterwards.
const QUIET_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
/// Time in which the far end reads what has arrived.
const READING: Duration = Duration::from_millis(50);
/// Most time that the far end takes to begin, or to say that it has told everything.
const ANSWER_LIMIT: Span = Span::from_secs(5);

/// The kernel at the far end of an impaired TAP.
pub(crate) struct Kernel {
    net: Net,
    driver: Driver,
    device: Arc<Mutex<Impaired<Wire>>>,
    /// What the far end tells; it ends with this value.
    told: Receiver<Told>,
    ask: ChildStdin,
    _guest: Guest,
    is_interrupted: bool,
    /// As they were when the last frames were taken.
    counts: [Counts; 2],
    fates: FateList,
    /// The link addresses of the two ends.
    addresses: [Option<MacAddr>; 2],
}

/// What the far end tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is ready, or has told all that it knew when it was asked.
    Ready,
    Heard(Heard),
}

impl Kernel {
    /// Makes the private network, with a process in it that runs this program with the argument `role`.
    pub(crate) fn new(
        role: &[&str],
        impairment: Impairment,
        config: Config,
        capture: Option<&Capture>,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        // In a group of its own: Ctrl-C at a terminal is for us, who then ask it what it has heard.
        command.args(role).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let address = Cidr::new(FAR, PREFIX).expect("24 bits are no more than an address has");
        let (mut guest, wire) = Namespace::new(TAP).address(address).spawn(command)?;
        let broken = || Failure::Device("the far end has no pipes".into());
        let ask = guest.child().stdin.take().ok_or_else(broken)?;
        let output = guest.child().stdout.take().ok_or_else(broken)?;

        let mut device = Impaired::new(wire, impairment, impairment, config.seed);
        device.record_fates(None);
        device.record_trace(MAX_FRAMES);
        if let Some(capture) = capture {
            device.capture(capture.clone(), TAP)?;
        }
        let wait_on = device.as_fd().map(|fd| fd.try_clone_to_owned()).transpose()?;
        let capabilities = device.capabilities();
        let device = Arc::new(Mutex::new(device));
        let net = Net::new(Stack::new(config));
        let told = listen(output, net.clone());
        let shared = Shared { device: device.clone(), wait_on, capabilities, frame: Vec::new() };
        let kernel = Self {
            driver: Driver::spawn(&net)?,
            net,
            device,
            told,
            ask,
            _guest: guest,
            is_interrupted: false,
            counts: Default::default(),
            fates: FateList::default(),
            addresses: [None; 2],
        };
        kernel.expect_ready(&mut Vec::new())?;
        kernel.net.attach(near_interface(), shared)?;
        Ok(kernel)
    }

    pub(crate) fn now(&self) -> Instant {
        self.net.now()
    }

    pub(crate) const fn net(&self) -> &Net {
        &self.net
    }

    pub(crate) const fn counts(&self) -> [Counts; 2] {
        self.counts
    }

    /// Somebody asked us to end.
    pub(crate) const fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    pub(crate) fn fates(&self) -> FateList {
        self.fates.clone()
    }

    /// As in virtual time, but it takes as long as it takes, within a limit. Ctrl-C ends it, and all that follow.
    pub(crate) fn run<T, F>(
        &mut self,
        conversation: impl FnOnce(Net) -> F,
    ) -> Result<(Option<T>, Recording), Failure>
    where
        F: Future<Output = T>,
    {
        let net = self.net.clone();
        let result = if self.is_interrupted {
            None
        } else {
            let future = conversation(net.clone());
            let talk = async {
                let talk = within(&net, LIMIT, future);
                let result = tokio::select! {
                    result = talk => Some(result),
                    () = runtime::interrupted() => None,
                };
                match result {
                    Some(_) => self.become_quiet().await,
                    None => self.net.sleep(READING).await,
                }
                Ok(result)
            };
            runtime::block_on(talk)?
        };
        self.is_interrupted |= result.is_none();
        if self.driver.is_finished() {
            return Err(Failure::Device(format!("{TAP} is gone")));
        }
        let mut heard = Vec::new();
        self.ask.write_all(b"?").and_then(|()| self.ask.flush())?;
        self.expect_ready(&mut heard)?;
        Ok((result.flatten(), Recording { frames: self.take_frames(), heard }))
    }

    /// Waits until nothing is under way and the near end has nothing more to say.
    async fn become_quiet(&self) {
        let until = self.net.now() + QUIET_LIMIT;
        while !self.is_quiet() && self.net.now() < until {
            self.net.sleep(LOOK).await;
        }
        self.net.sleep(READING).await;
    }

    fn is_quiet(&self) -> bool {
        let open = self.net.with_stack(|stack, _| stack.socket_count());
        let device = lock(&self.device);
        open == 0 && device.outgoing().held() + device.incoming().held() == 0
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        let mut device = lock(&self.device);
        self.counts = [*device.outgoing().counts(), *device.incoming().counts()];
        self.fates = device.fates();
        let frames = device.take_trace().into_iter().map(|passed| {
            let Passed { time, direction, passage, why, bytes } = passed;
            let (from, why) = match direction {
                Direction::Out => (Side::Near, Some(why)),
                Direction::In => (Side::Far, None),
            };
            Frame::new(time, from, passage, why, &bytes)
        });
        let mut frames: Vec<_> = frames.collect();
        Frame::address(&mut frames, &mut self.addresses);
        frames
    }

    /// Takes what the far end tells until it has no more to tell.
    fn expect_ready(&self, heard: &mut Vec<Heard>) -> Result<(), Failure> {
        loop {
            match self.told.recv_timeout(ANSWER_LIMIT) {
                Ok(Told::Heard(this)) => heard.push(this),
                Ok(Told::Ready) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Device("the far end does not answer".into()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Device("the far end has ended".into()));
                }
            }
        }
    }
}

/// Reads what the far end tells, in a thread of its own: the far end must never wait for us.
fn listen(output: ChildStdout, net: Net) -> Receiver<Told> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        while let Ok(told) = Told::read(&mut output, &net) {
            if sender.send(told).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Told {
    const READY: u16 = 0;

    /// Reads a record: port (0 if it is ready), address and port of the sender, length, bytes.
    fn read(input: &mut impl Read, net: &Net) -> io::Result<Self> {
        let mut head = [0; 12];
        input.read_exact(&mut head)?;
        let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let port = half(0);
        if port == Self::READY {
            return Ok(Self::Ready);
        }
        let from = SocketAddr::from((Ipv4Addr::new(head[2], head[3], head[4], head[5]), half(6)));
        let len = usize::from(half(8)) << 16 | usize::from(half(10));
        let mut bytes = vec![0; len];
        input.read_exact(&mut bytes)?;
        Ok(Self::Heard(Heard { time: net.now(), port, from, bytes }))
    }

    /// Writes a record about what was heard; None if all was told.
    pub(crate) fn write(output: &mut impl Write, heard: Option<(u16, SocketAddr, &[u8])>) -> io::Result<()> {
        let (port, from, bytes) = heard.unwrap_or((Self::READY, SocketAddr::from(([0, 0, 0, 0], 0)), &[]));
        let ip = match from {
            SocketAddr::V4(from) => from.ip().octets(),
            SocketAddr::V6(_) => [0; 4],
        };
        let len = bytes.len() as u32;
        let head = [&port.to_be_bytes()[..], &ip, &from.port().to_be_bytes(), &len.to_be_bytes()].concat();
        output.write_all(&head)?;
        output.write_all(bytes)?;
        output.flush()
    }
}

/// A device whose impairments can be looked at while the stack has it.
struct Shared {
    device: Arc<Mutex<Impaired<Wire>>>,
    wait_on: Option<OwnedFd>,
    capabilities: Capabilities,
    frame: Vec<u8>,
}

impl Device for Shared {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        let mut device = lock(&self.device);
        let Some(RxFrame { bytes, offload }) = device.recv(now)? else { return Ok(None) };
        self.frame.clear();
        self.frame.extend_from_slice(bytes);
        drop(device);
        Ok(Some(RxFrame { bytes: &self.frame, offload }))
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        lock(&self.device).send(now, frame)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wait_on.as_ref().map(AsFd::as_fd)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.device).poll_timeout()
    }
}

fn lock(device: &Mutex<Impaired<Wire>>) -> MutexGuard<'_, Impaired<Wire>> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_passes_through_a_pipe() {
        let net = Net::in_virtual_time(Stack::new(Config::seeded(1)));
        let from: SocketAddr = "10.9.0.2:40000".parse().unwrap();
        let mut pipe = Vec::new();
        Told::write(&mut pipe, Some((7001, from, &[7; 70_000]))).unwrap();
        Told::write(&mut pipe, None).unwrap();
        let mut pipe = &pipe[..];
        let Ok(Told::Heard(heard)) = Told::read(&mut pipe, &net) else { panic!("nothing was heard") };
        assert_eq!((heard.port, heard.from, heard.bytes), (7001, from, vec![7; 70_000]));
        assert!(matches!(Told::read(&mut pipe, &net), Ok(Told::Ready)));
        assert!(Told::read(&mut pipe, &net).is_err());
    }
}
