//! The server: one test at a time, many in a row.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use ustack::net::{Net, TcpListener, TcpStream, UdpSocket};
use ustack::time::{Duration, Instant};

use super::meter::Counts;
use super::protocol::{Control, Cookie, MAX_CLIENT_RESULTS, MAX_PARAMS, Params, State};
use super::report::units;
use super::results::{Results, StreamResult};
use super::streams::{Carrier, Stream, Streams, configure};
use super::usage::Usage;
use super::{Error, KEEPALIVE, PATIENCE, patiently};

/// Connections that have not said yet to which test they belong.
const MAX_ARRIVING: usize = 256;
/// How much longer than its time a test may take.
const GRACE: Duration = Duration::from_secs(60);
/// iperf3's number for parameters that cannot be.
const BAD_PARAMETERS: i32 = 114;
/// What a server of UDP answers to the first datagram of a stream.
const UDP_REPLY: &[u8; 4] = b"6789";

/// A server of iperf3.
///
/// It is moved by `run`, in a tokio runtime. A second client is told that the server is busy; a client that vanishes
/// ends its own test only.
#[derive(Debug)]
pub struct Server {
    net: Net,
    listener: TcpListener,
    at: SocketAddr,
}

/// How a test went.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Whose test it was.
    pub client: SocketAddr,
    /// What the client asked for.
    pub params: Params,
    /// What we received, all streams together.
    pub received: Counts,
    /// What we sent, all streams together.
    pub sent: Counts,
    /// In seconds, without what was omitted.
    pub seconds: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.params.udp { "UDP" } else { "TCP" };
        write!(f, "{}: {} {kind}", self.client, self.params.streams())?;
        for (counts, how) in [(&self.received, "received"), (&self.sent, "sent")] {
            if counts.bytes > 0 {
                let rate = units::rate(counts.bytes, self.seconds);
                write!(f, ", {} {how} at {}", units::bytes(counts.bytes as f64).trim(), rate.trim())?;
            }
        }
        if self.params.udp && self.received.packets > 0 {
            write!(f, ", {} of {} lost", self.received.lost, self.received.packets)?;
        }
        Ok(())
    }
}

impl Server {
    /// Listens on `at`.
    ///
    /// # Errors
    /// As `TcpListener::bind`.
    pub fn bind(net: &Net, at: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind_with(net, at, TcpListener::BACKLOG, |settings| {
            settings.keepalive = Some(KEEPALIVE);
        })?;
        Ok(Self { net: net.clone(), listener, at })
    }

    /// Serves one test after the other, and tells how each went: before its client knows, which may end us then.
    ///
    /// # Errors
    /// The stack is gone.
    pub async fn run(self, mut tell: impl FnMut(Result<Summary, Error>)) -> io::Result<()> {
        let mut arriving = JoinSet::new();
        let mut tests = JoinSet::new();
        let mut parting = JoinSet::new();
        let mut current: Option<Current> = None;
        loop {
            tokio::select! {
                ended = tests.join_next(), if !tests.is_empty() => match ended {
                    Some(Ok(Ok(Ended { summary, control, results }))) => {
                        tell(Ok(summary));
                        parting.spawn(async move { exchange(&control, &results).await });
                    }
                    Some(Ok(Err(error))) => {
                        current = None;
                        tell(Err(error));
                    }
                    None | Some(Err(_)) => current = None,
                },
                parted = parting.join_next(), if !parting.is_empty() => {
                    current = None;
                    if let Some(Ok(Err(error))) = parted {
                        tell(Err(error));
                    }
                }
                accepted = self.listener.accept(), if arriving.len() < MAX_ARRIVING => {
                    let (stream, _) = accepted?;
                    arriving.spawn(introduced(stream));
                }
                arrived = arriving.join_next(), if !arriving.is_empty() => {
                    let Some(Ok(Ok(arrived))) = arrived else { continue };
                    match &current {
                        Some(test) if test.cookie == arrived.cookie => {
                            // What is too much for the test is dropped, and so closed.
                            let _ = test.streams.try_send(arrived);
                        }
                        Some(_) => deny(arrived.stream).await,
                        None => {
                            let (streams, accepted) = mpsc::channel(MAX_ARRIVING);
                            current = Some(Current { cookie: arrived.cookie, streams });
                            let (net, at) = (self.net.clone(), self.at);
                            tests.spawn(serve(net, at, Control(arrived.stream), accepted));
                        }
                    }
                }
            }
        }
    }
}

/// The test that is running.
struct Current {
    cookie: Cookie,
    streams: mpsc::Sender<Arrived>,
}

/// A connection that has said to which test it belongs.
struct Arrived {
    /// When the client asked for it: shards may accept in another order than it did.
    opened: Instant,
    cookie: Cookie,
    stream: TcpStream,
}

async fn introduced(stream: TcpStream) -> Result<Arrived, Error> {
    let mut bytes = [0; Cookie::LEN];
    patiently("the cookie", stream.read_exact(&mut bytes)).await?;
    Ok(Arrived { opened: stream.info()?.opened, cookie: Cookie(bytes), stream })
}

async fn deny(stream: TcpStream) {
    // A fresh connection has room for a byte, and who does not want it has gone.
    let _ = Control(stream).send_state(State::AccessDenied).await;
}

/// A test whose results both sides are to exchange.
struct Ended {
    summary: Summary,
    control: Control,
    results: Results,
}

