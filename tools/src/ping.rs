//! `ustack ping`: echo requests over a raw socket of the stack.

mod echo;
mod summary;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use serde::Serialize;
use ustack::InterfaceId;
use ustack::net::{Net, RawSocket};
use ustack::raw::Family;
use ustack::time::{Duration, Instant};

use self::echo::{Answer, HEADER_LEN, answer, protocol, request};
use self::summary::{Summary, Times};
use crate::common::failure::{Failure, Outcome};
use crate::common::ready::ready;
use crate::common::runtime::{block_on, driven, interrupted};
use crate::common::span;
use crate::common::stack::{Running, StackArgs};
use crate::common::target::{FamilyArgs, endpoint};

const EXAMPLES: &str = "\
Examples:
  ustack ping 10.9.0.1                        the kernel at the other end of tap0
  ustack ping -c 5 -s 1400 fd09::1
  ustack ping --loss 20% --delay 10ms 10.9.0.1
  ustack ping --raw eth0 --address 192.168.1.200/24 --gateway 192.168.1.1 1.1.1.1

Exit status: 0 if at least one reply came, 1 if none did.";

/// Send echo requests and print the round-trip times.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address, or a name that this machine can look up
    host: String,
    #[command(flatten)]
    family: FamilyArgs,
    /// Stop after so many requests
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Time between requests
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = span::parse)]
    interval: Duration,
    /// Bytes of data in each request
    #[arg(long, short, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(..=65_507))]
    size: u16,
    /// Time to live (hop limit) of the requests
    #[arg(long, short, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
    /// How long to wait for the last reply
    #[arg(long, short = 'W', value_name = "TIME", default_value = "1s", value_parser = span::parse)]
    timeout: Duration,
    /// One JSON document instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let target = args.family.resolve(&args.host)?;
    let running = args.stack.plan()?.open()?;
    let session = block_on(async {
        let mut session = Session::open(args, &running, target)?;
        session.begin()?;
        driven(&running, async {
            ready(&running, endpoint(target, 0, running.interface)).await?;
            session.run().await
        })
        .await?;
        Ok(session)
    })?;
    session.end()?;
    running.finish()?;
    Ok(ExitCode::from(u8::from(session.summary.received == 0)))
}

/// One series of requests.
struct Session<'a> {
    args: &'a Args,
    net: Net,
    interface: InterfaceId,
    socket: RawSocket,
    target: IpAddr,
    id: u16,
    begin: Instant,
    /// When each request left that was not answered yet.
    pending: BTreeMap<u16, Instant>,
    summary: Summary,
    lines: Vec<Line>,
}

/// What is told about one request.
#[derive(Debug, Serialize)]
struct Line {
    seq: u16,
    from: Option<IpAddr>,
    bytes: Option<usize>,
    ttl: Option<u8>,
    time_ms: Option<f64>,
    duplicate: bool,
    error: Option<String>,
}

/// Most requests that wait for their answers; sequence numbers must not meet themselves.
const MAX_PENDING: usize = 1 << 15;
/// Most lines kept for the JSON document.
const MAX_LINES: usize = 1 << 20;

impl<'a> Session<'a> {
    fn open(args: &'a Args, running: &Running, target: IpAddr) -> Result<Self, Failure> {
        let net = running.net.clone();
        let socket = RawSocket::open(&net, Family::of(target), protocol(target).0)?;
        if let Some(ttl) = args.ttl {
            socket.configure(|options| options.ttl = Some(ttl))?;
        }
        // No two runs have the same, in all likelihood.
        let id = net.with_stack(|stack, _| stack.config().seed) as u16;
        Ok(Self {
            args,
            interface: running.interface,
            socket,
            target,
            id,
            begin: net.now(),
            net,
            pending: BTreeMap::new(),
            summary: Summary::default(),
            lines: Vec::new(),
        })
    }

    fn begin(&self) -> io::Result<()> {
        if self.args.json {
            return Ok(());
        }
        let host = if self.args.host == self.target.to_string() {
            String::new()
        } else {
            format!(" ({})", self.args.host)
        };
        writeln!(io::stdout(), "PING {}{host}: {} bytes of data", self.target, self.args.size)
    }

