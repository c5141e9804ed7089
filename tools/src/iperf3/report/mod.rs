//! What a client tells: lines as iperf3 prints them, or one JSON document with iperf3's names.

mod document;
mod text;
pub(super) mod units;

use std::io::{self, Write};
use std::net::SocketAddr;

use serde_json::Value;
use ustack::tcp::TcpInfo;
use ustack::time::Duration;

use super::Error;
pub use super::meter::Counts;
use super::protocol::Params;
pub use super::usage::Share;

/// Which form a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines, as things happen.
    Lines,
    /// One document at the end.
    Json,
}

/// Where a client tells what it sees.
pub struct Report<'a> {
    out: &'a mut (dyn Write + Send),
    form: Form,
    document: Value,
    params: Params,
}

/// A test is about to run.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Who is measured.
    pub server: SocketAddr,
    /// What marks the connections of the test.
    pub cookie: String,
    /// What is measured.
    pub params: Params,
    /// The streams.
    pub connected: Vec<Connected>,
}

/// One stream of a test.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// Its number.
    pub id: u64,
    /// Our end.
    pub local: SocketAddr,
    /// The server's.
    pub remote: SocketAddr,
}

/// A span of a test, in seconds since what counts began (or, while it is omitted, since the test did).
#[derive(Clone, Debug)]
pub struct Interval {
    /// When it began.
    pub start: f64,
    /// When it ended.
    pub end: f64,
    /// Whether it does not count.
    pub omitted: bool,
    /// Each stream.
    pub parts: Vec<Part>,
}

/// One stream in a span.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its number.
    pub id: u64,
    /// Whether we send.
    pub sender: bool,
    /// What was moved.
    pub counts: Counts,
    /// What TCP says at the span's end.
    pub tcp: Option<TcpNow>,
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug)]
pub struct TcpNow {
    /// Bytes of the congestion window.
    pub cwnd: u64,
    /// Bytes of the peer's window.
    pub snd_wnd: u64,
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// Bytes of the largest packet.
    pub pmtu: u32,
}

impl TcpNow {
    pub(super) fn of(info: &TcpInfo) -> Self {
        let (cwnd, snd_wnd, rttvar, pmtu) = (info.cwnd, info.snd_wnd, info.rttvar, info.pmtu);
        Self { cwnd, snd_wnd, rtt: info.srtt.unwrap_or_default(), rttvar, pmtu }
    }
}

/// The end of a test.
#[derive(Clone, Debug)]
pub struct End {
    /// Each stream.
    pub streams: Vec<EndStream>,
    /// How much of a processor was used here and there.
    pub cpu: [Share; 2],
    /// The congestion control here and there.
    pub congestion: [Option<String>; 2],
}

/// One stream at the end.
#[derive(Clone, Copy, Debug)]
pub struct EndStream {
    /// Its number.
    pub id: u64,
    /// Whether the client sent.
    pub client_sends: bool,
    /// What the sender counted.
    pub sent: Side,
    /// What the receiver counted.
    pub received: Side,
    /// What TCP said meanwhile.
    pub tcp: Option<TcpEnd>,
}

/// What one side of a stream counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Bytes of data.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Datagrams.
    pub packets: u64,
    /// Datagrams that are missing.
    pub lost: u64,
    /// Datagrams that came after a later one.
    pub out_of_order: u64,
    /// In seconds.
    pub jitter: f64,
    /// Segments sent again, if it is known.
    pub retransmits: Option<u64>,
}

/// What TCP said in the course of a test.
#[derive(Clone, Copy, Debug)]
pub struct TcpEnd {
    /// The largest congestion window, in bytes.
    pub max_cwnd: u64,
    /// The peer's largest window, in bytes.
    pub max_snd_wnd: u64,
    /// The longest smoothed round-trip time.
    pub max_rtt: Duration,
    /// The shortest.
    pub min_rtt: Duration,
    /// The mean.
    pub mean_rtt: Duration,
}

impl<'a> Report<'a> {
    /// A report to `out`.
    pub fn new(out: &'a mut (dyn Write + Send), form: Form) -> Self {
        Self { out, form, document: document::empty(), params: Params::default() }
    }

    pub(super) fn begin(&mut self, beginning: &Beginning) -> io::Result<()> {
        self.params = beginning.params.clone();
        match self.form {
            Form::Lines => self.write(&text::beginning(beginning)),
            Form::Json => {
                document::begin(&mut self.document, beginning);
                Ok(())
            }
        }
    }

    pub(super) fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        match self.form {
            Form::Lines => self.write(&text::interval(interval, &self.params)),
            Form::Json => {
                document::interval(&mut self.document, interval, &self.params);
                Ok(())
            }
        }
    }

    pub(super) fn end(&mut self, end: &End) -> io::Result<()> {
        match self.form {
            Form::Lines => self.write(&text::end(end, &self.params)),
            Form::Json => {
                document::end(&mut self.document, end, &self.params);
                Ok(())
            }
        }
    }

    /// Completes the report: of a document, whatever became of the test, there is exactly one.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn finish(mut self, result: &Result<(), Error>) -> io::Result<()> {
        if self.form == Form::Json {
            if let Err(error) = result {
                self.document["error"] = Value::String(error.to_string());
            }
            let text = format!("{:#}\n", self.document);
            return self.write(&text);
        }
        if result.is_ok() { self.write("\niperf Done.\n") } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
