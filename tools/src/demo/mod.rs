//! `ustack demo`: what TCP and UDP do on a bad network, shown.

mod client;
mod connectionless;
mod frame;
mod guest;
mod kernel;
mod ladder;
mod ordering;
mod peer;
mod place;
mod report;
mod retransmission;
mod stream;
mod style;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use ustack::Config;
use ustack::capture::Capture;
use ustack::sim::Impairment;
use ustack::tcp::MtuProbing;
use ustack::time::{Duration, Instant};

use self::kernel::Kernel;
use self::place::{Place, Simulated};
use self::report::{Check, Demo, Part, Wire};
use self::style::Style;
use crate::common::console::{self, note};
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::impairment::ImpairmentArgs;
use crate::common::stack::since_1970;

const EXAMPLES: &str = "\
Examples:
  ustack demo                             all three, briefly
  ustack demo ordering                    messages overtake each other and come twice
  ustack demo retransmission --loss 20%   what is lost, how it is noticed, when it is sent again
  ustack demo retransmission --no-sack    the same, noticed by duplicate ACKs
  ustack demo connectionless --capture udp.pcapng
  ustack demo ordering --tap              the same against the kernel, in a private namespace

All happens in virtual time, and follows from --seed: the same command shows the same, to the bit.";

/// See what TCP and UDP do on a bad network: in virtual time, without privileges.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to see; all three, briefly, if it is left out
    #[arg(value_enum)]
    topic: Option<Topic>,
    /// How many messages are sent
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    messages: Option<u16>,
    /// Where all luck comes from
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Do without selective acknowledgments
    #[arg(long)]
    no_sack: bool,
    /// Write all frames, with why they were sent and their fates, to this file (pcapng)
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    #[command(flatten)]
    events: EventsArgs,
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Talk with the kernel's own TCP and UDP at the other end of a TAP, in real time
    #[arg(long)]
    tap: bool,
    /// Be the other end
    #[arg(long, hide = true, exclusive = true)]
    far_end: bool,
    // Last: its heading would go on for the options that follow.
    #[command(flatten)]
    link: ImpairmentArgs,
}

/// What can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Topic {
    /// TCP delivers in order; UDP as it comes
    Ordering,
    /// What is lost is noticed, and sent again
    Retransmission,
    /// No handshake, no repair, and an ICMP error
    Connectionless,
}

/// What a demonstration does unless told otherwise.
struct Defaults {
    delay: &'static str,
    /// The rest of what the wire does, in netem's words.
    link: &'static str,
    messages: usize,
    seed: u64,
}

impl Topic {
    const ALL: [Self; 3] = [Self::Ordering, Self::Retransmission, Self::Connectionless];

    const fn name(self) -> &'static str {
        match self {
            Self::Ordering => ordering::NAME,
            Self::Retransmission => retransmission::NAME,
            Self::Connectionless => connectionless::NAME,
        }
    }

    const fn defaults(self) -> Defaults {
        match self {
            Self::Ordering => {
                Defaults { delay: "10ms", link: "reorder 25% duplicate 15%", messages: 10, seed: 35 }
            }
            Self::Retransmission => Defaults { delay: "10ms", link: "loss 10%", messages: 16, seed: 40 },
            Self::Connectionless => Defaults { delay: "10ms", link: "loss 15%", messages: 10, seed: 2 },
        }
    }
}