    /// Until all is answered, the last answer is late, or somebody stops us.
    async fn run(&mut self) -> Result<(), Failure> {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let mut next = Some(self.net.now());
        let mut stop = std::pin::pin!(interrupted());
        loop {
            let now = self.net.now();
            if next.is_some_and(|at| at <= now) {
                self.send().await?;
                let more = self.args.count.is_none_or(|count| self.summary.sent < count);
                next = more.then(|| now + self.args.interval);
            }
            let until = match (next, self.pending.last_key_value()) {
                (Some(next), _) => next,
                (None, None) => return Ok(()),
                (None, Some(_)) => self.pending.values().max().copied().unwrap_or(now) + self.args.timeout,
            };
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = self.net.sleep(until.since(self.net.now())) => {
                    if next.is_none() {
                        return Ok(());
                    }
                }
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok(received) => {
                        let bytes = &buffer[..received.copied];
                        let arrival = received.arrival;
                        if let Some(answer) = answer(bytes, arrival.from, arrival.to, self.id) {
                            self.handle(answer, arrival.from, arrival.ttl)?;
                        }
                    }
                    // What ICMP says arrives as a message too; what our own side says does not.
                    Err(error) => self.refused(&error)?,
                },
            }
        }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        self.summary.sent += 1;
        let seq = self.summary.sent as u16;
        let bytes = request(self.target, self.id, seq, usize::from(self.args.size));
        debug_assert_eq!(bytes.len(), HEADER_LEN + usize::from(self.args.size));
        let link_local = matches!(self.target, IpAddr::V6(v6) if v6.is_unicast_link_local());
        while self.pending.len() >= MAX_PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(seq, self.net.now());
        if let Err(error) =
            self.socket.send_to(&bytes, self.target, link_local.then_some(self.interface)).await
        {
            self.pending.remove(&seq);
            self.refused(&error)?;
        }
        Ok(())
    }

    fn handle(&mut self, answer: Answer, from: IpAddr, ttl: u8) -> io::Result<()> {
        let line = Line {
            seq: 0,
            from: Some(from),
            bytes: None,
            ttl: None,
            time_ms: None,
            duplicate: false,
            error: None,
        };
        match answer {
            Answer::Reply { seq, data_len } => {
                let time = self.pending.remove(&seq).map(|at| self.net.now().since(at));
                match time {
                    Some(time) => self.summary.add(time),
                    None => self.summary.duplicates += 1,
                }
                self.tell(Line {
                    seq,
                    bytes: Some(data_len + HEADER_LEN),
                    ttl: Some(ttl),
                    time_ms: time.map(|time| time.as_nanos() as f64 / 1e6),
                    duplicate: time.is_none(),
                    ..line
                })
            }
            Answer::Error { seq, what } => {
                self.pending.remove(&seq);
                self.summary.errors += 1;
                self.tell(Line { seq, error: Some(what), ..line })
            }
        }
    }

    /// Our own stack could not deliver: no route, or the neighbour does not answer.
    fn refused(&mut self, error: &io::Error) -> io::Result<()> {
        self.summary.errors += 1;
        let seq = self.summary.sent as u16;
        let error = Some(error.to_string());
        self.tell(Line { seq, from: None, bytes: None, ttl: None, time_ms: None, duplicate: false, error })
    }

    fn tell(&mut self, line: Line) -> io::Result<()> {
        if self.args.json {
            if self.lines.len() < MAX_LINES {
                self.lines.push(line);
            }
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let from = line.from.map_or("this stack".into(), |from| from.to_string());
        match line.error {
            Some(error) => writeln!(out, "from {from}: seq={} {error}", line.seq),
            None => {
                let (bytes, ttl) = (line.bytes.unwrap_or(0), line.ttl.unwrap_or(0));
                write!(out, "{bytes} bytes from {from}: seq={} ttl={ttl}", line.seq)?;
                match line.time_ms {
                    Some(time) => writeln!(out, " time={time:.3} ms"),
                    None => writeln!(out, " (duplicate, or too late)"),
                }
            }
        }
    }

    fn end(&self) -> io::Result<()> {
        let elapsed = self.net.now().since(self.begin);
        let mut out = io::stdout().lock();
        let Summary { sent, received, duplicates, errors, .. } = self.summary;
        if self.args.json {
            #[derive(Serialize)]
            struct Document<'a> {
                target: IpAddr,
                size: u16,
                sent: u64,
                received: u64,
                duplicates: u64,
                errors: u64,
                loss_percent: f64,
                seconds: f64,
                rtt_ms: Option<Times>,
                replies: &'a [Line],
            }
            let document = Document {
                target: self.target,
                size: self.args.size,
                sent,
                received,
                duplicates,
                errors,
                loss_percent: self.summary.loss(),
                seconds: elapsed.as_secs_f64(),
                rtt_ms: self.summary.times(),
                replies: &self.lines,
            };
            return writeln!(out, "{}", serde_json::to_string_pretty(&document)?);
        }
        write!(out, "--- {sent} sent, {received} received")?;
        for (count, what) in [(duplicates, "duplicates"), (errors, "errors")] {
            if count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        writeln!(out, ", {:.1}% lost, {:.3} s", self.summary.loss(), elapsed.as_secs_f64())?;
        if let Some(Times { min, avg, max, mdev }) = self.summary.times() {
            writeln!(out, "rtt min/avg/max/mdev = {min:.3}/{avg:.3}/{max:.3}/{mdev:.3} ms")?;
        }
        Ok(())
    }
}
