//! The streams of one test: tasks that send and receive, and what they have counted.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use ustack::net::{Net, TcpStream, UdpSocket};
use ustack::tcp::{Settings, TcpInfo};
use ustack::time::{Duration, Instant};

use super::meter::{Counts, Goal, Meter};
use super::protocol::Params;

/// What is read at once.
const READ: usize = 128 << 10;

/// Where the data of a stream flow.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    Tcp(Arc<TcpStream>),
    /// The socket may be that of other streams, too.
    Udp(Arc<UdpSocket>, SocketAddr),
}

/// One stream, in one direction.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: u64,
    /// Whether this side sends.
    pub(super) sends: bool,
    carrier: Carrier,
    meter: Arc<Meter>,
    /// What was counted when the omitted time was over.
    omitted: Counts,
}

/// All streams of a test.
#[derive(Debug)]
pub(super) struct Streams {
    list: Vec<Stream>,
    goal: Arc<Goal>,
    senders: JoinSet<io::Result<()>>,
    receivers: JoinSet<io::Result<()>>,
}

/// The number of the stream at that place, from 0: 1, 3, 4, 5...
pub(super) const fn number(index: usize) -> u64 {
    if index == 0 { 1 } else { index as u64 + 2 }
}

/// What `params` want of a socket.
pub(super) fn configure(settings: &mut Settings, params: &Params) {
    settings.nodelay = params.nodelay;
    if params.window > 0 {
        let bytes = usize::try_from(params.window).unwrap_or(usize::MAX).min(64 << 20);
        (settings.send_buffer, settings.recv_buffer) = (bytes, bytes);
        (settings.send_tuning, settings.recv_tuning) = (false, false);
    }
}

impl Stream {
    pub(super) fn new(index: usize, sends: bool, carrier: Carrier) -> Self {
        let (meter, omitted) = (Arc::default(), Counts::default());
        Self { id: number(index), sends, carrier, meter, omitted }
    }

    /// Our end, and the other one.
    pub(super) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        match &self.carrier {
            Carrier::Tcp(stream) => Ok((stream.local_addr()?, stream.peer_addr()?)),
            Carrier::Udp(socket, peer) => Ok((socket.local_addr()?, *peer)),
        }
    }

    /// What TCP says; `None` of datagrams, and when the connection is gone.
    pub(super) fn info(&self) -> Option<TcpInfo> {
        match &self.carrier {
            Carrier::Tcp(stream) => stream.info().ok(),
            Carrier::Udp(..) => None,
        }
    }

    /// What was counted since the omitted time was over.
    pub(super) fn counts(&self) -> Counts {
        self.all_counts().since(&self.omitted)
    }

    fn all_counts(&self) -> Counts {
        let info = self.info().filter(|_| self.sends);
        let retransmits = info.map(|info| u64::from(info.counters.segs_retrans));
        Counts { retransmits, ..self.meter.counts() }
    }
}