/// What is to be done, everything decided.
#[derive(Clone, Debug)]
struct Plan {
    topic: Topic,
    link: Impairment,
    messages: usize,
    seed: u64,
    sack: bool,
    /// Ladders show only what matters most.
    brief: bool,
    repeat: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.far_end {
        guest::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let topics = args.topic.map_or(Topic::ALL.to_vec(), |topic| vec![topic]);
    let plans = topics.into_iter().map(|topic| args.plan(topic)).collect::<Result<Vec<_>, _>>()?;
    let (capture, events) = (args.capture()?, args.events.log()?);
    let style = Style::of_stdout();
    let mut out = console::stdout();
    let (mut documents, mut holds, mut start) = (Vec::new(), true, Duration::ZERO);
    let mut is_interrupted = false;
    for (index, plan) in plans.iter().enumerate() {
        let mut place = args.place(plan, start, capture.as_ref())?;
        let demo = plan.run(&mut place)?;
        if let Some(log) = &events {
            place.write_decisions(log, plan.topic.name());
        }
        start = place.now() - Instant::ZERO;
        holds &= demo.holds();
        is_interrupted = place.is_interrupted();
        if args.json {
            documents.push(demo.json());
        } else {
            if index > 0 {
                writeln!(out)?;
            }
            demo.write(&mut out, style)?;
            out.flush()?;
        }
        if is_interrupted {
            break;
        }
    }
    if let Some(capture) = &capture {
        capture.finish()?;
    }
    args.events.finish(events.as_ref())?;
    if args.json {
        let document = json!({ "holds": holds, "demos": documents });
        writeln!(out, "{document:#}")?;
    }
    out.flush()?;
    if is_interrupted {
        note!("interrupted: this is what was seen until then");
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Args {
    fn capture(&self) -> Result<Option<Capture>, Failure> {
        // Virtual time begins in 1970: a seed then gives the same file, to the bit.
        let epoch = if self.tap { since_1970() } else { 0 };
        let create = |path: &PathBuf| {
            Capture::create(path, epoch).map_err(|error| Failure::cannot_open(path.display(), &error))
        };
        self.capture.as_ref().map(create).transpose()
    }

    fn place(&self, plan: &Plan, start: Duration, capture: Option<&Capture>) -> Result<Place, Failure> {
        let Plan { link, seed, .. } = *plan;
        let mut config = Config::seeded(seed);
        config.tcp.observe = self.events.is_wanted();
        // A message is a segment, however much of it is lost: heavy loss looks like a path that swallows large
        // segments.
        config.tcp.mtu_probing = MtuProbing::Off;
        Ok(if self.tap {
            Place::Kernel(Box::new(Kernel::new(&["demo", "--far-end"], link, config, capture)?))
        } else {
            Place::Simulated(Box::new(Simulated::new(link, config, start, capture)?))
        })
    }

    fn plan(&self, topic: Topic) -> Result<Plan, Failure> {
        let Defaults { delay, link, messages, seed } = topic.defaults();
        let link = self.link.over(delay, link)?;
        let messages = self.messages.map_or(messages, usize::from);
        let seed = self.seed.unwrap_or(seed);
        let (brief, repeat) = (self.topic.is_none(), self.repeat(topic, seed));
        Ok(Plan { topic, link, messages, seed, sack: !self.no_sack, brief, repeat })
    }

    /// The command that does the same again.
    fn repeat(&self, topic: Topic, seed: u64) -> String {
        let mut command = format!("ustack demo {} --seed {seed}", topic.name());
        if let Some(messages) = self.messages {
            let _ = write!(command, " --messages {messages}");
        }
        command.push_str(&self.link.typed());
        for (is_given, option) in [(self.no_sack, " --no-sack"), (self.tap, " --tap")] {
            command.push_str(if is_given { option } else { "" });
        }
        command
    }
}

impl Plan {
    fn run(&self, place: &mut Place) -> Result<Demo, Failure> {
        match self.topic {
            Topic::Ordering => ordering::run(self, place),
            Topic::Retransmission => retransmission::run(self, place),
            Topic::Connectionless => connectionless::run(self, place),
        }
    }

    fn demo(
        &self,
        place: &Place,
        about: &'static str,
        parts: Vec<Part>,
        verdict: Vec<Check>,
        details: Value,
        wire: Wire,
    ) -> Demo {
        Demo {
            name: self.topic.name(),
            about,
            link: self.link.to_string(),
            seed: self.seed,
            far: place.far_name(),
            parts,
            verdict,
            details,
            wire,
            repeat: self.repeat.clone(),
        }
    }
}
