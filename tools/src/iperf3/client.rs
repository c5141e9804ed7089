//! The client: one test against a server.

use std::net::SocketAddr;
use std::sync::Arc;

use ustack::net::{Net, TcpStream, UdpSocket};
use ustack::rng::Rng;
use ustack::tcp::TcpInfo;
use ustack::time::{Duration, Instant};

use super::meter::Counts;
use super::protocol::{Control, Cookie, MAX_SERVER_RESULTS, Params, State};
use super::report::{Beginning, Connected, End, EndStream, Interval, Part, Report, Side, TcpNow};
use super::results::{Results, StreamResult};
use super::streams::{Carrier, Stream, Streams, configure};
use super::usage::{Share, Usage};
use super::{Error, KEEPALIVE, patiently};

/// The first datagram of a stream.
const UDP_HELLO: &[u8; 4] = b"9876";
/// How long a server may take to answer it, and how often it is asked.
const UDP_PATIENCE: Duration = Duration::from_secs(1);
const UDP_TRIES: u32 = 10;

/// Whom to measure, and how.
#[derive(Clone, Debug)]
pub struct Client {
    /// The server.
    pub server: SocketAddr,
    /// What to measure.
    pub params: Params,
    /// How often to report; zero for not at all before the end.
    pub interval: Duration,
}

impl Client {
    /// Runs the test in a tokio runtime, and tells the report.
    ///
    /// # Errors
    /// The server cannot be reached, is busy, gives up, or speaks something else.
    pub async fn run(&self, net: &Net, report: &mut Report<'_>) -> Result<(), Error> {
        let now = net.now();
        let seed = net.with_stack(|stack, _| stack.config().seed);
        let cookie = Cookie::new(&mut Rng::new(seed, now.as_nanos()));
        let control = Control(self.introduce(net, &cookie, None).await?);
        patiently("the server's readiness", control.expect(State::ParamExchange)).await?;
        control.send_json(&self.params.to_json()).await?;
        patiently("the server's consent", control.expect(State::CreateStreams)).await?;
        let list = self.open(net, &cookie).await?;
        report.begin(&self.beginning(&cookie, &list)?)?;
        let streams = Streams::new(list, &self.params);
        patiently("the test's start", control.expect(State::TestStart)).await?;
        patiently("the test's start", control.expect(State::TestRunning)).await?;
        let mut run = Run::begin(net, self, streams);
        run.go(&control, report).await?;
        control.send_state(State::TestEnd).await?;
        let (ours, streams) = run.results();
        patiently("the server's end", control.expect(State::ExchangeResults)).await?;
        control.send_json(&ours.to_json()).await?;
        let theirs = patiently("the server's results", control.json("results", MAX_SERVER_RESULTS)).await?;
        let theirs = Results::from_json(&theirs)?;
        patiently("the server's end", control.expect(State::DisplayResults)).await?;
        report.end(&run.end(&ours, &theirs, &streams))?;
        run.streams.close();
        control.send_state(State::IperfDone).await
    }

    /// A connection of the test; `params` if it is to be that of a stream.
    async fn introduce(
        &self,
        net: &Net,
        cookie: &Cookie,
        params: Option<&Params>,
    ) -> Result<TcpStream, Error> {
        let change = |settings: &mut _| match params {
            Some(params) => configure(settings, params),
            None => settings.keepalive = Some(KEEPALIVE),
        };
        let connecting = TcpStream::connect_with(net, self.server, None, change);
        let stream = connecting.await.map_err(|error| Error::Connection("cannot connect", error))?;
        if let Some(name) = params.and_then(|params| params.congestion.as_deref()) {
            let set = stream.set_congestion_by_name(name);
            set.map_err(|error| Error::Connection("cannot set the congestion control", error))?;
        }
        stream.write_all(&cookie.0).await?;
        Ok(stream)
    }

    /// Opens all streams, one after the other: the server counts them as they come.
    async fn open(&self, net: &Net, cookie: &Cookie) -> Result<Vec<Stream>, Error> {
        let mut list = Vec::new();
        for index in 0..self.params.streams() {
            let carrier = match self.params.udp {
                true => Carrier::Udp(self.greet(net).await?, self.server),
                false => {
                    let stream = patiently("a stream", self.introduce(net, cookie, Some(&self.params)));
                    Carrier::Tcp(Arc::new(stream.await?))
                }
            };
            list.push(Stream::new(index, self.params.client_sends(index), carrier));
        }
        Ok(list)
    }