/// One test, from the client's cookie until nothing is measured any more.
async fn serve(
    net: Net,
    at: SocketAddr,
    control: Control,
    mut accepted: mpsc::Receiver<Arrived>,
) -> Result<Ended, Error> {
    control.send_state(State::ParamExchange).await?;
    let json = patiently("the client's parameters", control.json("parameters", MAX_PARAMS)).await?;
    let params = match Params::from_json(&json) {
        Ok(params) => params,
        Err(error) => {
            control.refuse(BAD_PARAMETERS).await?;
            return Err(error);
        }
    };
    // It must be there before the client knows that it may begin.
    let socket = match params.udp {
        true => Some(Arc::new(UdpSocket::bind(&net, at)?)),
        false => None,
    };
    control.send_state(State::CreateStreams).await?;
    let list = match socket {
        Some(socket) => patiently("all streams", greeted(socket, &params)).await?,
        None => patiently("all streams", gathered(&mut accepted, &params)).await?,
    };
    let mut streams = Streams::new(list, &params);
    control.send_state(State::TestStart).await?;
    control.send_state(State::TestRunning).await?;
    let begin = (net.now(), Usage::begin(net.now()));
    streams.start(&net, &params, false);
    run(&control, &mut streams, &params).await?;
    streams.stop_sending();
    let omitted = Duration::from_secs(params.omit);
    let seconds = (net.now().since(begin.0).as_secs_f64() - omitted.as_secs_f64()).max(0.0);
    let results = results(&streams, seconds, begin.1.until(net.now()));
    let summary = summary(&control, &params, &streams, seconds)?;
    streams.close();
    Ok(Ended { summary, control, results })
}

/// The connections of all streams, in the order in which the client opened them.
async fn gathered(accepted: &mut mpsc::Receiver<Arrived>, params: &Params) -> Result<Vec<Stream>, Error> {
    let mut arrived = Vec::new();
    while arrived.len() < params.streams() {
        arrived.push(accepted.recv().await.ok_or(Error::Closed)?);
    }
    arrived.sort_by_key(|arrived| arrived.opened);
    let streams = arrived.into_iter().enumerate().map(|(index, Arrived { stream, .. })| {
        stream.configure(|settings| configure(settings, params))?;
        if let Some(name) = &params.congestion {
            // Who asks for one that is not here gets ours, and reads its name in the results.
            let _ = stream.set_congestion_by_name(name);
        }
        Ok(Stream::new(index, !params.client_sends(index), Carrier::Tcp(Arc::new(stream))))
    });
    streams.collect()
}

/// The streams of datagrams: each says a word, and is answered, one after the other.
async fn greeted(socket: Arc<UdpSocket>, params: &Params) -> Result<Vec<Stream>, Error> {
    let mut peers: Vec<SocketAddr> = Vec::new();
    let mut buffer = [0; 16];
    while peers.len() < params.streams() {
        let (_, from) = socket.recv_from(&mut buffer).await?;
        // A client that did not hear the answer may ask again.
        if !peers.contains(&from) {
            peers.push(from);
        }
        let _ = socket.send_to(UDP_REPLY, from).await?;
    }
    let stream =
        |(index, peer)| Stream::new(index, !params.client_sends(index), Carrier::Udp(socket.clone(), peer));
    Ok(peers.into_iter().enumerate().map(stream).collect())
}

/// Waits until the client says that it is over.
async fn run(control: &Control, streams: &mut Streams, params: &Params) -> Result<(), Error> {
    let limit = match params.time {
        0 => Duration::from_secs(86_400),
        time => Duration::from_secs(params.omit + time) + GRACE,
    };
    let omitted = tokio::time::sleep(Duration::from_secs(params.omit).into());
    let late = tokio::time::sleep(limit.into());
    tokio::pin!(omitted, late);
    let mut counts = params.omit == 0;
    loop {
        tokio::select! {
            state = control.state() => return match state? {
                State::TestEnd => Ok(()),
                State::ClientTerminate => Err(Error::Terminated),
                other => Err(Error::Protocol(format!("{other:?} came in the middle of the test"))),
            },
            () = &mut omitted, if !counts => {
                counts = true;
                streams.forget();
            }
            () = &mut late => return Err(Error::Silent(format!("the test did not end within {limit}"))),
        }
    }
}

async fn exchange(control: &Control, results: &Results) -> Result<(), Error> {
    control.send_state(State::ExchangeResults).await?;
    // What the client measured is the client's to show.
    let theirs = control.json("results", MAX_CLIENT_RESULTS);
    let _ = Results::from_json(&patiently("the client's results", theirs).await?)?;
    control.send_json(&results.to_json()).await?;
    control.send_state(State::DisplayResults).await?;
    match tokio::time::timeout(PATIENCE.into(), control.expect(State::IperfDone)).await {
        // Some clients just go.
        Err(_) | Ok(Ok(()) | Err(Error::Closed)) => Ok(()),
        Ok(Err(error)) => Err(error),
    }
}

fn results(streams: &Streams, seconds: f64, cpu: super::usage::Share) -> Results {
    let congestion = streams.iter().find_map(|stream| Some(stream.info()?.congestion.to_owned()));
    let one = |stream: &Stream| {
        let Counts { bytes, packets, lost, jitter, retransmits, .. } = stream.counts();
        StreamResult { id: stream.id, bytes, retransmits, jitter, lost, packets, seconds }
    };
    Results { cpu, congestion, streams: streams.iter().map(one).collect() }
}

fn summary(control: &Control, params: &Params, streams: &Streams, seconds: f64) -> Result<Summary, Error> {
    let sum = |sends: bool| {
        let counts: Vec<_> =
            streams.iter().filter(|stream| stream.sends == sends).map(Stream::counts).collect();
        Counts::sum(&counts)
    };
    let client = control.0.peer_addr()?;
    Ok(Summary { client, params: params.clone(), received: sum(false), sent: sum(true), seconds })
}