impl Streams {
    pub(super) fn new(list: Vec<Stream>, params: &Params) -> Self {
        let goal = Arc::new(Goal::new(params.bytes, params.blocks));
        Self { list, goal, senders: JoinSet::new(), receivers: JoinSet::new() }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Stream> {
        self.list.iter()
    }

    /// Begins to count anew.
    pub(super) fn forget(&mut self) {
        for stream in &mut self.list {
            stream.omitted = stream.all_counts();
        }
    }

    /// Lets data flow. Senders stop by themselves at the goal if it is theirs: a server is told when it is over.
    pub(super) fn start(&mut self, net: &Net, params: &Params, goal_is_ours: bool) {
        let mut listening: BTreeMap<SocketAddr, (Arc<UdpSocket>, Meters)> = BTreeMap::new();
        let ours = || if goal_is_ours { self.goal.clone() } else { Arc::default() };
        for stream in &self.list {
            let (goal, meter) = (ours(), stream.meter.clone());
            let pace = Pace { net: net.clone(), rate: params.bandwidth, begin: net.now(), sent: 0 };
            let len = params.len as usize;
            match (&stream.carrier, stream.sends) {
                (Carrier::Tcp(tcp), true) => {
                    self.senders.spawn(send(tcp.clone(), len, pace, meter, goal));
                }
                (Carrier::Tcp(tcp), false) => {
                    self.receivers.spawn(receive(tcp.clone(), meter, goal));
                }
                (Carrier::Udp(socket, peer), true) => {
                    let wide = params.counters_64bit;
                    self.senders.spawn(send_datagrams(socket.clone(), *peer, len, wide, pace, meter, goal));
                }
                (Carrier::Udp(socket, peer), false) => {
                    let Ok(local) = socket.local_addr() else { continue };
                    let entry = listening.entry(local).or_insert_with(|| (socket.clone(), Meters::new()));
                    entry.1.insert(*peer, meter);
                }
            }
        }
        for (socket, meters) in listening.into_values() {
            let (wide, goal) = (params.counters_64bit, ours());
            self.receivers.spawn(receive_datagrams(net.clone(), socket, meters, wide, goal));
        }
    }

    /// Waits until all is moved that there was to move, or a sender failed. The end of what is received is no end.
    pub(super) async fn done(&mut self) -> io::Result<()> {
        let sent = async {
            while let Some(ended) = self.senders.join_next().await {
                ended.map_err(io::Error::other)??;
            }
            Ok(())
        };
        let is_sender = self.list.iter().any(|stream| stream.sends);
        tokio::select! {
            sent = sent, if is_sender => sent,
            () = self.goal.wait() => Ok(()),
        }
    }

    /// Waits, within reason, until the other side has all that was written.
    pub(super) async fn flushed(&self) {
        const ROUNDS: u32 = 1000;
        const ROUND: Duration = Duration::from_millis(5);
        for _ in 0..ROUNDS {
            let waits = |info: TcpInfo| info.unacked + info.unsent > 0;
            if !self.list.iter().filter(|stream| stream.sends).filter_map(Stream::info).any(waits) {
                return;
            }
            tokio::time::sleep(ROUND.into()).await;
        }
    }

    /// Nothing is sent any more. What was counted stays.
    pub(super) fn stop_sending(&mut self) {
        self.senders.abort_all();
    }

    /// Closes all streams, in order: what still comes is read and thrown away, for a while, without anybody waiting.
    pub(super) fn close(mut self) {
        self.senders.abort_all();
        for stream in &self.list {
            if let Carrier::Tcp(tcp) = &stream.carrier {
                // It may be closed already.
                let _ = tcp.shutdown(std::net::Shutdown::Write);
            }
        }
        if self.list.iter().any(|stream| matches!(stream.carrier, Carrier::Udp(..))) {
            return;
        }
        let Self { list, mut receivers, .. } = self;
        tokio::spawn(async move {
            let drained = async { while receivers.join_next().await.is_some() {} };
            // Who does not end is cut off: by then the client has forgotten the test.
            let _ = tokio::time::timeout(super::PATIENCE.into(), drained).await;
            drop(list);
        });
    }
}

type Meters = BTreeMap<SocketAddr, Arc<Meter>>;

// Where another thread moves the stack, a socket may be ready for ever: each task lets the others have their turn.

/// When the next block may leave.
#[derive(Debug)]
struct Pace {
    net: Net,
    /// Bits per second; 0 for no limit.
    rate: u64,
    begin: Instant,
    sent: u64,
}

impl Pace {
    async fn wait(&mut self) {
        if self.rate == 0 {
            return;
        }
        let due = self.begin + Duration::from_secs_f64(self.sent as f64 * 8.0 / self.rate as f64);
        let now = self.net.now();
        if due > now {
            tokio::time::sleep(due.since(now).into()).await;
        }
    }
}

async fn send(
    stream: Arc<TcpStream>,
    len: usize,
    mut pace: Pace,
    meter: Arc<Meter>,
    goal: Arc<Goal>,
) -> io::Result<()> {
    let block = vec![0; len];
    while !goal.is_reached() {
        consume_budget().await;
        pace.wait().await;
        let n = stream.write(&block).await?;
        pace.sent += n as u64;
        meter.moved(n);
        goal.moved(n);
    }
    Ok(())
}

async fn receive(stream: Arc<TcpStream>, meter: Arc<Meter>, goal: Arc<Goal>) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    while let n @ 1.. = stream.read(&mut buffer).await? {
        meter.moved(n);
        goal.moved(n);
        consume_budget().await;
    }
    Ok(())
}

/// Each datagram begins with the time (seconds and microseconds) and its number, from 1, in network order.
async fn send_datagrams(
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    len: usize,
    wide: bool,
    mut pace: Pace,
    meter: Arc<Meter>,
    goal: Arc<Goal>,
) -> io::Result<()> {
    const RETRY: Duration = Duration::from_millis(1);
    let mut datagram = vec![0; len];
    let mut number = 0_u64;
    while !goal.is_reached() {
        consume_budget().await;
        pace.wait().await;
        number += 1;
        let micros = pace.net.now().as_micros();
        datagram[0..4].copy_from_slice(&((micros / 1_000_000) as u32).to_be_bytes());
        datagram[4..8].copy_from_slice(&((micros % 1_000_000) as u32).to_be_bytes());
        match wide {
            true => datagram[8..16].copy_from_slice(&number.to_be_bytes()),
            false => datagram[8..12].copy_from_slice(&(number as u32).to_be_bytes()),
        }
        match socket.send_to(&datagram, peer).await {
            Ok(n) => {
                pace.sent += n as u64;
                meter.moved(n);
                goal.moved(n);
            }
            // What ICMP said about an earlier one: the datagram did not leave, and its number is free again.
            Err(_) => {
                number -= 1;
                tokio::time::sleep(RETRY.into()).await;
            }
        }
    }
    Ok(())
}

async fn receive_datagrams(
    net: Net,
    socket: Arc<UdpSocket>,
    meters: Meters,
    wide: bool,
    goal: Arc<Goal>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        consume_budget().await;
        // An error is about a datagram of before, not about the socket.
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        let (Some(meter), Some(header)) = (meters.get(&from), Header::parse(&buffer[..n], wide)) else {
            continue;
        };
        meter.arrived(net.now(), n, header.number, header.left);
        goal.moved(n);
    }
}

/// How a datagram begins.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    /// In seconds of the sender's clock.
    left: f64,
    number: u64,
}

impl Header {
    fn parse(datagram: &[u8], wide: bool) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
        let (seconds, micros, first) = (word(0)?, word(4)?, word(8)?);
        let number = if wide { u64::from(first) << 32 | u64::from(word(12)?) } else { first.into() };
        Some(Self { left: f64::from(seconds) + f64::from(micros) / 1e6, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_numbered_as_iperf3_does() {
        assert_eq!([0, 1, 2, 3].map(number), [1, 3, 4, 5]);
    }

    #[test]
    fn a_header_is_read() {
        let bytes = [0, 0, 0, 2, 0, 7, 0xa1, 0x20, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(Header::parse(&bytes, false), Some(Header { left: 2.5, number: 1 }));
        assert_eq!(Header::parse(&bytes, true), Some(Header { left: 2.5, number: (1 << 32) + 9 }));
        assert_eq!(Header::parse(&bytes[..12], true), None);
    }
}