    /// A socket that the server knows.
    async fn greet(&self, net: &Net) -> Result<Arc<UdpSocket>, Error> {
        let any: SocketAddr = match self.server {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0; 8], 0).into(),
        };
        let cannot = |error| Error::Connection("cannot open a stream", error);
        let socket = UdpSocket::bind(net, any).map_err(cannot)?;
        socket.connect(self.server).map_err(cannot)?;
        for _ in 0..UDP_TRIES {
            socket.send(UDP_HELLO).await.map_err(cannot)?;
            let mut answer = [0; 4];
            if let Ok(Ok(4)) = tokio::time::timeout(UDP_PATIENCE.into(), socket.recv(&mut answer)).await {
                return Ok(Arc::new(socket));
            }
        }
        Err(Error::Silent("the server does not answer datagrams".into()))
    }

    fn beginning(&self, cookie: &Cookie, list: &[Stream]) -> Result<Beginning, Error> {
        let connected = list.iter().map(|stream| {
            let (local, remote) = stream.addresses()?;
            Ok(Connected { id: stream.id, local, remote })
        });
        Ok(Beginning {
            server: self.server,
            cookie: cookie.text(),
            params: self.params.clone(),
            connected: connected.collect::<Result<_, Error>>()?,
        })
    }
}

/// The test while it runs.
struct Run<'a> {
    net: &'a Net,
    client: &'a Client,
    streams: Streams,
    usage: Usage,
    /// When what counts began, and ended.
    begin: Instant,
    end: Instant,
    /// What was counted when the last interval ended, and when that was.
    before: Vec<Counts>,
    reported: Instant,
    seen: Vec<Seen>,
}

/// What TCP said of a stream at the ends of the intervals.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    max_cwnd: u64,
    max_snd_wnd: u64,
    min_rtt: Option<Duration>,
    max_rtt: Duration,
    sum_rtt: Duration,
    samples: u64,
}

impl<'a> Run<'a> {
    fn begin(net: &'a Net, client: &'a Client, mut streams: Streams) -> Self {
        let now = net.now();
        streams.start(net, &client.params, true);
        let before = vec![Counts::default(); streams.iter().len()];
        let seen = vec![Seen::default(); streams.iter().len()];
        let usage = Usage::begin(now);
        Self { net, client, streams, usage, begin: now, end: now, before, reported: now, seen }
    }

    /// Until the time is over, all is moved, or something goes wrong.
    async fn go(&mut self, control: &Control, report: &mut Report<'_>) -> Result<(), Error> {
        const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        let Params { omit, time, .. } = self.client.params;
        let after = |span: Duration| tokio::time::sleep(span.into());
        let whole = if time == 0 { NEVER } else { Duration::from_secs(omit + time) };
        let every = if self.client.interval.is_zero() { NEVER } else { self.client.interval };
        let (over, omitted, next) = (after(whole), after(Duration::from_secs(omit)), after(every));
        tokio::pin!(over, omitted, next);
        let mut due = tokio::time::Instant::now() + every.into();
        let mut counts = omit == 0;
        let result = loop {
            tokio::select! {
                state = control.state() => break Err(match state? {
                    State::ServerTerminate => Error::Terminated,
                    other => Error::Protocol(format!("{other:?} came in the middle of the test")),
                }),
                done = self.streams.done() => {
                    break done.map_err(|error| Error::Connection("a stream broke", error));
                }
                () = &mut over => break Ok(()),
                () = &mut omitted, if !counts => {
                    self.report(report, true)?;
                    self.streams.forget();
                    self.before.fill(Counts::default());
                    (self.begin, self.reported) = (self.net.now(), self.net.now());
                    self.usage = Usage::begin(self.begin);
                    counts = true;
                    due = tokio::time::Instant::now() + every.into();
                    next.as_mut().reset(due);
                }
                () = &mut next => {
                    self.report(report, !counts)?;
                    due += every.into();
                    next.as_mut().reset(due);
                }
            }
        };
        if self.client.params.time == 0 && result.is_ok() {
            self.streams.flushed().await;
        }
        self.streams.stop_sending();
        self.end = self.net.now();
        // What is left is an interval, too, if it is worth one.
        if self.end.since(self.reported) * 10 > every && !self.client.interval.is_zero() {
            self.report(report, !counts)?;
        }
        result
    }

