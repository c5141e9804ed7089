//! `ustack decode`: reads a capture, and tells what happened in it.

mod conversation;
mod report;
mod segment;
mod stream;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ustack::capture::{Error, ErrorKind, Packet, Reader};
use ustack::time::Instant;

use self::conversation::{Context, Conversations};
use self::segment::Seen;
use crate::common::console;
use crate::common::failure::{Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  ustack decode run.pcapng                packets, connections, retransmissions and why
  ustack decode --summary run.pcapng      only what it adds up to
  ustack decode --port 80 --json run.pcapng | jq '.conversations[].retransmissions'
  tcpdump -U -w - | ustack decode -

A capture of our own stack tells in each packet's comment why it was sent; of other captures the reasons of \
retransmissions are guessed from the packets, and marked with `?`.";

/// Read a capture (pcap or pcapng): packets, connections, what was sent again and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The capture; `-` is stdin
    capture: PathBuf,
    /// Leave out the packets
    #[arg(long, short)]
    summary: bool,
    /// Only packets from or to this port
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    /// Stop after so many packets
    #[arg(long, short, value_name = "N")]
    count: Option<u64>,
    /// Sequence numbers as they are on the wire, instead of counted from the first
    #[arg(long)]
    absolute: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What is known when the capture has been read.
#[derive(Debug, Default)]
struct Summary {
    packets: u64,
    bytes: u64,
    /// Of the first packet.
    begin: Option<Instant>,
    end: Instant,
    conversations: Conversations,
    /// How often each reason was given in a comment.
    reasons: BTreeMap<String, u64>,
    /// What is wrong with the capture.
    error: Option<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let input: Box<dyn Read> = if args.capture.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let open = File::open(&args.capture);
        Box::new(open.map_err(|error| Failure::cannot_open(args.capture.display(), &error))?)
    };
    let mut reader = Reader::new(input).map_err(|error| args.broken(&error))?;
    let mut out = console::stdout();
    let mut summary = Summary::default();
    let mut packets = report::Packets::begin(args, &mut out)?;
    while args.count.is_none_or(|count| summary.packets < count) {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                if args.wants(&packet) {
                    let elapsed = summary.count(&packet);
                    packets.write(&mut out, &packet, elapsed)?;
                }
            }
            Ok(None) => break,
            Err(error) => {
                let goes_on = matches!(error.kind, ErrorKind::LinkType(_));
                summary.error.get_or_insert_with(|| error.to_string());
                if !goes_on {
                    break;
                }
            }
        }
    }
    packets.end(&mut out, &summary, reader.interfaces())?;
    out.flush()?;
    match summary.error {
        Some(error) => Err(Failure::Unmet(format!("{}: {error}", args.capture.display()))),
        None => Ok(ExitCode::SUCCESS),
    }
}

impl Args {
    fn broken(&self, error: &Error) -> Failure {
        Failure::Unmet(format!("{}: {error}", self.capture.display()))
    }

    fn wants(&self, packet: &Packet<'_>) -> bool {
        self.port.is_none_or(|port| {
            Seen::of(packet).is_some_and(|seen| seen.src.port() == port || seen.dst.port() == port)
        })
    }
}

impl Summary {
    /// Takes a packet into account; since the first one.
    fn count(&mut self, packet: &Packet<'_>) -> ustack::time::Duration {
        self.packets += 1;
        self.bytes += u64::from(packet.original_len);
        let begin = *self.begin.get_or_insert(packet.time);
        let elapsed = packet.time.since(begin);
        self.end = self.end.max(packet.time);
        let why =
            packet.comment.as_deref().and_then(|comment| comment.lines().find(|l| l.starts_with("why=")));
        if let Some(word) = why.and_then(|why| why.split_whitespace().next()) {
            *self.reasons.entry(word.trim_start_matches("why=").to_string()).or_default() += 1;
        }
        if let Some(seen) = Seen::of(packet) {
            let context = Context {
                number: packet.number,
                interface: packet.interface,
                time: packet.time,
                elapsed,
                why,
            };
            self.conversations.handle(&seen, &context);
        }
        elapsed
    }
}