    /// Tells what was moved since the last time.
    fn report(&mut self, report: &mut Report<'_>, omitted: bool) -> Result<(), Error> {
        let now = self.net.now();
        let seconds = |at: Instant| at.since(self.begin).as_secs_f64();
        let (start, end) = (seconds(self.reported), seconds(now));
        let mut parts = Vec::new();
        for ((stream, before), seen) in self.streams.iter().zip(&mut self.before).zip(&mut self.seen) {
            let counts = stream.counts();
            let tcp = stream.info().map(|info| {
                seen.add(&info);
                TcpNow::of(&info)
            });
            let (id, sender) = (stream.id, stream.sends);
            parts.push(Part { id, sender, counts: counts.since(before), tcp });
            *before = counts;
        }
        self.reported = now;
        Ok(report.interval(&Interval { start, end, omitted, parts })?)
    }

    /// What we measured.
    fn results(&self) -> (Results, Vec<(bool, Counts)>) {
        let seconds = self.end.since(self.begin).as_secs_f64();
        let counted: Vec<_> = self.streams.iter().map(|stream| (stream.sends, stream.counts())).collect();
        let one = |(stream, (_, counts)): (&Stream, &(bool, Counts))| {
            let Counts { bytes, packets, lost, jitter, retransmits, .. } = *counts;
            StreamResult { id: stream.id, bytes, retransmits, jitter, lost, packets, seconds }
        };
        let congestion = self.streams.iter().find_map(|stream| Some(stream.info()?.congestion.to_owned()));
        let streams = self.streams.iter().zip(&counted).map(one).collect();
        let cpu: Share = self.usage.until(self.net.now());
        (Results { cpu, congestion, streams }, counted)
    }

    /// What both measured.
    fn end(&self, ours: &Results, theirs: &Results, counted: &[(bool, Counts)]) -> End {
        let mut streams = Vec::new();
        for ((our, (sends, counts)), seen) in ours.streams.iter().zip(counted).zip(&self.seen) {
            let mine = Side {
                bytes: our.bytes,
                seconds: our.seconds,
                packets: our.packets,
                lost: our.lost,
                out_of_order: counts.out_of_order,
                jitter: our.jitter,
                retransmits: our.retransmits,
            };
            let other = theirs.stream(our.id).copied().unwrap_or_default();
            let other = Side {
                bytes: other.bytes,
                seconds: if other.seconds > 0.0 { other.seconds } else { our.seconds },
                packets: other.packets,
                lost: other.lost,
                out_of_order: 0,
                jitter: other.jitter,
                retransmits: other.retransmits,
            };
            let (sent, received) = if *sends { (mine, other) } else { (other, mine) };
            let tcp = (seen.samples > 0).then(|| seen.end());
            streams.push(EndStream { id: our.id, client_sends: *sends, sent, received, tcp });
        }
        End {
            streams,
            cpu: [ours.cpu, theirs.cpu],
            congestion: [ours.congestion.clone(), theirs.congestion.clone()],
        }
    }
}

impl Seen {
    fn add(&mut self, info: &TcpInfo) {
        let Some(rtt) = info.srtt else { return };
        self.max_cwnd = self.max_cwnd.max(info.cwnd);
        self.max_snd_wnd = self.max_snd_wnd.max(info.snd_wnd);
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min| min.min(rtt)));
        self.max_rtt = self.max_rtt.max(rtt);
        self.sum_rtt += rtt;
        self.samples += 1;
    }

    fn end(&self) -> super::report::TcpEnd {
        super::report::TcpEnd {
            max_cwnd: self.max_cwnd,
            max_snd_wnd: self.max_snd_wnd,
            max_rtt: self.max_rtt,
            min_rtt: self.min_rtt.unwrap_or_default(),
            mean_rtt: self.sum_rtt / self.samples.max(1),
        }
    }
}
